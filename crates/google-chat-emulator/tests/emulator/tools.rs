//! What the emulator has for those who test and look: the calls that came, the page, the
//! settings and faults by HTTP, reflection and health.

use crate::support::http;
use google_chat::{
    Client, CreateSpaceRequest, Credentials, Space, Wire,
    grpc_transcoding::{
        DescriptorPool,
        client::{Grpc, HttpJson, Origin},
        server::{Gateway, reflect},
    },
    layer::RetryPolicy,
    proto::{DESCRIPTOR_SET, google::chat::v1::chat_service_client::ChatServiceClient},
};
use google_chat_emulator::{Emulator, Fault};
use prost::Message;
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

fn client(emulator: &Emulator) -> Client {
    let builder = Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous());
    builder.wire(Wire::HttpJson).retry(RetryPolicy::never()).build().unwrap()
}

#[tokio::test]
async fn what_was_received_can_be_looked_at() {
    let emulator = Emulator::start().await.unwrap();
    let schema = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let origin = Origin::parse(&emulator.endpoint()).unwrap();
    let http_json = HttpJson::builder(schema, emulator.endpoint()).enums_as_integers(true).build().unwrap();
    let request = CreateSpaceRequest { request_id: "a b".to_owned(), ..Space::named("Room").into() };
    let one = ChatServiceClient::new(http_json).create_space(request.clone()).await.unwrap().into_inner();
    let two = ChatServiceClient::new(Grpc::new(origin).unwrap()).create_space(request).await.unwrap().into_inner();
    assert_eq!(one, two);
    emulator.fail_next(Fault::ResetBefore);
    let chat = Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous());
    let chat = chat.wire(Wire::HttpJson).retry(RetryPolicy::never()).build().unwrap();
    chat.create_space(Space::named("Lost")).await.unwrap_err();
    chat.create_space(Space::named("Room")).await.unwrap_err();

    let received = emulator.received();
    let said: Vec<_> = received.iter().map(|call| (call.method.as_str(), call.code)).collect();
    let codes = [Some(Code::Ok), Some(Code::Ok), None, Some(Code::AlreadyExists)];
    assert_eq!(said, codes.map(|code| ("POST", code)));
    assert_eq!(received[0].target, "/v1/spaces?requestId=a%20b&%24alt=json%3Benum-encoding%3Dint");
    assert_eq!(received[0].body, r#"{"displayName":"Room","spaceType":1}"#);
    assert_eq!(received[1].target, "/google.chat.v1.ChatService/CreateSpace");
    let mut framed = vec![0, 0, 0, 0, 0];
    let message = CreateSpaceRequest { request_id: "a b".to_owned(), ..Space::named("Room").into() }.encode_to_vec();
    framed[4] = u8::try_from(message.len()).unwrap();
    assert_eq!(received[1].body, [framed, message].concat());
}

#[tokio::test]
async fn tokens_are_not_shown_and_cut_bodies_are_said_to_be() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    let token = Credentials::token("user:alice@example.com").unwrap();
    let chat = Client::builder().endpoint(emulator.endpoint()).credentials(token).wire(Wire::HttpJson).build().unwrap();
    chat.create_space(Space::named("a")).await.unwrap();
    let large = format!(r#"{{"displayName":"{}"}}"#, "x".repeat(100_000));
    http(&emulator, "POST", "/v1/spaces?access_token=user:alice@example.com", &large).await;
    let received = emulator.received();
    assert_eq!(received[0].headers["authorization"], "Bearer");
    assert_eq!((received[1].body.len(), received[1].body_len), (65_536, large.len() as u64));
    assert_eq!(received[1].target, "/v1/spaces?access_token=");
    for path in ["/emulator/calls", "/"] {
        let (_, shown) = http(&emulator, "GET", path, "").await;
        assert!(!shown.contains("alice"), "{shown}");
    }
    let (_, calls) = http(&emulator, "GET", "/emulator/calls", "").await;
    let calls: Value = serde_json::from_str(&calls).unwrap();
    let cut: Vec<_> = calls.as_array().unwrap().iter().map(|call| (&call["truncated"], &call["bytes"])).collect();
    assert_eq!(*cut[0].0, false);
    assert_eq!(cut[1], (&true.into(), &large.len().into()));
}

#[tokio::test]
async fn the_page_shows_spaces_and_calls_to_people() {
    let emulator = Emulator::start().await.unwrap();
    let (status, empty) = http(&emulator, "GET", "/", "").await;
    assert!(status == 200 && empty.contains("No space was created yet."), "{empty}");
    let made = client(&emulator).create_space(Space::named("<b>Launch & room</b>")).await.unwrap();
    client(&emulator).create_space(Space::named("<b>Launch & room</b>")).await.unwrap_err();
    let message = format!(r#"{{"text":"<b>Hello</b> {}"}}"#, "x".repeat(300));
    assert_eq!(http(&emulator, "POST", &format!("/v1/{}/messages", made.name), &message).await.0, 200);
    let (_, page) = http(&emulator, "GET", "/", "").await;
    for part in [
        &format!("<td>&lt;b&gt;Hello&lt;/b&gt; {}…<td>", "x".repeat(187)),
        &*made.name,
        "&lt;b&gt;Launch &amp; room&lt;/b&gt;",
        "POST /v1/spaces?requestId=",
        "HTTP/JSON",
        "gl-rust/",
        "ALREADY_EXISTS",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<b>"), "{page}");
}

#[tokio::test]
async fn settings_faults_and_the_clock_are_changed_by_http() {
    let emulator = Emulator::start().await.unwrap();
    let chat = client(&emulator);
    let (status, settings) = http(&emulator, "PATCH", "/emulator/settings", r#"{"appConfigured":false}"#).await;
    assert!(status == 200 && settings.contains("\"appConfigured\": false"), "{settings}");
    let error = chat.create_space(Space::named("a")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    http(&emulator, "PATCH", "/emulator/settings", r#"{"appConfigured":true,"writesPerMinute":1}"#).await;
    chat.create_space(Space::named("a")).await.unwrap();
    assert_eq!(chat.create_space(Space::named("b")).await.unwrap_err().code(), Code::ResourceExhausted);
    let (_, clock) = http(&emulator, "POST", "/emulator/clock", r#"{"advance":61}"#).await;
    assert_eq!(clock, "{\n  \"ahead\": 61.0\n}\n");
    let faults = r#"{"next":["resetBefore",{"quotaExceeded":{"retryAfter":7}}],"share":{"share":1,"kinds":["html"]}}"#;
    assert_eq!(http(&emulator, "POST", "/emulator/faults", faults).await.0, 200);
    for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal] {
        assert_eq!(chat.create_space(Space::named("b")).await.unwrap_err().code(), code);
    }
    http(&emulator, "POST", "/emulator/faults", r#"{"share":{"share":0,"kinds":[]}}"#).await;
    chat.create_space(Space::named("b")).await.unwrap();

    let (_, calls) = http(&emulator, "GET", "/emulator/calls", "").await;
    let calls: Value = serde_json::from_str(&calls).unwrap();
    let codes: Vec<_> = calls.as_array().unwrap().iter().map(|call| call["code"].as_str()).collect();
    let expected = ["NOT_FOUND", "OK", "RESOURCE_EXHAUSTED", "", "RESOURCE_EXHAUSTED", "INTERNAL", "OK"];
    assert_eq!(codes, expected.map(|code| Some(code).filter(|code| !code.is_empty())));
    assert!(calls[1]["body"].as_str().unwrap().contains("\"displayName\":\"a\""));

    // What is wrong is said, and changes nothing.
    let long = " ".repeat(65_537);
    for (verb, path, body, status, part) in [
        ("PATCH", "/emulator/settings", r#"{"appConfigured":1}"#, 400, "invalid type: integer `1`, expected a boolean"),
        ("PATCH", "/emulator/settings", r#"{"colour":1}"#, 400, "unknown field `colour`, expected one of"),
        ("PATCH", "/emulator/settings", r#"{"tokenLifetime":-1}"#, 400, "negative"),
        ("PATCH", "/emulator/settings", "", 400, "the body: EOF"),
        ("POST", "/emulator/faults", r#"{"next":["fire"]}"#, 400, "unknown variant `fire`"),
        ("POST", "/emulator/faults", &long, 413, "The body has more than 65536 bytes"),
        ("PUT", "/emulator/faults", "", 405, "/emulator/faults takes GET, HEAD, POST, DELETE"),
        ("GET", "/favicon.ico", "", 404, "nothing is served at /favicon.ico"),
        ("POST", "/", "", 405, "/ takes GET, HEAD"),
        ("GET", "/emulator/nothing", "", 404, "there are /emulator/settings"),
    ] {
        let (found, answer) = http(&emulator, verb, path, body).await;
        assert!(found == status && answer.contains(part), "{verb} {path}: {found} {answer}");
    }
    chat.create_space(Space::named("c")).await.unwrap_err();
}

/// Faults are for calls of the API, whatever else is looked at in between.
#[tokio::test]
async fn the_queue_of_faults_is_for_calls_and_can_be_read_and_cleared() {
    let emulator = Emulator::start().await.unwrap();
    let faults = r#"{"next":["unavailable",{"latency":3600}],"share":{"share":0.5,"seed":7,"kinds":["html"]}}"#;
    let (status, set) = http(&emulator, "POST", "/emulator/faults", faults).await;
    let set: Value = serde_json::from_str(&set).unwrap();
    let expected = r#"{"next":["unavailable",{"latency":3600.0}],"share":{"share":0.5,"seed":7,"kinds":["html"]}}"#;
    assert_eq!((status, &set), (200, &serde_json::from_str(expected).unwrap()));
    for path in ["/", "/favicon.ico", "/emulator/calls", "/emulator/settings", "/nothing", "/emulator/faults"] {
        http(&emulator, "GET", path, "").await;
    }
    http(&emulator, "POST", "/token", "grant_type=x").await;
    let origin = Origin::parse(&emulator.endpoint()).unwrap();
    let mut health = HealthClient::new(Grpc::new(origin.clone()).unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();
    reflect(Grpc::new(origin).unwrap()).await.unwrap();
    let (_, left) = http(&emulator, "GET", "/emulator/faults", "").await;
    assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), set);
    assert_eq!(emulator.faults().len(), 2);
    assert_eq!(client(&emulator).create_space(Space::named("a")).await.unwrap_err().code(), Code::Unavailable);
    let (status, left) = http(&emulator, "DELETE", "/emulator/faults", "").await;
    assert!(status == 200 && left.contains("\"next\": []") && left.contains("\"share\": 0.0"), "{left}");
    client(&emulator).create_space(Space::named("a")).await.unwrap();
    emulator.fail_next(Fault::Html);
    emulator.clear_faults();
    client(&emulator).create_space(Space::named("b")).await.unwrap();
    // A queue has an end.
    let many = format!(r#"{{"next":[{}"html"]}}"#, r#""html","#.repeat(8_000));
    assert_eq!(http(&emulator, "POST", "/emulator/faults", &many).await.0, 200);
    let (status, refused) = http(&emulator, "POST", "/emulator/faults", &many).await;
    assert!(status == 429 && refused.contains("DELETE /emulator/faults"), "{refused}");
}

#[tokio::test]
async fn a_gateway_can_be_made_of_what_reflection_says() {
    let emulator = Emulator::start().await.unwrap();
    let backend = Grpc::new(Origin::parse(&emulator.endpoint()).unwrap()).unwrap();
    let schema = reflect(backend.clone()).await.unwrap();
    assert!(schema.message("grpc.health.v1.HealthCheckRequest").is_some());
    // The HTTP rules are there, too.
    let mut json = HttpJson::builder(schema.clone(), "http://in.process")
        .build_over(Gateway::new(schema, backend).unwrap())
        .unwrap();
    let made =
        ChatServiceClient::new(&mut json).create_space(CreateSpaceRequest::from(Space::named("a"))).await.unwrap();
    assert_eq!(emulator.spaces(), [made.into_inner()]);
}

#[tokio::test]
async fn health_is_said_by_grpc() {
    let emulator = Emulator::start().await.unwrap();
    let mut health = HealthClient::new(Grpc::new(Origin::parse(&emulator.endpoint()).unwrap()).unwrap());
    for service in ["", "google.chat.v1.ChatService"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let unknown = health.check(HealthCheckRequest { service: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}
