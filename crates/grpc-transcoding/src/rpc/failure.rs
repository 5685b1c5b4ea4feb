//! Why a call failed by itself, and not by what its server said.

use std::{fmt, sync::Arc};

use tonic::Status;

/// Why a service under a stub failed by itself, where that matters to who would
/// make the call again. It is among the extensions of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// The connection broke when the request may have been received.
    Lost,
    /// A message is larger than the limit.
    TooLarge,
    /// There can be no connection until somebody mends something: a certificate, a
    /// proxy's password, an address. Nothing was sent.
    Misconfigured,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection broke",
            Self::TooLarge => "a message is larger than the limit",
            Self::Misconfigured => "there can be no connection until something is mended",
        })
    }
}

impl std::error::Error for Broken {}

impl Broken {
    /// How [`BROKEN`] names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::TooLarge => "too-large",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Makes it the cause of a status.
    pub fn cause(self, mut status: Status) -> Status {
        status.set_source(Arc::new(self));
        status
    }
}

/// The metadata that says as which [`Broken`] a call failed: its [`Broken::name`]. A
/// stub's caller does not see the extensions of the response.
pub const BROKEN: &str = "call-broken";
