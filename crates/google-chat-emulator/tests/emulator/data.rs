//! A file of spaces, with the feature `store`.

use std::{path::PathBuf, time::Duration};

use crate::support::{alice, create, members, named, post, update};
use google_chat::{Space, Wire, proto::google::chat::v1::DeleteSpaceRequest};
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
async fn a_file_of_another_version_is_refused() {
    let file = fresh("version.db");
    start(&file, false).await.stop(Duration::ZERO).await;
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Emulator::builder().data(&file, false).start().await.unwrap_err().to_string();
    assert_eq!(error, format!("{}: its format has the version 99, not 3; name another file", file.display()));
}
