use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use grpc_transcoding::{
    client::Origin,
    rpc::{self, code_name},
};
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::{Code, Status, body::Body};
use tracing::{Instrument, Span, field::Empty};

use super::{PREVIOUS_ATTEMPTS, stack::Steps};

/// A layer that has a `tracing` span around each call, with the names that
/// OpenTelemetry gives to remote procedure calls and to HTTP. It names method,
/// server and outcome, never a token, a message or a path with what it was filled
/// with.
///
/// Sources: OpenTelemetry's semantic conventions for
/// [gRPC](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/) and
/// [HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
#[derive(Clone, Debug)]
pub struct TraceLayer(pub(super) Steps);

impl TraceLayer {
    /// A span `call` for each call to `origin`: put it above
    /// [`RetryLayer`](super::RetryLayer).
    pub fn calls(origin: &Origin) -> Self {
        Self(Steps { call_trace: Some(Trace::new(origin)), ..Steps::default() })
    }

    /// A span `attempt` for each time that a call is made: put it under
    /// [`RetryLayer`](super::RetryLayer).
    pub fn attempts(origin: &Origin) -> Self {
        Self(Steps { attempt_trace: Some(Trace::new(origin)), ..Steps::default() })
    }
}

/// The server that the spans name.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    host: Arc<str>,
    port: u16,
}

impl Trace {
    pub(super) fn new(origin: &Origin) -> Self {
        Self { host: origin.host().into(), port: origin.port() }
    }

    pub(super) fn call(&self, path: &str) -> Span {
        let path = path.trim_start_matches('/');
        let (service, method) = path.rsplit_once('/').unwrap_or_default();
        tracing::info_span!(
            "call",
            otel.name = path,
            otel.kind = "internal",
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            server.address = &*self.host,
            server.port = self.port,
            rpc.grpc.status_code = Empty,
            error.r#type = Empty,
        )
    }

    pub(super) fn attempt(&self, path: &str, headers: &HeaderMap) -> Span {
        let resent = headers.get(PREVIOUS_ATTEMPTS).and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
        tracing::info_span!(
            "attempt",
            otel.name = path.trim_start_matches('/'),
            otel.kind = "client",
            server.address = &*self.host,
            server.port = self.port,
            http.request.resend_count = resent,
            http.request.method = Empty,
            url.template = Empty,
            http.response.status_code = Empty,
            network.protocol.version = Empty,
            rpc.grpc.status_code = Empty,
            error.r#type = Empty,
        )
    }
}

/// Writes the outcome of a call or of an attempt to its span.
pub(super) fn record(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("error.type", code_name(code));
    }
}

/// Has a span around an exchange whose response is passed on as it comes: the span ends
/// with the response's body.
pub(super) async fn spanned(span: Span, exchange: impl Future<Output = Response<Body>>) -> Response<Body> {
    let response = exchange.instrument(span.clone()).await;
    if span.is_disabled() {
        return response;
    }
    if let Some(status) = rpc::status(response.headers()) {
        record(&span, status.code());
        return response;
    }
    response.map(|body| Body::new(Traced { body, span }))
}

/// The body of a response, whose span ends with it.
struct Traced {
    body: Body,
    span: Span,
}

impl http_body::Body for Traced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(status) = frame.trailers_ref().and_then(rpc::status) {
                    record(&this.span, status.code());
                }
            }
            Poll::Ready(Some(Err(status))) => record(&this.span, status.code()),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
