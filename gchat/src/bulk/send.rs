//! Sends one row until it is clear what became of it.

use std::{
    future::IntoFuture,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use google_chat::{Client, CreateSpaceRequest, Error, grpc_transcoding::rpc::code_name};
use tokio::{sync::watch, time::Instant};
use tonic::Code;

use super::{
    outcome::{Outcome, Reason, Says, concerns_all},
    rows::Row,
};
use crate::failure::{Exit, Failure};

/// How long a row waits before it is sent again, at first and at most.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What to do where the display name is taken, perhaps by the row's own space: not every
/// server remembers request ids for ever.
const PERHAPS_OWN: &str = "an earlier attempt of this row may have created the space that has its name: look at that \
                           space before you choose another name";

/// Whether rows are still sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    No,
    /// Calls that are under way may come to their end.
    Soon,
    Now,
}

/// A row that is sent.
pub(super) struct Task {
    pub(super) row: Row,
    pub(super) request_id: String,
    /// A run before has sent it and does not know what became of it.
    pub(super) was_unknown: bool,
    /// Its place among what is printed.
    pub(super) place: u64,
}

/// A row that was sent.
pub(super) struct Sent {
    pub(super) task: Task,
    /// What is known of it now; `None` if nothing was created, and nothing is said
    /// against the row: it is as if it had not been sent.
    pub(super) outcome: Option<Outcome>,
    /// Why no other row can be created either.
    pub(super) trouble: Option<Failure>,
}

/// What those who send tell each other, and who shows how far the run is.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) patience: Duration,
    pub(super) stop: watch::Receiver<Stop>,
    /// When a server last said what became of a row.
    answered: Mutex<Instant>,
    created: AtomicU64,
    retries: AtomicU64,
    /// Why the last call is made again.
    retried: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(client: Client, patience: Duration, stop: watch::Receiver<Stop>) -> Self {
        Self {
            client,
            patience,
            stop,
            answered: Mutex::new(Instant::now()),
            created: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            retried: Mutex::new(None),
        }
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Why rows wait, if no row was answered since.
    pub(super) fn waits_for(&self) -> Option<String> {
        self.retried.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        *self.retried.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn answered(&self) -> Instant {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry(&self, error: &Error) {
        self.retries.fetch_add(u64::from(error.attempts()), Ordering::Relaxed);
        let why = format!("{}: {}", code_name(error.code()), error.message());
        *self.retried.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Sends a row until it is created or refused, the patience ends or the run is stopped.
pub(super) async fn send(task: Task, shared: Arc<Shared>) -> Sent {
    let (outcome, trouble) = outcome(&task, &shared).await;
    Sent { task, outcome, trouble }
}

async fn outcome(task: &Task, shared: &Shared) -> (Option<Outcome>, Option<Failure>) {
    let mut stop = shared.stop.clone();
    let begun = Instant::now();
    let mut wait = WAIT;
    // Why it is unknown whether the space was created, if it is.
    let mut unclear: Option<Reason> = None;
    loop {
        let space = Some(task.row.space.clone());
        let call = shared.client.create_space(CreateSpaceRequest { space, request_id: task.request_id.clone() });
        let answer = tokio::select! {
            answer = call.with_response().into_future() => answer,
            _ = stop.wait_for(|stop| *stop == Stop::Now) => {
                return (Some(Outcome::Unknown(unclear.unwrap_or_else(Reason::stopped))), None);
            }
        };
        let error = match answer {
            Ok(created) => {
                shared.answer();
                shared.created.fetch_add(1, Ordering::Relaxed);
                shared.retries.fetch_add(u64::from(created.attempts.saturating_sub(1)), Ordering::Relaxed);
                return (Some(Outcome::created(&created.message)), None);
            }
            Err(error) => error,
        };
        match Says::of(&error) {
            Says::Refused if concerns_all(&error, shared.created.load(Ordering::Relaxed) == 0) => {
                return (unclear.map(Outcome::Unknown), Some(error.into()));
            }
            Says::Refused => {
                shared.answer();
                shared.retries.fetch_add(u64::from(error.attempts().saturating_sub(1)), Ordering::Relaxed);
                let mut reason = Reason::of(&error);
                let was_sent = task.was_unknown || unclear.is_some() || error.attempts() > 1;
                // These are said of the caller, before the server looks up the request id.
                if was_sent && matches!(error.code(), Code::PermissionDenied | Code::Unimplemented) {
                    return (Some(Outcome::Unknown(unclear.unwrap_or(reason))), None);
                }
                if error.is_already_exists() && was_sent {
                    reason.advice = Some(PERHAPS_OWN.to_owned());
                }
                return (Some(Outcome::Failed(reason)), None);
            }
            Says::Later => {}
            Says::Nothing => unclear = Some(Reason::of(&error)),
        }
        shared.retry(&error);
        if begun.elapsed() + wait > shared.patience {
            // A server that answers other rows is there: the trouble is with this one.
            let trouble = (shared.answered() <= begun).then(|| {
                Failure::new(Exit::Later, format!(
                    "line {}: {error}. No row was answered for {} s, so that the run has stopped. Nothing is lost: run \
                     the same command again to resume",
                    task.row.line,
                    begun.elapsed().as_secs()
                ))
            });
            return (unclear.map(Outcome::Unknown), trouble);
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop > Stop::No) => return (unclear.map(Outcome::Unknown), None),
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
