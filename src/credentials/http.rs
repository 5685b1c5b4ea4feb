//! The requests on the way to a token, each of which is a hop: to the token endpoint, STS,
//! IAM, a metadata server.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use form_urlencoded::Serializer;
use grpc_transcoding::{
    client::{self, ConnectError, ConnectorBuilder, Origin, PooledClient},
    rpc::{CollectError, chain, collect},
};
use http::{HeaderMap, Request, StatusCode, Uri, header::CONTENT_TYPE, request};
use http_body_util::Full;
use serde_json::Value;
use tokio::time::Instant;
use tower::Service;

use super::{TokenError, TokenErrorKind, bearer, lock, tokens::Token};

/// How long a server may take.
const FETCH: Duration = Duration::from_secs(6);
/// What a server may answer.
pub(super) const LIMIT: usize = 64 * 1024;
/// How much of what a server says of an error is repeated.
const SAID: usize = 600;

/// Where a request goes.
#[derive(Clone)]
pub(super) struct Endpoint {
    uri: Uri,
    pub(super) origin: Origin,
}

impl Endpoint {
    /// Parses the URL that the member `name` of a file has. What goes there stays secret: over
    /// TLS, or within the machine.
    ///
    /// # Errors
    ///
    /// If it cannot be used. The error does not repeat it: it may be a key in a wrong place.
    pub(super) fn parse(name: &str, url: &str) -> Result<Self, String> {
        let endpoint = Self::read(name, url)?;
        if !endpoint.origin.is_confidential() {
            return Err(format!("its {name} would send tokens in clear text; use https, or a loopback address"));
        }
        Ok(endpoint)
    }

    /// The same, for a server that gives what proves who the machine is: that may also be one
    /// of the machine's own network, which clouds serve at link-local addresses.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::parse`].
    pub(super) fn parse_local(name: &str, url: &str) -> Result<Self, String> {
        let endpoint = Self::read(name, url)?;
        let host = endpoint.origin.host().trim_matches(['[', ']']);
        let link_local = match host.parse() {
            Ok(std::net::IpAddr::V4(address)) => address.is_link_local(),
            // The last is Amazon's address for the same.
            Ok(std::net::IpAddr::V6(address)) => {
                address.is_unicast_link_local() || address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
            }
            Err(_) => host == "metadata.google.internal",
        };
        if !link_local && !endpoint.origin.is_confidential() {
            return Err(format!(
                "its {name} would send tokens in clear text; use https, or an address of this machine"
            ));
        }
        Ok(endpoint)
    }

    /// The same, without a look at who could listen: for addresses that are not of a file.
    pub(super) fn read(name: &str, url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("its {name} is not a URL"))?;
        let origin = match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) => Origin::parse(&format!("{scheme}://{authority}")),
            _ => return Err(format!("its {name} is not a URL")),
        };
        let origin = origin.map_err(|error| format!("its {name} {}", error.problem()))?;
        Ok(Self { uri, origin })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Somebody on the way to a token: who it is, and what it is to give. Displays as the former.
#[derive(Clone)]
pub(super) struct Hop {
    wanted: &'static str,
    who: String,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)
    }
}

impl Hop {
    pub(super) fn new(wanted: &'static str, who: impl Into<String>) -> Self {
        Self { wanted, who: who.into() }
    }

    /// What is said where it gave nothing.
    fn failure(&self) -> String {
        format!("no {} was given by {}", self.wanted, self.who)
    }

    pub(super) fn failed(&self, kind: TokenErrorKind, why: impl fmt::Display) -> TokenError {
        TokenError::new(kind, format!("{}: {why}", self.failure())).at(&self.who)
    }

    pub(super) fn unavailable(&self, why: impl fmt::Display) -> TokenError {
        self.failed(TokenErrorKind::Unavailable, why)
    }
}

/// The connections to all hops of a source.
#[derive(Default)]
pub(super) struct Http {
    connector: OnceLock<ConnectorBuilder>,
    clients: Mutex<HashMap<String, PooledClient>>,
}

impl Http {
    /// Connects this way from now on, unless a way was set before.
    pub(super) fn connect_by(&self, connector: &ConnectorBuilder) {
        let _ = self.connector.set(connector.clone());
    }

    pub(super) fn client(&self, origin: &Origin) -> Result<PooledClient, ConnectError> {
        let mut clients = lock(&self.clients);
        let name = origin.to_string();
        if let Some(client) = clients.get(&name) {
            return Ok(client.clone());
        }
        let connector = self.connector.get_or_init(ConnectorBuilder::default).build(origin)?;
        let client = PooledClient::new(connector);
        clients.insert(name, client.clone());
        Ok(client)
    }

    /// Sends a form.
    pub(super) async fn post_form<'h>(
        &self,
        hop: &'h Hop,
        endpoint: &Endpoint,
        authorization: Option<http::HeaderValue>,
        fields: &[(&str, &str)],
    ) -> Result<Answer<'h>, TokenError> {
        let form = Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::post(endpoint.uri.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(http::header::AUTHORIZATION, authorization);
        }
        self.send(hop, endpoint, request, form).await
    }

    /// Sends a request, and takes the whole of its answer. Its time has a limit; to make it
    /// again is for who makes the call, within the call's own time.
    pub(super) async fn send<'h>(
        &self,
        hop: &'h Hop,
        endpoint: &Endpoint,
        request: request::Builder,
        body: impl Into<Bytes>,
    ) -> Result<Answer<'h>, TokenError> {
        let request = request.body(Full::new(body.into()));
        let request = request.map_err(|error| hop.unavailable(format!("the request cannot be built: {error}")))?;
        let sent = secrets(request.headers());
        let client = self.client(&endpoint.origin);
        let mut client = client.map_err(|error| hop.failed(TokenErrorKind::Misconfigured, error))?;
        let asked = Instant::now();
        let exchange = async {
            let unasked = |error| TokenError::unasked(&client::unavailable(&hop.failure(), &error)).at(&hop.who);
            let (head, body) = client.call(request).await.map_err(unasked)?.into_parts();
            let body = collect(body, LIMIT).await.map_err(|error| match error {
                CollectError::TooLarge => hop.unavailable("the answer is too large"),
                CollectError::Malformed(cause) | CollectError::Failed(cause) => {
                    hop.unavailable(format!("the answer broke off: {}", chain(&*cause)))
                }
                other => hop.unavailable(other),
            })?;
            Ok(Answer { hop, status: head.status, headers: head.headers, body, asked, sent })
        };
        let answer = tokio::time::timeout(FETCH, exchange).await;
        answer.unwrap_or_else(|_| Err(hop.unavailable(format!("no answer within {FETCH:?}"))))
    }
}

/// What a hop answered.
pub(super) struct Answer<'h> {
    hop: &'h Hop,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
    asked: Instant,
    /// The secrets in the headers of the request.
    sent: Vec<String>,
}

/// What a hop said that gave nothing.
pub(super) struct Refusal {
    /// The error's name: `error` of OAuth 2.0, `status` of Google's APIs.
    pub(super) name: String,
    pub(super) description: String,
    /// What Google's token endpoint adds: `invalid_rapt`.
    pub(super) subtype: String,
    /// The reason of Google's ErrorInfo.
    pub(super) reason: String,
    pub(super) error: TokenError,
}

impl Answer<'_> {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok().map(str::trim)
    }

    /// Something is missing of an answer that says that all is well.
    pub(super) fn lacks(&self, what: &str) -> TokenError {
        self.hop.unavailable(format!("HTTP {} without {what}", self.status))
    }

    /// The answer, if it is no error. `secrets` are what the body of the request held: a server
    /// may repeat them in what it says of an error.
    pub(super) fn ok(self, secrets: &[&str]) -> Result<Self, Box<Refusal>> {
        if self.status.is_success() { Ok(self) } else { Err(Box::new(self.refusal(secrets))) }
    }

    fn refusal(&self, secrets: &[&str]) -> Refusal {
        let json = self.json();
        let secrets: Vec<&str> = secrets.iter().copied().chain(self.sent.iter().map(String::as_str)).collect();
        // The forms of OAuth 2.0 (RFC 6749, section 5.2) and of Google's APIs (AIP-193).
        let error = &json["error"];
        let text = |value: &Value| shown(value.as_str().unwrap_or_default(), &secrets);
        let (name, description) = match error {
            Value::Object(_) => (text(&error["status"]), text(&error["message"])),
            _ => (text(error), text(&json["error_description"])),
        };
        let details = error["details"].as_array().into_iter().flatten();
        let reason = details.map(|detail| text(&detail["reason"])).find(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_default();
        let mut said = match (&*name, &*description) {
            ("", _) => format!("HTTP {}", self.status),
            (name, "") => name.to_owned(),
            (name, description) => format!("{name}: {}", description.trim_end_matches('.')),
        };
        if !reason.is_empty() {
            said.push_str(&format!(" (reason {reason})"));
        }
        let transient = self.status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&self.status);
        let kind = if transient { TokenErrorKind::Unavailable } else { TokenErrorKind::Refused };
        let error = self.hop.failed(kind, said);
        Refusal { name, description, subtype: text(&json["error_subtype"]), reason, error }
    }

    /// The access token of a token endpoint's answer (RFC 6749, section 5.1).
    pub(super) fn access_token(&self) -> Result<Token, TokenError> {
        let json = self.json();
        let token = json["access_token"].as_str().ok_or_else(|| self.lacks("an access_token"))?;
        let seconds = json["expires_in"].as_f64();
        let seconds = seconds.or_else(|| json["expires_in"].as_str()?.parse().ok()).unwrap_or(3_600.0);
        self.token(token, Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    pub(super) fn token(&self, token: &str, life: Duration) -> Result<Token, TokenError> {
        let header = bearer(token).map_err(|error| self.hop.unavailable(error))?;
        Ok(Token::new(header, self.asked, life))
    }
}

impl Refusal {
    /// Whether another request may get what this one did not.
    pub(super) fn is_transient(&self) -> bool {
        self.error.kind() == TokenErrorKind::Unavailable
    }
}

/// What is secret in the headers of a request: what follows the scheme, and the password that
/// `Basic` has in base64 (RFC 7617).
fn secrets(headers: &HeaderMap) -> Vec<String> {
    let mut secrets = Vec::new();
    let sensitive = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    for value in sensitive {
        let (scheme, secret) = value.split_once(' ').unwrap_or(("", value));
        secrets.push(secret.to_owned());
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = STANDARD.decode(secret).ok().and_then(|pair| String::from_utf8(pair).ok());
            secrets.extend(pair.and_then(|pair| Some(pair.split_once(':')?.1.to_owned())));
        }
    }
    secrets
}

/// What a server said, on one line and not too long. Words that have a part of a secret are
/// left out: a server may repeat what it was sent.
pub fn shown(said: &str, secrets: &[&str]) -> String {
    // Shorter parts of a secret are also words of a language. A secret that is as short itself
    // is looked for as a whole, unless it is so short that it is in every other word.
    const PART: usize = 12;
    const SHORTEST: usize = 4;
    let secrets = secrets.iter().flat_map(|secret| secret.split_whitespace());
    let secrets = secrets.map(str::as_bytes).filter(|secret| secret.len() >= SHORTEST);
    let parts: HashSet<&[u8]> = secrets.flat_map(|secret| secret.windows(PART.min(secret.len()))).collect();
    let is_secret = |word: &str| {
        let mut sizes = SHORTEST..=PART;
        sizes.any(|size| word.as_bytes().windows(size).any(|part| parts.contains(part)))
    };
    let words = said.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if line.len() > SAID {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(if is_secret(word) { "…" } else { word });
    }
    // Only now, since a part of a secret that is cut off could be too short to be known.
    if let Some((end, _)) = line.char_indices().nth(SAID) {
        line.truncate(end);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_a_server_repeats_is_left_out() {
        let token = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl";
        for (said, kept) in [
            ("Invalid JWT.\nSee the log", "Invalid JWT. See the log"),
            (&*format!("the token {token} is not valid"), "the token … is not valid"),
            (&*format!("'{}…' is not valid", &token[10..24]), "… is not valid"),
        ] {
            assert_eq!(shown(said, &[token]), kept);
        }
        assert_eq!(shown("the password 'hunter2' of a b", &["hunter2", "a b", "of"]), "the password … of a b");
        // What is cut off leaves no part behind.
        let long = "word ".repeat(SAID / 5 - 1);
        assert_eq!(shown(&format!("{long}{token}"), &[token]), format!("{long}…"));
        assert_eq!(shown(&"a ".repeat(10_000), &[]).len(), SAID - 1);
    }

    #[test]
    fn what_is_sensitive_in_headers_is_secret() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        let mut names = ["authorization", "proxy-authorization", "x-aws-ec2-metadata-token"].into_iter();
        for value in ["Basic Y2xpZW50OnBhc3N3b3Jk", "Bearer token", "session"] {
            let mut value = http::HeaderValue::from_static(value);
            value.set_sensitive(true);
            headers.insert(names.next().unwrap(), value);
        }
        let mut secrets = secrets(&headers);
        secrets.sort_unstable();
        assert_eq!(secrets, ["Y2xpZW50OnBhc3N3b3Jk", "password", "session", "token"]);
    }

    /// The clock of the test runs ahead where nothing happens.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", silent.local_addr().unwrap());
        let (hop, endpoint) = (Hop::new("access token", "STS"), Endpoint::parse("token_url", &url).unwrap());
        let error = Http::default().post_form(&hop, &endpoint, None, &[]).await.err().unwrap();
        assert_eq!(error.to_string(), "no access token was given by STS: no answer within 6s");
        assert_eq!((error.kind(), error.hop()), (TokenErrorKind::Unavailable, Some("STS")));
    }

    #[test]
    fn tokens_go_in_clear_text_to_this_machine_alone() {
        for (url, token, local) in [
            ("https://sts.googleapis.com/v1/token", true, true),
            ("http://127.0.0.1:1/token", true, true),
            ("http://169.254.169.254/latest", false, true),
            ("http://[fd00:ec2::254]/latest", false, true),
            ("http://metadata.google.internal/x", false, true),
            ("http://sts.googleapis.com/v1/token", false, false),
            ("http://10.0.0.1/token", false, false),
            ("token", false, false),
        ] {
            assert_eq!(Endpoint::parse("token_url", url).is_ok(), token, "{url}");
            assert_eq!(Endpoint::parse_local("url", url).is_ok(), local, "{url}");
        }
    }
}
