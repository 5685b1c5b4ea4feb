//! The token endpoint, where a signed assertion is exchanged for an access token.
//!
//! The exchange is ours, since gcp_auth's drops what the token endpoint says, has no time
//! limit and fetches a token only when a call waits for it.
//!
//! Source: [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523).

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{
    TokenError, TokenErrorKind,
    http::{Endpoint, Hop, Http, Refusal},
    tokens::Token,
};

/// The grant that is asked for.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What an `invalid_grant` is about.
enum Grant {
    User,
    Clock,
}

/// The descriptions of an `invalid_grant` by which its cause is known. The error itself is
/// the same for all of them, and Google's token endpoint says no more.
const GRANTS: [(&str, Grant); 3] = [
    // "Invalid email or User ID"
    ("User ID", Grant::User),
    // "Not a valid email"
    ("Not a valid email", Grant::User),
    // "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable
    // timeframe. Check your iat and exp values in the JWT claim."
    ("short-lived token", Grant::Clock),
];

pub(super) struct TokenEndpoint {
    endpoint: Endpoint,
    audience: String,
    pub(super) hop: Hop,
}

/// Whom a token is for, as far as advice names it.
pub(super) struct Asking<'a> {
    /// By which an administrator knows the service account.
    pub(super) client_id: &'a str,
    /// What makes an assertion that is refused good again.
    pub(super) mend: &'static str,
    pub(super) subject: Option<&'a str>,
    pub(super) scopes: &'a str,
}

/// The claims that a service account signs to say who asks for what.
pub(super) fn claims(email: &str, subject: Option<&str>, scopes: &str, audience: &str, now: SystemTime) -> Value {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = json!({
        "iss": email,
        "scope": scopes,
        "aud": audience,
        "iat": now,
        "exp": now + Duration::from_secs(3_600).as_secs(),
    });
    if let Some(subject) = subject {
        claims["sub"] = subject.into();
    }
    claims
}

impl TokenEndpoint {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let hop = Hop::new("access token", format!("the token endpoint {}", endpoint.origin));
        Self { audience: endpoint.uri().to_string(), endpoint, hop }
    }

    /// What a signed assertion names as the server that it is for.
    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Exchanges an assertion for an access token.
    pub(super) async fn exchange(
        &self,
        http: &Http,
        assertion: &str,
        asking: &Asking<'_>,
    ) -> Result<Token, TokenError> {
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion)];
        let answer = http.post_form(&self.hop, &self.endpoint, None, &form).await?;
        answer.ok(&[assertion]).map_err(|refusal| refused(*refusal, asking))?.access_token()
    }
}

/// Why the token endpoint refuses, and what to do.
fn refused(refusal: Refusal, asking: &Asking<'_>) -> TokenError {
    let Refusal { name, description, error, .. } = refusal;
    if error.kind() == TokenErrorKind::Unavailable {
        return error;
    }
    match (&*name, asking.subject) {
        ("unauthorized_client" | "access_denied", Some(subject)) => {
            error.of_kind(TokenErrorKind::NotDelegated).advise(format!(
                "an administrator must allow the client id {} the scopes {} in the Admin console, under Security, API \
                 controls, Domain-wide delegation, before it can act for {subject}; that can take a day to take effect",
                asking.client_id, asking.scopes
            ))
        }
        ("invalid_grant", subject) => {
            let cause = GRANTS.iter().find(|(text, _)| description.contains(text)).map(|(_, cause)| cause);
            error.advise(match (cause, subject) {
                (Some(Grant::User), Some(subject)) => format!("{subject} is no user of the organization").into(),
                (Some(Grant::Clock), _) => Cow::Borrowed("set this machine's clock"),
                _ => Cow::Borrowed(asking.mend),
            })
        }
        _ => error,
    }
}
