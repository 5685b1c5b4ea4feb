//! The service under the client's stub: steps over what sends.

use std::{convert::Infallible, fmt, future::Future, pin::Pin, sync::Arc, task};

use grpc_transcoding::client::Choice;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::{Status, body::Body};
use tower::Service;

use super::{Wire, answer};
use crate::layer::{Attempt, Sender, Stack, Whole};

pub(super) const API_CLIENT: HeaderName = HeaderName::from_static("x-goog-api-client");

type Exchange = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The service under the client's stub: gRPC or HTTP/JSON, with checks, request ids,
/// retries, deadlines and credentials. Its failures are gRPC statuses.
#[derive(Clone)]
pub struct Channel(Arc<dyn Caller>);

/// Makes calls, whatever sends them.
trait Caller: Send + Sync {
    fn call(self: Arc<Self>, call: Request<Body>) -> Exchange;
}

struct Over<T> {
    stack: Stack,
    sender: T,
}

impl<T: Sender + Sync> Caller for Over<T> {
    fn call(self: Arc<Self>, call: Request<Body>) -> Exchange {
        Box::pin(async move { Ok(self.stack.steps.call(call, &mut self.sender.clone()).await) })
    }
}

impl Channel {
    pub(super) fn new(stack: Stack, sender: impl Sender + Sync) -> Self {
        Self(Arc::new(Over { stack, sender }))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Exchange;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        // What sends is waited for within the call.
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Exchange {
        Arc::clone(&self.0).call(call)
    }
}

/// Sends by gRPC or by HTTP/JSON, as was chosen.
#[derive(Clone)]
pub(super) struct Chosen<G, J> {
    pub(super) choice: Choice,
    pub(super) grpc: G,
    pub(super) http_json: J,
}

impl<G: Sender + Sync, J: Sender + Sync> Sender for Chosen<G, J> {
    async fn unary(&mut self, attempt: Attempt<'_>) -> Result<Response<Whole>, Status> {
        match self.choice.decide().await? {
            Wire::Grpc => self.grpc.unary(attempt).await,
            _ => self.http_json.unary(attempt).await,
        }
    }

    async fn stream(&mut self, call: Request<Body>) -> Result<Response<Body>, Status> {
        match self.choice.decide().await? {
            Wire::Grpc => self.grpc.stream(call).await,
            _ => self.http_json.stream(call).await,
        }
    }
}

/// What this client is, as Google's own clients say it.
pub(super) fn api_client(wire: Wire) -> Option<HeaderValue> {
    /// The release of tonic that this crate is built with.
    const TONIC: &str = "0.14";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let transport = match wire {
        Wire::Grpc => format!("grpc/{TONIC}"),
        _ => format!("rest/{VERSION}"),
    };
    HeaderValue::try_from(format!("gl-rust/{} {transport} gapic/{VERSION}", env!("GOOGLE_CHAT_RUSTC"))).ok()
}

/// What the client does for each attempt over one wire: it adds the header by which Google's own
/// clients say what they are, and checks the response.
#[derive(Clone)]
pub(super) struct OnWire<T> {
    wire: Wire,
    name: Option<HeaderValue>,
    sender: T,
}

impl<T> OnWire<T> {
    pub(super) fn new(wire: Wire, sender: T) -> Self {
        Self { wire, name: api_client(wire), sender }
    }

    fn add(&self, headers: &mut HeaderMap) {
        if let (Some(name), false) = (&self.name, headers.contains_key(API_CLIENT)) {
            headers.insert(API_CLIENT, name.clone());
        }
    }
}

impl<T: Sender + Sync> Sender for OnWire<T> {
    async fn unary(&mut self, mut attempt: Attempt<'_>) -> Result<Response<Whole>, Status> {
        self.add(&mut attempt.headers);
        let call = attempt.call;
        let response = self.sender.unary(attempt).await?;
        answer::check(call, self.wire, response)
    }

    fn stream(&mut self, mut call: Request<Body>) -> impl Future<Output = Result<Response<Body>, Status>> + Send {
        self.add(call.headers_mut());
        self.sender.stream(call)
    }
}
