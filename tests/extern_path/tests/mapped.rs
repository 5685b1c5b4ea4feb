//! The mapped message is the library's own, in memory and on the wire.

use extern_path::acme::Onboarding;
use google_chat::{Client, Credentials, Space, Wire, proto::google::apps::card::v1::Card};
use google_chat_emulator::Emulator;
use prost::Message;

#[tokio::test]
async fn a_message_of_ours_holds_the_librarys_space_and_sends_it() {
    let plan = Onboarding {
        project: "Apollo".to_owned(),
        room: Some(Space::named("Apollo")),
        welcome: Some(Card { name: "welcome".to_owned(), ..Card::default() }),
        color: None,
        begin: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
    };
    let plan = Onboarding::decode(plan.encode_to_vec().as_slice()).unwrap();

    let emulator = Emulator::start().await.unwrap();
    let builder = Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous());
    let chat = builder.wire(Wire::HttpJson).build().unwrap();
    let made = chat.create_space(plan.room.clone().unwrap()).await.unwrap();

    let done = Onboarding { room: Some(made), ..plan };
    let done = Onboarding::decode(done.encode_to_vec().as_slice()).unwrap();
    let room = done.room.unwrap();
    assert_eq!(room.display_name, "Apollo");
    assert!(room.name.starts_with("spaces/"), "{}", room.name);
}
