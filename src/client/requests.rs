//! Constructors of what most calls send. Each request also has a generated `of`, which takes
//! what it requires.

use crate::proto::google::{
    apps::card::v1::Card,
    chat::v1::{
        Attachment, AttachmentDataRef, CardWithId, CreateMessageRequest, Group, Membership, Message, Space, Thread,
        User, attachment::DataRef, create_message_request::MessageReplyOption, membership::MemberType,
        space::SpaceType, user,
    },
};

impl Space {
    /// A named space: what most calls create.
    pub fn named(display_name: impl Into<String>) -> Self {
        Self { display_name: display_name.into(), space_type: SpaceType::Space as i32, ..Self::default() }
    }

    /// A direct message, to be set up with the one [`Membership`] of the other person.
    pub fn direct_message() -> Self {
        Self { space_type: SpaceType::DirectMessage as i32, ..Self::default() }
    }
}

impl User {
    /// A person, by an e-mail address or an id, with or without `users/`.
    pub fn person(user: impl AsRef<str>) -> Self {
        Self { name: in_collection("users/", user.as_ref()), r#type: user::Type::Human as i32, ..Self::default() }
    }

    /// The app that makes the call.
    pub fn app() -> Self {
        Self { name: "users/app".to_owned(), r#type: user::Type::Bot as i32, ..Self::default() }
    }
}

impl Membership {
    /// A person's membership, by an e-mail address or an id, with or without `users/`.
    ///
    /// ```
    /// use google_chat::{Membership, proto::google::chat::v1::CreateMembershipRequest};
    ///
    /// let request = CreateMembershipRequest::of("spaces/AAQAjCNSsU0", Membership::person("alice@example.com"));
    /// // chat.create_membership(request).await?
    /// # assert_eq!(request.parent, "spaces/AAQAjCNSsU0");
    /// ```
    pub fn person(user: impl AsRef<str>) -> Self {
        MemberType::Member(User::person(user)).into()
    }

    /// A Google Group's membership, by the group's id in the Cloud Identity API, with or without
    /// `groups/`.
    pub fn group(group: impl AsRef<str>) -> Self {
        MemberType::GroupMember(Group { name: in_collection("groups/", group.as_ref()) }).into()
    }

    /// The membership of the app that makes the call.
    pub fn app() -> Self {
        MemberType::Member(User::app()).into()
    }
}

impl From<MemberType> for Membership {
    fn from(member: MemberType) -> Self {
        Self { member_type: Some(member), ..Self::default() }
    }
}

impl Message {
    /// A message of text, with Google Chat's marks for bold and the like.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A message of one card. The id tells it from other cards of the message.
    pub fn card(id: impl Into<String>, card: Card) -> Self {
        Self { cards_v2: vec![CardWithId { card_id: id.into(), card: Some(card) }], ..Self::default() }
    }
}

impl CreateMessageRequest {
    /// A message of text in a space.
    ///
    /// ```
    /// use google_chat::CreateMessageRequest;
    ///
    /// let request = CreateMessageRequest::text("spaces/AAQAjCNSsU0", "The build is green.");
    /// // chat.create_message(request).await?
    /// # assert_eq!(request.message.unwrap().text, "The build is green.");
    /// ```
    pub fn text(space: impl Into<String>, text: impl Into<String>) -> Self {
        Self::of(space, Message::text(text))
    }

    /// A message of one card in a space.
    pub fn card(space: impl Into<String>, id: impl Into<String>, card: Card) -> Self {
        Self::of(space, Message::card(id, card))
    }

    /// The message as a reply in a thread, by its name: `spaces/{space}/threads/{thread}`. Where
    /// the space has no such thread, the call fails.
    #[must_use]
    pub fn in_thread(self, name: impl Into<String>) -> Self {
        let thread = Thread { name: name.into(), ..Thread::default() };
        self.reply(thread, MessageReplyOption::ReplyMessageOrFail)
    }

    /// The message in the thread that this app has given a key, which begins with the message if
    /// there is none.
    ///
    /// ```
    /// use google_chat::CreateMessageRequest;
    ///
    /// let alert = |text: &str| CreateMessageRequest::text("spaces/AAQAjCNSsU0", text).in_thread_of("incident-7");
    /// // chat.create_message(alert("The database is slow.")).await?;
    /// // chat.create_message(alert("It is fast again.")).await?;
    /// # assert_eq!(alert("a").message.unwrap().thread.unwrap().thread_key, "incident-7");
    /// ```
    #[must_use]
    pub fn in_thread_of(self, key: impl Into<String>) -> Self {
        let thread = Thread { thread_key: key.into(), ..Thread::default() };
        self.reply(thread, MessageReplyOption::ReplyMessageFallbackToNewThread)
    }

    /// The message with one more attachment: what was [uploaded](crate::Client::upload_file).
    ///
    /// ```no_run
    /// # async fn example(chat: google_chat::Client) -> Result<(), google_chat::Error> {
    /// use google_chat::CreateMessageRequest;
    ///
    /// let space = "spaces/AAQAjCNSsU0";
    /// let report = chat.upload_file(space, "report.pdf").await?;
    /// chat.create_message(CreateMessageRequest::text(space, "The report").attach(report)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attach(mut self, attachment: impl Into<Attachment>) -> Self {
        self.message.get_or_insert_default().attachment.push(attachment.into());
        self
    }

    fn reply(mut self, thread: Thread, option: MessageReplyOption) -> Self {
        self.message.get_or_insert_default().thread = Some(thread);
        self.set_message_reply_option(option);
        self
    }
}

/// What was uploaded, as an attachment of a message that is to be created.
impl From<AttachmentDataRef> for Attachment {
    fn from(data_ref: AttachmentDataRef) -> Self {
        Self { data_ref: Some(DataRef::AttachmentDataRef(data_ref)), ..Self::default() }
    }
}

/// A resource's name, of its id or of the name itself.
fn in_collection(collection: &str, id: &str) -> String {
    if id.starts_with(collection) { id.to_owned() } else { format!("{collection}{id}") }
}

#[cfg(test)]
mod tests {
    use grpc_transcoding::protojson::WriteOptions;

    use super::*;
    use crate::{Client, MethodRequest, proto::google::chat::v1::*};

    /// A request as ProtoJSON has it.
    fn json<Rq: MethodRequest>(request: impl Into<Rq>) -> String {
        let input = Client::http_rules().pool().method(Rq::PATH).unwrap().input();
        let mut json = Vec::new();
        input.write_json(&request.into().encode_to_vec(), &mut json, &WriteOptions::default()).unwrap();
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn everyday_requests_are_as_documented() {
        let room = "spaces/a";
        let card = Card { name: "c".to_owned(), ..Card::default() };
        for (request, expected) in [
            (
                json::<CreateSpaceRequest>(Space::named("Launch room")),
                r#"{"space":{"displayName":"Launch room","spaceType":"SPACE"}}"#,
            ),
            (
                json::<SetUpSpaceRequest>(SetUpSpaceRequest {
                    memberships: vec![Membership::person("alice@example.com")],
                    ..Space::direct_message().into()
                }),
                concat!(
                    r#"{"space":{"spaceType":"DIRECT_MESSAGE"},"#,
                    r#""memberships":[{"member":{"name":"users/alice@example.com","type":"HUMAN"}}]}"#
                ),
            ),
            (
                json::<CreateMessageRequest>(CreateMessageRequest::text(room, "Hello")),
                r#"{"parent":"spaces/a","message":{"text":"Hello"}}"#,
            ),
            (
                json::<CreateMessageRequest>(CreateMessageRequest::card(room, "one", card)),
                r#"{"parent":"spaces/a","message":{"cardsV2":[{"cardId":"one","card":{"name":"c"}}]}}"#,
            ),
            (
                json::<CreateMessageRequest>(CreateMessageRequest::text(room, "a").in_thread("spaces/a/threads/b")),
                concat!(
                    r#"{"parent":"spaces/a","message":{"text":"a","thread":{"name":"spaces/a/threads/b"}},"#,
                    r#""messageReplyOption":"REPLY_MESSAGE_OR_FAIL"}"#
                ),
            ),
            (
                json::<CreateMessageRequest>(CreateMessageRequest::text(room, "a").in_thread_of("key")),
                concat!(
                    r#"{"parent":"spaces/a","message":{"text":"a","thread":{"threadKey":"key"}},"#,
                    r#""messageReplyOption":"REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"}"#
                ),
            ),
            (
                json::<CreateMembershipRequest>(CreateMembershipRequest::of(room, Membership::person("users/1"))),
                r#"{"parent":"spaces/a","membership":{"member":{"name":"users/1","type":"HUMAN"}}}"#,
            ),
            (
                json::<CreateMembershipRequest>(CreateMembershipRequest::of(room, Membership::group("g"))),
                r#"{"parent":"spaces/a","membership":{"groupMember":{"name":"groups/g"}}}"#,
            ),
            (
                json::<CreateMembershipRequest>(CreateMembershipRequest::of(room, Membership::app())),
                r#"{"parent":"spaces/a","membership":{"member":{"name":"users/app","type":"BOT"}}}"#,
            ),
            (json::<ListMembershipsRequest>(ListMembershipsRequest::of(room)), r#"{"parent":"spaces/a"}"#),
            (json::<GetSpaceRequest>(room), r#"{"name":"spaces/a"}"#),
            (json::<DeleteMessageRequest>(&room.to_owned()), r#"{"name":"spaces/a"}"#),
            (json::<FindDirectMessageRequest>("users/a".to_owned()), r#"{"name":"users/a"}"#),
            (
                json::<UpdateSpaceRequest>(UpdateSpaceRequest::of(
                    Space { name: room.to_owned(), ..Space::named("b") },
                    ["display_name", "space_details.description"],
                )),
                concat!(
                    r#"{"space":{"name":"spaces/a","displayName":"b","spaceType":"SPACE"},"#,
                    r#""updateMask":"displayName,spaceDetails.description"}"#
                ),
            ),
            (
                json::<MoveSectionItemRequest>(MoveSectionItemRequest::of("users/a/sections/b/items/c", "d")),
                r#"{"name":"users/a/sections/b/items/c","targetSection":"d"}"#,
            ),
        ] {
            assert_eq!(request, expected);
        }
    }
}
