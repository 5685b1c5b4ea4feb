//! The account that the program gcloud is logged in with.

use std::{io, process::Command, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{TokenError, TokenErrorKind, bearer, http::Hop, program::printed, tokens::Token};

/// How long gcloud may take, whose start alone takes seconds on some machines.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long its tokens are used. It does not say when they end; one that a server refuses before
/// is had anew.
const LIFE: Duration = Duration::from_secs(3_600);

pub(super) struct Gcloud {
    pub(super) hop: Hop,
}

impl Gcloud {
    pub(super) fn new() -> Self {
        Self { hop: Hop::new("access token", "the program gcloud") }
    }

    /// A token of the account, with the scopes that gcloud has asked for at its login.
    pub(super) async fn token(&self) -> Result<Token, TokenError> {
        let asked = Instant::now();
        let mut command = Command::new(if cfg!(windows) { "gcloud.cmd" } else { "gcloud" });
        let printed = printed(command.args(["auth", "print-access-token", "--quiet"]), TIME_LIMIT).await;
        let printed = printed.map_err(|error| {
            // Most machines do not have it, and another try does not change that.
            let is_late = error.kind() == io::ErrorKind::TimedOut;
            let kind = if is_late { TokenErrorKind::Unavailable } else { TokenErrorKind::NoCredentials };
            self.hop.failed(kind, &error).caused_by(Arc::new(error))
        })?;
        let header = bearer(std::str::from_utf8(&printed).unwrap_or_default()).map_err(|_| {
            let why = "it has printed none; see what `gcloud auth print-access-token` says";
            self.hop.failed(TokenErrorKind::NoCredentials, why)
        })?;
        Ok(Token::new(header, asked, LIFE))
    }
}
