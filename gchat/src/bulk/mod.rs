//! `gchat spaces create --from`: many spaces from the rows of a file, each once.

mod journal;
mod progress;
mod rows;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use google_chat::{Client, CreateSpaceRequest, Error, Schema, Space, policy::RetryPolicy};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet};
use tonic::Code;

use crate::{connection::Target, failure::Failure, output};
use journal::{End, Head, Journal};
use progress::Progress;
pub(crate) use rows::Format;
use rows::{Row, Rows};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How the rows of --from are written [default: csv for a name that ends so, else ndjson]
    #[arg(long, value_enum, requires = "from")]
    format: Option<Format>,
    /// How many spaces to create a minute, all shards together; 0: as many as
    /// the server takes. Google allows a project 60
    #[arg(long, value_name = "COUNT", requires = "from", default_value_t = 60.0, value_parser = rate)]
    rate: f64,
    /// How many calls may be under way at once
    #[arg(long, value_name = "COUNT", requires = "from", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Takes every Nth row only, beginning with the Kth: for N machines, which
    /// share the rate
    #[arg(long, value_name = "K/N", requires = "from", default_value = "1/1")]
    shard: Shard,
    /// The journal [default: FILE.journal]
    #[arg(long, value_name = "FILE", requires = "from")]
    journal: Option<PathBuf>,
    /// Sends rows again that failed for good
    #[arg(long, requires = "from")]
    retry_failed: bool,
    /// How long to go on with a row while the server cannot be reached, in
    /// seconds
    #[arg(long, value_name = "SECONDS", requires = "from", default_value_t = 600)]
    patience: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..1e9).contains(&rate) { Ok(rate) } else { Err("not a rate".to_owned()) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    number: u64,
    of: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write K/N, such as 1/3, with K from 1 to N".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(form)?;
        let shard = Self { number: number.parse().map_err(|_| form())?, of: of.parse().map_err(|_| form())? };
        if (1..=shard.of).contains(&shard.number) { Ok(shard) } else { Err(form()) }
    }
}

impl Shard {
    fn takes(self, row: u64) -> bool {
        row % self.of == self.number - 1
    }

    /// How many of so many rows.
    fn count(self, rows: u64) -> u64 {
        (rows + self.of - self.number) / self.of
    }

    /// What comes after the names of its files.
    fn suffix(self) -> String {
        if self.of == 1 { String::new() } else { format!(".{}-of-{}", self.number, self.of) }
    }
}

/// How far the rows that are under way may be apart: what was done out of order waits
/// in memory to be printed in order.
const WINDOW: usize = 4_096;

/// How long calls that are under way may take when a run is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// Creates the spaces of a file.
pub(crate) async fn run(
    path: &Path,
    flags: &Value,
    args: &Args,
    target: &Target,
    timeout: Duration,
    quiet: bool,
) -> Result<(), Failure> {
    let mut policy = RetryPolicy::default();
    policy.total = timeout;
    // The quota comes back within a minute, though others may use it as well.
    policy.quota_wait = Duration::from_secs(args.patience);
    let builder = target.builder(None).retry(policy);
    let client = builder.build().map_err(Failure::usage)?;
    let file = File::open(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let format = args.format.unwrap_or_else(|| Format::of(path));
    let template = template(flags)?;
    let (count, digest) = validate(path, &file, format, &template, &client)?;

    let named = |kind: &str| PathBuf::from(format!("{}{}.{kind}", path.display(), args.shard.suffix()));
    let head = Head {
        gchat_journal: 1,
        rows_sha256: digest,
        rows: count,
        shard: format!("{}/{}", args.shard.number, args.shard.of),
        endpoint: target.endpoint.clone(),
        identity: target.who.name.clone(),
        salt: salt()?,
    };
    let journal = args.journal.clone().unwrap_or_else(|| named("journal"));
    let mut journal = Journal::open(&journal, head)?;
    let failed = named("failed.ndjson");
    let before = prepare(&mut journal, &failed, count, args).map_err(Failure::machine)?;
    if before > 0 && !quiet {
        eprintln!("gchat: going on by {}: {before} rows have come to their end before", journal.path().display());
    }

    let run = Arc::new(Run {
        rows: Mutex::new(Work {
            rows: Rows::new(file, format, template)?,
            next: 0,
            shard: args.shard,
            journal,
            lines: VecDeque::new(),
            first: 0,
            out: BufWriter::new(io::stdout()),
            failed,
            schema: output::schema()?,
            counts: Counts::default(),
            pace: Pace::new(args.rate / args.shard.of as f64),
            trouble: None,
        }),
        room: Notify::new(),
        ended: Notify::new(),
        stopping: AtomicBool::new(false),
        patience: Duration::from_secs(args.patience),
    });
    let mut workers = JoinSet::new();
    for _ in 0..args.concurrency {
        workers.spawn(work(Arc::clone(&run), client.clone()));
    }
    let begun = Instant::now();
    let mut progress = Progress::new(args.shard.count(count), before, quiet);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let (mut stops, mut stopping) = (0, None);
    // One after the other, so that none is lost between two looks.
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => run.stop(Failure::machine(error)),
            },
            _ = &mut interrupted => {
                interrupted = Box::pin(tokio::signal::ctrl_c());
                stops += 1;
                run.stop(Failure::Interrupted("stopped; the same command goes on where it was".to_owned()));
                if stops > 1 {
                    workers.abort_all();
                }
            }
            () = run.ended.notified() => {
                let kept = run.lock().keep();
                match kept {
                    Ok(()) => run.room.notify_waiters(),
                    Err(failure) => run.stop(failure),
                }
            }
            _ = tick.tick() => {
                let (flushed, counts) = {
                    let mut work = run.lock();
                    (work.flush(), work.counts)
                };
                if let Err(failure) = flushed {
                    run.stop(failure);
                }
                progress.show(counts.created + counts.failed, counts.retries);
                // A call may be waiting for quota; to drop it loses nothing.
                if run.is_stopping() && stopping.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    workers.abort_all();
                }
            }
        }
    }
    progress.end();
    let mut work = run.lock();
    work.keep()?;
    work.flush()?;
    if !quiet {
        summarize(&work, begun.elapsed());
    }
    match (work.trouble.take(), work.counts.failed) {
        (Some(failure), _) => Err(failure),
        (None, 0) => Ok(()),
        (None, rows) => Err(Failure::Rows(format!(
            "{rows} rows failed for good; they are in {}, which --from takes, once they are mended",
            work.failed.display()
        ))),
    }
}

/// What the flags give to every row: a named space, if nothing says otherwise.
fn template(flags: &Value) -> Result<Vec<u8>, Failure> {
    let mut flags = flags.clone();
    if let Some(space) = flags.as_object_mut() {
        space.entry("spaceType").or_insert_with(|| "SPACE".into());
    }
    let space =
        output::schema()?.message("google.chat.v1.Space").ok_or_else(|| Failure::machine("no message Space"))?;
    space.from_json(flags.to_string()).map_err(|error| Failure::usage(format!("the space: {error}")))
}

fn salt() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes).map_err(|error| Failure::machine(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Looks at every row, and says all that is wrong; how many there are, and what they
/// hash to.
fn validate(
    path: &Path,
    file: &File,
    format: Format,
    template: &[u8],
    client: &Client,
) -> Result<(u64, String), Failure> {
    let file = file.try_clone().map_err(Failure::machine)?;
    let mut rows = Rows::new(file, format, template.to_vec())?;
    let (mut count, mut wrong) = (0, 0);
    while let Some(row) = rows.next() {
        count += 1;
        let problems = match row {
            Err(bad) => vec![bad.to_string()],
            Ok(Row { line, space }) => match client.check(&space.into()) {
                Ok(()) => continue,
                Err(error) => error
                    .field_violations()
                    .iter()
                    .map(|one| format!("{line}: {} {}", one.field.trim_start_matches("space."), one.description))
                    .collect(),
            },
        };
        wrong += 1;
        for problem in problems {
            eprintln!("{}:{problem}", path.display());
        }
    }
    match wrong {
        0 => Ok((count, rows.digest())),
        _ => Err(Failure::usage(format!("{wrong} of {count} rows are wrong; nothing was sent"))),
    }
}

/// Makes the journal and the file of failed rows agree; how many rows have come to
/// their end.
fn prepare(journal: &mut Journal, failed: &Path, count: u64, args: &Args) -> io::Result<u64> {
    let mut before = 0;
    for row in (0..count).filter(|row| args.shard.takes(*row)) {
        match journal.end(row)? {
            Some(End::Failed { .. }) if args.retry_failed => journal.forget(row)?,
            Some(_) => before += 1,
            None => {}
        }
    }
    journal::mend_failed(failed, |row| Ok(row < count && matches!(journal.end(row)?, Some(End::Failed { .. }))))?;
    Ok(before)
}

/// What the workers of a run share.
struct Run {
    rows: Mutex<Work>,
    /// Told when rows may be taken that were too far ahead.
    room: Notify,
    /// Told when rows have come to their end that are not kept yet. Those of one moment
    /// are kept together.
    ended: Notify,
    stopping: AtomicBool,
    patience: Duration,
}

struct Work {
    rows: Rows,
    /// The number of the next row of the file, from 0.
    next: u64,
    shard: Shard,
    journal: Journal,
    /// What is to be printed of the rows that were taken, in their order; empty as long
    /// as one is under way. The first has this number.
    lines: VecDeque<Option<String>>,
    first: u64,
    out: BufWriter<io::Stdout>,
    failed: PathBuf,
    schema: Schema,
    counts: Counts,
    pace: Pace,
    /// What stopped the run.
    trouble: Option<Failure>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    created: u64,
    failed: u64,
    /// Those of them that this run created.
    own: u64,
    retries: u64,
    imports: u64,
    /// When the first import must be completed, as text.
    import_until: Option<[u8; 32]>,
}

/// When the next row may be sent.
struct Pace {
    interval: Duration,
    next: tokio::time::Instant,
}

impl Pace {
    fn new(rate: f64) -> Self {
        let seconds = if rate > 0.0 { 60.0 / rate } else { 0.0 };
        // Longer than a year is as good as never, and can be added to any time.
        let year = Duration::from_secs(365 * 86_400);
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or(year).min(year);
        Self { interval, next: tokio::time::Instant::now() }
    }

    /// Takes a place: when to send. Time that was not used is not made up for.
    fn take(&mut self) -> Option<tokio::time::Instant> {
        if self.interval.is_zero() {
            return None;
        }
        let at = self.next.max(tokio::time::Instant::now());
        self.next = at.checked_add(self.interval).unwrap_or(at);
        Some(at)
    }
}

/// A row that is to be sent.
struct Task {
    number: u64,
    /// Its place among the lines.
    place: u64,
    line: u64,
    space: Space,
    request_id: String,
    at: Option<tokio::time::Instant>,
}

enum Taken {
    Task(Box<Task>),
    /// Rows are too far ahead of one that is still under way.
    Later,
    None,
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has no more rows be taken; the first cause counts.
    fn stop(&self, cause: Failure) {
        self.stopping.store(true, Ordering::Relaxed);
        self.lock().trouble.get_or_insert(cause);
        self.room.notify_waiters();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Takes row after row and sends it.
async fn work(run: Arc<Run>, client: Client) {
    while !run.is_stopping() {
        let room = run.room.notified();
        let taken = run.lock().take();
        let task = match taken {
            Ok(Taken::Task(task)) => task,
            Ok(Taken::Later) => {
                // Looks again by itself, should the word have come before it was heard.
                let _ = tokio::time::timeout(Duration::from_millis(50), room).await;
                continue;
            }
            Ok(Taken::None) => return,
            Err(failure) => return run.stop(failure),
        };
        if let Some(at) = task.at {
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = stopped(&run) => return,
            }
        }
        match send(&run, &client, &task).await {
            Ok(outcome) => {
                let taken = run.lock().end(&task, outcome);
                if let Err(failure) = taken {
                    return run.stop(failure);
                }
                run.ended.notify_one();
            }
            Err(failure) => return run.stop(failure),
        }
    }
}

/// Until the run is stopping.
async fn stopped(run: &Run) {
    while !run.is_stopping() {
        let told = run.room.notified();
        let _ = tokio::time::timeout(Duration::from_millis(100), told).await;
    }
}

/// What is known of a row at its end.
enum Outcome {
    Created { space: Box<Space>, attempts: u32 },
    Failed(Error),
}

/// Sends a row until it is clear what became of it.
///
/// # Errors
///
/// If the run cannot go on: by what would befall every row, or when the server was not
/// reached for long. The row is open then, and is sent again by the next run.
async fn send(run: &Run, client: &Client, task: &Task) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let mut wait = Duration::from_secs(1);
    loop {
        let request = CreateSpaceRequest { space: Some(task.space.clone()), request_id: task.request_id.clone() };
        let error = match client.create_space(request).with_response().await {
            Ok(created) => return Ok(Outcome::Created { space: Box::new(created.space), attempts: created.attempts }),
            Err(error) => error,
        };
        let later = matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded) || error.is_quota_exceeded();
        if !later || error.is_misconfigured() {
            let nothing_yet = run.lock().counts.own == 0;
            return if concerns_all(&error, nothing_yet) { Err(error.into()) } else { Ok(Outcome::Failed(error)) };
        }
        run.lock().counts.retries += u64::from(error.attempts());
        if begun.elapsed() + wait > run.patience {
            let text = format!("line {}: {error}. Nothing is lost: the same command goes on where it was", task.line);
            return Err(Failure::Later(text));
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(run) => return Err(Failure::Later("stopped".to_owned())),
        }
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// Whether an error is about who calls and the project, and so would befall all rows.
fn concerns_all(error: &Error, nothing_yet: bool) -> bool {
    let reason = matches!(error.reason(), Some("SERVICE_DISABLED" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT"));
    let app = error.code() == Code::NotFound;
    let denied = error.is_permission_denied() && nothing_yet;
    reason
        || app
        || denied
        || error.is_misconfigured()
        || error.is_unauthenticated()
        || error.is_request_id_of_another_user()
}

impl Work {
    /// The next row that is to be sent; those that have come to their end before are
    /// printed.
    fn take(&mut self) -> Result<Taken, Failure> {
        loop {
            if self.lines.len() >= WINDOW {
                return Ok(Taken::Later);
            }
            let Some(row) = self.rows.next() else { return Ok(Taken::None) };
            let Row { line, space } =
                row.map_err(|bad| Failure::machine(format!("the file was changed while it was read: line {bad}")))?;
            let number = self.next;
            self.next += 1;
            if !self.shard.takes(number) {
                continue;
            }
            let place = self.first + self.lines.len() as u64;
            match self.journal.end(number).map_err(Failure::machine)? {
                None => {
                    self.lines.push_back(None);
                    let (request_id, at) = (self.journal.request_id(number), self.pace.take());
                    return Ok(Taken::Task(Box::new(Task { number, place, line, space, request_id, at })));
                }
                Some(End::Created { name, import_until }) => {
                    self.count_created(import_until.as_deref());
                    self.lines.push_back(Some(created_line(line, &name, import_until.as_deref())));
                }
                Some(End::Failed { code }) => {
                    self.counts.failed += 1;
                    self.lines.push_back(Some(json!({"line": line, "error": {"code": code}}).to_string()));
                }
            }
            self.keep()?;
        }
    }

    fn count_created(&mut self, import_until: Option<&str>) {
        self.counts.created += 1;
        if let Some(until) = import_until {
            self.counts.imports += 1;
            let mut text = [0; 32];
            let len = until.len().min(32);
            text[..len].copy_from_slice(&until.as_bytes()[..len]);
            // Times of one form are in order as texts are.
            self.counts.import_until = Some(self.counts.import_until.map_or(text, |first| first.min(text)));
        }
    }

    /// Takes down what became of a row, to be kept.
    fn end(&mut self, task: &Task, outcome: Outcome) -> Result<(), Failure> {
        let (end, text) = match outcome {
            Outcome::Created { space, attempts } => {
                self.counts.own += 1;
                self.counts.retries += u64::from(attempts.saturating_sub(1));
                let import_until = space.import_mode_expire_time.map(|time| time.to_string());
                self.count_created(import_until.as_deref());
                let text = created_line(task.line, &space.name, import_until.as_deref());
                (End::Created { name: space.name, import_until }, text)
            }
            Outcome::Failed(error) => {
                self.counts.failed += 1;
                self.counts.retries += u64::from(error.attempts().saturating_sub(1));
                let code = google_chat::transcoding::code_name(error.code());
                let why = json!({
                    "code": code,
                    "reason": error.reason(),
                    "message": error.message(),
                    "advice": error.advice(),
                });
                let space: Value = self
                    .schema
                    .to_json(&task.space)
                    .map_err(Failure::machine)
                    .and_then(|text| serde_json::from_str(&text).map_err(Failure::machine))?;
                let failed = json!({"row": task.number, "line": task.line, "error": why, "space": space});
                let file = OpenOptions::new().create(true).append(true).open(&self.failed);
                file.and_then(|mut file| file.write_all(format!("{failed}\n").as_bytes()))
                    .map_err(|error| Failure::machine(format!("cannot write {}: {error}", self.failed.display())))?;
                (End::Failed { code: code.to_owned() }, json!({"line": task.line, "error": why}).to_string())
            }
        };
        self.journal.put(task.number, &end).map_err(|error| self.no_journal(&error))?;
        if let Some(line) = usize::try_from(task.place - self.first).ok().and_then(|at| self.lines.get_mut(at)) {
            *line = Some(text);
        }
        Ok(())
    }

    /// Keeps what became of rows, and then prints it.
    fn keep(&mut self) -> Result<(), Failure> {
        self.journal.write().map_err(|error| self.no_journal(&error))?;
        self.print()
    }

    fn no_journal(&self, error: &io::Error) -> Failure {
        Failure::machine(format!("the journal {}: {error}", self.journal.path().display()))
    }

    /// Prints what comes next, as far as it is known.
    fn print(&mut self) -> Result<(), Failure> {
        while let Some(Some(line)) = self.lines.front() {
            unless_closed(writeln!(self.out, "{}", output::plain_json(line)))?;
            self.lines.pop_front();
            self.first += 1;
        }
        // Who reads along is to see each; of many, what came since the last look.
        if self.pace.interval.is_zero() { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        unless_closed(self.out.flush())
    }
}

/// Nobody reads on, as when piped to `head`: that is no failure.
fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::machine),
    }
}

fn created_line(line: u64, name: &str, import_until: Option<&str>) -> String {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a> {
        line: u64,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        import_mode_expire_time: Option<&'a str>,
    }
    // Numbers and texts have a JSON form.
    serde_json::to_string(&Line { line, name, import_mode_expire_time: import_until }).unwrap_or_default()
}

fn summarize(work: &Work, time: Duration) {
    let Counts { created, failed, own, retries, imports, import_until } = work.counts;
    let before = if own < created { format!(" ({} of them before)", created - own) } else { String::new() };
    let seconds = time.as_secs_f64();
    let rate =
        if work.pace.interval.is_zero() { format!(", {:.0} a second", own as f64 / seconds) } else { String::new() };
    eprintln!(
        "gchat: {created} spaces are created{before}, {failed} rows failed, {retries} retries, in {}{rate}",
        progress::time(seconds)
    );
    if let Some(until) = import_until {
        let until = String::from_utf8_lossy(&until).trim_end_matches('\0').to_owned();
        eprintln!(
            "gchat: {imports} of them are in import mode: complete each by its importModeExpireTime, the first by \
             {until} (gchat spaces complete-import NAME); what is not complete by then is deleted"
        );
    }
}
