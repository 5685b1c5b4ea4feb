//! Where the programs of this folder find Google Chat: at the endpoint that GOOGLE_CHAT_ENDPOINT
//! names, with the service account key of GOOGLE_APPLICATION_CREDENTIALS, or else in an emulator
//! of their own.
//!
//! `cargo run -p jobs-example --example incident_room`

use std::error::Error;

use google_chat::{Client, Credentials};
use google_chat_emulator::Emulator;

/// What the programs fail with.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A Google Chat, and an app that acts as itself or for people of its organization.
pub struct There {
    endpoint: String,
    app: Credentials,
    emulator: Option<Emulator>,
}

impl There {
    /// The one that the environment names, or an emulator.
    ///
    /// # Errors
    ///
    /// If there is no key, or the emulator cannot be started.
    pub async fn of_environment() -> Result<Self> {
        match std::env::var("GOOGLE_CHAT_ENDPOINT") {
            Ok(endpoint) if !endpoint.is_empty() => {
                let app = Credentials::application_default();
                Ok(Self { endpoint, app, emulator: None })
            }
            _ => Self::emulator().await,
        }
    }

    /// An emulator.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub async fn emulator() -> Result<Self> {
        let emulator = Emulator::start().await?;
        Ok(Self { endpoint: emulator.endpoint(), app: emulator.credentials()?, emulator: Some(emulator) })
    }

    /// The app's own client.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn app(&self) -> Result<Client> {
        Ok(Client::builder().endpoint(&self.endpoint).credentials(self.app.clone()).build()?)
    }

    /// The client of a person, by domain-wide delegation.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn person(&self, email: &str) -> Result<Client> {
        Ok(Client::builder().endpoint(&self.endpoint).credentials(self.app.for_user(email)?).build()?)
    }

    /// The same with the scope of imports, for spaces in import mode.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn importer(&self, email: &str) -> Result<Client> {
        let credentials = self.app.for_user(email)?;
        Ok(Client::builder().endpoint(&self.endpoint).credentials(credentials).scopes(["chat.import"]).build()?)
    }

    /// The emulator, if it is one.
    pub fn as_emulator(&self) -> Option<&Emulator> {
        self.emulator.as_ref()
    }
}
