//! What was not said on the command line: the environment, then a file.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{connection::WireFlag, failure::Failure};

/// The settings of `GCHAT_*` variables or of a config file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) endpoint: Option<String>,
    pub(crate) wire: Option<WireFlag>,
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) subject: Option<String>,
    #[serde(skip)]
    pub(crate) access_token: Option<String>,
}

/// What help says of it.
pub(crate) const HELP: &str = "\
Where a flag is not given, its environment variable counts (GCHAT_ENDPOINT, GCHAT_WIRE,
GCHAT_CREDENTIALS, GCHAT_SUBJECT, GCHAT_ACCESS_TOKEN), and then the config file:
GCHAT_CONFIG, or gchat/config.toml in XDG_CONFIG_HOME or ~/.config, with lines such as

  endpoint = \"http://127.0.0.1:8086\"
  wire = \"http\"
  credentials = \"/home/me/key.json\"
  subject = \"alice@example.com\"";

impl Config {
    /// Reads the environment and the file.
    ///
    /// # Errors
    ///
    /// If there is a file that cannot be used, or `GCHAT_CONFIG` names none.
    pub(crate) fn read() -> Result<Self, Failure> {
        let file = Self::file()?;
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let wire = text("GCHAT_WIRE").map(|wire| {
            clap::ValueEnum::from_str(&wire, false)
                .map_err(|_| Failure::usage(format!("GCHAT_WIRE is `{wire}`; it can be auto, grpc or http")))
        });
        let credentials = text("GCHAT_CREDENTIALS").map(PathBuf::from);
        let access_token = text("GCHAT_ACCESS_TOKEN");
        // Who is named in the environment is nobody of the file's.
        let named = credentials.is_some() || access_token.is_some();
        let (file_credentials, file_subject) = if named { (None, None) } else { (file.credentials, file.subject) };
        Ok(Self {
            endpoint: text("GCHAT_ENDPOINT").or(file.endpoint),
            wire: wire.transpose()?.or(file.wire),
            credentials: credentials.or(file_credentials),
            subject: text("GCHAT_SUBJECT").or(file_subject),
            access_token,
        })
    }

    fn file() -> Result<Self, Failure> {
        let named = std::env::var_os("GCHAT_CONFIG").map(PathBuf::from);
        let usual = || {
            let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            let folder = home("XDG_CONFIG_HOME").or_else(|| Some(home("HOME")?.join(".config")))?;
            Some(folder.join("gchat/config.toml")).filter(|path| path.exists())
        };
        let Some(path) = named.or_else(usual) else { return Ok(Self::default()) };
        let problem = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
        // One line: what is wrong, and in which line.
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
            problem(format!("line {line}: {}", error.message().replace('\n', " ")))
        })
    }
}
