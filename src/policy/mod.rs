//! Tower layers that any stub needs, over either wire.
//!
//! - [`Authorize`] adds the access token and the headers that say who calls.

mod authorize;

pub use authorize::{Authorize, AuthorizeError};
