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
//! - [`Client`]: Google Chat, with its defaults and errors that say what to do.
//! - [`proto`]: the generated messages and the stub.
//! - [`emulator`]: Google Chat's `spaces.create` as a local server.
//! - [`policy`], [`Credentials`]: what any stub needs over either wire.
//! - [`transport`]: services to go under a stub or in front of a server.
//! - [`transcoding`]: the rules of `google.api.http`, without IO.
//! - [`json`]: protobuf wire bytes to ProtoJSON and back.
//! - [`schema`]: descriptor sets, compiled into tables.

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
