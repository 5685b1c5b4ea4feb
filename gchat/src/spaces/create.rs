//! `gchat spaces create`.

use std::path::PathBuf;

use google_chat::{CreateSpaceRequest, Space};

use super::{find, flags::NewSpaceFlags};
use crate::{
    bulk,
    connection::{Connection, ConnectionOrEmulator, Target},
    explain,
    failure::{Exit, Failure},
    input,
    output::{self, Output},
    people::{self, Invitee, NotInRole},
};

pub(super) const HELP: &str = "\
Examples:
  gchat spaces create --display-name \"Launch room\" --emulator
  gchat spaces create --display-name \"Launch room\" \\
      --customer customers/my_customer
  gchat spaces create --display-name \"Launch room\" --credentials key.json \\
      --subject alice@example.com
  gchat spaces create --display-name \"Launch room\" \\
      --member alice@example.com=manager --member bob@example.com
  echo '{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"}' |
      gchat spaces create --from-json -
  gchat spaces create --from rooms.csv --customer customers/my_customer \\
      >created.ndjson

Rows:
  With --from, gchat creates a space for each row of a file: NDJSON with a
  Space in each line, or CSV whose header names fields (displayName,
  spaceDetails.description), separated by commas, semicolons or tabs. Flags
  fill in what a row does not say. gchat checks the whole file first and sends
  nothing if a row is wrong.

  A column `members` (in NDJSON a list) has who to add to the space: e-mail
  addresses, users/ID, groups/ID or app, with =manager or =owner for a role,
  separated by spaces, commas or semicolons.

  Each row has a request id, so that sending a row again creates no second
  space. A file can give its rows ids of its own: requestId, as a column or
  beside the fields. Otherwise gchat makes them from its journal. Run the same
  command again to resume a run that was stopped; no space is created twice.
  Only one run at a time can work on a file.

  For each row gchat prints a line of JSON, in the order of the file:
    {\"line\":1,\"name\":\"spaces/...\"}  the space was created
    {\"line\":2,\"error\":{...}}        the row was refused: there is no space
    {\"line\":3,\"unknown\":{...}}      no clear response came within --patience;
                                    run the same command again
  A line with a name has an entry in `members` for each member of the row:
    {\"member\":\"users/...\",\"name\":\"spaces/.../members/...\"}   was added
    {\"member\":\"users/...\",\"error\":{...}}     was refused: the space lacks it
    {\"member\":\"users/...\",\"unknown\":{...}}   perhaps added

Files:
  FILE.journal          the results so far, and what the request ids are made
                        of: do not delete it before all rows are done
  FILE.failed.ndjson    the rows that were refused, for --from
  FILE.unknown.ndjson   the rows without a clear response, for --from";

#[derive(clap::Args)]
pub(crate) struct Create {
    /// A whole Space as JSON, from a file or standard input (-)
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["SpaceFlags", "NewSpaceFlags", "from"])]
    from_json: Option<String>,
    /// Who to add once the space is created, by e-mail address, users/ID, groups/ID or
    /// app; with =ROLE for a role (manager, owner); can be repeated
    #[arg(long, value_name = "MEMBER", conflicts_with = "dry_run")]
    member: Vec<Invitee>,
    /// The id of the request; sent again, it creates no second space
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    request_id: Option<String>,
    /// Send nothing; print the request as a curl command
    #[arg(long)]
    dry_run: bool,
    /// Print nothing but errors
    #[arg(long, conflicts_with = "output")]
    quiet: bool,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    space: NewSpaceFlags,
    /// Create a space for each row of an NDJSON or CSV file
    #[arg(long, value_name = "FILE", help_heading = "Many rows",
          conflicts_with_all = ["emulator", "dry_run", "output", "member"])]
    from: Option<PathBuf>,
    /// The most members of new spaces to add per minute, all shards together; 0 means no
    /// limit [default: 300, and no limit with --rate 0]
    #[arg(long, value_name = "COUNT", help_heading = "Many rows", requires = "from", value_parser = bulk::rate)]
    member_rate: Option<f64>,
    #[command(flatten)]
    bulk: bulk::Args,
    #[command(flatten)]
    connection: ConnectionOrEmulator,
}

pub(super) async fn run(args: Create) -> Result<(), Failure> {
    if let Some(file) = &args.from {
        let target = args.connection.target().await?;
        return bulk::run(bulk::Order {
            path: file,
            job: bulk::Job::Spaces { flags: args.space.to_json()? },
            args: &args.bulk,
            member_rate: args.member_rate,
            target: &target,
            timeout: args.connection.connection.timeout(),
            quiet: args.quiet,
        })
        .await;
    }
    let json = match &args.from_json {
        Some(source) => input::read(source)?,
        None => {
            let mut space = args.space.to_json()?;
            if let Some(space) = space.as_object_mut() {
                space.entry("spaceType").or_insert_with(|| "SPACE".into());
            }
            space.to_string()
        }
    };
    let space: Space = output::schema().from_json(&json).map_err(|error| Failure::usage("the space").because(error))?;
    // It may hold the emulator.
    let target = args.connection.target().await?;
    let request = CreateSpaceRequest { request_id: args.request_id.unwrap_or_default(), ..space.into() };
    if args.dry_run {
        return output::write(explain::curl_of_create(&target, &request).await?.as_bytes());
    }
    let connection = &args.connection.connection;
    let client = target.client()?;
    client.check(&request).map_err(Failure::usage)?;
    let display_name = request.space.as_ref().map(|space| space.display_name.clone()).unwrap_or_default();
    let space = match client.create_space(request).timeout(connection.timeout()).await {
        Ok(space) => space,
        Err(error) if error.is_already_exists() => {
            let found = find::named(&client, &display_name, connection.timeout()).await;
            let failure = Failure::from(error);
            return Err(match found {
                Some(space) => failure.and(&format!("the space that has the name is {}", space.name)),
                None => failure,
            });
        }
        Err(error) => return Err(error.into()),
    };
    // Before anything else, so that the space is not lost.
    if !args.quiet {
        output::print(&space, Output::or_usual(args.output))?;
    }
    add_members(&target, connection, &space, &args.member, args.quiet).await
}

/// Adds members to a space that was just created, and says what happened to each.
async fn add_members(
    target: &Target,
    connection: &Connection,
    space: &Space,
    invitees: &[Invitee],
    quiet: bool,
) -> Result<(), Failure> {
    let client = match space.import_mode {
        // Nothing else in it can be done with another scope.
        true if target.scopes.is_empty() => target.builder().scopes(["chat.import"]).build().map_err(Failure::usage)?,
        _ => target.client()?,
    };
    // Who is still to be added, and what gives the others their roles.
    let (mut left, mut roles) = (Vec::new(), Vec::new());
    for (at, invitee) in invitees.iter().enumerate() {
        let name = invitee.name();
        let failure = match people::add(&client, connection, &space.name, invitee, false).await {
            Ok(_) if quiet => continue,
            Ok(added) => {
                output::note(&format!("gchat: {name} was added: {}", added.name));
                continue;
            }
            Err(failure) => failure,
        };
        match (failure.find::<NotInRole>(), invitee.other_role()) {
            (Some(added), _) => roles.push(added.command()),
            // The member is there, such as the one who creates the space.
            (None, Some(role)) if failure.exit() == Exit::Taken => {
                roles.push(people::update_command(&format!("{} {name}", space.name), role));
            }
            (None, None) if failure.exit() == Exit::Taken => {
                if !quiet {
                    output::note(&format!("gchat: {name} is a member already"));
                }
                continue;
            }
            (None, _) => left.push(invitee.to_text()),
        }
        output::say(&format!("{name}: {}", failure.text()));
        if failure.concerns_all() {
            // The others would fail as well.
            left.extend(invitees[at + 1..].iter().map(Invitee::to_text));
            break;
        }
    }
    let (name, count) = (&space.name, invitees.len());
    let not_added = (!left.is_empty()).then(|| {
        let (missing, left) = (left.len(), left.join(" "));
        format!("{missing} of {count} members were not added; to add them: gchat members add {name} {left}")
    });
    let no_role = (!roles.is_empty()).then(|| {
        let (missing, commands) = (roles.len(), roles.join("; "));
        format!("{missing} of {count} members are not in their roles; to give the roles: {commands}")
    });
    let problems: Vec<String> = [not_added, no_role].into_iter().flatten().collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Rows, format!("{name} was created, but {}", problems.join("; and ")))),
    }
}
