//! Methods that stream their requests, called as REST: each element of one body is a message.

use std::{
    convert::Infallible,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::{
    isolation::{Backend as Server, patiently, served},
    shelf::{self, Inner, POOL, RULES, http_rule, method, rules_with},
};
use bytes::{Buf, BufMut, Bytes};
use futures_util::stream;
use grpc_transcoding::{
    client::BackendLimits,
    protojson::ReadOptions,
    server::{Gateway, GatewayLayer, Limits},
};
use http::{Method, Request, Response, request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, channel};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

const NDJSON: &str = "application/x-ndjson";

/// A codec for messages as they are encoded.
#[derive(Clone)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// What the server gets of a call: messages, and then null at the end of the stream, or an
/// error if it broke off.
type Seen = mpsc::UnboundedReceiver<Result<Value, Code>>;

struct See {
    sender: mpsc::UnboundedSender<Result<Value, Code>>,
    ended: bool,
}

impl Drop for See {
    /// A call that is reset is not asked for more.
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.sender.send(Err(Code::Cancelled));
        }
    }
}

async fn next(messages: &mut Streaming<Bytes>, name: &str, see: &mut See) -> Option<Result<Value, Status>> {
    let json = |message: Bytes| serde_json::from_str(&method(name).input().to_json(&message).unwrap()).unwrap();
    let next = messages.message().await.map(|message| message.map(json));
    see.ended = !matches!(next, Ok(Some(_)));
    let _ = see.sender.send(match &next {
        Ok(message) => Ok(message.clone().unwrap_or_default()),
        Err(status) => Err(status.code()),
    });
    next.transpose()
}

/// A server made with tonic. `Chat` sends each book back, and fails at the title `fail`;
/// `AddBooks` gives the titles in the end, or as soon as one is `enough`.
fn tonic_server(sender: mpsc::UnboundedSender<Result<Value, Code>>) -> Inner {
    BoxCloneSyncService::new(service_fn(move |call: Request<Body>| {
        let sender = sender.clone();
        let see = move || See { sender: sender.clone(), ended: false };
        async move {
            let mut server = tonic::server::Grpc::new(Encoded);
            let chat = call.uri().path() == "/shelf.Shelf/Chat";
            let response: Response<Body> = if chat {
                let echo = service_fn(move |call: tonic::Request<Streaming<Bytes>>| {
                    let books = stream::unfold((call.into_inner(), see()), |(mut messages, mut see)| async move {
                        let book = match next(&mut messages, "Chat", &mut see).await? {
                            Ok(book) if book["title"] == "fail" => Err(Status::aborted("failed as asked")),
                            Ok(book) => Ok(method("Chat").output().from_json(book.to_string()).unwrap().into()),
                            Err(status) => Err(status),
                        };
                        Some((book, (messages, see)))
                    });
                    std::future::ready(Ok::<_, Status>(tonic::Response::new(books)))
                });
                server.streaming(echo, call).await
            } else {
                let add = service_fn(move |call: tonic::Request<Streaming<Bytes>>| {
                    let mut see = see();
                    async move {
                        let (mut messages, mut titles) = (call.into_inner(), Vec::new());
                        while let Some(message) = next(&mut messages, "AddBooks", &mut see).await {
                            let title = message?["book"]["title"].clone();
                            let enough = title == "enough";
                            titles.push(title.as_str().unwrap_or_default().to_owned());
                            if enough {
                                break;
                            }
                        }
                        let titles = json!({"titles": titles}).to_string();
                        Ok::<_, Status>(tonic::Response::new(
                            method("AddBooks").output().from_json(titles).unwrap().into(),
                        ))
                    }
                });
                server.client_streaming(add, call).await
            };
            Ok::<_, Infallible>(response)
        }
    }))
}

/// A gateway in front of such a server, all of it over sockets.
async fn gateway(settings: impl Fn(GatewayLayer) -> GatewayLayer, limits: Limits) -> (SocketAddr, Seen) {
    let (see, seen) = mpsc::unbounded_channel();
    let server = Server::start(None, tonic_server(see)).await;
    let layer = settings(GatewayLayer::new(RULES.clone()).unwrap());
    (served(layer.layer(server.grpc(BackendLimits::default())), limits).await, seen)
}

type Sender = channel::Sender<Bytes, std::io::Error>;

/// Begins a request whose body is sent piece by piece.
fn begin(
    address: SocketAddr,
    h2: bool,
    request: request::Builder,
    path: &str,
) -> (Sender, JoinHandle<Response<Incoming>>) {
    let (sender, body) = channel::Channel::new(1);
    (sender, send(address, h2, request, path, body))
}

fn send<B>(
    address: SocketAddr,
    h2: bool,
    request: request::Builder,
    path: &str,
    body: B,
) -> JoinHandle<Response<Incoming>>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let client: Client<_, B> = Client::builder(TokioExecutor::new()).http2_only(h2).build_http();
    let request = request.method(Method::POST).uri(format!("http://{address}{path}")).body(body).unwrap();
    tokio::spawn(async move { patiently(client.request(request)).await.unwrap() })
}

fn lines() -> request::Builder {
    Request::builder().header("content-type", NDJSON).header("accept", NDJSON)
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(patiently(response.into_body().collect()).await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn piece(response: &mut Response<Incoming>) -> String {
    let frame = patiently(response.body_mut().frame()).await.expect("has more").unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

fn gzip(text: &[u8]) -> Bytes {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap().into()
}

/// A body in such pieces, however short.
fn pieces(
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin {
    StreamBody::new(stream::iter(pieces.map(|piece| Ok(Frame::data(piece)))))
}

/// The same bytes, whole, in two pieces at each place, and each on its own.
fn cuts(bytes: &Bytes) -> Vec<Vec<Bytes>> {
    let mut cuts: Vec<_> = (0..=bytes.len()).map(|at| vec![bytes.slice(..at), bytes.slice(at..)]).collect();
    cuts.push(bytes.chunks(1).map(Bytes::copy_from_slice).collect());
    cuts
}

#[tokio::test]
async fn each_element_is_a_message_however_the_body_is_cut() {
    const ADD: &str = "/v1/shelves/a/books:add?note=n&tags=x&tags=y";
    let rest = |book: Value| json!({"shelf": "shelves/a", "book": book, "note": "n", "tags": ["x", "y"]});
    let (a, b) = (json!({"title": "ü]}\"", "author": {"givenName": "{"}}), json!({"pages": "7"}));
    let both = vec![rest(a.clone()), rest(b.clone())];
    for (kind, path, body, messages) in [
        (NDJSON, ADD, format!("{a}\n{b}\n"), both.clone()),
        (NDJSON, ADD, format!("\r\n{a}\r\n\r\n{b}"), both.clone()),
        ("application/jsonl; charset=utf-8", ADD, format!("{a}\n{b}\n"), both.clone()),
        ("application/json-seq", ADD, format!("\u{1e}{a}\n\u{1e}{b}\n"), both.clone()),
        ("application/json", ADD, format!("[{a},{b}]"), both.clone()),
        ("Application/JSON", ADD, format!(" [\n{a:#} ,\n{b:#} ]\n"), both.clone()),
        ("application/vnd.api+json", ADD, format!("{a}{b}"), both.clone()),
        // An element is the whole message.
        (
            NDJSON,
            "/v1/books:add",
            r#"{"shelf":"s","book":{"title":"t"}}{}"#.to_owned(),
            vec![json!({"shelf": "s", "book": {"title": "t"}}), json!({})],
        ),
        // The field is a list: a line is one, and so is each element of an array.
        (
            NDJSON,
            "/v1/tags:add",
            "[\"a\"]\n[]\n[\"b\",\"c\"]".to_owned(),
            vec![json!({"tags": ["a"]}), json!({}), json!({"tags": ["b", "c"]})],
        ),
        (
            "application/json",
            "/v1/tags:add?shelf=s",
            "[[\"a\"]]".to_owned(),
            vec![json!({"tags": ["a"], "shelf": "s"})],
        ),
        // No element is no message.
        (NDJSON, ADD, String::new(), vec![]),
        (NDJSON, ADD, " \n".to_owned(), vec![]),
        ("application/json", ADD, "[ ]".to_owned(), vec![]),
    ] {
        for times in 0..=1 {
            let bytes = (0..times).fold(Bytes::from(body.clone()), |bytes, _| gzip(&bytes));
            let coding = vec!["gzip"; times];
            for cut in cuts(&bytes) {
                let case = format!("{kind} {path} {body} {times} {}", cut.first().map_or(0, Bytes::len));
                let backend = shelf::Backend::answering(&[("shelf.Titles", json!({"titles": ["t"]}))], None);
                let request =
                    Request::post(path).header("content-type", kind).header("content-encoding", coding.join(","));
                let response = backend.gateway().oneshot(request.body(pieces(cut.into_iter())).unwrap()).await.unwrap();
                let (head, body) = response.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                assert_eq!((head.status.as_u16(), &body[..]), (200, &br#"{"titles":["t"]}"#[..]), "{case}: {body:?}");
                assert_eq!(head.headers["content-type"], "application/json; charset=UTF-8", "{case}");
                assert_eq!(backend.received("AddBooks"), messages, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn messages_flow_in_both_directions_at_once() {
    for h2 in [false, true] {
        let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
        let (mut sender, response) = begin(address, h2, lines(), "/v1/chat");
        // A message goes on before the next has come whole.
        sender.send_data("{\"title\":\"a\"}\n{\"ti".into()).await.unwrap();
        assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({"title": "a"}))));
        let mut response = response.await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (http::StatusCode::OK, &http::HeaderValue::from_static("application/x-ndjson; charset=UTF-8"))
        );
        assert_eq!(piece(&mut response).await, "{\"title\":\"a\"}\n");
        for title in ["b", "c"] {
            let rest = if title == "b" { "tle\":\"b\"}".to_owned() } else { format!("\n{{\"title\":\"{title}\"}}") };
            sender.send_data(rest.into()).await.unwrap();
            assert_eq!(piece(&mut response).await, format!("{{\"title\":\"{title}\"}}\n"), "{h2}");
            assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({"title": title}))));
        }
        drop(sender);
        assert_eq!(patiently(seen.recv()).await, Some(Ok(Value::Null)));
        assert_eq!(text(response).await, "");
    }
}

/// The first of two requests on one connection has its response before it has come whole.
#[tokio::test]
async fn a_connection_goes_on_after_a_stream_that_was_given_up() {
    let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
    for (rest, goes_on) in [("2\r\n{}\r\n0\r\n\r\n", true), ("2\r\n{}\r\n", false)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST /v1/chat HTTP/1.1\r\nhost: a\r\ncontent-type: {NDJSON}\r\naccept: {NDJSON}\r\n");
        let first = "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n";
        stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
        let mut read = until(&mut stream, "{}\n\r\n").await;
        assert!(read.starts_with("HTTP/1.1 200") && !read.contains("connection: close"), "{read}");
        // This is no message, and so the last element is an error.
        stream.write_all(format!("2\r\n{{]\r\n{rest}").as_bytes()).await.unwrap();
        read = until(&mut stream, "0\r\n\r\n").await;
        assert!(read.contains("\"code\":400"), "{read}");
        let next = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let mut answer = String::new();
        let ended = match next {
            Ok(()) => patiently(stream.read_to_string(&mut answer)).await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!((ended.is_ok() && answer.starts_with("HTTP/1.1 404")), goes_on, "{ended:?} {answer}");
        while patiently(seen.recv()).await.unwrap().is_ok() {}
    }
}

/// What comes until it ends so.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut piece = [0; 1024];
        let len = patiently(stream.read(&mut piece)).await.unwrap();
        assert!(len > 0, "it ended after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..len]);
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_stream_has_a_message_as_its_response() {
    for h2 in [false, true] {
        let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
        let (mut sender, response) = begin(address, h2, lines(), "/v1/shelves/a/books:add");
        for title in ["a", "b"] {
            sender.send_data(format!("{{\"title\":\"{title}\"}}\n").into()).await.unwrap();
            let message = json!({"shelf": "shelves/a", "book": {"title": title}});
            assert_eq!(patiently(seen.recv()).await, Some(Ok(message)));
        }
        assert!(!response.is_finished());
        drop(sender);
        assert_eq!(text(response.await.unwrap()).await, r#"{"titles":["a","b"]}"#);
    }
}

/// The error that JSON holds.
fn error(text: &str) -> (u64, String, String) {
    let json: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let part = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
    (json["error"]["code"].as_u64().unwrap_or_default(), part("status"), part("message"))
}

#[tokio::test]
async fn a_fault_before_the_response_is_an_error_with_the_place_of_its_element() {
    let settings = |layer: GatewayLayer| {
        layer.max_message_size(1000).read_options(ReadOptions::default().with_ignore_unknown(true))
    };
    let (address, mut seen) = gateway(settings, Limits::default()).await;
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    for (kind, body, problem, place) in [
        (
            NDJSON,
            "{\"title\":\"a\"}\n{\"title\": 1}\n".into(),
            "element 2: Invalid JSON payload received. book.title: ",
            "(line 2, column 11)",
        ),
        (
            "application/json",
            "[{\"title\":\"ü\"}, {\"title\":\n 1}]".into(),
            "element 2: Invalid JSON payload received. book.title: ",
            "(line 2, column 2)",
        ),
        ("application/json", "[{\"title\":\"ü\"}, {\"title\":1}]".into(), "element 2: ", "(line 1, column 26)"),
        (
            "application/json",
            "[{} {}]".into(),
            "element 2: the stream is not JSON: no comma between two elements",
            "(line 1, column 5)",
        ),
        (
            "application/json",
            "[{},]".into(),
            "element 2: the stream is not JSON: a comma before the end of the array",
            "(line 1, column 5)",
        ),
        ("application/json", "[{}\n".into(), "element 2: the stream broke off in the middle", "(line 2, column 1)"),
        (
            "application/json",
            "[{}] {}".into(),
            "element 2: the stream is not JSON: text after the array",
            "(line 1, column 6)",
        ),
        (NDJSON, "{}\n{\"title\":".into(), "element 2: the stream broke off in the middle", "(line 2, column 1)"),
        (NDJSON, "{}\n{}],{}".into(), "element 3: Invalid JSON payload received. ", "(line 2, column 3)"),
        (NDJSON, "{}\n{]".into(), "element 2: Invalid JSON payload received. ", "(line 2, column 2)"),
        (NDJSON, "{}\n[]".into(), "element 2: Invalid JSON payload received. ", "(line 2, column 1)"),
        (NDJSON, format!("{{}}\n{}", deep(300)), "element 2: Invalid JSON payload received. ", "(line 2, column 1"),
        (
            NDJSON,
            format!("{{}}\n{}", "[".repeat(2_000)),
            "element 2: a message of the stream is larger than the limit of 1000 bytes",
            "(line 2, column 1)",
        ),
        (
            NDJSON,
            format!("{{}}\n\"{}\"", "x".repeat(1_000)),
            "element 2: a message of the stream is larger than the limit of 1000 bytes",
            "(line 2, column 1)",
        ),
    ] {
        for h2 in [false, true] {
            let request = Request::builder().header("content-type", kind);
            let response =
                send(address, h2, request, "/v1/shelves/a/books:add", Full::from(body.clone())).await.unwrap();
            let status = response.status().as_u16();
            let (code, name, message) = error(&text(response).await);
            assert_eq!((status, code, &*name), (400, 400, "INVALID_ARGUMENT"), "{body}: {message}");
            assert!(message.starts_with(problem) && message.contains(place), "{body}: {message}");
            // What came before it was passed on, and then the call was reset.
            let mut got = patiently(seen.recv()).await.unwrap();
            while got.is_ok() {
                assert_ne!(got, Ok(Value::Null), "{body}");
                got = patiently(seen.recv()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_fault_within_the_response_is_its_last_element() {
    let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
    for (accept, first, last) in [
        (NDJSON, "{\"title\":\"a\"}\n", ("", "\n")),
        ("application/json", "[{\"title\":\"a\"}", (",\n", "]")),
        ("text/event-stream", "data: {\"title\":\"a\"}\n\n", ("data: ", "\n\n")),
    ] {
        for h2 in [false, true] {
            let request = Request::builder().header("content-type", NDJSON).header("accept", accept);
            let (mut sender, response) = begin(address, h2, request, "/v1/chat");
            sender.send_data("{\"title\":\"a\"}\n".into()).await.unwrap();
            let mut response = response.await.unwrap();
            assert_eq!(piece(&mut response).await, first);
            assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({"title": "a"}))));
            sender.send_data("{\"title\":}\n".into()).await.unwrap();
            let rest = text(response).await;
            let problem = rest.strip_prefix(last.0).and_then(|rest| rest.strip_suffix(last.1));
            let (code, name, message) = error(problem.unwrap_or_else(|| panic!("{rest}")));
            assert_eq!((code, &*name), (400, "INVALID_ARGUMENT"));
            assert!(message.starts_with("element 2: Invalid JSON payload received. title: "), "{message}");
            assert!(patiently(seen.recv()).await.unwrap().is_err());
        }
    }
    // The server's own failure as well.
    let (mut sender, response) = begin(address, true, lines(), "/v1/chat");
    sender.send_data("{\"title\":\"a\"}\n{\"title\":\"fail\"}\n".into()).await.unwrap();
    let failed = r#"{"error":{"code":409,"message":"failed as asked","status":"ABORTED"}}"#;
    assert_eq!(text(response.await.unwrap()).await, format!("{{\"title\":\"a\"}}\n{failed}\n"));
}

#[tokio::test]
async fn what_cannot_be_a_stream_of_requests_is_refused() {
    let backend = shelf::Backend::answering(&[], None);
    let call = |verb: &str, path: &str, kind: &str, body: &'static str| {
        let request = Request::builder().method(verb).uri(path).header("content-type", kind);
        let (backend, request) = (backend.clone(), request.body(Full::from(body)).unwrap());
        async move { shelf::rest(&backend, request).await }
    };
    let long = format!("/v1/shelves/a/books:add?note={}", "n".repeat(4 * 1024));
    for (path, kind, body, http, problem) in [
        (
            "/v1/chat",
            "text/plain",
            "{}",
            415,
            "the content type is `text/plain`; send the messages one a line as application/x-ndjson",
        ),
        ("/v1/shelves/a/books:add?nope=1", NDJSON, "{}", 400, "unknown query parameter `nope`"),
        // The field of the body is in every element.
        (
            "/v1/shelves/a/books:add?book.title=a",
            NDJSON,
            "",
            400,
            "query parameter `book.title` is a field of the body",
        ),
        (&long, NDJSON, "", 400, "path and query add more than 4096 bytes to each message"),
        // One message is no stream of them.
        ("/v1/rename/1", NDJSON, "[]", 415, "the content type is `application/x-ndjson`; send application/json"),
    ] {
        let (status, _, body) = call("POST", path, kind, body).await;
        assert_eq!(status, http, "{path}: {body}");
        assert!(error(&body).2.starts_with(problem), "{path}: {body}");
    }
    assert!(backend.calls.lock().unwrap().is_empty());
    // Without a body there is nothing to take them from.
    let rules = rules_with(&http_rule("AddBooks", &[(shelf::GET, "/v1/books:add")])).unwrap();
    let layer = GatewayLayer::new(rules.clone()).unwrap();
    let problem = "is never served: the method streams its requests, and the rule has no body for them";
    let warnings: Vec<_> = layer.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [format!("shelf.Shelf/AddBooks: GET /v1/books:add: {problem}")]);
    assert_eq!(rules.unused(), layer.warnings());
    let response = layer.layer(backend.service()).oneshot(shelf::get("/v1/books:add")).await.unwrap();
    assert_eq!(response.status(), 501);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem =
        "shelf.Shelf/AddBooks streams its requests, and GET /v1/books:add has no body for them; call it over gRPC";
    assert_eq!(error(std::str::from_utf8(&body).unwrap()).2, problem);
    // One request comes before a stream of them at the same path, wherever it is declared.
    let rules = [
        http_rule("Chat", &[(shelf::POST, "/v1/same"), (shelf::BODY, "*")]),
        http_rule("NoRule", &[(shelf::POST, "/v1/same"), (shelf::BODY, "*")]),
    ];
    let rules = rules_with(&rules.concat()).unwrap();
    let backend = shelf::Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::post("/v1/same").body(Full::<Bytes>::from("{\"isbn\":\"1\"}")).unwrap();
    let response = Gateway::new(rules, backend.service()).unwrap().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(backend.received("NoRule"), [json!({"isbn": "1"})]);
}

#[tokio::test]
async fn bodies_without_an_end_are_bounded() {
    let settings = |layer: GatewayLayer| layer.stream_idle_timeout(Some(Duration::from_millis(300)));
    let (address, mut seen) = gateway(settings, Limits::default()).await;
    let endless = |first: &'static str, piece: Vec<u8>| {
        let piece = Bytes::from(piece);
        pieces(std::iter::once(Bytes::from(first)).chain(std::iter::repeat(piece)))
    };
    for h2 in [false, true] {
        for (first, piece, http, problem) in [
            (
                "{}\n{\"title\":\"",
                vec![b'x'; 16 * 1024],
                400,
                "element 2: a message of the stream is larger than the limit of 4194304 bytes",
            ),
            (
                "{}\n[",
                vec![b'['; 16 * 1024],
                400,
                "element 2: a message of the stream is larger than the limit of 4194304 bytes",
            ),
            ("{}\n", vec![b' '; 16 * 1024], 504, "nothing came from the server for 300ms"),
        ] {
            let response = send(address, h2, lines(), "/v1/shelves/a/books:add", endless(first, piece)).await.unwrap();
            let status = response.status().as_u16();
            let (.., message) = error(&text(response).await);
            assert_eq!((status, message.split(" (line").next().unwrap()), (http, problem), "{h2} {first}");
            assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({"shelf": "shelves/a", "book": {}}))));
            assert!(patiently(seen.recv()).await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn an_element_that_has_begun_must_come_in_time_and_a_stream_may_last() {
    const TIME: Duration = Duration::from_millis(200);
    let limits = Limits::default().body_time(TIME).answer_time(TIME);
    let (address, mut seen) = gateway(|layer| layer.timeout(Some(TIME)), limits).await;
    for h2 in [false, true] {
        let (mut sender, response) = begin(address, h2, lines(), "/v1/shelves/a/books:add");
        sender.send_data("{}\n".into()).await.unwrap();
        assert!(patiently(seen.recv()).await.unwrap().is_ok());
        // Longer than a body may take, and a response: what lies between two elements counts
        // for neither.
        tokio::time::sleep(3 * TIME).await;
        sender.send_data("{}\n".into()).await.unwrap();
        assert!(patiently(seen.recv()).await.unwrap().is_ok());
        // A byte now and then does not extend it.
        let drip = tokio::spawn(async move {
            for byte in std::iter::once("\"").chain(std::iter::repeat("x")) {
                if sender.send_data(byte.into()).await.is_err() {
                    break;
                }
                tokio::time::sleep(TIME / 10).await;
            }
        });
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let (.., message) = error(&text(response).await);
        assert_eq!((status, &*message), (504, "element 3 has begun and did not come whole within 200ms"), "{h2}");
        assert!(patiently(seen.recv()).await.unwrap().is_err());
        drip.abort();
    }
}

#[tokio::test]
async fn what_a_client_asks_for_as_its_deadline_holds_for_a_stream() {
    let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
    let (mut sender, response) = begin(address, true, lines().header("grpc-timeout", "300m"), "/v1/chat");
    sender.send_data("{}\n".into()).await.unwrap();
    let text = text(response.await.unwrap()).await;
    let (first, last) = text.split_once('\n').unwrap();
    assert_eq!(first, "{}");
    assert_eq!(error(last).1, "DEADLINE_EXCEEDED", "{text}");
    assert!(patiently(seen.recv()).await.unwrap().is_ok());
    assert!(patiently(seen.recv()).await.unwrap().is_err());
}

#[tokio::test]
async fn elements_that_are_incomplete_take_room_and_others_do_not() {
    let (address, mut seen) = gateway(|layer| layer.max_body_memory(0), Limits::default()).await;
    for h2 in [false, true] {
        let many = pieces(std::iter::repeat_n(Bytes::from("{}\n".repeat(10_000)), 10));
        let response = send(address, h2, lines(), "/v1/books:add", many).await.unwrap();
        assert_eq!(response.status(), 200, "{}", text(response).await);
        let large = pieces(
            std::iter::once(Bytes::from("{\"note\":\""))
                .chain(std::iter::repeat_n(Bytes::from("x".repeat(16 * 1024)), 4)),
        );
        let response = send(address, h2, lines(), "/v1/books:add", large).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &http::HeaderValue::from_static("1"))
        );
        while patiently(seen.recv()).await.unwrap().is_ok() {}
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_call() {
    let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
    for path in ["/v1/chat", "/v1/books:add"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n");
        stream.write_all(format!("{head}3\r\n{{}}\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({}))), "{path}");
        drop(stream);
        assert!(patiently(seen.recv()).await.unwrap().is_err(), "{path}");

        let (mut sender, response) = begin(address, true, lines(), path);
        sender.send_data("{}\n".into()).await.unwrap();
        assert_eq!(patiently(seen.recv()).await, Some(Ok(json!({}))), "{path}");
        sender.abort(std::io::Error::other("the client is gone"));
        assert!(patiently(seen.recv()).await.unwrap().is_err(), "{path}");
        response.abort();
    }
}

/// Reads until the other side ends the connection.
async fn heard(mut stream: TcpStream) -> String {
    let mut heard = Vec::new();
    patiently(stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_response_that_ends_before_the_request_arrives_whole() {
    let (address, mut seen) = gateway(|layer| layer, Limits::default()).await;
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let more = chunk(&"{}\n".repeat(300_000));
    for (path, elements, status, end) in [
        // The server has enough.
        ("/v1/books:add", "{\"book\":{\"title\":\"enough\"}}\n", "200 OK", "{\"titles\":[\"enough\"]}"),
        // The server fails, and the stream itself is at fault.
        ("/v1/chat", "{}\n{\"title\":\"fail\"}\n", "200 OK", "\"status\":\"ABORTED\"}}]\r\n0\r\n\r\n"),
        ("/v1/chat", "{}\n", "200 OK", "\"status\":\"INVALID_ARGUMENT\"}}]\r\n0\r\n\r\n"),
        ("/v1/books:add", "{\"shelf\":1}\n", "400 Bad Request", "\"status\":\"INVALID_ARGUMENT\"}}"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n");
        stream.write_all(format!("{head}{}", chunk(elements)).as_bytes()).await.unwrap();
        let mut begun = [0; 12];
        if end.contains("INVALID_ARGUMENT") && path == "/v1/chat" {
            // The response begins before the fault.
            patiently(stream.read_exact(&mut begun)).await.unwrap();
            stream.write_all(chunk("{\"title\":1}\n").as_bytes()).await.unwrap();
        }
        // More than is read for the sake of the connection; the rest of it never comes.
        let _ = patiently(stream.write_all(more.as_bytes())).await;
        let heard = String::from_utf8_lossy(&begun).trim_matches('\0').to_owned() + &heard(stream).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path} {elements}: {heard}");
        assert!(heard.ends_with(end), "{path} {elements}: {heard}");
        while seen.try_recv().is_ok() {}
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_back_its_client_and_no_other() {
    const PIECE: usize = 16 * 1024;
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    // The answer to a stream comes when it is released, and nothing is read until then.
    let service = service_fn(move |call: Request<Body>| {
        let held = Arc::clone(&held);
        async move {
            let add = call.uri().path() == "/shelf.Shelf/AddBooks";
            if add {
                held.notified().await;
            }
            drop(call);
            let name = if add { "shelf.Titles" } else { "shelf.Book" };
            let message = shelf::frame(&POOL.message(name).unwrap().from_json("{}").unwrap());
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = StreamBody::new(stream::iter([
                Ok::<_, Infallible>(Frame::data(message)),
                Ok(Frame::trailers(trailers)),
            ]));
            Ok(Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap())
        }
    });
    let server = Server::start(None, BoxCloneSyncService::new(service)).await;
    let gateway = GatewayLayer::new(RULES.clone()).unwrap().layer(server.grpc(BackendLimits::default()));
    let address = served(gateway, Limits::default()).await;
    for h2 in [false, true] {
        let taken = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&taken);
        let element = format!("{{\"note\":\"{}\"}}\n", "x".repeat(PIECE - 12));
        let body = pieces(std::iter::repeat_with(move || {
            count.fetch_add(1, SeqCst);
            Bytes::from(element.clone())
        }));
        let response = send(address, h2, lines(), "/v1/books:add", body);
        // As long as it takes the client to fill every window on the way, others are served.
        let mut before = 0;
        let mut still = 0;
        while still < 20 {
            let other = Request::builder().header("content-type", "application/json");
            let other = send(address, h2, other, "/v1/rename/1", Full::<Bytes>::from("[]")).await.unwrap();
            assert_eq!(other.status(), 200);
            let now = taken.load(SeqCst);
            still = if now == before && now > 0 { still + 1 } else { 0 };
            before = now;
            // Windows, and the buffers of the sockets.
            assert!(now * PIECE < 16 * 1024 * 1024, "{now}");
        }
        release.notify_one();
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), &*text(response).await), (200, "{}"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either() {
    const PIECE: usize = 16 * 1024;
    let (address, _seen) = gateway(|layer| layer, Limits::default()).await;
    for h2 in [false, true] {
        let taken = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&taken);
        let element = format!("{{\"title\":\"{}\"}}\n", "x".repeat(PIECE - 13));
        let body = pieces(std::iter::repeat_with(move || {
            count.fetch_add(1, SeqCst);
            Bytes::from(element.clone())
        }));
        let unread = send(address, h2, lines(), "/v1/chat", body).await.unwrap();
        assert_eq!(unread.status(), 200);
        let (mut before, mut still) = (0, 0);
        while still < 20 {
            let other = send(address, h2, lines(), "/v1/books:add", Full::<Bytes>::from("{}")).await.unwrap();
            assert_eq!((other.status().as_u16(), &*text(other).await), (200, r#"{"titles":[""]}"#));
            let now = taken.load(SeqCst);
            still = if now == before { still + 1 } else { 0 };
            before = now;
            // Windows and buffers of sockets, in both directions.
            assert!(now * PIECE < 32 * 1024 * 1024, "{now}");
        }
        // When it hangs up, what is stuck on the way to the server is on nobody else's way.
        drop(unread);
        for _ in 0..20 {
            let other = send(address, h2, lines(), "/v1/books:add", Full::<Bytes>::from("{}")).await.unwrap();
            assert_eq!(text(other).await, r#"{"titles":[""]}"#);
        }
    }
}

#[tokio::test]
async fn a_packed_stream_is_bounded_by_its_elements_and_must_be_whole() {
    let (address, mut seen) = gateway(|layer| layer.max_message_size(1000), Limits::default()).await;
    let large = |size: usize| gzip(format!("{{}}\n{{\"note\":\"{}\"}}", "x".repeat(size)).as_bytes());
    // Larger than the limit as a whole, and its response is not.
    let whole = gzip(&b"{}\n".repeat(400));
    let too_large = "element 2: a message of the stream is larger than the limit of 1000 bytes (line 2, column 1)";
    for (body, http, problem) in [
        (whole.clone(), 200, ""),
        (large(900), 200, ""),
        (large(1_000), 400, too_large),
        (large(10_000_000), 400, too_large),
        (whole.slice(..whole.len() - 1), 400, "the body says that it is gzip, and is not"),
        (Bytes::from("{}\n"), 400, "the body says that it is gzip, and is not"),
    ] {
        let request = lines().header("content-encoding", "gzip");
        let response = send(address, true, request, "/v1/books:add", Full::from(body)).await.unwrap();
        let status = response.status().as_u16();
        let text = text(response).await;
        assert_eq!((status, &*if http == 200 { String::new() } else { error(&text).2 }), (http, problem));
        while patiently(seen.recv()).await.unwrap().is_ok_and(|message| message != Value::Null) {}
    }
    let request = lines().header("content-encoding", "gzip, gzip");
    let response = send(address, true, request, "/v1/books:add", Full::from(gzip(&whole))).await.unwrap();
    assert_eq!(response.status(), 415);
    assert!(error(&text(response).await).2.contains("send gzip once"));
}

/// What can be chosen of a gateway, and what a request selects of a response, hold for streams
/// of requests as for any other.
#[tokio::test]
async fn the_choices_of_a_gateway_hold_for_streams_of_requests() {
    let book = ("shelf.Book", json!({"title": "t", "pages": "1"}));
    let late = Status::aborted("late");
    for (status, code) in [(None, 200), (Some(late), 409)] {
        let messages = if code == 200 { std::slice::from_ref(&book) } else { &[] };
        let backend = shelf::Backend::answering(messages, status);
        let layer = GatewayLayer::new(RULES.clone()).unwrap().ignore_unknown_query(true).grpc_metadata_prefix(true);
        let request = Request::post("/v1/chat?fields=title&utm_source=x")
            .header("content-type", NDJSON)
            .header("grpc-metadata-tenant", "a")
            .body(Full::from("{\"title\":\"a\"}\n{\"title\":\"b\"}\n"))
            .unwrap();
        let response = layer.layer(backend.service()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), code);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(code != 200 || body == r#"[{"title":"t"}]"#, "{body:?}");
        assert_eq!(backend.received("Chat"), [json!({"title": "a"}), json!({"title": "b"})]);
        assert_eq!(backend.calls.lock().unwrap()[0].1["tenant"], "a");
    }
    let plain = shelf::Backend::answering(&[book], None);
    for (query, problem) in [("x=1", "unknown query parameter `x`"), ("fields=isbn", "shelf.Book has no field `isbn`")]
    {
        let request = Request::post(format!("/v1/chat?{query}")).header("content-type", NDJSON);
        let (status, _, body) = shelf::rest(&plain, request.body(Full::from("{}")).unwrap()).await;
        assert!(status == 400 && body.contains(problem), "{query}: {body}");
    }
}
