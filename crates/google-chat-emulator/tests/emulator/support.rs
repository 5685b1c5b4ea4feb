//! Calls to an emulator, over HTTP by hand and by the generated stub.

// Each test uses a part of it.
#![allow(dead_code)]

use bytes::Bytes;
use google_chat::{
    Channel, Client, CreateSpaceRequest, Credentials, Space, Wire,
    proto::google::chat::v1::{
        ListMembershipsRequest, Membership, UpdateSpaceRequest, chat_service_client::ChatServiceClient,
    },
};
use google_chat_emulator::Emulator;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as HyperClient, rt::TokioExecutor};
use prost_types::FieldMask;
use serde_json::{Value, json};

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a request; the HTTP status and the body of its answer.
pub(crate) async fn send(
    emulator: &Emulator,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let client: HyperClient<_, Full<Bytes>> = HyperClient::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", emulator.endpoint()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("grpc-")), "{answer:?}");
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
}

/// The same, with a body of JSON.
pub(crate) async fn http(emulator: &Emulator, method: &str, path: &str, body: &str) -> (u16, String) {
    send(emulator, method, path, &[JSON], body).await
}

/// Posts JSON with a token; the HTTP status and the JSON of its answer.
pub(crate) async fn post(emulator: &Emulator, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
    let token = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = [JSON].into_iter().chain(token.iter().map(|token| ("authorization", &**token))).collect();
    let (status, answer) = send(emulator, "POST", path, &headers, body).await;
    (status, serde_json::from_str(&answer).unwrap())
}

/// HTTP status, code, and the reason of its ErrorInfo.
pub(crate) fn outcome((status, body): &(u16, Value)) -> (u16, &str, &str) {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (*status, text("/error/status"), text("/error/details/0/reason"))
}

pub(crate) fn named(name: &str) -> String {
    json!({"displayName": name, "spaceType": "SPACE"}).to_string()
}

/// An emulator that takes `user:EMAIL` and `app` for tokens.
pub(crate) async fn emulator() -> Emulator {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    emulator
}

pub(crate) const WIRES: [Wire; 2] = [Wire::Grpc, Wire::HttpJson];

pub(crate) type Stub = ChatServiceClient<Channel>;

pub(crate) fn stub(emulator: &Emulator, wire: Wire, token: &str) -> Stub {
    let builder = Client::builder().endpoint(emulator.endpoint()).wire(wire);
    // What is wrong is the emulator's to say.
    builder.credentials(Credentials::token(token).unwrap()).checks(false).build().unwrap().stub()
}

pub(crate) fn alice(emulator: &Emulator, wire: Wire) -> Stub {
    stub(emulator, wire, "user:alice@example.com")
}

pub(crate) async fn create(stub: &mut Stub, space: Space) -> Space {
    stub.create_space(CreateSpaceRequest::from(space)).await.unwrap().into_inner()
}

pub(crate) async fn update(stub: &mut Stub, space: Space, paths: &[&str]) -> Result<Space, tonic::Status> {
    let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateSpaceRequest { space: Some(space), update_mask, use_admin_access: false };
    stub.update_space(request).await.map(tonic::Response::into_inner)
}

/// The members of a space that a filter takes.
pub(crate) async fn members(stub: &mut Stub, space: &str, filter: &str) -> Vec<Membership> {
    let request = ListMembershipsRequest { parent: space.to_owned(), filter: filter.to_owned(), ..Default::default() };
    stub.list_memberships(request).await.unwrap().into_inner().memberships
}
