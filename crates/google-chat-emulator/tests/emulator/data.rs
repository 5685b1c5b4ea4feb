//! A file of spaces, with the feature `store`.

use std::{path::PathBuf, time::Duration};

use crate::support::{alice, create, members, named, post, send, update};
use google_chat::{
    Space, Wire,
    proto::google::chat::v1::{
        CreateMessageRequest, DeleteMessageRequest, DeleteSpaceRequest, GetMessageRequest, ListMessagesRequest, Message,
    },
};
use google_chat_emulator::Emulator;
use serde_json::json;

/// A path for a test, without anything at it.
fn fresh(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    path
}

async fn start(file: &std::path::Path, durable: bool) -> Emulator {
    let emulator = Emulator::builder().data(file, durable).start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    emulator
}

#[tokio::test]
async fn a_file_has_spaces_members_and_request_ids_after_a_restart() {
    for durable in [false, true] {
        let file = fresh(&format!("restart-{durable}.db"));
        let emulator = start(&file, durable).await;
        const PATH: &str = "/v1/spaces?requestId=one";
        let (_, made) = post(&emulator, PATH, Some("user:alice@example.com"), &named("made")).await;
        let mut chat = alice(&emulator, Wire::Grpc);
        let changed = create(&mut chat, Space::named("before")).await;
        let change = Space { name: changed.name.clone(), ..Space::named("after") };
        update(&mut chat, change, &["display_name"]).await.unwrap();
        let member = json!({"member": {"name": "users/bob@example.com", "type": "HUMAN"}}).to_string();
        let path = format!("/v1/{}/members", changed.name);
        assert_eq!(post(&emulator, &path, Some("user:alice@example.com"), &member).await.0, 200);
        let deleted = create(&mut chat, Space::named("deleted")).await;
        chat.delete_space(DeleteSpaceRequest { name: deleted.name, use_admin_access: false }).await.unwrap();
        let before = emulator.spaces();
        emulator.stop(Duration::ZERO).await;

        let emulator = start(&file, durable).await;
        assert_eq!(emulator.spaces(), before);
        let again = post(&emulator, PATH, Some("user:alice@example.com"), &named("other")).await;
        assert_eq!(again, (200, made));
        let (status, _) = post(&emulator, "/v1/spaces", Some("user:alice@example.com"), &named("after")).await;
        assert_eq!(status, 409, "a display name is known");
        assert_eq!(members(&mut alice(&emulator, Wire::Grpc), &changed.name, "").await.len(), 2);
        for name in ["before", "deleted"] {
            let (status, _) = post(&emulator, "/v1/spaces", Some("user:alice@example.com"), &named(name)).await;
            assert_eq!(status, 200, "{name} is free");
        }
    }
}

#[tokio::test]
async fn a_file_has_messages_and_reactions_after_a_restart() {
    const ALICE: Option<&str> = Some("user:alice@example.com");
    let file = fresh("messages.db");
    let emulator = start(&file, true).await;
    let mut chat = alice(&emulator, Wire::Grpc);
    let (space, gone) = (create(&mut chat, Space::named("a")).await, create(&mut chat, Space::named("b")).await);
    let path = format!("/v1/{}/messages?requestId=one&messageId=client-1", space.name);
    let thread = json!({"text": "root", "thread": {"threadKey": "k"}}).to_string();
    let (_, root) = post(&emulator, &format!("{path}&messageReplyOption=REPLY_MESSAGE_OR_FAIL"), ALICE, &thread).await;
    let react = format!("/v1/{}/reactions", root["name"].as_str().unwrap());
    assert_eq!(post(&emulator, &react, ALICE, r#"{"emoji":{"unicode":"👍"}}"#).await.0, 200);
    assert_eq!(post(&emulator, &format!("/v1/{}/messages", gone.name), ALICE, r#"{"text":"x"}"#).await.0, 200);
    chat.delete_space(DeleteSpaceRequest { name: gone.name, use_admin_access: false }).await.unwrap();
    let get = GetMessageRequest { name: format!("{}/messages/client-1", space.name), ..GetMessageRequest::default() };
    let (before, spaces) = (chat.get_message(get.clone()).await.unwrap().into_inner(), emulator.spaces());
    assert_eq!((before.emoji_reaction_summaries.len(), spaces[0].last_active_time), (1, before.create_time));
    emulator.stop(Duration::ZERO).await;
    let rows = |table: &str| {
        let query = format!("SELECT count(*) FROM {table}");
        rusqlite::Connection::open(&file).unwrap().query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((rows("rooms"), rows("posts")), (1, 1), "messages go with their space");

    let emulator = start(&file, true).await;
    assert_eq!(emulator.spaces(), spaces);
    assert_eq!(alice(&emulator, Wire::Grpc).get_message(get).await.unwrap().into_inner(), before);
    let (status, again) = post(&emulator, &path, ALICE, r#"{"text":"other"}"#).await;
    assert_eq!((status, &again["name"]), (200, &root["name"]), "the request id is known");
    let reply = format!("/v1/{}/messages?messageReplyOption=REPLY_MESSAGE_OR_FAIL", space.name);
    let (_, reply) = post(&emulator, &reply, ALICE, &thread).await;
    assert_eq!((&reply["thread"], &reply["threadReply"]), (&root["thread"], &true.into()), "the thread is known");
}

#[tokio::test]
async fn a_file_loses_attachments_with_their_messages() {
    const ALICE: &str = "user:alice@example.com";
    let file = fresh("attachments.db");
    let emulator = start(&file, false).await;
    let mut chat = alice(&emulator, Wire::Grpc);
    let space = create(&mut chat, Space::named("a")).await.name;
    let token = format!("Bearer {ALICE}");
    let headers = [("authorization", &*token), ("content-type", "multipart/related; boundary=b")];
    let target = format!("/upload/v1/{space}/attachments:upload?uploadType=multipart");
    let body = "--b\r\n\r\n{\"filename\":\"a\"}\r\n--b\r\n\r\nabc\r\n--b--";
    let (_, uploaded) = send(&emulator, "POST", &target, &headers, body).await;
    let uploaded: serde_json::Value = serde_json::from_str(&uploaded).unwrap();
    let message = json!({"text": "x", "attachment": [uploaded]}).to_string();
    let (status, message) = post(&emulator, &format!("/v1/{space}/messages"), Some(ALICE), &message).await;
    assert_eq!(status, 200, "{message}");
    let name = message["name"].as_str().unwrap().to_owned();
    chat.delete_message(DeleteMessageRequest { name, force: false }).await.unwrap();
    // What is removed from the file leaves it in order.
    create(&mut chat, Space::named("b")).await;
    emulator.stop(Duration::ZERO).await;
    let rows = |table: &str| {
        let query = format!("SELECT count(*) FROM {table}");
        rusqlite::Connection::open(&file).unwrap().query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((rows("rooms"), rows("posts"), rows("uploads")), (2, 1, 0));
}

/// Whatever is written at the same time is in the file, each call's own.
#[tokio::test]
async fn many_at_once_are_all_kept() {
    let file = fresh("many.db");
    let emulator = start(&file, true).await;
    let space = create(&mut alice(&emulator, Wire::Grpc), Space::named("a")).await;
    let said = (0..200).map(|at| {
        let mut chat = alice(&emulator, Wire::Grpc);
        let message = Some(Message { text: at.to_string(), ..Message::default() });
        let request = CreateMessageRequest { parent: space.name.clone(), message, ..CreateMessageRequest::default() };
        tokio::spawn(async move { chat.create_message(request).await.unwrap().into_inner() })
    });
    let mut names = Vec::new();
    for said in said.collect::<Vec<_>>() {
        names.push(said.await.unwrap().name);
    }
    emulator.stop(Duration::ZERO).await;
    let emulator = start(&file, true).await;
    let request = ListMessagesRequest { parent: space.name, page_size: 1_000, ..ListMessagesRequest::default() };
    let found = alice(&emulator, Wire::Grpc).list_messages(request).await.unwrap().into_inner().messages;
    let mut found: Vec<String> = found.into_iter().map(|message| message.name).collect();
    found.sort();
    names.sort();
    assert_eq!(found, names);
}

#[tokio::test]
async fn a_file_of_the_version_before_is_opened_and_brought_to_this_one() {
    let file = fresh("before.db");
    let emulator = start(&file, false).await;
    create(&mut alice(&emulator, Wire::Grpc), Space::named("a")).await;
    let spaces = emulator.spaces();
    emulator.stop(Duration::ZERO).await;
    // What version 3 had.
    let before = "DROP TABLE posts; DROP TABLE uploads; PRAGMA user_version = 3";
    rusqlite::Connection::open(&file).unwrap().execute_batch(before).unwrap();
    for _ in 0..2 {
        let emulator = start(&file, false).await;
        assert_eq!(emulator.spaces()[0].name, spaces[0].name);
        let path = format!("/v1/{}/messages", spaces[0].name);
        assert_eq!(post(&emulator, &path, Some("user:alice@example.com"), r#"{"text":"x"}"#).await.0, 200);
        emulator.stop(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_refused() {
    let file = fresh("version.db");
    start(&file, false).await.stop(Duration::ZERO).await;
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Emulator::builder().data(&file, false).start().await.unwrap_err().to_string();
    assert_eq!(error, format!("{}: its format has the version 99, not 4; name another file", file.display()));
}
