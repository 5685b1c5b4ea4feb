//! Metadata as headers, in both directions.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::server::{Gateway, GatewayLayer};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
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
