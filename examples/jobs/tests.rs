//! Each job against the emulator, and what it leaves there.

#[allow(dead_code, reason = "the test is its main")]
mod class_rooms;
#[allow(dead_code, reason = "the test is its main")]
mod direct_message;
#[allow(dead_code, reason = "the test is its main")]
mod incident_room;
#[allow(dead_code, reason = "the test is its main")]
mod slack_migration;

use google_chat::{
    Client, Membership, Message,
    proto::google::chat::v1::{ListMembershipsRequest, ListMessagesRequest, membership::MembershipRole},
};
use google_chat_emulator::Fault;
use jobs_example::There;

async fn messages(chat: &Client, space: &str) -> Vec<Message> {
    let mut items = chat.list_messages(ListMessagesRequest::of(space)).items();
    let mut messages = Vec::new();
    while let Some(message) = items.next().await {
        messages.push(message.unwrap());
    }
    messages
}

async fn members(chat: &Client, space: &str) -> Vec<Membership> {
    let mut items = chat.list_memberships(ListMembershipsRequest { show_groups: true, ..space.into() }).items();
    let mut members = Vec::new();
    while let Some(member) = items.next().await {
        members.push(member.unwrap());
    }
    members
}

#[tokio::test]
async fn an_incident_is_told_in_one_thread_and_closed() {
    let there = There::emulator().await.unwrap();
    let room = incident_room::run(&there).await.unwrap();
    assert_eq!(room.display_name, "Closed: Incident 7: the database is slow");
    let alice = there.person("alice@example.com").unwrap();
    let told = messages(&alice, &room.name).await;
    assert_eq!((told.len(), told[0].cards_v2.len()), (4, 1));
    let thread = |message: &Message| message.thread.as_ref().unwrap().name.clone();
    assert!(told.iter().all(|message| thread(message) == thread(&told[0])), "{told:?}");
    // Alice, Bob, the group and the app.
    assert_eq!(members(&alice, &room.name).await.len(), 4);
}

#[tokio::test]
async fn a_channel_moves_with_its_times_authors_and_attachment() {
    let there = There::emulator().await.unwrap();
    let space = slack_migration::run(&there).await.unwrap();
    assert!(!space.import_mode && space.create_time.unwrap().to_string() == "2019-03-01T09:00:00Z", "{space:?}");
    let alice = there.person("alice@example.com").unwrap();
    let told = messages(&alice, &space.name).await;
    let times: Vec<String> = told.iter().map(|message| message.create_time.unwrap().to_string()).collect();
    assert_eq!(times, ["2019-03-02T10:05:00Z", "2019-03-02T10:06:00Z"]);
    let senders: Vec<&str> = told.iter().map(|message| &*message.sender.as_ref().unwrap().name).collect();
    assert_ne!(senders[0], senders[1]);
    assert_eq!(told[1].attachment[0].content_name, "plan.txt");
    // Bob has left.
    assert_eq!(members(&alice, &space.name).await.len(), 1);
}

#[tokio::test]
async fn class_rooms_are_made_once_with_their_owner() {
    let there = There::emulator().await.unwrap();
    let emulator = there.as_emulator().unwrap();
    // A connection breaks off when the first room is made, and the program is run again.
    emulator.fail_next(Fault::ResetAfter);
    let first = class_rooms::run(&there).await.unwrap();
    let again = class_rooms::run(&there).await.unwrap();
    let names = |rooms: &[google_chat::Space]| rooms.iter().map(|room| room.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&again));
    assert_eq!(emulator.spaces().len(), 2);
    let office = there.person("office@example.com").unwrap();
    for (room, count) in again.iter().zip([4, 5]) {
        let members = members(&office, &room.name).await;
        let owners = members.iter().filter(|member| member.role() == MembershipRole::RoleManager).count();
        assert_eq!((members.len(), owners), (count, 2), "{members:?}");
    }
}

#[tokio::test]
async fn a_direct_message_is_set_up_once_and_found_then() {
    let there = There::emulator().await.unwrap();
    let alice = there.person("alice@example.com").unwrap();
    let mut spaces = Vec::new();
    for text in ["one", "two"] {
        let sent = direct_message::send(&alice, "bob@example.com", text).await.unwrap();
        spaces.push(sent.name.split("/messages/").next().unwrap().to_owned());
    }
    assert_eq!(spaces[0], spaces[1]);
    let told: Vec<String> = messages(&alice, &spaces[0]).await.into_iter().map(|message| message.text).collect();
    assert_eq!(told, ["one", "two"]);
}
