//! Where a call goes, over which wire and as whom: the flags that commands
//! share.

use std::path::PathBuf;

use google_chat::{Client, Credentials, ENDPOINT, Wire, emulator::Emulator};

use crate::failure::Failure;

#[derive(clap::Args)]
pub(crate) struct Connection {
    /// How the call travels
    #[arg(long, value_enum, default_value_t)]
    pub(crate) wire: WireFlag,
    /// Starts an emulator for this one command; needs no credentials
    #[arg(long, conflicts_with_all = ["endpoint", "credentials", "access_token", "subject"])]
    emulator: bool,
    /// Where the API is
    #[arg(long, value_name = "URL", env = "GCHAT_ENDPOINT", default_value = ENDPOINT)]
    pub(crate) endpoint: String,
    /// A service account's key file; without it, application default credentials
    #[arg(long, value_name = "FILE", conflicts_with = "access_token")]
    credentials: Option<PathBuf>,
    /// The user that the service account acts for (domain-wide delegation)
    #[arg(long, value_name = "EMAIL", requires = "credentials")]
    subject: Option<String>,
    /// An access token
    #[arg(long, value_name = "TOKEN", env = "GCHAT_ACCESS_TOKEN", hide_env_values = true)]
    access_token: Option<String>,
    /// Makes the call without credentials, for an emulator elsewhere
    #[arg(long, conflicts_with_all = ["credentials", "access_token"])]
    anonymous: bool,
    /// How long the call may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum WireFlag {
    /// gRPC where the network lets HTTP/2 through, else HTTP/JSON
    #[default]
    Auto,
    Grpc,
    Http,
}

impl Connection {
    /// The emulator that a call is made to, if one was asked for. It stops when
    /// it goes out of scope.
    pub(crate) async fn emulator(&self) -> Result<Option<Emulator>, Failure> {
        match self.emulator {
            true => Emulator::start().await.map(Some).map_err(Failure::machine),
            false => Ok(None),
        }
    }

    pub(crate) fn client(&self, emulator: Option<&Emulator>) -> Result<Client, Failure> {
        let wire = match self.wire {
            WireFlag::Auto => Wire::Auto,
            WireFlag::Grpc => Wire::Grpc,
            WireFlag::Http => Wire::HttpJson,
        };
        let builder = Client::builder().wire(wire);
        let builder = match emulator {
            Some(emulator) => builder.endpoint(emulator.endpoint()).credentials(Credentials::anonymous()),
            None => builder.endpoint(&self.endpoint).credentials(self.credentials()?),
        };
        builder.build().map_err(Failure::usage)
    }

    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        if self.anonymous {
            return Ok(Credentials::anonymous());
        }
        if let Some(token) = &self.access_token {
            return Credentials::token(token).map_err(Failure::usage);
        }
        let Some(file) = &self.credentials else { return Ok(Credentials::application_default()) };
        let key = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        let app = Credentials::service_account_key(&key).map_err(Failure::usage)?;
        match &self.subject {
            Some(email) => app.for_user(email).map_err(Failure::usage),
            None => Ok(app),
        }
    }
}
