//! How far a run is: a bar on a terminal, else a line now and then.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use super::bar::Bar;
use crate::output;

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<Bar>,
    quiet: bool,
    total: u64,
    /// The rows that an earlier run has finished.
    before: u64,
    begun: Instant,
    said: Instant,
}

impl Progress {
    pub(super) fn new(total: u64, before: u64, quiet: bool) -> Self {
        let bar = if !quiet && stderr().is_terminal() { Bar::new(total) } else { None };
        let now = Instant::now();
        Self { bar, quiet, total, before, begun: now, said: now }
    }

    /// Shows how far it is, if it is time to; and why rows wait, if they do.
    pub(super) fn show(&mut self, ended: u64, retries: u64, waits_for: Option<&str>) {
        if self.bar.is_none() && (self.quiet || self.said.elapsed() < LINES) {
            return;
        }
        let done = self.before + ended;
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = ended as f64 / seconds.max(0.001);
        let left = match ended {
            0 => String::new(),
            _ => format!(", {} left", time(self.total.saturating_sub(done) as f64 / rate)),
        };
        let why = waits_for.map(|why| format!(", the last for {}", output::shorten(why))).unwrap_or_default();
        let text = format!("{:.0} a minute{left}, {retries} retries{why}", rate * 60.0);
        match &self.bar {
            Some(bar) => bar.show(done, text),
            None => {
                self.said = Instant::now();
                output::note(&format!("gchat: {done} of {} rows, {text}", self.total));
            }
        }
    }

    /// Writes lines to the terminal where the bar is not in their way: it is taken away
    /// before and drawn anew below them.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.end();
        }
    }
}

/// A time in the two largest units that it has.
pub(super) fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([0.4, 61.0, 9_000.0].map(time), ["0 s", "1 min 1 s", "2 h 30 min"]);
    }
}
