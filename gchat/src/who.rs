//! Who makes the calls: what was given, or found, in words and as credentials.

use std::path::Path;

use google_chat::Credentials;

use crate::{auth::store, failure::Failure, input};

/// Who makes the calls.
pub(crate) struct Who {
    pub(crate) credentials: Credentials,
    /// In words, without secrets.
    pub(crate) name: String,
    /// Whether it is a person, where that is known.
    pub(crate) is_user: Option<bool>,
    pub(crate) is_nobody: bool,
    /// Whether the name is the same for all credentials of this kind, so that it does not tell
    /// who calls.
    pub(crate) is_hidden: bool,
    /// Whether it is an access token that somebody else has got.
    pub(crate) is_token: bool,
}

impl Who {
    pub(crate) fn nobody() -> Self {
        let nobody = Self::of(Credentials::anonymous(), "nobody (no credentials)");
        Self { is_nobody: true, is_hidden: false, ..nobody }
    }

    pub(crate) fn token(token: &str) -> Result<Self, Failure> {
        let credentials = Credentials::token(token).map_err(Failure::usage)?;
        Ok(Self { is_token: true, ..Self::of(credentials, "the bearer of an access token") })
    }

    /// The credentials in a file, of any type that Google's tools write; `-` for standard input;
    /// or, as variables of CI hold them, their JSON. What was given is not repeated, whatever
    /// it is.
    pub(crate) fn file(place: &str, given: &Path) -> Result<Self, Failure> {
        let json = match given.to_str() {
            Some("-") => Some(input::read("-")?),
            Some(text) if text.trim_start().starts_with('{') => Some(text.to_owned()),
            _ => None,
        };
        let credentials = match &json {
            Some(json) => Credentials::from_json(json),
            None => Credentials::from_file(given),
        };
        let credentials = credentials.map_err(|error| match (&json, std::error::Error::source(&error)) {
            (None, Some(_)) => {
                let problem = "the file that it names cannot be read; give the path of a credentials file";
                Failure::usage(format!("{place}: {problem}")).because(error)
            }
            _ => Failure::usage(place).because(error),
        })?;
        let name =
            credentials.file().map_or_else(|| "credentials".to_owned(), |file| format!("the credentials of {file}"));
        Ok(Self::of(credentials, &name))
    }

    /// The login of `gchat auth login`, if the environment names no other file; else
    /// application default credentials.
    ///
    /// # Errors
    ///
    /// If there is a login, and its file cannot be used.
    pub(crate) fn default() -> Result<Self, Failure> {
        let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some_and(|path| !path.is_empty());
        if let Some(login) = store::path().filter(|path| !named && path.exists()) {
            return Self::file("the login of `gchat auth login`", &login);
        }
        Ok(Self::of(Credentials::application_default(), "application default credentials"))
    }

    fn of(credentials: Credentials, name: &str) -> Self {
        let account = credentials.service_account().map(str::to_owned);
        Self {
            is_user: credentials.is_app().map(|app| !app),
            is_hidden: account.is_none(),
            name: account.unwrap_or_else(|| name.to_owned()),
            credentials,
            is_nobody: false,
            is_token: false,
        }
    }

    /// Whoever these credentials impersonate, and act for.
    ///
    /// # Errors
    ///
    /// If they cannot, or what is given is no address.
    pub(crate) fn acting(self, account: Option<&str>, subject: Option<&str>) -> Result<Self, Failure> {
        let mut who = self;
        if let Some(account) = account {
            let credentials = who.credentials.impersonated(account);
            let credentials =
                credentials.map_err(|error| Failure::usage("--impersonate-service-account").because(error))?;
            who = Self::of(credentials, "a service account");
        }
        let Some(subject) = subject else { return Ok(who) };
        // Of all credentials these alone act for themselves.
        if who.is_token || who.is_user == Some(true) {
            return Err(Failure::usage(
                "--subject needs a service account: give its key with --credentials FILE, or have these credentials \
                 impersonate it with --impersonate-service-account EMAIL",
            ));
        }
        let name = match who.credentials.service_account() {
            Some(email) => format!("{subject} by {email}"),
            None => format!("{subject} by {}", who.name),
        };
        let credentials = who.credentials.for_user(subject).map_err(Failure::usage)?;
        Ok(Self { name, is_user: Some(true), is_hidden: false, ..Self::of(credentials, "") })
    }
}
