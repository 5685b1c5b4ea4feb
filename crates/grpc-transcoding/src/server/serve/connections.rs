//! The connections that are open, and which of them makes room.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::exchange::Answer;

/// A client that has been waited for so long may be closed for another.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often to look for a connection that may make room.
const LOOK: Duration = Duration::from_millis(25);

/// All connections of a server.
pub(super) struct Connections {
    limit: usize,
    limit_per_peer: usize,
    open: Mutex<Open>,
    closed: Notify,
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Arc<Entry>>,
    peers: HashMap<IpAddr, usize>,
    next: u64,
}

/// A connection's place among the others, until this is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    peer: Option<IpAddr>,
    pub(super) entry: Arc<Entry>,
}

/// How it is with a connection.
pub(super) struct Entry {
    begun: Instant,
    /// When its client was last heard, or took something, in milliseconds since it began.
    since: AtomicU64,
    /// How many requests there were, are under way, and are not waiting for the client.
    seen: AtomicUsize,
    requests: AtomicUsize,
    ours: AtomicUsize,
    /// The client has not sent all of a request whose response has begun.
    unread: AtomicBool,
    chosen: AtomicBool,
    make_room: Notify,
    /// The responses that are under way, by their number.
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    last: u64,
    under_way: HashMap<u64, Arc<Mutex<Answer>>>,
}

impl Connections {
    pub(super) fn new(limit: usize, limit_per_peer: usize) -> Self {
        Self { limit: limit.max(1), limit_per_peer, open: Mutex::default(), closed: Notify::new() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be another connection.
    pub(super) async fn room(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open().entries.len() < self.limit {
                return;
            }
            self.make_room();
            let _ = tokio::time::timeout(LOOK, closed).await;
        }
    }

    /// Has the connection closed that has waited for its client for the longest time:
    /// first one in the middle of something, then one that is idle.
    pub(super) fn make_room(&self) {
        let open = self.open();
        let waiting = open.entries.values().filter(|entry| {
            entry.ours.load(Relaxed) == 0 && entry.silence() >= PATIENCE && !entry.chosen.load(Relaxed)
        });
        if let Some(entry) = waiting.max_by_key(|entry| (!entry.is_idle(), entry.silence())) {
            entry.chosen.store(true, Relaxed);
            entry.make_room.notify_one();
        }
    }

    /// A place for a connection; `None` if its peer has too many. One without an address
    /// counts among all only.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Place> {
        let mut open = self.open();
        if let Some(peer) = peer {
            let count = open.peers.entry(peer).or_default();
            if *count >= self.limit_per_peer {
                return None;
            }
            *count += 1;
        }
        let number = open.next;
        open.next += 1;
        let entry = Arc::new(Entry {
            begun: Instant::now(),
            since: AtomicU64::new(0),
            seen: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            unread: AtomicBool::new(false),
            chosen: AtomicBool::new(false),
            make_room: Notify::new(),
            answers: Mutex::default(),
        });
        open.entries.insert(number, Arc::clone(&entry));
        Some(Place { connections: Arc::clone(self), number, peer, entry })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.entries.remove(&self.number);
        if let Some(peer) = self.peer
            && let Some(count) = open.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                open.peers.remove(&peer);
            }
        }
        self.connections.closed.notify_one();
    }
}

impl Entry {
    /// The client was heard, or took something.
    pub(super) fn touch(&self) {
        self.since.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn silence(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.since.load(Relaxed)))
    }

    /// Whether the client has made requests and waits for no response.
    pub(super) fn is_idle(&self) -> bool {
        self.seen.load(Relaxed) > 0 && self.requests.load(Relaxed) == 0
    }

    pub(super) fn has_requests(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// A request has come; it is the server's turn.
    pub(super) fn begin_request(&self) {
        self.seen.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.turn(true);
    }

    /// A request is over, in which it was the server's turn last, or the client's.
    pub(super) fn end_request(&self, ours: bool) {
        self.requests.fetch_sub(1, Relaxed);
        if ours {
            self.ours.fetch_sub(1, Relaxed);
        }
        self.touch();
    }

    /// Whose turn it is in a request has changed: the server's, or the client's.
    pub(super) fn turn(&self, ours: bool) {
        if ours {
            self.ours.fetch_add(1, Relaxed);
        } else {
            self.ours.fetch_sub(1, Relaxed);
        }
        self.touch();
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a response until it is forgotten by the number that it gets.
    pub(super) fn keep(&self, answer: &Arc<Mutex<Answer>>) -> u64 {
        let mut answers = self.answers();
        answers.last += 1;
        let number = answers.last;
        answers.under_way.insert(number, Arc::clone(answer));
        number
    }

    pub(super) fn forget(&self, number: u64) {
        let forgotten = self.answers().under_way.remove(&number);
        drop(forgotten);
    }

    /// Ends the responses of which their client has taken nothing for so long.
    pub(super) fn end_untaken(&self, limit: Duration) {
        let answers: Vec<_> = self.answers().under_way.values().cloned().collect();
        for answer in answers {
            Answer::end_if_untaken(&answer, limit);
        }
    }

    /// Waits until the connection is to make room for another.
    pub(super) async fn chosen(&self) {
        self.make_room.notified().await;
    }
}

/// How many file descriptors the process may open, where Linux tells it.
pub(super) fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
