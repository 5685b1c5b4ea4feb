//! What the policies share: each is a tower service in front of another.

use std::{convert::Infallible, future::Future, pin::Pin};

use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// What a policy does with a call: answers it, in the end by the service under it.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A service that a policy can stand on: one under a stub, whose failures are
/// statuses.
pub(crate) trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Makes a type with a field `inner` and a method `through(&self, inner, call)`, for
/// any [`Inner`], a tower service.
macro_rules! service {
    ($name:ident) => {
        impl<S> tower::Service<http::Request<tonic::body::Body>> for $name<S>
        where
            S: tower::Service<
                    http::Request<tonic::body::Body>,
                    Response = http::Response<tonic::body::Body>,
                    Error = std::convert::Infallible,
                    Future: Send,
                > + Clone
                + Send
                + 'static,
        {
            type Response = http::Response<tonic::body::Body>;
            type Error = std::convert::Infallible;
            type Future = $crate::policy::service::Answer;

            fn poll_ready(
                &mut self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), std::convert::Infallible>> {
                self.inner.poll_ready(context)
            }

            fn call(&mut self, call: http::Request<tonic::body::Body>) -> Self::Future {
                // The service that was made ready is called; a clone takes its place.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                self.through(inner, call)
            }
        }
    };
}
pub(crate) use service;
