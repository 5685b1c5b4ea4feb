use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use google_chat::grpc_transcoding::{rpc::BoxError, server::RequestBody};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request::Parts};
use http_body::{Body, Frame};
use tonic::Code;

use crate::lock;

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
    /// The HTTP method; POST for gRPC.
    pub method: Method,
    /// Path and query, percent-encoded as they were sent. For gRPC the path names
    /// the method. The values of `access_token`, `oauth_token`, `key`
    /// and `upload_id` are left out.
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

impl Received {
    /// A call that begins. All of it is copied: a header is a part of the buffer that its
    /// connection reads into, which would be kept with it.
    fn new(at: SystemTime, head: &Parts) -> Self {
        let headers = head.headers.iter().filter_map(|(name, value)| {
            Some((name.clone(), HeaderValue::from_bytes(shown(name, value.as_bytes())).ok()?))
        });
        Self {
            at,
            method: head.method.clone(),
            target: without_secrets(head.uri.path_and_query().map_or("", |target| target.as_str())),
            headers: headers.collect(),
            body: Bytes::new(),
            body_len: 0,
            code: None,
        }
    }

    /// How many bytes it takes, about.
    fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum();
        size_of::<Self>() + self.target.len() + headers + self.body.len()
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
            "access_token" | "oauth_token" | "key" | "upload_id" => format!("{name}="),
            _ => pair.to_owned(),
        }
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// The last calls, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    calls: VecDeque<Received>,
    /// How many calls were forgotten, which came before these.
    forgotten: u64,
    /// How many bytes the calls hold.
    bytes: usize,
}

impl Log {
    /// Keeps a call that begins. Returns its number.
    pub(super) fn begin(&mut self, at: SystemTime, head: &Parts) -> u64 {
        let call = Received::new(at, head);
        self.bytes += call.size();
        self.calls.push_back(call);
        self.forget();
        self.forgotten + self.calls.len() as u64 - 1
    }

    /// Forgets the oldest calls where there are too many.
    fn forget(&mut self) {
        while self.calls.len() > CALLS || self.bytes > BYTES && self.calls.len() > 1 {
            self.bytes -= self.calls.pop_front().map_or(0, |call| call.size());
            self.forgotten += 1;
        }
    }

    /// The call with a number, if it is still kept.
    fn call(&mut self, number: u64) -> Option<&mut Received> {
        let at = number.checked_sub(self.forgotten)?;
        self.calls.get_mut(usize::try_from(at).ok()?)
    }

    /// Keeps a piece of a call's body.
    fn add(&mut self, number: u64, piece: &[u8]) {
        let Some(call) = self.call(number) else { return };
        call.body_len += piece.len() as u64;
        let piece = &piece[..piece.len().min(BODY - call.body.len())];
        // The log is copied if somebody else holds it.
        let body = std::mem::take(&mut call.body).try_into_mut();
        let mut body = body.unwrap_or_else(|shared| BytesMut::from(&*shared));
        body.extend_from_slice(piece);
        call.body = body.freeze();
        self.bytes += piece.len();
        self.forget();
    }

    /// Keeps how a call ended.
    pub(super) fn end(&mut self, number: u64, code: Code) {
        if let Some(call) = self.call(number) {
            call.code = Some(code);
            // Without the room that it has for more.
            call.body = Bytes::copy_from_slice(&call.body);
        }
    }

    /// The last calls, at most so many, in the order in which they came.
    pub(super) fn last(&self, count: usize) -> Vec<Received> {
        self.calls.range(self.calls.len().saturating_sub(count)..).cloned().collect()
    }

    /// All calls that are kept.
    pub(super) fn all(&self) -> Vec<Received> {
        self.last(CALLS)
    }
}

/// A call's body; what passes is kept.
pub(super) struct Watched {
    pub(super) body: RequestBody,
    pub(super) log: Arc<Mutex<Log>>,
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
            lock(&this.log).add(this.number, data);
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
        let calls = log.all();
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
        let held: usize = log.calls.iter().map(Received::size).sum();
        assert_eq!(held, log.bytes);
        let call = large.len() + BODY;
        assert!((BYTES - 2 * call..=BYTES).contains(&held), "{held}");
    }

    #[test]
    fn a_reader_sees_calls_as_they_were() {
        let mut log = Log::default();
        let number = log.begin(SystemTime::UNIX_EPOCH, &Request::get("/").body(()).unwrap().into_parts().0);
        log.add(number, b"a");
        let seen = log.all();
        log.add(number, b"b");
        assert_eq!((&*seen[0].body, &*log.all()[0].body), (&b"a"[..], &b"ab"[..]));
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
            ("/?uploadType=resumable&upload_id=secret", "/?uploadType=resumable&upload_id="),
        ] {
            assert_eq!(without_secrets(target), kept);
        }
    }
}
