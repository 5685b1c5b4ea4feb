//! The commands that take `--from`: many spaces, members or imports from the rows of a file, each
//! once.
//!
//! What a row asks for is a matter of the job ([`job`]); all else is the same for each. The file
//! is looked at as a whole ([`source`], [`rows`], [`csv`]). The journal says what
//! is known of each row, and keeps other runs away ([`journal`]). Rows that are open are
//! taken one after the other ([`mod@run`]) and sent, each with its request id, until it is
//! clear what became of it ([`send`], [`outcome`]). That is kept, and then printed in the
//! order of the file ([`report`]). In the end the rows that failed are written to files of
//! their own ([`files`]).

mod args;
mod bar;
mod csv;
mod files;
mod job;
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
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use google_chat::layer::RetryPolicy;
use tokio::sync::watch;

use crate::{
    connection::Target,
    failure::{Exit, Failure},
    output,
};
use args::Shard;
pub(crate) use args::{Args, rate};
use files::RowFile;
pub(crate) use job::Job;
use journal::{Head, Journal};
use outcome::{End, Kind, Outcome};
use pace::Pace;
use progress::Progress;
use rows::Format;
use run::Run;
use send::{Shared, Stop};
use source::Source;

/// What a run is told beside its flags.
pub(crate) struct Order<'a> {
    /// The file of rows.
    pub(crate) path: &'a Path,
    pub(crate) job: Job,
    pub(crate) args: &'a Args,
    /// How many members of new spaces to add a minute, if it is said.
    pub(crate) member_rate: Option<f64>,
    pub(crate) target: &'a Target,
    /// The time limit of a call.
    pub(crate) timeout: Duration,
    pub(crate) quiet: bool,
}

/// Does what the rows of a file ask for.
pub(crate) async fn run(order: Order<'_>) -> Result<(), Failure> {
    let Order { path, job, args, member_rate, target, timeout, quiet } = order;
    // The quota comes back within a minute, though others may use it as well.
    let quota_wait = Duration::from_secs(args.patience);
    let policy = RetryPolicy::default().with_total_timeout(timeout).with_quota_wait(quota_wait);
    let client = target.builder().retry(policy.clone()).build().map_err(Failure::usage)?;
    let import_client = if target.scopes.is_empty() && !target.is_anonymous() {
        target.builder().retry(policy).scopes(["chat.import"]).build().map_err(Failure::usage)?
    } else {
        client.clone()
    };
    let source = Source::open(path, args.format.unwrap_or_else(|| Format::of(path)), job.clone(), &client)?;
    let rate = args.rate.unwrap_or(job.rate());

    let path = files::resolved(path).map_err(|error| Failure::usage(path.display().to_string()).because(error))?;
    let named = |kind: &str| files::with_suffix(&path, &format!("{}{}.{kind}", job.suffix(), args.shard.suffix()));
    let who = (&target.endpoint, &target.who.name);
    let head = Head::new(source.count(), source.digest(), &args.shard.to_string(), who.0, who.1);
    let journal = args.journal.clone().unwrap_or_else(|| named("journal"));
    let head = head.map_err(|error| Failure::machine("no random bytes for the journal's id").because(error))?;
    let is_more = job.name().is_some() || source.has_members();
    let head = if is_more { head.of_more(job.name()) } else { head };
    journal::refuse_other_sharding(&path, &head)?;
    let mut journal = Journal::open(&journal, head)?;
    let failed = RowFile::new(named("failed.ndjson"), journal.id(), job.command(), "failed");
    let unknown = "may or may not have been carried out";
    let unknown = RowFile::new(named("unknown.ndjson"), journal.id(), job.command(), unknown);
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
    let pace = |rate: f64| Pace::new(rate / args.shard.of as f64);
    let usual = if rate == 0.0 { 0.0 } else { job::MEMBERS_A_MINUTE };
    let paces = (pace(rate), pace(member_rate.unwrap_or(usual)));
    let patience = Duration::from_secs(args.patience);
    let shared = Shared::new(client, import_client, job.clone(), paces, patience, stopped);
    let progress = Progress::new(args.shard.count(source.count()), before, quiet);
    let begun = Instant::now();
    let run = Run::new(source.rows()?, &mut journal, shared, stop, args, progress);
    let (trouble, report) = run.finish().await;

    if !quiet {
        report.summarize(&job, &journal, begun.elapsed(), rate == 0.0);
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
        (None, Ok(())) => result(&source, &journal, args.shard.count(source.count()), &failed, &unknown),
    }
}

/// Writes the rows with one kind of outcome to their file.
fn write_rows(file: &RowFile, kind: Kind, source: &Source, journal: &mut Journal, shard: Shard) -> Result<(), Failure> {
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
            let members = if let Outcome::Created { members, .. } = &outcome { &**members } else { &[] };
            let done = members.iter().filter(|one| matches!(one.end, End::Name(_))).map(|one| &*one.member);
            let done: HashSet<&str> = done.collect();
            let mut told = outcome.to_json(row.line);
            if let Some((reason, is_unknown)) = outcome.why() {
                told[if is_unknown { "unknown" } else { "error" }] = serde_json::json!(reason);
            }
            if matches!(source.job(), Job::Spaces { .. }) {
                told["requestId"] = row.request_id.unwrap_or_else(|| journal.request_id(row.number)).into();
            }
            for (name, value) in row.item.to_json(&|member| !done.contains(member.name())).map_err(Failure::machine)? {
                told[name] = value;
            }
            put(&told).map_err(Failure::machine)?;
        }
        Ok(())
    })
}

/// What the command comes to, when all of so many rows were taken.
fn result(source: &Source, journal: &Journal, rows: u64, failed: &RowFile, unknown: &RowFile) -> Result<(), Failure> {
    let known = [Kind::Created, Kind::Failed, Kind::Unknown].map(|kind| journal.count(kind)).iter().sum();
    let open = rows.saturating_sub(known);
    if open > 0 {
        return Err(Failure::new(
            Exit::Later,
            format!(
                "the server had no time for {open} rows: they are not carried out, and not refused. Run the same command again; \
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
                    "gchat does not know whether {rows} rows {}{}; they are in {}. Run the same command again: {}{others}",
                    source.job().became(),
                    if source.has_members() { " with all of their members" } else { "" },
                    unknown.path().display(),
                    source.job().again()
                ),
            ))
        }
    }
}
