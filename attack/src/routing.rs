//! Paths that cost a server with many routes more than they cost who sends them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    Attack, Result, Row,
    backend::{self, Backend},
    http1::{self, Connection},
    neighbour::{Attackers, Comparison, Neighbour, millis},
    program::{Process, Stage},
};

const PATH: &str = "--max-path-length";

/// How many times the processor time of a plain request the one of an attack may be.
const FACTOR: u32 = 10;
/// Below this it is never a failure.
const FLOOR: Duration = Duration::from_millis(1);
/// Between the requests of an attacker: the harm is in what each costs, not in their number.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a request is waited for.
const LONG: Duration = Duration::from_secs(5);

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "routing/slashes", run: |stage| Box::pin(slashes(stage)) },
        Attack { name: "routing/segments", run: |stage| Box::pin(segments(stage)) },
        Attack { name: "routing/percent-escapes", run: |stage| Box::pin(percent_escapes(stage)) },
    ]
}

async fn slashes(stage: &Stage) -> Result<Row> {
    let path = format!("/v1/things/{}", "/".repeat(60_000));
    attack(stage, "paths of 60,000 slashes", 3_000, &path).await
}

async fn segments(stage: &Stage) -> Result<Row> {
    let path = format!("/v1/things/{}none", "a/".repeat(30_000));
    attack(stage, "paths of 30,000 segments", 3_000, &path).await
}

async fn percent_escapes(stage: &Stage) -> Result<Row> {
    attack(stage, "an escape in each of the first two segments", 5_000, "/v%31/ki%6Ed/a/things/b").await
}

async fn attack(stage: &Stage, what: &str, bindings: usize, path: &str) -> Result<Row> {
    let schema = stage.directory.join("many.bin");
    std::fs::write(&schema, backend::schema(&stage.directory, Some(bindings))?)?;
    let backend = Backend::start()?;
    let gateway = stage.gateway_of(&schema, backend.address, &[])?;
    let plain = cost(&gateway, "/v1/echo/hello", 200).await?;
    let attacked = cost(&gateway, path, 3).await?;
    let comparison = Neighbour::echo(stage, gateway.address)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..8 {
                let (request, tally) = (http1::get(gateway.address, path), attackers.tally.clone());
                let address = gateway.address;
                attackers.tasks.spawn(async move {
                    loop {
                        let answer = http1::exchange(address, &request).await;
                        tally.count(format!("answered {}", http1::outcome(&answer)));
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            }
            // Attackers whom nobody has answered attack as well.
            attackers.tally.count("rounds of 8 clients");
            Ok(())
        })
        .await?;
    Ok(Row {
        attack: format!("8 clients ask for {what}, with {bindings} bindings"),
        limit: format!(
            "{}; at most {FACTOR} times the processor time of a plain request, or {FLOOR:?}; {}",
            stage.limit("a path's length costs once, whatever the routes, and is limited with 414", PATH),
            Comparison::LIMIT
        ),
        held: attacked <= FLOOR.max(plain * FACTOR) && comparison.held(),
        outcome: format!("{} of processor time, a plain request {}; {comparison}", millis(attacked), millis(plain)),
    })
}

/// The processor time of a request, on average over some; of one that takes longer than
/// [`LONG`], what it took until then.
async fn cost(gateway: &Process, path: &str, count: u32) -> Result<Duration> {
    let (before, begun, mut made) = (gateway.processor_time()?, Instant::now(), 0);
    while made < count && begun.elapsed() < LONG {
        // What has no answer yet has cost so much already.
        if let Ok(made) = tokio::time::timeout(LONG, request(gateway.address, path)).await {
            made?;
        }
        made += 1;
    }
    Ok(gateway.processor_time()?.saturating_sub(before) / made)
}

async fn request(address: SocketAddr, path: &str) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    connection.send(http1::get(address, path)).await?;
    connection.head().await?;
    Ok(())
}
