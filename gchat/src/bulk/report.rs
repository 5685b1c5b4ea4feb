//! Prints what became of the rows, in their order, and counts.

use std::{collections::VecDeque, time::Duration};

use super::{
    job::Job,
    journal::Journal,
    outcome::{Kind, Outcome},
    progress,
};
use crate::{failure::Failure, output};

/// How far the rows that are under way may be apart: what was done out of order waits
/// in memory to be printed in order.
const WINDOW: usize = 4_096;

/// How much text is gathered before it is printed, in bytes.
const ENOUGH: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Report {
    /// What is to be printed of the rows that were taken, in their order; `None` as long
    /// as one is under way. The first has the place `first`.
    lines: VecDeque<Option<String>>,
    first: u64,
    /// What can be printed.
    text: String,
    pub(super) counts: Counts,
}

/// What this run has done, and what it has told.
#[derive(Default)]
pub(super) struct Counts {
    /// The rows that this run created, spaces that lack members among them.
    pub(super) created: u64,
    /// The rows that this run has finished.
    pub(super) ended: u64,
    pub(super) retries: u64,
    imports: u64,
    /// When the first import must be completed.
    import_until: Option<String>,
}

impl Report {
    /// Whether another row may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < WINDOW
    }

    /// Keeps a place for a row that is taken.
    pub(super) fn place(&mut self) -> u64 {
        self.lines.push_back(None);
        self.first + self.lines.len() as u64 - 1
    }

    /// Tells at its place what is known of a row; `None`: nothing new.
    pub(super) fn tell(&mut self, place: u64, line: u64, outcome: Option<&Outcome>) {
        if let Some(Outcome::Created { import_mode_expire_time: Some(until), .. }) = outcome {
            self.counts.imports += 1;
            // Times of one form are in order as texts are.
            if self.counts.import_until.as_ref().is_none_or(|first| until < first) {
                self.counts.import_until = Some(until.clone());
            }
        }
        let text = outcome.map(|outcome| format!("{}\n", output::plain_json(&outcome.to_json(line).to_string())));
        if let Some(kept) = usize::try_from(place - self.first).ok().and_then(|at| self.lines.get_mut(at)) {
            *kept = Some(text.unwrap_or_default());
        }
        while let Some(Some(line)) = self.lines.front() {
            self.text.push_str(line);
            self.lines.pop_front();
            self.first += 1;
        }
    }

    pub(super) fn has_much(&self) -> bool {
        self.text.len() >= ENOUGH
    }

    /// Prints what can be.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        output::write(std::mem::take(&mut self.text).as_bytes())
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Says in the end how it went.
    pub(super) fn summarize(&self, job: &Job, journal: &Journal, time: Duration, at_full_speed: bool) {
        let Counts { created: own, retries, imports, import_until, .. } = &self.counts;
        let [created, failed, unknown] = [Kind::Created, Kind::Failed, Kind::Unknown].map(|kind| journal.count(kind));
        // The space of such a row is there as well.
        let partly = journal.count_partly();
        let created = created + partly;
        let partly = if partly > 0 { format!(" {partly} spaces lack members,") } else { String::new() };
        let before = if *own < created { format!(" ({} of them before)", created - own) } else { String::new() };
        let unknown = if unknown > 0 { format!(" {unknown} rows are unknown,") } else { String::new() };
        let seconds = time.as_secs_f64();
        let rate = if at_full_speed { format!(", {:.0} a second", *own as f64 / seconds) } else { String::new() };
        output::note(&format!(
            "gchat: {created} {}{before},{partly} {failed} rows failed,{unknown} {retries} retries, in {}{rate}",
            job.done(),
            progress::time(seconds)
        ));
        if let Some(until) = import_until {
            output::note(&format!(
                "gchat: {imports} of them are in import mode: complete each by its importModeExpireTime, the first by \
                 {until} (gchat spaces complete-import --from FILE); what is not complete by then is deleted"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_printed_in_their_order_and_those_that_are_as_before_are_not() {
        let mut report = Report::default();
        let places = [(); 4].map(|()| report.place());
        let created = |name: &str| Outcome::named(name.to_owned());
        report.tell(places[2], 3, Some(&created("c")));
        assert_eq!(report.text, "");
        report.tell(places[0], 1, Some(&created("a")));
        assert_eq!(report.text, "{\"line\":1,\"name\":\"a\"}\n");
        report.tell(places[1], 2, None);
        report.tell(places[3], 4, Some(&Outcome::Unknown(super::super::outcome::Reason::stopped())));
        let told: Vec<&str> = report.text.lines().map(|line| &line[..line.len().min(18)]).collect();
        assert_eq!(told, ["{\"line\":1,\"name\":\"", "{\"line\":3,\"name\":\"", "{\"line\":4,\"unknown"]);
    }
}
