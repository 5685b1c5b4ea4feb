//! The spaces that exist.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    time::SystemTime,
};

use prost_types::Timestamp;
use tonic::Status;

use super::{
    identity::{Grant, Identity},
    rules,
    settings::Settings,
};
use crate::proto::google::chat::v1::{
    HistoryState, Space,
    space::{
        AccessSettings, MembershipCount, PermissionSetting, PermissionSettings, PredefinedPermissionSettings,
        SpacePermissionSettings, SpaceThreadingState, SpaceType, Type, access_settings::AccessState,
    },
};

/// The organization that a private app's `customers/my_customer` stands for.
const MY_CUSTOMER: &str = "customers/C01abc23d";
/// How long an import may take: 90 days from the call.
const IMPORT_SECONDS: i64 = 90 * 86_400;

#[derive(Debug, Default)]
pub(super) struct Store {
    by_request: HashMap<String, (Identity, Space)>,
    names: HashSet<(String, String)>,
    pub(super) spaces: Vec<Space>,
    ids: RandomState,
    count: u64,
}

impl Store {
    /// Creates a space, or gives back the one that the request id made.
    ///
    /// # Errors
    ///
    /// What [`rules::check`] says, or ALREADY_EXISTS.
    pub(super) fn create(
        &mut self,
        space: Option<Space>,
        request_id: &str,
        grant: &Grant,
        now: SystemTime,
        settings: &Settings,
    ) -> Result<Space, Status> {
        // A replay wins over the conflict with its own first attempt.
        if let Some((creator, made)) = self.by_request.get(request_id).filter(|_| !request_id.is_empty()) {
            return if *creator == grant.identity {
                Ok(seen(made.clone(), grant))
            } else {
                Err(rules::request_id_of_another_user())
            };
        }
        let space = space.ok_or_else(rules::no_space)?;
        let seconds = Timestamp::from(now).seconds;
        rules::check(&space, &grant.identity, seconds, settings)?;
        let space = self.populate(space, grant, now);
        if !space.display_name.is_empty() {
            let name = (space.customer.clone().unwrap_or_default(), space.display_name.clone());
            if !self.names.insert(name) && settings.unique_names {
                return Err(rules::name_taken(&space.display_name));
            }
        }
        if !request_id.is_empty() {
            self.by_request.insert(request_id.to_owned(), (grant.identity.clone(), space.clone()));
        }
        self.spaces.push(space.clone());
        Ok(seen(space, grant))
    }

    /// What the server makes of a space: input that is output-only is ignored,
    /// the rest is filled in.
    #[allow(deprecated, reason = "the answer holds the deprecated type, too")]
    fn populate(&mut self, input: Space, grant: &Grant, now: SystemTime) -> Space {
        let id = self.id();
        let now = Timestamp::from(now);
        let named = input.space_type == SpaceType::Space as i32;
        let by_app = grant.identity == Identity::App;
        let history = match input.space_history_state {
            0 => HistoryState::HistoryOn as i32,
            given => given,
        };
        let access = input.access_settings.unwrap_or_default();
        let state = if access.audience.is_empty() { AccessState::Private } else { AccessState::Discoverable };
        Space {
            name: format!("spaces/{id}"),
            r#type: Type::Room as i32,
            space_type: input.space_type,
            display_name: input.display_name,
            external_user_allowed: input.external_user_allowed,
            space_threading_state: match named {
                true => SpaceThreadingState::ThreadedMessages as i32,
                false => SpaceThreadingState::UnthreadedMessages as i32,
            },
            space_details: input.space_details,
            space_history_state: history,
            import_mode: input.import_mode,
            create_time: input.create_time.filter(|_| input.import_mode).or(Some(microseconds(now))),
            membership_count: Some(MembershipCount {
                joined_direct_human_user_count: i32::from(!by_app && !input.import_mode),
                joined_group_count: 0,
            }),
            access_settings: named.then_some(AccessSettings { access_state: state as i32, ..access }),
            customer: Some(match input.customer.filter(|_| by_app) {
                Some(customer) if customer != "customers/my_customer" => customer,
                _ => MY_CUSTOMER.to_owned(),
            }),
            space_uri: format!("https://chat.google.com/room/{id}?cls=11"),
            import_mode_expire_time: input
                .import_mode
                .then(|| microseconds(Timestamp { seconds: now.seconds + IMPORT_SECONDS, ..now })),
            space_permission_settings: named.then(|| permissions(input.space_permission_settings)),
            ..Space::default()
        }
    }

    /// A resource id as the real ones look: 64 bits in base64url.
    fn id(&mut self) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        self.count += 1;
        URL_SAFE_NO_PAD.encode(self.ids.hash_one(self.count).to_be_bytes())
    }
}

/// The space as the caller gets to see it: an app sees how it is set only with
/// the wider of its scopes.
fn seen(space: Space, grant: &Grant) -> Space {
    if grant.identity != Identity::App || grant.has("chat.app.spaces") {
        return space;
    }
    Space { access_settings: None, space_permission_settings: None, ..space }
}

/// Times as the server gives them, to the microsecond.
fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp { nanos: time.nanos / 1_000 * 1_000, ..time }
}

/// The permissions of a new space: those of a ready-made set, each one that the
/// request gives in place of the set's.
fn permissions(input: Option<SpacePermissionSettings>) -> SpacePermissionSettings {
    let all = |members: bool| {
        Some(PermissionSetting {
            managers_allowed: true,
            assistant_managers_allowed: Some(true),
            members_allowed: members,
        })
    };
    let announcement = matches!(
        input,
        Some(SpacePermissionSettings::PredefinedPermissionSettings(set))
            if set == PredefinedPermissionSettings::AnnouncementSpace as i32
    );
    let given = match input {
        Some(SpacePermissionSettings::PermissionSettings(given)) => given,
        _ => PermissionSettings::default(),
    };
    SpacePermissionSettings::PermissionSettings(PermissionSettings {
        manage_members_and_groups: given.manage_members_and_groups.or(all(true)),
        modify_space_details: given.modify_space_details.or(all(true)),
        toggle_history: given.toggle_history.or(all(true)),
        use_at_mention_all: given.use_at_mention_all.or(all(true)),
        manage_apps: given.manage_apps.or(all(true)),
        manage_webhooks: given.manage_webhooks.or(all(true)),
        post_messages: all(!announcement),
        reply_messages: given.reply_messages.or(all(true)),
        view_space_membership: given.view_space_membership.or(all(true)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(store: &mut Store, space: Space, id: &str) -> Result<Space, tonic::Code> {
        let grant = Grant::of(Identity::User("alice@example.com".to_owned()), &["chat.spaces"]);
        let settings = Settings::default();
        store.create(Some(space), id, &grant, SystemTime::UNIX_EPOCH, &settings).map_err(|status| status.code())
    }

    #[test]
    fn a_request_id_is_replayed_and_wins_over_the_name() {
        let mut store = Store::default();
        let first = create(&mut store, Space::named("a"), "id").unwrap();
        assert_eq!(create(&mut store, Space::named("other"), "id").unwrap(), first);
        assert_eq!(create(&mut store, Space::named("a"), "new"), Err(tonic::Code::AlreadyExists));
        assert_eq!(create(&mut store, Space::named("a"), ""), Err(tonic::Code::AlreadyExists));
    }

    #[test]
    fn a_failed_attempt_does_not_burn_its_request_id() {
        let mut store = Store::default();
        assert_eq!(create(&mut store, Space::named(""), "id"), Err(tonic::Code::InvalidArgument));
        assert_eq!(create(&mut store, Space::named("a"), "id").unwrap().display_name, "a");
    }

    #[test]
    fn output_only_fields_of_the_request_are_ignored() {
        let mut store = Store::default();
        let space = Space {
            name: "not even a name".to_owned(),
            space_uri: "x".to_owned(),
            create_time: Some(Timestamp { seconds: 1, nanos: 0 }),
            admin_installed: true,
            ..Space::named("a")
        };
        let made = create(&mut store, space, "").unwrap();
        assert!(made.name.starts_with("spaces/") && made.name.len() == 18, "{}", made.name);
        assert_eq!(made.create_time, Some(Timestamp { seconds: 0, nanos: 0 }));
        assert!(!made.admin_installed);
        assert_eq!(made.space_uri, format!("https://chat.google.com/room/{}?cls=11", &made.name[7..]));
    }
}
