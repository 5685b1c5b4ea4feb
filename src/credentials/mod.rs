//! Where access tokens come from.

mod error;
mod key;

use std::{fmt, sync::Arc, time::Duration};

use gcp_auth::TokenProvider;
use grpc_transcoding::{
    client::{ConnectError, ConnectorBuilder},
    rpc::{self, BoxError},
};
use http::HeaderValue;
use tokio::sync::{Mutex, OnceCell};

pub use error::{TokenError, TokenErrorKind};
use key::Key;

/// Who makes a call. Cheap to clone; clones share their tokens.
#[derive(Clone)]
pub struct Credentials(Source);

#[derive(Clone)]
enum Source {
    Anonymous,
    Token(HeaderValue),
    ApplicationDefault(Arc<OnceCell<OneAtATime>>),
    Provider(Arc<OneAtATime>),
    Key(Arc<Key>),
    /// The key that the environment names, and what is wrong with it.
    Unusable(Arc<CredentialsError>),
}

/// A source that keeps and renews its tokens itself, and is asked by one caller at a
/// time: those who wait find what the first has fetched.
struct OneAtATime {
    provider: Arc<dyn TokenProvider>,
    turn: Mutex<()>,
}

impl OneAtATime {
    fn new(provider: Arc<dyn TokenProvider>) -> Self {
        Self { provider, turn: Mutex::default() }
    }

    async fn token(&self, scopes: &[&str]) -> Result<Arc<gcp_auth::Token>, gcp_auth::Error> {
        let _turn = self.turn.lock().await;
        self.provider.token(scopes).await
    }
}

/// Why credentials cannot be used.
///
/// The errors of libraries that read keys may repeat what they were given, so that none
/// of them is a cause of this one.
#[derive(Debug)]
pub struct CredentialsError {
    problem: Box<str>,
    cause: Option<BoxError>,
}

impl CredentialsError {
    fn new(problem: impl Into<Box<str>>) -> Self {
        Self { problem: problem.into(), cause: None }
    }

    /// `cause` must not be able to show a key or a token.
    fn caused_by(problem: impl Into<Box<str>>, cause: impl Into<BoxError>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(problem) }
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// How long application default credentials may be looked for.
const LOOK_UP: Duration = Duration::from_secs(6);

/// What to do where no credentials are found.
const THREE_WAYS: &str = "give some in one of three ways: a service-account key (set GOOGLE_APPLICATION_CREDENTIALS to \
     its file), application default credentials (`gcloud auth application-default login` with a client of your own and \
     the Chat scopes), or an access token";

impl Credentials {
    /// None: for an emulator, or a proxy that adds its own.
    pub fn anonymous() -> Self {
        Self(Source::Anonymous)
    }

    /// An access token that somebody else renews.
    ///
    /// # Errors
    ///
    /// If the token holds what a header cannot.
    pub fn token(token: &str) -> Result<Self, CredentialsError> {
        bearer(token).map(|header| Self(Source::Token(header)))
    }

    /// Google's application default credentials: the key that
    /// `GOOGLE_APPLICATION_CREDENTIALS` names, as
    /// [`Credentials::service_account_key`] takes it; else, by gcp_auth at the first
    /// call, the user's login or the machine's service account.
    pub fn application_default() -> Self {
        let Some(named) = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS") else {
            return Self(Source::ApplicationDefault(Arc::default()));
        };
        // Some set the variable to the key itself, so its value is not repeated.
        let read = match named.to_str() {
            Some("") => Err(CredentialsError::new("it is empty; unset it, or set it to the path of a key's file")),
            Some(text) if text.trim_start().starts_with('{') => {
                Err(CredentialsError::new("it holds JSON where the path of a key's file belongs"))
            }
            _ => std::fs::read_to_string(&named).map_err(|error| {
                CredentialsError::caused_by(format!("the file that it names cannot be read: {error}"), error)
            }),
        };
        let key = read.and_then(|json| Self::service_account_key(&json));
        key.unwrap_or_else(|error| Self(Source::Unusable(Arc::new(error))))
    }

    /// Tokens from a source of the caller's own, which keeps and renews them. It is
    /// asked by one call at a time, for each of which it has 6 seconds.
    pub fn provider(provider: Arc<dyn TokenProvider>) -> Self {
        Self(Source::Provider(Arc::new(OneAtATime::new(provider))))
    }

    /// A service account's key, the JSON text of its file: calls are made as
    /// the Chat app.
    ///
    /// # Errors
    ///
    /// If the text is no such key.
    pub fn service_account_key(json: &str) -> Result<Self, CredentialsError> {
        Key::new(json).map(|key| Self(Source::Key(Arc::new(key))))
    }

    /// The same key, acting for a user by domain-wide delegation. There is one source
    /// for each user, however often it is asked for.
    ///
    /// # Errors
    ///
    /// If these are not credentials made of a service account's key, or the address is
    /// none.
    pub fn for_user(&self, email: &str) -> Result<Self, CredentialsError> {
        if !is_email(email) {
            return Err(CredentialsError::new("the user to act for is not an e-mail address"));
        }
        let Source::Key(key) = &self.0 else {
            let problem = "only a service account's key can act for a user; use Credentials::service_account_key";
            return Err(CredentialsError::new(problem));
        };
        Ok(Self(Source::Key(key.for_user(email))))
    }

    /// Whether calls are made as the app itself. `None` where the source does
    /// not say.
    pub fn is_app(&self) -> Option<bool> {
        match &self.0 {
            Source::Key(key) => Some(key.subject().is_none()),
            _ => None,
        }
    }

    /// Gets a token for these scopes, in full, to see whether there is one to be had;
    /// it is kept for the calls that come.
    ///
    /// # Errors
    ///
    /// If there is none to be had.
    pub async fn try_token(&self, scopes: &[&str]) -> Result<(), TokenError> {
        self.header(scopes, None).await.map(drop)
    }

    /// Has a key's exchange use connections made this way.
    pub(crate) fn connect_by(&self, connector: &ConnectorBuilder) -> Result<(), ConnectError> {
        match &self.0 {
            Source::Key(key) => key.connect_by(connector).map(drop),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.0, Source::Anonymous)
    }

    /// Whether a token that was refused can be had anew.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.0, Source::Key(_))
    }

    /// The `authorization` header, or `None` without credentials; not the one
    /// that was rejected, if there is another.
    ///
    /// # Errors
    ///
    /// If there is no token to be had.
    pub(crate) async fn header(
        &self,
        scopes: &[&str],
        rejected: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, TokenError> {
        let provider: &OneAtATime = match &self.0 {
            Source::Anonymous => return Ok(None),
            Source::Token(header) => return Ok(Some(header.clone())),
            Source::ApplicationDefault(provider) => {
                let missing = |cause: String| no_credentials(format!("no credentials were found ({cause})"));
                // gcp_auth asks the metadata server without a time limit.
                let found = provider.get_or_try_init(async || gcp_auth::provider().await.map(OneAtATime::new));
                let look = tokio::time::timeout(LOOK_UP, found).await;
                let look = look.map_err(|_| missing(format!("nothing within {LOOK_UP:?}")))?;
                look.map_err(|error| with_cause(missing(without_secrets(&error)), error))?
            }
            Source::Provider(provider) => provider,
            Source::Unusable(error) => {
                let missing = no_credentials(format!("GOOGLE_APPLICATION_CREDENTIALS: {error}"));
                return Err(missing.caused_by(Arc::clone(error) as _));
            }
            Source::Key(key) => return key.header(scopes, rejected).await.map(Some),
        };
        // gcp_auth has no limit of its own.
        let token = tokio::time::timeout(LOOK_UP, provider.token(scopes)).await;
        let late = format!("no access token was given within {LOOK_UP:?}");
        let token = token.map_err(|_| TokenError::new(TokenErrorKind::Unavailable, late))?;
        let token = token.map_err(|error| {
            let cause = without_secrets(&error);
            let message = format!("no access token was given for the scopes {}: {cause}", scopes.join(" "));
            let kind = match error {
                gcp_auth::Error::Http(..) | gcp_auth::Error::Other(..) => TokenErrorKind::Unavailable,
                _ => TokenErrorKind::Refused,
            };
            with_cause(TokenError::new(kind, message), error)
        })?;
        let header = bearer(token.as_str());
        header.map(Some).map_err(|error| TokenError::new(TokenErrorKind::Refused, error.to_string()))
    }
}

fn no_credentials(problem: String) -> TokenError {
    TokenError::new(TokenErrorKind::NoCredentials, problem).advise(THREE_WAYS)
}

/// An error of gcp_auth on one line. What a parser of JSON or PEM says can repeat the
/// key that it was given, so only the place is kept of that.
fn without_secrets(error: &gcp_auth::Error) -> String {
    match error {
        gcp_auth::Error::Json(what, json) => {
            let (line, column) = (json.line(), json.column());
            format!("{what}: it is not the JSON that is expected (line {line}, column {column})")
        }
        gcp_auth::Error::Other(what, cause) if cause.is::<grpc_transcoding::rustls::pki_types::pem::Error>() => {
            (*what).to_owned()
        }
        gcp_auth::Error::NoAuthMethod(..) => "no available authentication method found".to_owned(),
        other => rpc::chain(other),
    }
}

/// The failure with the error as its cause, if that cannot repeat a key.
fn with_cause(failed: TokenError, error: gcp_auth::Error) -> TokenError {
    match error {
        gcp_auth::Error::Http(..) | gcp_auth::Error::Io(..) | gcp_auth::Error::Str(_) => {
            failed.caused_by(Arc::new(error))
        }
        _ => failed,
    }
}

/// Whether a text can be an e-mail address, and is nothing else that was put in its
/// place, such as a key. Such a text may be shown.
fn is_email(text: &str) -> bool {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "\"\\{}[]():;,<>=/".contains(letter);
    let (user, host) = text.split_once('@').unwrap_or_default();
    // RFC 5321, section 4.5.3.1: the sizes of the two parts.
    (1..=64).contains(&user.len()) && (1..=255).contains(&host.len()) && !host.contains('@') && !text.contains(odd)
}

fn bearer(token: &str) -> Result<HeaderValue, CredentialsError> {
    let token = token.trim();
    // A token is of visible ASCII (RFC 6750, section 2.1). What has quotes or braces is
    // something else, such as a key, which goes to no server.
    let taken = |byte: u8| byte.is_ascii_graphic() && !b"\"\\{}<>,;".contains(&byte);
    if token.is_empty() || !token.bytes().all(taken) {
        let problem = "the access token is empty or holds characters that no token has";
        return Err(CredentialsError::new(problem));
    }
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let problem = "the access token is no header's value";
    let mut header = header.map_err(|error| CredentialsError::caused_by(problem, error))?;
    // Keeps the token out of Debug prints and of HTTP/2's header tables.
    header.set_sensitive(true);
    Ok(header)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Anonymous => "Credentials(none)",
            Source::Token(_) => "Credentials(access token)",
            Source::ApplicationDefault(_) | Source::Unusable(_) => "Credentials(application default)",
            Source::Provider(_) => "Credentials(a source of the caller's)",
            Source::Key(key) if key.subject().is_none() => "Credentials(service account)",
            Source::Key(_) => "Credentials(service account, for a user)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tonic::Status;

    use super::*;

    /// What parses keys may repeat them.
    #[test]
    fn a_cause_is_kept_unless_it_could_show_a_key() {
        let json = || serde_json::from_str::<u8>("\"SECRET\"").unwrap_err();
        let io = || std::io::Error::other("disk");
        for (error, kept) in [
            (gcp_auth::Error::Io("failed to read", io()), true),
            (gcp_auth::Error::Str("failed"), true),
            (gcp_auth::Error::Json("failed to parse", json()), false),
            (gcp_auth::Error::Other("failed to parse", Box::new(json())), false),
        ] {
            let what = error.to_string();
            let status = Status::from(with_cause(TokenError::new(TokenErrorKind::Refused, "no token"), error));
            assert_eq!(status.source().is_some(), kept, "{what}");
            assert!(!format!("{status:?}").contains("SECRET"), "{what}");
        }
        let error = CredentialsError::caused_by("the file cannot be read", io());
        assert_eq!(error.source().unwrap().to_string(), "disk");
    }

    #[test]
    fn tokens_do_not_show_in_debug() {
        let credentials = Credentials::token("ya29.secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(access token)");
        let Source::Token(header) = &credentials.0 else { panic!("made of a token") };
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn what_is_not_a_key_or_a_token_is_refused() {
        let error = Credentials::service_account_key("{}").unwrap_err().to_string();
        assert!(error.starts_with("the service account's key cannot be used"), "{error}");
        // A key that was encoded twice is quoted by the parser's own error.
        let error = Credentials::service_account_key("\"{private_key: SECRET}\"").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        assert!(Credentials::token("a\nb").is_err());
        assert!(Credentials::anonymous().for_user("alice@example.com").is_err());
    }
}
