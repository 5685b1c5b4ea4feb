//! Reactions to messages: an emoji that somebody gives, once each.
//!
//! Sources: the comments of the official protos on `Reaction` and its requests.

use google_chat::proto::google::chat::v1::{
    CreateReactionRequest, DeleteReactionRequest, Emoji, EmojiReactionSummary, ListReactionsRequest,
    ListReactionsResponse, Reaction, emoji::Content,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    conversation::Post,
    filter::{Condition, REACTIONS},
    members::user_of,
    messages,
    names::{self, member_id},
    page::Page,
    refusal,
    store::Store,
};

/// How many reactions a message may have. It is the emulator's own limit.
const MOST: usize = 1_000;
/// The longest emoji, in bytes: those of families and flags are made of many characters.
const EMOJI: usize = 64;

const REACTION: &str = "spaces/{space}/messages/{message}/reactions/{reaction}";

/// Adds a reaction of the caller.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT, ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
pub(super) fn create(
    store: &mut Store,
    request: CreateReactionRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<Reaction, Status> {
    let (at, place, mut post) = find(store, "parent", &request.parent, caller, now)?;
    let room = store.room(at)?;
    if !room.space.import_mode && room.role(caller).is_none() {
        return Err(refusal::not_allowed("react to messages of this space"));
    }
    let input = request.reaction.ok_or_else(|| refusal::invalid_field("reaction", "is required"))?;
    let emoji = match input.emoji.and_then(|emoji| emoji.content) {
        Some(Content::Unicode(text)) if !text.is_ascii() && text.len() <= EMOJI => Content::Unicode(text),
        Some(Content::Unicode(_)) => return Err(refusal::invalid_field("reaction.emoji.unicode", "must be one emoji")),
        Some(Content::CustomEmoji(_)) => {
            let problem = "is not known; the emulator has no custom emoji";
            return Err(refusal::invalid_field("reaction.emoji.custom_emoji.uid", problem));
        }
        None => return Err(refusal::invalid_field("reaction.emoji", "is required")),
    };
    let (user, emoji) = (user_of(&caller.member()), Emoji { content: Some(emoji) });
    let same = |one: &&Reaction| {
        one.user.as_ref().is_some_and(|by| by.name == user.name) && one.emoji.as_ref() == Some(&emoji)
    };
    if let Some(there) = post.reactions.iter().find(same) {
        return Err(refusal::id_taken("reaction", &there.name));
    }
    if post.reactions.len() >= MOST {
        return Err(refusal::too_many("reactions to a message", MOST));
    }
    let id = store.id((at, place, &user.name, format!("{:?}", emoji.content)));
    let name = format!("{}/reactions/{id}", post.message.name);
    let reaction = Reaction { name, user: Some(user), emoji: Some(emoji) };
    post.time_reactions(None);
    post.reactions.push(reaction.clone());
    post.time_reactions(Some(now));
    store.put_post(at, place, post)?;
    Ok(reaction)
}

/// Lists the reactions to a message.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn list(
    store: &mut Store,
    request: &ListReactionsRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<ListReactionsResponse, Status> {
    let (_, _, mut post) = find(store, "parent", &request.parent, caller, now)?;
    post.time_reactions(None);
    let arguments = (&request.parent, &request.filter);
    let page = Page::new(request.page_size, &request.page_token, (25, 200), arguments)?;
    let filter = REACTIONS.parse(&request.filter)?;
    let reactions = post.reaction_times.into_iter().zip(post.reactions).map(|(time, reaction)| ((time, 0), reaction));
    let (reactions, next_page_token) =
        page.cut(reactions.filter(|(_, reaction)| filter.takes(&|condition| holds(reaction, condition))));
    Ok(ListReactionsResponse { reactions, next_page_token })
}

fn holds(reaction: &Reaction, condition: &Condition) -> bool {
    let content = reaction.emoji.as_ref().and_then(|emoji| emoji.content.as_ref());
    match (condition.field, content) {
        ("user.name", _) => {
            let user = reaction.user.as_ref().map_or("", |user| &user.name);
            condition.text().is_some_and(|name| user == format!("users/{}", member_id(name)))
        }
        ("emoji.unicode", Some(Content::Unicode(text))) => condition.holds_for_text(text),
        ("emoji.custom_emoji.uid", Some(Content::CustomEmoji(emoji))) => condition.holds_for_text(&emoji.uid),
        _ => false,
    }
}

/// Removes a reaction of the caller.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn delete(
    store: &mut Store,
    request: &DeleteReactionRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), Status> {
    let [space, message, _] = names::variables("name", &request.name, REACTION)?;
    let (at, place, mut post) = find(store, "name", &format!("spaces/{space}/messages/{message}"), caller, now)?;
    // The message may be named by the id that a client gave it.
    let id = request.name.rsplit('/').next();
    let found = post.reactions.iter().position(|one| one.name.rsplit('/').next() == id);
    let found = found.ok_or_else(|| refusal::not_found("reaction", &request.name))?;
    let own = format!("users/{}", caller.member());
    if post.reactions[found].user.as_ref().is_none_or(|user| user.name != own) {
        return Err(refusal::not_allowed("remove a reaction of somebody else"));
    }
    post.time_reactions(None);
    post.reactions.remove(found);
    post.reaction_times.remove(found);
    store.put_post(at, place, post)
}

/// The places of a message and its space, and a copy of the message.
fn find(
    store: &mut Store,
    field: &str,
    name: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(u64, u64, Post), Status> {
    let (at, place) = messages::find(store, field, name, caller, now)?;
    let post = store.conversation(at).post(place).ok_or_else(|| refusal::not_found("message", name))?;
    Ok((at, place, post.clone()))
}

/// How many people gave each emoji, in the order in which the emoji were first given.
pub(super) fn summaries(reactions: &[Reaction]) -> Vec<EmojiReactionSummary> {
    let mut summaries: Vec<EmojiReactionSummary> = Vec::new();
    for reaction in reactions {
        match summaries.iter_mut().find(|summary| summary.emoji == reaction.emoji) {
            Some(summary) => summary.reaction_count = summary.reaction_count.map(|count| count + 1),
            None => summaries.push(EmojiReactionSummary { emoji: reaction.emoji.clone(), reaction_count: Some(1) }),
        }
    }
    summaries
}
