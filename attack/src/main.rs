//! Attacks on the built programs, each of them measured: `attack GCHAT [--quick] [NAME…]`.
//!
//! Every attack is a function that starts what it attacks, attacks it, and says in a [`Row`]
//! what it did, which limit should hold, what was measured, and whether it held.

mod backend;
mod browser;
mod certain;
mod encoding;
mod files;
mod frames;
mod hang_ups;
mod http1;
mod isolation;
mod metadata;
mod neighbour;
mod program;
mod routing;
mod sidecar;
mod slow;

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit, setpriority_process, setrlimit};

use self::program::Stage;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long one attack may take; longer, and something hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// An attack, by its name.
struct Attack {
    name: &'static str,
    run: fn(&Stage) -> Attacking<'_>,
}

type Attacking<'s> = Pin<Box<dyn Future<Output = Result<Row>> + 's>>;

/// A row of the table: what was done, what should hold, and what was measured.
struct Row {
    attack: String,
    limit: String,
    outcome: String,
    held: bool,
}

fn main() -> ExitCode {
    let (mut gchat, mut quick, mut names) = (None, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => quick = true,
            _ if gchat.is_none() => gchat = Some(PathBuf::from(argument)),
            _ => names.push(argument),
        }
    }
    let Some(gchat) = gchat else {
        eprintln!("usage: attack GCHAT [--quick] [NAME…]\n\nNAME is an attack, or how the names of some begin:");
        attacks().iter().for_each(|attack| eprintln!("  {}", attack.name));
        return ExitCode::from(2);
    };
    match attack_all(gchat, quick, &names) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the attacks cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn attacks() -> Vec<Attack> {
    let families = [
        isolation::attacks(),
        metadata::attacks(),
        hang_ups::attacks(),
        routing::attacks(),
        slow::attacks(),
        browser::attacks(),
        files::attacks(),
        certain::attacks(),
        encoding::attacks(),
        sidecar::attacks(),
    ];
    families.into_iter().flatten().collect()
}

/// Runs the attacks and prints the table; whether all limits held.
fn attack_all(gchat: PathBuf, quick: bool, names: &[String]) -> Result<bool> {
    let chosen: Vec<Attack> = attacks()
        .into_iter()
        .filter(|attack| names.is_empty() || names.iter().any(|name| attack.name.starts_with(name.as_str())))
        .collect();
    if chosen.is_empty() {
        return Err(format!("no attack's name begins with {}", names.join(" or ")).into());
    }
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    // The attackers are on this machine only for the test: in use they would not take the
    // processors of those whom they attack.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| {
            // Without it the numbers are worse, and nothing else.
            let _ = setpriority_process(Some(rustix::thread::gettid()), 19);
        })
        .enable_all()
        .build()?;
    let stage = Stage::new(gchat, quick)?;
    println!("The well-behaved client's p99 is compared only above {:?}.\n", neighbour::FLOOR);
    println!("| | attack | limit | outcome | |\n|---|---|---|---|---|");
    let (begun, mut failed) = (Instant::now(), 0);
    for attack in &chosen {
        let row = runtime.block_on(async { tokio::time::timeout(PATIENCE, (attack.run)(&stage)).await });
        let row = match row {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => Row::unmeasured(format!("it could not be measured: {error}")),
            Err(_) => Row::unmeasured(format!("it did not end within {PATIENCE:?}")),
        };
        failed += usize::from(!row.held);
        let verdict = if row.held { "held" } else { "FAILED" };
        println!("| {} | {} | {} | {} | {verdict} |", attack.name, row.attack, row.limit, line(&row.outcome));
    }
    println!("\n{failed} of {} failed, in {:.0} s", chosen.len(), begun.elapsed().as_secs_f64());
    runtime.shutdown_background();
    Ok(failed == 0)
}

impl Row {
    fn unmeasured(outcome: String) -> Self {
        let outcome = outcome.chars().take(300).collect();
        Self { attack: String::new(), limit: String::new(), outcome, held: false }
    }
}

/// A text on one line, and without what ends a cell of the table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/")
}

/// The first of some texts, in parentheses.
fn listed(texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let first: Vec<&str> = texts.iter().take(4).map(String::as_str).collect();
    let more = if texts.len() > 4 { "; …" } else { "" };
    format!(" ({}{more})", first.join("; "))
}
