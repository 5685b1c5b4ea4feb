//! Which of Google's clouds is called.

use super::variable;

const VARIABLE: &str = "GOOGLE_CLOUD_UNIVERSE_DOMAIN";
const PUBLIC: &str = "googleapis.com";

/// The domain of Google's public cloud, or of a sovereign one: its APIs are hosts of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Universe(String);

impl Universe {
    /// The one that `GOOGLE_CLOUD_UNIVERSE_DOMAIN` names; `googleapis.com` by default. What is
    /// no domain is left for the endpoint to refuse.
    pub(crate) fn of_environment() -> Self {
        Self(variable(VARIABLE).unwrap_or_else(|| PUBLIC.to_owned()))
    }

    /// The one that a credentials file names; the public one by default.
    ///
    /// # Errors
    ///
    /// If the text is no domain; or where it must be the one that is called (`is_called`), and
    /// is another: its tokens are for servers of its own.
    pub(super) fn of_file(domain: Option<&str>, is_called: bool) -> Result<Self, String> {
        let domain = domain.unwrap_or(PUBLIC);
        let of_domain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        if domain.len() > 253 || !domain.bytes().all(of_domain) {
            return Err("its universe_domain is not a domain".to_owned());
        }
        if is_called && domain != Self::of_environment().0 {
            return Err(format!(
                "they are of the universe {domain}, but calls go to another; set {VARIABLE}={domain}, or use \
                 credentials of the other"
            ));
        }
        Ok(Self(domain.to_owned()))
    }

    /// Where an API is.
    pub(crate) fn endpoint(&self, service: &str) -> String {
        format!("https://{service}.{}", self.0)
    }

    pub(super) fn token_endpoint(&self) -> String {
        format!("{}/token", self.endpoint("oauth2"))
    }

    /// The URL of all service accounts, at IAM Service Account Credentials.
    pub(super) fn service_accounts(&self) -> String {
        format!("{}/v1/projects/-/serviceAccounts", self.endpoint("iamcredentials"))
    }
}
