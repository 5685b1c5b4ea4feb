//! The quotas of a project: how many things of a kind may be written in a minute.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime},
};

use tonic::Status;

use super::refusal;
use crate::Settings;

/// How long a write counts.
const WINDOW: Duration = Duration::from_secs(60);

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Quota {
    Spaces,
    Memberships,
    Messages,
    Reactions,
    Attachments,
}

impl Quota {
    /// The quota that a method counts against, if it writes.
    pub(super) fn of(method: &str) -> Option<Self> {
        match method {
            "CreateSpace" | "SetUpSpace" | "UpdateSpace" | "DeleteSpace" => Some(Self::Spaces),
            "CreateMembership" | "UpdateMembership" | "DeleteMembership" => Some(Self::Memberships),
            "CreateMessage" | "UpdateMessage" | "DeleteMessage" => Some(Self::Messages),
            "CreateReaction" | "DeleteReaction" => Some(Self::Reactions),
            "UploadAttachment" => Some(Self::Attachments),
            _ => None,
        }
    }
}

/// When what was written in the last minute.
#[derive(Default)]
pub(super) struct Quotas(HashMap<Quota, VecDeque<SystemTime>>);

impl Quotas {
    /// Counts a write.
    ///
    /// # Errors
    ///
    /// RESOURCE_EXHAUSTED if there were as many in the last minute as may be.
    pub(super) fn count(&mut self, quota: Quota, now: SystemTime, settings: &Settings) -> Result<(), Status> {
        let (kind, limit) = match quota {
            Quota::Spaces => ("space", settings.writes_per_minute),
            Quota::Memberships => ("membership", settings.membership_writes_per_minute),
            Quota::Messages => ("message", settings.message_writes_per_minute),
            Quota::Reactions => ("reaction", settings.reaction_writes_per_minute),
            Quota::Attachments => ("attachment", settings.attachment_writes_per_minute),
        };
        let Some(limit) = limit else { return Ok(()) };
        let writes = self.0.entry(quota).or_default();
        while writes.front().is_some_and(|at| now.duration_since(*at).is_ok_and(|age| age >= WINDOW)) {
            writes.pop_front();
        }
        if writes.len() >= limit as usize {
            return Err(refusal::quota_exceeded(kind, limit));
        }
        writes.push_back(now);
        Ok(())
    }
}
