//! JSON to wire bytes.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{ParseError, ReadOptions, number, raw, read_well_known, scalar::zigzag, time};
use crate::descriptor::{Cardinality, Common, Field, JsonMapping, Kind, MessageType, NO_ONEOF, Tables, heads_of};
use crate::wire::{self, Reader, put_varint};

pub(super) type Parsed<T = ()> = Result<T, ParseError>;

/// Reads one message; see [`crate::MessageDescriptor::read_json`].
pub(crate) fn read(
    tables: &Tables,
    message: &MessageType,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
) -> Result<(), ParseError> {
    whole(tables, json, out, options, |parser| {
        if parser.peek() == Some(b'n') && message.shape != JsonMapping::Value {
            return Err(parser.expected("an object"));
        }
        parser.message(message, wire::DEPTH)
    })
}

/// Reads a single value of a field, as the bytes of a message in which it is
/// set, even to its default: what a path or a query says.
pub(crate) fn read_single(
    tables: &Tables,
    field: &Field,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
) -> Result<(), ParseError> {
    whole(tables, json, out, options, |parser| parser.single(field, wire::DEPTH, true))
        .map_err(|error| error.within(&field.json_name))
}

/// Reads the value of one field, as the bytes of a message in which it is set:
/// what `body` and `response_body` name. `null` leaves it unset.
pub(crate) fn read_field(
    tables: &Tables,
    field: &Field,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
) -> Result<(), ParseError> {
    whole(tables, json, out, options, |parser| parser.value(field, wire::DEPTH))
        .map_err(|error| error.within(&field.json_name))
}

/// The length below which a text is first looked at for being ASCII alone.
const SHORT: usize = 512;

/// How many fields are looked at for the one that comes.
const FEW: usize = 16;

/// As the standard library's, which takes the last bytes one by one.
fn is_ascii(text: &[u8]) -> bool {
    match text.last_chunk::<32>() {
        Some(last) => last.is_ascii() && text.as_chunks::<32>().0.as_flattened().is_ascii(),
        None => text.is_ascii(),
    }
}

fn whole(
    tables: &Tables,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
    read: impl FnOnce(&mut Parser<'_>) -> Parsed,
) -> Result<(), ParseError> {
    let start = out.len();
    // Below a few hundred bytes the full check costs more than it checks.
    let valid = json.len() < SHORT && is_ascii(json) || simdutf8::basic::from_utf8(json).is_ok();
    // A byte order mark is no part of the text.
    let at = if json.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut parser = Parser { tables, options, text: json, at, out, types: None };
    let result = if valid {
        read(&mut parser).and_then(|()| parser.end())
    } else {
        let at = std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len);
        Err(ParseError::new("the text is not UTF-8", at))
    };
    result.map_err(|error| {
        out.truncate(start);
        error.locate(json)
    })
}

pub(super) struct Parser<'p> {
    pub(super) tables: &'p Tables,
    pub(super) options: &'p ReadOptions,
    text: &'p [u8],
    at: usize,
    pub(super) out: &'p mut Vec<u8>,
    /// Where the `@type` of each object is, by where the object begins: filled
    /// in one pass over the rest of the text when an `Any` is met whose type
    /// does not come first.
    types: Option<HashMap<usize, usize>>,
}

/// A set of small numbers; those below 64 without an allocation.
struct Seen {
    low: u64,
    high: Vec<u64>,
}

impl Seen {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new() -> Self {
        Self { low: 0, high: Vec::new() }
    }

    /// Whether the number is new.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn insert(&mut self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        let word = if number < 64 { &mut self.low } else { self.high_word(number / 64 - 1) };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    #[cold]
    #[inline(never)]
    fn high_word(&mut self, at: usize) -> &mut u64 {
        if self.high.len() <= at {
            self.high.resize(at + 1, 0);
        }
        &mut self.high[at]
    }
}

impl<'p> Parser<'p> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn skip_space(&mut self) {
        // Mostly there is none.
        if self.text.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.skip_long_space();
        }
    }

    #[inline(never)]
    fn skip_long_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[cold]
    pub(super) fn error(&self, problem: impl Into<Box<str>>) -> ParseError {
        ParseError::new(problem, self.at)
    }

    #[cold]
    pub(super) fn expected(&mut self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(b'"') => {
                let (at, string) = (self.at, self.string());
                self.at = at;
                match string {
                    Ok(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
                    Err(error) => return error,
                }
            }
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(_) => match (self.word(), number::scan_number(&self.text[self.at..])) {
                ("true" | "false", _) => "a bool".to_owned(),
                ("null", _) => "null".to_owned(),
                (_, Some(len)) => {
                    let number = &self.text[self.at..][..len.min(40)];
                    format!("the number {}", String::from_utf8_lossy(number))
                }
                (word, None) => format!("`{word}`"),
            },
        };
        self.error(format!("expected {what}, found {found}"))
    }

    /// The letters and digits at this place, at most 40, or the one character that is
    /// no such.
    fn word(&self) -> &'p str {
        let rest = &self.text[self.at..(self.at + 160).min(self.text.len())];
        // A cut in the middle of a character leaves what is before it.
        let rest = match std::str::from_utf8(rest) {
            Ok(rest) => rest,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        let ends = |(at, c): (usize, char)| (at > 0 && !c.is_alphanumeric()).then_some(at);
        let limit = rest.char_indices().nth(40).map_or(rest.len(), |(at, _)| at);
        let end = rest.char_indices().find_map(ends).unwrap_or(rest.len());
        let first = rest.chars().next();
        let end = if first.is_some_and(char::is_alphanumeric) { end } else { first.map_or(0, char::len_utf8) };
        &rest[..end.min(limit)]
    }

    fn end(&mut self) -> Parsed {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    pub(super) fn literal(&mut self, word: &str) -> Parsed {
        self.skip_space();
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected(&format!("`{word}`")))
    }

    /// The number at this place, as text.
    #[inline]
    pub(super) fn number(&mut self) -> Parsed<&'p [u8]> {
        self.skip_space();
        let rest = &self.text[self.at..];
        match number::scan_number(rest) {
            Some(len) => {
                self.at += len;
                Ok(&rest[..len])
            }
            None => Err(self.expected("a number")),
        }
    }

    /// A string, with its escapes resolved.
    #[inline]
    pub(super) fn string(&mut self) -> Parsed<Cow<'p, str>> {
        let plain = self.plain_string()?;
        match plain {
            // The whole text was checked to be UTF-8, and quotes are ASCII.
            Some(bytes) => Ok(String::from_utf8_lossy(bytes)),
            None => {
                let mut text = Vec::new();
                self.escaped_string(&mut text)?;
                Ok(Cow::Owned(String::from_utf8(text).map_err(|_| self.error("the string is not UTF-8"))?))
            }
        }
    }

    /// A string as its bytes, with its escapes resolved.
    #[inline]
    pub(super) fn string_bytes(&mut self) -> Parsed<Cow<'p, [u8]>> {
        if let Some(bytes) = self.plain_string()? {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut text = Vec::new();
        self.escaped_string(&mut text)?;
        Ok(Cow::Owned(text))
    }

    /// A string without escapes; `None`, and not moved, if it has some.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn plain_string(&mut self) -> Parsed<Option<&'p [u8]>> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        let rest = &self.text[self.at + 1..];
        let len = raw::plain_run(rest);
        match rest.get(len) {
            Some(b'"') => {
                self.at += len + 2;
                Ok(Some(&rest[..len]))
            }
            Some(b'\\') => Ok(None),
            Some(_) => Err(ParseError::new("a control character in a string; write it as \\u00XX", self.at + 1 + len)),
            None => Err(ParseError::new("the string does not end", self.at)),
        }
    }

    /// A string without escapes whose opening quote is before `at`, and where it
    /// ends; `None` for any other.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn plain_from(&self, at: usize) -> Option<(&'p [u8], usize)> {
        let rest = &self.text[at..];
        let len = raw::plain_run(rest);
        (rest.get(len) == Some(&b'"')).then(|| (&rest[..len], at + len + 1))
    }

    /// Writes a string field.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put_text(&mut self, field: &Field, text: &[u8]) {
        self.tag(field);
        put_varint(self.out, text.len() as u64);
        raw::put_short(self.out, text);
    }

    /// Appends a string that has escapes to `out`.
    fn escaped_string(&mut self, out: &mut Vec<u8>) -> Parsed {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let len = raw::plain_run(rest);
            out.extend_from_slice(&rest[..len]);
            self.at += len;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.error("a control character in a string; write it as \\u00XX")),
                None => return Err(ParseError::new("the string does not end", start)),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let c = match self.text.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit(self.at)?;
                self.at += 6;
                return match unit {
                    0xd800..0xdc00 => {
                        let low = match self.unit(self.at) {
                            Ok(low @ 0xdc00..0xe000) => low,
                            _ => return Err(self.error("half of a surrogate pair")),
                        };
                        self.at += 6;
                        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(code).ok_or_else(|| self.error("not a character"))
                    }
                    _ => char::from_u32(unit).ok_or_else(|| self.error("half of a surrogate pair")),
                };
            }
            _ => return Err(self.error("an escape that JSON does not have")),
        };
        self.at += 2;
        Ok(c)
    }

    /// The UTF-16 code unit that `\uXXXX` at `at` gives.
    fn unit(&self, at: usize) -> Parsed<u32> {
        let escape = self.text.get(at..at + 6).and_then(|escape| escape.strip_prefix(b"\\u"));
        let digits = escape.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| ParseError::new("expected four hexadecimal digits after \\u", at))
    }

    /// Calls `member` with each key of an object, at its value.
    ///
    /// The key is resolved; whether it is a duplicate is the caller's business.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &[u8], usize) -> Parsed) -> Parsed {
        if !self.eat(b'{') {
            return Err(self.expected("an object"));
        }
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in quotes"));
            }
            let key_at = self.at;
            match self.plain_string()? {
                Some(key) => {
                    self.colon()?;
                    member(self, key, key_at)?;
                }
                None => {
                    let mut key = Vec::new();
                    self.escaped_string(&mut key)?;
                    self.colon()?;
                    member(self, &key, key_at)?;
                }
            }
            if self.eat(b',') {
                continue;
            }
            if self.eat(b'}') {
                return Ok(());
            }
            return Err(self.expected("`,` or `}`"));
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn colon(&mut self) -> Parsed {
        if self.eat(b':') { Ok(()) } else { Err(self.expected("`:`")) }
    }

    /// Calls `element` at each element of a list.
    pub(super) fn list(&mut self, mut element: impl FnMut(&mut Self, usize) -> Parsed) -> Parsed {
        if !self.eat(b'[') {
            return Err(self.expected("a list"));
        }
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0.. {
            element(self, index).map_err(|error| error.within(&format!("[{index}]")))?;
            if self.eat(b',') {
                continue;
            }
            if self.eat(b']') {
                break;
            }
            return Err(self.expected("`,` or `]`"));
        }
        Ok(())
    }

    /// Reads a message, as its wire bytes without a tag.
    pub(super) fn message(&mut self, message: &MessageType, depth: u32) -> Parsed {
        if depth == 0 {
            return Err(self.error("the text nests deeper than 100 levels"));
        }
        if !matches!(message.shape, JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet) {
            return read_well_known::read(self, message, depth);
        }
        self.members(message, depth, None)
    }

    /// Reads the members of an object as fields of a message, but for the `@type`
    /// of an Any, whose value is at `type_at`.
    pub(super) fn members(&mut self, message: &MessageType, depth: u32, type_at: Option<usize>) -> Parsed {
        if !self.eat(b'{') {
            return Err(self.expected("an object"));
        }
        self.members_after_brace(message, depth, type_at)
    }

    fn members_after_brace(&mut self, message: &MessageType, depth: u32, type_at: Option<usize>) -> Parsed {
        if self.eat(b'}') {
            return Ok(());
        }
        let mut seen = Seen::new();
        // Whoever writes JSON writes the fields in their order, mostly: what
        // follows is compared with the next fields' keys before it is looked up.
        let mut next = 0;
        // Where the member begins: at the comma before it, for which the first
        // has the brace.
        let mut member_at = self.at - 1;
        let mut brace = true;
        loop {
            let mut expected = self.expected_field(message, next, member_at, brace);
            if expected.is_none() {
                if !brace && !self.next_member()? {
                    return Ok(());
                }
                self.skip_space();
                expected = self.expected_field(message, next, self.at - 1, true);
            }
            let (index, begun, at) = match expected {
                Some(found) => found,
                None => match self.look_up_field(message, depth, type_at)? {
                    Some((index, begun)) => (index, begun, self.at),
                    None => {
                        (member_at, brace) = (self.at, false);
                        continue;
                    }
                },
            };
            let field = &message.fields[index];
            next = index + 1;
            if !seen.insert(index) {
                return Err(self.at_key(member_at, |key| format!("the field `{key}` comes twice")));
            }
            // A null sets no member of a oneof; but it is a value in two types.
            if field.oneof != NO_ONEOF && (begun || self.peek() != Some(b'n') || self.takes_null(field)) {
                let slot = message.fields.len() + usize::from(field.oneof);
                if !seen.insert(slot) {
                    let problem = |key: &str| format!("`{key}` and another member of its oneof are both set");
                    return Err(self.at_key(member_at, problem));
                }
            }
            let read = if begun {
                self.common_value(field, at, depth)
            } else if message.shape == JsonMapping::MessageSet {
                self.set_item(field, depth).map(|()| self.at)
            } else {
                self.value(field, depth).map(|()| self.at)
            };
            match read {
                Ok(at) => (member_at, brace) = (at, false),
                Err(error) => return Err(self.in_member(error, member_at)),
            }
        }
    }

    /// Passes a comma (any character, for `brace`) and the key of one of the next
    /// fields, if that is what the text has at `at`; where the value begins as most
    /// do, that, too (`true`). Gives the field's index, that, and the place behind.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn expected_field(
        &mut self,
        message: &MessageType,
        next: usize,
        at: usize,
        brace: bool,
    ) -> Option<(usize, bool, usize)> {
        let text = self.text.get(at..)?;
        let ahead = message.heads(next)?;
        let (long, short) = heads_of(*text.get(1..)?.first_chunk()?);
        let mut skipped = 0;
        // By branches, which the processor foresees: a number that it must wait for
        // would hold up all that follows.
        loop {
            let head = *ahead.get(skipped)?;
            if head == long || head == short {
                break;
            }
            skipped += 1;
            if skipped == FEW {
                return None;
            }
        }
        let (index, field) = (next + skipped, message.fields.get(next + skipped)?);
        let block = field.json_key.block()?;
        let same = raw::same(text, block.bytes(), u32::from(brace));
        if same < block.len() {
            return None;
        }
        if block.full_len() == 0 {
            return Some((index, self.long_key(field, at + block.len()), self.at));
        }
        if field.common != Common::No && same >= block.full_len() {
            self.at = at + block.full_len();
            return Some((index, true, at + block.full_len()));
        }
        self.at = at + block.len();
        Some((index, false, self.at))
    }

    /// Passes a key that leaves its value's beginning no room in the block, and
    /// ends at `end`; and the beginning.
    #[inline(never)]
    fn long_key(&mut self, field: &Field, end: usize) -> bool {
        let begin = field.common.begin().as_bytes();
        let begun = field.common != Common::No && self.text[end..].starts_with(begin);
        self.at = end + if begun { begin.len() } else { 0 };
        begun
    }

    /// The index of the field whose key is at this place, passed with its colon
    /// and the beginning of its value, as in [`Parser::expected_field`]. `None`
    /// if the member is none of the message and was passed over whole.
    #[inline(never)]
    fn look_up_field(
        &mut self,
        message: &MessageType,
        depth: u32,
        type_at: Option<usize>,
    ) -> Parsed<Option<(usize, bool)>> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let key_at = self.at;
        self.at += 1;
        let escaped;
        let key = match self.plain_from(self.at) {
            Some((key, end)) => {
                self.at = end;
                key
            }
            None => {
                self.at = key_at;
                escaped = self.string_bytes()?;
                &escaped
            }
        };
        self.colon()?;
        match message.field_named(key) {
            Some((index, field)) => {
                let begun = match field.common {
                    Common::No => false,
                    Common::Bool => self.peek() == Some(b't') && self.literal("true").is_ok(),
                    Common::Message => self.eat(b'{'),
                    Common::Text | Common::Enum | Common::Timestamp => self.eat(b'"'),
                };
                Ok(Some((index, begun)))
            }
            None => {
                if let (Some(type_at), b"@type") = (type_at, key) {
                    return self.any_type(type_at, key_at, depth).map(|()| None);
                }
                self.unknown(key, key_at, depth).map(|()| None)
            }
        }
    }

    /// Passes over the `@type` of an Any, which was read at `type_at`.
    pub(super) fn any_type(&mut self, type_at: usize, key_at: usize, depth: u32) -> Parsed {
        if self.at != type_at {
            return Err(ParseError::new("`@type` comes twice", key_at));
        }
        self.skip(depth)
    }

    /// Moves to the next member; `false` at the end of the object.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_member(&mut self) -> Parsed<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected("`,` or `}`")),
        }
    }

    /// The rest of a value whose beginning [`Parser::expected_field`] passed, up to
    /// `at`, which is the parser's own place; where it ends.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn common_value(&mut self, field: &Field, at: usize, depth: u32) -> Parsed<usize> {
        debug_assert_eq!(at, self.at);
        match field.common {
            Common::Bool => {
                raw::put_tag_and_byte(self.out, field.encoded, 1);
                return Ok(at);
            }
            Common::Text => {
                let rest = &self.text[at..];
                let len = raw::plain_run(rest);
                if len < 0x80 && rest.get(len) == Some(&b'"') {
                    if field.presence || len != 0 {
                        raw::put_tagged(self.out, field.encoded, rest, len);
                    }
                    // Not by way of memory: where the next member begins is what all
                    // else waits for.
                    self.at = at + len + 1;
                    return Ok(at + len + 1);
                }
                self.at = at - 1;
                self.text(field, field.presence)?;
            }
            Common::Enum => {
                let name = self.plain_from(at);
                let number = name.and_then(|(name, end)| Some((self.tables.enum_of(field).number(name)?, end)));
                match number {
                    Some((number, end)) => {
                        if (1..0x80).contains(&number) {
                            raw::put_tag_and_byte(self.out, field.encoded, number as u8);
                        } else if field.presence || number != 0 {
                            self.tag(field);
                            put_varint(self.out, i64::from(number) as u64);
                        }
                        self.at = end;
                        return Ok(end);
                    }
                    None => {
                        self.at = at - 1;
                        self.single(field, depth, field.presence)?;
                    }
                }
            }
            Common::Timestamp => {
                let text = self.plain_from(at);
                let time = text.and_then(|(text, end)| Some((time::parse_timestamp(text)?, end)));
                match time {
                    Some(((seconds, nanos), end)) if depth > 1 => {
                        raw::put_tag_and_byte(self.out, field.encoded, 0);
                        let start = self.out.len();
                        if seconds != 0 {
                            wire::put_uint(self.out, 1, seconds as u64);
                        }
                        if nanos != 0 {
                            wire::put_uint(self.out, 2, nanos as u64);
                        }
                        let len = self.out.len() - start;
                        self.out[start - 1] = len as u8;
                        self.at = end;
                        return Ok(end);
                    }
                    _ => {
                        self.at = at - 1;
                        self.single(field, depth, true)?;
                    }
                }
            }
            Common::Message => {
                if depth <= 1 {
                    return Err(self.error("the text nests deeper than 100 levels"));
                }
                raw::put_tag_and_byte(self.out, field.encoded, 0);
                let start = self.out.len();
                self.members_after_brace(self.tables.message_of(field), depth - 1, None)?;
                self.put_length(start);
            }
            Common::No => {}
        }
        Ok(self.at)
    }

    /// The key of the member that begins at a place that was passed, and where
    /// it is.
    fn key_at(&mut self, member_at: usize) -> (usize, String) {
        let rest = &self.text[member_at..];
        let key_at = member_at + memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let here = std::mem::replace(&mut self.at, key_at);
        let key = self.string().map_or_else(|_| String::new(), Cow::into_owned);
        self.at = here;
        (key_at, key)
    }

    /// An error about a member, at its key.
    #[cold]
    fn at_key(&mut self, member_at: usize, problem: impl FnOnce(&str) -> String) -> ParseError {
        let (at, key) = self.key_at(member_at);
        ParseError::new(problem(&key), at)
    }

    /// The error of a member's value, with the key in its path.
    #[cold]
    fn in_member(&mut self, error: ParseError, member_at: usize) -> ParseError {
        error.within(&self.key_at(member_at).1)
    }

    #[cold]
    fn unknown(&mut self, key: &[u8], key_at: usize, depth: u32) -> Parsed {
        let name = String::from_utf8_lossy(key).into_owned();
        if !self.options.ignore_unknown {
            return Err(ParseError::new("unknown field", key_at).within(&name));
        }
        self.skip(depth).map_err(|error| error.within(&name))
    }

    /// An extension in a MessageSet: a group `Item` with its number and its
    /// message.
    fn set_item(&mut self, field: &Field, depth: u32) -> Parsed {
        if self.peek() == Some(b'n') {
            return self.literal("null");
        }
        self.out.push(1 << 3 | wire::START);
        wire::put_uint(self.out, 2, u64::from(field.number));
        self.out.push(3 << 3 | wire::LEN);
        self.sized(|parser| parser.message(parser.tables.message_of(field), depth - 1))?;
        self.out.push(1 << 3 | wire::END);
        Ok(())
    }

    /// Whether `null` is a value of the field, not its absence.
    fn takes_null(&self, field: &Field) -> bool {
        match field.kind {
            Kind::Message => self.tables.message_of(field).shape == JsonMapping::Value,
            Kind::Enum => self.tables.enum_of(field).null,
            _ => false,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn tag(&mut self, field: &Field) {
        raw::put_tag(self.out, field.encoded);
    }

    /// Writes a length in front of what `content` writes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn sized(&mut self, content: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.out.push(0);
        let start = self.out.len();
        content(self)?;
        self.put_length(start);
        Ok(())
    }

    /// Puts the length of what was written from `start` on into the byte before
    /// it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put_length(&mut self, start: usize) {
        let len = self.out.len() - start;
        if len < 0x80 {
            self.out[start - 1] = len as u8;
        } else {
            self.put_long_length(start, len);
        }
    }

    // Most messages are short; the others make room for a longer length now
    // that it is known.
    #[inline(never)]
    fn put_long_length(&mut self, start: usize, len: usize) {
        let mut bytes = [0; 10];
        let mut count = 0;
        let mut rest = len;
        while rest >= 0x80 {
            bytes[count] = rest as u8 | 0x80;
            rest >>= 7;
            count += 1;
        }
        bytes[count] = rest as u8;
        let end = self.out.len();
        self.out.resize(end + count, 0);
        self.out.copy_within(start..end, start + count);
        self.out[start - 1..start + count].copy_from_slice(&bytes[..=count]);
    }

    /// Reads the value of a field, and writes it with its tag.
    #[inline]
    fn value(&mut self, field: &Field, depth: u32) -> Parsed {
        if self.peek() == Some(b'n') && (field.cardinality != Cardinality::Singular || !self.takes_null(field)) {
            return self.literal("null");
        }
        match field.cardinality {
            Cardinality::Singular => self.single(field, depth, field.presence),
            Cardinality::Map => self.map(field, depth),
            Cardinality::Repeated if field.packed => self.packed(field),
            Cardinality::Repeated => self.list(|parser, _| {
                parser.refuse_null(field, "a list")?;
                parser.single(field, depth, true)
            }),
        }
    }

    fn refuse_null(&mut self, field: &Field, container: &str) -> Parsed {
        if self.peek() == Some(b'n') && !self.takes_null(field) {
            return Err(self.error(format!("null in {container}")));
        }
        Ok(())
    }

    fn packed(&mut self, field: &Field) -> Parsed {
        let start = self.out.len();
        self.tag(field);
        let mut elements = false;
        self.sized(|parser| {
            parser.list(|parser, _| {
                parser.refuse_null(field, "a list")?;
                if let Some(bits) = parser.bits(field)? {
                    put_bits(parser.out, field.kind, bits);
                    elements = true;
                }
                Ok(())
            })
        })?;
        if !elements {
            self.out.truncate(start);
        }
        Ok(())
    }

    /// One value with its tag; a default only where `keep_default`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn single(&mut self, field: &Field, depth: u32, keep_default: bool) -> Parsed {
        match field.kind {
            Kind::String => self.text(field, keep_default),
            Kind::Message => {
                self.tag(field);
                self.sized(|parser| parser.message(parser.tables.message_of(field), depth - 1))
            }
            Kind::Group => {
                self.tag(field);
                self.message(self.tables.message_of(field), depth - 1)?;
                put_varint(self.out, u64::from(field.number << 3 | u32::from(wire::END)));
                Ok(())
            }
            Kind::Bytes => {
                let start = self.out.len();
                self.tag(field);
                let tagged = self.out.len();
                self.sized(Self::base64)?;
                if self.out.len() == tagged + 1 && !keep_default {
                    self.out.truncate(start);
                }
                Ok(())
            }
            _ => {
                if let Some(bits) = self.bits(field)?
                    && (keep_default || bits != 0)
                {
                    self.tag(field);
                    put_bits(self.out, field.kind, bits);
                }
                Ok(())
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn text(&mut self, field: &Field, keep_default: bool) -> Parsed {
        match self.plain_string()? {
            Some(text) => {
                if keep_default || !text.is_empty() {
                    self.put_text(field, text);
                }
                Ok(())
            }
            None => {
                self.tag(field);
                self.sized(|parser| {
                    // What has escapes goes through the buffer itself.
                    let mut out = std::mem::take(parser.out);
                    let read = parser.escaped_string(&mut out);
                    *parser.out = out;
                    read
                })
            }
        }
    }

    fn base64(&mut self) -> Parsed {
        use base64::{
            Engine, alphabet,
            engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
        };
        const LOOSE: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        static STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LOOSE);
        static URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LOOSE);
        let at = self.at;
        let text = self.string_bytes()?;
        let engine = if memchr::memchr2(b'-', b'_', &text).is_some() { &URL_SAFE } else { &STANDARD };
        engine.decode_vec(&text, self.out).map_err(|_| ParseError::new("expected base64", at))
    }

    /// The bits of a number, bool or enum as they are on the wire. `None` for
    /// an enum name to be passed over.
    #[inline]
    fn bits(&mut self, field: &Field) -> Parsed<Option<u64>> {
        let quoted = self.peek() == Some(b'"');
        match field.kind {
            Kind::Bool => match self.peek() {
                Some(b't') => self.literal("true").map(|()| Some(1)),
                Some(b'f') => self.literal("false").map(|()| Some(0)),
                _ => Err(self.expected("true or false")),
            },
            Kind::Enum => self.enumeration(field, quoted),
            _ => {
                let at = self.at;
                let string;
                let text = if quoted {
                    string = self.string_bytes()?;
                    &*string
                } else {
                    self.number()?
                };
                match number_bits(field.kind, text, quoted) {
                    Some(bits) => Ok(Some(bits)),
                    None => {
                        self.at = at;
                        Err(self.expected(describe(field.kind)))
                    }
                }
            }
        }
    }

    fn enumeration(&mut self, field: &Field, quoted: bool) -> Parsed<Option<u64>> {
        let kind = self.tables.enum_of(field);
        let at = self.at;
        if kind.null && self.peek() == Some(b'n') {
            return self.literal("null").map(|()| Some(0));
        }
        if !quoted {
            if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
                return Err(self.expected(&format!("a value of {}", kind.name)));
            }
            let text = self.number()?;
            return match number_bits(Kind::Int32, text, false) {
                Some(bits) => Ok(Some(bits)),
                None => {
                    self.at = at;
                    Err(self.expected("an enum number"))
                }
            };
        }
        let name = self.string_bytes()?;
        match kind.number(&name) {
            Some(number) => Ok(Some(i64::from(number) as u64)),
            None if self.options.ignore_unknown => Ok(None),
            None => {
                let name = String::from_utf8_lossy(&name);
                Err(ParseError::new(format!("{} has no value {name:?}", kind.name), at))
            }
        }
    }

    pub(super) fn map(&mut self, field: &Field, depth: u32) -> Parsed {
        let entry = self.tables.message_of(field);
        let (Some(key_field), Some(value_field)) = (entry.field(1), entry.field(2)) else {
            return Err(self.error("a map entry without key and value"));
        };
        if depth <= 1 {
            return Err(self.error("the text nests deeper than 100 levels"));
        }
        let (text_at, out_at) = (self.at, self.out.len());
        // Keys that ascend come once each; others are compared at the end.
        let (mut ascending, mut last, mut last_bits) = (true, None, None);
        self.object(|parser, key, key_at| {
            let start = parser.out.len();
            parser.tag(field);
            let name = || format!("[{:?}]", String::from_utf8_lossy(key));
            let mut skipped = false;
            parser
                .sized(|parser| {
                    match parser.map_key(key_field, key, key_at)? {
                        Some(bits) => {
                            ascending &= last_bits.is_none_or(|last| last < bits as i64);
                            last_bits = Some(bits as i64);
                        }
                        None => {
                            // With escapes, the key is not what the text has.
                            let text = &parser.text[key_at + 1..][..key.len()];
                            ascending &= std::ptr::eq(text, key) && last.is_none_or(|last| last < text);
                            last = Some(text);
                        }
                    }
                    parser.refuse_null(value_field, "a map")?;
                    let before = parser.out.len();
                    parser.single(value_field, depth - 1, true)?;
                    // An unknown enum name that is passed over takes its entry
                    // along.
                    skipped = parser.out.len() == before;
                    Ok(())
                })
                .map_err(|error| error.within(&name()))?;
            if skipped {
                parser.out.truncate(start);
            }
            Ok(())
        })?;
        if !ascending && has_equal_keys(&self.out[out_at..]) {
            return Err(self.equal_keys(key_field, text_at, depth));
        }
        Ok(())
    }

    /// The error of a map that has a key twice, at the second one.
    #[cold]
    fn equal_keys(&mut self, key_field: &Field, text_at: usize, depth: u32) -> ParseError {
        self.at = text_at;
        let mut seen = HashSet::new();
        let read = self.object(|parser, key, key_at| {
            let start = parser.out.len();
            parser.map_key(key_field, key, key_at)?;
            if !seen.insert(parser.out.split_off(start)) {
                let key = String::from_utf8_lossy(key);
                return Err(ParseError::new(format!("the key {key:?} comes twice"), key_at));
            }
            parser.skip(depth)
        });
        read.err().unwrap_or_else(|| self.error("a key comes twice"))
    }

    /// Writes the key of an entry. Gives the bits of one that is no string.
    fn map_key(&mut self, field: &Field, key: &[u8], key_at: usize) -> Parsed<Option<u64>> {
        self.tag(field);
        match field.kind {
            Kind::String => {
                put_varint(self.out, key.len() as u64);
                self.out.extend_from_slice(key);
                Ok(None)
            }
            _ => {
                let bits = match (field.kind, key) {
                    (Kind::Bool, b"true") => Some(1),
                    (Kind::Bool, b"false") => Some(0),
                    (Kind::Bool, _) => None,
                    _ => number_bits(field.kind, key, true),
                };
                let what = if field.kind == Kind::Bool { "a bool" } else { describe(field.kind) };
                let bits = bits.ok_or_else(|| ParseError::new(format!("expected {what} as a map key"), key_at))?;
                put_bits(self.out, field.kind, bits);
                Ok(Some(bits))
            }
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, depth: u32) -> Parsed {
        if depth == 0 {
            return Err(self.error("the text nests deeper than 100 levels"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                let start = self.at;
                self.object(|parser, key, _| {
                    let at = parser.at;
                    if key == b"@type"
                        && let Some(types) = &mut parser.types
                    {
                        types.entry(start).or_insert(at);
                    }
                    parser.skip(depth - 1)
                })
            }
            Some(b'[') => self.list(|parser, _| parser.skip(depth - 1)),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// The `@type` of the object at this place, and where its value is; without
    /// moving. The first of them, if there are more.
    pub(super) fn type_url(&mut self, depth: u32) -> Parsed<Option<(Cow<'p, str>, usize)>> {
        if self.peek() != Some(b'{') {
            return Err(self.expected("an object"));
        }
        let start = self.at;
        let known = match &self.types {
            Some(types) => types.get(&start).copied(),
            None => None,
        };
        let at = match known {
            Some(at) => Some(at),
            None => match self.first_key_is_type() {
                Some(at) => Some(at),
                None => {
                    self.at = start;
                    self.types.get_or_insert_default();
                    self.skip(depth)?;
                    self.types.as_ref().and_then(|types| types.get(&start).copied())
                }
            },
        };
        let url = match at {
            Some(at) => {
                self.at = at;
                Some((self.string()?, at))
            }
            None => None,
        };
        self.at = start;
        Ok(url)
    }

    /// Where the value of `@type` is, if that comes first.
    fn first_key_is_type(&mut self) -> Option<usize> {
        self.at += 1;
        let found = matches!(self.plain_or_none(), Some(b"@type")) && self.eat(b':');
        found.then_some(self.at)
    }

    fn plain_or_none(&mut self) -> Option<&'p [u8]> {
        if self.peek() == Some(b'"') { self.plain_string().ok().flatten() } else { None }
    }

    pub(super) fn position(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// The value of a wrapper message: that of its one field.
    pub(super) fn wrapped(&mut self, field: &Field, depth: u32) -> Parsed {
        self.single(field, depth, false)
    }

    /// Whether the object at this place has no members; moves past it if so.
    pub(super) fn empty_object(&mut self) -> bool {
        let start = self.at;
        if self.eat(b'{') && self.eat(b'}') {
            return true;
        }
        self.at = start;
        false
    }

    /// Calls `member` with each key of an object, at its value.
    pub(super) fn each_member(&mut self, member: impl FnMut(&mut Self, &[u8], usize) -> Parsed) -> Parsed {
        self.object(member)
    }
}

/// Whether the entries of a map, as they were just written, have a key twice.
///
/// Go and Python refuse such maps; on the wire, where the last of them holds, they
/// are allowed.
#[inline(never)]
fn has_equal_keys(entries: &[u8]) -> bool {
    /// The first field of the next entry.
    fn next<'a>(entries: &mut Reader<'a>) -> Option<&'a [u8]> {
        let entry = entries.field().ok()??.1.bytes();
        let mut reader = Reader::new(entry);
        reader.field().ok()??;
        Some(&entry[..entry.len() - reader.rest().len()])
    }
    let mut reader = Reader::new(entries);
    let mut keys: Vec<&[u8]> = std::iter::from_fn(|| next(&mut reader)).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// What a field of that kind takes.
fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "an integer of 32 bits",
        Kind::Uint32 | Kind::Fixed32 => "a non-negative integer of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "an integer of 64 bits",
        Kind::Uint64 | Kind::Fixed64 => "a non-negative integer of 64 bits",
        Kind::Float => "a number within the range of a float",
        _ => "a number within the range of a double",
    }
}

/// The bits of a number as they are on the wire; `None` if the text is no such
/// number or out of range.
fn number_bits(kind: Kind, text: &[u8], quoted: bool) -> Option<u64> {
    match kind {
        Kind::Double => return number::parse_double(text, quoted).map(f64::to_bits),
        Kind::Float => return number::parse_float(text, quoted).map(|value| u64::from(value.to_bits())),
        _ => {}
    }
    let value = match text {
        // Up to nine digits fit into anything.
        [b'1'..=b'9', rest @ ..] if rest.len() < 9 && rest.iter().all(u8::is_ascii_digit) => {
            text.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'))
        }
        _ => number::parse_integer(text)?,
    };
    match kind {
        Kind::Int32 | Kind::Sfixed32 => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
        Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
        Kind::Sint32 => i32::try_from(value).ok().map(|value| zigzag(i64::from(value))),
        Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
        Kind::Uint64 | Kind::Fixed64 => u64::try_from(value).ok(),
        Kind::Sint64 => i64::try_from(value).ok().map(zigzag),
        _ => None,
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn put_bits(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    match kind.wire_type() {
        wire::FIXED32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        wire::FIXED64 => out.extend_from_slice(&bits.to_le_bytes()),
        _ => put_varint(out, bits),
    }
}
