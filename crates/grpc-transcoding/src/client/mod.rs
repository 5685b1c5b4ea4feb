//! Services that go under a generated tonic stub.
//!
//! - [`HttpJson`]: from a stub to a REST API.
//! - [`Grpc`]: from a stub to a gRPC server, over HTTP/2.
//! - [`Auto`]: from a stub by one of these, as the network allows.
//!
//! A service under a stub reports every failure as a gRPC status, never as an
//! error of its own: tonic would turn that into UNKNOWN.

mod auto;
mod connector;
mod failure;
mod grpc;
mod grpc_body;
mod http_json;
mod pool;
mod pooled_client;
mod proxy;
mod replay;

pub use auto::{Auto, Choice, Wire};
pub use connector::{ConnectError, Connector, ConnectorBuilder, Origin, OriginError, connector};
pub use failure::{unavailable, unsent};
pub use grpc::Grpc;
pub use http_json::{BuildError, HTTP_STATUS, HttpJson, HttpJsonBuilder};
pub use pool::BackendLimits;
pub use pooled_client::PooledClient;

pub use crate::rpc::{BoxError, Lasting, failure::Broken};
