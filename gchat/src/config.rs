//! What was not said on the command line: the environment, then a file.

use std::path::{Path, PathBuf};

use crate::{connection::WireFlag, failure::Failure};

/// The settings of `GCHAT_*` variables and of the config file together.
pub(crate) struct Config {
    pub(crate) endpoint: Option<String>,
    pub(crate) wire: Option<WireFlag>,
    /// A key, and the setting that gave it.
    pub(crate) credentials: Option<(&'static str, PathBuf)>,
    pub(crate) impersonate_service_account: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) quota_project: Option<String>,
    pub(crate) access_token: Option<String>,
}

/// The settings of a config file.
#[derive(Default)]
#[cfg_attr(feature = "full", derive(serde::Deserialize), serde(deny_unknown_fields))]
struct File {
    endpoint: Option<String>,
    wire: Option<WireFlag>,
    credentials: Option<PathBuf>,
    impersonate_service_account: Option<String>,
    subject: Option<String>,
    quota_project: Option<String>,
}

/// What help says of it.
pub(crate) const HELP: &str = "\
Environment:
  Flags come before these variables, and the variables before the config file.
  GCHAT_ENDPOINT      the URL of the API
  GCHAT_WIRE          auto, grpc or http
  GCHAT_CREDENTIALS   a credentials file of any type, or its JSON
  GCHAT_IMPERSONATE_SERVICE_ACCOUNT
                      the service account to act as
  GCHAT_SUBJECT       the user to act for
  GCHAT_QUOTA_PROJECT, GOOGLE_CLOUD_QUOTA_PROJECT
                      the project that calls are counted against
  GCHAT_ACCESS_TOKEN  an access token
  GCHAT_CONFIG        the config file
  GOOGLE_APPLICATION_CREDENTIALS
                      a credentials file, for application default credentials
  HTTPS_PROXY, ALL_PROXY, NO_PROXY
                      the proxy, and the hosts that are reached without it
  SSL_CERT_FILE, SSL_CERT_DIR
                      the certificates to trust, in place of the system's
  NO_COLOR            no colors

Files:
  gchat/login.json in XDG_CONFIG_HOME or ~/.config, the login of a browser
  gchat/config.toml beside it, for example:

    endpoint = \"http://127.0.0.1:8086\"
    wire = \"http\"
    credentials = \"/home/me/key.json\"
    subject = \"alice@example.com\"";

impl Config {
    /// Reads the environment and the file. `names` says whether the command line names who
    /// calls.
    ///
    /// # Errors
    ///
    /// If there is a file that cannot be used, or `GCHAT_CONFIG` names none.
    pub(crate) fn read(names: bool) -> Result<Self, Failure> {
        let file = File::read()?;
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let wire = text("GCHAT_WIRE").map(|wire| {
            clap::ValueEnum::from_str(&wire, false).map_err(|_| Failure::usage("GCHAT_WIRE can be auto, grpc or http"))
        });
        let credentials = text("GCHAT_CREDENTIALS").map(|key| ("GCHAT_CREDENTIALS", key.into()));
        let access_token = text("GCHAT_ACCESS_TOKEN");
        // Who is named by a flag or in the environment is nobody of the file's.
        let named = names || credentials.is_some() || access_token.is_some();
        let (file_credentials, file_account, file_subject) = match named {
            true => (None, None, None),
            false => (file.credentials, file.impersonate_service_account, file.subject),
        };
        Ok(Self {
            endpoint: text("GCHAT_ENDPOINT").or(file.endpoint),
            wire: wire.transpose()?.or(file.wire),
            credentials: credentials.or(file_credentials.map(|key| ("`credentials` of the config file", key))),
            impersonate_service_account: text("GCHAT_IMPERSONATE_SERVICE_ACCOUNT").or(file_account),
            subject: text("GCHAT_SUBJECT").or(file_subject),
            quota_project: text("GCHAT_QUOTA_PROJECT")
                .or_else(|| text("GOOGLE_CLOUD_QUOTA_PROJECT"))
                .or(file.quota_project),
            access_token,
        })
    }
}

/// Where the program keeps its files.
pub(crate) fn folder() -> Option<PathBuf> {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = home("XDG_CONFIG_HOME").or_else(|| Some(home("HOME")?.join(".config")))?;
    Some(folder.join("gchat"))
}

impl File {
    fn read() -> Result<Self, Failure> {
        let named = std::env::var_os("GCHAT_CONFIG").map(PathBuf::from);
        let usual = || Some(folder()?.join("config.toml")).filter(|path| path.exists());
        let Some(path) = named.or_else(usual) else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::usage("the config file (GCHAT_CONFIG) cannot be read").because(error))?;
        Self::parse(&text, &path)
    }

    #[cfg(feature = "full")]
    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let span = error.span().unwrap_or_default();
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let problem = problem(error.message(), text.get(span).unwrap_or_default());
            Failure::usage(format!("{}: line {line}: {problem}", path.display()))
        })
    }

    /// Refuses the file: without what it says, a call could go to the wrong place.
    #[cfg(not(feature = "full"))]
    fn parse(_: &str, path: &Path) -> Result<Self, Failure> {
        Err(Failure::left_out(&format!("the config file, and there is one ({})", path.display())))
    }
}

/// What is wrong with a line, without what it holds: that may be a key or a token. Only
/// what can be the name of a setting is repeated.
#[cfg(feature = "full")]
fn problem(message: &str, found: &str) -> String {
    let name =
        |text: &str| text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    if message.starts_with("unknown field") {
        let name = if name(found) { format!(" `{found}`") } else { String::new() };
        return format!(
            "there is no such setting{name}; the settings are endpoint, wire, credentials, \
                        impersonate_service_account, subject and quota_project"
        );
    }
    match message.starts_with("unknown variant") {
        true => "wire can be auto, grpc or http",
        false => "write NAME = \"VALUE\", each name once",
    }
    .to_owned()
}
