//! What a request to create a space must be.
//!
//! Limits and required fields are the documentation's; the codes of most
//! violations are not documented and follow AIP-193 and AIP-203. A character
//! is a Unicode code point.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::proto::google::{
    chat::v1::{Space, space::SpaceType},
    rpc::{self, BadRequest, ErrorInfo, bad_request::FieldViolation},
};

const DISPLAY_NAME: usize = 128;
const DESCRIPTION: usize = 150;
const GUIDELINES: usize = 5_000;

/// The domain of the reasons that this emulator made up, because the
/// documentation gives none.
const SYNTHETIC: &str = "emulator.google-chat.invalid";

/// Checks a space that is to be created.
///
/// # Errors
///
/// INVALID_ARGUMENT with every violation.
pub(super) fn check(space: &Space) -> Result<(), Status> {
    let mut violations = Vec::new();
    let mut violated = |field: &str, description: String| {
        violations.push(FieldViolation { field: field.to_owned(), description, ..FieldViolation::default() });
    };
    let kind = SpaceType::try_from(space.space_type).ok();
    match kind {
        Some(SpaceType::Space) => {
            if space.display_name.trim().is_empty() {
                violated("space.display_name", "is required for a space of the type SPACE".to_owned());
            }
        }
        Some(SpaceType::GroupChat) if space.import_mode => {}
        Some(SpaceType::GroupChat) => {
            violated("space.space_type", "GROUP_CHAT can be created in import mode only".to_owned());
        }
        Some(SpaceType::Unspecified) => violated("space.space_type", "is required".to_owned()),
        _ => violated("space.space_type", "must be SPACE, or GROUP_CHAT in import mode".to_owned()),
    }
    let mut limit = |field: &str, text: &str, limit: usize| {
        let len = text.chars().count();
        if len > limit {
            violated(field, format!("has {len} characters; at most {limit} are allowed"));
        }
    };
    limit("space.display_name", &space.display_name, DISPLAY_NAME);
    if let Some(details) = &space.space_details {
        limit("space.space_details.description", &details.description, DESCRIPTION);
        limit("space.space_details.guidelines", &details.guidelines, GUIDELINES);
    }
    if space.single_user_bot_dm {
        violated("space.single_user_bot_dm", "cannot be created by this method".to_owned());
    }
    if let Some(customer) = &space.customer
        && customer.strip_prefix("customers/").is_none_or(|id| id.is_empty() || id.contains('/'))
    {
        violated("space.customer", "must be of the form customers/{customer}".to_owned());
    }
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
}

/// The request has no space at all.
pub(super) fn no_space() -> Status {
    invalid(vec![FieldViolation {
        field: "space".to_owned(),
        description: "is required".to_owned(),
        ..FieldViolation::default()
    }])
}

fn invalid(violations: Vec<FieldViolation>) -> Status {
    let problems: Vec<_> = violations.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
    let message = format!("Invalid request: {}.", problems.join("; "));
    let details = BadRequest { field_violations: violations };
    status(Code::InvalidArgument, message, "google.rpc.BadRequest", &details)
}

/// Another space has the display name.
pub(super) fn name_taken(name: &str) -> Status {
    let info = ErrorInfo {
        reason: "SPACE_DISPLAY_NAME_TAKEN".to_owned(),
        domain: SYNTHETIC.to_owned(),
        metadata: [("displayName".to_owned(), name.to_owned())].into(),
    };
    let message = format!("A space with the display name \"{name}\" already exists in the organization.");
    status(Code::AlreadyExists, message, "google.rpc.ErrorInfo", &info)
}

fn status(code: Code, message: String, type_name: &str, detail: &impl Message) -> Status {
    let detail = Any { type_url: format!("type.googleapis.com/{type_name}"), value: detail.encode_to_vec() };
    let encoded = rpc::Status { code: code as i32, message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, encoded.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::google::chat::v1::space::SpaceDetails;

    fn problem(space: Space) -> String {
        check(&space).map_or_else(|status| status.message().to_owned(), |()| "none".to_owned())
    }

    #[test]
    fn limits_are_counted_in_characters_and_reported_together() {
        assert_eq!(problem(Space::named("é".repeat(128))), "none");
        let space = Space {
            space_details: Some(SpaceDetails { description: "d".repeat(151), guidelines: "g".repeat(5_000) }),
            ..Space::named("é".repeat(129))
        };
        assert_eq!(
            problem(space),
            "Invalid request: space.display_name has 129 characters; at most 128 are allowed; \
             space.space_details.description has 151 characters; at most 150 are allowed."
        );
    }

    #[test]
    fn only_named_spaces_and_imported_group_chats_are_created() {
        assert_eq!(
            problem(Space::named(" ")),
            "Invalid request: space.display_name is required for a space of the type SPACE."
        );
        assert_eq!(problem(Space::default()), "Invalid request: space.space_type is required.");
        let group = Space { space_type: SpaceType::GroupChat as i32, ..Space::default() };
        assert_eq!(
            problem(group.clone()),
            "Invalid request: space.space_type GROUP_CHAT can be created in import mode only."
        );
        assert_eq!(problem(Space { import_mode: true, ..group }), "none");
        for kind in [SpaceType::DirectMessage as i32, 99] {
            let space = Space { space_type: kind, ..Space::default() };
            assert_eq!(
                problem(space),
                "Invalid request: space.space_type must be SPACE, or GROUP_CHAT in import mode."
            );
        }
    }
}
