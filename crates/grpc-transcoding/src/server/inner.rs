//! The service behind a gateway or a sidecar.
//!
//! Its type ends here: what stands in front of it is compiled once, with this crate and as this
//! crate is optimized, and not again with each program that has a service of its own.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tonic::{Status, body::Body};
use tower::Service;

use super::BoxError;
use crate::rpc::{BoxFuture, chain};

/// A body of any type.
pub(super) type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn boxed<B>(body: B) -> BoxBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

type Sending = dyn FnOnce(Request<Body>) -> BoxFuture<Result<Response<BoxBody>, Status>> + Send;

/// The service, for one call.
pub(super) struct Inner(Box<Sending>);

impl Inner {
    pub(super) fn new<S, R>(inner: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<R>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: http_body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        Self(Box::new(|call| Box::pin(send(inner, call))))
    }

    /// Sends the call as soon as the service is ready for it.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE, if the service fails.
    pub(super) fn send(self, call: Request<Body>) -> BoxFuture<Result<Response<BoxBody>, Status>> {
        (self.0)(call)
    }
}

async fn send<S, R>(mut inner: S, call: Request<Body>) -> Result<Response<BoxBody>, Status>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let unavailable = |error: S::Error| Status::unavailable(format!("the backend failed: {}", chain(&*error.into())));
    std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(unavailable)?;
    Ok(inner.call(call).await.map_err(unavailable)?.map(boxed))
}
