use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use grpc_transcoding::{
    PathTemplate,
    rpc::{self, Broken},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE},
    response::Parts,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep},
};
use tonic::Status;

use super::{Body, Http, LARGEST, again, boxed, failed, not_the_api, within};
use crate::{
    Client, Error,
    client::{checks, methods::DOWNLOAD as METHOD},
    layer::{Attempts, Named, RetryPolicy, Scopes},
};

/// A call to download an attachment; await it to make it. It gives a [`Media`] as soon as the
/// response begins.
#[derive(Clone, Debug)]
#[must_use = "a call is made by awaiting it"]
pub struct Download {
    client: Client,
    resource_name: String,
    limit: u64,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl Download {
    pub(super) fn new(client: Client, resource_name: String) -> Self {
        Self { client, resource_name, limit: LARGEST, timeout: None, retry: None }
    }

    /// Sets the largest attachment that is read. The default is the most that an attachment may
    /// have: 200 MiB.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets how long the download may take, with all its bytes. By default there is no such limit,
    /// but one for each time that nothing comes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when a request of this download is made again, in place of the client's policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    async fn open(self) -> Result<Media, Status> {
        static PATH: LazyLock<PathTemplate> = LazyLock::new(|| {
            // A test has this called.
            PathTemplate::parse("/v1/media/{resource_name=**}").expect("it is a template")
        });
        if self.resource_name.is_empty() {
            let problem = "is required: that of an attachment's data ref; files in Google Drive have none";
            checks::refuse(vec![("resource_name", problem.to_owned())])?;
        }
        let path = PATH.expand(&[&self.resource_name]).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let http = self.client.http.clone();
        let policy = self.retry.unwrap_or_else(|| http.policy());
        let rest = Box::new(Rest {
            scopes: self.client.rules.scopes(METHOD),
            http,
            target: format!("{path}?alt=media"),
            at: 0,
            length: None,
            limit: self.limit,
            etag: None,
            // To read does no harm, however often it is done.
            attempts: Attempts::new(policy, true, u32::MAX, self.timeout),
        });
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Opened { rest, head, body, .. } = rest.open(None).await?;
        Ok(Media {
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
            length: rest.length,
            limit: self.limit,
            at: 0,
            deadline,
            idle: Box::pin(tokio::time::sleep(Duration::ZERO)),
            state: State::open(rest, body, 0),
        })
    }
}

impl IntoFuture for Download {
    type Output = Result<Media, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.open().await.map_err(|status| failed(status, METHOD)) })
    }
}

/// An attachment that is downloaded: its type, its length, and its bytes as they come. It is a
/// [`http_body::Body`] of them, and [`Media::chunk`] gives one piece after another.
///
/// When the connection breaks, or nothing comes for as long as an attempt may take, the rest is
/// asked for by a new request. No byte is given twice. To drop this is to end the download.
pub struct Media {
    content_type: Option<HeaderValue>,
    length: Option<u64>,
    limit: u64,
    /// How many bytes were given.
    at: u64,
    deadline: Option<Instant>,
    /// Ends when nothing has come for too long.
    idle: Pin<Box<Sleep>>,
    state: State,
}

enum State {
    Open {
        rest: Box<Rest>,
        body: Body,
        /// How many bytes come that were given before.
        skip: u64,
        /// What has come since the last wait for it.
        came: Came,
        /// `idle` is set.
        waits: bool,
    },
    /// The rest is asked for.
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Status>> + Send>>),
    Ended,
}

/// Whether bytes have come.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    #[default]
    Nothing,
    /// Only bytes that were given before.
    Before,
    New,
}

impl Came {
    /// Only new bytes give the download new attempts: a server that knows no ranges, and whose
    /// responses all break at the same byte, would be asked for ever.
    fn renew(self, attempts: &mut Attempts) {
        match self {
            Self::Nothing => {}
            Self::Before => attempts.moved(),
            Self::New => attempts.progressed(),
        }
    }
}

impl State {
    fn open(rest: Box<Rest>, body: Body, skip: u64) -> Self {
        Self::Open { rest, body, skip, came: Came::Nothing, waits: false }
    }
}

impl Media {
    /// The content type, if the server says it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_ref()?.to_str().ok()
    }

    /// How many bytes the attachment has, if the server says it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece of the bytes; `None` after the last.
    ///
    /// # Errors
    ///
    /// If the connection broke and cannot be had again, or the attachment is not what it was then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll_piece(context)).await.transpose().map_err(|status| failed(status, METHOD))
    }

    /// All bytes that are still to come. What they are at most says [`Download::max_size`].
    ///
    /// # Errors
    ///
    /// As [`Media::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.chunk().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Writes all bytes that are still to come, and flushes the writer. Returns how many they are.
    ///
    /// # Errors
    ///
    /// As [`Media::chunk`], or if the writer fails, whose error is a cause then.
    pub async fn to_writer(mut self, writer: &mut (impl AsyncWrite + Unpin + ?Sized)) -> Result<u64, Error> {
        let unwritten = |error: std::io::Error| {
            let mut status = Status::aborted(format!("what was downloaded cannot be written: {error}"));
            status.set_source(Arc::new(error));
            failed(status, METHOD)
        };
        let before = self.at;
        while let Some(piece) = self.chunk().await? {
            writer.write_all(&piece).await.map_err(unwritten)?;
        }
        writer.flush().await.map_err(unwritten)?;
        Ok(self.at - before)
    }

    /// Whether all bytes were given, as far as it is known how many they are.
    fn is_whole(&self) -> bool {
        self.length == Some(self.at)
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let piece = ready!(self.poll_open(context));
        if !matches!(piece, Some(Ok(_))) {
            self.state = State::Ended;
        }
        Poll::Ready(piece)
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now())
                && !self.is_end_stream()
                && !self.is_whole()
            {
                let late = Status::deadline_exceeded("the download was not done within its time");
                return Poll::Ready(Some(Err(late)));
            }
            let (rest, body, skip, came, waits) = match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Opening(opening) => {
                    match ready!(opening.as_mut().poll(context)) {
                        Ok(Opened { rest, body, skip, .. }) => {
                            self.length = rest.length;
                            self.state = State::open(rest, body, skip);
                        }
                        Err(status) => return Poll::Ready(Some(Err(status))),
                    }
                    continue;
                }
                State::Open { rest, body, skip, came, waits } => (rest, body, skip, came, waits),
            };
            let broken = match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    if data.is_empty() {
                        continue;
                    }
                    *waits = false;
                    // It fits, since it is not more than there is.
                    let skipped = (*skip).min(data.len() as u64);
                    data.advance(skipped as usize);
                    *skip -= skipped;
                    if data.is_empty() {
                        *came = (*came).max(Came::Before);
                        continue;
                    }
                    *came = Came::New;
                    self.at += data.len() as u64;
                    if self.length.is_some_and(|length| self.at > length) {
                        return Poll::Ready(Some(Err(changed("it has more bytes than it had"))));
                    }
                    if self.at > self.limit {
                        return Poll::Ready(Some(Err(too_large(self.limit))));
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(None) if *skip == 0 && self.length.is_none() => return Poll::Ready(None),
                Poll::Ready(None) => Broken::Lost.cause(Status::unavailable("the data ended too early")),
                Poll::Ready(Some(Err(error))) => {
                    Broken::Lost.cause(Status::unavailable(format!("the data broke off: {}", rpc::chain(&*error))))
                }
                Poll::Pending => {
                    if !*waits {
                        // Time in which the reader did not ask for more does not count.
                        std::mem::take(came).renew(&mut rest.attempts);
                        let limit = rest.attempts.begin();
                        let far = Duration::from_secs(86_400);
                        self.idle.as_mut().reset(Instant::now() + limit.min(far));
                        *waits = true;
                    }
                    ready!(self.idle.as_mut().poll(context));
                    Status::deadline_exceeded("nothing came for too long")
                }
            };
            if self.is_whole() {
                return Poll::Ready(None);
            }
            let State::Open { mut rest, came, .. } = std::mem::replace(&mut self.state, State::Ended) else { continue };
            came.renew(&mut rest.attempts);
            rest.at = self.at;
            self.state = State::Opening(Box::pin(rest.open(Some(broken))));
        }
    }
}

impl http_body::Body for Media {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let piece = ready!(self.get_mut().poll_piece(context));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data).map_err(|status| failed(status, METHOD))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) if !self.is_end_stream() => SizeHint::with_exact(length.saturating_sub(self.at)),
            Some(_) => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("content_type", &self.content_type)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What of an attachment is still to come, and how to ask for it.
struct Rest {
    http: Http,
    scopes: Option<Scopes>,
    /// Path and query.
    target: String,
    /// How many bytes were given.
    at: u64,
    length: Option<u64>,
    limit: u64,
    /// What tells whether the attachment is still the same, if the server gave that.
    etag: Option<HeaderValue>,
    attempts: Attempts,
}

/// A response that has begun, and how many of its bytes were given before.
struct Opened {
    rest: Box<Rest>,
    head: Parts,
    body: Body,
    skip: u64,
}

impl Rest {
    /// Asks for the rest until a response begins; `before` is how the attempt before failed, if
    /// there was one.
    async fn open(mut self: Box<Self>, mut before: Option<Status>) -> Result<Opened, Status> {
        loop {
            if let Some(status) = before {
                again(&mut self.attempts, status).await?;
            }
            let limit = self.attempts.begin();
            match within(limit, self.ask()).await {
                Ok((head, body)) => {
                    let skip = self.check(&head, &body)?;
                    // The body of a refusal is none of the attachment's data.
                    let body =
                        if head.status == StatusCode::RANGE_NOT_SATISFIABLE { boxed(Full::default()) } else { body };
                    return Ok(Opened { rest: self, head, body, skip });
                }
                Err(status) => before = Some(status),
            }
        }
    }

    async fn ask(&mut self) -> Result<(Parts, Body), Status> {
        let mut request = self.http.request(Method::GET, self.target.clone())?;
        if self.at > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.at));
            request.headers_mut().insert(RANGE, range.map_err(|error| Status::internal(error.to_string()))?);
            request.headers_mut().extend(self.etag.clone().map(|etag| (IF_RANGE, etag)));
        }
        let named = Named { method: METHOD, template: "/v1/media/{resource_name}" };
        // There may be nothing behind the last byte that came.
        let takes = |status| status == 416 && self.at > 0;
        let (scopes, attempts) = (self.scopes.as_ref(), &mut self.attempts);
        self.http.send(named, request, scopes, attempts, takes).await
    }

    /// Whether a response is what was asked for. Returns how many bytes come that were given
    /// before.
    fn check(&mut self, head: &Parts, body: &Body) -> Result<u64, Status> {
        let status = head.status.as_u16();
        let encoding = head.headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
        if let Some(encoding) = encoding {
            let problem = format!("the data is packed ({encoding:?}), which was not asked for");
            return Err(not_the_api(head.status, problem));
        }
        let (first, total) = match status {
            200 => (0, number(&head.headers, CONTENT_LENGTH).or_else(|| body.size_hint().exact())),
            206 | 416 if self.at > 0 => content_range(&head.headers)
                .ok_or_else(|| not_the_api(head.status, "the response does not say which bytes it has"))?,
            _ => {
                return Err(not_the_api(
                    head.status,
                    format!("HTTP {} is not the response to a download", head.status),
                ));
            }
        };
        if self.at > 0 && (self.length.is_some() && total.is_some() && total != self.length) {
            return Err(changed("it has not the length that it had"));
        }
        let etag = head.headers.get(ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        if self.at > 0 && self.etag.is_some() && etag.is_some() && etag != self.etag.as_ref() {
            return Err(changed("its ETag is another"));
        }
        match status {
            // Nothing comes after what was given, and that is all.
            416 if total == Some(self.at) => {}
            200 => {}
            206 if first == self.at => {}
            _ => return Err(not_the_api(head.status, "the response has other bytes than were asked for")),
        }
        self.etag = self.etag.take().or_else(|| etag.cloned());
        self.length = self.length.or(total);
        if self.length.is_some_and(|length| length > self.limit) {
            return Err(too_large(self.limit));
        }
        Ok(if status == 200 { self.at } else { 0 })
    }
}

fn number(headers: &HeaderMap, name: http::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The place of the first byte that a response has, and the length of the whole (RFC 9110, section
/// 14.4). Where it has none, the place is 0.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let first = if range == "*" { 0 } else { range.split_once('-')?.0.parse().ok()? };
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first, total))
}

fn changed(how: &str) -> Status {
    Status::data_loss(format!("the attachment has changed while it was read: {how}; download it again"))
}

fn too_large(limit: u64) -> Status {
    let problem = format!("the attachment has more than {limit} bytes; Download::max_size takes larger ones");
    Broken::TooLarge.cause(Status::resource_exhausted(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_which_bytes_come() {
        for (text, expected) in [
            ("bytes 10-19/30", Some((10, Some(30)))),
            ("bytes 10-19/*", Some((10, None))),
            ("bytes */30", Some((0, Some(30)))),
            ("bytes 10-19", None),
            ("bytes x-19/30", None),
            ("bytes 10-19/x", None),
            ("items 10-19/30", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(text))]);
            assert_eq!(content_range(&headers), expected, "{text}");
        }
    }
}
