//! Google Chat as a local server, for tests and development: spaces with their members and
//! messages, as Google's documentation has them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use google_chat::{Client, Space};
//! use google_chat_emulator::{Emulator, Fault};
//!
//! let emulator = Emulator::start().await?;
//! emulator.configure(|settings| settings.anonymous = false);
//! emulator.fail_next(Fault::ResetAfter);
//!
//! let alice = emulator.credentials()?.for_user("alice@example.com")?;
//! let chat = Client::builder().endpoint(emulator.endpoint()).credentials(alice).build()?;
//! let created = chat.create_space(Space::named("Launch room")).with_response().await?;
//! // The first response was lost; the second is of the same space.
//! assert_eq!(created.attempts, 2);
//! assert_eq!(emulator.spaces(), [created.message]);
//! # Ok(())
//! # }
//! ```
//!
//! One port serves gRPC (HTTP/2, without TLS unless it is asked for), HTTP/JSON (HTTP/1.1 or
//! HTTP/2), the servers that take part in getting a token (each a [`Hop`]: token endpoint,
//! authorization, tokeninfo, STS, IAM Service Account Credentials, metadata server), which take
//! the key of [`Emulator::credentials`] as Google's take any key, gRPC reflection and health, a
//! page at `/` that shows the spaces, the last messages and the last calls, and `/emulator/settings`,
//! `/emulator/faults`, `/emulator/clock` and `/emulator/calls` for tests in other languages.
//! What web pages of other origins have a browser send is refused by a
//! [`BrowserGuardLayer`](google_chat::grpc_transcoding::server::BrowserGuardLayer).
//!
//! What the organization is like, and what the documentation leaves open, is in
//! [`Settings`]; calls without credentials are taken unless they say otherwise.
//!
//! What there is is kept in memory and, with the feature `store`, in a file
#![cfg_attr(feature = "store", doc = "([`EmulatorBuilder::data`]).")]
#![cfg_attr(not(feature = "store"), doc = "(`EmulatorBuilder::data`).")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod chat;
mod harness;
mod identity;
mod organization;
mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use harness::{Emulator, EmulatorBuilder, Fault, Received};
pub use identity::{Hop, HopFault};
pub use settings::{Login, Settings};

/// The program of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Locks a mutex. No panic leaves anything half done, so that a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
