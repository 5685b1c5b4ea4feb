//! `gchat gateway`, in front of an emulator.

use std::{io::Write, path::Path, process::Stdio, time::Duration};

use google_chat::{Client, Credentials, Space, Wire, layer::RetryPolicy};
use google_chat_emulator::{Emulator, Fault};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;

use super::support::{Server, answer, descriptor_set, ended, first_line, fresh, gchat, get, text};

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
    let set = descriptor_set("named");
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
    let without = descriptor_set("nothing");
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
    // That is for clients that are no browsers.
    let by_page = head.replace("connection: close", "connection: close\r\norigin: http://[::1]:80");
    assert!(answer(unsaid.send(&by_page)).contains("the body has no content type"));
}

/// Every rule of a service may be one that cannot be used: the other methods are served. With
/// nothing left, the gateway says so and ends.
#[test]
fn rules_that_cannot_be_used_cost_their_methods_alone() {
    let warnings = [
        "half.Broken/Get: GET /v1/{other}: cannot be used: path variable `other`: half.Request has no field `other`",
        "half.Broken/Put: PUT /v1/{name=**}/a/**: cannot be used: ",
    ];
    let both = descriptor_set("half");
    let errors = fresh("half.errors");
    let flags = ["gateway", "--listen", "127.0.0.1:0", "--backend", "http://127.0.0.1:1", "--descriptor-set"];
    let gateway = Server::start_with_errors(&[&flags[..], &[both.to_str().unwrap()]].concat(), &errors);
    let said = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    for (line, warning) in said.lines().zip(warnings) {
        assert!(line.starts_with(&format!("gchat: warning: {warning}")), "{line}");
    }
    // There is no backend to answer the one that is served.
    for (path, status) in [("/v2/a", 503), ("/v1/a", 404)] {
        let (found, body) = get(gateway.address(), path);
        assert_eq!(found, status, "{path}: {body}");
    }

    let broken = descriptor_set("broken");
    let output = gchat(&[&flags[..], &[broken.to_str().unwrap()]].concat()).output().unwrap();
    let (code, _, problem) = ended(&output);
    let first = format!(
        "gchat: no HTTP rule (google.api.http) of the descriptor pool can be used; the first is {}\n",
        warnings[0]
    );
    assert_eq!((code, problem), (2, &*first));
}

/// A schema without a rule is served where that is asked for; and `explain` and the lint say
/// how.
#[test]
fn methods_without_rules_are_served_where_that_is_asked_for() {
    let set = descriptor_set("unbound");
    let set = ["--descriptor-set", set.to_str().unwrap()];
    let emulator = Server::emulator(&[]);
    let backend = ["gateway", "--listen", "127.0.0.1:0", "--backend", &emulator.endpoint];
    let output = gchat(&[&backend[..], &set].concat()).output().unwrap();
    let (code, _, problem) = ended(&output);
    assert!(code == 2 && problem.ends_with("; to serve methods without rules, add --unbound-methods\n"), "{problem}");

    let gateway = Server::start(&[&backend[..], &set, &["--unbound-methods"]].concat());
    let call = |method: &str, body: &str| {
        let head =
            format!("POST /google.chat.v1.ChatService/{method} HTTP/1.1\r\nhost: localhost\r\nconnection: close");
        let head = format!("{head}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        answer(gateway.send(&format!("{head}\r\n\r\n{body}")))
    };
    let found = call("GetSpace", r#"{"name":"spaces/none"}"#);
    assert!(found.starts_with("HTTP/1.1 404 ") && found.contains("spaces/none"), "{found}");
    let found = call("Talk", "{}");
    assert!(found.starts_with("HTTP/1.1 501 "), "{found}");

    let explain = ["explain", "google.chat.v1.ChatService/GetSpace", r#"{"name":"spaces/a"}"#, "--unbound-methods"];
    let explained = gchat(&[&explain[..], &set].concat()).output().unwrap();
    let (code, said, _) = ended(&explained);
    let expected = "POST /google.chat.v1.ChatService/GetSpace HTTP/1.1\nhost: chat.googleapis.com\n\
                    content-type: application/json\n\n{\"name\":\"spaces/a\"}\n";
    assert_eq!((code, said), (0, expected));
    let lint = gchat(&[&["schema", "--lint", "--unbound-methods"][..], &set].concat()).output().unwrap();
    assert_eq!(ended(&lint), (0, "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_choices_of_the_gateway_are_flags() {
    let emulator = Emulator::start().await.unwrap();
    let gateway = start(&emulator.endpoint(), &["--ignore-unknown-query", "--grpc-metadata-prefix"]);
    let request = "GET /v1/spaces?utm_source=x&pageSize=1&fields=nextPageToken HTTP/1.1\r\nhost: localhost\r\n\
                   connection: close\r\nGrpc-Metadata-Tenant: a\r\n\r\n";
    let found = answer(gateway.send(request));
    assert!(found.starts_with("HTTP/1.1 200 ") && found.ends_with("\r\n\r\n{}"), "{found}");
    let received = emulator.received().pop().unwrap();
    assert_eq!((&received.headers["tenant"], received.headers.get("utm_source")), (&"a".parse().unwrap(), None));
    let plain = start(&emulator.endpoint(), &[]);
    assert!(answer(plain.send(request)).contains("unknown query parameter `utm_source`"));
}

/// The next request of a client that keeps its connection must not be read as a body, nor fail.
#[test]
fn a_refusal_before_the_body_came_keeps_the_connection_or_says_that_it_does_not() {
    let emulator = Server::emulator(&[]);
    let gateway = start(&emulator.endpoint, &[]);
    for (path, status) in [("/no/such", 404), ("/v1/spaces/a/members/b", 405)] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        for (length, kept) in [(100_000, true), (10_000_000, false)] {
            let mut connection = gateway.send(&format!("{head}content-length: {length}\r\n\r\n{{"));
            if kept {
                let rest = format!("{}GET /healthz HTTP/1.1\r\nhost: localhost\r\n", " ".repeat(length - 1));
                connection.write_all(format!("{rest}connection: close\r\n\r\n").as_bytes()).unwrap();
            }
            let found = answer(connection);
            assert!(found.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {length}: {found}");
            let (head, _) = found.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.contains("\r\nconnection: close"), !kept, "{path} {length}: {found}");
            assert_eq!(found.contains("HTTP/1.1 200 OK"), kept, "{path} {length}: {found}");
        }
    }
}
