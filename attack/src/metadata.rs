//! Headers that a gRPC backend does not take, on a connection that all calls share.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    http1,
    isolation::under_way,
    neighbour::{Attackers, Comparison, Neighbour},
    program::Stage,
};

const METADATA: &str = "--max-metadata-size";

/// How many other calls are under way during an attack.
const OTHERS: usize = 50;
/// Between the requests of an attacker: the harm is in what they hold, not in their number.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "metadata/commas", run: |stage| Box::pin(commas(stage)) },
        Attack { name: "metadata/long-header", run: |stage| Box::pin(long_header(stage)) },
        Attack { name: "metadata/many-headers", run: |stage| Box::pin(many_headers(stage)) },
        Attack { name: "metadata/not-base64", run: |stage| Box::pin(not_base64(stage)) },
        Attack { name: "metadata/control-characters", run: |stage| Box::pin(control_characters(stage)) },
    ]
}

async fn commas(stage: &Stage) -> Result<Row> {
    let header = format!("a-bin: {}", ",".repeat(2_000)).into_bytes();
    too_large(stage, "a header `a-bin` of 2,000 commas, which are 2,001 values", header).await
}

async fn long_header(stage: &Stage) -> Result<Row> {
    let header = format!("x-long: {}", "a".repeat(100_000)).into_bytes();
    too_large(stage, "one header of 100 KB", header).await
}

async fn many_headers(stage: &Stage) -> Result<Row> {
    let headers: Vec<String> = (0..80).map(|at| format!("x-many-{at}: {}", "a".repeat(500))).collect();
    too_large(stage, "80 headers of 500 bytes", headers.join("\r\n").into_bytes()).await
}

/// A header that makes the backend close the connection if it is sent on.
async fn too_large(stage: &Stage, what: &str, header: Vec<u8>) -> Result<Row> {
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let request = with_header(gateway.address, &header);
    let failed = under_way(&backend, gateway.address, OTHERS, async {
        drop(http1::exchange(gateway.address, &request).await);
        Ok(())
    })
    .await?;
    let comparison = beside(stage, gateway.address, &request).await?;
    let refused = comparison.tally().of("431");
    Ok(Row {
        attack: format!("{what}: once beside {OTHERS} calls, then by 4 clients again and again"),
        limit: format!("{}; {}", stage.limit("431 before it is sent on", METADATA), Comparison::LIMIT),
        held: failed == 0 && refused == comparison.tally().total() && comparison.held(),
        outcome: format!("{failed} of {OTHERS} other calls failed by one such request; then {comparison}"),
    })
}

fn with_header(gateway: SocketAddr, header: &[u8]) -> Vec<u8> {
    let head = format!("GET /v1/echo/attack HTTP/1.1\r\nHost: {gateway}\r\n");
    [head.as_bytes(), header, b"\r\n\r\n"].concat()
}

/// A client beside four who send a request again and again.
async fn beside(stage: &Stage, gateway: SocketAddr, request: &[u8]) -> Result<Comparison> {
    Neighbour::echo(stage, gateway)
        .beside(async |attackers: &mut Attackers| {
            for _ in 0..4 {
                let (request, tally) = (request.to_vec(), attackers.tally.clone());
                attackers.tasks.spawn(async move {
                    loop {
                        tally.count(http1::outcome(&http1::exchange(gateway, &request).await));
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            }
            Ok(())
        })
        .await
}

async fn not_base64(stage: &Stage) -> Result<Row> {
    illegal(stage, "`x-trace-bin: !!!`", &[b"x-trace-bin: !!!"], |name, value| {
        name.ends_with("-bin") && value.contains(&b'!')
    })
    .await
}

async fn control_characters(stage: &Stage) -> Result<Row> {
    let headers: &[&[u8]] = &[b"x-note: a\tb", b"x-note: caf\xe9", b"x-note: \xff\xfe", b"x-note: \xc2\x9b31m"];
    illegal(
        stage,
        "values with a tab, Latin-1, bytes that are no text, a control character in UTF-8",
        headers,
        |_, value| value.iter().any(|byte| !(0x20..=0x7e).contains(byte)),
    )
    .await
}

/// Headers that gRPC's metadata cannot have: they never come to the backend.
async fn illegal(stage: &Stage, what: &str, headers: &[&[u8]], is_bad: fn(&str, &[u8]) -> bool) -> Result<Row> {
    let backend = Backend::start()?;
    let gateway = stage.gateway(backend.address, &[])?;
    let (mut answers, mut refused) = (Vec::new(), 0);
    for header in headers {
        let answer = http1::exchange(gateway.address, with_header(gateway.address, header)).await;
        refused += usize::from(answer.as_ref().is_ok_and(|answer| answer.status == 400));
        answers.push(http1::outcome(&answer));
    }
    let comparison = beside(stage, gateway.address, &with_header(gateway.address, headers[0])).await?;
    let came = backend.seen.take_metadata().iter().filter(|(name, value)| is_bad(name, value)).count();
    Ok(Row {
        attack: what.to_owned(),
        limit: format!("400 before it is sent on; {}", Comparison::LIMIT),
        held: refused == headers.len() && came == 0 && comparison.held(),
        outcome: format!("answered {}; {came} such values came to the backend; {comparison}", answers.join(", ")),
    })
}
