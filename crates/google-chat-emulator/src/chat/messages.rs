//! Messages: what becomes of those that are created, read, changed and deleted.
//!
//! Sources: the comments of the official protos on `Message` and its requests.

use google_chat::proto::google::chat::v1::{
    Attachment, AttachmentDataRef, CreateMessageRequest, DeleteMessageRequest, DeletionMetadata, ForwardedMetadata,
    GetMessageRequest, ListMessagesRequest, ListMessagesResponse, Message, QuotedMessageMetadata,
    QuotedMessageSnapshot, Space, Thread, UpdateMessageRequest, attachment::DataRef,
    create_message_notification_options::NotificationType, deletion_metadata::DeletionType, membership::MembershipRole,
    quoted_message_metadata::QuoteType, space::SpaceThreadingState,
};
use prost::Message as _;
use prost_types::Timestamp;
use tonic::Status;

use super::{
    access::Caller,
    cards,
    conversation::Post,
    filter::MESSAGES,
    members::user_of,
    mentions,
    names::{self, MESSAGE, member_id},
    page::{Page, Position, micros},
    reactions, refusal,
    room::{Room, microseconds},
    rules::Violations,
    store::Store,
    threads::{self, Target},
    uploads::Upload,
};
use crate::{Settings, identity::Identity};

/// The largest message, in bytes.
const BYTES: usize = 32_000;
/// The longest id that a client gives, in characters.
const ID: usize = 63;
/// How many attachments a message may have. It is the emulator's own limit.
const ATTACHMENTS: usize = 100;

const ATTACHMENT: &str = "spaces/{space}/messages/{message}/attachments/{attachment}";

/// Creates a message, or returns the one that the request id made, as it is now.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT with every violation, ALREADY_EXISTS, or
/// RESOURCE_EXHAUSTED.
pub(super) fn create(
    store: &mut Store,
    request: CreateMessageRequest,
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<Message, Status> {
    let (at, _) = store.find("parent", &request.parent, caller, now)?;
    if let Some((made_at, made)) = store.message_of_request(&request.request_id) {
        return match made.creator == caller.key() {
            true => store.shown(made_at, made, caller),
            false => Err(refusal::request_id_of_another_user()),
        };
    }
    let (room, conversation) = (store.room(at)?, store.conversation(at));
    let input = request.message.as_ref().ok_or_else(|| refusal::invalid_field("message", "is required"))?;
    let thread = Thread {
        thread_key: match input.thread.as_ref().map(|thread| thread.thread_key.clone()) {
            Some(key) if !key.is_empty() => key,
            #[allow(deprecated, reason = "clients may still send it")]
            _ => request.thread_key.clone(),
        },
        name: input.thread.as_ref().map(|thread| thread.name.clone()).unwrap_or_default(),
    };
    let target = threads::target(&room.space, conversation, &thread, request.message_reply_option())?;
    if !may_post(room, caller, &target) {
        return Err(refusal::not_allowed("post messages to this space"));
    }
    let new = New { at, target, id: &request.message_id, request_id: &request.request_id };
    let notification = request.create_message_notification_options.unwrap_or_default().notification_type();
    make(store, new, request.message.clone().unwrap_or_default(), notification, caller, now, settings)
}

/// What is known of a new message beside its content.
struct New<'r> {
    /// The place of its space.
    at: u64,
    target: Target,
    /// The id that the client gives it, if it does.
    id: &'r str,
    request_id: &'r str,
}

fn make(
    store: &mut Store,
    new: New<'_>,
    input: Message,
    notification: NotificationType,
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<Message, Status> {
    let room = store.room(new.at)?;
    let conversation = store.conversation(new.at);
    let mut violations = Violations::default();
    check_id(&mut violations, new.id);
    check_app_only(&mut violations, &input, caller);
    check_content(&mut violations, &input, settings);
    let silent = notification == NotificationType::Silent;
    if notification != NotificationType::None && !caller.may_as_app() {
        let field = "create_message_notification_options.notification_type";
        violations.add(field, "other than NOTIFICATION_TYPE_NONE is for apps only");
    }
    let viewer = input.private_message_viewer.as_ref().map(|viewer| member_id(&viewer.name));
    if let Some(viewer) = &viewer {
        if !input.attachment.is_empty() {
            violations.add("message.attachment", "cannot be part of a private message");
        }
        if viewer == "app" || room.role_of(viewer).is_none() {
            violations.add("message.private_message_viewer", "must be a person who is a member of the space");
        }
    }
    let created = match input.create_time.filter(|_| room.space.import_mode) {
        None => now,
        Some(time) => {
            let key = |time: &Timestamp| (time.seconds, time.nanos);
            let begin = room.space.create_time.unwrap_or_default();
            if key(&time) < key(&begin) || key(&time) > key(&now) || !(0..1_000_000_000).contains(&time.nanos) {
                violations.add("message.create_time", "must be between the space's create_time and now");
            }
            time
        }
    };
    let place = conversation.next();
    let own = store.id((new.at, place));
    let (thread, first) = match &new.target {
        Target::New { key } => {
            let name = format!("{}/threads/{own}", room.space.name);
            (Thread { name, thread_key: key.clone() }, true)
        }
        Target::Reply(name) => {
            let (_, root) = conversation.thread(name).next().ok_or_else(|| refusal::not_found("thread", name))?;
            (root.message.thread.clone().unwrap_or_default(), false)
        }
    };
    let quoted = quote(store, &mut violations, &input, room, &thread, first, caller);
    let name = format!("{}/messages/{}.{own}", room.space.name, thread.name.rsplit('/').next().unwrap_or_default());
    let uploads = find_uploads(store, &mut violations, &input, &[], &room.space.name, caller);
    violations.result()?;
    if !new.id.is_empty() && conversation.find(new.id).is_some() {
        return Err(refusal::id_taken("message", &format!("{}/messages/{}", room.space.name, new.id)));
    }
    check_mentions(room, caller, &input.text)?;
    let mut message = Message {
        sender: Some(user_of(&caller.member())),
        create_time: Some(microseconds(created)),
        thread_reply: !first && room.space.space_threading_state == SpaceThreadingState::ThreadedMessages as i32,
        thread: Some(thread),
        silent,
        client_assigned_message_id: new.id.to_owned(),
        private_message_viewer: viewer.map(|viewer| user_of(&viewer)),
        quoted_message_metadata: quoted,
        attachment: uploads.iter().map(|upload| upload.attachment(&name)).collect(),
        name,
        ..content(input)
    };
    mentions::derive(&mut message);
    let post = Post { message, creator: caller.key(), request_id: new.request_id.to_owned(), ..Post::default() };
    store.put_post(new.at, place, post)?;
    store.shown_at(new.at, place, caller)
}

/// A message that the caller may see.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn get(
    store: &mut Store,
    request: &GetMessageRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<Message, Status> {
    let (at, place) = find(store, "name", &request.name, caller, now)?;
    store.shown_at(at, place, caller)
}

/// Lists the messages of a space.
///
/// # Errors
///
/// As [`get`].
pub(super) fn list(
    store: &mut Store,
    request: &ListMessagesRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<ListMessagesResponse, Status> {
    let (at, _) = store.find("parent", &request.parent, caller, now)?;
    let ListMessagesRequest { parent, filter, order_by, show_deleted, .. } = request;
    let page =
        Page::new(request.page_size, &request.page_token, (25, 1_000), (parent, filter, order_by, show_deleted))?;
    let newest_first = match order_by.trim().to_ascii_lowercase().as_str() {
        "" | "asc" | "create_time" | "create_time asc" | "createtime" | "createtime asc" => false,
        "desc" | "create_time desc" | "createtime desc" => true,
        _ => return Err(refusal::invalid_field("order_by", "must be ASC or DESC, which is of create_time")),
    };
    let filter = MESSAGES.parse(filter)?;
    let takes = |post: &Post| {
        (*show_deleted || !post.is_deleted())
            && is_visible(post, caller)
            && filter.takes(&|condition| match condition.field {
                "thread.name" => condition.holds_for_text(post.thread()),
                _ => condition.holds_for_time(post.message.create_time.as_ref()),
            })
    };
    let posts = store.conversation(at).posts().filter(|(_, post)| takes(post));
    let mut posts: Vec<_> = posts.map(|(place, post)| (position(place, post, newest_first), place)).collect();
    posts.sort_unstable();
    let (places, next_page_token) = page.cut(posts.into_iter());
    let messages = places.into_iter().map(|place| store.shown_at(at, place, caller)).collect::<Result<_, _>>()?;
    Ok(ListMessagesResponse { messages, next_page_token })
}

/// Where a message stands in a list by its time. Imported ones have times of the past.
fn position(place: u64, post: &Post, newest_first: bool) -> Position {
    let position = (micros(post.message.create_time), place);
    if newest_first { (u64::MAX - position.0, u64::MAX - position.1) } else { position }
}

/// Changes what the mask names of a message, or creates it.
///
/// # Errors
///
/// As [`create`].
pub(super) fn update(
    store: &mut Store,
    request: UpdateMessageRequest,
    paths: &[String],
    caller: &Caller,
    now: Timestamp,
    settings: &Settings,
) -> Result<Message, Status> {
    let input = request.message.ok_or_else(|| refusal::invalid_field("message", "is required"))?;
    let name = input.name.clone();
    let (at, place) = match find(store, "message.name", &name, caller, now) {
        Err(status) if request.allow_missing && status.code() == tonic::Code::NotFound => {
            let [space, id] = names::variables("message.name", &name, MESSAGE)?;
            let (at, room) = store.find("message.name", &format!("spaces/{space}"), caller, now)?;
            let target = Target::New { key: String::new() };
            if !may_post(room, caller, &target) {
                return Err(refusal::not_allowed("post messages to this space"));
            }
            if !id.starts_with("client-") {
                let problem = "must have an id that a client gives (client-…), where allow_missing is to create it";
                return Err(refusal::invalid_field("message.name", problem));
            }
            let new = New { at, target, id, request_id: "" };
            return make(store, new, input, NotificationType::None, caller, now, settings);
        }
        found => found?,
    };
    let room = store.room(at)?;
    let before = store.conversation(at).post(place).ok_or_else(|| refusal::not_found("message", &name))?;
    if before.creator != caller.key() {
        return Err(refusal::not_allowed("update a message that somebody else has created"));
    }
    let mut violations = Violations::default();
    let all = paths.iter().any(|path| path == "*");
    let has = |path: &str| paths.iter().any(|one| one == path) || all;
    check_update_mask(&mut violations, paths, &input);
    let named = Message {
        cards_v2: if has("cards_v2") { input.cards_v2.clone() } else { Vec::new() },
        accessory_widgets: if has("accessory_widgets") { input.accessory_widgets.clone() } else { Vec::new() },
        attachment: if has("attachment") { input.attachment.clone() } else { Vec::new() },
        ..Message::default()
    };
    check_app_only(&mut violations, &named, caller);
    let kept = &before.message.attachment;
    let uploads = find_uploads(store, &mut violations, &named, kept, &room.space.name, caller);
    let mut post = before.clone();
    let message = &mut post.message;
    let app = caller.may_as_app();
    if has("text") {
        check_mentions(room, caller, &input.text)?;
        (message.text, message.markup_syntax) = (input.text, input.markup_syntax);
    }
    if has("attachment") {
        let named = |one: &str| named.attachment.iter().any(|attachment| attachment.name == one);
        message.attachment.retain(|one| named(&one.name));
        message.attachment.extend(uploads.iter().map(|upload| upload.attachment(&message.name)));
    }
    if has("cards_v2") && app {
        (message.cards_v2, message.fallback_text) = (input.cards_v2, input.fallback_text);
    }
    #[allow(deprecated, reason = "clients may still send it")]
    if has("cards") && app {
        message.cards = input.cards;
    }
    if has("accessory_widgets") && app {
        message.accessory_widgets = input.accessory_widgets;
    }
    if has("quoted_message_metadata") && input.quoted_message_metadata.is_none() {
        message.quoted_message_metadata = None;
    }
    message.last_update_time = Some(microseconds(now));
    mentions::derive(message);
    check_content(&mut violations, message, settings);
    violations.result()?;
    store.put_post(at, place, post)?;
    store.shown_at(at, place, caller)
}

fn check_update_mask(violations: &mut Violations, paths: &[String], input: &Message) {
    const PATHS: [&str; 7] =
        ["*", "text", "attachment", "cards", "cards_v2", "accessory_widgets", "quoted_message_metadata"];
    if paths.is_empty() {
        violations.add("update_mask", "is required");
    }
    for path in paths.iter().filter(|path| !PATHS.contains(&path.as_str())) {
        violations.add("update_mask", format!("{} cannot be updated", refusal::quoted(path)));
    }
    let quoted = paths.iter().any(|path| path == "quoted_message_metadata");
    if quoted && input.quoted_message_metadata.is_some() {
        violations.add("message.quoted_message_metadata", "can be removed, and not changed");
    }
}

/// Deletes a message: its content goes, and that it was deleted stays. With `force` a user
/// deletes its replies, too.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT, or FAILED_PRECONDITION if it has replies.
pub(super) fn delete(
    store: &mut Store,
    request: &DeleteMessageRequest,
    caller: &Caller,
    now: Timestamp,
) -> Result<(), Status> {
    let (at, place) = find(store, "name", &request.name, caller, now)?;
    let (room, conversation) = (store.room(at)?, store.conversation(at));
    let post = conversation.post(place).ok_or_else(|| refusal::not_found("message", &request.name))?;
    let kind = deletion(room, post, caller)?;
    let mut gone = vec![place];
    let root = conversation.thread(post.thread()).next().is_some_and(|(first, _)| first == place);
    if root && !caller.is_app() {
        let replies = conversation.thread(post.thread()).skip(1).filter(|(_, reply)| !reply.is_deleted());
        gone.extend(replies.map(|(place, _)| place));
        if gone.len() > 1 && !request.force {
            let problem = format!("{} has replies; delete it with force to delete them, too", request.name);
            return Err(refusal::failed_precondition(&problem));
        }
    }
    for place in gone {
        let Some(post) = store.conversation(at).post(place) else { continue };
        let Post { message, creator, request_id, .. } = post.clone();
        let left = Message {
            name: message.name,
            sender: message.sender,
            create_time: message.create_time,
            last_update_time: message.last_update_time,
            delete_time: Some(microseconds(now)),
            thread: message.thread,
            thread_reply: message.thread_reply,
            client_assigned_message_id: message.client_assigned_message_id,
            private_message_viewer: message.private_message_viewer,
            deletion_metadata: Some(DeletionMetadata { deletion_type: kind as i32 }),
            ..Message::default()
        };
        store.put_post(at, place, Post { message: left, creator, request_id, ..Post::default() })?;
    }
    Ok(())
}

/// How the caller deletes a message, if it may.
fn deletion(room: &Room, post: &Post, caller: &Caller) -> Result<DeletionType, Status> {
    let own = post.creator == caller.key();
    match room.role(caller) {
        _ if own && caller.is_app() => Ok(DeletionType::Creator),
        _ if own => Ok(DeletionType::CreatorViaApp),
        _ if caller.is_app() => Err(refusal::not_allowed("delete a message that it has not created")),
        Some(MembershipRole::RoleManager | MembershipRole::RoleAssistantManager) => Ok(DeletionType::SpaceOwnerViaApp),
        // People delete what apps say to them.
        Some(_) if post.creator == Identity::App.key() => Ok(DeletionType::SpaceMember),
        _ => Err(refusal::not_allowed("delete a message that somebody else has created")),
    }
}

/// The places of a message's space and of the message, which is there and which the caller
/// may see.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn find(
    store: &mut Store,
    field: &str,
    name: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(u64, u64), Status> {
    let [space, id] = names::variables(field, name, MESSAGE)?;
    let (at, _) = store.find(field, &format!("spaces/{space}"), caller, now)?;
    let found = store.conversation(at).find(id);
    let found = found.filter(|(_, post)| !post.is_deleted() && is_visible(post, caller));
    found.map(|(place, _)| (at, place)).ok_or_else(|| refusal::not_found("message", name))
}

/// An attachment of a message.
///
/// # Errors
///
/// NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT.
pub(super) fn attachment(store: &mut Store, name: &str, caller: &Caller, now: Timestamp) -> Result<Attachment, Status> {
    let [space, message, id] = names::variables("name", name, ATTACHMENT)?;
    let (at, place) = find(store, "name", &format!("spaces/{space}/messages/{message}"), caller, now)?;
    let post = store.conversation(at).post(place);
    // The message may be named by the id that a client gave it.
    let found =
        post.and_then(|post| post.message.attachment.iter().find(|one| one.name.rsplit('/').next() == Some(id)));
    found.cloned().ok_or_else(|| refusal::not_found("attachment", name))
}

/// Whether the caller may see a message: a private one is its viewer's and the app's, and the
/// scope that reads every message of a space does not read it.
pub(super) fn is_visible(post: &Post, caller: &Caller) -> bool {
    let Some(viewer) = &post.message.private_message_viewer else { return true };
    match caller.is_app() {
        true => caller.has("chat.bot") && caller.method != "ListMessages",
        false => post.creator == caller.key() || viewer.name == format!("users/{}", caller.member()),
    }
}

/// Whether the caller may post a message. Whoever imports says what others have said.
fn may_post(room: &Room, caller: &Caller, target: &Target) -> bool {
    if room.space.import_mode {
        return caller.imports() || room.creator == caller.key();
    }
    match target {
        Target::New { .. } => room.allows(caller, |settings| settings.post_messages),
        Target::Reply(_) => room.allows(caller, |settings| settings.reply_messages),
    }
}

fn check_id(violations: &mut Violations, id: &str) {
    let fits = id.starts_with("client-")
        && id.chars().count() <= ID
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !id.is_empty() && !fits {
        let problem =
            format!("must begin with client-, and have at most {ID} characters: lowercase letters, digits and hyphens");
        violations.add("message_id", problem);
    }
}

/// What of a message is for apps, and not for users.
fn check_app_only(violations: &mut Violations, message: &Message, caller: &Caller) {
    if caller.may_as_app() {
        return;
    }
    const PROBLEM: &str = "requires app authentication; authenticate as the Chat app";
    #[allow(deprecated, reason = "clients may still send it")]
    if !message.cards_v2.is_empty() || !message.cards.is_empty() {
        violations.add("message.cards_v2", PROBLEM);
    }
    if !message.accessory_widgets.is_empty() {
        violations.add("message.accessory_widgets", PROBLEM);
    }
    if message.private_message_viewer.is_some() {
        violations.add("message.private_message_viewer", PROBLEM);
    }
}

/// Whether there is anything in a message, and not too much.
fn check_content(violations: &mut Violations, message: &Message, settings: &Settings) {
    #[allow(deprecated, reason = "clients may still send it")]
    let empty = message.text.is_empty()
        && message.cards_v2.is_empty()
        && message.cards.is_empty()
        && message.attachment.is_empty();
    if empty {
        violations.add("message", "must have text, cards or an attachment");
    }
    let own = Message {
        text: message.text.clone(),
        cards_v2: message.cards_v2.clone(),
        accessory_widgets: message.accessory_widgets.clone(),
        fallback_text: message.fallback_text.clone(),
        ..Message::default()
    };
    let size = own.encoded_len();
    if size > BYTES {
        violations.add("message", format!("has {size} bytes; at most {BYTES} are allowed"));
    }
    let characters = message.text.chars().count();
    if let Some(most) = settings.text_characters.filter(|most| characters > *most as usize) {
        violations.add("message.text", format!("has {characters} characters; at most {most} are allowed"));
    }
    cards::check(violations, &message.cards_v2);
    cards::check_accessories(violations, &message.accessory_widgets);
}

fn check_mentions(room: &Room, caller: &Caller, text: &str) -> Result<(), Status> {
    let all = mentions::of(text).any(|mention| mention.user == "all");
    let may = !all || room.allows(caller, |settings| settings.use_at_mention_all) || room.space.import_mode;
    if may { Ok(()) } else { Err(refusal::not_allowed("mention all members of this space")) }
}

/// What a new message keeps of what the client sent: the rest is the server's to say.
fn content(input: Message) -> Message {
    #[allow(deprecated, reason = "clients may still send it")]
    Message {
        text: input.text,
        cards: input.cards,
        cards_v2: input.cards_v2,
        fallback_text: input.fallback_text,
        accessory_widgets: input.accessory_widgets,
        markup_syntax: input.markup_syntax,
        ..Message::default()
    }
}

/// The uploads that a message's attachments name by their tokens. Those that the message has
/// already are named by their names.
fn find_uploads<'s>(
    store: &'s Store,
    violations: &mut Violations,
    input: &Message,
    kept: &[Attachment],
    space: &str,
    caller: &Caller,
) -> Vec<&'s Upload> {
    let count = input.attachment.len();
    if count > ATTACHMENTS {
        let problem = format!("has {count} attachments; at most {ATTACHMENTS} are allowed");
        violations.add("message.attachment", problem);
        return Vec::new();
    }
    let mut found: Vec<&Upload> = Vec::new();
    let is_kept = |token: &str| kept.iter().any(|one| one.name.rsplit('/').next() == Some(token));
    for (at, attachment) in input.attachment.iter().enumerate() {
        if kept.iter().any(|one| one.name == attachment.name) {
            continue;
        }
        let token = match &attachment.data_ref {
            Some(DataRef::AttachmentDataRef(AttachmentDataRef { attachment_upload_token, .. })) => {
                attachment_upload_token
            }
            _ => "",
        };
        let field = format!("message.attachment[{at}].attachment_data_ref.attachment_upload_token");
        match store.upload(token) {
            Some(_) if is_kept(token) || found.iter().any(|upload| upload.token == *token) => {
                violations.add(&field, "names an upload that the message has already");
            }
            Some(upload) if upload.space == space && upload.creator == caller.key() => found.push(upload),
            _ if token.is_empty() => violations.add(&field, "is required"),
            _ => violations.add(&field, "is of no upload of the caller to this space"),
        }
    }
    found
}

/// What a message says of the message that it quotes, with a snapshot of that.
fn quote(
    store: &Store,
    violations: &mut Violations,
    input: &Message,
    room: &Room,
    thread: &Thread,
    first: bool,
    caller: &Caller,
) -> Option<QuotedMessageMetadata> {
    const FIELD: &str = "message.quoted_message_metadata";
    let mut quoted = input.quoted_message_metadata.clone()?;
    let found = store.message_by_name(&quoted.name).filter(|(at, post)| {
        let member = store.room(*at).is_ok_and(|of| of.space.name == room.space.name || of.role(caller).is_some());
        member && !post.is_deleted() && is_visible(post, caller)
    });
    let Some((at, post)) = found else {
        violations.add(&format!("{FIELD}.name"), "is of no message that the caller may see");
        return None;
    };
    let here = store.room(at).is_ok_and(|of| of.space.name == room.space.name);
    let root = store
        .conversation(at)
        .thread(post.thread())
        .next()
        .is_some_and(|(_, one)| one.message.name == post.message.name);
    let same_thread = here && post.thread() == thread.name;
    let problem = match quoted.quote_type() {
        QuoteType::Forward if here && root => Some("of the type FORWARD must be of another space, or a reply"),
        QuoteType::Forward => None,
        _ if first && !(here && root) => Some("must be the first message of a thread in this space"),
        _ if !first && !same_thread => Some("must be a message of the same thread"),
        _ => None,
    };
    if let Some(problem) = problem {
        violations.add(&format!("{FIELD}.name"), problem);
    }
    if quoted.last_update_time != post.message.last_update_time.or(post.message.create_time) {
        let problem = "must be the quoted message's last_update_time, or its create_time if it was never updated";
        violations.add(&format!("{FIELD}.last_update_time"), problem);
    }
    let forward = quoted.quote_type() == QuoteType::Forward;
    let message = &post.message;
    quoted.set_quote_type(if forward { QuoteType::Forward } else { QuoteType::Reply });
    quoted.name.clone_from(&message.name);
    quoted.quoted_message_snapshot = Some(QuotedMessageSnapshot {
        sender: message.sender.as_ref().map(|sender| sender.name.clone()).unwrap_or_default(),
        text: message.text.clone(),
        formatted_text: if forward { message.formatted_text.clone() } else { String::new() },
        annotations: if forward { message.annotations.clone() } else { Vec::new() },
        attachments: if forward { message.attachment.clone() } else { Vec::new() },
    });
    quoted.forwarded_metadata = None;
    if forward && let Ok(of) = store.room(at) {
        quoted.forwarded_metadata =
            Some(ForwardedMetadata { space: of.space.name.clone(), space_display_name: of.space.display_name.clone() });
    }
    Some(quoted)
}

/// A message as the caller gets to see it.
pub(super) fn shown(room: &Room, post: &Post, caller: &Caller) -> Message {
    // A user learns the name of the space alone.
    let space = match caller.is_app() {
        true => room.seen(caller),
        false => Space { name: room.space.name.clone(), ..Space::default() },
    };
    Message {
        space: Some(space),
        emoji_reaction_summaries: reactions::summaries(&post.reactions),
        ..post.message.clone()
    }
}
