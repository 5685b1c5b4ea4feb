//! The spaces that exist with all that is in them, in memory, and in a file if there is one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    ops::Bound,
    sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use google_chat::proto::google::chat::v1::{Membership, Message, Space, space::SpaceType};
use prost::Message as _;
use prost_types::Timestamp;
use tokio::sync::oneshot;
use tonic::Status;

#[cfg(feature = "store")]
use super::disk::{Change, Contents, Disk, Key, Writer};
use super::{
    access::Caller,
    conversation::{Conversation, Post},
    members::Kind,
    messages,
    names::{self, MESSAGE, SPACE},
    refusal,
    room::Room,
    rules,
    uploads::Upload,
};
use crate::Settings;

/// How much may be kept, in bytes, as far as it can be counted: what somebody else's program
/// sends does not use up the machine's memory.
const MOST: usize = 2 << 30;

/// How many of the messages that came last are known.
const NEWEST: usize = 50;

/// All rooms, with their messages. A room has a place, which is the order of creation.
#[derive(Default)]
pub(super) struct Store {
    rooms: BTreeMap<u64, Room>,
    /// The messages by the places of their rooms.
    conversations: HashMap<u64, Conversation>,
    /// The files that were uploaded, by their tokens, with the places of the rooms, and how
    /// many bytes they take.
    uploads: HashMap<String, (u64, Upload)>,
    upload_bytes: u64,
    /// How often messages name an upload, by its token.
    named_uploads: HashMap<String, usize>,
    /// The places by the names of the spaces.
    places: HashMap<String, u64>,
    /// The places of rooms by the request ids that made them.
    requests: HashMap<String, u64>,
    /// The places of rooms and messages by the request ids that made the messages.
    message_requests: HashMap<String, (u64, u64)>,
    /// Organization, display name and place of each room that has a display name.
    display_names: BTreeSet<(String, String, u64)>,
    /// The places of direct messages by the two who are in them, in order.
    direct_messages: HashMap<[String; 2], u64>,
    last_place: u64,
    /// The places of the rooms and of the messages that came last.
    newest: VecDeque<(u64, u64)>,
    /// How many bytes are kept.
    size: usize,
    /// Makes ids that look random, as the real ones do.
    ids: RandomState,
    #[cfg(feature = "store")]
    file: Option<Writer>,
}

/// The messages of a space that has none.
static SILENCE: LazyLock<Conversation> = LazyLock::new(Conversation::default);

impl Store {
    /// The rooms of a file; what is done with them is kept there.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    #[cfg(feature = "store")]
    pub(super) fn on_disk(disk: Disk) -> Result<Self, String> {
        let mut store = Self::default();
        store.fill(disk.contents()?);
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
    fn fill(&mut self, Contents { rooms, posts, uploads }: Contents) {
        rooms.into_iter().for_each(|(place, room)| self.insert(place, room));
        posts.into_iter().for_each(|(at, place, post)| self.insert_post(at, place, post));
        uploads.into_iter().for_each(|(at, upload)| self.insert_upload(at, upload));
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
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Space, Status> {
        if let Some(made) = self.replay(request_id, caller, now)? {
            return Ok(made);
        }
        let space = space.ok_or_else(refusal::no_space)?;
        rules::check(&space, caller, now.seconds, settings)?;
        self.make(space, request_id, caller, now, settings, |_| ())
    }

    /// The space that a request id made, as it is now. A replay wins over the conflict with
    /// its own first attempt.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if somebody else used the request id.
    pub(super) fn replay(&mut self, id: &str, caller: &Caller, now: Timestamp) -> Result<Option<Space>, Status> {
        let Some(place) = self.requests.get(id).copied() else { return Ok(None) };
        match self.live(place, now) {
            None => Ok(None),
            Some(made) if made.creator == caller.key() => Ok(Some(made.seen(caller))),
            Some(_) => Err(refusal::request_id_of_another_user()),
        }
    }

    /// Makes a space that was checked, with the members that a function adds.
    ///
    /// # Errors
    ///
    /// ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
    pub(super) fn make(
        &mut self,
        space: Space,
        request_id: &str,
        caller: &Caller,
        now: Timestamp,
        settings: &Settings,
        add: impl FnOnce(&mut Room),
    ) -> Result<Space, Status> {
        let place = self.last_place + 1;
        let mut room = Room::create(&self.id(place), space, request_id, caller, now, settings);
        add(&mut room);
        self.check_display_name(place, &room, now, settings)?;
        let seen = room.seen(caller);
        self.put(place, room)?;
        Ok(seen)
    }

    /// An id that looks random, the same for the same thing as long as this store is there.
    pub(super) fn id(&self, of: impl Hash) -> String {
        URL_SAFE_NO_PAD.encode(self.ids.hash_one(of).to_be_bytes())
    }

    /// A space that the caller may know of, with its place. The field is what has its name.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, NOT_FOUND, or PERMISSION_DENIED if the caller is no member.
    pub(super) fn find(
        &mut self,
        field: &str,
        name: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(u64, &Room), Status> {
        let (place, room) = self.reach(field, name, caller, now)?;
        if !room.is_visible(caller) {
            return Err(refusal::not_allowed("see this space"));
        }
        Ok((place, room))
    }

    /// The same, whether the caller may know of it or not.
    fn reach(&mut self, field: &str, name: &str, caller: &Caller, now: Timestamp) -> Result<(u64, &Room), Status> {
        names::variables::<1>(field, name, SPACE)?;
        let not_found = || refusal::not_found("space", name);
        let place = self.places.get(name).copied().ok_or_else(not_found)?;
        let room = self.live(place, now).ok_or_else(not_found)?;
        // What is imported is reached with the scope for it alone, the rest is not.
        if caller.imports_only && !room.space.import_mode {
            return Err(refusal::no_scope(caller.method));
        }
        Ok((place, room))
    }

    /// The room at a place that was found.
    ///
    /// # Errors
    ///
    /// NOT_FOUND.
    pub(super) fn room(&self, place: u64) -> Result<&Room, Status> {
        self.rooms.get(&place).ok_or_else(|| refusal::not_found("space", "that was there"))
    }

    /// Changes a space that the caller may know of. Returns what the change returns.
    ///
    /// # Errors
    ///
    /// Those of [`Store::find`] and of the change, ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
    /// Nothing has changed then.
    pub(super) fn change<T>(
        &mut self,
        field: &str,
        name: &str,
        caller: &Caller,
        now: Timestamp,
        settings: &Settings,
        change: impl FnOnce(&mut Room) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let (place, before) = self.find(field, name, caller, now)?;
        let (mut room, display_key) = (before.clone(), before.display_key());
        let outcome = change(&mut room)?;
        if room.display_key() != display_key {
            self.check_display_name(place, &room, now, settings)?;
        }
        self.put(place, room)?;
        Ok(outcome)
    }

    /// Deletes a space with all that is in it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, NOT_FOUND, or PERMISSION_DENIED.
    pub(super) fn delete(&mut self, name: &str, caller: &Caller, now: Timestamp) -> Result<(), Status> {
        // An app may delete a space that it created though it has left it since.
        let (place, room) = self.reach("name", name, caller, now)?;
        room.check_delete(caller)?;
        self.remove(place);
        Ok(())
    }

    /// The rooms after a place, in the order of their creation, with their places.
    pub(super) fn after(&self, place: u64, now: Timestamp) -> impl DoubleEndedIterator<Item = (u64, &Room)> {
        let rooms = self.rooms.range((Bound::Excluded(place), Bound::Unbounded));
        rooms.filter(move |(_, room)| !room.is_expired(now)).map(|(place, room)| (*place, room))
    }

    /// The direct message of two, which may be one of a person and `app`.
    pub(super) fn direct_message(&self, one: &str, other: &str) -> Option<&Room> {
        self.rooms.get(self.direct_messages.get(&pair(one, other))?)
    }

    /// The messages of a space.
    pub(super) fn conversation(&self, at: u64) -> &Conversation {
        self.conversations.get(&at).unwrap_or(&SILENCE)
    }

    /// The messages that came last and are still there, the newest first, with their rooms.
    pub(super) fn newest(&self) -> impl Iterator<Item = (&Room, &Message)> {
        let found = |(at, place): &(u64, u64)| Some((self.rooms.get(at)?, self.conversation(*at).post(*place)?));
        let found = self.newest.iter().rev().filter_map(found);
        found.filter(|(_, post)| !post.is_deleted()).map(|(room, post)| (room, &post.message))
    }

    /// The message that a request id made, with the place of its room.
    pub(super) fn message_of_request(&self, id: &str) -> Option<(u64, &Post)> {
        let (at, place) = *self.message_requests.get(id)?;
        let post = self.conversation(at).post(place)?;
        (!post.is_deleted()).then_some((at, post))
    }

    /// The message with a name, with the place of its room.
    pub(super) fn message_by_name(&self, name: &str) -> Option<(u64, &Post)> {
        let [space, id] = names::variables("name", name, MESSAGE).ok()?;
        let at = *self.places.get(&format!("spaces/{space}"))?;
        Some((at, self.conversation(at).find(id)?.1))
    }

    /// A message as the caller gets to see it.
    ///
    /// # Errors
    ///
    /// NOT_FOUND.
    pub(super) fn shown(&self, at: u64, post: &Post, caller: &Caller) -> Result<Message, Status> {
        Ok(messages::shown(self.room(at)?, post, caller))
    }

    /// The same, of the message at a place.
    ///
    /// # Errors
    ///
    /// NOT_FOUND.
    pub(super) fn shown_at(&self, at: u64, place: u64, caller: &Caller) -> Result<Message, Status> {
        let post = self.conversation(at).post(place);
        self.shown(at, post.ok_or_else(|| refusal::not_found("message", "that was there"))?, caller)
    }

    /// The file that a token stands for.
    pub(super) fn upload(&self, token: &str) -> Option<&Upload> {
        self.uploads.get(token).map(|(_, upload)| upload)
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
    ///
    /// # Errors
    ///
    /// RESOURCE_EXHAUSTED.
    fn put(&mut self, place: u64, room: Room) -> Result<(), Status> {
        self.check_size(self.rooms.get(&place).map_or(0, size_of_room), size_of_room(&room))?;
        #[cfg(feature = "store")]
        self.write(Key::Room(place), Some(room.encode_to_vec()));
        self.forget(place);
        self.insert(place, room);
        Ok(())
    }

    /// Keeps a message at its place, in place of what was there.
    ///
    /// # Errors
    ///
    /// RESOURCE_EXHAUSTED.
    pub(super) fn put_post(&mut self, at: u64, place: u64, post: Post) -> Result<(), Status> {
        let before = self.conversation(at).post(place).map_or(0, size_of_post);
        self.check_size(before, size_of_post(&post))?;
        #[cfg(feature = "store")]
        self.write(Key::Post(at, place), Some(post.encode_to_vec()));
        self.insert_post(at, place, post);
        Ok(())
    }

    /// Keeps a file that was uploaded.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if its space was deleted in the meantime.
    pub(super) fn put_upload(&mut self, upload: Upload) -> Result<(), Status> {
        let at = self.places.get(&upload.space).copied();
        let at = at.ok_or_else(|| refusal::not_found("space", &upload.space))?;
        #[cfg(feature = "store")]
        self.write(Key::Upload(at, upload.token.clone()), Some(upload.encode_to_vec()));
        self.insert_upload(at, upload);
        Ok(())
    }

    /// How many bytes the files take.
    pub(super) fn upload_bytes(&self) -> u64 {
        self.upload_bytes
    }

    /// Removes a room with all that is in it.
    fn remove(&mut self, place: u64) {
        #[cfg(feature = "store")]
        self.write(Key::Room(place), None);
        self.forget(place);
        self.uploads.retain(|_, (at, _)| *at != place);
        self.upload_bytes = self.uploads.values().map(|(_, upload)| upload.size()).sum();
        for (_, post) in self.conversations.remove(&place).iter().flat_map(Conversation::posts) {
            self.size = self.size.saturating_sub(size_of_post(post));
            self.message_requests.remove(&post.request_id);
            self.unname_uploads(post);
        }
    }

    /// Removes the uploads of a message that was removed or replaced and that no message names
    /// any more.
    fn unname_uploads(&mut self, post: &Post) {
        for token in post.uploads() {
            let Some(count) = self.named_uploads.get_mut(&token) else { continue };
            *count -= 1;
            if *count > 0 {
                continue;
            }
            self.named_uploads.remove(&token);
            let Some((at, upload)) = self.uploads.remove(&token) else { continue };
            self.upload_bytes -= upload.size();
            #[cfg(feature = "store")]
            self.write(Key::Upload(at, token), None);
            #[cfg(not(feature = "store"))]
            let _ = at;
        }
    }

    #[cfg(feature = "store")]
    fn write(&self, key: Key, row: Option<Vec<u8>>) {
        if let Some(file) = &self.file {
            file.make(Change { key, row });
        }
    }

    /// Whether so much can be kept in place of what was there. What takes no more than before
    /// always can, so that things can be deleted when there is no room.
    fn check_size(&self, before: usize, after: usize) -> Result<(), Status> {
        let fits = after <= before || self.size.saturating_add(after - before) <= MOST;
        if fits { Ok(()) } else { Err(refusal::too_many("bytes", MOST)) }
    }

    fn insert(&mut self, place: u64, room: Room) {
        self.size += size_of_room(&room);
        self.last_place = self.last_place.max(place);
        self.places.insert(room.space.name.clone(), place);
        if !room.request_id.is_empty() {
            self.requests.insert(room.request_id.clone(), place);
        }
        if let Some((customer, name)) = room.display_key() {
            self.display_names.insert((customer, name, place));
        }
        if let Some(pair) = direct_pair(&room) {
            self.direct_messages.insert(pair, place);
        }
        self.rooms.insert(place, room);
    }

    fn forget(&mut self, place: u64) {
        let Some(room) = self.rooms.remove(&place) else { return };
        self.size = self.size.saturating_sub(size_of_room(&room));
        self.places.remove(&room.space.name);
        self.requests.remove(&room.request_id);
        if let Some((customer, name)) = room.display_key() {
            self.display_names.remove(&(customer, name, place));
        }
        if let Some(pair) = direct_pair(&room) {
            self.direct_messages.remove(&pair);
        }
    }

    fn insert_post(&mut self, at: u64, place: u64, post: Post) {
        self.size += size_of_post(&post);
        if !post.request_id.is_empty() {
            self.message_requests.insert(post.request_id.clone(), (at, place));
        }
        for token in post.uploads() {
            *self.named_uploads.entry(token).or_default() += 1;
        }
        // The time of the last message is that of the messages, and not written for each.
        if let Some(room) = self.rooms.get_mut(&at) {
            let key = |time: &Option<Timestamp>| time.map(|time| (time.seconds, time.nanos));
            let (last, time) = (&mut room.space.last_active_time, post.message.create_time);
            if key(&time) > key(last) {
                *last = time;
            }
        }
        if let Some(before) = self.conversations.entry(at).or_default().insert(place, post) {
            self.size = self.size.saturating_sub(size_of_post(&before));
            self.unname_uploads(&before);
        } else {
            self.newest.push_back((at, place));
            if self.newest.len() > NEWEST {
                self.newest.pop_front();
            }
        }
    }

    fn insert_upload(&mut self, at: u64, upload: Upload) {
        self.upload_bytes += upload.size();
        self.uploads.insert(upload.token.clone(), (at, upload));
    }
}

fn size_of_room(room: &Room) -> usize {
    size_of::<Room>() + room.members.len() * size_of::<Membership>() + room.encoded_len()
}

fn size_of_post(post: &Post) -> usize {
    size_of::<Post>() + post.encoded_len()
}

fn pair(one: &str, other: &str) -> [String; 2] {
    let mut pair = [one.to_owned(), other.to_owned()];
    pair.sort_unstable();
    pair
}

/// The two of a direct message. The app may have been added to that of two people.
fn direct_pair(room: &Room) -> Option<[String; 2]> {
    if room.space.space_type != SpaceType::DirectMessage as i32 {
        return None;
    }
    let is_app = |one: &Membership| Kind::of(one) == Kind::App;
    let two = room.members.iter().filter(|one| room.space.single_user_bot_dm || !is_app(one));
    let mut two = two.map(|one| one.name.rsplit('/').next().unwrap_or_default());
    Some(pair(two.next()?, two.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn create(store: &mut Store, space: Space, id: &str) -> Result<Space, tonic::Code> {
        let caller = Caller::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        let settings = Settings::default();
        store.create(Some(space), id, &caller, Timestamp::default(), &settings).map_err(|status| status.code())
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
    fn what_shrinks_is_kept_though_there_is_no_room() {
        let mut store = Store::default();
        create(&mut store, Space::named("a"), "").unwrap();
        let post = |text: &str| {
            let message = Message { text: text.to_owned(), ..Message::default() };
            Post { message, ..Post::default() }
        };
        store.put_post(1, 1, post("long")).unwrap();
        store.size = MOST;
        let full = Err(tonic::Code::ResourceExhausted);
        assert_eq!(store.put_post(1, 1, post("longer")).map_err(|status| status.code()), full);
        assert_eq!(store.put_post(1, 2, post("")).map_err(|status| status.code()), full);
        let mut room = store.room(1).unwrap().clone();
        room.space.display_name = "longer".to_owned();
        assert_eq!(store.put(1, room.clone()).map_err(|status| status.code()), full);
        store.put_post(1, 1, post("long")).unwrap();
        store.put_post(1, 1, post("")).unwrap();
        room.members.clear();
        room.space.display_name.clear();
        store.put(1, room).unwrap();
        assert!(store.size < MOST);
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
