//! Spaces that are searched: an organization's by its administrators, and one's own.

use std::time::Duration;

use crate::support::{Stub, WIRES, alice, create, emulator, stub};
use google_chat::{
    Space, Wire,
    proto::google::chat::v1::{CreateMessageRequest, Message, SearchSpacesRequest, SearchSpacesResponse},
};
use google_chat_emulator::Emulator;
use tonic::{Code, Status};

const MINE: &str = "customer = \"customers/my_customer\" AND space_type = \"SPACE\"";

async fn search(stub: &mut Stub, query: &str, order_by: &str, admin: bool) -> Result<SearchSpacesResponse, Status> {
    let request = SearchSpacesRequest {
        query: query.to_owned(),
        order_by: order_by.to_owned(),
        use_admin_access: admin,
        ..SearchSpacesRequest::default()
    };
    stub.search_spaces(request).await.map(tonic::Response::into_inner)
}

async fn names(stub: &mut Stub, query: &str, order_by: &str, admin: bool) -> Vec<String> {
    let found = search(stub, query, order_by, admin).await.unwrap();
    assert_eq!(found.total_size as usize, found.results.len());
    #[allow(deprecated, reason = "administrators get both")]
    let spaces = found.spaces.len();
    assert_eq!(spaces, if admin { found.results.len() } else { 0 });
    found.results.into_iter().map(|result| result.space.unwrap().display_name).collect()
}

/// Three spaces of Alice's, a minute between each, and one of Bob's.
async fn spaces(emulator: &Emulator, wire: Wire) -> (Stub, Vec<Space>) {
    let mut alice = alice(emulator, wire);
    let mut made = Vec::new();
    for (name, external) in [("Fun event", false), ("The evening was fun", true), ("Work", false)] {
        made.push(create(&mut alice, Space { external_user_allowed: external, ..Space::named(name) }).await);
        emulator.advance(Duration::from_secs(60));
    }
    made.push(create(&mut stub(emulator, wire, "user:bob@example.com"), Space::named("Bob's fun")).await);
    (alice, made)
}

#[tokio::test]
async fn administrators_search_the_organization() {
    for wire in WIRES {
        let emulator = emulator().await;
        emulator.configure(|settings| settings.administrators = Some(vec!["root@example.com".to_owned()]));
        let (mut alice, made) = spaces(&emulator, wire).await;
        let mut root = stub(&emulator, wire, "user:root@example.com");
        let message = Some(Message { text: "x".to_owned(), ..Message::default() });
        let request = CreateMessageRequest { parent: made[0].name.clone(), message, ..Default::default() };
        alice.create_message(request).await.unwrap();
        let time = made[1].create_time.unwrap();
        for (more, order_by, expected) in [
            ("", "", vec!["Fun event", "The evening was fun", "Work", "Bob's fun"]),
            ("", "create_time DESC", vec!["Bob's fun", "Work", "The evening was fun", "Fun event"]),
            ("", "last_active_time desc", vec!["Fun event", "Bob's fun", "Work", "The evening was fun"]),
            ("display_name:\"fun eve\"", "", vec!["Fun event", "The evening was fun"]),
            ("(display_name:work OR display_name:\"bob\")", "", vec!["Work", "Bob's fun"]),
            ("external_user_allowed = \"true\"", "", vec!["The evening was fun"]),
            (&format!("create_time > \"{time}\""), "", vec!["Work", "Bob's fun"]),
            (&format!("create_time <= \"{time}\""), "", vec!["Fun event", "The evening was fun"]),
            (
                &format!("(create_time < \"{time}\" OR create_time > \"{time}\")"),
                "",
                vec!["Fun event", "Work", "Bob's fun"],
            ),
            ("last_active_time > \"2020-01-01T00:00:00Z\"", "", vec!["Fun event"]),
            ("space_history_state = \"HISTORY_OFF\"", "", vec![]),
        ] {
            let query = if more.is_empty() { MINE.to_owned() } else { format!("{MINE} AND {more}") };
            assert_eq!(names(&mut root, &query, order_by, true).await, expected, "{wire} {query} {order_by}");
        }
        let denied = search(&mut alice, MINE, "", true).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied, "{wire}: {denied}");
        for (query, order_by, problem) in [
            ("", "", "query must have a condition on space_type"),
            ("space_type = \"SPACE\"", "", "query must have a condition on customer"),
            (MINE, "display_name", "order_by must be create_time, last_active_time or"),
            (&format!("{MINE} OR display_name:x"), "", "these fields cannot be joined by OR"),
        ] {
            let status = search(&mut root, query, order_by, true).await.unwrap_err();
            assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{wire}: {status}");
        }
    }
}

#[tokio::test]
async fn others_search_what_they_have_joined_by_name() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (mut alice, _) = spaces(&emulator, wire).await;
        for (query, order_by, expected) in [
            ("display_name:fun AND space_type = \"SPACE\"", "", vec!["The evening was fun", "Fun event"]),
            ("space_type = \"SPACE\" AND display_name:fun", "relevance DESC", vec!["The evening was fun", "Fun event"]),
            (
                "(external_user_allowed = \"false\" AND display_name:\"f\" AND space_type = \"SPACE\")",
                "",
                vec!["Fun event"],
            ),
            // Without a name it is no search.
            ("(external_user_allowed = \"true\" AND space_type = \"SPACE\")", "", vec![]),
        ] {
            assert_eq!(names(&mut alice, query, order_by, false).await, expected, "{wire} {query}");
        }
        for (query, order_by, problem) in [
            ("display_name:fun", "", "query must have a condition on space_type"),
            (MINE, "", "there is no field customer to filter by"),
            ("space_type = \"SPACE\"", "create_time ASC", "order_by must be create_time DESC or relevance DESC"),
        ] {
            let status = search(&mut alice, query, order_by, false).await.unwrap_err();
            assert!(status.message().contains(problem), "{wire}: {status}");
        }
        let paged = |page_token: &str| SearchSpacesRequest {
            query: "display_name:fun AND space_type = SPACE".to_owned(),
            page_size: 1,
            page_token: page_token.to_owned(),
            ..SearchSpacesRequest::default()
        };
        let first = alice.search_spaces(paged("")).await.unwrap().into_inner();
        let second = alice.search_spaces(paged(&first.next_page_token)).await.unwrap().into_inner();
        assert_eq!((first.total_size, second.total_size, &*second.next_page_token), (2, 2, ""), "{wire}");
        assert_ne!(first.results, second.results, "{wire}");
    }
}
