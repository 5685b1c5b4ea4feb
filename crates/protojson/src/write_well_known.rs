//! Messages whose JSON form is not an object of their fields, on their way to
//! JSON.

use std::borrow::Cow;

use crate::{
    JsonMapping, Kind, WriteError, buf, map, mask,
    merged::default_payload,
    number,
    plan::MessagePlan,
    scalar,
    selector::Place,
    time,
    wire::{self, Payload, Reader, WireError},
    write::{Failure, Output, Writer, index_step},
};

pub(crate) fn write<'w, W: Writer<'w> + ?Sized>(
    writer: &mut W,
    message: &MessagePlan,
    pieces: &[&[u8]],
    depth: u32,
) -> Result<(), W::Error> {
    let out = &mut *writer.output().out;
    match message.mapping {
        JsonMapping::Timestamp => timestamp(out, pieces)?,
        JsonMapping::Duration => {
            out.push(b'"');
            duration(out, pieces)?;
            out.push(b'"');
        }
        JsonMapping::FieldMask => {
            let mut text = Vec::new();
            field_mask(&mut text, pieces)?;
            scalar::put_string(out, &text)?;
        }
        JsonMapping::Wrapper => wrapper(writer.output(), message, pieces)?,
        JsonMapping::Struct => {
            let fields = &message.fields[0];
            map::object(writer, fields, &occurrences(pieces, fields.tag)?, depth)?;
        }
        JsonMapping::ListValue => {
            let start = out.len();
            let values = &message.fields[0];
            let mut index = 0;
            each(pieces, |tag, payload| {
                if tag == values.tag {
                    let written = writer.content_element(values, payload.bytes(), depth);
                    written.map_err(|error| error.within(&index_step(index)))?;
                    index += 1;
                }
                Ok::<_, W::Error>(())
            })?;
            buf::close(writer.output().out, start, b'[', b']');
        }
        JsonMapping::Value => value(writer, message, pieces, depth)?,
        JsonMapping::Any => any(writer, pieces, depth)?,
        JsonMapping::Empty => {
            each(pieces, |_, _| Ok::<_, WireError>(()))?;
            out.extend_from_slice(b"{}");
        }
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet => {}
    }
    Ok(())
}

/// Calls `found` with every field of a message that comes in pieces.
fn each<'a, E: From<WireError>>(
    pieces: &[&'a [u8]],
    mut found: impl FnMut(u32, Payload<'a>) -> Result<(), E>,
) -> Result<(), E> {
    for piece in pieces {
        for field in wire::fields(piece) {
            let (tag, payload) = field?;
            found(tag, payload)?;
        }
    }
    Ok(())
}

/// The contents of all fields with a tag.
fn occurrences<'a>(pieces: &[&'a [u8]], wanted: u32) -> Result<Vec<&'a [u8]>, WireError> {
    let mut all = Vec::new();
    each(pieces, |tag, payload| {
        if tag == wanted {
            all.push(payload.bytes());
        }
        Ok::<_, WireError>(())
    })?;
    Ok(all)
}

/// Appends a timestamp in quotes.
#[inline]
pub(crate) fn timestamp(out: &mut Vec<u8>, pieces: &[&[u8]]) -> Result<(), WriteError> {
    let (seconds, nanos) = seconds_and_nanos(pieces)?;
    time::put_timestamp(out, seconds, nanos).map_err(WriteError::new)
}

/// Appends a duration, without quotes.
pub(crate) fn duration(out: &mut Vec<u8>, pieces: &[&[u8]]) -> Result<(), WriteError> {
    let (seconds, nanos) = seconds_and_nanos(pieces)?;
    let text = time::format_duration(seconds, nanos).map_err(WriteError::new)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[inline]
fn seconds_and_nanos(pieces: &[&[u8]]) -> Result<(i64, i32), WireError> {
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

/// Appends the paths of a field mask in JSON names, with commas between.
pub(crate) fn field_mask(text: &mut Vec<u8>, pieces: &[&[u8]]) -> Result<(), WriteError> {
    for (index, path) in occurrences(pieces, 0x0a)?.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        if simdutf8::basic::from_utf8(path).is_err() {
            return Err(scalar::not_utf8());
        }
        if !mask::put_camel(text, path) {
            let path = String::from_utf8_lossy(path);
            return Err(WriteError::new(format!("the path `{path}` of a field mask has no JSON form")));
        }
    }
    Ok(())
}

fn wrapper(output: &mut Output<'_>, message: &MessagePlan, pieces: &[&[u8]]) -> Result<(), WriteError> {
    let Output { plan, options, out } = output;
    let field = &message.fields[0];
    let mut value = default_payload(plan, field);
    each(pieces, |tag, payload| {
        if tag == field.tag {
            value = payload;
        }
        Ok::<_, WireError>(())
    })?;
    match field.kind {
        Kind::String => scalar::put_string(out, value.bytes())?,
        Kind::Bytes => scalar::put_bytes(out, value.bytes()),
        _ => {
            // No wrapper has an enum, so that every value has a form.
            if !scalar::put_json(out, plan, field, value.bits(), options) {
                return Err(WriteError::new("a wrapper of a value that its enum does not have"));
            }
        }
    }
    Ok(())
}

/// A `google.protobuf.Value`: the JSON value that it stands for.
fn value<'w, W: Writer<'w> + ?Sized>(
    writer: &mut W,
    message: &MessagePlan,
    pieces: &[&[u8]],
    depth: u32,
) -> Result<(), W::Error> {
    // The member that is set, the value that it has last, and the pieces of one that is a
    // message. All members are of one oneof: another one starts from the beginning.
    let mut set = None;
    let mut last = Payload::Bits(0);
    let mut merged: Vec<&[u8]> = Vec::new();
    let mut first: Option<&[u8]> = None;
    each(pieces, |tag, payload| {
        let Some(field) = message.field(tag >> 3).filter(|field| field.tag == tag) else { return Ok(()) };
        if set.is_some_and(|set| set != field.number) {
            (first, merged) = (None, Vec::new());
        }
        set = Some(field.number);
        last = payload;
        // Nearly always there is one piece, which needs no list.
        match first {
            None => first = Some(payload.bytes()),
            Some(one) if merged.is_empty() => merged = vec![one, payload.bytes()],
            Some(_) => merged.push(payload.bytes()),
        }
        Ok::<_, WireError>(())
    })?;
    let Output { plan, out, .. } = writer.output();
    match set {
        Some(1) => out.extend_from_slice(b"null"),
        Some(2) => {
            let number = f64::from_bits(last.bits());
            if !number.is_finite() {
                return Err(WriteError::new("a google.protobuf.Value cannot be NaN or infinite").into());
            }
            number::format_double(number, |text| out.extend_from_slice(text));
        }
        Some(3) => scalar::put_string(out, last.bytes())?,
        Some(4) => out.extend_from_slice(if last.bits() == 0 { b"false" } else { b"true" }),
        Some(number @ (5 | 6)) => {
            let Some(field) = message.field(number) else { return Ok(()) };
            let inner = plan.message_of(field);
            let pieces: &[&[u8]] = if merged.is_empty() { &[last.bytes()] } else { &merged };
            writer.message(inner, pieces, depth - 1)?;
        }
        _ => return Err(WriteError::new("a google.protobuf.Value without a value").into()),
    }
    Ok(())
}

fn any<'w, W: Writer<'w> + ?Sized>(writer: &mut W, pieces: &[&[u8]], depth: u32) -> Result<(), W::Error> {
    let (mut url, mut content): (&[u8], &[u8]) = (&[], &[]);
    each(pieces, |tag, payload| {
        match tag {
            0x0a => url = payload.bytes(),
            0x12 => content = payload.bytes(),
            _ => {}
        }
        Ok::<_, WireError>(())
    })?;
    let Output { plan, out, .. } = writer.output();
    if url.is_empty() {
        if !content.is_empty() {
            return Err(WriteError::new("a google.protobuf.Any with a value but no type").into());
        }
        out.extend_from_slice(b"{}");
        return Ok(());
    }
    let url = simdutf8::basic::from_utf8(url).map_err(|_| scalar::not_utf8())?;
    let (_, name) = url.rsplit_once('/').unwrap_or(("", url));
    let Some(inner) = plan.message(name) else {
        return Err(WriteError::new(format!("the schema has no message `{name}`, which an Any holds")).into());
    };
    if depth <= 1 {
        return Err(WireError::Depth.into());
    }
    let start = out.len();
    out.extend_from_slice(b",\"@type\":");
    scalar::put_string(out, url.as_bytes())?;
    match inner.mapping {
        // http.proto and the JSON page treat Empty as any other message: no
        // `value`.
        JsonMapping::Empty => {}
        mapping if mapping.is_object() => writer.fields(inner, &[content], depth - 1)?,
        _ => {
            if let Some(level) = writer.enter(|| (Cow::Borrowed(b"value"), Place::of_message(inner, 0))) {
                writer.output().out.extend_from_slice(b",\"value\":");
                writer.message(inner, &[content], depth - 1)?;
                writer.leave(level);
            }
        }
    }
    buf::close(writer.output().out, start, b'{', b'}');
    Ok(())
}
