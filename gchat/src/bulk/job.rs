//! What rows ask for: the kinds of jobs, and what a row of each holds.

use std::{collections::HashSet, io};

use google_chat::{
    CreateSpaceRequest, Space,
    proto::google::chat::v1::{CompleteImportSpaceRequest, Membership},
    protojson::MessageDescriptor,
};
use prost::{Message as _, Name};
use serde_json::{Map, Value, json};

use crate::{
    failure::Failure,
    output,
    people::{Invitee, Role},
};

/// How many members a project may add a minute.
///
/// Source: the page "Usage limits" of Google Chat.
pub(super) const MEMBERS_A_MINUTE: f64 = 300.0;

/// What the rows of a file ask for.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// To create spaces, perhaps with members. The flags give what a row does not say.
    Spaces { flags: Value },
    /// To add members. The flags give what a row does not say.
    Members { space: Option<String>, role: Option<Role>, admin: bool },
    /// To complete imports.
    Imports,
}

impl Job {
    /// The message that a row is read as.
    pub(super) fn message(&self) -> Result<MessageDescriptor, Failure> {
        let name = match self {
            Self::Spaces { .. } => Space::full_name(),
            Self::Members { .. } => Membership::full_name(),
            Self::Imports => CompleteImportSpaceRequest::full_name(),
        };
        output::schema().message(&name).ok_or_else(|| Failure::machine(format!("the schema has no {name}")))
    }

    /// What stands in the names of the run's files, behind that of the file of rows.
    pub(super) fn suffix(&self) -> &'static str {
        match self {
            Self::Spaces { .. } => "",
            Self::Members { .. } => ".members",
            Self::Imports => ".imports",
        }
    }

    /// The job in the head of a journal; `None` for the one that was there first.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Spaces { .. } => None,
            Self::Members { .. } => Some("members"),
            Self::Imports => Some("imports"),
        }
    }

    /// The command that takes the rows.
    pub(super) fn command(&self) -> &'static str {
        match self {
            Self::Spaces { .. } => "gchat spaces create",
            Self::Members { .. } => "gchat members add",
            Self::Imports => "gchat spaces complete-import",
        }
    }

    /// How many rows a project may send a minute.
    ///
    /// Source: the page "Usage limits" of Google Chat.
    pub(super) fn rate(&self) -> f64 {
        match self {
            Self::Spaces { .. } | Self::Imports => 60.0,
            Self::Members { .. } => MEMBERS_A_MINUTE,
        }
    }

    /// What rows become, in words: `3 spaces are created`.
    pub(super) fn done(&self) -> &'static str {
        match self {
            Self::Spaces { .. } => "spaces are created",
            Self::Members { .. } => "members are added",
            Self::Imports => "imports are complete",
        }
    }

    /// The same of rows of which it is not known: `whether 3 rows became spaces`.
    pub(super) fn became(&self) -> &'static str {
        match self {
            Self::Spaces { .. } => "became spaces",
            Self::Members { .. } => "became members",
            Self::Imports => "were completed",
        }
    }

    /// Why it does no harm to run the same command again.
    pub(super) fn again(&self) -> &'static str {
        match self {
            Self::Spaces { .. } => "it sends them with the same request ids, which creates no second space",
            Self::Members { .. } => "who is a member by then is not added twice",
            Self::Imports => "what is complete by then stays so",
        }
    }

    /// What goes into the digest of the rows beside the file, so that a journal belongs to the same
    /// job and flags.
    pub(super) fn digest(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Spaces { .. } => self.template(),
            Self::Members { space, role, admin } => {
                let role = role.map(Role::name);
                Ok(json!({"job": self.name(), "space": space, "role": role, "admin": admin}).to_string().into_bytes())
            }
            Self::Imports => Ok(json!({"job": self.name()}).to_string().into_bytes()),
        }
    }

    /// What the flags give to every row, encoded: a named space, if nothing says otherwise.
    pub(super) fn template(&self) -> Result<Vec<u8>, Failure> {
        let Self::Spaces { flags } = self else { return Ok(Vec::new()) };
        let mut flags = flags.clone();
        if let Some(space) = flags.as_object_mut() {
            space.entry("spaceType").or_insert_with(|| "SPACE".into());
        }
        self.message()?.from_json(flags.to_string()).map_err(|error| Failure::usage("the space").because(error))
    }
}

/// What a row asks for.
pub(super) enum Item {
    /// To create a space, and to add its members.
    Space(Box<Space>, Vec<Invitee>),
    /// To add a member to a space.
    Member(String, Box<Invitee>),
    /// To complete the import of a space.
    Import(String),
}

impl Item {
    /// Bytes that tell it from others.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let of = |invitee: &Invitee| format!("\n{}", invitee.to_text()).into_bytes();
        match self {
            Self::Space(space, members) => [space.encode_to_vec(), members.iter().flat_map(of).collect()].concat(),
            Self::Member(space, invitee) => {
                [space.as_bytes(), &of(invitee), &invitee.membership.encode_to_vec()].concat()
            }
            Self::Import(name) => name.clone().into_bytes(),
        }
    }

    /// What no other row of the file may ask for as well, and why.
    pub(super) fn once(&self, request_id: Option<&str>) -> Option<(String, &'static str)> {
        match self {
            Self::Space(..) => {
                let id = request_id.filter(|id| !id.is_empty())?;
                Some((id.to_owned(), "requestId: the row in line {} has the same, so that both would be one space"))
            }
            Self::Member(space, invitee) => {
                Some((format!("{space} {}", invitee.name()), "the row in line {} adds the same member"))
            }
            Self::Import(name) => Some((name.clone(), "the row in line {} completes the same space")),
        }
    }

    /// What is wrong with it.
    pub(super) fn problems(&self, request_id: &str, client: &google_chat::Client) -> Vec<String> {
        match self {
            Self::Space(space, members) => {
                let request = CreateSpaceRequest { space: Some((**space).clone()), request_id: request_id.to_owned() };
                let mut problems = match client.check(&request) {
                    Ok(()) => Vec::new(),
                    Err(error) => error
                        .field_violations()
                        .iter()
                        .map(|one| format!("{} {}", one.field.trim_start_matches("space."), one.description))
                        .collect(),
                };
                let mut names = HashSet::new();
                let twice = members.iter().map(Invitee::name).filter(|name| !names.insert(*name));
                problems.extend(twice.map(|name| format!("members: {name} comes twice")));
                problems
            }
            Self::Member(name, _) | Self::Import(name) => match name.strip_prefix("spaces/") {
                Some(id) if !id.is_empty() && !id.contains('/') => Vec::new(),
                _ => vec![format!("`{name}` is no space; write spaces/{{space}}")],
            },
        }
    }

    /// The row as a file can hold it; `left`: of its members, those to put into it.
    pub(super) fn to_json(&self, left: &dyn Fn(&Invitee) -> bool) -> io::Result<Map<String, Value>> {
        let schema = output::schema();
        let mut row = Map::new();
        match self {
            Self::Space(space, members) => {
                let space = schema.to_json(&**space).map_err(io::Error::other)?;
                row.insert("space".to_owned(), serde_json::from_str(&space)?);
                if !members.is_empty() {
                    let left = members.iter().filter(|member| left(member)).map(Invitee::to_text);
                    row.insert("members".to_owned(), left.collect());
                }
            }
            Self::Member(space, invitee) => {
                let membership = schema.to_json(&invitee.membership).map_err(io::Error::other)?;
                row = serde_json::from_str(&membership)?;
                row.shift_remove("groupMember");
                row.insert("space".to_owned(), space.clone().into());
                row.insert("member".to_owned(), invitee.name().into());
                if let Some(role) = invitee.role {
                    row.insert("role".to_owned(), role.name().into());
                }
            }
            Self::Import(name) => drop(row.insert("space".to_owned(), name.clone().into())),
        }
        Ok(row)
    }
}
