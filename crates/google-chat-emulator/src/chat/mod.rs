//! What Google Chat does, as far as its documentation says.
//!
//! A call is admitted (`access`: the caller's scopes; `quota`; then the project's state), and
//! done in the [`Store`], which has rooms with their members (`room`, `members`), and their
//! conversations with the messages (`conversation`). What is done is in a file for each kind
//! of thing: `setup`, `search`, `messages`, `reactions`, `pins`, `read_state`; what it must be, in `rules`,
//! `threads`, `cards` and `mentions`. `filter` and `page` are what lists have in common, and
//! `refusal` has all errors. Nothing here knows how calls come and how tokens are given.

mod access;
mod cards;
mod conversation;
#[cfg(feature = "store")]
mod disk;
mod dispatch;
mod filter;
pub(crate) mod media;
mod members;
mod mentions;
mod messages;
mod names;
mod page;
mod pins;
mod quota;
mod reactions;
mod read_state;
pub(crate) mod refusal;
mod room;
mod rules;
mod search;
mod service;
mod setup;
mod store;
mod threads;
mod uploads;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use google_chat::proto::google::chat::v1::{Message, Space};
use prost_types::Timestamp;
use tonic::{Response, Status, metadata::MetadataMap};

use self::{
    access::Caller,
    media::Sessions,
    quota::{Quota, Quotas},
    room::Room,
    store::Store,
};
use crate::{Settings, identity::Issuer, lock, organization::Organization};

/// The service.
#[derive(Clone)]
pub(crate) struct Chat(Arc<State>);

struct State {
    organization: Arc<Organization>,
    issuer: Arc<Issuer>,
    /// `None` after it was closed.
    store: Mutex<Option<Store>>,
    /// The uploads of attachments that are under way.
    sessions: Mutex<Sessions>,
    quotas: Mutex<Quotas>,
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
        let (store, sessions, quotas) = (Mutex::new(Some(store)), Mutex::default(), Mutex::default());
        Self(Arc::new(State { organization, issuer, store, sessions, quotas }))
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

    /// The last messages, the newest first, with the display names of their spaces.
    pub(crate) fn newest_messages(&self) -> Vec<(String, Message)> {
        let named = |(room, message): (&Room, &Message)| (room.space.display_name.clone(), message.clone());
        self.look(|store, _| store.newest().map(named).collect()).unwrap_or_default()
    }

    /// Forgets the spaces, and closes the file, which has all of them then by itself. Calls
    /// are refused from now on.
    pub(crate) fn close(&self) {
        *lock(&self.0.store) = None;
    }

    /// Judges a call in the order in which Google's front ends and the API do: who calls,
    /// what the project may, what the caller may, with an administrator's privileges if
    /// `admin`.
    fn admit(
        &self,
        metadata: &MetadataMap,
        method: &'static str,
        admin: bool,
    ) -> Result<(Caller, Arc<Settings>), Status> {
        self.admit_by(metadata, method, |caller, settings| caller.authorize(admin, settings))
    }

    fn admit_by(
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
        if let Some(quota) = Quota::of(method) {
            lock(&self.0.quotas).count(quota, self.0.organization.now(), &settings)?;
        }
        if !settings.app_configured {
            return Err(refusal::app_not_configured());
        }
        match settings.app_approved || !caller.needs_approval() {
            true => Ok((caller, settings)),
            false => Err(refusal::not_approved()),
        }
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
        operation: impl FnOnce(&mut Store, Timestamp) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let stopped = || Status::unavailable("The emulator has been stopped.");
        let now = self.0.organization.now().into();
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
    fn look<T>(&self, look: impl FnOnce(&Store, Timestamp) -> T) -> Option<T> {
        let now = self.0.organization.now().into();
        lock(&self.0.store).as_ref().map(|store| look(store, now))
    }
}

#[cfg(all(test, feature = "store"))]
mod tests {
    use google_chat::proto::google::chat::v1::CreateSpaceRequest;
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
