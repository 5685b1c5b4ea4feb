//! Where a call goes, over which wire and as whom: the flags that commands
//! share.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use google_chat::{Client, ClientBuilder, Credentials, ENDPOINT, Wire};
use google_chat_emulator::Emulator;
use serde::Deserialize;

use crate::{config::Config, failure::Failure};

#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The protocol of the call [default: auto]
    #[arg(long, value_enum)]
    wire: Option<WireFlag>,
    /// The URL of the API; `https://chat.googleapis.com` by default
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// A service account key file [default: application default credentials]
    #[arg(long, value_name = "FILE", conflicts_with = "access_token")]
    credentials: Option<PathBuf>,
    /// The user to act for (needs domain-wide delegation)
    #[arg(long, value_name = "EMAIL", conflicts_with_all = ["access_token", "anonymous"])]
    subject: Option<String>,
    /// An access token
    #[arg(long, value_name = "TOKEN")]
    access_token: Option<String>,
    /// Send no credentials, for an emulator that is already running
    #[arg(long, conflicts_with_all = ["credentials", "access_token"])]
    anonymous: bool,
    /// An OAuth 2.0 scope, in full or short (chat.spaces); can be repeated
    /// [default: what the command needs]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Time limit of the call, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

/// A [`Connection`] of a command that makes something, which it can do in an emulator of
/// its own.
#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOrEmulator {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Start an emulator for this one command; needs no credentials
    #[arg(long, conflicts_with_all = ["endpoint", "credentials", "access_token", "subject"])]
    emulator: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WireFlag {
    /// gRPC if TLS negotiates HTTP/2, else HTTP/JSON
    #[default]
    Auto,
    /// gRPC
    Grpc,
    /// HTTP/JSON
    Http,
}

impl From<WireFlag> for Wire {
    fn from(flag: WireFlag) -> Self {
        match flag {
            WireFlag::Auto => Self::Auto,
            WireFlag::Grpc => Self::Grpc,
            WireFlag::Http => Self::HttpJson,
        }
    }
}

/// Where a command's calls go, and as whom: flags, environment and config file
/// together.
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) wire: WireFlag,
    pub(crate) who: Who,
    pub(crate) scopes: Vec<String>,
    /// The emulator of this one command; it stops when this goes out of scope.
    _emulator: Option<Emulator>,
}

/// Who makes the calls.
pub(crate) struct Who {
    pub(crate) credentials: Credentials,
    /// In words, without secrets.
    pub(crate) name: String,
    /// Whether it is a person, where that is known.
    pub(crate) is_user: Option<bool>,
    is_nobody: bool,
    /// Whether the name is the same for all credentials of this kind, so that it does not tell
    /// who calls.
    pub(crate) is_hidden: bool,
}

impl ConnectionOrEmulator {
    /// Puts together where calls go, and starts the emulator if one was asked for.
    ///
    /// # Errors
    ///
    /// If the config file, a variable or a key cannot be used.
    pub(crate) async fn target(&self) -> Result<Target, Failure> {
        if !self.emulator {
            return self.connection.target();
        }
        let config = Config::read()?;
        let wire = self.connection.wire.or(config.wire).unwrap_or_default();
        let emulator = Emulator::start().await.map_err(Failure::machine)?;
        let (endpoint, scopes) = (emulator.endpoint(), self.connection.scope.clone());
        Ok(Target { endpoint, wire, who: Who::nobody(), scopes, _emulator: Some(emulator) })
    }
}

impl Connection {
    /// The time limit of a call.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// A client that asks for the scopes that each call needs, unless others are given.
    ///
    /// # Errors
    ///
    /// If the config file, a variable or a key cannot be used.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.target()?.client()
    }

    /// Puts together where calls go.
    ///
    /// # Errors
    ///
    /// If the config file, a variable or a key cannot be used.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let config = Config::read()?;
        let wire = self.wire.or(config.wire).unwrap_or_default();
        let scopes = self.scope.clone();
        let who = self.who(&config)?;
        let endpoint = self.endpoint.clone().or(config.endpoint).unwrap_or_else(|| ENDPOINT.to_owned());
        Ok(Target { endpoint, wire, who, scopes, _emulator: None })
    }

    fn who(&self, config: &Config) -> Result<Who, Failure> {
        if self.anonymous {
            return Ok(Who::nobody());
        }
        let subject = self.subject.as_deref().or(config.subject.as_deref());
        match (&self.credentials, &self.access_token) {
            (Some(key), _) => Who::key("--credentials", key, subject),
            (None, Some(token)) => Who::token(token),
            (None, None) => match (&config.access_token, &config.credentials) {
                (Some(token), _) => Who::token(token),
                (None, Some((place, key))) => Who::key(place, key, subject),
                (None, None) => Who::default(self.subject.as_deref().or(subject)),
            },
        }
    }
}

impl Who {
    fn nobody() -> Self {
        Self {
            credentials: Credentials::anonymous(),
            name: "nobody (no credentials)".to_owned(),
            is_user: None,
            is_nobody: true,
            is_hidden: false,
        }
    }

    pub(crate) fn token(token: &str) -> Result<Self, Failure> {
        let credentials = Credentials::token(token).map_err(Failure::usage)?;
        Ok(Self {
            credentials,
            name: "the bearer of an access token".to_owned(),
            is_user: None,
            is_nobody: false,
            is_hidden: true,
        })
    }

    /// A key by the path of its file or, as variables of CI hold it, as its JSON. What
    /// was given is not repeated, whatever it is.
    pub(crate) fn key(place: &str, given: &Path, subject: Option<&str>) -> Result<Self, Failure> {
        let json = match given.to_str() {
            Some(text) if text.trim_start().starts_with('{') => text.to_owned(),
            _ => std::fs::read_to_string(given).map_err(|error| {
                let problem = "the file that it names cannot be read; give the path of a key";
                Failure::usage(format!("{place}: {problem}")).because(error)
            })?,
        };
        let app = Credentials::service_account_key(&json);
        let app = app.map_err(|error| Failure::usage(place).because(error))?;
        Self::account(app, &json, subject)
    }

    /// Application default credentials: a key that the environment names, or what
    /// gcp_auth finds.
    pub(crate) fn default(subject: Option<&str>) -> Result<Self, Failure> {
        let credentials = Credentials::application_default();
        let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(std::fs::read_to_string);
        if let Some(Ok(json)) = named
            && credentials.is_app().is_some()
        {
            return Self::account(credentials, &json, subject);
        }
        if subject.is_some() {
            return Err(Failure::usage("--subject needs a service account key: give it with --credentials FILE"));
        }
        Ok(Self {
            credentials,
            name: "application default credentials".to_owned(),
            is_user: None,
            is_nobody: false,
            is_hidden: true,
        })
    }

    fn account(app: Credentials, json: &str, subject: Option<&str>) -> Result<Self, Failure> {
        let key: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        let email = key["client_email"].as_str().unwrap_or("a service account");
        let (credentials, name) = match subject {
            Some(subject) => (app.for_user(subject).map_err(Failure::usage)?, format!("{subject} by {email}")),
            None => (app, email.to_owned()),
        };
        Ok(Self { credentials, name, is_user: Some(subject.is_some()), is_nobody: false, is_hidden: false })
    }
}

/// A scope that may be given in short.
pub(crate) fn in_full(scope: &str) -> String {
    if scope.contains("://") { scope.to_owned() } else { format!("https://www.googleapis.com/auth/{scope}") }
}

impl Target {
    /// Whether calls go without credentials.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.who.is_nobody
    }

    /// Whether calls are made as the app, as far as that is known.
    pub(crate) fn is_app(&self) -> bool {
        self.who.is_user != Some(true)
    }

    /// The scopes to ask for, in full: those that are needed, unless others are given.
    pub(crate) fn scopes(&self, needed: Vec<&str>) -> Vec<String> {
        match self.scopes.is_empty() {
            true => needed.into_iter().map(in_full).collect(),
            false => self.scopes.iter().map(|scope| in_full(scope)).collect(),
        }
    }

    /// Begins to build the client, which asks for the scopes that each call needs, unless others
    /// are given.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder =
            Client::builder().wire(self.wire.into()).endpoint(&self.endpoint).credentials(self.who.credentials.clone());
        if self.scopes.is_empty() { builder } else { builder.scopes(self.scopes.clone()) }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.builder().build().map_err(Failure::usage)
    }
}
