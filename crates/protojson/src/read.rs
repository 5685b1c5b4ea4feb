//! JSON to an encoded message.

use std::collections::HashMap;

use crate::{
    JsonMapping, ParseError, ReadOptions, buf,
    descriptor::{Cardinality, Kind},
    lexer::{LIST, Lexer, OBJECT, Parsed},
    plan::{FastPath, FieldPlan, MessagePlan, Plan, fingerprints},
    read_well_known, scalar,
    seen::Seen,
    time,
    wire::{self, put_varint},
};

/// Reads one message; see [`crate::MessageDescriptor::read_json`].
pub(crate) fn read(
    plan: &Plan,
    message: &MessagePlan,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
) -> Result<(), ParseError> {
    whole(plan, json, out, options, |parser| {
        if parser.input.peek() == Some(b'n') && message.mapping != JsonMapping::Value {
            return Err(parser.input.expected("an object"));
        }
        parser.message(message, wire::DEPTH)
    })
}

/// Reads the value of one field, as the bytes of a message in which it is set:
/// what `body` and `response_body` name. `null` leaves it unset.
pub(crate) fn read_field(
    plan: &Plan,
    field: &FieldPlan,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
) -> Result<(), ParseError> {
    whole(plan, json, out, options, |parser| parser.value(field, wire::DEPTH))
        .map_err(|error| error.within(&field.json_name))
}

/// The length below which a text is first looked at for being ASCII alone.
const SHORT: usize = 512;

/// How many of the next fields are tried before a key is looked up.
const FEW: usize = 16;

/// Like `[u8]::is_ascii`, but checks the tail as one overlapping block.
fn is_ascii(text: &[u8]) -> bool {
    match text.last_chunk::<32>() {
        Some(last) => last.is_ascii() && text.as_chunks::<32>().0.as_flattened().is_ascii(),
        None => text.is_ascii(),
    }
}

fn whole(
    plan: &Plan,
    json: &[u8],
    out: &mut Vec<u8>,
    options: &ReadOptions,
    read: impl FnOnce(&mut Parser<'_>) -> Parsed,
) -> Result<(), ParseError> {
    let start = out.len();
    // Below a few hundred bytes the full check costs more than it checks.
    let valid = json.len() < SHORT && is_ascii(json) || simdutf8::basic::from_utf8(json).is_ok();
    let mut parser = Parser { plan, options, input: Lexer::new(json), out, type_places: None };
    let result = if valid {
        read(&mut parser).and_then(|()| parser.input.end())
    } else {
        let at = std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len);
        Err(ParseError::new("the text is not UTF-8", at))
    };
    result.map_err(|error| {
        out.truncate(start);
        error.locate(json)
    })
}

/// Reads values from the input and appends their encoded form to `out`.
///
/// Messages are read by recursion. Without an optimiser each function that is inlined adds
/// its variables to the frame of every level, and 100 levels must fit into a thread's stack:
/// so what is on the way down is inlined only in optimised builds.
pub(crate) struct Parser<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) options: &'p ReadOptions,
    pub(crate) input: Lexer<'p>,
    pub(crate) out: &'p mut Vec<u8>,
    /// Where the `@type` of each object is, by where the object begins: filled
    /// in one pass over the rest of the text when an `Any` is met whose type
    /// does not come first.
    pub(crate) type_places: Option<HashMap<usize, usize>>,
}

/// The field that a key names.
struct Found {
    index: usize,
    /// Whether the usual start of the value was passed as well.
    started: bool,
    /// The place of the value, or behind its start.
    at: usize,
}

impl Parser<'_> {
    /// Calls `element` at each element of a list.
    pub(crate) fn list(&mut self, mut element: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        let mut more = self.input.open(&LIST)?;
        let mut index = 0;
        while more {
            element(self).map_err(|error| error.within(&format!("[{index}]")))?;
            more = self.input.next(&LIST)?;
            index += 1;
        }
        Ok(())
    }

    /// Reads a message, as its encoded form without a tag.
    pub(crate) fn message(&mut self, message: &MessagePlan, depth: u32) -> Parsed {
        if depth == 0 {
            return Err(self.input.too_deep());
        }
        if !message.mapping.is_object() {
            return read_well_known::read(self, message, depth);
        }
        self.members(message, depth, None)
    }

    /// Reads the members of an object as fields of a message, but for the `@type`
    /// of an Any, whose value is at `type_at`.
    pub(crate) fn members(&mut self, message: &MessagePlan, depth: u32, type_at: Option<usize>) -> Parsed {
        if !self.input.eat(b'{') {
            return Err(self.input.expected("an object"));
        }
        self.members_after_brace(message, depth, type_at)
    }

    fn members_after_brace(&mut self, message: &MessagePlan, depth: u32, type_at: Option<usize>) -> Parsed {
        if self.input.eat(b'}') {
            return Ok(());
        }
        let mut seen = Seen::new();
        // Whoever writes JSON writes the fields in their order, mostly: what
        // follows is compared with the next fields' keys before it is looked up.
        let mut next = 0;
        // Offset of the byte before the key: a comma, or the opening brace.
        let mut member_at = self.input.at - 1;
        let mut brace = true;
        loop {
            let mut expected = self.expected_field(message, next, member_at, brace);
            if expected.is_none() {
                if !brace && !self.input.next(&OBJECT)? {
                    return Ok(());
                }
                self.input.skip_space();
                expected = self.expected_field(message, next, self.input.at - 1, true);
            }
            let Found { index, started, at } = match expected {
                Some(found) => found,
                None => match self.look_up_field(message, depth, type_at)? {
                    Some(found) => found,
                    None => {
                        (member_at, brace) = (self.input.at, false);
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
            if let Some(oneof) = field.oneof
                && (started || self.input.peek() != Some(b'n') || self.takes_null(field))
            {
                let slot = message.fields.len() + usize::from(oneof);
                if !seen.insert(slot) {
                    let problem = |key: &str| format!("`{key}` and another member of its oneof are both set");
                    return Err(self.at_key(member_at, problem));
                }
            }
            let read = if started {
                self.started_value(field, at, depth)
            } else if message.mapping == JsonMapping::MessageSet {
                self.set_item(field, depth).map(|()| self.input.at)
            } else {
                self.value(field, depth).map(|()| self.input.at)
            };
            match read {
                Ok(at) => (member_at, brace) = (at, false),
                Err(error) => return Err(self.in_member(error, member_at)),
            }
        }
    }

    /// If the key of one of the next fields is at `at`, behind a comma (any byte, for
    /// `brace`): passes separator and key, and the usual start of the value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn expected_field(&mut self, message: &MessagePlan, next: usize, at: usize, brace: bool) -> Option<Found> {
        let text = self.input.text.get(at..)?;
        let ahead = message.fingerprints(next)?;
        let (long, short) = fingerprints(*text.get(1..)?.first_chunk()?);
        let mut skipped = 0;
        // By branches, which the processor foresees: a number that it must wait for
        // would hold up all that follows.
        loop {
            let fingerprint = *ahead.get(skipped)?;
            if fingerprint == long || fingerprint == short {
                break;
            }
            skipped += 1;
            if skipped == FEW {
                return None;
            }
        }
        let (index, field) = (next + skipped, message.fields.get(next + skipped)?);
        let block = field.json_key.block()?;
        let same = buf::same(text, block.bytes(), u32::from(brace));
        if same < block.len() {
            return None;
        }
        if block.len_with_start() == 0 {
            let started = self.pass_start(field, at + block.len());
            return Some(Found { index, started, at: self.input.at });
        }
        // Two branches here as well, not one offset of two.
        if field.fast_path != FastPath::None && same >= block.len_with_start() {
            let at = at + block.len_with_start();
            self.input.at = at;
            return Some(Found { index, started: true, at });
        }
        let at = at + block.len();
        self.input.at = at;
        Some(Found { index, started: false, at })
    }

    /// Moves to `end`, behind a key that leaves no room in its block for the start of its
    /// value, and past that start. Returns whether it was there.
    #[inline(never)]
    fn pass_start(&mut self, field: &FieldPlan, end: usize) -> bool {
        let start = field.fast_path.value_start().as_bytes();
        let started = field.fast_path != FastPath::None && self.input.text[end..].starts_with(start);
        self.input.at = end + if started { start.len() } else { 0 };
        started
    }

    /// The field whose key is at this place, by its name. `None` if the member is none of
    /// the message's and was passed over.
    #[inline(never)]
    fn look_up_field(&mut self, message: &MessagePlan, depth: u32, type_at: Option<usize>) -> Parsed<Option<Found>> {
        let (key, key_at) = self.input.key()?;
        if let Some(index) = message.index_of_name(&key) {
            let started = match message.fields[index].fast_path {
                FastPath::None => false,
                FastPath::Bool => self.input.peek() == Some(b't') && self.input.literal("true").is_ok(),
                FastPath::Message => self.input.eat(b'{'),
                FastPath::String | FastPath::Enum | FastPath::Timestamp => self.input.eat(b'"'),
            };
            return Ok(Some(Found { index, started, at: self.input.at }));
        }
        match type_at {
            Some(type_at) if *key == *b"@type" => self.pass_type(type_at, key_at, depth)?,
            _ => self.unknown(&key, key_at, depth)?,
        }
        Ok(None)
    }

    #[cold]
    fn unknown(&mut self, key: &[u8], key_at: usize, depth: u32) -> Parsed {
        let name = String::from_utf8_lossy(key);
        if !self.options.ignore_unknown {
            return Err(ParseError::new("unknown field", key_at).within(&name));
        }
        self.input.skip(depth).map_err(|error| error.within(&name))
    }

    /// The rest of a value whose usual start was passed, up to `at`, which is the input's
    /// own place. Returns where the value ends. That is not read again from the input: the
    /// next member depends on it, and a store and a load would be on the critical path.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn started_value(&mut self, field: &FieldPlan, at: usize, depth: u32) -> Parsed<usize> {
        debug_assert_eq!(at, self.input.at);
        match field.fast_path {
            FastPath::Bool => {
                buf::put_tag_and_byte(self.out, field.encoded_tag, 1);
                return Ok(at);
            }
            FastPath::String => {
                let rest = &self.input.text[at..];
                let len = buf::plain_run(rest);
                if len < 0x80 && rest.get(len) == Some(&b'"') {
                    if field.presence || len != 0 {
                        buf::put_tagged(self.out, field.encoded_tag, rest, len);
                    }
                    self.input.at = at + len + 1;
                    return Ok(at + len + 1);
                }
                self.input.at = at - 1;
                self.text(field, field.presence)?;
            }
            FastPath::Enum => return self.started_enum(field, at, depth),
            FastPath::Timestamp => return self.started_timestamp(field, at, depth),
            FastPath::Message => {
                if depth <= 1 {
                    return Err(self.input.too_deep());
                }
                buf::put_tag_and_byte(self.out, field.encoded_tag, 0);
                let start = self.out.len();
                self.members_after_brace(self.plan.message_of(field), depth - 1, None)?;
                self.put_length(start);
            }
            FastPath::None => {}
        }
        Ok(self.input.at)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn started_enum(&mut self, field: &FieldPlan, at: usize, depth: u32) -> Parsed<usize> {
        let name = self.input.plain_from(at);
        let known = name.and_then(|(name, end)| Some((self.plan.enum_of(field).number(name)?, end)));
        let Some((number, end)) = known else {
            self.input.at = at - 1;
            self.single(field, depth, field.presence)?;
            return Ok(self.input.at);
        };
        if (1..0x80).contains(&number) {
            buf::put_tag_and_byte(self.out, field.encoded_tag, number as u8);
        } else if field.presence || number != 0 {
            self.tag(field);
            put_varint(self.out, i64::from(number) as u64);
        }
        self.input.at = end;
        Ok(end)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn started_timestamp(&mut self, field: &FieldPlan, at: usize, depth: u32) -> Parsed<usize> {
        let text = self.input.plain_from(at);
        let time = text.and_then(|(text, end)| Some((time::parse_timestamp(text)?, end)));
        let Some(((seconds, nanos), end)) = time.filter(|_| depth > 1) else {
            self.input.at = at - 1;
            self.single(field, depth, true)?;
            return Ok(self.input.at);
        };
        buf::put_tag_and_byte(self.out, field.encoded_tag, 0);
        let start = self.out.len();
        time::encode(self.out, seconds, nanos);
        self.out[start - 1] = (self.out.len() - start) as u8;
        self.input.at = end;
        Ok(end)
    }

    /// The key of the member that begins at a place that was passed, and where
    /// it is.
    fn key_at(&mut self, member_at: usize) -> (usize, String) {
        let rest = &self.input.text[member_at..];
        let key_at = member_at + memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let here = std::mem::replace(&mut self.input.at, key_at);
        let key = self.input.string().map_or_else(|_| String::new(), |key| key.into_owned());
        self.input.at = here;
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

    /// An extension in a MessageSet: a group `Item` with its number and its
    /// message.
    fn set_item(&mut self, field: &FieldPlan, depth: u32) -> Parsed {
        if self.input.peek() == Some(b'n') {
            return self.input.literal("null");
        }
        self.out.push(1 << 3 | wire::START);
        wire::put_uint(self.out, 2, u64::from(field.number));
        self.out.push(3 << 3 | wire::LEN);
        self.sized(|parser| parser.message(parser.plan.message_of(field), depth - 1))?;
        self.out.push(1 << 3 | wire::END);
        Ok(())
    }

    /// Whether `null` is a value of the field, not its absence.
    fn takes_null(&self, field: &FieldPlan) -> bool {
        match field.kind {
            Kind::Message => self.plan.message_of(field).mapping == JsonMapping::Value,
            Kind::Enum => self.plan.enum_of(field).is_null,
            _ => false,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn tag(&mut self, field: &FieldPlan) {
        buf::put_tag(self.out, field.encoded_tag);
    }

    /// Writes a length in front of what `content` writes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn sized(&mut self, content: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
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
    fn value(&mut self, field: &FieldPlan, depth: u32) -> Parsed {
        let singular = field.cardinality == Cardinality::Singular;
        if self.input.peek() == Some(b'n') && !(singular && self.takes_null(field)) {
            return self.input.literal("null");
        }
        match field.cardinality {
            Cardinality::Singular => self.single(field, depth, field.presence),
            Cardinality::Map => self.map(field, depth),
            Cardinality::Repeated if field.packed => self.packed(field),
            Cardinality::Repeated => self.list(|parser| {
                parser.refuse_null(field, "a list")?;
                parser.single(field, depth, true)
            }),
        }
    }

    pub(crate) fn refuse_null(&mut self, field: &FieldPlan, container: &str) -> Parsed {
        if self.input.peek() == Some(b'n') && !self.takes_null(field) {
            return Err(self.input.error(format!("null in {container}")));
        }
        Ok(())
    }

    fn packed(&mut self, field: &FieldPlan) -> Parsed {
        let start = self.out.len();
        self.tag(field);
        let mut elements = false;
        self.sized(|parser| {
            parser.list(|parser| {
                parser.refuse_null(field, "a list")?;
                if let Some(bits) = parser.bits(field)? {
                    scalar::encode(parser.out, field.kind, bits);
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
    pub(crate) fn single(&mut self, field: &FieldPlan, depth: u32, keep_default: bool) -> Parsed {
        match field.kind {
            Kind::String => self.text(field, keep_default),
            Kind::Message => {
                self.tag(field);
                self.sized(|parser| parser.message(parser.plan.message_of(field), depth - 1))
            }
            Kind::Group => {
                self.tag(field);
                self.message(self.plan.message_of(field), depth - 1)?;
                put_varint(self.out, field.end_tag());
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
                    scalar::encode(self.out, field.kind, bits);
                }
                Ok(())
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn text(&mut self, field: &FieldPlan, keep_default: bool) -> Parsed {
        match self.input.plain_string()? {
            Some(text) => {
                if keep_default || !text.is_empty() {
                    self.tag(field);
                    put_varint(self.out, text.len() as u64);
                    buf::put_short(self.out, text);
                }
                Ok(())
            }
            None => {
                self.tag(field);
                self.sized(|parser| parser.input.escaped_string(parser.out))
            }
        }
    }

    fn base64(&mut self) -> Parsed {
        let at = self.input.at;
        let text = self.input.string_bytes()?;
        scalar::parse_base64(&text, self.out).ok_or_else(|| ParseError::new("expected base64", at))
    }

    /// The bits of a number, bool or enum as they are encoded. `None` for
    /// an enum name to be passed over.
    #[inline]
    fn bits(&mut self, field: &FieldPlan) -> Parsed<Option<u64>> {
        let quoted = self.input.peek() == Some(b'"');
        match field.kind {
            Kind::Bool => match self.input.peek() {
                Some(b't') => self.input.literal("true").map(|()| Some(1)),
                Some(b'f') => self.input.literal("false").map(|()| Some(0)),
                _ => Err(self.input.expected(scalar::describe(Kind::Bool))),
            },
            Kind::Enum => self.enumeration(field, quoted),
            kind if quoted => {
                let at = self.input.at;
                let text = self.input.string_bytes()?;
                self.parsed(kind, &text, true, at)
            }
            kind => {
                let at = self.input.at;
                let text = self.input.number()?;
                self.parsed(kind, text, false, at)
            }
        }
    }

    /// The bits of a number whose text was passed, from `at` on.
    #[inline]
    fn parsed(&mut self, kind: Kind, text: &[u8], quoted: bool, at: usize) -> Parsed<Option<u64>> {
        match scalar::parse(kind, text, quoted) {
            Some(bits) => Ok(Some(bits)),
            None => {
                self.input.at = at;
                Err(self.input.expected(scalar::describe(kind)))
            }
        }
    }

    fn enumeration(&mut self, field: &FieldPlan, quoted: bool) -> Parsed<Option<u64>> {
        let kind = self.plan.enum_of(field);
        let at = self.input.at;
        if kind.is_null && self.input.peek() == Some(b'n') {
            return self.input.literal("null").map(|()| Some(0));
        }
        if !quoted {
            if !matches!(self.input.peek(), Some(b'-' | b'0'..=b'9')) {
                return Err(self.input.expected(&format!("a value of {}", kind.name)));
            }
            let text = self.input.number()?;
            return self.parsed(Kind::Enum, text, false, at);
        }
        let name = self.input.string_bytes()?;
        match kind.number(&name) {
            Some(number) => Ok(Some(i64::from(number) as u64)),
            None if self.options.ignore_unknown => Ok(None),
            None => {
                let name = String::from_utf8_lossy(&name);
                Err(ParseError::new(format!("{} has no value {name:?}", kind.name), at))
            }
        }
    }
}
