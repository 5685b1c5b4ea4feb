use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tower::Service;

use crate::{Credentials, transport::Origin};

/// A tower service that adds an access token to each call, and headers that
/// are the same for all.
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    credentials: Credentials,
    scopes: Vec<String>,
    headers: HeaderMap,
}

/// A token may not be sent there: neither over TLS nor within the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeError {
    origin: Origin,
}

impl fmt::Display for AuthorizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "credentials are not sent to {} in clear text; use https, a loopback address, or no credentials",
            self.origin
        )
    }
}

impl std::error::Error for AuthorizeError {}

impl<S> Authorize<S> {
    /// Puts the credentials in front of a service that sends to `origin`.
    ///
    /// `headers` go with every call that does not set them itself.
    ///
    /// # Errors
    ///
    /// If the token would travel in clear text.
    pub fn new(
        inner: S,
        origin: &Origin,
        credentials: Credentials,
        scopes: Vec<String>,
        headers: HeaderMap,
    ) -> Result<Self, AuthorizeError> {
        if !credentials.is_anonymous() && !origin.is_confidential() {
            return Err(AuthorizeError { origin: origin.clone() });
        }
        Ok(Self { inner, shared: Arc::new(Shared { credentials, scopes, headers }) })
    }
}

impl<S> Service<Request<Body>> for Authorize<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Request<Body>) -> Self::Future {
        // The service that was made ready is the one to call; a clone takes its
        // place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            for (name, value) in &shared.headers {
                if !call.headers().contains_key(name) {
                    call.headers_mut().insert(name, value.clone());
                }
            }
            if !call.headers().contains_key(AUTHORIZATION) {
                let scopes: Vec<&str> = shared.scopes.iter().map(String::as_str).collect();
                match shared.credentials.header(&scopes).await {
                    Ok(Some(header)) => {
                        call.headers_mut().insert(AUTHORIZATION, header);
                    }
                    Ok(None) => {}
                    Err(status) => return Ok(status.into_http()),
                }
            }
            inner.call(call).await
        })
    }
}
