//! Services that are served on a port.
//!
//! - [`Gateway`]: from REST clients to a gRPC service.
//! - [`Sidecar`]: from the gRPC stubs of any language to a REST API.
//! - [`BrowserGuard`]: refuses what web pages have browsers send.
//! - [`Reflection`]: a gRPC server's descriptors for those who ask; [`reflect`] asks a
//!   server for its own. [`Health`]: whether a server takes calls;
//!   [`check_health`] asks one.
//! - [`serve`]: any service on a port or a Unix socket, with limits.
//!
//! A gateway in front of a gRPC server elsewhere, whose descriptors it asks for:
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use grpc_transcoding::{
//!     client::{Grpc, Origin},
//!     server::{Gateway, ServeOptions, reflect, serve},
//! };
//!
//! let backend = Grpc::new(Origin::parse("http://localhost:50051")?)?;
//! let gateway = Gateway::new(reflect(backend.clone()).await?, backend)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! serve(listener, gateway, ServeOptions::default()).await;
//! # Ok(())
//! # }
//! ```
//!
//! Instead of `Grpc` there may be any tonic server in the same process: the README has one.

mod browser;
mod budget;
#[cfg(feature = "openapi")]
mod docs;
mod gateway;
mod grpc_metadata;
mod grpc_response;
mod health;
mod host;
mod idle;
mod inner;
mod json_body;
mod reflection;
mod request_stream;
mod serve;
mod sidecar;

pub use browser::{BrowserGuard, BrowserGuardLayer};
pub use gateway::{Gateway, GatewayLayer};
pub use health::{Health, check_health};
pub use reflection::{Reflection, reflect, reflect_set};
pub use serve::{Limits, Listener, Peer, RequestBody, ServeOptions, serve};
pub use sidecar::{Sidecar, SidecarLayer};

pub use crate::rpc::BoxError;
