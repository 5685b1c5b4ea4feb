use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tonic::Code;

use super::{State, lock};

/// How many calls are kept.
const CALLS: usize = 1_000;
/// How much of a call's body is kept.
const BODY: usize = 64 * 1024;

/// A call that reached the emulator, as it came over the wire.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// When it came, by the emulator's clock.
    pub at: SystemTime,
    /// The HTTP verb; POST for gRPC.
    pub verb: Method,
    /// Path and query, percent-encoded as they were sent. For gRPC the path names
    /// the method.
    pub target: String,
    /// The headers, with the caller's token if it sent one.
    pub headers: HeaderMap,
    /// The body: JSON, or for gRPC the framed message. At most 64 KiB of it.
    pub body: Bytes,
    /// How it was answered; `None` as long as it is not, and where the connection
    /// ended before that.
    pub code: Option<Code>,
}

/// The last calls, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    calls: VecDeque<Received>,
    /// How many came before those.
    gone: u64,
}

impl Log {
    /// Keeps a call that begins. What it returns names the call.
    pub(super) fn begin(&mut self, call: Received) -> u64 {
        if self.calls.len() == CALLS {
            self.calls.pop_front();
            self.gone += 1;
        }
        self.calls.push_back(call);
        self.gone + self.calls.len() as u64 - 1
    }

    /// A call that is still kept.
    pub(super) fn call(&mut self, number: u64) -> Option<&mut Received> {
        self.calls.get_mut(usize::try_from(number.checked_sub(self.gone)?).ok()?)
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Received> {
        self.calls.iter()
    }
}

/// A call's body; what passes is kept.
pub(super) struct Watched {
    pub(super) body: Incoming,
    pub(super) state: Arc<State>,
    pub(super) number: u64,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
            && let Some(call) = lock(&this.state.log).call(this.number)
        {
            let room = BODY - call.body.len();
            let more = data.slice(..data.len().min(room));
            call.body = match call.body.is_empty() {
                true => more,
                false => BytesMut::from_iter(call.body.iter().chain(&more)).freeze(),
            };
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_kept() {
        let mut log = Log::default();
        let call = |target: String| Received {
            at: SystemTime::UNIX_EPOCH,
            verb: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            code: None,
        };
        let numbers: Vec<u64> = (0..CALLS + 10).map(|at| log.begin(call(at.to_string()))).collect();
        assert_eq!(log.all().count(), CALLS);
        assert!(log.call(numbers[9]).is_none());
        for number in [10, 500, CALLS + 9] {
            assert_eq!(log.call(numbers[number]).map(|call| call.target.clone()), Some(number.to_string()));
        }
    }
}
