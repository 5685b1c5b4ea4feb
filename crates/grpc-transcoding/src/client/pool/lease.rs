//! A call's way over a connection.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::{runtime::Handle, time::Instant};

use super::{Connection, Kind, Shared, connect::begin, lock};
use crate::client::replay::Replay;

/// How long the reset of a call may take that has a connection to itself.
const RESET: Duration = Duration::from_secs(1);

/// How many calls of a connection may be reset at once, and after that one in how
/// much time. tonic's servers close a connection at 20 resets that they have not
/// looked at, Envoy at 500 calls of less than a second each.
const RESETS: (u32, Duration) = (10, Duration::from_millis(100));

/// A connection on which nothing has come for so long, while a call waited, gets no
/// more calls once the call is given up.
const SILENT: Duration = Duration::from_secs(10);

/// A place on a connection.
pub(in crate::client) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) kind: Kind,
    pub(super) connection: Arc<Connection>,
    pub(super) given_back: bool,
    /// Nobody waits for its call any more.
    pub(super) abandoned: bool,
}

/// Why a request got no response.
pub(in crate::client) struct Failure {
    pub(in crate::client) error: hyper::Error,
    /// What the server can have made of it.
    pub(in crate::client) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Fate {
    /// The request was not sent.
    Unsent,
    /// The server says that it has not processed it (RFC 9113, section 8.7).
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Lease {
    /// Sends a request. A caller that leaves before the response has the call reset, but
    /// no more calls than the server bears.
    pub(in crate::client) async fn send(self, request: Request<Replay>) -> Result<Response<Answer>, Failure> {
        let connection = Arc::clone(&self.connection);
        let answer = Box::pin(connection.sender.clone().try_send_request(request));
        let mut waiting = InFlight { answer: Some(answer), lease: Some(self), since: Instant::now() };
        let answer = std::future::poll_fn(|context| match &mut waiting.answer {
            Some(answer) => answer.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
        waiting.answer = None;
        let lease = waiting.lease.take();
        match answer {
            Ok(response) => {
                connection.hear();
                Ok(response.map(|body| Answer { body: Some(body), lease }))
            }
            Err(mut failed) => {
                let unsent = failed.take_message().is_some();
                let error = failed.into_error();
                let fate = match unsent {
                    true => Fate::Unsent,
                    false if is_refused(&error) => Fate::Refused,
                    false => Fate::Unknown,
                };
                // One that was refused by a GOAWAY, or is closed, takes no more.
                if fate != Fate::Unknown
                    && !is_reset(&error)
                    && let Some(lease) = &lease
                {
                    begin(lease.shared.retire(lease.kind, &connection));
                }
                Err(Failure { error, fate })
            }
        }
    }

    /// Resets a call that has not ended: at once, or when its connection bears it,
    /// unless it has ended by itself until then.
    fn reset_later(mut self, call: impl Future<Output = ()> + Send + 'static) {
        if self.kind == Kind::Sending {
            let attempt = self.shared.retire(self.kind, &self.connection);
            // It is reset so; but hyper does not reset a request that waits for the server's
            // window once its response has begun, so that the connection ends soon after.
            drop(call);
            let few = self.shared.is_few_retired(self.kind);
            if let Some(runtime) = Handle::try_current().ok().filter(|_| few) {
                runtime.spawn(async move {
                    tokio::time::sleep(RESET).await;
                    self.connection.over.send_replace(true);
                });
            } else {
                self.connection.over.send_replace(true);
            }
            return begin(attempt);
        }
        let wait = lock(&self.connection.pace).wait(Instant::now());
        if wait.is_zero() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let shared = Arc::clone(&self.shared);
        let attempt = shared.abandon(&mut self);
        let mut over = self.connection.over.subscribe();
        runtime.spawn(async move {
            // However it ends, the call is over then.
            tokio::select! {
                ended = tokio::time::timeout(wait, call) => {
                    // It ended by itself: its reset is another's.
                    if ended.is_ok() {
                        lock(&self.connection.pace).give_back();
                    }
                }
                _ = over.wait_for(|over| *over) => {}
            }
            drop(self);
        });
        begin(attempt);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.given_back {
            return;
        }
        let mut lane = lock(self.shared.lane(self.kind));
        if self.abandoned {
            self.connection.abandoned.fetch_sub(1, Relaxed);
        }
        self.connection.give_back();
        self.connection.end_abandoned();
        self.shared.hand_out(self.kind, &mut lane);
    }
}

fn http2_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e h2::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn is_reset(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(h2::Error::is_reset)
}

/// Whether a server says that it has not processed the request of this error.
///
/// h2 gives the error of a GOAWAY only to streams above the last that the frame names;
/// those below end with an error of IO.
pub(in crate::client) fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    http2_error(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_go_away() || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

type Sent = Result<Response<Incoming>, TrySendError<Request<Replay>>>;

/// A call whose response has not begun.
struct InFlight {
    answer: Option<Pin<Box<dyn Future<Output = Sent> + Send>>>,
    lease: Option<Lease>,
    since: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (Some(answer), Some(lease)) = (self.answer.take(), self.lease.take()) else { return };
        if self.since.elapsed() >= SILENT && lease.connection.heard() < self.since {
            begin(lease.shared.retire(lease.kind, &lease.connection));
        }
        let kind = lease.kind;
        lease.reset_later(async move {
            if let Ok(response) = answer.await {
                rest(response.into_body(), kind).await;
            }
        });
    }
}

/// What is left of a response that nobody wants. One that lasts is not read: its window
/// bounds what comes.
async fn rest(mut body: Incoming, kind: Kind) {
    match kind {
        Kind::Prompt => {
            while let Some(Ok(_)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
        }
        Kind::Lasting | Kind::Sending => std::future::pending().await,
    }
}

/// The body of a response, whose end gives the place back.
pub(in crate::client) struct Answer {
    body: Option<Incoming>,
    lease: Option<Lease>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(lease) = &this.lease {
            lease.connection.hear();
        }
        if !matches!(frame, Some(Ok(_))) {
            (this.body, this.lease) = (None, None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let (Some(body), Some(lease)) = (self.body.take(), self.lease.take()) else { return };
        if !body.is_end_stream() {
            let kind = lease.kind;
            lease.reset_later(rest(body, kind));
        }
    }
}

/// When a call may be reset: some at once, then one after the other.
pub(super) struct Pace {
    /// When the last that was allowed would have been, one after the other.
    pub(super) next: Instant,
}

impl Pace {
    fn wait(&mut self, now: Instant) -> Duration {
        let (burst, interval) = RESETS;
        let next = self.next.max(now);
        self.next = next + interval;
        (next - now).saturating_sub(interval * (burst - 1))
    }

    /// One that was waited for is not needed.
    fn give_back(&mut self) {
        self.next = self.next.checked_sub(RESETS.1).unwrap_or(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_come_one_after_the_other_once_there_were_many() {
        let now = Instant::now();
        let mut pace = Pace { next: now };
        for _ in 0..RESETS.0 {
            assert_eq!(pace.wait(now), Duration::ZERO);
        }
        assert_eq!([pace.wait(now), pace.wait(now)], [RESETS.1, RESETS.1 * 2]);
        let later = now + RESETS.1 * 100;
        assert_eq!(pace.wait(later), Duration::ZERO);
    }
}
