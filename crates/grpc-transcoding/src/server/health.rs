//! gRPC health: whether a server takes calls.
//!
//! Source: [grpc.health.v1](https://github.com/grpc/grpc/blob/master/src/proto/grpc/health/v1/health.proto),
//! [gRPC health checking](https://github.com/grpc/grpc/blob/master/doc/health-checking.md).

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{CONTENT_TYPE, TE},
};
use http_body::Frame;
use http_body_util::Full;
use prost::Message;
use tokio::sync::watch;
use tonic::{Code, Status, body::Body};
use tower::{Service, ServiceExt};

use super::{BoxError, grpc_response::GrpcResponse, inner::boxed};
use crate::rpc::{collect, deadline::Deadline, frame, response};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The longest name of a service that is read.
const LIMIT: usize = 4 * 1024;

/// How long the request of a health check may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many may watch at a time. A watch lasts as long as its caller likes, and takes a
/// place among the requests.
const WATCHERS: usize = 256;

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks a server whether it takes calls, itself (for an empty name) or a service of its own.
///
/// `backend` sends gRPC calls to the server, as `Grpc` does.
///
/// # Errors
///
/// UNIMPLEMENTED if the server has no health service, and whatever else the call ends with.
pub async fn check_health<S>(backend: S, service: &str) -> Result<bool, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut call = Request::post(CHECK).body(Body::new(Full::new(framed(&request)?))).unwrap_or_default();
    call.headers_mut().insert(CONTENT_TYPE, response::GRPC);
    call.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let Ok(response) = backend.oneshot(call).await;
    let (_, mut incoming) = GrpcResponse::new(response.map(boxed), LIMIT, Deadline::after(None))?;
    let response = HealthCheckResponse::decode(incoming.one().await?);
    let response =
        response.map_err(|error| Status::internal(format!("the server's health cannot be read: {error}")))?;
    Ok(response.status == SERVING)
}

fn framed(message: &impl Message) -> Result<Bytes, Status> {
    let mut room = frame::room(message.encoded_len());
    message.encode(&mut room).map_err(|error| Status::internal(error.to_string()))?;
    frame::frame(room)
}

/// A tower service that answers gRPC health checks, for a whole server and for services by
/// their names. It serves until it is told otherwise. Clones share the state.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    services: Vec<String>,
    serving: watch::Sender<bool>,
}

impl Health {
    /// Answers for the whole server, whose name is empty, and for services by their full
    /// names.
    pub fn new<I: IntoIterator<Item: Into<String>>>(services: I) -> Self {
        let services = services.into_iter().map(Into::into).collect();
        Self(Arc::new(Shared { services, serving: watch::Sender::new(true) }))
    }

    /// Whether it is this that a path leads to.
    pub fn serves(path: &str) -> bool {
        matches!(path, CHECK | WATCH)
    }

    /// Sets whether the server takes calls. Those who watch are told.
    pub fn set_serving(&self, serving: bool) {
        self.0.serving.send_replace(serving);
    }

    /// Whether the server takes calls.
    pub fn is_serving(&self) -> bool {
        *self.0.serving.borrow()
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.0.services.iter().any(|one| one == service)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("serving", &self.is_serving()).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Health
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<B>) -> Self::Future {
        let health = self.clone();
        Box::pin(async move { Ok(health.answer(call).await.unwrap_or_else(response::failure)) })
    }
}

impl Health {
    async fn answer<B>(&self, call: Request<B>) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = call.into_parts();
        let encoding = head.headers.get(&response::GRPC_ENCODING).map(HeaderValue::as_bytes);
        let unreadable = |problem: &dyn fmt::Display| Status::invalid_argument(format!("the health check: {problem}"));
        let body = async { collect(body, LIMIT).await.map_err(|error| unreadable(&error)) };
        let body = Deadline::after(Some(PATIENCE)).within(body).await?;
        let request = HealthCheckRequest::decode(frame::unary(body, encoding, LIMIT)?);
        let service = request.map_err(|error| unreadable(&error))?.service;
        let known = self.knows(&service);
        if head.uri.path() == WATCH {
            let mut serving = self.0.serving.subscribe();
            if self.0.serving.receiver_count() > WATCHERS {
                return Err(Status::resource_exhausted(format!(
                    "{WATCHERS} callers watch the server's health already; ask by Check from time to time"
                )));
            }
            // The state of now is the first message.
            serving.mark_changed();
            let body = Watched { next: Some(Box::pin(changed(serving))), known, over: false };
            return Ok(response::grpc(body, HeaderMap::new()));
        }
        if !known {
            let name: String = service.chars().take(200).collect();
            return Err(Status::new(Code::NotFound, format!("there is no service `{name}` here")));
        }
        Ok(response::grpc(response::Unary::Message(state(true, self.is_serving())?), HeaderMap::new()))
    }
}

/// A response, framed.
fn state(known: bool, serving: bool) -> Result<Bytes, Status> {
    let status = match (known, serving) {
        (false, _) => SERVICE_UNKNOWN,
        (true, true) => SERVING,
        (true, false) => NOT_SERVING,
    };
    framed(&HealthCheckResponse { status })
}

/// Waits for a change. There is none any more when the server is gone.
async fn changed(mut serving: watch::Receiver<bool>) -> watch::Receiver<bool> {
    if serving.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    serving
}

/// The body of a watch: a message for each change, until the server takes no calls any
/// more. Then it ends, so that no drain waits for it.
struct Watched {
    next: Option<Pin<Box<dyn Future<Output = watch::Receiver<bool>> + Send>>>,
    known: bool,
    over: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(next) = &mut this.next else {
            if std::mem::replace(&mut this.over, true) {
                return Poll::Ready(None);
            }
            let status = Status::unavailable("the server takes no more calls; watch another one, or again later");
            return Poll::Ready(Some(Ok(Frame::trailers(response::trailers(&status)))));
        };
        let mut serving = ready!(next.as_mut().poll(context));
        let now = *serving.borrow_and_update();
        this.next = now.then(|| Box::pin(changed(serving)) as _);
        Poll::Ready(Some(state(this.known, now).map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn call(path: &str, service: &str) -> Request<Full<Bytes>> {
        let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        let framed = [&[0, 0, 0, 0, message.len() as u8], &*message].concat();
        Request::post(path).body(framed.into()).unwrap()
    }

    async fn status(frame: Option<Result<Frame<Bytes>, Status>>) -> i32 {
        let framed = frame.unwrap().unwrap().into_data().unwrap();
        HealthCheckResponse::decode(&framed[5..]).unwrap().status
    }

    #[tokio::test]
    async fn a_check_says_whether_calls_are_taken() {
        let health = Health::new(["a.B"]);
        for (service, serving, expected) in [
            ("", true, Ok(SERVING)),
            ("a.B", true, Ok(SERVING)),
            ("a.B", false, Ok(NOT_SERVING)),
            ("a.C", true, Err("5")),
        ] {
            health.set_serving(serving);
            let told = check_health(health.clone(), service).await;
            assert_eq!(
                told.map_err(|status| (status.code() as i32).to_string()),
                expected.map(|found| found == SERVING).map_err(str::to_owned)
            );
            let answer = health.clone().oneshot(call(CHECK, service)).await.unwrap();
            match expected {
                Err(code) => assert_eq!(answer.headers()["grpc-status"], code, "{service}"),
                Ok(expected) => {
                    let mut body = answer.into_body();
                    assert_eq!(status(body.frame().await).await, expected, "{service} {serving}");
                    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["grpc-status"], "0");
                }
            }
        }
    }

    #[tokio::test]
    async fn those_who_watch_are_told_of_the_end() {
        let health = Health::new(["a.B"]);
        let mut known = health.clone().oneshot(call(WATCH, "a.B")).await.unwrap().into_body();
        let mut unknown = health.clone().oneshot(call(WATCH, "a.C")).await.unwrap().into_body();
        assert_eq!(status(known.frame().await).await, SERVING);
        assert_eq!(status(unknown.frame().await).await, SERVICE_UNKNOWN);
        health.set_serving(false);
        assert_eq!(status(known.frame().await).await, NOT_SERVING);
        assert_eq!(known.frame().await.unwrap().unwrap().into_trailers().unwrap()["grpc-status"], "14");
        assert!(known.frame().await.is_none());
    }

    #[tokio::test]
    async fn those_who_watch_are_bounded_in_number() {
        let health = Health::new(["a.B"]);
        let watch = async || health.clone().oneshot(call(WATCH, "")).await.unwrap();
        let mut watches = Vec::new();
        for _ in 0..WATCHERS {
            watches.push(watch().await);
        }
        assert_eq!(watch().await.headers()["grpc-status"], "8");
        assert!(check_health(health.clone(), "").await.unwrap());
        watches.pop();
        assert_eq!(status(watch().await.into_body().frame().await).await, SERVING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_does_not_come_is_given_up() {
        let silent = http_body_util::StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Status>>());
        let answer = Health::new([""; 0]).oneshot(Request::post(CHECK).body(silent).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
    }

    #[tokio::test]
    async fn what_is_no_check_is_refused() {
        for body in [&b""[..], b"\0\0\0\0\x01\xff", &[0; 8192]] {
            let call = Request::post(CHECK).body(Full::from(body)).unwrap();
            let answer = Health::new([""; 0]).oneshot(call).await.unwrap();
            assert_ne!(answer.headers()["grpc-status"], "0", "{body:?}");
        }
    }
}
