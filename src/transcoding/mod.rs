//! gRPC Transcoding, sans IO: between gRPC messages and HTTP requests by the
//! rules of `google.api.http`.
//!
//! - `request`: a message becomes an HTTP request: path, query, body.
//! - `accept`: an HTTP request becomes a message; the same, backwards.
//! - `status`: an error answer becomes a gRPC status, and back.
//! - `path`, `query`, `frame`: the parts that both ways share.
//!
//! Source: [`google/api/http.proto`].
//!
//! [`google/api/http.proto`]: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto

pub(crate) mod accept;
pub(crate) mod frame;
mod path;
mod query;
pub(crate) mod request;
pub(crate) mod status;

pub use crate::schema::{PathTemplate, TemplateError};
pub use path::{ExpandError, MatchError};
