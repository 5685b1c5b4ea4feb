//! The entries of a map as an object.

use std::{borrow::Cow, cmp::Ordering};

use crate::{
    Kind, WriteError, buf,
    merged::default_payload,
    plan::{FieldPlan, Plan},
    scalar,
    selector::Place,
    wire::{self, Payload, WireError},
    write::{Output, Writer},
};

/// The entry of a map: its key, and the occurrences of its value.
struct Entry<'a> {
    key: Payload<'a>,
    value: Payload<'a>,
    /// The pieces of a value that is a message.
    pieces: Vec<&'a [u8]>,
}

/// Writes a map's entries as an object: sorted by key, of equal keys the last. Returns
/// whether it has a member.
pub(crate) fn object<'w, W: Writer<'w> + ?Sized>(
    writer: &mut W,
    field: &FieldPlan,
    entries: &[&[u8]],
    depth: u32,
) -> Result<bool, W::Error> {
    let Output { plan, out, .. } = writer.output();
    let (plan, start) = (*plan, out.len());
    let entry = plan.message_of(field);
    let (Some(key), Some(value)) = (entry.field(1), entry.field(2)) else {
        return Err(WriteError::new("a map entry without key and value").into());
    };
    let mut read = Vec::with_capacity(entries.len());
    for bytes in entries {
        read.extend(Entry::read(plan, key, value, bytes)?);
    }
    read.sort_by(|a, b| compare(key.kind, a.key, b.key));
    for (at, entry) in read.iter().enumerate() {
        if read.get(at + 1).is_some_and(|next| compare(key.kind, entry.key, next.key) == Ordering::Equal) {
            continue;
        }
        let Some(level) = writer.enter(|| (key_text(key.kind, entry.key), Place::of_field(plan, value))) else {
            continue;
        };
        let out = &mut *writer.output().out;
        out.push(b',');
        match entry.key {
            Payload::Bytes(text) => scalar::put_string(out, text)?,
            Payload::Bits(bits) => scalar::put_quoted(out, key.kind, bits),
        }
        out.push(b':');
        put_value(writer, value, entry, depth)?;
        writer.leave(level);
    }
    buf::close(writer.output().out, start, b'{', b'}');
    Ok(!read.is_empty())
}

impl<'a> Entry<'a> {
    /// `None` for an entry with an unknown value of a closed enum.
    fn read(plan: &Plan, key: &FieldPlan, value: &FieldPlan, bytes: &'a [u8]) -> Result<Option<Self>, WireError> {
        let mut entry =
            Self { key: default_payload(plan, key), value: default_payload(plan, value), pieces: Vec::new() };
        for field in wire::fields(bytes) {
            let (tag, payload) = field?;
            if tag == key.tag {
                entry.key = payload;
            } else if tag == value.tag {
                if value.is_message() {
                    entry.pieces.push(payload.bytes());
                }
                if value.kind == Kind::Enum && !plan.enum_of(value).has(payload.bits() as i32) {
                    return Ok(None);
                }
                entry.value = payload;
            }
        }
        Ok(Some(entry))
    }
}

/// A key as a selector names it.
fn key_text(kind: Kind, key: Payload<'_>) -> Cow<'_, [u8]> {
    match key {
        Payload::Bytes(text) => Cow::Borrowed(text),
        Payload::Bits(bits) => {
            let mut quoted = Vec::new();
            scalar::put_quoted(&mut quoted, kind, bits);
            quoted.retain(|byte| *byte != b'"');
            Cow::Owned(quoted)
        }
    }
}

fn compare(kind: Kind, a: Payload<'_>, b: Payload<'_>) -> Ordering {
    match (a, b) {
        (Payload::Bytes(a), Payload::Bytes(b)) => a.cmp(b),
        _ => scalar::integer(kind, a.bits()).cmp(&scalar::integer(kind, b.bits())),
    }
}

fn put_value<'w, W: Writer<'w> + ?Sized>(
    writer: &mut W,
    field: &FieldPlan,
    entry: &Entry<'_>,
    depth: u32,
) -> Result<(), W::Error> {
    let Output { plan, options, out } = writer.output();
    match field.kind {
        Kind::String => scalar::put_string(out, entry.value.bytes())?,
        Kind::Bytes => scalar::put_bytes(out, entry.value.bytes()),
        Kind::Message | Kind::Group => {
            let pieces: &[&[u8]] = if entry.pieces.is_empty() { &[&[]] } else { &entry.pieces };
            let message = plan.message_of(field);
            // The entry is a message of its own, one level further down.
            writer.message(message, pieces, depth.saturating_sub(2))?;
        }
        _ => {
            // An entry with an unknown value was not read, and an absent one is known.
            if !scalar::put_json(out, plan, field, entry.value.bits(), options) {
                return Err(WriteError::new("a map's value that its closed enum does not have").into());
            }
        }
    }
    Ok(())
}
