//! Spaces that are set up with members, and direct messages and group chats that are found.

use crate::support::{Stub, WIRES, alice, create, emulator, members, stub};
use google_chat::{
    Space, Wire,
    proto::google::chat::v1::{
        CreateMembershipRequest, CreateMessageRequest, FindDirectMessageRequest, FindGroupChatsRequest, Group,
        ListSpacesRequest, Membership, Message, SetUpSpaceRequest, SpaceView, User,
        membership::{MemberType, MembershipRole},
        space::{SpaceDetails, SpaceThreadingState, SpaceType},
        user,
    },
};
use tonic::Code;

fn member(name: &str, kind: user::Type) -> Membership {
    let user = User { name: name.to_owned(), r#type: kind as i32, ..User::default() };
    Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() }
}

fn people(names: &[&str]) -> Vec<Membership> {
    names.iter().map(|name| member(&format!("users/{name}@example.com"), user::Type::Human)).collect()
}

fn of(kind: SpaceType) -> Space {
    Space { space_type: kind as i32, ..Space::default() }
}

async fn set_up(stub: &mut Stub, space: Space, memberships: Vec<Membership>) -> Result<Space, tonic::Status> {
    let request = SetUpSpaceRequest { space: Some(space), memberships, request_id: String::new() };
    stub.set_up_space(request).await.map(tonic::Response::into_inner)
}

async fn find(stub: &mut Stub, name: &str) -> Result<Space, Code> {
    let request = FindDirectMessageRequest { name: name.to_owned() };
    stub.find_direct_message(request).await.map(tonic::Response::into_inner).map_err(|status| status.code())
}

#[tokio::test]
async fn a_space_is_set_up_with_people_and_groups() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut chat = alice(&emulator, wire);
        let group = MemberType::GroupMember(Group { name: "groups/1".to_owned() });
        let group = Membership { member_type: Some(group), ..Membership::default() };
        // The caller is added anyway, and nobody twice.
        let all = [people(&["bob", "alice", "carol", "bob"]), vec![group]].concat();
        let request =
            SetUpSpaceRequest { space: Some(Space::named("a")), memberships: all, request_id: "one".to_owned() };
        let made = chat.set_up_space(request.clone()).await.unwrap().into_inner();
        let count = made.membership_count.unwrap();
        assert_eq!((count.joined_direct_human_user_count, count.joined_group_count), (3, 1), "{wire}");
        let managers = members(&mut chat, &made.name, "role = \"ROLE_MANAGER\"").await;
        assert_eq!(managers.len(), 1, "{wire}");
        assert_eq!(chat.set_up_space(request.clone()).await.unwrap().into_inner(), made, "{wire}: a replay");
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        let status = bob.set_up_space(request).await.unwrap_err();
        assert!(status.message().contains("already used by another user"), "{wire}: {status}");
        let taken = set_up(&mut chat, Space::named("a"), Vec::new()).await.unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists, "{wire}");
        let app = set_up(&mut stub(&emulator, wire, "app"), Space::named("b"), Vec::new()).await.unwrap_err();
        assert!(app.message().contains("doesn't support app authentication"), "{wire}: {app}");
    }
}

#[tokio::test]
async fn a_direct_message_is_set_up_once() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, mut bob) = (alice(&emulator, wire), stub(&emulator, wire, "user:bob@example.com"));
        assert_eq!(find(&mut alice, "users/bob@example.com").await, Err(Code::NotFound), "{wire}");
        let made = set_up(&mut alice, of(SpaceType::DirectMessage), people(&["bob"])).await.unwrap();
        assert_eq!(
            (made.space_type(), made.single_user_bot_dm, made.space_threading_state()),
            (SpaceType::DirectMessage, false, SpaceThreadingState::UnthreadedMessages),
            "{wire}"
        );
        assert_eq!((&made.create_time, &made.customer, &made.access_settings), (&None, &None, &None), "{wire}");
        assert!(made.space_uri.contains("/dm/"), "{wire}: {}", made.space_uri);
        // Whoever asks, and by what name.
        assert_eq!(set_up(&mut bob, of(SpaceType::DirectMessage), people(&["alice"])).await.unwrap(), made, "{wire}");
        for person in members(&mut alice, &made.name, "").await {
            assert_eq!(person.role(), MembershipRole::RoleMember, "{wire}");
            let Some(MemberType::Member(user)) = person.member_type else { panic!("{wire}") };
            let found = [find(&mut alice, &user.name).await, find(&mut bob, &user.name).await];
            assert_eq!(found.into_iter().filter(|found| found.as_ref() == Ok(&made)).count(), 1, "{wire}");
        }
        assert_eq!(find(&mut alice, "users/carol@example.com").await, Err(Code::NotFound), "{wire}");
        assert_eq!(find(&mut alice, "bob").await, Err(Code::InvalidArgument), "{wire}");
        // It can have the app as a third, and no more people.
        let join = |member| CreateMembershipRequest {
            parent: made.name.clone(),
            membership: Some(member),
            ..Default::default()
        };
        alice.create_membership(join(member("users/app", user::Type::Bot))).await.unwrap();
        let status = alice.create_membership(join(people(&["carol"]).remove(0))).await.unwrap_err();
        assert!(
            status.code() == Code::FailedPrecondition && status.message().contains("set up a group chat"),
            "{status}"
        );
        assert!(find(&mut alice, "users/bob@example.com").await.is_ok(), "{wire}");
        assert_eq!(find(&mut alice, "users/app").await, Err(Code::NotFound), "{wire}");
    }
}

#[tokio::test]
async fn the_app_has_a_direct_message_of_its_own() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, mut app) = (alice(&emulator, wire), stub(&emulator, wire, "app"));
        let with_app = || Space { single_user_bot_dm: true, ..of(SpaceType::DirectMessage) };
        let made = set_up(&mut alice, with_app(), Vec::new()).await.unwrap();
        assert_eq!(set_up(&mut alice, with_app(), Vec::new()).await.unwrap(), made, "{wire}");
        assert_eq!(find(&mut alice, "users/app").await.unwrap(), made, "{wire}");
        let Some(MemberType::Member(user)) =
            members(&mut alice, &made.name, "member.type = HUMAN").await.remove(0).member_type
        else {
            panic!("{wire}")
        };
        assert_eq!(find(&mut app, &user.name).await.unwrap().name, made.name, "{wire}");
        assert_eq!(find(&mut app, "users/alice@example.com").await, Err(Code::InvalidArgument), "{wire}: as an app");
    }
}

#[tokio::test]
async fn what_cannot_be_set_up_is_refused_with_every_reason() {
    let emulator = emulator().await;
    let mut chat = alice(&emulator, Wire::HttpJson);
    let direct = || of(SpaceType::DirectMessage);
    let many: Vec<String> = (0..50).map(|at| format!("user{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let group = MemberType::GroupMember(Group { name: "groups/1".to_owned() });
    let group = Membership { member_type: Some(group), ..Membership::default() };
    let app = || vec![member("users/app", user::Type::Bot)];
    for (space, memberships, problem) in [
        (Space::default(), vec![], "space.space_type must be SPACE, GROUP_CHAT or DIRECT_MESSAGE"),
        (Space::named(""), vec![], "space.display_name is required for a space of the type SPACE"),
        (Space::named("a"), people(&many), "memberships has 50 memberships; at most 49 are allowed"),
        (Space::named("a"), app(), "memberships[0].member must be a person; an app is not set up with"),
        (Space::named("a"), vec![Membership::default()], "memberships[0].member is required"),
        (Space { import_mode: true, ..Space::named("a") }, vec![], "space.import_mode is for CreateSpace only"),
        (
            Space { single_user_bot_dm: true, ..Space::named("a") },
            vec![],
            "space.single_user_bot_dm is for direct messages",
        ),
        (direct(), vec![], "memberships must be one, of a person who is not the caller, for a direct message"),
        (direct(), people(&["alice"]), "memberships must be one, of a person who is not the caller"),
        (direct(), people(&["bob", "carol"]), "memberships must be one, of a person who is not the caller"),
        (direct(), vec![group.clone()], "memberships[0].group_member can be a member of named spaces only"),
        (
            Space { single_user_bot_dm: true, ..direct() },
            people(&["bob"]),
            "memberships must be empty for a direct message with the app",
        ),
        (
            Space { display_name: "x".to_owned(), ..direct() },
            people(&["bob"]),
            "space.display_name is for named spaces only",
        ),
        (
            Space { space_details: Some(SpaceDetails::default()), ..direct() },
            people(&["bob"]),
            "space.space_details are not for direct messages",
        ),
        (of(SpaceType::GroupChat), people(&["bob"]), "memberships must be at least two, without the caller"),
        (of(SpaceType::GroupChat), people(&["bob", "alice"]), "memberships must be at least two, without the caller"),
    ] {
        let status = set_up(&mut chat, space, memberships).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{problem}: {status}");
    }
    let status = set_up(&mut chat, of(SpaceType::GroupChat), vec![group; 2]).await.unwrap_err();
    assert!(status.message().contains("; memberships must be at least two"), "several at once: {status}");
    assert_eq!(emulator.spaces(), []);
}

#[tokio::test]
async fn group_chats_are_found_by_exactly_their_people() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let group = || of(SpaceType::GroupChat);
        let first = set_up(&mut alice, group(), people(&["bob", "carol"])).await.unwrap();
        let second = set_up(&mut alice, group(), people(&["carol", "bob"])).await.unwrap();
        assert_ne!(first.name, second.name, "{wire}: only direct messages are there once");
        set_up(&mut alice, group(), people(&["bob", "carol", "dave"])).await.unwrap();
        create(&mut alice, Space::named("a")).await;
        let find = |users: &[&str], page_token: &str, space_view: SpaceView| FindGroupChatsRequest {
            users: users.iter().map(|user| format!("users/{user}@example.com")).collect(),
            page_size: 1,
            page_token: page_token.to_owned(),
            space_view: space_view as i32,
        };
        let page =
            alice.find_group_chats(find(&["carol", "bob"], "", SpaceView::Unspecified)).await.unwrap().into_inner();
        let bare = Space { name: first.name.clone(), ..Space::default() };
        assert_eq!(page.spaces, [bare], "{wire}");
        let rest = find(&["carol", "bob"], &page.next_page_token, SpaceView::Unspecified);
        let rest = alice.find_group_chats(rest).await.unwrap().into_inner();
        assert_eq!((&rest.spaces[0].name, &*rest.next_page_token), (&second.name, ""), "{wire}");
        let expanded =
            alice.find_group_chats(find(&["bob", "carol"], "", SpaceView::Expanded)).await.unwrap().into_inner();
        assert_eq!(expanded.spaces, std::slice::from_ref(&first), "{wire}");
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        let found =
            bob.find_group_chats(find(&["alice", "carol"], "", SpaceView::Unspecified)).await.unwrap().into_inner();
        assert_eq!(found.spaces[0].name, first.name, "{wire}");
        let none = alice.find_group_chats(find(&["bob"], "", SpaceView::Unspecified)).await.unwrap().into_inner();
        assert_eq!(none.spaces, [], "{wire}");
        let many = alice.find_group_chats(find(&["bob"; 50], "", SpaceView::Unspecified)).await.unwrap_err();
        assert!(many.message().contains("users has 50 users; at most 49 are allowed"), "{wire}: {many}");
    }
}

#[tokio::test]
async fn what_has_no_name_is_listed_when_something_was_said() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let made = set_up(&mut alice, of(SpaceType::DirectMessage), people(&["bob"])).await.unwrap();
        assert_eq!(alice.list_spaces(ListSpacesRequest::default()).await.unwrap().into_inner().spaces, [], "{wire}");
        let message = Message { text: "Hello".to_owned(), ..Message::default() };
        let request = CreateMessageRequest { parent: made.name.clone(), message: Some(message), ..Default::default() };
        let said = alice.create_message(request).await.unwrap().into_inner();
        let listed = alice.list_spaces(ListSpacesRequest::default()).await.unwrap().into_inner().spaces;
        assert_eq!(listed, [Space { last_active_time: said.create_time, ..made }], "{wire}");
    }
}
