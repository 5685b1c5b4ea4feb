//! Sends one row until it is clear what became of it.

use std::{
    collections::HashMap,
    future::IntoFuture,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use google_chat::{
    Call, Client, CreateSpaceRequest, Error, Membership, MethodRequest, Space,
    grpc_transcoding::rpc::code_name,
    proto::google::chat::v1::{CreateMembershipRequest, GetSpaceRequest, UpdateMembershipRequest},
};
use tokio::{sync::watch, time::Instant};
use tonic::Code;

use super::{
    job::{Item, Job},
    outcome::{End, MemberEnd, Outcome, Reason, concerns_all},
    pace::Pace,
    rows::Row,
};
use crate::{
    failure::{Exit, Failure, Says},
    people::Invitee,
};

/// How long a row waits before it is sent again, at first and at most.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What to do where the display name is taken, perhaps by the row's own space: not every
/// server remembers request ids for ever.
const PERHAPS_OWN: &str = "an earlier attempt of this row may have created the space that has its name: look at that \
                           space before you choose another name";

/// The same where an import is refused.
const PERHAPS_COMPLETE: &str = "an earlier attempt of this row may have completed the import: look at the space";

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
    /// What a run before knew of it, by the journal or by the file of rows.
    pub(super) before: Option<Outcome>,
    /// A run before may have sent it, though it has left no record of that.
    pub(super) maybe_sent: bool,
    /// What was refused before is sent again.
    pub(super) retry_failed: bool,
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
    /// For spaces in import mode.
    pub(super) import_client: Client,
    pub(super) job: Job,
    /// When the next row may be sent.
    rows: Mutex<Pace>,
    /// When the next member of a new space may be added.
    members: Mutex<Pace>,
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
    pub(super) fn new(
        client: Client,
        import_client: Client,
        job: Job,
        (rows, members): (Pace, Pace),
        patience: Duration,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        Self {
            client,
            import_client,
            job,
            rows: Mutex::new(rows),
            members: Mutex::new(members),
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

    /// The pace of the rows.
    pub(super) fn rows(&self) -> MutexGuard<'_, Pace> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a row may make one more call that changes members; whether the run goes on.
    async fn pace_members(&self) -> bool {
        let at = match self.job {
            // Rows and such calls have one quota.
            Job::Members { .. } => self.rows().reserve(),
            _ => self.members.lock().unwrap_or_else(PoisonError::into_inner).reserve(),
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop > Stop::No) => false,
            () = tokio::time::sleep_until(at) => true,
        }
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
    let sender = Sender { shared: &shared, line: task.row.line };
    let (outcome, trouble) = match &task.row.item {
        Item::Space(space, members) => sender.create(&task, space, members).await,
        Item::Member(space, invitee) => {
            let doubt = Doubt::of(&task);
            let (end, trouble) = sender.add(&shared.client, space, invitee, doubt).await;
            (end.map(Outcome::from), trouble)
        }
        Item::Import(name) => sender.complete(&task, name).await,
    };
    Sent { task, outcome, trouble }
}

/// What an earlier run may have done.
#[derive(Clone, Copy)]
struct Doubt {
    /// The call may have been carried out: where the server finds it done already, it counts as
    /// done.
    may_be_there: bool,
    /// An attempt ended without a clear response: a refusal now does not say that this attempt
    /// failed.
    was_unclear: bool,
}

impl Doubt {
    fn of(task: &Task) -> Self {
        let before = match &task.before {
            Some(Outcome::Unknown(reason)) => Some(reason),
            _ => None,
        };
        Self { may_be_there: task.maybe_sent || before.is_some(), was_unclear: before.is_some_and(Reason::is_unclear) }
    }
}

/// How a call ended.
enum Settled<T> {
    Done(T),
    /// It was refused; `unclear`: why it is unknown whether an attempt before was carried out,
    /// if it is.
    Refused {
        error: Error,
        unclear: Option<Reason>,
    },
    /// It is unknown whether it was carried out.
    Unknown(Reason),
    /// Nothing was carried out, and nothing is said against the call.
    Open,
}

/// Makes the calls of a row.
struct Sender<'a> {
    shared: &'a Shared,
    /// The line of the row.
    line: u64,
}

impl Sender<'_> {
    /// Makes a call until it is clear what became of it, the patience ends or the run is stopped;
    /// with it, why no other row can be sent either.
    async fn settle<Rq: MethodRequest>(&self, call: Call<Rq>) -> (Settled<Rq::Response>, Option<Failure>) {
        let shared = self.shared;
        let mut stop = shared.stop.clone();
        let begun = Instant::now();
        let mut wait = WAIT;
        // Why it is unknown whether the call was carried out, if it is.
        let mut unclear: Option<Reason> = None;
        let open = |unclear: Option<Reason>| unclear.map_or(Settled::Open, Settled::Unknown);
        loop {
            let answer = tokio::select! {
                answer = call.clone().with_response().into_future() => answer,
                _ = stop.wait_for(|stop| *stop == Stop::Now) => {
                    return (Settled::Unknown(unclear.unwrap_or_else(Reason::stopped)), None);
                }
            };
            let error = match answer {
                Ok(response) => {
                    shared.answer();
                    shared.created.fetch_add(1, Ordering::Relaxed);
                    shared.retries.fetch_add(u64::from(response.attempts.saturating_sub(1)), Ordering::Relaxed);
                    return (Settled::Done(response.message), None);
                }
                Err(error) => error,
            };
            match Says::of(&error) {
                Says::Refused if concerns_all(&error, shared.created.load(Ordering::Relaxed) == 0) => {
                    return (open(unclear), Some(error.into()));
                }
                Says::Refused => {
                    shared.answer();
                    shared.retries.fetch_add(u64::from(error.attempts().saturating_sub(1)), Ordering::Relaxed);
                    let unclear = unclear.or_else(|| (error.attempts() > 1).then(|| Reason::of(&error)));
                    return (Settled::Refused { error, unclear }, None);
                }
                Says::Later => {}
                Says::Nothing => unclear = Some(Reason::of(&error)),
            }
            shared.retry(&error);
            if begun.elapsed() + wait > shared.patience {
                // A server that answers other rows is there: the trouble is with this one.
                let trouble = (shared.answered() <= begun).then(|| {
                    Failure::new(
                        Exit::Later,
                        format!(
                            "line {}: {error}. No row was answered for {} s, so that the run has stopped. Nothing is \
                             lost: run the same command again to resume",
                            self.line,
                            begun.elapsed().as_secs()
                        ),
                    )
                });
                return (open(unclear), trouble);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop > Stop::No) => return (open(unclear), None),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Creates a space, unless a run before has, and adds its members.
    async fn create(&self, task: &Task, space: &Space, invitees: &[Invitee]) -> (Option<Outcome>, Option<Failure>) {
        let created = match &task.before {
            Some(created @ Outcome::Created { .. }) => created.clone(),
            _ => {
                let request = CreateSpaceRequest { space: Some(space.clone()), request_id: task.request_id.clone() };
                let (settled, trouble) = self.settle(self.shared.client.create_space(request)).await;
                match (settled, trouble) {
                    (Settled::Done(space), _) => Outcome::created(&space),
                    (Settled::Refused { error, unclear }, trouble) => {
                        let was_unclear = Doubt::of(task).was_unclear || unclear.is_some();
                        let advice = (was_unclear && error.is_already_exists()).then_some(PERHAPS_OWN);
                        return (Some(refused(&error, unclear, was_unclear, advice).into()), trouble);
                    }
                    (Settled::Unknown(reason), trouble) => return (Some(Outcome::Unknown(reason)), trouble),
                    (Settled::Open, trouble) => return (None, trouble),
                }
            }
        };
        let Outcome::Created { name, import_mode_expire_time, members: before } = created else {
            return (Some(created), None);
        };
        let client = if space.import_mode { &self.shared.import_client } else { &self.shared.client };
        let before: HashMap<&str, &End> = before.iter().map(|before| (&*before.member, &before.end)).collect();
        let mut members: Vec<MemberEnd> = Vec::new();
        let mut trouble = None;
        for invitee in invitees {
            let before = before.get(invitee.name()).copied();
            let end = match before {
                Some(End::Name(_)) => before.cloned(),
                Some(End::Error(_)) if !task.retry_failed => before.cloned(),
                _ if trouble.is_some() || !self.shared.pace_members().await => before.cloned(),
                // The row itself has created the space: whoever is in it is not refused.
                _ => {
                    let was_unclear = matches!(before, Some(End::Unknown(reason)) if reason.is_unclear());
                    let doubt = Doubt { may_be_there: true, was_unclear };
                    let (end, stopped_by) = self.add(client, &name, invitee, doubt).await;
                    trouble = stopped_by;
                    end.or_else(|| before.cloned())
                }
            };
            let end = end.unwrap_or_else(|| End::Unknown(Reason::not_sent()));
            members.push(MemberEnd { member: invitee.name().to_owned(), end });
        }
        (Some(Outcome::Created { name, import_mode_expire_time, members }), trouble)
    }

    /// Adds a member to a space, and gives the role. A membership has no request id: who is a
    /// member already was added by an attempt before, if there may have been one.
    async fn add(
        &self,
        client: &Client,
        space: &str,
        invitee: &Invitee,
        Doubt { may_be_there, was_unclear }: Doubt,
    ) -> (Option<End>, Option<Failure>) {
        let admin = matches!(self.shared.job, Job::Members { admin: true, .. });
        let request = CreateMembershipRequest::of(space, invitee.membership.clone());
        let request = CreateMembershipRequest { use_admin_access: admin, ..request };
        let (settled, trouble) = self.settle(client.create_membership(request)).await;
        let member = match settled {
            Settled::Done(member) => member,
            Settled::Refused { error, unclear }
                if error.is_already_exists() && (may_be_there || was_unclear || unclear.is_some()) =>
            {
                // An alias for the name.
                let id = invitee.name().split_once('/').map_or(invitee.name(), |(_, id)| id);
                Membership { name: format!("{space}/members/{id}"), ..Membership::default() }
            }
            Settled::Refused { error, unclear } => {
                let was_unclear = was_unclear || unclear.is_some();
                return (Some(refused(&error, unclear, was_unclear, None)), trouble);
            }
            Settled::Unknown(reason) => return (Some(End::Unknown(reason)), trouble),
            Settled::Open => return (None, trouble),
        };
        let name = member.name.clone();
        let Some(role) = invitee.other_role().filter(|role| *role != member.role()) else {
            return (Some(End::Name(name)), trouble);
        };
        let mut changed = Membership { name: name.clone(), ..Membership::default() };
        changed.set_role(role);
        let request = UpdateMembershipRequest::of(changed, ["role"]);
        let request = UpdateMembershipRequest { use_admin_access: admin, ..request };
        if !self.shared.pace_members().await {
            return (Some(End::Unknown(Reason::not_sent())), trouble);
        }
        let (settled, trouble) = self.settle(client.update_membership(request)).await;
        let end = match settled {
            Settled::Done(_) => End::Name(name),
            Settled::Refused { error, .. } => {
                let mut reason = Reason::of(&error);
                reason.message = format!("{name} was added, but is not in the role: {}", reason.message);
                reason.added = Some(name);
                End::Error(reason)
            }
            Settled::Unknown(reason) => End::Unknown(reason),
            Settled::Open => End::Unknown(Reason::not_sent()),
        };
        (Some(end), trouble)
    }

    /// Completes an import. It has no request id: what is no longer in import mode was completed
    /// by an attempt before, if there may have been one.
    async fn complete(&self, task: &Task, name: &str) -> (Option<Outcome>, Option<Failure>) {
        let (settled, trouble) = self.settle(self.shared.client.complete_import_space(name)).await;
        match settled {
            Settled::Done(response) => {
                let named = response.space.map(|space| space.name).filter(|name| !name.is_empty());
                (Some(named.map_or_else(|| Outcome::Unknown(Reason::nameless()), Outcome::named)), trouble)
            }
            Settled::Refused { error, unclear } => {
                let Doubt { may_be_there, was_unclear } = Doubt::of(task);
                let was_unclear = was_unclear || unclear.is_some();
                let is_state = matches!(error.code(), Code::FailedPrecondition | Code::InvalidArgument);
                if !is_state || !(may_be_there || was_unclear) {
                    return (Some(refused(&error, unclear, was_unclear, None).into()), trouble);
                }
                let (space, _) = self.settle(self.shared.client.get_space(GetSpaceRequest::of(name))).await;
                let outcome = match space {
                    Settled::Done(space) if !space.import_mode => Outcome::named(space.name),
                    Settled::Done(_) => refused(&error, unclear, was_unclear, Some(PERHAPS_COMPLETE)).into(),
                    // Only the space says whether the import is complete.
                    _ => {
                        let reason = unclear.unwrap_or_else(|| Reason::of(&error));
                        Outcome::Unknown(Reason { advice: Some(PERHAPS_COMPLETE.to_owned()), ..reason })
                    }
                };
                (Some(outcome), trouble)
            }
            Settled::Unknown(reason) => (Some(Outcome::Unknown(reason)), trouble),
            Settled::Open => (None, trouble),
        }
    }
}

/// How a refused call ended; `was_unclear`: an attempt before ended without a clear response.
fn refused(error: &Error, unclear: Option<Reason>, was_unclear: bool, advice: Option<&str>) -> End {
    let mut reason = Reason::of(error);
    // These are said of the caller, before the server looks at what was sent before.
    if was_unclear && matches!(error.code(), Code::PermissionDenied | Code::Unimplemented) {
        return End::Unknown(unclear.unwrap_or(reason));
    }
    if let Some(advice) = advice {
        reason.advice = Some(advice.to_owned());
    }
    End::Error(reason)
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Name(name) => Self::named(name),
            End::Error(reason) => Self::Failed(reason),
            End::Unknown(reason) => Self::Unknown(reason),
        }
    }
}
