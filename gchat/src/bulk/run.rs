//! Takes rows, has them sent, and keeps and prints what became of them.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    args::{Args, Shard},
    journal::Journal,
    outcome::{Kind, Outcome},
    progress::Progress,
    report::Report,
    send::{Sent, Shared, Stop, Task, send},
    source::Unchanged,
};
use crate::failure::{Exit, Failure};

/// How long calls that are under way may take when a run is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is shown how far the run is.
const TICK: Duration = Duration::from_millis(200);

pub(super) struct Run<'a> {
    rows: Unchanged<'a>,
    journal: &'a mut Journal,
    shared: Arc<Shared>,
    stop: watch::Sender<Stop>,
    shard: Shard,
    retry_failed: bool,
    concurrency: usize,
    progress: Progress,
    report: Report,
    /// The row that is sent next.
    next: Option<Task>,
    under_way: JoinSet<Sent>,
    /// What stopped the run, and when calls that are under way are given up.
    trouble: Option<(Failure, Instant)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        rows: Unchanged<'a>,
        journal: &'a mut Journal,
        shared: Shared,
        stop: watch::Sender<Stop>,
        args: &Args,
        progress: Progress,
    ) -> Self {
        Self {
            rows,
            journal,
            shared: Arc::new(shared),
            stop,
            shard: args.shard,
            retry_failed: args.retry_failed,
            concurrency: usize::from(args.concurrency),
            progress,
            report: Report::default(),
            next: None,
            under_way: JoinSet::new(),
            trouble: None,
        }
    }

    /// Goes on until all rows have come to their end, or nothing helps any more; what
    /// stopped it, and what there is to report.
    pub(super) async fn finish(mut self) -> (Option<Failure>, Report) {
        let mut tick = tokio::time::interval(TICK);
        // One after the other, so that none is lost between two looks.
        let mut interrupted = Box::pin(tokio::signal::ctrl_c());
        loop {
            self.begin_rows();
            let is_stopping = self.trouble.is_some();
            if self.under_way.is_empty() && (self.next.is_none() || is_stopping) {
                break;
            }
            let may_send = self.next.is_some() && !is_stopping && self.under_way.len() < self.concurrency;
            let give_up = self.trouble.as_ref().map(|(_, at)| *at);
            tokio::select! {
                Some(first) = self.under_way.join_next() => self.end_rows(first),
                () = tokio::time::sleep_until(self.shared.rows().next()), if may_send => {}
                () = until(give_up), if is_stopping && *self.stop.borrow() != Stop::Now => {
                    self.stop.send_replace(Stop::Now);
                }
                _ = &mut interrupted => {
                    interrupted = Box::pin(tokio::signal::ctrl_c());
                    if is_stopping {
                        self.stop.send_replace(Stop::Now);
                    }
                    self.stop(Failure::new(Exit::Interrupted, "stopped; run the same command again to resume"));
                }
                _ = tick.tick() => {
                    self.print();
                    let waits_for = self.shared.waits_for();
                    self.progress.show(self.report.counts.ended, self.shared.retries(), waits_for.as_deref());
                }
            }
        }
        // Behind what was not sent there may be rows that were.
        if let Some(task) = self.next.take() {
            self.report.tell(task.place, task.row.line, None);
        }
        self.print();
        self.report.counts.retries = self.shared.retries();
        self.progress.end();
        (self.trouble.map(|(failure, _)| failure), self.report)
    }

    /// Has no more rows be sent; the first cause counts.
    fn stop(&mut self, cause: Failure) {
        self.trouble.get_or_insert_with(|| (cause, Instant::now() + GRACE));
        self.stop.send_if_modified(|stop| std::mem::replace(stop, (*stop).max(Stop::Soon)) == Stop::No);
    }

    /// Sends rows as long as it is their time.
    fn begin_rows(&mut self) {
        while self.trouble.is_none() && self.under_way.len() < self.concurrency {
            if self.next.is_none()
                && let Err(failure) = self.take()
            {
                return self.stop(failure);
            }
            if self.shared.rows().next() > Instant::now() {
                return;
            }
            let Some(task) = self.next.take() else { return };
            self.shared.rows().reserve();
            self.under_way.spawn(send(task, Arc::clone(&self.shared)));
        }
    }

    /// Finds the next row to be sent; those that have come to their end before are told.
    fn take(&mut self) -> Result<(), Failure> {
        while self.report.has_room() {
            let Some(mut row) = self.rows.next()? else { return Ok(()) };
            if !self.shard.takes(row.number) {
                continue;
            }
            let known = self.journal.outcome(row.number).map_err(|error| self.no_journal(error))?;
            let place = self.report.place();
            match known {
                Some(outcome) if !Kind::of(&outcome).is_open(self.retry_failed) => {
                    self.report.tell(place, row.line, Some(&outcome));
                    if self.report.has_much() {
                        self.print();
                    }
                }
                known => {
                    let before = known.or_else(|| row.before.take());
                    let derived = || self.journal.request_id(row.number);
                    let request_id = row.request_id.clone().unwrap_or_else(derived);
                    let maybe_sent = self.journal.is_resumed();
                    self.next =
                        Some(Task { row, request_id, before, maybe_sent, retry_failed: self.retry_failed, place });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Keeps what became of rows, those of one moment together, and then tells it.
    fn end_rows(&mut self, first: Result<Sent, tokio::task::JoinError>) {
        let mut ended = vec![first];
        ended.extend(std::iter::from_fn(|| self.under_way.try_join_next()));
        let ended: Vec<Sent> = ended
            .into_iter()
            .filter_map(|sent| sent.map_err(|error| self.stop(Failure::machine(error))).ok())
            .collect();
        let kept = ended
            .iter()
            .filter_map(|sent| Some((sent.task.row.number, sent.outcome.as_ref()?)))
            .try_for_each(|(row, outcome)| self.journal.put(row, outcome))
            .and_then(|()| self.journal.write());
        for Sent { task, outcome, trouble } in ended {
            let is_created = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Created { .. }));
            let is_new = is_created(&outcome) && !is_created(&task.before);
            self.report.counts.created += u64::from(is_new);
            self.report.counts.ended += u64::from(outcome.is_some());
            // What is not kept is told by the run that finds it out anew.
            self.report.tell(task.place, task.row.line, outcome.as_ref().filter(|_| kept.is_ok()));
            if let Some(trouble) = trouble {
                self.stop(trouble);
            }
        }
        if let Err(error) = kept {
            self.stop(self.no_journal(error));
        }
        // Who reads along is to see each row; of many, what came since the last look.
        if !self.shared.rows().is_unlimited() || self.report.has_much() {
            self.print();
        }
    }

    fn print(&mut self) {
        if !self.report.has_text() {
            return;
        }
        if let Err(failure) = self.progress.above(|| self.report.print()) {
            self.stop(failure);
        }
    }

    fn no_journal(&self, error: std::io::Error) -> Failure {
        Failure::machine(format!("the journal {}", self.journal.path().display())).because(error)
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
