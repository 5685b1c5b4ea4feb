//! gRPC Transcoding, sans IO: between gRPC messages and HTTP requests by the
//! rules of `google.api.http`.
//!
//! - `request`: a message becomes an HTTP request: path, query, body.
//! - `accept`: an HTTP request becomes a message; the same, backwards.
//! - `route`: the method that a request line leads to.
//! - `status`: an error answer becomes a gRPC status, and back.
//! - `lint`: what of a schema HTTP cannot carry.
//! - `elements`: the messages of a streamed answer.
//! - `path`, `query`, `frame`, `gzip`, `header`, `http_body`: the parts that both
//!   ways share.
//!
//! Source: [`google/api/http.proto`]. Where it is silent, or published APIs go
//! beyond it:
//!
//! - One `**` may stand before other segments.
//! - A field that a query cannot carry (a map, a repeated message, a message
//!   within one of its own kind) is refused when a call sets it, not when the
//!   schema is compiled: other bindings and other calls do without it.
//!   [`Schema::lint`](crate::Schema::lint) lists such fields.
//! - A message that is set but empty has no form in a query, and is left out.
//! - A number or bool in a path has its default where it is unset, so that its
//!   binding fits.
//! - Of several templates that match, a server takes the most special one: with
//!   a verb before without, `*` before `**`, literals before both; of equals one
//!   that can be served, and then the first declared.
//! - A rule that cannot be used costs its binding alone; [`Schema::lint`](crate::Schema::lint)
//!   names it, and each binding that another one hides.
//! - A path may hold Timestamp, Duration, FieldMask and the wrappers. Bytes are
//!   written in URL-safe base64 there, and read in either alphabet.
//! - `callback` (JSONP) is passed over.
//! - In a variable of several segments, a `%2F` that was sent reads the same as
//!   a `%` before `2F` in its value, unless the service config has
//!   `fully_decode_reserved_expansion`.
//!
//! [`google/api/http.proto`]: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto

pub(crate) mod accept;
pub(crate) mod elements;
pub(crate) mod frame;
pub(crate) mod gzip;
pub(crate) mod header;
pub(crate) mod http_body;
pub(crate) mod lint;
mod path;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod status;

pub use crate::schema::{PathTemplate, TemplateError};
pub use lint::Lint;
pub use path::{ExpandError, MatchError};
pub use query::TextError;
pub use status::code_name;
