//! `gchat members add`.

use std::path::PathBuf;

use super::each;
use crate::{
    bulk,
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
  gchat members add --from pupils.csv --credentials key.json \\
      --subject alice@example.com

Members:
  A member is a person by e-mail address or id (users/123), a Google Group by
  its id in the Cloud Identity API (groups/123), or the app that calls (app).
  With =manager or =owner the member is given that role; what is not said is
  --role.

Rows:
  With --from, gchat adds a member for each row of a file: CSV with the columns
  space, member and role, or NDJSON with these fields. Other columns are fields
  of a Membership, such as createTime for an import. SPACE and --role give what
  a row does not say. For each row gchat prints a line of JSON. Run the same
  command again to resume a run that was stopped: who is a member by then is
  not added twice.

Files:
  FILE.members.journal          the results so far
  FILE.members.failed.ndjson    the rows that were refused, for --from
  FILE.members.unknown.ndjson   the rows without a clear response, for --from";

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The space: spaces/{space}
    #[arg(required_unless_present = "from")]
    space: Option<String>,
    /// Who to add: an e-mail address, users/ID, groups/ID or app; with =ROLE for a
    /// role of its own
    #[arg(value_name = "MEMBER", required_unless_present_any = ["group", "from"])]
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
    /// Print nothing but errors
    #[arg(long, conflicts_with = "output")]
    quiet: bool,
    /// How to print each membership [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Add a member for each row of an NDJSON or CSV file
    #[arg(long, value_name = "FILE", help_heading = "Many rows", conflicts_with_all = ["members", "group", "output"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    bulk: bulk::Args,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Add) -> Result<(), Failure> {
    if let Some(file) = &args.from {
        return bulk::run(bulk::Order {
            path: file,
            job: bulk::Job::Members { space: args.space, role: args.role, admin: args.admin },
            args: &args.bulk,
            member_rate: None,
            target: &args.connection.target()?,
            timeout: args.connection.timeout(),
            quiet: args.quiet,
        })
        .await;
    }
    let groups = args.group.iter().map(|id| format!("groups/{}", id.trim_start_matches("groups/")).parse());
    let groups = groups.collect::<Result<Vec<Invitee>, _>>().map_err(Failure::usage)?;
    let mut invitees = [args.members, groups].concat();
    for invitee in &mut invitees {
        invitee.role = invitee.role.or(args.role);
    }
    let chat = args.connection.client()?;
    let (space, output) = (args.space.unwrap_or_default(), Output::or_usual(args.output));
    each("added", &invitees, Invitee::name, async |invitee: &Invitee| {
        let added = people::add(&chat, &args.connection, &space, invitee, args.admin).await?;
        if args.quiet { Ok(()) } else { output::print_lines(&[added], output) }
    })
    .await
}
