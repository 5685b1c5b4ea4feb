//! Spaces: who may create what, request ids, and what is created can be used over both
//! protocols.

use std::time::Duration;

use crate::support::{WIRES, alice, create, emulator, members, named, outcome, post, stub, update};
use google_chat::{
    Space, Wire,
    proto::google::chat::v1::{
        Audience, CompleteImportSpaceRequest, DeleteSpaceRequest, GetSpaceRequest, HistoryState, ListSpacesRequest,
        UpdateSpaceRequest,
        membership::MembershipRole,
        space::{
            AccessPermissionSetting, AccessPermissionSettings, AccessSettings, PermissionSetting, PermissionSettings,
            Principal, SpaceDetails, SpacePermissionSettings, SpaceThreadingState, SpaceType, principal::PrincipalType,
        },
    },
};
use google_chat_emulator::Emulator;
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;

#[tokio::test]
async fn a_request_id_belongs_to_who_used_it_first() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const PATH: &str = "/v1/spaces?requestId=one";
    let (status, first) = post(&emulator, PATH, Some("user:alice@example.com"), &named("a")).await;
    assert_eq!(status, 200, "{first}");
    let again = post(&emulator, PATH, Some("user:alice@example.com"), &named("other")).await;
    assert_eq!(again, (200, first));
    let other = post(&emulator, PATH, Some("user:bob@example.com"), &named("b")).await;
    assert_eq!(outcome(&other), (400, "INVALID_ARGUMENT", ""));
    let taken = post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("a")).await;
    assert_eq!(outcome(&taken), (409, "ALREADY_EXISTS", "SPACE_DISPLAY_NAME_TAKEN"));
    emulator.configure(|settings| settings.unique_names = false);
    assert_eq!(post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("a")).await.0, 200);
    // A replay is no matter of what the body holds.
    assert_eq!(post(&emulator, PATH, Some("user:alice@example.com"), "").await.0, 200);
    // No time is beyond the clock.
    emulator.advance(Duration::MAX);
    emulator.advance(Duration::MAX);
    emulator.configure(|settings| settings.token_lifetime = Duration::MAX);
    assert_eq!(post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("late")).await.0, 200);
}

/// Whatever a user calls itself, it is not the app; and an address is one user
/// however it is written.
#[tokio::test]
async fn nobody_is_taken_for_another() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const PATH: &str = "/v1/spaces?requestId=one";
    let mine = json!({"displayName": "a", "spaceType": "SPACE", "customer": "customers/my_customer"}).to_string();
    assert_eq!(post(&emulator, PATH, Some("app"), &mine).await.0, 200);
    let other = post(&emulator, PATH, Some("user:app"), &mine).await;
    assert_eq!(outcome(&other), (400, "INVALID_ARGUMENT", ""));
    const TWO: &str = "/v1/spaces?requestId=two";
    let (_, made) = post(&emulator, TWO, Some("user:alice@example.com"), &named("b")).await;
    assert_eq!(post(&emulator, TWO, Some("user:Alice@Example.com"), &named("b")).await, (200, made));
}

/// Who may set what, and what they get to see.
#[tokio::test]
async fn apps_and_users_may_set_different_things() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const ALICE: &str = "user:alice@example.com";
    let count = std::cell::Cell::new(0);
    let with = |more: Value| {
        let name = count.replace(count.get() + 1).to_string();
        let mut space = json!({"displayName": name, "spaceType": "SPACE"});
        space.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        space.to_string()
    };
    let access = |discover: &str, join: &str| {
        let setting = |name: &str| json!({"principals": [{"audience": {"name": format!("audiences/{name}")}}]});
        let settings = json!({"discoverSpaceSetting": setting(discover), "joinSpaceSetting": setting(join)});
        with(json!({"accessSettings": {"accessPermissionSettings": settings}}))
    };
    let mine = json!({"customer": "customers/my_customer"});
    for (token, space, status) in [
        ("app", with(mine.clone()), 200),
        ("app", named("no customer"), 400),
        ("app", with(json!({"customer": "acme"})), 400),
        ("app", with(json!({"customer": "customers/C1", "importMode": true})), 403),
        ("app", with(json!({"customer": "customers/C2", "accessSettings": {"audience": "audiences/default"}})), 403),
        (ALICE, with(json!({"accessSettings": {"audience": "audiences/default"}})), 200),
        (ALICE, with(json!({"accessSettings": {"audience": "default"}})), 400),
        (ALICE, access("a", "a"), 200),
        (ALICE, access("a", "b"), 400),
        (ALICE, with(json!({"importMode": true, "createTime": "1999-12-31T23:59:59Z"})), 400),
        (ALICE, with(json!({"importMode": true, "createTime": "2000-01-01T00:00:00Z"})), 200),
        (ALICE, json!({"spaceType": "GROUP_CHAT", "importMode": true}).to_string(), 200),
        (ALICE, json!({"spaceType": "GROUP_CHAT"}).to_string(), 400),
        (
            ALICE,
            json!({"spaceType": "GROUP_CHAT", "importMode": true, "predefinedPermissionSettings": 1}).to_string(),
            400,
        ),
        (ALICE, with(json!({"singleUserBotDm": true})), 400),
    ] {
        let (found, body) = post(&emulator, "/v1/spaces", Some(token), &space).await;
        assert_eq!(found, status, "{token} {space}: {body}");
    }
    let (_, space) = post(&emulator, "/v1/spaces", Some(ALICE), &with(json!({"customer": "customers/C9"}))).await;
    assert_ne!(space["customer"], "customers/C9", "a user's customer is the user's own");
    // What an app does not see is there all the same.
    assert!(emulator.spaces()[0].space_permission_settings.is_some());
    emulator.configure(|settings| settings.strict_customer = true);
    assert_eq!(post(&emulator, "/v1/spaces", Some(ALICE), &with(json!({"customer": "customers/C8"}))).await.0, 400);
    let managers = json!({"permissionSettings": {"manageApps": {"managersAllowed": true}}});
    let (_, space) = post(&emulator, "/v1/spaces", Some(ALICE), &with(managers)).await;
    assert_eq!(space["permissionSettings"]["manageApps"], json!({"managersAllowed": true}));
    assert_eq!(space["permissionSettings"]["postMessages"]["membersAllowed"], true);
}

#[tokio::test]
async fn what_the_documentation_leaves_open_is_set() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| {
        settings.history = HistoryState::HistoryOff;
        settings.threading = SpaceThreadingState::GroupedMessages;
        settings.group_chat_names = false;
    });
    let (_, space) = post(&emulator, "/v1/spaces", None, &named("a")).await;
    assert_eq!(space["spaceHistoryState"], "HISTORY_OFF");
    assert_eq!(space["spaceThreadingState"], "GROUPED_MESSAGES");
    let group = json!({"displayName": "b", "spaceType": "GROUP_CHAT", "importMode": true}).to_string();
    let (_, group) = post(&emulator, "/v1/spaces", None, &group).await;
    assert_eq!((group.get("displayName"), group["importMode"].as_bool()), (None, Some(true)));
}

fn audience(name: &str) -> Principal {
    Principal { principal_type: Some(PrincipalType::Audience(Audience { name: name.to_owned() })) }
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
async fn a_direct_message_becomes_no_named_space() {
    let emulator = emulator().await;
    let bob = json!([{"member": {"name": "users/bob@example.com", "type": "HUMAN"}}]);
    let set_up = json!({"space": {"spaceType": "DIRECT_MESSAGE"}, "memberships": bob}).to_string();
    let (status, made) = post(&emulator, "/v1/spaces:setup", Some("user:alice@example.com"), &set_up).await;
    assert_eq!(status, 200, "{made}");
    let named = Space { name: made["name"].as_str().unwrap().to_owned(), ..Space::named("a") };
    let error = update(&mut alice(&emulator, Wire::Grpc), named, &["space_type", "display_name"]).await.unwrap_err();
    assert!(error.message().contains("can be changed from GROUP_CHAT to SPACE only"), "{error}");
}

#[tokio::test]
async fn who_has_which_access_is_changed_part_by_part() {
    const ACCESS: &str = "access_settings.access_permission_settings";
    let emulator = emulator().await;
    let mut chat = alice(&emulator, Wire::Grpc);
    let made = create(&mut chat, Space::named("a")).await;
    let setting = |name: &str| Some(AccessPermissionSetting { principals: vec![audience(name)] });
    let change = |settings: AccessPermissionSettings| {
        let access = AccessSettings { access_permission_settings: Some(settings), ..AccessSettings::default() };
        Space { name: made.name.clone(), access_settings: Some(access), ..Space::default() }
    };
    let given = AccessPermissionSettings {
        discover_space_setting: setting("audiences/a"),
        join_space_setting: setting("audiences/a"),
        view_space_membership_setting: setting("audiences/a"),
    };
    let (discover, join) = (format!("{ACCESS}.discover_space_setting"), format!("{ACCESS}.join_space_setting"));
    // Who joins must be able to discover the space.
    let error = update(&mut chat, change(given.clone()), &[&join]).await.unwrap_err();
    assert!(error.message().contains("lets audiences/a join, which cannot discover the space"), "{error}");
    let error = update(&mut chat, change(given.clone()), &[&join, "display_name"]).await.unwrap_err();
    assert!(error.message().contains("goes with other access permission settings only"), "{error}");
    let changed = update(&mut chat, change(given.clone()), &[&discover]).await.unwrap();
    let kept = |space: &Space| space.access_settings.as_ref().unwrap().access_permission_settings.clone().unwrap();
    let alone = AccessPermissionSettings { discover_space_setting: setting("audiences/a"), ..Default::default() };
    assert_eq!(kept(&changed), alone);
    let changed = update(&mut chat, change(given.clone()), &[&join]).await.unwrap();
    assert_eq!(kept(&changed), AccessPermissionSettings { view_space_membership_setting: None, ..given.clone() });
    let view = format!("{ACCESS}.view_space_membership_setting");
    assert_eq!(kept(&update(&mut chat, change(given.clone()), &[&view]).await.unwrap()), given);

    let only = PermissionSetting { managers_allowed: true, ..PermissionSetting::default() };
    let settings = PermissionSettings { view_space_membership: Some(only), ..PermissionSettings::default() };
    let settings = Some(SpacePermissionSettings::PermissionSettings(settings));
    let space = Space { name: made.name.clone(), space_permission_settings: settings, ..Space::default() };
    let changed = update(&mut chat, space, &["permission_settings.view_space_membership"]).await.unwrap();
    let Some(SpacePermissionSettings::PermissionSettings(settings)) = changed.space_permission_settings else {
        panic!("{changed:?}")
    };
    assert_eq!(settings.view_space_membership, Some(only));
}

/// Administrators change names and descriptions, and not what is the space's own to set.
#[tokio::test]
async fn administrators_change_some_of_a_space() {
    for wire in WIRES {
        let emulator = emulator().await;
        let made = create(&mut alice(&emulator, wire), Space::named("a")).await;
        let mut root = stub(&emulator, wire, "user:root@example.com");
        let change = Space { name: made.name, space_history_state: 1, space_type: 1, ..Space::named("b") };
        for (paths, problem) in [
            ("display_name", ""),
            ("space_history_state", "update_mask space_history_state is not for use_admin_access"),
            ("space_type display_name", "update_mask space_type is not for use_admin_access"),
            ("access_settings.audience", "update_mask access_settings.audience is not for use_admin_access"),
        ] {
            let paths = paths.split_whitespace().map(str::to_owned).collect();
            let update_mask = Some(FieldMask { paths });
            let request = UpdateSpaceRequest { space: Some(change.clone()), update_mask, use_admin_access: true };
            let outcome = root.update_space(request).await.map(drop).map_err(|status| status.message().to_owned());
            match problem {
                "" => assert_eq!(outcome, Ok(()), "{wire}"),
                problem => assert!(outcome.unwrap_err().contains(problem), "{wire} {problem}"),
            }
        }
    }
}
