//! The spaces that exist, and what calls do to them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use prost_types::Timestamp;
use tonic::Status;

use super::{identity::Grant, lock, room::Room, rules, settings::Settings};
use crate::proto::google::chat::v1::Space;

/// Where rooms are kept. What fails here is INTERNAL, and undoes what the call
/// has done.
pub(super) trait Rows: Send {
    /// The id of the space that a request id has made.
    fn by_request(&mut self, request_id: &str) -> Result<Option<String>, Status>;
    fn room(&mut self, id: &str) -> Result<Option<Room>, Status>;
    /// The ids of the spaces of an organization that have a display name.
    fn named(&mut self, key: &(String, String)) -> Result<Vec<String>, Status>;
    /// Keeps a room, in place of what it was before.
    fn put(&mut self, room: &Room, before: Option<&Room>) -> Result<(), Status>;
    fn remove(&mut self, room: &Room) -> Result<(), Status>;
    /// At most so many rooms after a place, in the order of their creation, with
    /// their places.
    fn after(&mut self, place: u64, limit: usize) -> Result<Vec<(u64, Room)>, Status>;
    /// At most so many rooms, the newest first.
    fn newest(&mut self, limit: usize) -> Result<Vec<Room>, Status>;
    /// Begins what [`Rows::commit`] makes last, all of it or nothing.
    #[cfg(feature = "emulator-store")]
    fn begin(&mut self) -> Result<(), Status> {
        Ok(())
    }
    #[cfg(feature = "emulator-store")]
    fn commit(&mut self) -> Result<(), Status> {
        Ok(())
    }
}

/// The rooms, and the ids that are to come.
pub(super) struct Store {
    rows: Box<dyn Rows>,
    ids: RandomState,
    count: u64,
}

impl Store {
    pub(super) fn new(rows: Box<dyn Rows>) -> Self {
        Self { rows, ids: RandomState::new(), count: 0 }
    }

    #[cfg(feature = "emulator-store")]
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
            && let Some(id) = self.rows.by_request(request_id)?
            && let Some(made) = self.live(&id, now)?
        {
            return if made.creator == grant.identity.key() {
                Ok(made.seen(grant))
            } else {
                Err(rules::request_id_of_another_user())
            };
        }
        let space = space.ok_or_else(rules::no_space)?;
        rules::check(&space, grant, now.seconds, settings)?;
        let room = Room::create(&self.id(), space, request_id, grant, now, settings);
        self.check_name(&room, now, settings)?;
        self.rows.put(&room, None)?;
        Ok(room.seen(grant))
    }

    /// A space that the caller may know of.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, or PERMISSION_DENIED if the caller is no member.
    pub(super) fn get(&mut self, name: &str, grant: &Grant, now: SystemTime) -> Result<Room, Status> {
        let id = name.strip_prefix("spaces/").filter(|id| !id.is_empty() && !id.contains('/'));
        let id = id.ok_or_else(|| rules::invalid_field("name", "must be of the form spaces/{space}"))?;
        let room = self.live(id, Timestamp::from(now))?.ok_or_else(|| rules::not_found("space", name))?;
        // What is imported is reached with the scope for it alone, the rest is not.
        if grant.imports_only && !room.space.import_mode {
            return Err(rules::no_scope(grant.method));
        }
        if !room.is_visible(grant) {
            return Err(rules::not_allowed("see this space"));
        }
        Ok(room)
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
        let before = self.get(name, grant, now)?;
        let mut room = before.clone();
        let outcome = change(&mut room)?;
        if room.display_key() != before.display_key() {
            self.check_name(&room, Timestamp::from(now), settings)?;
        }
        self.rows.put(&room, Some(&before))?;
        Ok((room, outcome))
    }

    /// Deletes a space.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`], or PERMISSION_DENIED.
    pub(super) fn delete(&mut self, name: &str, grant: &Grant, now: SystemTime) -> Result<(), Status> {
        let room = self.get(name, grant, now)?;
        room.check_delete(grant)?;
        self.rows.remove(&room)
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
    fn live(&mut self, id: &str, now: Timestamp) -> Result<Option<Room>, Status> {
        match self.rows.room(id)? {
            Some(room) if room.is_expired(now) => {
                self.rows.remove(&room)?;
                Ok(None)
            }
            room => Ok(room),
        }
    }

    fn check_name(&mut self, room: &Room, now: Timestamp, settings: &Settings) -> Result<(), Status> {
        let Some(key) = room.display_key().filter(|_| settings.unique_names) else { return Ok(()) };
        for id in self.rows.named(&key)? {
            if id != room.id() && self.live(&id, now)?.is_some() {
                return Err(rules::name_taken(&key.1));
            }
        }
        Ok(())
    }

    /// A resource id as the real ones look: 64 bits in base64url.
    fn id(&mut self) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        self.count += 1;
        URL_SAFE_NO_PAD.encode(self.ids.hash_one(self.count).to_be_bytes())
    }
}

/// Rooms in memory.
#[derive(Default)]
pub(super) struct Memory {
    rooms: BTreeMap<u64, Room>,
    places: HashMap<String, u64>,
    requests: HashMap<String, String>,
    names: HashMap<(String, String), Vec<String>>,
    last: u64,
}

impl Rows for Memory {
    fn by_request(&mut self, request_id: &str) -> Result<Option<String>, Status> {
        Ok(self.requests.get(request_id).cloned())
    }

    fn room(&mut self, id: &str) -> Result<Option<Room>, Status> {
        Ok(self.places.get(id).and_then(|place| self.rooms.get(place)).cloned())
    }

    fn named(&mut self, key: &(String, String)) -> Result<Vec<String>, Status> {
        Ok(self.names.get(key).cloned().unwrap_or_default())
    }

    fn put(&mut self, room: &Room, before: Option<&Room>) -> Result<(), Status> {
        let id = room.id().to_owned();
        self.forget_name(before);
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => {
                self.last += 1;
                self.places.insert(id.clone(), self.last);
                if !room.request_id.is_empty() {
                    self.requests.insert(room.request_id.clone(), id.clone());
                }
                self.last
            }
        };
        if let Some(key) = room.display_key() {
            self.names.entry(key).or_default().push(id);
        }
        self.rooms.insert(place, room.clone());
        Ok(())
    }

    fn remove(&mut self, room: &Room) -> Result<(), Status> {
        if let Some(place) = self.places.remove(room.id()) {
            self.rooms.remove(&place);
        }
        self.requests.remove(&room.request_id);
        self.forget_name(Some(room));
        Ok(())
    }

    fn after(&mut self, place: u64, limit: usize) -> Result<Vec<(u64, Room)>, Status> {
        let rooms = self.rooms.range(place.saturating_add(1)..).take(limit);
        Ok(rooms.map(|(place, room)| (*place, room.clone())).collect())
    }

    fn newest(&mut self, limit: usize) -> Result<Vec<Room>, Status> {
        Ok(self.rooms.values().rev().take(limit).cloned().collect())
    }
}

impl Memory {
    fn forget_name(&mut self, room: Option<&Room>) {
        let Some(room) = room else { return };
        if let Some(key) = room.display_key()
            && let Some(ids) = self.names.get_mut(&key)
        {
            ids.retain(|id| id != room.id());
            if ids.is_empty() {
                self.names.remove(&key);
            }
        }
    }
}

/// The store, behind what lets one call after another at it.
#[derive(Clone)]
pub(super) enum Keeper {
    Memory(Arc<Mutex<Store>>),
    #[cfg(feature = "emulator-store")]
    Disk(super::disk::Writer),
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Arc::new(Mutex::new(Store::new(Box::new(Memory::default())))))
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
            #[cfg(feature = "emulator-store")]
            Self::Disk(writer) => writer.run(operation).await,
        }
    }

    /// The same, for who cannot wait.
    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        match self {
            Self::Memory(store) => operation(&mut lock(store)),
            #[cfg(feature = "emulator-store")]
            Self::Disk(writer) => writer.run_blocking(operation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::identity::Identity;

    fn create(store: &mut Store, space: Space, id: &str) -> Result<Space, tonic::Code> {
        let grant = Grant::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        let settings = Settings::default();
        store.create(Some(space), id, &grant, SystemTime::UNIX_EPOCH, &settings).map_err(|status| status.code())
    }

    fn store() -> Store {
        Store::new(Box::new(Memory::default()))
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
