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
use tonic::Code;

use super::{State, lock};
use google_chat::grpc_transcoding::{rpc::BoxError, server::RequestBody};

/// How many calls are kept, at most.
const CALLS: usize = 1_000;
/// How many bytes the calls that are kept may hold together.
const BYTES: usize = 16 * 1024 * 1024;
/// How much of a call's body is kept.
const BODY: usize = 64 * 1024;

/// A call that reached the emulator, as it came over the wire, but for its secrets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// When it came, by the emulator's clock.
    pub at: SystemTime,
    /// The HTTP verb; POST for gRPC.
    pub verb: Method,
    /// Path and query, percent-encoded as they were sent. For gRPC the path names
    /// the method. The values of `access_token`, `oauth_token` and `key` are left out.
    pub target: String,
    /// The headers. Of `authorization` there is the scheme alone (`Bearer`), and of
    /// other headers that hold secrets the name alone.
    pub headers: HeaderMap,
    /// The body: JSON, or for gRPC the framed message. At most 64 KiB of it.
    pub body: Bytes,
    /// How many bytes of body came. If they are more than `body` has, the rest was not
    /// kept.
    pub body_len: u64,
    /// How it was answered; `None` as long as it is not, and where the connection
    /// ended before that.
    pub code: Option<Code>,
}

/// The last calls, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Shared with those who read them, so that nobody waits for a reader.
    calls: VecDeque<Arc<Call>>,
    /// How many came before those.
    gone: u64,
    /// How many bytes they hold.
    bytes: usize,
}

/// A call as it is kept: what it holds is copied, since a part of the buffer that a
/// connection reads into would keep all of it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    at: SystemTime,
    verb: Method,
    target: Box<str>,
    /// Each name and value, with the lengths of both.
    headers: Vec<u8>,
    lengths: Vec<(u16, u32)>,
    body: Vec<u8>,
    body_len: u64,
    code: Option<Code>,
}

impl Log {
    /// Keeps a call that begins. What it returns names the call.
    pub(super) fn begin(&mut self, at: SystemTime, head: &Parts) -> u64 {
        let mut call = Call {
            at,
            verb: head.method.clone(),
            target: without_secrets(head.uri.path_and_query().map_or("", |target| target.as_str())).into(),
            headers: Vec::with_capacity(256),
            lengths: Vec::with_capacity(head.headers.len()),
            body: Vec::new(),
            body_len: 0,
            code: None,
        };
        for (name, value) in &head.headers {
            let value = shown(name, value.as_bytes());
            call.headers.extend_from_slice(name.as_str().as_bytes());
            call.headers.extend_from_slice(value);
            // No head is longer than that.
            call.lengths.push((name.as_str().len() as u16, value.len() as u32));
        }
        call.headers.shrink_to_fit();
        self.bytes += call.size();
        self.calls.push_back(Arc::new(call));
        self.make_room();
        self.gone + self.calls.len() as u64 - 1
    }

    /// Forgets the oldest calls where there are too many.
    fn make_room(&mut self) {
        while self.calls.len() > CALLS || self.bytes > BYTES && self.calls.len() > 1 {
            self.bytes -= self.calls.pop_front().map_or(0, |call| call.size());
            self.gone += 1;
        }
    }

    /// Changes a call, if it is still kept.
    fn change(&mut self, number: u64, change: impl FnOnce(&mut Call)) {
        let at = number.checked_sub(self.gone).and_then(|at| usize::try_from(at).ok());
        if let Some(call) = at.and_then(|at| self.calls.get_mut(at)) {
            // Before it is copied, for a reader: the copy has another capacity.
            let before = call.size();
            let call = Arc::make_mut(call);
            change(call);
            self.bytes = self.bytes - before + call.size();
            self.make_room();
        }
    }

    /// Keeps a piece of a call's body.
    fn add(&mut self, number: u64, piece: &[u8]) {
        self.change(number, |call| {
            let room = BODY - call.body.len();
            call.body.extend_from_slice(&piece[..piece.len().min(room)]);
            call.body_len += piece.len() as u64;
        });
    }

    /// Keeps what became of a call.
    pub(super) fn end(&mut self, number: u64, code: Code) {
        self.change(number, |call| {
            call.body.shrink_to_fit();
            call.code = Some(code);
        });
    }

    /// The last calls, at most so many, in the order in which they came.
    pub(super) fn last(&self, count: usize) -> Vec<Arc<Call>> {
        self.calls.range(self.calls.len().saturating_sub(count)..).cloned().collect()
    }

    /// All calls that are kept.
    pub(super) fn all(&self) -> Vec<Arc<Call>> {
        self.last(CALLS)
    }
}

/// What is kept of a header's value.
fn shown<'v>(name: &HeaderName, value: &'v [u8]) -> &'v [u8] {
    match name.as_str() {
        "authorization" | "proxy-authorization" => match value.split(|byte| *byte == b' ').next() {
            // A value without a scheme is the secret itself.
            Some(scheme) if scheme.len() < value.len() => scheme,
            _ => &[],
        },
        "cookie" | "x-goog-api-key" | "x-goog-iam-authorization-token" => &[],
        _ => value,
    }
}

/// A target without the values of query parameters that are secrets.
fn without_secrets(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = form_urlencoded::parse(name.as_bytes()).next();
        let plain = decoded.as_ref().map_or("", |(name, _)| name.trim_start_matches('$'));
        match plain {
            "access_token" | "oauth_token" | "key" => format!("{name}="),
            _ => pair.to_owned(),
        }
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

impl Call {
    /// How many bytes are kept of it, about.
    fn size(&self) -> usize {
        let lengths = size_of_val(&*self.lengths);
        size_of::<Self>()
            + self.verb.as_str().len()
            + self.target.len()
            + self.headers.capacity()
            + lengths
            + self.body.capacity()
    }

    pub(super) fn received(&self) -> Received {
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
            body_len: self.body_len,
            code: self.code,
        }
    }
}

/// A call's body; what passes is kept.
pub(super) struct Watched {
    pub(super) body: RequestBody,
    pub(super) state: Arc<State>,
    pub(super) number: u64,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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
        let calls: Vec<Received> = log.all().iter().map(|call| call.received()).collect();
        assert_eq!((calls.len(), &*calls[0].target, &*calls[CALLS - 1].target), (CALLS, "/10", "/1009"));
        assert_eq!((&calls[0].headers["a"], &calls[0].headers["b"]), (&"10".parse().unwrap(), &"".parse().unwrap()));
        assert_eq!((calls[0].code, calls[1].code), (Some(Code::Aborted), None));
        assert!(calls[0].body.starts_with(b"abc") && calls[0].body.len() == BODY);
        assert_eq!(calls[0].body_len, BODY as u64 + 2);
    }

    #[test]
    fn the_calls_that_are_kept_have_a_limit_in_bytes() {
        let mut log = Log::default();
        let large = "x".repeat(300_000);
        for _ in 0..CALLS {
            let request = Request::get("/").header("a", &large).body(()).unwrap();
            let number = log.begin(SystemTime::UNIX_EPOCH, &request.into_parts().0);
            (0..10).for_each(|_| log.add(number, &[b'c'; BODY / 8]));
            log.end(number, Code::Ok);
        }
        let held: usize = log.calls.iter().map(|call| call.size()).sum();
        assert_eq!(held, log.bytes);
        let call = large.len() + BODY;
        assert!((BYTES - 2 * call..=BYTES).contains(&held), "{held}");
        // Who reads shares the calls, and sees them as they were.
        let (seen, gone) = (log.all(), log.gone);
        log.add(gone, b"more");
        assert!(!Arc::ptr_eq(&seen[0], &log.calls[0]) && Arc::ptr_eq(&seen[1], &log.calls[1]));
    }

    #[test]
    fn secrets_are_not_kept() {
        for (name, value, kept) in [
            ("authorization", "Bearer ya29.secret", "Bearer"),
            ("authorization", "secret", ""),
            ("proxy-authorization", "Basic secret", "Basic"),
            ("cookie", "a=secret", ""),
            ("x-goog-api-key", "secret", ""),
            ("user-agent", "a b", "a b"),
        ] {
            assert_eq!(shown(&HeaderName::from_static(name), value.as_bytes()), kept.as_bytes(), "{name}");
        }
        for (target, kept) in [
            ("/v1/spaces", "/v1/spaces"),
            ("/v1/spaces?access_token=secret&a=b%20c&access_token", "/v1/spaces?access_token=&a=b%20c&access_token="),
            ("/?%61ccess_token=secret&$key=secret&key=secret", "/?%61ccess_token=&$key=&key="),
            ("/?oauth_token=secret", "/?oauth_token="),
        ] {
            assert_eq!(without_secrets(target), kept);
        }
    }
}
