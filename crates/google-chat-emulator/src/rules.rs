//! What a request to create a space must be.
//!
//! Limits and required fields are the documentation's; the codes of most
//! violations are not documented and follow AIP-193 and AIP-203. A character
//! is a Unicode code point.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use super::{
    identity::{Grant, Identity, PROJECT},
    settings::Settings,
};
use google_chat::proto::google::{
    chat::v1::{
        Membership, Space,
        membership::MemberType,
        space::{AccessPermissionSetting, SpaceDetails, SpacePermissionSettings, SpaceType, principal::PrincipalType},
        user,
    },
    rpc::{self, BadRequest, ErrorInfo, bad_request::FieldViolation},
};

/// The domain of the reasons that this emulator made up, because the
/// documentation gives none.
const SYNTHETIC: &str = "emulator.google-chat.invalid";

/// Where the scopes of the method are named, without the prefix.
const APP_SCOPES: [&str; 2] = ["chat.app.spaces.create", "chat.app.spaces"];
const USER_SCOPES: [&str; 2] = ["chat.spaces.create", "chat.spaces"];
const IMPORT_SCOPE: &str = "chat.import";

/// The longest texts, in characters. Source: the comments of the fields in Google's protos.
const DISPLAY_NAME: usize = 128;
const DESCRIPTION: usize = 150;
const GUIDELINES: usize = 5_000;

/// The first time that an imported space can have been created, 2000-01-01.
const IMPORT_BEGIN: i64 = 946_684_800;

/// Whether the caller may create a space, by its scopes.
///
/// # Errors
///
/// PERMISSION_DENIED.
pub(super) fn authorize_create(grant: &Grant, import: bool, settings: &Settings) -> Result<(), Status> {
    let any = |scopes: &[&str]| scopes.iter().any(|scope| grant.has(scope));
    let allowed = match (&grant.identity, import) {
        (Identity::App, _) if !any(&APP_SCOPES) => {
            if any(&USER_SCOPES) || grant.has(IMPORT_SCOPE) {
                return Err(no_app());
            }
            false
        }
        (Identity::App, _) => true,
        (Identity::User(_), true) => grant.has(IMPORT_SCOPE) || any(&USER_SCOPES) && !settings.import_scope_required,
        (Identity::User(_), false) => any(&USER_SCOPES),
    };
    if allowed { Ok(()) } else { Err(no_scope(grant.method)) }
}

/// The scopes that allow a method: to users, to apps, to administrators; and
/// whether that for imports does.
pub(super) struct Access {
    pub(super) method: &'static str,
    pub(super) user: &'static [&'static str],
    pub(super) app: &'static [&'static str],
    pub(super) admin: &'static [&'static str],
    pub(super) import: bool,
}

/// Whether the caller may make a call, by its scopes; what they allow is noted in
/// the grant.
///
/// # Errors
///
/// PERMISSION_DENIED.
pub(super) fn authorize(grant: &mut Grant, access: &Access, admin: bool) -> Result<(), Status> {
    let any = |scopes: &[&str]| scopes.iter().any(|scope| grant.has(scope));
    if grant.sees_all {
        return Ok(());
    }
    match &grant.identity {
        Identity::App if access.app.is_empty() || admin => return Err(no_app()),
        Identity::App if any(access.app) => {}
        Identity::User(_) if admin && any(access.admin) => grant.sees_all = true,
        Identity::User(_) if !admin && any(access.user) => {}
        Identity::User(_) if !admin && access.import && grant.has(IMPORT_SCOPE) => grant.imports_only = true,
        _ => return Err(no_scope(access.method)),
    }
    Ok(())
}

/// Checks a space that is to be created.
///
/// # Errors
///
/// PERMISSION_DENIED where an app asks for what only a user may;
/// INVALID_ARGUMENT with every violation.
pub(super) fn check(space: &Space, grant: &Grant, now: i64, settings: &Settings) -> Result<(), Status> {
    let app = grant.identity == Identity::App;
    let audience = space.access_settings.as_ref().map_or("", |settings| &settings.audience);
    if app && (space.import_mode || !audience.is_empty()) {
        return Err(no_app());
    }
    let named = space.space_type == SpaceType::Space as i32;
    let mut violations = Vec::new();
    let mut violated = |field: &str, description: String| {
        violations.push(FieldViolation { field: field.to_owned(), description, ..FieldViolation::default() });
    };
    if app && space.customer.as_deref().unwrap_or_default().is_empty() {
        violated("space.customer", "is required with app authentication".to_owned());
    }
    if !grant.sets_customer() && settings.strict_customer && space.customer.is_some() {
        violated("space.customer", "must not be set with user authentication".to_owned());
    }
    if !audience.is_empty() {
        if !named {
            violated("space.access_settings.audience", "is for named spaces only".to_owned());
        } else if audience.strip_prefix("audiences/").is_none_or(|id| id.is_empty() || id.contains('/')) {
            violated("space.access_settings.audience", "must be of the form audiences/{audience}".to_owned());
        }
    }
    let predefined = Some(SpacePermissionSettings::PredefinedPermissionSettings(0));
    if !named && space.space_permission_settings.is_some() && space.space_permission_settings != predefined {
        violated("space.permission_settings", "are for named spaces only".to_owned());
    }
    for name in undiscoverable(space) {
        violated(
            "space.access_settings.access_permission_settings.join_space_setting",
            format!("lets {name} join, which cannot discover the space"),
        );
    }
    if let Some(time) = space.create_time.filter(|_| space.import_mode)
        && !((IMPORT_BEGIN..=now).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos))
    {
        violated("space.create_time", "must be between January 1, 2000 and now".to_owned());
    }
    let kind = SpaceType::try_from(space.space_type).ok();
    match kind {
        Some(SpaceType::Space) => {
            if space.display_name.trim().is_empty() {
                violated("space.display_name", "is required for a space of the type SPACE".to_owned());
            }
        }
        Some(SpaceType::GroupChat) if space.import_mode => {}
        Some(SpaceType::GroupChat) => {
            violated("space.space_type", "GROUP_CHAT can be created in import mode only".to_owned());
        }
        Some(SpaceType::Unspecified) => violated("space.space_type", "is required".to_owned()),
        _ => violated("space.space_type", "must be SPACE, or GROUP_CHAT in import mode".to_owned()),
    }
    for (field, problem) in too_long(Some(&space.display_name), space.space_details.as_ref()) {
        violated(field, problem);
    }
    if space.single_user_bot_dm {
        violated("space.single_user_bot_dm", "cannot be created by this method".to_owned());
    }
    // A user's is ignored.
    if let Some(customer) = space.customer.as_ref().filter(|customer| grant.sets_customer() && !customer.is_empty())
        && customer.strip_prefix("customers/").is_none_or(|id| id.is_empty() || id.contains('/'))
    {
        violated("space.customer", "must be of the form customers/{customer}".to_owned());
    }
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
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

/// The audiences that may join a space and cannot discover it.
fn undiscoverable(space: &Space) -> Vec<&str> {
    let settings = space.access_settings.as_ref().and_then(|access| access.access_permission_settings.as_ref());
    let Some(settings) = settings else { return Vec::new() };
    fn names(setting: Option<&AccessPermissionSetting>) -> Vec<&str> {
        let principals = setting.into_iter().flat_map(|setting| &setting.principals);
        let kinds = principals.filter_map(|principal| principal.principal_type.as_ref());
        kinds.map(|PrincipalType::Audience(audience)| audience.name.as_str()).collect()
    }
    let discover = names(settings.discover_space_setting.as_ref());
    let mut join = names(settings.join_space_setting.as_ref());
    join.retain(|name| !discover.contains(name));
    join
}

/// Checks a change of a space: its mask, and what is to be set.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check_update(space: &Space, input: &Space, paths: &[String]) -> Result<(), Status> {
    const ALONE: [&str; 3] =
        ["space_history_state", "access_settings.audience", "access_settings.access_permission_settings"];
    const PERMISSIONS: [&str; 8] = [
        "permission_settings",
        "permission_settings.manage_members_and_groups",
        "permission_settings.modify_space_details",
        "permission_settings.toggle_history",
        "permission_settings.use_at_mention_all",
        "permission_settings.manage_apps",
        "permission_settings.manage_webhooks",
        "permission_settings.reply_messages",
    ];
    let mut violations = Vec::new();
    let mut violated = |field: &str, description: String| {
        violations.push(FieldViolation { field: field.to_owned(), description, ..FieldViolation::default() });
    };
    let has = |path: &str| paths.iter().any(|one| one == path);
    if paths.is_empty() {
        violated("update_mask", "is required".to_owned());
    }
    for path in paths {
        let path = path.as_str();
        let permission = PERMISSIONS.contains(&path);
        if !permission && !ALONE.contains(&path) && !["display_name", "space_details", "space_type"].contains(&path) {
            violated("update_mask", format!("{path} cannot be updated"));
        }
        if ALONE.contains(&path) && paths.len() > 1 {
            violated("update_mask", format!("{path} must be the only path"));
        }
        if permission && paths.iter().any(|other| !PERMISSIONS.contains(&other.as_str())) {
            violated("update_mask", format!("{path} goes with other permission settings only"));
        }
    }
    let named = space.space_type == SpaceType::Space as i32;
    let becomes = has("space_type") && input.space_type == SpaceType::Space as i32;
    if has("space_type") && !(becomes && has("display_name")) {
        violated("space.space_type", "can be changed from GROUP_CHAT to SPACE only, with a display_name".to_owned());
    }
    if has("display_name") {
        if !named && !becomes {
            violated("space.display_name", "is for named spaces only".to_owned());
        } else if input.display_name.trim().is_empty() {
            violated("space.display_name", "must not be empty".to_owned());
        }
    }
    let name = has("display_name").then_some(input.display_name.as_str());
    for (field, problem) in too_long(name, input.space_details.as_ref().filter(|_| has("space_details"))) {
        violated(field, problem);
    }
    if has("space_history_state") && ![1, 2].contains(&input.space_history_state) {
        violated("space.space_history_state", "must be HISTORY_ON or HISTORY_OFF".to_owned());
    }
    let access = paths.iter().any(|path| path.starts_with("access_settings"));
    if access && (space.import_mode || !named) {
        violated("space.access_settings", "can be changed for named spaces that are not in import mode".to_owned());
    }
    let audience = input.access_settings.as_ref().map_or("", |access| &access.audience);
    if has("access_settings.audience")
        && !audience.is_empty()
        && audience.strip_prefix("audiences/").is_none_or(|id| id.is_empty())
    {
        violated("space.access_settings.audience", "must be of the form audiences/{audience}".to_owned());
    }
    let unjoinable = undiscoverable(input).into_iter().filter(|_| has("access_settings.access_permission_settings"));
    for name in unjoinable {
        violated(
            "space.access_settings.access_permission_settings.join_space_setting",
            format!("lets {name} join, which cannot discover the space"),
        );
    }
    if paths.iter().any(|path| path.starts_with("permission_settings")) {
        if space.import_mode || !named {
            violated("space.permission_settings", "are for named spaces that are not in import mode".to_owned());
        }
        if !matches!(input.space_permission_settings, Some(SpacePermissionSettings::PermissionSettings(_))) {
            violated("space.permission_settings", "is required by the mask".to_owned());
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
}

/// Checks a membership that is to be created.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check_membership(input: &Membership, import: bool, now: i64) -> Result<(), Status> {
    let mut violations = Vec::new();
    let mut violated = |field: &str, description: &str| {
        let (field, description) = (field.to_owned(), description.to_owned());
        violations.push(FieldViolation { field, description, ..FieldViolation::default() });
    };
    let id_of = |name: &str, collection: &str| {
        name.strip_prefix(collection).is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    match &input.member_type {
        Some(MemberType::Member(user)) => {
            if !id_of(&user.name, "users/") {
                violated("membership.member.name", "must be of the form users/{user}");
            }
            if user.r#type() == user::Type::Unspecified {
                violated("membership.member.type", "is required");
            }
            if (user.name == "users/app") != (user.r#type() == user::Type::Bot) {
                violated("membership.member.type", "must be BOT for users/app, and HUMAN for a person");
            }
        }
        Some(MemberType::GroupMember(group)) if !id_of(&group.name, "groups/") => {
            violated("membership.group_member.name", "must be of the form groups/{group}");
        }
        Some(MemberType::GroupMember(_)) => {}
        None => violated("membership.member", "is required"),
    }
    if !import && input.delete_time.is_some() {
        violated("membership.delete_time", "can be set in import mode only");
    }
    if let (true, Some(begin), Some(end)) = (import, input.create_time, input.delete_time)
        && (begin.seconds > end.seconds || end.seconds > now)
    {
        violated("membership.delete_time", "must be after create_time, and not after now");
    }
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
}

/// One field is wrong.
pub(super) fn invalid_field(field: &str, description: &str) -> Status {
    let (field, description) = (field.to_owned(), description.to_owned());
    invalid(vec![FieldViolation { field, description, ..FieldViolation::default() }])
}

/// There is no such thing.
pub(super) fn not_found(kind: &str, name: &str) -> Status {
    let message = format!("There is no {kind} {name}.");
    synthetic(Code::NotFound, message, "RESOURCE_NOT_FOUND", Some(("resource", name)))
}

/// The caller is not allowed to do this here.
pub(super) fn not_allowed(what: &str) -> Status {
    synthetic(Code::PermissionDenied, format!("The caller may not {what}."), "ACTION_NOT_ALLOWED", None)
}

/// The member is there already.
pub(super) fn member_exists(name: &str) -> Status {
    let message = format!("The membership {name} already exists.");
    synthetic(Code::AlreadyExists, message, "MEMBERSHIP_EXISTS", Some(("resource", name)))
}

/// An error whose reason this emulator made up.
fn synthetic(code: Code, message: String, reason: &str, metadata: Option<(&str, &str)>) -> Status {
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: SYNTHETIC.to_owned(),
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    };
    status(code, message, "google.rpc.ErrorInfo", &info)
}

/// The request has no space at all.
pub(super) fn no_space() -> Status {
    invalid_field("space", "is required")
}

fn invalid(violations: Vec<FieldViolation>) -> Status {
    let problems: Vec<_> = violations.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
    let message = format!("Invalid request: {}.", problems.join("; "));
    let details = BadRequest { field_violations: violations };
    status(Code::InvalidArgument, message, "google.rpc.BadRequest", &details)
}

/// Another space has the display name.
pub(super) fn name_taken(name: &str) -> Status {
    let message = format!("A space with the display name \"{name}\" already exists in the organization.");
    synthetic(Code::AlreadyExists, message, "SPACE_DISPLAY_NAME_TAKEN", Some(("displayName", name)))
}

/// The request id was first used by somebody else.
pub(super) fn request_id_of_another_user() -> Status {
    let message = "The request ID was already used by another user.".to_owned();
    synthetic(Code::InvalidArgument, message, "REQUEST_ID_OF_ANOTHER_USER", None)
}

/// An ErrorInfo as Google's front ends give it for the method.
fn refused(code: Code, message: &str, reason: &str, method: &str) -> Status {
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: "googleapis.com".to_owned(),
        metadata: [
            ("service".to_owned(), "chat.googleapis.com".to_owned()),
            ("method".to_owned(), format!("google.chat.v1.ChatService.{method}")),
        ]
        .into(),
    };
    status(code, message.to_owned(), "google.rpc.ErrorInfo", &info)
}

pub(super) fn no_credentials(method: &str) -> Status {
    refused(
        Code::Unauthenticated,
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other \
         valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        "CREDENTIALS_MISSING",
        method,
    )
}

pub(super) fn bad_credentials(expired: bool, method: &str) -> Status {
    refused(
        Code::Unauthenticated,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
         authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        if expired { "ACCESS_TOKEN_EXPIRED" } else { "ACCESS_TOKEN_TYPE_UNSUPPORTED" },
        method,
    )
}

pub(super) fn no_scope(method: &str) -> Status {
    let message = "Request had insufficient authentication scopes.";
    refused(Code::PermissionDenied, message, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", method)
}

fn no_app() -> Status {
    Status::permission_denied(
        "This method doesn't support app authentication with a service account. Authenticate with a user account.",
    )
}

pub(super) fn not_approved() -> Status {
    Status::permission_denied(
        "The administrator must grant the app the required OAuth authorization scope for this action.",
    )
}

pub(super) fn api_disabled() -> Status {
    let info = ErrorInfo {
        reason: "SERVICE_DISABLED".to_owned(),
        domain: "googleapis.com".to_owned(),
        metadata: [
            ("consumer".to_owned(), format!("projects/{PROJECT}")),
            ("service".to_owned(), "chat.googleapis.com".to_owned()),
        ]
        .into(),
    };
    let message = format!(
        "Google Chat API has not been used in project {PROJECT} before or it is disabled. Enable it by visiting \
         https://console.developers.google.com/apis/api/chat.googleapis.com/overview?project={PROJECT} then retry."
    );
    status(Code::PermissionDenied, message, "google.rpc.ErrorInfo", &info)
}

pub(super) fn app_not_configured() -> Status {
    let help = rpc::Help {
        links: vec![rpc::help::Link {
            description: "To turn on the Google Chat API, go to its page in the Google Cloud console".to_owned(),
            url: "https://console.cloud.google.com/apis/api/chat.googleapis.com/hangouts-chat".to_owned(),
        }],
    };
    let message = "Google Chat app not found. To create a Chat app, you must turn on the Chat API and configure the app \
                   in the Google Cloud console.";
    status(Code::NotFound, message.to_owned(), "google.rpc.Help", &help)
}

/// The project's quota of space writes is used up.
pub(super) fn quota_exceeded(limit: u32) -> Status {
    let info = ErrorInfo {
        reason: "RATE_LIMIT_EXCEEDED".to_owned(),
        domain: "googleapis.com".to_owned(),
        metadata: [
            ("consumer".to_owned(), format!("projects/{PROJECT}")),
            ("service".to_owned(), "chat.googleapis.com".to_owned()),
            ("quota_limit_value".to_owned(), limit.to_string()),
        ]
        .into(),
    };
    let message = format!("Quota exceeded: {limit} space writes per minute of project {PROJECT}.");
    status(Code::ResourceExhausted, message, "google.rpc.ErrorInfo", &info)
}

fn status(code: Code, message: String, type_name: &str, detail: &impl Message) -> Status {
    let detail = Any { type_url: format!("type.googleapis.com/{type_name}"), value: detail.encode_to_vec() };
    let encoded = rpc::Status { code: code as i32, message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, encoded.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(space: Space) -> String {
        let caller = Grant::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
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
