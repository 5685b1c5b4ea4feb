//! `gchat spaces search`, `find-direct-message` and `find-group-chats`: spaces that are there
//! already.

use std::time::Duration;

use google_chat::{
    Client, PageRequest, Space,
    proto::google::chat::v1::{FindGroupChatsRequest, ListSpacesRequest, SearchSpacesRequest},
};

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Listing, Output},
    people,
};

pub(super) const SEARCH_HELP: &str = "\
Examples:
  gchat spaces search \"Launch room\"
  gchat spaces search \"Launch\" --admin --output name
  gchat spaces search --query 'space_type = \"SPACE\" AND display_name:\"a\"'

Words:
  Each word is the start of a word in the display name, in any case. Without
  --admin only spaces are found that the caller is a member of.";

pub(super) const DIRECT_MESSAGE_HELP: &str = "\
Examples:
  gchat spaces find-direct-message alice@example.com
  gchat spaces find-direct-message users/123 --output name ||
      gchat spaces setup --member users/123 --output name";

pub(super) const GROUP_CHATS_HELP: &str = "\
Examples:
  gchat spaces find-group-chats alice@example.com bob@example.com";

#[derive(clap::Args)]
pub(crate) struct Search {
    /// Words of the display name
    #[arg(required_unless_present = "query")]
    words: Option<String>,
    /// A query of the API in place of words
    #[arg(long, value_name = "QUERY", conflicts_with = "words")]
    query: Option<String>,
    /// The order, e.g. 'create_time DESC'
    #[arg(long, value_name = "FIELD ASC|DESC", default_value = "")]
    order_by: String,
    /// Search all spaces of the organization, with the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct FindDirectMessage {
    /// The other person: an e-mail address or users/ID
    user: String,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct FindGroupChats {
    /// The other people, all of them: e-mail addresses or users/ID
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn search(args: Search) -> Result<(), Failure> {
    let query = args.query.unwrap_or_else(|| {
        let customer = if args.admin { "customer = \"customers/my_customer\" AND " } else { "" };
        format!("{customer}{}", by_display_name(&args.words.unwrap_or_default()))
    });
    let request = SearchSpacesRequest {
        page_size: args.listing.page_size(if args.admin { 1_000 } else { 100 }),
        order_by: args.order_by,
        use_admin_access: args.admin,
        ..query.into()
    };
    let call = args.connection.client()?.search_spaces(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}

/// How many pages are looked through for a display name.
const PAGES: usize = 10;

/// The space that has a display name, if the caller can see it: found by a search, or, where the
/// caller cannot search, among the spaces that the caller is a member of.
pub(super) async fn named(chat: &Client, display_name: &str, timeout: Duration) -> Option<Space> {
    let has_name = |space: &Space| space.display_name == display_name;
    let request = SearchSpacesRequest { page_size: 100, ..by_display_name(display_name).into() };
    if let Ok(page) = chat.search_spaces(request).timeout(timeout).await
        && let Some(space) = SearchSpacesRequest::items(page).into_iter().find(has_name)
    {
        return Some(space);
    }
    let request =
        ListSpacesRequest { page_size: 1_000, filter: "spaceType = \"SPACE\"".to_owned(), ..Default::default() };
    let mut pages = chat.list_spaces(request).timeout(timeout).pages();
    for _ in 0..PAGES {
        let page = pages.next().await?.ok()?;
        if let Some(space) = page.spaces.into_iter().find(has_name) {
            return Some(space);
        }
    }
    None
}

/// The query for the words of a display name.
fn by_display_name(words: &str) -> String {
    let words = words.replace('\\', "\\\\").replace('"', "\\\"");
    format!("space_type = \"SPACE\" AND display_name:\"{words}\"")
}

pub(super) async fn direct_message(args: FindDirectMessage) -> Result<(), Failure> {
    let call = args.connection.client()?.find_direct_message(people::user(&args.user));
    let space = call.timeout(args.connection.timeout()).await?;
    output::print(&space, Output::or_usual(args.output))
}

pub(super) async fn group_chats(args: FindGroupChats) -> Result<(), Failure> {
    let request = FindGroupChatsRequest {
        users: args.users.iter().map(|user| people::user(user)).collect(),
        page_size: args.listing.page_size(30),
        ..FindGroupChatsRequest::default()
    };
    let call = args.connection.client()?.find_group_chats(request).timeout(args.connection.timeout());
    args.listing.print(call.pages()).await
}
