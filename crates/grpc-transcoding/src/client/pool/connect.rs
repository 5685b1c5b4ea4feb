//! How a connection is made, and what moves its frames.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use http::{Uri, uri::PathAndQuery};
use hyper::client::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};
use tower::ServiceExt;

use super::{ConnectFailure, Connection, Kind, Shared, lease::Pace, lock};
use crate::client::{Connector, replay::Replay};

type Stream = <Connector as tower::Service<Uri>>::Response;

impl Shared {
    pub(super) async fn connect(self: &Arc<Self>, kind: Kind) -> Result<Arc<Connection>, Box<ConnectFailure>> {
        let target = self.origin.url(PathAndQuery::from_static("/"))?;
        let stream = self.connector.clone().oneshot(target).await?;
        let (stream_window, connection_window) = self.limits.windows(kind);
        let settings = Arc::new(Settings::default());
        let over = watch::Sender::new(false);
        let ends = (kind == Kind::Sending).then(|| over.clone());
        let mut builder = http2::Builder::new(Spawn { settings: Arc::clone(&settings), over: ends });
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_send_buf_size(stream_window as usize)
            .keep_alive_interval(self.limits.ping)
            // None until the server says how many: they would be refused, or wait on this
            // connection while there is room on others.
            .initial_max_send_streams(0);
        let (sender, connection) = builder.handshake(stream).await?;
        let mut connection = Box::pin(connection);
        let allowed = loop {
            let allowed = connection.current_max_send_streams();
            if allowed > 0 {
                break Arc::new(AtomicUsize::new(allowed));
            }
            tokio::select! {
                ended = connection.as_mut() => {
                    ended?;
                    return Err("the server closed the connection before it spoke HTTP/2; it may be no gRPC server".into());
                }
                () = settings.changed.notified() => {}
            }
        };
        settings.known.store(true, Relaxed);
        let now = Instant::now();
        let made = Arc::new(Connection {
            sender,
            allowed: Arc::clone(&allowed),
            leased: AtomicUsize::new(0),
            unused_since: Mutex::new(now),
            abandoned: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            over,
            pace: Mutex::new(Pace { next: now }),
            made: now,
            heard: AtomicU64::new(0),
        });
        tokio::spawn(drive(Arc::downgrade(self), kind, Arc::downgrade(&made), connection, allowed));
        Ok(made)
    }
}

/// A connection's own task: moves its frames, and closes it when it has not been used
/// for long.
async fn drive(
    shared: Weak<Shared>,
    kind: Kind,
    made: Weak<Connection>,
    mut connection: Pin<Box<http2::Connection<Stream, Replay, Spawn>>>,
    allowed: Arc<AtomicUsize>,
) {
    let idle = shared.upgrade().map_or(Duration::ZERO, |shared| shared.limits.idle);
    let mut look = pin!(tokio::time::sleep(idle));
    std::future::poll_fn(|context| {
        while look.as_mut().poll(context).is_ready() {
            if let (Some(shared), Some(made)) = (shared.upgrade(), made.upgrade()) {
                let mut lane = lock(shared.lane(kind));
                if made.leased.load(Relaxed) == 0 && lock(&made.unused_since).elapsed() >= idle {
                    lane.connections.retain(|other| !Arc::ptr_eq(other, &made));
                }
            }
            look.as_mut().reset(Instant::now() + idle.max(Duration::from_millis(100)) / 2);
        }
        let ended = connection.as_mut().poll(context);
        allowed.store(connection.current_max_send_streams(), Relaxed);
        ended.map(drop)
    })
    .await;
    if let Some(shared) = shared.upgrade() {
        let attempt = {
            let mut lane = lock(shared.lane(kind));
            if let Some(made) = made.upgrade() {
                lane.connections.retain(|other| !Arc::ptr_eq(other, &made));
            }
            shared.grow(kind, &mut lane)
        };
        begin(attempt);
    }
}

/// The server's settings as they come: hyper tells nobody.
#[derive(Default)]
struct Settings {
    changed: Notify,
    known: AtomicBool,
}

/// Runs hyper's tasks, of which the first reads the server's settings. Those of a connection
/// for one call end with it, whatever they wait for.
#[derive(Clone)]
struct Spawn {
    settings: Arc<Settings>,
    over: Option<watch::Sender<bool>>,
}

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        // hyper's type has room for the whole connection, even for a call's part, and a runtime
        // moves what it is given several times.
        let task = Box::pin(task);
        let Some(over) = &self.over else { return self.settings.run(task) };
        let mut over = over.subscribe();
        self.settings.run(Box::pin(async move {
            tokio::select! {
                _ = task => {}
                _ = over.wait_for(|over| *over) => {}
            }
        }));
    }
}

impl Settings {
    fn run<F>(self: &Arc<Self>, mut task: F)
    where
        F: Future + Unpin + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.known.load(Relaxed) {
            tokio::spawn(task);
            return;
        }
        let settings = Arc::clone(self);
        tokio::spawn(async move {
            let mut waited = false;
            std::future::poll_fn(|context| {
                if !settings.known.load(Relaxed) {
                    let polled = Pin::new(&mut task).poll(context);
                    settings.changed.notify_one();
                    return polled;
                }
                // Those that can run now go first, so that the frames of their calls leave in one
                // piece and not each by itself.
                waited = !waited;
                if waited {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Pin::new(&mut task).poll(context)
            })
            .await
        });
    }
}

/// An attempt to add a connection, which ends with the runtime at the latest.
#[must_use]
pub(super) struct Attempt {
    pub(super) shared: Option<Arc<Shared>>,
    pub(super) kind: Kind,
    pub(super) resume: Option<Instant>,
}

/// Begins an attempt. The lane must not be locked: a runtime that ends drops the task at
/// once, and the attempt takes the lock then.
pub(super) fn begin(attempt: Option<Attempt>) {
    // A call may be dropped after its runtime, where nothing can be begun any more.
    if let (Some(attempt), Ok(runtime)) = (attempt, Handle::try_current()) {
        runtime.spawn(attempt.run());
    }
}

impl Attempt {
    async fn run(mut self) {
        if let Some(resume) = self.resume {
            tokio::time::sleep_until(resume).await;
        }
        let Some(shared) = self.shared.clone() else { return };
        let limit = shared.limits.connect;
        let outcome = match tokio::time::timeout(limit, shared.connect(self.kind)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("the server did not speak HTTP/2 within {limit:?}").into()),
        };
        self.shared = None;
        begin(shared.attempted(self.kind, outcome));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut lane = lock(shared.lane(self.kind));
        lane.connecting = lane.connecting.saturating_sub(1);
        lane.waiting.clear();
    }
}
