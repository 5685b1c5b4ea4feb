//! Writes what is in order, straight from the encoded fields.

use crate::{
    Cardinality, Defaults, JsonMapping, Kind, WriteError, WriteOptions, buf, map,
    plan::{FastPath, FieldPlan, MAX_FLAGS, MessagePlan, Plan},
    scalar,
    wire::{Payload, Reader, WireError},
    write::{Failure, Output, Writer},
    write_well_known,
};

/// The message must be merged: it is not in the order of its field numbers, a field comes
/// again, or it has an error, which a later occurrence of a field may mend.
pub(crate) struct OutOfOrder;

impl Failure for OutOfOrder {
    fn within(self, _: &str) -> Self {
        self
    }
}

impl From<WireError> for OutOfOrder {
    fn from(_: WireError) -> Self {
        Self
    }
}

impl From<WriteError> for OutOfOrder {
    fn from(_: WriteError) -> Self {
        Self
    }
}

type InOrder<T = ()> = Result<T, OutOfOrder>;

/// Messages are written by recursion. Without an optimiser each function that is inlined
/// adds its variables to the frame of every level, and 100 levels must fit into a thread's
/// stack: so what is on the way down is inlined only in optimised builds.
pub(crate) struct Stream<'w>(Output<'w>);

impl<'w> Writer<'w> for Stream<'w> {
    type Error = OutOfOrder;

    fn output(&mut self) -> &mut Output<'w> {
        &mut self.0
    }

    fn fields(&mut self, message: &MessagePlan, pieces: &[&[u8]], depth: u32) -> InOrder {
        match pieces {
            [piece] if message.mapping != JsonMapping::MessageSet => self.piece(message, piece, depth),
            _ => Err(OutOfOrder),
        }
    }
}

impl<'w> Stream<'w> {
    /// Whether the options can be followed: defaults belong between the other fields, which
    /// takes the merged form, the names must be the JSON names, and all fields be written.
    pub(crate) fn can(options: &WriteOptions) -> bool {
        options.defaults == Defaults::Omit && !options.proto_field_names && options.fields.is_none()
    }

    pub(crate) fn new(plan: &'w Plan, options: &'w WriteOptions, out: &'w mut Vec<u8>) -> Self {
        Self(Output { plan, options, out })
    }

    fn piece(&mut self, message: &MessagePlan, wire: &[u8], depth: u32) -> InOrder {
        let mut reader = Reader::new(wire);
        // The fields that may still come.
        let mut ahead = message.fields.as_slice();
        let mut oneofs = 0_u64;
        while !reader.is_empty() {
            // The most common of all: the next field, and it is `true`.
            if let Some((field, rest)) = ahead.split_first()
                && reader.eat_two(field.true_bytes)
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
            if let Some(oneof) = field.oneof {
                let bit = 1_u64.checked_shl(u32::from(oneof)).ok_or(OutOfOrder)?;
                if oneofs & bit != 0 {
                    return Err(OutOfOrder);
                }
                oneofs |= bit;
            }
            match field.fast_path {
                FastPath::Bool => self.boolean(field, &mut reader)?,
                FastPath::String => self.text(field, &mut reader)?,
                FastPath::Enum => self.enumeration(field, &mut reader)?,
                FastPath::Message => self.submessage(field, reader.len_delimited()?, depth)?,
                FastPath::Timestamp => self.timestamp(field, reader.len_delimited()?, depth)?,
                FastPath::None => reader = self.other(field, reader, tag, depth)?,
            }
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn key(&mut self, field: &FieldPlan) {
        match field.json_key.block() {
            Some(block) => buf::put_key(self.0.out, block),
            None => self.0.out.extend_from_slice(field.json_key.as_bytes()),
        }
    }

    /// Writes a key and the start of its value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn key_and(&mut self, field: &FieldPlan, start: &[u8]) {
        match field.json_key.block_with_start() {
            Some(block) => buf::put_key_and_start(self.0.out, block),
            None => {
                self.0.out.extend_from_slice(field.json_key.as_bytes());
                self.0.out.extend_from_slice(start);
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn boolean(&mut self, field: &FieldPlan, reader: &mut Reader<'_>) -> InOrder {
        if reader.varint()? != 0 {
            self.key_and(field, b"true");
        } else if field.presence {
            self.key(field);
            buf::put_word(self.0.out, *b"false\0\0\0", 5);
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn text(&mut self, field: &FieldPlan, reader: &mut Reader<'_>) -> InOrder {
        let text = reader.len_delimited()?;
        if field.presence || !text.is_empty() {
            scalar::put_member(self.0.out, &field.json_key, text)?;
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn enumeration(&mut self, field: &FieldPlan, reader: &mut Reader<'_>) -> InOrder {
        let number = reader.varint()? as i32;
        if !field.presence && number == 0 {
            return Ok(());
        }
        let Output { plan, options, out } = &mut self.0;
        match (field.json_key.block(), plan.enum_of(field).block(number)) {
            (Some(key), Some(value)) if !options.enums_as_integers => buf::put_blocks(out, key, value),
            _ => self.bits(field, number as u64)?,
        }
        Ok(())
    }

    #[inline(never)]
    fn submessage(&mut self, field: &FieldPlan, bytes: &[u8], depth: u32) -> InOrder {
        if depth <= 1 {
            return Err(OutOfOrder);
        }
        self.key(field);
        let start = self.0.out.len();
        let message = self.0.plan.message_of(field);
        if !(message.is_flags && put_flags(self.0.out, message, bytes)) {
            self.piece(message, bytes, depth - 1)?;
        }
        buf::close(self.0.out, start, b'{', b'}');
        Ok(())
    }

    #[inline(never)]
    fn timestamp(&mut self, field: &FieldPlan, bytes: &[u8], depth: u32) -> InOrder {
        if depth <= 1 {
            return Err(OutOfOrder);
        }
        self.key(field);
        Ok(write_well_known::timestamp(self.0.out, &[bytes])?)
    }

    // Takes and returns the reader by value, so that the loop's own can live in registers.
    #[inline(never)]
    fn other<'a>(&mut self, field: &FieldPlan, mut reader: Reader<'a>, tag: u32, depth: u32) -> InOrder<Reader<'a>> {
        match field.cardinality {
            Cardinality::Singular => self.singular(field, &mut reader, tag, depth)?,
            Cardinality::Repeated if field.packed => self.packed(field, reader.len_delimited()?)?,
            Cardinality::Repeated => self.repeated(field, &mut reader, tag, depth)?,
            Cardinality::Map => self.map(field, &mut reader, depth)?,
        }
        Ok(reader)
    }

    #[inline]
    fn singular(&mut self, field: &FieldPlan, reader: &mut Reader<'_>, tag: u32, depth: u32) -> InOrder {
        match field.kind {
            Kind::Message | Kind::Group => {
                let content = reader.payload(tag)?.bytes();
                self.key(field);
                let message = self.0.plan.message_of(field);
                self.message(message, &[content], depth - 1)?;
            }
            Kind::Bytes => {
                let bytes = reader.len_delimited()?;
                if field.presence || !bytes.is_empty() {
                    self.key(field);
                    scalar::put_bytes(self.0.out, bytes);
                }
            }
            Kind::String => self.text(field, reader)?,
            kind => {
                let bits = reader.bits(kind.wire_type())?;
                if field.presence || !scalar::is_default(kind, Payload::Bits(bits)) {
                    self.bits(field, bits)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a number, a bool or an enum with its key.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bits(&mut self, field: &FieldPlan, bits: u64) -> InOrder {
        let start = self.0.out.len();
        self.key(field);
        let Output { plan, options, out } = &mut self.0;
        if !scalar::put_json(out, plan, field, bits, options) {
            // An unknown value of a closed enum sets no member of a oneof either; whether
            // one was set before, only the merged message says.
            if field.oneof.is_some() {
                return Err(OutOfOrder);
            }
            out.truncate(start);
        }
        Ok(())
    }

    fn packed(&mut self, field: &FieldPlan, bytes: &[u8]) -> InOrder {
        let before = self.0.out.len();
        self.key(field);
        let start = self.0.out.len();
        let mut packed = Reader::new(bytes);
        while !packed.is_empty() {
            let bits = packed.bits(field.kind.wire_type())?;
            self.0.bits_element(field, bits);
        }
        self.close_list(before, start);
        Ok(())
    }

    fn repeated(&mut self, field: &FieldPlan, reader: &mut Reader<'_>, tag: u32, depth: u32) -> InOrder {
        let before = self.0.out.len();
        self.key(field);
        let start = self.0.out.len();
        loop {
            match field.kind {
                Kind::String | Kind::Bytes | Kind::Message | Kind::Group => {
                    let content = reader.payload(tag)?.bytes();
                    self.content_element(field, content, depth)?;
                }
                kind => {
                    let bits = reader.bits(kind.wire_type())?;
                    self.0.bits_element(field, bits);
                }
            }
            if !reader.eat(field.tag_bytes()) {
                break;
            }
        }
        self.close_list(before, start);
        Ok(())
    }

    /// Puts the brackets around the elements from `start` on; without any (empty
    /// packed runs, unknown numbers of a closed enum) there is no field, and its
    /// key from `before` on goes again.
    fn close_list(&mut self, before: usize, start: usize) {
        if self.0.out.len() == start {
            self.0.out.truncate(before);
        } else {
            buf::close(self.0.out, start, b'[', b']');
        }
    }

    /// Writes the entries of a map that follow one another.
    fn map(&mut self, field: &FieldPlan, reader: &mut Reader<'_>, depth: u32) -> InOrder {
        let before = self.0.out.len();
        self.key(field);
        let first = reader.len_delimited()?;
        let written = if reader.rest().starts_with(field.tag_bytes()) {
            let mut entries = vec![first];
            while reader.eat(field.tag_bytes()) {
                entries.push(reader.len_delimited()?);
            }
            map::object(self, field, &entries, depth)?
        } else {
            map::object(self, field, &[first], depth)?
        };
        if !written {
            self.0.out.truncate(before);
        }
        Ok(())
    }
}

/// Writes the members of a message of which [`MessagePlan::is_flags`] is true, if all that
/// it has are fields that are `true`, in order. `false`, with nothing written, for any other.
#[cfg_attr(not(debug_assertions), inline(always))]
fn put_flags(out: &mut Vec<u8>, message: &MessagePlan, wire: &[u8]) -> bool {
    let start = out.len();
    let mut rest = wire;
    let mut fields = message.fields.iter();
    let keys = std::iter::from_fn(|| {
        loop {
            let (bytes, after) = rest.split_first_chunk()?;
            let field = fields.next()?;
            if u32::from(u16::from_le_bytes(*bytes)) == field.true_bytes {
                rest = after;
                return field.json_key.block_with_start();
            }
        }
    });
    buf::put_keys_and_starts::<MAX_FLAGS>(out, keys);
    if !rest.is_empty() {
        out.truncate(start);
    }
    rest.is_empty()
}

/// The field of a tag that is not the next one's, and the fields after it.
/// `None` if it is none of the message's.
#[cfg_attr(not(debug_assertions), inline(always))]
fn find(message: &MessagePlan, tag: u32, ahead: usize) -> InOrder<Option<(&FieldPlan, &[FieldPlan])>> {
    let Some(index) = message.index_of(tag >> 3) else { return Ok(None) };
    let (field, after) = (&message.fields[index], &message.fields[index + 1..]);
    if after.len() >= ahead {
        return Err(OutOfOrder);
    }
    if field.tag == tag {
        return Ok(Some((field, after)));
    }
    // A list that is packed where unpacked is declared, or the other way round, is merged.
    // A field of any other wire type is unknown.
    if field.cardinality == Cardinality::Repeated { Err(OutOfOrder) } else { Ok(None) }
}
