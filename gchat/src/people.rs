//! Who is in a space, or is to be: people, groups and the app, and their roles.

use std::{error::Error, fmt, str::FromStr};

use google_chat::{
    Client, Membership,
    proto::google::chat::v1::{
        CreateMembershipRequest, UpdateMembershipRequest,
        membership::{MemberType, MembershipRole},
    },
};
use serde::{Deserialize, Serialize};

use crate::{connection::Connection, failure::Failure};

/// A role by the name that people see in Google Chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A member (ROLE_MEMBER)
    Member,
    /// A manager (ROLE_ASSISTANT_MANAGER)
    Manager,
    /// An owner (ROLE_MANAGER)
    Owner,
}

impl Role {
    /// The role that the API calls so; `None` if it is none of these.
    pub(crate) fn of(role: MembershipRole) -> Option<Self> {
        match role {
            MembershipRole::RoleMember => Some(Self::Member),
            MembershipRole::RoleAssistantManager => Some(Self::Manager),
            MembershipRole::RoleManager => Some(Self::Owner),
            MembershipRole::Unspecified => None,
        }
    }

    /// What the API calls it.
    pub(crate) fn of_api(self) -> MembershipRole {
        match self {
            Self::Member => MembershipRole::RoleMember,
            Self::Manager => MembershipRole::RoleAssistantManager,
            Self::Owner => MembershipRole::RoleManager,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Manager => "manager",
            Self::Owner => "owner",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Member, Self::Manager, Self::Owner];
        let named = |role: &Self| role.name() == name || role.of_api().as_str_name() == name;
        known
            .into_iter()
            .find(named)
            .ok_or_else(|| format!("unknown role `{name}`; the roles are member, manager and owner"))
    }
}

/// Who is to be a member, and in which role: `alice@example.com=manager`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Invitee {
    pub(crate) membership: Membership,
    /// The role, if it is said.
    pub(crate) role: Option<Role>,
}

impl FromStr for Invitee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (who, role) = match text.rsplit_once('=') {
            Some((who, role)) => (who, Some(role.parse()?)),
            None => (text, None),
        };
        Ok(Self { membership: membership(who)?, role })
    }
}

impl Invitee {
    /// The resource name of the person, the group or the app.
    pub(crate) fn name(&self) -> &str {
        match &self.membership.member_type {
            Some(MemberType::Member(user)) => &user.name,
            Some(MemberType::GroupMember(group)) => &group.name,
            None => "",
        }
    }

    /// What [`FromStr`] reads as the same.
    pub(crate) fn to_text(&self) -> String {
        match self.role {
            Some(role) => format!("{}={}", self.name(), role.name()),
            None => self.name().to_owned(),
        }
    }

    /// The role to give by a call of its own: the API takes none when a member is added, and
    /// makes everybody a member.
    pub(crate) fn other_role(&self) -> Option<MembershipRole> {
        self.role.filter(|role| *role != Role::Member).map(Role::of_api)
    }
}

/// The membership of a person (an e-mail address or an id), a group or the app.
fn membership(who: &str) -> Result<Membership, String> {
    let id = who.split_once('/').map_or(who, |(_, id)| id);
    if id.is_empty() || id.contains(|letter: char| letter == '/' || letter.is_whitespace() || letter.is_control()) {
        return Err(format!("`{who}` is no member; give an e-mail address, users/ID, groups/ID or app"));
    }
    match who.split_once('/') {
        None | Some(("users", _)) if id == "app" => Ok(Membership::app()),
        None | Some(("users", _)) => Ok(Membership::person(id)),
        Some(("groups", _)) => Ok(Membership::group(id)),
        Some(_) => Err(format!("`{who}` is no member; give an e-mail address, users/ID, groups/ID or app")),
    }
}

/// The user that an argument names: an e-mail address or an id, with or without `users/`.
pub(crate) fn user(who: &str) -> String {
    if who.starts_with("users/") { who.to_owned() } else { format!("users/{who}") }
}

/// Adds a member to a space, and gives the role.
pub(crate) async fn add(
    chat: &Client,
    connection: &Connection,
    space: &str,
    invitee: &Invitee,
    admin: bool,
) -> Result<Membership, Failure> {
    let membership = invitee.membership.clone();
    let request = CreateMembershipRequest { use_admin_access: admin, ..CreateMembershipRequest::of(space, membership) };
    let added = chat.create_membership(request).timeout(connection.timeout()).await?;
    match invitee.other_role() {
        Some(role) if role != added.role() => {
            let name = added.name.clone();
            set_role(chat, connection, name, role, admin).await.map_err(|cause| {
                let membership = added.name;
                Failure::new(cause.exit(), NotInRole { membership, role, admin, cause })
            })
        }
        _ => Ok(added),
    }
}

/// A member was added, but the role was not given.
#[derive(Debug)]
pub(crate) struct NotInRole {
    membership: String,
    role: MembershipRole,
    admin: bool,
    cause: Failure,
}

impl NotInRole {
    /// What gives the role.
    pub(crate) fn command(&self) -> String {
        let admin = if self.admin { " --admin" } else { "" };
        format!("{}{admin}", update_command(&self.membership, self.role))
    }
}

impl fmt::Display for NotInRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { membership, .. } = self;
        write!(f, "was added as {membership}, but is not in the role yet (to give it: {})", self.command())
    }
}

impl Error for NotInRole {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// The command that gives a role to a membership, or to a member of a space (`SPACE MEMBER`).
pub(crate) fn update_command(who: &str, role: MembershipRole) -> String {
    format!("gchat members update {who} --role {}", Role::of(role).map_or("member", Role::name))
}

/// Changes the role of a member.
pub(crate) async fn set_role(
    chat: &Client,
    connection: &Connection,
    name: String,
    role: MembershipRole,
    admin: bool,
) -> Result<Membership, Failure> {
    let mut membership = Membership { name, ..Membership::default() };
    membership.set_role(role);
    let request = UpdateMembershipRequest::of(membership, ["role"]);
    let request = UpdateMembershipRequest { use_admin_access: admin, ..request };
    Ok(chat.update_membership(request).timeout(connection.timeout()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_people_groups_or_the_app() {
        for (text, name, role) in [
            ("alice@example.com", "users/alice@example.com", None),
            ("users/123=owner", "users/123", Some(Role::Owner)),
            ("a@b.c=manager", "users/a@b.c", Some(Role::Manager)),
            ("a@b.c=ROLE_ASSISTANT_MANAGER", "users/a@b.c", Some(Role::Manager)),
            ("groups/9", "groups/9", None),
            ("app", "users/app", None),
            ("users/app", "users/app", None),
        ] {
            let invitee: Invitee = text.parse().unwrap();
            assert_eq!((invitee.name(), invitee.role), (name, role), "{text}");
            assert_eq!(invitee.to_text().parse(), Ok(invitee), "{text}");
        }
        for text in ["", "users/", "spaces/a", "a b", "users/a/b", "a=boss", "groups/\n"] {
            assert!(text.parse::<Invitee>().is_err(), "{text:?}");
        }
    }
}
