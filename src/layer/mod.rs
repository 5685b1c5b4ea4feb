//! Layers that any stub needs, over either protocol and over tonic's own channel.
//!
//! Each is a [`tower::Layer`] for any service that takes calls as a stub makes them and
//! whose error is `Into<BoxError>`. The service that a layer makes, [`Layered`], reports
//! every failure as a gRPC status.
//!
//! - [`TraceLayer`] has a span around each call, or around each attempt of one.
//! - [`RoutingHeaderLayer`] says which resource a call is about.
//! - [`RequestIdLayer`] fills in the request id of methods that have one.
//! - [`RetryLayer`] makes a call again where that is safe, within a deadline.
//! - [`AuthLayer`] adds the access token.
//!
//! [`Stack`] is all of them in the right order, as one layer: the message of a unary call
//! is taken out of its frame once and its method is looked up once, for all steps. A layer alone
//! goes under a stub in the same way:
//!
//! ```
//! use google_chat::{
//!     Client,
//!     grpc_transcoding::client::HttpJson,
//!     layer::{RetryLayer, RetryPolicy},
//!     proto::google::chat::v1::chat_service_client::ChatServiceClient,
//!     tower::Layer,
//! };
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = Client::http_rules();
//! let http = HttpJson::builder(rules, "http://127.0.0.1:8086").build()?;
//! let retry = RetryLayer::new(rules).policy(RetryPolicy::default().with_attempts(3));
//! let stub = ChatServiceClient::new(retry.layer(http));
//! # drop(stub);
//! # Ok(())
//! # }
//! ```
//!
//! A call goes through a stack in this order:
//!
//! 1. The method is looked up, and the message taken out of its frame (`call`).
//! 2. What is the same for all attempts is added: the routing header, the request id and
//!    the headers of the stack.
//! 3. Attempts are made until one has a final outcome (`retry`): each gets a deadline and
//!    a token, and is sent (`send`).
//! 4. The response, or the status, goes back to the stub.
//!
//! Streams, and calls of methods that the descriptors do not have, get headers, spans and a
//! token, and are passed on as they come.

mod auth;
mod call;
mod http;
mod request_id;
mod retry;
mod routing_header;
mod send;
mod stack;
mod trace;

pub(crate) use auth::QUOTA_PROJECT;
pub use auth::{AuthError, AuthLayer, Scopes};
pub(crate) use call::UnaryCall;
pub(crate) use http::Named;
pub(crate) use request_id::uuid;
pub use request_id::{Idempotent, RequestIdLayer};
pub(crate) use retry::Attempts;
pub use retry::{PREVIOUS_ATTEMPTS, RetryLayer, RetryPolicy};
pub use routing_header::RoutingHeaderLayer;
pub(crate) use send::{Attempt, Framing, Sender, Whole};
pub(crate) use stack::Steps;
pub use stack::{Layered, Stack};
pub use trace::TraceLayer;
