use http::Request;
use http_body_util::Full;
use tonic::{Status, body::Body};

use super::{
    service::{Answer, Inner, service},
    take,
};
use grpc_transcoding::rpc as frame;
use protojson::{
    Cardinality, DescriptorPool, Kind,
    wire::{Reader, put_len},
};

/// A tower service that fills in an empty `request_id` with a random UUID, once
/// for a call however often it is then made again, and marks the call as
/// [`Repeatable`].
///
/// It knows the methods that have one by the schema: those whose request has a
/// string field of that name. Source: [AIP-155](https://google.aip.dev/155).
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
    schema: DescriptorPool,
    fill: bool,
}

/// Among a call's extensions: the server knows the call by its request id, so
/// that making it twice does what making it once does.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

impl<S> RequestId<S> {
    /// Fills in the request ids of the methods of `schema`.
    pub fn new(inner: S, schema: DescriptorPool) -> Self {
        Self { inner, schema, fill: true }
    }

    /// Sets whether an empty request id is filled in, as it is by default. A call
    /// that has one is [`Repeatable`] in any case.
    #[must_use]
    pub fn fill(mut self, fill: bool) -> Self {
        self.fill = fill;
        self
    }

    /// The number of the field, for a method that has it.
    fn field(&self, path: &str) -> Option<u32> {
        let method = self.schema.method(path).filter(|method| !method.is_client_streaming())?;
        let input = method.input();
        let field = input.field_named("request_id")?;
        (field.kind() == Kind::String && field.cardinality() == Cardinality::Singular).then_some(field.number())
    }
}

service!(RequestId);

impl<S> RequestId<S> {
    fn through<I: Inner>(&self, mut inner: I, call: Request<Body>) -> Answer {
        let Some(number) = self.field(call.uri().path()) else { return Box::pin(inner.call(call)) };
        let fill = self.fill;
        Box::pin(async move {
            match filled(call, number, fill).await {
                Ok(call) => inner.call(call).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

async fn filled(call: Request<Body>, number: u32, fill: bool) -> Result<Request<Body>, Status> {
    let (mut head, frames) = take(call).await?;
    let encoding = head.headers.get("grpc-encoding").map(http::HeaderValue::as_bytes);
    let message = frame::unary(frames.clone(), encoding, usize::MAX)?;
    let mut reader = Reader::new(&message);
    let mut set = false;
    while let Ok(Some((tag, payload))) = reader.field() {
        if tag >> 3 == number {
            set = !payload.bytes().is_empty();
        }
    }
    if set || fill {
        head.extensions.insert(Repeatable);
    }
    if set || !fill {
        return Ok(Request::from_parts(head, Body::new(Full::new(frames))));
    }
    // A field that comes later is merged with what came before.
    let mut with_id = frame::room(message.len() + 40);
    with_id.extend_from_slice(&message);
    put_len(&mut with_id, number, uuid()?.as_bytes());
    head.headers.remove("grpc-encoding");
    Ok(Request::from_parts(head, Body::new(Full::new(frame::frame(with_id)?))))
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
