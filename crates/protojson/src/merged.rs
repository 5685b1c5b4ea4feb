//! The fields of a message as protobuf reads them, for JSON text, paths and queries.
//!
//! A field that comes several times is read by protobuf's rules: elements are added to a
//! list, messages are merged, and the last scalar counts, as does the last member of a
//! oneof. A field with another wire type than its own is unknown, and so is a
//! number that a closed enum does not have.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/#last-one-wins>.

use std::borrow::Cow;

use crate::{
    Base64, Cardinality, DescriptorPool, FieldDescriptor, FieldPath, JsonMapping, Kind, MessageDescriptor, WriteError,
    plan::{FieldPlan, MessagePlan, Plan},
    scalar, text,
    wire::{self, Payload, Reader, WireError},
};

/// One occurrence of a field in an encoded message.
#[derive(Clone, Copy)]
pub(crate) struct Occurrence<'a> {
    /// The index of the field in the message.
    pub(crate) index: u16,
    pub(crate) payload: Payload<'a>,
    /// Tag and payload.
    pub(crate) whole: &'a [u8],
}

/// The fields that a message has, in the order of their numbers.
pub(crate) struct Fields<'a>(Vec<Occurrence<'a>>);

impl<'a> Fields<'a> {
    /// Reads a message that is given in pieces: together they are the encoded message.
    pub(crate) fn read(plan: &Plan, message: &MessagePlan, pieces: &[&'a [u8]]) -> Result<Self, WireError> {
        let mut found = collect(plan, message, pieces)?;
        // A stable sort: occurrences of one field stay in their order.
        found.sort_by_key(|occurrence| occurrence.index);
        Ok(Self(found))
    }

    /// The occurrences of the field with an index in the message; none if it is
    /// not set.
    pub(crate) fn of(&self, index: usize) -> &[Occurrence<'a>] {
        let from = self.0.partition_point(|occurrence| usize::from(occurrence.index) < index);
        let len = self.0[from..].partition_point(|occurrence| usize::from(occurrence.index) == index);
        &self.0[from..from + len]
    }

    /// The fields that are set, each with its occurrences.
    pub(crate) fn set(&self) -> impl Iterator<Item = &[Occurrence<'a>]> {
        self.0.chunk_by(|one, next| one.index == next.index)
    }
}

/// The fields of an encoded message, as protobuf reads them: what comes again is merged,
/// and what is unknown is left out.
pub struct MergedMessage<'a> {
    pool: &'a DescriptorPool,
    message: &'a MessagePlan,
    fields: Fields<'a>,
}

/// A field of a [`MergedMessage`], with all its occurrences.
#[derive(Clone, Copy)]
pub struct MergedField<'m> {
    descriptor: FieldDescriptor<'m>,
    found: &'m [Occurrence<'m>],
}

impl MessageDescriptor {
    /// The fields of an encoded message.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message.
    pub fn merge<'a>(&'a self, message: &'a [u8]) -> Result<MergedMessage<'a>, WriteError> {
        MergedMessage::read(self.pool(), self.plan(), &[message])
    }
}

impl<'a> MergedMessage<'a> {
    fn read(pool: &'a DescriptorPool, message: &'a MessagePlan, pieces: &[&'a [u8]]) -> Result<Self, WriteError> {
        let fields = Fields::read(pool.plan(), message, pieces)?;
        Ok(Self { pool, message, fields })
    }

    /// The fields that are set, in the order of their numbers.
    pub fn fields(&self) -> impl Iterator<Item = MergedField<'_>> {
        self.fields.set().map(|found| self.with(found[0].index, found))
    }

    /// The field with an index among those of the message, set or not.
    ///
    /// # Panics
    ///
    /// If the message does not have so many fields.
    pub fn field(&self, index: u16) -> MergedField<'_> {
        assert!(usize::from(index) < self.message.fields.len(), "the message has no field {index}");
        self.with(index, self.fields.of(usize::from(index)))
    }

    /// The text of the field that a path leads to, of its default where it is not set;
    /// `None` where it has none: a member of a oneof or a message that is not set, or a
    /// number that a closed enum does not have.
    ///
    /// # Errors
    ///
    /// If the bytes are no such message, or the field is one that has no form as text.
    ///
    /// # Panics
    ///
    /// If the path is one of another message.
    pub fn text(&self, path: &FieldPath, base64: Base64) -> Result<Option<Cow<'a, str>>, WriteError> {
        let Some((first, below)) = path.indices().split_first() else { return Ok(None) };
        self.text_at(*first, below, base64)
    }

    fn text_at(&self, first: u16, below: &[u16], base64: Base64) -> Result<Option<Cow<'a, str>>, WriteError> {
        let found = self.fields.of(usize::from(first));
        let field = &self.message.fields[usize::from(first)];
        if let Some((next, below)) = below.split_first() {
            let nested = MergedMessage::read(self.pool, self.pool.plan().message_of(field), &pieces(found));
            let text = nested.and_then(|nested| nested.text_at(*next, below, base64));
            return text.map_err(|error| error.within(&field.json_name));
        }
        if found.is_empty() && field.oneof.is_some() {
            return Ok(None);
        }
        text::singular(self.pool.plan(), field, found, base64).map_err(|error| error.within(&field.json_name))
    }

    fn with<'m>(&'m self, index: u16, found: &'m [Occurrence<'a>]) -> MergedField<'m> {
        MergedField { descriptor: FieldDescriptor::new(self.pool, self.message, index), found }
    }
}

impl<'m> MergedField<'m> {
    /// The field.
    pub fn descriptor(self) -> FieldDescriptor<'m> {
        self.descriptor
    }

    /// Whether it is set.
    pub fn is_set(self) -> bool {
        !self.found.is_empty()
    }

    /// Whether it is set to its kind's default; of several values, the last one counts.
    pub fn is_default(self) -> bool {
        self.found.last().is_some_and(|last| scalar::is_default(self.descriptor.kind(), last.payload))
    }

    /// The encoded occurrences, tags included.
    pub fn encoded(self) -> impl Iterator<Item = &'m [u8]> {
        self.found.iter().map(|occurrence| occurrence.whole)
    }

    /// The content of the message, string or bytes that it holds: that of its occurrences,
    /// one after another.
    pub fn content(self) -> Cow<'m, [u8]> {
        match self.found {
            [only] => Cow::Borrowed(only.payload.bytes()),
            found => Cow::Owned(pieces(found).concat()),
        }
    }

    /// The fields of the message that it holds; `None` for any other kind.
    ///
    /// # Errors
    ///
    /// If its content is no such message.
    pub fn message(self) -> Result<Option<MergedMessage<'m>>, WriteError> {
        let (pool, field) = (self.descriptor.pool(), self.descriptor.plan());
        if !field.is_message() {
            return Ok(None);
        }
        MergedMessage::read(pool, pool.plan().message_of(field), &pieces(self.found)).map(Some)
    }

    /// The text of its value, of its default where it is not set; `None` where it has
    /// none: a message that is not set, or a number that a closed enum does not have.
    ///
    /// # Errors
    ///
    /// If the bytes are no such value, or one without a form as text.
    pub fn text(self, base64: Base64) -> Result<Option<Cow<'m, str>>, WriteError> {
        text::singular(self.descriptor.pool().plan(), self.descriptor.plan(), self.found, base64)
    }

    /// Calls `each` with the text of every value of a repeated field.
    ///
    /// # Errors
    ///
    /// As for [`MergedField::text`].
    pub fn texts(self, base64: Base64, mut each: impl FnMut(&str)) -> Result<(), WriteError> {
        let (plan, field) = (self.descriptor.pool().plan(), self.descriptor.plan());
        elements(field, self.found, |payload| {
            if let Some(text) = text::value(plan, field, payload, base64)? {
                each(&text);
            }
            Ok::<_, WriteError>(())
        })
    }
}

/// The contents of a message field's occurrences: the pieces of that message.
pub(crate) fn pieces<'a>(found: &[Occurrence<'a>]) -> Vec<&'a [u8]> {
    found.iter().map(|occurrence| occurrence.payload.bytes()).collect()
}

/// What a field holds that is not set, if it is no message.
pub(crate) fn default_payload(plan: &Plan, field: &FieldPlan) -> Payload<'static> {
    match field.kind {
        Kind::String | Kind::Bytes | Kind::Message | Kind::Group => Payload::Bytes(&[]),
        Kind::Enum => Payload::Bits(i64::from(plan.enum_of(field).default_number()) as u64),
        _ => Payload::Bits(0),
    }
}

/// Calls `each` with every element of a repeated field, packed or not.
pub(crate) fn elements<'a, E: From<WireError>>(
    field: &FieldPlan,
    found: &[Occurrence<'a>],
    mut each: impl FnMut(Payload<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let natural = field.kind.wire_type();
    for occurrence in found {
        match occurrence.payload {
            Payload::Bytes(packed) if !matches!(natural, wire::LEN | wire::START) => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    each(reader.payload(u32::from(natural))?)?;
                }
            }
            payload => each(payload)?,
        }
    }
    Ok(())
}

fn collect<'a>(plan: &Plan, message: &MessagePlan, pieces: &[&'a [u8]]) -> Result<Vec<Occurrence<'a>>, WireError> {
    let mut found: Vec<Occurrence<'a>> = Vec::new();
    // For each oneof: the member that is set, and from which occurrence on.
    let mut members: Vec<Option<(u16, usize)>> = vec![None; usize::from(message.oneofs)];
    for piece in pieces {
        let mut reader = Reader::new(piece);
        loop {
            let before = reader.rest();
            let Some((tag, payload)) = reader.field()? else { break };
            let whole = &before[..before.len() - reader.rest().len()];
            if message.mapping == JsonMapping::MessageSet && tag == SET_ITEM {
                found.extend(set_item(message, payload.bytes(), whole)?);
                continue;
            }
            let wire_type = (tag & 7) as u8;
            let Some(index) = message.index_of(tag >> 3) else { continue };
            let field = &message.fields[index];
            let natural = field.kind.wire_type();
            let packed = field.cardinality == Cardinality::Repeated
                && wire_type == wire::LEN
                && !matches!(natural, wire::LEN | wire::START);
            if wire_type != natural && !packed {
                continue;
            }
            // An unknown number of a closed enum counts as an unknown field.
            if field.kind == Kind::Enum && !packed && !plan.enum_of(field).has(payload.bits() as i32) {
                continue;
            }
            let index = index as u16;
            if let Some(member) = field.oneof.and_then(|oneof| members.get_mut(usize::from(oneof)))
                && member.is_none_or(|(set, _)| set != index)
            {
                *member = Some((index, found.len()));
            }
            found.push(Occurrence { index, payload, whole });
        }
    }
    if members.iter().any(Option::is_some) {
        let mut at = 0;
        found.retain(|occurrence| {
            let oneof = message.fields[usize::from(occurrence.index)].oneof;
            let member = oneof.and_then(|oneof| members[usize::from(oneof)]);
            let alive = member.is_none_or(|(set, from)| occurrence.index == set && at >= from);
            at += 1;
            alive
        });
    }
    Ok(found)
}

/// The tag of `repeated group Item = 1`, in which a MessageSet keeps its
/// extensions.
const SET_ITEM: u32 = 1 << 3 | wire::START as u32;

/// An item of a MessageSet: the extension's number in field 2, its message in
/// field 3.
fn set_item<'a>(message: &MessagePlan, item: &'a [u8], whole: &'a [u8]) -> Result<Option<Occurrence<'a>>, WireError> {
    let (mut number, mut content) = (0, None);
    for field in wire::fields(item) {
        match field? {
            (tag, Payload::Bits(bits)) if tag >> 3 == 2 => number = bits as u32,
            (tag, Payload::Bytes(bytes)) if tag >> 3 == 3 => content = Some(bytes),
            _ => {}
        }
    }
    let index = message.index_of(number).filter(|index| message.fields[*index].kind == Kind::Message);
    Ok(index.zip(content).map(|(index, bytes)| Occurrence {
        index: index as u16,
        payload: Payload::Bytes(bytes),
        whole,
    }))
}
