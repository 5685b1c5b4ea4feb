//! The token endpoint, and the tokens that were given out.
//!
//! Sources: [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) for assertions,
//! [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749) and
//! [RFC 7636](https://www.rfc-editor.org/rfc/rfc7636) for codes and refresh tokens; the texts of
//! the errors are those that Google's endpoint is seen to give.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use base64::Engine;
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use serde_json::{Value, json};

use super::{
    Grant, Identity, Principal, Refused, SCOPE, Scopes, is_timely,
    key::{BASE64URL, ServiceKey},
    reply::{Asked, Reply},
    scopes,
};
use crate::{Login, Settings};

/// What google-auth for Python names as the audience, wherever the endpoint is.
const GOOGLES: &str = "https://oauth2.googleapis.com/token";
/// How long a token lives at most: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// How long a code can be exchanged.
const CODE: Duration = Duration::from_secs(600);
/// How many logins and codes are kept.
const LOGINS: usize = 10_000;
/// How many access tokens are kept, those that have ended among them: they are refused as expired.
const ISSUED: usize = 100_000;

/// The tokens that were given out, with their ends.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: HashMap<String, (Issued, SystemTime)>,
    /// By their refresh tokens.
    logins: HashMap<String, Issued>,
    codes: HashMap<String, Code>,
}

/// Whose a token is, and what for.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) principal: Principal,
    pub(super) scopes: Scopes,
    /// The client that a user has logged in with.
    pub(super) client_id: Option<String>,
}

/// A user's consent, which can be exchanged once (RFC 6749, section 4.1).
#[derive(Debug)]
pub(super) struct Code {
    pub(super) login: Issued,
    pub(super) redirect_uri: String,
    /// The SHA-256 that the verifier must have, if there is one (RFC 7636).
    pub(super) challenge: Option<String>,
    pub(super) at: SystemTime,
}

/// A text that nobody can guess.
pub(super) fn random() -> Option<String> {
    let mut random = [0; 24];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(BASE64URL.encode(random))
}

impl Tokens {
    /// What a token stands for.
    pub(super) fn issued(&self, token: &str, now: SystemTime) -> Result<(&Issued, SystemTime), Refused> {
        let (issued, end) = self.issued.get(token).ok_or(Refused::Unknown)?;
        if now < *end { Ok((issued, *end)) } else { Err(Refused::Expired) }
    }

    /// What a token allows at Google Chat.
    pub(super) fn grant(&self, token: &str, now: SystemTime) -> Result<Grant, Refused> {
        let (issued, _) = self.issued(token, now)?;
        let identity = match &issued.principal {
            Principal::ServiceAccount(_) => Identity::App,
            Principal::User(email) => Identity::User(email.clone()),
            // Nobody whom Google Chat knows.
            Principal::Federated(_) => return Err(Refused::Unknown),
        };
        Ok(Grant { identity, scopes: issued.scopes.clone(), anonymous: false })
    }

    /// Makes every token that was given out expire.
    pub(super) fn expire(&mut self, now: SystemTime) {
        for (_, end) in self.issued.values_mut() {
            *end = now.min(*end);
        }
    }

    /// Gives a token out. `None` if the system has no random bytes.
    pub(super) fn give(&mut self, issued: Issued, life: Duration, now: SystemTime) -> Option<String> {
        let token = format!("ya29.emulator-{}", random()?);
        if self.issued.len() >= ISSUED {
            self.issued.retain(|_, (_, end)| now < *end);
            // Else room would be looked for at nearly every token.
            if self.issued.len() > ISSUED / 2 {
                self.issued.clear();
            }
        }
        let end = now.checked_add(life.min(LONGEST)).unwrap_or(now);
        self.issued.insert(token.clone(), (issued, end));
        Some(token)
    }

    /// The answer with a new access token.
    pub(super) fn answer(&mut self, issued: Issued, settings: &Settings, now: SystemTime) -> Result<Value, Reply> {
        let life = settings.token_lifetime.min(LONGEST);
        let token = self.give(issued, life, now);
        let token = token.ok_or_else(|| Reply::oauth(500, "internal_failure", "Backend Error"))?;
        Ok(json!({"access_token": token, "expires_in": life.as_secs(), "token_type": "Bearer"}))
    }

    /// Logs a user in: the refresh token.
    pub(super) fn log_in(&mut self, login: Issued) -> Option<String> {
        if self.logins.len() >= LOGINS {
            self.logins.clear();
        }
        let token = format!("1//emulator-{}", random()?);
        self.logins.insert(token.clone(), login);
        Some(token)
    }

    pub(super) fn consent(&mut self, code: Code, now: SystemTime) -> Option<String> {
        self.codes.retain(|_, code| now.duration_since(code.at).is_ok_and(|age| age < CODE));
        if self.codes.len() >= LOGINS {
            self.codes.clear();
        }
        let name = format!("4/emulator-{}", random()?);
        self.codes.insert(name.clone(), code);
        Some(name)
    }

    /// Ends what a token, of either kind, is good for (RFC 7009).
    pub(super) fn revoke(&mut self, asked: &Asked<'_>) -> Reply {
        let token = asked.field("token").or_else(|| asked.parameter("token")).unwrap_or_default();
        let known = self.issued.remove(&*token).is_some() || self.logins.remove(&*token).is_some();
        if known { Reply::json(&json!({})) } else { Reply::oauth(400, "invalid_token", "Token expired or revoked") }
    }

    /// Answers a request to the token endpoint.
    pub(super) fn exchange(
        &mut self,
        asked: &Asked<'_>,
        key: &ServiceKey,
        settings: &Settings,
        now: SystemTime,
    ) -> Result<Reply, Reply> {
        match asked.field("grant_type").as_deref() {
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let issued = asserted(asked, key, settings, now)?;
                self.answer(issued, settings, now).map(|answer| Reply::json(&answer))
            }
            Some("authorization_code") => self.exchange_code(asked, settings, now),
            Some("refresh_token") => {
                let client_id = asked.field("client_id").unwrap_or_default().into_owned();
                self.refresh(asked, Some(&client_id), settings, now)
            }
            _ => Err(Reply::oauth(400, "unsupported_grant_type", "Invalid grant_type")),
        }
    }

    fn exchange_code(&mut self, asked: &Asked<'_>, settings: &Settings, now: SystemTime) -> Result<Reply, Reply> {
        let code = asked.field("code").and_then(|code| self.codes.remove(&*code));
        let code = code.ok_or_else(|| Reply::oauth(400, "invalid_grant", "Malformed auth code."))?;
        if asked.field("redirect_uri").as_deref() != Some(&code.redirect_uri) {
            return Err(Reply::oauth(400, "redirect_uri_mismatch", "Bad Request"));
        }
        if asked.field("client_id").as_deref() != code.login.client_id.as_deref() {
            return Err(Reply::oauth(401, "invalid_client", "The OAuth client was not found."));
        }
        let verifier = asked
            .field("code_verifier")
            .map(|verifier| BASE64URL.encode(digest::digest(&digest::SHA256, verifier.as_bytes())));
        if verifier != code.challenge {
            return Err(Reply::oauth(400, "invalid_grant", "Invalid code verifier."));
        }
        let scopes = in_full(&code.login.scopes);
        let mut answer = self.answer(code.login.clone(), settings, now)?;
        answer["scope"] = scopes.into();
        answer["refresh_token"] = self.log_in(code.login).into();
        Ok(Reply::json(&answer))
    }

    /// Exchanges a refresh token. `client_id` is the one that the form must name.
    pub(super) fn refresh(
        &mut self,
        asked: &Asked<'_>,
        client_id: Option<&str>,
        settings: &Settings,
        now: SystemTime,
    ) -> Result<Reply, Reply> {
        match settings.login {
            Login::Valid => {}
            Login::Expired => return Err(Reply::oauth(400, "invalid_grant", "Token has been expired or revoked.")),
            Login::ReauthRequired => {
                let body = json!({
                    "error": "invalid_grant",
                    "error_description": "reauth related error (invalid_rapt)",
                    "error_uri": "https://support.google.com/a/answer/9368756",
                    "error_subtype": "invalid_rapt",
                });
                return Err(Reply { status: 400, ..Reply::json(&body) });
            }
        }
        let login = asked.field("refresh_token").and_then(|token| self.logins.get(&*token)).cloned();
        let login = login.ok_or_else(|| Reply::oauth(400, "invalid_grant", "Bad Request"))?;
        if client_id.is_some() && client_id != login.client_id.as_deref() {
            return Err(Reply::oauth(401, "invalid_client", "The OAuth client was not found."));
        }
        // A client may ask for less than the login has (RFC 6749, section 6).
        let mut issued = login.clone();
        if let Some(asked) = asked.field("scope") {
            issued.scopes = scopes(&asked);
            if !issued.scopes.iter().all(|scope| login.scopes.contains(scope)) {
                return Err(Reply::oauth(400, "invalid_scope", "Some requested scopes were invalid."));
            }
        }
        let scopes = in_full(&issued.scopes);
        let mut answer = self.answer(issued, settings, now)?;
        answer["scope"] = scopes.into();
        Ok(Reply::json(&answer))
    }

    /// Says what an access token is, as `https://oauth2.googleapis.com/tokeninfo` does.
    pub(super) fn info(&self, asked: &Asked<'_>, settings: &Settings, now: SystemTime) -> Result<Reply, Reply> {
        let token = asked.field("access_token").or_else(|| asked.parameter("access_token")).unwrap_or_default();
        if settings.shortcuts && (token == "app" || token.starts_with("user:")) {
            return Ok(Reply::json(&json!({"scope": in_full(&super::ALL), "expires_in": "3599"})));
        }
        let issued = self.issued(&token, now);
        // Nor are the tokens of STS known there.
        let issued = issued.ok().filter(|(issued, _)| !matches!(issued.principal, Principal::Federated(_)));
        let (issued, end) = issued.ok_or_else(|| Reply::oauth(400, "invalid_token", "Invalid Value"))?;
        let left = end.duration_since(now).unwrap_or_default().as_secs().to_string();
        let mut info = json!({"scope": in_full(&issued.scopes), "expires_in": left, "access_type": "online"});
        let client = issued.client_id.as_deref().unwrap_or(super::key::CLIENT_ID);
        (info["azp"], info["aud"]) = (client.into(), client.into());
        if let Principal::User(email) = &issued.principal {
            (info["email"], info["email_verified"]) = (email.as_str().into(), "true".into());
        }
        Ok(Reply::json(&info))
    }
}

/// Scopes as a request names them.
fn in_full(scopes: &Scopes) -> String {
    scopes.iter().map(|scope| format!("{SCOPE}{scope}")).collect::<Vec<_>>().join(" ")
}

/// What a signed assertion asks for.
fn asserted(asked: &Asked<'_>, key: &ServiceKey, settings: &Settings, now: SystemTime) -> Result<Issued, Reply> {
    let claims = claims(asked, key, settings, now)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let scopes = scopes(text("scope").unwrap_or_default());
    if scopes.is_empty() {
        return Err(Reply::oauth(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided."));
    }
    let principal = match text("sub") {
        None => Principal::ServiceAccount(text("iss").unwrap_or_default().to_owned()),
        Some(email) if !email.contains('@') => return Err(Reply::oauth(400, "invalid_grant", "Not a valid email")),
        Some(email) if settings.users.as_ref().is_some_and(|users| !users.iter().any(|user| user == email)) => {
            return Err(Reply::oauth(400, "invalid_grant", "Invalid email or User ID"));
        }
        Some(email) => Principal::User(email.to_owned()),
    };
    let allowed = |scope: &str| {
        let mut listed = settings.delegated_scopes.iter().flatten();
        settings.delegated_scopes.is_none() || listed.any(|one| one.strip_prefix(SCOPE).unwrap_or(one) == scope)
    };
    if matches!(principal, Principal::User(_)) && !scopes.iter().all(|scope| allowed(scope)) {
        let text = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for \
                    any of the scopes requested.";
        return Err(Reply::oauth(401, "unauthorized_client", text));
    }
    Ok(Issued { principal, scopes, client_id: None })
}

/// The claims of a request's assertion, if they are signed and timely.
fn claims(asked: &Asked<'_>, key: &ServiceKey, settings: &Settings, now: SystemTime) -> Result<Value, Reply> {
    let refused = |error: &str, text: &str| Reply::oauth(400, error, text);
    let assertion = asked.field("assertion");
    let assertion = assertion.ok_or_else(|| refused("invalid_request", "Missing required parameter: assertion"))?;
    let claims = key.claims(&assertion, &settings.service_accounts).map_err(|text| refused("invalid_grant", text))?;
    let audience = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if audience != GOOGLES && !asked.bases.iter().any(|base| audience.strip_prefix(&**base) == Some("/token")) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_the_tokens_that_are_kept() {
        let (mut tokens, start) = (Tokens::default(), SystemTime::UNIX_EPOCH);
        let app = || Issued {
            principal: Principal::ServiceAccount("app@example.com".to_owned()),
            scopes: scopes("https://www.googleapis.com/auth/chat.bot"),
            client_id: None,
        };
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(3_600));
        let old = tokens.give(app(), short, start).unwrap();
        let good = tokens.give(app(), long, start).unwrap();
        let later = start + short;
        assert!(matches!(tokens.grant(&old, later), Err(Refused::Expired)));
        while tokens.issued.len() < ISSUED {
            tokens.give(app(), short, start).unwrap();
        }
        // Those that have ended make room first, and then all.
        let new = tokens.give(app(), long, later).unwrap();
        assert_eq!(tokens.issued.len(), 2);
        assert!(matches!(tokens.grant(&old, later), Err(Refused::Unknown)));
        assert!(tokens.grant(&good, later).is_ok() && tokens.grant(&new, later).is_ok());
        for _ in 0..ISSUED {
            tokens.give(app(), long, later).unwrap();
        }
        assert!(tokens.issued.len() < 10, "{}", tokens.issued.len());
    }
}
