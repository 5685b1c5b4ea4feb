//! The signals that ask the program to end.

use tokio::signal;

use crate::failure::Failure;

/// SIGINT (Ctrl-C) and SIGTERM. As long as there is one of these, neither ends the process
/// by itself, nor does the process ignore SIGTERM where it is the first one of a container.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
    #[cfg(unix)]
    terminate: signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Self, Failure> {
        use signal::unix::{SignalKind, signal};
        let failed = |error| Failure::machine("signals cannot be listened for").because(error);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for the next of them; whether it is SIGTERM.
    pub(crate) async fn next(&mut self) -> bool {
        #[cfg(unix)]
        return tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => true,
        };
        #[cfg(not(unix))]
        {
            let _ = signal::ctrl_c().await;
            false
        }
    }
}

/// SIGHUP, which asks a server to read again what it serves. As long as there is one of
/// these, it does not end the process.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: signal::unix::Signal,
}

impl Hangup {
    pub(crate) fn new() -> Result<Self, Failure> {
        #[cfg(unix)]
        return signal::unix::signal(signal::unix::SignalKind::hangup())
            .map(|signal| Self { signal })
            .map_err(|error| Failure::machine("signals cannot be listened for").because(error));
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next of them; for ever, where there is no such signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
