//! `gchat members add`.

use super::each;
use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
    people::{self, Invitee, Role},
};

pub(super) const HELP: &str = "\
Examples:
  gchat members add spaces/AAQAjCNSsU0 alice@example.com bob@example.com
  gchat members add spaces/AAQAjCNSsU0 alice@example.com=manager groups/123
  gchat members add spaces/AAQAjCNSsU0 app

Members:
  A member is a person by e-mail address or id (users/123), a Google Group by
  its id in the Cloud Identity API (groups/123), or the app that calls (app).
  With =manager or =owner the member is given that role; what is not said is
  --role.";

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The space: spaces/{space}
    space: String,
    /// Who to add: an e-mail address, users/ID, groups/ID or app; with =ROLE for a
    /// role of its own
    #[arg(value_name = "MEMBER", required_unless_present = "group")]
    members: Vec<Invitee>,
    /// A Google Group to add, by its id; can be repeated
    #[arg(long, value_name = "ID")]
    group: Vec<String>,
    /// The role of the members [default: member]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    /// How to print each membership [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Add) -> Result<(), Failure> {
    let groups = args.group.iter().map(|id| format!("groups/{}", id.trim_start_matches("groups/")).parse());
    let groups = groups.collect::<Result<Vec<Invitee>, _>>().map_err(Failure::usage)?;
    let mut invitees = [args.members, groups].concat();
    for invitee in &mut invitees {
        invitee.role = invitee.role.or(args.role);
    }
    let chat = args.connection.client()?;
    let output = Output::or_usual(args.output);
    each("added", &invitees, Invitee::name, async |invitee: &Invitee| {
        let added = people::add(&chat, &args.connection, &args.space, invitee, args.admin).await?;
        output::print_lines(&[added], output)
    })
    .await
}
