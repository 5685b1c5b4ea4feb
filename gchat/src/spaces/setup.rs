//! `gchat spaces setup`.

use google_chat::{
    Space,
    proto::google::chat::v1::{SetUpSpaceRequest, space::SpaceType},
};

use super::flags::NewSpaceFlags;
use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
    people::Invitee,
};

pub(super) const HELP: &str = "\
Examples:
  gchat spaces setup --member alice@example.com
  gchat spaces setup --member alice@example.com --member bob@example.com
  gchat spaces setup --display-name \"Launch room\" --member groups/123
  gchat spaces setup --app

Types:
  With a display name it is a named space; without one, a direct message with
  one member, or a group chat with several. A direct message that is there
  already is the one that is printed. The caller is a member in any case.

  People whom the caller may not add, or who block the caller, are left out
  without an error: look with gchat members list. `gchat spaces create
  --member` says what happened to each.";

#[derive(clap::Args)]
pub(crate) struct Setup {
    /// A person to add, by e-mail address or id, or a group: groups/ID; can be repeated
    #[arg(long, value_name = "MEMBER", required_unless_present_any = ["display_name", "app"])]
    member: Vec<Invitee>,
    /// Set up the direct message of the caller and the app
    #[arg(long, conflicts_with_all = ["member", "display_name"])]
    app: bool,
    /// The id of the request; sent again, it sets up no second space
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    space: NewSpaceFlags,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Setup) -> Result<(), Failure> {
    let space = args.space.to_json()?.to_string();
    let mut space: Space =
        output::schema().from_json(space).map_err(|error| Failure::usage("the space").because(error))?;
    space.single_user_bot_dm |= args.app;
    if space.space_type() == SpaceType::Unspecified {
        space.set_space_type(match args.member.len() {
            _ if !space.display_name.is_empty() => SpaceType::Space,
            0 | 1 => SpaceType::DirectMessage,
            _ => SpaceType::GroupChat,
        });
    }
    if let Some(invitee) = args.member.iter().find(|invitee| invitee.other_role().is_some()) {
        return Err(Failure::usage(format!(
            "--member {}: a space is set up with plain members; change the role afterwards with gchat members update",
            invitee.to_text()
        )));
    }
    let memberships = args.member.into_iter().map(|invitee| invitee.membership).collect();
    let request = SetUpSpaceRequest { memberships, request_id: args.request_id.unwrap_or_default(), ..space.into() };
    let space = args.connection.client()?.set_up_space(request).timeout(args.connection.timeout()).await?;
    output::print(&space, Output::or_usual(args.output))
}
