//! `gchat spaces create`.

use std::path::PathBuf;

use google_chat::{CreateSpaceRequest, Space};

use super::flags::NewSpaceFlags;
use crate::{
    bulk,
    connection::ConnectionOrEmulator,
    explain,
    failure::Failure,
    input,
    output::{self, Output},
};

pub(super) const HELP: &str = "\
Examples:
  gchat spaces create --display-name \"Launch room\" --emulator
  gchat spaces create --display-name \"Launch room\" \\
      --customer customers/my_customer
  gchat spaces create --display-name \"Launch room\" --credentials key.json \\
      --subject alice@example.com
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
    #[arg(long, value_name = "FILE", help_heading = "Many spaces", conflicts_with_all = ["emulator", "dry_run", "output"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    bulk: bulk::Args,
    #[command(flatten)]
    connection: ConnectionOrEmulator,
}

pub(super) async fn run(args: Create) -> Result<(), Failure> {
    if let Some(file) = &args.from {
        let target = args.connection.target().await?;
        let timeout = args.connection.connection.timeout();
        return bulk::run(file, &args.space.to_json()?, &args.bulk, &target, timeout, args.quiet).await;
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
    let space: Space =
        output::schema()?.from_json(&json).map_err(|error| Failure::usage("the space").because(error))?;
    // It may hold the emulator.
    let target = args.connection.target().await?;
    let request = CreateSpaceRequest { request_id: args.request_id.unwrap_or_default(), ..space.into() };
    if args.dry_run {
        return output::write(explain::curl_of_create(&target, &request).await?.as_bytes());
    }
    let timeout = args.connection.connection.timeout();
    let client = target.client()?;
    client.check(&request).map_err(Failure::usage)?;
    let space = client.create_space(request).timeout(timeout).await?;
    if args.quiet { Ok(()) } else { output::print(&space, Output::or_usual(args.output)) }
}
