//! Creating a space, over either wire, from the same stub.

use std::{convert::Infallible, future::Future, time::Duration};

use google_chat::{
    Client, CreateSpaceRequest, Credentials, Space, Wire,
    grpc_transcoding::server::Gateway,
    layer::RetryPolicy,
    proto::{
        self,
        google::{
            chat::v1::{
                chat_service_client::ChatServiceClient,
                space::{PermissionSetting, PermissionSettings, SpacePermissionSettings},
            },
            rpc,
        },
    },
    protojson::DescriptorPool,
};
use google_chat_emulator::Emulator;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tonic::{Code, Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;
use tower::service_fn;

const WIRES: [Wire; 2] = [Wire::Grpc, Wire::HttpJson];

fn client(endpoint: &str, wire: Wire) -> Client {
    Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).wire(wire).build().unwrap()
}

/// The space without what the server assigns.
fn comparable(mut space: Space) -> Space {
    space.name.clear();
    space.space_uri.clear();
    space.create_time = None;
    space
}

#[tokio::test]
async fn both_wires_create_the_same_space() {
    let mut made = Vec::new();
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let created = client(&emulator.endpoint(), wire)
            .create_space(Space::named("Launch room"))
            .timeout(Duration::MAX)
            .with_response()
            .await
            .unwrap();
        assert_eq!(created.wire, wire);
        assert!(created.message.name.starts_with("spaces/"), "{:?}", created.message);
        assert!(
            created.message.create_time.is_some() && created.message.space_uri.contains(&created.message.name[7..])
        );
        made.push(comparable(created.message));
    }
    assert_eq!(made[0], made[1]);
    assert_eq!(made[0].display_name, "Launch room");
}

#[tokio::test]
async fn a_request_id_is_replayed_across_the_wires() {
    let emulator = Emulator::start().await.unwrap();
    let mut made = Vec::new();
    for wire in WIRES {
        let chat = client(&emulator.endpoint(), wire);
        made.push(chat.create_space(Space::named("Launch room")).request_id("a b/c&d+é").await.unwrap());
        let error = chat.create_space(Space::named("Launch room")).await.unwrap_err();
        assert!(error.is_already_exists(), "{error}");
        assert_eq!(error.reason(), Some("SPACE_DISPLAY_NAME_TAKEN"));
    }
    assert_eq!(made[0], made[1]);
}

/// Answers by the request id; what the emulator never says.
async fn create_space(request: Request<CreateSpaceRequest>) -> Result<Response<Space>, Status> {
    let code = match request.get_ref().request_id.as_str() {
        "taken" => Code::AlreadyExists,
        "invalid" => Code::InvalidArgument,
        "down" => Code::Unavailable,
        _ => return Ok(Response::new(request.into_inner().space.unwrap_or_default())),
    };
    let info = rpc::ErrorInfo {
        reason: "SCRIPTED".to_owned(),
        domain: "test".to_owned(),
        metadata: [("key".to_owned(), "väl\nue".to_owned())].into(),
    };
    let unknown = prost_types::Any { type_url: "type.googleapis.com/google.rpc.Help".to_owned(), value: Vec::new() };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: info.encode_to_vec(),
    };
    let message = format!("scripted: 100% {code:?} \"ü\"");
    let details = rpc::Status { code: code as i32, message: message.clone(), details: vec![any, unknown] };
    Err(Status::with_details(code, message, details.encode_to_vec().into()))
}

/// Serves [`create_space`] on both wires and hands over its endpoint.
async fn scripted<F: Future>(test: impl FnOnce(String) -> F) -> F::Output {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let schema = DescriptorPool::decode(proto::DESCRIPTOR_SET).unwrap();
    // The generated server would be compiled for all methods.
    let service = service_fn(|call: http::Request<Body>| async move {
        assert_eq!(call.uri().path(), "/google.chat.v1.ChatService/CreateSpace");
        let mut method = tonic::server::Grpc::new(ProstCodec::<Space, CreateSpaceRequest>::default());
        Ok::<_, Infallible>(method.unary(service_fn(create_space), call).await)
    });
    let gateway = Gateway::new(schema, service).unwrap();
    let server = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(gateway.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! {
        never = server => { let never: Infallible = never; match never {} }
        done = test(endpoint) => done,
    }
}

#[tokio::test]
async fn the_unmodified_stub_gets_the_same_replies_and_statuses_over_both_channels() {
    scripted(|endpoint| async move {
        for id in ["", "taken", "invalid", "down"] {
            let mut outcomes = Vec::new();
            for wire in WIRES {
                // The type says it: the stub that tonic generated.
                let mut stub: ChatServiceClient<_> = client(&endpoint, wire).stub();
                let space = Space { customer: Some(String::new()), ..Space::named("é \"quoted\" \u{1F680}") };
                let request = CreateSpaceRequest { space: Some(space), request_id: id.to_owned() };
                outcomes.push(match stub.create_space(request).await {
                    Ok(reply) => Ok(reply.into_inner()),
                    Err(status) => {
                        let details = rpc::Status::decode(status.details()).unwrap();
                        Err((status.code(), status.message().to_owned(), details))
                    }
                });
            }
            assert_eq!(outcomes[0], outcomes[1], "{id}");
            let expected = match id {
                "taken" => Some(Code::AlreadyExists),
                "invalid" => Some(Code::InvalidArgument),
                "down" => Some(Code::Unavailable),
                _ => None,
            };
            assert_eq!(outcomes[0].as_ref().err().map(|(code, ..)| *code), expected, "{id}");
            if let Err((code, message, details)) = &outcomes[0] {
                assert_eq!(message, &format!("scripted: 100% {code:?} \"ü\""));
                assert_eq!(details.details.len(), 2);
            }
        }
    })
    .await;
}

/// Whatever answered so, it is not known whether it created one.
#[tokio::test]
async fn a_created_space_has_a_name() {
    scripted(|endpoint| async move {
        for wire in WIRES {
            let error = client(&endpoint, wire).create_space(Space::named("a")).await.unwrap_err();
            assert_eq!((error.code(), error.request_id().len()), (Code::Internal, 36), "{error}");
            assert!(error.message().starts_with("the answer is a space without a name"), "{error}");
            let unknown =
                client(&endpoint, wire).create_space(Space { name: "spaces/a".to_owned(), ..Space::named("a") });
            unknown.await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_is_unavailable_on_both_wires() {
    // A port that was free a moment ago, and that nobody was told of.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for wire in WIRES {
        let error = client(&endpoint, wire).create_space(Space::named("a")).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.message().starts_with("the request failed: "), "{error}");
    }
}

/// Takes one HTTP/1.1 request, and gives it back as it came.
async fn answer_once(listener: TcpListener, answer: String) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut received = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let len = stream.read(&mut chunk).await.unwrap();
        received.extend_from_slice(&chunk[..len]);
        let text = String::from_utf8_lossy(&received);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |len| len.parse().unwrap());
        if body.len() >= expected {
            break;
        }
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(received).unwrap()
}

#[tokio::test]
async fn the_http_request_is_the_one_of_the_documentation() {
    const ANSWER: &str = concat!(
        r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch room","#,
        r#""spaceThreadingState":"THREADED_MESSAGES","spaceType":"SPACE","spaceHistoryState":"HISTORY_ON","#,
        r#""createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{},"accessSettings":{"accessState":"PRIVATE"},"#,
        r#""customer":"customers/C01abc23d","spaceUri":"https://chat.google.com/room/AAQAjCNSsU0?cls=11","#,
        r#""fieldOfTheFuture":[{}]}"#
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
    let server = tokio::spawn(answer_once(listener, head + ANSWER));

    let chat = Client::builder()
        .endpoint(format!("http://{address}"))
        .credentials(Credentials::token("ya29.token").unwrap())
        .wire(Wire::HttpJson)
        .build()
        .unwrap();
    let only_managers = PermissionSetting { managers_allowed: true, ..PermissionSetting::default() };
    let space = Space {
        customer: Some("customers/my_customer".to_owned()),
        space_permission_settings: Some(SpacePermissionSettings::PermissionSettings(PermissionSettings {
            manage_apps: Some(only_managers),
            ..PermissionSettings::default()
        })),
        ..Space::named("Launch room")
    };
    let made = chat.create_space(space).request_id("2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21").await.unwrap();
    assert_eq!(made.name, "spaces/AAQAjCNSsU0");
    assert_eq!(made.create_time.unwrap().nanos, 123_456_000);
    assert_eq!(made.membership_count, Some(Default::default()));

    let request = server.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/spaces?requestId=2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21 HTTP/1.1"));
    let mut headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    headers.sort_unstable();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-goog-api-client",
            "x-server-timeout"
        ]
    );
    let value = |name| headers.iter().find(|(found, _)| *found == name).unwrap().1;
    assert_eq!(value("authorization"), "Bearer ya29.token");
    assert_eq!(value("content-type"), "application/json");
    assert_eq!(value("host"), address.to_string());
    let client: Vec<_> = value("x-goog-api-client").split(' ').map(|part| part.split_once('/').unwrap().0).collect();
    assert_eq!(client, ["gl-rust", "rest", "gapic"]);
    assert_eq!(
        body,
        concat!(
            r#"{"displayName":"Launch room","spaceType":"SPACE","customer":"customers/my_customer","#,
            r#""permissionSettings":{"manageApps":{"managersAllowed":true}}}"#
        )
    );
}

#[tokio::test]
async fn what_is_no_json_and_what_is_no_grpc_become_statuses() {
    for (wire, answer, code, message) in [
        (
            Wire::HttpJson,
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 15\r\n\r\n<html>\nBad gate",
            Code::Unavailable,
            "the server answered HTTP 502 Bad Gateway: <html> Bad gate",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
            Code::Internal,
            "the response is not the JSON form of google.chat.v1.Space: expected an object, found `<` (line 1, column 1)",
        ),
        (Wire::HttpJson, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n{", Code::Unavailable, "the response broke off"),
        (
            Wire::HttpJson,
            "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n{",
            Code::NotFound,
            "the server answered HTTP 404 Not Found, and its body cannot be read: the response broke off",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 404 Not Found\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\n{",
            Code::NotFound,
            "the server answered HTTP 404 Not Found, and its body cannot be read: the response says that it is gzip, and is not",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 404 Not Found\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\n{",
            Code::NotFound,
            "the server answered HTTP 404 Not Found, and its body cannot be read: the content encoding `br` is not known",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            Code::NotFound,
            "the server answered HTTP 404 Not Found, and its body cannot be read: the response broke off",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 307 X\r\nlocation: https://a:secret@example.com/b?secret\r\ncontent-length: 0\r\n\r\n",
            Code::Unknown,
            "the server answered HTTP 307 Temporary Redirect, a redirect to https://example.com/b, which is not followed; \
             set the endpoint to where the API is",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Code::Internal,
            "the response, HTTP 200 OK, has no body, where a google.chat.v1.Space was expected",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            Code::Internal,
            "the answer is a space without a name, so that it is not known whether one was created; make the call again \
             with the same request id",
        ),
        (
            Wire::HttpJson,
            "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"error\":{\"status\":\"PERMISSION_DENIED\"}}",
            Code::PermissionDenied,
            "",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(answer_once(listener, answer.to_owned()));
        let call = client(&endpoint, wire).create_space(Space::named("a"));
        let error = call.retry(RetryPolicy::never()).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with(message), "{error}");
        server.await.unwrap();
    }
}

/// What a proxy says of itself is no word that the API did nothing.
#[tokio::test]
async fn a_proxys_503_is_not_the_apis_own() {
    for (answer, attempts) in [
        ("HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 23\r\n\r\n503 SERVICE UNAVAILABLE", 1),
        (
            "HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 34\r\n\r\n{\"error\":{\"status\":\"UNAVAILABLE\"}}",
            2,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(answer_once(listener, answer.to_owned()));
        let chat = Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).wire(Wire::HttpJson);
        let policy = RetryPolicy::default().with_attempts(2).with_initial_backoff(Duration::from_millis(1));
        let chat = chat.retry(policy).fill_request_ids(false).build().unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (Code::Unavailable, attempts), "{error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_deadline_holds_on_both_wires() {
    // A server that accepts and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    for wire in WIRES {
        let limit = Duration::from_millis(50);
        let error = client(&endpoint, wire).create_space(Space::named("a")).timeout(limit).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    }
}

#[test]
fn a_token_is_not_sent_in_clear_text() {
    for wire in WIRES {
        let builder = Client::builder().endpoint("http://chat.example.com").wire(wire);
        let error = builder.credentials(Credentials::token("secret").unwrap()).build().unwrap_err().to_string();
        assert!(error.starts_with("credentials are not sent to http://chat.example.com in clear text"), "{error}");
    }
}

#[test]
fn why_a_client_cannot_be_built_has_its_cause() {
    let cause = |endpoint: &str| {
        let builder = Client::builder().endpoint(endpoint).credentials(Credentials::token("secret").unwrap());
        let error = builder.build().unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert!(cause("ftp://chat.example.com").contains("ftp://chat.example.com"));
    assert!(cause("http://chat.example.com").contains("in clear text"));
}
