//! The span of a call to the server behind.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::SystemTime,
};

use google_chat::grpc_transcoding::{
    bytes::Bytes,
    client::Origin,
    hyper::body::{Body as HttpBody, Frame, SizeHint},
    rpc,
};
use http::{HeaderMap, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::Service;

use super::{
    Tracer,
    context::{Context, TRACEPARENT},
    nanos,
    otlp::{CLIENT, LOCAL_PARENT, Span},
    random,
};

/// A service that sends calls to a server, whose spans are recorded as far as those are of the
/// requests that they are made for.
#[derive(Clone)]
pub(crate) struct Traced<S> {
    inner: S,
    tracer: Option<Tracer>,
    server: Origin,
}

impl<S> Traced<S> {
    pub(crate) fn new(inner: S, tracer: Option<Tracer>, server: Origin) -> Self {
        Self { inner, tracer, server }
    }
}

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Request<Body>) -> Answer {
        let span = self.tracer.as_ref().and_then(|tracer| CallSpan::begin(tracer, &self.server, &mut call));
        let answer = self.inner.call(call);
        let Some(mut span) = span else { return answer };
        Box::pin(async move {
            let answer = answer.await?;
            span.note(answer.headers());
            Ok(answer.map(|body| Body::new(Watched { body, span })))
        })
    }
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A call under way, until its end or until nobody waits for it.
struct CallSpan {
    tracer: Tracer,
    span: Span,
    code: Option<Code>,
}

impl CallSpan {
    /// Makes the call's `traceparent` that of a span of its own. The one that it has is that
    /// of the request, as `ServerSpan` has put it there.
    fn begin(tracer: &Tracer, server: &Origin, call: &mut Request<Body>) -> Option<Self> {
        let parent = Context::of(call.headers()).filter(Context::is_sampled)?;
        let context = Context { span: random()?, ..parent };
        call.headers_mut().insert(TRACEPARENT, context.header());
        let mut span = tracer.rpc_span(call.uri().path());
        span.set("server.address", server.host());
        span.set("server.port", server.port());
        span.trace_id = context.trace.to_vec();
        span.span_id = context.span.to_vec();
        span.parent_span_id = parent.span.to_vec();
        span.flags = LOCAL_PARENT | u32::from(context.flags);
        span.kind = CLIENT;
        span.start_time_unix_nano = nanos(SystemTime::now());
        Some(Self { tracer: tracer.clone(), span, code: None })
    }

    /// Takes the status that headers or trailers hold.
    fn note(&mut self, headers: &HeaderMap) {
        self.code = rpc::status(headers).map(|status| status.code()).or(self.code);
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        let mut span = std::mem::take(&mut self.span);
        let code = self.code.unwrap_or(Code::Cancelled);
        span.set_code(code, code != Code::Ok);
        span.end_time_unix_nano = nanos(SystemTime::now());
        self.tracer.0.queue.push(span);
    }
}

/// The body of an answer.
struct Watched {
    body: Body,
    span: CallSpan,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.span.note(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.span.code = Some(status.code()),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
