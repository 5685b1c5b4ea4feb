//! `gchat spaces`.

mod create;
mod find;
mod flags;
mod import;
mod setup;
mod update;

use google_chat::proto::google::chat::v1::{DeleteSpaceRequest, GetSpaceRequest, ListSpacesRequest};

use crate::{
    connection::Connection,
    failure::Failure,
    input,
    output::{self, Listing, Output},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a space, or many from a file
    #[command(after_help = create::HELP)]
    Create(Box<create::Create>),
    /// Set up a space with its members, a group chat or a direct message
    #[command(after_help = setup::HELP)]
    Setup(Box<setup::Setup>),
    /// Print a space
    #[command(after_help = "Examples:\n  gchat spaces get spaces/AAQAjCNSsU0 --output json")]
    Get(Get),
    /// List the spaces that the caller is a member of
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Search for spaces by their display name
    #[command(after_help = find::SEARCH_HELP)]
    Search(find::Search),
    /// Find the direct message with a person
    #[command(after_help = find::DIRECT_MESSAGE_HELP)]
    FindDirectMessage(find::FindDirectMessage),
    /// Find the group chats of the caller and other people
    #[command(after_help = find::GROUP_CHATS_HELP)]
    FindGroupChats(find::FindGroupChats),
    /// Update the given fields of a space
    #[command(after_help = update::HELP)]
    Update(Box<update::Update>),
    /// Delete a space, with its messages and memberships
    #[command(after_help = "Examples:\n  gchat spaces delete spaces/AAQAjCNSsU0 --yes")]
    Delete(Delete),
    /// Complete the import of a space, so that people see it, or of many from a file
    #[command(after_help = import::HELP)]
    CompleteImport(Box<import::CompleteImport>),
}

const LIST_HELP: &str = "\
Examples:
  gchat spaces list --filter 'spaceType = \"SPACE\"'
  gchat spaces list --output name | xargs -n 1 gchat spaces get";

#[derive(clap::Args)]
pub(crate) struct Get {
    /// The space: spaces/{space}
    name: String,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// A filter of the API, e.g. 'spaceType = "SPACE"'
    #[arg(long, value_name = "FILTER", default_value = "")]
    filter: String,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Delete {
    /// The space: spaces/{space}
    name: String,
    /// Do not ask; required without a terminal
    #[arg(long)]
    yes: bool,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create::run(*args).await,
        Command::Setup(args) => setup::run(*args).await,
        Command::Get(args) => get(args).await,
        Command::List(args) => list(args).await,
        Command::Search(args) => find::search(args).await,
        Command::FindDirectMessage(args) => find::direct_message(args).await,
        Command::FindGroupChats(args) => find::group_chats(args).await,
        Command::Update(args) => update::run(*args).await,
        Command::Delete(args) => delete(args).await,
        Command::CompleteImport(args) => import::run(*args).await,
    }
}

async fn get(args: Get) -> Result<(), Failure> {
    let request = GetSpaceRequest { use_admin_access: args.admin, ..args.name.into() };
    let space = args.connection.client()?.get_space(request).timeout(args.connection.timeout()).await?;
    output::print(&space, Output::or_usual(args.output))
}

async fn list(args: List) -> Result<(), Failure> {
    let page_size = args.listing.page_size(1_000);
    let request = ListSpacesRequest { page_size, filter: args.filter, ..ListSpacesRequest::default() };
    let call = args.connection.client()?.list_spaces(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}

async fn delete(args: Delete) -> Result<(), Failure> {
    input::confirm(&format!("{} with its messages and memberships", args.name), args.yes)?;
    let request = DeleteSpaceRequest { use_admin_access: args.admin, ..args.name.into() };
    Ok(args.connection.client()?.delete_space(request).timeout(args.connection.timeout()).await?)
}
