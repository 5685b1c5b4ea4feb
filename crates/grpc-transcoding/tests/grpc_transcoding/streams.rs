//! Streams of responses.

use crate::shelf::*;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tonic::{Code, Status};

#[tokio::test]
async fn server_streams_come_in_the_form_that_is_asked_for() {
    let books = [("shelf.Book", json!({"title": "a"})), ("shelf.Book", json!({"title": "b"}))];
    let late = Status::new(Code::Unavailable, "gone");
    let error = r#"{"error":{"code":503,"message":"gone","status":"UNAVAILABLE"}}"#;
    for (accept, kind, first, second) in [
        ("application/json", "application/json", "[{\"title\":\"a\"},\n{\"title\":\"b\"}", ",\n@]"),
        ("application/x-ndjson", "application/x-ndjson", "{\"title\":\"a\"}\n{\"title\":\"b\"}\n", "@\n"),
        (
            "text/event-stream",
            "text/event-stream",
            "data: {\"title\":\"a\"}\n\ndata: {\"title\":\"b\"}\n\n",
            "data: @\n\n",
        ),
    ] {
        let watch = || Request::get("/v1/shelves/a:watch").header("accept", accept).body(Full::default()).unwrap();
        let (status, headers, body) = rest(&Backend::answering(&books, None), watch()).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, &*format!("{kind}; charset=UTF-8")));
        let end = if accept == "application/json" { "]" } else { "" };
        assert_eq!(body, format!("{first}{end}"));
        let (status, _, body) = rest(&Backend::answering(&books, Some(late.clone())), watch()).await;
        assert_eq!((status, body), (200, format!("{first}{}", second.replace('@', error))));
        // An error before any message is an error of the whole answer.
        let (status, _, body) = rest(&Backend::answering(&[], Some(late.clone())), watch()).await;
        assert_eq!((status, body.as_str()), (503, error));
    }
    for (accept, kind) in [
        ("text/event-stream;q=0", "application/json"),
        ("Text/Event-Stream", "text/event-stream"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("*/*;q=0.1, text/event-stream;q=0.2", "text/event-stream"),
    ] {
        let watch = Request::get("/v1/shelves/a:watch").header("accept", accept).body(Full::default()).unwrap();
        let (_, headers, _) = rest(&Backend::answering(&books, None), watch).await;
        assert_eq!(headers["content-type"], format!("{kind}; charset=UTF-8"), "{accept}");
    }
    let (_, _, body) = rest(&Backend::answering(&[], None), get("/v1/shelves/a:watch")).await;
    assert_eq!(body, "[]");
    let (_, headers, _) = rest(&Backend::answering(&books, None), get("/v1/shelves/a:watch?alt=sse")).await;
    assert_eq!(headers["content-type"], "text/event-stream; charset=UTF-8");
}

/// grpc-gateway has each message of a stream in an envelope.
#[tokio::test]
async fn array_envelope_of_grpc_gateway() {
    let shelf = json!({"shelf": "shelves/a"});
    let (a, b) = (json!({"title": "a"}), json!({"tags": ["}"]}));
    for (body, books, code, message) in [
        ("{\"result\":{\"title\":\"a\"}}\n{\"result\":{\"tags\":[\"}\"]}}\n", vec![a.clone(), b.clone()], Code::Ok, ""),
        ("{\"result\":{}}\n", vec![json!({})], Code::Ok, ""),
        (
            "{\"result\":{\"title\":\"a\"}}\n{\"error\":{\"code\":8,\"message\":\"full\",\"details\":[]}}\n",
            vec![a.clone()],
            Code::ResourceExhausted,
            "full",
        ),
        // Google's own streams have no envelope, and HTTP's codes.
        (
            "[{\"title\":\"a\"},{\"error\":{\"code\":409,\"message\":\"again\"}}]",
            vec![a.clone()],
            Code::Aborted,
            "again",
        ),
        // A message of a newer server.
        ("{\"result\":1,\"title\":\"a\"}\n", vec![a.clone()], Code::Ok, ""),
    ] {
        let (_, service) = answering(200, &[("content-type", "application/json")], body);
        let (found, status) = call(http_json(service), "Watch", std::slice::from_ref(&shelf)).await;
        assert_eq!((found, status.code(), status.message()), (books, code, message), "{body}");
    }
    // Any key may be the message's own.
    let (_, service) = answering(200, &[], "{\"result\":{}}\n{\"error\":{}}\n");
    let (found, status) = call(http_json(service), "WatchNotes", &[json!({"isbn": "1"})]).await;
    assert_eq!((found, status.code()), (vec![json!({"result": {}}), json!({"error": {}})], Code::Ok), "{status:?}");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_unavailable() {
    let (_, service) = answering(200, &[("content-type", "application/json")], r#"[{"title":"a"},"#);
    let (found, status) = call(http_json(service), "Watch", &[json!({"shelf": "shelves/a"})]).await;
    assert_eq!((found, status.code()), (vec![json!({"title": "a"})], Code::Unavailable), "{status:?}");
}
