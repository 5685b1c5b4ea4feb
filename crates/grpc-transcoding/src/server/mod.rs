//! Services that stand in front of a gRPC service.
//!
//! - [`Gateway`]: from REST clients to a gRPC service.
//! - [`BrowserGuard`]: refuses what web pages have browsers send.
//! - [`Reflection`]: a gRPC server's descriptors for those who ask; [`reflect`] asks a
//!   server for its own.
//! - [`serve`]: any service on a port, with limits.
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
mod gateway;
mod grpc_response;
mod host;
mod idle;
mod json_body;
mod reflection;
mod serve;

pub use browser::{BrowserGuard, BrowserGuardLayer};
pub use gateway::{Gateway, GatewayLayer};
pub use reflection::{Reflection, reflect};
pub use serve::{Limits, RequestBody, ServeOptions, serve};

pub use crate::rpc::BoxError;
