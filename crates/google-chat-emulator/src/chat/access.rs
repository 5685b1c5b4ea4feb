//! Who may call which method, by the scopes of the caller's credentials.

use tonic::Status;

use super::{refusal, room::user_id};
use crate::{
    Settings,
    identity::{Grant, Identity},
};

/// Who makes a call of a method, and what is open to them.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) grant: Grant,
    /// The name of the method.
    pub(super) method: &'static str,
    /// Whether every space is open to the caller: callers without credentials, and
    /// administrators.
    pub(super) sees_all: bool,
    /// Whether the scope for imports is all that allows the call.
    pub(super) imports_only: bool,
}

impl Caller {
    pub(super) fn new(grant: Grant, method: &'static str) -> Self {
        Self { method, sees_all: grant.anonymous, imports_only: false, grant }
    }

    #[cfg(test)]
    pub(super) fn of(identity: Identity, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| Box::from(*scope)).collect();
        Self::new(Grant { identity, scopes, anonymous: false }, "CreateSpace")
    }

    pub(super) fn is_app(&self) -> bool {
        self.grant.identity == Identity::App
    }

    /// The caller as a text, by which creators of spaces are kept.
    pub(super) fn key(&self) -> String {
        self.grant.identity.key()
    }

    /// The last part of the caller's name as a member.
    pub(super) fn member(&self) -> String {
        match &self.grant.identity {
            Identity::App => "app".to_owned(),
            Identity::User(email) => user_id(email),
        }
    }

    /// Whether the caller may set `customer`, which is for apps.
    pub(super) fn sets_customer(&self) -> bool {
        self.is_app() || self.sees_all
    }

    pub(super) fn has(&self, scope: &str) -> bool {
        self.grant.scopes.iter().any(|one| **one == *scope)
    }

    fn has_any(&self, scopes: &[&str]) -> bool {
        scopes.iter().any(|scope| self.has(scope))
    }

    /// Whether the caller may create a space.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED.
    pub(super) fn authorize_create(&self, import: bool, settings: &Settings) -> Result<(), Status> {
        const APP: [&str; 2] = ["chat.app.spaces.create", "chat.app.spaces"];
        const USER: [&str; 2] = ["chat.spaces.create", "chat.spaces"];
        let as_user = self.has_any(&USER);
        let allowed = match (self.is_app(), import) {
            (true, _) if self.has_any(&APP) => true,
            (true, _) if as_user || self.has(IMPORT) => return Err(refusal::no_app()),
            (true, _) => false,
            (false, true) => self.has(IMPORT) || as_user && !settings.import_scope_required,
            (false, false) => as_user,
        };
        if allowed { Ok(()) } else { Err(refusal::no_scope(self.method)) }
    }

    /// Whether the caller may call a method. What the scopes open is noted in the caller.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED.
    pub(super) fn authorize(&mut self, access: &Access, admin: bool) -> Result<(), Status> {
        if self.sees_all {
            return Ok(());
        }
        match (self.is_app(), admin) {
            (true, _) if access.app.is_empty() || admin => return Err(refusal::no_app()),
            (true, _) if self.has_any(access.app) => {}
            (false, true) if self.has_any(access.admin) => self.sees_all = true,
            (false, false) if self.has_any(access.user) => {}
            (false, false) if access.import && self.has(IMPORT) => self.imports_only = true,
            _ => return Err(refusal::no_scope(self.method)),
        }
        Ok(())
    }
}

const IMPORT: &str = "chat.import";

/// The scopes that allow a method to users, to apps and to administrators, and whether the
/// scope for imports does.
pub(super) struct Access {
    pub(super) method: &'static str,
    user: &'static [&'static str],
    app: &'static [&'static str],
    admin: &'static [&'static str],
    import: bool,
}

pub(super) const LIST_MEMBERSHIPS: Access = Access {
    method: "ListMemberships",
    user: &["chat.memberships", "chat.memberships.readonly"],
    app: &["chat.bot", "chat.app.memberships", "chat.app.memberships.readonly"],
    admin: &["chat.admin.memberships", "chat.admin.memberships.readonly"],
    import: true,
};
pub(super) const LIST_SPACES: Access = Access {
    method: "ListSpaces",
    user: &["chat.spaces", "chat.spaces.readonly"],
    app: &["chat.bot", "chat.app.spaces", "chat.app.spaces.readonly"],
    admin: &[],
    import: false,
};
pub(super) const GET_SPACE: Access = Access {
    method: "GetSpace",
    user: &["chat.spaces", "chat.spaces.readonly"],
    app: &["chat.bot", "chat.app.spaces", "chat.app.spaces.readonly"],
    admin: &["chat.admin.spaces", "chat.admin.spaces.readonly"],
    import: true,
};
pub(super) const UPDATE_SPACE: Access = Access {
    method: "UpdateSpace",
    user: &["chat.spaces"],
    app: &["chat.app.spaces"],
    admin: &["chat.admin.spaces"],
    import: true,
};
pub(super) const DELETE_SPACE: Access = Access {
    method: "DeleteSpace",
    user: &["chat.delete"],
    app: &["chat.app.delete"],
    admin: &["chat.admin.delete"],
    import: true,
};
pub(super) const COMPLETE_IMPORT: Access =
    Access { method: "CompleteImportSpace", user: &[], app: &[], admin: &[], import: true };
pub(super) const CREATE_MEMBERSHIP: Access = Access {
    method: "CreateMembership",
    user: &["chat.memberships", "chat.memberships.app"],
    app: &["chat.app.memberships"],
    admin: &["chat.admin.memberships"],
    import: true,
};
pub(super) const DELETE_MEMBERSHIP: Access = Access {
    method: "DeleteMembership",
    user: &["chat.memberships", "chat.memberships.app"],
    app: &["chat.app.memberships", "chat.memberships.app"],
    admin: &["chat.admin.memberships"],
    import: true,
};
