//! The well-behaved client beside the attackers, and what it is like for it.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    Result,
    http1::{self, Connection},
    program::Stage,
};

/// A p99 below this is never a failure: schedulers of loaded machines take as long.
pub(crate) const FLOOR: Duration = Duration::from_millis(10);
/// How many times the p99 without attackers that with them may be.
const FACTOR: u32 = 5;
/// How long a call may take; then it has failed.
const CALL: Duration = Duration::from_secs(5);
/// How long it may take after an attack until a call is answered again.
const SETTLED: Duration = Duration::from_secs(15);
/// Between calls, so that the client is not a load of its own.
const PAUSE: Duration = Duration::from_millis(1);

/// A client that makes one call after the other, each of which is to be answered with 200.
#[derive(Clone)]
pub(crate) struct Neighbour {
    address: SocketAddr,
    request: String,
    /// Whether each call gets a connection of its own.
    fresh: bool,
    /// What a phase has at most.
    calls: usize,
    time: Duration,
    phases: usize,
}

/// The calls of some phases.
#[derive(Default)]
pub(crate) struct Sample {
    times: Vec<Duration>,
    failed: usize,
    /// Why the first failed.
    why: Option<String>,
}

/// Those who attack for as long as this lives, and what they count.
#[derive(Default)]
pub(crate) struct Attackers {
    pub(crate) tasks: JoinSet<()>,
    pub(crate) tally: Tally,
}

/// Counts by what happened.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<String, usize>>>);

/// Calls without the attackers, and beside them.
pub(crate) struct Comparison {
    alone: Sample,
    beside: Sample,
    tally: Tally,
}

impl Tally {
    pub(crate) fn count(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what.into()).or_default() += 1;
    }

    pub(crate) fn of(&self, what: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_empty() {
            return f.write_str("nothing");
        }
        for (at, (what, count)) in counts.iter().enumerate() {
            write!(f, "{}{count} {what}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Neighbour {
    /// A client that GETs a target.
    pub(crate) fn new(stage: &Stage, address: SocketAddr, target: &str) -> Self {
        let (calls, time, phases) = stage.pick((300, 1, 2), (1_000, 4, 3));
        let (request, time) = (http1::get(address, target), Duration::from_secs(time));
        Self { address, request, fresh: false, calls, time, phases }
    }

    /// A client of the attacks' backend.
    pub(crate) fn echo(stage: &Stage, address: SocketAddr) -> Self {
        Self::new(stage, address, "/v1/echo/hello")
    }

    /// Gives each call a connection of its own.
    pub(crate) fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Takes turns: a phase without attackers, a phase with them, and again. Where only the
    /// times are too long, all of it is done once more, since the machine may have been busy.
    ///
    /// # Errors
    ///
    /// If the attackers cannot begin.
    pub(crate) async fn beside(&self, attack: impl AsyncFn(&mut Attackers) -> Result<()>) -> Result<Comparison> {
        let first = self.compare(&attack).await?;
        if first.held() || first.failed() > 0 { Ok(first) } else { self.compare(&attack).await }
    }

    /// The same, once, whatever comes out.
    pub(crate) async fn compare(&self, attack: &impl AsyncFn(&mut Attackers) -> Result<()>) -> Result<Comparison> {
        let (mut alone, mut beside, tally) = (Sample::default(), Sample::default(), Tally::default());
        for _ in 0..self.phases {
            if let Err(problem) = self.settled().await {
                alone.fail(problem);
                break;
            }
            alone.add(self.sample().await?);
            let mut attackers = Attackers { tally: tally.clone(), ..Attackers::default() };
            attack(&mut attackers).await?;
            beside.add(self.sample().await?);
        }
        Ok(Comparison { alone, beside, tally })
    }

    /// Waits until a call is answered.
    async fn settled(&self) -> std::result::Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.call(&mut None).await {
                Ok(()) => return Ok(()),
                Err(problem) if begun.elapsed() > SETTLED => {
                    return Err(format!("no call was answered for {SETTLED:?} after the attack: {problem}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Makes calls for a phase, on a thread of its own, whose turn does not depend on what
    /// the attackers' threads do.
    pub(crate) async fn sample(&self) -> Result<Sample> {
        let (done, sample) = oneshot::channel();
        let neighbour = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || drop(done.send(runtime.block_on(neighbour.calls()))));
        Ok(sample.await?)
    }

    async fn calls(&self) -> Sample {
        let (mut sample, mut connection) = (Sample::default(), None);
        let phase = Instant::now();
        while sample.calls() < self.calls && phase.elapsed() < self.time {
            let begun = Instant::now();
            match self.call(&mut connection).await {
                Ok(()) => sample.times.push(begun.elapsed()),
                Err(problem) => sample.fail(problem),
            }
            tokio::time::sleep(PAUSE).await;
        }
        sample
    }

    async fn call(&self, connection: &mut Option<Connection>) -> std::result::Result<(), String> {
        let kept = connection.take().filter(|_| !self.fresh);
        let exchange = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(self.address).await?,
            };
            connection.send(&self.request).await?;
            let answer = connection.answer().await?;
            std::io::Result::Ok((connection, answer))
        };
        match tokio::time::timeout(CALL, exchange).await {
            Err(_) => Err(format!("no response within {CALL:?}")),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok((used, answer))) if answer.status == 200 => {
                let closes = answer.header("connection") == Some("close");
                *connection = Some(used).filter(|_| !closes);
                Ok(())
            }
            Ok(Ok((_, answer))) => Err(format!("{} {}", answer.status, answer.text())),
        }
    }
}

impl Sample {
    fn calls(&self) -> usize {
        self.times.len() + self.failed
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why.get_or_insert(why);
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
        self.why = self.why.take().or(other.why);
    }

    /// Whether calls were made, and none failed.
    pub(crate) fn all_answered(&self) -> bool {
        self.failed == 0 && !self.times.is_empty()
    }

    /// The time that 99 of 100 answered calls do not exceed.
    fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl Comparison {
    pub(crate) const LIMIT: &str =
        "no call of the other client fails; its p99 is at most 5 times that without attackers";

    /// Whether no call failed, and none took much longer beside the attackers.
    pub(crate) fn held(&self) -> bool {
        let (alone, beside) = (self.alone.p99(), self.beside.p99());
        self.none_failed() && beside <= FLOOR.max(alone * FACTOR)
    }

    /// Whether no call failed, however long it took.
    pub(crate) fn none_failed(&self) -> bool {
        // Without an attacker that did something there was no attack.
        self.tally.total() > 0 && !self.beside.times.is_empty() && self.failed() == 0
    }

    fn failed(&self) -> usize {
        self.alone.failed + self.beside.failed
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alone, beside) = (&self.alone, &self.beside);
        write!(f, "{} of {} calls failed; p99 {} alone, ", beside.failed, beside.calls(), millis(alone.p99()))?;
        match beside.times.is_empty() {
            true => f.write_str("no answer beside")?,
            false => write!(f, "{} beside", millis(beside.p99()))?,
        }
        if alone.failed > 0 {
            write!(f, "; {} of {} failed without attackers", alone.failed, alone.calls())?;
        }
        if let Some(why) = beside.why.as_ref().or(alone.why.as_ref()) {
            write!(f, " ({})", why.chars().take(120).collect::<String>())?;
        }
        write!(f, "; attackers: {}", self.tally)
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
