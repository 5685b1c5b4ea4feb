//! What goes under a stub, or in front of a server: tower services that move
//! what [`crate::transcoding`] makes.
//!
//! - [`HttpJson`]: from a stub to a REST API.
//! - [`Grpc`]: from a stub to a gRPC server, over HTTP/2.
//! - [`Gateway`]: from REST clients to a gRPC service.
//!
//! A service under a stub reports every failure as a gRPC status, never as an
//! error of its own: tonic would turn that into UNKNOWN.

mod connector;
mod gateway;
mod grpc;
mod http_json;
mod incoming;
mod outgoing;
mod reply;
#[cfg(feature = "server")]
mod serve;
mod streamed;

pub use connector::{ConnectError, Connector, Origin, OriginError, connector};
pub use gateway::{Gateway, GatewayLayer};
pub use grpc::Grpc;
pub use http_json::{BuildError, HttpJson, HttpJsonBuilder, PooledClient};
#[cfg(feature = "server")]
pub use serve::serve;

/// The error of a body or a service that this crate is generic over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The largest message that is taken from the network, in bytes: tonic's own
/// default.
pub(crate) const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
