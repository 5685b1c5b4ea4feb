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
        let spaces = self.with_store(|store, now| Ok(store.after(0, now).map(|(_, room)| room.counted()).collect()));
        spaces.unwrap_or_default()
    }

    /// At most so many spaces, the newest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<Space> {
        let spaces = self.with_store(|store, now| {
            Ok(store.after(0, now).rev().take(count).map(|(_, room)| room.counted()).collect())
        });
        spaces.unwrap_or_default()
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

    fn run<T>(
        &self,
        operation: impl FnOnce(&mut Store, SystemTime) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        self.with_store(operation).map(Response::new)
    }

    /// Does something with the store, one caller after another. A file is written at once
    /// and by this thread: it goes to the system's memory unless it is to be durable.
    fn with_store<T>(&self, operation: impl FnOnce(&mut Store, SystemTime) -> Result<T, Status>) -> Result<T, Status> {
        let now = self.0.organization.now();
        let mut store = lock(&self.0.store);
        let store = store.as_mut().ok_or_else(|| Status::unavailable("The emulator has been stopped."))?;
        operation(store, now)
    }
}
