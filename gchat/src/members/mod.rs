//! `gchat members`.

mod add;

use google_chat::proto::google::chat::v1::{DeleteMembershipRequest, GetMembershipRequest, ListMembershipsRequest};

use crate::{
    connection::Connection,
    failure::{Exit, Failure},
    output::{self, Listing, Output},
    people::{self, Role},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Add people, groups or the app to a space, or many from a file
    #[command(after_help = add::HELP)]
    Add(Box<add::Add>),
    /// Remove members from a space
    #[command(after_help = REMOVE_HELP)]
    Remove(Remove),
    /// List the members of a space
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Print a membership
    #[command(after_help = GET_HELP)]
    Get(Get),
    /// Change the role of a member
    #[command(after_help = UPDATE_HELP)]
    Update(Update),
}

const REMOVE_HELP: &str = "\
Examples:
  gchat members remove spaces/AAQAjCNSsU0 alice@example.com bob@example.com
  gchat members list spaces/AAQAjCNSsU0 --output name |
      xargs gchat members remove";

const LIST_HELP: &str = "\
Examples:
  gchat members list spaces/AAQAjCNSsU0
  gchat members list spaces/AAQAjCNSsU0 --role owner --output name
  gchat members list spaces/AAQAjCNSsU0 --people --groups --invited";

const GET_HELP: &str = "\
Examples:
  gchat members get spaces/AAQAjCNSsU0 alice@example.com
  gchat members get spaces/AAQAjCNSsU0/members/app --output json";

const UPDATE_HELP: &str = "\
Examples:
  gchat members update spaces/AAQAjCNSsU0 alice@example.com --role owner";

#[derive(clap::Args)]
pub(crate) struct Remove {
    /// The space and its members by e-mail address, id or `app`; or memberships:
    /// spaces/{space}/members/{member}
    #[arg(required = true, value_names = ["SPACE", "MEMBER"])]
    members: Vec<String>,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    /// How to print each removed membership [default: table on a terminal, else
    /// json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// The space: spaces/{space}
    space: String,
    /// List only members with this role; can be repeated
    #[arg(long, value_enum)]
    role: Vec<Role>,
    /// List only people, without the app
    #[arg(long, conflicts_with = "apps")]
    people: bool,
    /// List only apps
    #[arg(long)]
    apps: bool,
    /// List groups, too
    #[arg(long)]
    groups: bool,
    /// List who is invited and has not joined, too
    #[arg(long)]
    invited: bool,
    /// A filter of the API in place of these, e.g. 'member.type != "BOT"'
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["role", "people", "apps"])]
    filter: Option<String>,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Get {
    /// The space and a member by e-mail address, id or `app`; or a membership:
    /// spaces/{space}/members/{member}
    #[arg(required = true, num_args = 1..=2, value_names = ["SPACE", "MEMBER"])]
    member: Vec<String>,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    /// How to print the membership [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    get: Get,
    /// The new role
    #[arg(long, value_enum)]
    role: Role,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add::run(*args).await,
        Command::Remove(args) => remove(args).await,
        Command::List(args) => list(args).await,
        Command::Get(args) => get(args).await,
        Command::Update(args) => update(args).await,
    }
}

/// The names of memberships: of a space and its members, or as they are given.
fn names(given: &[String]) -> Result<Vec<String>, Failure> {
    let is_whole = |name: &String| name.contains("/members/");
    match given {
        [space, members @ ..] if !is_whole(space) && !members.is_empty() => {
            let names = members.iter().map(|member| match member.split_once('/') {
                None => Ok(format!("{space}/members/{member}")),
                Some(("users", id)) => Ok(format!("{space}/members/{id}")),
                Some(_) => Err(Failure::usage(format!(
                    "`{member}` is no member of {space}; give an e-mail address, an id or app; for a group, the name \
                     of its membership (gchat members list {space} --groups)"
                ))),
            });
            names.collect()
        }
        names if names.iter().all(is_whole) => Ok(names.to_vec()),
        _ => Err(Failure::usage("give a space and its members, or memberships: spaces/{space}/members/{member}")),
    }
}

fn name(given: &[String]) -> Result<String, Failure> {
    let mut names = names(given)?;
    match names.len() {
        1 => Ok(names.remove(0)),
        count => Err(Failure::usage(format!("give one membership, not {count}"))),
    }
}

async fn remove(args: Remove) -> Result<(), Failure> {
    let names = names(&args.members)?;
    let chat = args.connection.client()?;
    let output = Output::or_usual(args.output);
    each("removed", &names, String::as_str, async |name: &String| {
        let request = DeleteMembershipRequest { use_admin_access: args.admin, ..name.into() };
        let removed = chat.delete_membership(request).timeout(args.connection.timeout()).await?;
        output::print_lines(&[removed], output)
    })
    .await
}

/// Does the same for each of several members, and says of each failure whose it is.
async fn each<T>(
    done: &str,
    members: &[T],
    name: impl Fn(&T) -> &str,
    act: impl AsyncFn(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed = 0;
    for member in members {
        match act(member).await {
            Ok(()) => {}
            // There is only this one, so that its own exit code says most.
            Err(failure) if members.len() == 1 => return Err(failure),
            // The others would fail as well.
            Err(failure) if failure.concerns_all() => return Err(failure),
            Err(failure) => {
                failed += 1;
                output::say(&format!("{}: {}", name(member), failure.text()));
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Rows, format!("{failed} of {} members were not {done}", members.len()))),
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let filter = args.filter.clone().unwrap_or_else(|| filter(&args));
    let request = ListMembershipsRequest {
        page_size: args.listing.page_size(1_000),
        filter,
        show_groups: args.groups,
        show_invited: args.invited,
        use_admin_access: args.admin,
        ..ListMembershipsRequest::of(args.space)
    };
    let call = args.connection.client()?.list_memberships(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}

/// The filter that the flags make.
fn filter(args: &List) -> String {
    let kind = match (args.people, args.apps) {
        // An administrator's list must say so.
        (true, _) | (_, false) if args.people || args.admin => Some("member.type = \"HUMAN\"".to_owned()),
        (_, true) => Some("member.type = \"BOT\"".to_owned()),
        _ => None,
    };
    let roles: Vec<_> = args.role.iter().map(|role| format!("role = \"{}\"", role.of_api().as_str_name())).collect();
    let roles = match roles.len() {
        0 => None,
        1 => Some(roles.join("")),
        _ if kind.is_none() => Some(roles.join(" OR ")),
        _ => Some(format!("({})", roles.join(" OR "))),
    };
    [kind, roles].into_iter().flatten().collect::<Vec<_>>().join(" AND ")
}

async fn get(args: Get) -> Result<(), Failure> {
    let request = GetMembershipRequest { use_admin_access: args.admin, ..name(&args.member)?.into() };
    let membership = args.connection.client()?.get_membership(request).timeout(args.connection.timeout()).await?;
    output::print(&membership, Output::or_usual(args.output))
}

async fn update(Update { get, role }: Update) -> Result<(), Failure> {
    let chat = get.connection.client()?;
    let membership = people::set_role(&chat, &get.connection, name(&get.member)?, role.of_api(), get.admin).await?;
    output::print(&membership, Output::or_usual(get.output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_named_by_space_and_member_or_in_full() {
        let names = |given: &[&str]| {
            names(&given.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        let (a, b) = ("spaces/s/members/a@b.c", "spaces/s/members/2");
        assert_eq!(names(&["spaces/s", "a@b.c", "users/2"]).unwrap(), [a, b]);
        assert_eq!(names(&[a, b]).unwrap(), [a, b]);
        for given in [&["spaces/s"][..], &["spaces/s", a], &[a, "spaces/s"], &["spaces/s", "groups/1"]] {
            assert!(names(given).is_err(), "{given:?}");
        }
    }
}
