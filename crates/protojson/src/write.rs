//! Wire bytes to JSON, streaming.

use super::{WriteError, WriteOptions, exact, indent, raw, scalar, write_well_known};
use crate::descriptor::{Cardinality, Common, Field, JsonMapping, Key, Kind, MessageType, NO_ONEOF, Tables};
use crate::wire::{self, Reader, WireError};

/// Why streaming stopped.
pub(super) enum Stop {
    /// The bytes are in a form that only the exact path writes right.
    Exact,
    Failed(WriteError),
}

impl From<WireError> for Stop {
    #[cold]
    fn from(error: WireError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<WriteError> for Stop {
    #[cold]
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    #[cold]
    pub(super) fn within(self, step: &str) -> Self {
        match self {
            Self::Exact => Self::Exact,
            Self::Failed(error) => Self::Failed(error.within(step)),
        }
    }

    #[cold]
    pub(super) fn within_index(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

pub(super) type Step<T = ()> = Result<T, Stop>;

/// Writes one message; see [`crate::MessageDescriptor::write_json`].
pub(crate) fn write(
    tables: &Tables,
    message: &MessageType,
    wire: &[u8],
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    // The common case, without the ceremony of the others.
    if message.shape == JsonMapping::Plain && options.streams() && options.indent.is_none() {
        let start = out.len();
        let mut writer = Writer { tables, options, out, exact: false };
        if writer.stream(message, wire, wire::DEPTH).is_ok() {
            writer.close(start, b'{', b'}');
            return Ok(());
        }
        out.truncate(start);
        let writer = Writer { tables, options, out, exact: true };
        return exactly(writer, start, |writer| writer.message(message, &[wire], wire::DEPTH));
    }
    both_ways(out, options, |writer| writer.message(message, &[wire], wire::DEPTH), tables)
}

impl WriteOptions {
    /// Whether the streaming path knows how. Default values belong between the
    /// others: that takes the collected form. The names must be the JSON names.
    fn streams(&self) -> bool {
        self.defaults == super::Defaults::Omit && !self.proto_field_names
    }
}

/// Writes the value of one field from the message that `wire` is: what
/// `response_body` and `body` name. `null` for an unset message, the default
/// for anything else that is unset.
pub(crate) fn write_field(
    tables: &Tables,
    message: &MessageType,
    field: &Field,
    wire: &[u8],
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    // The usual body, a message that comes once, streams like any other.
    if field.kind == Kind::Message
        && field.cardinality == Cardinality::Singular
        && field.oneof == NO_ONEOF
        && let Some(content) = only_occurrence(wire, field)
    {
        return write(tables, tables.message_of(field), content, out, options)
            .map_err(|error| error.within(&field.json_name));
    }
    let mut writer = Writer { tables, options, out, exact: true };
    let start = writer.out.len();
    let written = writer.lone_field(message, field, wire);
    let result = settle(written).map_err(|error| error.within(&field.json_name));
    finish(out, start, result, options)
}

/// The content of a message field that the bytes hold exactly once.
fn only_occurrence<'a>(wire: &'a [u8], field: &Field) -> Option<&'a [u8]> {
    let mut reader = Reader::new(wire);
    let mut found = None;
    while let Some((tag, payload)) = reader.field().ok()? {
        if tag == field.tag && found.replace(payload.bytes()).is_some() {
            return None;
        }
    }
    found
}

fn both_ways(
    out: &mut Vec<u8>,
    options: &WriteOptions,
    mut message: impl FnMut(&mut Writer<'_>) -> Step,
    tables: &Tables,
) -> Result<(), WriteError> {
    let start = out.len();
    let exact = !options.streams();
    let mut writer = Writer { tables, options, out, exact };
    let written = message(&mut writer);
    if written.is_err() && !writer.exact {
        writer.out.truncate(start);
        writer.exact = true;
        return exactly(writer, start, message);
    }
    let result = settle(written);
    finish(out, start, result, options)
}

/// Writes by the exact path what could not be streamed: also after an error,
/// since a value that comes again may mend what its first occurrence had.
#[cold]
fn exactly(
    mut writer: Writer<'_>,
    start: usize,
    message: impl FnOnce(&mut Writer<'_>) -> Step,
) -> Result<(), WriteError> {
    let result = settle(message(&mut writer));
    finish(writer.out, start, result, writer.options)
}

fn settle(written: Step) -> Result<(), WriteError> {
    match written {
        Ok(()) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
        // The exact path never asks for itself.
        Err(Stop::Exact) => Err(WriteError::new("the message cannot be put in order")),
    }
}

fn finish(
    out: &mut Vec<u8>,
    start: usize,
    result: Result<(), WriteError>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    match result {
        Ok(()) => {
            if let Some(width) = options.indent {
                let compact = out.split_off(start);
                indent::indent(&compact, usize::from(width), out);
            }
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

pub(super) struct Writer<'w> {
    pub(super) tables: &'w Tables,
    pub(super) options: &'w WriteOptions,
    pub(super) out: &'w mut Vec<u8>,
    /// Whether this is the exact path.
    pub(super) exact: bool,
}

impl<'w> Writer<'w> {
    /// Writes a message that comes in pieces, to be read as one: several
    /// occurrences of a field merge.
    pub(super) fn message(&mut self, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
        if depth == 0 {
            return Err(WireError::Depth.into());
        }
        if !matches!(message.shape, JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet) {
            return write_well_known::write(self, message, pieces, depth);
        }
        let start = self.out.len();
        self.fields(message, pieces, depth)?;
        self.close(start, b'{', b'}');
        Ok(())
    }

    /// Writes the fields of a message, each with a comma in front.
    pub(super) fn fields(&mut self, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
        if self.exact {
            return exact::fields(self, message, pieces, depth);
        }
        if message.shape == JsonMapping::MessageSet {
            return Err(Stop::Exact);
        }
        for piece in pieces {
            self.stream(message, piece, depth)?;
        }
        Ok(())
    }

    /// Puts the brackets around what was written from `start` on: the opening
    /// one takes the place of the first comma.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn close(&mut self, start: usize, open: u8, close: u8) {
        raw::close(self.out, start, open, close);
    }

    /// Puts the brackets around the elements from `start` on; without any (empty
    /// packed runs, unknown numbers of a closed enum) there is no field, and its
    /// key from `before` on goes again.
    pub(super) fn close_list(&mut self, before: usize, start: usize) {
        if self.out.len() == start {
            self.out.truncate(before);
        } else {
            self.close(start, b'[', b']');
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn key(&mut self, field: &Field) {
        let key = self.key_of(field);
        match key.block() {
            Some(block) => raw::put_key(self.out, block),
            None => self.out.extend_from_slice(key.as_bytes()),
        }
    }

    /// Takes the key of the field that was written from `start` on away, if
    /// anything was written.
    pub(super) fn drop_key(&mut self, start: usize, field: &Field) {
        let key = self.key_of(field);
        let end = (start + key.as_bytes().len()).min(self.out.len());
        self.out.drain(start..end);
    }

    fn stream(&mut self, message: &MessageType, wire: &[u8], depth: u32) -> Step {
        let mut reader = Reader::new(wire);
        // The fields that may still come.
        let mut ahead = message.fields.as_slice();
        let mut oneofs = 0_u64;
        while !reader.is_empty() {
            // The commonest of all: the next field, and it is `true`.
            if let Some((field, rest)) = ahead.split_first()
                && reader.eat_two(field.truth)
            {
                ahead = rest;
                self.key_and(field, b"true");
                continue;
            }
            let tag = reader.tag()?;
            let field = match ahead.split_first() {
                Some((field, rest)) if field.tag == tag => {
                    ahead = rest;
                    field
                }
                _ => match find(message, tag, ahead.len())? {
                    Some((field, after)) => {
                        ahead = after;
                        field
                    }
                    None => {
                        reader = reader.after(tag)?;
                        continue;
                    }
                },
            };
            if field.oneof != NO_ONEOF {
                let bit = 1_u64.checked_shl(u32::from(field.oneof)).ok_or(Stop::Exact)?;
                if oneofs & bit != 0 {
                    return Err(Stop::Exact);
                }
                oneofs |= bit;
            }
            let written = match field.common {
                Common::Bool => self.boolean(field, &mut reader),
                Common::Text => self.text(field, &mut reader),
                Common::Enum => self.enumeration(field, &mut reader),
                Common::Message => match reader.len_delimited() {
                    Ok(bytes) => self.submessage(field, bytes, depth),
                    Err(error) => Err(error.into()),
                },
                Common::Timestamp => match reader.len_delimited() {
                    Ok(bytes) => self.timestamp(field, bytes, depth),
                    Err(error) => Err(error.into()),
                },
                Common::No => self.uncommon(field, reader, tag, depth).map(|after| reader = after),
            };
            if let Err(stop) = written {
                return Err(stop.within(&field.json_name));
            }
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn key_of<'f>(&self, field: &'f Field) -> &'f Key {
        if self.exact && self.options.proto_field_names { &field.proto_key } else { &field.json_key }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn json_key(&mut self, field: &Field) {
        match field.json_key.block() {
            Some(block) => raw::put_key(self.out, block),
            None => self.out.extend_from_slice(field.json_key.as_bytes()),
        }
    }

    /// Writes a key and the beginning of the value that stands behind it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn key_and(&mut self, field: &Field, begin: &[u8]) {
        match field.json_key.full_block() {
            Some(block) => raw::put_key_and_value(self.out, block),
            None => {
                self.out.extend_from_slice(field.json_key.as_bytes());
                self.out.extend_from_slice(begin);
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn boolean(&mut self, field: &Field, reader: &mut Reader<'_>) -> Step {
        if reader.varint()? != 0 {
            self.key_and(field, b"true");
        } else if field.presence {
            self.json_key(field);
            raw::put_word(self.out, *b"false\0\0\0", 5);
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn text(&mut self, field: &Field, reader: &mut Reader<'_>) -> Step {
        let text = reader.len_delimited()?;
        if field.presence || !text.is_empty() {
            scalar::put_text_member(self.out, &field.json_key, text)?;
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn enumeration(&mut self, field: &Field, reader: &mut Reader<'_>) -> Step {
        let number = reader.varint()? as i32;
        if !field.presence && number == 0 {
            return Ok(());
        }
        let value = self.tables.enum_of(field).key(number).and_then(Key::block);
        match (field.json_key.block(), value) {
            (Some(key), Some(value)) if !self.options.enums_as_integers => raw::put_blocks(self.out, key, value),
            _ => {
                let start = self.out.len();
                self.json_key(field);
                if !scalar::put_enum(self.out, self.tables, field, number, self.options) {
                    self.out.truncate(start);
                }
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn submessage(&mut self, field: &Field, bytes: &[u8], depth: u32) -> Step {
        if depth <= 1 {
            return Err(WireError::Depth.into());
        }
        self.json_key(field);
        let start = self.out.len();
        let message = self.tables.message_of(field);
        if message.settings && raw::put_settings(self.out, &message.fields, bytes) {
            return Ok(());
        }
        self.stream(message, bytes, depth - 1)?;
        self.close(start, b'{', b'}');
        Ok(())
    }

    #[inline(never)]
    fn timestamp(&mut self, field: &Field, bytes: &[u8], depth: u32) -> Step {
        if depth <= 1 {
            return Err(WireError::Depth.into());
        }
        self.json_key(field);
        write_well_known::timestamp(self, &[bytes])
    }

    // Takes and gives the reader by value, so that the loop's own can live in
    // registers.
    #[inline(never)]
    fn uncommon<'a>(&mut self, field: &Field, mut reader: Reader<'a>, tag: u32, depth: u32) -> Step<Reader<'a>> {
        match field.cardinality {
            Cardinality::Singular => self.singular(field, &mut reader, tag, depth),
            Cardinality::Repeated if field.packed => self.packed(field, &mut reader),
            Cardinality::Repeated => self.repeated(field, &mut reader, tag, depth),
            Cardinality::Map => self.map_run(field, &mut reader, depth),
        }?;
        Ok(reader)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn singular(&mut self, field: &Field, reader: &mut Reader<'_>, tag: u32, depth: u32) -> Step {
        match field.kind {
            Kind::String => {
                let text = reader.len_delimited()?;
                if field.presence || !text.is_empty() {
                    self.key(field);
                    scalar::put_text(self.out, text)?;
                }
            }
            Kind::Message => {
                let bytes = reader.len_delimited()?;
                self.key(field);
                self.message(self.tables.message_of(field), &[bytes], depth - 1)?;
            }
            Kind::Bytes => {
                let bytes = reader.len_delimited()?;
                if field.presence || !bytes.is_empty() {
                    self.key(field);
                    scalar::put_base64(self.out, bytes);
                }
            }
            Kind::Group => {
                let bytes = reader.payload(tag)?.bytes();
                self.key(field);
                self.message(self.tables.message_of(field), &[bytes], depth - 1)?;
            }
            _ => {
                let bits = self.bits(field, reader)?;
                if field.presence || !scalar::is_default(field.kind, bits) {
                    let start = self.out.len();
                    self.key(field);
                    if !scalar::put_bits(self.out, self.tables, field, bits, self.options) {
                        // An unknown value of a closed enum sets no member of a
                        // oneof either; whether one was set before, the exact
                        // path knows.
                        if field.oneof != NO_ONEOF {
                            return Err(Stop::Exact);
                        }
                        self.out.truncate(start);
                    }
                }
            }
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bits(&self, field: &Field, reader: &mut Reader<'_>) -> Result<u64, WireError> {
        match field.kind.wire_type() {
            wire::VARINT => reader.varint(),
            wire::FIXED32 => reader.fixed32().map(u64::from),
            _ => reader.fixed64(),
        }
    }

    fn packed(&mut self, field: &Field, reader: &mut Reader<'_>) -> Step {
        let mut packed = Reader::new(reader.len_delimited()?);
        if packed.is_empty() {
            return Ok(());
        }
        let before = self.out.len();
        self.key(field);
        let start = self.out.len();
        while !packed.is_empty() {
            let bits = self.bits(field, &mut packed)?;
            self.element_bits(field, bits);
        }
        self.close_list(before, start);
        Ok(())
    }

    /// An element of a list, with a comma in front.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn element_bits(&mut self, field: &Field, bits: u64) {
        self.out.push(b',');
        if !scalar::put_bits(self.out, self.tables, field, bits, self.options) {
            self.out.pop();
        }
    }

    fn repeated(&mut self, field: &Field, reader: &mut Reader<'_>, tag: u32, depth: u32) -> Step {
        let before = self.out.len();
        self.key(field);
        let start = self.out.len();
        let mut index = 0;
        loop {
            match field.kind {
                Kind::String | Kind::Bytes | Kind::Message | Kind::Group => {
                    let bytes = reader.payload(tag)?.bytes();
                    self.element_bytes(field, bytes, depth).map_err(|stop| stop.within_index(index))?;
                }
                _ => {
                    let bits = self.bits(field, reader)?;
                    self.element_bits(field, bits);
                }
            }
            index += 1;
            if !reader.eat(field.tag_bytes()) {
                break;
            }
        }
        self.close_list(before, start);
        Ok(())
    }

    /// An element of a list, with a comma in front.
    pub(super) fn element_bytes(&mut self, field: &Field, bytes: &[u8], depth: u32) -> Step {
        self.out.push(b',');
        match field.kind {
            Kind::String => scalar::put_text(self.out, bytes)?,
            Kind::Bytes => scalar::put_base64(self.out, bytes),
            _ => self.message(self.tables.message_of(field), &[bytes], depth - 1)?,
        }
        Ok(())
    }

    /// The entries of a map that follow one another.
    fn map_run(&mut self, field: &Field, reader: &mut Reader<'_>, depth: u32) -> Step {
        let first = reader.len_delimited()?;
        if !reader.rest().starts_with(field.tag_bytes()) {
            return exact::map(self, field, &[first], depth);
        }
        let mut entries = vec![first];
        while reader.eat(field.tag_bytes()) {
            entries.push(reader.len_delimited()?);
        }
        exact::map(self, field, &entries, depth)
    }

    fn lone_field(&mut self, message: &MessageType, field: &Field, wire: &[u8]) -> Step {
        let start = self.out.len();
        exact::one_field(self, message, field, wire)?;
        if self.out.len() > start {
            return Ok(());
        }
        // Unset.
        match field.cardinality {
            Cardinality::Repeated => self.out.extend_from_slice(b"[]"),
            Cardinality::Map => self.out.extend_from_slice(b"{}"),
            Cardinality::Singular => exact::put_default(self, field),
        }
        Ok(())
    }
}

/// The field of a tag that is not the next one's, and the fields after it.
/// `None` if it is none of ours.
#[cfg_attr(not(debug_assertions), inline(always))]
fn find(message: &MessageType, tag: u32, ahead: usize) -> Step<Option<(&Field, &[Field])>> {
    let Some(index) = message.index_of(tag >> 3) else { return Ok(None) };
    let (field, after) = (&message.fields[index], &message.fields[index + 1..]);
    if after.len() >= ahead {
        return Err(Stop::Exact);
    }
    if field.tag == tag {
        return Ok(Some((field, after)));
    }
    // Packed where unpacked is declared, or the other way round: the exact path
    // knows both. Any other type is no field of ours.
    if field.cardinality == Cardinality::Repeated { Err(Stop::Exact) } else { Ok(None) }
}
