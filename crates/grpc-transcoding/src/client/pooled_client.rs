//! The HTTP client under [`HttpJson`](super::HttpJson).

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;

use super::Connector;

/// The HTTP client that [`HttpJson`](super::HttpJson) uses unless it is given another:
/// hyper-util's, with a pool of connections. Clones share the pool, and are as
/// cheap as one pointer.
#[derive(Clone, Debug)]
pub struct PooledClient(Arc<Client<Connector, Full<Bytes>>>);

impl PooledClient {
    /// Makes a client that connects by `connector`, when it is first used.
    pub fn new(connector: Connector) -> Self {
        Self(Arc::new(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)))
    }
}

impl Service<Request<Full<Bytes>>> for PooledClient {
    type Response = Response<Incoming>;
    type Error = SendError;
    type Future = SendFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> SendFuture {
        SendFuture(self.0.request(request))
    }
}

/// The future of a request that [`PooledClient`] sends.
pub struct SendFuture(ResponseFuture);

impl Future for SendFuture {
    type Output = Result<Response<Incoming>, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(SendError)
    }
}

impl fmt::Debug for SendFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}

/// Why [`PooledClient`] could not send a request, or got no response.
#[derive(Debug)]
pub struct SendError(legacy::Error);

impl SendError {
    /// Whether there was no connection, so that nothing was sent.
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
