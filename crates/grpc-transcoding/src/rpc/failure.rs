//! Why a call failed before, or instead of, a response of its server.

use std::{fmt, sync::Arc};

use tonic::Status;

/// Why a service under a stub failed without a status from the server. Whether the call may
/// be sent again depends on it. The service puts it among the extensions of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// The connection broke when the request may have been received.
    Lost,
    /// A message is larger than the limit.
    TooLarge,
    /// No connection is possible until a setting is corrected: a certificate, a proxy's
    /// password, an address. Nothing was sent.
    Misconfigured,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection broke",
            Self::TooLarge => "a message is larger than the limit",
            Self::Misconfigured => "no connection is possible until a setting is corrected",
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

/// The metadata key under which a failed call has its [`Broken::name`]. The caller of a stub
/// sees metadata, but not the extensions of the response.
pub const BROKEN: &str = "call-broken";
