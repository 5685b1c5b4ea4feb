//! Who is asked on the way to a token, and what goes wrong there.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// A server that takes part in getting a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Hop {
    /// Where users allow a client what it asks for: `/o/oauth2/v2/auth`.
    Authorization,
    /// Where assertions, codes and refresh tokens become access tokens: `/token`; and where
    /// they end: `/revoke`.
    Token,
    /// Which says what an access token is: `/tokeninfo`.
    TokenInfo,
    /// The security token service, for external accounts and a workforce's logins:
    /// `/v1/token`, `/v1/oauthtoken`.
    Sts,
    /// IAM Service Account Credentials: `/v1/projects/-/serviceAccounts/…`.
    Iam,
    /// The metadata server of a machine in Google Cloud: `/computeMetadata/v1/…`.
    Metadata,
}

/// What goes wrong at a [`Hop`].
///
/// As JSON, at `/emulator/faults`: `{"answer":{"status":503,"body":"…"}}`, `{"latency":0.2}`
/// (in seconds), `"reset"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HopFault {
    /// It answers this, and does nothing.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body, which is said to be JSON.
        body: String,
    },
    /// It takes so much longer.
    Latency(#[serde(with = "crate::settings::seconds")] Duration),
    /// The connection ends; nothing was done.
    Reset,
}

/// How many faults may wait at a hop.
const QUEUE: usize = 1_000;

/// What came to the hops, and what is still to go wrong.
#[derive(Debug, Default)]
pub(super) struct Hops {
    requests: HashMap<Hop, usize>,
    faults: HashMap<Hop, VecDeque<HopFault>>,
}

impl Hop {
    /// Who serves a path. A metadata server is known at `/` by the header that its clients send.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Option<Self> {
        Some(match path {
            "/o/oauth2/v2/auth" | "/o/oauth2/auth" => Self::Authorization,
            "/token" | "/revoke" => Self::Token,
            "/tokeninfo" => Self::TokenInfo,
            "/v1/token" | "/v1/oauthtoken" => Self::Sts,
            "/" if headers.contains_key("metadata-flavor") => Self::Metadata,
            path if path.starts_with("/computeMetadata/") => Self::Metadata,
            path if path.starts_with("/v1/projects/-/serviceAccounts/") => Self::Iam,
            _ => return None,
        })
    }
}

impl Hops {
    /// Counts a request, and takes the fault that it meets.
    pub(super) fn count(&mut self, hop: Hop) -> Option<HopFault> {
        *self.requests.entry(hop).or_default() += 1;
        self.faults.get_mut(&hop)?.pop_front()
    }

    pub(super) fn requests(&self, hop: Hop) -> usize {
        self.requests.get(&hop).copied().unwrap_or_default()
    }

    /// Whether there was room for the fault.
    pub(super) fn fail_next(&mut self, hop: Hop, fault: HopFault) -> bool {
        let faults = self.faults.entry(hop).or_default();
        let has_room = faults.len() < QUEUE;
        if has_room {
            faults.push_back(fault);
        }
        has_room
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }
}
