//! A client of Google Chat whose generated tonic stub speaks gRPC or HTTP/JSON.
//!
//! [`Client`] has a method for each rpc of the API. The engine under it is the crate
//! [`grpc_transcoding`], which does the same for any API with `google.api.http` annotations.
//!
//! ```no_run
//! # async fn create() -> Result<(), Box<dyn std::error::Error>> {
//! use google_chat::{Client, CreateMessageRequest, Space};
//!
//! let chat = Client::new()?; // with application default credentials
//! let room = chat.create_space(Space::named("Launch room")).await?;
//! chat.create_message(CreateMessageRequest::text(&room.name, "Hello")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! From the top down:
//!
//! - [`Client`]: Google Chat, with a method for each of its rpcs, its defaults, and errors that say
//!   what to do.
//! - [`proto`]: the generated messages and the stub.
//! - [`layer`], [`Credentials`]: what any stub needs over either protocol.
//! - [`grpc_transcoding`]: the engine under it, for any API with `google.api.http`
//!   annotations: HTTP/JSON under a stub, REST in front of a gRPC server.
//! - [`protojson`]: protobuf's wire format to ProtoJSON and back.
//!
//! # Features
//!
//! - `server` adds the generated server trait, and the server side of the engine.
//! - `generate` builds the generated code from `proto/`; without it the code is that of the
//!   package.
//!
//! The crate `google-chat-emulator` is a local Google Chat for tests.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod credentials;
pub mod layer;
pub mod proto;

pub use client::{
    Call, Channel, Client, ClientBuilder, ClientError, Download, ENDPOINT, Error, ErrorKind, HasRequestId, Items,
    Media, MethodRequest, MethodScopes, PageRequest, Pages, Response, Upload, WithResponse,
};
/// For `gchat`, which asks servers of its own.
#[doc(hidden)]
pub use credentials::shown;
pub use credentials::{Credentials, CredentialsError, TokenError, TokenErrorKind};
pub use grpc_transcoding::client::Wire;
pub use proto::google::chat::v1::{CreateMessageRequest, CreateSpaceRequest, Membership, Message, Space};

/// The engine, and the libraries whose types are in this crate's signatures.
pub use {
    bytes, futures_core, gcp_auth, grpc_transcoding, http, http_body, http_body_util, prost, protojson, tonic, tower,
};
