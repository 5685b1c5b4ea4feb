use bytes::Bytes;
use grpc_transcoding::{HttpRules, MethodBindings, rpc};
use http::{HeaderName, HeaderValue, Request, header::CONTENT_LENGTH, request};
use http_body_util::{BodyExt, Full};
use tonic::{Status, body::Body};

use super::{Idempotent, Scopes};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// A call with one message, whose method was looked up and whose message was taken out of its
/// frame. Its response may be a stream.
pub(crate) struct UnaryCall<'r> {
    pub(crate) bindings: &'r MethodBindings,
    pub(crate) head: request::Parts,
    pub(crate) message: Bytes,
    /// The message in its frame: the stub's own, unless a step changed the message.
    pub(super) framed: Bytes,
    /// The scopes that the token is to have, in place of those of the stack.
    pub(crate) scopes: Option<Scopes>,
    /// Whether the call only reads: its first binding is a GET, or a step says so.
    pub(crate) reads: bool,
    /// Whether a write may be made twice: the server knows it by a request id, or the caller says so.
    pub(crate) idempotent_write: bool,
}

/// The method of a call, if its request is one message and can be read. Messages that are
/// compressed in an unknown way are for the server, as streams are.
pub(super) fn method_of_one_message<'r>(rules: &'r HttpRules, call: &Request<Body>) -> Option<&'r MethodBindings> {
    let bindings = rules.method(call.uri().path())?;
    let encoding = call.headers().get(GRPC_ENCODING).map_or(&b"identity"[..], HeaderValue::as_bytes);
    let readable = matches!(encoding, b"identity" | b"gzip");
    (readable && !bindings.method().is_client_streaming()).then_some(bindings)
}

impl<'r> UnaryCall<'r> {
    /// # Errors
    ///
    /// If the stub's own body fails, or is not one message.
    pub(super) async fn read(bindings: &'r MethodBindings, call: Request<Body>) -> Result<Self, Status> {
        let (head, body) = call.into_parts();
        let framed = body.collect().await?.to_bytes();
        let encoding = head.headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes);
        let message = rpc::unary(framed.clone(), encoding, usize::MAX)?;
        let scopes = head.extensions.get().cloned();
        let idempotent_write = head.extensions.get::<Idempotent>().is_some();
        let reads = bindings.bindings().first().is_some_and(|first| first.http_method() == Some(&http::Method::GET));
        Ok(Self { bindings, head, message, framed, scopes, reads, idempotent_write })
    }

    /// Replaces the message by one that was written behind [`rpc::room`].
    pub(super) fn set_message(&mut self, message: Vec<u8>) -> Result<(), Status> {
        self.framed = rpc::frame(message)?;
        self.message = self.framed.slice(rpc::HEADER..);
        self.head.headers.remove(GRPC_ENCODING);
        self.head.headers.remove(CONTENT_LENGTH);
        Ok(())
    }

    /// The call as a stub makes it.
    pub(super) fn into_request(self) -> Request<Body> {
        let mut request = Request::from_parts(self.head, Body::new(Full::new(self.framed)));
        if let Some(scopes) = self.scopes {
            request.extensions_mut().insert(scopes);
        }
        request
    }

    /// Whether to make the call twice does what making it once does: the server knows it
    /// by its request id, or it only reads.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent_write || self.reads
    }
}
