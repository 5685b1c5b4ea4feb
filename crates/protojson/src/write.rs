//! An encoded message to JSON: streamed if it is in order, else merged.

use std::borrow::Cow;

use crate::{
    Cardinality, Kind, WriteError, WriteOptions, indent,
    merge::Merge,
    plan::{FieldPlan, MessagePlan, Plan},
    scalar,
    selector::{Level, Place},
    stream::Stream,
    wire::{self, WireError},
    write_well_known,
};

/// Writes one message; see [`crate::MessageDescriptor::write_json`].
pub(crate) fn write(
    plan: &Plan,
    message: &MessagePlan,
    wire: &[u8],
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    let start = out.len();
    if Stream::can(options) {
        if Stream::new(plan, options, out).message(message, &[wire], wire::DEPTH).is_ok() {
            indent(out, start, options);
            return Ok(());
        }
        out.truncate(start);
    }
    merge(plan, out, options, |writer| writer.message(message, &[wire], wire::DEPTH))
}

/// Writes the value of one field from the message that `wire` is: what
/// `response_body` and `body` name. `null` for an unset message, the default
/// for anything else that is unset.
pub(crate) fn write_field(
    plan: &Plan,
    message: &MessagePlan,
    field: &FieldPlan,
    wire: &[u8],
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    // The usual body, a message that comes once, streams like any other.
    let written = if field.kind == Kind::Message
        && field.cardinality == Cardinality::Singular
        && field.oneof.is_none()
        && let Some(content) = only_occurrence(wire, field)
    {
        write(plan, plan.message_of(field), content, out, options)
    } else {
        merge(plan, out, options, |writer| writer.field(message, field, wire))
    };
    written.map_err(|error| error.within(&field.json_name))
}

/// The content of a message field that the bytes hold exactly once.
fn only_occurrence<'a>(wire: &'a [u8], field: &FieldPlan) -> Option<&'a [u8]> {
    let mut found = None;
    for next in wire::fields(wire) {
        let (tag, payload) = next.ok()?;
        if tag == field.tag && found.replace(payload.bytes()).is_some() {
            return None;
        }
    }
    found
}

#[inline(never)]
fn merge(
    plan: &Plan,
    out: &mut Vec<u8>,
    options: &WriteOptions,
    write: impl FnOnce(&mut Merge<'_>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let start = out.len();
    let written = write(&mut Merge::new(plan, options, out));
    match written {
        Ok(()) => indent(out, start, options),
        Err(_) => out.truncate(start),
    }
    written
}

fn indent(out: &mut Vec<u8>, start: usize, options: &WriteOptions) {
    if let Some(width) = options.indent {
        let compact = out.split_off(start);
        indent::indent(&compact, usize::from(width), out);
    }
}

/// What a writer writes with, and where.
pub(crate) struct Output<'w> {
    pub(crate) plan: &'w Plan,
    pub(crate) options: &'w WriteOptions,
    pub(crate) out: &'w mut Vec<u8>,
}

impl Output<'_> {
    /// Writes an element of a list that is a number, bool or enum, with a comma in front;
    /// nothing for a number that a closed enum does not have.
    #[inline]
    pub(crate) fn bits_element(&mut self, field: &FieldPlan, bits: u64) {
        self.out.push(b',');
        if !scalar::put_json(self.out, self.plan, field, bits, self.options) {
            self.out.pop();
        }
    }
}

/// A writer's error.
pub(crate) trait Failure: From<WireError> + From<WriteError> {
    /// Adds a step in front of the path, if the error has one.
    #[must_use]
    fn within(self, step: &str) -> Self;
}

impl Failure for WriteError {
    fn within(self, step: &str) -> Self {
        self.within(step)
    }
}

/// What the two writers have in common: all but how they find a message's fields.
pub(crate) trait Writer<'w> {
    type Error: Failure;

    fn output(&mut self) -> &mut Output<'w>;

    /// Writes the fields of a message, each with a comma in front.
    fn fields(&mut self, message: &MessagePlan, pieces: &[&[u8]], depth: u32) -> Result<(), Self::Error>;

    /// Goes to a member of an object that is no field: one of a map or of an `Any`, with a
    /// key and a value. `None` if it is not selected. Where all is written, nothing is asked.
    #[inline]
    fn enter<'k>(&mut self, _member: impl FnOnce() -> (Cow<'k, [u8]>, Place)) -> Option<Level> {
        Some(Level::default())
    }

    /// Goes back from that member.
    #[inline]
    fn leave(&mut self, _level: Level) {}

    /// Writes a message that comes in pieces, to be read as one: several occurrences of a
    /// field merge.
    fn message(&mut self, message: &MessagePlan, pieces: &[&[u8]], depth: u32) -> Result<(), Self::Error> {
        if depth == 0 {
            return Err(WireError::Depth.into());
        }
        if !message.mapping.is_object() {
            return write_well_known::write(self, message, pieces, depth);
        }
        let start = self.output().out.len();
        self.fields(message, pieces, depth)?;
        crate::buf::close(self.output().out, start, b'{', b'}');
        Ok(())
    }

    /// Writes an element of a list that is no number, bool or enum, with a comma in front.
    fn content_element(&mut self, field: &FieldPlan, content: &[u8], depth: u32) -> Result<(), Self::Error> {
        let Output { plan, out, .. } = self.output();
        out.push(b',');
        match field.kind {
            Kind::String => scalar::put_string(out, content)?,
            Kind::Bytes => scalar::put_bytes(out, content),
            _ => {
                let message = plan.message_of(field);
                self.message(message, &[content], depth - 1)?;
            }
        }
        Ok(())
    }
}

/// The step of an element in a path.
#[cold]
pub(crate) fn index_step(index: usize) -> String {
    format!("[{index}]")
}
