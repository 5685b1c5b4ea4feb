//! Members: who may add and remove whom, and who is listed.

use crate::support::{Stub, WIRES, alice, create, emulator, members, stub};
use google_chat::{
    Space,
    proto::google::chat::v1::{
        CreateMembershipRequest, DeleteMembershipRequest, GetSpaceRequest, Group, ListMembershipsRequest, Membership,
        User,
        membership::{Affiliation, MemberType, MembershipRole, MembershipState},
        space::{PermissionSetting, PermissionSettings, SpacePermissionSettings},
        user,
    },
};
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
