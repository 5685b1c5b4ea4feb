//! Services that stand in front of a gRPC service.
//!
//! - [`Gateway`]: from REST clients to a gRPC service.
//! - [`BrowserGuard`]: refuses what web pages have browsers send.
//! - [`Reflection`]: what a gRPC server says of its schema; [`reflect`] asks for it.
//! - [`serve`]: any service on a port, with limits.

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
