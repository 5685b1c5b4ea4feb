//! A client of Google Chat whose generated tonic stub speaks gRPC or
//! HTTP/JSON, and the engine that makes that possible for any API with
//! `google.api.http` annotations.
//!
//! ```
//! # #[cfg(feature = "emulator")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use google_chat::{Client, Credentials, Space, Wire, emulator::Emulator};
//!
//! let emulator = Emulator::start().await?;
//! let chat = Client::builder()
//!     .endpoint(emulator.endpoint())
//!     .credentials(Credentials::anonymous())
//!     .wire(Wire::HttpJson)
//!     .build()?;
//! let space = chat.create_space(Space::named("Launch room")).await?;
//! assert_eq!(space.display_name, "Launch room");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "emulator"))]
//! # fn main() {}
//! ```
//!
//! From the top down:
//!
#![cfg_attr(feature = "chat", doc = "- [`Client`]: Google Chat, with its defaults and errors that say what to do.")]
#![cfg_attr(feature = "chat", doc = "- [`proto`]: the generated messages and the stub.")]
#![cfg_attr(feature = "emulator", doc = "- [`emulator`]: Google Chat's `spaces.create` as a local server.")]
//! - [`policy`], [`Credentials`]: what any stub needs over either wire.
//! - [`transport`]: services to go under a stub or in front of a server.
//! - [`transcoding`]: the rules of `google.api.http`, without IO.
//! - [`json`]: protobuf wire bytes to ProtoJSON and back.
//! - [`schema`]: descriptor sets, compiled into tables.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `chat`, on by default | the client and the generated messages and stub of Google Chat |
//! | `server` | the generated server trait, and serving on a port |
//! | `emulator` | a local server of Google Chat for tests and development |
//! | `emulator-store` | the emulator's spaces in a file |
//!
//! Without any, there is the engine for other APIs, and no code is generated.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "chat")]
mod client;
mod credentials;
#[cfg(feature = "emulator")]
pub mod emulator;
pub mod json;
pub mod policy;
#[cfg(feature = "chat")]
pub mod proto;
pub mod schema;
pub mod transcoding;
pub mod transport;

#[cfg(feature = "chat")]
pub use client::{
    Channel, Client, ClientBuilder, ClientError, CreateSpace, CreateSpaceWithResponse, CreatedSpace, ENDPOINT, Error,
    MethodScopes, Wire,
};
pub use credentials::{Credentials, CredentialsError};
#[cfg(feature = "chat")]
pub use proto::google::chat::v1::{CreateSpaceRequest, Space};
pub use schema::{Schema, SchemaError};

/// The programs of the README.
#[cfg(all(doctest, feature = "emulator"))]
#[doc = include_str!("../README.md")]
struct Readme;
