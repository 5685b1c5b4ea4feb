//! What was created can be used: the methods next to CreateSpace, over both
//! wires.

use google_chat::{Channel, Client, CreateSpaceRequest, Credentials, Space, Wire, proto::google::chat::v1::{Audience, CompleteImportSpaceRequest, CreateMembershipRequest, DeleteMembershipRequest, DeleteSpaceRequest, GetSpaceRequest, Group, ListMembershipsRequest, ListSpacesRequest, Membership, UpdateSpaceRequest, User, chat_service_client::ChatServiceClient, membership::{Affiliation, MemberType, MembershipRole, MembershipState}, space::{AccessPermissionSetting, AccessPermissionSettings, AccessSettings, PermissionSetting, PermissionSettings, Principal, SpaceDetails, SpacePermissionSettings, SpaceType, principal::PrincipalType}, user}};
use google_chat_emulator::Emulator;
use prost_types::FieldMask;
use tonic::Code;

const WIRES: [Wire; 2] = [Wire::Grpc, Wire::HttpJson];

type Stub = ChatServiceClient<Channel>;

async fn emulator() -> Emulator {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    emulator
}

fn stub(emulator: &Emulator, wire: Wire, token: &str) -> Stub {
    let credentials = Credentials::token(token).unwrap();
    Client::builder().endpoint(emulator.endpoint()).wire(wire).credentials(credentials).build().unwrap().stub()
}

fn alice(emulator: &Emulator, wire: Wire) -> Stub {
    stub(emulator, wire, "user:alice@example.com")
}

fn human(email: &str) -> Membership {
    let name = format!("users/{email}");
    let user = User { name, r#type: user::Type::Human as i32, ..User::default() };
    Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() }
}

fn the_app() -> Membership {
    let user = User { name: "users/app".to_owned(), r#type: user::Type::Bot as i32, ..User::default() };
    Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() }
}

fn audience(name: &str) -> Principal {
    Principal { principal_type: Some(PrincipalType::Audience(Audience { name: name.to_owned() })) }
}

async fn create(stub: &mut Stub, space: Space) -> Space {
    stub.create_space(CreateSpaceRequest::from(space)).await.unwrap().into_inner()
}

async fn add(stub: &mut Stub, space: &str, member: Membership) -> Result<Membership, tonic::Status> {
    let request = CreateMembershipRequest { parent: space.to_owned(), membership: Some(member), ..Default::default() };
    stub.create_membership(request).await.map(tonic::Response::into_inner)
}

async fn remove(stub: &mut Stub, name: String) -> Result<(), Code> {
    let request = DeleteMembershipRequest { name, use_admin_access: false };
    stub.delete_membership(request).await.map(drop).map_err(|status| status.code())
}

async fn members(stub: &mut Stub, space: &str, filter: &str) -> Vec<Membership> {
    let request = ListMembershipsRequest { parent: space.to_owned(), filter: filter.to_owned(), ..Default::default() };
    stub.list_memberships(request).await.unwrap().into_inner().memberships
}

async fn update(stub: &mut Stub, space: Space, paths: &[&str]) -> Result<Space, tonic::Status> {
    let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateSpaceRequest { space: Some(space), update_mask, use_admin_access: false };
    stub.update_space(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_space_is_read_changed_and_deleted() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut chat = alice(&emulator, wire);
        let made = create(&mut chat, Space::named("a")).await;
        let get = |name: &str| GetSpaceRequest { name: name.to_owned(), use_admin_access: false };
        assert_eq!(chat.get_space(get(&made.name)).await.unwrap().into_inner(), made, "{wire}");

        let details = SpaceDetails { description: "d".to_owned(), guidelines: String::new() };
        let change = Space { space_details: Some(details.clone()), name: made.name.clone(), ..Space::named("b") };
        let changed = update(&mut chat, change.clone(), &["display_name", "space_details"]).await.unwrap();
        assert_eq!(changed, Space { display_name: "b".to_owned(), space_details: Some(details), ..made.clone() });
        // What the mask does not name is not looked at, either.
        let join = AccessPermissionSetting { principals: vec![audience("audiences/a")] };
        let settings = AccessPermissionSettings { join_space_setting: Some(join), ..Default::default() };
        let access = AccessSettings { access_permission_settings: Some(settings), ..AccessSettings::default() };
        let idle = Space { access_settings: Some(access), ..change.clone() };
        assert_eq!(update(&mut chat, idle.clone(), &["display_name"]).await.unwrap(), changed, "{wire}");
        let error = update(&mut chat, idle, &["access_settings.access_permission_settings"]).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wire}");
        let long = Space { display_name: "x".repeat(129), ..change.clone() };
        let error = update(&mut chat, long, &["display_name"]).await.unwrap_err();
        assert!(error.message().contains("has 129 characters"), "{wire}: {error}");
        // The old name is free, the new one is not.
        let other = create(&mut chat, Space::named("a")).await;
        let taken = update(&mut chat, Space { name: other.name.clone(), ..change.clone() }, &["display_name"]).await;
        assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists, "{wire}");
        for paths in [&[] as &[&str], &["create_time"], &["space_history_state", "display_name"], &["space_type"]] {
            let error = update(&mut chat, change.clone(), paths).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wire} {paths:?}");
        }

        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        assert_eq!(bob.get_space(get(&made.name)).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
        let delete = DeleteSpaceRequest { name: made.name.clone(), use_admin_access: false };
        assert_eq!(bob.delete_space(delete.clone()).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
        chat.delete_space(delete.clone()).await.unwrap();
        assert_eq!(chat.delete_space(delete).await.unwrap_err().code(), Code::NotFound, "{wire}");
        assert_eq!(chat.get_space(get(&made.name)).await.unwrap_err().code(), Code::NotFound, "{wire}");
        assert_eq!(emulator.spaces().len(), 1, "{wire}");
        for name in ["spaces/", "spaces/a/b", "x"] {
            // Over HTTP/JSON there is no path for it.
            let error = chat.get_space(get(name)).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wire} {name}: {error}");
        }
    }
}

#[tokio::test]
async fn spaces_are_listed_by_page_and_kind() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut chat = alice(&emulator, wire);
        for count in 0..5 {
            create(&mut chat, Space::named(format!("space {count}"))).await;
        }
        // Neither what is imported nor what others have is listed.
        create(&mut chat, Space { import_mode: true, ..Space::named("imported") }).await;
        create(&mut stub(&emulator, wire, "user:bob@example.com"), Space::named("bob's")).await;
        let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let request = ListSpacesRequest { page_size: 2, page_token: token, filter: String::new() };
            let page = chat.list_spaces(request).await.unwrap().into_inner();
            names.extend(page.spaces.into_iter().map(|space| space.display_name));
            (token, pages) = (page.next_page_token, pages + 1);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((names.len(), pages), (5, 3), "{wire}: {names:?}");
        for (filter, count) in [("spaceType = \"SPACE\"", 5), ("space_type = \"GROUP_CHAT\"", 0)] {
            let request = ListSpacesRequest { filter: filter.to_owned(), ..ListSpacesRequest::default() };
            assert_eq!(chat.list_spaces(request).await.unwrap().into_inner().spaces.len(), count, "{wire} {filter}");
        }
        for request in [
            ListSpacesRequest { filter: "name = 1".to_owned(), ..ListSpacesRequest::default() },
            ListSpacesRequest { page_size: -1, ..ListSpacesRequest::default() },
            ListSpacesRequest { page_token: "x".to_owned(), ..ListSpacesRequest::default() },
        ] {
            let error = chat.list_spaces(request).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wire}");
        }
    }
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
            // The app is a plain member, and the only one.
            let all = members(&mut app, &space.name, "").await;
            assert_eq!((all.len(), all[0].role()), (1, MembershipRole::RoleMember), "{wire}");
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

#[tokio::test]
async fn an_import_is_completed_or_ends_with_its_time() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut chat = alice(&emulator, wire);
        let imported = |name: &str| Space { import_mode: true, ..Space::named(name) };
        let space = create(&mut chat, imported("a")).await;
        let late = create(&mut chat, imported("b")).await;
        let complete = |space: &Space| CompleteImportSpaceRequest { name: space.name.clone() };
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        let error = bob.complete_import_space(complete(&space)).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{wire}");
        let done = chat.complete_import_space(complete(&space)).await.unwrap().into_inner().space.unwrap();
        assert!(!done.import_mode && done.import_mode_expire_time.is_none(), "{wire}: {done:?}");
        let all = members(&mut chat, &space.name, "").await;
        assert_eq!((all.len(), all[0].role()), (1, MembershipRole::RoleManager), "{wire}");
        let error = chat.complete_import_space(complete(&space)).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{wire}");
        emulator.advance(std::time::Duration::from_secs(90 * 86_400));
        let error = chat.complete_import_space(complete(&late)).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{wire}");
        // Its name is free again.
        create(&mut chat, Space::named("b")).await;
    }
}

#[tokio::test]
async fn a_group_chat_becomes_a_named_space() {
    let emulator = emulator().await;
    let mut chat = alice(&emulator, Wire::Grpc);
    let group = Space { space_type: SpaceType::GroupChat as i32, import_mode: true, ..Space::default() };
    let group = create(&mut chat, group).await;
    let named = Space { name: group.name.clone(), ..Space::named("a") };
    let changed = update(&mut chat, named, &["space_type", "display_name"]).await.unwrap();
    assert_eq!((changed.space_type(), changed.display_name.as_str()), (SpaceType::Space, "a"));
}

#[tokio::test]
async fn tokens_reach_only_what_their_scopes_are_for() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    for wire in WIRES {
        let user = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
        let with = |scope: &str| {
            let builder = Client::builder().endpoint(emulator.endpoint()).wire(wire).credentials(user.clone());
            builder.scopes([scope]).checks(false).build().unwrap().stub()
        };
        let space = create(&mut with("chat.spaces"), Space::named(wire.to_string())).await;
        let get = GetSpaceRequest { name: space.name.clone(), use_admin_access: false };
        with("chat.spaces.readonly").get_space(get.clone()).await.unwrap();
        // The scope for imports reaches what is imported only.
        for scope in ["chat.memberships", "chat.import"] {
            let error = with(scope).get_space(get.clone()).await.unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{wire} {scope}");
        }
        let delete = DeleteSpaceRequest { name: space.name, use_admin_access: false };
        let error = with("chat.spaces").delete_space(delete.clone()).await.unwrap_err();
        assert!(error.message().contains("insufficient authentication scopes"), "{wire}: {error}");
        with("chat.delete").delete_space(delete).await.unwrap();
    }
}
