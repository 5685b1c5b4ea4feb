//! What a call costs in CPU and allocations, over loopback.
//!
//! Every contestant is measured in many short rounds, and the rounds of all contestants
//! take turns in one process, so that a change of the machine's speed meets them alike. A
//! figure is the median over the rounds of the contestant's CPU time divided by the
//! baseline's in the same round; the spread is that of the middle 80 % of the rounds.
//!
//! - `client`: `HttpJson` and tonic's own channel given the frames of a stub, the generated
//!   stub over these and over `Grpc`, and `Client`. The baseline is a bare hyper client that
//!   posts the same request, prepared, to the same server. `Client` is also compared with
//!   the same stub over `HttpJson` alone.
//! - `gateway`: the gateway and rest_over_grpc with an empty handler. The baseline is static
//!   bytes; all are served by `serve`.
//!
//! CPU time is that of client and server together on one thread, where no thread must be
//! woken, and then that of the clients alone, on two threads, with the servers on another.
//! Allocations are those of both sides.
//!
//! Arguments: `client` or `gateway` for one part; `calls NAME COUNT` for so many calls of
//! one contestant one after another, for `benches/instructions`, which counts them.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use google_chat::{
    Credentials, Wire,
    grpc_transcoding::{
        HttpRules,
        client::{Grpc, HttpJson, Origin},
        server::{Gateway, RequestBody, ServeOptions, serve},
    },
    proto::google::chat::v1::{CreateSpaceRequest, chat_service_client::ChatServiceClient},
    protojson::DescriptorPool,
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

/// How long a round of one contestant lasts, and how many each has.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 60;

/// What a call cost in one round.
#[derive(Clone, Copy)]
struct Cost {
    micros: f64,
    allocations: f64,
}

/// The number of calls that a round has made.
type Calls = Pin<Box<dyn Future<Output = u64>>>;

/// One of those that are compared.
struct Contestant {
    name: &'static str,
    /// Makes calls from so many tasks until the limit.
    round: Box<dyn Fn(usize, Limit) -> Calls>,
    costs: Vec<Cost>,
}

/// When a round is over.
#[derive(Clone, Copy)]
enum Limit {
    At(Instant),
    Calls(u64),
}

impl Contestant {
    fn new<F, Fut>(name: &'static str, call: F) -> Self
    where
        F: Fn() -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let round = move |tasks: usize, limit| -> Calls {
            let call = call.clone();
            Box::pin(async move {
                let worker = |call: F| async move {
                    let mut calls = 0_u64;
                    while match limit {
                        Limit::At(end) => Instant::now() < end,
                        Limit::Calls(count) => calls < count,
                    } {
                        call().await;
                        calls += 1;
                    }
                    calls
                };
                let workers: Vec<_> = (0..tasks).map(|_| tokio::spawn(worker(call.clone()))).collect();
                let mut calls = 0;
                for one in workers {
                    calls += one.await.expect("a worker");
                }
                calls
            })
        };
        Self { name, round: Box::new(round), costs: Vec::new() }
    }

    /// Prints what it cost beside a baseline, round by round.
    fn print(&self, baseline: &Self) {
        let ratios = self.costs.iter().zip(&baseline.costs).map(|(own, base)| own.micros / base.micros).collect();
        let (micros, _, _) = quantiles(self.costs.iter().map(|cost| cost.micros).collect());
        let (ratio, low, high) = quantiles(ratios);
        let (allocations, _, _) = quantiles(self.costs.iter().map(|cost| cost.allocations).collect());
        let name = self.name;
        println!("  {name:26} {micros:6.1} us  {ratio:5.2} ({low:.2} to {high:.2})  {allocations:6.1} allocations");
    }
}

/// The median, and the ends of the middle 80 %.
fn quantiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.5), at(0.1), at(0.9))
}

/// Measures the contestants in turn, beginning with another one in each round.
async fn compete(contestants: &mut [Contestant], servers: Option<&Handle>, tasks: usize) {
    for one in &*contestants {
        // Connections are made and the allocator's lists are filled.
        (one.round)(tasks, Limit::Calls(300)).await;
    }
    for round in 0..ROUNDS {
        for place in 0..contestants.len() {
            let at = (round + place) % contestants.len();
            let contestant = &mut contestants[at];
            let (cpu, allocated) = (cpu(servers).await, ALLOCATIONS.load(Ordering::Relaxed));
            let calls = (contestant.round)(tasks, Limit::At(Instant::now() + ROUND)).await as f64;
            let spent = self::cpu(servers).await - cpu;
            let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - allocated) as f64 / calls;
            contestant.costs.push(Cost { micros: spent.as_secs_f64() * 1e6 / calls, allocations });
        }
    }
}

/// CPU time of this process so far, without that of the servers' thread where they have one.
async fn cpu(servers: Option<&Handle>) -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let of_servers = match servers {
        Some(servers) => {
            // The runtime of the servers has one thread, on which the clock is read.
            servers.spawn(async move { read(ClockId::ThreadCPUTime) }).await.expect("the servers' time")
        }
        None => Duration::ZERO,
    };
    read(ClockId::ProcessCPUTime) - of_servers
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

/// Serves on a port, on the runtime of the servers.
async fn listen<S>(servers: &Handle, service: S) -> String
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let listener = listener.into_std().expect("a listener");
    servers.spawn(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        serve(listener, service, ServeOptions::default()).await;
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

/// The clients and the servers that are compared; each begins with the baseline.
async fn contestants(servers: &Handle) -> (Vec<Contestant>, Vec<Contestant>) {
    let schema = DescriptorPool::decode(google_chat::proto::DESCRIPTOR_SET).expect("the schema");
    let method = schema.method(METHOD).expect("the method");
    let request = method.input().from_json(REQUEST).expect("the request");
    let reply = method.output().from_json(REPLY).expect("the reply");
    let rules = HttpRules::new(&schema);
    let body = rules.method(METHOD).expect("the method").to_http(&request).expect("an HTTP request").into_body();
    let message = CreateSpaceRequest::decode(&*request).expect("the request");
    let (request, reply) = (frame(&request), frame(&reply));

    // The server that all HTTP clients call: static bytes.
    let fixed = listen(
        servers,
        service_fn(|request: Request<RequestBody>| async {
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
        listen(servers, service_fn(move |call: Request<RequestBody>| backend.clone().oneshot(call.map(Body::new))))
            .await
    };
    let transcoding = listen(servers, Gateway::new(schema.clone(), grpc_backend(reply)).unwrap()).await;
    let peer = {
        let space = serde_json::from_str(REPLY).expect("a space");
        let transcoder = benches::rest_over_grpc_peer::Transcoder::new(Answering(space));
        let service = rest_over_grpc::serving::RestService::new(transcoder);
        listen(
            servers,
            service_fn(move |request: Request<RequestBody>| {
                let answer = service.clone().oneshot(request);
                async move { answer.await.map(|answer: Response<_>| answer.map(Body::new)) }
            }),
        )
        .await
    };

    let hyper: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let post = |endpoint: &str| {
        let prepared = Request::post(format!("{endpoint}{TARGET}"))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip")
            .body(Full::new(body.clone()))
            .expect("a request");
        let client = hyper.clone();
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
    let channel = Endpoint::try_from(over_grpc.clone()).expect("an endpoint").connect().await.expect("a channel");
    let client = |wire, endpoint: &str| {
        let builder = google_chat::Client::builder().endpoint(endpoint).credentials(Credentials::anonymous());
        builder.wire(wire).build().expect("a client").channel()
    };

    let clients = vec![
        Contestant::new("bare hyper client", post(&fixed)),
        Contestant::new("frames to HttpJson", frames!(http, request)),
        Contestant::new("frames to tonic's channel", frames!(channel, request)),
        Contestant::new("stub over HttpJson", stub(http.clone(), &message)),
        Contestant::new("stub over Grpc", stub(grpc, &message)),
        Contestant::new("stub over tonic's channel", stub(channel, &message)),
        Contestant::new("Client over HttpJson", stub(client(Wire::HttpJson, &fixed), &message)),
        Contestant::new("Client over Grpc", stub(client(Wire::Grpc, &over_grpc), &message)),
    ];
    let gateways = vec![
        Contestant::new("static bytes", post(&fixed)),
        Contestant::new("gateway, empty handler", post(&transcoding)),
        Contestant::new("rest_over_grpc", post(&peer)),
    ];
    (clients, gateways)
}

fn named<'c>(contestants: &'c [Contestant], name: &str) -> &'c Contestant {
    contestants.iter().find(|one| one.name == name).expect("a contestant of that name")
}

/// Runs the parts that are asked for, with so many calls at once.
async fn run(servers: &Handle, alone: bool, what: &str, parts: &[(&str, usize)]) {
    for &(part, tasks) in parts {
        let (clients, gateways) = contestants(servers).await;
        let mut contestants = if part == "client" { clients } else { gateways };
        compete(&mut contestants, alone.then_some(servers), tasks).await;
        println!("{part}, {tasks} at once, {what}; beside the first of them:");
        for one in &contestants {
            one.print(&contestants[0]);
        }
        if part == "client" {
            println!("  beside the stub over HttpJson:");
            named(&contestants, "Client over HttpJson").print(named(&contestants, "stub over HttpJson"));
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let [what, name, count] = &arguments[..]
        && what == "calls"
    {
        let count = count.parse().expect("a number of calls");
        one.block_on(async {
            let (clients, gateways) = contestants(one.handle()).await;
            let all: Vec<_> = clients.into_iter().chain(gateways).collect();
            (named(&all, name).round)(1, Limit::Calls(count)).await;
        });
        return;
    }
    let asked = |part: &&(&str, usize)| arguments.is_empty() || arguments.iter().any(|arg| arg == part.0);
    let parts = |parts: &[(&'static str, usize)]| parts.iter().filter(asked).copied().collect::<Vec<_>>();
    let together = parts(&[("client", 1), ("client", 64), ("gateway", 32)]);
    one.block_on(run(one.handle(), false, "both sides on one thread", &together));
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let clients = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let apart = parts(&[("client", 64)]);
    clients.block_on(run(servers.handle(), true, "the clients alone, on two threads", &apart));
}
