//! `google.api.HttpBody`: a body that is no JSON, with its content type.
//!
//! Source: the comments of `google/api/httpbody.proto`.

use protojson::{
    MessageDescriptor,
    wire::{Reader, WireError, put_len},
};

/// Whether a message is an HttpBody.
pub(crate) fn is(message: &MessageDescriptor) -> bool {
    message.name() == "google.api.HttpBody"
}

/// The content type and the data of an encoded HttpBody.
pub(crate) fn decode(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut content_type, mut data) = (&[][..], &[][..]);
    let mut reader = Reader::new(message);
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
pub(crate) fn encode(content_type: &[u8], data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(content_type.len() + data.len() + 16);
    for (number, bytes) in [(1, content_type), (2, data)] {
        if !bytes.is_empty() {
            put_len(&mut message, number, bytes);
        }
    }
    message
}
