//! What a call costs in CPU, over loopback, in one run.
//!
//! `client`: `HttpJson` and tonic's own channel given the frames of a stub, and the
//! generated stub over these and over `Grpc`, beside a bare hyper client that posts
//! the same request, prepared, to the same server, and is measured before and after
//! them; `gateway`: the gateway with an empty handler, beside static bytes, all by
//! `serve`.
//!
//! The figures are CPU time per call: on two cores wall time says more about the
//! machine. First that of client and server together, on one thread, where no
//! thread must be woken; then that of the client alone, on two threads, with the
//! servers on another. Allocations are those of both sides.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use google_chat::{
    Schema,
    proto::google::chat::v1::{CreateSpaceRequest, chat_service_client::ChatServiceClient},
    transport::{Gateway, Grpc, HttpJson, Origin, serve},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
};
use tonic::{body::Body, client::GrpcService, transport::Endpoint};
use tower::{Service, ServiceExt, service_fn};

const REQUEST: &str = r#"{"space":{"displayName":"Launch room for the spring release","spaceType":"SPACE","spaceDetails":{"description":"Where we plan the launch, day by day"},"customer":"customers/my_customer"},"requestId":"2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21"}"#;
const TARGET: &str = "/v1/spaces?requestId=2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21";
const REPLY: &str = r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch room for the spring release","spaceThreadingState":"THREADED_MESSAGES","spaceType":"SPACE","spaceHistoryState":"HISTORY_ON","createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{},"accessSettings":{"accessState":"PRIVATE"},"customer":"customers/C01abc23d","spaceUri":"https://chat.google.com/room/AAQAjCNSsU0?cls=11"}"#;
const METHOD: &str = "/google.chat.v1.ChatService/CreateSpace";

fn frame(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a call costs.
struct Cost {
    micros: f64,
    allocations: f64,
}

impl Cost {
    fn mean(&self, other: &Self) -> Self {
        let mean = |a, b| (a + b) / 2.0;
        Self { micros: mean(self.micros, other.micros), allocations: mean(self.allocations, other.allocations) }
    }

    fn print(&self, name: &str, bare: &Self) {
        println!(
            "  {name:26} {:6.1} us  {:.2} of bare, {:+.1} us; {:6.1} allocations, {:+.1}",
            self.micros,
            self.micros / bare.micros,
            self.micros - bare.micros,
            self.allocations,
            self.allocations - bare.allocations
        );
    }
}

/// rest_over_grpc's handler, which answers the same space to all.
#[derive(Clone)]
struct Answering(benches::google::chat::v1::Space);

impl benches::bench::Rooms for Answering {
    async fn create_space(
        &self,
        _: benches::google::chat::v1::CreateSpaceRequest,
        _: &mut rest_over_grpc::handling::Context,
    ) -> Result<benches::google::chat::v1::Space, rest_over_grpc::handling::Status> {
        Ok(self.0.clone())
    }
}

/// The name of the threads whose CPU is not counted.
const SERVER: &str = "server";

/// CPU seconds of this process's threads so far, but for those of the servers.
fn cpu() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").map(|thread| thread.expect("a thread").path());
    let spent = threads.map(|thread| {
        let read = |file| std::fs::read_to_string(thread.join(file)).unwrap_or_default();
        if read("comm").trim() == SERVER { 0 } else { read("schedstat").split(' ').next().map_or(0, nanos) }
    });
    spent.sum::<u64>() as f64 / 1e9
}

fn nanos(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// Runs `call` over `tasks` tasks for a while; what each call takes.
async fn measure<F, Fut>(tasks: usize, call: F) -> Cost
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    for _ in 0..200 {
        call().await;
    }
    let (before, allocated) = (cpu(), ALLOCATIONS.load(Ordering::Relaxed));
    let end = Instant::now() + Duration::from_secs(4);
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut calls = 0_u64;
                while Instant::now() < end {
                    call().await;
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for worker in workers {
        calls += worker.await.expect("a worker");
    }
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - allocated) as f64 / calls as f64;
    let spent = cpu() - before;
    assert!(spent > 0.0, "the kernel does not say what threads spend (CONFIG_SCHED_INFO)");
    Cost { micros: spent * 1e6 / calls as f64, allocations }
}

/// Serves on a port, on the runtime of the servers.
async fn listen<S>(servers: &Handle, service: S) -> String
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let listener = listener.into_std().expect("a listener");
    servers.spawn(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        serve(listener, None, service, std::future::pending(), Duration::ZERO).await;
    });
    endpoint
}

/// A gRPC server with an empty handler: it answers the same frame to all.
fn grpc_backend(
    reply: Bytes,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(move |call: Request<Body>| {
        let reply = reply.clone();
        async move {
            let _ = call.into_body().collect().await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let pieces = [Ok::<_, Infallible>(Frame::data(reply)), Ok(Frame::trailers(trailers))];
            let body = Body::new(StreamBody::new(tonic::codegen::tokio_stream::iter(pieces)));
            Ok(Response::builder().header("content-type", "application/grpc").body(body).expect("an answer"))
        }
    })
}

/// Calls of a service with the frames that a stub would give it. Not a function, as
/// its future would have to be boxed.
macro_rules! frames {
    ($service:expr, $frame:expr) => {{
        let (service, path, frame) = ($service.clone(), Uri::from_static(METHOD), $frame.clone());
        move || {
            let mut call = Request::new(Body::new(Full::new(frame.clone())));
            *call.method_mut() = Method::POST;
            *call.uri_mut() = path.clone();
            call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            let mut service = service.clone();
            async move {
                let service = ServiceExt::<Request<Body>>::ready(&mut service).await.expect("a service");
                let answer = Service::call(service, call).await.expect("an answer");
                let body = answer.into_body().collect().await.expect("a body");
                assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
            }
        }
    }};
}

/// Calls of the generated stub over a service.
fn stub<S>(service: S, message: &CreateSpaceRequest) -> impl Fn() -> BoxFuture + Clone + Send + 'static
where
    S: GrpcService<Body, Future: Send> + Clone + Send + Sync + 'static,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let (stub, message) = (ChatServiceClient::new(service), message.clone());
    move || {
        let (mut stub, message) = (stub.clone(), message.clone());
        Box::pin(async move {
            stub.create_space(message).await.expect("a space");
        })
    }
}

/// Measures clients with so many calls at once, and the gateway if `gateway`.
async fn run(servers: &Handle, what: &str, at_once: &[usize], gateway: bool) {
    let schema = Schema::decode(google_chat::proto::DESCRIPTOR_SET).expect("the schema");
    let method = schema.method(METHOD).expect("the method");
    let request = method.input().from_json(REQUEST).expect("the request");
    let reply = method.output().from_json(REPLY).expect("the reply");
    let body = Bytes::from(method.to_http(&request).expect("an HTTP request").into_body());
    let message = CreateSpaceRequest::decode(&*request).expect("the request");
    let (request, reply) = (frame(&request), frame(&reply));

    // The server that all HTTP clients call: static bytes.
    let fixed = listen(
        servers,
        service_fn(|request: Request<hyper::body::Incoming>| async {
            let _ = request.into_body().collect().await;
            let body = Body::new(Full::new(Bytes::from_static(REPLY.as_bytes())));
            Ok::<_, Infallible>(
                Response::builder().header("content-type", "application/json").body(body).expect("an answer"),
            )
        }),
    )
    .await;
    let over_grpc = {
        let backend = grpc_backend(reply.clone());
        listen(
            servers,
            service_fn(move |call: Request<hyper::body::Incoming>| backend.clone().oneshot(call.map(Body::new))),
        )
        .await
    };
    let transcoding = listen(servers, Gateway::new(schema.clone(), grpc_backend(reply))).await;
    let peer = {
        let space = serde_json::from_str(REPLY).expect("a space");
        let transcoder = benches::rest_over_grpc_peer::Transcoder::new(Answering(space));
        let service = rest_over_grpc::serving::RestService::new(transcoder);
        listen(
            servers,
            service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = service.clone().oneshot(request);
                async move { answer.await.map(|answer: Response<_>| answer.map(Body::new)) }
            }),
        )
        .await
    };

    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let post = |endpoint: &str| {
        let prepared = Request::post(format!("{endpoint}{TARGET}"))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip")
            .body(Full::new(body.clone()))
            .expect("a request");
        let client = client.clone();
        move || {
            let answer = client.request(prepared.clone());
            async move {
                let answer = answer.await.expect("an answer");
                assert!(answer.status().is_success());
                answer.into_body().collect().await.expect("a body");
            }
        }
    };
    let http = HttpJson::builder(schema, fixed.as_str()).build().expect("a channel");
    let grpc = Grpc::new(Origin::parse(&over_grpc).expect("an origin")).expect("a channel");
    let channel = Endpoint::try_from(over_grpc).expect("an endpoint").connect().await.expect("a channel");

    for &tasks in at_once {
        let first = measure(tasks, post(&fixed)).await;
        let ours = measure(tasks, frames!(http, request)).await;
        let theirs = measure(tasks, frames!(channel, request)).await;
        let json = measure(tasks, stub(http.clone(), &message)).await;
        let h2 = measure(tasks, stub(grpc.clone(), &message)).await;
        let tonic = measure(tasks, stub(channel.clone(), &message)).await;
        let bare = first.mean(&measure(tasks, post(&fixed)).await);
        println!("client, {tasks} at once, {what}:");
        bare.print("bare hyper client", &bare);
        ours.print("frames to HttpJson", &bare);
        theirs.print("frames to tonic's channel", &bare);
        json.print("stub over HttpJson", &bare);
        h2.print("stub over Grpc", &bare);
        tonic.print("stub over tonic's channel", &bare);
    }
    if !gateway {
        return;
    }
    let first = measure(32, post(&fixed)).await;
    let through = measure(32, post(&transcoding)).await;
    let generated = measure(32, post(&peer)).await;
    let bare = first.mean(&measure(32, post(&fixed)).await);
    println!("gateway, 32 at once, {what}:");
    bare.print("static bytes", &bare);
    through.print("gateway, empty handler", &bare);
    generated.print("rest_over_grpc", &bare);
}

fn main() {
    // `client` or `gateway` as an argument: that part alone.
    let only = |part| !std::env::args().any(|arg| ["client", "gateway"].contains(&&*arg) && arg != part);
    let at_once: &[usize] = if only("client") { &[1, 64] } else { &[] };
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    one.block_on(run(one.handle(), "both sides on one thread", at_once, only("gateway")));
    if only("client") {
        let servers = Builder::new_multi_thread().worker_threads(1).thread_name(SERVER).enable_all().build();
        let servers = servers.expect("a runtime");
        let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        clients.block_on(run(servers.handle(), "its side alone, on two threads", &[64], false));
    }
}
