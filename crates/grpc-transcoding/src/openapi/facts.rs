//! What a descriptor set says that the pool does not keep: comments, deprecation, the names
//! of oneofs, and the options of services.
//!
//! Field numbers are those of `google/protobuf/descriptor.proto`, `google/api/client.proto`
//! and `google/api/resource.proto`. The pool has read the set before, so that what cannot be
//! read here (comments, say) is left out.

use std::collections::{BTreeMap, HashMap};

use protojson::{
    FieldDescriptor, MessageDescriptor,
    wire::{self, DEPTH, Payload, Reader},
};

/// What is known of symbols, by their full names.
#[derive(Default)]
pub(super) struct Facts<'s> {
    symbols: HashMap<String, Symbol>,
    /// How long the names of these are together.
    named: usize,
    oneofs: HashMap<String, Vec<&'s str>>,
    services: HashMap<String, Service<'s>>,
    /// The names that resources give to what follows a literal in a path: `shelves` is
    /// followed by a `shelf`.
    pub(super) path_names: BTreeMap<&'s str, &'s str>,
}

/// A symbol's comment, and whether it is deprecated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Symbol {
    pub(super) comment: String,
    pub(super) deprecated: bool,
    /// The label `required`, which only proto2 has.
    pub(super) required: bool,
}

/// The options of a service.
#[derive(Debug, Default)]
pub(super) struct Service<'s> {
    pub(super) host: &'s str,
    pub(super) scopes: Vec<&'s str>,
}

/// The comments of a file by the paths of what they are on.
type Comments<'s> = HashMap<Vec<u32>, &'s str>;

/// How many bytes the full names of symbols have at most of which something is kept: each has its
/// package again, which may be as long as the whole file.
const NAMES: usize = 64 * 1024 * 1024;

const NOTHING: Symbol = Symbol { comment: String::new(), deprecated: false, required: false };

impl<'s> Facts<'s> {
    pub(super) fn read(set: &'s [u8]) -> Self {
        let mut facts = Self::default();
        for file in contents(set, 1) {
            facts.file(file);
        }
        facts
    }

    /// What is known of the symbol with this full name; of an extension, its name in
    /// brackets does.
    pub(super) fn symbol(&self, name: &str) -> &Symbol {
        self.symbols.get(name.trim_matches(['[', ']'])).unwrap_or(const { &NOTHING })
    }

    /// What is known of a field.
    pub(super) fn field(&self, message: &MessageDescriptor, field: FieldDescriptor<'_>) -> &Symbol {
        match field.name().starts_with('[') {
            true => self.symbol(field.name()),
            false => self.symbol(&format!("{}.{}", message.name(), field.name())),
        }
    }

    /// The name of a message's oneof.
    pub(super) fn oneof(&self, message: &str, index: u16) -> &'s str {
        let names = self.oneofs.get(message);
        names.and_then(|names| names.get(usize::from(index))).copied().unwrap_or_default()
    }

    pub(super) fn service(&self, name: &str) -> Option<&Service<'s>> {
        self.services.get(name)
    }

    fn file(&mut self, file: &'s [u8]) {
        let package = text(file, 2);
        let comments = comments(file);
        for (at, message) in contents(file, 4).enumerate() {
            self.message(&comments, vec![4, at as u32], package, message, 0);
        }
        for (at, enumeration) in contents(file, 5).enumerate() {
            self.enumeration(&comments, vec![5, at as u32], package, enumeration);
        }
        for (at, extension) in contents(file, 7).enumerate() {
            self.add_field(&comments, vec![7, at as u32], package, extension);
        }
        for (at, service) in contents(file, 6).enumerate() {
            let path = vec![6, at as u32];
            let name = join(package, text(service, 1));
            let options: Vec<_> = contents(service, 3).collect();
            let deprecated = flag(&options, 33);
            self.add(&comments, &path, name.clone(), deprecated, false);
            for (at, method) in contents(service, 2).enumerate() {
                let path = [&path[..], &[2, at as u32]].concat();
                let own: Vec<_> = contents(method, 4).collect();
                let name = join(&name, text(method, 1));
                self.add(&comments, &path, name, deprecated || flag(&own, 33), false);
            }
            let option = |number| options.iter().map(|options| text(options, number)).rfind(|text| !text.is_empty());
            let scopes = option(1050).unwrap_or_default().split(',').map(str::trim).filter(|scope| !scope.is_empty());
            let host = option(1049).unwrap_or_default();
            self.services.insert(name, Service { host, scopes: scopes.collect() });
        }
        // Resources of which no message is defined here.
        for options in contents(file, 8) {
            contents(options, 1053).for_each(|resource| self.resource(resource));
        }
    }

    fn message(&mut self, comments: &Comments<'s>, path: Vec<u32>, scope: &str, message: &'s [u8], depth: u32) {
        if depth > DEPTH {
            return;
        }
        let name = join(scope, text(message, 1));
        let below = |kind: u32, at: usize| [&path[..], &[kind, at as u32]].concat();
        let options: Vec<_> = contents(message, 7).collect();
        self.add(comments, &path, name.clone(), flag(&options, 3), false);
        for options in &options {
            contents(options, 1053).for_each(|resource| self.resource(resource));
        }
        for (kind, at, field) in [2, 6].into_iter().flat_map(|kind| numbered(message, kind)) {
            self.add_field(comments, below(kind, at), &name, field);
        }
        for (kind, at, nested) in numbered(message, 3) {
            self.message(comments, below(kind, at), &name, nested, depth + 1);
        }
        for (kind, at, nested) in numbered(message, 4) {
            self.enumeration(comments, below(kind, at), &name, nested);
        }
        // Those that `optional` makes in proto3 come last, and the pool does not count them.
        let oneofs: Vec<_> = contents(message, 8).map(|oneof| text(oneof, 1)).collect();
        if !oneofs.is_empty() {
            self.oneofs.insert(name, oneofs);
        }
    }

    fn add_field(&mut self, comments: &Comments<'s>, path: Vec<u32>, scope: &str, field: &'s [u8]) {
        let options: Vec<_> = contents(field, 8).collect();
        // LABEL_REQUIRED, in descriptor.proto.
        let required = bits(field, 4) == 2;
        self.add(comments, &path, join(scope, text(field, 1)), flag(&options, 3), required);
    }

    fn enumeration(&mut self, comments: &Comments<'s>, path: Vec<u32>, scope: &str, enumeration: &'s [u8]) {
        let name = join(scope, text(enumeration, 1));
        let options: Vec<_> = contents(enumeration, 3).collect();
        self.add(comments, &path, name.clone(), flag(&options, 3), false);
        for (at, value) in contents(enumeration, 2).enumerate() {
            let options: Vec<_> = contents(value, 3).collect();
            let path = [&path[..], &[2, at as u32]].concat();
            self.add(comments, &path, join(&name, text(value, 1)), flag(&options, 1), false);
        }
    }

    fn add(&mut self, comments: &Comments<'s>, path: &[u32], name: String, deprecated: bool, required: bool) {
        let comment = comments.get(path).map(|comment| clean(comment)).unwrap_or_default();
        let symbol = Symbol { comment, deprecated, required };
        if symbol != NOTHING && self.named + name.len() <= NAMES {
            self.named += name.len();
            self.symbols.insert(name, symbol);
        }
    }

    /// Takes the names from the patterns of a `google.api.ResourceDescriptor`. Where two
    /// resources differ, the first one holds.
    fn resource(&mut self, resource: &'s [u8]) {
        for pattern in contents(resource, 2).filter_map(|pattern| std::str::from_utf8(pattern).ok()) {
            let segments: Vec<_> = pattern.split('/').collect();
            for pair in segments.windows(2) {
                let variable = pair[1].strip_prefix('{').and_then(|name| name.strip_suffix('}'));
                if let Some(name) = variable.filter(|_| !pair[0].starts_with('{')) {
                    self.path_names.entry(pair[0]).or_insert(name.split('=').next().unwrap_or(name));
                }
            }
        }
    }
}

/// The contents of a field's occurrences, up to the first byte that cannot be read.
fn contents(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = wire::fields(message).map_while(Result::ok);
    fields.filter(move |(tag, _)| tag >> 3 == number).filter_map(|(_, payload)| match payload {
        Payload::Bytes(content) => Some(content),
        Payload::Bits(_) => None,
    })
}

fn numbered(message: &[u8], number: u32) -> impl Iterator<Item = (u32, usize, &[u8])> {
    contents(message, number).enumerate().map(move |(at, content)| (number, at, content))
}

fn text(message: &[u8], number: u32) -> &str {
    contents(message, number).last().and_then(|content| std::str::from_utf8(content).ok()).unwrap_or_default()
}

fn bits(message: &[u8], number: u32) -> u64 {
    let fields = wire::fields(message).map_while(Result::ok);
    fields.filter(|(tag, _)| tag >> 3 == number).last().map_or(0, |(_, payload)| payload.bits())
}

fn flag(options: &[&[u8]], number: u32) -> bool {
    options.iter().any(|options| bits(options, number) != 0)
}

/// The full name of what is defined in a scope.
pub(super) fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// The comments of a file: those before a definition, or else behind it.
fn comments(file: &[u8]) -> Comments<'_> {
    let mut comments = HashMap::new();
    for location in contents(file, 9).flat_map(|info| contents(info, 1)) {
        let comment = match text(location, 3) {
            "" => text(location, 4),
            leading => leading,
        };
        if comment.is_empty() {
            continue;
        }
        let mut path = Vec::new();
        for packed in contents(location, 1) {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                let Ok(part) = reader.varint() else { break };
                path.push(part as u32);
            }
        }
        comments.insert(path, comment);
    }
    comments
}

/// The text of a comment, as Markdown: without the space that comments begin their lines
/// with, without what is internal (`(-- … --)`, AIP-192), and with the links between
/// symbols (`[Space][google.chat.v1.Space]`) as their texts.
fn clean(comment: &str) -> String {
    let mut text = String::with_capacity(comment.len());
    let mut rest = comment;
    while let Some((before, after)) = rest.split_once("(--") {
        text.push_str(before);
        rest = after.split_once("--)").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    unlinked(lines.join("\n").trim())
}

fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("][") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let target = after.find(']').map(|end| (&after[..end], &after[end + 1..]));
        let is_symbol = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        match (before.rfind('['), target) {
            (Some(start), Some((name, behind))) if is_symbol(name) => {
                out.push_str(&before[..start]);
                out.push_str(&before[start + 1..]);
                rest = behind;
            }
            _ => {
                out.push_str(&rest[..at + 2]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The first sentence of a comment, if it is short enough for a heading.
pub(super) fn summary(comment: &str) -> Option<String> {
    let paragraph = comment.split("\n\n").next()?.replace('\n', " ");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    let sentence = paragraph[..end].trim().trim_end_matches('.');
    (!sentence.is_empty() && sentence.len() <= 120).then(|| sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_cleaned() {
        for (comment, expected) in [
            (" One line.\n", "One line."),
            (" A [Space][google.chat.v1.Space] of\n [it][].\n\n  - item\n", "A Space of\nit.\n\n - item"),
            (" Seen.\n (-- hidden [a][b] --)\n More.", "Seen.\n\nMore."),
            (" A[0][x y] [b] ][", "A[0][x y] [b] ]["),
            (" Ends (-- never", "Ends"),
        ] {
            assert_eq!(clean(comment), expected, "{comment:?}");
        }
        assert_eq!(summary("Gets a\nbook. Then more.\n\nMore."), Some("Gets a book".to_owned()));
        assert_eq!(summary(&"x".repeat(200)), None);
        assert_eq!(summary(""), None);
    }
}
