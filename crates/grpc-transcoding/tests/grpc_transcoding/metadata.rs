//! Metadata as headers, in both directions.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::server::{Gateway, GatewayLayer};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use std::convert::Infallible;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn headers_become_metadata_but_those_of_the_connection() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::get("/v1/books/1")
        .header("connection", "keep-alive, x-own")
        .header("x-own", "1")
        .header("keep-alive", "5")
        .header("grpc-anything", "1")
        .header("x-goog-user-project", "p")
        .header("x-data-bin", "YQ==,Yg==")
        .body(Full::default())
        .unwrap();
    rest(&backend, request).await;
    let headers = backend.calls.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(headers["x-goog-user-project"], "p");
    // -bin metadata, comma-joined values
    assert_eq!(headers.get_all("x-data-bin").iter().collect::<Vec<_>>(), ["YQ", "Yg"]);
    for gone in ["connection", "x-own", "keep-alive", "grpc-anything"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

/// What the backend gets is checked before it is sent: a server may fail the calls of
/// others for a header that one caller sent.
#[tokio::test]
async fn metadata_that_grpc_cannot_carry_is_refused_before_it_is_sent() {
    let many = ",".repeat(2_000);
    let long = "x".repeat(100_000);
    for (name, value, http, grpc, problem) in [
        ("x-trace-bin", "!!!", 400, 3, "the value of the header x-trace-bin is not base64"),
        ("x-trace-bin", "YQ==,_-8", 400, 3, "the value of the header x-trace-bin is not base64"),
        ("x-name", "\u{fc}", 400, 3, "the value of the header x-name has bytes that gRPC cannot carry"),
        ("x-name", "a\tb", 400, 3, "the value of the header x-name has bytes that gRPC cannot carry"),
        ("x!name", "", 400, 3, "the name of the header x!name cannot be passed on"),
        ("a-bin", &*many, 431, 8, "the headers are larger than 8192 bytes"),
        ("x-long", &*long, 431, 8, "the headers are larger than 8192 bytes"),
    ] {
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let request = Request::get("/v1/books/1").header(name, &value).body(Full::default()).unwrap();
        let (status, _, body) = rest(&backend, request).await;
        assert!(status == http && body.contains(problem), "{name}: {status} {body}");
        // gRPC that passes through shares the connection.
        let call = Request::post("/shelf.Shelf/GetBook").header("content-type", "application/grpc");
        let call = call.header(name, &value).body(Body::empty()).unwrap();
        let answer = backend.gateway().oneshot(call).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert!(status.code() as i32 == grpc && status.message().starts_with(problem), "{name}: {status:?}");
        assert_eq!(backend.calls.lock().unwrap().len(), 0, "{name}");
    }
}

#[tokio::test]
async fn how_large_metadata_may_be_can_be_set() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let gateway = GatewayLayer::new(RULES.clone()).unwrap().max_metadata_size(200_000).layer(backend.service());
    let long = "x".repeat(100_000);
    let request = Request::get("/v1/books/1").header("x-long", &long).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(gateway.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(backend.calls.lock().unwrap().last().unwrap().1["x-long"], *long);
}

/// Headers that were sent before the call failed.
#[tokio::test]
async fn initial_metadata_survives_failure() {
    let failing = service_fn(|_: Request<Body>| async {
        let trailers = HeaderMap::from_iter([
            ("grpc-status".parse().unwrap(), "14".parse().unwrap()),
            ("x-both".parse().unwrap(), "trailers".parse().unwrap()),
            ("x-last".parse::<http::HeaderName>().unwrap(), http::HeaderValue::from_static("3")),
        ]);
        let frames = vec![Ok::<_, Infallible>(Frame::trailers(trailers))];
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .header("retry-after", "7")
            .header("x-req-id", "1")
            .header("x-req-id", "2")
            .header("x-both", "headers")
            .header("grpc-encoding", "gzip");
        Ok::<_, Infallible>(answer.body(Body::new(StreamBody::new(tokio_stream(frames)))).unwrap())
    });
    for path in ["/v1/books/1", "/v1/shelves/a:watch", "/v1/shelves/a/books/b:download"] {
        let answer = Gateway::new(RULES.clone(), failing).unwrap().oneshot(get(path)).await.unwrap();
        let all = |name: &str| answer.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (answer.status().as_u16(), all("retry-after"), all("x-last")),
            (503, vec!["7".parse().unwrap()], vec!["3".parse().unwrap()]),
            "{path}"
        );
        assert_eq!(
            (all("x-req-id"), all("x-both")),
            (vec!["1".parse().unwrap(), "2".parse().unwrap()], vec!["trailers".parse().unwrap()]),
            "{path}"
        );
        assert_eq!((all("content-type").len(), all("grpc-encoding").len()), (1, 0), "{path}");
    }
}

/// Both ways, as grpc-gateway has it.
#[tokio::test]
async fn metadata_may_have_grpc_gateways_prefix() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let gateway =
        |prefix| GatewayLayer::new(RULES.clone()).unwrap().grpc_metadata_prefix(prefix).layer(backend.service());
    let request = |headers: &[(&str, &str)]| {
        let mut request = Request::get("/v1/books/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let sent = [
        ("Grpc-Metadata-Tenant", "a"),
        ("grpc-metadata-tenant", "b"),
        ("grpc-metadata-data-bin", "YQ=="),
        ("grpc-metadata-authorization", "Bearer t"),
        ("connection", "Grpc-Metadata-Own"),
        ("grpc-metadata-own", "1"),
        ("x-plain", "1"),
    ];
    for (prefix, found) in [(true, &["tenant", "data-bin", "authorization", "x-plain"][..]), (false, &["x-plain"])] {
        gateway(prefix).oneshot(request(&sent)).await.unwrap();
        let headers = backend.calls.lock().unwrap().last().unwrap().1.clone();
        for name in ["tenant", "data-bin", "authorization", "own", "x-plain"] {
            assert_eq!(headers.contains_key(name), found.contains(&name), "{prefix} {name}");
        }
        assert!(!headers.keys().any(|name| name.as_str().starts_with("grpc-metadata")), "{prefix}");
        if prefix {
            assert_eq!(headers.get_all("tenant").iter().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(
                (&headers["data-bin"], &headers["authorization"]),
                (&"YQ".parse().unwrap(), &"Bearer t".parse().unwrap())
            );
        }
    }
    backend.calls.lock().unwrap().clear();
    let long = "x".repeat(10_000);
    for (headers, http, problem) in [
        (&[("grpc-metadata-grpc-timeout", "1S")][..], 400, "would set what HTTP and gRPC set themselves"),
        (&[("grpc-metadata-grpc-status", "0")], 400, "would set what HTTP and gRPC"),
        (&[("grpc-metadata-content-type", "a/b")], 400, "would set what HTTP and gRPC"),
        (&[("grpc-metadata-te", "gzip")], 400, "would set what HTTP and gRPC"),
        (&[("grpc-metadata-host", "a")], 400, "would set what HTTP and gRPC"),
        (&[("grpc-metadata-grpc-metadata-a", "a")], 400, "would set what HTTP and gRPC"),
        (&[("grpc-metadata-", "a")], 400, "names no metadata"),
        (&[("grpc-metadata-user", "root"), ("user", "me")], 400, "is there without the prefix, too"),
        (&[("grpc-metadata-a-bin", "!")], 400, "the value of the header a-bin is not base64"),
        (&[("grpc-metadata-a", "\u{fc}")], 400, "the value of the header a has bytes that gRPC cannot carry"),
        (&[("grpc-metadata-a", &long)], 431, "the headers are larger than 8192 bytes"),
    ] {
        let answer = gateway(true).oneshot(request(headers)).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(status == http && body.contains(problem), "{headers:?}: {status} {body}");
    }
    assert_eq!(backend.calls.lock().unwrap().len(), 0);
}

/// Of successes, of streams, and of failures before and after the headers. What the gateway
/// says itself has no prefix.
#[tokio::test]
async fn metadata_of_responses_may_have_grpc_gateways_prefix() {
    let answering = |code: &'static str, at_once: bool| {
        service_fn(move |_: Request<Body>| async move {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            trailers.insert("x-last", "3".parse().unwrap());
            let mut answer = Response::builder().header("content-type", "application/grpc").header("x-id", "1");
            answer = answer.header("x-id", "2").header("a-bin", "YQ").header("retry-after", "7");
            let frames = match (code, at_once) {
                (_, true) => {
                    answer.headers_mut().unwrap().extend(trailers);
                    vec![]
                }
                ("0", _) => vec![Ok::<_, Infallible>(Frame::data(frame(b""))), Ok(Frame::trailers(trailers))],
                _ => vec![Ok(Frame::trailers(trailers))],
            };
            Ok::<_, Infallible>(answer.body(Body::new(StreamBody::new(tokio_stream(frames)))).unwrap())
        })
    };
    for (code, at_once, http) in [("0", false, 200), ("14", false, 503), ("14", true, 503)] {
        for path in ["/v1/books/1", "/v1/shelves/a:watch?query=q", "/v1/shelves/a/books/b:download"] {
            let layer = GatewayLayer::new(RULES.clone()).unwrap().grpc_metadata_prefix(true);
            let answer = layer.layer(answering(code, at_once)).oneshot(get(path)).await.unwrap();
            let case = format!("{code} {at_once} {path}: {answer:?}");
            let headers = answer.headers();
            assert_eq!(answer.status(), http, "{case}");
            assert_eq!(headers.get_all("grpc-metadata-x-id").iter().collect::<Vec<_>>(), ["1", "2"], "{case}");
            assert_eq!(
                (&headers["grpc-metadata-a-bin"], &headers["grpc-metadata-retry-after"]),
                (&"YQ".parse().unwrap(), &"7".parse().unwrap()),
                "{case}"
            );
            assert_eq!(headers.contains_key("grpc-metadata-x-last"), code != "0", "{case}");
            assert_eq!(headers.get_all("content-type").iter().count(), 1, "{case}");
            let plain = headers.keys().filter(|name| !name.as_str().starts_with("grpc-metadata-"));
            assert_eq!(plain.collect::<Vec<_>>(), ["content-type"], "{case}");
        }
    }
}
