//! Wire bytes to JSON where streaming would be wrong: the fields are collected
//! first, then written in the order of their numbers.
//!
//! What comes again follows protobuf's rules for it: a list goes on, a message
//! merges, the last of several scalars holds, and so does the last member of a
//! oneof.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/#last-one-wins>.

use std::cmp::Ordering;

use super::{
    Defaults, WriteError, scalar,
    write::{Step, Stop, Writer},
};
use crate::schema::{
    Cardinality, Field, Kind, MessageType, NO_ONEOF, Shape, Tables,
    wire::{self, Payload, Reader},
};

/// A field as it came.
#[derive(Clone, Copy)]
struct Occurrence<'a> {
    /// Of the field in the message.
    index: u16,
    wire_type: u8,
    payload: Payload<'a>,
}

pub(super) fn fields(writer: &mut Writer<'_>, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
    let mut found = collect(writer.tables, message, pieces)?;
    // A stable sort: occurrences of one field stay in their order.
    found.sort_by_key(|occurrence| occurrence.index);
    let mut rest = found.as_slice();
    if writer.options.defaults == Defaults::Omit {
        while let Some(first) = rest.first() {
            let len = rest.partition_point(|occurrence| occurrence.index == first.index);
            let field = &message.fields[usize::from(first.index)];
            named(writer, field, &rest[..len], depth)?;
            rest = &rest[len..];
        }
        return Ok(());
    }
    for (index, field) in message.fields.iter().enumerate() {
        let len = rest.partition_point(|occurrence| usize::from(occurrence.index) == index);
        let before = writer.out.len();
        named(writer, field, &rest[..len], depth)?;
        rest = &rest[len..];
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
            // A closed enum may lack the zero; then there is nothing better.
            if !scalar::put_bits(writer.out, writer.tables, field, 0, writer.options) {
                writer.out.push(b'0');
            }
        }
    }
}

/// Writes the value of one field of a message, without its name; nothing if it
/// is not set.
pub(super) fn one_field(writer: &mut Writer<'_>, message: &MessageType, field: &Field, wire: &[u8]) -> Step {
    let mut found = collect(writer.tables, message, &[wire])?;
    found.retain(|occurrence| message.fields[usize::from(occurrence.index)].number == field.number);
    if found.is_empty() {
        return Ok(());
    }
    let start = writer.out.len();
    named(writer, field, &found, wire::DEPTH)?;
    writer.drop_key(start, field);
    Ok(())
}

fn collect<'a>(tables: &Tables, message: &MessageType, pieces: &[&'a [u8]]) -> Step<Vec<Occurrence<'a>>> {
    let mut found: Vec<Occurrence<'a>> = Vec::new();
    // For each oneof: the member that is set, and from which occurrence on.
    let mut members: Vec<Option<(u16, usize)>> = vec![None; usize::from(message.oneofs)];
    for piece in pieces {
        let mut reader = Reader::new(piece);
        while let Some((tag, payload)) = reader.field()? {
            if message.shape == Shape::MessageSet && tag == SET_ITEM {
                found.extend(set_item(message, payload.bytes())?);
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
            if field.kind == Kind::Enum && !packed {
                let kind = tables.enum_of(field);
                if kind.closed && kind.key(payload.bits() as i32).is_none() {
                    continue;
                }
            }
            let index = index as u16;
            if let Some(member) = members.get_mut(usize::from(field.oneof))
                && member.is_none_or(|(set, _)| set != index)
            {
                *member = Some((index, found.len()));
            }
            found.push(Occurrence { index, wire_type, payload });
        }
    }
    if members.iter().any(Option::is_some) {
        let mut at = 0;
        found.retain(|occurrence| {
            let oneof = message.fields[usize::from(occurrence.index)].oneof;
            let alive = match members.get(usize::from(oneof)) {
                Some(Some((set, from))) => occurrence.index == *set && at >= *from,
                _ => true,
            };
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
fn set_item<'a>(message: &MessageType, item: &'a [u8]) -> Step<Option<Occurrence<'a>>> {
    let mut reader = Reader::new(item);
    let (mut number, mut content) = (0, None);
    while let Some((tag, payload)) = reader.field()? {
        match (tag >> 3, payload) {
            (2, Payload::Bits(bits)) => number = bits as u32,
            (3, Payload::Bytes(bytes)) => content = Some(bytes),
            _ => {}
        }
    }
    let index = message.index_of(number).filter(|index| message.fields[*index].kind == Kind::Message);
    Ok(index.zip(content).map(|(index, bytes)| Occurrence {
        index: index as u16,
        wire_type: wire::LEN,
        payload: Payload::Bytes(bytes),
    }))
}

/// Writes a field with its name, from all its occurrences.
fn named(writer: &mut Writer<'_>, field: &Field, found: &[Occurrence<'_>], depth: u32) -> Step {
    let Some(last) = found.last() else { return Ok(()) };
    let written = match field.cardinality {
        Cardinality::Map => {
            let entries: Vec<_> = found.iter().map(|occurrence| occurrence.payload.bytes()).collect();
            map(writer, field, &entries, depth)
        }
        Cardinality::Repeated => list(writer, field, found, depth),
        Cardinality::Singular if field.is_message() => {
            writer.key(field);
            let pieces: Vec<_> = found.iter().map(|occurrence| occurrence.payload.bytes()).collect();
            writer.message(writer.tables.message_of(field), &pieces, depth - 1)
        }
        Cardinality::Singular => single(writer, field, last.payload),
    };
    written.map_err(|stop| stop.within(&field.json_name))
}

fn single(writer: &mut Writer<'_>, field: &Field, payload: Payload<'_>) -> Step {
    let is_default = match payload {
        Payload::Bytes(bytes) => bytes.is_empty(),
        Payload::Bits(bits) => scalar::is_default(field.kind, bits),
    };
    if is_default && !field.presence {
        return Ok(());
    }
    writer.key(field);
    match (field.kind, payload) {
        (Kind::String, _) => scalar::put_text(writer.out, payload.bytes())?,
        (Kind::Bytes, _) => scalar::put_base64(writer.out, payload.bytes()),
        _ => {
            scalar::put_bits(writer.out, writer.tables, field, payload.bits(), writer.options);
        }
    }
    Ok(())
}

fn list(writer: &mut Writer<'_>, field: &Field, found: &[Occurrence<'_>], depth: u32) -> Step {
    let before = writer.out.len();
    writer.key(field);
    let start = writer.out.len();
    let natural = field.kind.wire_type();
    for (index, occurrence) in found.iter().enumerate() {
        match occurrence.payload {
            Payload::Bits(bits) => writer.element_bits(field, bits),
            Payload::Bytes(bytes) if matches!(natural, wire::LEN | wire::START) => {
                writer.element_bytes(field, bytes, depth).map_err(|stop| stop.within_index(index))?;
            }
            Payload::Bytes(packed) => {
                debug_assert_eq!(occurrence.wire_type, wire::LEN, "anything else was not collected");
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    let bits = match natural {
                        wire::VARINT => reader.varint()?,
                        wire::FIXED32 => u64::from(reader.fixed32()?),
                        _ => reader.fixed64()?,
                    };
                    writer.element_bits(field, bits);
                }
            }
        }
    }
    writer.close_list(before, start);
    Ok(())
}

/// The entry of a map: its key, and the occurrences of its value.
struct Entry<'a> {
    key: Payload<'a>,
    value: Option<Payload<'a>>,
    pieces: Vec<&'a [u8]>,
}

/// Writes a map with its name: sorted by key, of equal keys the last.
pub(super) fn map(writer: &mut Writer<'_>, field: &Field, entries: &[&[u8]], depth: u32) -> Step {
    let entry = writer.tables.message_of(field);
    let (Some(key), Some(value)) = (entry.field(1), entry.field(2)) else {
        return Err(WriteError::new("a map entry without key and value").into());
    };
    let mut read = Vec::with_capacity(entries.len());
    for bytes in entries {
        read.extend(map_entry(writer.tables, key, value, bytes)?);
    }
    read.sort_by(|a, b| compare(key.kind, a.key, b.key));
    if read.is_empty() && !entries.is_empty() {
        return Ok(());
    }
    writer.key(field);
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
    let absent = |field: &Field| match field.kind {
        Kind::String | Kind::Bytes => Payload::Bytes(&[]),
        _ => Payload::Bits(0),
    };
    let mut entry = Entry { key: absent(key), value: None, pieces: Vec::new() };
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
            entry.value = Some(payload);
        }
    }
    entry.value = entry.value.or(Some(absent(value)));
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
    let payload = entry.value.unwrap_or(Payload::Bits(0));
    match field.kind {
        Kind::String => scalar::put_text(writer.out, payload.bytes())?,
        Kind::Bytes => scalar::put_base64(writer.out, payload.bytes()),
        Kind::Message | Kind::Group => {
            if entry.pieces.len() > 1 && !writer.exact {
                return Err(Stop::Exact);
            }
            let pieces: &[&[u8]] = if entry.pieces.is_empty() { &[&[]] } else { &entry.pieces };
            // The entry is a message of its own, one level further down.
            writer.message(writer.tables.message_of(field), pieces, depth.saturating_sub(2))?;
        }
        _ => {
            scalar::put_bits(writer.out, writer.tables, field, payload.bits(), writer.options);
        }
    }
    Ok(())
}
