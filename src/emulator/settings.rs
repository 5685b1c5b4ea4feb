use std::time::Duration;

use crate::proto::google::chat::v1::{HistoryState, space::SpaceThreadingState};

/// What the emulated organization is like, and what the emulator does where the
/// documentation leaves it open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether calls without credentials are taken, as those of a user to whom every
    /// space is open, and who may set a customer. Off: they get UNAUTHENTICATED.
    pub anonymous: bool,
    /// Whether `Bearer user:alice@example.com` and `Bearer app` are taken for
    /// tokens with every scope. Off by default: nothing is signed.
    pub shortcuts: bool,
    /// Whether the Google Chat API is enabled in the project.
    pub api_enabled: bool,
    /// Whether the Chat app is configured in the project.
    pub app_configured: bool,
    /// Whether an administrator has approved the app's own scopes.
    pub app_approved: bool,
    /// The scopes that domain-wide delegation allows the key, with or without
    /// `https://www.googleapis.com/auth/`; `None`: all.
    pub delegated_scopes: Option<Vec<String>>,
    /// The users of the organization, who can be acted for; `None`: whoever has
    /// an address.
    pub users: Option<Vec<String>>,
    /// How long an access token lives, at most a year.
    pub token_lifetime: Duration,
    /// Whether two spaces of an organization may not have one display name.
    pub unique_names: bool,
    /// Whether a space in import mode needs the scope `chat.import`, as Google's
    /// guide has it; the method's own page takes the others, too.
    pub import_scope_required: bool,
    /// Whether a user may not set `customer`; else it is ignored.
    pub strict_customer: bool,
    /// The history of a space that says nothing of it.
    pub history: HistoryState,
    /// How messages of a named space are threaded.
    pub threading: SpaceThreadingState,
    /// Whether a group chat in import mode keeps its display name; the
    /// documentation says both.
    pub group_chat_names: bool,
    /// How many spaces may be written in 60 seconds; `None`: any number. Google
    /// allows a project 60.
    pub writes_per_minute: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            anonymous: true,
            shortcuts: false,
            api_enabled: true,
            app_configured: true,
            app_approved: true,
            delegated_scopes: None,
            users: None,
            token_lifetime: Duration::from_secs(3_599),
            unique_names: true,
            import_scope_required: false,
            strict_customer: false,
            history: HistoryState::HistoryOn,
            threading: SpaceThreadingState::ThreadedMessages,
            group_chat_names: true,
            writes_per_minute: None,
        }
    }
}
