use std::{borrow::Cow, fmt, time::Duration};

use grpc_transcoding::rpc::{asked_wait, code_name};
use prost::{Message, Name};
use tonic::{Code, Status};

use super::{
    Wire,
    call::attempts,
    error_kind::{ErrorKind, http_status},
};
use crate::proto::google::rpc::{self, bad_request::FieldViolation, help::Link};

/// A call that failed.
///
/// Displays as one line: the method, the wire, the code and the message, the
/// reason and domain where the server gave them, how often the call was made,
/// and what to do.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: Status,
    info: Option<rpc::ErrorInfo>,
    violations: Vec<FieldViolation>,
    links: Vec<Link>,
    method: &'static str,
    wire: Wire,
    request_id: String,
}

impl Error {
    pub(super) fn new(status: Status, method: &'static str, wire: Wire, request_id: String) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
        let bad: Option<rpc::BadRequest> = find(&details);
        let help: Option<rpc::Help> = find(&details);
        Self(Box::new(Inner {
            info: find(&details),
            violations: bad.unwrap_or_default().field_violations,
            links: help.unwrap_or_default().links,
            status,
            method,
            wire,
            request_id,
        }))
    }

    /// The error of a call that was made by the stub: what its status says, and what
    /// to do. `method` is as [`Error::method`] has it.
    pub fn of(status: Status, method: &'static str, wire: Wire) -> Self {
        Self::new(status, method, wire, String::new())
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.0.status.code()
    }

    /// The message of the server, or of this crate where the call did not get
    /// that far.
    pub fn message(&self) -> &str {
        self.0.status.message()
    }

    /// The status as tonic has it, with metadata and encoded details.
    pub fn status(&self) -> &Status {
        &self.0.status
    }

    /// The HTTP status of the response, where there was one; over gRPC, only if the response
    /// was not gRPC.
    pub fn http_status(&self) -> Option<u16> {
        http_status(&self.0.status)
    }

    /// The `reason` of the error's ErrorInfo.
    pub fn reason(&self) -> Option<&str> {
        self.0.info.as_ref().map(|info| info.reason.as_str())
    }

    /// The `domain` of the error's ErrorInfo.
    pub fn domain(&self) -> Option<&str> {
        self.0.info.as_ref().map(|info| info.domain.as_str())
    }

    /// A value of the metadata of the error's ErrorInfo.
    pub fn info(&self, key: &str) -> Option<&str> {
        self.0.info.as_ref()?.metadata.get(key).map(String::as_str)
    }

    /// What is wrong with which fields.
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// Where to read on.
    pub fn links(&self) -> &[Link] {
        &self.0.links
    }

    /// How long the server asks to wait before the call is made again.
    pub fn retry_delay(&self) -> Option<Duration> {
        asked_wait(self.0.status.metadata().as_ref(), self.0.status.details())
    }

    /// The request id that the call was made with; empty if none was. With it
    /// the call can be made again, and nothing is created twice.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// How often the call was made.
    pub fn attempts(&self) -> u32 {
        attempts(self.0.status.metadata())
    }

    /// The wire that the call went over.
    pub fn wire(&self) -> Wire {
        self.0.wire
    }

    /// The method that was called: `google.chat.v1.ChatService/CreateSpace`.
    pub fn method(&self) -> &'static str {
        self.0.method
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        let inner = &self.0;
        ErrorKind::of(&inner.status, inner.info.as_ref(), &inner.violations, inner.wire, inner.method)
    }

    /// What to do about it; `None` where that is not known, or the message says it.
    pub fn advice(&self) -> Option<Cow<'static, str>> {
        self.kind().advice(self.0.method, &self.0.status, !self.0.request_id.is_empty())
    }

    /// Whether what the call creates exists: for a space, whether another one of the organization
    /// has the display name.
    pub fn is_already_exists(&self) -> bool {
        self.code() == Code::AlreadyExists
    }

    /// Whether the project's quota is used up for now; not, whether a message is
    /// too large, which has the same code.
    pub fn is_quota_exceeded(&self) -> bool {
        self.kind() == ErrorKind::QuotaExceeded
    }

    /// Whether there is no token, or the server does not take it.
    pub fn is_unauthenticated(&self) -> bool {
        self.code() == Code::Unauthenticated
    }

    /// Whether the caller may not do this.
    pub fn is_permission_denied(&self) -> bool {
        self.code() == Code::PermissionDenied
    }

    /// Whether something is wrong with the request; see
    /// [`Error::field_violations`].
    pub fn is_invalid_argument(&self) -> bool {
        self.code() == Code::InvalidArgument
    }

    /// Whether the call ran out of time. It may have been carried out: make it again with the
    /// same [`Error::request_id`] where there is one, and else look first.
    pub fn is_deadline_exceeded(&self) -> bool {
        self.code() == Code::DeadlineExceeded
    }

    /// Whether no connection is possible until a setting is corrected; see
    /// [`ErrorKind::Misconfigured`].
    pub fn is_misconfigured(&self) -> bool {
        self.kind() == ErrorKind::Misconfigured
    }

    /// Whether the request id was first used by somebody else.
    pub fn is_request_id_of_another_user(&self) -> bool {
        self.kind() == ErrorKind::RequestIdOfAnotherUser
    }
}

fn find<T: Message + Name + Default>(details: &[prost_types::Any]) -> Option<T> {
    details.iter().find_map(|detail| detail.to_msg().ok())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(f, "{} over {}: {}: {}", inner.method, inner.wire, code_name(self.code()), self.message())?;
        if let Some(info) = &inner.info {
            write!(f, " (reason {}, domain {})", info.reason, info.domain)?;
        }
        if self.attempts() > 1 {
            write!(f, " after {} attempts", self.attempts())?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        if let Some(link) = inner.links.first() {
            write!(f, " ({})", link.url)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.status)
    }
}
