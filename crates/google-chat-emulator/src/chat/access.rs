//! Who may call which method, by the scopes of the caller's credentials.

use google_chat::MethodScopes;
use tonic::Status;

use super::{names::user_id, refusal};
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

    /// Whether the caller may do what is for apps: who has no credentials may do what either
    /// may, apps or users.
    pub(super) fn may_as_app(&self) -> bool {
        self.is_app() || self.grant.anonymous
    }

    /// Whether the caller may add and remove the app as a member, and nobody else.
    pub(super) fn adds_app_only(&self) -> bool {
        let wide = ["chat.memberships", "chat.admin.memberships", IMPORT];
        !self.grant.anonymous && !self.has_any(&wide) && self.has("chat.memberships.app")
    }

    /// Whether the caller may import what others have said, which no app may.
    pub(super) fn imports(&self) -> bool {
        self.grant.anonymous || !self.is_app() && self.has(IMPORT)
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
        let scopes = scopes(self.method)?;
        let as_user = self.has_any(&scopes.user);
        let allowed = match (self.is_app(), import) {
            (true, _) if self.has_any(&scopes.app) => true,
            (true, _) if as_user || self.has(IMPORT) => return Err(refusal::no_app()),
            (true, _) => false,
            (false, true) => self.has(IMPORT) || as_user && !settings.import_scope_required,
            (false, false) => as_user,
        };
        if allowed { Ok(()) } else { Err(refusal::no_scope(self.method)) }
    }

    /// Whether the caller may call the method, with an administrator's privileges if `admin`.
    /// What the scopes open is noted in the caller.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED.
    pub(super) fn authorize(&mut self, admin: bool, settings: &Settings) -> Result<(), Status> {
        if self.grant.anonymous {
            return Ok(());
        }
        let scopes = scopes(self.method)?;
        match (self.is_app(), admin) {
            (true, _) if scopes.app.is_empty() || admin => return Err(refusal::no_app()),
            (true, _) if self.has_any(&scopes.app) => {}
            (false, true) if self.has_any(&scopes.admin) => {
                if !self.is_administrator(settings) {
                    return Err(refusal::not_allowed("use an administrator's privileges"));
                }
                self.sees_all = true;
            }
            (false, false) if self.has_any(&scopes.user) => {}
            (false, false) if scopes.import && self.has(IMPORT) => self.imports_only = true,
            _ => return Err(refusal::no_scope(self.method)),
        }
        Ok(())
    }

    fn is_administrator(&self, settings: &Settings) -> bool {
        let listed = |all: &Vec<String>| all.iter().any(|one| Identity::User(one.clone()).key() == self.key());
        settings.administrators.as_ref().is_none_or(listed)
    }

    /// Whether an administrator must have approved the app's scopes: not for what the scope
    /// of every app allows.
    pub(super) fn needs_approval(&self) -> bool {
        let as_bot = || scopes(self.method).is_ok_and(|scopes| scopes.app.contains(&BOT)) && self.has(BOT);
        self.is_app() && !as_bot()
    }
}

const IMPORT: &str = "chat.import";
const BOT: &str = "chat.bot";
/// The method that downloads media, which is HTTP's alone.
pub(super) const DOWNLOAD: &str = "DownloadMedia";

/// The scopes that allow a method to users, to apps and to administrators, and whether the
/// scope for imports does.
struct Scopes {
    user: Vec<&'static str>,
    app: Vec<&'static str>,
    admin: Vec<&'static str>,
    import: bool,
}

/// The scopes that allow a method: those of Google's discovery document.
fn scopes(method: &str) -> Result<Scopes, Status> {
    let scopes = match method {
        DOWNLOAD => MethodScopes::of("chat.media.download"),
        method => MethodScopes::of(&format!("google.chat.v1.ChatService/{method}")),
    };
    let scopes =
        scopes.ok_or_else(|| Status::internal(format!("The emulator does not know which scopes {method} takes.")))?;
    let (user, app, admin) = (scopes.user().collect(), scopes.app().collect(), scopes.admin().collect());
    Ok(Scopes { user, app, admin, import: scopes.import() })
}
