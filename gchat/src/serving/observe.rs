//! What is logged, counted and traced: each request from its head to the end of its answer.

use std::{
    convert::Infallible,
    future::Future,
    io::Write,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use google_chat::grpc_transcoding::{
    Binding, HttpRules,
    bytes::Bytes,
    hyper::body::{Body as HttpBody, Frame, SizeHint},
    rpc,
    server::{Peer, RequestBody},
};
use http::{HeaderMap, Method, Request, Response, Version, header::USER_AGENT};
use tonic::{Code, Status, body::Body};
use tower::Service;

use super::{
    access_log::{AccessLog, Entry, Form},
    metrics::{Metrics, Subject},
    spans::{ServerSpan, Tracer},
};

/// HTTP's status of a request whose client was gone first, as nginx has it.
const GONE: u16 = 499;

/// The code of a gRPC-Web call, which its response tells at its end and in its body. It is
/// among the response's extensions.
#[derive(Clone, Default)]
pub(crate) struct LateCode(Arc<OnceLock<Code>>);

impl LateCode {
    #[cfg_attr(not(feature = "full"), expect(dead_code, reason = "gRPC-Web is in the full program"))]
    pub(crate) fn set(&self, code: Code) {
        let _ = self.0.set(code);
    }

    /// `None` as long as the response has not ended.
    pub(crate) fn get(&self) -> Option<Code> {
        self.0.get().copied()
    }
}

/// A service whose requests are logged, counted and traced, as far as is asked for.
#[derive(Clone)]
pub struct Observe<S> {
    inner: S,
    /// `None` if nothing is asked for.
    observers: Option<Arc<Observers>>,
}

/// Who is told of requests.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    pub(super) log: Option<AccessLog>,
    pub(super) metrics: Option<Arc<Metrics>>,
    pub(super) tracer: Option<Tracer>,
}

impl Observers {
    /// Has the methods and routes of another schema known by their names.
    pub(crate) fn learn(&self, rules: &HttpRules) {
        if let Some(metrics) = &self.metrics {
            metrics.learn(rules);
        }
        if let Some(tracer) = &self.tracer {
            tracer.learn(rules);
        }
    }
}

impl<S> Observe<S> {
    pub(crate) fn with_log_and_metrics(inner: S, rules: &HttpRules, log: impl Write + Send + 'static) -> Self {
        let (log, metrics) = (AccessLog::to(Form::Json, log), Arc::new(Metrics::new(rules, None)));
        Self::new(inner, Observers { log: Some(log), metrics: Some(metrics), tracer: None })
    }

    pub(super) fn new(inner: S, observers: Observers) -> Self {
        let asked = observers.log.is_some() || observers.metrics.is_some() || observers.tracer.is_some();
        Self { inner, observers: asked.then(|| Arc::new(observers)) }
    }
}

impl<S> Service<Request<RequestBody>> for Observe<S>
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let Some(observers) = &self.observers else { return Box::pin(self.inner.call(request)) };
        let mut seen = Seen::new(&mut request, observers);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            seen.answered(&answer);
            Ok(answer.map(|body| Body::new(Watched { body, seen })))
        })
    }
}

/// A request, what is known of its answer, and who is told at the end.
struct Seen {
    observers: Arc<Observers>,
    span: Option<ServerSpan>,
    time: SystemTime,
    begun: Instant,
    peer: Option<SocketAddr>,
    method: Method,
    path: String,
    version: Version,
    user_agent: String,
    is_grpc: bool,
    subject: Option<Subject>,
    binding: Option<Binding>,
    status: Option<u16>,
    code: Option<Code>,
    late: Option<LateCode>,
    bytes: u64,
    ended: bool,
}

impl Seen {
    fn new<B>(request: &mut Request<B>, observers: &Arc<Observers>) -> Self {
        let span = observers.tracer.as_ref().and_then(|tracer| ServerSpan::begin(tracer, request));
        let is_grpc = rpc::is_grpc(request.headers()) || rpc::is_grpc_web(request.headers());
        let path = request.uri().path();
        let metrics = observers.metrics.as_ref();
        let subject = metrics.filter(|_| is_grpc).map(|metrics| metrics.method(path));
        if let Some(metrics) = metrics {
            metrics.start(subject);
        }
        let is_told = observers.log.is_some() || span.is_some();
        let user_agent = request.headers().get(USER_AGENT).filter(|_| is_told);
        Self {
            observers: Arc::clone(observers),
            span,
            time: SystemTime::now(),
            begun: Instant::now(),
            peer: request.extensions().get::<Peer>().and_then(|peer| peer.0),
            method: request.method().clone(),
            path: if is_told { path.to_owned() } else { String::new() },
            version: request.version(),
            user_agent: user_agent
                .map_or_else(String::new, |text| String::from_utf8_lossy(text.as_bytes()).into_owned()),
            is_grpc,
            subject,
            binding: None,
            status: None,
            code: None,
            late: None,
            bytes: 0,
            ended: false,
        }
    }

    fn answered(&mut self, answer: &Response<Body>) {
        self.status = Some(answer.status().as_u16());
        // Of an error that is answered as JSON, HTTP's status does not say all.
        self.code = code(answer.headers()).or_else(|| answer.extensions().get().copied());
        self.late = answer.extensions().get().cloned();
        let binding = answer.extensions().get();
        if let (Some(metrics), None) = (&self.observers.metrics, self.subject) {
            self.subject = Some(metrics.route(&self.method, binding));
        }
        self.binding = binding.filter(|_| self.span.is_some()).cloned();
        // Nobody asks for the body of an answer to HEAD.
        self.ended = HttpBody::is_end_stream(answer.body()) || self.method == Method::HEAD;
    }
}

/// The code that headers or trailers hold.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

impl Drop for Seen {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.code = self.code.or_else(|| self.late.as_ref()?.get());
        if self.is_grpc && self.code.is_none() {
            // Without a status a call has not ended for its caller, unless it was refused as HTTP.
            self.code = match self.status {
                Some(status) if status != 200 => {
                    Some(rpc::code(http::StatusCode::from_u16(status).unwrap_or_default()))
                }
                _ => Some(Code::Cancelled),
            };
        }
        if let Some(metrics) = &self.observers.metrics {
            let outcome = match self.code.filter(|_| self.is_grpc) {
                Some(code) => code as u16,
                None => self.status.unwrap_or(GONE),
            };
            metrics.end(self.subject.unwrap_or_else(|| metrics.route(&self.method, None)), outcome, took);
        }
        let span = self.span.take();
        let entry = Entry {
            begun: self.time,
            took,
            peer: self.peer,
            method: &self.method,
            path: &self.path,
            version: self.version,
            user_agent: &self.user_agent,
            status: self.status,
            code: self.code,
            bytes: self.bytes,
            cancelled: !self.ended,
        };
        if let Some(log) = &self.observers.log {
            log.log(&entry);
        }
        if let Some(span) = span {
            span.end(&entry, self.is_grpc, self.binding.as_ref().map(|binding| binding.template().as_str()));
        }
    }
}

/// The body of an answer, until its end or until its client is gone.
struct Watched {
    body: Body,
    seen: Seen,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.seen.bytes += data.len() as u64;
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.seen.code = code(trailers).or(self.seen.code);
                    self.seen.ended = true;
                }
            }
            // The server ends it, and not the client.
            Poll::Ready(Some(Err(status))) => {
                self.seen.code = Some(status.code());
                self.seen.ended = true;
            }
            Poll::Ready(None) => self.seen.ended = true,
            _ => {}
        }
        // A length is said in advance, and then nobody asks for the end.
        self.seen.ended |= self.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, Limited};

    use super::*;
    use crate::serving::access_log::tests::Disk;

    #[tokio::test]
    async fn only_what_a_client_leaves_is_cancelled() {
        let failing = || {
            let limited = Limited::new(Full::<Bytes>::from("more than a byte"), 1);
            Body::new(limited.map_err(|_| Status::data_loss("it broke")))
        };
        for (method, grpc, body, read, expected) in [
            ("GET", false, Body::new(Full::from("a")), true, (None, false)),
            ("GET", false, Body::new(Full::from("a")), false, (None, true)),
            ("HEAD", false, Body::new(Full::from("a")), false, (None, false)),
            ("POST", true, failing(), true, (Some("DATA_LOSS"), false)),
            ("POST", true, failing(), false, (Some("CANCELLED"), true)),
        ] {
            let disk = Disk::failing(&[]);
            let log = AccessLog::to(Form::Json, disk.clone());
            let kind = if grpc { "application/grpc" } else { "application/json" };
            let mut request = Request::builder().method(method).header("content-type", kind).body(()).unwrap();
            let observers = Observers { log: Some(log.clone()), ..Observers::default() };
            let mut seen = Seen::new(&mut request, &Arc::new(observers));
            let answer = Response::new(body);
            seen.answered(&answer);
            let watched = Watched { body: answer.into_body(), seen };
            if read {
                let _ = watched.collect().await;
            } else {
                drop(watched);
            }
            log.finish();
            let line: serde_json::Value = serde_json::from_slice(&disk.text()).unwrap();
            assert_eq!((line["code"].as_str(), line["cancelled"] == true), expected, "{method} {read} {line}");
        }
    }
}
