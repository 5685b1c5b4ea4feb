//! What a request to create or to change a space or a membership must be.
//!
//! Limits and required fields are the documentation's; the codes of most violations are not
//! documented and follow AIP-193 and AIP-203. A character is a Unicode code point.

use google_chat::proto::google::{
    chat::v1::{
        Membership, Space,
        membership::{MemberType, MembershipRole},
        space::{
            AccessPermissionSetting, AccessPermissionSettings, SpaceDetails, SpacePermissionSettings, SpaceType,
            principal::PrincipalType,
        },
        user,
    },
    rpc::bad_request::FieldViolation,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    refusal::{invalid, no_app, quoted},
};
use crate::Settings;

/// The longest texts, in characters. Source: the comments of the fields in Google's protos.
const DISPLAY_NAME: usize = 128;
const DESCRIPTION: usize = 150;
const GUIDELINES: usize = 5_000;

/// The first time that an imported space can have been created, 2000-01-01.
const IMPORT_BEGIN: i64 = 946_684_800;

/// How many violations an error names, at most.
const VIOLATIONS: usize = 20;
/// How long the violations of an error are together, about, in bytes.
const BYTES: usize = 2 * 1024;

/// The path of a mask that names who has which access to a space. The parts have paths below it.
pub(super) const ACCESS: &str = "access_settings.access_permission_settings";

/// What is wrong with a request.
#[derive(Default)]
pub(super) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Adds a violation. After the first ones no more are kept: over gRPC they travel in a
    /// header.
    pub(super) fn add(&mut self, field: &str, description: impl Into<String>) {
        let bytes: usize = self.0.iter().map(|one| one.field.len() + one.description.len()).sum();
        if self.0.len() >= VIOLATIONS || bytes >= BYTES {
            return;
        }
        let (field, description) = (field.to_owned(), description.into());
        self.0.push(FieldViolation { field, description, ..FieldViolation::default() });
    }

    pub(super) fn result(self) -> Result<(), Status> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid(self.0)) }
    }
}

/// Checks a space that is to be created.
///
/// # Errors
///
/// PERMISSION_DENIED where an app asks for what only a user may;
/// INVALID_ARGUMENT with every violation.
pub(super) fn check(space: &Space, caller: &Caller, now: i64, settings: &Settings) -> Result<(), Status> {
    let audience = space.access_settings.as_ref().is_some_and(|settings| !settings.audience.is_empty());
    if caller.is_app() && (space.import_mode || audience) {
        return Err(no_app());
    }
    let mut violations = Violations::default();
    check_space(&mut violations, space, caller, now, settings);
    if space.single_user_bot_dm {
        violations.add("space.single_user_bot_dm", "cannot be created by this method");
    }
    let kind = SpaceType::try_from(space.space_type).ok();
    match kind {
        Some(SpaceType::Space) => {}
        Some(SpaceType::GroupChat) if space.import_mode => {}
        Some(SpaceType::GroupChat) => {
            violations.add("space.space_type", "GROUP_CHAT can be created in import mode only");
        }
        Some(SpaceType::Unspecified) => violations.add("space.space_type", "is required"),
        _ => violations.add("space.space_type", "must be SPACE, or GROUP_CHAT in import mode"),
    }
    violations.result()
}

/// Checks what all spaces must be that are to be created or set up.
pub(super) fn check_space(violations: &mut Violations, space: &Space, caller: &Caller, now: i64, settings: &Settings) {
    let named = space.space_type == SpaceType::Space as i32;
    let audience = space.access_settings.as_ref().map_or("", |settings| &settings.audience);
    if named && space.display_name.trim().is_empty() {
        violations.add("space.display_name", "is required for a space of the type SPACE");
    }
    if caller.is_app() && space.customer.as_deref().unwrap_or_default().is_empty() {
        violations.add("space.customer", "is required with app authentication");
    }
    if !caller.may_as_app() && settings.strict_customer && space.customer.is_some() {
        violations.add("space.customer", "must not be set with user authentication");
    }
    if !audience.is_empty() {
        if !named {
            violations.add("space.access_settings.audience", "is for named spaces only");
        } else if audience.strip_prefix("audiences/").is_none_or(|id| id.is_empty() || id.contains('/')) {
            violations.add("space.access_settings.audience", "must be of the form audiences/{audience}");
        }
    }
    let predefined = Some(SpacePermissionSettings::PredefinedPermissionSettings(0));
    if !named && space.space_permission_settings.is_some() && space.space_permission_settings != predefined {
        violations.add("space.permission_settings", "are for named spaces only");
    }
    check_join(
        violations,
        space.access_settings.as_ref().and_then(|access| access.access_permission_settings.as_ref()),
    );
    if space.create_time.is_some_and(|time| space.import_mode && !is_past(&time, now)) {
        violations.add("space.create_time", "must be between January 1, 2000 and now");
    }
    for (field, problem) in too_long(Some(&space.display_name), space.space_details.as_ref()) {
        violations.add(field, problem);
    }
    // A user's is ignored.
    if let Some(customer) = space.customer.as_ref().filter(|customer| caller.may_as_app() && !customer.is_empty())
        && customer.strip_prefix("customers/").is_none_or(|id| id.is_empty() || id.contains('/'))
    {
        violations.add("space.customer", "must be of the form customers/{customer}");
    }
}

/// Whether something that is imported can have been at a time.
fn is_past(time: &Timestamp, now: i64) -> bool {
    (IMPORT_BEGIN..=now).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos)
}

/// The texts that are longer than the documentation allows.
fn too_long(name: Option<&str>, details: Option<&SpaceDetails>) -> Vec<(&'static str, String)> {
    let texts = [
        ("space.display_name", name, DISPLAY_NAME),
        ("space.space_details.description", details.map(|one| one.description.as_str()), DESCRIPTION),
        ("space.space_details.guidelines", details.map(|one| one.guidelines.as_str()), GUIDELINES),
    ];
    let lengths =
        texts.into_iter().map(|(field, text, limit)| (field, text.unwrap_or_default().chars().count(), limit));
    let long = lengths.filter(|(_, len, limit)| len > limit);
    long.map(|(field, len, limit)| (field, format!("has {len} characters; at most {limit} are allowed"))).collect()
}

/// Checks that the audiences that may join a space can discover it.
fn check_join(violations: &mut Violations, settings: Option<&AccessPermissionSettings>) {
    let Some(settings) = settings else { return };
    fn names(setting: Option<&AccessPermissionSetting>) -> Vec<&str> {
        let principals = setting.into_iter().flat_map(|setting| &setting.principals);
        let kinds = principals.filter_map(|principal| principal.principal_type.as_ref());
        kinds.map(|PrincipalType::Audience(audience)| audience.name.as_str()).collect()
    }
    let discover = names(settings.discover_space_setting.as_ref());
    let join = names(settings.join_space_setting.as_ref());
    for name in join.into_iter().filter(|name| !discover.contains(name)) {
        violations.add(
            "space.access_settings.access_permission_settings.join_space_setting",
            format!("lets {} join, which cannot discover the space", quoted(name)),
        );
    }
}

/// Who has which access to a space after a change: of what the mask names, who is to have it.
pub(super) fn changed_access(space: &Space, input: &Space, paths: &[String]) -> Option<AccessPermissionSettings> {
    let of =
        |space: &Space| space.access_settings.as_ref().and_then(|access| access.access_permission_settings.clone());
    if paths.iter().any(|path| path == ACCESS) {
        return of(input);
    }
    let (mut changed, given) = (of(space).unwrap_or_default(), of(input).unwrap_or_default());
    for path in paths {
        match path.strip_prefix(ACCESS).unwrap_or_default() {
            ".discover_space_setting" => changed.discover_space_setting.clone_from(&given.discover_space_setting),
            ".join_space_setting" => changed.join_space_setting.clone_from(&given.join_space_setting),
            ".view_space_membership_setting" => {
                changed.view_space_membership_setting.clone_from(&given.view_space_membership_setting);
            }
            _ => {}
        }
    }
    Some(changed)
}

/// Checks a change of a space: its mask, and what is to be set.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check_update(space: &Space, input: &Space, paths: &[String], admin: bool) -> Result<(), Status> {
    const ALONE: [&str; 2] = ["space_history_state", "access_settings.audience"];
    const ACCESSES: [&str; 4] = [
        ACCESS,
        "access_settings.access_permission_settings.discover_space_setting",
        "access_settings.access_permission_settings.join_space_setting",
        "access_settings.access_permission_settings.view_space_membership_setting",
    ];
    const PERMISSIONS: [&str; 9] = [
        "permission_settings",
        "permission_settings.manage_members_and_groups",
        "permission_settings.modify_space_details",
        "permission_settings.toggle_history",
        "permission_settings.use_at_mention_all",
        "permission_settings.manage_apps",
        "permission_settings.manage_webhooks",
        "permission_settings.reply_messages",
        "permission_settings.view_space_membership",
    ];
    let mut violations = Violations::default();
    let has = |path: &str| paths.iter().any(|one| one == path);
    if paths.is_empty() {
        violations.add("update_mask", "is required");
    }
    for path in paths {
        let path = path.as_str();
        let (permission, access) = (PERMISSIONS.contains(&path), ACCESSES.contains(&path));
        let details = ["display_name", "space_details", "space_type"].contains(&path);
        if !permission && !access && !details && !ALONE.contains(&path) {
            violations.add("update_mask", format!("{} cannot be updated", quoted(path)));
        }
        if admin && (access || ALONE.contains(&path) || path == "space_type") {
            violations.add("update_mask", format!("{path} is not for use_admin_access"));
        }
        if ALONE.contains(&path) && paths.len() > 1 {
            violations.add("update_mask", format!("{path} must be the only path"));
        }
        if permission && paths.iter().any(|other| !PERMISSIONS.contains(&other.as_str())) {
            violations.add("update_mask", format!("{path} goes with other permission settings only"));
        }
        if access && paths.iter().any(|other| !ACCESSES.contains(&other.as_str())) {
            violations.add("update_mask", format!("{path} goes with other access permission settings only"));
        }
    }
    let named = space.space_type == SpaceType::Space as i32;
    // A named space may be said to be one; a direct message never becomes one.
    let may_be = named || space.space_type == SpaceType::GroupChat as i32;
    let becomes = has("space_type") && may_be && input.space_type == SpaceType::Space as i32;
    if has("space_type") && !(becomes && has("display_name")) {
        violations.add("space.space_type", "can be changed from GROUP_CHAT to SPACE only, with a display_name");
    }
    if has("display_name") {
        if !named && !becomes {
            violations.add("space.display_name", "is for named spaces only");
        } else if input.display_name.trim().is_empty() {
            violations.add("space.display_name", "must not be empty");
        }
    }
    let name = has("display_name").then_some(input.display_name.as_str());
    for (field, problem) in too_long(name, input.space_details.as_ref().filter(|_| has("space_details"))) {
        violations.add(field, problem);
    }
    if has("space_history_state") && ![1, 2].contains(&input.space_history_state) {
        violations.add("space.space_history_state", "must be HISTORY_ON or HISTORY_OFF");
    }
    let access = paths.iter().any(|path| path.starts_with("access_settings"));
    if access && (space.import_mode || !named) {
        violations.add("space.access_settings", "can be changed for named spaces that are not in import mode");
    }
    let audience = input.access_settings.as_ref().map_or("", |access| &access.audience);
    if has("access_settings.audience")
        && !audience.is_empty()
        && audience.strip_prefix("audiences/").is_none_or(|id| id.is_empty())
    {
        violations.add("space.access_settings.audience", "must be of the form audiences/{audience}");
    }
    if paths.iter().any(|path| path.starts_with(ACCESS)) {
        check_join(&mut violations, changed_access(space, input, paths).as_ref());
    }
    if paths.iter().any(|path| path.starts_with("permission_settings")) {
        if space.import_mode || !named {
            violations.add("space.permission_settings", "are for named spaces that are not in import mode");
        }
        if !matches!(input.space_permission_settings, Some(SpacePermissionSettings::PermissionSettings(_))) {
            violations.add("space.permission_settings", "is required by the mask");
        }
    }
    violations.result()
}

/// Checks a membership that is to be created in a space.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check_membership(input: &Membership, space: &Space, admin: bool, now: i64) -> Result<(), Status> {
    let mut violations = Violations::default();
    check_member(&mut violations, "membership", input);
    let bot = matches!(&input.member_type, Some(MemberType::Member(user)) if user.r#type() == user::Type::Bot);
    if admin && bot {
        violations.add("membership.member", "is an app, which cannot be added with use_admin_access");
    }
    let group = matches!(input.member_type, Some(MemberType::GroupMember(_)));
    if group && space.space_type != SpaceType::Space as i32 {
        violations.add("membership.group_member", "can be added to named spaces only");
    }
    if !space.import_mode && input.delete_time.is_some() {
        violations.add("membership.delete_time", "can be set in import mode only");
    }
    if space.import_mode {
        let times = [("membership.create_time", input.create_time), ("membership.delete_time", input.delete_time)];
        for (field, time) in times {
            if time.is_some_and(|time| !is_past(&time, now)) {
                violations.add(field, "must be between January 1, 2000 and now");
            }
        }
        let key = |time: Timestamp| (time.seconds, time.nanos);
        match (input.create_time, input.delete_time) {
            (None, Some(_)) => violations.add("membership.create_time", "is required with a delete_time"),
            (Some(begin), Some(end)) if key(begin) > key(end) => {
                violations.add("membership.delete_time", "must not be before create_time");
            }
            _ => {}
        }
    }
    violations.result()
}

/// Checks who is to be a member.
pub(super) fn check_member(violations: &mut Violations, field: &str, input: &Membership) {
    let id_of = |name: &str, collection: &str| {
        name.strip_prefix(collection).is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    match &input.member_type {
        Some(MemberType::Member(user)) => {
            if !id_of(&user.name, "users/") {
                violations.add(&format!("{field}.member.name"), "must be of the form users/{user}");
            }
            if user.r#type() == user::Type::Unspecified {
                violations.add(&format!("{field}.member.type"), "is required");
            }
            if (user.name == "users/app") != (user.r#type() == user::Type::Bot) {
                let problem = "must be BOT for users/app, and HUMAN for a person";
                violations.add(&format!("{field}.member.type"), problem);
            }
        }
        Some(MemberType::GroupMember(group)) if !id_of(&group.name, "groups/") => {
            violations.add(&format!("{field}.group_member.name"), "must be of the form groups/{group}");
        }
        // The id alone names a group.
        Some(MemberType::GroupMember(group)) if group.name.contains('@') => {
            let problem = "must have the group's id; an email address of a group is not known";
            violations.add(&format!("{field}.group_member.name"), problem);
        }
        Some(MemberType::GroupMember(_)) => {}
        None => violations.add(&format!("{field}.member"), "is required"),
    }
}

/// Checks a change of a membership: its mask, and the role.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check_update_membership(input: &Membership, space: &Space, paths: &[String]) -> Result<(), Status> {
    let mut violations = Violations::default();
    if paths.is_empty() {
        violations.add("update_mask", "is required");
    }
    for path in paths.iter().filter(|path| !["role", "*"].contains(&path.as_str())) {
        violations.add("update_mask", format!("{} cannot be updated", quoted(path)));
    }
    let role = MembershipRole::try_from(input.role).unwrap_or_default();
    if role == MembershipRole::Unspecified {
        violations.add("membership.role", "must be ROLE_MEMBER, ROLE_MANAGER or ROLE_ASSISTANT_MANAGER");
    }
    if role != MembershipRole::RoleMember && space.space_type != SpaceType::Space as i32 {
        violations.add("membership.role", "can be other than ROLE_MEMBER in named spaces only");
    }
    violations.result()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn problem(space: Space) -> String {
        let caller = Caller::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        check(&space, &caller, 1_000_000_000, &Settings::default())
            .map_or_else(|status| status.message().to_owned(), |()| "none".to_owned())
    }

    #[test]
    fn limits_are_counted_in_characters_and_reported_together() {
        assert_eq!(problem(Space::named("é".repeat(128))), "none");
        let space = Space {
            space_details: Some(SpaceDetails { description: "d".repeat(151), guidelines: "g".repeat(5_000) }),
            ..Space::named("é".repeat(129))
        };
        assert_eq!(
            problem(space),
            "Invalid request: space.display_name has 129 characters; at most 128 are allowed; \
             space.space_details.description has 151 characters; at most 150 are allowed."
        );
    }

    #[test]
    fn an_error_is_short_whatever_the_request_has() {
        let paths: Vec<String> = (0..1_000).map(|at| format!("{at}{}", "é".repeat(10_000))).collect();
        let status = check_update(&Space::named("a"), &Space::default(), &paths, false).unwrap_err();
        assert!(status.message().starts_with("Invalid request: update_mask 0éé"), "{status}");
        assert!(status.message().len() < 2_100 && status.details().len() < 6_000, "{}", status.details().len());
        let status = crate::chat::refusal::not_found("space", &"é".repeat(10_000));
        assert!(status.message().ends_with("é….") && status.details().len() < 1_000, "{status}");
    }

    #[test]
    fn a_membership_is_imported_with_times_of_the_past() {
        let space = |import_mode| Space { import_mode, ..Space::named("a") };
        let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
        let now = 1_000_000_000;
        for (import, create_time, delete_time, problem) in [
            (true, None, None, ""),
            (true, time(now - 2, 0), None, ""),
            (true, time(now - 2, 0), time(now - 1, 5), ""),
            (true, time(now + 1, 0), None, "membership.create_time must be between January 1, 2000 and now"),
            (true, time(i64::MIN, 0), None, "membership.create_time must be between January 1, 2000 and now"),
            (true, time(now - 2, -1), None, "membership.create_time must be between January 1, 2000 and now"),
            (
                true,
                time(now - 2, 0),
                time(now + 1, 0),
                "membership.delete_time must be between January 1, 2000 and now",
            ),
            (true, time(now - 2, 5), time(now - 2, 4), "membership.delete_time must not be before create_time"),
            (true, None, time(now - 1, 0), "membership.create_time is required with a delete_time"),
            (false, None, time(now - 1, 0), "membership.delete_time can be set in import mode only"),
        ] {
            let member = user::Type::Human as i32;
            let member = google_chat::proto::google::chat::v1::User {
                name: "users/a@example.com".to_owned(),
                r#type: member,
                ..Default::default()
            };
            let input = Membership {
                create_time,
                delete_time,
                member_type: Some(MemberType::Member(member)),
                ..Membership::default()
            };
            let found = check_membership(&input, &space(import), false, now);
            let expected = if problem.is_empty() { Ok(()) } else { Err(format!("Invalid request: {problem}.")) };
            assert_eq!(found.map_err(|status| status.message().to_owned()), expected);
        }
    }

    #[test]
    fn only_named_spaces_and_imported_group_chats_are_created() {
        assert_eq!(
            problem(Space::named(" ")),
            "Invalid request: space.display_name is required for a space of the type SPACE."
        );
        assert_eq!(problem(Space::default()), "Invalid request: space.space_type is required.");
        let group = Space { space_type: SpaceType::GroupChat as i32, ..Space::default() };
        assert_eq!(
            problem(group.clone()),
            "Invalid request: space.space_type GROUP_CHAT can be created in import mode only."
        );
        assert_eq!(problem(Space { import_mode: true, ..group }), "none");
        for kind in [SpaceType::DirectMessage as i32, 99] {
            let space = Space { space_type: kind, ..Space::default() };
            assert_eq!(
                problem(space),
                "Invalid request: space.space_type must be SPACE, or GROUP_CHAT in import mode."
            );
        }
    }
}
