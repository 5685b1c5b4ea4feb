//! `gchat messages`.

mod cards;
mod content;
mod send;

use google_chat::proto::google::chat::v1::{
    DeleteMessageRequest, GetMessageRequest, ListMessagesRequest, UpdateMessageRequest,
};

use crate::{
    connection::Connection,
    failure::Failure,
    input,
    output::{self, Listing, Output},
};
use content::Content;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Send a message to a space
    #[command(after_help = send::HELP)]
    Send(Box<send::Send>),
    /// List the messages of a space
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Print a message
    #[command(after_help = "Examples:\n  gchat messages get spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt")]
    Get(Get),
    /// Change the text or the cards of a message
    #[command(after_help = EDIT_HELP)]
    Edit(Box<Edit>),
    /// Delete a message
    #[command(after_help = DELETE_HELP)]
    Delete(Delete),
}

const LIST_HELP: &str = "\
Examples:
  gchat messages list spaces/AAQAjCNSsU0 --newest-first --limit 20
  gchat messages list spaces/AAQAjCNSsU0 --since 2026-11-01T00:00:00Z
  gchat messages list spaces/AAQAjCNSsU0 \\
      --thread spaces/AAQAjCNSsU0/threads/8H-dkYt";

const EDIT_HELP: &str = "\
Examples:
  gchat messages edit spaces/AAQAjCNSsU0/messages/client-alert-7 \"All is well\"
  gchat messages edit spaces/AAQAjCNSsU0/messages/client-alert-7 \\
      --card card.json
  date | gchat messages edit spaces/AAQAjCNSsU0/messages/client-clock -";

const DELETE_HELP: &str = "\
Examples:
  gchat messages delete spaces/AAQAjCNSsU0/messages/client-alert-7 --yes
  gchat messages delete spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt --force";

#[derive(clap::Args)]
pub(crate) struct List {
    /// The space: spaces/{space}
    space: String,
    /// List only the messages of this thread: spaces/{space}/threads/{thread}
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,
    /// List only messages after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// List only messages before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// A filter of the API in place of these
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["thread", "since", "until"])]
    filter: Option<String>,
    /// List the newest message first
    #[arg(long)]
    newest_first: bool,
    /// List deleted messages, too, without their content
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Get {
    /// The message: spaces/{space}/messages/{message}
    name: String,
    /// How to print the message [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Edit {
    /// The message: spaces/{space}/messages/{message}
    name: String,
    #[command(flatten)]
    content: Content,
    /// Send the message if there is none of this name, which must be one of the caller's own
    /// (client-…)
    #[arg(long)]
    allow_missing: bool,
    /// How to print the message [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Delete {
    /// The message: spaces/{space}/messages/{message}
    name: String,
    /// Delete the replies in its thread, too; without this, a message with replies stays
    #[arg(long)]
    force: bool,
    /// Do not ask; required without a terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Send(args) => send::run(*args).await,
        Command::List(args) => list(args).await,
        Command::Get(args) => get(args).await,
        Command::Edit(args) => edit(*args).await,
        Command::Delete(args) => delete(args).await,
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let conditions = [
        args.since.map(|time| format!("create_time > \"{time}\"")),
        args.until.map(|time| format!("create_time < \"{time}\"")),
        args.thread.map(|thread| format!("thread.name = {thread}")),
    ];
    let request = ListMessagesRequest {
        page_size: args.listing.page_size(1_000),
        filter: args.filter.unwrap_or_else(|| conditions.into_iter().flatten().collect::<Vec<_>>().join(" AND ")),
        order_by: if args.newest_first { "create_time DESC".to_owned() } else { String::new() },
        show_deleted: args.deleted,
        ..args.space.into()
    };
    let call = args.connection.client()?.list_messages(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}

async fn get(args: Get) -> Result<(), Failure> {
    let request = GetMessageRequest::of(args.name);
    let message = args.connection.client()?.get_message(request).timeout(args.connection.timeout()).await?;
    output::print(&message, Output::or_usual(args.output))
}

async fn edit(args: Edit) -> Result<(), Failure> {
    let mut message = args.content.message()?;
    message.name = args.name;
    let mask = args.content.mask();
    if mask.is_empty() {
        return Err(Failure::usage("nothing to change; give a text, --file or --card"));
    }
    let request = UpdateMessageRequest { allow_missing: args.allow_missing, ..UpdateMessageRequest::of(message, mask) };
    let message = args.connection.client()?.update_message(request).timeout(args.connection.timeout()).await?;
    output::print(&message, Output::or_usual(args.output))
}

async fn delete(args: Delete) -> Result<(), Failure> {
    let what = if args.force { format!("{} with its replies", args.name) } else { args.name.clone() };
    input::confirm(&what, args.yes)?;
    let request = DeleteMessageRequest { force: args.force, ..args.name.into() };
    Ok(args.connection.client()?.delete_message(request).timeout(args.connection.timeout()).await?)
}
