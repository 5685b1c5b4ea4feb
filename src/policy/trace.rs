use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use tonic::{Code, Status, body::Body};
use tracing::{Instrument, Span, field::Empty};

use super::{
    ATTEMPTS,
    service::{Answer, Inner, service},
};
use crate::{
    transcoding::status::code_name,
    transport::{self, Origin},
};

/// A tower service that has a `tracing` span around each call, with the names that
/// OpenTelemetry gives to remote procedure calls and to HTTP. It names method,
/// server and outcome, never a token, a message or a path with what it was filled
/// with.
///
/// Sources: OpenTelemetry's semantic conventions for
/// [gRPC](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/) and
/// [HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
#[derive(Clone, Debug)]
pub struct Trace<S> {
    inner: S,
    host: Arc<str>,
    port: u16,
    attempts: bool,
}

impl<S> Trace<S> {
    /// A span `call` for each call to `origin`: put it above
    /// [`Retry`](super::Retry).
    pub fn calls(inner: S, origin: &Origin) -> Self {
        Self { inner, host: origin.host().into(), port: origin.port(), attempts: false }
    }

    /// A span `attempt` for each time that a call is made: put it under
    /// [`Retry`](super::Retry).
    pub fn attempts(inner: S, origin: &Origin) -> Self {
        Self { attempts: true, ..Self::calls(inner, origin) }
    }

    fn span(&self, call: &Request<Body>) -> Span {
        let path = call.uri().path().trim_start_matches('/');
        let (service, method) = path.rsplit_once('/').unwrap_or_default();
        if self.attempts {
            let resent = call.headers().get(ATTEMPTS).and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
            return tracing::info_span!(
                "attempt",
                otel.name = path,
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
            );
        }
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
}

service!(Trace);

impl<S> Trace<S> {
    fn through<I: Inner>(&self, mut inner: I, call: Request<Body>) -> Answer {
        let span = self.span(&call);
        if span.is_disabled() {
            return Box::pin(inner.call(call));
        }
        let answered = span.clone();
        let calling = async move {
            let response = inner.call(call).await?;
            if let Some(status) = transport::status(response.headers()) {
                record(&answered, &status);
                return Ok(response);
            }
            Ok(response.map(|body| Body::new(Traced { body, span: answered })))
        };
        Box::pin(calling.instrument(span))
    }
}

fn record(span: &Span, status: &Status) {
    span.record("rpc.grpc.status_code", status.code() as i32);
    if status.code() != Code::Ok {
        span.record("error.type", code_name(status.code()));
    }
}

/// An answer's body, whose span ends with it.
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
                if let Some(status) = frame.trailers_ref().and_then(transport::status) {
                    record(&this.span, &status);
                }
            }
            Poll::Ready(Some(Err(status))) => record(&this.span, status),
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
