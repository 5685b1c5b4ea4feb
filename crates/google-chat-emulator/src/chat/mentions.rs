//! Who is mentioned in a text, and what of a message follows from that.
//!
//! A text mentions somebody by `<users/{user}>`, and everybody by `<users/all>`. Google Chat
//! puts the display name in place of it, which the emulator does not know: the text stays.

use google_chat::proto::google::chat::v1::{
    Annotation, AnnotationType, Message, UserMentionMetadata, annotation::Metadata, user_mention_metadata,
};

use super::{members::user_of, names::member_id};

/// Somebody who is mentioned.
pub(super) struct Mention<'t> {
    /// An id, an address, `app` or `all`.
    pub(super) user: &'t str,
    /// Where it begins and ends in the text, in bytes.
    range: std::ops::Range<usize>,
}

/// Those who a text mentions.
pub(super) fn of(text: &str) -> impl Iterator<Item = Mention<'_>> {
    const BEGIN: &str = "<users/";
    text.match_indices(BEGIN).filter_map(|(at, _)| {
        let inside = &text[at + BEGIN.len()..];
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && !".-_@+".contains(c))?;
        let range = at..at + BEGIN.len() + end + 1;
        (end > 0 && inside[end..].starts_with('>')).then_some(Mention { user: &inside[..end], range })
    })
}

/// Says in a message what follows from its text.
pub(super) fn derive(message: &mut Message) {
    // What a character is, the documentation does not say: here it is one of UTF-16, as in
    // other Google APIs.
    let characters = |text: &str| i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX);
    let text = &message.text;
    let (mut before, mut begin) = (0, 0);
    message.annotations.clear();
    for Mention { user, range } in of(text) {
        begin += characters(&text[before..range.start]);
        before = range.start;
        message.annotations.push(Annotation {
            r#type: AnnotationType::UserMention as i32,
            start_index: Some(begin),
            length: characters(&text[range]),
            metadata: Some(Metadata::UserMention(UserMentionMetadata {
                user: Some(user_of(&member_id(user))),
                r#type: user_mention_metadata::Type::Mention as i32,
            })),
        });
    }
    message.formatted_text.clone_from(text);
    let (mut rest, mut argument) = (0, String::new());
    for mention in of(text).filter(|mention| mention.user == "app") {
        argument.push_str(&text[rest..mention.range.start]);
        rest = mention.range.end;
    }
    argument.push_str(&text[rest..]);
    message.argument_text = argument;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_annotated_and_the_apps_are_no_argument() {
        let text = "é😀 <users/app> ask <users/bob@example.com>, <users/> <users/a b> <users/c";
        let mut message = Message { text: text.to_owned(), ..Message::default() };
        derive(&mut message);
        let found: Vec<_> = message
            .annotations
            .iter()
            .map(|one| {
                let Some(Metadata::UserMention(mention)) = &one.metadata else { panic!("{one:?}") };
                (one.start_index(), one.length, mention.user.clone().unwrap())
            })
            .collect();
        assert_eq!(found, [(4, 11, user_of("app")), (20, 23, user_of(&member_id("bob@example.com")))]);
        assert_eq!(message.argument_text, "é😀  ask <users/bob@example.com>, <users/> <users/a b> <users/c");
        assert_eq!(message.formatted_text, text);
    }
}
