//! Messages: who says what to whom, in which thread, and what becomes of it.

use std::time::Duration;

use crate::support::{Stub, WIRES, alice, create, emulator, stub};
use google_chat::{
    Space, Wire,
    proto::google::{
        apps::card::v1::{
            Button, ButtonList, Card, Columns, OnClick, OpenLink, SelectionInput, TextInput, TextParagraph, Widget,
            card::{CardHeader, Section},
            on_click,
            selection_input::SelectionItem,
            widget,
        },
        chat::v1::{
            AccessoryWidget, CardWithId, CreateMembershipRequest, CreateMessageNotificationOptions,
            CreateMessageRequest, DeleteMessageRequest, DeleteSpaceRequest, GetMessageRequest, GetSpaceRequest,
            ListMessagesRequest, Membership, Message, QuotedMessageMetadata, Thread, UpdateMessageRequest, User,
            accessory_widget,
            create_message_notification_options::NotificationType,
            create_message_request::MessageReplyOption::{self, ReplyMessageFallbackToNewThread, ReplyMessageOrFail},
            deletion_metadata::DeletionType,
            membership::MemberType,
            quoted_message_metadata::QuoteType,
            space::{PermissionSetting, PermissionSettings, PredefinedPermissionSettings, SpacePermissionSettings},
            user,
        },
    },
};
use google_chat_emulator::Emulator;
use prost_types::{FieldMask, Timestamp};
use tonic::{Code, Status};

fn text(text: &str) -> Message {
    Message { text: text.to_owned(), ..Message::default() }
}

fn to(space: &str, message: Message) -> CreateMessageRequest {
    CreateMessageRequest { parent: space.to_owned(), message: Some(message), ..CreateMessageRequest::default() }
}

async fn send(stub: &mut Stub, request: CreateMessageRequest) -> Result<Message, Status> {
    stub.create_message(request).await.map(tonic::Response::into_inner)
}

async fn say(stub: &mut Stub, space: &str, what: &str) -> Message {
    send(stub, to(space, text(what))).await.unwrap()
}

async fn reply(stub: &mut Stub, to_message: &Message, what: &str) -> Message {
    let space = to_message.name.split("/messages/").next().unwrap();
    let message = Message { thread: to_message.thread.clone(), ..text(what) };
    let option = ReplyMessageOrFail as i32;
    send(stub, CreateMessageRequest { message_reply_option: option, ..to(space, message) }).await.unwrap()
}

async fn get(stub: &mut Stub, name: &str) -> Result<Message, Code> {
    let request = GetMessageRequest { name: name.to_owned(), ..GetMessageRequest::default() };
    stub.get_message(request).await.map(tonic::Response::into_inner).map_err(|status| status.code())
}

async fn list(stub: &mut Stub, space: &str, filter: &str, order_by: &str) -> Vec<String> {
    let request = ListMessagesRequest {
        parent: space.to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        ..ListMessagesRequest::default()
    };
    let messages = stub.list_messages(request).await.unwrap().into_inner().messages;
    messages.into_iter().map(|message| message.text).collect()
}

async fn update(stub: &mut Stub, message: Message, paths: &[&str]) -> Result<Message, Status> {
    let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateMessageRequest { message: Some(message), update_mask, allow_missing: false };
    stub.update_message(request).await.map(tonic::Response::into_inner)
}

async fn delete(stub: &mut Stub, name: &str, force: bool) -> Result<(), Code> {
    let request = DeleteMessageRequest { name: name.to_owned(), force };
    stub.delete_message(request).await.map(drop).map_err(|status| status.code())
}

async fn join(stub: &mut Stub, space: &str, names: &[&str]) {
    for name in names {
        let kind = if *name == "app" { user::Type::Bot } else { user::Type::Human };
        let user = User { name: format!("users/{name}"), r#type: kind as i32, ..User::default() };
        let membership = Membership { member_type: Some(MemberType::Member(user)), ..Membership::default() };
        let request = CreateMembershipRequest {
            parent: space.to_owned(),
            membership: Some(membership),
            ..CreateMembershipRequest::default()
        };
        stub.create_membership(request).await.unwrap();
    }
}

/// A space of Alice's with Bob and the app, for each of which there is a stub.
async fn room(emulator: &Emulator, wire: Wire) -> (Space, Stub, Stub, Stub) {
    let mut alice = alice(emulator, wire);
    let space = create(&mut alice, Space::named("a")).await;
    join(&mut alice, &space.name, &["bob@example.com", "app"]).await;
    (space, alice, stub(emulator, wire, "user:bob@example.com"), stub(emulator, wire, "app"))
}

#[tokio::test]
async fn a_message_is_its_senders_in_a_thread_of_its_own() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, mut app) = room(&emulator, wire).await;
        // What the server says, nobody else does.
        let claimed = Message {
            name: "spaces/x/messages/y".to_owned(),
            sender: Some(User { name: "users/1".to_owned(), ..User::default() }),
            create_time: Some(Timestamp { seconds: 1, nanos: 0 }),
            formatted_text: "x".to_owned(),
            thread_reply: true,
            silent: true,
            ..text("Hello <users/bob@example.com>")
        };
        let made = send(&mut alice, to(&space.name, claimed)).await.unwrap();
        let sender = made.sender.clone().unwrap();
        assert_eq!((sender.r#type(), sender.name.len()), (user::Type::Human, 27), "{wire}: {sender:?}");
        assert_eq!((&*made.formatted_text, made.annotations.len()), (&*made.text, 1), "{wire}");
        assert!(!made.thread_reply && !made.silent && made.create_time.unwrap().seconds > 1_000_000_000, "{wire}");
        let thread = made.thread.clone().unwrap().name;
        let id = thread.strip_prefix(&format!("{}/threads/", space.name)).unwrap();
        assert_eq!(made.name, format!("{}/messages/{id}.{id}", space.name), "{wire}");
        assert_eq!(made.space, Some(Space { name: space.name.clone(), ..Space::default() }), "{wire}");

        assert_eq!(get(&mut bob, &made.name).await.unwrap(), made, "{wire}");
        let seen = get(&mut app, &made.name).await.unwrap();
        assert_eq!(seen.space.unwrap().display_name, "a", "{wire}: apps see the space");
        let mut mallory = stub(&emulator, wire, "user:mallory@example.com");
        assert_eq!(get(&mut mallory, &made.name).await, Err(Code::PermissionDenied), "{wire}");
        assert_eq!(get(&mut bob, &format!("{}/messages/x", space.name)).await, Err(Code::NotFound), "{wire}");
        let by_app = say(&mut app, &space.name, "I am an app").await;
        assert_eq!(by_app.sender.unwrap().r#type(), user::Type::Bot, "{wire}");
        let request = GetSpaceRequest { name: space.name.clone(), use_admin_access: false };
        let active = alice.get_space(request).await.unwrap().into_inner().last_active_time;
        assert_eq!(active, by_app.create_time, "{wire}");
    }
}

#[tokio::test]
async fn replies_go_to_their_thread() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, mut app) = room(&emulator, wire).await;
        let root = say(&mut alice, &space.name, "root").await;
        let answer = reply(&mut bob, &root, "answer").await;
        assert_eq!((&answer.thread, answer.thread_reply), (&root.thread, true), "{wire}");
        let in_thread = |name: &str, key: &str, option: MessageReplyOption| CreateMessageRequest {
            message_reply_option: option as i32,
            ..to(
                &space.name,
                Message { thread: Some(Thread { name: name.to_owned(), thread_key: key.to_owned() }), ..text("x") },
            )
        };
        // Without an option, a new thread begins, whatever else is said.
        let ignored = in_thread(&root.thread.as_ref().unwrap().name, "k", MessageReplyOption::Unspecified);
        let ignored = send(&mut bob, ignored).await.unwrap();
        assert!(ignored.thread != root.thread && !ignored.thread_reply, "{wire}");
        // A key makes a thread once, for all callers of the app.
        let keyed = send(&mut app, in_thread("", "incident-7", ReplyMessageOrFail)).await.unwrap();
        assert_eq!((&*keyed.thread.as_ref().unwrap().thread_key, keyed.thread_reply), ("incident-7", false), "{wire}");
        #[allow(deprecated, reason = "it is what is tested")]
        let old = CreateMessageRequest {
            thread_key: "incident-7".to_owned(),
            message_reply_option: ReplyMessageFallbackToNewThread as i32,
            ..to(&space.name, text("x"))
        };
        let again = send(&mut alice, old).await.unwrap();
        assert_eq!((&again.thread, again.thread_reply), (&keyed.thread, true), "{wire}");
        let missing = format!("{}/threads/none", space.name);
        let failed = send(&mut alice, in_thread(&missing, "", ReplyMessageOrFail)).await.unwrap_err();
        assert!(failed.code() == Code::NotFound && failed.message().contains(&missing), "{wire}: {failed}");
        let fallen = send(&mut alice, in_thread(&missing, "", ReplyMessageFallbackToNewThread)).await.unwrap();
        assert!(!fallen.thread_reply, "{wire}");
        let filter = format!("thread.name = {}", root.thread.unwrap().name);
        assert_eq!(list(&mut bob, &space.name, &filter, "").await, ["root", "answer"], "{wire}");
    }
}

#[tokio::test]
async fn a_message_is_replayed_by_its_request_id_and_found_by_its_own() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, _) = room(&emulator, wire).await;
        let request = |message_id: &str, request_id: &str, what: &str| CreateMessageRequest {
            message_id: message_id.to_owned(),
            request_id: request_id.to_owned(),
            ..to(&space.name, text(what))
        };
        let made = send(&mut alice, request("client-a-1", "one", "first")).await.unwrap();
        assert_eq!(made.client_assigned_message_id, "client-a-1", "{wire}");
        assert_eq!(send(&mut alice, request("", "one", "second")).await.unwrap(), made, "{wire}");
        let other = send(&mut bob, request("", "one", "second")).await.unwrap_err();
        assert!(other.message().contains("already used by another user"), "{wire}: {other}");
        let alias = format!("{}/messages/client-a-1", space.name);
        assert_eq!(get(&mut bob, &alias).await.unwrap(), made, "{wire}");
        let taken = send(&mut alice, request("client-a-1", "two", "third")).await.unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists, "{wire}: {taken}");
        assert_eq!(delete(&mut alice, &alias, false).await, Ok(()), "{wire}");
        let used = send(&mut alice, request("client-a-1", "three", "fourth")).await.unwrap_err();
        assert_eq!(used.code(), Code::AlreadyExists, "{wire}: an id is never that of another message");
        for id in ["a", "client-A", "client-a.b", &format!("client-{}", "a".repeat(57))] {
            let status = send(&mut alice, request(id, "", "x")).await.unwrap_err();
            assert!(status.message().contains("message_id must begin with client-"), "{wire} {id}: {status}");
        }
        send(&mut alice, request(&format!("client-{}", "a".repeat(56)), "", "x")).await.unwrap();
    }
}

fn widget(data: widget::Data) -> Widget {
    Widget { data: Some(data), ..Widget::default() }
}

fn button(clicked: bool) -> Button {
    let link = OnClick { data: Some(on_click::Data::OpenLink(OpenLink::default())) };
    Button { text: "Go".to_owned(), on_click: clicked.then(|| Box::new(link)), ..Button::default() }
}

fn card(id: &str, widgets: Vec<Widget>) -> CardWithId {
    let header = CardHeader { title: "Build 7".to_owned(), ..CardHeader::default() };
    let sections = vec![Section { widgets, ..Section::default() }];
    CardWithId { card_id: id.to_owned(), card: Some(Card { header: Some(header), sections, ..Card::default() }) }
}

fn paragraph(text: &str) -> Widget {
    widget(widget::Data::TextParagraph(TextParagraph { text: text.to_owned(), ..TextParagraph::default() }))
}

#[tokio::test]
async fn cards_are_for_apps() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, mut app) = room(&emulator, wire).await;
        let buttons = ButtonList { buttons: vec![button(true)] };
        let accessory = AccessoryWidget { action: Some(accessory_widget::Action::ButtonList(buttons.clone())) };
        let rich = Message {
            cards_v2: vec![card("", vec![paragraph("Failed"), widget(widget::Data::ButtonList(buttons))])],
            accessory_widgets: vec![accessory],
            fallback_text: "Build 7 failed".to_owned(),
            ..Message::default()
        };
        let made = send(&mut app, to(&space.name, rich.clone())).await.unwrap();
        assert_eq!((&made.cards_v2, &made.accessory_widgets), (&rich.cards_v2, &rich.accessory_widgets), "{wire}");
        assert_eq!(get(&mut alice, &made.name).await.unwrap().cards_v2, rich.cards_v2, "{wire}");
        let refused = send(&mut alice, to(&space.name, rich.clone())).await.unwrap_err();
        assert!(
            refused.code() == Code::InvalidArgument
                && refused.message().contains("message.cards_v2 requires app authentication")
                && refused.message().contains("message.accessory_widgets requires app authentication"),
            "{wire}: {refused}"
        );
        // The app's message is the app's to change.
        let change = Message { name: made.name.clone(), ..text("over") };
        assert_eq!(update(&mut bob, change.clone(), &["text"]).await.unwrap_err().code(), Code::PermissionDenied);
        let after = Message { cards_v2: vec![card("", vec![paragraph("Passed")])], ..change };
        let changed = update(&mut app, after.clone(), &["cards_v2", "text"]).await.unwrap();
        assert_eq!((&changed.cards_v2, &*changed.text), (&after.cards_v2, "over"), "{wire}");
        assert!(changed.last_update_time.is_some() && !changed.accessory_widgets.is_empty(), "{wire}");
    }
}

#[tokio::test]
async fn a_message_that_is_wrong_is_refused_with_its_field() {
    let emulator = emulator().await;
    let (space, _, _, mut app) = room(&emulator, Wire::HttpJson).await;
    let with = |cards_v2: Vec<CardWithId>| Message { cards_v2, ..Message::default() };
    let one = |data: widget::Data| with(vec![card("", vec![widget(data)])]);
    let items = vec![SelectionItem::default(); 101];
    let untitled = Card { header: Some(CardHeader::default()), ..Card::default() };
    let viewer = |name: &str| Some(User { name: name.to_owned(), ..User::default() });
    for (message, problem) in [
        (Message::default(), "message must have text, cards or an attachment"),
        (text(&"x".repeat(32_001)), "message has 32005 bytes; at most 32000 are allowed"),
        (
            with(vec![card("", vec![]), card("a", vec![])]),
            "message.cards_v2[0].card_id is required if a message has several",
        ),
        (with(vec![card("a", vec![paragraph("")]); 2]), "message.cards_v2[1].card_id a is that of another card, too"),
        (with(vec![CardWithId::default()]), "message.cards_v2[0].card is required"),
        (with(vec![card("", vec![])]), "message.cards_v2[0].card.sections[0].widgets must have at least one widget"),
        (
            with(vec![CardWithId { card: Some(untitled), ..CardWithId::default() }]),
            "message.cards_v2[0].card.header.title is required",
        ),
        (
            one(widget::Data::TextInput(TextInput::default())),
            "widgets[0].text_input.name is required; message.cards_v2[0].card.sections[0].widgets[0].text_input.label",
        ),
        (
            one(widget::Data::SelectionInput(SelectionInput { items, ..SelectionInput::default() })),
            "selection_input.items has 101 items; at most 100 are allowed",
        ),
        (
            one(widget::Data::Columns(Columns { column_items: vec![Default::default(); 3] })),
            "columns.column_items has 3 columns; at most 2 are allowed",
        ),
        (
            one(widget::Data::ButtonList(ButtonList { buttons: vec![button(true), button(false)] })),
            "button_list.buttons[1].on_click is required",
        ),
        (
            Message { private_message_viewer: viewer("users/carol@example.com"), ..text("x") },
            "message.private_message_viewer must be a person who is a member of the space",
        ),
        (
            Message { private_message_viewer: viewer("users/app"), ..text("x") },
            "message.private_message_viewer must be a person",
        ),
        (
            Message { attachment: vec![Default::default()], ..text("x") },
            "message.attachment[0].attachment_data_ref.attachment_upload_token is required",
        ),
    ] {
        let status = send(&mut app, to(&space.name, message)).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{problem}: {status}");
    }
    // The longest text that fits.
    say(&mut app, &space.name, &"x".repeat(31_996)).await;
    emulator.configure(|settings| settings.text_characters = Some(4_096));
    let status = send(&mut app, to(&space.name, text(&"é".repeat(4_097)))).await.unwrap_err();
    assert!(status.message().contains("message.text has 4097 characters; at most 4096 are allowed"), "{status}");
    say(&mut app, &space.name, &"é".repeat(4_096)).await;
    let none = CreateMessageRequest { parent: space.name.clone(), ..CreateMessageRequest::default() };
    assert!(send(&mut app, none).await.unwrap_err().message().contains("message is required"));
    // Ever so many faults make an error that a header can hold.
    let bad = vec![card("", vec![]); 300];
    let status = send(&mut app, to(&space.name, with(bad))).await.unwrap_err();
    assert!(status.details().len() < 4_096 && status.message().len() < 4_096, "{}", status.details().len());
}

#[tokio::test]
async fn a_private_message_is_seen_by_two() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, mut app) = room(&emulator, wire).await;
        let viewer = Some(User { name: "users/bob@example.com".to_owned(), ..User::default() });
        let private = Message { private_message_viewer: viewer, ..text("psst") };
        let refused = send(&mut alice, to(&space.name, private.clone())).await.unwrap_err();
        assert!(refused.message().contains("message.private_message_viewer requires app"), "{wire}: {refused}");
        let made = send(&mut app, to(&space.name, private)).await.unwrap();
        assert!(get(&mut bob, &made.name).await.is_ok() && get(&mut app, &made.name).await.is_ok(), "{wire}");
        assert_eq!(get(&mut alice, &made.name).await, Err(Code::NotFound), "{wire}");
        assert_eq!(list(&mut bob, &space.name, "", "").await, ["psst"], "{wire}");
        for stub in [&mut alice, &mut app] {
            assert_eq!(list(stub, &space.name, "", "").await, [""; 0], "{wire}");
        }
    }
}

#[tokio::test]
async fn notifications_are_forced_or_silenced_by_apps() {
    let emulator = emulator().await;
    let (space, mut alice, _, mut app) = room(&emulator, Wire::HttpJson).await;
    let with = |kind: NotificationType| CreateMessageRequest {
        create_message_notification_options: Some(CreateMessageNotificationOptions { notification_type: kind as i32 }),
        ..to(&space.name, text("x"))
    };
    for (kind, silent) in [(NotificationType::ForceNotify, false), (NotificationType::Silent, true)] {
        assert_eq!(send(&mut app, with(kind)).await.unwrap().silent, silent);
        let status = send(&mut alice, with(kind)).await.unwrap_err();
        assert!(status.message().contains("create_message_notification_options.notification_type"), "{status}");
    }
    send(&mut alice, with(NotificationType::None)).await.unwrap();
}

#[tokio::test]
async fn messages_are_changed_by_their_creators() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, _) = room(&emulator, wire).await;
        let made = say(&mut bob, &space.name, "befor").await;
        let change = Message { name: made.name.clone(), ..text("before") };
        assert_eq!(update(&mut alice, change.clone(), &["text"]).await.unwrap_err().code(), Code::PermissionDenied);
        let changed = update(&mut bob, change.clone(), &["text"]).await.unwrap();
        assert_eq!((&*changed.text, changed.create_time), ("before", made.create_time), "{wire}");
        assert!(changed.last_update_time.is_some(), "{wire}");
        let all = update(&mut bob, Message { text: "after".to_owned(), ..change.clone() }, &["*"]).await.unwrap();
        assert_eq!(all.text, "after", "{wire}");
        for (paths, message, problem) in [
            (&[] as &[&str], change.clone(), "update_mask is required"),
            (&["sender"], change.clone(), "update_mask sender cannot be updated"),
            (&["text"], Message { name: made.name.clone(), ..Message::default() }, "message must have text"),
            (
                &["cards_v2"],
                Message { cards_v2: vec![card("", vec![paragraph("")])], ..change.clone() },
                "message.cards_v2 requires app",
            ),
            (
                &["quoted_message_metadata"],
                Message { quoted_message_metadata: Some(QuotedMessageMetadata::default()), ..change.clone() },
                "message.quoted_message_metadata can be removed, and not changed",
            ),
        ] {
            let status = update(&mut bob, message, paths).await.unwrap_err();
            assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{wire}: {status}");
        }
        // What is missing can be made, where the client names it.
        let missing = |name: &str| UpdateMessageRequest {
            message: Some(Message { name: format!("{}/messages/{name}", space.name), ..text("new") }),
            update_mask: None,
            allow_missing: true,
        };
        let made = bob.update_message(missing("client-new")).await.unwrap().into_inner();
        assert_eq!((&*made.text, &*made.client_assigned_message_id), ("new", "client-new"), "{wire}");
        let status = bob.update_message(missing("other")).await.unwrap_err();
        assert!(status.message().contains("message.name must have an id that a client gives"), "{wire}: {status}");
        let request = UpdateMessageRequest { allow_missing: false, ..missing("client-none") };
        assert_eq!(bob.update_message(request).await.unwrap_err().code(), Code::NotFound, "{wire}");
    }
}

#[tokio::test]
async fn a_message_is_deleted_with_its_replies_by_force_alone() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, mut app) = room(&emulator, wire).await;
        let root = say(&mut bob, &space.name, "root").await;
        let by_app = reply(&mut app, &root, "reply").await;
        say(&mut alice, &space.name, "other").await;
        assert_eq!(delete(&mut app, &root.name, true).await, Err(Code::PermissionDenied), "{wire}");
        assert_eq!(delete(&mut bob, &root.name, false).await, Err(Code::FailedPrecondition), "{wire}");
        let hers = say(&mut alice, &space.name, "hers").await;
        assert_eq!(delete(&mut bob, &hers.name, false).await, Err(Code::PermissionDenied), "{wire}");
        assert_eq!(delete(&mut bob, &root.name, true).await, Ok(()), "{wire}");
        assert_eq!(get(&mut bob, &by_app.name).await, Err(Code::NotFound), "{wire}");
        assert_eq!(delete(&mut bob, &root.name, true).await, Err(Code::NotFound), "{wire}");
        // Managers delete what others say, and everybody what apps say.
        let his = say(&mut bob, &space.name, "his").await;
        assert_eq!(delete(&mut alice, &his.name, false).await, Ok(()), "{wire}");
        let apps = say(&mut app, &space.name, "app's").await;
        assert_eq!(delete(&mut bob, &apps.name, false).await, Ok(()), "{wire}");
        let own = say(&mut app, &space.name, "own").await;
        assert_eq!(delete(&mut app, &own.name, false).await, Ok(()), "{wire}");
        assert_eq!(list(&mut bob, &space.name, "", "").await, ["other", "hers"], "{wire}");
        let request = ListMessagesRequest { parent: space.name.clone(), show_deleted: true, ..Default::default() };
        let all = alice.list_messages(request).await.unwrap().into_inner().messages;
        let kinds: Vec<_> = all
            .iter()
            .filter_map(|message| {
                let metadata = message.deletion_metadata.as_ref()?;
                assert!(message.delete_time.is_some() && message.text.is_empty(), "{wire}: {message:?}");
                Some(metadata.deletion_type())
            })
            .collect();
        use DeletionType::{Creator, CreatorViaApp, SpaceMember, SpaceOwnerViaApp};
        assert_eq!(kinds, [CreatorViaApp, CreatorViaApp, SpaceOwnerViaApp, SpaceMember, Creator], "{wire}");
        assert_eq!(all.len(), 7, "{wire}");
    }
}

#[tokio::test]
async fn messages_are_listed_by_time_in_pages() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, _) = room(&emulator, wire).await;
        let mut times = Vec::new();
        for at in 0..5 {
            times.push(say(&mut alice, &space.name, &at.to_string()).await.create_time.unwrap());
            emulator.advance(Duration::from_secs(60));
        }
        let (second, fourth) = (times[1], times[3]);
        let filter = format!("create_time > \"{second}\" AND create_time < \"{fourth}\"");
        assert_eq!(list(&mut bob, &space.name, &filter, "").await, ["2"], "{wire} {filter}");
        assert_eq!(list(&mut bob, &space.name, &format!("createTime>\"{second}\""), "desc").await, ["4", "3", "2"]);
        assert_eq!(list(&mut bob, &space.name, "", "create_time DESC").await, ["4", "3", "2", "1", "0"], "{wire}");
        let (mut token, mut found, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let request = ListMessagesRequest {
                parent: space.name.clone(),
                page_size: 2,
                page_token: token,
                order_by: "DESC".to_owned(),
                ..ListMessagesRequest::default()
            };
            let page = bob.list_messages(request).await.unwrap().into_inner();
            found.extend(page.messages.into_iter().map(|message| message.text));
            (token, pages) = (page.next_page_token, pages + 1);
            // What is said in between is on no page that goes back in time.
            say(&mut alice, &space.name, "late").await;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((found, pages), (["4", "3", "2", "1", "0"].map(str::to_owned).to_vec(), 3), "{wire}");
        for (filter, order_by, page_size, problem) in [
            ("text = \"a\"", "", 0, "there is no field text to filter by"),
            ("", "sender", 0, "order_by must be ASC or DESC"),
            ("", "", -1, "page_size must not be negative"),
        ] {
            let request = ListMessagesRequest {
                parent: space.name.clone(),
                filter: filter.to_owned(),
                order_by: order_by.to_owned(),
                page_size,
                ..ListMessagesRequest::default()
            };
            let status = bob.list_messages(request).await.unwrap_err();
            assert!(status.code() == Code::InvalidArgument && status.message().contains(problem), "{wire}: {status}");
        }
    }
}

#[tokio::test]
async fn a_spaces_settings_say_who_posts_and_who_mentions_all() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let announcements = PredefinedPermissionSettings::AnnouncementSpace as i32;
        let permissions = SpacePermissionSettings::PredefinedPermissionSettings(announcements);
        let space =
            create(&mut alice, Space { space_permission_settings: Some(permissions), ..Space::named("news") }).await;
        join(&mut alice, &space.name, &["bob@example.com"]).await;
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        let news = say(&mut alice, &space.name, "news for <users/all>").await;
        let refused = send(&mut bob, to(&space.name, text("mine"))).await.unwrap_err();
        assert!(refused.message().contains("may not post messages to this space"), "{wire}: {refused}");
        reply(&mut bob, &news, "a reply").await;

        let managers = PermissionSetting { managers_allowed: true, ..PermissionSetting::default() };
        let settings = PermissionSettings { use_at_mention_all: Some(managers), ..PermissionSettings::default() };
        let permissions = SpacePermissionSettings::PermissionSettings(settings);
        let space =
            create(&mut alice, Space { space_permission_settings: Some(permissions), ..Space::named("quiet") }).await;
        join(&mut alice, &space.name, &["bob@example.com"]).await;
        let refused = send(&mut bob, to(&space.name, text("<users/all>"))).await.unwrap_err();
        assert!(refused.message().contains("may not mention all members"), "{wire}: {refused}");
        say(&mut bob, &space.name, "<users/alice@example.com>").await;
        let mut mallory = stub(&emulator, wire, "user:mallory@example.com");
        let refused = send(&mut mallory, to(&space.name, text("x"))).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{wire}");
    }
}

#[tokio::test]
async fn a_message_quotes_another() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, mut bob, _) = room(&emulator, wire).await;
        let first = say(&mut alice, &space.name, "first").await;
        let answer = reply(&mut alice, &first, "answer").await;
        let quote = |of: &Message, kind: QuoteType| Message {
            quoted_message_metadata: Some(QuotedMessageMetadata {
                name: of.name.clone(),
                last_update_time: of.last_update_time.or(of.create_time),
                quote_type: kind as i32,
                ..QuotedMessageMetadata::default()
            }),
            ..text("so it was said")
        };
        let made = send(&mut bob, to(&space.name, quote(&first, QuoteType::Unspecified))).await.unwrap();
        let quoted = made.quoted_message_metadata.clone().unwrap();
        assert_eq!(quoted.quoted_message_snapshot.unwrap().text, "first", "{wire}");
        let forwarded = send(&mut bob, to(&space.name, quote(&answer, QuoteType::Forward))).await.unwrap();
        let forwarded = forwarded.quoted_message_metadata.unwrap().forwarded_metadata.unwrap();
        assert_eq!((&forwarded.space, &*forwarded.space_display_name), (&space.name, "a"), "{wire}");
        let stale = Message { last_update_time: Some(Timestamp::default()), ..first.clone() };
        for (message, problem) in [
            (quote(&answer, QuoteType::Reply), "name must be the first message of a thread in this space"),
            (quote(&first, QuoteType::Forward), "name of the type FORWARD must be of another space, or a reply"),
            (quote(&stale, QuoteType::Reply), "last_update_time must be the quoted message's last_update_time"),
            (quote(&text(""), QuoteType::Reply), "name is of no message that the caller may see"),
        ] {
            let status = send(&mut bob, to(&space.name, message)).await.unwrap_err();
            let problem = format!("message.quoted_message_metadata.{problem}");
            assert!(status.message().contains(&problem), "{wire}: {status}");
        }
        let bare = Message { quoted_message_metadata: None, ..made };
        let removed = update(&mut bob, bare, &["quoted_message_metadata"]).await.unwrap();
        assert_eq!(removed.quoted_message_metadata, None, "{wire}");
    }
}

/// What was said elsewhere keeps its time and its author.
#[tokio::test]
async fn messages_are_imported_with_their_times() {
    for wire in WIRES {
        let emulator = emulator().await;
        let mut alice = alice(&emulator, wire);
        let mut bob = stub(&emulator, wire, "user:bob@example.com");
        let time = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
        let begun = Space { import_mode: true, create_time: time(1_500_000_000), ..Space::named("old") };
        let space = create(&mut alice, begun).await;
        let said = |seconds: i64, what: &str| to(&space.name, Message { create_time: time(seconds), ..text(what) });
        let second = send(&mut bob, said(1_500_000_200, "second")).await.unwrap();
        assert_eq!(second.create_time, time(1_500_000_200), "{wire}");
        send(&mut alice, said(1_500_000_100, "first")).await.unwrap();
        for seconds in [1_499_999_999, 253_402_300_799] {
            let status = send(&mut alice, said(seconds, "x")).await.unwrap_err();
            let problem = "message.create_time must be between the space's create_time and now";
            assert!(status.message().contains(problem), "{wire}: {status}");
        }
        assert_eq!(list(&mut alice, &space.name, "", "").await, ["first", "second"], "{wire}");
        let request = google_chat::proto::google::chat::v1::CompleteImportSpaceRequest { name: space.name.clone() };
        let done = alice.complete_import_space(request).await.unwrap().into_inner().space.unwrap();
        assert_eq!(done.last_active_time, second.create_time, "{wire}");
        // Then time is the server's, and who has no membership says nothing.
        let late = send(&mut alice, said(1_500_000_300, "late")).await.unwrap();
        assert!(late.create_time.unwrap().seconds > 1_700_000_000, "{wire}");
        assert_eq!(send(&mut bob, said(0, "x")).await.unwrap_err().code(), Code::PermissionDenied, "{wire}");
    }
}

#[tokio::test]
async fn messages_go_with_their_space() {
    for wire in WIRES {
        let emulator = emulator().await;
        let (space, mut alice, _, _) = room(&emulator, wire).await;
        let request = CreateMessageRequest { request_id: "one".to_owned(), ..to(&space.name, text("x")) };
        let made = send(&mut alice, request.clone()).await.unwrap();
        alice.delete_space(DeleteSpaceRequest { name: space.name, use_admin_access: false }).await.unwrap();
        assert_eq!(get(&mut alice, &made.name).await, Err(Code::NotFound), "{wire}");
        let other = create(&mut alice, Space::named("a")).await;
        let again = send(&mut alice, CreateMessageRequest { parent: other.name, ..request }).await.unwrap();
        assert_ne!(again.name, made.name, "{wire}: the request id is free");
    }
}
