//! gRPC Transcoding, sans IO: between gRPC messages and HTTP requests by the
//! rules of `google.api.http`.
//!
//! - `request`: a message becomes an HTTP request: path, query, body.
//! - `accept`: an HTTP request becomes a message; the same, backwards.
//! - `route`: the method that a request line leads to.
//! - `status`: an error answer becomes a gRPC status, and back.
//! - `lint`: what of a schema HTTP cannot carry.
//! - `elements`: the messages of a streamed answer.
//! - `path`, `query`, `frame`, `gzip`, `http_body`: the parts that both ways
//!   share.
//!
//! Source: [`google/api/http.proto`].
//!
//! [`google/api/http.proto`]: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto

pub(crate) mod accept;
pub(crate) mod elements;
pub(crate) mod frame;
pub(crate) mod gzip;
pub(crate) mod http_body;
mod lint;
mod path;
mod query;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod status;

pub use crate::schema::{PathTemplate, TemplateError};
pub use lint::Lint;
pub use path::{ExpandError, MatchError};
