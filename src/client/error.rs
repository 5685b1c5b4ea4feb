use std::fmt;

use prost::Message;
use tonic::{Code, Status};

use super::Wire;
use crate::{proto::google::rpc, transcoding::status::code_name};

/// A call that failed.
///
/// Displays as one line: the method, the wire, the code and the message, the
/// reason and domain where the server gave them, and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    status: Box<Status>,
    info: Option<Box<rpc::ErrorInfo>>,
    method: &'static str,
    wire: Wire,
}

impl Error {
    pub(super) fn new(status: Status, method: &'static str, wire: Wire) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
        let info = details.iter().find_map(|detail| detail.to_msg::<rpc::ErrorInfo>().ok());
        Self { status: Box::new(status), info: info.map(Box::new), method, wire }
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The message of the server, or of this crate where the call did not get
    /// that far.
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// The status as tonic has it, with metadata and encoded details.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The `reason` of the error's ErrorInfo.
    pub fn reason(&self) -> Option<&str> {
        self.info.as_ref().map(|info| info.reason.as_str())
    }

    /// The `domain` of the error's ErrorInfo.
    pub fn domain(&self) -> Option<&str> {
        self.info.as_ref().map(|info| info.domain.as_str())
    }

    /// The wire that the call went over.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The method that was called: `google.chat.v1.ChatService/CreateSpace`.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Whether another space of the organization has the display name.
    pub fn is_already_exists(&self) -> bool {
        self.code() == Code::AlreadyExists
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&'static str> {
        match (self.code(), self.reason()) {
            (Code::AlreadyExists, _) => Some("choose another display name: a space of the organization has this one"),
            (_, Some("SERVICE_DISABLED")) => Some("enable the Google Chat API in the Google Cloud project of the app"),
            (_, Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")) => {
                Some("get a token with the scope chat.spaces.create (as a user) or chat.app.spaces.create (as an app)")
            }
            (Code::Unauthenticated, Some(_)) => Some("get a new access token"),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}: {}: {}", self.method, self.wire, code_name(self.code()), self.message())?;
        if let Some(info) = &self.info {
            write!(f, " (reason {}, domain {})", info.reason, info.domain)?;
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.status)
    }
}
