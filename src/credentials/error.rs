use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use grpc_transcoding::rpc::Broken;
use tonic::{Code, Status, metadata::MetadataValue};

/// The metadata of a call that failed for want of a token: the [`TokenErrorKind::name`].
const TOKEN_ERROR: &str = "token-error";

/// Why there is no access token.
///
/// Displays as what happened and, after a semicolon, what to do.
#[derive(Clone, Debug)]
pub struct TokenError {
    kind: TokenErrorKind,
    problem: String,
    advice: Option<Cow<'static, str>>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    hop: Option<Arc<str>>,
}

/// What kind of failure left a call without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenErrorKind {
    /// No credentials were found, or those that the environment names cannot be used.
    NoCredentials,
    /// Domain-wide delegation does not allow the service account these scopes for the user.
    NotDelegated,
    /// A user's login has expired or was revoked, or the organization wants a new one.
    LoginExpired,
    /// IAM does not allow whoever asks to impersonate the service account.
    MayNotImpersonate,
    /// The token endpoint, or another source of tokens, refuses the credentials.
    Refused,
    /// The token endpoint, or another source of tokens, gave no answer that can be used.
    Unavailable,
    /// No connection to the token endpoint is possible until a setting is corrected.
    Misconfigured,
}

impl TokenErrorKind {
    const ALL: [Self; 7] = [
        Self::NoCredentials,
        Self::NotDelegated,
        Self::LoginExpired,
        Self::MayNotImpersonate,
        Self::Refused,
        Self::Unavailable,
        Self::Misconfigured,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NoCredentials => "no-credentials",
            Self::NotDelegated => "not-delegated",
            Self::LoginExpired => "login-expired",
            Self::MayNotImpersonate => "may-not-impersonate",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// The kind of a call's failure, if the call failed for want of a token.
    pub(crate) fn of(status: &Status) -> Option<Self> {
        let name = status.metadata().get(TOKEN_ERROR)?;
        Self::ALL.into_iter().find(|kind| name == kind.name())
    }
}

impl TokenError {
    pub(super) fn new(kind: TokenErrorKind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into(), advice: None, cause: None, hop: None }
    }

    pub(super) fn advise(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    pub(super) fn of_kind(self, kind: TokenErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Says which hop did not give what it was asked for.
    pub(super) fn at(self, hop: impl ToString) -> Self {
        Self { hop: Some(hop.to_string().into()), ..self }
    }

    /// Says which file the credentials are of.
    pub(super) fn of_file(self, place: &str) -> Self {
        let problem = format!("{} (credentials of {place})", self.problem);
        Self { problem, ..self }
    }

    /// `cause` must not be able to show a key or a token.
    pub(super) fn caused_by(self, cause: Arc<dyn Error + Send + Sync>) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// A token endpoint that could not be asked, by the status of the connection.
    pub(super) fn unasked(status: &Status) -> Self {
        let broken = status.source().and_then(|cause| cause.downcast_ref());
        let kind = match broken {
            Some(Broken::Misconfigured) => TokenErrorKind::Misconfigured,
            _ => TokenErrorKind::Unavailable,
        };
        Self::new(kind, status.message())
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> TokenErrorKind {
        self.kind
    }

    /// What happened.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Who did not give what was asked for, as [`Credentials::hops`](crate::Credentials::hops)
    /// names it.
    pub fn hop(&self) -> Option<&str> {
        self.hop.as_deref()
    }

    /// What to do, unless the problem says it.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        self.advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}

impl Error for TokenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        let code = match error.kind {
            TokenErrorKind::Unavailable | TokenErrorKind::Misconfigured => Code::Unavailable,
            _ => Code::Unauthenticated,
        };
        let mut status = Status::new(code, error.to_string());
        status.metadata_mut().insert(TOKEN_ERROR, MetadataValue::from_static(error.kind.name()));
        match (error.kind, error.cause) {
            (TokenErrorKind::Misconfigured, _) => Broken::Misconfigured.cause(status),
            (_, Some(cause)) => {
                status.set_source(cause);
                status
            }
            (_, None) => status,
        }
    }
}
