//! Why a call could not be sent.

use std::{error::Error, fmt, io};

use tonic::Status;

use crate::rpc::{BoxError, chain, failure::Broken};

/// UNAVAILABLE for want of a connection: what failed, and why. It says so if another
/// try cannot help.
pub fn unavailable(what: &str, error: &(dyn Error + 'static)) -> Status {
    let Some(Misconfigured(problem)) = find(error) else {
        return Status::unavailable(format!("{what}: {}", chain(error)));
    };
    Broken::Misconfigured.cause(Status::unavailable(format!("{what}: {problem}")))
}

/// The status of a request that an HTTP client could not send.
pub fn unsent(error: BoxError) -> Status {
    let status = unavailable("the request failed", &*error);
    if is_unprocessed(&*error) { status } else { Broken::Lost.cause(status) }
}

/// Whether the request certainly was not processed: without a connection nothing was
/// received, and what the server refused it did not look at.
#[cfg(not(target_family = "wasm"))]
fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<super::SendError>().is_some_and(super::SendError::is_connect) || super::pool::is_refused(error)
}

/// The errors of a browser's `fetch` do not say whether the request was sent.
#[cfg(target_family = "wasm")]
fn is_unprocessed(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(not(target_family = "wasm"))]
/// The status of a call that there is no connection for, and the error as its cause.
/// Nothing was sent.
pub(crate) fn unconnected(error: std::sync::Arc<dyn Error + Send + Sync>) -> Status {
    let mut status = unavailable("the request failed", &*error);
    if Error::source(&status).is_none() {
        status.set_source(error);
    }
    status
}

/// Why there can be no connection until somebody mends something: the server, the
/// network in between, or the settings here. To try again does not help.
#[derive(Debug)]
pub(super) struct Misconfigured(pub(super) String);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misconfigured {}

/// Finds an error of a type among an error and its causes.
pub(super) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // What an io::Error was made of is not among its sources; only the causes of that are.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => find(inner),
        None => error.source().and_then(find),
    }
}
