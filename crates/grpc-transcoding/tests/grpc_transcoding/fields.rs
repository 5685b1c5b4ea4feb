//! The system parameter `fields`: responses with a part of their fields.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::server::Gateway;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::ServiceExt;

const BOOK: &str = "/v1/books/1";

fn books() -> Backend {
    let book = |title: &str| {
        let author = json!({"givenName": "G", "born": 1});
        ("shelf.Book", json!({"title": title, "pages": "7", "author": author, "tags": ["a", "b"]}))
    };
    Backend::answering(&[book("first"), book("second")], None)
}

fn book() -> Backend {
    let backend = books();
    backend.answer.lock().unwrap().0.truncate(1);
    backend
}

#[tokio::test]
async fn fields_select_what_a_response_has() {
    for (query, expected) in [
        ("fields=title", r#"{"title":"first"}"#),
        ("%24fields=title", r#"{"title":"first"}"#),
        ("fields=tags,author/born", r#"{"author":{"born":1},"tags":["a","b"]}"#),
        ("fields=author.given_name", r#"{"author":{"givenName":"G"}}"#),
        ("fields=author(born,+givenName)", r#"{"author":{"givenName":"G","born":1}}"#),
        ("fields=*/born", r#"{"author":{"born":1}}"#),
        ("fields=title&$fields=pages", r#"{"title":"first","pages":"7"}"#),
        ("fields=title&prettyPrint=true", "{\n  \"title\": \"first\"\n}"),
        ("fields=name", "{}"),
        ("fields=", r#"{"title":"first","pages":"7","author":{"givenName":"G","born":1},"tags":["a","b"]}"#),
    ] {
        let (status, _, body) = rest(&book(), get(&format!("{BOOK}?{query}"))).await;
        assert_eq!((status, body.trim_end()), (200, expected), "{query}");
    }
    let masked = |query: &str, mask: &str| {
        let request = Request::get(format!("{BOOK}?{query}")).header("x-goog-fieldmask", mask);
        request.body(Full::<Bytes>::default()).unwrap()
    };
    for (query, mask, expected) in [
        ("", "title", r#"{"title":"first"}"#),
        ("", "author.born", r#"{"author":{"born":1}}"#),
        ("fields=pages", "title", r#"{"pages":"7"}"#),
    ] {
        let (status, _, body) = rest(&book(), masked(query, mask)).await;
        assert_eq!((status, &*body), (200, expected), "{query} {mask}");
    }
    let (status, _, body) = rest(&book(), masked("", "titel")).await;
    assert!(status == 400 && body.contains("`X-Goog-FieldMask`: `titel`: shelf.Book has no field `titel`"), "{body}");
}

#[tokio::test]
async fn a_field_that_is_not_there_is_refused_before_the_call() {
    let long = format!("{BOOK}?fields={}", "title,".repeat(1_000));
    for (path, problem) in [
        ("/v1/books/1?fields=isbn", "`fields`: `isbn`: shelf.Book has no field `isbn`"),
        ("/v1/books/1?fields=author/age", "`fields`: `author.age`: shelf.Author has no field `age`"),
        ("/v1/books/1?fields=title/a", "`fields`: `title.a`: the value before it has no fields"),
        ("/v1/books/1?fields=author(born", "`fields`: a `(` is not closed"),
        ("/v1/titles/1?fields=titles", "`fields`: `titles`: the value before it has no fields"),
        ("/v1/shelves/a:watch?fields=isbn", "`fields`: `isbn`: shelf.Book has no field `isbn`"),
        ("/v1/shelves/a/books/b:download?fields=data", "`fields`: the response is not JSON"),
        ("/v1/shelves/a/books/b:parts?fields=data", "`fields`: the response is not JSON"),
        (&long, "`fields`: it is longer than 4096 bytes"),
    ] {
        let backend = book();
        let (status, _, body) = rest(&backend, get(path)).await;
        let error = &serde_json::from_str::<serde_json::Value>(&body).unwrap()["error"];
        assert_eq!((status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{path}: {body}");
        assert!(error["message"].as_str().unwrap().starts_with(problem), "{path}: {body}");
        assert_eq!(backend.calls.lock().unwrap().len(), 0, "{path}");
    }
}

/// Each message of a stream is a response by itself, in all of its forms.
#[tokio::test]
async fn fields_select_of_each_message_of_a_stream() {
    for (accept, expected) in [
        ("application/json", "[{\"title\":\"first\"},\n{\"title\":\"second\"}]"),
        ("application/x-ndjson", "{\"title\":\"first\"}\n{\"title\":\"second\"}\n"),
        ("text/event-stream", "data: {\"title\":\"first\"}\n\ndata: {\"title\":\"second\"}\n\n"),
    ] {
        let request = Request::get("/v1/shelves/a:watch?query=q&fields=title").header("accept", accept);
        let (status, _, body) = rest(&books(), request.body(Full::default()).unwrap()).await;
        assert_eq!((status, &*body), (200, expected), "{accept}");
    }
}

/// A selector is about the body, which is a field of the message here.
#[tokio::test]
async fn fields_select_of_a_response_body() {
    let rules = rules_with(&http_rule("GetBook", &[(GET, "/v1/authors/{isbn}"), (RESPONSE_BODY, "author")])).unwrap();
    let gateway = Gateway::new(rules, book().service()).unwrap();
    for (fields, status, expected) in
        [("born", 200, r#"{"born":1}"#), ("author", 400, "shelf.Author has no field `author`")]
    {
        let answer = gateway.clone().oneshot(get(&format!("/v1/authors/1?fields={fields}"))).await.unwrap();
        assert_eq!(answer.status(), status, "{fields}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(expected), "{fields}: {body}");
    }
}

#[tokio::test]
async fn fields_select_of_json_of_free_form() {
    let note = json!({"a": {"b": 1, "c": 2}, "d": 3});
    let backend = Backend::answering(&[("google.protobuf.Struct", note)], None);
    let (status, _, body) = rest(&backend, get("/v1/notes/1?fields=a/b")).await;
    assert_eq!((status, &*body), (200, r#"{"a":{"b":1}}"#));
}

/// As with any system parameter, a field of the request comes first; with `$` it is always
/// the parameter.
#[tokio::test]
async fn a_request_with_a_field_of_that_name_keeps_it() {
    let backend = book();
    let (status, _, body) = rest(&backend, get("/v1/@titles/t?fields=anything&$fields=pages")).await;
    assert_eq!((status, &*body), (200, r#"{"pages":"7"}"#));
    assert_eq!(backend.received("Find"), [json!({"title": "t", "fields": "anything"})]);
}
