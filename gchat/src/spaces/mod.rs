//! `gchat spaces`.

mod create;
mod flags;
mod update;

use std::time::Duration;

use google_chat::{
    Channel, Client, Error,
    proto::google::chat::v1::{
        CompleteImportSpaceRequest, DeleteSpaceRequest, GetSpaceRequest, ListSpacesRequest,
        chat_service_client::ChatServiceClient,
    },
};

use crate::{
    connection::{Connection, Needs},
    failure::Failure,
    output::{self, Output},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a space, or many from a file
    #[command(after_help = create::HELP)]
    Create(Box<create::Create>),
    /// Print a space
    #[command(after_help = "Examples:\n  gchat spaces get spaces/AAQAjCNSsU0 --output json")]
    Get(Get),
    /// List the spaces that the caller is a member of
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Update the given fields of a space
    #[command(after_help = update::HELP)]
    Update(Box<update::Update>),
    /// Delete a space, with its messages and memberships
    #[command(after_help = "Examples:\n  gchat spaces delete spaces/AAQAjCNSsU0 --yes")]
    Delete(Delete),
    /// Complete the import of a space, so that people see it
    #[command(after_help = "Examples:\n  gchat spaces complete-import spaces/AAQAjCNSsU0")]
    CompleteImport(CompleteImport),
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
    /// The most spaces to list [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// How to print each space, on a line [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
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

#[derive(clap::Args)]
pub(crate) struct CompleteImport {
    /// The space: spaces/{space}
    name: String,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

const GET: &str = "google.chat.v1.ChatService/GetSpace";
const LIST: &str = "google.chat.v1.ChatService/ListSpaces";
const DELETE: &str = "google.chat.v1.ChatService/DeleteSpace";
const COMPLETE_IMPORT: &str = "google.chat.v1.ChatService/CompleteImportSpace";

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create::run(*args).await,
        Command::Get(args) => get(args).await,
        Command::List(args) => list(args).await,
        Command::Update(args) => update::run(*args).await,
        Command::Delete(args) => delete(args).await,
        Command::CompleteImport(args) => complete_import(args).await,
    }
}

/// The client of one command, and its stub.
struct Caller {
    client: Client,
    stub: ChatServiceClient<Channel>,
    timeout: Duration,
}

impl Caller {
    /// A caller with what a method needs; `admin`: by an administrator's privileges.
    fn new(connection: &Connection, method: &str, admin: bool) -> Result<Self, Failure> {
        let client = connection.target()?.client(Needs::of(method, admin))?;
        Ok(Self { stub: client.stub(), client, timeout: Duration::from_secs(connection.timeout) })
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        // tonic panics on what eight digits of hours cannot say.
        request.set_timeout(self.timeout.min(Duration::from_secs(99_999_999 * 3600)));
        request
    }

    /// The failure of a call, with what to do.
    fn failed(&self, method: &'static str) -> impl Fn(tonic::Status) -> Failure {
        let wire = self.client.wire();
        move |status| Error::of(status, method, wire).into()
    }
}

async fn get(args: Get) -> Result<(), Failure> {
    let mut caller = Caller::new(&args.connection, GET, args.admin)?;
    let request = caller.request(GetSpaceRequest { name: args.name, use_admin_access: args.admin });
    let space = caller.stub.get_space(request).await;
    let space = space.map_err(caller.failed(GET))?.into_inner();
    output::print(&space, Output::or_usual(args.output))
}

async fn list(args: List) -> Result<(), Failure> {
    let mut caller = Caller::new(&args.connection, LIST, false)?;
    let output = Output::or_usual(args.output);
    let (mut left, mut page_token) = (args.limit.unwrap_or(usize::MAX), String::new());
    loop {
        let page_size = left.min(1_000) as i32;
        let request = ListSpacesRequest { page_size, page_token, filter: args.filter.clone() };
        let page = caller.stub.list_spaces(caller.request(request)).await;
        let page = page.map_err(caller.failed(LIST))?.into_inner();
        let spaces = &page.spaces[..page.spaces.len().min(left)];
        output::print_lines(spaces, output)?;
        left -= spaces.len();
        page_token = page.next_page_token;
        if page_token.is_empty() || left == 0 {
            return Ok(());
        }
    }
}

async fn delete(args: Delete) -> Result<(), Failure> {
    if !args.yes && !confirmed(&args.name)? {
        return Err(Failure::usage("nothing was deleted"));
    }
    let mut caller = Caller::new(&args.connection, DELETE, args.admin)?;
    let request = caller.request(DeleteSpaceRequest { name: args.name, use_admin_access: args.admin });
    let done = caller.stub.delete_space(request).await;
    done.map(drop).map_err(caller.failed(DELETE))
}

/// Asks whether to go on, which needs somebody to be asked.
fn confirmed(name: &str) -> Result<bool, Failure> {
    use std::io::{IsTerminal, Write, stderr, stdin};
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::usage(format!("deleting {name} cannot be undone; add --yes to do it")));
    }
    let question = format!("Delete {name} with its messages and memberships? This cannot be undone. [y/N] ");
    stderr().write_all(question.as_bytes()).map_err(Failure::machine)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(Failure::machine)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

async fn complete_import(args: CompleteImport) -> Result<(), Failure> {
    let mut caller = Caller::new(&args.connection, COMPLETE_IMPORT, false)?;
    let request = caller.request(CompleteImportSpaceRequest { name: args.name });
    let answer = caller.stub.complete_import_space(request).await;
    let answer = answer.map_err(caller.failed(COMPLETE_IMPORT))?.into_inner();
    output::print(&answer.space.unwrap_or_default(), Output::or_usual(args.output))
}
