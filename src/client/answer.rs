//! Whether a response that says OK is one: where a method gives a resource, it has a name.
//!
//! An empty message is a valid one, and so is `{}` in JSON. A proxy that answers every path with 200
//! would have a call counted as done that never reached the API.

use std::sync::LazyLock;

use grpc_transcoding::{
    MessageDescriptor,
    client::HTTP_STATUS,
    protojson::{Kind, wire},
    rpc,
};
use http::{HeaderName, Response};
use tonic::{Status, metadata::MetadataMap};

use super::{Client, Wire};
use crate::layer::{UnaryCall, Whole};

/// An extension of the request of a [`Call`](super::Call): a resource without a name is no answer
/// to it. To the bare stub, whose server may be a mock, only an empty message is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameIsDue;

/// By this a caller asks for some of the fields only, which may leave out the name.
const FIELD_MASK: HeaderName = HeaderName::from_static("x-goog-fieldmask");

/// The largest message that is unpacked to look for a name: as large as a stub takes it by default.
const LARGEST: usize = 4 * 1024 * 1024;

/// # Errors
///
/// INTERNAL if the response is to be a resource and is none.
pub(super) fn check(call: &UnaryCall<'_>, wire: Wire, response: Response<Whole>) -> Result<Response<Whole>, Status> {
    static NAMES: LazyLock<Vec<Option<u32>>> =
        LazyLock::new(|| Client::http_rules().pool().methods().map(|method| name_of(&method.output())).collect());
    let method = call.bindings.method();
    let (Some(name), false) = (NAMES[method.index()], call.head.headers.contains_key(FIELD_MASK)) else {
        return Ok(response);
    };
    let encoding = response.headers().get("grpc-encoding").map(|encoding| encoding.as_bytes());
    let message = response.body().framed().map(|framed| rpc::unary(framed.clone(), encoding, LARGEST));
    // What cannot be read is the stub's to refuse.
    let Some(Ok(message)) = message else { return Ok(response) };
    let is_named = |(tag, payload): (u32, wire::Payload<'_>)| tag >> 3 == name && !payload.bytes().is_empty();
    let is_answer = match call.head.extensions.get::<NameIsDue>() {
        Some(_) => wire::fields(&message).map_while(Result::ok).any(is_named),
        None => !message.is_empty(),
    };
    if is_answer {
        return Ok(response);
    }
    let resource = in_words(method.output().name());
    let mut status = Status::internal(if call.reads {
        format!("the answer is {resource} without a name, so that it is none; make the call again")
    } else if call.idempotent_write {
        format!(
            "the answer is {resource} without a name, so that it is not known whether one was created; make the call \
             again with the same request id"
        )
    } else {
        format!(
            "the answer is {resource} without a name, so that it is not known whether the call was carried out; look \
             before it is made again"
        )
    });
    let (head, _) = response.into_parts();
    let http_status = head.status.as_u16();
    *status.metadata_mut() = MetadataMap::from_headers(rpc::metadata(head.headers, None));
    if wire == Wire::HttpJson {
        status.metadata_mut().insert(HTTP_STATUS, http_status.into());
    }
    Err(status)
}

/// The field with the name of a resource, for messages that are one.
///
/// Field numbers are those of `google/api/resource.proto`.
fn name_of(message: &MessageDescriptor) -> Option<u32> {
    /// `google.api.resource`, an extension of `MessageOptions`.
    const RESOURCE: u32 = 1053;
    const NAME_FIELD: u32 = 3;
    let find = |encoded, number| {
        let field = wire::fields(encoded).map_while(Result::ok).filter(|(tag, _)| tag >> 3 == number).last();
        field.map(|(_, payload)| payload.bytes())
    };
    let resource = find(message.options(), RESOURCE)?;
    let name = find(resource, NAME_FIELD).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("name");
    let field = message.field_named(name)?;
    (field.kind() == Kind::String).then_some(field.number())
}

/// A message in words: `google.chat.v1.SpaceReadState` is `a space read state`.
fn in_words(message: &str) -> String {
    let name = message.rsplit('.').next().unwrap_or(message);
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_known_by_its_annotation() {
        let pool = Client::http_rules().pool();
        let of = |name: &str| name_of(&pool.message(&format!("google.chat.v1.{name}")).unwrap());
        for (resource, name) in [("Space", 1), ("Message", 1), ("Availability", 1), ("CustomEmoji", 2)] {
            assert_eq!(of(resource), Some(name), "{resource}");
        }
        for other in ["ListSpacesResponse", "CompleteImportSpaceResponse", "UploadAttachmentResponse", "User"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_resource_is_named_in_words() {
        assert_eq!(in_words("google.chat.v1.Space"), "a space");
        assert_eq!(in_words("google.chat.v1.Attachment"), "an attachment");
        assert_eq!(in_words("google.chat.v1.SpaceReadState"), "a space read state");
    }
}
