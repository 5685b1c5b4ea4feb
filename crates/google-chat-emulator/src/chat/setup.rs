//! Spaces with their first members (SetUpSpace), and those of certain people: direct
//! messages and group chats.
//!
//! Sources: the comments of the official protos on the requests.

use std::collections::BTreeSet;

use google_chat::proto::google::chat::v1::{
    FindGroupChatsRequest, FindGroupChatsResponse, Membership, SetUpSpaceRequest, Space, SpaceView,
    membership::{MemberType, MembershipRole},
    space::SpaceType,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    members::Kind,
    names::{self, member_id},
    page::Page,
    refusal,
    room::Room,
    rules::{self, Violations},
    store::Store,
};
use crate::Settings;

/// How many memberships a request may have.
const MEMBERSHIPS: usize = 49;

/// Sets up a space, or returns the one that the request id made, or the direct message that
/// there is.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation, ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
pub(super) fn set_up(
    store: &mut Store,
    request: SetUpSpaceRequest,
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<Space, Status> {
    if let Some(made) = store.replay(&request.request_id, caller, now)? {
        return Ok(made);
    }
    let space = request.space.ok_or_else(refusal::no_space)?;
    let own = caller.member();
    let mut seen = BTreeSet::from([own.clone()]);
    // The caller is a member anyway, and nobody is one twice.
    let mut others = request.memberships;
    others.retain(|member| id(member).is_none_or(|id| seen.insert(id)));
    check(&space, &others, caller, now, settings)?;
    if space.space_type == SpaceType::DirectMessage as i32 {
        let other =
            if space.single_user_bot_dm { "app".to_owned() } else { others.first().and_then(id).unwrap_or_default() };
        if let Some(room) = store.direct_message(&own, &other) {
            return Ok(room.seen(caller));
        }
    }
    let direct_to_app = space.single_user_bot_dm;
    store.make(space, &request.request_id, caller, now, settings, |room| {
        if direct_to_app {
            room.join("app".to_owned(), MembershipRole::RoleMember, now);
        }
        for member in others {
            room.enter(member, now, settings);
        }
    })
}

/// The id of a person, or the name of a group.
fn id(member: &Membership) -> Option<String> {
    match &member.member_type {
        Some(MemberType::Member(user)) => Some(member_id(&user.name)),
        Some(MemberType::GroupMember(group)) => Some(group.name.clone()),
        None => None,
    }
}

fn check(
    space: &Space,
    others: &[Membership],
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<(), Status> {
    let mut violations = Violations::default();
    for (at, member) in others.iter().enumerate() {
        let field = format!("memberships[{at}]");
        rules::check_member(&mut violations, &field, member);
        match Kind::of(member) {
            Kind::App => violations.add(&format!("{field}.member"), "must be a person; an app is not set up with"),
            Kind::Group if space.space_type != SpaceType::Space as i32 => {
                violations.add(&format!("{field}.group_member"), "can be a member of named spaces only");
            }
            _ => {}
        }
    }
    if others.len() > MEMBERSHIPS {
        let problem = format!("has {} memberships; at most {MEMBERSHIPS} are allowed", others.len());
        violations.add("memberships", problem);
    }
    if space.import_mode {
        violations.add("space.import_mode", "is for CreateSpace only");
    }
    let kind = SpaceType::try_from(space.space_type).unwrap_or_default();
    let direct = kind == SpaceType::DirectMessage;
    let problem = match (kind, others.len()) {
        (SpaceType::DirectMessage, 1..) if space.single_user_bot_dm => {
            Some("must be empty for a direct message with the app")
        }
        (SpaceType::DirectMessage, count) if count != 1 && !space.single_user_bot_dm => {
            Some("must be one, of a person who is not the caller, for a direct message")
        }
        (SpaceType::GroupChat, 0..2) => Some("must be at least two, without the caller, for a group chat"),
        _ => None,
    };
    if let Some(problem) = problem {
        violations.add("memberships", problem);
    }
    if kind != SpaceType::Space && !space.display_name.is_empty() {
        violations.add("space.display_name", "is for named spaces only");
    }
    if direct && space.space_details.is_some() {
        violations.add("space.space_details", "are not for direct messages");
    }
    if space.single_user_bot_dm && !direct {
        violations.add("space.single_user_bot_dm", "is for direct messages only");
    }
    if kind == SpaceType::Unspecified {
        violations.add("space.space_type", "must be SPACE, GROUP_CHAT or DIRECT_MESSAGE");
    }
    rules::check_space(&mut violations, space, caller, now.seconds, settings);
    violations.result()
}

/// The direct message of the caller with somebody.
///
/// # Errors
///
/// NOT_FOUND, or INVALID_ARGUMENT.
pub(super) fn find_direct_message(store: &Store, name: &str, caller: &Caller) -> Result<Space, Status> {
    let [user] = names::variables("name", name, "users/{user}")?;
    if caller.is_app() && user.contains('@') {
        return Err(refusal::invalid_field("name", "must have the user's id; an address is for user authentication"));
    }
    let room = store.direct_message(&caller.member(), &member_id(user));
    room.map(|room| room.seen(caller)).ok_or_else(|| refusal::not_found("direct message with", name))
}

/// The group chats of the caller with certain people and nobody else.
///
/// # Errors
///
/// INVALID_ARGUMENT, or PERMISSION_DENIED.
pub(super) fn find_group_chats(
    store: &Store,
    request: &FindGroupChatsRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<FindGroupChatsResponse, Status> {
    let FindGroupChatsRequest { users, space_view, .. } = request;
    let page = Page::new(request.page_size, &request.page_token, (10, 30), (users, space_view))?;
    if users.len() > MEMBERSHIPS {
        let problem = format!("has {} users; at most {MEMBERSHIPS} are allowed", users.len());
        return Err(refusal::invalid_field("users", &problem));
    }
    let expanded = request.space_view() == SpaceView::Expanded;
    if expanded && !caller.grant.anonymous && !caller.has("chat.spaces") && !caller.has("chat.spaces.readonly") {
        return Err(refusal::no_scope(caller.method));
    }
    let mut people = BTreeSet::from([caller.member()]);
    for name in users {
        let [user] = names::variables("users", name, "users/{user}")?;
        people.insert(member_id(user));
    }
    let is = |room: &Room| {
        let found: BTreeSet<&str> = room.people().collect();
        room.space.space_type == SpaceType::GroupChat as i32
            && !room.space.import_mode
            && found.len() == people.len()
            && people.iter().all(|one| found.contains(one.as_str()))
    };
    let rooms = store.after(0, now).filter(|(_, room)| is(room)).map(|(at, room)| ((at, 0), room));
    let (rooms, next_page_token) = page.cut(rooms);
    let shown = |room: &Room| match expanded {
        true => room.listed(caller),
        false => Space { name: room.space.name.clone(), ..Space::default() },
    };
    Ok(FindGroupChatsResponse { spaces: rooms.into_iter().map(shown).collect(), next_page_token })
}
