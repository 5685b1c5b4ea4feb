//! One request and its response: the limits of time and number that hold for any service,
//! and what becomes of a body that the service has not read.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, EXPECT, RETRY_AFTER},
};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt};

use super::{Limits, SEND, connections::Entry};
use crate::{
    rpc::{BoxError, BoxFuture, header, response},
    server::host,
};

/// How much of a body is read, and for how long, after the service has responded without it:
/// then the connection serves the next request. A longer one ends the connection.
const REST: (u64, Duration) = (256 * 1024, Duration::from_millis(500));

/// Serves the requests of one connection.
pub(super) struct Exchanges {
    pub(super) service: Box<dyn Serves>,
    pub(super) entry: Arc<Entry>,
    pub(super) peer: Peer,
    pub(super) limits: Arc<Limits>,
    pub(super) requests: Arc<Semaphore>,
}

/// A service of any type.
pub(super) trait Serves: Send {
    fn serve(&self, request: Request<RequestBody>) -> BoxFuture<Result<Response<Body>, BoxError>>;
    fn again(&self) -> Box<dyn Serves>;
}

impl<S> Serves for S
where
    S: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn serve(&self, request: Request<RequestBody>) -> BoxFuture<Result<Response<Body>, BoxError>> {
        let service = self.clone();
        Box::pin(async { service.oneshot(request).await.map_err(Into::into) })
    }

    fn again(&self) -> Box<dyn Serves> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Serves> {
    fn clone(&self) -> Self {
        self.as_ref().again()
    }
}

/// The address that a request under [`serve`](super::serve) comes from, among the request's
/// extensions; `None` over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<SocketAddr>);

/// Among the extensions of a request with a body: lets the service say that body and
/// response may take as long as they like, since it has limits of its own for them.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct MayLast(Arc<AtomicBool>);

impl MayLast {
    pub(in crate::server) fn may_last(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_said(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// What a request's body and its response share.
struct Exchange {
    entry: Arc<Entry>,
    ours: AtomicBool,
    left: Mutex<Left>,
    late: AtomicBool,
    /// The response has begun over HTTP/1.1: nobody reads the rest of the body for the next
    /// request.
    settled: AtomicBool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What the service has left of a request's body.
enum Left {
    /// The service still has the body; who waits for it to leave it.
    InUse(Option<Waker>),
    Nothing,
    Rest(Incoming),
    /// The body did not come whole.
    Broken,
}

impl Exchange {
    fn turn(&self, ours: bool) {
        if self.ours.swap(ours, Relaxed) != ours {
            self.entry.turn(ours);
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_use(&self) -> bool {
        matches!(*self.left(), Left::InUse(_))
    }

    fn leave(&self, left: Left) {
        let before = std::mem::replace(&mut *self.left(), left);
        if let Left::InUse(Some(waiting)) = before {
            waiting.wake();
        }
    }

    /// Reads the rest of a body that nobody wants; whether the connection can go on.
    async fn settle(&self) -> bool {
        if self.is_in_use() {
            return true;
        }
        let left = std::mem::replace(&mut *self.left(), Left::Nothing);
        let mut body = match left {
            Left::Nothing | Left::InUse(_) => return true,
            Left::Rest(body) if body.size_hint().lower() <= REST.0 => body,
            Left::Rest(_) | Left::Broken => {
                self.entry.leave_unread();
                return false;
            }
        };
        self.turn(false);
        let mut size = 0;
        let read = tokio::time::timeout(REST.1, async {
            while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                let Ok(frame) = frame else { return false };
                size += frame.data_ref().map_or(0, Bytes::len) as u64;
                if size > REST.0 {
                    return false;
                }
            }
            true
        })
        .await;
        self.turn(true);
        let whole = read.unwrap_or(false);
        if !whole {
            self.entry.leave_unread();
        }
        whole
    }

    /// Reads the rest of a stream of requests whose response has ended. What is then still
    /// unread ends the connection, whose client cannot have sent another request yet.
    async fn settle_stream(self: Arc<Self>) {
        let left = std::future::poll_fn(|context| match &mut *self.left() {
            Left::InUse(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        });
        match tokio::time::timeout(REST.1, left).await {
            Ok(()) => drop(self.settle().await),
            Err(_) => self.entry.leave_unread(),
        }
        self.settled.store(true, Relaxed);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.entry.end_request(*self.ours.get_mut());
    }
}

impl hyper::service::Service<Request<Incoming>> for Exchanges {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        let permit = Arc::clone(&self.requests).try_acquire_owned().ok();
        let taken = permit.is_some();
        self.entry.begin_request();
        let exchange = Arc::new(Exchange {
            entry: Arc::clone(&self.entry),
            ours: AtomicBool::new(true),
            left: Mutex::new(Left::InUse(None)),
            late: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            _permit: permit,
        });
        let grpc = header::is_grpc(request.headers());
        let http_1 = request.version() < Version::HTTP_2;
        let expects = request.headers().contains_key(EXPECT);
        let time = if grpc { None } else { Instant::now().checked_add(self.limits.body) };
        let lasts = (time.is_some() && !request.body().is_end_stream()).then(MayLast::default);
        if let Some(lasts) = &lasts {
            request.extensions_mut().insert(lasts.clone());
        }
        let request = request.map(|body| RequestBody {
            body: Some(body),
            exchange: Arc::clone(&exchange),
            read: false,
            expects,
            time,
            timer: None,
            lasts: lasts.clone(),
        });
        let answer = match host::refusal(&request) {
            Some(refusal) => Err(refusal),
            None if taken => Ok(self.service.serve(request)),
            None => {
                let status = Status::unavailable("too many requests are under way; send it again in a second");
                let mut response = refusal(grpc, StatusCode::SERVICE_UNAVAILABLE, &status);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                Err(response)
            }
        };
        let limits = Arc::clone(&self.limits);
        Box::pin(async move {
            let mut response = match answer {
                Err(refusal) => refusal,
                Ok(mut answer) => loop {
                    match tokio::time::timeout(limits.answer, answer.as_mut()).await {
                        Ok(answer) => break answer?,
                        Err(_) if lasts.as_ref().is_some_and(MayLast::is_said) => {}
                        Err(_) => {
                            let status = Status::deadline_exceeded(format!("no response within {:?}", limits.answer));
                            break refusal(grpc, StatusCode::GATEWAY_TIMEOUT, &status);
                        }
                    }
                },
            };
            if exchange.late.load(Relaxed) {
                let status = Status::deadline_exceeded(format!("the body did not come within {:?}", limits.body));
                response = refusal(grpc, StatusCode::REQUEST_TIMEOUT, &status);
            }
            if http_1 {
                if !exchange.settle().await {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                if lasts.as_ref().is_some_and(MayLast::is_said) && exchange.is_in_use() {
                    let settling = Box::pin(Arc::clone(&exchange).settle_stream());
                    response = response.map(|body| Body::new(Settling { body: Some(body), settling }));
                } else {
                    exchange.settled.store(true, Relaxed);
                }
            }
            Ok(response.map(|body| AnswerBody::new(body, exchange, http_1)))
        })
    }
}

/// A response in the place of the service's.
fn refusal(grpc: bool, http: StatusCode, status: &Status) -> Response<Body> {
    if grpc { status.clone().into_http() } else { response::error_response(status, http) }
}

/// The body of a request to a service under [`serve`](super::serve). It ends with an
/// error if it does not come in time.
pub struct RequestBody {
    body: Option<Incoming>,
    exchange: Arc<Exchange>,
    /// Some of it was asked for.
    read: bool,
    /// The client sends it only once some of it is asked for.
    expects: bool,
    time: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    lasts: Option<MayLast>,
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.read = true;
        let frame = match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                this.exchange.turn(false);
                let lasts = this.lasts.as_ref().is_some_and(MayLast::is_said);
                let Some(time) = this.time.filter(|_| !lasts) else { return Poll::Pending };
                let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(time)));
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                this.exchange.late.store(true, Relaxed);
                this.body = None;
                this.exchange.leave(Left::Broken);
                return Poll::Ready(Some(Err("it did not come in time".into())));
            }
        };
        this.exchange.turn(true);
        match &frame {
            Some(Ok(_)) => this.exchange.entry.touch(),
            Some(Err(_)) => {
                this.body = None;
                this.exchange.leave(Left::Broken);
            }
            None => {
                this.body = None;
                this.exchange.leave(Left::Nothing);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if self.exchange.settled.load(Relaxed) && !body.is_end_stream() {
            self.exchange.entry.leave_unread();
        }
        self.exchange.leave(match body.is_end_stream() {
            true => Left::Nothing,
            // To read it would be to ask the client for it.
            false if self.expects && !self.read => Left::Broken,
            false => Left::Rest(body),
        });
    }
}

/// The body of a response over HTTP/1.1 that has begun while the request was still coming: it
/// ends once the rest of that has been read, so that the connection can serve the next request.
/// If it said instead that it will be closed, Python's http.client would stop sending at once.
struct Settling {
    body: Option<Body>,
    settling: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Settling {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(body) = &mut self.body {
            let frame = ready!(Pin::new(body).poll_frame(context));
            if frame.is_some() {
                return Poll::Ready(frame);
            }
            // The service holds the request no longer than its response.
            self.body = None;
        }
        self.settling.as_mut().poll(context).map(|()| None)
    }
}

/// The body of a response, which keeps the request's place among all until its end, or until
/// its client has not taken it for too long.
///
/// hyper asks for more of it only once the client has taken what there was; over HTTP/2 a
/// window that the client never opens looks like any open stream otherwise.
pub(super) struct AnswerBody {
    answer: Arc<Mutex<Answer>>,
    entry: Arc<Entry>,
    /// `None` over HTTP/1.1, where the connection itself is seen to take nothing.
    number: Option<u64>,
}

/// What the connection takes back where a response is not taken.
pub(super) struct Answer {
    /// `None` once it was taken back.
    body: Option<Body>,
    /// What is left of a large piece.
    rest: Bytes,
    exchange: Option<Arc<Exchange>>,
    /// When the last piece was given for sending, if no other was asked for since.
    given: Option<Instant>,
}

impl AnswerBody {
    fn new(body: Body, exchange: Arc<Exchange>, http_1: bool) -> Self {
        let entry = Arc::clone(&exchange.entry);
        let answer =
            Answer { body: Some(body), rest: Bytes::new(), exchange: Some(exchange), given: Some(Instant::now()) };
        let answer = Arc::new(Mutex::new(answer));
        let number = (!http_1).then(|| entry.keep(&answer));
        Self { answer, entry, number }
    }

    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.entry.forget(number);
        }
    }
}

impl Answer {
    /// Ends a response of which nothing was taken for so long, and gives back all that it
    /// holds: its place, and the call behind it.
    pub(super) fn end_if_untaken(answer: &Mutex<Self>, limit: Duration) {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.given.is_some_and(|given| given.elapsed() >= limit) {
            let held = (answer.body.take(), answer.exchange.take());
            answer.rest = Bytes::new();
            drop(answer);
            drop(held);
        }
    }

    /// The next piece, none of which is larger than what may wait for a client.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(SEND);
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))));
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err(Status::deadline_exceeded("the client did not read the response in time"))));
        };
        let frame = Pin::new(body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut data) if data.len() > SEND => {
                let first = data.split_to(SEND);
                self.rest = data;
                Frame::data(first)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        })))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut answer = self.lock();
        let frame = answer.poll_piece(context);
        answer.given = frame.is_ready().then(Instant::now);
        if let Some(exchange) = &answer.exchange {
            exchange.turn(frame.is_pending());
        }
        let ended = match frame {
            Poll::Ready(None | Some(Err(_))) => answer.exchange.take(),
            _ => None,
        };
        drop(answer);
        drop(ended);
        frame
    }

    fn is_end_stream(&self) -> bool {
        let answer = self.lock();
        answer.rest.is_empty() && answer.body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let answer = self.lock();
        let rest = answer.rest.len() as u64;
        let Some(body) = &answer.body else { return SizeHint::default() };
        let hint = body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
