//! IAM Service Account Credentials: tokens and signatures of a service account, for whoever
//! may impersonate it.
//!
//! Source: the reference of `projects.serviceAccounts` of IAM Service Account Credentials API,
//! methods `generateAccessToken` and `signJwt`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderValue, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{
    CLOUD_PLATFORM, Credentials, TokenError, TokenErrorKind, Universe,
    http::{Answer, Endpoint, Hop, Http, Refusal},
    is_email,
    metadata::Metadata,
    token_endpoint::{Asking, TokenEndpoint, claims},
    tokens::Token,
};
use crate::layer::QUOTA_PROJECT;

/// How long a token lives that is asked for: the longest that needs no exception of the
/// organization's.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// A service account that others impersonate.
pub(super) struct ServiceAccount {
    pub(super) source: Credentials,
    account: Account,
    /// Those that may impersonate one another in turn, up to the account.
    delegates: Vec<String>,
    lifetime: Duration,
    /// The URL of all service accounts.
    accounts: String,
    pub(super) hop: Hop,
    pub(super) endpoint: TokenEndpoint,
}

enum Account {
    Named(String),
    /// That which the machine runs as.
    OfMachine(Arc<Metadata>),
}

impl ServiceAccount {
    /// The account that `target` names, which comes after its delegates, separated by commas,
    /// as gcloud has it.
    pub(super) fn new(source: Credentials, target: &str, universe: &Universe) -> Result<Self, String> {
        let mut chain: Vec<String> = target.split(',').map(|email| email.trim().to_owned()).collect();
        let email = chain.pop().unwrap_or_default();
        Self::at(source, Account::Named(email), chain, &universe.service_accounts(), universe)
    }

    /// The account that a file's `service_account_impersonation_url` names.
    pub(super) fn of_url(
        source: Credentials,
        url: &str,
        delegates: Vec<String>,
        lifetime: Option<u64>,
        token_uri: Option<&str>,
        universe: &Universe,
    ) -> Result<Self, String> {
        let name = "service_account_impersonation_url";
        let (accounts, email) =
            url.strip_suffix(":generateAccessToken")
                .and_then(|account| account.rsplit_once('/'))
                .ok_or_else(|| format!("its {name} does not end with /serviceAccounts/EMAIL:generateAccessToken"))?;
        Endpoint::parse(name, url)?;
        let account = Self::at(source, Account::Named(email.to_owned()), delegates, accounts, universe)?;
        // IAM takes up to twelve hours, where the organization allows them.
        let lifetime = lifetime.map_or(LIFETIME, |seconds| Duration::from_secs(seconds.clamp(600, 43_200)));
        // Not of Google's tools: for servers that take the place of Google's.
        let endpoint = match token_uri {
            Some(url) => TokenEndpoint::new(Endpoint::parse("token_uri", url)?),
            None => account.endpoint,
        };
        Ok(Self { lifetime, endpoint, ..account })
    }

    /// The account that the machine runs as, which impersonates itself: the metadata server
    /// gives no token with a scope of Google Chat.
    pub(super) fn of_machine(
        source: Credentials,
        metadata: Arc<Metadata>,
        universe: &Universe,
    ) -> Result<Self, String> {
        Self::at(source, Account::OfMachine(metadata), Vec::new(), &universe.service_accounts(), universe)
    }

    fn at(
        source: Credentials,
        account: Account,
        delegates: Vec<String>,
        accounts: &str,
        universe: &Universe,
    ) -> Result<Self, String> {
        let named = match &account {
            Account::Named(email) => Some(email),
            Account::OfMachine(_) => None,
        };
        if !delegates.iter().chain(named).all(|email| is_email(email)) {
            return Err(
                "the service account to impersonate, or one of its delegates, is not an e-mail address".to_owned()
            );
        }
        let iam = Endpoint::parse("service_account_impersonation_url", accounts)?;
        let endpoint = TokenEndpoint::new(Endpoint::parse("token_uri", &universe.token_endpoint())?);
        Ok(Self {
            source,
            account,
            delegates: delegates.iter().map(|email| format!("projects/-/serviceAccounts/{email}")).collect(),
            lifetime: LIFETIME,
            accounts: accounts.to_owned(),
            hop: Hop::new("access token", format!("IAM ({})", iam.origin)),
            endpoint,
        })
    }

    pub(super) fn is_of_machine(&self) -> bool {
        matches!(self.account, Account::OfMachine(_))
    }

    /// The address, where it is known without asking for it.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.account {
            Account::Named(email) => Some(email),
            Account::OfMachine(_) => None,
        }
    }

    async fn email(&self, http: &Http) -> Result<&str, TokenError> {
        match &self.account {
            Account::Named(email) => Ok(email),
            Account::OfMachine(metadata) => metadata.email(http).await,
        }
    }

    /// A token of the account itself.
    pub(super) async fn access_token(&self, http: &Http, scopes: &str) -> Result<Token, TokenError> {
        let scopes: Vec<&str> = scopes.split(' ').collect();
        let lifetime = format!("{}s", self.lifetime.as_secs());
        let body = json!({"scope": scopes, "lifetime": lifetime, "delegates": self.delegates});
        let answer = self.call(http, "generateAccessToken", &body).await?;
        let json = answer.json();
        let token = json["accessToken"].as_str().ok_or_else(|| answer.lacks("an accessToken"))?;
        // Where this machine's clock is ahead of Google's, the token has the life that was
        // asked for.
        let end = json["expireTime"].as_str().and_then(|end| end.parse::<Timestamp>().ok());
        let end = end.and_then(|end| SystemTime::try_from(end).ok());
        let life = end.and_then(|end| end.duration_since(SystemTime::now()).ok());
        answer.token(token, life.unwrap_or(self.lifetime).min(self.lifetime))
    }

    /// A token of a user, for whom the account acts by domain-wide delegation.
    pub(super) async fn user_token(&self, http: &Http, subject: &str, scopes: &str) -> Result<Token, TokenError> {
        let email = self.email(http).await?;
        let claims = claims(email, Some(subject), scopes, self.endpoint.audience(), SystemTime::now());
        let body = json!({"payload": claims.to_string(), "delegates": self.delegates});
        let answer = self.call(http, "signJwt", &body).await?;
        let json = answer.json();
        let assertion = json["signedJwt"].as_str().ok_or_else(|| answer.lacks("a signedJwt"))?;
        // No administrator can enter the address.
        let client_id = format!(
            "of {email} (`gcloud iam service-accounts describe {email} --format='value(oauth2ClientId)'` prints it)"
        );
        let asking = Asking {
            client_id: &client_id,
            mend: "see whether the service account exists and is enabled",
            subject: Some(subject),
            scopes,
        };
        self.endpoint.exchange(http, assertion, &asking).await
    }

    /// Calls a method of the account with a token of the source.
    async fn call(&self, http: &Http, method: &str, body: &Value) -> Result<Answer<'_>, TokenError> {
        let email = self.email(http).await?;
        let url = format!("{}/{email}:{method}", self.accounts);
        let endpoint = Endpoint::parse("service_account_impersonation_url", &url);
        let endpoint = endpoint.map_err(|problem| self.hop.failed(TokenErrorKind::Refused, problem))?;
        let mut rejected: Option<HeaderValue> = None;
        loop {
            let token = self.source.header(&[CLOUD_PLATFORM], rejected.as_ref()).await?;
            let token = token.ok_or_else(|| {
                self.hop.failed(TokenErrorKind::NoCredentials, "there are no credentials to impersonate it with")
            })?;
            let mut request =
                Request::post(&url).header(CONTENT_TYPE, "application/json").header(AUTHORIZATION, &token);
            if let Some(project) = self.source.quota_project().and_then(|project| HeaderValue::try_from(project).ok()) {
                request = request.header(QUOTA_PROJECT, project);
            }
            let answer = http.send(&self.hop, &endpoint, request, body.to_string()).await?;
            // The token may have been revoked; once, since another one may be no better.
            if answer.status == StatusCode::UNAUTHORIZED && self.source.is_renewable() && rejected.is_none() {
                rejected = Some(token);
                continue;
            }
            return answer.ok(&[]).map_err(|refusal| self.refused(*refusal, email));
        }
    }

    /// Why IAM refuses, and what to do.
    fn refused(&self, refusal: Refusal, email: &str) -> TokenError {
        if refusal.is_transient() {
            return refusal.error;
        }
        let Refusal { name, reason, error, .. } = refusal;
        match (&*name, &*reason) {
            (_, "SERVICE_DISABLED") => error.advise(
                "enable the IAM Service Account Credentials API in the project: gcloud services enable \
                 iamcredentials.googleapis.com",
            ),
            (_, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") => error.of_kind(TokenErrorKind::Refused).advise(match self.account {
                Account::OfMachine(_) => {
                    "the metadata server gives no token with the scope that IAM needs; set the machine's access scope \
                     https://www.googleapis.com/auth/cloud-platform (gcloud compute instances set-service-account \
                     INSTANCE --scopes=cloud-platform)"
                }
                Account::Named(_) => {
                    "the credentials that impersonate it need the scope \
                     https://www.googleapis.com/auth/cloud-platform: log in again with it among --scopes"
                }
            }),
            ("PERMISSION_DENIED", _) => {
                let (whom, member) = match &self.account {
                    Account::OfMachine(_) => ("to itself", format!("serviceAccount:{email}")),
                    Account::Named(_) => ("to whoever impersonates it", self.source.member()),
                };
                error.of_kind(TokenErrorKind::MayNotImpersonate).advise(format!(
                    "grant the role roles/iam.serviceAccountTokenCreator on {email} {whom}: gcloud iam service-accounts \
                     add-iam-policy-binding {email} --role=roles/iam.serviceAccountTokenCreator '--member={member}'; that \
                     can take some minutes to take effect"
                ))
            }
            ("NOT_FOUND", _) => error.advise(format!("check the address of the service account, {email}")),
            ("UNAUTHENTICATED", _) => error.advise("get new credentials for whoever impersonates the service account"),
            _ => error,
        }
    }
}
