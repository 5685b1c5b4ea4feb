//! Members: who may add and remove whom, and who is listed.

use std::time::Duration;

use crate::support::{Stub, WIRES, alice, create, emulator, members, stub};
use google_chat::{
    Client, Space, Wire,
    proto::google::chat::v1::{
        CompleteImportSpaceRequest, CreateMembershipRequest, DeleteMembershipRequest, DeleteSpaceRequest,
        GetMembershipRequest, GetSpaceRequest, Group, ListMembershipsRequest, Membership, UpdateMembershipRequest,
        User,
        membership::{Affiliation, MemberType, MembershipRole, MembershipState},
        space::{PermissionSetting, PermissionSettings, SpacePermissionSettings},
        user,
    },
};
use google_chat_emulator::Emulator;
use prost_types::{FieldMask, Timestamp};
use tonic::Code;

fn human(email: &str) -> Membership {
    let name = format!("users/{email}");
    let user = User { name, r#type: user::Type::Human as i32, ..User::default() };
    Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() }
}

fn the_app() -> Membership {
    let user = User { name: "users/app".to_owned(), r#type: user::Type::Bot as i32, ..User::default() };
    Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() }
}

async fn add(stub: &mut Stub, space: &str, member: Membership) -> Result<Membership, tonic::Status> {
    let request = CreateMembershipRequest { parent: space.to_owned(), membership: Some(member), ..Default::default() };
    stub.create_membership(request).await.map(tonic::Response::into_inner)
}

async fn remove(stub: &mut Stub, name: String) -> Result<(), Code> {
    let request = DeleteMembershipRequest { name, use_admin_access: false };
    stub.delete_membership(request).await.map(drop).map_err(|status| status.code())
}

async fn get(stub: &mut Stub, name: String) -> Result<Membership, Code> {
    let request = GetMembershipRequest { name, use_admin_access: false };
    stub.get_membership(request).await.map(tonic::Response::into_inner).map_err(|status| status.code())
}

#[tokio::test]
async fn a_plain_member_removes_the_app_unless_only_managers_may() {
    for wire in WIRES {
        for only_managers in [false, true] {
            let emulator = emulator().await;
            let mut app = stub(&emulator, wire, "app");
            let managers = PermissionSetting { managers_allowed: true, ..PermissionSetting::default() };
            let settings = PermissionSettings { manage_apps: Some(managers), ..PermissionSettings::default() };
            let space = Space {
                customer: Some("customers/my_customer".to_owned()),
                space_permission_settings: only_managers
                    .then_some(SpacePermissionSettings::PermissionSettings(settings)),
                ..Space::named("a")
            };
            let space = create(&mut app, space).await;
            assert_eq!(space.membership_count.unwrap().joined_direct_human_user_count, 0, "{wire}");
            // The app is a plain member, and the only one. To apps no app is listed.
            assert_eq!(members(&mut app, &space.name, "").await, [], "{wire}");
            let own = get(&mut app, format!("{}/members/app", space.name)).await.unwrap();
            assert_eq!(own.role(), MembershipRole::RoleMember, "{wire}");
            add(&mut app, &space.name, human("bob@example.com")).await.unwrap();
            let again = add(&mut app, &space.name, human("bob@example.com")).await.unwrap_err();
            assert_eq!(again.code(), Code::AlreadyExists, "{wire}");
            let mut bob = stub(&emulator, wire, "user:bob@example.com");
            let outcome = remove(&mut bob, format!("{}/members/app", space.name)).await;
            let expected = if only_managers { Err(Code::PermissionDenied) } else { Ok(()) };
            assert_eq!(outcome, expected, "{wire}");
            let left = members(&mut bob, &space.name, "").await.len();
            assert_eq!(left, if only_managers { 2 } else { 1 }, "{wire}");
        }
    }
}

#[tokio::test]
async fn members_come_and_go() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut chat = alice(&emulator, wire);
        let space = create(&mut chat, Space::named("a")).await;
        let first = members(&mut chat, &space.name, "").await;
        assert_eq!((first.len(), first[0].role()), (1, MembershipRole::RoleManager), "{wire}");
        // What only the server says is ignored.
        let mut claimed = human("bob@example.com");
        claimed.set_affiliation(Affiliation::Internal);
        claimed.set_state(MembershipState::Invited);
        if let Some(MemberType::Member(user)) = &mut claimed.member_type {
            user.display_name = "Bob".to_owned();
            user.email = "bob@example.com".to_owned();
            user.avatar_url = "https://example.com/bob.png".to_owned();
            user.is_anonymous = true;
        }
        let added = add(&mut chat, &space.name, claimed).await.unwrap();
        let Some(MemberType::Member(user)) = &added.member_type else { panic!("{wire}: {added:?}") };
        let bare = User { name: user.name.clone(), r#type: user::Type::Human as i32, ..User::default() };
        assert_eq!((added.affiliation(), added.state()), (Affiliation::Unspecified, MembershipState::Joined), "{wire}");
        assert_eq!(*user, bare, "{wire}");
        add(&mut chat, &space.name, the_app()).await.unwrap();
        let group = MemberType::GroupMember(Group { name: "groups/1".to_owned() });
        add(&mut chat, &space.name, Membership { member_type: Some(group), ..Membership::default() }).await.unwrap();
        for (filter, count) in [
            // Groups are not shown unless they are asked for.
            ("", 3),
            ("role = \"ROLE_MANAGER\"", 1),
            ("member.type = \"BOT\"", 1),
            ("member.type != \"BOT\" AND role = \"ROLE_MEMBER\"", 1),
        ] {
            assert_eq!(members(&mut chat, &space.name, filter).await.len(), count, "{wire} {filter}");
        }
        let request = ListMembershipsRequest { parent: space.name.clone(), show_groups: true, ..Default::default() };
        assert_eq!(chat.list_memberships(request).await.unwrap().into_inner().memberships.len(), 4, "{wire}");
        let request = GetSpaceRequest { name: space.name.clone(), use_admin_access: false };
        let count = chat.get_space(request).await.unwrap().into_inner().membership_count.unwrap();
        assert_eq!((count.joined_direct_human_user_count, count.joined_group_count), (2, 1), "{wire}");
        // Whoever is in a space may leave it.
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        assert_eq!(remove(&mut bob, format!("{}/members/bob@example.com", space.name)).await, Ok(()), "{wire}");
        let gone = remove(&mut bob, format!("{}/members/bob@example.com", space.name)).await;
        assert_eq!(gone, Err(Code::PermissionDenied), "{wire}");
        for member in [Membership::default(), human(""), Membership { member_type: None, ..the_app() }] {
            let error = add(&mut chat, &space.name, member).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wire}");
        }
    }
}

fn group(id: &str) -> Membership {
    let group = Group { name: format!("groups/{id}") };
    Membership { member_type: Some(MemberType::GroupMember(group)), ..Membership::default() }
}

async fn set_role(stub: &mut Stub, name: String, role: MembershipRole) -> Result<MembershipRole, Code> {
    let membership = Membership { name, role: role as i32, ..Membership::default() };
    let update_mask = Some(FieldMask { paths: vec!["role".to_owned()] });
    let request = UpdateMembershipRequest { membership: Some(membership), update_mask, use_admin_access: false };
    let outcome = stub.update_membership(request).await;
    outcome.map(|updated| updated.into_inner().role()).map_err(|status| status.code())
}

/// A space of Alice's with Bob as a manager by the name of the UI, and Carol as a member.
async fn three(emulator: &Emulator, wire: Wire) -> (Stub, Space) {
    let mut alice = alice(emulator, wire);
    let space = create(&mut alice, Space::named("a")).await;
    for person in ["bob@example.com", "carol@example.com"] {
        add(&mut alice, &space.name, human(person)).await.unwrap();
    }
    let bob = format!("{}/members/bob@example.com", space.name);
    set_role(&mut alice, bob, MembershipRole::RoleAssistantManager).await.unwrap();
    (alice, space)
}

#[tokio::test]
async fn roles_are_given_by_those_who_may() {
    use MembershipRole::{RoleAssistantManager as Assistant, RoleManager as Manager, RoleMember as Member};
    let denied = Err(Code::PermissionDenied);
    for wire in WIRES {
        let emulator = emulator().await;
        let (_, space) = three(&emulator, wire).await;
        for (who, whom, role, expected) in [
            ("bob", "carol", Assistant, Ok(Assistant)),
            ("bob", "carol", Member, Ok(Member)),
            ("bob", "carol", Manager, denied),
            ("bob", "alice", Member, denied),
            ("carol", "bob", Member, denied),
            ("mallory", "bob", Member, denied),
            ("alice", "nobody", Member, Err(Code::NotFound)),
            ("alice", "carol", MembershipRole::Unspecified, Err(Code::InvalidArgument)),
            ("alice", "carol", Manager, Ok(Manager)),
            ("carol", "alice", Member, Ok(Member)),
        ] {
            let mut stub = stub(&emulator, wire, &format!("user:{who}@example.com"));
            let name = format!("{}/members/{whom}@example.com", space.name);
            assert_eq!(set_role(&mut stub, name, role).await, expected, "{wire} {who} {whom} {role:?}");
        }
        // Now Carol alone is an owner, whom nobody else removes.
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        assert_eq!(remove(&mut bob, format!("{}/members/carol@example.com", space.name)).await, denied.map(drop));
        assert_eq!(remove(&mut bob, format!("{}/members/alice@example.com", space.name)).await, Ok(()), "{wire}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_members_role_is_refused() {
    let emulator = emulator().await;
    let (mut alice, space) = three(&emulator, Wire::HttpJson).await;
    add(&mut alice, &space.name, the_app()).await.unwrap();
    let bob = format!("{}/members/bob@example.com", space.name);
    for (name, paths, problem) in [
        (&bob, vec![], "update_mask is required"),
        (&bob, vec!["state"], "update_mask state cannot be updated"),
        (&format!("{}/members/app", space.name), vec!["role"], "membership.name must be that of a person"),
        (&"spaces/a/members".to_owned(), vec!["role"], "no HTTP binding"),
    ] {
        let membership =
            Membership { name: name.clone(), role: MembershipRole::RoleMember as i32, ..Default::default() };
        let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let request = UpdateMembershipRequest { membership: Some(membership), update_mask, use_admin_access: false };
        let status = alice.update_membership(request).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{name}: {status}");
    }
}

#[tokio::test]
async fn a_member_is_found_by_id_address_or_as_the_app() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, space) = three(&emulator, wire).await;
        add(&mut alice, &space.name, the_app()).await.unwrap();
        add(&mut alice, &space.name, group("1")).await.unwrap();
        let by = |id: &str| format!("{}/members/{id}", space.name);
        let bob = get(&mut alice, by("bob@example.com")).await.unwrap();
        assert_eq!(bob.role(), MembershipRole::RoleAssistantManager, "{wire}");
        assert_eq!(get(&mut alice, bob.name.clone()).await.unwrap(), bob, "{wire}");
        assert!(get(&mut alice, by("app")).await.is_ok(), "{wire}");
        let made = get(&mut alice, by("group.1")).await.unwrap();
        assert_eq!((made.role(), made.state()), (MembershipRole::Unspecified, MembershipState::Joined), "{wire}");
        let mut app = stub(&emulator, wire, "app");
        assert_eq!(get(&mut app, by("bob@example.com")).await.unwrap(), bob, "{wire}");
        assert_eq!(get(&mut app, by("group.1")).await, Err(Code::PermissionDenied), "{wire}");
        assert_eq!(get(&mut alice, by("dave@example.com")).await, Err(Code::NotFound), "{wire}");
        let mut dave = stub(&emulator, wire, "user:dave@example.com");
        assert_eq!(get(&mut dave, by("bob@example.com")).await, Err(Code::PermissionDenied), "{wire}");
    }
}

/// Whom a caller cannot add, with the reason.
#[tokio::test]
async fn not_everybody_adds_everybody() {
    let emulator = emulator().await;
    let (mut alice, space) = three(&emulator, Wire::HttpJson).await;
    add(&mut alice, &space.name, the_app()).await.unwrap();
    let other_app = Membership {
        member_type: Some(MemberType::Member(User {
            name: "users/1".to_owned(),
            r#type: user::Type::Bot as i32,
            ..User::default()
        })),
        ..Membership::default()
    };
    let past = Membership { delete_time: Some(Timestamp { seconds: 1, nanos: 0 }), ..human("dave@example.com") };
    for (token, member, code, part) in [
        ("app", group("1"), Code::PermissionDenied, "doesn't support app authentication"),
        ("app", the_app(), Code::PermissionDenied, "doesn't support app authentication"),
        ("user:mallory@example.com", human("dave@example.com"), Code::PermissionDenied, "may not see this space"),
        (
            "user:alice@example.com",
            other_app,
            Code::InvalidArgument,
            "membership.member.type must be BOT for users/app",
        ),
        ("user:alice@example.com", group("a@example.com"), Code::InvalidArgument, "must have the group's id"),
        ("user:alice@example.com", past, Code::InvalidArgument, "can be set in import mode only"),
        ("user:alice@example.com", human("bob@example.com"), Code::AlreadyExists, "already exists"),
        ("user:alice@example.com", Membership::default(), Code::InvalidArgument, "membership.member is required"),
    ] {
        let status = add(&mut stub(&emulator, Wire::HttpJson, token), &space.name, member).await.unwrap_err();
        assert!(status.code() == code && status.message().contains(part), "{token}: {status}");
    }
    // Only an update gives a role.
    let manager = Membership { role: MembershipRole::RoleManager as i32, ..human("dave@example.com") };
    assert_eq!(add(&mut alice, &space.name, manager).await.unwrap().role(), MembershipRole::RoleMember);
    emulator.configure(|settings| settings.auto_accept = false);
    let erin = add(&mut alice, &space.name, human("erin@example.com")).await.unwrap();
    assert_eq!(erin.state(), MembershipState::Invited);
    let count = |show_invited: bool| {
        let mut alice = alice.clone();
        let request = ListMembershipsRequest { parent: space.name.clone(), show_invited, ..Default::default() };
        async move { alice.list_memberships(request).await.unwrap().into_inner().memberships.len() }
    };
    assert_eq!((count(false).await, count(true).await), (5, 6));
    let mut erin = stub(&emulator, Wire::HttpJson, "user:erin@example.com");
    let request = GetSpaceRequest { name: space.name.clone(), use_admin_access: false };
    assert_eq!(
        erin.get_space(request).await.unwrap_err().code(),
        Code::PermissionDenied,
        "who is invited is no member"
    );
}

#[tokio::test]
async fn the_scope_for_the_app_adds_nobody_else() {
    let emulator = Emulator::start().await.unwrap();
    let user = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
    let with = |scope: &str| {
        let builder = Client::builder().endpoint(emulator.endpoint()).credentials(user.clone()).wire(Wire::HttpJson);
        builder.scopes([scope]).checks(false).build().unwrap().stub()
    };
    let space = create(&mut with("chat.spaces"), Space::named("a")).await;
    let mut narrow = with("chat.memberships.app");
    add(&mut narrow, &space.name, the_app()).await.unwrap();
    let status = add(&mut narrow, &space.name, human("bob@example.com")).await.unwrap_err();
    assert!(status.message().contains("insufficient authentication scopes"), "{status}");
    assert_eq!(remove(&mut narrow, format!("{}/members/app", space.name)).await, Ok(()));
}

/// Administrators manage spaces that they are not in, but no apps.
#[tokio::test]
async fn administrators_manage_people_everywhere() {
    for wire in WIRES {
        let emulator = emulator().await;
        emulator.configure(|settings| settings.administrators = Some(vec!["root@example.com".to_owned()]));
        let (mut alice, space) = three(&emulator, wire).await;
        add(&mut alice, &space.name, the_app()).await.unwrap();
        let mut root = stub(&emulator, wire, "user:root@example.com");
        let list = |filter: &str, use_admin_access: bool| ListMembershipsRequest {
            parent: space.name.clone(),
            filter: filter.to_owned(),
            use_admin_access,
            ..ListMembershipsRequest::default()
        };
        let denied = alice.list_memberships(list("member.type = \"HUMAN\"", true)).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied, "{wire}: she is no administrator");
        assert_eq!(root.list_memberships(list("", false)).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
        for (filter, count) in [
            ("member.type = \"HUMAN\"", Ok(3)),
            ("member.type != \"BOT\" AND role = \"ROLE_MANAGER\"", Ok(1)),
            ("", Err(Code::InvalidArgument)),
            ("member.type = \"BOT\"", Err(Code::InvalidArgument)),
        ] {
            let found = root.list_memberships(list(filter, true)).await;
            let found = found.map(|all| all.into_inner().memberships.len()).map_err(|status| status.code());
            assert_eq!(found, count, "{wire} {filter}");
        }
        let admin = |member: Membership| CreateMembershipRequest {
            parent: space.name.clone(),
            membership: Some(member),
            use_admin_access: true,
        };
        root.create_membership(admin(human("dave@example.com"))).await.unwrap();
        assert_eq!(root.create_membership(admin(the_app())).await.unwrap_err().code(), Code::InvalidArgument, "{wire}");
        let name = format!("{}/members/app", space.name);
        let request = GetMembershipRequest { name, use_admin_access: true };
        assert_eq!(root.get_membership(request).await.unwrap_err().code(), Code::InvalidArgument, "{wire}");
        let name = format!("{}/members/alice@example.com", space.name);
        root.delete_membership(DeleteMembershipRequest { name, use_admin_access: true }).await.unwrap();
    }
}

#[tokio::test]
async fn memberships_are_listed_by_pages_of_one_call() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, space) = three(&emulator, wire).await;
        let list = |page_token: &str, filter: &str| ListMembershipsRequest {
            parent: space.name.clone(),
            page_size: 2,
            page_token: page_token.to_owned(),
            filter: filter.to_owned(),
            ..ListMembershipsRequest::default()
        };
        let first = alice.list_memberships(list("", "")).await.unwrap().into_inner();
        let second = alice.list_memberships(list(&first.next_page_token, "")).await.unwrap().into_inner();
        assert_eq!((first.memberships.len(), second.memberships.len(), &*second.next_page_token), (2, 1, ""), "{wire}");
        let other = alice.list_memberships(list(&first.next_page_token, "role = ROLE_MEMBER")).await.unwrap_err();
        assert!(other.message().contains("page_token is of a call with other arguments"), "{wire}: {other}");
    }
}

#[tokio::test]
async fn memberships_have_a_quota_of_their_own() {
    let emulator = emulator().await;
    emulator.configure(|settings| settings.membership_writes_per_minute = Some(1));
    let mut alice = alice(&emulator, Wire::Grpc);
    let space = create(&mut alice, Space::named("a")).await;
    add(&mut alice, &space.name, human("bob@example.com")).await.unwrap();
    let status = add(&mut alice, &space.name, human("carol@example.com")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1 membership writes per minute"), "{status}");
    create(&mut alice, Space::named("b")).await;
    emulator.advance(Duration::from_secs(60));
    add(&mut alice, &space.name, human("carol@example.com")).await.unwrap();
}

#[tokio::test]
async fn who_created_a_space_and_left_it_sees_it_no_more() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, space) = three(&emulator, wire).await;
        assert_eq!(remove(&mut alice, format!("{}/members/alice@example.com", space.name)).await, Ok(()), "{wire}");
        let get = |name: &str| GetSpaceRequest { name: name.to_owned(), use_admin_access: false };
        let status = alice.get_space(get(&space.name)).await.unwrap_err();
        assert!(status.message().contains("may not see this space"), "{wire}: {status}");
        let delete = |name: &str| DeleteSpaceRequest { name: name.to_owned(), use_admin_access: false };
        assert_eq!(alice.delete_space(delete(&space.name)).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");

        let mut app = stub(&emulator, wire, "app");
        let customer = Some("customers/my_customer".to_owned());
        let space = create(&mut app, Space { customer, ..Space::named("b") }).await;
        add(&mut app, &space.name, human("bob@example.com")).await.unwrap();
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        assert_eq!(remove(&mut bob, format!("{}/members/app", space.name)).await, Ok(()), "{wire}");
        assert_eq!(app.get_space(get(&space.name)).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
        // It may delete what it created all the same.
        app.delete_space(delete(&space.name)).await.unwrap();
    }
}

#[tokio::test]
async fn who_completes_an_import_becomes_the_manager_though_a_member_before() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let space = create(&mut alice, Space { import_mode: true, ..Space::named("a") }).await;
        add(&mut alice, &space.name, human("alice@example.com")).await.unwrap();
        alice.complete_import_space(CompleteImportSpaceRequest { name: space.name.clone() }).await.unwrap();
        let all = members(&mut alice, &space.name, "").await;
        assert_eq!((all.len(), all[0].role()), (1, MembershipRole::RoleManager), "{wire}");
    }
}

#[tokio::test]
async fn no_member_is_left_out_when_another_goes_between_two_pages() {
    let emulator = emulator().await;
    let (mut alice, space) = three(&emulator, Wire::Grpc).await;
    let first = ListMembershipsRequest { parent: space.name.clone(), page_size: 2, ..Default::default() };
    let page = alice.list_memberships(first.clone()).await.unwrap().into_inner();
    assert_eq!(remove(&mut alice, format!("{}/members/bob@example.com", space.name)).await, Ok(()));
    let rest = ListMembershipsRequest { page_token: page.next_page_token, ..first };
    let rest = alice.list_memberships(rest).await.unwrap().into_inner();
    let carol = get(&mut alice, format!("{}/members/carol@example.com", space.name)).await.unwrap();
    assert_eq!((rest.memberships, &*rest.next_page_token), (vec![carol], ""));
}
