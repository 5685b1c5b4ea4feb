//! The parts of `benches/sidecar`, which compares gchat sidecar with Envoy's reverse
//! transcoder.
//!
//! - `rest` serves a REST API that answers CreateSpace with static bytes, and says where.
//! - `straight ENDPOINT SECONDS` calls it one call after another, by HTTP/1.1.
//! - `calls ENDPOINT SECONDS CONNECTIONS` calls a gRPC server, on each connection one call
//!   after another.
//! - `idle ENDPOINT IDLE BUSY SECONDS` does so on the busy ones while the idle ones, which
//!   have made one call each, are open.
//!
//! Each prints one line: how many calls there were, and the median and the 99th percentile of
//! how long one took, in microseconds.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use benches::{METHOD, REPLY, REQUEST};
use bytes::Bytes;
use google_chat::{
    Client,
    grpc_transcoding::server::{RequestBody, ServeOptions, serve},
};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tower::service_fn;

/// How many calls come before those that are measured, on each connection.
const WARM: usize = 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rest"] => rest().await,
        ["straight", endpoint, seconds] => straight(address(endpoint)?, time(seconds)?).await,
        ["calls", endpoint, seconds, connections] => {
            calls(address(endpoint)?, time(seconds)?, 0, connections.parse()?).await
        }
        ["idle", endpoint, idle, busy, seconds] => {
            calls(address(endpoint)?, time(seconds)?, idle.parse()?, busy.parse()?).await
        }
        // `cargo bench` runs all benches without arguments.
        [] => Ok(()),
        _ => Err("usage: rest | straight ENDPOINT SECONDS | calls ENDPOINT SECONDS CONNECTIONS | idle ENDPOINT IDLE BUSY SECONDS".into()),
    }
}

fn address(endpoint: &str) -> Result<SocketAddr, Failure> {
    Ok(endpoint.trim_start_matches("http://").parse()?)
}

fn time(seconds: &str) -> Result<Duration, Failure> {
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

async fn rest() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening at http://{}", listener.local_addr()?);
    let service = service_fn(|request: Request<RequestBody>| async {
        let _ = request.into_body().collect().await;
        let mut response = Response::new(Body::new(Full::new(Bytes::from_static(REPLY.as_bytes()))));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok::<_, Infallible>(response)
    });
    serve(listener, service, ServeOptions::default()).await;
    Ok(())
}

/// Prints how many times there are, and what they are.
fn print(mut times: Vec<Duration>) -> Result<(), Failure> {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!("{} {:.1} {:.1}", times.len(), at(50), at(99));
    Ok(())
}

async fn straight(address: SocketAddr, time: Duration) -> Result<(), Failure> {
    let method = Client::http_rules().method(METHOD).ok_or("the method")?;
    let request = method.to_http(&method.method().input().from_json(REQUEST)?)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(connect(address).await?).await?;
    tokio::spawn(connection);
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let (head, body) = request.clone().into_parts();
        let mut call = Request::from_parts(head, Full::new(body));
        call.headers_mut().insert("host", http::HeaderValue::from_static("localhost"));
        let one = Instant::now();
        sender.ready().await?;
        let answer = sender.send_request(call).await?;
        if answer.status() != 200 || answer.into_body().collect().await?.to_bytes() != REPLY {
            return Err("it is another answer".into());
        }
        times.push(one.elapsed());
    }
    print(times.split_off(WARM.min(times.len())))
}

async fn connect(address: SocketAddr) -> Result<TokioIo<TcpStream>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

async fn open(address: SocketAddr) -> Result<Sender, Failure> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), connect(address).await?).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One call, whose answer is the one that is to come.
async fn call(sender: &mut Sender, frame: &Bytes, reply: &Bytes) -> Result<Duration, Failure> {
    let request = Request::post(format!("http://localhost{METHOD}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame.clone()))?;
    let one = Instant::now();
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let head = answer.headers().clone();
    let body = answer.into_body().collect().await?;
    let took = one.elapsed();
    if body.trailers().is_none_or(|trailers| trailers["grpc-status"] != "0") || body.to_bytes() != reply {
        return Err(format!("it is another answer: {head:?}").into());
    }
    Ok(took)
}

async fn calls(address: SocketAddr, time: Duration, idle: usize, busy: usize) -> Result<(), Failure> {
    let method = Client::http_rules().method(METHOD).ok_or("the method")?.method();
    let framed = |message: Vec<u8>| Bytes::from([&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat());
    let (frame, reply) = (framed(method.input().from_json(REQUEST)?), framed(method.output().from_json(REPLY)?));
    let mut open_and_idle = Vec::new();
    for _ in 0..idle {
        let mut sender = open(address).await?;
        call(&mut sender, &frame, &reply).await?;
        open_and_idle.push(sender);
    }
    let mut tasks = Vec::new();
    for _ in 0..busy {
        let (mut sender, frame, reply) = (open(address).await?, frame.clone(), reply.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let begun = Instant::now();
            while begun.elapsed() < time {
                times.push(call(&mut sender, &frame, &reply).await?);
            }
            Ok::<_, Failure>(times.split_off(WARM.min(times.len())))
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    print(times)
}
