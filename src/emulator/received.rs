use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, request::Parts};
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
    calls: VecDeque<Call>,
    /// How many came before those.
    gone: u64,
}

/// A call as it is kept: what it holds is copied, since a part of the buffer that a
/// connection reads into would keep all of it.
#[derive(Debug)]
struct Call {
    at: SystemTime,
    verb: Method,
    target: Box<str>,
    /// Each name and value, with the lengths of both.
    headers: Vec<u8>,
    lengths: Vec<(u16, u32)>,
    body: Vec<u8>,
    code: Option<Code>,
}

impl Log {
    /// Keeps a call that begins. What it returns names the call.
    pub(super) fn begin(&mut self, at: SystemTime, head: &Parts) -> u64 {
        let mut call = Call {
            at,
            verb: head.method.clone(),
            target: head.uri.path_and_query().map_or("", |target| target.as_str()).into(),
            headers: Vec::with_capacity(256),
            lengths: Vec::with_capacity(head.headers.len()),
            body: Vec::new(),
            code: None,
        };
        for (name, value) in &head.headers {
            call.headers.extend_from_slice(name.as_str().as_bytes());
            call.headers.extend_from_slice(value.as_bytes());
            // No head is longer than that.
            call.lengths.push((name.as_str().len() as u16, value.len() as u32));
        }
        if self.calls.len() == CALLS {
            self.calls.pop_front();
            self.gone += 1;
        }
        self.calls.push_back(call);
        self.gone + self.calls.len() as u64 - 1
    }

    fn call(&mut self, number: u64) -> Option<&mut Call> {
        self.calls.get_mut(usize::try_from(number.checked_sub(self.gone)?).ok()?)
    }

    /// Keeps a piece of a call's body.
    fn add(&mut self, number: u64, piece: &[u8]) {
        if let Some(call) = self.call(number) {
            let room = BODY - call.body.len();
            call.body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// Keeps what became of a call.
    pub(super) fn end(&mut self, number: u64, code: Code) {
        if let Some(call) = self.call(number) {
            call.code = Some(code);
        }
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = Received> {
        self.calls.iter().map(Call::received)
    }
}

impl Call {
    fn received(&self) -> Received {
        let mut headers = HeaderMap::with_capacity(self.lengths.len());
        let mut rest = &self.headers[..];
        for (name, value) in &self.lengths {
            let (one, after) = rest.split_at(usize::from(*name));
            let (two, after) = after.split_at(*value as usize);
            rest = after;
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(one), HeaderValue::from_bytes(two)) {
                headers.append(name, value);
            }
        }
        Received {
            at: self.at,
            verb: self.verb.clone(),
            target: self.target.to_string(),
            headers,
            body: Bytes::copy_from_slice(&self.body),
            code: self.code,
        }
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
        {
            lock(&this.state.log).add(this.number, data);
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
    use http::Request;

    use super::*;

    #[test]
    fn the_last_calls_are_kept() {
        let mut log = Log::default();
        let begin = |log: &mut Log, at: usize| {
            let request = Request::get(format!("/{at}")).header("a", at.to_string()).header("b", "").body(());
            log.begin(SystemTime::UNIX_EPOCH, &request.unwrap().into_parts().0)
        };
        let numbers: Vec<u64> = (0..CALLS + 10).map(|at| begin(&mut log, at)).collect();
        log.end(numbers[9], Code::Ok);
        log.end(numbers[10], Code::Aborted);
        log.add(numbers[10], b"ab");
        log.add(numbers[10], &[b'c'; BODY]);
        let calls: Vec<Received> = log.all().collect();
        assert_eq!((calls.len(), &*calls[0].target, &*calls[CALLS - 1].target), (CALLS, "/10", "/1009"));
        assert_eq!((&calls[0].headers["a"], &calls[0].headers["b"]), (&"10".parse().unwrap(), &"".parse().unwrap()));
        assert_eq!((calls[0].code, calls[1].code), (Some(Code::Aborted), None));
        assert!(calls[0].body.starts_with(b"abc") && calls[0].body.len() == BODY);
    }
}
