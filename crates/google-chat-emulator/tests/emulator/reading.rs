//! What members mark in a space: pinned messages, and how far they have read.

use std::time::Duration;

use crate::support::{Stub, WIRES, alice, create, emulator, stub};
use google_chat::{
    Space,
    proto::google::chat::v1::{
        CreateMessagePinRequest, CreateMessageRequest, DeleteMessagePinRequest, DeleteMessageRequest,
        GetSpaceReadStateRequest, ListMessagePinsRequest, Message, MessagePin, SpaceReadState,
        UpdateSpaceReadStateRequest,
    },
};
use prost_types::{FieldMask, Timestamp};
use tonic::{Code, Status};

async fn say(stub: &mut Stub, space: &Space, message_id: &str) -> Message {
    let request = CreateMessageRequest {
        parent: space.name.clone(),
        message: Some(Message { text: "x".to_owned(), ..Message::default() }),
        message_id: message_id.to_owned(),
        ..CreateMessageRequest::default()
    };
    stub.create_message(request).await.unwrap().into_inner()
}

async fn pin(stub: &mut Stub, space: &Space, message: &str) -> Result<MessagePin, Status> {
    let pin = MessagePin { message: message.to_owned(), ..MessagePin::default() };
    let request = CreateMessagePinRequest { parent: space.name.clone(), message_pin: Some(pin) };
    stub.create_message_pin(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn messages_are_pinned_as_long_as_they_are_there() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let (space, other) = (create(&mut alice, Space::named("a")).await, create(&mut alice, Space::named("b")).await);
        let (first, second) = (say(&mut alice, &space, "client-1").await, say(&mut alice, &space, "").await);
        let made = pin(&mut alice, &space, &format!("{}/messages/client-1", space.name)).await.unwrap();
        assert_eq!(made.message, first.name, "{wire}");
        assert_eq!(made.name, first.name.replace("/messages/", "/messagePins/"), "{wire}");
        assert_eq!(pin(&mut alice, &space, &first.name).await.unwrap_err().code(), Code::AlreadyExists, "{wire}");
        pin(&mut alice, &space, &second.name).await.unwrap();
        let list = |page_size: i32, page_token: &str| ListMessagePinsRequest {
            parent: space.name.clone(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let page = alice.list_message_pins(list(1, "")).await.unwrap().into_inner();
        assert_eq!(page.message_pins, std::slice::from_ref(&made), "{wire}");
        let rest = alice.list_message_pins(list(1, &page.next_page_token)).await.unwrap().into_inner();
        assert_eq!((&rest.message_pins[0].message, &*rest.next_page_token), (&second.name, ""), "{wire}");
        // No pin is left out when another goes between two pages.
        alice.delete_message_pin(DeleteMessagePinRequest { name: made.name.clone() }).await.unwrap();
        let again = alice.list_message_pins(list(1, &page.next_page_token)).await.unwrap().into_inner();
        assert_eq!(again.message_pins, rest.message_pins, "{wire}");
        pin(&mut alice, &space, &first.name).await.unwrap();
        alice.delete_message(DeleteMessageRequest { name: second.name, force: false }).await.unwrap();
        assert_eq!(alice.list_message_pins(list(0, "")).await.unwrap().into_inner().message_pins.len(), 1, "{wire}");

        for (message, problem) in [
            ("x", "message_pin.message must be of the form spaces/{space}/messages/{message}"),
            (&*say(&mut alice, &other, "").await.name, "message_pin.message must be of the space that is the parent"),
        ] {
            let status = pin(&mut alice, &space, message).await.unwrap_err();
            assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{wire}: {status}");
        }
        let mut mallory = stub(&emulator, wire, "user:mallory@example.com");
        assert_eq!(pin(&mut mallory, &space, &first.name).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
        let delete = DeleteMessagePinRequest { name: made.name };
        alice.delete_message_pin(delete.clone()).await.unwrap();
        assert_eq!(alice.delete_message_pin(delete).await.unwrap_err().code(), Code::NotFound, "{wire}");
    }
}

#[tokio::test]
async fn a_space_is_read_no_further_than_its_last_message() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let space = create(&mut alice, Space::named("a")).await;
        let first = say(&mut alice, &space, "").await.create_time.unwrap();
        emulator.advance(Duration::from_secs(60));
        let last = say(&mut alice, &space, "").await.create_time.unwrap();
        let name = |user: &str| format!("users/{user}/{}/spaceReadState", space.name);
        let get = |user: &str| GetSpaceReadStateRequest { name: name(user) };
        let unread = alice.get_space_read_state(get("me")).await.unwrap().into_inner();
        assert_eq!(unread.last_read_time, None, "{wire}");
        let set = |user: &str, time: Option<Timestamp>, path: &str| UpdateSpaceReadStateRequest {
            space_read_state: Some(SpaceReadState { name: name(user), last_read_time: time }),
            update_mask: Some(FieldMask { paths: path.split_whitespace().map(str::to_owned).collect() }),
        };
        let later = Timestamp { seconds: last.seconds + 3_600, nanos: 0 };
        for (time, expected) in [(later, last), (first, first)] {
            let request = set("alice@example.com", Some(time), "last_read_time");
            let done = alice.update_space_read_state(request).await.unwrap().into_inner();
            assert_eq!((done.last_read_time, &done.name), (Some(expected), &unread.name), "{wire}");
            assert_eq!(alice.get_space_read_state(get("me")).await.unwrap().into_inner(), done, "{wire}");
        }
        for (user, time, path, code) in [
            ("bob@example.com", Some(later), "last_read_time", Code::PermissionDenied),
            ("me", Some(later), "", Code::InvalidArgument),
            ("me", Some(later), "name", Code::InvalidArgument),
            ("me", None, "last_read_time", Code::InvalidArgument),
        ] {
            let status = alice.update_space_read_state(set(user, time, path)).await.unwrap_err();
            assert_eq!(status.code(), code, "{wire} {user} {path}: {status}");
        }
        let mut mallory = stub(&emulator, wire, "user:mallory@example.com");
        assert_eq!(mallory.get_space_read_state(get("me")).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
    }
}
