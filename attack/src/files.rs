//! Files that are somebody else's, signals, and memory.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    Attack, Result, Row,
    backend::Backend,
    http1::{self, Connection},
    neighbour::{Attackers, Comparison, Neighbour},
    program::{Process, Run, Stage, run},
};

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "files/sigterm-under-way", run: |stage| Box::pin(sigterm(stage)) },
        Attack { name: "files/second-signal", run: |stage| Box::pin(second_signal(stage)) },
        Attack { name: "files/data-after-the-end", run: |stage| Box::pin(data(stage)) },
        Attack { name: "files/foreign-data", run: |stage| Box::pin(foreign_data(stage)) },
        Attack { name: "files/call-log", run: |stage| Box::pin(call_log(stage)) },
        Attack { name: "files/foreign-certificate", run: |stage| Box::pin(foreign_certificate(stage)) },
        Attack { name: "files/key-modes", run: |stage| Box::pin(key_modes(stage)) },
        Attack { name: "files/full-disk", run: |stage| Box::pin(full_disk(stage)) },
    ]
}

/// Has the next calls of an emulator take a time.
async fn slow_down(emulator: &Process, calls: usize, seconds: f64) -> Result<()> {
    let faults = vec![serde_json::json!({"latency": seconds}); calls];
    let body = serde_json::json!({"next": faults}).to_string();
    let answer = http1::exchange(emulator.address, http1::post(emulator.address, "/emulator/faults", &body)).await?;
    if answer.status == 200 { Ok(()) } else { Err(format!("no faults were set: {}", answer.text()).into()) }
}

fn create(emulator: &Process, name: &str) -> String {
    let body = format!(r#"{{"displayName":"{name}","spaceType":"SPACE"}}"#);
    http1::post(emulator.address, "/v1/spaces", &body)
}

/// Waits until so many calls are not answered yet.
async fn under_way(emulator: &Process, count: usize) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let request = http1::get(emulator.address, "/emulator/calls");
        let calls: Value = serde_json::from_slice(&http1::exchange(emulator.address, request).await?.body)?;
        let open = calls.as_array().into_iter().flatten().filter(|call| call["code"].is_null()).count();
        if open >= count {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("{count} calls did not come to be under way").into())
}

async fn sigterm(stage: &Stage) -> Result<Row> {
    const CALLS: usize = 20;
    let mut emulator = stage.emulator(&[])?;
    slow_down(&emulator, CALLS, 1.0).await?;
    let mut calls = JoinSet::new();
    for at in 0..CALLS {
        let (request, address) = (create(&emulator, &format!("space {at}")), emulator.address);
        calls.spawn(async move { http1::exchange(address, request).await });
    }
    under_way(&emulator, CALLS).await?;
    emulator.signal(Signal::TERM)?;
    let mut answered = 0;
    while let Some(answer) = calls.join_next().await {
        answered += usize::from(answer?.is_ok_and(|answer| answer.status == 200));
    }
    let status = emulator.ended(Duration::from_secs(10)).await?;
    Ok(Row {
        attack: format!("SIGTERM to the emulator with {CALLS} calls under way"),
        limit: "the calls end well, and then the program, with exit code 0".to_owned(),
        held: answered == CALLS && status.is_some_and(|status| status.success()),
        outcome: format!(
            "{} of {CALLS} calls failed; {}",
            CALLS - answered,
            status.map_or_else(|| "it still ran after 10 s".to_owned(), |status| status.to_string())
        ),
    })
}

/// A second signal ends a drain at once.
async fn second_signal(stage: &Stage) -> Result<Row> {
    const AT_ONCE: Duration = Duration::from_secs(2);
    let mut outcomes = Vec::new();
    let mut held = true;
    for signal in [Signal::TERM, Signal::INT] {
        let backend = Backend::start()?;
        let gateway = stage.gateway(backend.address, &["--drain", "60"])?;
        let mut call = Connection::open(gateway.address).await?;
        call.send(http1::get(gateway.address, "/v1/wait?seconds=3600")).await?;
        if backend.seen.lasting(1, Duration::from_secs(5)).await == 0 {
            return Err("the call did not reach the backend".into());
        }
        let emulator = stage.emulator(&[])?;
        slow_down(&emulator, 1, 60.0).await?;
        let mut slow = Connection::open(emulator.address).await?;
        slow.send(create(&emulator, "slow")).await?;
        under_way(&emulator, 1).await?;
        for (name, mut process) in [("gateway", gateway), ("emulator", emulator)] {
            process.signal(signal)?;
            let early = process.ended(Duration::from_millis(500)).await?;
            if early.is_none() {
                process.signal(signal)?;
            }
            let begun = Instant::now();
            let ended = process.ended(Duration::from_secs(5)).await?;
            let took = begun.elapsed();
            held &= early.is_none() && ended.is_some() && took < AT_ONCE;
            outcomes.push(match (early, ended) {
                (Some(_), _) => format!("{name}: the first signal cut the call"),
                (None, None) => format!("{name}: still running 5 s after the second"),
                (None, Some(_)) => format!("{name}: {:.1} s", took.as_secs_f64()),
            });
        }
    }
    Ok(Row {
        attack: "SIGTERM twice, SIGINT twice, with a call under way that does not end".to_owned(),
        limit: format!("the first lets the call go on (`--drain`), the second ends the program within {AT_ONCE:?}"),
        outcome: outcomes.join("; "),
        held,
    })
}

async fn data(stage: &Stage) -> Result<Row> {
    const SPACES: usize = 50;
    let (file, copy) = (stage.fresh("data.db"), stage.fresh("copy.db"));
    let mut emulator = stage.emulator(&["--data", &file.display().to_string()])?;
    for at in 0..SPACES {
        let answer = http1::exchange(emulator.address, create(&emulator, &format!("space {at}"))).await?;
        if answer.status != 200 {
            return Err(answer.text().into());
        }
    }
    emulator.signal(Signal::TERM)?;
    let status = emulator.ended(Duration::from_secs(10)).await?;
    // The file by itself, as somebody copies it.
    fs::copy(&file, &copy)?;
    let size = fs::metadata(&copy)?.len();
    let found = match stage.emulator(&["--data", &copy.display().to_string()]) {
        Err(error) => format!("the file is not taken: {error}"),
        Ok(emulator) => {
            let request = http1::get(emulator.address, "/v1/spaces?pageSize=1000");
            let list: Value = serde_json::from_slice(&http1::exchange(emulator.address, request).await?.body)?;
            format!("{} of {SPACES} spaces", list["spaces"].as_array().map_or(0, Vec::len))
        }
    };
    Ok(Row {
        attack: format!("{SPACES} spaces with `--data FILE`, SIGTERM, and FILE is copied without what lies beside it"),
        limit: "the file has everything".to_owned(),
        held: found == format!("{SPACES} of {SPACES} spaces") && status.is_some_and(|status| status.success()),
        outcome: format!("{found} in {size} bytes"),
    })
}

async fn foreign_data(stage: &Stage) -> Result<Row> {
    let file = stage.fresh("notes.db");
    let notes = rusqlite::Connection::open(&file)?;
    notes.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine'), ('also mine');")?;
    notes.close().map_err(|(_, error)| error)?;
    let before = fs::read(&file)?;
    let path = file.display().to_string();
    let run = run(
        stage.command(&["emulator", "--listen", "127.0.0.1:0", "--data", &path]),
        Stdio::null(),
        Duration::from_secs(5),
    )
    .await?;
    let unchanged = fs::read(&file)? == before && !Path::new(&format!("{path}-wal")).exists();
    Ok(Row {
        attack: "`gchat emulator --data` with the SQLite file of another program".to_owned(),
        limit: "it is refused, and unchanged".to_owned(),
        held: refuses(&run, &path) && unchanged,
        outcome: format!(
            "{}; the file is {}",
            if run.killed { "it was taken".to_owned() } else { refusal(&run.errors()) },
            if unchanged { "unchanged" } else { "changed" }
        ),
    })
}

/// Whether a command ended with an error that names a file.
fn refuses(run: &Run, file: &str) -> bool {
    !run.killed && !run.output.status.success() && run.errors().contains(file)
}

/// The first line of an error.
fn refusal(errors: &str) -> String {
    format!("refused: {}", errors.lines().next().unwrap_or("without a word"))
}

async fn call_log(stage: &Stage) -> Result<Row> {
    const CALLS: usize = 1_000;
    const MOST: usize = 100;
    let emulator = stage.emulator(&[])?;
    let before = emulator.memory()?;
    let headers: String = (0..88).map(|at| format!("x-large-{at}: {}\r\n", "h".repeat(4_000))).collect();
    let address = emulator.address;
    let with_headers = format!("GET /v1/spaces HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    let long = format!(r#"{{"displayName":"{}","spaceType":"SPACE"}}"#, "n".repeat(400_000));
    let with_body = http1::post(address, "/v1/spaces", &long);
    let mut statuses = crate::neighbour::Tally::default();
    for requests in [&with_headers, &with_body] {
        many(address, requests, CALLS, &mut statuses).await?;
    }
    let after = emulator.memory()?;
    // Full again with the first kind, which is the larger one where it is kept.
    many(address, &with_headers, CALLS, &mut statuses).await?;
    let most = after.max(emulator.memory()?);
    let comparison = Neighbour::new(stage, address, "/v1/spaces")
        .beside(async |attackers: &mut Attackers| {
            // They are calls of the other client, too, so the log is filled again.
            many(address, &with_headers, CALLS, &mut crate::neighbour::Tally::default()).await?;
            for _ in 0..4 {
                let tally = attackers.tally.clone();
                attackers.tasks.spawn(async move {
                    loop {
                        let answer = http1::exchange(address, http1::get(address, "/emulator/calls")).await;
                        tally.count(format!("lists answered {}", http1::outcome(&answer)));
                    }
                });
            }
            attackers.tally.count("rounds of 4 clients");
            Ok(())
        })
        .await?;
    Ok(Row {
        attack: format!(
            "{CALLS} calls with 350 KB of headers, {CALLS} with a body of 400 KB; then 4 clients read /emulator/calls"
        ),
        limit: format!("the memory grows by less than {MOST} MiB; {}", Comparison::LIMIT),
        held: most < before + MOST && comparison.held(),
        outcome: format!("it grew from {before} to {most} MiB (answers: {statuses}); {comparison}"),
    })
}

/// Sends a request many times, by eight clients.
async fn many(
    address: std::net::SocketAddr,
    request: &str,
    count: usize,
    statuses: &mut crate::neighbour::Tally,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (request, tally) = (request.to_owned(), statuses.clone());
        clients.spawn(async move {
            for _ in 0..count / 8 {
                tally.count(http1::outcome(&http1::exchange(address, &request).await));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client?;
    }
    Ok(())
}

async fn foreign_certificate(stage: &Stage) -> Result<Row> {
    let file = stage.fresh("server.pem");
    let certificate = rcgen::generate_simple_self_signed(["chat.example.com".to_owned()])?.cert.pem();
    let mut outcomes = Vec::new();
    let mut held = true;
    for (what, content) in [("a server's certificate", certificate.as_str()), ("notes", "my notes\n")] {
        fs::write(&file, content)?;
        let path = file.display().to_string();
        let run = run(
            stage.command(&["emulator", "--listen", "127.0.0.1:0", "--tls-certificate", &path]),
            Stdio::null(),
            Duration::from_secs(5),
        )
        .await?;
        let unchanged = fs::read_to_string(&file)? == content;
        held &= refuses(&run, &path) && unchanged;
        outcomes.push(format!("{what}: {}", if unchanged { "unchanged" } else { "overwritten" }));
    }
    Ok(Row {
        attack: "`--tls-certificate FILE` where FILE is somebody else's".to_owned(),
        limit: "it is refused, and unchanged".to_owned(),
        outcome: outcomes.join("; "),
        held,
    })
}

async fn key_modes(stage: &Stage) -> Result<Row> {
    let mut outcomes = Vec::new();
    let mut held = true;
    let old = stage.fresh("old-key.json");
    // A key of the emulator's that is there, and that everybody can read.
    drop(with_open_mask(stage, &["--write-credentials", &old.display().to_string()])?);
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644))?;
    for (what, file, more) in [
        ("--write-credentials", stage.fresh("key.json"), &[][..]),
        ("--fresh-key", stage.fresh("fresh-key.json"), &["--fresh-key"]),
        ("--fresh-key over a file of mode 0644", old, &["--fresh-key"]),
    ] {
        let path = file.display().to_string();
        let _emulator = with_open_mask(stage, &[&["--write-credentials", &path], more].concat())?;
        let mode = fs::metadata(&file)?.permissions().mode() & 0o777;
        held &= mode == 0o600;
        outcomes.push(format!("{what}: {mode:04o}"));
    }
    Ok(Row {
        attack: "keys are written with the umask 0".to_owned(),
        limit: "a private key has the mode 0600".to_owned(),
        outcome: outcomes.join("; "),
        held,
    })
}

/// Starts an emulator that the system takes no permissions from.
fn with_open_mask(stage: &Stage, more: &[&str]) -> Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(&stage.gchat).args(["emulator", "--listen", "127.0.0.1:0"]);
    Process::start({
        command.args(more);
        command
    })
}

async fn full_disk(stage: &Stage) -> Result<Row> {
    let backend = Backend::start()?;
    let (address, schema) = (format!("http://{}", backend.address), stage.schema.display().to_string());
    let mut outcomes = Vec::new();
    for arguments in [
        &["schema"][..],
        &["completions", "bash"],
        &["explain", "google.chat.v1.ChatService/CreateSpace", "{}"],
        &["call", "google.chat.v1.ChatService/ListSpaces", "{}", "--emulator"],
        &["spaces", "create", "--display-name", "x", "--emulator"],
        &["emulator", "--listen", "127.0.0.1:0"],
        &["gateway", "--backend", &address, "--descriptor-set", &schema, "--listen", "127.0.0.1:0"],
    ] {
        let full = File::options().write(true).open("/dev/full")?;
        let run = run(stage.command(arguments), full.into(), Duration::from_secs(10)).await?;
        let name = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let problem = match run.output.status.code() {
            _ if run.killed => "goes on",
            _ if run.errors().contains("panicked") => "panics",
            Some(0) => "ends with 0",
            Some(_) if run.errors().contains("No space left") => continue,
            Some(_) => "does not say why it ends",
            None => "is killed by a signal",
        };
        outcomes.push(format!("{name} {problem}"));
    }
    Ok(Row {
        attack: "standard output is /dev/full, for seven commands".to_owned(),
        limit: "an error that says so".to_owned(),
        held: outcomes.is_empty(),
        outcome: if outcomes.is_empty() { "each ends with an error".to_owned() } else { outcomes.join("; ") },
    })
}
