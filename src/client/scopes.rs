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
const METHODS: [(&str, MethodScopes); 9] = [
    method(
        "ListMemberships",
        &["chat.memberships.readonly", "chat.memberships"],
        &["chat.bot", "chat.app.memberships"],
        &["chat.admin.memberships.readonly", "chat.admin.memberships"],
        true,
    ),
    method("ListSpaces", &["chat.spaces.readonly", "chat.spaces"], &["chat.bot"], &[], false),
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
    method("UpdateSpace", &["chat.spaces"], &["chat.app.spaces"], &["chat.admin.spaces"], true),
    method("DeleteSpace", &["chat.delete"], &["chat.app.delete"], &["chat.admin.delete"], true),
    method("CompleteImportSpace", &["chat.import"], &[], &[], true),
    // `chat.memberships.app` allows a user to add and remove the app alone.
    method(
        "CreateMembership",
        &["chat.memberships", "chat.memberships.app"],
        &["chat.app.memberships"],
        &["chat.admin.memberships"],
        true,
    ),
    method(
        "DeleteMembership",
        &["chat.memberships", "chat.memberships.app"],
        &["chat.app.memberships"],
        &["chat.admin.memberships"],
        true,
    ),
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
    /// may not call the method, it is a user's.
    pub fn least(&self, app: bool, admin: bool) -> &'static str {
        let preferred = match (app, admin) {
            (true, _) => self.app,
            (false, true) => self.admin,
            (false, false) => self.user,
        };
        preferred.first().or(self.user.first()).copied().unwrap_or_default()
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
