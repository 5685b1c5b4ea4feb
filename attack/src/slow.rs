//! Clients that begin and do not go on, many of them, and a backend that stands still.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    frames::PREFACE,
    http1::{self, Connection},
    isolation::begin_body,
    neighbour::{Attackers, Comparison, Neighbour, Tally},
    program::{Process, Stage, run},
};

const DEADLINE: &str = "--timeout";
const HEAD: &str = "--head-timeout";
const BODY: &str = "--body-timeout";
const CONNECTIONS: &str = "--max-connections";
const HELD: &str = "--max-body-memory";

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "slow/heads", run: |stage| Box::pin(unfinished(stage, Part::Head)) },
        Attack { name: "slow/bodies-http1", run: |stage| Box::pin(unfinished(stage, Part::Body)) },
        Attack { name: "slow/bodies-http2", run: |stage| Box::pin(unfinished(stage, Part::Streams)) },
        Attack { name: "slow/descriptors-bodies", run: |stage| Box::pin(descriptors(stage, Part::Body)) },
        Attack { name: "slow/descriptors-idle", run: |stage| Box::pin(descriptors(stage, Part::Nothing)) },
        Attack { name: "slow/prefaces", run: |stage| Box::pin(prefaces(stage)) },
        Attack { name: "slow/memory", run: |stage| Box::pin(memory(stage, BLOB)) },
        Attack { name: "slow/memory-elements", run: |stage| Box::pin(memory(stage, STREAM)) },
        Attack { name: "slow/elements-http1", run: |stage| Box::pin(unfinished(stage, Part::Element)) },
        Attack { name: "slow/frozen-backend", run: |stage| Box::pin(frozen(stage)) },
        Attack { name: "slow/silent-backend", run: |stage| Box::pin(silent(stage)) },
    ]
}

/// What a client sends before it stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    /// Half of a head.
    Head,
    /// Ten bytes of a body of a thousand.
    Body,
    /// The same over HTTP/2, in 50 streams of a connection.
    Streams,
    /// Half of an element of a stream of requests.
    Element,
}

/// Where a body is one message, and where it is a stream of them.
const BLOB: &str = "/v1/blobs";
const STREAM: &str = "/v1/blobs:collect";

/// How many streams a connection of [`Part::Streams`] has.
const STREAMS: usize = 50;

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "connections without a request",
            Self::Head => "unfinished heads",
            Self::Body => "unfinished bodies over HTTP/1.1",
            Self::Streams => "unfinished bodies over HTTP/2",
            Self::Element => "unfinished elements of streams",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::Nothing | Self::Head => HEAD,
            Self::Body | Self::Streams => BODY,
            Self::Element => DEADLINE,
        }
    }

    fn text(self, gateway: SocketAddr) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Head => format!("GET /v1/echo/x HTTP/1.1\r\nHost: {gateway}\r\nX-Unfini"),
            Self::Element => Self::Body.text(gateway).replace(BLOB, STREAM),
            Self::Body | Self::Streams => format!(
                "POST {BLOB} HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\n\
                 Content-Length: 1000\r\n\r\n{{\"name\":\"x"
            ),
        }
    }

    /// Begins `count` requests, and counts those that the server ends.
    async fn begin(self, gateway: SocketAddr, count: usize, attackers: &mut Attackers) -> Result<()> {
        if self != Self::Streams {
            for _ in 0..count {
                let tally = attackers.tally.clone();
                // Once the system's queue is full, too, nobody else gets a connection either.
                let opened = tokio::time::timeout(Duration::from_secs(1), Connection::open(gateway)).await;
                let Ok(Ok(mut connection)) = opened else { break };
                if connection.send(self.text(gateway)).await.is_err() {
                    continue;
                }
                tally.count("begun");
                attackers.tasks.spawn(async move {
                    connection.closed(Duration::MAX).await;
                    tally.count("ended");
                });
            }
            return Ok(());
        }
        for _ in 0..count.div_ceil(STREAMS) {
            let stream = TcpStream::connect(gateway).await?;
            let (client, connection) = h2::client::handshake(stream).await?;
            attackers.tasks.spawn(async move { drop(connection.await) });
            for _ in 0..STREAMS {
                let mut client = client.clone().ready().await?;
                let (answer, mut body) = begin_body(&mut client, gateway, BLOB)?;
                body.send_data(Bytes::from_static(b"{\"name\":\"x"), false)?;
                let tally = attackers.tally.clone();
                tally.count("begun");
                attackers.tasks.spawn(async move {
                    let _ = answer.await;
                    tally.count("ended");
                    drop(body);
                });
            }
        }
        Ok(())
    }
}

/// The arguments for a short time, if there is a flag, and how long to wait for it.
fn short<'f>(stage: &Stage, flag: &'f str) -> (Vec<&'f str>, Duration) {
    let set = stage.set(flag, "2");
    let patience = if set.is_empty() { stage.pick(8, 40) } else { 6 };
    (set, Duration::from_secs(patience))
}

/// Requests that are begun and not ended: they are ended by the server.
async fn unfinished(stage: &Stage, part: Part) -> Result<Row> {
    const COUNT: usize = 200;
    let (arguments, patience) = short(stage, part.flag());
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &arguments)?;
    let comparison = Neighbour::echo(stage, gateway.address)
        .fresh()
        .beside(async |attackers: &mut Attackers| part.begin(gateway.address, COUNT, attackers).await)
        .await?;
    let mut attackers = Attackers::default();
    part.begin(gateway.address, COUNT, &mut attackers).await?;
    let (begun, begin) = (attackers.tally.of("begun"), Instant::now());
    let ended = wait_for(&attackers.tally, begun, patience).await;
    Ok(Row {
        attack: format!("{COUNT} {}", part.name()),
        limit: format!(
            "{}; {}",
            stage.limit("each is ended by the server after a time", part.flag()),
            Comparison::LIMIT
        ),
        held: ended == begun && comparison.held(),
        outcome: format!(
            "{ended} of {begun} ended within {:.1} s{}; {comparison}",
            begin.elapsed().as_secs_f64(),
            set_to(&arguments)
        ),
    })
}

/// Which flag was set, if one was.
fn set_to(arguments: &[&str]) -> String {
    if arguments.is_empty() { String::new() } else { format!(" with {}", arguments.join(" ")) }
}

async fn wait_for(tally: &Tally, count: usize, within: Duration) -> usize {
    let reached = async {
        while tally.of("ended") < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(within, reached).await;
    tally.of("ended")
}

/// More connections than the server has descriptors for: a new client is answered soon.
async fn descriptors(stage: &Stage, part: Part) -> Result<Row> {
    const FILES: usize = 120;
    const COUNT: usize = 300;
    let (arguments, patience) = short(stage, part.flag());
    let backend = Backend::start()?;
    let gateway = stage.narrow_gateway(backend.address, FILES, &arguments)?;
    // So that the connection to the backend is there.
    http1::exchange(gateway.address, http1::get(gateway.address, "/v1/echo/hello")).await?;
    let mut attackers = Attackers::default();
    part.begin(gateway.address, COUNT, &mut attackers).await?;
    let begun = Instant::now();
    let mut answered = false;
    while !answered && begun.elapsed() < patience {
        let call = http1::exchange(gateway.address, http1::get(gateway.address, "/v1/echo/hello"));
        let answer = tokio::time::timeout(patience.saturating_sub(begun.elapsed()), call).await;
        answered = matches!(answer, Ok(Ok(answer)) if answer.status == 200);
        if !answered {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    Ok(Row {
        attack: format!("{COUNT} {}, where the system gives {FILES} descriptors", part.name()),
        limit: format!(
            "{}; {}",
            stage.limit("a new client is answered as soon as they time out", part.flag()),
            stage.limit("connections have a limit", CONNECTIONS)
        ),
        held: answered,
        outcome: match answered {
            true => format!("a new client was answered after {took:.1} s{}", set_to(&arguments)),
            false => format!("a new client was not answered in {took:.1} s{}", set_to(&arguments)),
        },
    })
}

/// Half of an HTTP/2 preface, and the client goes.
async fn prefaces(stage: &Stage) -> Result<Row> {
    const COUNT: usize = 2_000;
    const GIVEN_BACK: Duration = Duration::from_secs(5);
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    http1::exchange(gateway.address, http1::get(gateway.address, "/v1/echo/hello")).await?;
    let before = gateway.descriptors()?;
    let mut attackers = Attackers::default();
    half_prefaces(gateway.address, COUNT, &mut attackers).await;
    // They are accepted one after the other.
    let accepted = Instant::now();
    while gateway.descriptors()? < before + COUNT && accepted.elapsed() < GIVEN_BACK {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let held = gateway.descriptors()?;
    let (begun, used) = (Instant::now(), gateway.processor_time()?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = (gateway.processor_time()? - used).as_secs_f64() / begun.elapsed().as_secs_f64();
    drop(attackers);
    let gone = Instant::now();
    let after = descriptors_at_most(&gateway, before + 5, GIVEN_BACK).await?;
    let took = gone.elapsed().as_secs_f64();
    let comparison = Neighbour::echo(stage, gateway.address)
        .beside(async |attackers: &mut Attackers| {
            half_prefaces(gateway.address, COUNT, attackers).await;
            Ok(())
        })
        .await?;
    Ok(Row {
        attack: format!("{COUNT} half-sent HTTP/2 prefaces whose clients go then"),
        limit: format!(
            "the descriptors are given back within {GIVEN_BACK:?}; waiting takes less than 0.1 processors; {}",
            Comparison::LIMIT
        ),
        held: after <= before + 5 && share < 0.1 && comparison.held(),
        outcome: format!(
            "{before} descriptors before, {held} with them, {after} after {took:.1} s; {share:.2} processors for waiting; {comparison}"
        ),
    })
}

async fn half_prefaces(gateway: SocketAddr, count: usize, attackers: &mut Attackers) {
    for _ in 0..count {
        let Ok(mut connection) = Connection::open(gateway).await else { continue };
        if connection.send(&PREFACE[..PREFACE.len() / 2]).await.is_ok() {
            attackers.tally.count("half prefaces");
        }
        attackers.tasks.spawn(async move {
            let _held = connection;
            std::future::pending().await
        });
    }
}

/// Waits until a server has so few descriptors open, for a time at most; how many it has.
async fn descriptors_at_most(gateway: &Process, most: usize, within: Duration) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let count = gateway.descriptors()?;
        if count <= most || begun.elapsed() >= within {
            return Ok(count);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One HTTP/2 connection with many large bodies that do not end, or elements of bodies.
async fn memory(stage: &Stage, path: &'static str) -> Result<Row> {
    const COUNT: usize = 200;
    /// Just under the largest body that is taken.
    const SIZE: usize = 4 * 1024 * 1024 - 64 * 1024;
    const MOST: usize = 400;
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    http1::exchange(gateway.address, http1::get(gateway.address, "/v1/echo/hello")).await?;
    let (before, mut attackers) = (gateway.memory()?, Attackers::default());
    let (client, connection) = h2::client::handshake(TcpStream::connect(gateway.address).await?).await?;
    attackers.tasks.spawn(async move { drop(connection.await) });
    let chunk = Bytes::from(vec![b'a'; 64 * 1024]);
    for _ in 0..COUNT {
        let (client, chunk, tally) = (client.clone(), chunk.clone(), attackers.tally.clone());
        let address = gateway.address;
        attackers.tasks.spawn(async move {
            let sent = async {
                let mut client = client.ready().await?;
                let (answer, mut body) = begin_body(&mut client, address, path)?;
                body.send_data(Bytes::from_static(b"{\"data\":\""), false)?;
                let mut sent = 0;
                while sent < SIZE {
                    body.reserve_capacity(chunk.len());
                    let ready = std::future::poll_fn(|context| body.poll_capacity(context)).await;
                    let Some(ready) = ready.transpose()? else { break };
                    body.send_data(chunk.slice(..ready.min(chunk.len())), false)?;
                    sent += ready;
                }
                tally.count("bodies sent but for the end");
                Result::Ok((answer.await?.status(), body))
            };
            tally.count(match sent.await {
                Ok((status, _)) => format!("answered {}", status.as_u16()),
                Err(_) => "reset".to_owned(),
            });
        });
    }
    // Until all is sent or refused, the memory is more than enough, or nothing moves.
    let (mut peak, mut moved, mut last) = (before, Instant::now(), before);
    while peak < before + MOST && attackers.tally.total() < COUNT && moved.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = gateway.memory()?;
        peak = peak.max(now);
        if now != last {
            (last, moved) = (now, Instant::now());
        }
    }
    let outcome = format!("it grew from {before} to {peak} MiB; attackers: {}", attackers.tally);
    drop(attackers);
    let comparison = Neighbour::echo(stage, gateway.address).sample().await?;
    Ok(Row {
        attack: format!("one HTTP/2 connection with {COUNT} bodies of 4 MiB to {path} that do not end"),
        limit: stage.limit(&format!("the memory grows by less than {MOST} MiB; calls after it succeed"), HELD),
        held: peak < before + MOST && comparison.all_answered(),
        outcome,
    })
}

/// A backend that is stopped during calls.
async fn frozen(stage: &Stage) -> Result<Row> {
    let schema = stage.fresh("chat.bin");
    let output = schema.display().to_string();
    run(stage.command(&["schema", "--output", &output]), std::process::Stdio::null(), Duration::from_secs(10)).await?;
    let emulator = stage.emulator(&[])?;
    let (arguments, patience) = deadline(stage);
    let gateway = stage.gateway_of(&schema, emulator.address, &arguments)?;
    let spaces = http1::get(gateway.address, "/v1/spaces");
    let before = http1::exchange(gateway.address, &spaces).await;
    emulator.signal(Signal::STOP)?;
    let begun = Instant::now();
    let answer = tokio::time::timeout(patience, http1::exchange(gateway.address, &spaces)).await;
    let took = begun.elapsed().as_secs_f64();
    emulator.signal(Signal::CONT)?;
    let after = http1::exchange(gateway.address, &spaces).await;
    let during = answer.map_or_else(|_| "no answer".to_owned(), |answer| http1::outcome(&answer));
    let (before, after) = (http1::outcome(&before), http1::outcome(&after));
    Ok(Row {
        attack: "the backend is stopped (SIGSTOP) before a call, and goes on after it".to_owned(),
        limit: stage.limit("a deadline ends the call with 504; later calls succeed", DEADLINE),
        held: (before.as_str(), during.as_str(), after.as_str()) == ("200", "504", "200"),
        outcome: format!("{before} before, {during} after {took:.1} s{}, {after} when it goes on", set_to(&arguments)),
    })
}

fn deadline(stage: &Stage) -> (Vec<&'static str>, Duration) {
    let set = stage.set(DEADLINE, "2");
    let patience = if set.is_empty() { stage.pick(10, 70) } else { 12 };
    (set, Duration::from_secs(patience))
}

/// A backend that takes connections and never says a word.
async fn silent(stage: &Stage) -> Result<Row> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (arguments, patience) = deadline(stage);
    let gateway = stage.gateway(listener.local_addr()?, &arguments)?;
    let begun = Instant::now();
    let call = http1::exchange(gateway.address, http1::get(gateway.address, "/v1/echo/hello"));
    let answer = tokio::time::timeout(patience, call).await;
    let took = begun.elapsed().as_secs_f64();
    let answer = answer.map_or_else(|_| "no answer".to_owned(), |answer| http1::outcome(&answer));
    Ok(Row {
        attack: "the backend takes the connection and never says a word".to_owned(),
        limit: stage.limit("the call ends with 503 or 504", DEADLINE),
        held: ["503", "504"].contains(&answer.as_str()),
        outcome: format!("{answer} after {took:.1} s{}", set_to(&arguments)),
    })
}
