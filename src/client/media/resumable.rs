//! An upload in parts, which goes on where it was when a connection breaks.
//!
//! A request with the metadata opens a session, whose URL is in the response. Then each part is put
//! there, and the server says how far it has the content. After a failure it is asked, before
//! anything is sent again. A session that is gone is replaced by a new one.
//!
//! Source: the page "Resumable upload" of Google's APIs.

use std::time::Duration;

use bytes::Bytes;
use grpc_transcoding::client::Origin;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, Uri,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE},
    uri::PathAndQuery,
};
use http_body_util::Full;
use tokio::time::Instant;
use tonic::Status;

use super::{Http, again, content::Window, not_the_api};
use crate::{
    client::error_kind::http_status,
    layer::{Attempts, Named, Scopes},
};

/// Parts have sizes that are multiples of this, but for the last one.
pub(super) const GRAIN: usize = 256 * 1024;

/// The size of the first part. It grows and shrinks with the line, so that a part takes a second or
/// some: then progress shows, no part runs into the limit of its attempt, and little is sent
/// twice.
const FIRST: usize = 4 * GRAIN;
const QUICK: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(4);

const UPLOAD_TYPE: HeaderName = HeaderName::from_static("x-upload-content-type");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("x-upload-content-length");

/// "Resume Incomplete": the status by which the server says how far it has the content. RFC 9110
/// has a redirect there.
const INCOMPLETE: u16 = 308;

const START: &str = "/resumable/upload/v1/{parent}/attachments:upload";

/// An upload in parts.
pub(super) struct Parted<'u> {
    pub(super) http: &'u Http,
    pub(super) method: &'static str,
    pub(super) scopes: Option<&'u Scopes>,
    /// Path and query that open a session.
    pub(super) target: String,
    pub(super) json: Bytes,
    pub(super) content_type: HeaderValue,
    pub(super) window: Window,
    /// The largest part.
    pub(super) chunk: usize,
    /// The largest content.
    pub(super) limit: u64,
    pub(super) attempts: Attempts,
    pub(super) progress: &'u mut (dyn FnMut(u64, Option<u64>) + Send),
}

/// What a server says to a part, or where it is asked.
enum Put {
    /// It has the whole content.
    Done(Response<Bytes>),
    /// It has the content up to here, and may want to get on at another URL.
    Kept(u64, Option<Uri>),
}

impl Parted<'_> {
    /// Uploads the content. Returns the response to the last part.
    pub(super) async fn upload(mut self) -> Result<Response<Bytes>, Status> {
        let mut session: Option<Uri> = None;
        let mut size = FIRST.min(self.chunk);
        // Whether the server may have more than it said.
        let mut unsure = false;
        // How far the content was sent in this session, and how far a server ever had it.
        let (mut sent, mut reached) = (0, 0);
        loop {
            let Some(url) = &session else {
                match self.open().await {
                    Ok(url) => {
                        self.window.seek(0).await?;
                        (session, unsure, sent) = (Some(url), false, 0);
                    }
                    Err(status) => again(&mut self.attempts, status).await?,
                }
                continue;
            };
            let part = match unsure {
                true => Bytes::new(),
                false => self.next_part(size).await?,
            };
            let (asked, begun) = (unsure, Instant::now());
            let place = self.window.start();
            sent = sent.max(place + part.len() as u64);
            match self.put(url.clone(), place, part).await {
                Ok(Put::Done(response)) => {
                    let total = self.window.total();
                    if total != Some(sent) {
                        return Err(not_the_api(
                            response.status(),
                            format!("the response is that of a whole upload, and {sent} bytes were sent of more"),
                        ));
                    }
                    (self.progress)(sent, total);
                    return Ok(response);
                }
                Ok(Put::Kept(kept, moved)) => {
                    if kept > sent {
                        return Err(Status::internal(format!(
                            "the server says that it has {kept} bytes, of which {sent} were sent; upload it again"
                        )));
                    }
                    if moved.is_some() {
                        session = moved;
                    }
                    self.window.seek(kept).await?;
                    unsure = false;
                    if kept > reached {
                        reached = kept;
                        self.attempts.progressed();
                        (self.progress)(kept, self.window.total());
                    } else if kept > place {
                        // After a lost session the same bytes take their time once more.
                        self.attempts.moved();
                    }
                    if asked {
                        continue;
                    }
                    size = match begun.elapsed() {
                        time if time < QUICK => size.saturating_mul(2).min(self.chunk),
                        time if time > SLOW => (size / 2 / GRAIN * GRAIN).max(GRAIN),
                        _ => size,
                    };
                    if kept <= place {
                        let kept = "the server keeps nothing of what it is sent";
                        self.attempts.failed(Status::unavailable(kept)).await?;
                    }
                }
                Err(status) if matches!(http_status(&status), Some(404 | 410)) => {
                    session = None;
                    let gone = format!("the upload's session is gone: {}", status.message());
                    self.attempts.failed(Status::unavailable(gone)).await?;
                }
                Err(status) => {
                    (unsure, size) = (true, GRAIN);
                    again(&mut self.attempts, status).await?;
                }
            }
        }
    }

    /// Opens a session. Returns its URL.
    async fn open(&mut self) -> Result<Uri, Status> {
        let mut request = self.http.request(Method::POST, self.target.clone())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        headers.insert(UPLOAD_TYPE, self.content_type.clone());
        if let Some(length) = self.window.total() {
            headers.insert(UPLOAD_LENGTH, length.into());
        }
        *request.body_mut() = Full::new(self.json.clone());
        let response = self.exchange(request).await?;
        let missing = || not_the_api(response.status(), "the response does not say where to upload to");
        let location = response.headers().get(LOCATION).ok_or_else(missing)?;
        session_url(self.http.origin(), location)
    }

    /// The next part of the content: at most so many bytes, all that are left, or none after all.
    async fn next_part(&mut self, size: usize) -> Result<Bytes, Status> {
        if self.window.held().len() <= GRAIN {
            self.window.fill(self.chunk, self.limit).await?;
        }
        let held = self.window.held();
        Ok(match held.len() {
            all if self.window.is_last() && all <= size => held.clone(),
            all => held.slice(..all.saturating_sub(1).min(size) / GRAIN * GRAIN),
        })
    }

    /// Sends a part, or asks how far the server has the content if the part is empty.
    async fn put(&mut self, url: Uri, place: u64, part: Bytes) -> Result<Put, Status> {
        let mut request = http::Request::new(Full::default());
        (*request.method_mut(), *request.uri_mut()) = (Method::PUT, url);
        let headers = request.headers_mut();
        headers.insert(CONTENT_RANGE, content_range(place, part.len(), self.window.total())?);
        headers.insert(CONTENT_LENGTH, part.len().into());
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        *request.body_mut() = Full::new(part);
        let response = self.exchange(request).await?;
        if response.status().as_u16() != INCOMPLETE {
            return Ok(Put::Done(response));
        }
        let headers = response.headers();
        let location = headers.get(LOCATION).map(|location| session_url(self.http.origin(), location)).transpose()?;
        let kept =
            kept(headers).ok_or_else(|| not_the_api(response.status(), "the response's range cannot be read"))?;
        Ok(Put::Kept(kept, location))
    }

    async fn exchange(&mut self, request: http::Request<Full<Bytes>>) -> Result<Response<Bytes>, Status> {
        let named = Named { method: self.method, template: START };
        self.http.exchange(named, request, self.scopes, &mut self.attempts, |status| status == INCOMPLETE).await
    }
}

/// The `Content-Range` of a part (RFC 9110, section 14.4).
fn content_range(place: u64, length: usize, total: Option<u64>) -> Result<HeaderValue, Status> {
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    let text = match length as u64 {
        0 => format!("bytes */{total}"),
        length => format!("bytes {place}-{}/{total}", place + length - 1),
    };
    HeaderValue::try_from(text).map_err(|error| Status::internal(error.to_string()))
}

/// How far the server has the content: behind the last byte of its `Range`. Without one it has
/// nothing.
fn kept(headers: &HeaderMap) -> Option<u64> {
    let Some(range) = headers.get(RANGE) else { return Some(0) };
    let range = range.to_str().ok()?;
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    // More than an attachment may have is no place of one.
    let last: u64 = last.parse().ok().filter(|last| *last < u64::MAX)?;
    (first == "0").then_some(last + 1)
}

/// The URL of a session, which is at the API: the access token is for nobody else.
fn session_url(origin: &Origin, location: &HeaderValue) -> Result<Uri, Status> {
    // A place of the API without its address, and not another server's without the scheme.
    let relative = location.as_bytes().starts_with(b"/") && !location.as_bytes().starts_with(b"//");
    let url = match relative {
        true => PathAndQuery::try_from(location.as_bytes()).ok().and_then(|target| origin.url(target).ok()),
        false => Uri::try_from(location.as_bytes()).ok(),
    };
    let is_at_origin = |url: &Uri| origin.is_of(url) && !url.authority().is_some_and(|at| at.as_str().contains('@'));
    match url {
        Some(url) if is_at_origin(&url) => Ok(url),
        // The rest of the URL is as good as a password.
        other => {
            let place = other.as_ref().and_then(Uri::host).unwrap_or("what is no URL").to_owned();
            Err(Status::failed_precondition(format!(
                "the server has the content uploaded to {place}, which is not {origin}; nothing was sent there, since \
                 the access token is not for others; check the endpoint, and whether a proxy stands in the way"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_where_it_belongs() {
        for (place, length, total, expected) in [
            (0, 10, Some(30), "bytes 0-9/30"),
            (10, 20, Some(30), "bytes 10-29/30"),
            (10, 20, None, "bytes 10-29/*"),
            (10, 0, Some(30), "bytes */30"),
            (0, 0, Some(0), "bytes */0"),
            (10, 0, None, "bytes */*"),
        ] {
            assert_eq!(content_range(place, length, total).unwrap(), expected);
        }
    }

    #[test]
    fn a_range_says_how_far_the_server_has_the_content() {
        for (range, expected) in [
            (None, Some(0)),
            (Some("bytes=0-0"), Some(1)),
            (Some("bytes=0-262143"), Some(262_144)),
            (Some("0-41"), Some(42)),
            (Some("bytes=1-41"), None),
            (Some("bytes=0-"), None),
            (Some("bytes=0-x"), None),
            (Some("bytes=0-18446744073709551615"), None),
            (Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(range.map(|range| (RANGE, HeaderValue::from_static(range))));
            assert_eq!(kept(&headers), expected, "{range:?}");
        }
    }

    #[test]
    fn a_session_is_at_the_api_and_nowhere_else() {
        let origin = Origin::parse("https://chat.googleapis.com").unwrap();
        for location in [
            "https://chat.googleapis.com/upload?upload_id=a",
            "https://CHAT.googleapis.com:443/upload?upload_id=a",
            "/upload?upload_id=a",
        ] {
            let url = session_url(&origin, &HeaderValue::from_static(location)).unwrap();
            assert_eq!((url.path(), url.query()), ("/upload", Some("upload_id=a")));
            assert!(origin.is_of(&url));
        }
        for location in [
            "http://chat.googleapis.com/upload?upload_id=secret",
            "https://chat.googleapis.com:8443/upload?upload_id=secret",
            "https://chat.googleapis.com.evil.example/upload?upload_id=secret",
            "https://chat.googleapis.com@evil.example/upload?upload_id=secret",
            "https://a:b@chat.googleapis.com/upload?upload_id=secret",
            "//evil.example/upload?upload_id=secret",
            "evil.example",
            "",
        ] {
            let status = session_url(&origin, &HeaderValue::from_static(location)).unwrap_err();
            assert!(status.message().contains("which is not https://chat.googleapis.com; nothing"), "{status}");
            assert!(!status.message().contains("secret"), "{status}");
        }
    }
}
