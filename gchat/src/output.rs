//! What a command prints of a space.

use std::io::{self, IsTerminal, Write};

use google_chat::{
    Space, proto,
    protojson::{DescriptorPool, WriteOptions},
};

use crate::failure::Failure;

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

/// Prints spaces, a line for each.
pub(crate) fn print_lines(spaces: &[Space], output: Output) -> Result<(), Failure> {
    let schema = schema()?;
    let mut text = String::new();
    for space in spaces {
        match output {
            Output::Name => text.push_str(&plain(&space.name)),
            Output::Json => text.push_str(&plain_json(&schema.to_json(space).map_err(Failure::machine)?)),
            Output::Table => {
                let kind = space.space_type().as_str_name();
                text.push_str(&format!("{:20} {kind:14} {}", plain(&space.name), plain(&space.display_name)));
            }
        }
        text.push('\n');
    }
    write(text.as_bytes())
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

pub(crate) fn print(space: &Space, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Name => format!("{}\n", plain(&space.name)),
        Output::Json => plain_json(&json(space)?),
        Output::Table => table(space)?,
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
pub(crate) fn schema() -> Result<DescriptorPool, Failure> {
    DescriptorPool::decode(proto::DESCRIPTOR_SET).map_err(Failure::machine)
}

fn json(space: &Space) -> Result<String, Failure> {
    let schema = schema()?;
    let compact = schema.to_json(space).map_err(Failure::machine)?;
    let message = schema.message("google.chat.v1.Space").ok_or_else(|| Failure::machine("no message Space"))?;
    let wire = message.from_json(&compact).map_err(Failure::machine)?;
    let mut options = WriteOptions::default();
    options.indent = Some(2);
    let mut text = Vec::new();
    message.write_json(&wire, &mut text, &options).map_err(Failure::machine)?;
    text.push(b'\n');
    String::from_utf8(text).map_err(Failure::machine)
}

/// The fields that people look for, one a line.
fn table(space: &Space) -> Result<String, Failure> {
    let compact = schema()?.to_json(space).map_err(Failure::machine)?;
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
