//! Where a call goes, over which wire and as whom: the flags that commands
//! share.

use std::{path::PathBuf, time::Duration};

use google_chat::{Client, ClientBuilder, Wire};
use google_chat_emulator::Emulator;
use serde::Deserialize;

use crate::{config::Config, failure::Failure, who::Who};

#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The protocol of the call [default: auto]
    #[arg(long, value_enum)]
    wire: Option<WireFlag>,
    /// The URL of the API; `https://chat.googleapis.com` by default
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// A credentials file of any type, or - for standard input [default: the login of
    /// gchat auth login, then application default credentials]
    #[arg(long, value_name = "FILE", conflicts_with = "access_token")]
    credentials: Option<PathBuf>,
    /// The service account to act as, by IAM; delegates come before it, separated by
    /// commas
    #[arg(long, value_name = "EMAIL", conflicts_with = "anonymous")]
    impersonate_service_account: Option<String>,
    /// The user to act for (needs a service account with domain-wide delegation)
    #[arg(long, value_name = "EMAIL", conflicts_with = "anonymous")]
    subject: Option<String>,
    /// The project that calls are counted against [default: that of the credentials]
    #[arg(long, value_name = "PROJECT")]
    quota_project: Option<String>,
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
    #[arg(long, conflicts_with_all = ["endpoint", "credentials", "access_token", "impersonate_service_account", "subject"])]
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
    pub(crate) quota_project: Option<String>,
    /// The emulator of this one command; it stops when this goes out of scope.
    _emulator: Option<Emulator>,
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
        let config = Config::read(false)?;
        let wire = self.connection.wire.or(config.wire).unwrap_or_default();
        let emulator = Emulator::start().await.map_err(Failure::machine)?;
        let (endpoint, scopes) = (emulator.endpoint(), self.connection.scope.clone());
        Ok(Target { endpoint, wire, who: Who::nobody(), scopes, quota_project: None, _emulator: Some(emulator) })
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
        let config = Config::read(self.credentials.is_some() || self.access_token.is_some())?;
        let wire = self.wire.or(config.wire).unwrap_or_default();
        let scopes = self.scope.clone();
        let who = self.who(&config)?;
        let endpoint = self.endpoint.clone().or(config.endpoint).unwrap_or_else(Client::default_endpoint);
        let quota_project = self.quota_project.clone().or(config.quota_project);
        Ok(Target { endpoint, wire, who, scopes, quota_project, _emulator: None })
    }

    fn who(&self, config: &Config) -> Result<Who, Failure> {
        if self.anonymous {
            return Ok(Who::nobody());
        }
        let who = match (&self.credentials, &self.access_token) {
            (Some(file), _) => Who::file("--credentials", file),
            (None, Some(token)) => Who::token(token),
            (None, None) => match (&config.access_token, &config.credentials) {
                (Some(token), _) => Who::token(token),
                (None, Some((place, file))) => Who::file(place, file),
                (None, None) => Who::default(),
            },
        }?;
        let account = self.impersonate_service_account.as_deref().or(config.impersonate_service_account.as_deref());
        // Whoever names a token means its bearer, whatever the settings say.
        let of_settings = config.subject.as_deref().filter(|_| account.is_some() || !who.is_token);
        who.acting(account, self.subject.as_deref().or(of_settings))
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
        let mut builder =
            Client::builder().wire(self.wire.into()).endpoint(&self.endpoint).credentials(self.who.credentials.clone());
        if let Some(project) = &self.quota_project {
            builder = builder.quota_project(project);
        }
        if self.scopes.is_empty() { builder } else { builder.scopes(self.scopes.clone()) }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.builder().build().map_err(Failure::usage)
    }
}
