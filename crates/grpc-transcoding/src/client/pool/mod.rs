//! HTTP/2 connections to one server for many callers, none of whom can harm the
//! others.
//!
//! A call leases a place on a connection ([`Pool::lease`]), sends its request there
//! ([`Lease::send`]), and gives the place back when its response has ended. Calls that
//! last have connections of their own, so that they cannot take the places of those
//! that end soon; each whose request lasts, too, has one to itself.
//!
//! - A connection is made by a task of the pool, never by a call: a caller that leaves
//!   meanwhile fails nobody.
//! - A connection's window is as large as those of all its streams together, so that
//!   responses that nobody reads hold up only themselves.
//! - Servers close a connection on which too many calls are reset (CVE-2023-44487), and
//!   all other calls with it; so resets are paced. A connection with many calls that
//!   wait for that gets no more calls, and is closed when it has no others.
//!
//! `limits` are what can be set, `connect` makes and drives connections, `lease` is a
//! call's way over one.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::client::conn::http2;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tonic::Status;

use self::{
    connect::{Attempt, begin},
    lease::{Lease, Pace},
};
use super::{Connector, Origin, failure::unconnected, replay::Replay};

mod connect;
mod lease;
mod limits;

pub(super) use lease::{Answer, Fate, is_refused};
pub use limits::BackendLimits;

/// Waits between attempts to connect grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How many connections are made at a time where each call has one.
const ATTEMPTS: usize = 8;

/// What calls share a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The response is taken as it comes, and ends soon.
    Prompt,
    Lasting,
    /// The request lasts, too. Each has a connection to itself, since the server's window for
    /// a connection is not ours: one request that it does not take would stop all others.
    Sending,
}

#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    origin: Origin,
    limits: BackendLimits,
    prompt: Mutex<Lane>,
    lasting: Mutex<Lane>,
    sending: Mutex<Lane>,
}

/// The connections for one kind of calls.
#[derive(Default)]
struct Lane {
    connections: Vec<Arc<Connection>>,
    /// Those that get no more calls, as long as they have some.
    retired: Vec<Weak<Connection>>,
    waiting: VecDeque<Waiting>,
    /// How many tasks are about to add a connection.
    connecting: usize,
    /// How many attempts have failed since the last that did not, and when there may be
    /// another.
    failures: u32,
    resume: Option<Instant>,
}

type Waiting = oneshot::Sender<Result<Lease, Arc<ConnectFailure>>>;
type ConnectFailure = dyn std::error::Error + Send + Sync;

struct Connection {
    sender: http2::SendRequest<Replay>,
    /// How many streams the server allows.
    allowed: Arc<AtomicUsize>,
    /// How many places are leased, and when it was none; both change under the lane's
    /// lock only.
    leased: AtomicUsize,
    unused_since: Mutex<Instant>,
    /// How many of the places have calls that nobody waits for; also under the lock.
    abandoned: AtomicUsize,
    retired: AtomicBool,
    /// Whether all calls end at once, because nobody waits for any.
    over: watch::Sender<bool>,
    pace: Mutex<Pace>,
    made: Instant,
    /// When something came from the server, in milliseconds since it was made.
    heard: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(connector: Connector, origin: Origin, limits: BackendLimits) -> Self {
        Self(Arc::new(Shared {
            connector,
            origin,
            limits,
            prompt: Mutex::default(),
            lasting: Mutex::default(),
            sending: Mutex::default(),
        }))
    }

    /// A pool of its own for the same server.
    pub(super) fn with_limits(&self, limits: BackendLimits) -> Self {
        Self::new(self.0.connector.clone(), self.0.origin.clone(), limits)
    }

    /// A place on a connection, waited for if need be.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE, if there is no connection to be had or no place becomes free. Nothing
    /// has been sent then.
    pub(super) async fn lease(&self, kind: Kind) -> Result<Lease, Status> {
        let shared = &self.0;
        let (place, attempt) = {
            let mut lane = lock(shared.lane(kind));
            if let Some(connection) = lane.take(shared.limits.streams_of(kind)) {
                return Ok(Lease { shared: Arc::clone(shared), kind, connection, given_back: false, abandoned: false });
            }
            if lane.waiting.len() >= shared.limits.queue {
                lane.waiting.retain(|waiting| !waiting.is_closed());
                if lane.waiting.len() >= shared.limits.queue {
                    return Err(full());
                }
            }
            let (sender, place) = oneshot::channel();
            lane.waiting.push_back(sender);
            (place, shared.grow(kind, &mut lane))
        };
        begin(attempt);
        match tokio::time::timeout(shared.limits.queue_time, place).await {
            Ok(Ok(Ok(lease))) => Ok(lease),
            Ok(Ok(Err(failure))) => Err(unconnected(failure)),
            Ok(Err(_)) => Err(Status::unavailable("the attempt to connect was given up; send the call again")),
            Err(_) => Err(full()),
        }
    }
}

/// The status of a call for which there is no place.
fn full() -> Status {
    let mut status = Status::unavailable(
        "too many calls are under way to the server behind this one; send the call again in a second",
    );
    status.metadata_mut().insert("retry-after", tonic::metadata::MetadataValue::from_static("1"));
    status
}

impl Shared {
    fn lane(&self, kind: Kind) -> &Mutex<Lane> {
        match kind {
            Kind::Prompt => &self.prompt,
            Kind::Lasting => &self.lasting,
            Kind::Sending => &self.sending,
        }
    }

    /// An attempt to add a connection, if calls wait for one and there may be another.
    fn grow(self: &Arc<Self>, kind: Kind, lane: &mut Lane) -> Option<Attempt> {
        // Where each call has a connection, one that is slow to come must not hold up the others.
        let attempts = if kind == Kind::Sending { ATTEMPTS } else { 1 };
        let connections = lane.connections.len() + lane.connecting;
        if lane.connecting >= attempts.min(lane.waiting.len()) || connections >= self.limits.connections_of(kind) {
            return None;
        }
        lane.connecting += 1;
        Some(Attempt { shared: Some(Arc::clone(self)), kind, resume: lane.resume })
    }

    /// Hands free places to those who wait.
    fn hand_out(self: &Arc<Self>, kind: Kind, lane: &mut Lane) {
        while !lane.waiting.is_empty() {
            let Some(connection) = lane.take(self.limits.streams_of(kind)) else { break };
            let Some(waiting) = lane.waiting.pop_front() else { break };
            let lease = Lease { shared: Arc::clone(self), kind, connection, given_back: false, abandoned: false };
            if let Err(Ok(mut unwanted)) = waiting.send(Ok(lease)) {
                // Who waited has left. The lock that dropping the lease takes is held here.
                unwanted.given_back = true;
                unwanted.connection.give_back();
            }
        }
    }

    /// Takes a connection out, so that it gets no more calls; those who wait may get
    /// another.
    fn retire(self: &Arc<Self>, kind: Kind, connection: &Arc<Connection>) -> Option<Attempt> {
        let mut lane = lock(self.lane(kind));
        lane.retire(connection);
        self.grow(kind, &mut lane)
    }

    /// Whether no more connections wait for their end than there may be others.
    fn is_few_retired(&self, kind: Kind) -> bool {
        lock(self.lane(kind)).retired.len() <= self.limits.connections_of(kind)
    }

    /// Counts a call that nobody waits for any more. A connection with many of them is
    /// replaced, but of these, too, there are no more than of others.
    fn abandon(self: &Arc<Self>, lease: &mut Lease) -> Option<Attempt> {
        let mut lane = lock(self.lane(lease.kind));
        let connection = &lease.connection;
        lease.abandoned = true;
        let abandoned = connection.abandoned.fetch_add(1, Relaxed) + 1;
        lane.retired.retain(|retired| retired.strong_count() > 0);
        let places = self.limits.streams_of(lease.kind).min(connection.allowed.load(Relaxed));
        if abandoned * 2 >= places && lane.retired.len() < self.limits.connections_of(lease.kind) {
            lane.retire(connection);
        }
        connection.end_abandoned();
        self.grow(lease.kind, &mut lane)
    }

    /// Takes in the outcome of an attempt to add a connection; the next, if there is to be
    /// one.
    fn attempted(
        self: &Arc<Self>,
        kind: Kind,
        outcome: Result<Arc<Connection>, Box<ConnectFailure>>,
    ) -> Option<Attempt> {
        let mut lane = lock(self.lane(kind));
        lane.connecting = lane.connecting.saturating_sub(1);
        match outcome {
            Ok(connection) => {
                (lane.failures, lane.resume) = (0, None);
                lane.connections.push(connection);
                self.hand_out(kind, &mut lane);
                self.grow(kind, &mut lane)
            }
            Err(failure) => {
                let wait = BACKOFF.0.saturating_mul(1 << lane.failures.min(10)).min(BACKOFF.1);
                lane.failures = lane.failures.saturating_add(1);
                lane.resume = Some(Instant::now() + wait);
                // Where there are other connections, places there become free, but for calls that
                // have one each.
                if lane.connections.is_empty() || kind == Kind::Sending {
                    let failure: Arc<ConnectFailure> = failure.into();
                    for waiting in lane.waiting.drain(..) {
                        // A caller that has left needs no result.
                        let _ = waiting.send(Err(Arc::clone(&failure)));
                    }
                }
                self.grow(kind, &mut lane)
            }
        }
    }
}

impl Lane {
    fn retire(&mut self, connection: &Arc<Connection>) {
        self.connections.retain(|other| !Arc::ptr_eq(other, connection));
        self.retired.retain(|retired| retired.strong_count() > 0);
        if !connection.retired.swap(true, Relaxed) {
            self.retired.push(Arc::downgrade(connection));
        }
    }

    /// A place on the first connection that has one.
    fn take(&mut self, streams: usize) -> Option<Arc<Connection>> {
        self.connections.retain(|connection| !connection.sender.is_closed());
        let free = |connection: &&Arc<Connection>| {
            connection.leased.load(Relaxed) < streams.min(connection.allowed.load(Relaxed))
        };
        let connection = self.connections.iter().find(free)?;
        connection.leased.fetch_add(1, Relaxed);
        Some(Arc::clone(connection))
    }
}

impl Connection {
    fn give_back(&self) {
        if self.leased.fetch_sub(1, Relaxed) == 1 {
            *lock(&self.unused_since) = Instant::now();
        }
    }

    /// Ends the calls that nobody waits for, if there are no others and will be none.
    fn end_abandoned(&self) {
        if self.retired.load(Relaxed) && self.leased.load(Relaxed) == self.abandoned.load(Relaxed) {
            self.over.send_replace(true);
        }
    }

    fn hear(&self) {
        self.heard.store(u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn heard(&self) -> Instant {
        self.made + Duration::from_millis(self.heard.load(Relaxed))
    }
}
