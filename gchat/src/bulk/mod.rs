//! `gchat spaces create --from`: many spaces from the rows of a file, each once.
//!
//! The file is looked at as a whole ([`source`], [`rows`], [`csv`]). The journal says what
//! is known of each row, and keeps other runs away ([`journal`]). Rows that are open are
//! taken one after the other ([`mod@run`]) and sent, each with its request id, until it is
//! clear what became of it ([`send`], [`outcome`]). That is kept, and then printed in the
//! order of the file ([`report`]). In the end the rows that are not spaces are written
//! to files of their own ([`files`]).

mod args;
mod bar;
mod csv;
mod files;
mod journal;
mod outcome;
mod pace;
mod progress;
mod report;
mod rows;
mod run;
mod send;
mod source;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use google_chat::layer::RetryPolicy;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    connection::Target,
    failure::{Exit, Failure},
    output,
};
pub(crate) use args::Args;
use args::Shard;
use files::RowFile;
use journal::{Head, Journal, Kind};
use progress::Progress;
use rows::Format;
use run::Run;
use send::{Shared, Stop};
use source::Source;

/// Creates the spaces of a file.
pub(crate) async fn run(
    path: &Path,
    flags: &Value,
    args: &Args,
    target: &Target,
    timeout: Duration,
    quiet: bool,
) -> Result<(), Failure> {
    // The quota comes back within a minute, though others may use it as well.
    let quota_wait = Duration::from_secs(args.patience);
    let policy = RetryPolicy::default().with_total_timeout(timeout).with_quota_wait(quota_wait);
    let client = target.builder().retry(policy).build().map_err(Failure::usage)?;
    let source = Source::open(path, args.format.unwrap_or_else(|| Format::of(path)), flags, &client)?;

    let path = files::resolved(path).map_err(|error| Failure::usage(path.display().to_string()).because(error))?;
    let named = |kind: &str| files::with_suffix(&path, &format!("{}.{kind}", args.shard.suffix()));
    let who = (&target.endpoint, &target.who.name);
    let head = Head::new(source.count(), source.digest(), &args.shard.to_string(), who.0, who.1);
    let journal = args.journal.clone().unwrap_or_else(|| named("journal"));
    let head = head.map_err(|error| Failure::machine("no random bytes for the journal's id").because(error))?;
    journal::refuse_other_sharding(&path, &head)?;
    let mut journal = Journal::open(&journal, head)?;
    let failed = RowFile::new(named("failed.ndjson"), journal.id(), "failed");
    let unknown = RowFile::new(named("unknown.ndjson"), journal.id(), "may or may not be spaces");
    failed.look()?;
    unknown.look()?;

    let before = journal.count(Kind::Created) + if args.retry_failed { 0 } else { journal.count(Kind::Failed) };
    if before > 0 && !quiet {
        output::note(&format!("gchat: resuming from {}: {before} rows already done", journal.path().display()));
        if target.who.is_hidden {
            output::note(&format!(
                "gchat: it cannot tell whom {} stands for; resume only as the user and the project that began",
                target.who.name
            ));
        }
    }
    let (stop, stopped) = watch::channel(Stop::No);
    let shared = Shared::new(client, Duration::from_secs(args.patience), stopped);
    let progress = Progress::new(args.shard.count(source.count()), before, quiet);
    let begun = Instant::now();
    let run = Run::new(source.rows()?, &mut journal, shared, stop, args, progress);
    let (trouble, report) = run.finish().await;

    if !quiet {
        report.summarize(&journal, begun.elapsed(), args.rate == 0.0);
    }
    // Both are written, whatever becomes of the first.
    let written = [(&failed, Kind::Failed), (&unknown, Kind::Unknown)]
        .map(|(file, kind)| write_rows(file, kind, &source, &mut journal, args.shard));
    let written = written.into_iter().collect::<Result<(), Failure>>();
    match (trouble, written) {
        (Some(trouble), Err(failure)) => {
            output::say(&failure.text());
            Err(trouble)
        }
        (Some(trouble), Ok(())) => Err(trouble),
        (None, Err(failure)) => Err(failure),
        (None, Ok(())) => result(&journal, args.shard.count(source.count()), &failed, &unknown),
    }
}

/// Writes the rows with one kind of outcome to their file.
fn write_rows(file: &RowFile, kind: Kind, source: &Source, journal: &mut Journal, shard: Shard) -> Result<(), Failure> {
    let schema = output::schema();
    file.write(|put| {
        let mut left = journal.count(kind);
        let mut rows = source.rows()?;
        while left > 0
            && let Some(row) = rows.next()?
        {
            if !shard.takes(row.number) || journal.kind(row.number) != kind {
                continue;
            }
            left -= 1;
            let Some(outcome) = journal.outcome(row.number).map_err(Failure::machine)? else { continue };
            let space = schema.to_json(&row.space).map_err(Failure::machine)?;
            let mut told = outcome.to_json(row.line);
            told["requestId"] = row.request_id.unwrap_or_else(|| journal.request_id(row.number)).into();
            told["space"] = serde_json::from_str(&space).map_err(Failure::machine)?;
            put(&told).map_err(Failure::machine)?;
        }
        Ok(())
    })
}

/// What the command comes to, when all of so many rows were taken.
fn result(journal: &Journal, rows: u64, failed: &RowFile, unknown: &RowFile) -> Result<(), Failure> {
    let known = [Kind::Created, Kind::Failed, Kind::Unknown].map(|kind| journal.count(kind)).iter().sum();
    let open = rows.saturating_sub(known);
    if open > 0 {
        return Err(Failure::new(
            Exit::Later,
            format!(
                "the server had no time for {open} rows: they are not created, and not refused. Run the same command again; \
             --patience has it try each row for longer, --rate sends fewer a minute"
            ),
        ));
    }
    let refused = |rows| {
        let file = failed.path().display();
        format!("{rows} rows failed; they are in {file}, with the reasons. Mend the rows there and give it to --from")
    };
    match (journal.count(Kind::Unknown), journal.count(Kind::Failed)) {
        (0, 0) => Ok(()),
        (0, rows) => Err(Failure::new(Exit::Rows, refused(rows))),
        (rows, others) => {
            let others = if others > 0 { format!(". {}", refused(others)) } else { String::new() };
            Err(Failure::new(
                Exit::Unknown,
                format!(
                    "gchat does not know whether {rows} rows became spaces; they are in {}. Run the same command again: it \
                 sends them with the same request ids, which creates no second space{others}",
                    unknown.path().display()
                ),
            ))
        }
    }
}
