//! Whether a response that says OK is one: where a method gives a resource, or a message with a
//! resource alone, the resource has a name.
//!
//! An empty message is a valid one, and so is `{}` in JSON. A proxy that answers every path with 200
//! would have a call counted as done that never reached the API.

use std::sync::LazyLock;

use grpc_transcoding::{
    MessageDescriptor,
    client::HTTP_STATUS,
    protojson::{Cardinality, Kind, wire},
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

/// What the messages of [`check`] have in common.
const NAMELESS: &str = " without a name, so that ";

/// The largest message that is unpacked to look for a name: as large as a stub takes it by default.
const LARGEST: usize = 4 * 1024 * 1024;

/// # Errors
///
/// INTERNAL if the response is to be a resource and is none.
pub(super) fn check(call: &UnaryCall<'_>, wire: Wire, response: Response<Whole>) -> Result<Response<Whole>, Status> {
    static DUE: LazyLock<Vec<Option<Due>>> =
        LazyLock::new(|| Client::http_rules().pool().methods().map(|method| Due::of(method.output())).collect());
    let (Some(due), false) = (&DUE[call.bindings.method().index()], call.head.headers.contains_key(FIELD_MASK)) else {
        return Ok(response);
    };
    let encoding = response.headers().get("grpc-encoding").map(|encoding| encoding.as_bytes());
    let message = response.body().framed().map(|framed| rpc::unary(framed.clone(), encoding, LARGEST));
    // What cannot be read is the stub's to refuse.
    let Some(Ok(message)) = message else { return Ok(response) };
    let is_answer = match call.head.extensions.get::<NameIsDue>() {
        Some(_) => due.is_in(&message),
        None => !message.is_empty(),
    };
    if is_answer {
        return Ok(response);
    }
    let resource = in_words(due.resource.name());
    let so_that = if call.reads {
        "it is none; make the call again"
    } else if call.idempotent_write {
        "it is not known whether one was created; make the call again with the same request id"
    } else {
        "it is not known whether the call was carried out; look before it is made again"
    };
    let mut status = Status::internal(format!("the answer is {resource}{NAMELESS}{so_that}"));
    let (head, _) = response.into_parts();
    let http_status = head.status.as_u16();
    *status.metadata_mut() = MetadataMap::from_headers(rpc::metadata(head.headers, None));
    if wire == Wire::HttpJson {
        status.metadata_mut().insert(HTTP_STATUS, http_status.into());
    }
    Err(status)
}

/// Whether a status is one of [`check`], whose message says what to do.
pub(super) fn has_advice(status: &Status) -> bool {
    status.message().starts_with("the answer is ") && status.message().contains(NAMELESS)
}

/// The resource that a method gives.
struct Due {
    resource: MessageDescriptor,
    /// The field with its name.
    name: u32,
    /// The field of the response that holds it, if the response is not the resource itself.
    holder: Option<u32>,
}

impl Due {
    fn of(response: MessageDescriptor) -> Option<Self> {
        if let Some(name) = name_of(&response) {
            return Some(Self { resource: response, name, holder: None });
        }
        let mut fields = response.fields();
        let (field, None) = (fields.next()?, fields.next()) else { return None };
        let resource = field.message().filter(|_| field.cardinality() == Cardinality::Singular)?;
        Some(Self { name: name_of(&resource)?, resource, holder: Some(field.number()) })
    }

    /// Whether an encoded response has the resource with its name.
    fn is_in(&self, message: &[u8]) -> bool {
        let has_name = |resource| values(resource, self.name).any(|name| !name.is_empty());
        match self.holder {
            Some(holder) => values(message, holder).any(has_name),
            None => has_name(message),
        }
    }
}

/// The values of a field of an encoded message, which are texts or messages.
fn values(encoded: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = wire::fields(encoded).map_while(Result::ok);
    fields.filter(move |(tag, _)| tag >> 3 == number).map(|(_, payload)| payload.bytes())
}

/// The field with the name of a resource, for messages that are one.
///
/// Field numbers are those of `google/api/resource.proto`.
fn name_of(message: &MessageDescriptor) -> Option<u32> {
    /// `google.api.resource`, an extension of `MessageOptions`.
    const RESOURCE: u32 = 1053;
    const NAME_FIELD: u32 = 3;
    let resource = values(message.options(), RESOURCE).last()?;
    let name = values(resource, NAME_FIELD).last().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("name");
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
        let due = |name: &str| {
            let due = Due::of(pool.message(&format!("google.chat.v1.{name}")).unwrap())?;
            Some((due.resource.name().rsplit('.').next().unwrap().to_owned(), due.holder))
        };
        for (response, resource, holder) in [
            ("Space", "Space", None),
            ("CompleteImportSpaceResponse", "Space", Some(1)),
            ("PositionSectionResponse", "Section", Some(1)),
            ("MoveSectionItemResponse", "SectionItem", Some(1)),
        ] {
            assert_eq!(due(response), Some((resource.to_owned(), holder)), "{response}");
        }
        // A list may be empty, and a data ref is no resource.
        for other in ["ListSpacesResponse", "ListMessagePinsResponse", "UploadAttachmentResponse"] {
            assert_eq!(due(other), None, "{other}");
        }
    }

    #[test]
    fn a_resource_is_named_in_words() {
        assert_eq!(in_words("google.chat.v1.Space"), "a space");
        assert_eq!(in_words("google.chat.v1.Attachment"), "an attachment");
        assert_eq!(in_words("google.chat.v1.SpaceReadState"), "a space read state");
    }
}
