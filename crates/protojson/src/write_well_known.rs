//! Messages whose JSON form is not an object of their fields, on their way to
//! JSON.

use super::{
    WriteError, mask,
    merged::default_payload,
    number, scalar, time,
    write::{Step, Stop, Writer},
};
use crate::descriptor::{JsonMapping, Kind, MessageType};
use crate::wire::{Payload, Reader, WireError};

pub(super) fn write(writer: &mut Writer<'_>, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
    match message.shape {
        JsonMapping::Timestamp => timestamp(writer, pieces)?,
        JsonMapping::Duration => {
            let (seconds, nanos) = seconds_and_nanos(pieces)?;
            let text = time::format_duration(seconds, nanos).map_err(WriteError::new)?;
            writer.out.push(b'"');
            writer.out.extend_from_slice(text.as_bytes());
            writer.out.push(b'"');
        }
        JsonMapping::FieldMask => field_mask(writer, pieces)?,
        JsonMapping::Wrapper => wrapper(writer, message, pieces)?,
        JsonMapping::Struct => {
            let Some(fields) = message.fields.first() else { return Ok(()) };
            super::exact::map_object(writer, fields, &occurrences(pieces, fields.tag)?, depth)?;
        }
        JsonMapping::ListValue => {
            let start = writer.out.len();
            let Some(values) = message.fields.first() else { return Ok(()) };
            for (i, value) in occurrences(pieces, values.tag)?.into_iter().enumerate() {
                writer.element_bytes(values, value, depth).map_err(|stop| stop.within_index(i))?;
            }
            writer.close(start, b'[', b']');
        }
        JsonMapping::Value => value(writer, message, pieces, depth)?,
        JsonMapping::Any => any(writer, pieces, depth)?,
        JsonMapping::Empty => {
            each(pieces, |_, _| {})?;
            writer.out.extend_from_slice(b"{}");
        }
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet => {}
    }
    Ok(())
}

#[inline]
pub(super) fn timestamp(writer: &mut Writer<'_>, pieces: &[&[u8]]) -> Step {
    let (seconds, nanos) = seconds_and_nanos(pieces)?;
    time::put_timestamp(writer.out, seconds, nanos).map_err(WriteError::new)?;
    Ok(())
}

/// Calls `found` with every field of a message that comes in pieces.
fn each<'a>(pieces: &[&'a [u8]], mut found: impl FnMut(u32, Payload<'a>)) -> Result<(), WireError> {
    for piece in pieces {
        let mut reader = Reader::new(piece);
        while let Some((tag, payload)) = reader.field()? {
            found(tag, payload);
        }
    }
    Ok(())
}

fn occurrences<'a>(pieces: &[&'a [u8]], wanted: u32) -> Result<Vec<&'a [u8]>, WireError> {
    let mut all = Vec::new();
    each(pieces, |tag, payload| {
        if tag == wanted {
            all.push(payload.bytes());
        }
    })?;
    Ok(all)
}

#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn seconds_and_nanos(pieces: &[&[u8]]) -> Result<(i64, i32), WireError> {
    let (mut seconds, mut nanos) = (0, 0);
    for piece in pieces {
        let mut reader = Reader::new(piece);
        while !reader.is_empty() {
            match reader.tag()? {
                0x08 => seconds = reader.varint()? as i64,
                0x10 => nanos = reader.varint()? as i32,
                other => reader = reader.after(other)?,
            }
        }
    }
    Ok((seconds, nanos))
}

fn field_mask(writer: &mut Writer<'_>, pieces: &[&[u8]]) -> Step {
    Ok(scalar::put_text(writer.out, &mask_text(pieces)?)?)
}

/// The paths of a field mask in JSON names, with commas between.
pub(super) fn mask_text(pieces: &[&[u8]]) -> Result<Vec<u8>, WriteError> {
    let mut text = Vec::new();
    for (i, path) in occurrences(pieces, 0x0a)?.into_iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        if simdutf8::basic::from_utf8(path).is_err() {
            return Err(WriteError::malformed("a string that is not UTF-8"));
        }
        if !mask::put_camel(&mut text, path) {
            let path = String::from_utf8_lossy(path);
            return Err(WriteError::new(format!("the path `{path}` of a field mask has no JSON form")));
        }
    }
    Ok(text)
}

fn wrapper(writer: &mut Writer<'_>, message: &MessageType, pieces: &[&[u8]]) -> Step {
    let Some(field) = message.fields.first() else { return Ok(()) };
    let mut value = default_payload(writer.tables, field);
    each(pieces, |tag, payload| {
        if tag == field.tag {
            value = payload;
        }
    })?;
    match (field.kind, value) {
        (Kind::String, Payload::Bytes(text)) => scalar::put_text(writer.out, text)?,
        (Kind::Bytes, Payload::Bytes(bytes)) => scalar::put_base64(writer.out, bytes),
        (_, payload) => {
            // No wrapper has an enum, so that every value has a form.
            if !scalar::put_bits(writer.out, writer.tables, field, payload.bits(), writer.options) {
                return Err(WriteError::new("a wrapper of a value that its enum does not have").into());
            }
        }
    }
    Ok(())
}

/// A `google.protobuf.Value`: the JSON value that it stands for.
fn value(writer: &mut Writer<'_>, message: &MessageType, pieces: &[&[u8]], depth: u32) -> Step {
    // The member that holds, and its occurrences since it was set.
    let mut set = 0;
    let mut last = Payload::Bits(0);
    let mut merged: Vec<&[u8]> = Vec::new();
    let mut again = false;
    each(pieces, |tag, payload| {
        if message.field(tag >> 3).is_none_or(|field| field.tag != tag) {
            return;
        }
        again |= set != 0;
        if set != tag >> 3 {
            merged.clear();
        }
        set = tag >> 3;
        last = payload;
        if set >= 5 {
            merged.push(payload.bytes());
        }
    })?;
    if again && !writer.exact {
        return Err(Stop::Exact);
    }
    match set {
        1 => writer.out.extend_from_slice(b"null"),
        2 => {
            let number = f64::from_bits(last.bits());
            if !number.is_finite() {
                return Err(WriteError::new("a google.protobuf.Value cannot be NaN or infinite").into());
            }
            number::format_double(number, |text| writer.out.extend_from_slice(text));
        }
        3 => scalar::put_text(writer.out, last.bytes())?,
        4 => writer.out.extend_from_slice(if last.bits() == 0 { b"false" } else { b"true" }),
        5 | 6 => {
            let Some(field) = message.field(set) else { return Ok(()) };
            writer.message(writer.tables.message_of(field), &merged, depth - 1)?;
        }
        _ => return Err(WriteError::new("a google.protobuf.Value without a value").into()),
    }
    Ok(())
}

fn any(writer: &mut Writer<'_>, pieces: &[&[u8]], depth: u32) -> Step {
    let (mut url, mut content): (&[u8], &[u8]) = (&[], &[]);
    each(pieces, |tag, payload| match tag {
        0x0a => url = payload.bytes(),
        0x12 => content = payload.bytes(),
        _ => {}
    })?;
    if url.is_empty() {
        if !content.is_empty() {
            return Err(WriteError::new("a google.protobuf.Any with a value but no type").into());
        }
        writer.out.extend_from_slice(b"{}");
        return Ok(());
    }
    let url = simdutf8::basic::from_utf8(url).map_err(|_| WriteError::malformed("a string that is not UTF-8"))?;
    let (_, name) = url.rsplit_once('/').unwrap_or(("", url));
    let Some(inner) = writer.tables.message(name) else {
        return Err(WriteError::new(format!("the schema has no message `{name}`, which an Any holds")).into());
    };
    if depth <= 1 {
        return Err(WireError::Depth.into());
    }
    let start = writer.out.len();
    writer.out.extend_from_slice(b",\"@type\":");
    scalar::put_text(writer.out, url.as_bytes())?;
    match inner.shape {
        // http.proto and the JSON page treat Empty as any other message: no
        // `value`.
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet => {
            writer.fields(inner, &[content], depth - 1)?
        }
        JsonMapping::Empty => {}
        _ => {
            writer.out.extend_from_slice(b",\"value\":");
            writer.message(inner, &[content], depth - 1)?;
        }
    }
    writer.close(start, b'{', b'}');
    Ok(())
}
