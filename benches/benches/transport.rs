//! What a call costs in CPU, over loopback, in one run.
//!
//! `client`: the generated stub's frames over `HttpJson` and over tonic's way
//! (our `Grpc`), beside a bare hyper client that posts prepared bytes to the
//! same server; `gateway`: the gateway with an empty handler, beside a bare
//! hyper server that answers static bytes.
//!
//! The figures are CPU time of the whole process, client and server, per call:
//! on two cores wall time says more about the machine.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use google_chat::{
    Schema,
    transport::{Gateway, Grpc, HttpJson, Origin, serve},
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::{Service, ServiceExt, service_fn};

const REQUEST: &str = r#"{"space":{"displayName":"Launch room for the spring release","spaceType":"SPACE","spaceDetails":{"description":"Where we plan the launch, day by day"},"customer":"customers/my_customer"},"requestId":"2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21"}"#;
const TARGET: &str = "/v1/spaces?requestId=2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21";
const REPLY: &str = r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch room for the spring release","spaceThreadingState":"THREADED_MESSAGES","spaceType":"SPACE","spaceHistoryState":"HISTORY_ON","createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{},"accessSettings":{"accessState":"PRIVATE"},"customer":"customers/C01abc23d","spaceUri":"https://chat.google.com/room/AAQAjCNSsU0?cls=11"}"#;
const METHOD: &str = "/google.chat.v1.ChatService/CreateSpace";

fn frame(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    ticks as f64 / 100.0
}

/// Runs `call` over `tasks` tasks for a while; CPU microseconds for each call.
async fn measure<F, Fut>(tasks: usize, call: F) -> f64
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    for _ in 0..200 {
        call().await;
    }
    let (before, end) = (cpu(), Instant::now() + Duration::from_secs(4));
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
    (cpu() - before) * 1e6 / calls as f64
}

async fn listen<S>(service: S) -> String
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(serve(listener, None, service, std::future::pending(), Duration::ZERO));
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

async fn run() {
    let schema = Schema::decode(google_chat::proto::DESCRIPTOR_SET).expect("the schema");
    let method = schema.method(METHOD).expect("the method");
    let request = method.input().from_json(REQUEST).expect("the request");
    let reply = method.output().from_json(REPLY).expect("the reply");
    let body = Bytes::from(method.to_http(&request).expect("an HTTP request").into_body());
    let (request, reply) = (frame(&request), frame(&reply));

    // The server that all HTTP clients call: static bytes.
    let fixed = listen(service_fn(|request: Request<hyper::body::Incoming>| async {
        let _ = request.into_body().collect().await;
        let body = Body::new(Full::new(Bytes::from_static(REPLY.as_bytes())));
        Ok::<_, Infallible>(
            Response::builder().header("content-type", "application/json").body(body).expect("an answer"),
        )
    }))
    .await;
    let over_grpc = {
        let backend = grpc_backend(reply.clone());
        listen(service_fn(move |call: Request<hyper::body::Incoming>| backend.clone().oneshot(call.map(Body::new))))
            .await
    };
    let gateway = listen(Gateway::new(schema.clone(), grpc_backend(reply))).await;

    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let post = |endpoint: &str| {
        let (client, url, body) = (client.clone(), format!("{endpoint}{TARGET}"), body.clone());
        move || {
            let request = Request::post(url.as_str())
                .header("content-type", "application/json")
                .body(Full::new(body.clone()))
                .expect("a request");
            let answer = client.request(request);
            async move {
                let answer = answer.await.expect("an answer");
                assert!(answer.status().is_success());
                answer.into_body().collect().await.expect("a body");
            }
        }
    };
    let stub = |service: tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>| {
        let request = request.clone();
        move || {
            let call = Request::post(METHOD)
                .header("content-type", "application/grpc")
                .body(Body::new(Full::new(request.clone())))
                .expect("a call");
            let answer = service.clone().oneshot(call);
            async move {
                let Ok(answer) = answer.await;
                let body = answer.into_body().collect().await.expect("a body");
                assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
            }
        }
    };
    let http = HttpJson::builder(schema, fixed.as_str()).build().expect("a channel");
    let http = tower::util::BoxCloneSyncService::new(http);
    let grpc = Grpc::new(Origin::parse(&over_grpc).expect("an origin")).expect("a channel");
    let grpc = tower::util::BoxCloneSyncService::new(grpc);

    for tasks in [1, 64] {
        let bare = measure(tasks, post(&fixed)).await;
        let json = measure(tasks, stub(http.clone())).await;
        let h2 = measure(tasks, stub(grpc.clone())).await;
        println!("client, {tasks} at once, CPU per call with the server's:");
        println!("  bare hyper client       {bare:6.1} us");
        println!("  stub over HTTP/JSON     {json:6.1} us  {:.2} of bare, +{:.1} us", json / bare, json - bare);
        println!("  stub over gRPC          {h2:6.1} us  {:.2} of bare", h2 / bare);
    }
    let bare = measure(32, post(&fixed)).await;
    let through = measure(32, post(&gateway)).await;
    println!("gateway, 32 at once, CPU per call with the client's:");
    println!("  bare hyper server       {bare:6.1} us");
    println!("  gateway, empty handler  {through:6.1} us  {:.2} of bare, +{:.1} us", through / bare, through - bare);
}

fn main() {
    // One thread: what a call costs, not what it costs to wake another.
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(run());
}
