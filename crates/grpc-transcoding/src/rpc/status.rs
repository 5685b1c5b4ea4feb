//! A failed call: between gRPC statuses and the error bodies of Google's REST
//! APIs.
//!
//! Sources: [AIP-193](https://google.aip.dev/193) for the body,
//! `google/rpc/code.proto` for the codes.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{DATE, LOCATION, RETRY_AFTER},
};
use protojson::{
    DescriptorPool, MessageDescriptor, ReadOptions, WriteOptions,
    wire::{Payload, Reader, put_len, put_uint},
};
use serde_json::{Value, value::RawValue};
use tonic::{Code, Status};

/// The standard details of an error and `google.protobuf.Struct`, known even
/// where a user's descriptor pool lacks them. Compiled from `proto/google/rpc`; a test
/// holds the two equal.
static RPC: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(include_bytes!("rpc.bin")).ok());

/// How much of a body that is not JSON goes into a message, in bytes.
const EXCERPT: usize = 200;

/// The HTTP status for a gRPC code, as `google.rpc.Code` has it.
pub fn http_status(code: Code) -> StatusCode {
    let status = match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The gRPC code of an HTTP status, where the body does not name one.
pub fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        200..300 => Code::Ok,
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        other if (400..500).contains(&other) => Code::FailedPrecondition,
        501 => Code::Unimplemented,
        // A gateway did not reach the API, as gRPC itself reads it.
        502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        other if (500..600).contains(&other) => Code::Internal,
        _ => Code::Unknown,
    }
}

const NAMES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

/// The name of a code, as `google.rpc.Code` has it: `ALREADY_EXISTS`.
pub fn code_name(code: Code) -> &'static str {
    NAMES[code as usize].1
}

fn code_named(name: &str) -> Option<Code> {
    NAMES.iter().find(|(code, known)| *known == name && *code != Code::Ok).map(|(code, _)| *code)
}

/// Reads a response that is not a success as a status.
///
/// The code is the one that the body names, else that of the HTTP status. What
/// cannot be read is left out; nothing makes the call fail in another way. Also
/// whether the body names the code, so that it is the API's own word.
pub(crate) fn from_http(pool: Option<&DescriptorPool>, status: StatusCode, body: &[u8]) -> (Status, bool) {
    let by_status = failure_code(status);
    let Some((whole, json)) = parse(body) else {
        return (Status::new(by_status, from_text(status, body)), false);
    };
    // `{"error": …}`, the same in a list, or a bare google.rpc.Status.
    let outer = match &json {
        Value::Array(list) => list.first().unwrap_or(&json),
        other => other,
    };
    let error = outer.get("error").unwrap_or(outer);
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let named = text("status").and_then(code_named);
    // In the envelope `code` is HTTP's, in a bare status gRPC's, as in grpc-gateway's
    // envelope; no number is one of both.
    let number = error.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    let said = named.or(number.filter(|code| (1..=16).contains(code)).map(Code::from));
    let code = said.unwrap_or(by_status);
    let message = match (text("message"), error) {
        (Some(message), _) => message.to_owned(),
        // OAuth's form: {"error": "…", "error_description": "…"}.
        (None, Value::String(error)) => {
            let description = outer.get("error_description").and_then(Value::as_str);
            description.map_or_else(|| error.clone(), |description| format!("{error}: {description}"))
        }
        _ => from_text(status, body),
    };
    let details: Vec<Vec<u8>> = match error.get("details") {
        Some(Value::Array(_)) => raw_details(&whole).iter().filter_map(|detail| any(pool, detail.get())).collect(),
        _ => Vec::new(),
    };
    if details.is_empty() {
        return (Status::new(code, message), said.is_some());
    }
    let mut encoded = Vec::new();
    put_uint(&mut encoded, 1, code as u64);
    put_len(&mut encoded, 2, message.as_bytes());
    for detail in &details {
        put_len(&mut encoded, 3, detail);
    }
    (Status::with_details(code, message, Bytes::from(encoded)), said.is_some())
}

/// The error that a response holds in the place of a message, though its HTTP status is
/// that of a success: `{"error":{…}}` and nothing else, or that in a list.
pub(crate) fn in_place_of_message(pool: Option<&DescriptorPool>, body: &[u8]) -> Option<Status> {
    let body = body.trim_ascii_start();
    let first = body.strip_prefix(b"[").unwrap_or(body).trim_ascii_start();
    // Messages are nearly always told by their first key.
    if !first.strip_prefix(b"{")?.trim_ascii_start().starts_with(b"\"error\"") {
        return None;
    }
    let (_, json) = parse(body)?;
    let object = match &json {
        Value::Array(list) if list.len() == 1 => list[0].as_object()?,
        other => other.as_object()?,
    };
    let error = object.get("error")?.as_object().filter(|_| object.len() == 1)?;
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let http = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(from_http(pool, http, body).0)
}

/// The status of a response that is not a success and whose body cannot be read, for
/// `problem`.
pub(crate) fn unreadable(status: StatusCode, problem: &str) -> Status {
    Status::new(
        failure_code(status),
        format!("the server answered HTTP {status}, and its body cannot be read: {problem}"),
    )
}

/// The status of a redirect, which is not followed: the credentials are not for whom it
/// leads to. `None` if the response is none.
pub(crate) fn redirect(status: StatusCode, headers: &HeaderMap) -> Option<Status> {
    let location = headers.get(LOCATION).filter(|_| status.is_redirection())?;
    let place = place(location.as_bytes());
    let message = format!(
        "the server answered HTTP {status}, a redirect to {place}, which is not followed; set the endpoint to where \
         the API is"
    );
    Some(Status::new(failure_code(status), message))
}

/// A URL for people: without what may be secret, which is user, password, query and
/// fragment, and without what a terminal would take for a command.
fn place(url: &[u8]) -> String {
    let url = String::from_utf8_lossy(&url[..url.len().min(4 * EXCERPT)]);
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let authority = url.find("//").map_or(0, |at| at + 2);
    let path = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    let host = url[..path].rfind('@').filter(|at| *at >= authority).map_or(authority, |at| at + 1);
    let shown = [&url[..authority], &url[host..]].concat();
    excerpt(&shown.replace(char::is_control, "\u{fffd}"))
}

/// The code of a response that is not a success.
fn failure_code(status: StatusCode) -> Code {
    match code(status) {
        Code::Ok => Code::Unknown,
        code => code,
    }
}

/// Reads the JSON of an error as far as that makes sense: a character that is none costs
/// no more than itself.
fn parse(body: &[u8]) -> Option<(Cow<'_, str>, Value)> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(text) = std::str::from_utf8(body)
        && let Ok(json) = serde_json::from_str(text)
    {
        return Some((text.into(), json));
    }
    let text = mended(&String::from_utf8_lossy(body));
    let json = serde_json::from_str(&text).ok()?;
    Some((text.into(), json))
}

/// The details of an error as they stand in its text: a `Value` would lose the order of
/// their members, and so that of the fields of the messages that they become.
fn raw_details(text: &str) -> Vec<Box<RawValue>> {
    type Members = HashMap<String, Box<RawValue>>;
    let read = || {
        let listed: Result<Vec<Box<RawValue>>, _> = serde_json::from_str(text);
        let outer = listed.ok().and_then(|list| list.into_iter().next());
        let outer: Members = serde_json::from_str(outer.as_deref().map_or(text, RawValue::get)).ok()?;
        let error = outer.get("error").map(|error| serde_json::from_str(error.get()));
        let mut error: Members = error.transpose().ok()?.unwrap_or(outer);
        serde_json::from_str(error.remove("details")?.get()).ok()
    };
    read().unwrap_or_default()
}

/// JSON text in whose strings there are neither surrogates without their other half nor
/// bare control characters.
fn mended(text: &str) -> String {
    let surrogate = |text: &str, range: std::ops::RangeInclusive<u32>| {
        let unit = u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
        range.contains(&unit).then_some(6)
    };
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(char) = rest.chars().next() {
        let mut len = char.len_utf8();
        if in_string && char == '\\' {
            if let Some(high) = surrogate(rest, 0xd800..=0xdbff) {
                let pair = surrogate(&rest[high..], 0xdc00..=0xdfff);
                len = high + pair.unwrap_or_default();
                out.push_str(if pair.is_some() { &rest[..len] } else { "\u{fffd}" });
            } else if let Some(low) = surrogate(rest, 0xdc00..=0xdfff) {
                len = low;
                out.push('\u{fffd}');
            } else {
                // The character after it does not end the string.
                len += rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..len]);
            }
        } else if in_string && char < ' ' {
            out.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            in_string ^= char == '"';
            out.push(char);
        }
        rest = &rest[len..];
    }
    out
}

/// The message for a response whose body says nothing that can be read: its
/// first line.
fn from_text(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return format!("the server answered HTTP {status} without a body");
    }
    format!("the server answered HTTP {status}: {}", excerpt(&line))
}

/// The beginning of a text that may be long.
fn excerpt(text: &str) -> String {
    let mut end = EXCERPT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < text.len() { " …" } else { "" };
    format!("{}{more}", &text[..end])
}

/// A detail as an encoded `google.protobuf.Any`. One whose type nobody knows
/// is taken as the bytes that [`any_json`] wrote, if it has that form, else kept
/// as a `google.protobuf.Struct`.
fn any(pool: Option<&DescriptorPool>, json: &str) -> Option<Vec<u8>> {
    let options = ReadOptions::default().with_ignore_unknown(true);
    let read = |json: &str| {
        any_types(pool).find_map(|any| {
            let mut encoded = Vec::new();
            any.read_json(json.as_bytes(), &mut encoded, &options).is_ok().then_some(encoded)
        })
    };
    if let Some(encoded) = read(json) {
        return Some(encoded);
    }
    let detail: Value = serde_json::from_str(json).ok()?;
    // A `Value` keeps the last of two members with one key, which the first attempt refuses.
    let json = &*detail.to_string();
    if let Some(encoded) = read(json) {
        return Some(encoded);
    }
    let kind = detail.get("@type")?.as_str()?;
    if let Some(members) = detail.as_object().filter(|members| members.len() <= 2)
        && let Some(text) = members.get("value").map_or((members.len() == 1).then_some(""), Value::as_str)
        && let Ok(bytes) = STANDARD.decode(text)
        && !kind.contains("/google.protobuf.")
        && is_message(&bytes)
    {
        let mut encoded = Vec::new();
        put_len(&mut encoded, 1, kind.as_bytes());
        put_len(&mut encoded, 2, &bytes);
        return Some(encoded);
    }
    let known = RPC.as_ref().and_then(|schema| schema.message("google.protobuf.Struct"))?;
    let content = known.from_json(json).ok()?;
    let mut encoded = Vec::new();
    put_len(&mut encoded, 1, b"type.googleapis.com/google.protobuf.Struct");
    put_len(&mut encoded, 2, &content);
    Some(encoded)
}

/// `google.protobuf.Any` in the user's pool and in our own.
fn any_types(pool: Option<&DescriptorPool>) -> impl Iterator<Item = MessageDescriptor> {
    pool.into_iter().chain(RPC.as_ref()).filter_map(|pool| pool.message("google.protobuf.Any"))
}

/// Whether bytes are fields up to their end, as those of any message are.
fn is_message(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.field() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The body of an error response with an HTTP status: `{"error":{…}}`, as
/// Google's front ends send it.
pub(crate) fn to_body(pool: Option<&DescriptorPool>, status: &Status, http: StatusCode) -> Vec<u8> {
    let quoted = |text: &str| Value::from(text).to_string();
    // By hand, since a map of serde_json has no order, and people read this.
    let mut body = format!(
        r#"{{"error":{{"code":{},"message":{},"status":"{}""#,
        http.as_u16(),
        quoted(status.message()),
        code_name(status.code())
    );
    let details: Vec<String> = details(status.details()).iter().map(|detail| any_json(pool, detail)).collect();
    if !details.is_empty() {
        body.push_str(&format!(r#","details":[{}]"#, details.join(",")));
    }
    body.push_str("}}");
    body.into_bytes()
}

/// How long a server asks to wait: `Retry-After` (RFC 9110, section 10.2.3) in seconds
/// or as a date, or RetryInfo. A date that is past means now.
pub fn asked_wait(headers: &HeaderMap, details: &[u8]) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |name| text(name).and_then(|text| httpdate::parse_http_date(text).ok());
    let until = || {
        // By the server's own clock where it tells the time, since ours may differ.
        let now = date(DATE).unwrap_or_else(SystemTime::now);
        Some(date(RETRY_AFTER)?.duration_since(now).unwrap_or_default())
    };
    let seconds = text(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    seconds.or_else(until).or_else(|| retry_delay(details))
}

/// How long the `google.rpc.RetryInfo` of an encoded `google.rpc.Status` asks to
/// wait.
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let content = |wire: &[u8], wanted: u32| {
        let mut reader = Reader::new(wire);
        let mut found = None;
        while let Ok(Some((tag, payload))) = reader.field() {
            if tag >> 3 == wanted {
                found = Some(payload.bytes().to_vec());
            }
        }
        found
    };
    let retry_info = |detail: &&[u8]| content(detail, 1).is_some_and(|kind| kind.ends_with(b"/google.rpc.RetryInfo"));
    let detail = details(status).into_iter().find(retry_info)?;
    let delay = content(&content(detail, 2)?, 1)?;
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(&delay);
    while let Ok(Some((tag, payload))) = reader.field() {
        match tag {
            0x08 => seconds = payload.bits(),
            0x10 => nanos = payload.bits(),
            _ => {}
        }
    }
    // Neither is negative in what a server asks.
    Some(Duration::new(u32::try_from(seconds).ok()?.into(), u32::try_from(nanos).ok()?.min(999_999_999)))
}

/// The encoded `Any`s of an encoded `google.rpc.Status`.
pub(crate) fn details(status: &[u8]) -> Vec<&[u8]> {
    let mut details = Vec::new();
    let mut reader = Reader::new(status);
    while let Ok(Some((tag, payload))) = reader.field() {
        if let (26, Payload::Bytes(detail)) = (tag, payload) {
            details.push(detail);
        }
    }
    details
}

fn any_json(pool: Option<&DescriptorPool>, detail: &[u8]) -> String {
    for any in any_types(pool) {
        let mut json = Vec::new();
        if any.write_json(detail, &mut json, &WriteOptions::default()).is_ok() {
            return String::from_utf8_lossy(&json).into_owned();
        }
    }
    // A type that nobody knows: its bytes, in base64.
    let mut reader = Reader::new(detail);
    let mut opaque = serde_json::Map::new();
    while let Ok(Some((tag, payload))) = reader.field() {
        match tag {
            0x0a => opaque.insert("@type".into(), String::from_utf8_lossy(payload.bytes()).into()),
            0x12 => opaque.insert("value".into(), STANDARD.encode(payload.bytes()).into()),
            _ => None,
        };
    }
    Value::Object(opaque).to_string()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, body: &str) -> Status {
        from_http(None, StatusCode::from_u16(status).unwrap(), body.as_bytes()).0
    }

    #[test]
    fn every_error_form_has_a_code_and_a_message() {
        for (http, body, code, message) in [
            (
                409,
                r#"{"error":{"code":409,"message":"taken","status":"ALREADY_EXISTS"}}"#,
                Code::AlreadyExists,
                "taken",
            ),
            (409, r#"{"error":{"code":409,"message":"again"}}"#, Code::Aborted, "again"),
            (400, r#"{"error":{"message":"x","status":"NO_SUCH_CODE"}}"#, Code::InvalidArgument, "x"),
            (403, r#"[{"error":{"message":"no","status":"PERMISSION_DENIED"}}]"#, Code::PermissionDenied, "no"),
            (500, r#"{"code":6,"message":"bare"}"#, Code::AlreadyExists, "bare"),
            (500, r#"{"error":"plain"}"#, Code::Internal, "plain"),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Bad key."}"#,
                Code::InvalidArgument,
                "invalid_grant: Bad key.",
            ),
            (401, "", Code::Unauthenticated, "the server answered HTTP 401 Unauthorized without a body"),
            (
                403,
                r#"{"error":{"mess"#,
                Code::PermissionDenied,
                "the server answered HTTP 403 Forbidden: {\"error\":{\"mess",
            ),
            (502, "<html>\n<body>Bad", Code::Unavailable, "the server answered HTTP 502 Bad Gateway: <html> <body>Bad"),
            (302, "", Code::Unknown, "the server answered HTTP 302 Found without a body"),
            (418, "", Code::FailedPrecondition, "the server answered HTTP 418 I'm a teapot without a body"),
            (500, r#"{"error":{"message":"m","details":"not a list"}}"#, Code::Internal, "m"),
            (500, r#"{"error":{"code":8,"message":"grpc-gateway's"}}"#, Code::ResourceExhausted, "grpc-gateway's"),
        ] {
            let status = read(http, body);
            assert_eq!((status.code(), status.message()), (code, message), "{http} {body}");
        }
        let long = read(502, &"é".repeat(1_000));
        assert!(long.message().len() < 300 && long.message().ends_with('…'));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_in_any_form_of_http() {
        let wait = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, http::HeaderValue::from_static(retry_after));
            if let Some(date) = date {
                headers.insert(DATE, http::HeaderValue::from_static(date));
            }
            asked_wait(&headers, &[])
        };
        let date = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        for (retry_after, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            assert_eq!(wait(retry_after, date), seconds.map(Duration::from_secs), "{retry_after}");
        }
        // Without the server's clock ours counts.
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(Duration::ZERO));
        assert!(wait("Fri, 31 Dec 9999 23:59:59 GMT", None) > Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn a_lone_surrogate_in_an_error_message_costs_the_character() {
        for (text, message) in [
            (r"a\ud800b", "a\u{fffd}b"),
            (r"\udc00\ud83d\ude80", "\u{fffd}\u{1f680}"),
            (r"\ud800\ud83d\ude80\uDBFF", "\u{fffd}\u{1f680}\u{fffd}"),
            (r#"\\ud800 \"\ud800\""#, "\\ud800 \"\u{fffd}\""),
            ("\\ud800\n\t", "\u{fffd}\n\t"),
            ("line one\nline two", "line one\nline two"),
        ] {
            let body = format!(r#"{{"error":{{"message":"{text}","status":"ABORTED","details":[{DETAIL}]}}}}"#);
            let status = read(500, &body);
            assert_eq!((status.code(), status.message()), (Code::Aborted, message), "{text}");
            assert_eq!(details(status.details()).len(), 1, "{text}");
        }
        const DETAIL: &str = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"\udfff"}"#;
        let latin = b"{\"error\":{\"message\":\"caf\xe9\",\"status\":\"ABORTED\"}}";
        let (status, said) = from_http(None, StatusCode::BAD_REQUEST, latin);
        assert_eq!((status.code(), status.message(), said), (Code::Aborted, "caf\u{fffd}", true));
    }

    #[test]
    fn a_redirect_names_where_it_leads_without_secrets() {
        for (location, shown) in [
            ("https://login.example.com/a?token=secret#secret", "https://login.example.com/a"),
            ("https://user:secret@example.com/a@b", "https://example.com/a@b"),
            ("//user:secret@example.com?secret", "//example.com"),
            ("https://a@b:secret@example.com", "https://example.com"),
            ("/v2/spaces?secret", "/v2/spaces"),
            ("/a\tb\u{9b}31m", "/a\u{fffd}b\u{fffd}31m"),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap())]);
            let status = redirect(StatusCode::FOUND, &headers).unwrap();
            let expected = format!(
                "the server answered HTTP 302 Found, a redirect to {shown}, which is not followed; set the endpoint to \
                 where the API is"
            );
            assert_eq!((status.code(), status.message()), (Code::Unknown, &*expected));
            assert!(redirect(StatusCode::CREATED, &headers).is_none());
        }
    }

    #[test]
    fn a_detail_with_a_key_twice_has_the_last_of_them() {
        let detail = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"A","reason":"B"}"#;
        let status = read(409, &format!(r#"{{"error":{{"message":"m","details":[{detail}]}}}}"#));
        let expected = any(None, r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"B"}"#).unwrap();
        assert_eq!(details(status.details()), [expected]);
    }

    #[test]
    fn details_become_any_and_unknown_ones_are_kept() {
        let body = r#"{"error":{"code":409,"message":"m","status":"ALREADY_EXISTS","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"D","metadata":{"k":"v"}},
            {"@type":"type.googleapis.com/acme.Unknown","n":1}, 7]}}"#;
        let status = read(409, body);
        let back: Value = serde_json::from_slice(&to_body(None, &status, StatusCode::CONFLICT)).unwrap();
        let expected: Value = serde_json::from_str(
            r#"{"error":{"code":409,"message":"m","status":"ALREADY_EXISTS","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"D","metadata":{"k":"v"}},
            {"@type":"type.googleapis.com/google.protobuf.Struct",
             "value":{"@type":"type.googleapis.com/acme.Unknown","n":1}}]}}"#,
        )
        .unwrap();
        assert_eq!(back, expected);
    }

    #[test]
    fn every_code_has_its_http_status_and_name() {
        for (code, name) in NAMES {
            assert_eq!(code_name(code), name);
            assert_eq!(code_named(name), (code != Code::Ok).then_some(code));
        }
        let statuses: Vec<u16> = (0..17).map(|code| http_status(Code::from(code)).as_u16()).collect();
        assert_eq!(statuses, [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]);
    }
}
