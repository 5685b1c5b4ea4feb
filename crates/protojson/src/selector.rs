//! Which fields of a message are written: the system parameter `fields` of Google's APIs,
//! for partial responses.
//!
//! ```text
//! Selector = Path { "," Path } ;
//! Path     = Name { ( "/" | "." ) Name } [ "(" Selector ")" ] ;
//! Name     = "*" | field | "[" extension "]" | "`" key "`" ;
//! ```
//!
//! Sources: <https://cloud.google.com/apis/docs/system-parameters> (`$fields`, a field
//! mask), and the guides to partial responses of many APIs, such as
//! <https://developers.google.com/drive/api/guides/fields-parameter> (slashes, groups, `*`).

use std::sync::Arc;

use crate::{
    Cardinality, DescriptorPool, FieldDescriptor, JsonMapping, MessageDescriptor, TextError,
    plan::{FieldPlan, MessagePlan, Plan},
    wire::DEPTH,
};

/// How long the text of a selector may be, in bytes. What a selector costs grows with it.
const MAX_LENGTH: usize = 4 * 1024;

/// How often it may have `*`. So many nodes, and one more, can be about one value: each of
/// them is known by the last `*` on the way to it.
const MAX_STARS: usize = 32;

/// The fields that JSON is to have, for [`WriteOptions::fields`](crate::WriteOptions::fields).
/// Cheap to clone.
///
/// A path names fields by their JSON names or their proto names, from the message down,
/// through lists and maps; the key of a map is a name too. What stands at its end is selected
/// with all that is in it. `*` stands for every name.
///
/// ```
/// # let pool = protojson::DescriptorPool::decode(include_bytes!("../tests/room.bin"))?;
/// let room = pool.message("example.Room").unwrap();
/// let options = protojson::WriteOptions::default().with_fields(Some(room.select("seats")?));
/// let mut json = Vec::new();
/// room.write_json(b"\x0a\x07Library\x10\x0c", &mut json, &options)?;
/// assert_eq!(json, br#"{"seats":"12"}"#);
/// assert!(room.select("windows").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value without fields is left out where only something below it is selected, as `*/id`
/// does of a number. In JSON of free form it stays. An `Any` keeps its `@type`, without which
/// the rest of it says nothing.
#[derive(Clone, Debug)]
pub struct FieldSelector(Arc<[Node]>);

/// What is selected of a value: the nodes of a tree, of which the first is the root.
#[derive(Debug, Default)]
struct Node {
    /// The members that are selected by their names, in the order of these.
    members: Vec<(Box<str>, u32)>,
    /// What is selected of every member: `*`.
    every: Option<u32>,
    /// Whether a path ends here, so that all of the value is selected.
    whole: bool,
}

impl MessageDescriptor {
    /// Reads a selector of fields of the message, such as `name,author(given,family)`.
    ///
    /// # Errors
    ///
    /// If the text is no selector, is longer than 4 KiB, goes deeper than 100 levels or has
    /// more than 32 `*`, or names a field that is not there.
    pub fn select(&self, fields: &str) -> Result<FieldSelector, TextError> {
        FieldSelector::read(self.pool(), Place::of_message(self.plan(), self.index()), fields)
    }
}

impl FieldDescriptor<'_> {
    /// Reads a selector, as [`MessageDescriptor::select`] does, of what the field's value
    /// holds: for [`FieldDescriptor::write_json`].
    ///
    /// # Errors
    ///
    /// As for [`MessageDescriptor::select`]; also if the value is one without fields.
    pub fn select(self, fields: &str) -> Result<FieldSelector, TextError> {
        FieldSelector::read(self.pool(), Place::of_field(self.pool().plan(), self.plan()), fields)
    }
}

impl FieldSelector {
    fn read(pool: &DescriptorPool, top: Place, text: &str) -> Result<Self, TextError> {
        let nodes = parse(text).map_err(TextError::Value)?;
        check(pool.plan(), &nodes, 0, &[top], "")?;
        Ok(Self(nodes.into()))
    }
}

impl Node {
    fn member(&self, name: &str) -> Option<u32> {
        let at = self.members.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(self.members[at].1)
    }
}

/// Reads the text into a tree, in which several paths with one beginning share it.
fn parse(text: &str) -> Result<Vec<Node>, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes; select fewer fields, or groups of them: a(b,c)"));
    }
    let place = |rest: &str| format!("at character {}", 1 + text[..text.len() - rest.len()].chars().count());
    let mut nodes = vec![Node::default()];
    // The groups that are open: the node that each is of, and its depth.
    let mut groups = vec![(0, 0)];
    let (mut at, mut depth) = (0, 0);
    let (mut rest, mut stars) = (text, 0);
    loop {
        let (name, after) = name(rest).ok_or_else(|| format!("expected the name of a field {}", place(rest)))?;
        if depth == DEPTH {
            return Err(format!("it goes deeper than {DEPTH} levels {}", place(rest)));
        }
        stars += usize::from(name.is_none());
        if stars > MAX_STARS {
            return Err(format!("it has more than {MAX_STARS} `*`; name the fields"));
        }
        (at, depth) = (child(&mut nodes, at, name), depth + 1);
        rest = after;
        if let Some(after) = rest.strip_prefix(['/', '.']) {
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix('(') {
            groups.push((at, depth));
            rest = after;
            continue;
        }
        nodes[at as usize].whole = true;
        while let (Some(after), true) = (rest.strip_prefix(')'), groups.len() > 1) {
            groups.pop();
            rest = after.trim_start();
        }
        let Some(after) = rest.strip_prefix(',') else { break };
        // The first group is the whole text, and is never closed.
        (at, depth) = groups.last().copied().unwrap_or_default();
        rest = after;
    }
    match (rest, groups.len()) {
        ("", 1) => Ok(nodes),
        ("", _) => Err("a `(` is not closed".to_owned()),
        _ => Err(format!("expected `,` or the end {}", place(rest))),
    }
}

/// The name that a text begins with, `None` of these for `*`, and what comes after it.
fn name(text: &str) -> Option<(Option<&str>, &str)> {
    let text = text.trim_start();
    let (name, rest) = if let Some(quoted) = text.strip_prefix('`') {
        let (key, rest) = quoted.split_once('`')?;
        (Some(key), rest)
    } else {
        let from = if text.starts_with('[') { text.find(']')? } else { 0 };
        let end = text[from..].find([',', '/', '.', '(', ')']).map_or(text.len(), |end| from + end);
        let name = text[..end].trim_end();
        if name.is_empty() {
            return None;
        }
        (Some(name).filter(|name| *name != "*"), &text[end..])
    };
    Some((name, rest.trim_start()))
}

/// The node of a member, which is added if it is not there.
fn child(nodes: &mut Vec<Node>, at: u32, name: Option<&str>) -> u32 {
    let new = nodes.len() as u32;
    let node = &mut nodes[at as usize];
    let found = match name {
        None => *node.every.get_or_insert(new),
        Some(name) => match node.members.binary_search_by(|(own, _)| (**own).cmp(name)) {
            Ok(place) => node.members[place].1,
            Err(place) => {
                node.members.insert(place, (name.into(), new));
                new
            }
        },
    };
    if found == new {
        nodes.push(Node::default());
    }
    found
}

/// A kind of JSON value, by the names that its members may have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A message: the names of its fields.
    Message(u32),
    /// A map, by its entry: any name.
    Map(u32),
    /// JSON of free form, or a message of any type.
    Free,
    /// A value without members.
    Plain,
}

impl Place {
    pub(crate) fn of_message(message: &MessagePlan, index: u32) -> Self {
        match message.mapping {
            JsonMapping::Struct | JsonMapping::ListValue | JsonMapping::Value | JsonMapping::Any => Self::Free,
            JsonMapping::Empty => Self::Message(index),
            mapping if mapping.is_object() => Self::Message(index),
            _ => Self::Plain,
        }
    }

    pub(crate) fn of_field(plan: &Plan, field: &FieldPlan) -> Self {
        match field.cardinality {
            Cardinality::Map => Self::Map(field.type_index),
            _ if field.is_message() => Self::of_message(plan.message_of(field), field.type_index),
            _ => Self::Plain,
        }
    }

    /// The member with a name, if there may be one.
    fn member(self, plan: &Plan, name: &str) -> Option<Self> {
        match self {
            Self::Message(index) => {
                let message = &plan.messages[index as usize];
                message.index_of_name(name.as_bytes()).map(|at| Self::of_field(plan, &message.fields[at]))
            }
            Self::Map(_) | Self::Free => self.members(plan).next(),
            Self::Plain => None,
        }
    }

    /// What the members are.
    fn members(self, plan: &Plan) -> impl Iterator<Item = Self> {
        let fields = match self {
            Self::Message(index) => &plan.messages[index as usize].fields[..],
            // An entry is its key and its value.
            Self::Map(entry) => plan.messages[entry as usize].fields.get(1..).unwrap_or_default(),
            Self::Free | Self::Plain => &[],
        };
        let free = (self == Self::Free).then_some(Self::Free);
        fields.iter().map(|field| Self::of_field(plan, field)).chain(free)
    }
}

/// Makes sure that each name of a node is one of a member in one of the places that it is
/// about: after `*` there are several. All of them are looked at together, so that a node is
/// come to once.
fn check(plan: &Plan, nodes: &[Node], at: u32, places: &[Place], path: &str) -> Result<(), TextError> {
    let node = &nodes[at as usize];
    let dot = if path.is_empty() { "" } else { "." };
    let named = node.members.iter().map(|(name, child)| (Some(&**name), *child));
    for (name, child) in named.chain(node.every.map(|child| (None, child))) {
        let mut below: Vec<Place> = match name {
            Some(name) => places.iter().filter_map(|place| place.member(plan, name)).collect(),
            None => places.iter().flat_map(|place| place.members(plan)).collect(),
        };
        below.sort_unstable();
        below.dedup();
        let path = format!("{path}{dot}{}", name.unwrap_or("*"));
        if below.is_empty() {
            // A message without fields has all of them selected by `*`.
            if name.is_none() && places.iter().any(|place| *place != Place::Plain) && nodes[child as usize].whole {
                continue;
            }
            return Err(TextError::Path(format!("`{path}`: {}", nothing(plan, places, name))));
        }
        check(plan, nodes, child, &below, &path)?;
    }
    Ok(())
}

/// Says that none of the places has such a member.
fn nothing(plan: &Plan, places: &[Place], name: Option<&str>) -> String {
    match (places, name) {
        ([Place::Message(index)], Some(name)) => {
            format!("{} has no field `{name}`", plan.messages[*index as usize].name)
        }
        ([Place::Plain], _) => "the value before it has no fields".to_owned(),
        _ => "nothing there has such a field".to_owned(),
    }
}

/// Where a writer is in a selector.
pub(crate) struct Cursor<'s> {
    nodes: &'s [Node],
    /// The nodes on the way to the value that is being written. Those from `from` on are
    /// about the value itself: several, if names and `*` both lead to it.
    stack: Vec<u32>,
    from: usize,
    /// Whether all of the value is selected.
    whole: bool,
}

/// What [`Cursor::leave`] goes back to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Level {
    from: usize,
    len: usize,
    whole: bool,
}

impl<'s> Cursor<'s> {
    pub(crate) fn new(selector: &'s FieldSelector) -> Self {
        Self { nodes: &selector.0, stack: vec![0], from: 0, whole: false }
    }

    /// Goes to a member of the value, by its names. `None`, and it stays where it is, if the
    /// member is not selected.
    pub(crate) fn enter<'n>(&mut self, names: impl Iterator<Item = &'n str> + Clone, member: Place) -> Option<Level> {
        let level = Level { from: self.from, len: self.stack.len(), whole: self.whole };
        if self.whole {
            return Some(level);
        }
        for at in self.from..level.len {
            let node = &self.nodes[self.stack[at] as usize];
            let named = names.clone().filter_map(|name| node.member(name));
            for child in named.chain(node.every) {
                self.whole |= self.nodes[child as usize].whole;
                self.stack.push(child);
            }
        }
        if self.stack.len() == level.len || member == Place::Plain && !self.whole {
            self.leave(level);
            return None;
        }
        self.from = level.len;
        Some(level)
    }

    /// Goes to a field of a message, by either of its names.
    pub(crate) fn enter_field(&mut self, plan: &Plan, message: &MessagePlan, index: usize) -> Option<Level> {
        let field = &message.fields[index];
        // The proto name, unless another field has it as its JSON name.
        let own = |name: &&str| message.index_of_name(name.as_bytes()) == Some(index);
        let proto = Some(&*field.name).filter(|name| **name != *field.json_name).filter(own);
        self.enter(std::iter::once(&*field.json_name).chain(proto), Place::of_field(plan, field))
    }

    /// Goes back from a member.
    pub(crate) fn leave(&mut self, level: Level) {
        self.stack.truncate(level.len);
        (self.from, self.whole) = (level.from, level.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        fn show(nodes: &[Node], at: u32) -> String {
            let node = &nodes[at as usize];
            let named = node.members.iter().map(|(name, child)| (&**name, *child));
            let each = named.chain(node.every.map(|child| ("*", child)));
            let inner: Vec<_> = each.map(|(name, child)| format!("{name}{}", show(nodes, child))).collect();
            let whole = if node.whole { "!" } else { "" };
            if inner.is_empty() { whole.to_owned() } else { format!("{whole}({})", inner.join(" ")) }
        }
        parse(text).map(|nodes| show(&nodes, 0))
    }

    #[test]
    fn paths_groups_and_stars_make_one_tree() {
        for (text, tree) in [
            ("a", "(a!)"),
            ("b, a", "(a! b!)"),
            ("*", "(*!)"),
            ("a/b", "(a(b!))"),
            ("a.b", "(a(b!))"),
            ("a(b)", "(a(b!))"),
            (" a ( b , c / d ) , e ", "(a(b! c(d!)) e!)"),
            ("a(b(c),d)", "(a(b(c!) d!))"),
            ("a/b(c,d),a/e", "(a(b(c! d!) e!))"),
            ("a,a/b", "(a!(b!))"),
            ("a/*/b,*", "(a(*(b!)) *!)"),
            ("a/`x.y/z`", "(a(x.y/z!))"),
            ("a/`*`", "(a(*!))"),
            ("[x.y].b", "([x.y](b!))"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(tree), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_says_where() {
        for (text, problem) in [
            ("", "expected the name of a field at character 1"),
            ("a,", "expected the name of a field at character 3"),
            (",a", "expected the name of a field at character 1"),
            ("ü//b", "expected the name of a field at character 3"),
            ("a()", "expected the name of a field at character 3"),
            ("a(b", "a `(` is not closed"),
            ("a)", "expected `,` or the end at character 2"),
            ("a(b)c", "expected `,` or the end at character 5"),
            ("a(b)/c", "expected `,` or the end at character 5"),
            ("a/`b", "expected the name of a field at character 3"),
            ("`a`b", "expected `,` or the end at character 4"),
            ("[a", "expected the name of a field at character 1"),
        ] {
            assert_eq!(shown(text), Err(problem.to_owned()), "{text}");
        }
        assert!(shown(&format!("a{}", "/a".repeat(99))).is_ok());
        let deep = "it goes deeper than 100 levels at character";
        assert!(shown(&format!("a{}", "/a".repeat(100))).unwrap_err().starts_with(deep));
        assert!(shown(&"a(".repeat(101)).unwrap_err().starts_with(deep));
        assert!(shown(&format!("*{}", "/*".repeat(31))).is_ok());
        assert_eq!(shown(&format!("*{}", "/*".repeat(32))), Err("it has more than 32 `*`; name the fields".to_owned()));
        assert!(shown(&"a".repeat(MAX_LENGTH + 1)).unwrap_err().starts_with("it is longer than 4096 bytes"));
    }
}
