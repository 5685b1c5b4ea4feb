//! gRPC over HTTP: frames, statuses, metadata and deadlines, as layers of your own need
//! them between a stub and `HttpJson` or `Grpc`.
//!
//! A layer that looks into the message of a unary call collects the body and takes the
//! message out of its frame; one that changes the message frames it again:
//!
//! ```
//! use grpc_transcoding::rpc;
//!
//! # async fn layer() -> Result<(), Box<dyn std::error::Error>> {
//! let mut call = http::Request::new(http_body_util::Full::from(&b"\0\0\0\0\x02ab"[..]));
//! let message = rpc::unary(rpc::collect(call.body_mut(), 1024).await?, None, 1024)?;
//! assert_eq!(message, "ab");
//!
//! let mut longer = rpc::room(message.len() + 1);
//! longer.extend_from_slice(&message);
//! longer.push(b'c');
//! assert_eq!(rpc::frame(longer)?, &b"\0\0\0\0\x03abc"[..]);
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(layer())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A layer that refuses a call itself responds with [`failure`] to a stub, and with
//! [`error_response`] to a REST client.

pub(crate) mod codec;
pub(crate) mod collect;
pub(crate) mod deadline;
pub(crate) mod failure;
pub(crate) mod frame;
pub(crate) mod gzip;
pub(crate) mod header;
pub(crate) mod metadata;
pub(crate) mod response;
pub(crate) mod status;

pub use codec::EncodedCodec;
pub use collect::{CollectError, collect};
pub use deadline::parse_timeout;
pub use failure::{BROKEN, Broken};
pub use frame::{HEADER, frame, room, unary};
pub use header::{is_grpc, is_grpc_web};
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

/// Marks a call, among the extensions of its request, that may last. `Grpc` sends such calls
/// over connections of their own, where they cannot hold up others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// The response is a stream, or is taken at somebody else's pace.
    Response,
    /// The request is a stream, too. What the server does not take of it fills the window that
    /// the server has for a connection, so that no other call has the same one.
    Request,
}

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
