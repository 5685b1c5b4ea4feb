//! Wire bytes to JSON where streaming would be wrong: the fields are collected
//! first, then written in the order of their numbers.

use std::cmp::Ordering;

use super::{
    Defaults, WriteError,
    merged::{self, Fields, Occurrence},
    scalar,
    write::{Step, Stop, Writer},
};
use crate::descriptor::{Cardinality, Field, Kind, MessageType, NO_ONEOF, Tables};
use crate::wire::{self, Payload, Reader};

pub(super) fn fields(writer: &mut Writer<'_>, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
    let fields = Fields::read(writer.tables, message, pieces)?;
    if writer.options.defaults == Defaults::Omit {
        for found in fields.set() {
            let field = &message.fields[usize::from(found[0].index)];
            named(writer, field, found, depth)?;
        }
        return Ok(());
    }
    for (index, field) in message.fields.iter().enumerate() {
        let before = writer.out.len();
        named(writer, field, fields.of(index), depth)?;
        if writer.out.len() == before {
            default_field(writer, field);
        }
    }
    Ok(())
}

/// Writes what a field without a value is printed as, if anything.
fn default_field(writer: &mut Writer<'_>, field: &Field) {
    if field.oneof != NO_ONEOF || field.name.starts_with('[') {
        return;
    }
    if field.presence && !(writer.options.defaults == Defaults::Always && field.is_message()) {
        return;
    }
    writer.key(field);
    match field.cardinality {
        Cardinality::Repeated => writer.out.extend_from_slice(b"[]"),
        Cardinality::Map => writer.out.extend_from_slice(b"{}"),
        Cardinality::Singular => put_default(writer, field),
    }
}

/// The default of a singular field; `null` for a message.
pub(super) fn put_default(writer: &mut Writer<'_>, field: &Field) {
    match field.kind {
        Kind::Message | Kind::Group => writer.out.extend_from_slice(b"null"),
        Kind::String | Kind::Bytes => writer.out.extend_from_slice(b"\"\""),
        _ => {
            let bits = merged::default_payload(writer.tables, field).bits();
            // Every enum has its default among its values.
            if !scalar::put_bits(writer.out, writer.tables, field, bits, writer.options) {
                writer.out.push(b'0');
            }
        }
    }
}

/// Writes the value of one field of a message, without its name; nothing if it
/// is not set.
pub(super) fn one_field(writer: &mut Writer<'_>, message: &MessageType, field: &Field, wire: &[u8]) -> Step {
    let Some(index) = message.index_of(field.number) else { return Ok(()) };
    let start = writer.out.len();
    named(writer, field, Fields::read(writer.tables, message, &[wire])?.of(index), wire::DEPTH)?;
    writer.drop_key(start, field);
    Ok(())
}

/// Writes a field with its name, from all its occurrences.
fn named(writer: &mut Writer<'_>, field: &Field, found: &[Occurrence<'_>], depth: u32) -> Step {
    let Some(last) = found.last() else { return Ok(()) };
    let written = match field.cardinality {
        Cardinality::Map => map(writer, field, &merged::pieces(found), depth),
        Cardinality::Repeated => list(writer, field, found, depth),
        Cardinality::Singular if field.is_message() => {
            writer.key(field);
            writer.message(writer.tables.message_of(field), &merged::pieces(found), depth - 1)
        }
        Cardinality::Singular => single(writer, field, last.payload),
    };
    written.map_err(|stop| stop.within(&field.json_name))
}

fn single(writer: &mut Writer<'_>, field: &Field, payload: Payload<'_>) -> Step {
    if !field.presence && merged::is_default(field, payload) {
        return Ok(());
    }
    let start = writer.out.len();
    writer.key(field);
    match (field.kind, payload) {
        (Kind::String, _) => scalar::put_text(writer.out, payload.bytes())?,
        (Kind::Bytes, _) => scalar::put_base64(writer.out, payload.bytes()),
        _ => {
            if !scalar::put_bits(writer.out, writer.tables, field, payload.bits(), writer.options) {
                writer.out.truncate(start);
            }
        }
    }
    Ok(())
}

fn list(writer: &mut Writer<'_>, field: &Field, found: &[Occurrence<'_>], depth: u32) -> Step {
    let before = writer.out.len();
    writer.key(field);
    let start = writer.out.len();
    let mut index = 0;
    merged::elements(field, found, |payload| {
        match payload {
            Payload::Bits(bits) => writer.element_bits(field, bits),
            Payload::Bytes(bytes) => {
                writer.element_bytes(field, bytes, depth).map_err(|stop| stop.within_index(index))?;
            }
        }
        index += 1;
        Ok::<_, Stop>(())
    })?;
    writer.close_list(before, start);
    Ok(())
}

/// The entry of a map: its key, and the occurrences of its value.
struct Entry<'a> {
    key: Payload<'a>,
    value: Payload<'a>,
    pieces: Vec<&'a [u8]>,
}

/// Writes a map with its name; nothing if all its entries are unknown.
pub(super) fn map(writer: &mut Writer<'_>, field: &Field, entries: &[&[u8]], depth: u32) -> Step {
    let before = writer.out.len();
    writer.key(field);
    let start = writer.out.len();
    map_object(writer, field, entries, depth)?;
    if !entries.is_empty() && writer.out.len() == start + 2 {
        writer.out.truncate(before);
    }
    Ok(())
}

/// Writes a map's entries as an object: sorted by key, of equal keys the last.
pub(super) fn map_object(writer: &mut Writer<'_>, field: &Field, entries: &[&[u8]], depth: u32) -> Step {
    let entry = writer.tables.message_of(field);
    let (Some(key), Some(value)) = (entry.field(1), entry.field(2)) else {
        return Err(WriteError::new("a map entry without key and value").into());
    };
    let mut read = Vec::with_capacity(entries.len());
    for bytes in entries {
        read.extend(map_entry(writer.tables, key, value, bytes)?);
    }
    read.sort_by(|a, b| compare(key.kind, a.key, b.key));
    let start = writer.out.len();
    for (i, entry) in read.iter().enumerate() {
        if read.get(i + 1).is_some_and(|next| compare(key.kind, entry.key, next.key) == Ordering::Equal) {
            continue;
        }
        writer.out.push(b',');
        put_key(writer, key, entry.key)?;
        writer.out.push(b':');
        map_value(writer, value, entry, depth)?;
    }
    writer.close(start, b'{', b'}');
    Ok(())
}

/// `None` for an entry with an unknown value of a closed enum.
fn map_entry<'a>(tables: &Tables, key: &Field, value: &Field, bytes: &'a [u8]) -> Step<Option<Entry<'a>>> {
    let absent = |field| merged::default_payload(tables, field);
    let mut entry = Entry { key: absent(key), value: absent(value), pieces: Vec::new() };
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.field()? {
        if tag == key.tag {
            entry.key = payload;
        } else if tag == value.tag {
            if value.is_message() {
                entry.pieces.push(payload.bytes());
            }
            if value.kind == Kind::Enum {
                let kind = tables.enum_of(value);
                if kind.closed && kind.key(payload.bits() as i32).is_none() {
                    return Ok(None);
                }
            }
            entry.value = payload;
        }
    }
    Ok(Some(entry))
}

fn compare(kind: Kind, a: Payload<'_>, b: Payload<'_>) -> Ordering {
    match (a, b) {
        (Payload::Bytes(a), Payload::Bytes(b)) => a.cmp(b),
        _ => key_number(kind, a).cmp(&key_number(kind, b)),
    }
}

fn key_number(kind: Kind, key: Payload<'_>) -> i128 {
    let bits = key.bits();
    match kind {
        Kind::Int32 | Kind::Sfixed32 => i128::from(bits as i32),
        Kind::Uint32 | Kind::Fixed32 => i128::from(bits as u32),
        Kind::Sint32 => i128::from(scalar::unzigzag(u64::from(bits as u32)) as i32),
        Kind::Sint64 => i128::from(scalar::unzigzag(bits)),
        Kind::Int64 | Kind::Sfixed64 => i128::from(bits as i64),
        Kind::Bool => i128::from(bits != 0),
        _ => i128::from(bits),
    }
}

/// A map's key: always a string in JSON.
fn put_key(writer: &mut Writer<'_>, field: &Field, key: Payload<'_>) -> Step {
    match key {
        Payload::Bytes(text) => Ok(scalar::put_text(writer.out, text)?),
        Payload::Bits(bits) if field.kind == Kind::Bool => {
            writer.out.extend_from_slice(if bits == 0 { b"\"false\"" } else { b"\"true\"" });
            Ok(())
        }
        Payload::Bits(_) => {
            writer.out.push(b'"');
            writer.out.extend_from_slice(itoa::Buffer::new().format(key_number(field.kind, key)).as_bytes());
            writer.out.push(b'"');
            Ok(())
        }
    }
}

fn map_value(writer: &mut Writer<'_>, field: &Field, entry: &Entry<'_>, depth: u32) -> Step {
    match field.kind {
        Kind::String => scalar::put_text(writer.out, entry.value.bytes())?,
        Kind::Bytes => scalar::put_base64(writer.out, entry.value.bytes()),
        Kind::Message | Kind::Group => {
            if entry.pieces.len() > 1 && !writer.exact {
                return Err(Stop::Exact);
            }
            let pieces: &[&[u8]] = if entry.pieces.is_empty() { &[&[]] } else { &entry.pieces };
            // The entry is a message of its own, one level further down.
            writer.message(writer.tables.message_of(field), pieces, depth.saturating_sub(2))?;
        }
        _ => {
            // An entry with an unknown value was not read, and an absent one is known.
            if !scalar::put_bits(writer.out, writer.tables, field, entry.value.bits(), writer.options) {
                return Err(WriteError::new("a map's value that its closed enum does not have").into());
            }
        }
    }
    Ok(())
}
