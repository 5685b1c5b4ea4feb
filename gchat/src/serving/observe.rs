//! What is logged and counted: each request from its head to the end of its answer.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use google_chat::grpc_transcoding::{
    Binding,
    bytes::Bytes,
    hyper::body::{Body as HttpBody, Frame, SizeHint},
    rpc,
    server::{Peer, RequestBody},
};
use http::{HeaderMap, Method, Request, Response, Version, header::USER_AGENT};
use tonic::{Code, Status, body::Body};
use tower::Service;

use super::{
    access_log::{AccessLog, Entry},
    metrics::{Metrics, Subject},
};

/// HTTP's status of a request whose client was gone first, as nginx has it.
const GONE: u16 = 499;

/// A service whose requests are logged and counted, as far as is asked for.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    log: Option<AccessLog>,
    metrics: Option<Arc<Metrics>>,
}

impl<S> Observe<S> {
    pub(super) fn new(inner: S, log: Option<AccessLog>, metrics: Option<Arc<Metrics>>) -> Self {
        Self { inner, log, metrics }
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

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if self.log.is_none() && self.metrics.is_none() {
            return Box::pin(self.inner.call(request));
        }
        let mut seen = Seen::new(&request, self.log.clone(), self.metrics.clone());
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
    log: Option<AccessLog>,
    metrics: Option<Arc<Metrics>>,
    time: SystemTime,
    begun: Instant,
    peer: Option<SocketAddr>,
    method: Method,
    path: String,
    version: Version,
    user_agent: String,
    is_grpc: bool,
    subject: Option<Subject>,
    status: Option<u16>,
    code: Option<Code>,
    bytes: u64,
    ended: bool,
}

impl Seen {
    fn new<B>(request: &Request<B>, log: Option<AccessLog>, metrics: Option<Arc<Metrics>>) -> Self {
        let is_grpc = rpc::is_grpc(request.headers());
        let path = request.uri().path();
        let subject = metrics.as_ref().filter(|_| is_grpc).map(|metrics| metrics.method(path));
        if let Some(metrics) = &metrics {
            metrics.start(subject);
        }
        let user_agent = request.headers().get(USER_AGENT).filter(|_| log.is_some());
        Self {
            metrics,
            time: SystemTime::now(),
            begun: Instant::now(),
            peer: request.extensions().get::<Peer>().and_then(|peer| peer.0),
            method: request.method().clone(),
            path: if log.is_some() { path.to_owned() } else { String::new() },
            version: request.version(),
            user_agent: user_agent
                .map_or_else(String::new, |text| String::from_utf8_lossy(text.as_bytes()).into_owned()),
            is_grpc,
            subject,
            status: None,
            code: None,
            bytes: 0,
            ended: false,
            log,
        }
    }

    fn answered(&mut self, answer: &Response<Body>) {
        self.status = Some(answer.status().as_u16());
        // Of an error that is answered as JSON, HTTP's status does not say all.
        self.code = code(answer.headers()).or_else(|| answer.extensions().get().copied());
        if let (Some(metrics), None) = (&self.metrics, self.subject) {
            self.subject = Some(metrics.route(&self.method, answer.extensions().get::<Binding>()));
        }
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
        if self.is_grpc && self.code.is_none() {
            // Without a status a call has not ended for its caller, unless it was refused as HTTP.
            self.code = match self.status {
                Some(status) if status != 200 => {
                    Some(rpc::code(http::StatusCode::from_u16(status).unwrap_or_default()))
                }
                _ => Some(Code::Cancelled),
            };
        }
        if let Some(metrics) = &self.metrics {
            let outcome = match self.code.filter(|_| self.is_grpc) {
                Some(code) => code as u16,
                None => self.status.unwrap_or(GONE),
            };
            metrics.end(self.subject.unwrap_or_else(|| metrics.route(&self.method, None)), outcome, took);
        }
        if let Some(log) = &self.log {
            log.log(&Entry {
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
            });
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
    use crate::serving::access_log::{Form, tests::Disk};

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
            let request = Request::builder().method(method).header("content-type", kind).body(()).unwrap();
            let mut seen = Seen::new(&request, Some(log.clone()), None);
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
