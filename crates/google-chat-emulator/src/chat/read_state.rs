//! How far a user has read a space.
//!
//! Sources: the comments of the official protos on `SpaceReadState` and its requests.

use std::ops::RangeInclusive;

use google_chat::proto::google::chat::v1::SpaceReadState;
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    names::{self, member_id},
    refusal,
    room::microseconds,
    store::Store,
};
use crate::Settings;

const STATE: &str = "users/{user}/spaces/{space}/spaceReadState";

/// The seconds of the times that JSON can write: those of the years 1 to 9999.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// How far somebody has read a space, as it is kept.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reader {
    /// The last part of the user's name.
    #[prost(string, tag = "1")]
    member: String,
    #[prost(message, optional, tag = "2")]
    last_read_time: Option<Timestamp>,
}

/// How far the caller has read a space. Without an update of it, that is not known.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn get(store: &mut Store, name: &str, caller: &Caller, now: Timestamp) -> Result<SpaceReadState, Status> {
    let space = space("name", name, caller)?;
    let (_, room) = store.find("name", &space, caller, now)?;
    let own = caller.member();
    let last_read_time = room.readers.iter().find(|one| one.member == own).and_then(|one| one.last_read_time);
    Ok(state(&own, &space, last_read_time))
}

/// Says how far the caller has read a space: at most to the last message that begins a
/// thread.
///
/// # Errors
///
/// As [`get`].
pub(super) fn update(
    store: &mut Store,
    input: &SpaceReadState,
    paths: &[String],
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<SpaceReadState, Status> {
    let space = space("space_read_state.name", &input.name, caller)?;
    let (at, room) = store.find("space_read_state.name", &space, caller, now)?;
    if room.role(caller).is_none() {
        return Err(refusal::not_allowed("mark this space as read"));
    }
    match paths.iter().find(|path| !["last_read_time", "*"].contains(&path.as_str())) {
        _ if paths.is_empty() => return Err(refusal::invalid_field("update_mask", "is required")),
        Some(path) => {
            return Err(refusal::invalid_field("update_mask", &format!("{} cannot be updated", refusal::quoted(path))));
        }
        None => {}
    }
    let time =
        input.last_read_time.filter(|time| SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos));
    let time = time
        .ok_or_else(|| refusal::invalid_field("space_read_state.last_read_time", "is required, and must be a time"))?;
    let key = |time: &Timestamp| (time.seconds, time.nanos);
    let posts = store.conversation(at).posts().filter(|(_, post)| !post.message.thread_reply && !post.is_deleted());
    let latest = posts.filter_map(|(_, post)| post.message.create_time).max_by_key(key);
    let time = latest.filter(|latest| key(latest) < key(&time)).unwrap_or(time);
    let own = caller.member();
    let reader = Reader { member: own.clone(), last_read_time: Some(microseconds(time)) };
    store.change("space_read_state.name", &space, caller, now, settings, |room| {
        match room.readers.iter_mut().find(|one| one.member == own) {
            Some(one) => *one = reader.clone(),
            None => room.readers.push(reader.clone()),
        }
        Ok(state(&own, &space, reader.last_read_time))
    })
}

/// The space of a state, which must be the caller's own.
fn space(field: &str, name: &str, caller: &Caller) -> Result<String, Status> {
    let [user, space] = names::variables(field, name, STATE)?;
    match user == "me" || member_id(user) == caller.member() {
        true => Ok(format!("spaces/{space}")),
        false => Err(refusal::not_allowed("read or change what others have read")),
    }
}

fn state(member: &str, space: &str, last_read_time: Option<Timestamp>) -> SpaceReadState {
    SpaceReadState { name: format!("users/{member}/{space}/spaceReadState"), last_read_time }
}
