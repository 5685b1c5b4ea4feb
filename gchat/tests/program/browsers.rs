//! `gchat gateway` for web pages: gRPC-Web and CORS.

use std::io::{Read, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use google_chat::grpc_transcoding::rpc;
use prost::Message;
use serde_json::Value;
use tonic::Code;

use super::{
    backend::{Backend, Echo, proto, status},
    support::{Server, ended, get, run},
};

fn start(backend: &Backend, flags: &[&str]) -> Server {
    let own = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &backend.endpoint];
    Server::start(&[&own[..], flags].concat())
}

/// A response over HTTP/1.1, with its body in one piece.
struct Found {
    status: u16,
    /// In lower case, a line for each.
    headers: String,
    body: Vec<u8>,
}

impl Found {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn send(address: &str, head: &str, body: &[u8]) -> Found {
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let head = format!("{head}host: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8(all[..end].to_vec()).unwrap().replace("\r\n", "\n");
    let (mut rest, mut body) = (&all[end + 4..], Vec::new());
    let (status, headers) = headers.split_once('\n').unwrap();
    if headers.contains("transfer-encoding: chunked") {
        loop {
            let line = rest.windows(2).position(|window| window == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            body.extend(&rest[line + 2..][..size]);
            rest = &rest[line + size + 4..];
            if size == 0 {
                break;
            }
        }
    } else {
        body = rest.to_vec();
    }
    Found { status: status[9..12].parse().unwrap(), headers: headers.to_owned(), body }
}

/// What a call over gRPC-Web gets: its messages, and how it ends.
fn call(address: &str, kind: &str, method: &str, name: &str, headers: &str) -> (Vec<Echo>, Option<Code>, String) {
    let message = Echo { name: name.to_owned(), server: String::new() }.encode_to_vec();
    let mut room = rpc::room(message.len());
    room.extend_from_slice(&message);
    let framed = rpc::frame(room).unwrap();
    let is_text = kind.contains("-text");
    let body = if is_text { BASE64_STANDARD.encode(&framed).into_bytes() } else { framed.to_vec() };
    let head = format!("POST /one.Echo/{method} HTTP/1.1\r\ncontent-type: {kind}\r\nx-grpc-web: 1\r\n{headers}");
    let found = send(address, &head, &body);
    assert_eq!(found.status, 200, "{}", found.headers);
    let expected = kind.split(';').next().unwrap().to_lowercase();
    let text = if is_text { "application/grpc-web-text" } else { "application/grpc-web" };
    assert!(found.header("content-type").unwrap().starts_with(text), "{expected}: {}", found.headers);
    let bytes = match is_text {
        false => found.body,
        // Each piece is padded by itself.
        true => found.body.chunks(4).flat_map(|quad| BASE64_STANDARD.decode(quad).unwrap()).collect(),
    };
    let (mut rest, mut messages, mut end) = (&*bytes, Vec::new(), status(&found.headers));
    while let [flags, a, b, c, d, after @ ..] = rest {
        let (frame, after) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        match flags {
            0 => messages.push(Echo::decode(frame).unwrap()),
            0x80 => end = status(std::str::from_utf8(frame).unwrap()),
            other => panic!("{other}"),
        }
        rest = after;
    }
    (messages, end.0, end.1)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
async fn browsers_call_any_method_over_grpc_web() {
    let backend = Backend::start("one", &proto("one", "/v1/{name}")).await;
    let mut gateway = start(&backend, &["--grpc-web", "--access-log", "json", "--admin", "127.0.0.1:0"]);
    let (admin, address) = (gateway.admin(), gateway.address().to_owned());
    for kind in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
        "Application/gRPC-Web+proto; charset=utf-8",
    ] {
        for (method, name, count, code, message) in [
            ("Get", "a", 1, Code::Ok, ""),
            ("Watch", "ab", 2, Code::Ok, ""),
            ("Get", "fail", 0, Code::NotFound, "n%C3%B6 100 %25"),
            ("Watch", "fail", 1, Code::NotFound, "n%C3%B6 100 %25"),
        ] {
            let (messages, found, told) = call(&address, kind, method, name, "");
            let echo = Echo { name: name.to_owned(), server: "one".to_owned() };
            assert_eq!(messages, vec![echo; count], "{kind} {method} {name}");
            assert_eq!(found, Some(code), "{kind} {method} {name}: {told}");
            assert_eq!(told.replace("%20", " "), message, "{kind} {method} {name}");
            // The log has the code of gRPC, whose HTTP status is always 200.
            let entry: Value = serde_json::from_str(&gateway.line()).unwrap();
            assert_eq!((&entry["status"], &entry["code"]), (&200.into(), &rpc::code_name(code).into()), "{entry}");
        }
    }
    let (_, metrics) = get(&admin, "/metrics");
    let labels = r#"grpc_type="server_stream",grpc_service="one.Echo",grpc_method="Watch",grpc_code="NotFound""#;
    assert!(metrics.lines().any(|line| line == format!("grpc_server_handled_total{{{labels}}} 5")), "{metrics}");

    // The caller's deadline holds.
    let (messages, code, _) = call(&address, "application/grpc-web", "Watch", "hold", "grpc-timeout: 50m\r\n");
    assert_eq!((messages.len(), code), (2, Some(Code::DeadlineExceeded)));
    // What nobody can serve is refused with a word.
    for (line, kind, status, problem) in [
        ("POST", "application/grpc-web+json", 415, "of gRPC-Web, these content types are served"),
        ("POST", "application/grpc-web+thrift", 415, "of gRPC-Web, these content types are served"),
        ("GET", "application/grpc-web", 405, "a call over gRPC-Web is a POST"),
    ] {
        let found = send(&address, &format!("{line} /one.Echo/Get HTTP/1.1\r\ncontent-type: {kind}\r\n"), b"");
        assert_eq!(found.status, status, "{kind}");
        assert!(std::str::from_utf8(&found.body).unwrap().contains(problem), "{kind}");
    }
    // Pages of other origins cannot send it, nor read what comes back.
    let foreign =
        "POST /one.Echo/Get HTTP/1.1\r\ncontent-type: application/grpc-web\r\norigin: https://evil.example\r\n";
    assert_eq!(send(&address, foreign, b"").status, 403);
    // REST goes on beside it, and gRPC only where it is asked for.
    assert_eq!(get(&address, "/v1/a").0, 200);
    let grpc = send(&address, "POST /one.Echo/Get HTTP/1.1\r\ncontent-type: application/grpc\r\n", b"\0\0\0\0\0");
    assert_eq!(status(&grpc.headers).0, Some(Code::Unimplemented));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_is_served_only_where_it_is_asked_for() {
    let backend = Backend::start("one", &proto("one", "/v1/{name}")).await;
    let gateway = start(&backend, &["--passthrough"]);
    let head = "POST /one.Echo/Get HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n";
    let found = send(gateway.address(), head, b"\0\0\0\0\0");
    let body: Value = serde_json::from_slice(&found.body).unwrap();
    assert_eq!((found.status, &body["error"]["status"]), (415, &"INVALID_ARGUMENT".into()));
    assert!(body["error"]["message"].as_str().unwrap().starts_with("gRPC-Web is not served here; send gRPC"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
async fn pages_of_allowed_origins_may_read_what_is_exposed() {
    let backend = Backend::start("one", &proto("one", "/v1/{name}")).await;
    let app = "https://app.example.com";
    let flags = ["--grpc-web", "--cors-origin", app, "--cors-origin", "https://b.example.com", "--cors-credentials"];
    let more = ["--cors-expose-header", "X-Trace", "--cors-expose-header", "etag", "--cors-max-age", "600"];
    let gateway = start(&backend, &[&flags[..], &more].concat());
    let ask = format!("OPTIONS /one.Echo/Get HTTP/1.1\r\norigin: {app}\r\n");
    let asked = format!(
        "{ask}access-control-request-method: PATCH\r\naccess-control-request-headers: content-type,x-grpc-web\r\n"
    );
    let preflight = send(gateway.address(), &asked, b"");
    for (name, value) in [
        ("access-control-allow-origin", Some(app)),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-allow-methods", Some("PATCH")),
        ("access-control-allow-headers", Some("content-type,x-grpc-web")),
        ("access-control-max-age", Some("600")),
        ("access-control-allow-private-network", None),
    ] {
        assert_eq!((preflight.status, preflight.header(name)), (200, value), "{name}: {}", preflight.headers);
    }
    let vary = preflight.header("vary").unwrap();
    assert!(vary.contains("origin") && vary.contains("access-control-request-method"), "{vary}");
    let foreign = asked.replace(app, "https://evil.example");
    assert_eq!(send(gateway.address(), &foreign, b"").status, 403);

    let exposed = "x-trace,etag,grpc-status,grpc-message,grpc-status-details-bin";
    let rest = send(gateway.address(), &format!("GET /v1/a HTTP/1.1\r\norigin: {app}\r\n"), b"");
    let head = "POST /one.Echo/Get HTTP/1.1\r\ncontent-type: application/grpc-web\r\n";
    let web = send(gateway.address(), &format!("{head}origin: {app}\r\n"), b"\0\0\0\0\x06\x0a\x04fail");
    // A status without a message before it is among the headers.
    assert_eq!(status(&web.headers), (Some(Code::NotFound), "n%C3%B6%20100%20%25".to_owned()));
    assert!(web.header("grpc-status-details-bin").is_some(), "{}", web.headers);
    for found in [rest, web] {
        for (name, value) in [
            ("access-control-allow-origin", app),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", exposed),
        ] {
            assert_eq!((found.status, found.header(name)), (200, Some(value)), "{name}: {}", found.headers);
        }
    }

    // Without more than an origin there is no more than that.
    let plain = start(&backend, &["--cors-origin", "*"]);
    let preflight = send(plain.address(), &asked, b"");
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    for name in ["credentials", "max-age"].map(|name| format!("access-control-{name}")) {
        assert!(!preflight.headers.contains(&name), "{}", preflight.headers);
    }
    let rest = send(plain.address(), &format!("GET /v1/a HTTP/1.1\r\norigin: {app}\r\n"), b"");
    assert_eq!(rest.header("access-control-expose-headers"), None);
}

#[test]
fn what_cors_does_not_allow_is_refused_at_the_start() {
    let flags = ["gateway", "--backend", "http://127.0.0.1:1", "--reflection", "--check-config"];
    for (more, problem) in [
        (&["--cors-origin", "*", "--cors-credentials"][..], "any page could act as the user of its browser"),
        (
            &["--cors-origin", "https://a.example", "--cors-credentials", "--cors-expose-header", "*"],
            "name the headers",
        ),
        (&["--cors-credentials"], "--cors-origin <ORIGIN>"),
        (&["--cors-max-age", "1"], "--cors-origin <ORIGIN>"),
        (&["--cors-origin", "https://a.example/"], "not an origin: a scheme and a host"),
        (&["--cors-origin", "a.example"], "not an origin: a scheme and a host"),
        (&["--cors-origin", "https://a.example", "--cors-expose-header", "a b"], "invalid HTTP header name"),
    ] {
        let output = run(&[&flags[..], more].concat());
        let (code, _, said) = ended(&output);
        assert!(code == 2 && said.contains(problem), "{more:?}: {said}");
    }
    let fits = ["--cors-origin", "https://a.example", "--cors-credentials", "--cors-max-age", "1"];
    assert_eq!(ended(&run(&[&flags[..], &fits].concat())).0, 0);
}
