//! Why a call could not be sent.

use std::sync::Arc;

use tonic::Status;

use super::{connector, pool};
use crate::rpc::{BoxError, chain, failure::Broken};

/// UNAVAILABLE for want of a connection: what failed, and why. It says so if another
/// try cannot help.
pub fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Status {
    let Some(connector::Misconfigured(problem)) = connector::find(error) else {
        return Status::unavailable(format!("{what}: {}", chain(error)));
    };
    Broken::Misconfigured.cause(Status::unavailable(format!("{what}: {problem}")))
}

/// The status of a request that a client of hyper's could not send.
pub fn unsent(error: BoxError) -> Status {
    let status = unavailable("the request failed", &*error);
    // Without a connection nothing was received, nor was what the server refused.
    let connecting = error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect());
    if connecting || pool::is_refused(&*error) { status } else { Broken::Lost.cause(status) }
}

/// The status of a call that there is no connection for, and the error as its cause.
/// Nothing was sent.
pub(crate) fn unconnected(error: Arc<dyn std::error::Error + Send + Sync>) -> Status {
    let mut status = unavailable("the request failed", &*error);
    if std::error::Error::source(&status).is_none() {
        status.set_source(error);
    }
    status
}
