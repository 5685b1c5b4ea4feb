//! A channel of Slack moves to Google Chat: with the times at which things happened, who was there,
//! what was said by whom, and an attachment.

use google_chat::{CreateMessageRequest, Membership, Message, Space, proto::google::chat::v1::CreateMembershipRequest};
use jobs_example::{Result, There};
use prost_types::Timestamp;
use serde_json::Value;

const EXPORT: &str = include_str!("slack_export.json");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let space = run(&There::of_environment().await?).await?;
    println!("{}: {}", space.name, space.display_name);
    Ok(())
}

/// Moves the channel, and gives the space that it has become.
pub(crate) async fn run(there: &There) -> Result<Space> {
    let export: Value = serde_json::from_str(EXPORT)?;
    let admin = there.importer("alice@example.com")?;

    let space =
        Space { import_mode: true, create_time: time(&export["created"])?, ..Space::named(text(&export["channel"])?) };
    let space = admin.create_space(space).await?;

    for member in list(&export["members"])? {
        // Whoever has left is a member of the past: Google Chat shows who wrote the messages.
        let membership = Membership {
            create_time: time(&member["joined"])?,
            delete_time: time(&member["left"])?,
            ..Membership::person(text(&member["email"])?)
        };
        if membership.delete_time.is_some() {
            admin.create_membership(CreateMembershipRequest::of(&space.name, membership)).await?;
        }
    }
    for old in list(&export["messages"])? {
        // A message is from whom it is sent as.
        let author = there.importer(text(&old["user"])?)?;
        let mut message = Message { create_time: time(&old["time"])?, ..Message::text(text(&old["text"])?) };
        if let Some(file) = old.get("file") {
            let (name, content) = (text(&file["name"])?, text(&file["content"])?);
            message.attachment.push(author.upload_bytes(&space.name, name, content.as_bytes().to_vec()).await?.into());
        }
        author.create_message(CreateMessageRequest::of(&space.name, message)).await?;
    }

    let done = admin.complete_import_space(&space.name).await?.space.ok_or("the response has no space")?;
    // From now on the members of today are added as to any space.
    let alice = there.person("alice@example.com")?;
    for member in list(&export["members"])?.iter().filter(|member| member.get("left").is_none()) {
        let membership = Membership::person(text(&member["email"])?);
        match alice.create_membership(CreateMembershipRequest::of(&space.name, membership)).await {
            Err(error) if !error.is_already_exists() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(done)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("expected a list, found {value}").into())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("expected a string, found {value}").into())
}

fn time(value: &Value) -> Result<Option<Timestamp>> {
    value.as_str().map(|text| text.parse::<Timestamp>().map_err(|error| format!("{text}: {error}").into())).transpose()
}
