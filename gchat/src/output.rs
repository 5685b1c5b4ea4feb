//! What a command prints of spaces, members, messages and the like.

use std::io::{self, IsTerminal, Write};

use google_chat::{
    Client, PageRequest, Pages, Space,
    proto::google::chat::v1::{Membership, Message, Reaction, User, emoji, membership::MemberType},
    protojson::{DescriptorPool, WriteOptions},
};
use prost::Name;

use crate::{failure::Failure, people::Role};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// ProtoJSON
    Json,
    /// The resource name alone
    Name,
    /// A line for each field
    Table,
}

impl Output {
    /// What was asked for, else what suits who reads.
    pub(crate) fn or_usual(asked: Option<Self>) -> Self {
        asked.unwrap_or(if io::stdout().is_terminal() { Self::Table } else { Self::Json })
    }
}

/// What commands print.
pub(crate) trait Resource: prost::Message + Name {
    fn resource_name(&self) -> &str;

    /// What a list says of it, in columns.
    fn line(&self) -> String;
}

impl Resource for Space {
    fn resource_name(&self) -> &str {
        &self.name
    }

    fn line(&self) -> String {
        format!("{:20} {:14} {}", self.name, self.space_type().as_str_name(), self.display_name)
    }
}

impl Resource for Membership {
    fn resource_name(&self) -> &str {
        &self.name
    }

    fn line(&self) -> String {
        let who = match &self.member_type {
            Some(MemberType::Member(user)) => person(user),
            Some(MemberType::GroupMember(group)) => group.name.clone(),
            None => String::new(),
        };
        let role = Role::of(self.role()).map_or("-", Role::name);
        format!("{:45} {role:8} {:8} {who}", self.name, self.state().as_str_name())
    }
}

impl Resource for Message {
    fn resource_name(&self) -> &str {
        &self.name
    }

    fn line(&self) -> String {
        let time = self.create_time.map(|time| time.to_string()).unwrap_or_default();
        let text = match (&*self.text, &*self.fallback_text) {
            _ if self.delete_time.is_some() => "(deleted)",
            ("", "") if !self.cards_v2.is_empty() => "(a card)",
            ("", "") if !self.attachment.is_empty() => "(an attachment)",
            ("", fallback) => fallback,
            (text, _) => text,
        };
        let sender = self.sender.as_ref().map(person).unwrap_or_default();
        format!("{:45} {time:20} {sender:20} {}", self.name, shorten(text))
    }
}

impl Resource for Reaction {
    fn resource_name(&self) -> &str {
        &self.name
    }

    fn line(&self) -> String {
        let emoji = match self.emoji.as_ref().and_then(|emoji| emoji.content.as_ref()) {
            Some(emoji::Content::Unicode(emoji)) => emoji,
            Some(emoji::Content::CustomEmoji(emoji)) if emoji.emoji_name.is_empty() => &emoji.name,
            Some(emoji::Content::CustomEmoji(emoji)) => &emoji.emoji_name,
            None => "",
        };
        format!("{:65} {emoji} {}", self.name, self.user.as_ref().map(person).unwrap_or_default())
    }
}

/// A person or an app by all that is known: not every caller gets more than the name.
fn person(user: &User) -> String {
    let known = [&*user.name, &user.email, &user.display_name];
    known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// As much of a text as a line has room for, in characters.
const LINE: usize = 100;

/// A text on one line, and not too long for it.
pub(crate) fn shorten(text: &str) -> String {
    let mut text = plain(text);
    if let Some((end, _)) = text.char_indices().nth(LINE) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Prints resources, a line for each.
pub(crate) fn print_lines<R: Resource>(resources: &[R], output: Output) -> Result<(), Failure> {
    let schema = schema();
    let mut text = String::new();
    for resource in resources {
        match output {
            Output::Name => text.push_str(&plain(resource.resource_name())),
            Output::Json => text.push_str(&plain_json(&schema.to_json(resource).map_err(Failure::machine)?)),
            Output::Table => text.push_str(plain(&resource.line()).trim_end()),
        }
        text.push('\n');
    }
    write(text.as_bytes())
}

/// The flags of commands that list.
#[derive(clap::Args)]
pub(crate) struct Listing {
    /// The most to list [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// How to print each, on a line [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
}

impl Listing {
    /// How many a page has at most, where the API has that maximum.
    pub(crate) fn page_size(&self, most: i32) -> i32 {
        self.limit.and_then(|limit| i32::try_from(limit).ok()).map_or(most, |limit| limit.min(most))
    }

    /// Prints what the pages have, each as it comes.
    pub(crate) async fn print<Rq: PageRequest<Item: Resource>>(self, mut pages: Pages<Rq>) -> Result<(), Failure> {
        let (output, mut left) = (Output::or_usual(self.output), self.limit.unwrap_or(usize::MAX));
        while left > 0
            && let Some(page) = pages.next().await
        {
            let mut items = Rq::items(page?);
            items.truncate(left);
            left -= items.len();
            print_lines(&items, output)?;
        }
        Ok(())
    }
}

/// Whether a terminal may take a letter for an order: the control characters of both
/// sets (C0, DEL, C1), and those that turn the direction of what follows.
fn is_order(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line, without what a terminal would take for orders.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|letter| if is_order(letter) { ' ' } else { letter }).collect()
}

/// JSON that means the same, without what a terminal would take for orders. JSON itself
/// has only those below U+0020 escaped in strings, and between them there are none but
/// line ends.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_order(letter) && letter > ' ' {
            true => plain.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => plain.push(letter),
        }
    }
    plain
}

/// Says something to people, on standard error, which nobody may read.
pub(crate) fn say(text: &str) {
    let (red, normal) = if colours(&io::stderr()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(io::stderr().lock(), "{red}gchat:{normal} {}", plain(text));
}

/// Says something to people that is no failure, on standard error, which nobody may read.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// Whether to use colours on a stream: on a terminal, unless NO_COLOR says otherwise
/// (<https://no-color.org>).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

pub(crate) fn print<R: Resource>(resource: &R, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Name => format!("{}\n", plain(resource.resource_name())),
        Output::Json => plain_json(&json(resource)?),
        Output::Table => table(resource)?,
    };
    write(text.as_bytes())
}

/// Writes to standard output, at once.
pub(crate) fn write(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Nobody reads on, as when piped to `head`: that is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::machine("cannot write to standard output").because(error)),
    }
}

/// The embedded schema.
pub(crate) fn schema() -> &'static DescriptorPool {
    Client::http_rules().pool()
}

/// A message as JSON of several lines.
fn json<M: prost::Message + Name>(message: &M) -> Result<String, Failure> {
    let name = M::full_name();
    let descriptor =
        schema().message(&name).ok_or_else(|| Failure::machine(format!("the schema has no message {name}")))?;
    let mut options = WriteOptions::default();
    options.indent = Some(2);
    let mut text = Vec::new();
    descriptor.write_json(&message.encode_to_vec(), &mut text, &options).map_err(Failure::machine)?;
    text.push(b'\n');
    String::from_utf8(text).map_err(Failure::machine)
}

/// The fields that people look for, one a line.
fn table<M: prost::Message + Name>(message: &M) -> Result<String, Failure> {
    let compact = schema().to_json(message).map_err(Failure::machine)?;
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&compact).map_err(Failure::machine)?;
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    let (faint, normal) = if colours(&io::stdout()) { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    for (name, value) in &fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{faint}{name:width$}{normal}  {}\n", plain(&value)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_orders() {
        let orders = "a\u{1b}[31mb\u{9b}2Jc\u{7f}d\u{202e}e\r\n\u{85}é\u{1F680}";
        assert_eq!(plain(orders), "a [31mb 2Jc d e   é\u{1F680}");
        let json = serde_json::to_string_pretty(&serde_json::json!({ orders: [orders] })).unwrap();
        let escaped = plain_json(&json);
        assert!(!escaped.contains(|letter| is_order(letter) && letter != '\n'), "{escaped:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            serde_json::from_str::<serde_json::Value>(&json).unwrap()
        );
    }
}
