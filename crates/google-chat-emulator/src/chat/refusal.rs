//! The errors that calls are refused with.

use std::borrow::Cow;

use google_chat::proto::google::rpc::{self, BadRequest, ErrorInfo, Help, bad_request::FieldViolation, help::Link};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::identity::{PROJECT, Refused};

const GOOGLE: &str = "googleapis.com";
/// The domain of the reasons that this emulator made up, because the documentation gives
/// none.
const SYNTHETIC: &str = "emulator.google-chat.invalid";
const SERVICE: (&str, &str) = ("service", "chat.googleapis.com");

/// How much of a value of the request an error quotes, in bytes.
const QUOTED: usize = 200;
/// How long the description of a violation is, at most, in bytes.
const DESCRIPTION: usize = 500;
/// How long the message of an error is, at most, in bytes: over gRPC it travels in a header.
const MESSAGE: usize = 2 * 1024;

/// A value of the request as an error quotes it.
pub(super) fn quoted(value: &str) -> Cow<'_, str> {
    cut(value, QUOTED)
}

/// The beginning of a text that is too long.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    Cow::Owned(format!("{}…", &text[..end]))
}

fn status(code: Code, message: &str, type_name: &str, detail: &impl Message) -> Status {
    let detail = Any { type_url: format!("type.googleapis.com/{type_name}"), value: detail.encode_to_vec() };
    let message = &*cut(message, MESSAGE);
    let encoded = rpc::Status { code: code as i32, message: message.to_owned(), details: vec![detail] };
    Status::with_details(code, message, encoded.encode_to_vec().into())
}

fn with_info(code: Code, message: &str, domain: &str, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: domain.to_owned(),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    status(code, message, "google.rpc.ErrorInfo", &info)
}

/// A request is wrong in these ways.
pub(super) fn invalid(mut violations: Vec<FieldViolation>) -> Status {
    for one in &mut violations {
        one.description = cut(&one.description, DESCRIPTION).into_owned();
    }
    let problems: Vec<_> = violations.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
    let message = format!("Invalid request: {}.", problems.join("; "));
    status(Code::InvalidArgument, &message, "google.rpc.BadRequest", &BadRequest { field_violations: violations })
}

/// One field of a request is wrong.
pub(crate) fn invalid_field(field: &str, description: &str) -> Status {
    let (field, description) = (field.to_owned(), description.to_owned());
    invalid(vec![FieldViolation { field, description, ..FieldViolation::default() }])
}

/// The request has no space at all.
pub(super) fn no_space() -> Status {
    invalid_field("space", "is required")
}

pub(super) fn not_found(kind: &str, name: &str) -> Status {
    let name = &*quoted(name);
    let message = format!("There is no {kind} {name}.");
    with_info(Code::NotFound, &message, SYNTHETIC, "RESOURCE_NOT_FOUND", &[("resource", name)])
}

/// The caller may not do this here, whatever its scopes are.
pub(super) fn not_allowed(what: &str) -> Status {
    let message = format!("The caller may not {what}.");
    with_info(Code::PermissionDenied, &message, SYNTHETIC, "ACTION_NOT_ALLOWED", &[])
}

/// What is asked for does not fit the state that something is in.
pub(super) fn failed_precondition(problem: &str) -> Status {
    Status::failed_precondition(format!("{problem}."))
}

/// A message is to be a reply, and there is nothing that it replies to.
pub(super) fn no_thread(problem: &str) -> Status {
    with_info(Code::NotFound, &format!("{problem}."), SYNTHETIC, "RESOURCE_NOT_FOUND", &[])
}

/// There is no more room in the emulator. The limit is its own.
pub(super) fn too_many(what: &str, limit: usize) -> Status {
    let message = format!("The emulator keeps at most {limit} {what}. Delete some, or start another emulator.");
    let limit = limit.to_string();
    with_info(Code::ResourceExhausted, &message, SYNTHETIC, "EMULATOR_LIMIT", &[("limit", &limit)])
}

/// Something else has the id.
pub(super) fn id_taken(kind: &str, name: &str) -> Status {
    let name = &*quoted(name);
    let message = format!("The {kind} {name} already exists.");
    with_info(Code::AlreadyExists, &message, SYNTHETIC, "ID_TAKEN", &[("resource", name)])
}

pub(super) fn member_exists(name: &str) -> Status {
    let name = &*quoted(name);
    let message = format!("The membership {name} already exists.");
    with_info(Code::AlreadyExists, &message, SYNTHETIC, "MEMBERSHIP_EXISTS", &[("resource", name)])
}

/// Another space of the organization has the display name.
pub(super) fn name_taken(name: &str) -> Status {
    let message = format!("A space with the display name \"{name}\" already exists in the organization.");
    with_info(Code::AlreadyExists, &message, SYNTHETIC, "SPACE_DISPLAY_NAME_TAKEN", &[("displayName", name)])
}

/// The request id was first used by somebody else.
pub(super) fn request_id_of_another_user() -> Status {
    let message = "The request ID was already used by another user.";
    let violation = FieldViolation {
        field: "request_id".to_owned(),
        description: "was already used by another user".to_owned(),
        ..FieldViolation::default()
    };
    let details = BadRequest { field_violations: vec![violation] };
    status(Code::InvalidArgument, message, "google.rpc.BadRequest", &details)
}

/// An error of the kind that Google's front ends give before the API sees the call.
fn by_front_end(code: Code, message: &str, reason: &str, method: &str) -> Status {
    let method = format!("google.chat.v1.ChatService.{method}");
    with_info(code, message, GOOGLE, reason, &[SERVICE, ("method", &method)])
}

/// The credentials are missing, or are none.
pub(super) fn unauthenticated(refused: Refused, method: &str) -> Status {
    let (problem, reason) = match refused {
        Refused::Missing => ("is missing required authentication credential", "CREDENTIALS_MISSING"),
        Refused::Unknown => ("had invalid authentication credentials", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        Refused::Expired => ("had invalid authentication credentials", "ACCESS_TOKEN_EXPIRED"),
    };
    let message = format!(
        "Request {problem}. Expected OAuth 2 access token, login cookie or other valid authentication credential. See \
         https://developers.google.com/identity/sign-in/web/devconsole-project."
    );
    by_front_end(Code::Unauthenticated, &message, reason, method)
}

pub(super) fn no_scope(method: &str) -> Status {
    let message = "Request had insufficient authentication scopes.";
    by_front_end(Code::PermissionDenied, message, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", method)
}

/// An app calls what only users may.
pub(super) fn no_app() -> Status {
    Status::permission_denied(
        "This method doesn't support app authentication with a service account. Authenticate with a user account.",
    )
}

pub(super) fn not_approved() -> Status {
    Status::permission_denied(
        "The administrator must grant the app the required OAuth authorization scope for this action.",
    )
}

pub(super) fn api_disabled() -> Status {
    let message = format!(
        "Google Chat API has not been used in project {PROJECT} before or it is disabled. Enable it by visiting \
         https://console.developers.google.com/apis/api/chat.googleapis.com/overview?project={PROJECT} then retry."
    );
    let consumer = format!("projects/{PROJECT}");
    let metadata = [("consumer", &*consumer), SERVICE];
    with_info(Code::PermissionDenied, &message, GOOGLE, "SERVICE_DISABLED", &metadata)
}

pub(super) fn app_not_configured() -> Status {
    let help = Help {
        links: vec![Link {
            description: "To turn on the Google Chat API, go to its page in the Google Cloud console".to_owned(),
            url: "https://console.cloud.google.com/apis/api/chat.googleapis.com/hangouts-chat".to_owned(),
        }],
    };
    let message = "Google Chat app not found. To create a Chat app, you must turn on the Chat API and configure the app \
                   in the Google Cloud console.";
    status(Code::NotFound, message, "google.rpc.Help", &help)
}

/// The project's quota of writes of a kind is used up.
pub(crate) fn quota_exceeded(kind: &str, limit: u32) -> Status {
    let message = format!("Quota exceeded: {limit} {kind} writes per minute of project {PROJECT}.");
    let (consumer, limit) = (format!("projects/{PROJECT}"), limit.to_string());
    let metadata = [("consumer", &*consumer), SERVICE, ("quota_limit_value", &limit)];
    with_info(Code::ResourceExhausted, &message, GOOGLE, "RATE_LIMIT_EXCEEDED", &metadata)
}
