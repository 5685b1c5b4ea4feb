//! The HTTP client under [`HttpJson`](super::HttpJson).

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, ResponseFuture},
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
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.0.request(request)
    }
}
