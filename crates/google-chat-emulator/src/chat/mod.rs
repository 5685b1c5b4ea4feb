//! What Google Chat does with spaces and memberships, as far as its documentation says.
//!
//! A call is admitted (`access`: the caller's scopes; then the project's state), and done in
//! the [`Store`], whose rooms (`room`) change by the rules (`rules`). `refusal` has all
//! errors. Nothing here knows how calls come and how tokens are given.

mod access;
#[cfg(feature = "store")]
mod disk;
mod filter;
pub(crate) mod refusal;
mod room;
mod rules;
mod service;
mod store;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use google_chat::proto::google::chat::v1::Space;
use tonic::{Response, Status, metadata::MetadataMap};

use self::{
    access::{Access, Caller},
    store::Store,
};
use crate::{Settings, identity::Issuer, lock, organization::Organization};

/// How long a write counts against the quota.
const QUOTA_WINDOW: Duration = Duration::from_secs(60);

/// The service.
#[derive(Clone)]
pub(crate) struct Chat(Arc<State>);

struct State {
    organization: Arc<Organization>,
    issuer: Arc<Issuer>,
    /// `None` after it was closed.
    store: Mutex<Option<Store>>,
    /// When spaces were written in the last minute.
    writes: Mutex<VecDeque<SystemTime>>,
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chat")
    }
}

impl Chat {
    /// A service whose spaces are in memory.
    pub(crate) fn in_memory(organization: Arc<Organization>, issuer: Arc<Issuer>) -> Self {
        Self::new(organization, issuer, Store::default())
    }

    /// A service whose spaces are in a file, too.
    #[cfg(feature = "store")]
    pub(crate) fn on_disk(
        organization: Arc<Organization>,
        issuer: Arc<Issuer>,
        file: &std::path::Path,
        durable: bool,
    ) -> Result<Self, String> {
        let store = disk::Disk::open(file, durable).and_then(Store::on_disk);
        let store = store.map_err(|problem| format!("{}: {problem}", file.display()))?;
        Ok(Self::new(organization, issuer, store))
    }

    fn new(organization: Arc<Organization>, issuer: Arc<Issuer>, store: Store) -> Self {
        Self(Arc::new(State { organization, issuer, store: Mutex::new(Some(store)), writes: Mutex::default() }))
    }

    /// All spaces, in the order of their creation.
    pub(crate) fn spaces(&self) -> Vec<Space> {
        self.look(|store, now| store.after(0, now).map(|(_, room)| room.counted()).collect()).unwrap_or_default()
    }

    /// At most so many spaces, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Space> {
        let newest =
            |store: &Store, now| store.after(0, now).rev().take(count).map(|(_, room)| room.counted()).collect();
        self.look(newest).unwrap_or_default()
    }

    /// Forgets the spaces, and closes the file, which has all of them then by itself. Calls
    /// are refused from now on.
    pub(crate) fn close(&self) {
        *lock(&self.0.store) = None;
    }

    /// Judges a call in the order in which Google's front ends and the API do: who calls,
    /// what the project may, what the caller may.
    fn admit(
        &self,
        metadata: &MetadataMap,
        method: &'static str,
        authorize: impl FnOnce(&mut Caller, &Settings) -> Result<(), Status>,
    ) -> Result<(Caller, Arc<Settings>), Status> {
        let settings = self.0.organization.settings();
        let authorization = metadata.get("authorization").map(|header| header.as_bytes());
        let grant = self.0.issuer.grant(authorization).map_err(|refused| refusal::unauthenticated(refused, method))?;
        let mut caller = Caller::new(grant, method);
        if !settings.api_enabled {
            return Err(refusal::api_disabled());
        }
        authorize(&mut caller, &settings)?;
        // Of the quotas that of writing spaces is kept.
        if ["CreateSpace", "UpdateSpace", "DeleteSpace"].contains(&method) {
            self.count_write(&settings)?;
        }
        if !settings.app_configured {
            return Err(refusal::app_not_configured());
        }
        // What the scope of every app allows needs no approval.
        let as_bot = method != "CreateSpace" && caller.has("chat.bot");
        let approved = !caller.is_app() || settings.app_approved || as_bot;
        if approved { Ok((caller, settings)) } else { Err(refusal::not_approved()) }
    }

    fn admit_to(
        &self,
        metadata: &MetadataMap,
        access: &Access,
        admin: bool,
    ) -> Result<(Caller, Arc<Settings>), Status> {
        self.admit(metadata, access.method, |caller, _| caller.authorize(access, admin))
    }

    /// Counts a write against the quota.
    fn count_write(&self, settings: &Settings) -> Result<(), Status> {
        let Some(limit) = settings.writes_per_minute else { return Ok(()) };
        let now = self.0.organization.now();
        let mut writes = lock(&self.0.writes);
        while writes.front().is_some_and(|at| now.duration_since(*at).is_ok_and(|age| age >= QUOTA_WINDOW)) {
            writes.pop_front();
        }
        if writes.len() >= limit as usize {
            return Err(refusal::quota_exceeded(limit));
        }
        writes.push_back(now);
        Ok(())
    }

    /// Does something with the store, one caller after another. What it did and what it saw
    /// is in the file before this returns, if there is a file.
    ///
    /// # Errors
    ///
    /// Those of the operation, UNAVAILABLE after the end, or INTERNAL if the file did not take
    /// something; it is not done then.
    async fn run<T>(
        &self,
        operation: impl FnOnce(&mut Store, SystemTime) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let stopped = || Status::unavailable("The emulator has been stopped.");
        let now = self.0.organization.now();
        let (outcome, kept) = {
            let mut store = lock(&self.0.store);
            let store = store.as_mut().ok_or_else(stopped)?;
            (operation(store, now), store.kept())
        };
        if let Some(kept) = kept {
            let kept = kept.await.unwrap_or_else(|_| Err(stopped()));
            #[cfg(feature = "store")]
            if kept.is_err() {
                self.read_again();
            }
            kept?;
        }
        outcome.map(Response::new)
    }

    /// Goes back to what the file has, after it did not take something. Several callers may
    /// find that at once; once more does no harm.
    #[cfg(feature = "store")]
    fn read_again(&self) {
        let mut store = lock(&self.0.store);
        if store.as_mut().is_some_and(|store| store.kept().is_some() && store.read_again().is_err()) {
            *store = None;
        }
    }

    /// What something is made of the store, as it is now.
    fn look<T>(&self, look: impl FnOnce(&Store, SystemTime) -> T) -> Option<T> {
        let now = self.0.organization.now();
        lock(&self.0.store).as_ref().map(|store| look(store, now))
    }
}

#[cfg(all(test, feature = "store"))]
mod tests {
    use google_chat::proto::google::chat::v1::{CreateSpaceRequest, chat_service_server::ChatService};
    use tonic::{Code, Request};

    use super::*;
    use crate::identity::ServiceKey;

    #[tokio::test]
    async fn what_the_file_does_not_take_is_not_done() {
        let organization = Arc::<Organization>::default();
        let issuer = Issuer::new(Arc::clone(&organization), ServiceKey::published().unwrap());
        let disk = disk::Disk::open(":memory:".as_ref(), false).unwrap();
        disk.limit_pages(16);
        let chat = Chat::new(organization, Arc::new(issuer), Store::on_disk(disk).unwrap());
        let create =
            |at: usize| chat.create_space(Request::new(CreateSpaceRequest::from(Space::named(at.to_string()))));
        let (mut made, mut full) = (Vec::new(), 0);
        for at in 0..200 {
            match create(at).await {
                Ok(space) => made.push(space.into_inner()),
                Err(status) => {
                    assert_eq!(status.code(), Code::Internal, "{status}");
                    assert!(status.message().starts_with("The emulator's file cannot be written: the disk is full"));
                    full += 1;
                }
            }
            assert_eq!(chat.spaces(), made, "after {at}");
        }
        assert!(made.len() > 10 && full > 10, "{} and {full}", made.len());
    }
}
