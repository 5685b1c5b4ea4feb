//! A direct message to a person: found, or set up, and sent to.

use google_chat::{
    Client, CreateMessageRequest, ErrorKind, Membership, Message, Space, proto::google::chat::v1::SetUpSpaceRequest,
};
use jobs_example::{Result, There};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let alice = There::of_environment().await?.person("alice@example.com")?;
    let sent = send(&alice, "bob@example.com", "The report is done.").await?;
    println!("{}: {}", sent.name, sent.text);
    Ok(())
}

/// Sends a text to a person.
pub(crate) async fn send(chat: &Client, person: &str, text: &str) -> Result<Message> {
    let space = match chat.find_direct_message(format!("users/{person}")).await {
        Ok(space) => space,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let memberships = vec![Membership::person(person)];
            chat.set_up_space(SetUpSpaceRequest { memberships, ..Space::direct_message().into() }).await?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(chat.create_message(CreateMessageRequest::text(&space.name, text)).await?)
}
