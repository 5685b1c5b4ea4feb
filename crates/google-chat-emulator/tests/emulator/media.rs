//! Attachments over HTTP, by hand: what other clients send, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use google_chat_emulator::Emulator;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use crate::support::{emulator, named, post};

const ALICE: (&str, &str) = ("authorization", "Bearer user:alice@example.com");
const BOB: (&str, &str) = ("authorization", "Bearer user:bob@example.com");
const KIND: (&str, &str) = ("content-type", "application/json");

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self, pointer: &str) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn resource_name(&self) -> String {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.json("/attachmentDataRef/resourceName")
    }
}

async fn send(emulator: &Emulator, method: &str, url: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let url = if url.starts_with("http") { url.to_owned() } else { format!("{}{url}", emulator.endpoint()) };
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn space(emulator: &Emulator) -> String {
    let (status, space) = post(emulator, "/v1/spaces", Some("user:alice@example.com"), &named("a")).await;
    assert_eq!(status, 200, "{space}");
    space["name"].as_str().unwrap().to_owned()
}

async fn begin(emulator: &Emulator, space: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().chain(&[ALICE, KIND]).copied().collect();
    let target = format!("/upload/v1/{space}/attachments:upload?uploadType=resumable");
    send(emulator, "POST", &target, &headers, Bytes::from_static(b"{\"filename\":\"a.txt\"}")).await
}

fn escaped(name: &str) -> String {
    name.replace('+', "%2B").replace('=', "%3D")
}

#[tokio::test]
async fn a_multipart_upload_is_taken_as_clients_write_it() {
    let emulator = emulator().await;
    let space = space(&emulator).await;
    let target = format!("/upload/v1/{space}/attachments:upload?uploadType=multipart&alt=json");
    let crlf = "--b\r\ncontent-type: application/json\r\n\r\n{\"filename\":\"a.txt\"}\r\n--b\r\ncontent-type: image/png\
                \r\n\r\n\x01\r\n\r\n--b--\r\n";
    // As Python's email module ends lines.
    let lf = "--==1==\nContent-Type: application/json\nMIME-Version: 1.0\n\n{\"filename\": \"a.txt\"}\n--==1==\n\
              Content-Type: image/png\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\n\x01\r\n\n--==1==--\n";
    for (boundary, body) in [("b", crlf), ("\"==1==\"", lf)] {
        let kind = format!("multipart/related; boundary={boundary}");
        let headers = [ALICE, ("content-type", &*kind)];
        let name = send(&emulator, "POST", &target, &headers, body.to_owned().into()).await.resource_name();
        let media = format!("/v1/media/{}?alt=media", escaped(&name));
        let answer = send(&emulator, "GET", &media, &[ALICE], Bytes::new()).await;
        assert_eq!((answer.status, answer.header("content-type"), &*answer.body), (200, "image/png", &b"\x01\r\n"[..]));
        assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("3", "bytes"));

        // Who is in no space of it gets none of it.
        assert_eq!(send(&emulator, "GET", &media, &[BOB], Bytes::new()).await.status, 403);
        let plain = media.replace("?alt=media", "");
        assert_eq!(send(&emulator, "GET", &plain, &[ALICE], Bytes::new()).await.status, 400);
        for (range, status, body, content_range) in [
            ("bytes=1-", 206, &b"\r\n"[..], "bytes 1-2/3"),
            ("bytes=0-0", 206, b"\x01", "bytes 0-0/3"),
            ("bytes=-1", 206, b"\n", "bytes 2-2/3"),
        ] {
            let part = send(&emulator, "GET", &media, &[ALICE, ("range", range)], Bytes::new()).await;
            assert_eq!((part.status, &*part.body, part.header("content-range")), (status, body, content_range));
            // Another version has other bytes, so that all of this one are given.
            let headers = [ALICE, ("range", range), ("if-range", "\"other\"")];
            assert_eq!(send(&emulator, "GET", &media, &headers, Bytes::new()).await.status, 200);
        }
        let beyond = send(&emulator, "GET", &media, &[ALICE, ("range", "bytes=3-")], Bytes::new()).await;
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */3"));
    }
}

#[tokio::test]
async fn a_resumable_upload_says_how_far_it_is_and_goes_on_from_there() {
    const GRAIN: usize = 262_144;
    let emulator = emulator().await;
    let space = space(&emulator).await;
    let begun = begin(&emulator, &space, &[("x-upload-content-type", "text/plain")]).await;
    assert_eq!(begun.status, 200);
    let session = begun.header("location").to_owned();
    assert!(session.starts_with(&emulator.endpoint()), "{session}");
    let put = async |range: &str, len: usize| {
        let headers = [("content-range", range)];
        let headers = if range.is_empty() { &[][..] } else { &headers[..] };
        send(&emulator, "PUT", &session, headers, vec![7; len].into()).await
    };
    for (range, len, status, kept) in [
        ("bytes */*", 0, 308, ""),
        // What is kept of a part that is not the last is a multiple of 256 KiB.
        ("bytes 0-299999/*", 300_000, 308, "bytes=0-262143"),
        ("bytes */*", 0, 308, "bytes=0-262143"),
        ("bytes 300000-300009/*", 10, 400, ""),
        ("bytes 262144-262150/*", 10, 400, ""),
        ("nonsense", 10, 400, ""),
        ("bytes 262144-262150/999999999999", 7, 413, ""),
        // What is there already is passed over.
        ("bytes 0-262149/262150", 262_150, 200, ""),
        // The response to the last part may have been lost.
        ("bytes */262150", 0, 200, ""),
    ] {
        let answer = put(range, len).await;
        assert_eq!((answer.status, answer.header("range")), (status, kept), "{range}: {:?}", answer.body);
    }
    let name = put("bytes */*", 0).await.resource_name();
    let media = format!("/v1/media/{}?alt=media", escaped(&name));
    let answer = send(&emulator, "GET", &media, &[ALICE], Bytes::new()).await;
    assert_eq!((answer.body.len(), answer.header("content-type")), (GRAIN + 6, "text/plain"));

    // All at once, without a range; and a session that was given up, or a week ago.
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    assert_eq!(send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await.status, 200);
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    assert_eq!(send(&emulator, "DELETE", &session, &[], Bytes::new()).await.status, 499);
    assert_eq!(send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await.status, 404);
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    emulator.advance(Duration::from_secs(7 * 86_400));
    assert_eq!(send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await.status, 404);
}

#[tokio::test]
async fn uploads_that_are_not_right_or_not_allowed_are_refused() {
    let emulator = emulator().await;
    let space = space(&emulator).await;
    let ask = async |kind: &str, headers: &[(&str, &str)], body: &'static str| {
        let target = format!("/upload/v1/{space}/attachments:upload?uploadType={kind}");
        let headers: Vec<_> = headers.iter().chain(&[KIND]).copied().collect();
        let answer = send(&emulator, "POST", &target, &headers, Bytes::from_static(body.as_bytes())).await;
        (answer.status, answer.json("/error/message"))
    };
    let named = r#"{"filename":"a.txt"}"#;
    for (kind, headers, body, status, message) in [
        ("resumable", &[ALICE][..], "{}", 400, "filename is required"),
        ("resumable", &[ALICE], "", 400, "filename is required"),
        ("resumable", &[ALICE], "{", 400, "The metadata: "),
        ("resumable", &[ALICE], r#"{"filename":"a.exe"}"#, 400, "is that of a file type which is blocked"),
        ("resumable", &[BOB], named, 403, "see this space"),
        ("resumable", &[ALICE, ("x-upload-content-length", "209715201")], named, 413, "has more than 209715200 bytes"),
        ("resumable", &[ALICE, ("x-upload-content-length", "x")], named, 400, "is no number"),
        ("media", &[ALICE], "abc", 400, "filename is required"),
        ("multipart", &[ALICE], "abc", 400, "is no multipart with a boundary"),
        ("other", &[ALICE], "abc", 400, "uploadType must be media, multipart or resumable"),
    ] {
        let (found, text) = ask(kind, headers, body).await;
        assert_eq!(found, status, "{kind} {body}: {text}");
        assert!(text.contains(message), "{kind} {body}: {text}");
    }
    emulator.configure(|settings| settings.anonymous = false);
    assert_eq!(ask("resumable", &[], named).await.0, 401);
    // The URL of a session is as good as a token, but a token that is none is refused.
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    let wrong = [("authorization", "Bearer nonsense")];
    assert_eq!(send(&emulator, "PUT", &session, &wrong, Bytes::new()).await.status, 401);
    assert_eq!(send(&emulator, "PUT", &session, &[], Bytes::new()).await.status, 200);
    let long = format!("{{\"filename\":\"{}\"}}", "a".repeat(65_536));
    let target = format!("/upload/v1/{space}/attachments:upload?uploadType=resumable");
    let refused = send(&emulator, "POST", &target, &[ALICE, KIND], long.into()).await;
    assert_eq!(refused.status, 413);
    assert!(refused.json("/error/message").contains("more than the 65536 bytes that metadata may have"));
    // An upload that is shorter than was said is not whole.
    let session = begin(&emulator, &space, &[("x-upload-content-length", "10")]).await.header("location").to_owned();
    let short = send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await;
    assert_eq!(short.status, 400);
    assert!(short.json("/error/message").contains("has 3 bytes, and the upload was said to have 10"));
    assert_eq!(send(&emulator, "PUT", &session, &[], vec![0; 10].into()).await.status, 200);
    let shown = emulator.received().into_iter().filter(|call| call.target.contains("upload_id"));
    assert!(shown.into_iter().all(|call| call.target.ends_with("upload_id=")));
}

#[tokio::test]
async fn attachments_take_no_more_memory_than_is_set() {
    let emulator = emulator().await;
    let space = space(&emulator).await;
    emulator.configure(|settings| settings.attachment_bytes = 500_000);
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    let full = send(&emulator, "PUT", &session, &[], vec![0; 600_000].into()).await;
    assert_eq!(full.status, 400);
    assert!(full.json("/error/message").contains("raise its setting attachmentBytes"), "{:?}", full.body);
    // What came is kept for the session, which may go on when there is room.
    let other = begin(&emulator, &space, &[]).await.header("location").to_owned();
    assert_eq!(send(&emulator, "PUT", &other, &[], vec![0; 300_000].into()).await.status, 400);
    assert_eq!(send(&emulator, "DELETE", &session, &[], Bytes::new()).await.status, 499);
    assert_eq!(send(&emulator, "PUT", &other, &[], vec![0; 300_000].into()).await.status, 200);
    // Sessions that hold nothing count, too.
    let mut refused = 0;
    for _ in 0..500 {
        refused += u32::from(begin(&emulator, &space, &[]).await.status == 400);
    }
    assert!(refused > 200, "{refused}");
    assert_eq!(send(&emulator, "DELETE", &format!("/v1/{space}"), &[ALICE], Bytes::new()).await.status, 200);
}

#[tokio::test]
async fn an_upload_that_was_not_kept_is_not_said_to_be_done() {
    let emulator = emulator().await;
    let space = space(&emulator).await;
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    assert_eq!(send(&emulator, "DELETE", &format!("/v1/{space}"), &[ALICE], Bytes::new()).await.status, 200);
    for problem in [&*format!("There is no space {space}"), "There is no such upload session"] {
        let answer = send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await;
        assert_eq!(answer.status, 404, "{:?}", answer.body);
        assert!(answer.json("/error/message").contains(problem), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn a_file_goes_with_the_last_message_that_has_it() {
    let emulator = emulator().await;
    let space = space(&emulator).await;
    let session = begin(&emulator, &space, &[]).await.header("location").to_owned();
    let uploaded = send(&emulator, "PUT", &session, &[], Bytes::from_static(b"abc")).await;
    let media = format!("/v1/media/{}?alt=media", escaped(&uploaded.resource_name()));
    let token = uploaded.json("/attachmentDataRef/attachmentUploadToken");
    let attachment = json!({"attachmentDataRef": {"attachmentUploadToken": token}});
    let body = |count: usize| json!({"text": "x", "attachment": vec![&attachment; count]}).to_string();
    let messages = format!("/v1/{space}/messages");
    let say = async |count: usize| post(&emulator, &messages, Some("user:alice@example.com"), &body(count)).await;
    let change = async |name: &str, count: usize| {
        let target = format!("/v1/{name}?updateMask=attachment");
        send(&emulator, "PATCH", &target, &[ALICE, KIND], body(count).into()).await
    };
    let there = async || send(&emulator, "GET", &media, &[ALICE], Bytes::new()).await.status;
    for (count, problem) in [
        (2, "names an upload that the message has already"),
        (101, "message.attachment has 101 attachments; at most 100 are allowed"),
    ] {
        let (status, refused) = say(count).await;
        assert!(status == 400 && refused.to_string().contains(problem), "{count}: {refused}");
    }
    let name = |(status, message): (u16, Value)| {
        assert_eq!(status, 200, "{message}");
        message["name"].as_str().unwrap().to_owned()
    };
    let (first, second) = (name(say(1).await), name(say(1).await));
    let again = change(&second, 1).await;
    assert!(again.status == 400 && again.json("/error/message").contains("has already"), "{:?}", again.body);
    assert_eq!(send(&emulator, "DELETE", &format!("/v1/{first}"), &[ALICE], Bytes::new()).await.status, 200);
    assert_eq!(there().await, 200);
    assert_eq!(change(&second, 0).await.status, 200);
    assert_eq!(there().await, 404);
}
