//! What is known of a row.

use google_chat::{Error, ErrorKind, Space, grpc_transcoding::rpc::code_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::Code;

/// What is known of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Outcome {
    /// The row is a space with this name, which ends at that time if it is being imported.
    Created {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import_mode_expire_time: Option<String>,
    },
    /// The server has refused it: there is no space.
    Failed(Reason),
    /// The row was sent, and no response said whether there is a space. The next run sends it
    /// again with the same request id.
    Unknown(Reason),
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
        }
    }

    /// No response came before the run was stopped.
    pub(super) fn stopped() -> Self {
        let message = "the run was stopped before the response came".to_owned();
        Self { code: code_name(Code::Cancelled).to_owned(), message, ..Self::default() }
    }
}

fn shorten(text: &str) -> String {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

impl Outcome {
    pub(super) fn created(space: &Space) -> Self {
        let import_mode_expire_time = space.import_mode_expire_time.as_ref().map(ToString::to_string);
        Self::Created { name: space.name.clone(), import_mode_expire_time }
    }

    /// What is printed of the row in that line of the file.
    pub(super) fn to_json(&self, line: u64) -> Value {
        match self {
            Self::Created { name, import_mode_expire_time: None } => json!({"line": line, "name": name}),
            Self::Created { name, import_mode_expire_time: Some(time) } => {
                json!({"line": line, "name": name, "importModeExpireTime": time})
            }
            Self::Failed(reason) => json!({"line": line, "error": reason}),
            Self::Unknown(reason) => json!({"line": line, "unknown": reason}),
        }
    }
}

/// What an error says of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// The call was refused: nothing was created.
    Refused,
    /// The call was refused for now: the quota is used up.
    Later,
    /// Nothing certain: the space may have been created.
    Nothing,
}

impl Says {
    pub(super) fn of(error: &Error) -> Self {
        match error.code() {
            // There was no connection, and there can be none.
            _ if error.kind() == ErrorKind::Misconfigured => Self::Refused,
            // Whatever code the status is read as: it comes from a server, or from a proxy
            // before it, that may have lost its way after the space was created.
            _ if error.http_status().is_some_and(|status| status == 408 || !(400..500).contains(&status)) => {
                Self::Nothing
            }
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Self::Refused,
            Code::ResourceExhausted if error.kind() == ErrorKind::QuotaExceeded => Self::Later,
            _ => Self::Nothing,
        }
    }
}

/// Whether an error is about the caller, the project or the connection, so that every row
/// would fail with it.
pub(super) fn concerns_all(error: &Error, nothing_yet: bool) -> bool {
    match error.kind() {
        ErrorKind::Misconfigured
        | ErrorKind::NoCredentials
        | ErrorKind::NotDelegated
        | ErrorKind::NoToken
        | ErrorKind::Unauthenticated
        | ErrorKind::MissingScope
        | ErrorKind::ApiDisabled
        | ErrorKind::AppNotConfigured
        | ErrorKind::ChatTurnedOff
        // A space that is created is no resource that could be missing.
        | ErrorKind::NotFound
        | ErrorKind::RequestIdOfAnotherUser => true,
        ErrorKind::AppNotApproved | ErrorKind::UserRequired | ErrorKind::PermissionDenied => nothing_yet,
        ErrorKind::NotTheApi => match error.code() {
            Code::NotFound | Code::Unauthenticated => true,
            Code::PermissionDenied => nothing_yet,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use google_chat::Wire;
    use tonic::Status;

    use super::*;

    #[test]
    fn only_a_servers_refusal_is_certain() {
        let says =
            |code| Says::of(&Error::of(Status::new(code, "m"), "google.chat.v1.ChatService/CreateSpace", Wire::Grpc));
        let refused = [3, 5, 6, 7, 9, 11, 12, 16].map(Code::from);
        for code in (1..=16).map(Code::from) {
            let expected = match code {
                code if refused.contains(&code) => Says::Refused,
                Code::ResourceExhausted => Says::Later,
                _ => Says::Nothing,
            };
            assert_eq!(says(code), expected, "{code:?}");
        }
    }
}
