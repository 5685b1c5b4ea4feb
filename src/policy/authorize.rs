use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderValue, Request, header::AUTHORIZATION};
use tonic::body::Body;

use super::service::{Answer, Inner, service};
use crate::{
    Credentials,
    transport::{self, Origin},
};

/// Among a call's extensions: the OAuth 2.0 scopes that its token is to have,
/// in place of those that [`Authorize`] was made with.
#[derive(Clone, Debug)]
pub struct Scopes(pub Arc<[String]>);

/// What passes between [`Authorize`] and [`Retry`](super::Retry) when a token is
/// refused.
#[derive(Clone)]
pub(super) enum Renewal {
    /// On an answer: this token was refused, and its source can give another.
    Possible(HeaderValue),
    /// On a call: this token is not to be used again.
    Wanted(HeaderValue),
}

/// A tower service that adds an access token to each call, and headers that
/// are the same for all.
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    credentials: Credentials,
    scopes: Vec<String>,
    headers: HeaderMap,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A header may hold a key of the caller's.
        f.debug_struct("Shared")
            .field("credentials", &self.credentials)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
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

service!(Authorize);

impl<S> Authorize<S> {
    fn through<I: Inner>(&self, mut inner: I, mut call: Request<Body>) -> Answer {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            for (name, value) in &shared.headers {
                if !call.headers().contains_key(name) {
                    call.headers_mut().insert(name, value.clone());
                }
            }
            if !call.headers().contains_key(AUTHORIZATION) {
                let scopes = call.extensions().get::<Scopes>().map_or(&shared.scopes[..], |scopes| &scopes.0);
                let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
                let rejected = match call.extensions().get() {
                    Some(Renewal::Wanted(token)) => Some(token),
                    _ => None,
                };
                match shared.credentials.header(&scopes, rejected).await {
                    Ok(Some(header)) => {
                        call.headers_mut().insert(AUTHORIZATION, header.clone());
                        let mut answer = inner.call(call).await?;
                        if shared.credentials.is_renewable() {
                            answer.extensions_mut().insert(Renewal::Possible(header));
                        }
                        return Ok(answer);
                    }
                    Ok(None) => {}
                    Err(error) => return Ok(transport::failure(error.into())),
                }
            }
            inner.call(call).await
        })
    }
}
