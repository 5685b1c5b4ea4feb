//! Deadlines: of calls, and of bodies that come after their heads.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::{
    BoxFuture,
    response::{GRPC_TIMEOUT, trailers},
};

/// When a call must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// From now on; a limit beyond what the clock can say is none.
    ///
    /// On the web there is no clock that tokio knows, so that nothing is held there: the
    /// server is told the limit, and the service that sends may hold it.
    pub(crate) fn after(limit: Option<Duration>) -> Self {
        let limit = if cfg!(all(target_family = "wasm", target_os = "unknown")) { None } else { limit };
        Self(limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))))
    }

    /// As `grpc-timeout` has it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::after(headers.get(&GRPC_TIMEOUT).and_then(parse_timeout))
    }

    pub(crate) fn instant(self) -> Option<Instant> {
        self.0.map(|(instant, _)| instant)
    }

    pub(crate) fn expired(self) -> Status {
        let limit = self.0.map_or(Duration::ZERO, |(_, limit)| limit);
        Status::deadline_exceeded(format!("no response within {limit:?}"))
    }

    /// The work, or what `late` makes of the status if it is not done in time.
    pub(crate) fn hold<T: 'static>(
        self,
        work: BoxFuture<T>,
        late: impl FnOnce(Status) -> T + Send + 'static,
    ) -> BoxFuture<T> {
        let Some((instant, _)) = self.0 else { return work };
        Box::pin(async move {
            let done = tokio::time::timeout_at(instant, work).await;
            done.unwrap_or_else(|_| late(self.expired()))
        })
    }

    /// The work, or DEADLINE_EXCEEDED if it is not done in time.
    pub(crate) async fn within<T, E: From<Status>>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        match self.instant() {
            None => work.await,
            Some(instant) => {
                tokio::time::timeout_at(instant, work).await.unwrap_or_else(|_| Err(self.expired().into()))
            }
        }
    }

    /// What ends a body that is polled when it has passed.
    pub(crate) fn expiry(self) -> Expiry {
        Expiry { deadline: self, sleep: None }
    }
}

/// The timer of a [`Deadline`]; without one it never ends.
#[derive(Debug)]
pub(crate) struct Expiry {
    deadline: Deadline,
    /// Set once somebody waits: a timer costs more than a look at the clock.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Expiry {
    /// The status, if the deadline has passed.
    pub(crate) fn passed(&self) -> Option<Status> {
        let instant = self.deadline.instant()?;
        (Instant::now() >= instant).then(|| self.deadline.expired())
    }

    /// The status, once the deadline has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some(instant) = self.deadline.instant() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(instant)));
        sleep.as_mut().poll(context).map(|()| self.deadline.expired())
    }
}

/// The body of a gRPC response, which ends with DEADLINE_EXCEEDED if it takes too long.
pub(crate) struct DeadlineBody<B> {
    body: B,
    expiry: Expiry,
    expired: bool,
}

impl<B> DeadlineBody<B> {
    pub(crate) fn new(body: B, deadline: Deadline) -> Self {
        Self { body, expiry: deadline.expiry(), expired: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for DeadlineBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.expired {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(context);
        let expired = match &frame {
            Poll::Ready(_) => this.expiry.passed(),
            Poll::Pending => match this.expiry.poll(context) {
                Poll::Ready(expired) => Some(expired),
                Poll::Pending => None,
            },
        };
        match expired {
            None => frame,
            Some(expired) => {
                this.expired = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers(&expired)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.expired || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
///
/// Source: gRPC over HTTP/2, "Timeout".
pub fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// Writes `grpc-timeout`: in milliseconds, rounded up, so that a server does not see a
/// limit pass before it has. Eight digits of them are more than a day.
pub(crate) fn timeout_value(timeout: Duration) -> HeaderValue {
    let millis = timeout.as_micros().div_ceil(1_000).clamp(1, 99_999_999);
    // Digits and a letter are always a header's value.
    HeaderValue::try_from(format!("{millis}m")).unwrap_or(HeaderValue::from_static("99999999m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_units_and_eight_digits() {
        let parse = |text: &'static str| parse_timeout(&HeaderValue::from_static(text));
        assert_eq!(parse("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse("30S"), Some(Duration::from_secs(30)));
        assert_eq!(parse("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parse("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "30", "123456789S", "-1S", "1.5S", "1s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
