//! The security token service: what an identity provider says of a caller becomes a token of
//! Google's.
//!
//! Source: [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693), and the reference of Google's
//! Security Token Service API, `v1.token`.

use std::time::SystemTime;

use base64::Engine;
use serde_json::Value;

use super::{
    Principal, aws,
    key::BASE64URL,
    reply::{Asked, Reply},
    scopes,
    token::{Issued, Tokens},
};
use crate::Settings;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const AWS: &str = "urn:ietf:params:aws:token-type:aws4_request";

pub(super) fn respond(
    asked: &Asked<'_>,
    tokens: &mut Tokens,
    settings: &Settings,
    now: SystemTime,
) -> Result<Reply, Reply> {
    if asked.path == "/v1/oauthtoken" {
        if asked.field("grant_type").as_deref() != Some("refresh_token") {
            return Err(Reply::oauth(400, "unsupported_grant_type", "Invalid grant_type"));
        }
        // A workforce's client says who it is in a header.
        let header = asked.headers.get(http::header::AUTHORIZATION).and_then(|header| header.to_str().ok());
        if !header.is_some_and(|header| header.starts_with("Basic ")) {
            return Err(Reply::oauth(401, "invalid_client", "The OAuth client was not found."));
        }
        return tokens.refresh(asked, None, settings, now);
    }
    let required = |name: &str| {
        let problem = format!("Missing required parameter: {name}");
        asked.field(name).ok_or_else(|| Reply::oauth(400, "invalid_request", &problem))
    };
    if required("grant_type")? != "urn:ietf:params:oauth:grant-type:token-exchange" {
        return Err(Reply::oauth(400, "unsupported_grant_type", "Invalid grant_type"));
    }
    if required("requested_token_type")? != ACCESS_TOKEN {
        return Err(Reply::oauth(400, "invalid_request", "Invalid requested_token_type"));
    }
    let audience = required("audience")?;
    if !audience.starts_with("//iam.googleapis.com/") {
        return Err(Reply::oauth(
            400,
            "invalid_target",
            "The target service indicated by the \"audience\" parameters is invalid.",
        ));
    }
    let (kind, subject_token) = (required("subject_token_type")?, required("subject_token")?);
    let subject = match &*kind {
        AWS => aws::subject(&subject_token, &audience, now),
        _ => subject(&subject_token, settings),
    };
    let subject = subject.map_err(|problem| Reply::oauth(400, "invalid_grant", &problem))?;
    let pool = audience.trim_start_matches('/').split("/providers/").next().unwrap_or_default().to_owned();
    let issued = Issued {
        principal: Principal::Federated(format!("principal://{pool}/subject/{subject}")),
        scopes: scopes(&required("scope")?),
        client_id: None,
    };
    let mut answer = tokens.answer(issued, settings, now)?;
    answer["issued_token_type"] = ACCESS_TOKEN.into();
    Ok(Reply::json(&answer))
}

/// Whom a subject token is of: the claim `sub` of a JWT, whose signature only its provider's
/// keys could show right; else the token itself is the name.
fn subject(token: &str, settings: &Settings) -> Result<String, String> {
    if settings.subject_tokens.as_ref().is_some_and(|known| !known.iter().any(|known| known == token)) {
        return Err("The ID Token was issued by an issuer that the provider does not trust.".to_owned());
    }
    let payload = token.split('.').nth(1).and_then(|payload| BASE64URL.decode(payload).ok());
    let claims: Value = payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default();
    Ok(claims["sub"].as_str().unwrap_or("somebody").to_owned())
}
