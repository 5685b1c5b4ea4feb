//! Tower layers that any stub needs, over either wire.
//!
//! From the stub down:
//!
//! - [`Trace`] has a span around each call, and each attempt of one.
//! - [`RoutingHeader`] says which resource a call is about.
//! - [`RequestId`] fills in the request id of methods that have one, once a call.
//! - [`Retry`] makes a call again where that is safe, within a deadline.
//! - [`Authorize`] adds the access token and the headers that say who calls.

mod authorize;
mod request_id;
mod retry;
mod routing_header;
pub(crate) mod service;
mod trace;

use bytes::Bytes;
use http::{Request, request::Parts};
use tonic::{Status, body::Body};

pub use authorize::{Authorize, AuthorizeError, Scopes};
pub(crate) use request_id::uuid;
pub use request_id::{Repeatable, RequestId};
pub use retry::{ATTEMPTS, Retry, RetryPolicy};
pub use routing_header::RoutingHeader;
pub use trace::Trace;

use crate::transport::{CollectError, collect};

/// Takes the frames off a call. What a stub sends is as large as it likes.
pub(crate) async fn take(call: Request<Body>) -> Result<(Parts, Bytes), Status> {
    let (head, body) = call.into_parts();
    match collect(body, usize::MAX).await {
        Ok(frames) => Ok((head, frames)),
        Err(CollectError::TooLarge) => Err(Status::resource_exhausted("the request is too large")),
        Err(CollectError::Malformed(cause) | CollectError::Failed(cause)) => {
            Err(Status::cancelled(format!("the request broke off: {cause}")))
        }
    }
}
