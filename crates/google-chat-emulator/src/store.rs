//! The spaces that exist, and what calls do to them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use prost::Message;
use prost_types::Timestamp;
use tonic::Status;

use super::{identity::Grant, ids, index::Index, lock, room::Room, rules, settings::Settings};
use google_chat::proto::google::chat::v1::Space;

/// Where rooms are kept, each at its place: the order of their creation. What fails
/// here is INTERNAL, and undoes what the call has done.
pub(super) trait Rows: Send {
    /// What the ids of these rooms are made with; always the same.
    fn secret(&self) -> u64;
    /// The last place that was given to a room, though it be gone.
    fn last(&self) -> u64;
    /// The place of the space that a request id has made.
    fn by_request(&mut self, request_id: &str) -> Result<Option<u64>, Status>;
    fn room(&mut self, place: u64) -> Result<Option<Room>, Status>;
    /// The places of the spaces of an organization that have a display name, and
    /// perhaps of others.
    fn named(&mut self, key: &(String, String)) -> Result<Vec<u64>, Status>;
    /// Keeps a room at a place, instead of what it was before.
    fn put(&mut self, place: u64, room: &Room, before: Option<&Room>) -> Result<(), Status>;
    fn remove(&mut self, place: u64, room: &Room) -> Result<(), Status>;
    /// At most so many rooms after a place, with their places.
    fn after(&mut self, place: u64, limit: usize) -> Result<Vec<(u64, Room)>, Status>;
    /// At most so many rooms, the newest first.
    fn newest(&mut self, limit: usize) -> Result<Vec<Room>, Status>;
    /// Begins what [`Rows::commit`] makes last, all of it or nothing.
    #[cfg(feature = "store")]
    fn begin(&mut self) -> Result<(), Status> {
        Ok(())
    }
    #[cfg(feature = "store")]
    fn commit(&mut self) -> Result<(), Status> {
        Ok(())
    }
}

/// The rooms, and what calls may do with them.
pub(super) struct Store {
    rows: Box<dyn Rows>,
}

impl Store {
    pub(super) fn new(rows: Box<dyn Rows>) -> Self {
        Self { rows }
    }

    #[cfg(feature = "store")]
    pub(super) fn rows(&mut self) -> &mut dyn Rows {
        &mut *self.rows
    }

    /// Creates a space, or gives back the one that the request id made, as it is
    /// now.
    ///
    /// # Errors
    ///
    /// What [`rules::check`] says, or ALREADY_EXISTS.
    pub(super) fn create(
        &mut self,
        space: Option<Space>,
        request_id: &str,
        grant: &Grant,
        now: SystemTime,
        settings: &Settings,
    ) -> Result<Space, Status> {
        let now = Timestamp::from(now);
        // A replay wins over the conflict with its own first attempt.
        if !request_id.is_empty()
            && let Some(place) = self.rows.by_request(request_id)?
            && let Some(made) = self.live(place, now)?
        {
            return if made.creator == grant.identity.key() {
                Ok(made.seen(grant))
            } else {
                Err(rules::request_id_of_another_user())
            };
        }
        let space = space.ok_or_else(rules::no_space)?;
        rules::check(&space, grant, now.seconds, settings)?;
        let place = self.rows.last() + 1;
        let room = Room::create(&ids::id(place, self.rows.secret()), space, request_id, grant, now, settings);
        self.check_name(place, &room, now, settings)?;
        self.rows.put(place, &room, None)?;
        Ok(room.seen(grant))
    }

    /// A space that the caller may know of.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, or PERMISSION_DENIED if the caller is no member.
    pub(super) fn get(&mut self, name: &str, grant: &Grant, now: SystemTime) -> Result<Room, Status> {
        self.find(name, grant, now).map(|(_, room)| room)
    }

    fn find(&mut self, name: &str, grant: &Grant, now: SystemTime) -> Result<(u64, Room), Status> {
        let id = name.strip_prefix("spaces/").filter(|id| !id.is_empty() && !id.contains('/'));
        let id = id.ok_or_else(|| rules::invalid_field("name", "must be of the form spaces/{space}"))?;
        let place = ids::place(id, self.rows.secret()).ok_or_else(|| rules::not_found("space", name))?;
        let room = self.live(place, Timestamp::from(now))?.ok_or_else(|| rules::not_found("space", name))?;
        // What is imported is reached with the scope for it alone, the rest is not.
        if grant.imports_only && !room.space.import_mode {
            return Err(rules::no_scope(grant.method));
        }
        if !room.is_visible(grant) {
            return Err(rules::not_allowed("see this space"));
        }
        Ok((place, room))
    }

    /// Changes a space that the caller may know of.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`] and of the change, or ALREADY_EXISTS.
    pub(super) fn change<T>(
        &mut self,
        name: &str,
        grant: &Grant,
        now: SystemTime,
        settings: &Settings,
        change: impl FnOnce(&mut Room) -> Result<T, Status>,
    ) -> Result<(Room, T), Status> {
        let (place, before) = self.find(name, grant, now)?;
        let mut room = before.clone();
        let outcome = change(&mut room)?;
        if room.display_key() != before.display_key() {
            self.check_name(place, &room, Timestamp::from(now), settings)?;
        }
        self.rows.put(place, &room, Some(&before))?;
        Ok((room, outcome))
    }

    /// Deletes a space.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`], or PERMISSION_DENIED.
    pub(super) fn delete(&mut self, name: &str, grant: &Grant, now: SystemTime) -> Result<(), Status> {
        let (place, room) = self.find(name, grant, now)?;
        room.check_delete(grant)?;
        self.rows.remove(place, &room)
    }

    /// A page of rooms that `takes` takes: at most so many after a place; and the
    /// place after which the next page begins, if there is one.
    pub(super) fn page(
        &mut self,
        mut place: u64,
        size: usize,
        now: SystemTime,
        takes: impl Fn(&Room) -> bool,
    ) -> Result<(Vec<Room>, Option<u64>), Status> {
        /// How many are looked at in one go.
        const STEP: usize = 256;
        let now = Timestamp::from(now);
        let mut taken = Vec::new();
        loop {
            let rooms = self.rows.after(place, STEP)?;
            let last = rooms.len() < STEP;
            for (at, room) in rooms {
                if room.is_expired(now) || !takes(&room) {
                    place = at;
                    continue;
                }
                if taken.len() == size {
                    return Ok((taken, Some(place)));
                }
                place = at;
                taken.push(room);
            }
            if last {
                return Ok((taken, None));
            }
        }
    }

    /// At most so many rooms, the newest first.
    pub(super) fn newest(&mut self, limit: usize, now: SystemTime) -> Result<Vec<Room>, Status> {
        let mut rooms = self.rows.newest(limit)?;
        rooms.retain(|room| !room.is_expired(Timestamp::from(now)));
        Ok(rooms)
    }

    /// A room that is there; one that was to be imported and was not is no more.
    fn live(&mut self, place: u64, now: Timestamp) -> Result<Option<Room>, Status> {
        match self.rows.room(place)? {
            Some(room) if room.is_expired(now) => {
                self.rows.remove(place, &room)?;
                Ok(None)
            }
            room => Ok(room),
        }
    }

    fn check_name(&mut self, place: u64, room: &Room, now: Timestamp, settings: &Settings) -> Result<(), Status> {
        let Some(key) = room.display_key().filter(|_| settings.unique_names) else { return Ok(()) };
        for other in self.rows.named(&key)? {
            if other != place && self.live(other, now)?.is_some_and(|room| room.display_key().as_ref() == Some(&key)) {
                return Err(rules::name_taken(&key.1));
            }
        }
        Ok(())
    }
}

/// A room as it is kept.
pub(super) fn decode(bytes: &[u8]) -> Result<Room, Status> {
    Room::decode(bytes).map_err(|error| Status::internal(format!("A space that is kept cannot be read: {error}")))
}

/// Rooms in memory, encoded: that is smaller, and quicker than a copy of each part.
pub(super) struct Memory {
    secret: u64,
    last: u64,
    rooms: BTreeMap<u64, Box<[u8]>>,
    requests: Index,
    names: Index,
}

impl Memory {
    fn new() -> Self {
        let (requests, names) = (Index::default(), Index::default());
        Self { secret: ids::secret(), last: 0, rooms: BTreeMap::new(), requests, names }
    }

    fn forget_name(&mut self, place: u64, room: &Room) {
        if let Some(key) = room.display_key() {
            self.names.remove(&key, place);
        }
    }
}

impl Rows for Memory {
    fn secret(&self) -> u64 {
        self.secret
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn by_request(&mut self, request_id: &str) -> Result<Option<u64>, Status> {
        for place in self.requests.places(request_id) {
            let room = self.rooms.get(&place).map(|bytes| decode(bytes)).transpose()?;
            if room.is_some_and(|room| room.request_id == request_id) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn room(&mut self, place: u64) -> Result<Option<Room>, Status> {
        self.rooms.get(&place).map(|bytes| decode(bytes)).transpose()
    }

    fn named(&mut self, key: &(String, String)) -> Result<Vec<u64>, Status> {
        Ok(self.names.places(key).collect())
    }

    fn put(&mut self, place: u64, room: &Room, before: Option<&Room>) -> Result<(), Status> {
        self.last = self.last.max(place);
        match before {
            Some(before) => self.forget_name(place, before),
            None if room.request_id.is_empty() => {}
            None => self.requests.insert(&*room.request_id, place),
        }
        if let Some(key) = room.display_key() {
            self.names.insert(&key, place);
        }
        self.rooms.insert(place, room.encode_to_vec().into());
        Ok(())
    }

    fn remove(&mut self, place: u64, room: &Room) -> Result<(), Status> {
        self.rooms.remove(&place);
        self.requests.remove(&*room.request_id, place);
        self.forget_name(place, room);
        Ok(())
    }

    fn after(&mut self, place: u64, limit: usize) -> Result<Vec<(u64, Room)>, Status> {
        let rooms = self.rooms.range(place.saturating_add(1)..).take(limit);
        rooms.map(|(place, bytes)| Ok((*place, decode(bytes)?))).collect()
    }

    fn newest(&mut self, limit: usize) -> Result<Vec<Room>, Status> {
        self.rooms.values().rev().take(limit).map(|bytes| decode(bytes)).collect()
    }
}

/// The store, behind what lets one call after another at it.
#[derive(Clone)]
pub(super) enum Keeper {
    Memory(Arc<Mutex<Store>>),
    #[cfg(feature = "store")]
    Disk(super::disk::Writer),
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Arc::new(Mutex::new(Store::new(Box::new(Memory::new())))))
    }

    /// What an operation gives, when what it did is kept.
    ///
    /// # Errors
    ///
    /// Those of the operation, or INTERNAL if it cannot be kept.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        match self {
            Self::Memory(store) => operation(&mut lock(store)),
            #[cfg(feature = "store")]
            Self::Disk(writer) => writer.run(operation).await,
        }
    }

    /// Ends the keeping of rooms in a file: everything is in it, and nothing more can be
    /// done.
    pub(super) async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "store")]
            Self::Disk(writer) => writer.close().await,
        }
    }

    /// The same as [`Keeper::run`], for who cannot wait.
    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        match self {
            Self::Memory(store) => operation(&mut lock(store)),
            #[cfg(feature = "store")]
            Self::Disk(writer) => writer.run_blocking(operation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn create(store: &mut Store, space: Space, id: &str) -> Result<Space, tonic::Code> {
        let grant = Grant::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        let settings = Settings::default();
        store.create(Some(space), id, &grant, SystemTime::UNIX_EPOCH, &settings).map_err(|status| status.code())
    }

    fn store() -> Store {
        Store::new(Box::new(Memory::new()))
    }

    #[test]
    fn a_request_id_is_replayed_and_wins_over_the_name() {
        let mut store = store();
        let first = create(&mut store, Space::named("a"), "id").unwrap();
        assert_eq!(create(&mut store, Space::named("other"), "id").unwrap(), first);
        assert_eq!(create(&mut store, Space::named("a"), "new"), Err(tonic::Code::AlreadyExists));
        assert_eq!(create(&mut store, Space::named("a"), ""), Err(tonic::Code::AlreadyExists));
    }

    #[test]
    fn a_failed_attempt_does_not_burn_its_request_id() {
        let mut store = store();
        assert_eq!(create(&mut store, Space::named(""), "id"), Err(tonic::Code::InvalidArgument));
        assert_eq!(create(&mut store, Space::named("a"), "id").unwrap().display_name, "a");
    }

    #[test]
    fn output_only_fields_of_the_request_are_ignored() {
        let mut store = store();
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
