//! `gchat spaces complete-import`.

use std::path::PathBuf;

use crate::{
    bulk,
    connection::Connection,
    failure::Failure,
    output::{self, Output},
};

pub(super) const HELP: &str = "\
Examples:
  gchat spaces complete-import spaces/AAQAjCNSsU0
  gchat spaces create --from rooms.csv --import-mode >created.ndjson
  gchat spaces complete-import --from created.ndjson

Rows:
  With --from, gchat completes the import of each row's space: NDJSON with a
  `name` or `space` in each line, as `gchat spaces create --from` prints it, or
  CSV with such a column; other fields are passed over. For each row gchat
  prints a line of JSON. Run the same command again to resume a run that was
  stopped: what is complete by then stays so.

Files:
  FILE.imports.journal          the results so far
  FILE.imports.failed.ndjson    the rows that were refused, for --from
  FILE.imports.unknown.ndjson   the rows without a clear response, for --from";

#[derive(clap::Args)]
pub(crate) struct CompleteImport {
    /// The space: spaces/{space}
    #[arg(required_unless_present = "from")]
    name: Option<String>,
    /// Print nothing but errors
    #[arg(long, conflicts_with = "output")]
    quiet: bool,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Complete the imports of the spaces in an NDJSON or CSV file
    #[arg(long, value_name = "FILE", help_heading = "Many rows", conflicts_with_all = ["name", "output"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    bulk: bulk::Args,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: CompleteImport) -> Result<(), Failure> {
    if let Some(file) = &args.from {
        return bulk::run(bulk::Order {
            path: file,
            job: bulk::Job::Imports,
            args: &args.bulk,
            member_rate: None,
            target: &args.connection.target()?,
            timeout: args.connection.timeout(),
            quiet: args.quiet,
        })
        .await;
    }
    let call = args.connection.client()?.complete_import_space(args.name.unwrap_or_default());
    let response = call.timeout(args.connection.timeout()).await?;
    let space = response.space.unwrap_or_default();
    if args.quiet { Ok(()) } else { output::print(&space, Output::or_usual(args.output)) }
}
