//! An incident room: created, with people and a group, a card and replies to it, and closed.

use google_chat::{
    CreateMessageRequest, Membership, Space,
    proto::google::{
        apps::card::v1::{Card, TextParagraph, Widget, card, widget},
        chat::v1::{CreateMembershipRequest, UpdateSpaceRequest},
    },
};
use jobs_example::{Result, There};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let space = run(&There::of_environment().await?).await?;
    println!("{}: {}", space.name, space.display_name);
    Ok(())
}

/// Goes through an incident, and gives the room as it is at the end.
pub(crate) async fn run(there: &There) -> Result<Space> {
    let (alice, app) = (there.person("alice@example.com")?, there.app()?);
    let room = alice.create_space(Space::named("Incident 7: the database is slow")).await?;

    let group = Membership::group("platform-team");
    for member in [Membership::person("bob@example.com"), group, Membership::app()] {
        alice.create_membership(CreateMembershipRequest::of(&room.name, member)).await?;
    }

    // Only an app may send cards. It gives the thread a key, by which other programs find it.
    let alert = CreateMessageRequest::card(&room.name, "incident-7", card()).in_thread_of("incident-7");
    let sent = app.create_message(alert).await?;
    let thread = sent.thread.ok_or("the card is in no thread")?.name;
    for text in ["A query reads the whole table.", "The index is back; it is fast again."] {
        alice.create_message(CreateMessageRequest::text(&room.name, text).in_thread(&thread)).await?;
    }
    let closing = CreateMessageRequest::text(&room.name, "Closed by the on-call rota.").in_thread_of("incident-7");
    app.create_message(closing).await?;

    let closed = Space { display_name: format!("Closed: {}", room.display_name), ..room };
    Ok(alice.update_space(UpdateSpaceRequest::of(closed, ["display_name"])).await?)
}

fn card() -> Card {
    let text = TextParagraph { text: "p99 is <b>3.2 s</b> since 12:04".into(), ..TextParagraph::default() };
    let widget = Widget { data: Some(widget::Data::TextParagraph(text)), ..Widget::default() };
    Card {
        header: Some(card::CardHeader { title: "The database is slow".into(), ..Default::default() }),
        sections: vec![card::Section { widgets: vec![widget], ..Default::default() }],
        ..Card::default()
    }
}
