//! The token endpoint.
//!
//! Sources: [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) for the grant; the texts of
//! the errors are those that Google's endpoint is seen to give.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use base64::Engine;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::{
    Grant, Identity, Refused, SCOPE, is_timely,
    key::{BASE64URL, ServiceKey},
    scopes,
};
use crate::Settings;

/// What google-auth for Python names as the audience, wherever the endpoint is.
const GOOGLES: &str = "https://oauth2.googleapis.com/token";
/// How long a token is known after its end, so that it is refused as expired.
const KEPT: Duration = Duration::from_secs(3_600);
/// How long a token lives at most: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The tokens that were given out, with their ends.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    grants: HashMap<String, (Grant, SystemTime)>,
    requests: usize,
}

/// An answer of the token endpoint: the HTTP status, and the body.
type Answer = (u16, Value);

fn refuse(status: u16, error: &str, description: &str) -> Answer {
    (status, json!({"error": error, "error_description": description}))
}

impl Tokens {
    /// How often a token was asked for.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// What a token stands for.
    pub(super) fn grant(&self, token: &str, now: SystemTime) -> Result<Grant, Refused> {
        let (grant, end) = self.grants.get(token).ok_or(Refused::Unknown)?;
        if now < *end { Ok(grant.clone()) } else { Err(Refused::Expired) }
    }

    /// Makes every token that was given out expire.
    pub(super) fn expire(&mut self, now: SystemTime) {
        for (_, end) in self.grants.values_mut() {
            *end = now.min(*end);
        }
    }

    /// Exchanges the form of a token request for a token.
    pub(super) fn exchange(
        &mut self,
        form: &[u8],
        key: &ServiceKey,
        uris: &[String],
        settings: &Settings,
        now: SystemTime,
    ) -> Answer {
        self.requests += 1;
        let claims = match claims(form, key, uris, now) {
            Ok(claims) => claims,
            Err(refused) => return *refused,
        };
        let scopes = scopes(claims.get("scope").and_then(Value::as_str).unwrap_or_default());
        if scopes.is_empty() {
            return refuse(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
        let identity = match claims.get("sub").and_then(Value::as_str) {
            None => Identity::App,
            Some(email) if !email.contains('@') => return refuse(400, "invalid_grant", "Not a valid email"),
            Some(email) if settings.users.as_ref().is_some_and(|users| !users.iter().any(|user| user == email)) => {
                return refuse(400, "invalid_grant", "Invalid email or User ID");
            }
            Some(email) => Identity::User(email.to_owned()),
        };
        let allowed = |scope: &str| {
            let mut listed = settings.delegated_scopes.iter().flatten();
            settings.delegated_scopes.is_none() || listed.any(|one| one.strip_prefix(SCOPE).unwrap_or(one) == scope)
        };
        if identity != Identity::App && !scopes.iter().all(|scope| allowed(scope)) {
            let text = "Client is unauthorized to retrieve access tokens using this method, or client not authorized \
                        for any of the scopes requested.";
            return refuse(401, "unauthorized_client", text);
        }
        let mut random = [0; 24];
        if SystemRandom::new().fill(&mut random).is_err() {
            return refuse(500, "internal_failure", "Backend Error");
        }
        let token = format!("ya29.emulator-{}", BASE64URL.encode(random));
        self.grants.retain(|_, (_, end)| now < *end || now.duration_since(*end).is_ok_and(|over| over < KEPT));
        let lifetime = settings.token_lifetime.min(LONGEST);
        let end = now.checked_add(lifetime).unwrap_or(now);
        self.grants.insert(token.clone(), (Grant { identity, scopes, anonymous: false }, end));
        (200, json!({"access_token": token, "expires_in": lifetime.as_secs(), "token_type": "Bearer"}))
    }
}

/// The claims of a request's assertion, if they are signed and timely.
fn claims(form: &[u8], key: &ServiceKey, uris: &[String], now: SystemTime) -> Result<Value, Box<Answer>> {
    let refused = |error: &str, text: &str| Box::new(refuse(400, error, text));
    let field = |name: &str| form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value);
    if field("grant_type").as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return Err(refused("unsupported_grant_type", "Invalid grant_type"));
    }
    let assertion =
        field("assertion").ok_or_else(|| refused("invalid_request", "Missing required parameter: assertion"))?;
    let claims = key.claims(&assertion).map_err(|text| refused("invalid_grant", text))?;
    let audience = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if audience != GOOGLES && !uris.iter().any(|uri| uri == audience) {
        return Err(refused("invalid_grant", "Invalid JWT: Failed audience check."));
    }
    if !is_timely(&claims, now) {
        return Err(refused(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat \
             and exp values in the JWT claim.",
        ));
    }
    Ok(claims)
}
