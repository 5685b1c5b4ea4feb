//! Requests: path, query and body, from the stub and to the gateway.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::server::{Gateway, GatewayLayer};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt};

/// What nobody knows is passed over; system parameters, and fields that are there, are not.
#[tokio::test]
async fn unknown_query_parameters_are_ignored_where_that_is_asked_for() {
    let backend = Backend::answering(&[("shelf.Book", json!({"title": "t", "pages": "1"}))], None);
    let gateway = GatewayLayer::new(RULES.clone()).unwrap().ignore_unknown_query(true).layer(backend.service());
    for (line, status, expected) in [
        ("GET /v1/shelves/a:watch?utm_source=x&query=q&by.age=3", 200, json!({"shelf": "shelves/a", "query": "q"})),
        ("GET /v1/books/1?name=n&_=2&fields=title", 200, json!({"name": "n", "isbn": "1"})),
        // The body has all fields.
        ("POST /v1/shelves/a:touch?isbn=7&x=1", 200, json!({"name": "shelves/a"})),
        ("GET /v1/books/1?isbn=2&x=1", 400, json!("query parameter `isbn` is a field of the path")),
        ("GET /v1/books/1?name=a&name=b&x=1", 400, json!("query parameter `name` comes twice")),
        ("GET /v1/books/1?alt=proto&x=1", 400, json!("`alt=proto` is not offered; ask for json or sse")),
        ("GET /v1/books/1?x=%zz", 400, json!("the query cannot be decoded: `%` without two hexadecimal digits")),
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(path).body(Full::<Bytes>::default()).unwrap();
        let answer = gateway.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{line}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        if status == 200 {
            let (_, _, messages) = backend.calls.lock().unwrap().pop().unwrap();
            let name = if path.contains("watch") { "Watch" } else { "GetBook" };
            let found: Value = serde_json::from_str(&method_json(name, &messages[0])).unwrap();
            assert_eq!(found, expected, "{line}");
            assert!(!path.contains("fields") || body == r#"{"title":"t"}"#, "{line}: {body:?}");
        } else {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["message"], expected, "{line}");
        }
    }
    // Without that, any of them is an error.
    let (status, _, body) = rest(&backend, get("/v1/books/1?_=2")).await;
    assert!(status == 400 && body.contains("unknown query parameter `_`"), "{body}");
}

fn method_json(name: &str, message: &[u8]) -> String {
    method(name).input().to_json(message).unwrap()
}

/// `curl -d` and `-F` send forms.
#[tokio::test]
async fn a_form_is_refused_with_how_to_send_json() {
    for (kind, problem) in [
        (
            "application/x-www-form-urlencoded",
            "the content type is `application/x-www-form-urlencoded`, a form, as curl sends it for -d; send JSON, by `curl \
             --json` or with the header `content-type: application/json`",
        ),
        (
            "Multipart/Form-Data; boundary=a",
            "the content type is `multipart/form-data`, a form, as curl sends it for -F; send JSON, by `curl --json` or \
             with the header `content-type: application/json`",
        ),
        ("text/plain", "the content type is `text/plain`; send application/json"),
    ] {
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let request = Request::post("/v1/rename/1").header("content-type", kind).body(Full::from(r#"{"titles":[]}"#));
        let (status, _, body) = rest(&backend, request.unwrap()).await;
        let error = &serde_json::from_str::<Value>(&body).unwrap()["error"];
        assert_eq!((status, &error["message"]), (415, &json!(problem)));
        assert_eq!(backend.calls.lock().unwrap().len(), 0);
        // An upload is of any type.
        let upload = Request::post("/v1/shelves/a:upload").header("content-type", kind).body(Full::from("a=b"));
        assert_eq!(rest(&backend, upload.unwrap()).await.0, 200);
    }
}

#[tokio::test]
async fn a_path_beyond_the_limits_is_414() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let at_least = |path: &str| Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let limited = GatewayLayer::new(RULES.clone()).unwrap().max_path(30, 6).layer(backend.service());
    let usual = backend.gateway();
    for (gateway, path, status) in [
        (&usual, "/".repeat(60_000), 414),
        (&usual, format!("/v1/archive{}", "/a".repeat(254)), 200),
        (&usual, format!("/v1/archive{}", "/a".repeat(255)), 414),
        (&usual, format!("/v1/archive/{}", "a".repeat(8 * 1024 - 12)), 200),
        (&usual, format!("/v1/archive/{}", "a".repeat(8 * 1024 - 11)), 414),
        (&limited, "/v1/archive/a/b/c/d".to_owned(), 200),
        (&limited, "/v1/archive/a/b/c/d/e".to_owned(), 414),
        (&limited, format!("/v1/archive/{}", "a".repeat(18)), 200),
        (&limited, format!("/v1/archive/{}", "a".repeat(19)), 414),
    ] {
        let answer = gateway.clone().oneshot(at_least(&path)).await.unwrap();
        assert_eq!(answer.status(), status, "{} bytes, {} slashes", path.len(), path.matches('/').count());
    }
    // The query is not counted.
    let path = format!("/v1/archive?isbn={}", "0".repeat(40) + "7");
    assert_eq!(limited.oneshot(at_least(&path)).await.unwrap().status(), 400);
}

#[tokio::test]
async fn system_parameters_are_not_the_requests() {
    let backend = Backend::answering(&[("shelf.Book", json!({"title": "t"}))], None);
    for (query, token) in [
        ("oauth_token=t1", Some("Bearer t1")),
        ("access_token=t2&upload_protocol=multipart", Some("Bearer t2")),
        // JSONP is not offered: the answer is JSON all the same.
        ("callback=alert&%24callback=alert", None),
        ("key=k&quotaUser=q&uploadType=media", None),
    ] {
        let (status, headers, body) = rest(&backend, get(&format!("/v1/books/1?{query}"))).await;
        assert_eq!((status, body.as_str()), (200, r#"{"title":"t"}"#), "{query}");
        assert_eq!(headers["content-type"], "application/json; charset=UTF-8");
        let calls = backend.calls.lock().unwrap();
        let given = calls.last().unwrap().1.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(given.as_deref(), token, "{query}");
    }
}

/// As JSON has them, bytes in URL-safe base64.
#[tokio::test]
async fn values_of_every_kind_stand_in_a_path() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    for (field, value, paths) in [
        ("exact", json!(true), &["true", "True", "1"][..]),
        ("cursor", json!("++//8A=="), &["--__8A%3D%3D", "--__8A", "++%2F%2f8A==", "++%2F%2F8A"]),
        ("since", json!("2026-11-24T09:30:00.500Z"), &["2026-11-24T09%3A30%3A00.500Z", "2026-11-24T10:30:00.5+01:00"]),
        ("within", json!("-1.500s"), &["-1.500s", "-1.5s"]),
        ("fieldsToRead", json!("title,author.givenName"), &["title%2Cauthor.givenName", "title,author.given_name"]),
        ("limit", json!("-7"), &["-7"]),
        ("note", json!("a b:c"), &["a%20b%3Ac", "a%20b:c"]),
        ("genre", json!("CRIME"), &["CRIME", "1"]),
        ("score", json!("-Infinity"), &["-Infinity"]),
    ] {
        let proto: String = field
            .chars()
            .flat_map(|c| [c.is_uppercase().then_some('_'), Some(c.to_ascii_lowercase())])
            .flatten()
            .collect();
        let rule = http_rule("Search", &[(POST, &format!("/v1/x/{{{proto}}}")), (BODY, "*")]);
        let rules = rules_with(&rule).unwrap();
        let search = rules.method("/shelf.Shelf/Search").unwrap();
        let wire = search.method().input().from_json(json!({field: value}).to_string()).unwrap();
        let request = search.to_http(&wire).unwrap();
        assert_eq!(request.uri().path(), format!("/v1/x/{}", paths[0]));
        let gateway = Gateway::new(rules, backend.service()).unwrap();
        for path in paths {
            let request = Request::post(format!("/v1/x/{path}")).body(Full::<Bytes>::default()).unwrap();
            let answer = gateway.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(backend.received("Search"), [json!({field: value})], "{path}");
        }
    }
}

/// The same calls straight to the backend, and through HTTP/JSON and the
/// gateway to it, give the same replies and statuses.
#[tokio::test]
async fn parity_over_grpc_and_over_http_json_through_the_gateway() {
    let failed = Status::new(Code::Aborted, "half-way: 100 % \"ü\"");
    let book = ("shelf.Book", json!({"name": "shelves/a/books/b", "title": "ü", "pages": "7", "tags": ["]", "}"]}));
    let other = ("shelf.Book", json!({}));
    let body = |data: &str| ("google.api.HttpBody", json!({"contentType": "text/plain", "data": data}));
    let more = ("google.api.HttpBody", json!({"data": "Yg=="}));
    let name = json!({"name": "shelves/a/books/b"});
    for (method, requests, replies, status) in [
        ("GetBook", vec![name.clone()], vec![book.clone()], None),
        ("GetBook", vec![json!({"isbn": "0"})], vec![other.clone()], None),
        ("GetBook", vec![name.clone()], vec![], Some(failed.clone())),
        (
            "UpdateBook",
            vec![json!({"book": {"name": "shelves/a/books/b", "title": "x"}, "updateMask": "title"})],
            vec![book.clone()],
            None,
        ),
        ("ReplaceBook", vec![json!({"book": {"name": "shelves/a/books/b"}})], vec![book.clone()], None),
        ("DeleteBook", vec![name.clone()], vec![other.clone()], None),
        ("Rename", vec![json!({"id": -3, "titles": ["a"]})], vec![book.clone()], None),
        ("Rename", vec![json!({"titles": ["a"]})], vec![book.clone()], None),
        ("Lock", vec![json!({"isbn": "1"})], vec![book.clone()], None),
        ("ListTitles", vec![json!({"isbn": "1"})], vec![("shelf.Titles", json!({"titles": ["a", ""]}))], None),
        ("ListTitles", vec![json!({"isbn": "1"})], vec![("shelf.Titles", json!({}))], None),
        (
            "Watch",
            vec![json!({"shelf": "shelves/a", "query": "q"})],
            vec![book.clone(), other.clone(), book.clone()],
            None,
        ),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![], None),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![], Some(failed.clone())),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![book.clone()], Some(failed.clone())),
        ("Download", vec![name.clone()], vec![body("YQ==")], None),
        ("DownloadParts", vec![name.clone()], vec![body("YQ=="), more.clone()], None),
        (
            "Upload",
            vec![json!({"name": "shelves/a", "file": {"contentType": "a/b", "data": "AP8="}, "note": "n"})],
            vec![book.clone()],
            None,
        ),
    ] {
        let backend = Backend::answering(&replies, status);
        let (direct, direct_status) = call(backend.service(), method, &requests).await;
        let direct_received = backend.received(method);
        let (found, found_status) = call(http_json(backend.gateway()), method, &requests).await;
        assert_eq!(found, direct, "{method} {requests:?}");
        assert_eq!(
            (found_status.code(), found_status.message()),
            (direct_status.code(), direct_status.message()),
            "{method} {requests:?}"
        );
        let mut received = backend.received(method);
        // A field that is required goes even where it holds its default.
        for message in &mut received {
            if message["query"] == "" {
                message.as_object_mut().unwrap().remove("query");
            }
        }
        assert_eq!(received, direct_received, "{method} {requests:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_arrives_as_one_body() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let parts = [
        json!({"name": "shelves/a", "file": {"contentType": "text/plain", "data": "YWI="}}),
        json!({"file": {"data": "Y2Q="}}),
    ];
    let (replies, status) = call(http_json(backend.gateway()), "UploadParts", &parts).await;
    assert_eq!((replies.len(), status.code()), (1, Code::Ok), "{status:?}");
    let whole = json!({"name": "shelves/a", "file": {"contentType": "text/plain", "data": "YWJjZA=="}});
    assert_eq!(backend.received("UploadParts"), [whole]);
    let (_, status) = call(http_json(backend.gateway()), "Chat", &[json!({})]).await;
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "/shelf.Shelf/Chat streams its requests, which HttpJson sends only for google.api.HttpBody; call it over gRPC"
    );
}

/// The request as the backend gets it, or the status that it is refused with.
#[tokio::test]
async fn what_a_request_line_may_be() {
    const SEARCH: &str = "/v1/shelves/a/books:search";
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    for (path, method, message) in [
        // A plus is itself in a path, and a space in a query.
        ("/v1/shelves/a+b/books:search?query=c+d", "Search", json!({"shelf": "shelves/a+b", "query": "c d"})),
        // A key of the query is decoded before it is looked up.
        (&format!("{SEARCH}?%71uery=q&%24alt=json"), "Search", json!({"shelf": "shelves/a", "query": "q"})),
        // Bytes are read in either alphabet, with and without padding.
        (&format!("{SEARCH}?cursor=%2F%2B8%3D"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=%2F%2B8"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=_-8%3D"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=_-8"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?score=NaN"), "Search", json!({"shelf": "shelves/a", "score": "NaN"})),
        // A colon that belongs to the value.
        ("/v1/shelves/a/books/b%3Adownload", "GetBook", json!({"name": "shelves/a/books/b:download"})),
        // Dots and backslashes in a path are kept as they are.
        ("/v1/archive/a//b", "GetBook", json!({"name": "archive/a//b"})),
        ("/v1/archive/%2e%2E/b", "GetBook", json!({"name": "archive/../b"})),
        // An encoded slash in several segments stays encoded.
        ("/v1/archive/a%2fb%20c", "GetBook", json!({"name": "archive/a%2fb c"})),
        // A literal matches however it is percent-encoded.
        ("/v1/%40titles/t", "Find", json!({"title": "t"})),
        ("/v1/@titles/t", "Find", json!({"title": "t"})),
        ("/v1/a%20b/x", "Find", json!({"author": "x"})),
    ] {
        let (status, _, body) = rest(&backend, get(path)).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(backend.received(method), [message], "{path}");
    }
    for (path, problem) in [
        ("?byYear=1&byField=x", "`byYear` and `byField` are of one oneof"),
        ("?pageSize=", "pageSize"),
        ("?query=%zz", "hexadecimal"),
        ("?query=%ff", "UTF-8"),
        ("?query=a&query=b", "comes twice"),
    ] {
        let (status, _, body) = rest(&backend, get(&format!("{SEARCH}{path}"))).await;
        assert!(status == 400 && body.contains(problem), "{path}: {status} {body}");
    }
    for path in ["/v1/shelves/%zz/books:search", "/v1/shelves/%ff/books:search"] {
        let (status, _, body) = rest(&backend, get(path)).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    // body_star: what the path says comes before what the body says.
    let put =
        Request::put("/v1/shelves/a/books/b").body(Full::from(r#"{"book":{"name":"shelves/x/books/y"}}"#)).unwrap();
    rest(&backend, put).await;
    assert_eq!(backend.received("ReplaceBook"), [json!({"book": {"name": "shelves/a/books/b"}})]);
}

#[tokio::test]
async fn what_cannot_be_sent_fails_before_the_service_is_ready() {
    #[derive(Clone)]
    struct Never;

    impl Service<Request<Full<Bytes>>> for Never {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }

    let (_, status) = call(http_json(Never), "DeleteBook", &[json!({})]).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn requests_have_the_headers_that_they_need() {
    let framed = |name: &str, json: Value| frame(&method(name).input().from_json(json.to_string()).unwrap());
    for (name, message, kind, length) in [
        ("GetBook", json!({"isbn": "1"}), None, None),
        ("Touch", json!({"isbn": "1"}), None, Some("0")),
        ("Touch", json!({"name": "shelves/a"}), Some("application/json"), None),
    ] {
        let (asked, service) = answering(200, &[], "{}");
        let call = Request::post(format!("/shelf.Shelf/{name}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "250m")
            .header("te", "trailers")
            .body(Body::new(Full::from(framed(name, message))))
            .unwrap();
        http_json(service).oneshot(call).await.unwrap();
        let asked = asked.lock().unwrap();
        let header = |name: &str| asked[0].headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("content-type"), header("content-length")), (kind, length), "{name}");
        assert_eq!(header("x-server-timeout"), Some("0.25"));
        assert_eq!((header("te"), header("grpc-timeout")), (None, None));
    }
}
