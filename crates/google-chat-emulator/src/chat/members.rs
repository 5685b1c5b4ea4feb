//! Who is in a space: adding, finding, changing and removing members.
//!
//! Sources: the comments of the official protos on `Membership` and its requests.

use google_chat::proto::google::chat::v1::{
    ListMembershipsRequest, ListMembershipsResponse, Membership, User,
    membership::{Affiliation, MemberType, MembershipRole, MembershipState},
    space::SpaceType,
    user,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    filter::{Filter, MEMBERS},
    names::{self, MEMBER, member_id},
    page::{Page, Position, fingerprint, micros},
    refusal,
    room::{Room, microseconds},
    rules,
};
use crate::{Settings, identity::Identity};

/// How many members a space may have. It is the emulator's own limit.
const MOST: usize = 10_000;

impl Room {
    /// What the caller is in this space.
    pub(super) fn role(&self, caller: &Caller) -> Option<MembershipRole> {
        if caller.sees_all {
            return Some(MembershipRole::RoleManager);
        }
        self.role_of(&caller.member())
    }

    /// What somebody is in this space who has joined it and has not left.
    pub(super) fn role_of(&self, member: &str) -> Option<MembershipRole> {
        let found = self.members.iter().find(|one| last(&one.name) == member)?;
        has_joined(found).then(|| found.role())
    }

    /// Adds a member, who is invited where people do not join by being added.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, PERMISSION_DENIED, ALREADY_EXISTS, or RESOURCE_EXHAUSTED.
    pub(super) fn add(
        &mut self,
        input: Membership,
        caller: &Caller,
        admin: bool,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Membership, Status> {
        rules::check_membership(&input, &self.space, admin, now.seconds)?;
        let kind = Kind::of(&input);
        let may = match (caller.is_app(), kind) {
            (true, Kind::Person) => self.role(caller).is_some(),
            (true, _) => return Err(refusal::no_app()),
            (false, Kind::App) => self.allows(caller, |settings| settings.manage_apps),
            (false, _) if caller.adds_app_only() => return Err(refusal::no_scope(caller.method)),
            (false, _) => self.allows(caller, |settings| settings.manage_members_and_groups),
        };
        if !may {
            return Err(refusal::not_allowed("add members to this space"));
        }
        // Of the members of a direct message the app alone can be added later.
        if self.space.space_type == SpaceType::DirectMessage as i32 && kind == Kind::Person {
            let problem = "is a direct message, which no more people can be added to; set up a group chat";
            return Err(refusal::failed_precondition(&format!("{} {problem}", self.space.name)));
        }
        let name = format!("{}/members/{}", self.space.name, id_of(&input));
        if self.members.iter().any(|one| one.name == name) {
            return Err(refusal::member_exists(&name));
        }
        if self.members.len() >= MOST {
            return Err(refusal::too_many("members of a space", MOST));
        }
        Ok(self.enter(input, now, settings).clone())
    }

    /// Makes somebody a member who may be one, and is none yet.
    pub(super) fn enter(&mut self, input: Membership, now: Timestamp, settings: &Settings) -> &Membership {
        let kind = Kind::of(&input);
        let mut made = member_of(&self.space.name, id_of(&input), MembershipRole::RoleMember, now);
        match input.member_type {
            Some(MemberType::GroupMember(group)) => {
                made.member_type = Some(MemberType::GroupMember(group));
                made.set_role(MembershipRole::Unspecified);
            }
            _ if kind == Kind::Person && !self.space.import_mode && !settings.auto_accept => {
                made.set_state(MembershipState::Invited);
            }
            _ => {}
        }
        if self.space.import_mode {
            (made.create_time, made.delete_time) = (input.create_time.or(made.create_time), input.delete_time);
        }
        self.members.push(made);
        &self.members[self.members.len() - 1]
    }

    /// A member that the caller asks for.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT for the app's membership with an
    /// administrator's privileges.
    pub(super) fn member(&self, name: &str, caller: &Caller, admin: bool) -> Result<&Membership, Status> {
        self.check_members_visible(caller)?;
        let found = &self.members[self.place_of("name", name, admin)?];
        if caller.is_app() && Kind::of(found) == Kind::Group {
            return Err(refusal::no_app());
        }
        Ok(found)
    }

    /// The members that the caller asks for.
    ///
    /// # Errors
    ///
    /// PERMISSION_DENIED, or INVALID_ARGUMENT.
    pub(super) fn list_members(
        &self,
        request: &ListMembershipsRequest,
        caller: &Caller,
    ) -> Result<ListMembershipsResponse, Status> {
        let ListMembershipsRequest { parent, filter, show_groups, show_invited, use_admin_access: admin, .. } = request;
        let arguments = (parent, filter, show_groups, show_invited, admin);
        let page = Page::new(request.page_size, &request.page_token, (100, 1_000), arguments)?;
        let filter = MEMBERS.parse(filter)?;
        if *admin && !people_only(&filter) {
            let problem = "must have member.type = \"HUMAN\" or member.type != \"BOT\" with use_admin_access";
            return Err(refusal::invalid_field("filter", problem));
        }
        if caller.is_app() && *show_invited {
            return Err(refusal::not_allowed("list invited members as an app; authenticate as a user"));
        }
        self.check_members_visible(caller)?;
        let takes = |member: &Membership| {
            let shown = match Kind::of(member) {
                Kind::Group => *show_groups && !caller.is_app(),
                Kind::App => !caller.is_app(),
                Kind::Person => *show_invited || member.state != MembershipState::Invited as i32,
            };
            shown && filter.takes(&|condition| condition.holds_for(value(member, condition.field)))
        };
        let members = self.members.iter().filter(|member| takes(member));
        let mut members: Vec<_> = members.map(|member| (position(member), member)).collect();
        // Those who came at the same time stay in the order of their fingerprints.
        members.sort_unstable_by_key(|(position, _)| *position);
        let (memberships, next_page_token) = page.cut(members.into_iter());
        Ok(ListMembershipsResponse { memberships: memberships.into_iter().cloned().collect(), next_page_token })
    }

    /// Changes a member's role.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, NOT_FOUND, or PERMISSION_DENIED.
    pub(super) fn update_member(
        &mut self,
        input: &Membership,
        paths: &[String],
        caller: &Caller,
        admin: bool,
    ) -> Result<Membership, Status> {
        if !self.is_visible(caller) {
            return Err(refusal::not_allowed("change members of this space"));
        }
        let place = self.place_of("membership.name", &input.name, admin)?;
        let member = &self.members[place];
        if Kind::of(member) != Kind::Person {
            return Err(refusal::invalid_field("membership.name", "must be that of a person, who alone has a role"));
        }
        let may = match (caller.is_app(), self.role(caller)) {
            (true, role) => role.is_some() && self.creator == Identity::App.key(),
            (false, _) if self.space.import_mode => self.creator == caller.key() || caller.sees_all,
            (false, Some(MembershipRole::RoleManager)) => true,
            // Who is a manager by the name of the UI neither makes owners nor changes them.
            (false, Some(MembershipRole::RoleAssistantManager)) => {
                let owners = [member.role(), input.role()].contains(&MembershipRole::RoleManager);
                !owners && self.allows(caller, |settings| settings.manage_members_and_groups)
            }
            _ => false,
        };
        if !may {
            return Err(refusal::not_allowed("change the role of this member"));
        }
        rules::check_update_membership(input, &self.space, paths)?;
        let member = &mut self.members[place];
        member.role = input.role;
        Ok(member.clone())
    }

    /// Removes a member, whose name may hold an email address.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
    pub(super) fn remove(&mut self, name: &str, caller: &Caller, admin: bool) -> Result<Membership, Status> {
        if !self.is_visible(caller) {
            return Err(refusal::not_allowed("remove members from this space"));
        }
        let place = self.place_of("name", name, admin)?;
        let member = &self.members[place];
        let kind = Kind::of(member);
        let created = self.creator == Identity::App.key();
        let may = match (caller.is_app(), kind) {
            // An app is removed with a user's credentials.
            (true, Kind::App | Kind::Group) => return Err(refusal::no_app()),
            (true, Kind::Person) if member.role() == MembershipRole::RoleManager => created,
            (true, Kind::Person) => self.role(caller).is_some(),
            (false, Kind::App) => self.allows(caller, |settings| settings.manage_apps),
            (false, _) if caller.adds_app_only() => return Err(refusal::no_scope(caller.method)),
            (false, _) if last(&member.name) == caller.member() => true,
            (false, _) if member.role() == MembershipRole::RoleManager && !self.space.import_mode => {
                self.role(caller) == Some(MembershipRole::RoleManager)
            }
            (false, _) => self.allows(caller, |settings| settings.manage_members_and_groups),
        };
        if !may {
            return Err(refusal::not_allowed("remove this member"));
        }
        let mut removed = self.members.remove(place);
        removed.state = MembershipState::NotAMember as i32;
        Ok(removed)
    }

    /// Where a member is among the members.
    fn place_of(&self, field: &str, name: &str, admin: bool) -> Result<usize, Status> {
        let [_, member] = names::variables(field, name, MEMBER)?;
        let member = member_id(member);
        if admin && member == "app" {
            return Err(refusal::invalid_field(field, "is that of an app, which is not for use_admin_access"));
        }
        let name = format!("{}/members/{member}", self.space.name);
        let place = self.members.iter().position(|one| one.name == name);
        place.ok_or_else(|| refusal::not_found("membership", &name))
    }

    fn check_members_visible(&self, caller: &Caller) -> Result<(), Status> {
        let may = match self.role(caller) {
            Some(_) if caller.is_app() => true,
            _ => self.allows(caller, |settings| settings.view_space_membership),
        };
        if may { Ok(()) } else { Err(refusal::not_allowed("see the members of this space")) }
    }

    /// Makes somebody a member with a role, who may be one with another role, or be invited.
    pub(super) fn join(&mut self, member: String, role: MembershipRole, now: Timestamp) {
        let made = member_of(&self.space.name, member, role, now);
        match self.members.iter_mut().find(|one| one.name == made.name) {
            Some(member) => (member.role, member.state) = (made.role, made.state),
            None => self.members.push(made),
        }
    }

    /// The people who have joined.
    pub(super) fn people(&self) -> impl Iterator<Item = &str> {
        let people = self.members.iter().filter(|one| Kind::of(one) == Kind::Person && has_joined(one));
        people.map(|one| last(&one.name))
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Group,
    App,
}

impl Kind {
    pub(super) fn of(member: &Membership) -> Self {
        match &member.member_type {
            Some(MemberType::GroupMember(_)) => Self::Group,
            Some(MemberType::Member(user)) if user.r#type() == user::Type::Bot => Self::App,
            _ => Self::Person,
        }
    }
}

/// The last part of the name of a membership that is to be made.
fn id_of(input: &Membership) -> String {
    match &input.member_type {
        Some(MemberType::Member(user)) => member_id(&user.name),
        Some(MemberType::GroupMember(group)) => group.name.replace("groups/", "group."),
        None => String::new(),
    }
}

/// Whether a member has joined, and not left since: imported memberships may be of the past.
fn has_joined(member: &Membership) -> bool {
    member.state == MembershipState::Joined as i32 && member.delete_time.is_none()
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Where a member stands in a list, whoever else comes and goes: in every space that is set up
/// alike at the same place.
fn position(member: &Membership) -> Position {
    (micros(member.create_time), fingerprint(last(&member.name)))
}

/// What a field of a filter is for a member.
fn value(member: &Membership, field: &str) -> i32 {
    match (field, &member.member_type) {
        ("role", _) => member.role,
        (_, Some(MemberType::Member(user))) => user.r#type,
        _ => 0,
    }
}

/// Whether a filter asks for people and no others.
fn people_only(filter: &Filter) -> bool {
    let (mut people, mut others) = (false, false);
    filter.visit(&mut |condition| {
        if condition.field == "member.type" {
            let only = condition.holds_for(user::Type::Human as i32) && !condition.holds_for(user::Type::Bot as i32);
            (people, others) = (people | only, others | !only);
        }
    });
    people && !others
}

pub(super) fn member_of(space: &str, member: String, role: MembershipRole, now: Timestamp) -> Membership {
    Membership {
        name: format!("{space}/members/{member}"),
        state: MembershipState::Joined as i32,
        role: role as i32,
        create_time: Some(microseconds(now)),
        delete_time: None,
        member_type: Some(MemberType::Member(user_of(&member))),
        // The emulator knows of no organizations.
        affiliation: Affiliation::Unspecified as i32,
    }
}

/// A member as a user, of which the emulator knows the name and the type.
pub(super) fn user_of(member: &str) -> User {
    let kind = if member == "app" { user::Type::Bot } else { user::Type::Human };
    User { name: format!("users/{member}"), r#type: kind as i32, ..User::default() }
}
