//! The spaces that exist, and what calls do to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    ops::Bound,
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use google_chat::proto::google::chat::v1::Space;
#[cfg(feature = "store")]
use prost::Message;
use prost_types::Timestamp;
use tokio::sync::oneshot;
use tonic::Status;

#[cfg(feature = "store")]
use super::disk::{Change, Contents, Disk, Writer};
use super::{access::Caller, refusal, room::Room, rules};
use crate::Settings;

/// All rooms, in memory, and in a file if there is one. A room has a place, which is the
/// order of creation.
#[derive(Default)]
pub(super) struct Store {
    rooms: BTreeMap<u64, Room>,
    /// The places by the names of the spaces.
    places: HashMap<String, u64>,
    /// The places by the request ids that made them.
    requests: HashMap<String, u64>,
    /// Organization, display name and place of each room that has a display name.
    display_names: BTreeSet<(String, String, u64)>,
    last_place: u64,
    /// Makes ids that look random, as the real ones do.
    ids: RandomState,
    #[cfg(feature = "store")]
    file: Option<Writer>,
}

impl Store {
    /// The rooms of a file; what is done with them is kept there.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    #[cfg(feature = "store")]
    pub(super) fn on_disk(disk: Disk) -> Result<Self, String> {
        let mut store = Self::default();
        store.fill(disk.rooms()?);
        store.file = Some(Writer::start(disk)?);
        Ok(store)
    }

    /// Forgets what the file did not take.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    #[cfg(feature = "store")]
    pub(super) fn read_again(&mut self) -> Result<(), String> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let contents = file.read()?;
        *self = Self { file: Some(file), ..Self::default() };
        self.fill(contents);
        Ok(())
    }

    #[cfg(feature = "store")]
    fn fill(&mut self, contents: Contents) {
        for (place, room) in contents {
            self.insert(place, room);
        }
    }

    /// Says when what was done so far is in the file, or why it is not; `None` if it is, or
    /// there is no file.
    pub(super) fn kept(&self) -> Option<oneshot::Receiver<Result<(), Status>>> {
        #[cfg(feature = "store")]
        return self.file.as_ref().and_then(Writer::kept);
        #[cfg(not(feature = "store"))]
        None
    }

    /// Creates a space, or returns the one that the request id made, as it is now.
    ///
    /// # Errors
    ///
    /// What [`rules::check`] says, or ALREADY_EXISTS.
    pub(super) fn create(
        &mut self,
        space: Option<Space>,
        request_id: &str,
        caller: &Caller,
        now: SystemTime,
        settings: &Settings,
    ) -> Result<Space, Status> {
        let now = Timestamp::from(now);
        // A replay wins over the conflict with its own first attempt.
        if let Some(place) = self.requests.get(request_id).copied()
            && let Some(made) = self.live(place, now)
        {
            return match made.creator == caller.key() {
                true => Ok(made.seen(caller)),
                false => Err(refusal::request_id_of_another_user()),
            };
        }
        let space = space.ok_or_else(refusal::no_space)?;
        rules::check(&space, caller, now.seconds, settings)?;
        let place = self.last_place + 1;
        let id = URL_SAFE_NO_PAD.encode(self.ids.hash_one(place).to_be_bytes());
        let room = Room::create(&id, space, request_id, caller, now, settings);
        self.check_display_name(place, &room, now, settings)?;
        let seen = room.seen(caller);
        self.put(place, room);
        Ok(seen)
    }

    /// A space that the caller may know of.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, or PERMISSION_DENIED if the caller is no member.
    pub(super) fn get(&mut self, name: &str, caller: &Caller, now: SystemTime) -> Result<&Room, Status> {
        self.find(name, caller, now).map(|(_, room)| room)
    }

    fn find(&mut self, name: &str, caller: &Caller, now: SystemTime) -> Result<(u64, &Room), Status> {
        if name.strip_prefix("spaces/").is_none_or(|id| id.is_empty() || id.contains('/')) {
            return Err(refusal::invalid_field("name", "must be of the form spaces/{space}"));
        }
        let not_found = || refusal::not_found("space", name);
        let place = self.places.get(name).copied().ok_or_else(not_found)?;
        let room = self.live(place, Timestamp::from(now)).ok_or_else(not_found)?;
        // What is imported is reached with the scope for it alone, the rest is not.
        if caller.imports_only && !room.space.import_mode {
            return Err(refusal::no_scope(caller.method));
        }
        if !room.is_visible(caller) {
            return Err(refusal::not_allowed("see this space"));
        }
        Ok((place, room))
    }

    /// Changes a space that the caller may know of. Returns what the change returns.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`] and of the change, or ALREADY_EXISTS. Nothing has changed then.
    pub(super) fn change<T>(
        &mut self,
        name: &str,
        caller: &Caller,
        now: SystemTime,
        settings: &Settings,
        change: impl FnOnce(&mut Room) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let (place, before) = self.find(name, caller, now)?;
        let (mut room, display_key) = (before.clone(), before.display_key());
        let outcome = change(&mut room)?;
        if room.display_key() != display_key {
            self.check_display_name(place, &room, Timestamp::from(now), settings)?;
        }
        self.put(place, room);
        Ok(outcome)
    }

    /// Deletes a space.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`], or PERMISSION_DENIED.
    pub(super) fn delete(&mut self, name: &str, caller: &Caller, now: SystemTime) -> Result<(), Status> {
        let (place, room) = self.find(name, caller, now)?;
        room.check_delete(caller)?;
        self.remove(place);
        Ok(())
    }

    /// The rooms after a place, in the order of their creation, with their places.
    pub(super) fn after(&self, place: u64, now: SystemTime) -> impl DoubleEndedIterator<Item = (u64, &Room)> {
        let now = Timestamp::from(now);
        let rooms = self.rooms.range((Bound::Excluded(place), Bound::Unbounded));
        rooms.filter(move |(_, room)| !room.is_expired(now)).map(|(place, room)| (*place, room))
    }

    /// The room at a place. One that was to be imported and was not in time is removed.
    fn live(&mut self, place: u64, now: Timestamp) -> Option<&Room> {
        if self.rooms.get(&place).is_some_and(|room| room.is_expired(now)) {
            self.remove(place);
        }
        self.rooms.get(&place)
    }

    /// Whether no other space of the organization has the display name.
    fn check_display_name(
        &mut self,
        place: u64,
        room: &Room,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<(), Status> {
        let Some((customer, name)) = room.display_key().filter(|_| settings.unique_names) else { return Ok(()) };
        let same = (customer.clone(), name.clone(), 0)..=(customer, name.clone(), u64::MAX);
        let others: Vec<u64> = self.display_names.range(same).map(|(.., at)| *at).filter(|at| *at != place).collect();
        for other in others {
            if self.live(other, now).is_some() {
                return Err(refusal::name_taken(&name));
            }
        }
        Ok(())
    }

    /// Keeps a room at a place, in place of what was there.
    fn put(&mut self, place: u64, room: Room) {
        #[cfg(feature = "store")]
        if let Some(file) = &self.file {
            file.make(Change(place, Some(room.encode_to_vec())));
        }
        self.forget(place);
        self.insert(place, room);
    }

    fn remove(&mut self, place: u64) {
        #[cfg(feature = "store")]
        if let Some(file) = &self.file {
            file.make(Change(place, None));
        }
        self.forget(place);
    }

    fn insert(&mut self, place: u64, room: Room) {
        self.last_place = self.last_place.max(place);
        self.places.insert(room.space.name.clone(), place);
        if !room.request_id.is_empty() {
            self.requests.insert(room.request_id.clone(), place);
        }
        if let Some((customer, name)) = room.display_key() {
            self.display_names.insert((customer, name, place));
        }
        self.rooms.insert(place, room);
    }

    fn forget(&mut self, place: u64) {
        let Some(room) = self.rooms.remove(&place) else { return };
        self.places.remove(&room.space.name);
        self.requests.remove(&room.request_id);
        if let Some((customer, name)) = room.display_key() {
            self.display_names.remove(&(customer, name, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn create(store: &mut Store, space: Space, id: &str) -> Result<Space, tonic::Code> {
        let caller = Caller::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        let settings = Settings::default();
        store.create(Some(space), id, &caller, SystemTime::UNIX_EPOCH, &settings).map_err(|status| status.code())
    }

    #[test]
    fn a_request_id_is_replayed_and_wins_over_the_name() {
        let mut store = Store::default();
        let first = create(&mut store, Space::named("a"), "id").unwrap();
        assert_eq!(create(&mut store, Space::named("other"), "id").unwrap(), first);
        assert_eq!(create(&mut store, Space::named("a"), "new"), Err(tonic::Code::AlreadyExists));
        assert_eq!(create(&mut store, Space::named("a"), ""), Err(tonic::Code::AlreadyExists));
    }

    #[test]
    fn a_failed_attempt_does_not_burn_its_request_id() {
        let mut store = Store::default();
        assert_eq!(create(&mut store, Space::named(""), "id"), Err(tonic::Code::InvalidArgument));
        assert_eq!(create(&mut store, Space::named("a"), "id").unwrap().display_name, "a");
    }

    #[test]
    fn output_only_fields_of_the_request_are_ignored() {
        let mut store = Store::default();
        let space = Space {
            name: "not even a name".to_owned(),
            space_uri: "x".to_owned(),
            create_time: Some(Timestamp { seconds: 1, nanos: 0 }),
            admin_installed: true,
            ..Space::named("a")
        };
        let made = create(&mut store, space, "").unwrap();
        assert!(made.name.starts_with("spaces/") && made.name.len() == 18, "{}", made.name);
        assert_eq!(made.create_time, Some(Timestamp { seconds: 0, nanos: 0 }));
        assert!(!made.admin_installed);
        assert_eq!(made.space_uri, format!("https://chat.google.com/room/{}?cls=11", &made.name[7..]));
    }
}
