use std::time::Duration;

use serde::{Deserialize, Serialize};

use google_chat::proto::google::chat::v1::{HistoryState, space::SpaceThreadingState};

use crate::identity::EMAIL;

/// What the emulated organization is like, and what the emulator does where the
/// documentation leaves it open.
///
/// As JSON, at `/emulator/settings`, the names are in lowerCamelCase and times are
/// in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    /// The users who are administrators, and so may call with `use_admin_access`; `None`:
    /// whoever has a scope for that.
    pub administrators: Option<Vec<String>>,
    /// Whether people join a space by being added to it. Off: they are invited.
    pub auto_accept: bool,
    /// Whether users allow a client what it asks for, at the authorization endpoint.
    pub consent: bool,
    /// What has become of the users' logins, which are refresh tokens.
    pub login: Login,
    /// The service accounts of the project, beside that of the key.
    pub service_accounts: Vec<String>,
    /// Who may impersonate the service accounts: e-mail addresses, and IAM's names of external
    /// identities (`principal://…`); `None`: whoever asks.
    pub token_creators: Option<Vec<String>>,
    /// Whether the IAM Service Account Credentials API is enabled in the project.
    pub iam_enabled: bool,
    /// The tokens of other identity providers that the security token service takes; `None`:
    /// whatever it is given.
    pub subject_tokens: Option<Vec<String>>,
    /// The service account that the machine runs as, by its metadata server; `None`: it runs
    /// as none.
    pub metadata_account: Option<String>,
    /// The scopes that the metadata server gives, with or without
    /// `https://www.googleapis.com/auth/`.
    pub metadata_scopes: Vec<String>,
    /// How long an access token lives, at most a year.
    #[serde(with = "seconds")]
    pub token_lifetime: Duration,
    /// Whether two spaces of an organization may not have one display name.
    pub unique_names: bool,
    /// Whether a space in import mode needs the scope `chat.import`, as Google's
    /// guide has it; the method's own page takes the others, too.
    pub import_scope_required: bool,
    /// Whether a user may not set `customer`; else it is ignored.
    pub strict_customer: bool,
    /// The history of a space that says nothing of it.
    #[serde(with = "history")]
    pub history: HistoryState,
    /// How messages of a named space are threaded.
    #[serde(with = "threading")]
    pub threading: SpaceThreadingState,
    /// Whether a group chat in import mode keeps its display name; the
    /// documentation says both.
    pub group_chat_names: bool,
    /// The longest text of a message, in characters; `None`: a message's 32,000 bytes are
    /// the only limit, as the documentation has it today.
    pub text_characters: Option<u32>,
    /// How many spaces may be written in 60 seconds; `None`: any number. Google
    /// allows a project 60.
    pub writes_per_minute: Option<u32>,
    /// The same of memberships, of which Google allows 300.
    pub membership_writes_per_minute: Option<u32>,
    /// The same of messages, of which Google allows 3,000.
    pub message_writes_per_minute: Option<u32>,
    /// The same of reactions, of which Google allows 600.
    pub reaction_writes_per_minute: Option<u32>,
    /// The same of attachments, of which Google allows 600.
    pub attachment_writes_per_minute: Option<u32>,
    /// How many bytes of attachments are kept in memory, with those that are being
    /// uploaded: 1 GiB by default. What goes beyond is refused.
    pub attachment_bytes: u64,
}

/// What has become of the users' logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Login {
    /// They are good.
    #[default]
    Valid,
    /// They have expired, or were revoked.
    Expired,
    /// The organization wants its users to log in anew (`invalid_rapt`).
    ReauthRequired,
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
            administrators: None,
            auto_accept: true,
            consent: true,
            login: Login::Valid,
            service_accounts: Vec::new(),
            token_creators: None,
            iam_enabled: true,
            subject_tokens: None,
            metadata_account: Some(EMAIL.to_owned()),
            metadata_scopes: vec!["cloud-platform".to_owned()],
            token_lifetime: Duration::from_secs(3_599),
            unique_names: true,
            import_scope_required: false,
            strict_customer: false,
            history: HistoryState::HistoryOn,
            threading: SpaceThreadingState::ThreadedMessages,
            group_chat_names: true,
            text_characters: None,
            writes_per_minute: None,
            membership_writes_per_minute: None,
            message_writes_per_minute: None,
            reaction_writes_per_minute: None,
            attachment_writes_per_minute: None,
            attachment_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// A time as a number of seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An enum of the API by the name of its value.
macro_rules! by_name {
    ($module:ident, $enum:ty) => {
        mod $module {
            use std::borrow::Cow;

            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(super) fn serialize<S: Serializer>(value: &$enum, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(value.as_str_name())
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$enum, D::Error> {
                let name = Cow::<str>::deserialize(deserializer)?;
                <$enum>::from_str_name(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no value of it")))
            }
        }
    };
}

by_name!(history, google_chat::proto::google::chat::v1::HistoryState);
by_name!(threading, google_chat::proto::google::chat::v1::space::SpaceThreadingState);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_their_json() {
        let settings = Settings {
            users: Some(vec!["alice@example.com".to_owned()]),
            history: HistoryState::HistoryOff,
            token_lifetime: Duration::from_millis(1_500),
            ..Settings::default()
        };
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!((&json["history"], &json["tokenLifetime"]), (&"HISTORY_OFF".into(), &1.5.into()));
        assert_eq!(serde_json::from_value::<Settings>(json).unwrap(), settings);
    }
}
