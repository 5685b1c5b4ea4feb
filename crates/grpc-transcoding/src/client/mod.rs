//! Services that go under a generated tonic stub.
//!
//! - [`HttpJson`]: from a stub to a REST API.
//! - [`Grpc`]: from a stub to a gRPC server, over HTTP/2.
//! - [`Auto`]: from a stub by one of these, as the network allows.
//!
//! ```no_run
//! mod library {
//!     include!("../../tests/library/stub.rs"); // in your crate: tonic::include_proto!("example.library.v1");
//! }
//! use grpc_transcoding::{DescriptorPool, client::HttpJson};
//! use library::{SearchBooksRequest, library_client::LibraryClient};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = DescriptorPool::decode(include_bytes!("../../tests/library/library.bin"))?;
//! let http = HttpJson::builder(pool, "https://library.example").build()?;
//! let mut stub = LibraryClient::new(http);
//! let request = SearchBooksRequest { parent: "shelves/1".into(), title: "Dune".into() };
//! println!("{:?}", stub.search_books(request).await?.into_inner().books);
//! # Ok(())
//! # }
//! ```
//!
//! Where a call goes is an [`Origin`], and a [`Connector`] opens connections to it, with
//! TLS and proxies. `HttpJson` also goes over any HTTP service of yours
//! ([`HttpJsonBuilder::build_over`]); on WebAssembly it only does that.
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
pub use http_json::{BuildError, HTTP_STATUS, HttpJson, HttpJsonBuilder, http_failure};
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
