//! A space with its members, and what may become of it.
//!
//! Who may do what follows the space's permission settings, by the member's
//! role. Sources: the comments of the official protos, and Google's page of the
//! method.

use prost::Message;
use prost_types::Timestamp;
use tonic::Status;

use super::{access::Caller, refusal, rules};
use crate::{Settings, identity::Identity};
use google_chat::proto::google::chat::v1::{
    Membership, Space, User,
    membership::{Affiliation, MemberType, MembershipRole, MembershipState},
    space::{
        AccessSettings, MembershipCount, PermissionSetting, PermissionSettings, PredefinedPermissionSettings,
        SpacePermissionSettings, SpaceThreadingState, SpaceType, Type, access_settings::AccessState,
    },
    user,
};

/// The organization that a private app's `customers/my_customer` stands for.
const MY_CUSTOMER: &str = "customers/C01abc23d";
/// How long an import may take: 90 days from the call.
const IMPORT_SECONDS: i64 = 90 * 86_400;

/// A space as it is kept. It is a protobuf message, so that it can be kept in a file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Room {
    #[prost(message, required, tag = "1")]
    pub(super) space: Space,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<Membership>,
    /// Who created it, as [`Identity::key`] has it.
    #[prost(string, tag = "3")]
    pub(super) creator: String,
    /// The request id that created it, if there was one.
    #[prost(string, tag = "4")]
    pub(super) request_id: String,
}

impl Room {
    /// What the server makes of a space that is to be created: input that is
    /// output-only is ignored, the rest is filled in.
    #[allow(deprecated, reason = "the answer holds the deprecated type, too")]
    pub(super) fn create(
        id: &str,
        input: Space,
        request_id: &str,
        caller: &Caller,
        now: Timestamp,
        settings: &Settings,
    ) -> Self {
        let named = input.space_type == SpaceType::Space as i32;
        let history = match input.space_history_state {
            0 => settings.history as i32,
            given => given,
        };
        let access = input.access_settings.unwrap_or_default();
        let space = Space {
            name: format!("spaces/{id}"),
            r#type: Type::Room as i32,
            space_type: input.space_type,
            display_name: if named || settings.group_chat_names { input.display_name } else { String::new() },
            external_user_allowed: input.external_user_allowed,
            space_threading_state: match named {
                true => settings.threading as i32,
                false => SpaceThreadingState::UnthreadedMessages as i32,
            },
            space_details: input.space_details,
            space_history_state: history,
            import_mode: input.import_mode,
            create_time: input.create_time.filter(|_| input.import_mode).or(Some(microseconds(now))),
            access_settings: named.then(|| with_state(access)),
            customer: Some(match input.customer.filter(|_| caller.sets_customer()) {
                Some(customer) if customer != "customers/my_customer" && !customer.is_empty() => customer,
                _ => MY_CUSTOMER.to_owned(),
            }),
            space_uri: format!("https://chat.google.com/room/{id}?cls=11"),
            import_mode_expire_time: input
                .import_mode
                .then(|| microseconds(Timestamp { seconds: now.seconds + IMPORT_SECONDS, ..now })),
            space_permission_settings: named.then(|| permissions(input.space_permission_settings)),
            ..Space::default()
        };
        let import = space.import_mode;
        let mut room = Self { space, members: Vec::new(), creator: caller.key(), request_id: request_id.to_owned() };
        if !import {
            let role = if caller.is_app() { MembershipRole::RoleMember } else { MembershipRole::RoleManager };
            room.join(caller.member(), role, now);
        }
        room
    }

    /// Whether the space was to be imported, and was not in time.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.space.import_mode && self.space.import_mode_expire_time.is_some_and(|end| end.seconds <= now.seconds)
    }

    /// Organization and display name, where the space has one.
    pub(super) fn display_key(&self) -> Option<(String, String)> {
        let named = !self.space.display_name.is_empty();
        named.then(|| (self.space.customer.clone().unwrap_or_default(), self.space.display_name.clone()))
    }

    /// The space with the number of its members.
    pub(super) fn counted(&self) -> Space {
        let humans = self.members.iter().filter(|one| is_human(one) && one.state == MembershipState::Joined as i32);
        let groups = self.members.iter().filter(|one| matches!(one.member_type, Some(MemberType::GroupMember(_))));
        let count = MembershipCount {
            joined_direct_human_user_count: humans.count() as i32,
            joined_group_count: groups.count() as i32,
        };
        Space { membership_count: Some(count), ..self.space.clone() }
    }

    /// The space as the caller gets to see it: an app sees how it is set only with the wider
    /// of its scopes.
    pub(super) fn seen(&self, caller: &Caller) -> Space {
        let mut space = self.counted();
        if caller.is_app() && !caller.has("chat.app.spaces") {
            (space.access_settings, space.space_permission_settings) = (None, None);
        }
        space
    }

    /// What the caller is in this space.
    fn role(&self, caller: &Caller) -> Option<MembershipRole> {
        if caller.sees_all {
            return Some(MembershipRole::RoleManager);
        }
        let own = caller.member();
        let member = self.members.iter().find(|one| one.name.rsplit('/').next() == Some(own.as_str()))?;
        Some(member.role()).filter(|_| member.state == MembershipState::Joined as i32)
    }

    /// Whether the caller may know of the space: its members, and who imports it.
    pub(super) fn is_visible(&self, caller: &Caller) -> bool {
        self.role(caller).is_some() || self.creator == caller.key()
    }

    /// Whether the caller may do what a setting is about.
    fn allows(&self, caller: &Caller, setting: impl Fn(&PermissionSettings) -> Option<PermissionSetting>) -> bool {
        if self.space.import_mode {
            return self.creator == caller.key() || caller.sees_all;
        }
        let Some(role) = self.role(caller) else { return false };
        if role == MembershipRole::RoleManager {
            return true;
        }
        let setting = match &self.space.space_permission_settings {
            Some(SpacePermissionSettings::PermissionSettings(settings)) => setting(settings),
            _ => everybody(true),
        };
        let setting = setting.unwrap_or_default();
        match role {
            MembershipRole::RoleAssistantManager => setting.assistant_managers_allowed.unwrap_or_default(),
            _ => setting.members_allowed,
        }
    }

    /// Changes what the mask names.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED, or INVALID_ARGUMENT; nothing has changed then.
    pub(super) fn update(&mut self, input: Space, paths: &[String], caller: &Caller) -> Result<(), Status> {
        let problem = rules::check_update(&self.space, &input, paths);
        let app = caller.is_app();
        let has = |path: &str| paths.iter().any(|one| one == path || one.starts_with(&format!("{path}.")));
        let may = match app {
            true => self.creator == Identity::App.key(),
            false if has("access_settings") || has("permission_settings") => {
                self.role(caller) == Some(MembershipRole::RoleManager)
            }
            false if has("space_history_state") => self.allows(caller, |settings| settings.toggle_history),
            false => self.allows(caller, |settings| settings.modify_space_details),
        };
        if !may || app && has("access_settings") {
            return Err(refusal::not_allowed("update this space"));
        }
        problem?;
        let space = &mut self.space;
        for path in paths {
            match path.as_str() {
                "display_name" => space.display_name.clone_from(&input.display_name),
                "space_details" => space.space_details.clone_from(&input.space_details),
                "space_history_state" => space.space_history_state = input.space_history_state,
                "space_type" if space.space_type != input.space_type => {
                    space.space_type = input.space_type;
                    space.space_permission_settings = Some(permissions(None));
                    space.access_settings = Some(with_state(AccessSettings::default()));
                }
                "access_settings.audience" => {
                    let audience = input.access_settings.as_ref().map(|one| one.audience.clone()).unwrap_or_default();
                    let access = space.access_settings.take().unwrap_or_default();
                    space.access_settings = Some(with_state(AccessSettings { audience, ..access }));
                }
                "access_settings.access_permission_settings" => {
                    let given = input.access_settings.as_ref().and_then(|one| one.access_permission_settings.clone());
                    let access = space.access_settings.take().unwrap_or_default();
                    space.access_settings =
                        Some(with_state(AccessSettings { access_permission_settings: given, ..access }));
                }
                _ => {}
            }
        }
        if let (
            Some(SpacePermissionSettings::PermissionSettings(kept)),
            Some(SpacePermissionSettings::PermissionSettings(given)),
        ) = (&mut space.space_permission_settings, &input.space_permission_settings)
        {
            let all = paths.iter().any(|path| path == "permission_settings");
            let set = |name: &str, kept: &mut Option<PermissionSetting>, given: &Option<PermissionSetting>| {
                if given.is_some() && (all || paths.iter().any(|path| path == &format!("permission_settings.{name}"))) {
                    kept.clone_from(given);
                }
            };
            set("manage_members_and_groups", &mut kept.manage_members_and_groups, &given.manage_members_and_groups);
            set("modify_space_details", &mut kept.modify_space_details, &given.modify_space_details);
            set("toggle_history", &mut kept.toggle_history, &given.toggle_history);
            set("use_at_mention_all", &mut kept.use_at_mention_all, &given.use_at_mention_all);
            set("manage_apps", &mut kept.manage_apps, &given.manage_apps);
            set("manage_webhooks", &mut kept.manage_webhooks, &given.manage_webhooks);
            set("reply_messages", &mut kept.reply_messages, &given.reply_messages);
        }
        Ok(())
    }

    /// Whether the caller may delete the space.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED.
    pub(super) fn check_delete(&self, caller: &Caller) -> Result<(), Status> {
        let may = match self.space.import_mode || caller.is_app() {
            true => self.creator == caller.key() || caller.sees_all,
            false => self.role(caller) == Some(MembershipRole::RoleManager),
        };
        if may { Ok(()) } else { Err(refusal::not_allowed("delete this space")) }
    }

    /// Ends import mode; the caller becomes the manager.
    ///
    /// # Errors
    ///
    /// FAILED_PRECONDITION if the space is not in import mode, PERMISSION_DENIED if
    /// another imports it.
    pub(super) fn complete_import(&mut self, caller: &Caller, now: Timestamp) -> Result<(), Status> {
        if !self.space.import_mode {
            return Err(Status::failed_precondition("The space is not in import mode."));
        }
        if !caller.sees_all && self.creator != caller.key() {
            return Err(refusal::not_allowed("complete the import of this space"));
        }
        self.space.import_mode = false;
        self.space.import_mode_expire_time = None;
        // Memberships of the past are past; the others hold from now on.
        self.members.retain(|member| member.delete_time.is_none());
        if self.role(&Caller { sees_all: false, ..caller.clone() }).is_none() {
            self.join(caller.member(), MembershipRole::RoleManager, now);
        }
        Ok(())
    }

    /// Adds a member.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, PERMISSION_DENIED, or ALREADY_EXISTS.
    pub(super) fn add(&mut self, input: Membership, caller: &Caller, now: Timestamp) -> Result<Membership, Status> {
        rules::check_membership(&input, self.space.import_mode, now.seconds)?;
        let app = caller.is_app();
        let (member, bot) = match &input.member_type {
            Some(MemberType::Member(user)) => (member_id(&user.name), user.r#type() == user::Type::Bot),
            Some(MemberType::GroupMember(group)) => (group.name.replace("groups/", "group."), false),
            None => (String::new(), false),
        };
        if bot && (app || member != "app") {
            return Err(refusal::not_allowed("add an app but the one that calls, as a user"));
        }
        let may = match (app, bot) {
            (true, _) => self.role(caller).is_some(),
            (false, true) => self.allows(caller, |settings| settings.manage_apps),
            (false, false) => self.allows(caller, |settings| settings.manage_members_and_groups),
        };
        if !may {
            return Err(refusal::not_allowed("add members to this space"));
        }
        let name = format!("{}/members/{member}", self.space.name);
        if self.members.iter().any(|one| one.name == name) {
            return Err(refusal::member_exists(&name));
        }
        let role = match input.role() {
            MembershipRole::Unspecified => MembershipRole::RoleMember,
            role => role,
        };
        let mut made = member_of(&self.space.name, member, role, now);
        if let Some(MemberType::GroupMember(group)) = input.member_type {
            made.member_type = Some(MemberType::GroupMember(group));
        }
        if self.space.import_mode {
            (made.create_time, made.delete_time) = (input.create_time.or(made.create_time), input.delete_time);
        }
        self.members.push(made.clone());
        Ok(made)
    }

    /// Removes a member, whose name may hold an email address.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, or PERMISSION_DENIED.
    pub(super) fn remove(&mut self, name: &str, caller: &Caller) -> Result<Membership, Status> {
        let member = member_id(name);
        let name = format!("{}/members/{member}", self.space.name);
        let place = self.members.iter().position(|one| one.name == name);
        if !self.is_visible(caller) {
            return Err(refusal::not_allowed("remove members from this space"));
        }
        let place = place.ok_or_else(|| refusal::not_found("membership", &name))?;
        let own = caller.member() == member;
        let may = own
            || match (caller.is_app(), member.as_str()) {
                (true, _) => self.creator == Identity::App.key(),
                (false, "app") => self.allows(caller, |settings| settings.manage_apps),
                (false, _) => self.allows(caller, |settings| settings.manage_members_and_groups),
            };
        if !may {
            return Err(refusal::not_allowed("remove this member"));
        }
        let mut removed = self.members.remove(place);
        removed.state = MembershipState::NotAMember as i32;
        Ok(removed)
    }

    /// The members that the caller gets to see.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED.
    pub(super) fn members(&self, caller: &Caller) -> Result<&[Membership], Status> {
        let app = caller.is_app();
        let may = match self.role(caller) {
            Some(_) if app => true,
            _ => self.allows(caller, |settings| settings.view_space_membership),
        };
        if may { Ok(&self.members) } else { Err(refusal::not_allowed("see the members of this space")) }
    }

    fn join(&mut self, member: String, role: MembershipRole, now: Timestamp) {
        self.members.push(member_of(&self.space.name, member, role, now));
    }
}

fn member_of(space: &str, member: String, role: MembershipRole, now: Timestamp) -> Membership {
    let kind = if member == "app" { user::Type::Bot } else { user::Type::Human };
    Membership {
        name: format!("{space}/members/{member}"),
        state: MembershipState::Joined as i32,
        role: role as i32,
        create_time: Some(microseconds(now)),
        delete_time: None,
        member_type: Some(MemberType::Member(User {
            name: format!("users/{member}"),
            r#type: kind as i32,
            ..User::default()
        })),
        // The emulator knows of no organizations.
        affiliation: Affiliation::Unspecified as i32,
    }
}

fn is_human(member: &Membership) -> bool {
    matches!(&member.member_type, Some(MemberType::Member(user)) if user.r#type() == user::Type::Human)
}

/// Who is meant by the last part of a user's or a member's name: an email address
/// stands for the id of its user.
pub(super) fn member_id(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains('@') { user_id(last) } else { last.to_owned() }
}

/// An id of 21 digits, as users of Google have, always the same for an address.
pub(super) fn user_id(email: &str) -> String {
    // FNV-1a (RFC 9923).
    let hash = email
        .to_ascii_lowercase()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("1{hash:020}")
}

/// Times as the server gives them, to the microsecond.
fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp { nanos: time.nanos / 1_000 * 1_000, ..time }
}

fn with_state(access: AccessSettings) -> AccessSettings {
    let open = !access.audience.is_empty()
        || access.access_permission_settings.as_ref().is_some_and(|one| one.discover_space_setting.is_some());
    let state = if open { AccessState::Discoverable } else { AccessState::Private };
    AccessSettings { access_state: state as i32, ..access }
}

fn everybody(members: bool) -> Option<PermissionSetting> {
    Some(PermissionSetting { managers_allowed: true, assistant_managers_allowed: Some(true), members_allowed: members })
}

/// The permissions of a new space: those of a ready-made set, each one that the
/// request gives in place of the set's.
fn permissions(input: Option<SpacePermissionSettings>) -> SpacePermissionSettings {
    let announcement = matches!(
        input,
        Some(SpacePermissionSettings::PredefinedPermissionSettings(set))
            if set == PredefinedPermissionSettings::AnnouncementSpace as i32
    );
    let given = match input {
        Some(SpacePermissionSettings::PermissionSettings(given)) => given,
        _ => PermissionSettings::default(),
    };
    let all = || everybody(true);
    SpacePermissionSettings::PermissionSettings(PermissionSettings {
        manage_members_and_groups: given.manage_members_and_groups.or_else(all),
        modify_space_details: given.modify_space_details.or_else(all),
        toggle_history: given.toggle_history.or_else(all),
        use_at_mention_all: given.use_at_mention_all.or_else(all),
        manage_apps: given.manage_apps.or_else(all),
        manage_webhooks: given.manage_webhooks.or_else(all),
        post_messages: everybody(!announcement),
        reply_messages: given.reply_messages.or_else(all),
        view_space_membership: given.view_space_membership.or_else(all),
    })
}
