//! Who calls: the service account's key, the servers that give tokens, and what these stand
//! for. Nothing here knows of spaces.

mod authorization;
mod aws;
mod hop;
mod iam;
mod key;
mod metadata;
mod reply;
mod sts;
#[cfg(feature = "tls")]
mod tls;
mod token;

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::Value;

pub use hop::{Hop, HopFault};
pub(crate) use key::{EMAIL, PROJECT, ServiceKey};
pub(crate) use reply::{Asked, Reply};
#[cfg(feature = "tls")]
pub(crate) use tls::{SUBJECT, certificate};

use crate::{lock, organization::Organization};
use hop::Hops;
use token::{Issued, Tokens};

/// What the names of Google's scopes begin with.
const SCOPE: &str = "https://www.googleapis.com/auth/";

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    App,
    User(String),
}

impl Identity {
    /// The identity as a text: the same for an email address however it is written, and
    /// never that of another identity.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::App => "app".to_owned(),
            Self::User(email) => format!("user:{}", email.to_ascii_lowercase()),
        }
    }
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Principal {
    ServiceAccount(String),
    User(String),
    /// Somebody of another identity provider, by IAM's name.
    Federated(String),
}

impl Principal {
    fn name(&self) -> &str {
        match self {
            Self::ServiceAccount(name) | Self::User(name) | Self::Federated(name) => name,
        }
    }
}

/// Names of scopes, without `https://www.googleapis.com/auth/`.
pub(crate) type Scopes = Arc<[Box<str>]>;

/// What a caller's credentials allow.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) identity: Identity,
    pub(crate) scopes: Scopes,
    /// Whether the call came without credentials.
    pub(crate) anonymous: bool,
}

/// Why credentials are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Unknown,
    Expired,
}

/// The scopes of callers without a token of their own.
static ALL: LazyLock<Scopes> = LazyLock::new(|| {
    [
        "chat.admin.delete",
        "chat.admin.memberships",
        "chat.admin.spaces",
        "chat.app.delete",
        "chat.app.memberships",
        "chat.app.messages.readonly",
        "chat.app.spaces",
        "chat.bot",
        "chat.customemojis",
        "chat.delete",
        "chat.import",
        "chat.memberships",
        "chat.messages",
        "chat.spaces",
        "chat.users.availability",
        "chat.users.readstate",
        "chat.users.sections",
        "chat.users.spacesettings",
    ]
    .map(Box::from)
    .into()
});

/// Gives tokens, and says who calls with them.
#[derive(Debug)]
pub(crate) struct Issuer {
    organization: Arc<Organization>,
    key: ServiceKey,
    tokens: Mutex<Tokens>,
    hops: Mutex<Hops>,
}

impl Issuer {
    pub(crate) fn new(organization: Arc<Organization>, key: ServiceKey) -> Self {
        Self { organization, key, tokens: Mutex::default(), hops: Mutex::default() }
    }

    /// Who calls, by the header `authorization`.
    pub(crate) fn grant(&self, authorization: Option<&[u8]>) -> Result<Grant, Refused> {
        let settings = self.organization.settings();
        let all = |identity| Grant { identity, scopes: Arc::clone(&ALL), anonymous: false };
        let user = |email: &str| Identity::User(email.to_owned());
        let Some(header) = authorization else {
            return match settings.anonymous {
                true => Ok(Grant { anonymous: true, ..all(user("anonymous@example.com")) }),
                false => Err(Refused::Missing),
            };
        };
        let header = std::str::from_utf8(header).unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
        if settings.shortcuts {
            if token == "app" {
                return Ok(all(Identity::App));
            }
            if let Some(email) = token.strip_prefix("user:") {
                return Ok(all(user(email)));
            }
        }
        let now = self.organization.now();
        self.key.grant(token, now).unwrap_or_else(|| lock(&self.tokens).grant(token, now))
    }

    /// The fault that a request meets, which counts.
    pub(crate) fn fault(&self, hop: Hop) -> Option<HopFault> {
        lock(&self.hops).count(hop)
    }

    /// Answers a request to one of the servers that take part in getting a token.
    pub(crate) fn respond(&self, hop: Hop, asked: &Asked<'_>) -> Reply {
        let (settings, now) = (self.organization.settings(), self.organization.now());
        let mut tokens = lock(&self.tokens);
        let posted = matches!(hop, Hop::Token | Hop::Sts | Hop::Iam);
        if posted && asked.method != http::Method::POST {
            return Reply::api(405, "UNIMPLEMENTED", "send POST", None).with_header("allow", "POST");
        }
        let reply = match hop {
            Hop::Authorization => authorization::respond(asked, &mut tokens, &settings, now),
            Hop::Token if asked.path == "/revoke" => Ok(tokens.revoke(asked)),
            Hop::Token => tokens.exchange(asked, &self.key, &settings, now),
            Hop::TokenInfo => tokens.info(asked, &settings, now),
            Hop::Sts => sts::respond(asked, &mut tokens, &settings, now),
            Hop::Iam => iam::respond(asked, &mut tokens, &self.key, &settings, now),
            Hop::Metadata => Ok(metadata::respond(asked, &mut tokens, &settings, now)),
        };
        reply.unwrap_or_else(|refused| refused)
    }

    /// A login of a user with these scopes: its refresh token.
    pub(crate) fn log_in(&self, email: &str, client_id: &str, scopes: &str) -> Option<String> {
        let principal = Principal::User(email.to_owned());
        let login = Issued { principal, scopes: self::scopes(scopes), client_id: Some(client_id.to_owned()) };
        lock(&self.tokens).log_in(login)
    }

    pub(crate) fn fail_next(&self, hop: Hop, fault: HopFault) -> bool {
        lock(&self.hops).fail_next(hop, fault)
    }

    pub(crate) fn clear_faults(&self) {
        lock(&self.hops).clear_faults();
    }

    /// Makes all tokens that were given out expire.
    pub(crate) fn expire_tokens(&self) {
        lock(&self.tokens).expire(self.organization.now());
    }

    /// How often a hop was asked.
    pub(crate) fn requests(&self, hop: Hop) -> usize {
        lock(&self.hops).requests(hop)
    }

    /// The JSON of the service account's key, whose tokens come from `token_uri`.
    pub(crate) fn key_file(&self, token_uri: &str) -> String {
        self.key.file(token_uri)
    }
}

/// The scopes that a text names, separated by spaces.
fn scopes(text: &str) -> Scopes {
    text.split_whitespace().filter_map(|scope| scope.strip_prefix(SCOPE)).map(Box::from).collect()
}

/// Whether the claims of a JWT are of now and not for long: by the emulator's clock, or by
/// the system's, which clients go by when the emulator's was moved.
fn is_timely(claims: &Value, now: SystemTime) -> bool {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (issued, end) = (time("iat"), time("exp"));
    [now, SystemTime::now()].into_iter().any(|now| {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        // Clocks differ by a little.
        issued <= now + 300 && end > now && end <= issued.saturating_add(3_600)
    })
}
