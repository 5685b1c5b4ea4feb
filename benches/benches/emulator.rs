//! How many creates the emulator answers, beside the bare gateway with an empty
//! handler: 64 connections that each send one request after another, in one run.
//!
//! With an address as an argument: what another process's emulator answers, which is the
//! measure for `gchat spaces create --from` (`benches/bulk`). With a part of a server's
//! name as an argument: that server alone. With `million`: what memory the emulator takes
//! while a million spaces are created on disk.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use google_chat::{
    grpc_transcoding::server::{Gateway, ServeOptions, serve},
    protojson::DescriptorPool,
};
use google_chat_emulator::Emulator;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::body::Body;
use tower::service_fn;

const CONNECTIONS: usize = 64;
const REPLY: &str = r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch room for the spring release","spaceThreadingState":"THREADED_MESSAGES","spaceType":"SPACE","spaceHistoryState":"HISTORY_ON","createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{},"accessSettings":{"accessState":"PRIVATE"},"customer":"customers/C01abc23d","spaceUri":"https://chat.google.com/room/AAQAjCNSsU0?cls=11"}"#;

/// The gateway in front of a handler that answers the same frame to all.
async fn bare() -> SocketAddr {
    let schema = DescriptorPool::decode(google_chat::proto::DESCRIPTOR_SET).expect("the schema");
    let method = schema.method("/google.chat.v1.ChatService/CreateSpace").expect("the method");
    let reply = method.output().from_json(REPLY).expect("the reply");
    let reply = Bytes::from([&[0][..], &(reply.len() as u32).to_be_bytes(), &reply].concat());
    let handler = service_fn(move |call: Request<Body>| {
        let reply = reply.clone();
        async move {
            let _ = call.into_body().collect().await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let pieces = [Ok::<_, Infallible>(Frame::data(reply)), Ok(Frame::trailers(trailers))];
            let body = Body::new(StreamBody::new(tonic::codegen::tokio_stream::iter(pieces)));
            Ok::<_, Infallible>(Response::builder().header("content-type", "application/grpc").body(body).expect("it"))
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, Gateway::new(schema, handler).unwrap(), ServeOptions::default()));
    address
}

/// Sends creates for a while, or a number of them; how many were answered a second.
async fn load(address: SocketAddr, next: &Arc<AtomicU64>, time: Duration, count: u64) -> f64 {
    let (begun, first) = (Instant::now(), next.load(Ordering::Relaxed));
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let next = Arc::clone(next);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                let _ = stream.set_nodelay(true);
                let mut answer = vec![0; 16 * 1024];
                while begun.elapsed() < time {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        break;
                    }
                    create(&mut stream, &mut answer, number).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker");
    }
    (next.load(Ordering::Relaxed) - first) as f64 / begun.elapsed().as_secs_f64()
}

/// One create, by hand: what the client takes is to be little.
async fn create(stream: &mut TcpStream, answer: &mut [u8], number: u64) {
    let body = format!(
        r#"{{"displayName":"Launch room {number}","spaceType":"SPACE","spaceDetails":{{"description":"Day by day"}}}}"#
    );
    let request = format!(
        "POST /v1/spaces?requestId=2f1e3c9a-6f0b-4a7e-9d53-{number:012x} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut filled = 0;
    loop {
        filled += stream.read(&mut answer[filled..]).await.expect("an answer");
        let text = std::str::from_utf8(&answer[..filled]).expect("text");
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if rest.len() == length.parse::<usize>().expect("a number") {
            return;
        }
    }
}

/// Kilobytes that this process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn on_disk(name: &str, durable: bool) -> Emulator {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    Emulator::builder().data(path, durable).start().await.expect("an emulator")
}

async fn million() {
    let emulator = on_disk("million.db", false).await;
    let next = Arc::default();
    for _ in 0..10 {
        let rate = load(emulator.address(), &next, Duration::MAX, 100_000).await;
        println!("{:>9} spaces  {rate:7.0} a second  {:7} kB", next.load(Ordering::Relaxed), resident());
    }
}

async fn rates(only: Option<&str>) {
    let memory = Emulator::start().await.expect("an emulator");
    let (disk, durable) = (on_disk("rates.db", false).await, on_disk("durable.db", true).await);
    let servers = [
        ("gateway, empty handler", bare().await),
        ("emulator, in memory", memory.address()),
        ("emulator, --data", disk.address()),
        ("emulator, --durable", durable.address()),
    ];
    let mut rates = [const { Vec::new() }; 4];
    let next = Arc::default();
    // In turns, since the machine's own speed changes.
    for round in 0..6 {
        for (at, (name, address)) in servers.iter().enumerate() {
            if only.is_some_and(|only| !name.contains(only)) {
                continue;
            }
            let rate = load(*address, &next, Duration::from_secs(2), u64::MAX / 2).await;
            if round > 0 {
                rates[at].push(rate);
            }
        }
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let bare = median(&mut rates[0]);
    for (at, (name, _)) in servers.iter().enumerate() {
        let rate = median(&mut rates[at]);
        println!("{name:24} {rate:8.0} creates a second  {:.2} of the gateway's", rate / bare);
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        match std::env::args().skip(1).find(|argument| !argument.starts_with('-')).as_deref() {
            Some("million") => million().await,
            Some(address) if address.contains(':') => {
                let address = address.parse().expect("an address");
                let rate = load(address, &Arc::default(), Duration::MAX, 100_000).await;
                println!("bare load generator {rate:8.0} creates a second");
            }
            only => rates(only).await,
        }
    });
}
