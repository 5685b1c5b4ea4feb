//! `google.api.HttpBody`: a body that is no JSON, with its content type.
//!
//! Source: the comments of `google/api/httpbody.proto`.

use crate::schema::{
    Field, MessageType, Tables,
    wire::{Reader, WireError, put_len},
};

/// Whether a message is an HttpBody.
pub(crate) fn is(message: &MessageType) -> bool {
    &*message.name == "google.api.HttpBody"
}

/// Whether a field is a single HttpBody.
pub(crate) fn is_field(tables: &Tables, field: &Field) -> bool {
    field.is_message() && is(tables.message_of(field))
}

/// The content type and the data of an encoded HttpBody.
pub(crate) fn read(wire: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut content_type, mut data) = (&[][..], &[][..]);
    let mut reader = Reader::new(wire);
    while let Some((tag, payload)) = reader.field()? {
        match tag {
            0x0a => content_type = payload.bytes(),
            0x12 => data = payload.bytes(),
            _ => {}
        }
    }
    Ok((content_type, data))
}

/// Encodes an HttpBody.
pub(crate) fn write(content_type: &[u8], data: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content_type.len() + data.len() + 16);
    for (number, bytes) in [(1, content_type), (2, data)] {
        if !bytes.is_empty() {
            put_len(&mut wire, number, bytes);
        }
    }
    wire
}

/// The merged content of a field's occurrences in a message.
pub(crate) fn content(field: u32, wire: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut merged = Vec::new();
    let mut reader = Reader::new(wire);
    while let Some((tag, payload)) = reader.field()? {
        if tag >> 3 == field {
            merged.extend_from_slice(payload.bytes());
        }
    }
    Ok(merged)
}
