//! What is answered to requests of REST, right ones and wrong ones.

use crate::support::{named, send};
use google_chat_emulator::Emulator;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const JSON: &[(&str, &str)] = &[crate::support::JSON];
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];

#[tokio::test]
async fn the_documented_request_creates_a_space() {
    let emulator = Emulator::start().await.unwrap();
    let body = r#"{"displayName":"a","spaceType":1,"spaceHistoryState":"HISTORY_OFF"}"#;
    // Google's own clients ask for enums as numbers.
    let both = [
        ("/v1/spaces?requestId=1&$alt=json%3Benum-encoding=int", Value::from(1)),
        ("/v1/spaces?request_id=1", "HISTORY_OFF".into()),
    ];
    for (path, history) in both {
        let json = [("content-type", "application/json; charset=utf-8")];
        let (status, space) = send(&emulator, "POST", path, &json, body).await;
        let space: Value = serde_json::from_str(&space).unwrap();
        assert_eq!((status, &space["displayName"], &space["spaceHistoryState"]), (200, &"a".into(), &history));
    }
}

#[tokio::test]
async fn wrong_requests_are_answered_with_what_is_wrong() {
    let emulator = Emulator::start().await.unwrap();
    const OK: &str = r#"{"displayName":"b","spaceType":"SPACE"}"#;
    let large = format!(r#"{{"displayName":"{}"}}"#, "x".repeat(5_000_000));
    for (method, path, headers, body, status, code, message) in [
        (
            "POST",
            "/v1/spaces",
            JSON,
            r#"{"foo":1}"#,
            400,
            "INVALID_ARGUMENT",
            "space.foo: unknown field (line 1, column 2)",
        ),
        (
            "POST",
            "/v1/spaces",
            JSON,
            "{\"spaceDetails\":\n  {\"description\": 7}}",
            400,
            "INVALID_ARGUMENT",
            "space.spaceDetails.description: expected a string, found the number 7 (line 2, column 19)",
        ),
        (
            "POST",
            "/v1/spaces",
            JSON,
            r#"{"spaceDetails":1}"#,
            400,
            "INVALID_ARGUMENT",
            "space.spaceDetails: expected an object, found the number 1",
        ),
        ("POST", "/v1/spaces", JSON, r#"{"spaceType":"ROOM"}"#, 400, "INVALID_ARGUMENT", "has no value \"ROOM\""),
        (
            "POST",
            "/v1/spaces",
            JSON,
            r#"{"predefinedPermissionSettings":1,"permissionSettings":{}}"#,
            400,
            "INVALID_ARGUMENT",
            "another member of its oneof",
        ),
        (
            "POST",
            "/v1/spaces",
            JSON,
            r#"{"displayName":"a","displayName":"b"}"#,
            400,
            "INVALID_ARGUMENT",
            "comes twice",
        ),
        ("POST", "/v1/spaces", JSON, "", 400, "INVALID_ARGUMENT", "space is required"),
        ("POST", "/v1/spaces", JSON, "null", 400, "INVALID_ARGUMENT", "space is required"),
        ("POST", "/v1/spaces", JSON, "{}", 400, "INVALID_ARGUMENT", "space.space_type is required"),
        ("POST", "/v1/spaces?x=1", JSON, OK, 400, "INVALID_ARGUMENT", "unknown query parameter `x`"),
        ("POST", "/v1/spaces?requestId=1&request_id=2", JSON, OK, 400, "INVALID_ARGUMENT", "comes twice"),
        ("POST", "/v1/spaces?space.displayName=1", JSON, OK, 400, "INVALID_ARGUMENT", "is a field of the body"),
        ("GET", "/v1/spaces?fields=spaces(title)", &[], "", 400, "INVALID_ARGUMENT", "Space has no field `title`"),
        ("POST", "/v1/spaces?requestId=%zz", JSON, OK, 400, "INVALID_ARGUMENT", "hexadecimal"),
        ("POST", "/v1/spaces", TEXT, OK, 415, "INVALID_ARGUMENT", "text/plain"),
        ("POST", "/v1/spaces", JSON, &large, 413, "INVALID_ARGUMENT", "larger than"),
        ("PUT", "/v1/spaces", &[], "", 405, "UNIMPLEMENTED", "cannot be requested with PUT"),
        ("POST", "/v1/spaces/", JSON, OK, 404, "NOT_FOUND", "nothing is served at /v1/spaces/"),
        ("POST", "/x", JSON, OK, 404, "NOT_FOUND", "nothing is served at /x"),
        ("POST", "/v1/spaces?$httpMethod=PUT", JSON, OK, 405, "UNIMPLEMENTED", "cannot be requested with PUT"),
        ("POST", "/v1/spaces?$httpMethod=a(b", JSON, OK, 400, "INVALID_ARGUMENT", "none of HTTP's"),
    ] {
        let (found, error) = send(&emulator, method, path, headers, body).await;
        let error = &serde_json::from_str::<Value>(&error).unwrap()["error"];
        let case = format!("{method} {path} {}: {error}", &body[..body.len().min(60)]);
        assert_eq!(found, status, "{case}");
        // The envelope says the HTTP status that its gRPC code maps to.
        assert_eq!(error["status"], code, "{case}");
        assert!(error["message"].as_str().unwrap().contains(message), "{case}");
    }
}

/// Google's Java client has no PATCH.
#[tokio::test]
async fn a_post_may_stand_for_another_http_method() {
    let emulator = Emulator::start().await.unwrap();
    send(&emulator, "POST", "/v1/spaces", JSON, &named("a")).await;
    let path = format!("/v1/{}", emulator.spaces()[0].name);
    let patch = [("x-http-method-override", "PATCH"), crate::support::JSON];
    let (status, answer) =
        send(&emulator, "POST", &format!("{path}?updateMask=displayName"), &patch, r#"{"displayName":"b"}"#).await;
    assert_eq!((status, emulator.spaces()[0].display_name.as_str()), (200, "b"), "{answer}");
    let (status, answer) = send(&emulator, "POST", &format!("{path}?%24httpMethod=GET"), JSON, "").await;
    assert_eq!(status, 200, "{answer}");
    // Only a POST does.
    let (status, answer) = send(&emulator, "GET", &path, &[("x-http-method-override", "DELETE")], "").await;
    assert_eq!((status, emulator.spaces().len()), (200, 1), "{answer}");
}

/// The emulator answers such requests by itself, before they reach its gateway.
#[tokio::test]
async fn requests_that_are_not_http_are_answered_with_400() {
    let emulator = Emulator::start().await.unwrap();
    for (request, problem) in [
        ("GET / HTTP/1.1\r\n\r\n", "no Host header"),
        ("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", "more than one Host"),
        (
            "POST /v1/spaces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\nx\r\n",
            "the body is not HTTP",
        ),
    ] {
        let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {answer}");
        assert!(answer.contains(problem) && answer.contains("INVALID_ARGUMENT"), "{request}: {answer}");
    }
}
