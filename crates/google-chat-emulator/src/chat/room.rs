//! A space with its members, and what may become of it.
//!
//! Who may do what follows the space's permission settings, by the member's
//! role. Sources: the comments of the official protos, and Google's page of the
//! method.

use prost::Message;
use prost_types::Timestamp;
use tonic::Status;

use super::{access::Caller, members::Kind, read_state::Reader, refusal, rules};
use crate::{Settings, identity::Identity};
use google_chat::proto::google::chat::v1::{
    Membership, MessagePin, Space,
    membership::MembershipRole,
    space::{
        AccessSettings, MembershipCount, PermissionSetting, PermissionSettings, PredefinedPermissionSettings,
        SpacePermissionSettings, SpaceThreadingState, SpaceType, Type, access_settings::AccessState,
    },
};

/// The organization that a private app's `customers/my_customer` stands for.
pub(super) const MY_CUSTOMER: &str = "customers/C01abc23d";
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
    #[prost(message, repeated, tag = "5")]
    pub(super) pins: Vec<MessagePin>,
    /// How far members have read it.
    #[prost(message, repeated, tag = "6")]
    pub(super) readers: Vec<Reader>,
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
        let direct = input.space_type == SpaceType::DirectMessage as i32;
        let history = match input.space_history_state {
            0 => settings.history as i32,
            given => given,
        };
        let access = input.access_settings.unwrap_or_default();
        let space = Space {
            name: format!("spaces/{id}"),
            // One between two people is a room by this word.
            r#type: if input.single_user_bot_dm { Type::Dm as i32 } else { Type::Room as i32 },
            single_user_bot_dm: input.single_user_bot_dm,
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
            create_time: input.create_time.filter(|_| input.import_mode).or((!direct).then(|| microseconds(now))),
            access_settings: named.then(|| with_state(access)),
            customer: match input.customer.filter(|_| caller.may_as_app()) {
                _ if direct => None,
                Some(customer) if customer != "customers/my_customer" && !customer.is_empty() => Some(customer),
                _ => Some(MY_CUSTOMER.to_owned()),
            },
            space_uri: format!("https://chat.google.com/{}/{id}?cls=11", if direct { "dm" } else { "room" }),
            import_mode_expire_time: input
                .import_mode
                .then(|| microseconds(Timestamp { seconds: now.seconds + IMPORT_SECONDS, ..now })),
            space_permission_settings: named.then(|| permissions(input.space_permission_settings)),
            ..Space::default()
        };
        let import = space.import_mode;
        let mut room = Self { space, creator: caller.key(), request_id: request_id.to_owned(), ..Self::default() };
        if !import {
            room.join(caller.member(), room.creators_role(caller), now);
        }
        room
    }

    /// What its creator is in the space: in a space without a name all are members.
    fn creators_role(&self, caller: &Caller) -> MembershipRole {
        let named = self.space.space_type == SpaceType::Space as i32;
        if named && !caller.is_app() { MembershipRole::RoleManager } else { MembershipRole::RoleMember }
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
        let groups = self.members.iter().filter(|one| Kind::of(one) == Kind::Group);
        let count = MembershipCount {
            joined_direct_human_user_count: self.people().count() as i32,
            joined_group_count: groups.count() as i32,
        };
        Space { membership_count: Some(count), ..self.space.clone() }
    }

    /// The space as the caller gets to see it: an app sees how it is set only with the wider
    /// of its scopes, and what its members may only if it created the space.
    pub(super) fn seen(&self, caller: &Caller) -> Space {
        let mut space = self.counted();
        if caller.is_app() {
            let wide = caller.has("chat.app.spaces");
            space.access_settings.take_if(|_| !wide);
            space.space_permission_settings.take_if(|_| !wide || self.creator != caller.key());
        }
        space
    }

    /// The space as lists have it: without what its members may.
    pub(super) fn listed(&self, caller: &Caller) -> Space {
        Space { space_permission_settings: None, ..self.seen(caller) }
    }

    /// Whether the caller may know of the space: its members, and who imports it.
    pub(super) fn is_visible(&self, caller: &Caller) -> bool {
        let imports = || self.creator == caller.key() || caller.imports();
        self.role(caller).is_some() || self.space.import_mode && imports()
    }

    /// Whether the caller may do what a setting is about.
    pub(super) fn allows(
        &self,
        caller: &Caller,
        setting: impl Fn(&PermissionSettings) -> Option<PermissionSetting>,
    ) -> bool {
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
    pub(super) fn update(
        &mut self,
        input: Space,
        paths: &[String],
        caller: &Caller,
        admin: bool,
    ) -> Result<(), Status> {
        let problem = rules::check_update(&self.space, &input, paths, admin);
        let changed = rules::changed_access(&self.space, &input, paths);
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
                path if path.starts_with(rules::ACCESS) => {
                    let access_permission_settings = changed.clone();
                    let access = space.access_settings.take().unwrap_or_default();
                    space.access_settings = Some(with_state(AccessSettings { access_permission_settings, ..access }));
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
            set("view_space_membership", &mut kept.view_space_membership, &given.view_space_membership);
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
        self.join(caller.member(), self.creators_role(caller), now);
        Ok(())
    }
}

/// Times as the server gives them, to the microsecond.
pub(super) fn microseconds(time: Timestamp) -> Timestamp {
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
