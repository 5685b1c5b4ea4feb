//! Serving on a port or a Unix socket: HTTP/1.1 and HTTP/2 side by side, with TLS or without.
//!
//! `connections` counts what is open and says which connection makes room for a new one,
//! `stream` is what HTTP reads and writes, `exchange` holds the limits of each request.

use std::{
    future::Future,
    net::SocketAddr,
    ops::DerefMut,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tower::Service;

use self::{
    connections::{Connections, Entry, Place},
    exchange::{Exchanges, Serves},
    stream::Stream,
};
use super::BoxError;

mod connections;
mod exchange;
mod limits;
mod listener;
mod stream;

pub(super) use exchange::MayLast;
pub use exchange::{Peer, RequestBody};
pub use limits::{Limits, ServeOptions};
pub use listener::Listener;

/// How long to wait where the system has no connection to give.
const RETRY: Duration = Duration::from_millis(100);

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client has to end a connection that it was told is over.
const PARTING: Duration = Duration::from_secs(1);

/// The largest head of a request over HTTP/1.1, in bytes.
const HEAD: usize = 64 * 1024;

/// How many bytes of a response over HTTP/2 wait for their client.
const SEND: usize = 64 * 1024;

/// Serves connections until the shutdown of `options`, then lets the calls that are under
/// way end. [`Limits`] says what one client, and all together, can ask of it.
///
/// Each request has its [`Peer`] among its extensions.
///
/// Dropping the future ends every connection at once. An error of the service
/// ends its connection, or over HTTP/2 its stream, without a response.
pub async fn serve<L, S>(mut listener: L, service: S, options: ServeOptions)
where
    L: Listener,
    S: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let ServeOptions { tls, limits, mut shutdown, grace } = options;
    let descriptors = connections::descriptors().map_or(usize::MAX, |count| count / 4 * 3);
    let connections = Arc::new(Connections::new(limits.connections.min(descriptors), limits.connections_per_peer));
    let (open, closing) = watch::channel(());
    let requests = Arc::new(Semaphore::new(limits.requests));
    let server = Server { tls, service: Box::new(service), requests, limits: Arc::new(limits), closing };
    let mut tasks = JoinSet::new();
    loop {
        let accepted = async {
            connections.room().await;
            listener.accept().await
        };
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok((stream, peer)) => {
                    // The port is the client's choice; the address is who it is.
                    if let Some(place) = connections.enter(peer.map(|peer| peer.ip())) {
                        server.begin(&mut tasks, Box::new(stream), peer, place);
                    }
                }
                // A connection that fails while it is accepted is that client's
                // affair; having no more of them is ours, and passes.
                Err(error) => {
                    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
                    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
                        connections.make_room();
                        tokio::time::sleep(RETRY).await;
                    }
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    drop((listener, open));
    let _ = timeout(grace, async { while tasks.join_next().await.is_some() {} }).await;
}

/// A connection of any type; with [`Serves`] it is why all that follows is compiled once, with
/// this crate and as this crate is optimized, and not again with each service.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Io for I {}

/// What the connections of a server share.
#[derive(Clone)]
struct Server {
    tls: Option<limits::Tls>,
    service: Box<dyn Serves>,
    limits: Arc<Limits>,
    requests: Arc<Semaphore>,
    closing: watch::Receiver<()>,
}

/// The side of a connection that the client chose.
enum Begun {
    Plain(Box<dyn Io>, Bytes),
    Tls(Box<tokio_rustls::server::TlsStream<Box<dyn Io>>>),
}

impl Server {
    fn begin(&self, tasks: &mut JoinSet<()>, stream: Box<dyn Io>, peer: Option<SocketAddr>, place: Place) {
        tasks.spawn(self.clone().connection(stream, peer, place));
    }

    /// Serves one connection to its end. How it ends is known to its client.
    async fn connection(self, stream: Box<dyn Io>, peer: Option<SocketAddr>, place: Place) {
        let entry = Arc::clone(&place.entry);
        let mut closing = self.closing.clone();
        let begun = tokio::select! {
            begun = begin(stream, self.tls.as_ref(), &self.limits) => begun,
            _ = closing.changed() => None,
            () = entry.chosen() => None,
        };
        let (stream, read, h2): (Box<dyn Io>, _, _) = match begun {
            None => return,
            Some(Begun::Plain(stream, read)) => {
                let h2 = read.as_ref() == PREFACE;
                (stream, read, h2)
            }
            Some(Begun::Tls(stream)) => {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (stream, Bytes::new(), h2)
            }
        };
        let stream = Stream::new(stream, read, Arc::clone(&entry), self.limits.write);
        self.run(stream, h2, peer, &entry).await;
    }

    async fn run(self, io: Stream<Box<dyn Io>>, h2: bool, peer: Option<SocketAddr>, entry: &Arc<Entry>) {
        let limits = Arc::clone(&self.limits);
        let service = Exchanges {
            service: self.service,
            entry: Arc::clone(entry),
            peer: Peer(peer),
            limits: Arc::clone(&limits),
            requests: self.requests,
        };
        let io = TokioIo::new(io);
        if !h2 {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD);
            let shut = http1::Connection::graceful_shutdown;
            return hold(pin!(server.serve_connection(io, service)), shut, &limits, entry, self.closing).await;
        }
        let mut server = http2::Builder::new(TokioExecutor::new());
        let window = limits.stream_window.min(i32::MAX as u32 / limits.streams);
        server
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping)
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(window)
            .initial_connection_window_size((window * limits.streams).max(65_535))
            .max_send_buf_size(SEND);
        // In a box, so that the other connections, which may be many, need no room for it.
        let connection = Box::pin(server.serve_connection(io, service));
        Box::pin(hold(connection, http2::Connection::graceful_shutdown, &limits, entry, self.closing)).await;
    }
}

/// Moves a connection to its end, which may be that it is idle, or that it has to make room.
async fn hold<C: Future>(
    mut connection: Pin<impl DerefMut<Target = C>>,
    shut: impl Fn(Pin<&mut C>),
    limits: &Limits,
    entry: &Entry,
    mut server_closes: watch::Receiver<()>,
) {
    let mut closing = false;
    // When the connection is looked at next, and when it ends whatever it does.
    let often = limits.idle.min(limits.write / 2).max(RETRY);
    let (mut look, mut end) = (Instant::now() + often, None);
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = server_closes.changed(), if !closing => {
                closing = true;
                shut(connection.as_mut());
            }
            () = entry.chosen() => {
                if !entry.is_idle() {
                    return;
                }
                shut(connection.as_mut());
                (look, end) = (Instant::now() + PARTING, Some(()));
            }
            () = tokio::time::sleep_until(look) => {
                if end.is_some() && !entry.has_requests() {
                    return;
                }
                entry.end_untaken(limits.write);
                let silence = entry.silence();
                if !entry.has_requests() && silence >= limits.idle {
                    shut(connection.as_mut());
                    (look, end) = (Instant::now() + PARTING, Some(()));
                } else {
                    look = Instant::now() + limits.idle.saturating_sub(silence).clamp(RETRY, often);
                }
            }
        }
    }
}

/// Finds out which HTTP a connection speaks. One that does not show it in time is
/// not waited for.
async fn begin(mut stream: Box<dyn Io>, tls: Option<&limits::Tls>, limits: &Limits) -> Option<Begun> {
    if let Some(tls) = tls {
        let accepted = timeout(limits.handshake, Box::pin(TlsAcceptor::from(tls()).accept(stream))).await;
        return Some(Begun::Tls(Box::new(accepted.ok()?.ok()?)));
    }
    let mut begin = [0; PREFACE.len()];
    let mut len = 0;
    let reading = async {
        while len < begin.len() && PREFACE.starts_with(&begin[..len]) {
            match stream.read(&mut begin[len..]).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => len += count,
            }
        }
        Some(())
    };
    timeout(limits.head, reading).await.ok()??;
    Some(Begun::Plain(stream, Bytes::copy_from_slice(&begin[..len])))
}
