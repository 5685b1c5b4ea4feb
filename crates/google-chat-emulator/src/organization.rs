use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use crate::{Settings, lock};

/// What all parts of an emulator share: the settings of the emulated organization, and its
/// clock, which can be moved.
#[derive(Debug, Default)]
pub(crate) struct Organization {
    settings: Mutex<Arc<Settings>>,
    /// How far the clock is ahead of the system's.
    ahead: Mutex<Duration>,
}

impl Organization {
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.settings))
    }

    /// Changes the settings; what the change returns.
    pub(crate) fn configure<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(Arc::make_mut(&mut lock(&self.settings)))
    }

    /// The time of the clock. It ends 100 days before the last second that a timestamp can
    /// hold, so that the end of an import, 90 days later, can be given as one.
    pub(crate) fn now(&self) -> SystemTime {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799 - 100 * 86_400);
        SystemTime::now().checked_add(*lock(&self.ahead)).unwrap_or(last).min(last)
    }

    /// Moves the clock forward; how far it is ahead of the system's then.
    pub(crate) fn advance(&self, time: Duration) -> Duration {
        let mut ahead = lock(&self.ahead);
        *ahead = ahead.saturating_add(time);
        *ahead
    }
}
