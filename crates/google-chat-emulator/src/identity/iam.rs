//! IAM Service Account Credentials: `generateAccessToken` and `signJwt`.
//!
//! Source: the reference of `projects.serviceAccounts` of that API; the texts of the errors are
//! those that it is seen to give.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{
    Principal, Refused,
    key::{EMAIL, ServiceKey},
    reply::{Asked, Reply},
    scopes,
    token::{Issued, Tokens},
};
use crate::Settings;

/// The longest life of a token without an exception of the organization's.
const LONGEST: Duration = Duration::from_secs(3_600);

pub(super) fn respond(
    asked: &Asked<'_>,
    tokens: &mut Tokens,
    key: &ServiceKey,
    settings: &Settings,
    now: SystemTime,
) -> Result<Reply, Reply> {
    let (email, method) = asked
        .path
        .strip_prefix("/v1/projects/-/serviceAccounts/")
        .and_then(|path| path.split_once(':'))
        .filter(|(_, method)| ["generateAccessToken", "signJwt"].contains(method))
        .ok_or_else(|| Reply::api(404, "NOT_FOUND", "Method not found.", None))?;
    let caller = caller(asked, tokens, now)?;
    let googles = |reason| Some((reason, "googleapis.com"));
    if !caller.scopes.iter().any(|scope| ["cloud-platform", "iam"].contains(&&**scope)) {
        let text = "Request had insufficient authentication scopes.";
        return Err(Reply::api(403, "PERMISSION_DENIED", text, googles("ACCESS_TOKEN_SCOPE_INSUFFICIENT")));
    }
    if !settings.iam_enabled {
        let text =
            "IAM Service Account Credentials API has not been used in project emulator before or it is disabled.";
        return Err(Reply::api(403, "PERMISSION_DENIED", text, googles("SERVICE_DISABLED")));
    }
    let is_known = |email: &str| email == EMAIL || settings.service_accounts.iter().any(|known| known == email);
    if !is_known(email) {
        return Err(Reply::api(404, "NOT_FOUND", &format!("Not found; Gaia id not found for email {email}"), None));
    }
    let body: Value = serde_json::from_slice(asked.body)
        .map_err(|_| Reply::api(400, "INVALID_ARGUMENT", "Invalid JSON payload received.", None))?;
    // Each may impersonate the next, up to the account itself.
    let mut chain = vec![caller.principal.name().to_owned()];
    for delegate in body["delegates"].as_array().into_iter().flatten() {
        chain.push(delegate.as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default().to_owned());
    }
    let may = |who: &String| {
        settings.token_creators.as_ref().is_none_or(|creators| creators.iter().any(|creator| creator == who))
    };
    let permission = if method == "signJwt" { "signJwt" } else { "getAccessToken" };
    if !chain.iter().all(may) || !chain.iter().skip(1).all(|delegate| is_known(delegate)) {
        let text = format!("Permission 'iam.serviceAccounts.{permission}' denied on resource (or it may not exist).");
        let reason = Some(("IAM_PERMISSION_DENIED", "iam.googleapis.com"));
        return Err(Reply::api(403, "PERMISSION_DENIED", &text, reason));
    }
    match method {
        "signJwt" => sign(&body, key),
        _ => access_token(&body, email, tokens, settings, now),
    }
}

/// Whoever has the token that the request came with.
fn caller(asked: &Asked<'_>, tokens: &Tokens, now: SystemTime) -> Result<Issued, Reply> {
    let issued = asked.bearer().ok_or(Refused::Missing).and_then(|token| tokens.issued(token, now));
    let (issued, _) = issued.map_err(|refused| {
        let reason = match refused {
            Refused::Missing => "CREDENTIALS_MISSING",
            Refused::Unknown => "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            Refused::Expired => "ACCESS_TOKEN_EXPIRED",
        };
        let text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                    other valid authentication credential.";
        Reply::api(401, "UNAUTHENTICATED", text, Some((reason, "googleapis.com")))
    })?;
    Ok(issued.clone())
}

fn access_token(
    body: &Value,
    email: &str,
    tokens: &mut Tokens,
    settings: &Settings,
    now: SystemTime,
) -> Result<Reply, Reply> {
    let invalid = |text: &str| Reply::api(400, "INVALID_ARGUMENT", text, None);
    let asked: Vec<&str> = body["scope"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let scopes = scopes(&asked.join(" "));
    if scopes.is_empty() || scopes.len() != asked.len() {
        return Err(invalid("Invalid OAuth scope or ID token audience provided."));
    }
    let lifetime = match body["lifetime"].as_str() {
        None => LONGEST,
        Some(text) => {
            let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
            let lifetime = Duration::from_secs(seconds.ok_or_else(|| invalid("Invalid lifetime."))?);
            if lifetime.is_zero() || lifetime > LONGEST {
                return Err(invalid("The token lifetime is longer than 3600 seconds."));
            }
            lifetime
        }
    };
    let life = lifetime.min(settings.token_lifetime);
    let issued = Issued { principal: Principal::ServiceAccount(email.to_owned()), scopes, client_id: None };
    let token = tokens.give(issued, life, now);
    let token = token.ok_or_else(|| Reply::api(500, "INTERNAL", "Internal error encountered.", None))?;
    // By the real clock, which clients go by when the emulator's was moved. In whole seconds,
    // as Google's: google-auth for Python takes no others.
    let end = Timestamp { nanos: 0, ..Timestamp::from(SystemTime::now() + life) }.to_string();
    Ok(Reply::json(&json!({"accessToken": token, "expireTime": end})))
}

fn sign(body: &Value, key: &ServiceKey) -> Result<Reply, Reply> {
    let invalid = |text: &str| Reply::api(400, "INVALID_ARGUMENT", text, None);
    let payload = body["payload"].as_str().and_then(|payload| serde_json::from_str::<Value>(payload).ok());
    let payload = payload.filter(Value::is_object).ok_or_else(|| invalid("The payload is not a JSON object."))?;
    let jwt = key.sign(&payload).ok_or_else(|| Reply::api(500, "INTERNAL", "Internal error encountered.", None))?;
    Ok(Reply::json(&json!({"keyId": key.id(), "signedJwt": jwt})))
}
