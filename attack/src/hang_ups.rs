//! Clients that leave, and backends that go away, while others have calls under way.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Attack, Result, Row,
    backend::{self, Backend},
    frames::{self, CANCEL, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame},
    http1::{self, Connection},
    isolation::under_way,
    neighbour::{Attackers, Comparison, Neighbour},
    program::Stage,
};

/// How often a client hangs up where others' times are compared: in all they do so a thousand
/// times a second, so that the harm is in that they leave, not in that they are many.
const PACE: Duration = Duration::from_millis(100);
/// Where it only counts whether calls of others fail, they do so as fast as they can.
const AT_ONCE: Duration = Duration::ZERO;

/// A call that lasts until its client hangs up.
const LASTING: &str = "/v1/wait?seconds=3600";

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "hang-ups/http1", run: |stage| Box::pin(hang_up(stage, "HTTP/1.1", http1_hang_ups)) },
        Attack { name: "hang-ups/http2", run: |stage| Box::pin(hang_up(stage, "HTTP/2", http2_resets)) },
        Attack { name: "hang-ups/while-connecting", run: |stage| Box::pin(while_connecting(stage)) },
        Attack { name: "hang-ups/goaway", run: |stage| Box::pin(goaway(stage)) },
        Attack { name: "hang-ups/refused-streams", run: |stage| Box::pin(refused_streams(stage)) },
    ]
}

/// Clients that hang up during calls, all the time.
async fn hang_up(stage: &Stage, wire: &str, attack: fn(&mut Attackers, SocketAddr, Duration)) -> Result<Row> {
    const OTHERS: usize = 50;
    const ROUNDS: usize = 3;
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let mut failed = 0;
    for _ in 0..ROUNDS {
        failed += under_way(&backend, gateway.address, OTHERS, async {
            let mut attackers = Attackers::default();
            attack(&mut attackers, gateway.address, AT_ONCE);
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        })
        .await?;
    }
    let neighbour = Neighbour::echo(stage, gateway.address);
    let beside = async |pace: Duration| {
        let attack = async |attackers: &mut Attackers| {
            attack(attackers, gateway.address, pace);
            Ok(())
        };
        if pace == AT_ONCE { neighbour.compare(&attack).await } else { neighbour.beside(attack).await }
    };
    let (fast, paced) = (beside(AT_ONCE).await?, beside(PACE).await?);
    let connections = backend.seen.connections.load(Relaxed);
    Ok(Row {
        attack: format!(
            "100 clients hang up during calls ({wire}), as fast as they can, and then ten times a second each"
        ),
        limit: format!("no call of others fails; in the second case: {}", Comparison::LIMIT),
        held: failed == 0 && fast.none_failed() && paced.held(),
        outcome: format!(
            "{failed} of {} calls under way failed; {fast}; then {paced}; {connections} connections to the backend",
            OTHERS * ROUNDS
        ),
    })
}

fn http1_hang_ups(attackers: &mut Attackers, gateway: SocketAddr, pace: Duration) {
    for at in 0..100_u32 {
        let tally = attackers.tally.clone();
        attackers.tasks.spawn(async move {
            // Some leave before the call is at the backend, some after.
            let stay = Duration::from_millis(u64::from(at % 8));
            // Not all at once.
            tokio::time::sleep(pace * at / 100).await;
            loop {
                if let Ok(mut connection) = Connection::open(gateway).await {
                    let _ = connection.send(http1::get(gateway, LASTING)).await;
                    tokio::time::sleep(stay).await;
                    tally.count("hang-ups");
                }
                tokio::time::sleep(pace).await;
            }
        });
    }
}

/// The same by RST_STREAM, ten streams at a time: more, and the gateway may take it for a
/// flood and close the connection, as it should.
fn http2_resets(attackers: &mut Attackers, gateway: SocketAddr, pace: Duration) {
    for at in 0..10_u32 {
        let tally = attackers.tally.clone();
        attackers.tasks.spawn(async move {
            tokio::time::sleep(pace * at / 10).await;
            loop {
                tokio::time::sleep(pace).await;
                let Ok(mut connection) = frames::Connection::open(gateway).await else { continue };
                for first in (1..20_000).step_by(20) {
                    let streams: Vec<u32> = (first..first + 20).step_by(2).collect();
                    let calls: Vec<u8> = streams
                        .iter()
                        .flat_map(|stream| frames::request(*stream, END_STREAM, "GET", gateway, LASTING))
                        .collect();
                    let resets: Vec<u8> =
                        streams.iter().flat_map(|stream| frame(RST_STREAM, 0, *stream, &CANCEL)).collect();
                    if connection.send(calls).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(u64::from(at))).await;
                    if connection.send(resets).await.is_err() {
                        break;
                    }
                    streams.iter().for_each(|_| tally.count("hang-ups"));
                    tokio::time::sleep(pace).await;
                }
            }
        });
    }
}

/// The first caller, for whom the connection to the backend is being made, leaves.
async fn while_connecting(stage: &Stage) -> Result<Row> {
    const WAITING: usize = 3;
    // A queue of one for connections that are not accepted yet, and full: the system does not
    // answer the next one, and its client asks again after a second.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?.into_std()?;
    let address = listener.local_addr()?;
    let mut fill = JoinSet::new();
    for _ in 0..4 {
        fill.spawn(async move { TcpStream::connect(address).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let gateway = stage.gateway(address, &[])?;
    let mut first = Connection::open(gateway.address).await?;
    first.send(http1::get(gateway.address, "/v1/echo/first")).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut calls = JoinSet::new();
    for _ in 0..WAITING {
        let gateway = gateway.address;
        calls.spawn(async move { http1::exchange(gateway, http1::get(gateway, "/v1/echo/hello")).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _backend = Backend::listen(listener, |stream, _, seen| backend::serve(stream, seen))?;
    let (answered, outcomes) = answers(calls).await?;
    Ok(Row {
        attack: format!("the first caller leaves while the backend accepts no connection; {WAITING} others wait"),
        limit: "all who wait are answered with 200".to_owned(),
        held: answered == WAITING,
        outcome: format!("{} of {WAITING} failed: {outcomes}", WAITING - answered),
    })
}

/// How many of some calls were answered with 200, and how all were.
async fn answers(mut calls: JoinSet<std::io::Result<http1::Answer>>) -> Result<(usize, String)> {
    let tally = crate::neighbour::Tally::default();
    while let Some(answer) = calls.join_next().await {
        tally.count(format!("answered {}", http1::outcome(&answer?)));
    }
    Ok((tally.of("answered 200"), tally.to_string()))
}

/// A backend that goes away before it has looked at some of the calls.
async fn goaway(stage: &Stage) -> Result<Row> {
    const CALLS: usize = 20;
    let backend = Backend::serve(|mut stream, before, seen| async move {
        if before > 0 {
            return backend::serve(stream, seen).await;
        }
        let mut preface = [0; PREFACE.len()];
        if stream.read_exact(&mut preface).await.is_err() {
            return;
        }
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
        let mut streams = 0;
        while streams < CALLS {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            streams += usize::from(kind == HEADERS);
            seen.lasting.store(streams, Relaxed);
        }
        // The last stream that was looked at is 0, without an error.
        let _ = stream.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })?;
    let gateway = stage.gateway(backend.address, &[])?;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let gateway = gateway.address;
        calls.spawn(async move { http1::exchange(gateway, http1::get(gateway, "/v1/echo/hello")).await });
    }
    let (answered, outcomes) = answers(calls).await?;
    let sent = backend.seen.lasting.load(Relaxed);
    Ok(Row {
        attack: format!("the backend says GOAWAY with the last stream 0 to {sent} calls, and takes new connections"),
        limit: "what was certainly not processed is sent again: all are answered with 200".to_owned(),
        held: answered == CALLS && sent == CALLS,
        outcome: format!("{} of {CALLS} failed: {outcomes}", CALLS - answered),
    })
}

/// A backend that refuses some streams before it looks at them.
async fn refused_streams(stage: &Stage) -> Result<Row> {
    const CALLS: usize = 20;
    const REFUSED: usize = 5;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let backend = Backend::serve(move |stream, _, _| refuse(stream, Arc::clone(&count), REFUSED))?;
    let gateway = stage.gateway(backend.address, &[])?;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let gateway = gateway.address;
        calls.spawn(async move { http1::exchange(gateway, http1::get(gateway, "/v1/echo/hello")).await });
    }
    let (answered, outcomes) = answers(calls).await?;
    let refused = refused.load(Relaxed).min(REFUSED);
    Ok(Row {
        attack: format!("the backend refuses {refused} of {CALLS} calls with REFUSED_STREAM"),
        limit: "what was certainly not processed is sent again: all are answered with 200".to_owned(),
        held: answered == CALLS && refused == REFUSED,
        outcome: format!("{} of {CALLS} failed: {outcomes}", CALLS - answered),
    })
}

/// Serves a connection: refuses the first streams of all, and answers the others with an
/// empty message.
async fn refuse(stream: TcpStream, refused: Arc<AtomicUsize>, count: usize) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if refused.fetch_add(1, Relaxed) < count {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        tokio::spawn(async move {
            let _ = answer(request, respond).await;
        });
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> std::result::Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(Bytes::from_static(&[0; 5]), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
