//! What a machine has where no credentials file is named: its metadata server, or the program
//! gcloud.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gcp_auth::TokenProvider;
use http::HeaderValue;
use tokio::sync::Mutex;

use super::{
    Credentials, CredentialsError, LOOK_UP, TokenError, TokenErrorKind, Universe, bearer,
    gcloud::Gcloud,
    gcloud_file,
    iam::ServiceAccount,
    metadata::Metadata,
    no_credentials,
    renewable::{How, Renewable},
    rpc, variable,
};

pub(super) struct Machine {
    /// The service account that the machine runs as.
    account: Arc<Renewable>,
    gcloud: Arc<Renewable>,
    /// Whether gcloud has given a token, so that nobody looks for a metadata server any more.
    has_gcloud: AtomicBool,
}

impl Machine {
    pub(super) fn new() -> Result<Self, CredentialsError> {
        let (metadata, http) = (Arc::new(Metadata::of_environment()), Arc::default());
        let quota_project = variable("GOOGLE_CLOUD_QUOTA_PROJECT");
        let base = Renewable::new(How::Metadata(Arc::clone(&metadata)), Arc::clone(&http), quota_project.clone(), None);
        let account = ServiceAccount::of_machine(Credentials::renewable(base), metadata, &Universe::of_environment());
        let account = How::ServiceAccount(Box::new(account.map_err(CredentialsError::new)?));
        Ok(Self {
            account: Renewable::new(account, http, quota_project, None),
            gcloud: Renewable::new(How::Gcloud(Gcloud::new()), Arc::default(), None, None),
            has_gcloud: AtomicBool::new(false),
        })
    }

    /// Who is asked for a token, as far as it is known: gcloud, once it has given one.
    pub(super) fn hops(&self) -> Vec<String> {
        if self.has_gcloud.load(Relaxed) { self.gcloud.hops() } else { self.account.hops() }
    }

    pub(super) fn account(&self) -> &Arc<Renewable> {
        &self.account
    }

    pub(super) async fn header(
        &self,
        scopes: &[&str],
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, TokenError> {
        if self.has_gcloud.load(Relaxed) {
            return self.gcloud.header(scopes, rejected).await;
        }
        let missing = match self.account.header(scopes, rejected).await {
            Err(error) if error.kind() == TokenErrorKind::NoCredentials => error,
            other => return other,
        };
        match self.gcloud.header(scopes, rejected).await {
            Err(error) if error.kind() == TokenErrorKind::NoCredentials => {}
            outcome => {
                self.has_gcloud.store(outcome.is_ok(), Relaxed);
                return outcome;
            }
        }
        let file = gcloud_file().map_or_else(|| "of gcloud".to_owned(), |file| file.display().to_string());
        let problem = format!(
            "no credentials were found (GOOGLE_APPLICATION_CREDENTIALS is not set, there is no file {file}, and {})",
            missing.problem()
        );
        Err(no_credentials(problem).caused_by(Arc::new(missing)))
    }
}

/// A source that keeps and renews its tokens itself, and is asked by one caller at a
/// time: those who wait find what the first has fetched.
pub(super) struct OneAtATime {
    provider: Arc<dyn TokenProvider>,
    turn: Mutex<()>,
}

impl OneAtATime {
    pub(super) fn new(provider: Arc<dyn TokenProvider>) -> Self {
        Self { provider, turn: Mutex::default() }
    }

    pub(super) async fn header(&self, scopes: &[&str]) -> Result<HeaderValue, TokenError> {
        let asked = async {
            let _turn = self.turn.lock().await;
            self.provider.token(scopes).await
        };
        let token = tokio::time::timeout(LOOK_UP, asked).await;
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
        bearer(token.as_str()).map_err(|error| TokenError::new(TokenErrorKind::Refused, error.to_string()))
    }
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
}
