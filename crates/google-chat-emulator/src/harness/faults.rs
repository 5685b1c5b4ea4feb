use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

/// What goes wrong with a call.
///
/// As JSON, at `/emulator/faults`: `"unavailable"`, `{"latency":0.2}` (in seconds),
/// `{"quotaExceeded":{"retryAfter":1}}`, `"html"`, `"resetBefore"`, `"resetAfter"`,
/// `"truncated"`, `"expiredToken"`, `{"cutOff":{"after":100000}}`, `"uploadsLost"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Fault {
    /// The call takes so much longer.
    Latency(#[serde(with = "crate::settings::seconds")] Duration),
    /// UNAVAILABLE, and nothing was done.
    Unavailable,
    /// RESOURCE_EXHAUSTED, and nothing was done; with `Retry-After`, in seconds.
    QuotaExceeded {
        /// How long to wait.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// HTTP 500 with a page of HTML; nothing was done.
    Html,
    /// The connection ends before anything was done; over HTTP/2 the stream is
    /// reset.
    ResetBefore,
    /// The connection ends after the call was carried out; over HTTP/2 the stream
    /// is reset.
    ResetAfter,
    /// The response ends in the middle; the call was carried out.
    Truncated,
    /// The caller's token has expired, and so have all others that were given
    /// out.
    ExpiredToken,
    /// The connection ends after so many bytes of the request's body or, where it has no more
    /// than these, of the response's. What came before is carried out, of an upload its part.
    CutOff {
        /// How many bytes pass.
        after: u64,
    },
    /// The uploads that are under way are lost, before the call is carried out.
    UploadsLost,
}

/// How many faults may wait for their calls.
const QUEUE: usize = 10_000;

/// Which faults are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The faults of the next calls, in order.
    pub(super) next: VecDeque<Fault>,
    share: Share,
    /// The state of the random choices.
    random: u64,
}

/// A share of the calls that go wrong, from 0 to 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Share {
    pub(super) share: f64,
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) kinds: Vec<Fault>,
}

impl Faults {
    /// Whether so many more faults can wait.
    pub(super) fn has_room(&self, more: usize) -> bool {
        more <= QUEUE.saturating_sub(self.next.len())
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    pub(super) fn set_share(&mut self, share: Share) {
        self.random = share.seed;
        self.share = share;
    }

    /// The fault of the call that comes now, if it has one.
    pub(super) fn roll(&mut self) -> Option<Fault> {
        if let Some(fault) = self.next.pop_front() {
            return Some(fault);
        }
        if self.share.kinds.is_empty() || self.share.share <= 0.0 {
            return None;
        }
        // The highest 53 bits as a number below 1.
        if (self.random() >> 11) as f64 / (1_u64 << 53) as f64 >= self.share.share {
            return None;
        }
        let kind = self.random() % self.share.kinds.len() as u64;
        self.share.kinds.get(kind as usize).cloned()
    }

    /// splitmix64: the same seed makes the same numbers.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
