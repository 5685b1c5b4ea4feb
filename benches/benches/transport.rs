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
//! - `gateway`: the gateway with an empty handler, without and with the program's access log
//!   and metrics, and rest_over_grpc. The baseline is a bare hyper server that answers static
//!   bytes; `serve` serves the gateway and, for comparison, static bytes.
//!
//! CPU time is that of client and server together on one thread, where no thread must be
//! woken, and then that of the clients alone, on two threads, with the servers on another.
//! Allocations are those of both sides.
//!
//! Arguments: `client` or `gateway` for one part; `calls NAME COUNT` for so many calls of
//! one contestant one after another, for `benches/instructions`, which counts them.

mod servers;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use benches::{METHOD, REQUEST, TARGET};
use bytes::Bytes;
use google_chat::{
    Credentials, Wire,
    grpc_transcoding::{
        HttpRules,
        client::{Grpc, HttpJson, Origin},
        server::{RequestBody, ServeOptions, serve},
    },
    proto::google::chat::v1::{CreateSpaceRequest, chat_service_client::ChatServiceClient},
    protojson::DescriptorPool,
};
use http::{HeaderValue, Method, Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
};
use tonic::{body::Body, client::GrpcService, transport::Endpoint};
use tower::{Service, ServiceExt, service_fn};

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

/// Runs a server at a port, on the runtime of the servers.
async fn listen<F>(servers: &Handle, run: impl FnOnce(TcpListener) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let listener = listener.into_std().expect("a listener");
    servers.spawn(async { run(TcpListener::from_std(listener).expect("a listener")).await });
    endpoint
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
async fn contestants(runtime: &Handle) -> (Vec<Contestant>, Vec<Contestant>) {
    let schema = DescriptorPool::decode(google_chat::proto::DESCRIPTOR_SET).expect("the schema");
    let method = schema.method(METHOD).expect("the method");
    let request = method.input().from_json(REQUEST).expect("the request");
    let rules = HttpRules::new(&schema);
    let body = rules.method(METHOD).expect("the method").to_http(&request).expect("an HTTP request").into_body();
    let message = CreateSpaceRequest::decode(&*request).expect("the request");
    let request = servers::framed(&request);

    let options = ServeOptions::default;
    // The server that all HTTP clients call.
    let fixed = listen(runtime, move |at| serve(at, service_fn(servers::fixed), options())).await;
    let taking = service_fn(|call: Request<RequestBody>| servers::grpc().oneshot(call.map(Body::new)));
    let over_grpc = listen(runtime, move |at| serve(at, taking, options())).await;
    let bare = listen(runtime, |at| servers::bare(at, hyper::service::service_fn(servers::fixed))).await;
    let transcoding = listen(runtime, move |at| serve(at, servers::gateway(), options())).await;
    let observed = {
        let log = File::create("/dev/null").expect("a log");
        let service = gchat::observed(servers::gateway(), &rules, log);
        listen(runtime, move |at| serve(at, service, options())).await
    };
    let peer = listen(runtime, |at| servers::bare(at, servers::rest_over_grpc(servers::Answering::new()))).await;

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
        Contestant::new("bare hyper server", post(&bare)),
        Contestant::new("static bytes", post(&fixed)),
        Contestant::new("gateway", post(&transcoding)),
        Contestant::new("gateway, log and metrics", post(&observed)),
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
