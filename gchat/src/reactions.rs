//! `gchat reactions`.

use google_chat::proto::google::chat::v1::{
    CreateReactionRequest, CustomEmoji, Emoji, ListReactionsRequest, Reaction, emoji,
};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Listing, Output},
    people,
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// React to a message with an emoji
    #[command(after_help = ADD_HELP)]
    Add(Add),
    /// List the reactions to a message
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Remove a reaction
    #[command(after_help = REMOVE_HELP)]
    Remove(Remove),
}

const ADD_HELP: &str = "\
Examples:
  gchat reactions add spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt 👍
  gchat reactions add spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt \\
      customEmojis/ABCDEF";

const LIST_HELP: &str = "\
Examples:
  gchat reactions list spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt --emoji 👍";

const REMOVE_HELP: &str = "\
Examples:
  gchat reactions list spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt \\
      --user users/123 --output name | xargs -n 1 gchat reactions remove";

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The message: spaces/{space}/messages/{message}
    message: String,
    /// The emoji itself, or a custom one: customEmojis/{customEmoji}
    emoji: String,
    /// How to print the reaction [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// The message: spaces/{space}/messages/{message}
    message: String,
    /// List only reactions with this emoji; can be repeated
    #[arg(long, value_name = "EMOJI")]
    emoji: Vec<String>,
    /// List only reactions of this person, users/ID; can be repeated
    #[arg(long, value_name = "USER")]
    user: Vec<String>,
    /// A filter of the API in place of these
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["emoji", "user"])]
    filter: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Remove {
    /// The reaction: spaces/{space}/messages/{message}/reactions/{reaction}
    name: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add(args).await,
        Command::List(args) => list(args).await,
        Command::Remove(Remove { name, connection }) => {
            Ok(connection.client()?.delete_reaction(name).timeout(connection.timeout()).await?)
        }
    }
}

async fn add(args: Add) -> Result<(), Failure> {
    let content = match args.emoji.starts_with("customEmojis/") {
        true => emoji::Content::CustomEmoji(CustomEmoji { name: args.emoji, ..CustomEmoji::default() }),
        false => emoji::Content::Unicode(args.emoji),
    };
    let reaction = Reaction { emoji: Some(Emoji { content: Some(content) }), ..Reaction::default() };
    let request = CreateReactionRequest::of(args.message, reaction);
    let reaction = args.connection.client()?.create_reaction(request).timeout(args.connection.timeout()).await?;
    output::print(&reaction, Output::or_usual(args.output))
}

async fn list(args: List) -> Result<(), Failure> {
    let filter = args.filter.unwrap_or_else(|| {
        let emoji = any_of(args.emoji.iter().map(|emoji| format!("emoji.unicode = \"{emoji}\"")));
        let user = any_of(args.user.iter().map(|user| format!("user.name = \"{}\"", people::user(user))));
        match (emoji, user) {
            (Some(emoji), Some(user)) => format!("({emoji}) AND ({user})"),
            (one, other) => one.or(other).unwrap_or_default(),
        }
    });
    let request = ListReactionsRequest { page_size: args.listing.page_size(200), filter, ..args.message.into() };
    let call = args.connection.client()?.list_reactions(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}

fn any_of(conditions: impl Iterator<Item = String>) -> Option<String> {
    let conditions: Vec<String> = conditions.collect();
    (!conditions.is_empty()).then(|| conditions.join(" OR "))
}
