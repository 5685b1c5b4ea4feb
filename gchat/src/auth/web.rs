//! Requests to the servers of OAuth 2.0, and what they say of a token.

use std::time::Duration;

use form_urlencoded::Serializer;
use google_chat::{
    grpc_transcoding::{
        client::{Origin, PooledClient, connector},
        rpc::{chain, collect},
    },
    shown,
};
use http::{Request, Uri, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::Value;
use tower::Service;

use crate::connection::Target;

/// How long a server may take, and how much it may answer.
const LIMIT: Duration = Duration::from_secs(10);
const SIZE: usize = 64 * 1024;

/// Whether an access token is good, by whoever gave it out.
pub(crate) enum Checked {
    Good(Token),
    /// What was said of it.
    Bad(String),
    /// Why nobody could be asked.
    Unknown(String),
}

/// What is said of a good token.
pub(crate) struct Token {
    pub(crate) email: Option<String>,
    /// Without `https://www.googleapis.com/auth/`.
    pub(crate) scopes: Vec<String>,
    seconds: u64,
}

impl Token {
    /// How long it is good.
    pub(crate) fn left(&self) -> String {
        match self.seconds {
            seconds @ 0..120 => format!("{seconds} s"),
            seconds => format!("{} min", seconds / 60),
        }
    }
}

/// Asks what an access token is: at Google's tokeninfo, or at that of an emulator on this
/// machine. No other server is told the token.
pub(crate) async fn check(target: &Target, token: &str) -> Checked {
    let endpoint = &target.endpoint;
    let Some(url) = tokeninfo(endpoint) else {
        return Checked::Unknown(format!("{endpoint} is not Google's, and nobody else is told the token"));
    };
    match post_form(&url, &[("access_token", token)]).await {
        Ok((status, info)) if (200..300).contains(&status) && info["scope"].is_string() => Checked::Good(Token {
            email: info["email"].as_str().map(str::to_owned),
            scopes: short(info["scope"].as_str().unwrap_or_default()),
            seconds: number(&info["expires_in"]),
        }),
        Ok((400, _)) if target.who.credentials.is_federated() => {
            Checked::Unknown(format!("{url} does not know the tokens of STS"))
        }
        Ok((400 | 401, info)) if info["error"].is_string() => Checked::Bad(said(&info, &[token])),
        Ok((status, _)) => Checked::Unknown(format!("{url} answered HTTP {status}")),
        Err(why) => Checked::Unknown(why),
    }
}

fn tokeninfo(endpoint: &str) -> Option<String> {
    let origin = Origin::parse(endpoint).ok()?;
    match origin.host().strip_prefix("chat.") {
        Some(domain) if endpoint.starts_with("https://") && endpoint == google_chat::Client::default_endpoint() => {
            Some(format!("https://oauth2.{domain}/tokeninfo"))
        }
        _ if endpoint.starts_with("http://") && origin.is_confidential() => Some(format!("{origin}/tokeninfo")),
        _ => None,
    }
}

fn short(scopes: &str) -> Vec<String> {
    scopes
        .split_whitespace()
        .map(|scope| scope.trim_start_matches("https://www.googleapis.com/auth/").to_owned())
        .collect()
}

/// A number, which tokeninfo writes as a text.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// Ends a login where it was given.
///
/// # Errors
///
/// Why it may still be good.
pub(super) async fn revoke(login: &Value) -> Result<(), String> {
    let token = login["refresh_token"].as_str().ok_or("its file has no refresh_token")?;
    let endpoint = login["token_uri"].as_str().unwrap_or("https://oauth2.googleapis.com/token");
    let url = endpoint.strip_suffix("/token").map(|base| format!("{base}/revoke")).ok_or("its token_uri is unusual")?;
    match post_form(&url, &[("token", token)]).await? {
        (200..300, _) => Ok(()),
        // It has ended already.
        (400, info) if info["error"] == "invalid_token" => Ok(()),
        (status, info) => Err(format!("HTTP {status}: {}", said(&info, &[token]))),
    }
}

/// The error of an answer (RFC 6749, section 5.2), without the secrets that the server was sent,
/// which it may repeat.
pub(super) fn said(answer: &Value, secrets: &[&str]) -> String {
    let text = |name: &str| shown(answer[name].as_str().unwrap_or_default(), secrets);
    match (text("error"), text("error_description")) {
        (error, description) if description.is_empty() => error,
        (error, description) => format!("{error}: {description}"),
    }
}

/// A URL to which what is sent stays secret: over TLS, or within the machine.
pub(super) fn confidential(url: &str) -> Option<(Uri, Origin)> {
    let uri: Uri = url.parse().ok()?;
    let origin = Origin::parse(&format!("{}://{}", uri.scheme()?, uri.authority()?)).ok()?;
    origin.is_confidential().then_some((uri, origin))
}

/// Sends a form: the status, and the JSON of the answer.
///
/// # Errors
///
/// Why there is no answer, in words without what was sent.
pub(super) async fn post_form(url: &str, fields: &[(&str, &str)]) -> Result<(u16, Value), String> {
    let (uri, origin) = confidential(url).ok_or_else(|| {
        format!(
            "{} would be sent tokens in clear text, or is not a URL; use https, or a loopback address",
            shown(url, &[])
        )
    })?;
    let connector = connector(&origin).map_err(|error| chain(&error))?;
    let form = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(uri.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = request.body(Full::from(form)).map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = PooledClient::new(connector).call(request).await;
        let (head, body) = answer.map_err(|error| format!("{origin} is not reached: {}", chain(&error)))?.into_parts();
        let body = collect(body, SIZE).await.map_err(|error| format!("the answer of {origin} broke off: {error}"))?;
        Ok((head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
    };
    let answer = tokio::time::timeout(LIMIT, exchange).await;
    answer.unwrap_or_else(|_| Err(format!("{origin} has not answered within {LIMIT:?}")))
}
