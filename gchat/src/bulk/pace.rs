//! When the next row may be sent.

use std::time::Duration;

use tokio::time::Instant;

pub(super) struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// So many rows a minute; 0: as many as can be.
    pub(super) fn new(rate: f64) -> Self {
        let seconds = if rate > 0.0 { 60.0 / rate } else { 0.0 };
        // Longer than a year is as good as never, and can be added to any time.
        let year = Duration::from_secs(365 * 86_400);
        let interval = Duration::try_from_secs_f64(seconds).unwrap_or(year).min(year);
        Self { interval, next: Instant::now() }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.interval.is_zero()
    }

    /// When the next row may be sent.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Keeps the next place for a call; when that is. Time that was not used is not made up for.
    pub(super) fn reserve(&mut self) -> Instant {
        let at = self.next.max(Instant::now());
        self.next = at.checked_add(self.interval).unwrap_or(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_one_after_the_other() {
        let mut pace = Pace::new(60.0);
        let first = pace.reserve();
        assert_eq!(pace.reserve() - first, Duration::from_secs(1));
        assert_eq!(pace.next() - first, Duration::from_secs(2));
        let mut pace = Pace::new(0.0);
        assert!(pace.is_unlimited() && pace.reserve() <= Instant::now());
    }
}
