//! What a server bears of its clients.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio_rustls::rustls::ServerConfig;

/// How [`serve`](super::serve) serves: by default without TLS, with the default
/// [`Limits`], until it is dropped.
#[must_use]
pub struct ServeOptions {
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) grace: Duration,
}

/// The configuration of TLS as it is now.
pub(super) type Tls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

impl Default for ServeOptions {
    fn default() -> Self {
        Self { tls: None, limits: Limits::default(), shutdown: Box::pin(std::future::pending()), grace: Duration::ZERO }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions").field("limits", &self.limits).field("grace", &self.grace).finish_non_exhaustive()
    }
}

impl ServeOptions {
    /// Serves with TLS. What a connection speaks is what that agrees on (ALPN: `h2`,
    /// `http/1.1`), and HTTP/1.1 where it agrees on nothing.
    pub fn tls(self, config: Arc<ServerConfig>) -> Self {
        self.tls_with(move || Arc::clone(&config))
    }

    /// Serves with TLS as [`ServeOptions::tls`] does. Each connection asks for the
    /// configuration when it begins, so that certificates can be renewed.
    pub fn tls_with(mut self, config: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static) -> Self {
        self.tls = Some(Arc::new(config));
        self
    }

    /// Sets what the server bears of its clients.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Closes the port when `shutdown` is done, and then lets the calls that are under
    /// way end, for `grace` at most.
    pub fn shutdown(mut self, shutdown: impl Future<Output = ()> + Send + 'static, grace: Duration) -> Self {
        (self.shutdown, self.grace) = (Box::pin(shutdown), grace);
        self
    }
}

/// What a server bears of its clients, all together and each.
///
/// What goes beyond a limit of time is ended; what goes beyond one of number is answered
/// with 503 and `Retry-After`, or has to wait.
#[derive(Clone, Debug)]
#[must_use]
pub struct Limits {
    pub(super) handshake: Duration,
    pub(super) head: Duration,
    pub(super) body: Duration,
    pub(super) answer: Duration,
    pub(super) write: Duration,
    pub(super) idle: Duration,
    pub(super) ping: Option<Duration>,
    pub(super) connections: usize,
    pub(super) connections_per_peer: usize,
    pub(super) requests: usize,
    pub(super) streams: u32,
    pub(super) stream_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            ping: Some(Duration::from_secs(60)),
            connections: 4_096,
            connections_per_peer: usize::MAX,
            requests: 4_096,
            streams: 100,
            stream_window: 128 * 1024,
        }
    }
}

impl Limits {
    /// Sets how long the TLS handshake may take. The default is 10 seconds.
    pub fn handshake_time(mut self, time: Duration) -> Self {
        self.handshake = time;
        self
    }

    /// Sets how long the head of a request may take, over HTTP/1.1 from the end of the
    /// request before, and how long a connection may take to show which HTTP it speaks.
    /// The default is 30 seconds.
    pub fn head_time(mut self, time: Duration) -> Self {
        self.head = time;
        self
    }

    /// Sets how long the body of a request may take, from the end of its head; then the
    /// response is 408. Bodies of gRPC may last, and those that a `Gateway` takes as streams
    /// of requests. The default is 60 seconds.
    pub fn body_time(mut self, time: Duration) -> Self {
        self.body = time;
        self
    }

    /// Sets how long a request may take until its response begins; then the response is 504,
    /// or DEADLINE_EXCEEDED over gRPC. It is the last resort, behind the service's own
    /// deadlines; a stream of requests that a `Gateway` takes may last. The default is 10
    /// minutes.
    pub fn answer_time(mut self, time: Duration) -> Self {
        self.answer = time;
        self
    }

    /// Sets for how long a client may take nothing of what is sent to it; then its
    /// connection is closed. The default is 60 seconds.
    pub fn write_time(mut self, time: Duration) -> Self {
        self.write = time;
        self
    }

    /// Sets how long a connection is kept without requests. The default is 120 seconds;
    /// over HTTP/1.1 the time of a head holds as well.
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// Sets after how long without a sign of its client an HTTP/2 connection is pinged;
    /// without a response within 20 seconds it is closed. The default is 60 seconds.
    pub fn ping(mut self, interval: Option<Duration>) -> Self {
        self.ping = interval;
        self
    }

    /// Sets how many connections there may be. Beyond that, the one that has waited for
    /// its client for the longest time, and for 250 ms at least, is closed for a new
    /// one; if all are being served, new ones wait until one ends. The default is 4,096,
    /// and where Linux tells it, at most three quarters of the file descriptors that the
    /// process may open.
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count.max(1);
        self
    }

    /// Sets how many connections one address may have; more of them are closed at once.
    /// By default there is no such limit: behind a proxy all come from one address.
    pub fn connections_per_peer(mut self, count: usize) -> Self {
        self.connections_per_peer = count.max(1);
        self
    }

    /// Sets how many requests may be under way, on all connections. More are answered with
    /// 503. The default is 4,096.
    pub fn requests(mut self, count: usize) -> Self {
        self.requests = count.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how many requests may be under way on one HTTP/2 connection. The default is
    /// 100.
    pub fn streams(mut self, count: u32) -> Self {
        self.streams = count.clamp(1, 100_000);
        self
    }

    /// Sets how many bytes of a request over HTTP/2 are taken before the service reads
    /// them; for a connection, as many times that as it may have requests. The default
    /// is 128 KiB.
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.max(1);
        self
    }
}
