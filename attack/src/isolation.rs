//! Callers that take what all calls share: connections to the backend, their windows and
//! their streams.

use std::{cell::Cell, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use http::{Request, header::RETRY_AFTER};
use tokio::net::{TcpSocket, TcpStream};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    http1::{self, Connection},
    neighbour::{Attackers, Comparison, Neighbour},
    program::Stage,
};

const WINDOW: &str = "--backend-stream-window";
const STREAMS: &str = "--backend-streams";
const QUEUE: &str = "--backend-queue";
const QUEUE_TIME: &str = "--backend-queue-timeout";

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "isolation/slow-readers-3", run: |stage| Box::pin(slow_readers(stage, 3)) },
        Attack { name: "isolation/slow-readers-50", run: |stage| Box::pin(slow_readers(stage, 50)) },
        Attack { name: "isolation/lasting-calls", run: |stage| Box::pin(lasting(stage, "/v1/wait?seconds=3600")) },
        Attack { name: "isolation/lasting-streams", run: |stage| Box::pin(lasting(stage, "/v1/tail")) },
        Attack { name: "isolation/beyond-the-limit", run: |stage| Box::pin(beyond_the_limit(stage)) },
    ]
}

/// Clients that do not read a large server stream.
async fn slow_readers(stage: &Stage, count: usize) -> Result<Row> {
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let comparison = Neighbour::echo(stage, gateway.address)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..count {
                let status = do_not_read(attackers, gateway.address).await;
                attackers.tally.count(format!("streams begun with {status}"));
            }
            Ok(())
        })
        .await?;
    Ok(Row {
        attack: format!("{count} clients ask for a stream of 6 GB and do not read it"),
        limit: format!("{}; {}", Comparison::LIMIT, stage.limit("what is read ahead of a reader", WINDOW)),
        held: comparison.held(),
        outcome: comparison.to_string(),
    })
}

/// Asks for a large stream, reads the head of the answer, and holds the connection.
async fn do_not_read(attackers: &mut Attackers, gateway: SocketAddr) -> String {
    let begun = async {
        // As little as the system has, so that the backpressure comes soon.
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let stream: TcpStream = socket.connect(gateway).await?;
        let mut connection = Connection::over(stream);
        connection.send(http1::get(gateway, "/v1/lots?messages=100000&size=65536")).await?;
        let (status, _) = connection.head().await?;
        std::io::Result::Ok((connection, status))
    };
    match tokio::time::timeout(Duration::from_secs(2), begun).await {
        Ok(Ok((connection, status))) => {
            attackers.tasks.spawn(async move {
                let _held = connection;
                std::future::pending().await
            });
            status.to_string()
        }
        Ok(Err(_)) => "a closed connection".to_owned(),
        Err(_) => "no response within 2 s".to_owned(),
    }
}

/// More lasting calls than a backend takes streams on a connection, and a short one beside.
async fn lasting(stage: &Stage, target: &str) -> Result<Row> {
    const COUNT: usize = 250;
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let fewest = Cell::new(COUNT);
    let comparison = Neighbour::echo(stage, gateway.address)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..COUNT {
                let mut connection = Connection::open(gateway.address).await?;
                connection.send(http1::get(gateway.address, target)).await?;
                let tally = attackers.tally.clone();
                attackers.tasks.spawn(async move {
                    match connection.head().await {
                        Ok((200, _)) => {}
                        Ok((status, _)) => tally.count(format!("calls ended with {status}")),
                        Err(_) => tally.count("calls broken off"),
                    }
                    std::future::pending().await
                });
            }
            attackers.tally.count(format!("rounds of {COUNT} calls"));
            fewest.set(fewest.get().min(backend.seen.lasting(COUNT, Duration::from_secs(2)).await));
            Ok(())
        })
        .await?;
    let fewest = fewest.get();
    Ok(Row {
        attack: format!("{COUNT} calls of {target} that last, where the backend takes 200 streams on a connection"),
        limit: format!("{}; {}", Comparison::LIMIT, stage.limit(&format!("all {COUNT} are under way"), STREAMS)),
        held: comparison.held() && fewest == COUNT,
        outcome: format!("{fewest} of {COUNT} were under way at the backend; {comparison}"),
    })
}

/// More calls than the gateway takes at all: none waits for ever.
async fn beyond_the_limit(stage: &Stage) -> Result<Row> {
    const CONNECTIONS: usize = 30;
    const STREAMS_EACH: usize = 100;
    const ALL: usize = CONNECTIONS * STREAMS_EACH;
    const PATIENCE: Duration = Duration::from_secs(12);
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &stage.set(QUEUE_TIME, "2"))?;
    let mut attackers = Attackers::default();
    for _ in 0..CONNECTIONS {
        let Ok(stream) = TcpStream::connect(gateway.address).await else { continue };
        let (client, connection) = h2::client::handshake(stream).await?;
        attackers.tasks.spawn(async move { drop(connection.await) });
        for _ in 0..STREAMS_EACH {
            let (client, tally) = (client.clone(), attackers.tally.clone());
            let request = Request::get(format!("http://{}/v1/wait?seconds=3600", gateway.address)).body(())?;
            attackers.tasks.spawn(async move {
                let answer = async { client.ready().await?.send_request(request, true)?.0.await };
                tally.count(match answer.await {
                    Ok(response) if response.headers().contains_key(RETRY_AFTER) => {
                        format!("answered {} with Retry-After", response.status().as_u16())
                    }
                    Ok(response) => format!("answered {}", response.status().as_u16()),
                    Err(_) => "reset".to_owned(),
                });
            });
        }
    }
    let told = "answered 503 with Retry-After";
    let settled = async {
        while backend.seen.lasting.load(Relaxed) + attackers.tally.total() < ALL {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, settled).await;
    let (lasting, refused) = (backend.seen.lasting.load(Relaxed), attackers.tally.of(told));
    let waiting = ALL.saturating_sub(lasting + attackers.tally.total());
    Ok(Row {
        attack: format!("{ALL} lasting calls over {CONNECTIONS} HTTP/2 connections"),
        limit: format!(
            "each is at the backend, or is refused with 503 and Retry-After; {}; {}",
            stage.limit("those who wait are few", QUEUE),
            stage.limit("and not for long", QUEUE_TIME)
        ),
        outcome: format!(
            "{lasting} at the backend, {}; {waiting} wait for a place after {PATIENCE:?}",
            attackers.tally
        ),
        held: waiting == 0 && lasting + refused == ALL && refused > 0,
    })
}

/// Has calls wait at the backend while something else happens; how many of them failed.
pub(crate) async fn under_way(
    backend: &Backend,
    gateway: SocketAddr,
    count: usize,
    meanwhile: impl Future<Output = Result<()>>,
) -> Result<usize> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        let request = http1::get(gateway, "/v1/wait?seconds=1.5");
        calls.spawn(async move { http1::exchange(gateway, request).await });
    }
    let under_way = backend.seen.lasting(count, Duration::from_secs(1)).await;
    if under_way < count {
        return Err(format!("only {under_way} of {count} calls reached the backend").into());
    }
    meanwhile.await?;
    let mut failed = 0;
    while let Some(answer) = calls.join_next().await {
        failed += usize::from(!answer?.is_ok_and(|answer| answer.status == 200));
    }
    Ok(failed)
}

/// Sends an HTTP/2 client's request with a body that is begun and not ended.
pub(crate) fn begin_body(
    client: &mut h2::client::SendRequest<Bytes>,
    gateway: SocketAddr,
    target: &str,
) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>)> {
    let request =
        Request::post(format!("http://{gateway}{target}")).header("content-type", "application/json").body(())?;
    Ok(client.send_request(request, false)?)
}
