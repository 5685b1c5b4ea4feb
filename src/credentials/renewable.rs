//! A source that tokens can be had from again and again: how, and those that it gave.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use grpc_transcoding::client::{ConnectError, ConnectorBuilder};
use http::HeaderValue;

use super::{
    CLOUD_PLATFORM, TokenError,
    external_account::ExternalAccount,
    gcloud::Gcloud,
    http::{Endpoint, Http},
    iam::ServiceAccount,
    key::Key,
    lock,
    login::Login,
    metadata::Metadata,
    token_endpoint::Asking,
    tokens::{Fetch, Tokens},
};

/// How a source gets its tokens.
pub(super) enum How {
    Key(Box<Key>),
    Login(Box<Login>),
    ExternalAccount(Box<ExternalAccount>),
    Metadata(Arc<Metadata>),
    Gcloud(Gcloud),
    /// By IAM, with a token of another source.
    ServiceAccount(Box<ServiceAccount>),
}

pub(super) struct Renewable {
    shared: Arc<Shared>,
    /// The user that the service account acts for.
    subject: Option<String>,
    tokens: Tokens,
}

/// What a source has in common for all that it acts for.
struct Shared {
    how: How,
    http: Arc<Http>,
    quota_project: Option<String>,
    /// The file that it was read from.
    place: Option<String>,
    /// The same source for users, by their addresses, while anybody uses them.
    users: Mutex<HashMap<String, Weak<Renewable>>>,
}

impl Renewable {
    pub(super) fn new(how: How, http: Arc<Http>, quota_project: Option<String>, place: Option<String>) -> Arc<Self> {
        let shared = Shared { how, http, quota_project, place, users: Mutex::default() };
        Arc::new(Self { shared: Arc::new(shared), subject: None, tokens: Tokens::default() })
    }

    pub(super) fn how(&self) -> &How {
        &self.shared.how
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub(super) fn quota_project(&self) -> Option<&str> {
        self.shared.quota_project.as_deref()
    }

    /// The file that it was read from, if it is known.
    pub(super) fn place(&self) -> Option<&str> {
        self.shared.place.as_deref()
    }

    /// Whether it can sign for others than itself.
    pub(super) fn can_act_for_users(&self) -> bool {
        matches!(self.shared.how, How::Key(_) | How::ServiceAccount(_))
    }

    /// The same source, acting for a user: one for each, so that its tokens are shared.
    pub(super) fn for_user(&self, email: &str) -> Arc<Self> {
        let mut users = lock(&self.shared.users);
        if let Some(user) = users.get(email).and_then(Weak::upgrade) {
            return user;
        }
        let subject = Some(email.to_owned());
        let user = Arc::new(Self { shared: Arc::clone(&self.shared), subject, tokens: Tokens::default() });
        // Those that nobody uses any more make room, now and then.
        if users.len() == users.capacity() {
            users.retain(|_, user| user.strong_count() > 0);
        }
        users.insert(email.to_owned(), Arc::downgrade(&user));
        user
    }

    /// Connects this way, unless there is a way already.
    ///
    /// # Errors
    ///
    /// If no connection to who gives the tokens is possible.
    pub(super) fn connect_by(&self, connector: &ConnectorBuilder) -> Result<(), ConnectError> {
        self.shared.http.connect_by(connector);
        let endpoint: Option<&Endpoint> = match &self.shared.how {
            How::Key(key) => Some(key.endpoint.endpoint()),
            How::Login(login) => Some(&login.endpoint),
            How::ExternalAccount(account) => Some(&account.sts),
            How::Metadata(_) | How::Gcloud(_) => None,
            How::ServiceAccount(account) => return account.source.connect_by(connector),
        };
        endpoint.map_or(Ok(()), |endpoint| self.shared.http.client(&endpoint.origin).map(drop))
    }

    /// Who is asked, in this order, for a token.
    pub(super) fn hops(&self) -> Vec<String> {
        match &self.shared.how {
            How::Key(key) => vec![key.endpoint.hop.to_string()],
            How::Login(login) => vec![login.hop.to_string()],
            How::ExternalAccount(account) => vec![account.provider.to_string(), account.hop.to_string()],
            How::Metadata(metadata) => vec![metadata.hop.to_string()],
            How::Gcloud(gcloud) => vec![gcloud.hop.to_string()],
            How::ServiceAccount(account) => {
                let mut hops = account.source.hops();
                hops.push(account.hop.to_string());
                hops.extend(self.subject.as_ref().map(|_| account.endpoint.hop.to_string()));
                hops
            }
        }
    }

    /// A token for the scopes; not the one that was rejected.
    pub(super) async fn header(
        self: &Arc<Self>,
        scopes: &[&str],
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, TokenError> {
        let scopes = match &self.shared.how {
            // A login's tokens have all scopes of the login.
            How::Login(_) | How::Gcloud(_) => String::new(),
            How::Metadata(_) => CLOUD_PLATFORM.to_owned(),
            How::ServiceAccount(account) if account.is_of_machine() && self.subject.is_none() => {
                // What the machine's own tokens are good for needs no IAM.
                if scopes.iter().all(|scope| *scope == CLOUD_PLATFORM)
                    && let Some(header) = Box::pin(account.source.header(&[CLOUD_PLATFORM], rejected)).await?
                {
                    return Ok(header);
                }
                scopes.join(" ")
            }
            _ => scopes.join(" "),
        };
        let fetch = || Self::fetch(Arc::clone(self), scopes.clone());
        let header = self.tokens.token(&scopes, rejected, fetch).await;
        header.map_err(|error| match &self.shared.place {
            Some(place) => error.of_file(place),
            None => error,
        })
    }

    /// A box, since one source may fetch the token of another.
    fn fetch(self: Arc<Self>, scopes: String) -> Fetch {
        Box::pin(async move {
            let http = &self.shared.http;
            let subject = self.subject.as_deref();
            match &self.shared.how {
                How::Key(key) => {
                    let asking = Asking {
                        client_id: key.client_id.as_ref().unwrap_or(&key.email),
                        mend: "make a new key for the service account",
                        subject,
                        scopes: &scopes,
                    };
                    key.endpoint.exchange(http, &key.assertion(subject, &scopes)?, &asking).await
                }
                How::Login(login) => login.refresh(http).await,
                How::ExternalAccount(account) => account.token(http, &scopes).await,
                How::Metadata(metadata) => metadata.token(http, &scopes).await,
                How::Gcloud(gcloud) => gcloud.token().await,
                How::ServiceAccount(account) => match subject {
                    Some(subject) => account.user_token(http, subject, &scopes).await,
                    None => account.access_token(http, &scopes).await,
                },
            }
        })
    }
}
