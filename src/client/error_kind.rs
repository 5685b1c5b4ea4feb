//! What a failed call can be mended by, decided from what its status says.

use std::borrow::Cow;

use grpc_transcoding::{
    client::HTTP_STATUS,
    rpc::{BROKEN, Broken},
};
use tonic::{Code, Status};

use super::{MethodScopes, SCOPE, Wire, answer, methods};
use crate::{
    credentials::TokenErrorKind,
    proto::google::rpc::{self, bad_request::FieldViolation},
};

/// What kind of failure a call met: what its caller can act on.
///
/// It is decided from the code, the reason of the ErrorInfo and the fields of the
/// BadRequest. Google Chat says some failures in a text alone; these are known by the
/// texts that are documented.
///
/// ```no_run
/// # async fn example(chat: google_chat::Client) -> Result<(), google_chat::Error> {
/// use google_chat::{ErrorKind, Space};
///
/// match chat.create_space(Space::named("Launch room")).await {
///     Err(error) if error.kind() == ErrorKind::AlreadyExists => println!("the name is taken"),
///     other => println!("{}", other?.name),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection is possible until a setting is corrected: a certificate, a proxy, an
    /// address. The message says which. Nothing was sent.
    Misconfigured,
    /// The server, or the source of tokens, was not reached or is not ready.
    Unavailable,
    /// The call ran out of time.
    DeadlineExceeded,
    /// Something other than the API has answered, such as a proxy or a web server.
    NotTheApi,
    /// No credentials were found, or those that the environment names cannot be used.
    NoCredentials,
    /// Domain-wide delegation does not allow the scopes for the user.
    NotDelegated,
    /// The token endpoint, or another server that is asked for a token, refuses the
    /// credentials: a login has expired, or a role is missing. The message says which.
    NoToken,
    /// The API does not take the access token, or there was none.
    Unauthenticated,
    /// The scopes of the access token do not allow the method.
    MissingScope,
    /// The Google Chat API is not enabled in the project.
    ApiDisabled,
    /// The project has no Chat app.
    AppNotConfigured,
    /// An administrator has not approved the app's scopes.
    AppNotApproved,
    /// The call needs a user, and was made as the app.
    UserRequired,
    /// Google Chat is turned off for the user.
    ChatTurnedOff,
    /// The caller may not do this, for another reason.
    PermissionDenied,
    /// What the request names does not exist, or the caller may not see it.
    NotFound,
    /// What the call creates exists: another space of the organization has the display name,
    /// or the space has the member.
    AlreadyExists,
    /// Another user has used the request id.
    RequestIdOfAnotherUser,
    /// The customer of the space is missing, or must not be set.
    InvalidCustomer,
    /// Something else is wrong with the request.
    InvalidRequest,
    /// The project's quota is used up for now.
    QuotaExceeded,
    /// A message is larger than the limit.
    MessageTooLarge,
    /// None of these.
    Other,
}

/// The failures that Google Chat says in a text alone: parts of the texts, by which they
/// are known whatever their code is.
///
/// Sources: the page "Troubleshoot and fix Google Chat errors" has the first; the others
/// are what users of the API report.
const TEXTS: [(&str, ErrorKind); 7] = [
    // "The administrator must grant the app the required OAuth authorization scope for this
    // action."
    ("administrator must grant the app the required OAuth authorization scope", ErrorKind::AppNotApproved),
    // "This method doesn't support app authentication with a service account. Authenticate
    // with a user account."
    ("doesn't support app authentication", ErrorKind::UserRequired),
    // "… Ensure the scopes you are using support app authentication with a service account"
    ("scopes you are using support app authentication", ErrorKind::UserRequired),
    // "Google Chat app not found. To create a Chat app, you must turn on the Chat API and
    // configure the app in the Google Cloud console."
    ("Google Chat app not found", ErrorKind::AppNotConfigured),
    // The older form of the same.
    ("No bot associated with this project", ErrorKind::AppNotConfigured),
    ("Google Chat is turned off for this account", ErrorKind::ChatTurnedOff),
    // "Invalid membership state, user, or request ID", to a request that holds neither
    // memberships nor users.
    ("Invalid membership state, user, or request ID", ErrorKind::RequestIdOfAnotherUser),
];

/// The domain of the reasons of `google.api.ErrorReason`.
const GOOGLE: &str = "googleapis.com";

impl ErrorKind {
    pub(super) fn of(
        status: &Status,
        info: Option<&rpc::ErrorInfo>,
        violations: &[FieldViolation],
        wire: Wire,
        method: &str,
    ) -> Self {
        let broken = |broken: Broken| status.metadata().get(BROKEN).is_some_and(|name| name == broken.name());
        // A token endpoint that is not reached is no better than an API that is not.
        match TokenErrorKind::of(status) {
            Some(TokenErrorKind::NoCredentials) => return Self::NoCredentials,
            Some(TokenErrorKind::NotDelegated) => return Self::NotDelegated,
            Some(TokenErrorKind::LoginExpired | TokenErrorKind::MayNotImpersonate | TokenErrorKind::Refused) => {
                return Self::NoToken;
            }
            Some(TokenErrorKind::Unavailable | TokenErrorKind::Misconfigured) | None => {}
        }
        match info.filter(|info| info.domain == GOOGLE).map(|info| &*info.reason) {
            Some("SERVICE_DISABLED") => return Self::ApiDisabled,
            Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => return Self::MissingScope,
            Some("RATE_LIMIT_EXCEEDED") => return Self::QuotaExceeded,
            _ => {}
        }
        let said = TEXTS.iter().find(|(text, _)| status.message().contains(text)).map(|(_, kind)| *kind);
        if let Some(kind) = said
            && (kind != Self::RequestIdOfAnotherUser || has_only_a_request_id(method))
        {
            return kind;
        }
        let http_status = http_status(status);
        let violated = |field: &str| violations.iter().any(|one| one.field.rsplit('.').next() == Some(field));
        match status.code() {
            Code::Unavailable if broken(Broken::Misconfigured) => Self::Misconfigured,
            Code::Unavailable => Self::Unavailable,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            // A gRPC server gives no HTTP status, and a success is not a failure.
            _ if wire == Wire::Grpc && http_status.is_some() => Self::NotTheApi,
            Code::Internal if http_status.is_some_and(|status| (200..300).contains(&status)) => Self::NotTheApi,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            // A request id has no form that it could violate.
            Code::InvalidArgument if violated("request_id") => Self::RequestIdOfAnotherUser,
            Code::InvalidArgument if violated("customer") => Self::InvalidCustomer,
            Code::InvalidArgument => Self::InvalidRequest,
            Code::ResourceExhausted if broken(Broken::TooLarge) => Self::MessageTooLarge,
            Code::ResourceExhausted => Self::QuotaExceeded,
            _ => Self::Other,
        }
    }

    /// What to do; `None` where that is not known, or the message says it.
    pub(super) fn advice(self, method: &str, status: &Status, has_request_id: bool) -> Option<Cow<'static, str>> {
        let name = method.rsplit('/').next().unwrap_or(method);
        let lost = || status.metadata().get(BROKEN).is_some_and(|broken| broken == Broken::Lost.name());
        let reads = methods::only_reads(method) == Some(true);
        let unclear = self == Self::Other
            && matches!(
                status.code(),
                Code::Cancelled | Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss
            );
        let advice = match self {
            Self::Other if !unclear || reads || answer::has_advice(status) => return None,
            Self::MissingScope => return Some(scopes(method)),
            Self::QuotaExceeded => return Some(quota(method)),
            Self::DeadlineExceeded | Self::Unavailable | Self::Other if has_request_id => match name {
                "CreateSpace" | "SetUpSpace" => "try again with the same request id, which creates no second space",
                "CreateMessage" => "try again with the same request id, which posts no second message",
                _ => "try again with the same request id, which does nothing twice",
            },
            Self::DeadlineExceeded | Self::Unavailable if name == "UploadAttachment" => {
                "upload it again: what no message refers to does nothing"
            }
            // Where no server has said it, it is this crate that says what to do.
            Self::Other if name == "UploadAttachment" && http_status(status).is_none() => return None,
            Self::Other if name == "UploadAttachment" => "upload it again: what no message refers to does nothing",
            Self::DeadlineExceeded if reads => "try again: the call only reads",
            Self::DeadlineExceeded | Self::Other => WRITTEN,
            Self::Unavailable if lost() && !reads => WRITTEN,
            Self::NotTheApi => "check the endpoint, and whether a proxy stands in the way",
            Self::Unauthenticated => "get a new access token",
            Self::ApiDisabled => {
                "enable the Google Chat API in the Google Cloud project of the app, and wait a few minutes"
            }
            Self::AppNotConfigured => {
                "configure the Chat app (name, avatar, description) on the Google Chat API's page in the Google Cloud \
                 console"
            }
            Self::AppNotApproved => {
                "have an administrator of the organization approve the app's scopes (Admin console, Marketplace apps); \
                 see https://support.google.com/a?p=chat-app-auth"
            }
            Self::UserRequired => "act for a user: by domain-wide delegation (a subject), or with a user's own login",
            Self::ChatTurnedOff => {
                "have an administrator of the organization turn on Google Chat for the user (Admin console, Apps)"
            }
            Self::NotFound if name == "FindDirectMessage" => {
                "set up a direct message with the user (SetUpSpace): the caller has none yet"
            }
            Self::NotFound if names_nothing(method) => "check the endpoint, and that the Chat app is configured",
            Self::NotFound => "check the name, and whether the caller may see what it names",
            Self::AlreadyExists => match name {
                "CreateSpace" | "SetUpSpace" | "UpdateSpace" => {
                    "choose another display name: a space of the organization has this one"
                }
                "CreateMembership" => "nothing is left to do: the space has this member",
                "CreateMessage" => "choose another message_id, or update the message that has this one",
                "CreateMessagePin" => "nothing is left to do: the message is pinned",
                "CreateReaction" => "nothing is left to do: the caller has reacted with this emoji",
                "CreateCustomEmoji" => "choose another emoji_name: a custom emoji of the organization has this one",
                _ => return None,
            },
            Self::RequestIdOfAnotherUser => "use a new request id, or the identity that used this one first",
            Self::InvalidCustomer => {
                "as an app, set customer (customers/my_customer for a private app, else customers/{id}); as a user, \
                 leave it out"
            }
            _ => return None,
        };
        Some(Cow::Borrowed(advice))
    }
}

/// The HTTP status of the answer, where there was one.
pub(super) fn http_status(status: &Status) -> Option<u16> {
    status.metadata().get(HTTP_STATUS)?.to_str().ok()?.parse().ok()
}

/// What to do about a write that may have been carried out.
const WRITTEN: &str = "the call may have been carried out: look before you make it again";

/// Whether a request that has a request id holds no memberships and no users; also where the
/// method is not known.
fn has_only_a_request_id(method: &str) -> bool {
    methods::bindings(method).is_none_or(|bindings| {
        let input = bindings.method().input();
        input.field_named("request_id").is_some() && input.field_named("memberships").is_none()
    })
}

/// Whether the requests of one of Google Chat's methods name no resource.
fn names_nothing(method: &str) -> bool {
    let first = methods::bindings(method).and_then(|bindings| bindings.bindings().first());
    first.is_some_and(|binding| binding.template().variables().next().is_none())
}

/// How much may be written or read in a minute, and who can wait for it.
fn quota(method: &str) -> Cow<'static, str> {
    let limit = match (methods::quota(method), methods::only_reads(method)) {
        (Some(writes), _) => format!("a project may write {writes} a minute"),
        (None, Some(true)) => "a project may read 3,000 times a minute, and 15 times a second in one space".to_owned(),
        (None, _) => "the project's quota is used up for now".to_owned(),
    };
    Cow::Owned(format!("wait: {limit}; RetryPolicy::quota_wait has the client wait for you"))
}

/// Which scopes allow a method, and how to get a token with one.
fn scopes(method: &str) -> Cow<'static, str> {
    let Some(scopes) = MethodScopes::of(method) else {
        return Cow::Borrowed("get a token with a scope that the method's page names");
    };
    let import = scopes.import().then_some("chat.import");
    let user = scopes.user().next().or(import);
    let ways = [
        (user, "as a user"),
        (scopes.app().next(), "as the app"),
        (scopes.admin().next(), "as an administrator"),
        (import.filter(|_| user != import), "in import mode"),
    ];
    let ways: Vec<String> =
        ways.iter().filter_map(|(scope, who)| scope.map(|scope| format!("{scope} ({who})"))).collect();
    let login = user.map_or_else(String::new, |user| {
        format!(
            "; a user's login takes it from `gcloud auth application-default login --client-id-file=FILE \
             --scopes={SCOPE}{user},https://www.googleapis.com/auth/cloud-platform`"
        )
    });
    Cow::Owned(format!("get a token with one of the scopes {}{login}", ways.join(", ")))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic::metadata::MetadataValue;

    use super::*;
    use crate::Error;

    const METHOD: &str = "google.chat.v1.ChatService/CreateSpace";

    /// A status with an ErrorInfo, a BadRequest and an HTTP status, where they are given.
    fn status(code: Code, message: &str, reason: &str, field: &str, http: u16) -> Status {
        let any = |name: &str, value: Vec<u8>| prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value,
        };
        let (reason, domain) = reason.split_once('@').unwrap_or((reason, GOOGLE));
        let info = rpc::ErrorInfo { reason: reason.to_owned(), domain: domain.to_owned(), ..Default::default() };
        let violation = FieldViolation { field: field.to_owned(), ..Default::default() };
        let mut details = Vec::new();
        if !reason.is_empty() {
            details.push(any("ErrorInfo", info.encode_to_vec()));
        }
        if !field.is_empty() {
            let violations = rpc::BadRequest { field_violations: vec![violation] };
            details.push(any("BadRequest", violations.encode_to_vec()));
        }
        let encoded = rpc::Status { code: code as i32, message: message.to_owned(), details };
        let mut status = Status::with_details(code, message, encoded.encode_to_vec().into());
        if http != 0 {
            status.metadata_mut().insert(HTTP_STATUS, http.into());
        }
        status
    }

    #[test]
    fn a_kind_is_decided_from_typed_facts_and_documented_texts() {
        use Code::*;
        let scope = "ACCESS_TOKEN_SCOPE_INSUFFICIENT";
        for (code, message, reason, field, http, kind) in [
            // What google.api.ErrorReason names.
            (PermissionDenied, "m", "SERVICE_DISABLED", "", 403, ErrorKind::ApiDisabled),
            (PermissionDenied, "m", scope, "", 403, ErrorKind::MissingScope),
            (ResourceExhausted, "m", "RATE_LIMIT_EXCEEDED", "", 429, ErrorKind::QuotaExceeded),
            (PermissionDenied, "m", "SERVICE_DISABLED@example.com", "", 403, ErrorKind::PermissionDenied),
            (Unauthenticated, "m", "ACCESS_TOKEN_EXPIRED", "", 401, ErrorKind::Unauthenticated),
            (Unauthenticated, "m", "", "", 401, ErrorKind::Unauthenticated),
            // What Google says in a text alone.
            (
                PermissionDenied,
                "The administrator must grant the app the required OAuth authorization scope for this action.",
                "",
                "",
                403,
                ErrorKind::AppNotApproved,
            ),
            (
                PermissionDenied,
                "This method doesn't support app authentication with a service account. Authenticate with a user account.",
                "",
                "",
                403,
                ErrorKind::UserRequired,
            ),
            (
                NotFound,
                "Google Chat app not found. To create a Chat app, you must turn on the Chat API and configure the app in \
                 the Google Cloud console.",
                "",
                "",
                404,
                ErrorKind::AppNotConfigured,
            ),
            (NotFound, "No bot associated with this project.", "", "", 404, ErrorKind::AppNotConfigured),
            (FailedPrecondition, "Google Chat is turned off for this account", "", "", 400, ErrorKind::ChatTurnedOff),
            (
                InvalidArgument,
                "Invalid membership state, user, or request ID",
                "",
                "",
                400,
                ErrorKind::RequestIdOfAnotherUser,
            ),
            // A text that only resembles one of these says nothing.
            (PermissionDenied, "Ask your administrator about the app.", "", "", 403, ErrorKind::PermissionDenied),
            (InvalidArgument, "The request identifies no space.", "", "", 400, ErrorKind::InvalidRequest),
            (NotFound, "m", "", "", 404, ErrorKind::NotFound),
            (AlreadyExists, "m", "", "", 409, ErrorKind::AlreadyExists),
            (InvalidArgument, "m", "", "request_id", 400, ErrorKind::RequestIdOfAnotherUser),
            (InvalidArgument, "m", "", "space.customer", 400, ErrorKind::InvalidCustomer),
            (InvalidArgument, "m", "", "space.display_name", 400, ErrorKind::InvalidRequest),
            (ResourceExhausted, "larger than the limit", "", "", 429, ErrorKind::QuotaExceeded),
            (Unavailable, "m", "", "", 503, ErrorKind::Unavailable),
            (DeadlineExceeded, "m", "", "", 0, ErrorKind::DeadlineExceeded),
            (Internal, "not JSON", "", "", 200, ErrorKind::NotTheApi),
            (Internal, "m", "", "", 500, ErrorKind::Other),
        ] {
            let error = Error::of(status(code, message, reason, field, http), METHOD, Wire::HttpJson);
            assert_eq!(error.kind(), kind, "{error}");
        }
        // Over gRPC, an answer that has an HTTP status was not gRPC.
        for (code, kind) in [(NotFound, ErrorKind::NotTheApi), (Unavailable, ErrorKind::Unavailable)] {
            let error = Error::of(status(code, "<html>", "", "", 404), METHOD, Wire::Grpc);
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn what_failed_before_it_was_sent_is_marked() {
        for (code, broken, kind) in [
            (Code::Unavailable, Broken::Misconfigured, ErrorKind::Misconfigured),
            (Code::Unavailable, Broken::Lost, ErrorKind::Unavailable),
            (Code::ResourceExhausted, Broken::TooLarge, ErrorKind::MessageTooLarge),
        ] {
            let mut status = Status::new(code, "m");
            status.metadata_mut().insert(BROKEN, MetadataValue::from_static(broken.name()));
            assert_eq!(Error::of(status, METHOD, Wire::Grpc).kind(), kind);
        }
    }

    /// The advice on a status of a method.
    fn advice_of(method: &str, status: Status) -> String {
        let method: &'static str = Box::leak(format!("google.chat.v1.ChatService/{method}").into_boxed_str());
        Error::of(status, method, Wire::HttpJson).advice().map_or_else(String::new, Cow::into_owned)
    }

    #[test]
    fn the_advice_is_that_of_the_method() {
        use Code::*;
        for (method, code, advice) in [
            ("CreateSpace", AlreadyExists, "choose another display name"),
            ("CreateMembership", AlreadyExists, "the space has this member"),
            ("CreateMessage", AlreadyExists, "choose another message_id"),
            ("CreateSection", AlreadyExists, ""),
            ("GetSpace", NotFound, "check the name"),
            ("ListSpaces", NotFound, "check the endpoint"),
            ("FindDirectMessage", NotFound, "set up a direct message"),
            ("CreateSpace", ResourceExhausted, "a project may write 60 spaces a minute;"),
            ("UpdateMembership", ResourceExhausted, "a project may write 300 memberships a minute;"),
            ("DeleteMessage", ResourceExhausted, "a project may write 3,000 messages a minute;"),
            ("ListMessages", ResourceExhausted, "a project may read 3,000 times a minute"),
            ("CreateSection", ResourceExhausted, "wait: the project's quota is used up for now;"),
            ("GetMessage", DeadlineExceeded, "try again: the call only reads"),
            ("SearchMessages", DeadlineExceeded, "try again: the call only reads"),
            ("DeleteMessage", DeadlineExceeded, "the call may have been carried out"),
            // What does not say whether a write was carried out.
            ("DeleteMessage", Internal, "the call may have been carried out"),
            ("CreateSpace", Unknown, "the call may have been carried out"),
            ("UpdateMessage", Aborted, "the call may have been carried out"),
            ("UpdateMessage", DataLoss, "the call may have been carried out"),
            ("UpdateMessage", Cancelled, "the call may have been carried out"),
            ("DeleteMessage", FailedPrecondition, ""),
            ("DeleteMessage", Unimplemented, ""),
            ("GetMessage", Internal, ""),
            ("SearchMessages", DataLoss, ""),
            ("UploadAttachment", Internal, ""),
        ] {
            let found = advice_of(method, status(code, "m", "", "", 0));
            assert!(found.contains(advice) && found.is_empty() == advice.is_empty(), "{method} {code:?}: {found}");
        }
        let of_the_server = advice_of("UploadAttachment", status(Internal, "m", "", "", 500));
        assert!(of_the_server.starts_with("upload it again"), "{of_the_server}");
        let with_id = Error::new(Status::internal("m"), METHOD, Wire::Grpc, "id".to_owned());
        assert_eq!(
            with_id.advice().as_deref(),
            Some("try again with the same request id, which creates no second space")
        );
        // Only where a request holds neither memberships nor users is it the request id.
        let text = "Invalid membership state, user, or request ID";
        for (method, advice) in
            [("CreateMessage", "use a new request id"), ("CreateMembership", ""), ("SetUpSpace", "")]
        {
            let found = advice_of(method, status(InvalidArgument, text, "", "", 400));
            assert!(found.contains(advice) && found.is_empty() == advice.is_empty(), "{method}: {found}");
        }
    }

    #[test]
    fn the_advice_on_scopes_is_that_of_the_method() {
        let advice = |method: &str| {
            advice_of(method, status(Code::PermissionDenied, "m", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "", 403))
        };
        assert!(advice("CreateSpace").contains(
            "chat.spaces.create (as a user), chat.app.spaces.create (as the app), chat.import (in import mode)"
        ));
        assert!(advice("DeleteSpace").contains("--scopes=https://www.googleapis.com/auth/chat.delete,"));
        assert!(advice("CompleteImportSpace").contains("the scopes chat.import (as a user); "));
        assert!(advice("GetMembership").contains(
            "chat.memberships.readonly (as a user), chat.bot (as the app), chat.admin.memberships.readonly (as an \
             administrator); "
        ));
        assert_eq!(advice("GetAttachment"), "get a token with one of the scopes chat.bot (as the app)");
        assert!(advice("FutureMethod").contains("the method's page"));
    }
}
