//! Deadlines.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::client::{Grpc, Origin};
use grpc_transcoding::server::{Gateway, RequestBody, ServeOptions, serve};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use std::convert::Infallible;
use tonic::body::Body;
use tower::{ServiceExt, service_fn};

/// The deadline of a call over gRPC covers the body of the answer, too.
#[tokio::test]
async fn a_backend_that_stalls_in_its_body_ends_at_the_deadline() {
    let stalling = service_fn(|_: Request<RequestBody>| async {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let answer = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(answer.body(Body::new(StreamBody::new(never))).unwrap())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(serve(listener, stalling, ServeOptions::default()));
    let call = Request::post("/shelf.Shelf/GetBook")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(Body::empty())
        .unwrap();
    let body = Grpc::new(origin).unwrap().oneshot(call).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
}

#[tokio::test]
async fn timeouts_are_passed_on_and_held() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::get("/v1/books/1").header("x-server-timeout", "2.5").body(Full::default()).unwrap();
    rest(&backend, request).await;
    assert_eq!(backend.calls.lock().unwrap().last().unwrap().1["grpc-timeout"], "2500m");
    // A backend that never answers.
    let never = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let gateway = Gateway::new(RULES.clone(), never).unwrap();
    let request =
        Request::get("/v1/books/1").header("x-server-timeout", "0.01").body(Full::<Bytes>::default()).unwrap();
    let answer = gateway.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 504);
}
