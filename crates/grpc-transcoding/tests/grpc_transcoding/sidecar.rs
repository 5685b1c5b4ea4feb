//! The sidecar over sockets, by callers that write gRPC's frames themselves as the stubs of
//! other languages do.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use crate::shelf::{Backend, RULES, answering, frame, http_json, method, rpc, unframe};
use bytes::Bytes;
use grpc_transcoding::server::{Peer, RequestBody, ServeOptions, Sidecar, SidecarLayer, serve};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use prost::{Message as _, Name as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service, service_fn};

/// Far longer than anything here takes: what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

async fn served<S>(service: S) -> SocketAddr
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, service, ServeOptions::default()));
    address
}

/// A sidecar in front of a REST API that is the backend's.
async fn before(backend: &Backend) -> SocketAddr {
    served(Sidecar::new(RULES.clone(), http_json(backend.gateway()))).await
}

/// What a caller gets: the headers, the messages, and the status with its metadata, which
/// the headers have where nothing else came.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn status(&self) -> Status {
        Status::from_header_map(self.trailers.as_ref().unwrap_or(&self.headers)).expect("has a status")
    }

    fn messages(&self, name: &str) -> Vec<Value> {
        let json = |wire: &Vec<u8>| serde_json::from_str(&method(name).output().to_json(wire).unwrap()).unwrap();
        unframe(&self.body).iter().map(json).collect()
    }
}

type Headers<'h> = &'h [(&'h str, &'h str)];

/// Sends bytes as a call's body, on a connection of its own.
async fn send<I>(io: I, path: &str, headers: Headers<'_>, body: Bytes) -> Answer
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://localhost{path}")).version(http::Version::HTTP_2);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let (answer, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // The answer may be there before all is sent.
    let _ = sending.send_data(body, true);
    let (head, mut body) = patiently(answer).await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(piece) = patiently(body.data()).await {
        let piece = piece.unwrap();
        let _ = body.flow_control().release_capacity(piece.len());
        data.extend_from_slice(&piece);
    }
    let trailers = patiently(body.trailers()).await.unwrap();
    connection.abort();
    Answer { headers: head.headers, body: data.into(), trailers }
}

async fn call(address: SocketAddr, name: &str, headers: Headers<'_>, messages: &[Value]) -> Answer {
    let wire = |json: &Value| frame(&method(name).input().from_json(json.to_string()).unwrap());
    let body: Vec<u8> = messages.iter().flat_map(wire).collect();
    send(TcpStream::connect(address).await.unwrap(), &format!("/shelf.Shelf/{name}"), headers, body.into()).await
}

fn packed(message: &[u8]) -> Bytes {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(message).unwrap();
    let packed = packer.finish().unwrap();
    [&[1][..], &(packed.len() as u32).to_be_bytes(), &packed].concat().into()
}

#[tokio::test]
async fn every_kind_of_call_that_http_json_can_carry_arrives() {
    let book = || json!({"name": "shelves/a/books/b", "title": "Dune ü"});
    let file = |data: &str| json!({"contentType": "text/plain", "data": data});
    let upload = |data: &str| json!({"name": "shelves/a", "file": file(data)});
    for (name, sent, answers, received) in [
        (
            "GetBook",
            vec![json!({"name": "shelves/a/books/b"})],
            vec![book()],
            vec![json!({"name": "shelves/a/books/b"})],
        ),
        (
            "Watch",
            vec![json!({"shelf": "shelves/a"})],
            vec![book(), json!({}), book()],
            vec![json!({"shelf": "shelves/a"})],
        ),
        (
            "Download",
            vec![json!({"name": "shelves/a/books/b"})],
            vec![file("aGk=")],
            vec![json!({"name": "shelves/a/books/b"})],
        ),
        (
            "DownloadParts",
            vec![json!({"name": "shelves/a/books/b"})],
            vec![file("aGk=")],
            vec![json!({"name": "shelves/a/books/b"})],
        ),
        ("Upload", vec![upload("aGk=")], vec![book()], vec![upload("aGk=")]),
        // One message for the whole of it is what HTTP makes of an upload.
        (
            "UploadParts",
            vec![upload("aGk="), json!({"file": {"data": "ISE="}})],
            vec![book()],
            vec![upload("aGkhIQ==")],
        ),
    ] {
        let of = method(name).output().name().to_owned();
        let all: Vec<_> = answers.iter().map(|json| (of.as_str(), json.clone())).collect();
        let backend = Backend::answering(&all, None);
        let answer = call(before(&backend).await, name, &[], &sent).await;
        assert_eq!(answer.status().code(), Code::Ok, "{name}: {}", answer.status().message());
        assert_eq!(answer.headers["content-type"], "application/grpc", "{name}");
        assert_eq!((answer.messages(name), backend.received(name)), (answers, received), "{name}");
    }
}

#[tokio::test]
async fn metadata_and_details_go_both_ways() {
    let info = rpc::ErrorInfo { reason: "LOST".into(), domain: "shelf".into(), ..Default::default() };
    let detail = prost_types::Any {
        type_url: format!("type.googleapis.com/{}", rpc::ErrorInfo::full_name()),
        value: info.encode_to_vec(),
    };
    let details = rpc::Status { code: 5, message: "no book: 100 %, ü".into(), details: vec![detail] }.encode_to_vec();
    let mut failed = Status::with_details(Code::NotFound, "no book: 100 %, ü", details.clone().into());
    failed.metadata_mut().insert("x-shelf", "a".parse().unwrap());
    let backend = Backend::answering(&[], Some(failed));
    let address = before(&backend).await;
    let headers = [
        ("authorization", "Bearer own"),
        ("x-trace-bin", "YWI="),
        ("user-agent", "grpc-python/1.76"),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
    ];
    let answer = call(address, "GetBook", &headers, &[json!({"isbn": "1"})]).await;
    let status = answer.status();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no book: 100 %, ü"));
    assert_eq!(status.details(), details);
    for (name, value) in [("x-shelf", "a"), ("http-status", "404")] {
        assert_eq!(status.metadata().get(name).unwrap(), value);
    }
    // By headers that end the stream: some clients know no other form of an error.
    assert!(answer.trailers.is_none() && answer.body.is_empty() && !answer.headers.contains_key("call-broken"));
    let calls = backend.calls.lock().unwrap();
    let (_, got, _) = calls.last().unwrap();
    for (name, value) in [("authorization", "Bearer own"), ("x-trace-bin", "YWI"), ("user-agent", "grpc-python/1.76")] {
        assert_eq!(got[name], value);
    }
    assert!(!got.contains_key("grpc-accept-encoding"));
}

#[tokio::test]
async fn what_http_json_cannot_carry_is_unimplemented_with_the_reason() {
    let address = before(&Backend::answering(&[], None)).await;
    let path = |name: &str| format!("/shelf.Shelf/{name}");
    let wire = |name: &str, json: Value| frame(&method(name).input().from_json(json.to_string()).unwrap());
    for (path, body, reason) in [
        (path("Chat"), wire("Chat", json!({})), "streams its requests"),
        (path("NoRule"), wire("NoRule", json!({})), "has no HTTP rule"),
        (path("Search"), wire("Search", json!({"shelf": "shelves/a", "labels": {"a": "b"}})), "`labels` is a map"),
        (path("Nothing"), frame(b""), "no method /shelf.Shelf/Nothing"),
        ("/grpc.health.v1.Health/Check".to_owned(), frame(b""), "no method"),
    ] {
        let answer = send(TcpStream::connect(address).await.unwrap(), &path, &[], body).await;
        let status = answer.status();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {}", status.message());
        assert!(status.message().contains(reason), "{path}: {}", status.message());
    }
}

#[tokio::test]
async fn packed_messages_are_unpacked_within_the_limit() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let layer = SidecarLayer::new(RULES.clone()).max_message_size(1000);
    let address = served(layer.layer(http_json(backend.gateway()))).await;
    let titles = |len: usize| {
        method("Rename").input().from_json(json!({"id": 1, "titles": ["a".repeat(len)]}).to_string()).unwrap()
    };
    for (encoding, body, code) in [
        ("gzip", packed(&titles(900)), Code::Ok),
        // The header says how some are packed; each says whether it is.
        ("gzip", frame(&titles(900)), Code::Ok),
        ("identity", frame(&titles(900)), Code::Ok),
        ("gzip", packed(&titles(100_000)), Code::ResourceExhausted),
        ("identity", frame(&titles(100_000)), Code::ResourceExhausted),
        ("identity", packed(&titles(9)), Code::Internal),
        ("snappy", packed(&titles(9)), Code::Unimplemented),
        ("gzip", Bytes::from_static(b"\x01\0\0\0\x01a"), Code::Internal),
        ("gzip", [packed(&titles(9)), packed(&titles(9))].concat().into(), Code::Internal),
        ("identity", Bytes::from_static(b"\0\0\0\0\x09a"), Code::Internal),
        ("identity", Bytes::new(), Code::Internal),
    ] {
        let case = format!("{encoding} {}", body.len());
        let headers = [("grpc-encoding", encoding)];
        let answer = send(TcpStream::connect(address).await.unwrap(), "/shelf.Shelf/Rename", &headers, body).await;
        assert_eq!(answer.status().code(), code, "{case}: {}", answer.status().message());
        let offer = answer.headers.get("grpc-accept-encoding").map(|offer| offer.to_str().unwrap());
        assert_eq!(offer, (code == Code::Unimplemented).then_some("identity,gzip"), "{case}");
        if code == Code::Ok {
            assert_eq!(backend.received("Rename"), [json!({"id": 1, "titles": ["a".repeat(900)]})], "{case}");
        }
    }
    let part = method("UploadParts").input().from_json(r#"{"name":"shelves/a","file":{"data":"aGk="}}"#).unwrap();
    let many: Vec<u8> = std::iter::repeat_n(packed(&part), 9).flatten().collect();
    let headers = [("grpc-encoding", "gzip")];
    let upload = || async { TcpStream::connect(address).await.unwrap() };
    let answer = send(upload().await, "/shelf.Shelf/UploadParts", &headers, many.into()).await;
    assert_eq!(answer.status().code(), Code::Ok, "{}", answer.status().message());
    assert_eq!(backend.received("UploadParts")[0]["file"]["data"], "aGloaWhpaGloaWhpaGloaWhp");
}

#[tokio::test]
async fn the_length_of_a_packed_request_is_not_that_of_the_call() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let keeps = Arc::clone(&seen);
    let inner = service_fn(move |call: Request<Body>| {
        *keeps.lock().unwrap() = Some(call.headers().clone());
        std::future::ready(Ok::<_, Infallible>(Status::ok("").into_http::<Body>()))
    });
    let address = served(Sidecar::new(RULES.clone(), inner)).await;
    let body = packed(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap());
    let length = body.len().to_string();
    let headers = [("grpc-encoding", "gzip"), ("content-length", length.as_str())];
    let answer = send(TcpStream::connect(address).await.unwrap(), "/shelf.Shelf/GetBook", &headers, body).await;
    assert_eq!(answer.status().code(), Code::Ok);
    let headers = seen.lock().unwrap().take().unwrap();
    assert!(!headers.contains_key("content-length") && !headers.contains_key("grpc-encoding"), "{headers:?}");
}

/// The layers' own word for what broke is not for the network.
#[tokio::test]
async fn a_call_that_breaks_is_a_status() {
    let broken = service_fn(|_: Request<Full<Bytes>>| async { Err::<Response<Full<Bytes>>, _>("it broke") });
    let address = served(Sidecar::new(RULES.clone(), http_json(broken))).await;
    let answer = call(address, "GetBook", &[], &[json!({"isbn": "1"})]).await;
    assert_eq!(
        (answer.status().code(), answer.status().message()),
        (Code::Unavailable, "the request failed: it broke")
    );
    assert!(!answer.headers.contains_key("call-broken"), "{:?}", answer.headers);
}

#[tokio::test]
async fn deadlines_are_held_and_told() {
    let (asked, rest) = answering(200, &[("content-type", "application/json")], "{}");
    let layer = SidecarLayer::new(RULES.clone()).timeout(Some(Duration::from_secs(60)));
    let address = served(layer.layer(http_json(rest))).await;
    for (timeout, code, told) in [
        (Some("5S"), Code::Ok, "5"),
        (Some("2M"), Code::Ok, "60"),
        (None, Code::Ok, "60"),
        (Some("5 s"), Code::InvalidArgument, ""),
    ] {
        let headers: Vec<_> = timeout.iter().map(|timeout| ("grpc-timeout", *timeout)).collect();
        let answer = call(address, "GetBook", &headers, &[json!({"isbn": "1"})]).await;
        assert_eq!(answer.status().code(), code, "{timeout:?}");
        let told_last = asked.lock().unwrap().pop().map(|request| request.headers()["x-server-timeout"].clone());
        assert_eq!(told_last.as_ref().map_or("", |told| told.to_str().unwrap()), told, "{timeout:?}");
    }
    let never =
        service_fn(|_: Request<Full<Bytes>>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let layer = SidecarLayer::new(RULES.clone()).timeout(Some(Duration::from_millis(20)));
    let address = served(layer.stream_idle_timeout(Some(Duration::from_millis(20))).layer(http_json(never))).await;
    for name in ["GetBook", "Watch"] {
        let message = if name == "Watch" { json!({"shelf": "shelves/a"}) } else { json!({"isbn": "1"}) };
        for headers in [&[][..], &[("grpc-timeout", "1m")]] {
            let answer = call(address, name, headers, std::slice::from_ref(&message)).await;
            assert_eq!(answer.status().code(), Code::DeadlineExceeded, "{name} {headers:?}");
        }
    }
}

/// A stream has no deadline unless its caller sets one; its request has.
#[tokio::test]
async fn the_request_of_a_stream_is_not_waited_for_for_ever() {
    let layer = SidecarLayer::new(RULES.clone()).timeout(Some(Duration::from_millis(20)));
    let address = served(layer.layer(http_json(Backend::answering(&[], None).gateway()))).await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/shelf.Shelf/Watch").header("content-type", "application/grpc");
    let (answer, _body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    assert_eq!(patiently(answer).await.unwrap().headers()["grpc-status"], "4");
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_behind_the_sidecar_too() {
    struct Told(Arc<Notify>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
    let rest = service_fn(move |_: Request<Full<Bytes>>| {
        let (begins, told) = (Arc::clone(&begins), Told(Arc::clone(&ends)));
        async move {
            begins.notify_one();
            std::future::pending::<()>().await;
            drop(told);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let address = served(Sidecar::new(RULES.clone(), http_json(rest))).await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/shelf.Shelf/GetBook").header("content-type", "application/grpc");
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap()), true).unwrap();
    patiently(begun.notified()).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(answer);
    patiently(ended.notified()).await;
}

#[tokio::test]
async fn metadata_is_bounded_and_checked() {
    let address = before(&Backend::answering(&[("shelf.Book", json!({}))], None)).await;
    let long = "a".repeat(9_000);
    for (header, code) in [
        (("x-long", long.as_str()), Code::ResourceExhausted),
        (("x-trace-bin", "!!!"), Code::InvalidArgument),
        (("x-text", "\u{e4}"), Code::InvalidArgument),
        (("x-fine", "a"), Code::Ok),
    ] {
        let answer = call(address, "GetBook", &[header], &[json!({"isbn": "1"})]).await;
        assert_eq!(answer.status().code(), code, "{}: {}", header.0, answer.status().message());
    }
}

#[tokio::test]
async fn what_is_no_grpc_over_http_2_is_refused_in_words() {
    let address = before(&Backend::answering(&[], None)).await;
    for (request, status, word) in [
        ("GET /v1/books/1 HTTP/1.1", "415 Unsupported Media Type", "takes gRPC"),
        (
            "POST /shelf.Shelf/GetBook HTTP/1.1\r\ncontent-type: application/grpc-web",
            "415 Unsupported Media Type",
            "takes gRPC",
        ),
        (
            "POST /shelf.Shelf/GetBook HTTP/1.1\r\ncontent-type: application/grpc",
            "505 HTTP Version Not Supported",
            "HTTP/2",
        ),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request}\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        patiently(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.contains(word), "{request}: {answer}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_as_good_as_a_port() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("sidecar-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let backend = Backend::answering(&[("shelf.Book", json!({"title": "Dune"}))], None);
    let sidecar = Sidecar::new(RULES.clone(), http_json(backend.gateway()));
    let peers = service_fn(move |request: Request<RequestBody>| {
        assert_eq!(request.extensions().get(), Some(&Peer(None)));
        sidecar.clone().call(request)
    });
    tokio::spawn(serve(tokio::net::UnixListener::bind(&path).unwrap(), peers, ServeOptions::default()));
    let body = frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap());
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let answer = send(stream, "/shelf.Shelf/GetBook", &[], body).await;
    assert_eq!((answer.status().code(), answer.messages("GetBook")), (Code::Ok, vec![json!({"title": "Dune"})]));
    std::fs::remove_file(&path).unwrap();
}
