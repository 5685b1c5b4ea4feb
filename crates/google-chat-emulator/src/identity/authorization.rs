//! The authorization endpoint, where a user allows a client what it asks for. The emulator's
//! user does that at once, without a page.
//!
//! Source: [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749), section 4.1.1, and
//! [RFC 8252](https://www.rfc-editor.org/rfc/rfc8252), section 7.3, for addresses on loopback.

use std::time::SystemTime;

use form_urlencoded::Serializer;

use super::{
    Principal,
    reply::{Asked, Reply},
    scopes,
    token::{Code, Issued, Tokens},
};
use crate::Settings;

/// Who logs in where the client names nobody.
const USER: &str = "alice@example.com";

pub(super) fn respond(
    asked: &Asked<'_>,
    tokens: &mut Tokens,
    settings: &Settings,
    now: SystemTime,
) -> Result<Reply, Reply> {
    let required = |name: &str| {
        let problem = format!("Missing required parameter: {name}");
        asked.parameter(name).ok_or_else(|| Reply::oauth(400, "invalid_request", &problem))
    };
    let (client_id, redirect_uri) = (required("client_id")?, required("redirect_uri")?);
    let port = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
        .iter()
        .find_map(|host| redirect_uri.strip_prefix(host));
    if port.and_then(|port| port.split('/').next()?.parse::<u16>().ok()).is_none() {
        return Err(Reply::oauth(400, "redirect_uri_mismatch", "The redirect URI is not one of an installed client's"));
    }
    let outcome = || {
        if required("response_type")? != "code" {
            return Err(Reply::oauth(400, "unsupported_response_type", "Invalid response_type"));
        }
        let challenge = match (asked.parameter("code_challenge"), asked.parameter("code_challenge_method").as_deref()) {
            (None, _) => None,
            (Some(challenge), Some("S256")) => Some(challenge.into_owned()),
            (Some(_), _) => return Err(Reply::oauth(400, "invalid_request", "Invalid code_challenge_method")),
        };
        Ok((scopes(&required("scope")?), challenge))
    };
    let (scopes, challenge) = outcome()?;
    let mut answer = Serializer::new(String::new());
    if let Some(state) = asked.parameter("state") {
        answer.append_pair("state", &state);
    }
    if settings.consent {
        let user = asked.parameter("login_hint").map_or_else(|| USER.to_owned(), |user| user.into_owned());
        let login = Issued { principal: Principal::User(user), scopes, client_id: Some(client_id.into_owned()) };
        let code = Code { login, redirect_uri: redirect_uri.clone().into_owned(), challenge, at: now };
        let code = tokens.consent(code, now).ok_or_else(|| Reply::oauth(500, "server_error", "Backend Error"))?;
        answer.append_pair("code", &code);
    } else {
        answer.append_pair("error", "access_denied");
    }
    let location = format!("{redirect_uri}?{}", answer.finish());
    Ok(Reply { status: 302, ..Reply::text("") }.with_header("location", location))
}
