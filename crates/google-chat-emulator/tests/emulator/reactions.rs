//! Reactions: one of each emoji by each person.

use crate::support::{Stub, WIRES, alice, create, emulator, stub};
use google_chat::{
    Space, Wire,
    proto::google::chat::v1::{
        CreateMembershipRequest, CreateMessageRequest, CreateReactionRequest, CustomEmoji, DeleteReactionRequest,
        Emoji, GetMessageRequest, ListReactionsRequest, Membership, Message, Reaction, User, emoji::Content,
        membership::MemberType, user,
    },
};
use google_chat_emulator::Emulator;
use tonic::{Code, Status};

/// A message of Alice's in a space with Bob.
async fn message(emulator: &Emulator, wire: Wire) -> (String, Stub, Stub) {
    let mut alice = alice(emulator, wire);
    let space = create(&mut alice, Space::named("a")).await;
    let user = User { name: "users/bob@example.com".to_owned(), r#type: user::Type::Human as i32, ..User::default() };
    let membership = Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() };
    let parent = space.name.clone();
    let request = CreateMembershipRequest { parent, membership: Some(membership), ..Default::default() };
    alice.create_membership(request).await.unwrap();
    let message = Message { text: "Hello".to_owned(), ..Message::default() };
    let request = CreateMessageRequest {
        parent: space.name,
        message: Some(message),
        message_id: "client-1".to_owned(),
        ..CreateMessageRequest::default()
    };
    let made = alice.create_message(request).await.unwrap().into_inner();
    (made.name, alice, stub(emulator, wire, "user:bob@example.com"))
}

async fn react(stub: &mut Stub, message: &str, emoji: &str) -> Result<Reaction, Status> {
    let emoji = Emoji { content: Some(Content::Unicode(emoji.to_owned())) };
    let reaction = Reaction { emoji: Some(emoji), ..Reaction::default() };
    let request = CreateReactionRequest { parent: message.to_owned(), reaction: Some(reaction) };
    stub.create_reaction(request).await.map(tonic::Response::into_inner)
}

fn list(message: &str, filter: &str) -> ListReactionsRequest {
    let (parent, filter) = (message.to_owned(), filter.to_owned());
    ListReactionsRequest { parent, filter, ..ListReactionsRequest::default() }
}

#[tokio::test]
async fn reactions_come_once_each_and_go() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (name, mut alice, mut bob) = message(&emulator, wire).await;
        let made = react(&mut alice, &name, "👍").await.unwrap();
        assert!(made.name.starts_with(&format!("{name}/reactions/")), "{wire}: {}", made.name);
        assert_eq!(react(&mut alice, &name, "👍").await.unwrap_err().code(), Code::AlreadyExists, "{wire}");
        react(&mut bob, &name, "👍").await.unwrap();
        react(&mut bob, &name, "👨‍👩‍👧").await.unwrap();
        let request = GetMessageRequest { name: name.clone(), ..GetMessageRequest::default() };
        let shown = bob.get_message(request).await.unwrap().into_inner().emoji_reaction_summaries;
        let counts: Vec<_> = shown.iter().map(|one| one.reaction_count()).collect();
        assert_eq!(counts, [2, 1], "{wire}");
        for (filter, count) in [
            ("", 3),
            ("emoji.unicode = \"👍\"", 2),
            ("user.name = \"users/bob@example.com\"", 2),
            ("(emoji.unicode = \"👍\" OR emoji.unicode = \"👨‍👩‍👧\") AND user.name = \"users/bob@example.com\"", 2),
            ("emoji.custom_emoji.uid = \"x\"", 0),
        ] {
            let found = bob.list_reactions(list(&name, filter)).await.unwrap().into_inner().reactions;
            assert_eq!(found.len(), count, "{wire} {filter}");
        }
        let first = ListReactionsRequest { page_size: 2, ..list(&name, "") };
        let page = bob.list_reactions(first.clone()).await.unwrap().into_inner();
        let rest = ListReactionsRequest { page_token: page.next_page_token, ..first };
        assert_eq!(bob.list_reactions(rest).await.unwrap().into_inner().reactions.len(), 1, "{wire}");
        let wrong = "emoji.unicode = \"👍\" OR user.name = \"users/1\"";
        assert_eq!(bob.list_reactions(list(&name, wrong)).await.unwrap_err().code(), Code::InvalidArgument, "{wire}");

        // A reaction is removed by who gave it, by any name of its message.
        let delete = |name: String| DeleteReactionRequest { name };
        assert_eq!(bob.delete_reaction(delete(made.name.clone())).await.unwrap_err().code(), Code::PermissionDenied);
        let id = made.name.rsplit('/').next().unwrap();
        let (space, _) = name.split_once("/messages/").unwrap();
        let alias = format!("{space}/messages/client-1/reactions/{id}");
        alice.delete_reaction(delete(alias)).await.unwrap();
        assert_eq!(
            alice.delete_reaction(delete(made.name.clone())).await.unwrap_err().code(),
            Code::NotFound,
            "{wire}"
        );
        let mut mallory = stub(&emulator, wire, "user:mallory@example.com");
        assert_eq!(react(&mut mallory, &name, "👍").await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
    }
}

#[tokio::test]
async fn what_is_no_emoji_is_no_reaction() {
    let emulator = emulator().await;
    let (name, mut alice, _) = message(&emulator, Wire::HttpJson).await;
    for emoji in ["", "ok", &"👍".repeat(40)] {
        let status = react(&mut alice, &name, emoji).await.unwrap_err();
        assert!(status.message().contains("reaction.emoji.unicode must be one emoji"), "{emoji}: {status}");
    }
    let custom =
        Emoji { content: Some(Content::CustomEmoji(CustomEmoji { uid: "x".to_owned(), ..CustomEmoji::default() })) };
    for (reaction, problem) in [
        (None, "reaction is required"),
        (Some(Reaction::default()), "reaction.emoji is required"),
        (Some(Reaction { emoji: Some(custom), ..Reaction::default() }), "reaction.emoji.custom_emoji.uid is not known"),
    ] {
        let status = alice.create_reaction(CreateReactionRequest { parent: name.clone(), reaction }).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{status}");
    }
    let missing = name.replace("messages/", "messages/x");
    assert_eq!(react(&mut alice, &missing, "👍").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn no_reaction_is_left_out_when_another_goes_between_two_pages() {
    let emulator = emulator().await;
    let (name, mut alice, mut bob) = message(&emulator, Wire::Grpc).await;
    let first = react(&mut alice, &name, "👍").await.unwrap();
    let second = react(&mut bob, &name, "👍").await.unwrap();
    let list = |page_token: String| ListReactionsRequest { page_size: 1, page_token, ..list(&name, "") };
    let page = alice.list_reactions(list(String::new())).await.unwrap().into_inner();
    assert_eq!(page.reactions, std::slice::from_ref(&first));
    alice.delete_reaction(DeleteReactionRequest { name: first.name }).await.unwrap();
    let third = react(&mut alice, &name, "🎉").await.unwrap();
    let page = alice.list_reactions(list(page.next_page_token)).await.unwrap().into_inner();
    assert_eq!(page.reactions, [second]);
    let page = alice.list_reactions(list(page.next_page_token)).await.unwrap().into_inner();
    assert_eq!((page.reactions, &*page.next_page_token), (vec![third], ""));
}
