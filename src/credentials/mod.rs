//! Where access tokens come from.
//!
//! One rule serves every environment: a base source gives a token (a key, a login, an external
//! account, the metadata server), and IAM may give that of a service account for it
//! (`generateAccessToken`), or sign for one that acts for a user (`signJwt`), which the token
//! endpoint takes as it takes what a key signs.

mod aws;
mod error;
mod executable;
mod external_account;
mod file;
mod gcloud;
mod http;
mod iam;
mod key;
mod login;
mod machine;
mod metadata;
mod program;
mod renewable;
mod token_endpoint;
mod tokens;
mod universe;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::http::HeaderValue;
use gcp_auth::TokenProvider;
use grpc_transcoding::{
    client::{ConnectError, ConnectorBuilder},
    rpc::{self, BoxError},
};

use self::{
    file::Use,
    iam::ServiceAccount,
    machine::{Machine, OneAtATime},
    renewable::{How, Renewable},
};
use crate::layer::RetryPolicy;
pub use error::{TokenError, TokenErrorKind};
#[doc(hidden)]
pub use http::shown;
pub(crate) use universe::Universe;

/// The scope of the tokens that IAM takes.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Who makes a call. Cheap to clone; clones share their tokens.
///
/// ```
/// use google_chat::{Client, Credentials};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // What the environment has: a login on a laptop, an external account in CI, the service
/// // account of the machine in Google Cloud.
/// let found = Credentials::application_default();
/// // The Chat app, without a key: by IAM, which whoever was found may ask.
/// let app = found.impersonated("chat-app@my-project.iam.gserviceaccount.com")?;
/// // A user, whom the app acts for by domain-wide delegation.
/// let alice = app.for_user("alice@example.com")?;
/// let chat = Client::builder().credentials(alice).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Credentials(Source);

#[derive(Clone)]
enum Source {
    Anonymous,
    Token(HeaderValue),
    Provider(Arc<OneAtATime>),
    Renewable(Arc<Renewable>),
    /// What is found where no file is named.
    Machine(Arc<Machine>),
    /// The file that the environment names, and what is wrong with it.
    Unusable(Arc<CredentialsError>),
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

/// How long a source of tokens other than ours may take.
const LOOK_UP: Duration = Duration::from_secs(6);

/// How often a token is asked for that no call waits for.
const ATTEMPTS: u32 = 3;

/// What to do where no credentials are found.
const THREE_WAYS: &str = "give some in one of three ways: a credentials file (set GOOGLE_APPLICATION_CREDENTIALS to a \
     service account's key, or to what gcloud or your CI has written), application default credentials (`gcloud auth \
     application-default login` with a client of your own and the Chat scopes), or an access token";

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

    /// Google's application default credentials, the first of these that there is:
    ///
    /// - the file that `GOOGLE_APPLICATION_CREDENTIALS` names, of any type that
    ///   [`Credentials::from_json`] takes;
    /// - the file that `gcloud auth application-default login` has written, in
    ///   `~/.config/gcloud` or in the folder that `CLOUDSDK_CONFIG` names;
    /// - the service account that a machine in Google Cloud runs as, by its metadata server
    ///   (`GCE_METADATA_HOST`), and by IAM for the scopes of Google Chat;
    /// - the account of the program `gcloud`.
    ///
    /// Files are read now, servers are asked at the first call.
    pub fn application_default() -> Self {
        Self::found().unwrap_or_else(|error| Self(Source::Unusable(Arc::new(error))))
    }

    fn found() -> Result<Self, CredentialsError> {
        const NAMED: &str = "GOOGLE_APPLICATION_CREDENTIALS";
        let named = std::env::var_os(NAMED).filter(|path| !path.is_empty());
        // Some set the variable to the key itself, so its value is not repeated.
        if named.as_ref().and_then(|path| path.to_str()).is_some_and(|text| text.trim_start().starts_with('{')) {
            let problem = "it holds JSON where the path of a credentials file belongs; write the JSON to a file, or give \
                           it to Credentials::from_json";
            return Err(CredentialsError::new(format!("{NAMED}: {problem}")));
        }
        let usual = gcloud_file().filter(|path| path.exists());
        let (what, path) = match (&named, &usual) {
            (Some(path), _) => (NAMED.to_owned(), Path::new(path)),
            (None, Some(path)) => (path.display().to_string(), path.as_path()),
            (None, None) => return Machine::new().map(|machine| Self(Source::Machine(Arc::new(machine)))),
        };
        file::read_file(path, Use::Default)
            .map_err(|error| CredentialsError { problem: format!("{what}: {error}").into(), ..error })
    }

    /// Tokens from a source of the caller's own, which keeps and renews them. It is
    /// asked by one call at a time, for each of which it has 6 seconds.
    pub fn provider(provider: Arc<dyn TokenProvider>) -> Self {
        Self(Source::Provider(Arc::new(OneAtATime::new(provider))))
    }

    /// The JSON text of a credentials file, of any type that Google's tools write:
    /// `service_account`, `authorized_user`, `external_account`,
    /// `external_account_authorized_user` and `impersonated_service_account`.
    ///
    /// The text of an external account says which servers are asked and, where
    /// `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` is 1, which program is run: take it from
    /// nobody whom you would not let do that.
    ///
    /// # Errors
    ///
    /// If the text is no such file's.
    pub fn from_json(json: &str) -> Result<Self, CredentialsError> {
        file::read(json, Use::Credentials, None)
    }

    /// The credentials file at a path, as [`Credentials::from_json`] takes it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no such file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        file::read_file(path.as_ref(), Use::Credentials)
    }

    /// A service account's key, the JSON text of its file: calls are made as
    /// the Chat app.
    ///
    /// # Errors
    ///
    /// If the text is no such key.
    pub fn service_account_key(json: &str) -> Result<Self, CredentialsError> {
        file::read(json, Use::Key, None)
    }

    /// A service account, by IAM: whoever these credentials are of needs the role
    /// `roles/iam.serviceAccountTokenCreator` on it. No key is needed.
    ///
    /// Where others stand between, who may impersonate one another in turn, they come before
    /// it, separated by commas, as gcloud has it: `delegate@…,account@…`.
    ///
    /// # Errors
    ///
    /// If these are no credentials, or an address is none.
    pub fn impersonated(&self, service_account: &str) -> Result<Self, CredentialsError> {
        if self.is_anonymous() {
            return Err(CredentialsError::new("a service account is not impersonated without credentials; give some"));
        }
        let universe = Universe::of_environment();
        let account = ServiceAccount::new(self.clone(), service_account, &universe).map_err(CredentialsError::new)?;
        let quota_project = self.quota_project().map(str::to_owned);
        Ok(Self::renewable(Renewable::new(How::ServiceAccount(Box::new(account)), Arc::default(), quota_project, None)))
    }

    /// The same service account, acting for a user by domain-wide delegation: with its key, or
    /// by IAM, which signs for it. There is one source for each user, however often it is
    /// asked for.
    ///
    /// # Errors
    ///
    /// If these are not credentials of a service account, or the address is none.
    pub fn for_user(&self, email: &str) -> Result<Self, CredentialsError> {
        if !is_email(email) {
            return Err(CredentialsError::new("the user to act for is not an e-mail address"));
        }
        let account = match &self.0 {
            Source::Renewable(source) if source.can_act_for_users() => source,
            Source::Machine(machine) => machine.account(),
            Source::Unusable(error) => {
                return Err(CredentialsError::caused_by(error.to_string(), Arc::clone(error)));
            }
            _ => {
                let problem = "only a service account can act for a user; use its key, or have these credentials \
                               impersonate it: Credentials::impersonated";
                return Err(CredentialsError::new(problem));
            }
        };
        Ok(Self::renewable(account.for_user(email)))
    }

    /// Whether calls are made as the app itself. `None` where the source does
    /// not say.
    pub fn is_app(&self) -> Option<bool> {
        let Source::Renewable(source) = &self.0 else { return None };
        match source.how() {
            How::Key(_) | How::ServiceAccount(_) => Some(source.subject().is_none()),
            How::Login(_) => Some(false),
            How::ExternalAccount(_) | How::Metadata(_) | How::Gcloud(_) => None,
        }
    }

    /// Whether the tokens are STS's own, as those of a workforce are, and of an external account
    /// that impersonates no service account. Google's tokeninfo does not know them.
    pub fn is_federated(&self) -> bool {
        let Source::Renewable(source) = &self.0 else { return false };
        match source.how() {
            How::ExternalAccount(_) => true,
            How::Login(login) => login.is_of_workforce(),
            _ => false,
        }
    }

    /// The service account that calls are made as, or by which they are made for a user, where
    /// it is known without asking for it.
    pub fn service_account(&self) -> Option<&str> {
        let Source::Renewable(source) = &self.0 else { return None };
        match source.how() {
            How::Key(key) => Some(&key.email),
            How::ServiceAccount(account) => account.name(),
            How::Login(_) | How::ExternalAccount(_) | How::Metadata(_) | How::Gcloud(_) => None,
        }
    }

    /// Who makes requests with these credentials, as gcloud names a member of a policy, as far
    /// as that is known.
    fn member(&self) -> String {
        let Source::Renewable(source) = &self.0 else { return "MEMBER".to_owned() };
        match source.how() {
            How::Login(_) => "user:EMAIL".to_owned(),
            How::ExternalAccount(account) => account.member(),
            _ => self.service_account().map_or_else(|| "MEMBER".to_owned(), |email| format!("serviceAccount:{email}")),
        }
    }

    /// The file that the credentials were read from, if they were.
    pub fn file(&self) -> Option<&str> {
        match &self.0 {
            Source::Renewable(source) => match source.how() {
                How::ServiceAccount(account) => source.place().or(account.source.file()),
                _ => source.place(),
            },
            _ => None,
        }
    }

    /// The project that calls are counted against, as the credentials say:
    /// `GOOGLE_CLOUD_QUOTA_PROJECT` for application default credentials, else the
    /// `quota_project_id` of their file.
    pub fn quota_project(&self) -> Option<&str> {
        match &self.0 {
            Source::Renewable(source) => source.quota_project(),
            Source::Machine(machine) => machine.account().quota_project(),
            _ => None,
        }
    }

    /// Gets a token for these scopes, in full, to see whether there is one to be had;
    /// it is kept for the calls that come. What fails for now is tried again, twice.
    ///
    /// # Errors
    ///
    /// If there is none to be had.
    pub async fn try_token(&self, scopes: &[&str]) -> Result<(), TokenError> {
        self.access_token(scopes).await.map(drop)
    }

    /// An access token for these scopes, in full, for a program that sends it itself; `None`
    /// without credentials. What fails for now is tried again, twice.
    ///
    /// # Errors
    ///
    /// If there is none to be had.
    pub async fn access_token(&self, scopes: &[&str]) -> Result<Option<String>, TokenError> {
        let policy = RetryPolicy::default();
        let mut attempts = 1;
        let header = loop {
            match self.header(scopes, None).await {
                Err(error) if error.kind() == TokenErrorKind::Unavailable && attempts < ATTEMPTS => {
                    tokio::time::sleep(policy.backoff(attempts)).await;
                    attempts += 1;
                }
                outcome => break outcome?,
            }
        };
        Ok(header.and_then(|header| Some(header.to_str().ok()?.strip_prefix(BEARER)?.to_owned())))
    }

    /// Who is asked, in this order, for a token: a file, STS, IAM, the token endpoint. Where
    /// it depends on what a machine has, this is known once there was a token. Where
    /// there is none to be had, [`TokenError::hop`] is the first of these that did not give
    /// what it was asked for.
    pub fn hops(&self) -> Vec<String> {
        match &self.0 {
            Source::Renewable(source) => source.hops(),
            Source::Machine(machine) => machine.hops(),
            _ => Vec::new(),
        }
    }

    fn renewable(source: Arc<Renewable>) -> Self {
        Self(Source::Renewable(source))
    }

    /// Has requests for tokens use connections made this way.
    pub(crate) fn connect_by(&self, connector: &ConnectorBuilder) -> Result<(), ConnectError> {
        match &self.0 {
            Source::Renewable(source) => source.connect_by(connector),
            Source::Machine(machine) => machine.account().connect_by(connector),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.0, Source::Anonymous)
    }

    /// Whether a token that was refused can be had anew.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.0, Source::Renewable(_) | Source::Machine(_))
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
        match &self.0 {
            Source::Anonymous => Ok(None),
            Source::Token(header) => Ok(Some(header.clone())),
            Source::Provider(provider) => provider.header(scopes).await.map(Some),
            Source::Renewable(source) => source.header(scopes, rejected).await.map(Some),
            Source::Machine(machine) => machine.header(scopes, rejected).await.map(Some),
            Source::Unusable(error) => Err(TokenError::new(TokenErrorKind::NoCredentials, error.to_string())
                .advise("make the file anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS")
                .caused_by(Arc::clone(error) as _)),
        }
    }
}

fn no_credentials(problem: String) -> TokenError {
    TokenError::new(TokenErrorKind::NoCredentials, problem).advise(THREE_WAYS)
}

/// A variable of the environment; one that is empty is as good as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where gcloud writes application default credentials.
fn gcloud_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = || match cfg!(windows) {
        true => folder("APPDATA").map(|folder| folder.join("gcloud")),
        false => folder("HOME").map(|home| home.join(".config/gcloud")),
    };
    Some(folder("CLOUDSDK_CONFIG").or_else(usual)?.join("application_default_credentials.json"))
}

/// Does what may block for ever on a thread of its own: a runtime that ends waits for those of
/// its pool.
async fn aside<T: Send + 'static>(
    time_limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, outcome) = tokio::sync::oneshot::channel();
    // Nobody may be left to hear of it.
    std::thread::Builder::new().spawn(move || drop(sender.send(work())))?;
    let outcome = tokio::time::timeout(time_limit, outcome).await.map_err(|_| late(time_limit))?;
    outcome.unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
}

fn late(time_limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it has not ended within {time_limit:?}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a text can be an e-mail address, and is nothing else that was put in its
/// place, such as a key. Such a text may be shown.
fn is_email(text: &str) -> bool {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "\"\\{}[]():;,<>=/".contains(letter);
    let (user, host) = text.split_once('@').unwrap_or_default();
    // RFC 5321, section 4.5.3.1: the sizes of the two parts.
    (1..=64).contains(&user.len()) && (1..=255).contains(&host.len()) && !host.contains('@') && !text.contains(odd)
}

/// What a header with a token begins with.
const BEARER: &str = "Bearer ";

fn bearer(token: &str) -> Result<HeaderValue, CredentialsError> {
    let token = token.trim();
    // A token is of visible ASCII (RFC 6750, section 2.1). What has quotes or braces is
    // something else, such as a key, which goes to no server.
    let taken = |byte: u8| byte.is_ascii_graphic() && !b"\"\\{}<>,;".contains(&byte);
    if token.is_empty() || !token.bytes().all(taken) {
        let problem = "the access token is empty or holds characters that no token has";
        return Err(CredentialsError::new(problem));
    }
    let header = HeaderValue::try_from(format!("{BEARER}{token}"));
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
            Source::Machine(_) | Source::Unusable(_) => "Credentials(application default)",
            Source::Provider(_) => "Credentials(a source of the caller's)",
            Source::Renewable(source) => match (source.how(), source.subject()) {
                (How::Key(_), None) => "Credentials(service account)",
                (How::Key(_), Some(_)) => "Credentials(service account, for a user)",
                (How::Login(_), _) => "Credentials(login)",
                (How::ExternalAccount(_), _) => "Credentials(external account)",
                (How::Metadata(_), _) => "Credentials(metadata server)",
                (How::Gcloud(_), _) => "Credentials(gcloud)",
                (How::ServiceAccount(_), None) => "Credentials(service account by IAM)",
                (How::ServiceAccount(_), Some(_)) => "Credentials(service account by IAM, for a user)",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_show_in_debug() {
        let credentials = Credentials::token("ya29.secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(access token)");
        let Source::Token(header) = &credentials.0 else { panic!("made of a token") };
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn what_blocks_for_ever_is_waited_for_by_nobody() {
        let (writer, reader) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let blocked = aside(Duration::from_millis(10), move || reader.recv().map_err(io::Error::other));
        assert_eq!(runtime.block_on(blocked).unwrap_err().to_string(), "it has not ended within 10ms");
        // It would wait for a thread of its pool.
        drop(runtime);
        writer.send(()).unwrap();
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
