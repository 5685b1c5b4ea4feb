//! The members of an object as the entries of a map.

use std::collections::HashSet;

use crate::{
    Kind, ParseError,
    lexer::{OBJECT, Parsed},
    plan::FieldPlan,
    read::Parser,
    scalar,
    wire::{self, Reader, put_varint},
};

impl Parser<'_> {
    /// Reads an object as the entries of a map.
    pub(crate) fn map(&mut self, field: &FieldPlan, depth: u32) -> Parsed {
        let entry = self.plan.message_of(field);
        let (Some(key_field), Some(value_field)) = (entry.field(1), entry.field(2)) else {
            return Err(self.input.error("a map entry without key and value"));
        };
        if depth <= 1 {
            return Err(self.input.too_deep());
        }
        let (text_at, out_at) = (self.input.position(), self.out.len());
        // Keys that ascend come once each; others are compared at the end.
        let (mut ascending, mut last, mut last_bits) = (true, None, None);
        let mut more = self.input.open(&OBJECT)?;
        while more {
            let (key, key_at) = self.input.key()?;
            let start = self.out.len();
            self.tag(field);
            let mut skipped = false;
            let entry = self.sized(|parser| {
                match parser.map_key(key_field, &key, key_at)? {
                    Some(bits) => {
                        ascending &= last_bits.is_none_or(|last| last < bits as i64);
                        last_bits = Some(bits as i64);
                    }
                    None => {
                        // With escapes, the key is not what the text has.
                        let text = &parser.input.text[key_at + 1..][..key.len()];
                        ascending &= std::ptr::eq(text, &*key) && last.is_none_or(|last| last < text);
                        last = Some(text);
                    }
                }
                parser.refuse_null(value_field, "a map")?;
                let before = parser.out.len();
                parser.single(value_field, depth - 1, true)?;
                // An unknown enum name that is passed over takes its entry along.
                skipped = parser.out.len() == before;
                Ok(())
            });
            entry.map_err(|error| error.within(&format!("[{:?}]", String::from_utf8_lossy(&key))))?;
            if skipped {
                self.out.truncate(start);
            }
            more = self.input.next(&OBJECT)?;
        }
        if !ascending && has_equal_keys(&self.out[out_at..]) {
            return Err(self.equal_keys(key_field, text_at, depth));
        }
        Ok(())
    }

    /// The error of a map that has a key twice, at the second one.
    #[cold]
    fn equal_keys(&mut self, key_field: &FieldPlan, text_at: usize, depth: u32) -> ParseError {
        self.input.at = text_at;
        let mut seen = HashSet::new();
        let mut find = || {
            let mut more = self.input.open(&OBJECT)?;
            while more {
                let (key, key_at) = self.input.key()?;
                let start = self.out.len();
                self.map_key(key_field, &key, key_at)?;
                if !seen.insert(self.out.split_off(start)) {
                    let key = String::from_utf8_lossy(&key);
                    return Err(ParseError::new(format!("the key {key:?} comes twice"), key_at));
                }
                self.input.skip(depth)?;
                more = self.input.next(&OBJECT)?;
            }
            Ok(())
        };
        find().err().unwrap_or_else(|| self.input.error("a key comes twice"))
    }

    /// Writes the key of an entry. Returns the bits of one that is no string.
    fn map_key(&mut self, field: &FieldPlan, key: &[u8], key_at: usize) -> Parsed<Option<u64>> {
        self.tag(field);
        if field.kind == Kind::String {
            put_varint(self.out, key.len() as u64);
            self.out.extend_from_slice(key);
            return Ok(None);
        }
        let Some(bits) = scalar::parse(field.kind, key, true) else {
            let problem = format!("expected {} as a map key", scalar::describe(field.kind));
            return Err(ParseError::new(problem, key_at));
        };
        scalar::encode(self.out, field.kind, bits);
        Ok(Some(bits))
    }
}

/// Whether the entries of a map, as they were just written, have a key twice.
///
/// Go and Python refuse such maps; on the wire, where the last of them holds, they
/// are allowed.
#[inline(never)]
fn has_equal_keys(entries: &[u8]) -> bool {
    /// The first field of an entry.
    fn key(entry: &[u8]) -> &[u8] {
        let mut reader = Reader::new(entry);
        // What was just written can be read.
        let _ = reader.field();
        &entry[..entry.len() - reader.rest().len()]
    }
    let mut keys: Vec<&[u8]> = wire::fields(entries).flatten().map(|(_, entry)| key(entry.bytes())).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}
