//! A service account's key, and the exchange of what it signs for tokens.
//!
//! The exchange is ours, since gcp_auth's drops what the token endpoint says,
//! has no time limit and fetches a token only when a call waits for it.
//!
//! Source: [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523), and Google's
//! "Using OAuth 2.0 for server to server applications".

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use gcp_auth::CustomServiceAccount;
use grpc_transcoding::{
    client::{self, ConnectError, ConnectorBuilder, Origin, PooledClient},
    rpc::{CollectError, chain, collect},
};
use http::{HeaderValue, Request, Uri, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};
use tower::Service;

use super::{CredentialsError, TokenError, TokenErrorKind, bearer, is_email};

/// How long the token endpoint may take.
const FETCH: Duration = Duration::from_secs(6);
/// How long before its end a token is not used any more, and how long before
/// that another is fetched.
const MARGIN: Duration = Duration::from_secs(30);
const AHEAD: Duration = Duration::from_secs(300);
/// What a token endpoint may answer.
const LIMIT: usize = 64 * 1024;

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

pub(super) struct Key {
    shared: Arc<Shared>,
    subject: Option<String>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What the key has in common for all that it acts for.
struct Shared {
    email: String,
    /// By which an administrator knows the service account; its address, where the key
    /// has no such id.
    client_id: String,
    signer: CustomServiceAccount,
    header: Value,
    endpoint: Uri,
    origin: Origin,
    client: OnceLock<PooledClient>,
    /// The same key for users, by their addresses, while anybody uses them.
    users: Mutex<HashMap<String, Weak<Key>>>,
}

/// The token for one set of scopes.
#[derive(Default)]
struct Slot {
    token: Mutex<Option<Token>>,
    /// The exchange that is under way, for all who wait for it.
    exchange: Mutex<Option<Exchange>>,
}

/// The outcome of an exchange, once there is one.
type Exchange = watch::Receiver<Option<Result<Token, TokenError>>>;

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    /// When to fetch another, and when to use this one no more.
    renew: Instant,
    end: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses the other kinds of files that Google's tools write.
fn supported(key: &Value) -> Result<(), String> {
    const OTHERS: [&str; 5] = [
        "authorized_user",
        "external_account",
        "external_account_authorized_user",
        "gdch_service_account",
        "impersonated_service_account",
    ];
    let instead = "use the key of a service account (type service_account)";
    match key.get("type").map(|kind| kind.as_str().unwrap_or_default()) {
        // Keys that people wrote by hand may have no type.
        None | Some("service_account") => Ok(()),
        Some(kind) if OTHERS.contains(&kind) => {
            Err(format!("credentials of the type {kind} are not supported; {instead}"))
        }
        Some(_) => Err(format!("its type is not known; {instead}")),
    }
}

/// A private key as PEM has it (RFC 7468), from a text whose lines may have been lost on
/// the way, as in variables of CI: with `\n` in letters, spaces or nothing between them.
fn pem(text: &str) -> Option<String> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    // No backslash is of base64, so what follows one is the letter of an escape.
    let body = body.replace("\\r", " ").replace("\\n", " ").replace('\\', " ");
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(&body).ok()?;
    Some(format!("{BEGIN}\n{body}\n{END}\n"))
}

impl Slot {
    fn token(&self) -> Option<Token> {
        lock(&self.token).clone().filter(|token| Instant::now() < token.end)
    }
}

impl Key {
    pub(super) fn new(json: &str) -> Result<Self, CredentialsError> {
        Self::read(json)
            .map_err(|problem| CredentialsError::new(format!("the service account's key cannot be used: {problem}")))
    }

    /// Every problem is in words of this function's own: what a parser says may repeat
    /// what it was given.
    fn read(json: &str) -> Result<Self, String> {
        let json = json.trim_start_matches('\u{feff}');
        let mut key: Value = serde_json::from_str(json).map_err(|error| {
            format!("it is not the JSON of a key's file (line {}, column {})", error.line(), error.column())
        })?;
        if !key.is_object() {
            return Err("it is not a JSON object; give the content of the key's file as it is".to_owned());
        }
        supported(&key)?;
        let required = |name: &str| match key.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(_) => Err(format!("its {name} is not a text")),
            None => Err(format!("it has no {name}; download the key's file again")),
        };
        let email = required("client_email")?;
        if !is_email(&email) {
            return Err("its client_email is not an e-mail address".to_owned());
        }
        let endpoint = required("token_uri")?;
        let endpoint: Uri = endpoint.parse().map_err(|_| "its token_uri is not a URL")?;
        let origin = match (endpoint.scheme(), endpoint.authority()) {
            (Some(scheme), Some(authority)) => Origin::parse(&format!("{scheme}://{authority}")),
            _ => return Err("its token_uri is not a URL".to_owned()),
        };
        let origin = origin.map_err(|error| format!("its token_uri {}", error.problem()))?;
        if !origin.is_confidential() {
            return Err("its token_uri would send tokens in clear text; use https, or a loopback address".to_owned());
        }
        let pem = pem(&required("private_key")?).ok_or(
            "its private_key is not the PEM of a private key (`-----BEGIN PRIVATE KEY-----`, base64, `-----END PRIVATE \
             KEY-----`); download the key's file again",
        )?;
        key["private_key"] = pem.into();
        let signer = CustomServiceAccount::from_json(&key.to_string())
            .map_err(|_| "its private_key is not a whole RSA key in the form PKCS #8; download the key's file again")?;
        // What is not an id is not shown in place of one.
        let client_id = key.get("client_id").and_then(Value::as_str).unwrap_or_default();
        let is_id = client_id.bytes().all(|digit| digit.is_ascii_digit()) && !client_id.is_empty();
        let client_id = if is_id { client_id } else { &email }.to_owned();
        let mut header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = key.get("private_key_id") {
            header["kid"] = id.clone();
        }
        let shared = Shared {
            email,
            client_id,
            signer,
            header,
            endpoint,
            origin,
            client: OnceLock::new(),
            users: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), subject: None, slots: Mutex::default() })
    }

    /// The same key, acting for a user: one source for each, so that its tokens
    /// are shared.
    pub(super) fn for_user(&self, email: &str) -> Arc<Self> {
        let mut users = lock(&self.shared.users);
        if let Some(user) = users.get(email).and_then(Weak::upgrade) {
            return user;
        }
        let subject = Some(email.to_owned());
        let user = Arc::new(Self { shared: Arc::clone(&self.shared), subject, slots: Mutex::default() });
        // Those that nobody uses any more make room, now and then.
        if users.len() == users.capacity() {
            users.retain(|_, user| user.strong_count() > 0);
        }
        users.insert(email.to_owned(), Arc::downgrade(&user));
        user
    }

    /// Connects to the token endpoint this way, unless there is a way already.
    pub(super) fn connect_by(&self, connector: &ConnectorBuilder) -> Result<&PooledClient, ConnectError> {
        if let Some(client) = self.shared.client.get() {
            return Ok(client);
        }
        let connector = connector.build(&self.shared.origin)?;
        Ok(self.shared.client.get_or_init(|| PooledClient::new(connector)))
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// A token for the scopes; not the one that was rejected.
    pub(super) async fn header(
        self: &Arc<Self>,
        scopes: &[&str],
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, TokenError> {
        let scopes = scopes.join(" ");
        let slot = Arc::clone(lock(&self.slots).entry(scopes.clone()).or_default());
        if let Some(token) = slot.token().filter(|token| rejected != Some(&token.header)) {
            if Instant::now() >= token.renew {
                // If it fails, the token still holds for a while, and who comes next
                // tries again.
                drop(self.exchange(&slot, scopes));
            }
            return Ok(token.header);
        }
        let mut exchange = self.exchange(&slot, scopes);
        let outcome = exchange.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(outcome)) => outcome.map(|token| token.header),
            _ => Err(TokenError::new(TokenErrorKind::Unavailable, "the exchange for a token was given up")),
        }
    }

    /// The exchange that is under way, or a new one. It goes on by itself, so that
    /// a caller who does not wait any longer takes it from nobody.
    fn exchange(self: &Arc<Self>, slot: &Arc<Slot>, scopes: String) -> Exchange {
        let mut under_way = lock(&slot.exchange);
        // One whose task is gone, with its runtime, has no outcome any more.
        if let Some(exchange) = under_way.as_ref().filter(|exchange| exchange.has_changed().is_ok()) {
            return exchange.clone();
        }
        let (outcome, exchange) = watch::channel(None);
        *under_way = Some(exchange.clone());
        let (key, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move {
            let fetched = key.fetch(&scopes).await;
            if let Ok(token) = &fetched {
                *lock(&slot.token) = Some(token.clone());
            }
            *lock(&slot.exchange) = None;
            outcome.send_replace(Some(fetched));
        });
        exchange
    }

    /// What the key signs to say who asks for what.
    fn assertion(&self, scopes: &str, now: SystemTime) -> Result<String, TokenError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = serde_json::json!({
            "iss": self.shared.email,
            "scope": scopes,
            "aud": self.shared.endpoint.to_string(),
            "iat": now,
            "exp": now + 3_600,
        });
        if let Some(subject) = &self.subject {
            claims["sub"] = subject.as_str().into();
        }
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&self.shared.header), part(&claims));
        let signature = self.shared.signer.signer().sign(signed.as_bytes());
        let signature =
            signature.map_err(|_| TokenError::new(TokenErrorKind::Refused, "the service account's key cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn fetch(&self, scopes: &str) -> Result<Token, TokenError> {
        let gone = |problem: String| TokenError::new(TokenErrorKind::Unavailable, problem);
        let assertion = self.assertion(scopes, SystemTime::now())?;
        // All of it is of characters that a form takes as they are.
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = Request::post(self.shared.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|error| gone(format!("the request for a token cannot be built: {error}")))?;
        let client = self.connect_by(&ConnectorBuilder::default());
        let client = client.map_err(|error| gone(error.to_string()))?;
        let asked = Instant::now();
        let failed = format!("no access token was given by {}", self.shared.origin);
        let unavailable = |cause: &str| gone(format!("{failed}: {cause}"));
        let exchange = async {
            let answer = client.clone().call(request).await;
            let unasked = |error| TokenError::unasked(&client::unavailable(&failed, &error));
            let (head, body) = answer.map_err(unasked)?.into_parts();
            let body = collect(body, LIMIT).await.map_err(|error| match error {
                CollectError::TooLarge => unavailable("the answer is too large"),
                CollectError::Malformed(cause) | CollectError::Failed(cause) => {
                    unavailable(&format!("the answer broke off: {}", chain(&*cause)))
                }
                other => unavailable(&other.to_string()),
            })?;
            Ok((head.status, body))
        };
        let answer = tokio::time::timeout(FETCH, exchange).await;
        let (status, body) = answer.unwrap_or_else(|_| Err(unavailable(&format!("no answer within {FETCH:?}"))))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            return Err(self.refused(status, &answer, scopes));
        }
        let token = answer.get("access_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| unavailable(&format!("HTTP {status} without an access_token")))?;
        let header = bearer(token).map_err(|error| unavailable(&error.to_string()))?;
        let seconds = answer.get("expires_in").and_then(Value::as_f64).unwrap_or(3_600.0);
        let life = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(Duration::from_secs(86_400));
        // A token that lives no longer than the margins is used for most of its
        // life all the same.
        let end = life.saturating_sub(MARGIN.min(life / 10));
        Ok(Token { header, renew: asked + end.saturating_sub(AHEAD.min(life / 2)), end: asked + end })
    }

    /// Why the token endpoint refuses, and what to do.
    fn refused(&self, status: http::StatusCode, answer: &Value, scopes: &str) -> TokenError {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let (error, description) = (text("error"), text("error_description"));
        let said = match (error, description) {
            ("", _) => format!("HTTP {status}"),
            (error, "") => error.to_owned(),
            (error, description) => format!("{error}: {description}"),
        };
        let message = format!("no access token was given by {}: {said}", self.shared.origin);
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return TokenError::new(TokenErrorKind::Unavailable, message);
        }
        let refused = |kind| TokenError::new(kind, message.clone());
        match (error, &self.subject) {
            ("unauthorized_client" | "access_denied", Some(subject)) => {
                refused(TokenErrorKind::NotDelegated).advise(format!(
                    "an administrator must allow the client id {} the scopes {scopes} in the Admin console, under \
                     Security, API controls, Domain-wide delegation, before it can act for {subject}; that can take a \
                     day to take effect",
                    self.shared.client_id
                ))
            }
            ("invalid_grant", subject) => {
                let cause = GRANTS.iter().find(|(text, _)| description.contains(text)).map(|(_, cause)| cause);
                refused(TokenErrorKind::Refused).advise(match (cause, subject) {
                    (Some(Grant::User), Some(subject)) => format!("{subject} is no user of the organization").into(),
                    (Some(Grant::Clock), _) => Cow::Borrowed("set this machine's clock"),
                    _ => Cow::Borrowed("make a new key for the service account"),
                })
            }
            _ => refused(TokenErrorKind::Refused),
        }
    }
}
