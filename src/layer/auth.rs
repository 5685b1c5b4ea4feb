use std::{fmt, sync::Arc};

use grpc_transcoding::{HttpRules, client::Origin};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use tonic::Status;

use super::stack::Steps;
use crate::Credentials;

/// A layer that adds an access token to each call that has none, and the quota project of the
/// credentials (`x-goog-user-project`), if they have one.
///
/// Where the server refuses a token and its source can give another, a unary call is made
/// again with the other one, once.
#[derive(Clone, Debug)]
pub struct AuthLayer(pub(super) Steps);

impl AuthLayer {
    /// Adds the tokens of `credentials` to calls that are sent to `origin`, of the methods
    /// of `rules` and of others.
    ///
    /// # Errors
    ///
    /// If the token would travel in clear text.
    pub fn new(rules: impl Into<HttpRules>, origin: &Origin, credentials: Credentials) -> Result<Self, AuthError> {
        let auth = Some(Auth::new(origin, credentials)?);
        Ok(Self(Steps { rules: Some(rules.into()), auth, ..Steps::default() }))
    }

    /// Sets the OAuth 2.0 scopes that the tokens are to have, in full. There are none by
    /// default.
    #[must_use]
    pub fn scopes<I: IntoIterator<Item: Into<String>>>(mut self, scopes: I) -> Self {
        self.0.scopes = Scopes::new(scopes);
        self
    }
}

/// OAuth 2.0 scopes, in full. As an extension of a call's request, they are those that its
/// token is to have, in place of those of the layer.
#[derive(Clone, Debug)]
pub struct Scopes(Arc<[String]>);

impl Scopes {
    /// These scopes.
    pub fn new<I: IntoIterator<Item: Into<String>>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

/// A token may not be sent to a server: neither over TLS nor within the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    origin: Origin,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "credentials are not sent to {} in clear text; use https, a loopback address, or no credentials",
            self.origin
        )
    }
}

impl std::error::Error for AuthError {}

/// The header that names the project that calls are counted against.
pub(crate) const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Credentials that may be sent to where the calls go.
#[derive(Clone, Debug)]
pub(super) struct Auth(Credentials);

impl Auth {
    pub(super) fn new(origin: &Origin, credentials: Credentials) -> Result<Self, AuthError> {
        if !credentials.is_anonymous() && !origin.is_confidential() {
            return Err(AuthError { origin: origin.clone() });
        }
        Ok(Self(credentials))
    }

    /// Adds a token to the headers, other than the one that was refused. Returns it if its
    /// source can give another.
    ///
    /// # Errors
    ///
    /// As the source of the tokens says.
    pub(super) async fn apply(
        &self,
        headers: &mut HeaderMap,
        scopes: &Scopes,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Status> {
        if self.0.is_anonymous() || headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        let scopes: Vec<&str> = scopes.0.iter().map(String::as_str).collect();
        // In a box, since the future of what fetches tokens is larger than all the rest.
        let Some(token) = Box::pin(self.0.header(&scopes, refused)).await? else { return Ok(None) };
        headers.insert(AUTHORIZATION, token.clone());
        if let Some(project) = self.0.quota_project().filter(|_| !headers.contains_key(QUOTA_PROJECT)) {
            // What the credentials say was seen to be a header's value.
            headers.extend(HeaderValue::try_from(project).ok().map(|project| (QUOTA_PROJECT, project)));
        }
        Ok(self.0.is_renewable().then_some(token))
    }
}
