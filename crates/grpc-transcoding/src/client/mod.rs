//! Services that go under a generated tonic stub.
//!
//! - [`HttpJson`]: from a stub to a REST API.
//! - [`Grpc`]: from a stub to a gRPC server, over HTTP/2.
//! - [`Auto`]: from a stub by one of these, as the network allows.
//!
//! A service under a stub reports every failure as a gRPC status, never as an
//! error of its own: tonic would turn that into UNKNOWN.

#[cfg(not(target_family = "wasm"))]
mod auto;
#[cfg(not(target_family = "wasm"))]
mod connector;
mod failure;
#[cfg(not(target_family = "wasm"))]
mod grpc;
mod grpc_body;
mod http_json;
mod origin;
#[cfg(not(target_family = "wasm"))]
mod pool;
#[cfg(not(target_family = "wasm"))]
mod pooled_client;
#[cfg(not(target_family = "wasm"))]
mod proxy;
#[cfg(not(target_family = "wasm"))]
mod replay;

pub use failure::{unavailable, unsent};
pub use http_json::{BuildError, HTTP_STATUS, HttpJson, HttpJsonBuilder};
pub use origin::{Origin, OriginError};
#[cfg(not(target_family = "wasm"))]
pub use {
    auto::{Auto, Choice, Wire},
    connector::{ConnectError, Connection, Connector, ConnectorBuilder, connector},
    grpc::Grpc,
    pool::BackendLimits,
    pooled_client::{PooledClient, SendError, SendFuture},
};

pub use crate::rpc::{BoxError, BoxFuture, Broken, Lasting, MaybeSend};
