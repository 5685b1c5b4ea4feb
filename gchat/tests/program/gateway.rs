//! `gchat gateway`, in front of an emulator.

use std::{path::Path, process::Stdio, time::Duration};

use google_chat::{Client, Credentials, Space, Wire, layer::RetryPolicy};
use google_chat_emulator::{Emulator, Fault};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;

use super::support::{Server, answer, descriptor_set, ended, first_line, gchat, get, text};

/// Far longer than anything here takes: what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(backend: &str, flags: &[&str]) -> Server {
    Server::start(&[&["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", backend], flags].concat())
}

fn client(gateway: &Server, wire: Wire) -> Client {
    let builder = Client::builder().endpoint(&gateway.endpoint).credentials(Credentials::anonymous());
    builder.wire(wire).retry(RetryPolicy::never()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_through_only_where_it_is_asked_to() {
    let emulator = Emulator::start().await.unwrap();
    for (arguments, code) in [(&[][..], Some(Code::Unimplemented)), (&["--passthrough"][..], None)] {
        let gateway = start(&emulator.endpoint(), arguments);
        let called = client(&gateway, Wire::Grpc).create_space(Space::named("a")).await;
        assert_eq!(called.err().map(|error| error.code()), code, "{arguments:?}");
        client(&gateway, Wire::HttpJson).create_space(Space::named(format!("b {arguments:?}"))).await.unwrap();
        // The server behind is told who asks.
        let received = emulator.received().pop().unwrap();
        assert_eq!(received.headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(received.headers["x-forwarded-host"], gateway.address());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_ends() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fail_next(Fault::Latency(Duration::from_secs(3_600)));
    // Its question for the server's protos is no call of the emulator's.
    let gateway = start(&emulator.endpoint(), &["--timeout", "0.2"]);
    let called = client(&gateway, Wire::HttpJson).create_space(Space::named("a"));
    let error = tokio::time::timeout(PATIENCE, called.into_future()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_drain() {
    let emulator = Emulator::start().await.unwrap();
    let mut gateway = start(&emulator.endpoint(), &["--drain", "3600"]);
    emulator.fail_next(Fault::Latency(Duration::from_secs(3_600)));
    let mut call = TcpStream::connect(gateway.address()).await.unwrap();
    call.write_all(b"GET /v1/spaces/a HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let under_way = async {
        while emulator.received().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, under_way).await.unwrap();
    gateway.signal("TERM");
    let closed = async { while TcpStream::connect(gateway.address()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    assert!(gateway.process.try_wait().unwrap().is_none(), "the call under way is waited for");
    gateway.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || gateway.wait());
    assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_described() {
    let emulator = Emulator::start().await.unwrap();
    let gateway = start(&emulator.endpoint(), &["--proto-field-names"]);
    let (status, text) = get(gateway.address(), "/openapi.json");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &document["servers"][0]["url"]), (200, &"/".into()));
    assert!(document["components"]["schemas"]["google.chat.v1.Space"]["properties"]["display_name"].is_object());
    let (status, page) = get(gateway.address(), "/docs");
    assert!(status == 200 && page.contains("<code><b>POST</b> /v1/spaces</code>"), "{page}");
    assert_eq!(get(gateway.address(), "/docs/style.css").0, 200);
    let gateway = start(&emulator.endpoint(), &["--no-docs"]);
    assert_eq!(["/openapi.json", "/docs"].map(|path| get(gateway.address(), path).0), [404, 404]);
}

/// Before it listens, and as the lint has them.
#[test]
fn the_gateway_names_what_it_never_serves() {
    const PROTO: &str = r#"
        syntax = "proto3";
        package named;
        import "google/api/annotations.proto";
        service Named {
          rpc Get(Request) returns (Request) { option (google.api.http) = { get: "/v1/{name}" }; }
          rpc Read(Request) returns (Request) { option (google.api.http) = { get: "/v1/{other}" }; }
          rpc Bad(Request) returns (Request) { option (google.api.http) = { get: "/v2/pre-{name}" }; }
        }
        message Request { string name = 1; string other = 2; }"#;
    let set = descriptor_set("named", PROTO);
    let expected = [
        "named.Named/Bad: GET /v2/pre-{name}: cannot be used: path template `/v2/pre-{name}`: unexpected text at column 9",
        "named.Named/Read: GET /v1/{other}: is never served: named.Named/Get has the same HTTP method and path",
    ];
    let lint = gchat(&["schema", "--lint", "--descriptor-set", set.to_str().unwrap()]).output().unwrap();
    let (_, listed, _) = ended(&lint);
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    let gateway = |set: &Path| {
        let mut command = gchat(&["gateway", "--backend", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]);
        command.arg("--descriptor-set").arg(set).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut child = gateway(&set).spawn().unwrap();
    let line = first_line(&mut child);
    child.kill().unwrap();
    assert!(line.starts_with("listening at http://127.0.0.1:"), "{line}");
    let said = child.wait_with_output().unwrap().stderr;
    assert_eq!(text(&said), expected.map(|warning| format!("gchat: warning: {warning}\n")).concat());

    // And without anything to serve, it says so and ends.
    let without = descriptor_set("without", r#"syntax = "proto3"; message Nothing {}"#);
    let output = gateway(&without).output().unwrap();
    let (code, _, problem) = ended(&output);
    assert!(
        code == 2 && problem.starts_with("gchat: no method of the descriptor pool has an HTTP rule"),
        "{code}: {problem}"
    );
}

/// The gateway's own pages are those of the allowed origins, and loopback's names alone are
/// served.
#[test]
fn the_gateway_answers_no_page_of_another_origin() {
    let emulator = Server::emulator(&[]);
    let flags = ["--cors-origin", "https://app.example.com", "--allowed-host", "api.example.com"];
    let gateway = start(&emulator.endpoint, &flags);
    const BODY: &str = r#"{"displayName":"a","spaceType":"SPACE"}"#;
    for (headers, status) in [
        ("host: localhost\r\norigin: https://evil.example\r\ncontent-type: application/json\r\n", 403),
        ("host: localhost\r\nsec-fetch-site: cross-site\r\ncontent-type: application/json\r\n", 403),
        ("host: evil.example\r\ncontent-type: application/json\r\n", 421),
        ("host: localhost\r\n", 415),
        ("host: api.example.com\r\norigin: https://app.example.com\r\ncontent-type: application/json\r\n", 200),
    ] {
        let head = format!("POST /v1/spaces?requestId=a HTTP/1.1\r\nconnection: close\r\n{headers}");
        let found = answer(gateway.send(&format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len())));
        assert!(found.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {found}");
        let spaces = answer(emulator.send("GET /v1/spaces HTTP/1.0\r\n\r\n"));
        assert_eq!(spaces.matches("\"name\"").count(), usize::from(status == 200), "{spaces}");
    }
    let unsaid = start(&emulator.endpoint, &["--allow-missing-content-type"]);
    let head = "POST /v1/spaces HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    assert!(answer(unsaid.send(head)).contains("space.space_type is required"));
}
