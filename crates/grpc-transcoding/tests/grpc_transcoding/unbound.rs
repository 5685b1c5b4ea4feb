//! Methods without an HTTP rule, at their gRPC paths.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::{DescriptorPool, HttpRules, server::GatewayLayer};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tonic::body::Body;
use tower::{Layer, ServiceExt};

const PATH: &str = "/shelf.Shelf/NoRule";

fn rules() -> HttpRules {
    RULES.clone().with_unbound_methods()
}

#[tokio::test]
async fn a_method_without_a_rule_is_served_at_its_grpc_path() {
    let backend = Backend::answering(&[("shelf.Book", json!({"title": "t"}))], None);
    let gateway = GatewayLayer::new(rules()).unwrap().layer(backend.service());
    let send = async |request: http::request::Builder, body: &'static str| {
        let (head, body) = gateway.clone().oneshot(request.body(Full::from(body)).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(send(Request::post(PATH), r#"{"name":"n","isbn":"1"}"#).await, (200, r#"{"title":"t"}"#.to_owned()));
    assert_eq!(backend.received("NoRule"), [json!({"name": "n", "isbn": "1"})]);
    // System parameters and all else hold as for any binding.
    assert_eq!(send(Request::post(format!("{PATH}?fields=pages")), "").await, (200, "{}".to_owned()));
    for (request, body, status, problem) in [
        (Request::post(format!("{PATH}?name=n")), "{}", 400, "unknown query parameter `name`"),
        (Request::get(PATH), "", 405, "cannot be requested with GET"),
        (Request::post("/shelf.Shelf/GetBook"), "{}", 404, "nothing is served at /shelf.Shelf/GetBook"),
    ] {
        let case = format!("{:?} {body}", request.uri_ref());
        let (found, answer) = send(request, body).await;
        assert!(found == status && answer.contains(problem), "{case}: {found} {answer}");
    }

    // What is gRPC passes through at the same path.
    let framed = frame(&method("NoRule").input().from_json(r#"{"name":"grpc"}"#).unwrap());
    let call = Request::post(PATH).header("content-type", "application/grpc").body(Body::new(Full::from(framed)));
    let answer = gateway.clone().oneshot(call.unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, frame(&POOL.message("shelf.Book").unwrap().from_json(r#"{"title":"t"}"#).unwrap()));
    assert_eq!(backend.received("NoRule"), [json!({"name": "grpc"})]);
}

#[test]
fn messages_and_lint_see_the_binding_as_any_other() {
    let rules = rules();
    let method = rules.method(PATH).unwrap();
    let message = method.method().input().from_json(r#"{"name":"n"}"#).unwrap();
    let request = method.to_http(&message).unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", PATH));
    assert_eq!(request.body(), &Bytes::from(r#"{"name":"n"}"#));
    assert_eq!(method.bindings()[0].to_string(), format!("POST {PATH}"));

    // One that has rules, of which none can be used, is as it was.
    let unusable = rules_with(&http_rule("NoRule", &[(GET, "/v1/{no}")])).unwrap().with_unbound_methods();
    assert!(unusable.method(PATH).unwrap().bindings().is_empty());
    // A rule of another method may have the path.
    let taken = rules_with(&http_rule("GetBook", &[(POST, PATH), (BODY, "*")])).unwrap().with_unbound_methods();
    let lint = taken.unused().iter().map(ToString::to_string).find(|lint| lint.contains("NoRule: POST"));
    let expected = format!(
        "shelf.Shelf/NoRule: POST {PATH}: is never served: shelf.Shelf/GetBook has the same HTTP method and path"
    );
    assert_eq!(lint, Some(expected));
}

#[test]
fn a_schema_without_any_rule_can_be_served() {
    let rules = HttpRules::new(&DescriptorPool::decode(include_bytes!("../proto/bare.bin")).unwrap());
    assert!(GatewayLayer::new(rules.clone()).is_err());
    let layer = GatewayLayer::new(rules.with_unbound_methods()).unwrap();
    assert!(layer.warnings().is_empty());
}
