//! The parts of `benches/gateway`, which compares gchat gateway with other gateways and with
//! a bare server.
//!
//! Servers, each of which says where it listens:
//! - `bare` answers static bytes, by hyper's HTTP/1.1 and nothing else: the floor.
//! - `handler` is the gateway with an empty handler in its place, and `observed` the same with
//!   the program's access log and metrics.
//! - `rest_over_grpc` has an empty handler, too; `rest_over_grpc BACKEND` calls a gRPC server.
//! - `backend` is a gRPC server with an empty handler.
//!
//! `load ENDPOINT SECONDS BUSY RATE IDLE` is the client: on each busy connection one request after
//! another, or with a rate so many in a second on all together, while the idle ones, which have
//! made one request each, are open. It prints one line: how many requests there were, and the
//! median and the 99th percentile of how long one took, in microseconds.

mod servers;

use std::{
    fs::File,
    net::SocketAddr,
    time::{Duration, Instant},
};

use benches::{METHOD, REQUEST, TARGET, google::chat::v1 as peer};
use bytes::Bytes;
use google_chat::{
    Client,
    grpc_transcoding::server::{RequestBody, ServeOptions, serve},
};
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{client::conn::http1::SendRequest, service::service_fn};
use hyper_util::rt::TokioIo;
use rest_over_grpc::handling;
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tower::ServiceExt;

/// How many requests come before those that are measured, on each connection without a rate.
const WARM: usize = 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bare"] => servers::bare(listener().await?, service_fn(servers::fixed)).await,
        ["handler"] => serve(listener().await?, servers::gateway(), ServeOptions::default()).await,
        ["observed"] => {
            let observed = gchat::observed(servers::gateway(), Client::http_rules(), File::create("/dev/null")?);
            serve(listener().await?, observed, ServeOptions::default()).await;
        }
        ["backend"] => {
            let grpc = servers::grpc();
            let taking = tower::service_fn(move |call: Request<RequestBody>| grpc.clone().oneshot(call.map(Body::new)));
            serve(listener().await?, taking, ServeOptions::default()).await;
        }
        ["rest_over_grpc"] => {
            servers::bare(listener().await?, servers::rest_over_grpc(servers::Answering::new())).await;
        }
        ["rest_over_grpc", backend] => {
            let channel = tonic::transport::Endpoint::try_from(backend.to_owned())?.connect().await?;
            servers::bare(listener().await?, servers::rest_over_grpc(Calling(channel))).await;
        }
        ["load", endpoint, seconds, busy, rate, idle] => load(endpoint, seconds, busy, rate, idle).await?,
        // `cargo bench` runs all benches without arguments.
        [] => {}
        _ => return Err("the module's comment says what there is".into()),
    }
    Ok(())
}

/// Listens, and says where.
async fn listener() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening at http://{}", listener.local_addr()?);
    Ok(listener)
}

/// A handler that calls a gRPC server.
#[derive(Clone)]
struct Calling(tonic::transport::Channel);

impl benches::bench::Rooms for Calling {
    async fn create_space(
        &self,
        request: peer::CreateSpaceRequest,
        _: &mut handling::Context,
    ) -> Result<peer::Space, handling::Status> {
        let failed = |problem: String| handling::Status::internal(problem);
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| failed(error.to_string()))?;
        let codec = tonic_prost::ProstCodec::<peer::CreateSpaceRequest, peer::Space>::default();
        let answer =
            grpc.unary(tonic::Request::new(request), http::uri::PathAndQuery::from_static(METHOD), codec).await;
        Ok(answer.map_err(|status| failed(status.to_string()))?.into_inner())
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request, whose answer must be the space that all answer with.
async fn call(sender: &mut SendRequest<Full<Bytes>>, body: &Bytes) -> Result<(), Failure> {
    let request = Request::post(TARGET)
        .header("host", "localhost")
        .header(CONTENT_TYPE, "application/json")
        .header("accept", "application/json")
        .header("user-agent", "benches/1")
        .body(Full::new(body.clone()))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let answer = answer.into_body().collect().await?.to_bytes();
    // Some print fields that are at their default, and one an int32 otherwise.
    if status != 200 || !answer.windows(NAME.len()).any(|part| part == NAME) {
        return Err(format!("it is another answer: {status} {}", answer.escape_ascii()).into());
    }
    Ok(())
}

const NAME: &[u8] = b"spaces/AAQAjCNSsU0";

async fn load(endpoint: &str, seconds: &str, busy: &str, rate: &str, idle: &str) -> Result<(), Failure> {
    let address: SocketAddr = endpoint.trim_start_matches("http://").parse()?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    let (busy, rate, idle): (u32, f64, usize) = (busy.parse()?, rate.parse()?, idle.parse()?);
    let body: serde_json::Value = serde_json::from_str(REQUEST)?;
    let body = Bytes::from(body["space"].to_string());
    let mut open_and_idle = Vec::new();
    for _ in 0..idle {
        let mut sender = connect(address).await?;
        call(&mut sender, &body).await?;
        open_and_idle.push(sender);
    }
    let every = (rate > 0.0).then(|| Duration::from_secs_f64(f64::from(busy) / rate));
    let mut tasks = Vec::new();
    for at in 0..busy {
        let (mut sender, body) = (connect(address).await?, body.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let begun = Instant::now();
            // Those of all connections are spread over the time between two of one.
            let mut due = begun + every.unwrap_or_default() * at / busy;
            while begun.elapsed() < time {
                if let Some(every) = every {
                    tokio::time::sleep_until(due.into()).await;
                    due += every;
                }
                let one = Instant::now();
                call(&mut sender, &body).await?;
                times.push(one.elapsed());
            }
            let warm = if every.is_none() { WARM.min(times.len()) } else { 0 };
            Ok::<_, Failure>(times.split_off(warm))
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!("{} {:.1} {:.1}", times.len(), at(50), at(99));
    Ok(())
}
