//! What is known of a row.

use google_chat::{Error, ErrorKind, Space, grpc_transcoding::rpc::code_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::Code;

use crate::failure;

/// What is known of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Outcome {
    /// What the row asks for is there, with this name: a space, which ends at that time if it is
    /// being imported, with what became of its members; a member; or a space whose import is
    /// complete.
    Created {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import_mode_expire_time: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        members: Vec<MemberEnd>,
    },
    /// The server has refused the row: nothing of it is there.
    Failed(Reason),
    /// The row was sent, and no response said whether it was carried out. The next run sends it
    /// again, a space with the same request id.
    Unknown(Reason),
}

/// What became of a member of a space that was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberEnd {
    /// `users/{user}` or `groups/{group}`.
    pub(super) member: String,
    #[serde(flatten)]
    pub(super) end: End,
}

/// How the adding of a member ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum End {
    /// The member is there, by this name.
    Name(String),
    /// The server has refused to add the member.
    Error(Reason),
    /// No response said whether the member was added, or the call was not made yet.
    Unknown(Reason),
}

/// What kind of outcome a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Created,
    Failed,
    Unknown,
}

impl Kind {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Created { members, .. } => {
                let has = |of: fn(&End) -> bool| members.iter().any(|member| of(&member.end));
                if has(|end| matches!(end, End::Unknown(_))) {
                    Self::Unknown
                } else if has(|end| matches!(end, End::Error(_))) {
                    Self::Failed
                } else {
                    Self::Created
                }
            }
            Outcome::Failed(_) => Self::Failed,
            Outcome::Unknown(_) => Self::Unknown,
        }
    }

    /// Whether a row with this is sent (again) by a run.
    pub(super) fn is_open(self, retry_failed: bool) -> bool {
        match self {
            Self::Created => false,
            Self::Failed => retry_failed,
            Self::None | Self::Unknown => true,
        }
    }
}

/// Why there is no space, or why that is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reason {
    pub(super) code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// The membership that is there all the same, where only its role was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added: Option<String>,
}

/// How much of a server's text is kept, in bytes.
const TEXT: usize = 4_096;

impl Reason {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            code: code_name(error.code()).to_owned(),
            reason: error.reason().map(shorten),
            message: shorten(error.message()),
            advice: error.advice().map(Into::into),
            added: None,
        }
    }

    /// No response came before the run was stopped.
    pub(super) fn stopped() -> Self {
        let message = "the run was stopped before the response came".to_owned();
        Self { code: code_name(Code::Cancelled).to_owned(), message, ..Self::default() }
    }

    /// The response does not say what was done.
    pub(super) fn nameless() -> Self {
        let message = "the response has no space with a name, so that it is not known whether the call was carried out";
        Self { code: code_name(Code::Internal).to_owned(), message: message.to_owned(), ..Self::default() }
    }

    /// The run came to its end before the call was made.
    pub(super) fn not_sent() -> Self {
        let message = "it was not sent yet".to_owned();
        Self { code: code_name(Code::Cancelled).to_owned(), message, ..Self::default() }
    }

    /// Of something unknown: whether it was sent, so that it may have been carried out.
    pub(super) fn is_unclear(&self) -> bool {
        *self != Self::not_sent()
    }
}

fn shorten(text: &str) -> String {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

impl Outcome {
    pub(super) fn created(space: &Space) -> Self {
        let import_mode_expire_time = space.import_mode_expire_time.as_ref().map(ToString::to_string);
        Self::Created { name: space.name.clone(), import_mode_expire_time, members: Vec::new() }
    }

    pub(super) fn named(name: String) -> Self {
        Self::Created { name, import_mode_expire_time: None, members: Vec::new() }
    }

    /// What is printed of the row in that line of the file.
    pub(super) fn to_json(&self, line: u64) -> Value {
        match self {
            Self::Created { name, import_mode_expire_time, members } => {
                let mut told = json!({"line": line, "name": name});
                if let Some(time) = import_mode_expire_time {
                    told["importModeExpireTime"] = time.clone().into();
                }
                if !members.is_empty() {
                    told["members"] = json!(members);
                }
                told
            }
            Self::Failed(reason) => json!({"line": line, "error": reason}),
            Self::Unknown(reason) => json!({"line": line, "unknown": reason}),
        }
    }

    /// The first reason why something of the row is not there, and whether it is none that is
    /// certain.
    pub(super) fn why(&self) -> Option<(&Reason, bool)> {
        match self {
            Self::Created { members, .. } => members.iter().find_map(|member| match &member.end {
                End::Name(_) => None,
                End::Error(reason) => Some((reason, false)),
                End::Unknown(reason) => Some((reason, true)),
            }),
            Self::Failed(reason) => Some((reason, false)),
            Self::Unknown(reason) => Some((reason, true)),
        }
    }
}

/// Whether an error is about the caller, the project or the connection, so that every row
/// would fail with it.
pub(super) fn concerns_all(error: &Error, nothing_yet: bool) -> bool {
    let creates = error.method().ends_with("/CreateSpace");
    match error.kind() {
        // A space that is created is no resource that could be missing.
        ErrorKind::NotFound | ErrorKind::RequestIdOfAnotherUser => creates,
        ErrorKind::AppNotApproved | ErrorKind::UserRequired => nothing_yet,
        // Of a space that is there, it may be the caller's place in that one.
        ErrorKind::PermissionDenied => nothing_yet && creates,
        ErrorKind::NotTheApi => match error.code() {
            Code::NotFound | Code::Unauthenticated => true,
            Code::PermissionDenied => nothing_yet,
            _ => false,
        },
        _ => failure::concerns_all(error),
    }
}
