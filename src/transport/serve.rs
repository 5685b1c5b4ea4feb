//! Serving on a port: HTTP/1.1 and HTTP/2 side by side, with TLS or without.

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tonic::body::Body;
use tower::{Service, ServiceExt, service_fn};

use super::{BoxError, host};

/// How long a client may take over the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// How long to wait where the system has no connection to give.
const RETRY: Duration = Duration::from_millis(100);

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often to look whether more of it came.
const LOOK: Duration = Duration::from_millis(20);

/// How often a silent HTTP/2 connection is asked whether it is alive.
const ALIVE: Duration = Duration::from_secs(60);

/// Serves connections until `shutdown` is done, then lets the calls that are
/// under way end, for `grace` at most.
///
/// Dropping the future ends every connection at once. An error of the service
/// ends its connection, or over HTTP/2 its stream, without an answer.
///
/// With `tls`, what a connection speaks is what that agrees on (ALPN: `h2`,
/// `http/1.1`), and HTTP/1.1 where it agrees on nothing.
pub async fn serve<S>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    service: S,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let tls = tls.map(TlsAcceptor::from);
    let service = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            match host::refusal(&request) {
                Some(refusal) => Ok(refusal),
                None => service.oneshot(request).await,
            }
        }
    });
    let mut connections = JoinSet::new();
    let drain = GracefulShutdown::new();
    let (open, closing) = tokio::sync::watch::channel(());
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => {
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    // A connection that fails while it is accepted is that client's
                    // affair; having no more of them is ours, and passes.
                    Err(error) => {
                        use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
                        if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
                            tokio::time::sleep(RETRY).await;
                        }
                        continue;
                    }
                };
                // Answers are small; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
                server.http2().timer(TokioTimer::new()).keep_alive_interval(ALIVE);
                let (service, watcher) = (TowerToHyperService::new(service.clone()), drain.watcher());
                let mut closing = closing.clone();
                let tls = tls.clone();
                connections.spawn(async move {
                    // Which HTTP it speaks is known from its first bytes; one that never
                    // sends them is not waited for.
                    let begun = tokio::select! {
                        begun = tokio::time::timeout(HEAD, begin(stream, tls)) => begun,
                        _ = closing.changed() => return,
                    };
                    // How a connection ends is known to its client.
                    match begun {
                        Ok(Ok(Begun::Plain(stream))) => {
                            let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                            drop(watcher.watch(connection).await);
                        }
                        Ok(Ok(Begun::Tls(stream))) => {
                            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            let server = if h2 { server.http2_only() } else { server.http1_only() };
                            let connection = server.serve_connection(TokioIo::new(*stream), service).into_owned();
                            drop(watcher.watch(connection).await);
                        }
                        Ok(Err(_)) | Err(_) => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, open));
    let _ = tokio::time::timeout(grace, drain.shutdown()).await;
}

enum Begun {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn begin(stream: TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<Begun> {
    match tls {
        Some(tls) => Ok(Begun::Tls(Box::new(tls.accept(stream).await?))),
        None => {
            known(&stream).await;
            Ok(Begun::Plain(stream))
        }
    }
}

/// Waits until it is known whether a connection begins as HTTP/2 does.
async fn known(stream: &TcpStream) {
    let mut begin = [0; PREFACE.len()];
    // Closed, or failed, is known as well.
    while let Ok(len) = stream.peek(&mut begin).await {
        if len == 0 || len == begin.len() || !PREFACE.starts_with(&begin[..len]) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
