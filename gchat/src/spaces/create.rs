//! `gchat spaces create`.

use std::{path::PathBuf, time::Duration};

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

pub(super) const EXAMPLES: &str = "\
Examples:
  gchat spaces create --display-name \"Launch room\" --emulator
  gchat spaces create --display-name \"Launch room\" --customer customers/my_customer
  gchat spaces create --display-name \"Launch room\" --credentials key.json --subject alice@example.com
  echo '{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"}' | gchat spaces create --from-json -
  gchat spaces create --from rooms.csv --customer customers/my_customer >created.ndjson

With --from, gchat creates a space for each row of a file: NDJSON with a Space in each
line, or CSV whose header names fields (displayName, spaceDetails.description), separated
by commas, semicolons or tabs. Flags fill in what a row does not say. gchat checks the
whole file before it sends anything, and sends nothing if a row is wrong.

Each row has a request id, by which the server knows it when it is sent again, so that no
row becomes two spaces. A file can give its rows ids of its own: requestId, as a column or
beside the fields. Else gchat makes them, and keeps what they are made of in a journal,
FILE.journal. If a run was stopped, run the same command again: it goes on where it was.
Do not delete the journal before all rows are done: the ids would be lost with it. Only
one run at a time can work on a file.

For each row gchat prints a line of JSON, in the order of the file:
  {\"line\":1,\"name\":\"spaces/...\"}  it is a space
  {\"line\":2,\"error\":{...}}        it was refused: there is no space
  {\"line\":3,\"unknown\":{...}}      no answer said whether there is a space, within
                                  --patience; the same command tries it again
Rows of the last two kinds are also written to FILE.failed.ndjson and
FILE.unknown.ndjson, with their request ids; --from takes these files as well.";

#[derive(clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    space: NewSpaceFlags,
    /// A whole Space as JSON, from a file or from standard input (-)
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["SpaceFlags", "NewSpaceFlags", "from"])]
    from_json: Option<String>,
    /// An identifier for the request, so that it can be sent again
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    request_id: Option<String>,
    /// Many spaces, from the rows of an NDJSON or CSV file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["emulator", "dry_run", "output"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    bulk: bulk::Args,
    /// Sends nothing, and prints what would be sent as a curl command
    #[arg(long)]
    dry_run: bool,
    /// Prints nothing but errors
    #[arg(long, conflicts_with = "output")]
    quiet: bool,
    #[command(flatten)]
    connection: ConnectionOrEmulator,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
}

pub(super) async fn run(args: Create) -> Result<(), Failure> {
    if let Some(file) = &args.from {
        let target = args.connection.target().await?;
        let timeout = Duration::from_secs(args.connection.connection.timeout);
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
    let timeout = Duration::from_secs(args.connection.connection.timeout);
    let client = target.client(None)?;
    client.check(&request).map_err(Failure::usage)?;
    let space = client.create_space(request).timeout(timeout).await?;
    if args.quiet { Ok(()) } else { output::print(&space, Output::or_usual(args.output)) }
}
