//! gRPC over HTTP: frames, statuses, metadata and deadlines, as far as the client and the
//! server share them, and as layers of your own need them.

pub(crate) mod collect;
pub(crate) mod deadline;
pub(crate) mod failure;
pub(crate) mod frame;
pub(crate) mod gzip;
pub(crate) mod header;
pub(crate) mod metadata;
pub(crate) mod response;
pub(crate) mod status;

pub use collect::{CollectError, collect};
pub use deadline::parse_timeout;
pub use failure::{BROKEN, Broken};
pub use frame::{HEADER, frame, room, unary};
pub use header::is_grpc;
pub use metadata::metadata;
pub use response::{GRPC_TIMEOUT, error_response, failure, status};
pub use status::{asked_wait, code, code_name, http_status};

/// The error of a body or a service that this crate is generic over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The future of a service. On WebAssembly it is not `Send`, since the futures of a
/// browser stay on their thread.
#[cfg(not(target_family = "wasm"))]
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
/// The future of a service. On WebAssembly it is not `Send`, since the futures of a
/// browser stay on their thread.
#[cfg(target_family = "wasm")]
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;

/// `Send`; on WebAssembly anything, as for [`BoxFuture`].
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send> MaybeSend for T {}

/// `Send`; on WebAssembly anything, as for [`BoxFuture`].
#[cfg(target_family = "wasm")]
pub trait MaybeSend {}
#[cfg(target_family = "wasm")]
impl<T> MaybeSend for T {}

/// Marks a call, among the extensions of its request, that may last: its answer is a
/// stream, or is taken at somebody else's pace. `Grpc` sends such calls
/// over connections of their own, where they cannot hold up others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting;

/// The largest message that is taken from the network, in bytes: tonic's own
/// default.
pub(crate) const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
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
