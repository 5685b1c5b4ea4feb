//! The OAuth 2.0 scopes that Google Chat's methods need.
//!
//! Source: the scopes of each method in Google's discovery document of `chat.v1`.

/// The OAuth 2.0 scopes that allow a method, without
/// `https://www.googleapis.com/auth/`. Any one of them is enough; the narrowest is the
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodScopes {
    /// For a user.
    pub user: &'static [&'static str],
    /// For the Chat app itself.
    pub app: &'static [&'static str],
    /// For an administrator, with `use_admin_access`.
    pub admin: &'static [&'static str],
    /// Whether `chat.import` allows it for a space in import mode.
    pub import: bool,
}

/// Each method with its scopes for users, for apps and for administrators, and whether
/// `chat.import` allows it.
const METHODS: [(&str, MethodScopes); 52] = [
    method("CreateMessage", &["chat.messages.create", "chat.messages"], &["chat.bot"], &[], true),
    method("ListMessages", &["chat.messages.readonly", "chat.messages"], &["chat.app.messages.readonly"], &[], true),
    method(
        "ListMemberships",
        &["chat.memberships.readonly", "chat.memberships"],
        &["chat.bot", "chat.app.memberships"],
        &["chat.admin.memberships.readonly", "chat.admin.memberships"],
        true,
    ),
    method(
        "GetMembership",
        &["chat.memberships.readonly", "chat.memberships"],
        &["chat.bot", "chat.app.memberships"],
        &["chat.admin.memberships.readonly", "chat.admin.memberships"],
        false,
    ),
    method(
        "GetMessage",
        &["chat.messages.readonly", "chat.messages"],
        &["chat.bot", "chat.app.messages.readonly"],
        &[],
        false,
    ),
    method("UpdateMessage", &["chat.messages"], &["chat.bot"], &[], true),
    method("DeleteMessage", &["chat.messages"], &["chat.bot"], &[], true),
    method("SearchMessages", &["chat.messages.readonly", "chat.messages"], &[], &[], false),
    method("GetAttachment", &[], &["chat.bot"], &[], false),
    method("UploadAttachment", &["chat.messages.create", "chat.messages"], &["chat.bot"], &[], true),
    method("ListSpaces", &["chat.spaces.readonly", "chat.spaces"], &["chat.bot"], &[], false),
    method(
        "SearchSpaces",
        &["chat.spaces.readonly", "chat.spaces"],
        &[],
        &["chat.admin.spaces.readonly", "chat.admin.spaces"],
        false,
    ),
    method(
        "GetSpace",
        &["chat.spaces.readonly", "chat.spaces"],
        &["chat.bot", "chat.app.spaces"],
        &["chat.admin.spaces.readonly", "chat.admin.spaces"],
        false,
    ),
    method(
        "CreateSpace",
        &["chat.spaces.create", "chat.spaces"],
        &["chat.app.spaces.create", "chat.app.spaces"],
        &[],
        true,
    ),
    method("SetUpSpace", &["chat.spaces.create", "chat.spaces"], &[], &[], false),
    method("UpdateSpace", &["chat.spaces"], &["chat.app.spaces"], &["chat.admin.spaces"], true),
    method("DeleteSpace", &["chat.delete"], &["chat.app.delete"], &["chat.admin.delete"], true),
    method("CompleteImportSpace", &["chat.import"], &[], &[], true),
    method("FindDirectMessage", &["chat.spaces.readonly", "chat.spaces"], &["chat.bot"], &[], false),
    method("FindGroupChats", &["chat.memberships.readonly", "chat.memberships"], &[], &[], false),
    // `chat.memberships.app` allows a user to add and remove the app alone.
    method(
        "CreateMembership",
        &["chat.memberships", "chat.memberships.app"],
        &["chat.app.memberships"],
        &["chat.admin.memberships"],
        true,
    ),
    method("UpdateMembership", &["chat.memberships"], &["chat.app.memberships"], &["chat.admin.memberships"], true),
    method(
        "DeleteMembership",
        &["chat.memberships", "chat.memberships.app"],
        &["chat.app.memberships"],
        &["chat.admin.memberships"],
        true,
    ),
    method(
        "CreateReaction",
        &["chat.messages.reactions.create", "chat.messages.reactions", "chat.messages"],
        &["chat.bot"],
        &[],
        true,
    ),
    method(
        "ListReactions",
        &["chat.messages.reactions.readonly", "chat.messages.readonly", "chat.messages.reactions", "chat.messages"],
        &["chat.bot", "chat.app.messages.readonly"],
        &[],
        false,
    ),
    method("DeleteReaction", &["chat.messages.reactions", "chat.messages"], &["chat.bot"], &[], true),
    method(
        "ListMessagePins",
        &["chat.spaces.pins.readonly", "chat.spaces.readonly", "chat.spaces.pins", "chat.spaces"],
        &[],
        &[],
        false,
    ),
    method("CreateMessagePin", &["chat.spaces.pins", "chat.spaces"], &[], &[], false),
    method("DeleteMessagePin", &["chat.spaces.pins", "chat.spaces"], &[], &[], false),
    method("CreateCustomEmoji", &["chat.customemojis"], &[], &[], false),
    method("GetCustomEmoji", &["chat.customemojis.readonly", "chat.customemojis"], &[], &[], false),
    method("ListCustomEmojis", &["chat.customemojis.readonly", "chat.customemojis"], &[], &[], false),
    method("DeleteCustomEmoji", &["chat.customemojis"], &[], &[], false),
    method("GetSpaceReadState", &["chat.users.readstate.readonly", "chat.users.readstate"], &[], &[], false),
    method("UpdateSpaceReadState", &["chat.users.readstate"], &[], &[], false),
    method("GetThreadReadState", &["chat.users.readstate.readonly", "chat.users.readstate"], &[], &[], false),
    method("GetAvailability", &["chat.users.availability.readonly", "chat.users.availability"], &[], &[], false),
    method("MarkAsActive", &["chat.users.availability"], &[], &[], false),
    method("MarkAsAway", &["chat.users.availability"], &[], &[], false),
    method("MarkAsDoNotDisturb", &["chat.users.availability"], &[], &[], false),
    method("UpdateAvailability", &["chat.users.availability"], &[], &[], false),
    method(
        "GetSpaceEvent",
        &[
            "chat.messages.reactions.readonly",
            "chat.memberships.readonly",
            "chat.messages.readonly",
            "chat.spaces.readonly",
            "chat.messages.reactions",
            "chat.memberships",
            "chat.messages",
            "chat.spaces",
        ],
        &[
            "chat.app.all.memberships.readonly",
            "chat.app.all.messages.readonly",
            "chat.app.all.spaces.readonly",
            "chat.app.memberships.readonly",
            "chat.app.messages.readonly",
            "chat.app.spaces.readonly",
            "chat.app.memberships",
            "chat.app.spaces",
        ],
        &[],
        false,
    ),
    method(
        "ListSpaceEvents",
        &[
            "chat.messages.reactions.readonly",
            "chat.memberships.readonly",
            "chat.messages.readonly",
            "chat.spaces.readonly",
            "chat.messages.reactions",
            "chat.memberships",
            "chat.messages",
            "chat.spaces",
        ],
        &[
            "chat.app.all.memberships.readonly",
            "chat.app.all.messages.readonly",
            "chat.app.all.spaces.readonly",
            "chat.app.memberships.readonly",
            "chat.app.messages.readonly",
            "chat.app.spaces.readonly",
            "chat.app.memberships",
            "chat.app.spaces",
        ],
        &[],
        false,
    ),
    method("GetSpaceNotificationSetting", &["chat.users.spacesettings"], &[], &[], false),
    method("UpdateSpaceNotificationSetting", &["chat.users.spacesettings"], &[], &[], false),
    method("CreateSection", &["chat.users.sections"], &[], &[], false),
    method("DeleteSection", &["chat.users.sections"], &[], &[], false),
    method("UpdateSection", &["chat.users.sections"], &[], &[], false),
    method("ListSections", &["chat.users.sections.readonly", "chat.users.sections"], &[], &[], false),
    method("PositionSection", &["chat.users.sections"], &[], &[], false),
    method("ListSectionItems", &["chat.users.sections.readonly", "chat.users.sections"], &[], &[], false),
    method("MoveSectionItem", &["chat.users.sections"], &[], &[], false),
];

const fn method(
    name: &'static str,
    user: &'static [&'static str],
    app: &'static [&'static str],
    admin: &'static [&'static str],
    import: bool,
) -> (&'static str, MethodScopes) {
    (name, MethodScopes { user, app, admin, import })
}

impl MethodScopes {
    /// The scopes of a method: `google.chat.v1.ChatService/CreateSpace`. `None` if it is
    /// none of the methods that this crate knows.
    pub fn of(method: &str) -> Option<Self> {
        let name = method.strip_prefix("google.chat.v1.ChatService/")?;
        METHODS.iter().find(|(known, _)| *known == name).map(|(_, scopes)| *scopes)
    }

    /// The scope to ask for, which allows no more than the others: as the app or as a
    /// user, who may be an administrator that says so (`use_admin_access`). Where an app
    /// may not call the method, it is a user's; where a user may not, it is an app's.
    pub fn least(&self, app: bool, admin: bool) -> &'static str {
        let preferred = match (app, admin) {
            (true, _) => self.app,
            (false, true) => self.admin,
            (false, false) => self.user,
        };
        preferred.first().or(self.user.first()).or(self.app.first()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[test]
    fn every_method_of_the_schema_has_its_scopes() {
        let pool = Client::http_rules().pool();
        for method in pool.methods() {
            let scopes = MethodScopes::of(&method.path()[1..]).unwrap_or_else(|| panic!("{}", method.path()));
            for (app, admin) in [(false, false), (false, true), (true, false)] {
                assert!(scopes.least(app, admin).starts_with("chat."), "{}", method.path());
            }
        }
        assert_eq!(METHODS.len(), pool.methods().count());
        assert_eq!(MethodScopes::of("acme.v1.Library/GetSpace"), None);
        assert_eq!(MethodScopes::of("google.chat.v1.ChatService/Get"), None);
    }
}
