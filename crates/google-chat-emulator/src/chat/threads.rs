//! Which thread a new message goes to.
//!
//! Source: the comments of the official protos on `MessageReplyOption` and `Thread`. A key
//! belongs to a Chat app; the emulator has one app, for which all its callers call.

use google_chat::proto::google::chat::v1::{
    Space, Thread, create_message_request::MessageReplyOption, space::SpaceType,
};
use tonic::Status;

use super::{conversation::Conversation, names, refusal};

/// The longest key, in characters.
const KEY: usize = 4_000;
const THREAD: &str = "spaces/{space}/threads/{thread}";

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a thread of its own, with this key if it is not empty.
    New { key: String },
    /// To the thread with this name.
    Reply(String),
}

/// Where a message goes by its thread and the option, of which only named spaces make
/// anything.
///
/// # Errors
///
/// INVALID_ARGUMENT, or NOT_FOUND where it is to be a reply and there is no such thread.
pub(super) fn target(
    space: &Space,
    conversation: &Conversation,
    thread: &Thread,
    option: MessageReplyOption,
) -> Result<Target, Status> {
    if thread.thread_key.chars().count() > KEY {
        let problem = format!("has more than {KEY} characters");
        return Err(refusal::invalid_field("message.thread.thread_key", &problem));
    }
    if space.space_type != SpaceType::Space as i32 || option == MessageReplyOption::Unspecified {
        return Ok(Target::New { key: String::new() });
    }
    let (name, key) = (thread.name.as_str(), thread.thread_key.as_str());
    let found = match name.is_empty() {
        false => {
            names::variables::<2>("message.thread.name", name, THREAD)?;
            conversation.thread(name).next().map(|_| name)
        }
        true => conversation.thread_of_key(key),
    };
    match found {
        Some(found) => Ok(Target::Reply(found.to_owned())),
        None if name.is_empty() && !key.is_empty() => Ok(Target::New { key: key.to_owned() }),
        None if option == MessageReplyOption::ReplyMessageOrFail && name.is_empty() => Err(refusal::no_thread(
            "The message names no thread to reply to: neither thread.name nor thread.thread_key",
        )),
        None if option == MessageReplyOption::ReplyMessageOrFail => Err(refusal::not_found("thread", name)),
        None => Ok(Target::New { key: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use google_chat::proto::google::chat::v1::Message;

    use super::*;
    use crate::chat::conversation::Post;

    #[test]
    fn a_reply_option_says_what_becomes_of_a_thread_that_is_not_there() {
        use MessageReplyOption::{
            ReplyMessageFallbackToNewThread as Fallback, ReplyMessageOrFail as Fail, Unspecified,
        };
        let thread = |name: &str, key: &str| Thread { name: name.to_owned(), thread_key: key.to_owned() };
        let known = "spaces/a/threads/t";
        let mut conversation = Conversation::default();
        let message = Message {
            name: "spaces/a/messages/t.t".to_owned(),
            thread: Some(thread(known, "k")),
            ..Message::default()
        };
        conversation.insert(1, Post { message, ..Post::default() });
        let new = |key: &str| Ok(Target::New { key: key.to_owned() });
        let reply = || Ok(Target::Reply(known.to_owned()));
        let missing = || Err(tonic::Code::NotFound);
        for (option, thread, expected) in [
            (Unspecified, thread(known, "k"), new("")),
            (Fallback, thread("", ""), new("")),
            (Fallback, thread(known, ""), reply()),
            (Fallback, thread("", "k"), reply()),
            (Fallback, thread("", "other"), new("other")),
            (Fallback, thread("spaces/a/threads/other", ""), new("")),
            (Fallback, thread("spaces/b/threads/t", ""), new("")),
            (Fallback, thread("other", ""), Err(tonic::Code::InvalidArgument)),
            (Fail, thread("", ""), missing()),
            (Fail, thread(known, ""), reply()),
            (Fail, thread("", "k"), reply()),
            (Fail, thread("", "other"), new("other")),
            (Fail, thread("spaces/a/threads/other", ""), missing()),
            (Fail, thread("", &"k".repeat(4_001)), Err(tonic::Code::InvalidArgument)),
        ] {
            let found = target(&Space::named("a"), &conversation, &thread, option).map_err(|status| status.code());
            assert_eq!(found, expected, "{option:?} {} {}", thread.name, thread.thread_key.len());
        }
        let group = Space { space_type: SpaceType::GroupChat as i32, ..Space::default() };
        assert_eq!(
            target(&group, &conversation, &thread(known, ""), Fail).unwrap(),
            Target::New { key: String::new() }
        );
    }
}
