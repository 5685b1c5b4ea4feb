//! One caller harms nobody else: what a client, or the server behind a gateway, can do is
//! bounded, and a well-behaved client beside it is served.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::shelf::{self, Inner, POOL, RULES, frame, method};
use bytes::Bytes;
use grpc_transcoding::{
    client::{BackendLimits, Grpc, Origin, connector},
    rpc::{Broken, Lasting},
    server::{Gateway, GatewayLayer, Limits, RequestBody, ServeOptions, serve},
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Barrier, Notify, watch},
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

/// Far longer than anything here takes: what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

/// A gRPC server over HTTP/2 with hyper's defaults, which are tonic's.
pub(crate) struct Backend {
    origin: Origin,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) async fn start(streams: Option<u32>, service: Inner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                tokio::spawn(speak(stream, streams, service.clone()));
            }
        });
        Self { origin, connections }
    }

    pub(crate) fn grpc(&self, limits: BackendLimits) -> Grpc {
        Grpc::over(connector(&self.origin).unwrap(), self.origin.clone()).with_limits(limits)
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// Speaks HTTP/2 on a connection until it ends.
async fn speak(stream: TcpStream, streams: Option<u32>, service: Inner) {
    let mut server = auto::Builder::new(TokioExecutor::new()).http2_only();
    if let Some(streams) = streams {
        server.http2().max_concurrent_streams(streams);
    }
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        service.clone().oneshot(request.map(Body::new))
    });
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn grpc_service<F, R>(answer: F) -> Inner
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    BoxCloneSyncService::new(service_fn(move |call| {
        let answer = answer(call);
        async move { Ok::<_, Infallible>(answer.await) }
    }))
}

/// A book, as the whole answer of a unary call.
fn book() -> Response<Body> {
    let message = frame(&POOL.message("shelf.Book").unwrap().from_json(r#"{"title":"t"}"#).unwrap());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let pieces = vec![Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(trailers))];
    let body = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// An answer without an end: messages that are counted as they are taken.
fn flood(size: usize, taken: Arc<watch::Sender<usize>>) -> Response<Body> {
    let title = "x".repeat(size);
    let message = POOL.message("shelf.Book").unwrap().from_json(json!({"title": title}).to_string()).unwrap();
    let message = frame(&message);
    let pieces = std::iter::repeat_with(move || {
        taken.send_modify(|count| *count += 1);
        Ok::<_, Infallible>(Frame::data(message.clone()))
    });
    let body = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// An answer that has begun and gives nothing more.
fn silent() -> Response<Body> {
    let message = frame(&POOL.message("shelf.Book").unwrap().from_json("{}").unwrap());
    let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(message))]);
    let pieces = futures_util::StreamExt::chain(first, futures_util::stream::pending());
    let body = Body::new(StreamBody::new(pieces));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

fn unary() -> Request<Body> {
    let message = frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap());
    Request::post("/shelf.Shelf/GetBook")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::from(message)))
        .unwrap()
}

fn lasting() -> Request<Body> {
    let mut call = unary();
    *call.uri_mut() = "/shelf.Shelf/Watch".parse().unwrap();
    call.extensions_mut().insert(Lasting::Response);
    call
}

/// The status at the end of an answer.
async fn status(answer: Response<Body>) -> Status {
    let (head, body) = answer.into_parts();
    let trailers = body.collect().await.map(|body| body.trailers().cloned().unwrap_or_default());
    match trailers {
        Ok(trailers) => Status::from_header_map(&trailers).or(Status::from_header_map(&head.headers)).unwrap(),
        Err(status) => status,
    }
}

async fn code(grpc: Grpc, call: Request<Body>) -> Code {
    let Ok(answer) = patiently(grpc.oneshot(call)).await;
    patiently(status(answer)).await.code()
}

/// Serves on loopback.
pub(crate) async fn served<S>(service: S, limits: Limits) -> SocketAddr
where
    S: tower::Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, service, ServeOptions::default().limits(limits)));
    address
}

/// Sends a request on a connection of its own, and reads the answer.
async fn get(address: SocketAddr, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    post(address, Method::GET, path, Full::default()).await
}

async fn post(address: SocketAddr, verb: Method, path: &str, body: Full<Bytes>) -> (StatusCode, HeaderMap, Bytes) {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(verb).uri(format!("http://{address}{path}"));
    let request = request.header("content-type", "application/json").body(body).unwrap();
    let (head, body) = patiently(client.request(request)).await.unwrap().into_parts();
    (head.status, head.headers, patiently(body.collect()).await.unwrap().to_bytes())
}

/// Sends text on a connection of its own.
async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until the other side ends the connection.
async fn hear(mut stream: TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset is an end, too.
    let _ = patiently(stream.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// Reads one answer of HTTP/1.1 with a content length: its head, and its body.
async fn answer(stream: &mut TcpStream) -> (String, String) {
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(b"\r\n\r\n") {
        assert_ne!(patiently(stream.read(&mut byte)).await.unwrap(), 0, "{}", String::from_utf8_lossy(&heard));
        heard.push(byte[0]);
    }
    let head = String::from_utf8(heard).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    patiently(stream.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

const ONE_STREAM: &str = "GET /v1/shelves/a:watch HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn streams_that_nobody_reads_hold_up_no_others() {
    const STREAMS: usize = 20;
    const WINDOW: usize = 64 * 1024;
    let (taken, mut count) = watch::channel(0);
    let taken = Arc::new(taken);
    let service = grpc_service(move |call| {
        let taken = Arc::clone(&taken);
        async move {
            match call.uri().path() {
                "/shelf.Shelf/Watch" => flood(1024, taken),
                _ => book(),
            }
        }
    });
    let backend = Backend::start(None, service).await;
    let limits = BackendLimits::default().stream_window(WINDOW as u32).streams(STREAMS + 1);
    let grpc = backend.grpc(limits);
    let mut unread = Vec::new();
    for _ in 0..STREAMS {
        let Ok(answer) = patiently(grpc.clone().oneshot(lasting())).await;
        unread.push(answer.into_body());
    }
    // Each stream fills its own window, and all of them together leave room for another
    // on the same connection.
    patiently(count.wait_for(|count| *count >= STREAMS * WINDOW / 1024)).await.unwrap();
    let Ok(other) = patiently(grpc.clone().oneshot(lasting())).await;
    let mut other = other.into_body();
    let mut read = 0;
    while read < 4 * WINDOW {
        read += patiently(other.frame()).await.unwrap().unwrap().into_data().unwrap().len();
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(code(grpc, unary()).await, Code::Ok);
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn rest_clients_that_do_not_read_their_streams_hold_up_no_others() {
    let (taken, mut count) = watch::channel(0);
    let taken = Arc::new(taken);
    let service = grpc_service(move |call| {
        let taken = Arc::clone(&taken);
        async move {
            match call.uri().path() {
                "/shelf.Shelf/Watch" => flood(100 * 1024, taken),
                _ => book(),
            }
        }
    });
    let backend = Backend::start(None, service).await;
    let gateway = Gateway::new(RULES.clone(), backend.grpc(BackendLimits::default())).unwrap();
    let address = served(gateway, Limits::default()).await;
    let mut unread = Vec::new();
    for _ in 0..5 {
        unread.push(say(address, ONE_STREAM).await);
    }
    patiently(count.wait_for(|count| *count > 20)).await.unwrap();
    for _ in 0..20 {
        let (status, _, body) = get(address, "/v1/books/1").await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &br#"{"title":"t"}"#[..]));
    }
}

#[tokio::test]
async fn lasting_calls_leave_places_for_others() {
    let service = grpc_service(|call| async move {
        match call.uri().path() {
            "/shelf.Shelf/Watch" => silent(),
            _ => book(),
        }
    });
    let backend = Backend::start(None, service).await;
    let limits = BackendLimits::default().connections(2).streams(2).queue(1);
    let gateway = Gateway::new(RULES.clone(), backend.grpc(limits)).unwrap();
    let address = served(gateway, Limits::default()).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = say(address, ONE_STREAM).await;
        assert_ne!(patiently(stream.read(&mut [0; 64])).await.unwrap(), 0);
        streams.push(stream);
    }
    // One more waits for a place, and one beyond that is told to come again. Which of the
    // two it is depends on which came first.
    let mut more = [say(address, ONE_STREAM).await, say(address, ONE_STREAM).await];
    let [first, second] = &mut more;
    let (waits, refused) = tokio::select! {
        answer = answer(first) => (1, answer),
        answer = answer(second) => (0, answer),
    };
    assert!(refused.0.starts_with("http/1.1 503") && refused.0.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    assert_eq!(get(address, "/v1/books/1").await.0, StatusCode::OK);
    // A place that becomes free is given to the one that waits.
    streams.pop();
    let mut begun = [0; 12];
    patiently(more[waits].read_exact(&mut begun)).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
}

#[tokio::test]
async fn connections_are_added_where_a_server_allows_few_calls_on_each() {
    // Nobody is answered before all three have come.
    let barrier = Arc::new(Barrier::new(3));
    let service = grpc_service(move |_| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            book()
        }
    });
    let backend = Backend::start(Some(1), service).await;
    let grpc = backend.grpc(BackendLimits::default());
    let codes = tokio::join!(code(grpc.clone(), unary()), code(grpc.clone(), unary()), code(grpc, unary()));
    assert_eq!(codes, (Code::Ok, Code::Ok, Code::Ok));
    assert_eq!(backend.connections(), 3);
}

/// Passes on what a client sends once it is open, all at once, and until then counts the
/// frames that begin a call, and those that reset one.
async fn gate(listener: TcpListener, server: String, mut open: watch::Receiver<bool>, seen: watch::Sender<[usize; 2]>) {
    let (mut client, _) = listener.accept().await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut from_server, mut to_server) = server.split();
    let upwards = async {
        let (mut held, mut parsed, mut piece) = (Vec::new(), 24, vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                read = from_client.read(&mut piece) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(len) => held.extend_from_slice(&piece[..len]),
                },
                _ = open.wait_for(|open| *open) => break,
            }
            while let Some(&[_, high, low, kind, ..]) = held.get(parsed..parsed + 9) {
                parsed += 9 + usize::from(high) * 256 + usize::from(low);
                seen.send_modify(|[begun, reset]| match kind {
                    1 => *begun += 1,
                    3 => *reset += 1,
                    _ => {}
                });
            }
        }
        to_server.write_all(&held).await.unwrap();
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    tokio::select! {
        () = upwards => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// hyper's servers, and so tonic's, close a connection with more than 20 resets that came
/// before they looked at the calls.
#[tokio::test]
async fn callers_that_hang_up_fail_no_others() {
    let service = grpc_service(|call| async move {
        match call.headers().contains_key("slow") {
            true => std::future::pending().await,
            false => book(),
        }
    });
    let backend = Backend::start(None, service).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (open, opened) = watch::channel(false);
    let (seen, mut frames) = watch::channel([0, 0]);
    let server = backend.origin.to_string().trim_start_matches("http://").to_owned();
    tokio::spawn(gate(listener, server, opened, seen));
    // So many places that the connection is not replaced.
    let limits = BackendLimits::default().streams(200);
    let grpc = Grpc::over(connector(&origin).unwrap(), origin).with_limits(limits);
    let others: Vec<_> = (0..20).map(|_| tokio::spawn(code(grpc.clone(), unary()))).collect();
    let slow = (0..60).map(|_| {
        let mut call = unary();
        call.headers_mut().insert("slow", "1".parse().unwrap());
        tokio::spawn(grpc.clone().oneshot(call))
    });
    let slow: Vec<_> = slow.collect();
    patiently(frames.wait_for(|[begun, _]| *begun == 80)).await.unwrap();
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    // Some are reset at once, as a lone caller wants it.
    patiently(frames.wait_for(|[_, reset]| *reset >= 10)).await.unwrap();
    open.send_replace(true);
    for other in others {
        assert_eq!(patiently(other).await.unwrap(), Code::Ok);
    }
    assert_eq!(code(grpc, unary()).await, Code::Ok);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_connection_full_of_calls_that_nobody_waits_for_is_replaced() {
    const CALLS: usize = 40;
    let (begun, mut calls) = watch::channel(0);
    let begun = Arc::new(begun);
    let service = grpc_service(move |call| {
        let begun = Arc::clone(&begun);
        async move {
            if call.headers().contains_key("slow") {
                begun.send_modify(|count| *count += 1);
                std::future::pending().await
            }
            book()
        }
    });
    let backend = Backend::start(None, service).await;
    let grpc = backend.grpc(BackendLimits::default().connections(1).streams(CALLS));
    for round in 1..=3 {
        let slow = (0..CALLS).map(|_| {
            let mut call = unary();
            call.headers_mut().insert("slow", "1".parse().unwrap());
            tokio::spawn(grpc.clone().oneshot(call))
        });
        let slow: Vec<_> = slow.collect();
        patiently(calls.wait_for(|count| *count == round * CALLS)).await.unwrap();
        for call in slow {
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
        }
        assert_eq!(code(grpc.clone(), unary()).await, Code::Ok);
        assert_eq!(backend.connections(), round + 1);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_while_connecting_fails_no_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let grpc = Grpc::new(origin).unwrap();
    let mut calls: Vec<_> = (0..4).map(|_| tokio::spawn(code(grpc.clone(), unary()))).collect();
    let (stream, _) = patiently(listener.accept()).await.unwrap();
    // The connection is open, and its server has not spoken yet.
    let first = calls.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    tokio::spawn(speak(stream, None, grpc_service(|_| async { book() })));
    for call in calls {
        assert_eq!(patiently(call).await.unwrap(), Code::Ok);
    }
}

#[tokio::test]
async fn a_failed_attempt_to_connect_fails_those_who_wait_and_no_later_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let grpc = Grpc::new(origin).unwrap();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(grpc.clone().oneshot(unary()))).collect();
    drop(patiently(listener.accept()).await.unwrap());
    for call in calls {
        let Ok(answer) = patiently(call).await.unwrap();
        assert!(answer.extensions().get::<Broken>().is_none());
        let status = status(answer).await;
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("the request failed: "), "{status:?}");
    }
    let later = tokio::spawn(code(grpc, unary()));
    let (stream, _) = patiently(listener.accept()).await.unwrap();
    tokio::spawn(speak(stream, None, grpc_service(|_| async { book() })));
    assert_eq!(patiently(later).await.unwrap(), Code::Ok);
}

#[tokio::test]
async fn a_server_that_does_not_speak_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let limits = BackendLimits::default().connect_timeout(Duration::from_millis(50));
    let grpc = Grpc::over(connector(&origin).unwrap(), origin).with_limits(limits);
    let Ok(answer) = patiently(grpc.oneshot(unary())).await;
    let status = status(answer).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("the server did not speak HTTP/2 within 50ms"), "{status:?}");
}

/// A frame of HTTP/2.
fn h2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A server that answers the requests of its connections, one after the other, with these
/// frames; for each connection there is a list, and each ends its connection.
async fn scripted(listener: TcpListener, connections: Vec<Vec<Vec<u8>>>, requests: Arc<AtomicUsize>) {
    for answers in connections {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&h2(4, 0, 0, &[])).await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let mut answers = answers.into_iter();
        while let Ok(()) = async {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await?;
            // A request's only DATA frame, or its last, ends it.
            if head[3] == 0 && head[4] & 1 == 1 {
                requests.fetch_add(1, SeqCst);
                match answers.next() {
                    Some(answer) => stream.write_all(&answer).await?,
                    None => return Err(std::io::ErrorKind::Other.into()),
                }
                if answers.len() == 0 {
                    return Err(std::io::ErrorKind::Other.into());
                }
            }
            Ok::<_, std::io::Error>(())
        }
        .await
        {}
        // The client reads what was written before it sees the end.
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test]
async fn what_a_server_has_not_processed_is_sent_again_and_nothing_else() {
    let literal = |name: &str, value: &str| {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let ok = |stream| {
        let headers = [vec![0x88], literal("content-type", "application/grpc"), literal("grpc-status", "0")].concat();
        h2(1, 5, stream, &headers)
    };
    let reset = |stream, reason: u32| h2(3, 0, stream, &reason.to_be_bytes());
    let go_away = |last: u32, reason: u32| h2(7, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat());
    const REFUSED: u32 = 7;
    for (case, script, expected, requests) in [
        ("a refused stream", vec![vec![reset(1, REFUSED), ok(3)]], (Code::Ok, false), 2),
        ("refused twice", vec![vec![reset(1, REFUSED), reset(3, REFUSED), ok(5)]], (Code::Ok, false), 3),
        (
            "refused each time",
            vec![[1, 3, 5, 7].map(|stream| reset(stream, REFUSED)).into(), vec![ok(1)]],
            (Code::Unavailable, false),
            4,
        ),
        ("a GOAWAY below the stream", vec![vec![go_away(0, 0)], vec![ok(1)]], (Code::Ok, false), 2),
        ("a GOAWAY for too many resets", vec![vec![go_away(0, 11)], vec![ok(1)]], (Code::Ok, false), 2),
        ("a GOAWAY at the stream", vec![vec![go_away(1, 0)], vec![ok(1)]], (Code::Unavailable, true), 1),
        ("an internal error", vec![vec![reset(1, 2), ok(3)]], (Code::Unavailable, true), 1),
        ("the connection's end", vec![vec![vec![]], vec![ok(1)]], (Code::Unavailable, true), 1),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let count = Arc::<AtomicUsize>::default();
        let server = tokio::spawn(scripted(listener, script, Arc::clone(&count)));
        let Ok(answer) = patiently(Grpc::new(origin).unwrap().oneshot(unary())).await;
        let lost = answer.extensions().get::<Broken>() == Some(&Broken::Lost);
        assert_eq!((status(answer).await.code(), lost), expected, "{case}");
        assert_eq!(count.load(SeqCst), requests, "{case}");
        server.abort();
    }
}

/// Answers 404 without a look at the body.
fn not_found() -> impl tower::Service<
    Request<RequestBody>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone
+ Send {
    service_fn(|_: Request<RequestBody>| async {
        let body = Body::new(Full::new(Bytes::from_static(b"no")));
        Ok::<_, Infallible>(Response::builder().status(404).body(body).unwrap())
    })
}

#[tokio::test]
async fn an_answer_before_the_body_keeps_the_connection_or_says_that_it_does_not() {
    let gateway = Gateway::new(RULES.clone(), shelf::Backend::default().service()).unwrap();
    for (name, address) in [
        ("service", served(not_found(), Limits::default()).await),
        ("gateway", served(gateway, Limits::default()).await),
    ] {
        for (case, head, body, keeps) in [
            ("a length", "content-length: 5", "abcde", true),
            ("chunks", "transfer-encoding: chunked", "2\r\nab\r\n0\r\n\r\n", true),
            ("more than is read", "content-length: 10000000", "abcde", false),
            ("asks first", "content-length: 5\r\nexpect: 100-continue", "", false),
        ] {
            let case = format!("{name}: {case}");
            let mut stream = say(
                address,
                &format!(
                    "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
                ),
            )
            .await;
            // A packet of its own, which the server sees once it has the request.
            tokio::task::yield_now().await;
            stream.write_all(body.as_bytes()).await.unwrap();
            let (head, _) = answer(&mut stream).await;
            assert!(head.starts_with("http/1.1 404"), "{case}: {head}");
            assert_eq!(!head.contains("\r\nconnection: close\r\n"), keeps, "{case}: {head}");
            if keeps {
                stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
                assert!(answer(&mut stream).await.0.starts_with("http/1.1 404"), "{case}");
            } else {
                assert_eq!(hear(stream).await, "", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_with_408() {
    let gateway = Gateway::new(RULES.clone(), shelf::Backend::default().service()).unwrap();
    let limits = Limits::default().body_time(Duration::from_millis(100));
    let address = served(gateway, limits).await;
    let head = "POST /v1/rename/1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut stream = say(address, head).await;
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 408") && head.contains("\r\nconnection: close\r\n"), "{head}");
    assert!(body.contains("the body did not come within 100ms"), "{body}");
    assert_eq!(hear(stream).await, "");
    // Over HTTP/2 only that request ends.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        client = patiently(client.ready()).await.unwrap();
        let request = Request::post(format!("http://{address}/v1/rename/1"));
        let request = request.header("content-type", "application/json").body(()).unwrap();
        let (response, _body) = client.send_request(request, false).unwrap();
        assert_eq!(patiently(response).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    }
}

#[tokio::test]
async fn connections_that_do_not_begin_a_request_are_closed() {
    let limits = Limits::default().head_time(Duration::from_millis(100)).idle_time(Duration::from_millis(100));
    let address = served(not_found(), limits).await;
    for begin in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost:"] {
        hear(say(address, begin).await).await;
    }
    // One that has had its answer, too.
    let mut stream = say(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    answer(&mut stream).await;
    assert_eq!(hear(stream).await, "");
}

#[tokio::test]
async fn what_comes_after_half_a_preface_is_read() {
    let address = served(not_found(), Limits::default()).await;
    let mut stream = say(address, "P").await;
    stream.write_all(b"OST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 404"));
    let mut stream = say(address, "PRI * HTTP/2.0\r\n").await;
    stream.write_all(b"\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&h2(4, 0, 0, &[])).await.unwrap();
    let mut head = [0; 9];
    patiently(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
}

#[tokio::test]
async fn at_the_limit_of_connections_those_that_are_waited_for_make_room() {
    let limits = Limits::default().connections(3);
    let address = served(not_found(), limits).await;
    let held = [
        say(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await,
        say(address, "PRI * HTTP").await,
        say(address, "GET / HTTP/1.1\r\nhos").await,
    ];
    for _ in 0..6 {
        assert_eq!(get(address, "/").await.0, StatusCode::NOT_FOUND);
    }
    drop(held);
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_it_may() {
    let limits = Limits::default().connections_per_peer(1);
    let address = served(not_found(), limits).await;
    let mut first = say(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    answer(&mut first).await;
    assert_eq!(hear(TcpStream::connect(address).await.unwrap()).await, "");
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    answer(&mut first).await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_to_come_again() {
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enters, goes) = (Arc::clone(&entered), Arc::clone(&go));
    let service = service_fn(move |_: Request<RequestBody>| {
        let (entered, go) = (Arc::clone(&enters), Arc::clone(&goes));
        async move {
            entered.notify_one();
            go.notified().await;
            Ok::<_, Infallible>(Response::new(Body::new(Full::new(Bytes::from_static(b"ok")))))
        }
    });
    let address = served(service, Limits::default().requests(1)).await;
    let mut first = say(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    patiently(entered.notified()).await;
    let (status, headers, body) = get(address, "/").await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["error"]["status"], "UNAVAILABLE");
    go.notify_one();
    assert!(answer(&mut first).await.0.starts_with("http/1.1 200"));
    go.notify_one();
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut first).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn large_bodies_leave_room_for_small_ones() {
    let backend = shelf::Backend::answering(&[("shelf.Book", json!({}))], None);
    let layer = GatewayLayer::new(RULES.clone()).unwrap().max_body_memory(100 * 1024);
    let address = served(layer.layer(backend.service()), Limits::default()).await;
    let large = format!(r#"["{}"]"#, "x".repeat(100 * 1024));
    let length = large.len() + 1;
    let head = format!(
        "POST /v1/rename/1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    // All of it but the last byte: it stays.
    let mut held = say(address, &head).await;
    held.write_all(large.as_bytes()).await.unwrap();
    let refused = async {
        loop {
            let (status, headers, _) = post(address, Method::POST, "/v1/rename/1", Full::from(large.clone())).await;
            if status == StatusCode::SERVICE_UNAVAILABLE {
                return headers;
            }
        }
    };
    assert_eq!(patiently(refused).await["retry-after"], "1");
    for _ in 0..10 {
        let small = Full::from(r#"["t"]"#);
        assert_eq!(post(address, Method::POST, "/v1/rename/1", small).await.0, StatusCode::OK);
    }
    // The one that was held is served to its end.
    held.write_all(b" ").await.unwrap();
    assert!(answer(&mut held).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    struct Dropped(watch::Sender<bool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send_replace(true);
        }
    }
    let (dropped, mut ended) = watch::channel(false);
    let dropped = Arc::new(std::sync::Mutex::new(Some(Dropped(dropped))));
    let service = service_fn(move |_: Request<RequestBody>| {
        let held = dropped.lock().unwrap().take();
        async move {
            let pieces = std::iter::repeat_with(move || {
                let _ = &held;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 64 * 1024])))
            });
            Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(futures_util::stream::iter(pieces)))))
        }
    });
    let address = served(service, Limits::default().write_time(Duration::from_millis(200))).await;
    let _unread = say(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    patiently(ended.wait_for(|ended| *ended)).await.unwrap();
}

/// A client over HTTP/2 that answers pings and never opens the window of its streams.
#[tokio::test]
async fn an_answer_that_is_not_taken_gives_its_place_back() {
    let service = service_fn(|request: Request<RequestBody>| async move {
        let pieces = std::iter::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 64 * 1024]))));
        Ok::<_, Infallible>(Response::new(match request.uri().path() {
            "/stream" => Body::new(StreamBody::new(futures_util::stream::iter(pieces))),
            "/large" => Body::new(Full::from(vec![7; 1024 * 1024])),
            _ => Body::empty(),
        }))
    });
    for (path, window) in [("/stream", 0), ("/stream", 1), ("/large", 0), ("/large", 1)] {
        let limits = Limits::default().write_time(Duration::from_millis(300)).requests(2);
        let address = served(service, limits).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) =
            h2::client::Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let mut held = Vec::new();
        for _ in 0..2 {
            let request = Request::get(format!("http://{address}{path}")).body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            held.push(patiently(response).await.unwrap());
        }
        assert_eq!(get(address, "/").await.0, StatusCode::SERVICE_UNAVAILABLE, "{path} {window}");
        patiently(async { while get(address, "/").await.0 != StatusCode::OK {} }).await;
        // Those streams alone have ended: the connection serves others.
        assert!(!connection.is_finished(), "{path} {window}");
        let (response, _) =
            client.send_request(Request::get(format!("http://{address}/")).body(()).unwrap(), true).unwrap();
        assert_eq!(patiently(response).await.unwrap().status(), StatusCode::OK, "{path} {window}");
        drop(held);
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_waited_for_no_longer_than_the_limit() {
    let frozen = grpc_service(|_| std::future::pending());
    let backend = Backend::start(None, frozen).await;
    let limit = Some(Duration::from_millis(100));
    let layer = GatewayLayer::new(RULES.clone()).unwrap().timeout(limit).stream_idle_timeout(limit);
    let address = served(layer.layer(backend.grpc(BackendLimits::default())), Limits::default()).await;
    let (status, _, body) = get(address, "/v1/books/1").await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{body:?}");
    // gRPC that passes through has the limit of streams.
    let grpc = Grpc::new(Origin::parse(&format!("http://{address}")).unwrap()).unwrap();
    assert_eq!(code(grpc, unary()).await, Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_ends() {
    let backend = Backend::start(None, grpc_service(|_| async { silent() })).await;
    let layer = GatewayLayer::new(RULES.clone()).unwrap().stream_idle_timeout(Some(Duration::from_millis(100)));
    let address = served(layer.layer(backend.grpc(BackendLimits::default())), Limits::default()).await;
    let (status, _, body) = get(address, "/v1/shelves/a:watch").await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body[1]["error"]["status"]), (StatusCode::OK, &"DEADLINE_EXCEEDED".into()));
}

#[tokio::test]
async fn grpc_passes_through_only_where_it_may() {
    let backend = shelf::Backend::answering(&[("shelf.Book", json!({}))], None);
    for (pass, expected) in [(true, Code::Ok), (false, Code::Unimplemented)] {
        let layer = GatewayLayer::new(RULES.clone()).unwrap().passthrough(pass);
        let address = served(layer.layer(backend.service()), Limits::default()).await;
        let grpc = Grpc::new(Origin::parse(&format!("http://{address}")).unwrap()).unwrap();
        assert_eq!(code(grpc, unary()).await, expected);
        assert_eq!(get(address, "/v1/books/1").await.0, StatusCode::OK);
    }
    assert_eq!(backend.calls.lock().unwrap().len(), 3);
}
