//! What is certain to fail, found before anything is sent; and the scope that a
//! call needs.
//!
//! Nothing is refused here that the server could accept: where the
//! documentation leaves a unit or a rule open, the looser reading counts.

use grpc_transcoding::MethodDescriptor;
use prost::Message;
use tonic::{Code, Status};

use super::{
    SCOPE,
    methods::{self, MethodScopes},
};
use crate::{
    Credentials, MethodRequest,
    layer::{Scopes, UnaryCall},
    proto::google::{
        chat::v1::{CreateSpaceRequest, Space, space::SpaceType},
        rpc::{self, BadRequest, bad_request::FieldViolation},
    },
};

/// The largest text of a message, in bytes. Cards count as well, but not how they are encoded
/// here.
const TEXT: usize = 32_000;

/// The longest texts, in characters. Source: the comments of the fields in Google's protos.
const DISPLAY_NAME: usize = 128;
const DESCRIPTION: usize = 150;
const GUIDELINES: usize = 5_000;

/// What a client knows of the calls that it makes.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Whether calls are checked before they are sent.
    check: bool,
    /// Whether calls are made as the app, where that is known.
    app: Option<bool>,
    /// Whether the scopes are chosen for each call: they were not set, and there are
    /// credentials.
    choose_scopes: bool,
    /// Whether `chat.import` is the only scope that was set.
    only_import: bool,
}

impl Rules {
    pub(super) fn new(check: bool, credentials: &Credentials, scopes: Option<&[String]>) -> Self {
        let is_import = |scope: &String| scope.trim_start_matches(SCOPE) == "chat.import";
        Self {
            check,
            app: credentials.is_app(),
            choose_scopes: scopes.is_none() && !credentials.is_anonymous(),
            only_import: scopes.is_some_and(|scopes| !scopes.is_empty() && scopes.iter().all(is_import)),
        }
    }

    /// Whether calls are checked before they are sent.
    pub(super) fn checks(&self) -> bool {
        self.check
    }

    /// The scopes for a request of a method that is no call of a stub. `None`: those that are set.
    pub(super) fn scopes(&self, method: &str) -> Option<Scopes> {
        let least = MethodScopes::of(method).map(|scopes| scopes.least(self.app != Some(false), false));
        self.choose_scopes.then(|| Scopes::new(least.map(|scope| format!("{SCOPE}{scope}"))))
    }

    /// Checks a call, and asks for the scope that it needs unless scopes are set.
    pub(super) fn apply(&self, call: &mut UnaryCall) -> Result<(), Status> {
        let method = call.bindings.method();
        if self.check {
            self.check(method, &call.message)?;
        }
        if self.choose_scopes && call.scopes.is_none() {
            // A method of the future is for the caller's own scopes.
            let scopes = MethodScopes::needed(method, &call.message, self.app != Some(false)).unwrap_or_default();
            call.scopes = Some(Scopes::new(scopes.into_iter().map(|scope| format!("{SCOPE}{scope}"))));
        }
        call.reads |= methods::reads(&method.path()[1..]);
        Ok(())
    }

    /// Checks an encoded request. What cannot be read here is the server's to judge.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT with every violation, as a server would report them.
    pub(super) fn check(&self, method: &MethodDescriptor, request: &[u8]) -> Result<(), Status> {
        let missing = methods::missing(method, request);
        let mut violations: Vec<_> = missing.map(|field| (field, "is required".to_owned())).collect();
        if method.path() == CreateSpaceRequest::PATH
            && let Ok(CreateSpaceRequest { space: Some(space), .. }) = Message::decode(request)
        {
            self.check_space(&space, &mut violations);
        }
        let text = methods::field(&method.input(), request, "message.text").map_or(0, |text| text.bytes().len());
        if text > TEXT {
            violations.push(("message.text", format!("has {text} bytes; at most {TEXT} are allowed")));
        }
        refuse(violations)
    }

    fn check_space(&self, space: &Space, violations: &mut Vec<(&'static str, String)>) {
        let mut violated = |field, problem: &str| violations.push((field, problem.to_owned()));
        match SpaceType::try_from(space.space_type) {
            Ok(SpaceType::Space) if space.display_name.trim().is_empty() => {
                violated("space.display_name", "is required for a named space");
            }
            Ok(SpaceType::Space) => {}
            Ok(SpaceType::GroupChat) if space.import_mode => {}
            Ok(SpaceType::GroupChat) => {
                violated(
                    "space.space_type",
                    "GROUP_CHAT is created in import mode only; set import_mode, or set up a \
                     group chat with its members in another way",
                );
            }
            Ok(SpaceType::Unspecified) => violated("space.space_type", "is required: SPACE for a named space"),
            Ok(SpaceType::DirectMessage) => violated("space.space_type", "DIRECT_MESSAGE cannot be created"),
            // A type of the future.
            Err(_) => {}
        }
        if self.app == Some(true) && space.customer.as_deref().unwrap_or_default().is_empty() {
            violated("space.customer", "is required for an app: customers/my_customer for a private one");
        }
        if self.app == Some(true) && space.import_mode {
            violated("space.import_mode", "needs a user's credentials, not the app's");
        }
        if self.only_import && !space.import_mode {
            violated("space.import_mode", "must be set where chat.import is the only scope");
        }
        // Characters are counted as Unicode code points; in UTF-16 there are as
        // many or more.
        let details = space.space_details.clone().unwrap_or_default();
        for (field, text, limit) in [
            ("space.display_name", &space.display_name, DISPLAY_NAME),
            ("space.space_details.description", &details.description, DESCRIPTION),
            ("space.space_details.guidelines", &details.guidelines, GUIDELINES),
        ] {
            let len = text.chars().count();
            if len > limit {
                violations.push((field, format!("has {len} characters; at most {limit} are allowed")));
            }
        }
    }
}

/// # Errors
///
/// INVALID_ARGUMENT with the violations, if there are any, as a server would report them.
pub(super) fn refuse(violations: Vec<(&str, String)>) -> Result<(), Status> {
    if violations.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = violations.iter().map(|(field, problem)| format!("{field} {problem}")).collect();
    let message = format!("invalid request, not sent: {}", problems.join("; "));
    let violation = |(field, description): (&str, String)| FieldViolation {
        field: field.to_owned(),
        description,
        ..FieldViolation::default()
    };
    let details = BadRequest { field_violations: violations.into_iter().map(violation).collect() };
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.BadRequest".to_owned(),
        value: details.encode_to_vec(),
    };
    let code = Code::InvalidArgument;
    let encoded = rpc::Status { code: code as i32, message: message.clone(), details: vec![detail] };
    Err(Status::with_details(code, message, encoded.encode_to_vec().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Client,
        proto::google::chat::v1::{
            CreateMembershipRequest, CreateMessageRequest, GetSpaceRequest, ListSpacesRequest, UpdateSpaceRequest,
            space::SpaceDetails,
        },
    };

    fn outcome<Rq: MethodRequest>(rules: &Rules, request: Rq) -> String {
        let method = Client::http_rules().pool().method(Rq::PATH).unwrap();
        let checked = rules.check(&method, &request.encode_to_vec());
        checked.map_or_else(|status| status.message().to_owned(), |()| "sent".to_owned())
    }

    #[test]
    fn what_a_request_requires_is_missed() {
        let rules = Rules::new(true, &Credentials::anonymous(), None);
        let missing = |fields: &str| format!("invalid request, not sent: {fields}");
        assert_eq!(outcome(&rules, ListSpacesRequest::default()), "sent");
        assert_eq!(outcome(&rules, GetSpaceRequest::of("spaces/a")), "sent");
        assert_eq!(outcome(&rules, GetSpaceRequest::of("")), missing("name is required"));
        assert_eq!(
            outcome(&rules, CreateMembershipRequest::default()),
            missing("parent is required; membership is required")
        );
        // A message that is empty is set, and without a mask the server may take what is set.
        let update = UpdateSpaceRequest { update_mask: None, ..UpdateSpaceRequest::of(Space::default(), [""; 0]) };
        assert_eq!(outcome(&rules, update), "sent");
        assert_eq!(outcome(&rules, CreateSpaceRequest::default()), missing("space is required"));
    }

    #[test]
    fn the_text_of_a_message_may_be_as_long_as_documented_and_no_longer() {
        let rules = Rules::new(true, &Credentials::anonymous(), None);
        let text = |length| CreateMessageRequest::text("spaces/a", "a".repeat(length));
        assert_eq!(outcome(&rules, text(32_000)), "sent");
        let problem = "invalid request, not sent: message.text has 32001 bytes; at most 32000 are allowed";
        assert_eq!(outcome(&rules, text(32_001)), problem);
    }

    /// The numbers are those of Google's documentation, written out.
    #[test]
    fn texts_may_be_as_long_as_documented_and_no_longer() {
        let rules = Rules::new(true, &Credentials::anonymous(), None);
        let check = |name, description, guidelines| {
            let text = |length| "\u{1F680}".repeat(length);
            let details = SpaceDetails { description: text(description), guidelines: text(guidelines) };
            let space = Space { space_details: Some(details), ..Space::named(text(name)) };
            outcome(&rules, CreateSpaceRequest::of(space))
        };
        assert_eq!(check(128, 150, 5_000), "sent");
        for (outcome, problem) in [
            (check(129, 150, 5_000), "space.display_name has 129 characters; at most 128 are allowed"),
            (check(128, 151, 5_000), "space.space_details.description has 151 characters; at most 150 are allowed"),
            (check(128, 150, 5_001), "space.space_details.guidelines has 5001 characters; at most 5000 are allowed"),
        ] {
            assert_eq!(outcome, format!("invalid request, not sent: {problem}"));
        }
    }
}
