//! From a stub to a gRPC server.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, header::CONTENT_TYPE};
use tonic::{Status, body::Body, metadata::MetadataMap};
use tower::Service;
use tracing::Span;

use super::{
    BackendLimits, Broken, ConnectError, Connector, HTTP_STATUS, Lasting, Origin,
    pool::{Answer, Fate, Kind, Pool},
    replay::Keeper,
};
use crate::rpc::{
    chain,
    deadline::{Deadline, DeadlineBody},
    header,
    metadata::metadata,
    response, status,
};

/// How often a call is sent that a server has certainly not processed: the second time at
/// once, and then after a wait that doubles.
const ATTEMPTS: u32 = 4;

/// The first of these waits.
const WAIT: Duration = Duration::from_millis(10);

/// A tower service that goes under a generated tonic stub and sends its calls
/// as gRPC, over HTTP/2 with a pool of connections.
///
/// A call that the server has certainly not processed, because the connection ended
/// before it was sent or the server says so, is sent again at once
/// ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries)).
/// Calls marked [`Lasting`] have connections of their own.
#[derive(Clone)]
pub struct Grpc(Arc<Shared>);

struct Shared {
    pool: Pool,
    origin: Origin,
}

impl Grpc {
    /// Makes the service for the server at `origin`. Does no IO but reading
    /// the system's certificates.
    ///
    /// # Errors
    ///
    /// If the system's certificates cannot be read.
    pub fn new(origin: Origin) -> Result<Self, ConnectError> {
        Ok(Self::over(super::connector(&origin)?, origin))
    }

    /// Makes the service for the server at `origin`, over a connector for it.
    pub fn over(connector: Connector, origin: Origin) -> Self {
        let pool = Pool::new(connector.h2_only(), origin.clone(), BackendLimits::default());
        Self(Arc::new(Shared { pool, origin }))
    }

    /// Sets the limits of the connections to the server. The service that is returned
    /// shares no connections with this one.
    #[must_use]
    pub fn with_limits(&self, limits: BackendLimits) -> Self {
        Self(Arc::new(Shared { pool: self.0.pool.with_limits(limits), origin: self.0.origin.clone() }))
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grpc").field("endpoint", &self.0.origin).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Grpc {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(shared.send(call).await.map_or_else(response::failure, response::mended)) })
    }
}

impl Shared {
    async fn send(&self, mut call: Request<Body>) -> Result<Response<Body>, Status> {
        let path = call.uri().path_and_query().cloned();
        let path = path.ok_or_else(|| Status::internal("the call has no path"))?;
        *call.uri_mut() =
            self.origin.url(path).map_err(|error| Status::internal(format!("the request cannot be built: {error}")))?;
        // The stub sets the header; the limit is held here, as no server may.
        let deadline = Deadline::of(call.headers());
        let span = Span::current();
        span.record("http.request.method", "POST");
        let sent = self.exchange(call);
        let response = deadline.within(sent).await?;
        response::record(&span, response.status(), response.version());
        if header::is_grpc(response.headers()) || response.headers().contains_key(&response::GRPC_STATUS) {
            return Ok(match deadline.instant() {
                None => response.map(Body::new),
                Some(_) => response.map(|body| Body::new(DeadlineBody::new(body, deadline))),
            });
        }
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        let code = match status::code(response.status()) {
            tonic::Code::Ok => tonic::Code::Unknown,
            code => code,
        };
        let other = || {
            Status::new(
                code,
                format!(
                    "the response is not gRPC (HTTP {}, {kind}); a proxy may be in the way: try the HTTP/JSON wire",
                    response.status()
                ),
            )
        };
        let mut failed = status::redirect(response.status(), response.headers()).unwrap_or_else(other);
        let http_status = response.status().as_u16();
        *failed.metadata_mut() = MetadataMap::from_headers(metadata(response.into_parts().0.headers, None));
        failed.metadata_mut().insert(HTTP_STATUS, http_status.into());
        // What stands in the way may have passed the request on.
        Err(if code == tonic::Code::Unavailable { Broken::Lost.cause(failed) } else { failed })
    }
}

impl Shared {
    /// Sends a call until it has a response, or the server may have processed it.
    async fn exchange(&self, call: Request<Body>) -> Result<Response<Answer>, Status> {
        let kind = match call.extensions().get() {
            None => Kind::Prompt,
            Some(Lasting::Response) => Kind::Lasting,
            Some(Lasting::Request) => Kind::Sending,
        };
        let (head, body) = call.into_parts();
        let keeper = Keeper::new(body, kind == Kind::Prompt);
        let (mut body, mut sent) = (keeper.attempt(), 0);
        loop {
            let lease = self.pool.lease(kind).await?;
            sent += 1;
            let attempt = body.take().ok_or_else(|| Status::internal("the call's body was sent already"))?;
            let failure = match lease.send(Request::from_parts(head.clone(), attempt)).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if failure.fate != Fate::Unknown && sent < ATTEMPTS {
                if sent > 1 {
                    tokio::time::sleep(WAIT * (1 << (sent - 2))).await;
                }
                body = keeper.attempt();
                if body.is_some() {
                    continue;
                }
            }
            let status = Status::unavailable(format!("the request failed: {}", chain(&failure.error)));
            return Err(if failure.fate == Fate::Unknown { Broken::Lost.cause(status) } else { status });
        }
    }
}
