//! Who calls: the token endpoint, and what its tokens stand for.
//!
//! Sources: [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) for the grant;
//! the texts of the errors are those that Google's endpoint is seen to give.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
    signature::{self, KeyPair},
};
use serde_json::{Value, json};

use super::{room::user_id, settings::Settings};

/// A key for tests: it is published, and opens nothing but emulators.
const KEY: &str = include_str!("test_key.pem");
const EMAIL: &str = "chat-app@emulator.iam.gserviceaccount.com";
const CLIENT_ID: &str = "100000000000000000001";
/// The project of the key.
pub(super) const PROJECT: &str = "emulator";
/// What google-auth for Python names as the audience, wherever the endpoint is.
const GOOGLES: &str = "https://oauth2.googleapis.com/token";
/// How long a token is known after its end, so that it is said to have expired.
const KEPT: Duration = Duration::from_secs(3_600);
/// How long a token lives at most: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
const SCOPE: &str = "https://www.googleapis.com/auth/";

/// Who a call is made by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    App,
    User(String),
}

impl Identity {
    /// The identity as a text, by which it is kept.
    pub(super) fn key(&self) -> String {
        match self {
            Self::App => "app".to_owned(),
            Self::User(email) => format!("user:{}", email.to_ascii_lowercase()),
        }
    }

    /// The last part of its name as a member.
    pub(super) fn member(&self) -> String {
        match self {
            Self::App => "app".to_owned(),
            Self::User(email) => user_id(email),
        }
    }
}

/// What a token allows.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) identity: Identity,
    /// Without `https://www.googleapis.com/auth/`.
    pub(super) scopes: Arc<[Box<str>]>,
    /// The method that is called, by its name.
    pub(super) method: &'static str,
    /// Whether every space is open to the caller: who needs no credentials, and
    /// administrators.
    pub(super) sees_all: bool,
    /// Whether the scope for imports is all that allows the call.
    pub(super) imports_only: bool,
    pub(super) end: SystemTime,
}

impl Grant {
    pub(super) fn of(identity: Identity, scopes: &[&str]) -> Self {
        Self::until(identity, scopes.iter().map(|scope| Box::from(*scope)).collect(), SystemTime::UNIX_EPOCH)
    }

    pub(super) fn until(identity: Identity, scopes: Arc<[Box<str>]>, end: SystemTime) -> Self {
        Self { identity, scopes, method: "", sees_all: false, imports_only: false, end }
    }

    /// Whether the caller may set `customer`, which is an app's affair.
    pub(super) fn sets_customer(&self) -> bool {
        self.identity == Identity::App || self.sees_all
    }

    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|one| **one == *scope)
    }
}

/// Why a token is not taken.
pub(super) enum Refused {
    Unknown,
    Expired,
}

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    grants: HashMap<String, Grant>,
    pub(super) fetches: usize,
}

/// An answer of the token endpoint.
pub(super) type Answer = (u16, Value);

/// The service account's key: what its file holds, and what signatures are checked
/// with.
pub(super) struct ServiceKey {
    id: String,
    pem: String,
    public: Vec<u8>,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceKey").field(&self.id).finish()
    }
}

impl ServiceKey {
    pub(super) fn published() -> Result<Self, String> {
        Self::new(KEY.to_owned()).map(|key| Self { id: "published-test-key".to_owned(), ..key })
    }

    /// # Errors
    ///
    /// If the text is no RSA key, as PEM of PKCS #8, of 2048 bits or more.
    pub(super) fn new(pem: String) -> Result<Self, String> {
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(text).map_err(|error| format!("the key is not PEM: {error}"))?;
        let pair = signature::RsaKeyPair::from_pkcs8(&der).map_err(|error| format!("the key is not RSA: {error}"))?;
        let public = pair.public_key().as_ref().to_vec();
        let mark = digest::digest(&digest::SHA256, &public);
        let mark: String = mark.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id: format!("fresh-test-key-{mark}"), pem, public })
    }
}

impl ServiceKey {
    /// The claims of a JWT that this key has signed.
    fn signed(&self, jwt: &str) -> Result<Value, &'static str> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or("Invalid JWT")?;
        let (_, payload) = signed.split_once('.').ok_or("Invalid JWT")?;
        let decode = |text: &str| base64url().decode(text).map_err(|_| "Invalid JWT");
        let claims: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| "Invalid JWT")?;
        if claims.get("iss").and_then(Value::as_str) != Some(EMAIL) {
            return Err("Invalid grant: account not found");
        }
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.public);
        key.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| "Invalid JWT Signature.")?;
        Ok(claims)
    }

    /// What a JWT stands for that comes in place of a token, as the official clients
    /// send it for the service account itself; `None` if it is no such JWT.
    ///
    /// Source: [AIP-4111](https://google.aip.dev/auth/4111), "Self-signed JWT".
    pub(super) fn grant(&self, jwt: &str, now: SystemTime) -> Option<Result<Grant, Refused>> {
        let claims = self.signed(jwt).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("sub") != Some(EMAIL) {
            return None;
        }
        if !is_timely(&claims, now) {
            return Some(Err(Refused::Expired));
        }
        let scopes = text("scope").map(|scopes| scopes.split_whitespace().filter_map(|one| one.strip_prefix(SCOPE)));
        // Without scopes it is for a service, by its audience; what every app may is
        // inferred.
        let scopes = scopes.map_or_else(|| [Box::from("chat.bot")].into(), |scopes| scopes.map(Box::from).collect());
        Some(Ok(Grant::until(Identity::App, scopes, now)))
    }
}

/// The JSON of the key, whose tokens come from `token_uri`.
pub(super) fn key_file(key: &ServiceKey, token_uri: &str) -> String {
    let key = json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": key.id,
        "private_key": key.pem,
        "client_email": EMAIL,
        "client_id": CLIENT_ID,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    });
    format!("{key:#}\n")
}

fn refuse(status: u16, error: &str, description: &str) -> Answer {
    (status, json!({"error": error, "error_description": description}))
}

impl Tokens {
    /// What a token stands for.
    pub(super) fn grant(&self, token: &str, now: SystemTime) -> Result<Grant, Refused> {
        let grant = self.grants.get(token).ok_or(Refused::Unknown)?;
        if now < grant.end { Ok(grant.clone()) } else { Err(Refused::Expired) }
    }

    /// Has every token that was given out be expired.
    pub(super) fn expire(&mut self, now: SystemTime) {
        for grant in self.grants.values_mut() {
            grant.end = grant.end.min(now);
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
        self.fetches += 1;
        let claims = match claims(form, key, uris, now) {
            Ok(claims) => claims,
            Err(refused) => return *refused,
        };
        let scopes = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        let scopes: Arc<[Box<str>]> =
            scopes.split_whitespace().filter_map(|scope| scope.strip_prefix(SCOPE)).map(Box::from).collect();
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
        let token = format!("ya29.emulator-{}", base64url().encode(random));
        // Those that are long over make room.
        self.grants.retain(|_, grant| now.duration_since(grant.end).is_ok_and(|over| over < KEPT) || now < grant.end);
        let lifetime = settings.token_lifetime.min(LONGEST);
        let end = now.checked_add(lifetime).unwrap_or(now);
        self.grants.insert(token.clone(), Grant::until(identity, scopes, end));
        let seconds = lifetime.as_secs();
        (200, json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}))
    }
}

/// The claims of a request's assertion, if they are signed and timely.
fn claims(form: &[u8], key: &ServiceKey, uris: &[String], now: SystemTime) -> Result<Value, Box<Answer>> {
    let grant = |text: &str| Box::new(refuse(400, "invalid_grant", text));
    let request = |text: &str| Box::new(refuse(400, "invalid_request", text));
    let field = |name: &str| form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value);
    if field("grant_type").as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return Err(Box::new(refuse(400, "unsupported_grant_type", "Invalid grant_type")));
    }
    let assertion = field("assertion").ok_or_else(|| request("Missing required parameter: assertion"))?;
    let claims = key.signed(&assertion).map_err(grant)?;
    let audience = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if audience != GOOGLES && !uris.iter().any(|uri| uri == audience) {
        return Err(grant("Invalid JWT: Failed audience check."));
    }
    if !is_timely(&claims, now) {
        return Err(grant(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat \
             and exp values in the JWT claim.",
        ));
    }
    Ok(claims)
}

/// Whether claims are of now and not for long: by the emulator's clock, or by the real
/// one, which clients sign by after the emulator's was moved.
fn is_timely(claims: &Value, now: SystemTime) -> bool {
    [now, SystemTime::now()].into_iter().any(|now| is_timely_at(claims, now))
}

fn is_timely_at(claims: &Value, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (issued, end) = (time("iat"), time("exp"));
    // Clocks differ by a little.
    issued <= now + 300 && end > now && end <= issued.saturating_add(3_600)
}

/// base64url with or without padding, as clients differ.
fn base64url() -> GeneralPurpose {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false);
    GeneralPurpose::new(&URL_SAFE, config)
}
