//! gRPC Transcoding by the rules of `google.api.http`: between gRPC messages and HTTP
//! requests, in both directions, for any API whose methods are annotated.
//!
//! Without features nothing here does IO:
//!
//! - [`HttpRules`] resolves the rules of a [`DescriptorPool`]: each method has
//!   [`MethodBindings`], each of which is a [`Binding`].
//! - [`Binding`] makes HTTP requests and responses of messages, and messages of these.
//! - [`Router`] finds the binding of a request line.
//! - [`PathTemplate`] expands and matches paths, [`Query`] splits queries,
//!   [`JsonStreamDecoder`] cuts the messages out of a stream.
//! - [`HttpRules::lint`] lists what of an API HTTP cannot carry.
//!
//! ```
//! use grpc_transcoding::{DescriptorPool, HttpRules, Router};
//!
//! let pool = DescriptorPool::decode(include_bytes!("../tests/library/library.bin"))?;
//! let rules = HttpRules::new(&pool);
//! let method = rules.method("/example.library.v1.Library/SearchBooks").unwrap();
//! let message = method.method().input().from_json(r#"{"parent": "shelves/1", "title": "Dune"}"#)?;
//!
//! let request = method.to_http(&message)?;
//! assert_eq!(request.uri(), "/v1/shelves/1/books:search?title=Dune");
//! let router = Router::new(&rules);
//! let (_, back) = router.from_http(&request)?;
//! assert_eq!(method.method().input().to_json(&back)?, r#"{"parent":"shelves/1","title":"Dune"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `client` there are services that go under a generated tonic stub, with
//! `server` services that stand in front of a gRPC service. On WebAssembly there is
//! `client` without what connects, and no `server`. The feature `openapi` describes the
//! bindings as OpenAPI, without IO.
//!
//! Source: [`google/api/http.proto`]. Where it is silent, or published APIs go
//! beyond it:
//!
//! - One `**` may stand before other segments.
//! - A field that a query cannot carry (a map, a repeated message, a message
//!   within one of its own kind) is refused when a call sets it, not when the
//!   rules are resolved: other bindings and other calls do without it.
//!   [`HttpRules::lint`] lists such fields.
//! - A message that is set but empty has no form in a query, and is left out.
//! - A number or bool in a path has its default where it is unset, so that its
//!   binding fits.
//! - Of several templates that match, a server takes the most specific one: with
//!   a custom verb before without, `*` before `**`, literals before both; of equals one of
//!   a method that does not stream its requests, and then the first declared.
//! - The path's variables and the query are part of every message of a stream of requests,
//!   each of which is what a unary call would be made of.
//! - A rule that cannot be used costs its binding alone; [`HttpRules::lint`]
//!   names it, and each binding that another one hides.
//! - A path may hold Timestamp, Duration, FieldMask and the wrappers. Bytes are
//!   written in URL-safe base64 there, and read in either alphabet.
//! - `callback` (JSONP) is passed over.
//! - In a variable of several segments, a `%2F` that was sent reads the same as
//!   a `%` before `2F` in its value, unless the service config has
//!   `fully_decode_reserved_expansion`.
//!
//! [`google/api/http.proto`]: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto

#![cfg_attr(docsrs, feature(doc_cfg))]

mod binding;
#[cfg(feature = "client")]
pub mod client;
mod error;
mod http_body;
mod http_rule;
mod lint;
#[cfg(feature = "openapi")]
#[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
pub mod openapi;
mod path;
mod percent;
mod query;
mod router;
#[cfg(any(feature = "client", feature = "server"))]
#[cfg_attr(
    any(not(all(feature = "client", feature = "server")), target_family = "wasm"),
    expect(dead_code, reason = "each side needs a part")
)]
pub mod rpc;
mod rules;
#[cfg(all(feature = "server", not(target_family = "wasm")))]
pub mod server;
mod stream;
mod system_params;
mod template;

pub use binding::{Binding, HttpPayload, HttpRequest, Options};
pub use error::{TranscodeError, TranscodeErrorKind};
pub use lint::Lint;
pub use path::{ExpandError, MatchError};
pub use protojson::{self, DescriptorPool, MessageDescriptor, MethodDescriptor};
pub use query::Query;
pub use router::{Route, Router};
pub use rules::{ConfigError, HttpRules, MethodBindings, NoBindings};
pub use stream::{JsonStreamDecoder, JsonStreamError};
pub use system_params::SystemParams;
pub use template::{PathTemplate, TemplateError};

#[cfg(feature = "server")]
pub use prost;
// The README's programs need both sides.
#[cfg(all(doctest, feature = "client", feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Third-party crates whose types are in signatures here.
pub use {bytes, http};
#[cfg(all(any(feature = "client", feature = "server"), not(target_family = "wasm")))]
pub use {hyper, rustls};
#[cfg(any(feature = "client", feature = "server"))]
pub use {tonic, tower};
