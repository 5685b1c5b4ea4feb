//! Attachments over HTTP: uploads in one request (`uploadType` media and multipart) and in several
//! (resumable), and downloads.
//!
//! Sources: the `mediaUpload` of the discovery document, the page "Upload file data" of Google's
//! APIs, RFC 2387 for multipart bodies and RFC 9110, section 14, for ranges.

use std::{collections::VecDeque, pin::Pin, task};

use bytes::Bytes;
use google_chat::{
    grpc_transcoding::{
        PathTemplate,
        rpc::{BoxError, error_response, http_status},
    },
    proto::google::chat::v1::AttachmentDataRef,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, IF_RANGE, LOCATION, RANGE},
    request::Parts,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::{Value, json};
use tonic::{Status, body::Body};

use super::State;
use crate::chat::{
    Chat,
    media::{Fleeting, LARGEST, Progress, slice},
    refusal::invalid_field,
};

/// How much the metadata of an upload may hold, with the heads of the parts around it.
const METADATA: usize = 64 * 1024;

/// How much a body may hold that has the metadata and the content.
const MULTIPART: u64 = LARGEST + METADATA as u64;

const ANY: &str = "application/octet-stream";

/// Why a request gets no answer of the kind that it asks for.
enum Failure {
    /// It is answered with an error.
    Refused(Status, StatusCode),
    /// It did not come whole, so that nobody waits for an answer.
    Broken(BoxError),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let http = http_status(status.code());
        Self::Refused(status, http)
    }
}

type Answer = Result<Response<Body>, Failure>;

/// Whether a path is one of these.
pub(super) fn serves(path: &str) -> bool {
    ["/upload/v1/", "/resumable/upload/v1/", "/v1/media/"].iter().any(|prefix| path.starts_with(prefix))
}

pub(super) async fn respond(state: &State, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let (head, body) = request.into_parts();
    match answer(state, &head, body).await {
        Ok(response) => Ok(response),
        Err(Failure::Refused(status, http)) => {
            let mut response = error_response(&status, http);
            response.extensions_mut().insert(status.code());
            Ok(response)
        }
        Err(Failure::Broken(error)) => Err(error),
    }
}

async fn answer(state: &State, head: &Parts, body: Body) -> Answer {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key.trim_start_matches('$') == name).then(|| value.into_owned()))
    };
    if let Some(name) = matched("/v1/media/{name=**}", path)? {
        return match (&head.method, parameter("alt").as_deref()) {
            (&Method::GET | &Method::HEAD, Some("media")) => download(&state.chat, &head.headers, &name).await,
            (&Method::GET | &Method::HEAD, _) => Err(invalid_field("alt", "must be media").into()),
            (method, _) => Err(not_served(method, path)),
        };
    }
    let path = path.strip_prefix("/resumable").unwrap_or(path);
    let space = matched("/upload/v1/{parent=spaces/*}/attachments:upload", path)?;
    let Some(space) = space else { return Err(not_served(&head.method, path)) };
    let upload = Upload { chat: &state.chat, head, space: &space };
    match (&head.method, parameter("uploadType").as_deref(), parameter("upload_id")) {
        (&Method::PUT | &Method::POST, _, Some(id)) => upload.put(&id, body).await,
        (&Method::DELETE, _, Some(id)) => {
            state.chat.forget_upload(&id);
            // The status by which Google says that a session was cancelled.
            Ok(respond_with(StatusCode::from_u16(499).unwrap_or(StatusCode::OK), []))
        }
        (&Method::POST, Some("resumable"), None) => upload.begin(state, body).await,
        (&Method::POST, Some("multipart"), None) => upload.multipart(body).await,
        (&Method::POST, Some("media"), None) => upload.media(body).await,
        (&Method::POST, ..) => Err(invalid_field("uploadType", "must be media, multipart or resumable").into()),
        (method, ..) => Err(not_served(method, path)),
    }
}

/// The variable of a template, if the path is one of it.
fn matched(template: &str, path: &str) -> Result<Option<String>, Failure> {
    let internal = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
    let template = PathTemplate::parse(template).map_err(|error| internal(&error))?;
    let matched = template.matches(path).map_err(|error| invalid_field("path", &error.to_string()))?;
    Ok(matched.and_then(|values| values.into_iter().next()))
}

fn not_served(method: &Method, path: &str) -> Failure {
    let status = Status::not_found(format!("Nothing is served at {method} {path}."));
    Failure::Refused(status, StatusCode::NOT_FOUND)
}

fn respond_with<const N: usize>(status: StatusCode, headers: [(HeaderName, HeaderValue); N]) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// The answer to a whole upload.
fn uploaded(data_ref: &AttachmentDataRef) -> Response<Body> {
    let json = json!({"attachmentDataRef": {
        "resourceName": data_ref.resource_name,
        "attachmentUploadToken": data_ref.attachment_upload_token,
    }});
    let mut response = Response::new(Body::new(Full::new(Bytes::from(json.to_string()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

/// A request of an upload.
struct Upload<'r> {
    chat: &'r Chat,
    head: &'r Parts,
    space: &'r str,
}

impl Upload<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// Takes the metadata of a resumable upload, and says where to send its content.
    async fn begin(&self, state: &State, body: Body) -> Answer {
        let json =
            Limited::new(body, METADATA).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
                true => {
                    let status =
                        invalid_field("body", &format!("has more than the {METADATA} bytes that metadata may have"));
                    Failure::Refused(status, StatusCode::PAYLOAD_TOO_LARGE)
                }
                false => Failure::Broken(error),
            })?;
        let json = json.to_bytes();
        let total = match self.header("x-upload-content-length").map(str::parse) {
            None => None,
            Some(Ok(total)) if total > LARGEST => return Err(refused_size()),
            Some(Ok(total)) => Some(total),
            Some(Err(_)) => return Err(invalid_field("x-upload-content-length", "is no number").into()),
        };
        let content_type = self.header("x-upload-content-type").unwrap_or(ANY);
        let name = filename(&json)?;
        let id = self.chat.begin_upload(&self.head.headers, self.space, content_type, total).await?;
        if let Err(refused) = self.chat.name_upload(&id, &name) {
            self.chat.forget_upload(&id);
            return Err(refused.into());
        }
        let host = self.header(HOST.as_str()).or(self.head.uri.authority().map(|authority| authority.as_str()));
        let host = host.map_or_else(|| state.address.to_string(), str::to_owned);
        let path = self.head.uri.path();
        let location = format!("{}://{host}{path}?uploadType=resumable&upload_id={id}", state.scheme);
        let location = HeaderValue::try_from(location).map_err(|error| Status::internal(error.to_string()))?;
        Ok(respond_with(StatusCode::OK, [(LOCATION, location)]))
    }

    /// Takes a part of a resumable upload, or says how far it is.
    async fn put(&self, id: &str, body: Body) -> Answer {
        let (progress, said) = self.chat.upload_progress(&self.head.headers, id)?;
        let at = match progress {
            Progress::Done(data_ref) => return Ok(uploaded(&data_ref)),
            Progress::At(at) => at,
        };
        let part = match self.header(CONTENT_RANGE.as_str()) {
            Some(range) => Part::parse(range).ok_or_else(|| invalid_field("content-range", "cannot be read"))?,
            // The whole content at once.
            None => Part { range: Some((0, None)), total: None },
        };
        if part.total.is_some_and(|total| total > LARGEST) {
            return Err(refused_size());
        }
        if said.is_some() && part.total.is_some() && said != part.total {
            return Err(invalid_field("content-range", "has another length than was said before").into());
        }
        let Some((first, last)) = part.range else {
            return match part.total.or(said) {
                Some(total) if total == at => Ok(uploaded(&self.chat.finish_upload(id, 0, total).await?)),
                _ => Ok(incomplete(at)),
            };
        };
        if first > at {
            return Err(invalid_field("content-range", &format!("begins behind byte {at}, which comes next")).into());
        }
        let end = match self.read(id, body, first, LARGEST).await {
            Ok(end) => end,
            Err(failure) => {
                self.chat.pause_upload(id)?;
                return Err(failure);
            }
        };
        let total = match last {
            Some(last) if end != last + 1 => {
                self.chat.pause_upload(id)?;
                return Err(invalid_field("content-range", &format!("is not that of {} bytes", end - first)).into());
            }
            Some(_) => part.total,
            None if said.is_some_and(|said| said != end) => {
                self.chat.pause_upload(id)?;
                let said = said.unwrap_or_default();
                let problem = format!("has {end} bytes, and the upload was said to have {said}");
                return Err(invalid_field("body", &problem).into());
            }
            None => Some(end),
        };
        match total {
            Some(total) if total <= end => Ok(uploaded(&self.chat.finish_upload(id, 0, total).await?)),
            _ => Ok(incomplete(self.chat.pause_upload(id)?)),
        }
    }

    /// Adds a request's body to a session, from `place` on, as long as it ends within `most` bytes.
    /// Returns where it ends.
    async fn read(&self, id: &str, mut body: Body, mut place: u64, most: u64) -> Result<u64, Failure> {
        if place.saturating_add(body.size_hint().lower()) > most {
            return Err(refused_size());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(error.into()))?;
            let Some(data) = frame.data_ref() else { continue };
            let end = place + data.len() as u64;
            if end > most {
                return Err(refused_size());
            }
            self.chat.add_to_upload(id, place, data)?;
            place = end;
        }
        Ok(place)
    }

    /// Takes an upload whose only part is the content, which therefore has no name.
    async fn media(&self, _: Body) -> Answer {
        let problem = "is required, and an upload of the type media has no place for it: use multipart or resumable";
        Err(invalid_field("filename", problem).into())
    }

    /// Takes an upload that has its metadata and its content in one body.
    async fn multipart(&self, body: Body) -> Answer {
        let boundary = self.header(CONTENT_TYPE.as_str()).and_then(boundary);
        let boundary = boundary.ok_or_else(|| invalid_field("content-type", "is no multipart with a boundary"))?;
        if body.size_hint().lower() > MULTIPART {
            return Err(refused_size());
        }
        let id = self.chat.begin_upload(&self.head.headers, self.space, ANY, None).await?;
        let session = Fleeting::new(self.chat, id);
        Ok(uploaded(&self.parts(&session.id, &boundary, body).await?))
    }

    async fn parts(&self, id: &str, boundary: &str, body: Body) -> Result<AttachmentDataRef, Failure> {
        let len = self.read(id, body, 0, MULTIPART).await?;
        let begin = self.chat.peek_upload(id, 0, METADATA as u64)?;
        let end = self.chat.peek_upload(id, len.saturating_sub(METADATA as u64), len)?;
        let problem = "is not made of two parts, JSON and the content";
        let parts = TwoParts::find(&begin, &end, len, boundary).ok_or_else(|| invalid_field("body", problem))?;
        if parts.content.1 - parts.content.0 > LARGEST {
            return Err(refused_size());
        }
        self.chat.name_upload(id, &filename(parts.json)?)?;
        self.chat.type_upload(id, parts.content_type.as_deref().unwrap_or(ANY))?;
        Ok(self.chat.finish_upload(id, parts.content.0, parts.content.1).await?)
    }
}

/// "Resume Incomplete", with what is there.
fn incomplete(at: u64) -> Response<Body> {
    let mut response = respond_with(StatusCode::PERMANENT_REDIRECT, [(CONTENT_LENGTH, HeaderValue::from_static("0"))]);
    if at > 0 {
        let range = HeaderValue::try_from(format!("bytes=0-{}", at - 1));
        response.headers_mut().extend(range.ok().map(|range| (RANGE, range)));
    }
    response
}

fn refused_size() -> Failure {
    let status = invalid_field("content", &format!("has more than {LARGEST} bytes"));
    Failure::Refused(status, StatusCode::PAYLOAD_TOO_LARGE)
}

/// The name in the metadata of an upload.
fn filename(json: &[u8]) -> Result<String, Status> {
    if json.trim_ascii().is_empty() {
        return Ok(String::new());
    }
    let json: Value =
        serde_json::from_slice(json).map_err(|error| Status::invalid_argument(format!("The metadata: {error}.")))?;
    Ok(json.get("filename").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// The `Content-Range` of a part: the places of its first and last byte, and how many there are of
/// the whole.
#[derive(Debug, PartialEq)]
struct Part {
    range: Option<(u64, Option<u64>)>,
    total: Option<u64>,
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number| *number < u64::MAX);
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let total = if total == "*" { None } else { Some(number(total)?) };
        let range = match range {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                let (first, last) = (number(first)?, number(last)?);
                (first <= last && total.is_none_or(|total| last < total)).then_some(())?;
                Some((first, Some(last)))
            }
        };
        Some(Self { range, total })
    }
}

/// The boundary of a multipart content type.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    kind.trim().to_ascii_lowercase().strip_prefix("multipart/")?;
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    });
    // RFC 2046, section 5.1.1.
    boundary.filter(|boundary| (1..=70).contains(&boundary.len()))
}

/// The two parts of a body, of which the second is between two places.
#[derive(Debug, PartialEq)]
struct TwoParts<'b> {
    json: &'b [u8],
    content_type: Option<String>,
    content: (u64, u64),
}

impl<'b> TwoParts<'b> {
    /// Finds the parts in the first and the last bytes of a body with `len` bytes. Lines end as the
    /// first one does: Python's `email` writes bare line feeds.
    fn find(begin: &'b [u8], end: &[u8], len: u64, boundary: &str) -> Option<Self> {
        let opening = format!("--{boundary}");
        let start = position(begin, opening.as_bytes())?;
        let newline: &[u8] = if begin[start + opening.len()..].starts_with(b"\r\n") { b"\r\n" } else { b"\n" };
        let delimiter = [newline, opening.as_bytes()].concat();
        let blank = newline.repeat(2);
        let mut at = start + opening.len() + newline.len();
        // A part without a head begins with a blank line.
        let head = |at: usize| -> Option<(&'b [u8], usize)> {
            let rest = begin.get(at..)?;
            if rest.starts_with(newline) {
                return Some((&[], at + newline.len()));
            }
            let head = position(rest, &blank)?;
            Some((&rest[..head], at + head + blank.len()))
        };
        let (_, json) = head(at)?;
        let json_end = json + position(&begin[json..], &delimiter)?;
        at = json_end + delimiter.len() + newline.len();
        let (fields, content) = head(at)?;
        let closing = [&*delimiter, b"--"].concat();
        let last = end.windows(closing.len()).rposition(|window| window == closing)?;
        let content_end = len - (end.len() - last) as u64;
        let content_type = String::from_utf8_lossy(fields).lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        let content = (content as u64, content_end);
        (content.0 <= content.1).then_some(Self { json: &begin[json..json_end], content_type, content })
    }
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Gives an attachment's data, or the range of it that is asked for.
async fn download(chat: &Chat, headers: &HeaderMap, name: &str) -> Answer {
    let media = chat.download(headers, name).await?;
    let len: u64 = media.content.iter().map(|piece| piece.len() as u64).sum();
    let header = |text: String| HeaderValue::try_from(text).map_err(|error| Status::internal(error.to_string()));
    let etag = header(media.etag)?;
    let same = headers.get(IF_RANGE).is_none_or(|known| *known == etag);
    let range = headers.get(RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
    let (status, from, to) = match range.map(|range| asked(range, len)) {
        None | Some(Asked::All) => (StatusCode::OK, 0, len),
        Some(Asked::Range(from, to)) => (StatusCode::PARTIAL_CONTENT, from, to),
        Some(Asked::Nothing) => {
            let range = header(format!("bytes */{len}"))?;
            let mut response = error_response(
                &Status::out_of_range("The range is not in the data."),
                StatusCode::RANGE_NOT_SATISFIABLE,
            );
            response.headers_mut().insert(CONTENT_RANGE, range);
            return Ok(response);
        }
    };
    let pieces = slice(&media.content, from, to);
    let mut response = Response::new(Body::new(Data { pieces: pieces.into(), left: to - from }));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, header(media.content_type)?);
    headers.insert(CONTENT_LENGTH, (to - from).into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, header(format!("bytes {from}-{}/{len}", to - 1))?);
    }
    Ok(response)
}

#[derive(Debug, PartialEq)]
enum Asked {
    All,
    /// From one place to another.
    Range(u64, u64),
    /// What is not there.
    Nothing,
}

/// What a `Range` asks for. Several ranges are answered with all, as RFC 9110 allows.
fn asked(range: &str, len: u64) -> Asked {
    let parts = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((first, last)) = parts else { return Asked::All };
    let number = |text: &str| text.parse::<u64>().ok();
    let (from, to) = match (number(first), number(last)) {
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(len)),
        (Some(from), None) if last.is_empty() => (from, len),
        (None, Some(count)) if first.is_empty() => (len.saturating_sub(count), len),
        _ => return Asked::All,
    };
    if from < to { Asked::Range(from, to) } else { Asked::Nothing }
}

/// Pieces as a body.
struct Data {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl http_body::Body for Data {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let piece = this.pieces.pop_front();
        this.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        task::Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_of_a_part_or_asks() {
        let part = |first, last, total| Some(Part { range: Some((first, Some(last))), total });
        for (text, expected) in [
            ("bytes 0-9/30", part(0, 9, Some(30))),
            ("bytes 10-29/*", part(10, 29, None)),
            ("bytes */30", Some(Part { range: None, total: Some(30) })),
            ("bytes */*", Some(Part { range: None, total: None })),
            ("bytes 9-0/30", None),
            ("bytes 0-30/30", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0--1/0", None),
            ("0-9/30", None),
        ] {
            assert_eq!(Part::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_range_asks_for_some_of_the_bytes() {
        for (range, expected) in [
            ("bytes=0-9", Asked::Range(0, 10)),
            ("bytes=90-200", Asked::Range(90, 100)),
            ("bytes=90-", Asked::Range(90, 100)),
            ("bytes=-10", Asked::Range(90, 100)),
            ("bytes=-200", Asked::Range(0, 100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=0-1,5-6", Asked::All),
            ("bytes=9-0", Asked::All),
            ("items=0-9", Asked::All),
        ] {
            assert_eq!(asked(range, 100), expected, "{range}");
        }
    }

    #[test]
    fn a_body_of_two_parts_is_taken_apart() {
        let crlf = "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nContent-Type: text/plain\r\n\r\na\r\n\r\n--b--\r\n";
        let lf = "--b\nContent-Type: application/json\nMIME-Version: 1.0\n\n{}\n--b\ncontent-type: text/plain\n\na\r\n\n--b--\n";
        let bare = "--b\r\n\r\n{}\r\n--b\r\n\r\n\r\n--b--";
        for (body, content_type, content) in
            [(crlf, Some("text/plain"), "a\r\n"), (lf, Some("text/plain"), "a\r\n"), (bare, None, "")]
        {
            let body = body.as_bytes();
            let parts = TwoParts::find(body, body, body.len() as u64, "b").unwrap();
            assert_eq!((parts.json, parts.content_type.as_deref()), (&b"{}"[..], content_type));
            assert_eq!(&body[parts.content.0 as usize..parts.content.1 as usize], content.as_bytes());
        }
        for body in [
            "",
            "--b",
            "--b\r\n\r\n{}\r\n--b--",
            "--b\r\n\r\n{}\r\n--b\r\n\r\na",
            "--c\r\n\r\n{}\r\n--c\r\n\r\n\r\n--c--",
        ] {
            assert_eq!(TwoParts::find(body.as_bytes(), body.as_bytes(), body.len() as u64, "b"), None, "{body:?}");
        }
        assert_eq!(boundary("multipart/related; boundary=\"==1==\"").as_deref(), Some("==1=="));
        assert_eq!(boundary("Multipart/Related; type=x; Boundary=a").as_deref(), Some("a"));
        assert_eq!(boundary("application/json; boundary=a"), None);
    }
}
