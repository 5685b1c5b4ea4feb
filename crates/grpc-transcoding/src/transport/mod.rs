//! What goes under a stub, or in front of a server: tower services that move
//! what [`crate::transcoding`] makes.
//!
//! - [`HttpJson`]: from a stub to a REST API.
//! - [`Grpc`]: from a stub to a gRPC server, over HTTP/2.
//! - [`Auto`]: from a stub by one of these, as the network allows.
//! - [`Gateway`]: from REST clients to a gRPC service.
//! - [`BrowserGuard`]: in front of either, refuses what web pages have browsers send.
//! - [`Reflection`]: what a gRPC server says of its schema; [`reflect`] asks for it.
//!
//! A service under a stub reports every failure as a gRPC status, never as an
//! error of its own: tonic would turn that into UNKNOWN.

use std::{fmt, sync::Arc};

use tonic::Status;

mod browser;
mod budget;
mod connector;
mod gateway;
mod grpc;
#[cfg(feature = "server")]
mod host;
mod http_json;
mod idle;
mod incoming;
mod metadata;
mod outgoing;
mod pool;
mod proxy;
mod reflection;
mod replay;
mod reply;
#[cfg(feature = "server")]
mod serve;
mod streamed;
mod wire;

pub use browser::{BrowserGuard, BrowserGuardLayer};
pub use connector::{ConnectError, Connector, ConnectorBuilder, Origin, OriginError, connector};
pub use gateway::{Gateway, GatewayLayer};
pub use grpc::Grpc;
pub use http_json::{BuildError, HttpJson, HttpJsonBuilder, PooledClient};
pub use pool::{BackendLimits, Lasting};
pub use reflection::{Reflection, reflect};
#[cfg(feature = "server")]
pub use serve::{Limits, RequestBody, ServeOptions, serve};
pub use wire::{Auto, Wire};

/// The error of a body or a service that this crate is generic over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) use http_json::parse_timeout;
pub(crate) use metadata::metadata;
#[cfg(feature = "emulator")]
pub(crate) use reply::error;
pub(crate) use reply::{CollectError, GRPC_TIMEOUT, collect, failure, status};

/// The largest message that is taken from the network, in bytes: tonic's own
/// default.
pub(crate) const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// The metadata of a failed call over HTTP/JSON that says which HTTP status the
/// answer had.
pub const HTTP_STATUS: &str = "http-status";

/// Why a service under a stub failed by itself, where that matters to who would
/// make the call again. It is among the extensions of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection broke when the request may have been received.
    Lost,
    /// A message is larger than the limit.
    TooLarge,
    /// There can be no connection until somebody mends something: a certificate, a
    /// proxy's password, an address. Nothing was sent.
    Misconfigured,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection broke",
            Self::TooLarge => "a message is larger than the limit",
            Self::Misconfigured => "there can be no connection until something is mended",
        })
    }
}

impl std::error::Error for Broken {}

impl Broken {
    /// Makes it the cause of a status.
    fn cause(self, mut status: Status) -> Status {
        status.set_source(Arc::new(self));
        status
    }
}

/// The metadata of a call that failed as [`Broken::Misconfigured`], since a stub's
/// caller sees nothing else of that.
pub(crate) const MISCONFIGURED: &str = "misconfigured-connection";

/// UNAVAILABLE for want of a connection: what failed, and why. It says so if another
/// try cannot help.
pub(crate) fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Status {
    let Some(connector::Misconfigured(problem)) = connector::find(error) else {
        return Status::unavailable(format!("{what}: {}", chain(error)));
    };
    let mut status = Status::unavailable(format!("{what}: {problem}"));
    status.metadata_mut().insert(MISCONFIGURED, tonic::metadata::MetadataValue::from_static("true"));
    Broken::Misconfigured.cause(status)
}

/// The status of a request that a client of hyper's could not send.
fn unsent(error: BoxError) -> Status {
    let status = unavailable("the request failed", &*error);
    // Without a connection nothing was received, nor was what the server refused.
    let connecting = error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect());
    if connecting || pool::is_refused(&*error) { status } else { Broken::Lost.cause(status) }
}

/// The status of a call that there is no connection for, and the error as its cause.
/// Nothing was sent.
fn unconnected(error: Arc<dyn std::error::Error + Send + Sync>) -> Status {
    let mut status = unavailable("the request failed", &*error);
    if std::error::Error::source(&status).is_none() {
        status.set_source(error);
    }
    status
}

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
