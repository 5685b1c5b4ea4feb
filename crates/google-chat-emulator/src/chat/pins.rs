//! Messages that are pinned in a space.
//!
//! Sources: the comments of the official protos on `MessagePin` and its requests.

use google_chat::proto::google::chat::v1::{ListMessagePinsRequest, ListMessagePinsResponse, MessagePin};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    messages,
    names::{self, MESSAGE},
    page::Page,
    refusal,
    room::Room,
    store::Store,
};
use crate::Settings;

/// How many messages of a space may be pinned. It is the emulator's own limit.
const MOST: usize = 1_000;

const PIN: &str = "spaces/{space}/messagePins/{message_pin}";

/// Pins a message.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT, ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
pub(super) fn create(
    store: &mut Store,
    parent: &str,
    input: &MessagePin,
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<MessagePin, Status> {
    store.find("parent", parent, caller, now)?;
    let [space, _] = names::variables("message_pin.message", &input.message, MESSAGE)?;
    if parent.strip_prefix("spaces/") != Some(space) {
        return Err(refusal::invalid_field("message_pin.message", "must be of the space that is the parent"));
    }
    let (at, place) = messages::find(store, "message_pin.message", &input.message, caller, now)?;
    let post = store.conversation(at).post(place).ok_or_else(|| refusal::not_found("message", &input.message))?;
    // The message may be named by the id that a client gave it.
    let message = post.message.name.clone();
    let pin = MessagePin { name: message.replacen("/messages/", "/messagePins/", 1), message };
    let gone: Vec<String> = visible(store, at, caller, false).map(|pin| pin.name.clone()).collect();
    store.change("parent", parent, caller, now, settings, |room| {
        check_member(room, caller)?;
        room.pins.retain(|one| !gone.contains(&one.name));
        if room.pins.contains(&pin) {
            return Err(refusal::id_taken("message pin", &pin.name));
        }
        if room.pins.len() >= MOST {
            return Err(refusal::too_many("message pins of a space", MOST));
        }
        room.pins.push(pin.clone());
        Ok(pin)
    })
}

/// Lists the messages that are pinned.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn list(
    store: &mut Store,
    request: &ListMessagePinsRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<ListMessagePinsResponse, Status> {
    let (at, _) = store.find("parent", &request.parent, caller, now)?;
    let page = Page::new(request.page_size, &request.page_token, (100, 100), &request.parent)?;
    // A pin stands where its message does, whichever others come and go.
    let place = |pin: &MessagePin| store.conversation(at).find(pin.message.rsplit('/').next()?).map(|(place, _)| place);
    let mut pins: Vec<_> =
        visible(store, at, caller, true).filter_map(|pin| Some(((place(pin)?, 0), pin.clone()))).collect();
    pins.sort_unstable_by_key(|(position, _)| *position);
    let (message_pins, next_page_token) = page.cut(pins.into_iter());
    Ok(ListMessagePinsResponse { message_pins, next_page_token })
}

/// Unpins a message.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn delete(
    store: &mut Store,
    name: &str,
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<(), Status> {
    let [space, _] = names::variables("name", name, PIN)?;
    store.change("name", &format!("spaces/{space}"), caller, now, settings, |room| {
        check_member(room, caller)?;
        let place = room.pins.iter().position(|pin| pin.name == name);
        room.pins.remove(place.ok_or_else(|| refusal::not_found("message pin", name))?);
        Ok(())
    })
}

fn check_member(room: &Room, caller: &Caller) -> Result<(), Status> {
    match room.role(caller) {
        Some(_) => Ok(()),
        None => Err(refusal::not_allowed("pin messages of this space")),
    }
}

/// The pins of messages that are there and that the caller sees; if not `there`, the others.
fn visible<'s>(store: &'s Store, at: u64, caller: &'s Caller, there: bool) -> impl Iterator<Item = &'s MessagePin> {
    let pins = store.room(at).map(|room| room.pins.as_slice()).unwrap_or_default();
    pins.iter().filter(move |pin| {
        let found = store.message_by_name(&pin.message);
        found.is_some_and(|(_, post)| !post.is_deleted() && (!there || messages::is_visible(post, caller))) == there
    })
}
