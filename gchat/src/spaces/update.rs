//! `gchat spaces update`.

use google_chat::{
    MethodScopes, Space,
    proto::google::chat::v1::{GetSpaceRequest, UpdateSpaceRequest},
};
use serde_json::Value;

use super::flags::SpaceFlags;
use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
};

pub(super) const HELP: &str = "\
Examples:
  gchat spaces update spaces/AAQAjCNSsU0 --display-name \"Closed room\"
  gchat spaces update spaces/AAQAjCNSsU0 --permission manageApps=managers";

#[derive(clap::Args)]
pub(crate) struct Update {
    /// The space: spaces/{space}
    name: String,
    /// Use the caller's administrator privileges
    #[arg(long)]
    admin: bool,
    /// How to print the space [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    space: SpaceFlags,
    #[command(flatten)]
    connection: Connection,
}

const UPDATE: &str = "google.chat.v1.ChatService/UpdateSpace";

pub(super) async fn run(args: Update) -> Result<(), Failure> {
    let json = args.space.to_json()?;
    let paths = mask(&json)?;
    let space: Space =
        output::schema().from_json(json.to_string()).map_err(|error| Failure::usage("the space").because(error))?;
    let mut space = Space { name: args.name, ..space };
    let target = args.connection.target()?;
    // For both calls: who may change a space may read it.
    let scope = MethodScopes::of(UPDATE).map(|scopes| scopes.least(target.is_app(), args.admin));
    let scopes = target.scopes(scope.into_iter().collect());
    let chat = target.builder().scopes(scopes).build().map_err(Failure::usage)?;
    let timeout = args.connection.timeout();
    // The API takes description and guidelines together; what is not given stays.
    if let Some(Value::Object(details)) = json.get("spaceDetails")
        && details.len() == 1
        && let Some(new) = &mut space.space_details
    {
        let request = GetSpaceRequest { use_admin_access: args.admin, ..(&space.name).into() };
        let old = chat.get_space(request).timeout(timeout).await?.space_details.unwrap_or_default();
        if details.contains_key("description") {
            new.guidelines = old.guidelines;
        } else {
            new.description = old.description;
        }
    }
    let request = UpdateSpaceRequest { use_admin_access: args.admin, ..UpdateSpaceRequest::of(space, paths) };
    let space = chat.update_space(request).timeout(timeout).await?;
    output::print(&space, Output::or_usual(args.output))
}

/// The paths of what is given, in proto names.
fn mask(space: &Value) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    for (name, value) in space.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            // These are changed one by one.
            ("accessSettings" | "permissionSettings", Value::Object(parts)) => {
                paths.extend(parts.keys().map(|part| format!("{}.{}", snake(name), snake(part))));
            }
            _ => paths.push(snake(name)),
        }
    }
    if paths.is_empty() {
        Err(Failure::usage("nothing to update; give at least one flag of the space"))
    } else {
        Ok(paths)
    }
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
