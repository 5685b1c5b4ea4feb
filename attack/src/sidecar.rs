//! Callers of the sidecar that send what no stub does.

use std::{io::Write, net::SocketAddr, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    neighbour::{Comparison, Neighbour, Tally, millis},
    program::Stage,
};

/// What a call sends as its path; the schema has a body for it.
const METHOD: &str = "/attack.v1.Attack/Put";

/// How long a call of an attacker may take.
const CALL: Duration = Duration::from_secs(20);

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "sidecar/gzip", run: |stage| Box::pin(gzip(stage)) },
        Attack { name: "sidecar/half-messages", run: |stage| Box::pin(half_messages(stage)) },
    ]
}

/// The code of a call of the sidecar with these bytes as its body.
async fn call(sidecar: SocketAddr, encoding: &str, body: Bytes) -> Result<String> {
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(sidecar).await?).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{sidecar}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding);
    let (answer, mut sending) = client.send_request(request.body(())?, false)?;
    sending.send_data(body, true)?;
    let answer = tokio::time::timeout(CALL, answer).await??;
    let (head, mut body) = answer.into_parts();
    while let Some(data) = body.data().await {
        data?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    connection.abort();
    let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    Ok(code.map_or_else(|| "none".to_owned(), |code| String::from_utf8_lossy(code.as_bytes()).into_owned()))
}

fn frame(packed: bool, length: u32, message: &[u8]) -> Bytes {
    [&[u8::from(packed)][..], &length.to_be_bytes(), message].concat().into()
}

async fn gzip(stage: &Stage) -> Result<Row> {
    const UNPACKED: usize = 1024 * 1024 * 1024;
    const CALLS: usize = 8;
    /// How much more memory it may take, in MiB.
    const GROWTH: usize = 96;
    const COST: Duration = Duration::from_millis(500);
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let piece = vec![0; 1024 * 1024];
    for _ in 0..UNPACKED / piece.len() {
        packer.write_all(&piece)?;
    }
    let packed = packer.finish()?;
    let body = frame(true, u32::try_from(packed.len())?, &packed);
    let backend = Backend::start()?;
    let sidecar = stage.sidecar(backend.address, &[])?;
    let (memory, begun) = (sidecar.memory()?, sidecar.processor_time()?);
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(call(sidecar.address, "gzip", body.clone()));
    }
    let tally = Tally::default();
    while let Some(code) = calls.join_next().await {
        tally.count(format!("ended with {}", code??));
    }
    let cost = (sidecar.processor_time()? - begun) / CALLS as u32;
    let growth = sidecar.memory()?.saturating_sub(memory);
    Ok(Row {
        attack: format!("{CALLS} messages of {} bytes that unpack to 1 GiB", packed.len()),
        limit: format!(
            "{}; RESOURCE_EXHAUSTED (8), at most {GROWTH} MiB and {COST:?} of processor time each",
            stage.limit("nothing larger is unpacked", "--max-message-size")
        ),
        held: tally.of("ended with 8") == CALLS && growth <= GROWTH && cost <= COST,
        outcome: format!("{tally}; {growth} MiB more memory, {} of processor time each", millis(cost)),
    })
}

async fn half_messages(stage: &Stage) -> Result<Row> {
    const HELD: usize = 32;
    /// Beside what is held: connections, buffers, and 16 KiB of each call.
    const GROWTH: usize = HELD + 160;
    const STREAMS: usize = 50;
    let connections = stage.pick(10, 40);
    let backend = Backend::start()?;
    let held = (HELD * 1024 * 1024).to_string();
    let sidecar = stage.sidecar(backend.address, &["--max-body-memory", &held])?;
    let (address, memory) = (sidecar.address, sidecar.memory()?);
    let comparison = Neighbour::new(stage, address, "/healthz")
        .beside(async |attackers| {
            for _ in 0..connections {
                let tally = attackers.tally.clone();
                attackers.tasks.spawn(async move {
                    let Ok(stream) = TcpStream::connect(address).await else { return };
                    let Ok((mut client, connection)) = h2::client::handshake(stream).await else { return };
                    let connection = tokio::spawn(connection);
                    let mut open = Vec::new();
                    for _ in 0..STREAMS {
                        let request = Request::post(format!("http://{address}{METHOD}"))
                            .header("content-type", "application/grpc");
                        let Ok(request) = request.body(()) else { return };
                        let Ok((answer, mut body)) = client.send_request(request, false) else { break };
                        // A third of what is announced, and then nothing.
                        let _ = body.send_data(frame(false, 3 << 20, &vec![0; 1 << 20]), false);
                        tally.count("half messages");
                        open.push((answer, body));
                        let Ok(ready) = client.ready().await else { break };
                        client = ready;
                    }
                    let _ = connection.await;
                    drop(open);
                });
            }
            Ok(())
        })
        .await?;
    let most = sidecar.memory()?.saturating_sub(memory);
    Ok(Row {
        attack: format!("{connections} connections with {STREAMS} calls each that stop after a third of 3 MiB"),
        limit: format!(
            "{}, so at most {GROWTH} MiB; {}",
            stage.limit("what is held is bounded", "--max-body-memory"),
            Comparison::LIMIT
        ),
        held: most <= GROWTH && comparison.held(),
        outcome: format!("{most} MiB more memory; {comparison}"),
    })
}
