//! Bodies, heads and frames that cost more than they should, or are none.

use std::{io::Write, net::SocketAddr, time::Duration};

use flate2::{Compression, write::GzEncoder};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    frames::{self, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, PING, RST_STREAM, SETTINGS, block, frame},
    http1, listed,
    neighbour::{Attackers, Comparison, Neighbour, millis},
    program::{Process, Stage},
};

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "encoding/gzip-members", run: |stage| Box::pin(gzip_members(stage)) },
        Attack { name: "encoding/chunks", run: |stage| Box::pin(chunks(stage)) },
        Attack { name: "encoding/host", run: |stage| Box::pin(hosts(stage)) },
        Attack { name: "floods/ping", run: |stage| Box::pin(flood(stage, "PING frames", pings)) },
        Attack { name: "floods/settings", run: |stage| Box::pin(flood(stage, "SETTINGS frames", settings)) },
        Attack {
            name: "floods/rapid-reset",
            run: |stage| Box::pin(flood(stage, "requests that are reset at once", resets)),
        },
        Attack {
            name: "floods/continuation",
            run: |stage| Box::pin(flood(stage, "CONTINUATION frames", continuations)),
        },
        Attack { name: "floods/empty-data", run: |stage| Box::pin(flood(stage, "empty DATA frames", empty_data)) },
    ]
}

async fn gzip_members(stage: &Stage) -> Result<Row> {
    const MEMBERS: usize = 209_000;
    /// Between the requests of an attacker: the harm is in what each costs.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How many times the processor time of the same bytes as plain JSON.
    const FACTOR: u32 = 5;
    /// Below this it is never a failure.
    const FLOOR: Duration = Duration::from_millis(50);
    let member = GzEncoder::new(Vec::new(), Compression::default()).finish()?;
    let packed = member.repeat(MEMBERS);
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let address = gateway.address;
    let plain = http1::post(address, "/v1/blobs", &format!(r#"{{"data":"{}"}}"#, "a".repeat(packed.len() - 100)));
    let (plain_status, plain_cost) = cost(&gateway, plain.as_bytes()).await?;
    if plain_status != "200" {
        return Err(format!("a plain body was answered {plain_status}").into());
    }
    let attack = gzipped(address, &packed)?;
    let (status, attack_cost) = cost(&gateway, &attack).await?;
    let comparison = Neighbour::echo(stage, address)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..2 {
                let (attack, tally) = (attack.clone(), attackers.tally.clone());
                attackers.tasks.spawn(async move {
                    loop {
                        tally.count(format!("answered {}", http1::outcome(&http1::exchange(address, &attack).await)));
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            }
            attackers.tally.count("rounds of 2 clients");
            Ok(())
        })
        .await?;
    Ok(Row {
        attack: format!("a body of {MEMBERS} empty gzip members ({} bytes)", packed.len()),
        limit: format!(
            "at most {FACTOR} times the processor time of as much plain JSON, or {FLOOR:?}; {}",
            Comparison::LIMIT
        ),
        held: attack_cost <= FLOOR.max(plain_cost * FACTOR) && comparison.held(),
        outcome: format!(
            "answered {status}, {} of processor time, plain JSON {}; {comparison}",
            millis(attack_cost),
            millis(plain_cost)
        ),
    })
}

fn gzipped(gateway: SocketAddr, body: &[u8]) -> Result<Vec<u8>> {
    let mut request = Vec::with_capacity(body.len() + 200);
    write!(
        request,
        "POST /v1/blobs HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    request.extend(body);
    Ok(request)
}

/// The processor time of a request, the least of three, and how it was answered.
async fn cost(gateway: &Process, request: &[u8]) -> Result<(String, Duration)> {
    let (mut least, mut status) = (Duration::MAX, String::new());
    for _ in 0..3 {
        let before = gateway.processor_time()?;
        status = http1::outcome(&http1::exchange(gateway.address, request).await);
        least = least.min(gateway.processor_time()?.saturating_sub(before));
    }
    Ok((status, least))
}

/// Sends requests that are none to both servers; each is answered with 400.
async fn malformed(stage: &Stage, cases: impl Fn(&str, &str) -> Vec<(String, String)>) -> Result<(usize, Vec<String>)> {
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let emulator = stage.emulator(&[])?;
    let (mut count, mut wrong) = (0, Vec::new());
    for (server, address, target) in
        [("gateway", gateway.address, "/v1/blobs"), ("emulator", emulator.address, "/v1/spaces")]
    {
        for (what, request) in cases(target, &address.to_string()) {
            count += 1;
            let outcome = http1::outcome(&http1::exchange(address, request).await);
            if outcome != "400" {
                wrong.push(format!("{server}, {what}: {outcome}"));
            }
        }
    }
    Ok((count, wrong))
}

fn judged(attack: &str, count: usize, wrong: &[String]) -> Row {
    Row {
        attack: attack.to_owned(),
        limit: "each is answered with 400".to_owned(),
        held: wrong.is_empty(),
        outcome: format!("{} of {count} were answered otherwise{}", wrong.len(), listed(wrong)),
    }
}

async fn chunks(stage: &Stage) -> Result<Row> {
    let bodies = [
        ("a size that is no number", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a size below zero", "-1\r\n{}\r\n0\r\n\r\n"),
        ("no size", "\r\n{}\r\n0\r\n\r\n"),
        ("a size that overflows", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "2\r\n{}xx\r\n0\r\n\r\n"),
        ("a bad size after a good chunk", "2\r\n{}\r\nzz\r\n\r\n"),
    ];
    let (count, wrong) = malformed(stage, |target, host| {
        bodies
            .iter()
            .map(|(what, body)| {
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                     Transfer-Encoding: chunked\r\n\r\n"
                );
                ((*what).to_owned(), head + body)
            })
            .collect()
    })
    .await?;
    Ok(judged("bodies whose chunks are malformed", count, &wrong))
}

async fn hosts(stage: &Stage) -> Result<Row> {
    let (count, wrong) = malformed(stage, |target, host| {
        let mut cases = Vec::new();
        for target in [target, "/healthz", "/"] {
            for (what, lines) in [
                ("no Host", String::new()),
                ("Host twice", format!("Host: {host}\r\nHost: {host}\r\n")),
                ("Host twice, the second another", format!("Host: {host}\r\nHost: evil.example\r\n")),
                ("a Host with a space", format!("Host: {host} x\r\n")),
                ("a Host with a path", format!("Host: {host}/x\r\n")),
            ] {
                cases.push((format!("{what} for {target}"), format!("GET {target} HTTP/1.1\r\n{lines}\r\n")));
            }
        }
        cases
    })
    .await?;
    Ok(judged("requests without Host, with two, or with one that is none (RFC 9112, section 3.2)", count, &wrong))
}

/// Frames sent as fast as the server reads them, over two connections.
async fn flood(stage: &Stage, what: &str, batch: fn(u32, SocketAddr) -> Vec<u8>) -> Result<Row> {
    let backend = Backend::start()?;
    let mut gateway = stage.gateway(backend.address, &[])?;
    let address = gateway.address;
    let comparison = Neighbour::echo(stage, address)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..2 {
                let tally = attackers.tally.clone();
                attackers.tasks.spawn(async move {
                    loop {
                        let Ok(mut connection) = frames::Connection::open(address).await else { continue };
                        for at in 0..50_000 {
                            if connection.send(batch(at, address)).await.is_err() {
                                break;
                            }
                            tally.count("batches of 100");
                        }
                        tally.count("connections that the server ended");
                    }
                });
            }
            Ok(())
        })
        .await?;
    let lives = gateway.is_running()? && !gateway.errors().contains("panicked");
    let memory = gateway.memory()?;
    Ok(Row {
        attack: format!("{what} over 2 HTTP/2 connections, as fast as they are read"),
        limit: "the server lives; no call of the other client fails".to_owned(),
        held: lives && comparison.none_failed(),
        outcome: format!(
            "{}, {memory} MiB; {comparison}",
            if lives { "it lives" } else { "it died, or a thread of it panicked" }
        ),
    })
}

fn pings(_: u32, _: SocketAddr) -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8]).repeat(100)
}

fn settings(_: u32, _: SocketAddr) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[]).repeat(100)
}

fn resets(batch: u32, gateway: SocketAddr) -> Vec<u8> {
    let streams = (0..100).map(|at| 1 + 2 * (batch * 100 + at));
    streams
        .flat_map(|stream| {
            let request = frames::request(stream, END_STREAM, "GET", gateway, "/v1/wait?seconds=3600");
            [request, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
        })
        .collect()
}

fn continuations(batch: u32, gateway: SocketAddr) -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", "and more")])).repeat(100);
    if batch > 0 {
        return more;
    }
    let mut begin = frames::request(1, END_STREAM, "GET", gateway, "/v1/echo/x");
    // The headers are not whole after all.
    begin[4] &= !END_HEADERS;
    [begin, more].concat()
}

fn empty_data(batch: u32, gateway: SocketAddr) -> Vec<u8> {
    let data = frame(DATA, 0, 1, &[]).repeat(100);
    if batch > 0 { data } else { [frames::request(1, 0, "POST", gateway, "/v1/blobs"), data].concat() }
}
