use grpc_transcoding::{HttpRules, MethodDescriptor, rpc};
use protojson::{
    Cardinality, Kind,
    wire::{Reader, put_len},
};
use tonic::Status;

use super::{call::UnaryCall, stack::Steps};

/// A layer that fills in an empty `request_id` with a random UUID.
///
/// Calls whose request is a stream pass unchanged.
///
/// The descriptors say which methods have one: those whose request has a string field of
/// that name. Put it above [`RetryLayer`](super::RetryLayer), so that all
/// attempts have the same id. Source: [AIP-155](https://google.aip.dev/155).
#[derive(Clone, Debug)]
pub struct RequestIdLayer(pub(super) Steps);

impl RequestIdLayer {
    /// Fills in the request ids of the methods of `rules`.
    pub fn new(rules: impl Into<HttpRules>) -> Self {
        Self(Steps { rules: Some(rules.into()), fill_request_ids: true, ..Steps::default() })
    }
}

/// An extension for the request of one call: making the call twice does what making it
/// once does, so that [`RetryLayer`](super::RetryLayer) may make it again after any
/// failure. Calls that have a request id, and those that only read, need no such mark.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Idempotent {}

impl Idempotent {
    /// Marks a call as idempotent.
    pub fn new() -> Self {
        Self {}
    }
}

/// The number of the field, for a method that has it.
fn field(method: &MethodDescriptor) -> Option<u32> {
    let input = method.input();
    let field = input.field_named("request_id")?;
    (field.kind() == Kind::String && field.cardinality() == Cardinality::Singular).then_some(field.number())
}

/// Finds out whether a call has a request id, and fills it in where that is wanted.
pub(super) fn apply(call: &mut UnaryCall, fill: bool) -> Result<(), Status> {
    let Some(number) = field(call.bindings.method()) else { return Ok(()) };
    let mut reader = Reader::new(&call.message);
    let mut set = false;
    while let Ok(Some((tag, payload))) = reader.field() {
        if tag >> 3 == number {
            set = !payload.bytes().is_empty();
        }
    }
    call.idempotent_write |= set || fill;
    if set || !fill {
        return Ok(());
    }
    // A field that comes later is merged with what came before.
    let mut with_id = rpc::room(call.message.len() + 40);
    with_id.extend_from_slice(&call.message);
    put_len(&mut with_id, number, uuid()?.as_bytes());
    call.set_message(with_id)
}
/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid() -> Result<String, Status> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| Status::internal(format!("the system gives no random bytes for a request id: {error}")))?;
    let bits = u128::from_be_bytes(bytes);
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let (one, two) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{one}");
    }
}
