//! Spaces that a query finds (SearchSpaces).
//!
//! Sources: the comments of the official protos on the request.

use google_chat::proto::google::chat::v1::{
    SearchSpacesRequest, SearchSpacesResponse, Space, search_spaces_response::SearchSpaceResult, space::SpaceType,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    filter::{ADMIN_SEARCH, Condition, Filter, SEARCH},
    page::{Page, Position, micros},
    refusal,
    room::{MY_CUSTOMER, Room},
    store::Store,
};

/// What results are ordered by.
#[derive(Clone, Copy)]
enum Order {
    Created,
    Active,
    People,
}

/// Searches spaces: with an administrator's privileges the organization's, else those that
/// the caller has joined.
///
/// # Errors
///
/// INVALID_ARGUMENT.
pub(super) fn spaces(
    store: &Store,
    request: &SearchSpacesRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<SearchSpacesResponse, Status> {
    let SearchSpacesRequest { query, order_by, use_admin_access: admin, .. } = request;
    let page = Page::new(request.page_size, &request.page_token, (100, 1_000), (query, order_by, admin))?;
    let filter = if *admin { &ADMIN_SEARCH } else { &SEARCH }.parse(query)?;
    let asks = |field: &str| {
        let mut found = false;
        filter.visit(&mut |condition| found |= condition.field == field);
        found
    };
    for field in ["space_type", "customer"].into_iter().filter(|field| *admin || *field != "customer") {
        if !asks(field) {
            return Err(refusal::invalid_field("query", &format!("must have a condition on {field}")));
        }
    }
    let (order, descending) = order(order_by, *admin)?;
    // Without a name to look for, an ordinary search finds nothing.
    let finds = *admin || asks("display_name");
    let takes = |room: &Room| {
        finds
            && room.space.space_type == SpaceType::Space as i32
            && !room.space.import_mode
            && (*admin || room.role(caller).is_some())
            && is_taken(&room.space, &filter)
    };
    let mut found: Vec<(Position, &Room)> = store
        .after(0, now)
        .filter(|(_, room)| takes(room))
        .map(|(at, room)| (position(at, room, order, descending), room))
        .collect();
    found.sort_unstable_by_key(|(position, _)| *position);
    let total_size = i32::try_from(found.len()).unwrap_or(i32::MAX);
    let (rooms, next_page_token) = page.cut(found.into_iter());
    let spaces: Vec<Space> = rooms.into_iter().map(|room| room.listed(caller)).collect();
    let results = spaces.iter().map(|space| SearchSpaceResult { space: Some(space.clone()) }).collect();
    #[allow(deprecated, reason = "administrators get both")]
    Ok(SearchSpacesResponse { spaces: if *admin { spaces } else { Vec::new() }, next_page_token, total_size, results })
}

fn order(order_by: &str, admin: bool) -> Result<(Order, bool), Status> {
    let mut words = order_by.split_whitespace();
    let (field, direction) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let order = match field {
        "" => return Ok((Order::Created, !admin)),
        // The newest first is the emulator's relevance.
        "relevance" if !admin => Some(Order::Created),
        "create_time" | "createTime" => Some(Order::Created),
        "last_active_time" | "lastActiveTime" if admin => Some(Order::Active),
        "membership_count.joined_direct_human_user_count" | "membershipCount.joinedDirectHumanUserCount" if admin => {
            Some(Order::People)
        }
        _ => None,
    };
    let descending = match direction.to_ascii_uppercase().as_str() {
        "" | "ASC" if admin => Some(false),
        "DESC" => Some(true),
        _ => None,
    };
    match (order, descending, words.next()) {
        (Some(order), Some(descending), None) => Ok((order, descending)),
        _ if admin => Err(refusal::invalid_field(
            "order_by",
            "must be create_time, last_active_time or membership_count.joined_direct_human_user_count, with ASC or DESC",
        )),
        _ => Err(refusal::invalid_field("order_by", "must be create_time DESC or relevance DESC")),
    }
}

fn position(at: u64, room: &Room, order: Order, descending: bool) -> Position {
    let key = match order {
        Order::Created => micros(room.space.create_time),
        Order::Active => micros(room.space.last_active_time),
        Order::People => room.people().count() as u64,
    };
    if descending { (u64::MAX - key, u64::MAX - at) } else { (key, at) }
}

fn is_taken(space: &Space, filter: &Filter) -> bool {
    filter.takes(&|condition: &Condition| match condition.field {
        "space_type" => condition.holds_for(space.space_type),
        "external_user_allowed" => condition.holds_for(space.external_user_allowed.into()),
        "space_history_state" => condition.holds_for(space.space_history_state),
        "create_time" => condition.holds_for_time(space.create_time.as_ref()),
        "last_active_time" => condition.holds_for_time(space.last_active_time.as_ref()),
        "display_name" => condition.text().is_some_and(|text| has_words(&space.display_name, text)),
        // The one customer that can be asked for is the caller's own.
        _ => space.customer.as_deref() == Some(MY_CUSTOMER),
    })
}

/// Whether each word of a text begins a word of a name, whatever the case: `Fun Eve` is in
/// `The evening was fun`, and not in `notFun event`.
fn has_words(name: &str, text: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let in_name = words(name);
    words(text).iter().all(|word| in_name.iter().any(|one| one.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_the_beginnings_of_its_words() {
        for (name, found) in [
            ("Fun event", true),
            ("The evening was fun", true),
            ("notFun event", false),
            ("even", false),
            ("FUN-EVENT", true),
        ] {
            assert_eq!(has_words(name, "Fun Eve"), found, "{name}");
        }
    }
}
