//! What the codec precomputes from a set's definitions, so that its loops only copy and
//! compare: for each field its tag and its keys as they are written, and which of the
//! loops' fast paths it takes; for each message the look-ups of its fields.

use std::{
    collections::{HashMap, HashSet},
    ops::Deref,
};

use crate::{
    buf::{self, Block, EncodedTag, Key},
    descriptor::{Cardinality, Enum, Field, Kind, Message},
    json_mapping::JsonMapping,
    names::NameTable,
    wire::{self, END, LEN},
};

/// The plans of all messages and enums of a set.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) messages: Vec<MessagePlan>,
    pub(crate) enums: Vec<EnumPlan>,
    message_names: HashMap<Box<str>, u32>,
}

impl Plan {
    pub(crate) fn new(messages: Vec<Message>, enums: Vec<Enum>) -> Self {
        let enums: Vec<EnumPlan> = enums.into_iter().map(EnumPlan::new).collect();
        let mappings: Vec<JsonMapping> = messages.iter().map(|message| message.mapping).collect();
        let message_names = messages.iter().zip(0..).map(|(message, index)| (message.name.clone(), index)).collect();
        let messages = messages.into_iter().map(|message| MessagePlan::new(message, &mappings, &enums)).collect();
        Self { messages, enums, message_names }
    }

    /// The message that the values of a field are.
    #[inline]
    pub(crate) fn message_of(&self, field: &Field) -> &MessagePlan {
        &self.messages[field.type_index as usize]
    }

    /// The enum that the values of a field are of.
    #[inline]
    pub(crate) fn enum_of(&self, field: &Field) -> &EnumPlan {
        &self.enums[field.type_index as usize]
    }

    /// The index of the message with a full name.
    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.message_names.get(name).copied()
    }

    /// The message with a full name.
    pub(crate) fn message(&self, name: &str) -> Option<&MessagePlan> {
        self.index_of(name).map(|index| &self.messages[index as usize])
    }
}

#[derive(Debug)]
pub(crate) struct MessagePlan {
    pub(crate) name: Box<str>,
    pub(crate) mapping: JsonMapping,
    /// In the order of their numbers.
    pub(crate) fields: Vec<FieldPlan>,
    pub(crate) oneofs: u16,
    /// The encoded `google.protobuf.MessageOptions`.
    pub(crate) options: Box<[u8]>,
    /// Whether all fields are bools outside oneofs with a one-byte tag and a short key; at
    /// most [`MAX_FLAGS`] of them. Writing such messages as a whole saves an eighth of the
    /// time of a resource that has nine of them for its permissions.
    pub(crate) is_flags: bool,
    /// The [fingerprint](fingerprints) of each field's key.
    fingerprints: Box<[u32]>,
    /// One more than the index of the field, by its number; 0 for none. Only low numbers.
    dense: Box<[u16]>,
    names: NameTable,
}

/// See [`MessagePlan::is_flags`].
pub(crate) const MAX_FLAGS: usize = 8;

impl MessagePlan {
    fn new(message: Message, mappings: &[JsonMapping], enums: &[EnumPlan]) -> Self {
        let Message { name, mapping, fields, oneofs, options } = message;
        let mut json_names = HashSet::new();
        // proto2 lets two fields have one JSON name. The first of them is read by it.
        let hidden: Vec<bool> = fields.iter().map(|field| !json_names.insert(&*field.json_name)).collect();
        let names = names(&fields);
        let dense = dense(&fields);
        let plan = |(field, hidden)| {
            let fast_path = FastPath::of(&field, mapping, mappings, enums);
            FieldPlan::new(field, fast_path, hidden)
        };
        let fields: Vec<FieldPlan> = fields.into_iter().zip(hidden).map(plan).collect();
        let is_flags = fields.len() <= MAX_FLAGS && fields.iter().all(|field| field.true_bytes != u32::MAX);
        let fingerprints = fields.iter().map(|field| fingerprint(&field.json_key)).collect();
        Self { name, mapping, fields, oneofs, options, is_flags, fingerprints, dense, names }
    }

    /// The index of the field with a number.
    #[inline]
    pub(crate) fn index_of(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }

    /// The field with a number.
    #[inline]
    pub(crate) fn field(&self, number: u32) -> Option<&FieldPlan> {
        self.index_of(number).map(|index| &self.fields[index])
    }

    /// The index of the field that JSON calls `name`, by its JSON or its proto name.
    #[inline]
    pub(crate) fn index_of_name(&self, name: &[u8]) -> Option<usize> {
        self.names.find(name).map(|index| index as usize)
    }

    /// The fingerprints of the fields from an index on; `None` beyond the last field.
    #[inline]
    pub(crate) fn fingerprints(&self, from: usize) -> Option<&[u32]> {
        self.fingerprints.get(from..)
    }
}

/// The indices of fields by their JSON names and, after those, by their proto names.
fn names(fields: &[Field]) -> NameTable {
    let json = fields.iter().zip(0..).map(|(field, index)| (&*field.json_name, index));
    let proto = fields.iter().zip(0..).map(|(field, index)| (&*field.name, index));
    NameTable::new(json.chain(proto))
}

/// The low numbers, as long as the table stays about as large as the fields.
fn dense(fields: &[Field]) -> Box<[u16]> {
    let limit = fields.len() as u32 * 4 + 32;
    let top = fields.iter().map(|field| field.number).filter(|number| *number < limit).max();
    let mut dense = vec![0; top.map_or(0, |top| top as usize + 1)];
    for (index, field) in fields.iter().enumerate() {
        if let Some(slot) = dense.get_mut(field.number as usize) {
            *slot = index as u16 + 1;
        }
    }
    dense.into()
}

/// A field's definition, and how it is written and recognised.
#[derive(Debug)]
pub(crate) struct FieldPlan {
    descriptor: Field,
    /// The tag under which the field is written.
    pub(crate) tag: u32,
    pub(crate) encoded_tag: EncodedTag,
    pub(crate) fast_path: FastPath,
    /// The encoded form of `field = true` as a little-endian number of two bytes (the tag,
    /// then 1), for a bool outside oneofs whose tag is one byte and whose key is short;
    /// `u32::MAX`, which no two bytes are, for any other.
    pub(crate) true_bytes: u32,
    /// `,"displayName":`
    pub(crate) json_key: Key,
    /// `,"display_name":`
    pub(crate) proto_key: Key,
}

impl Deref for FieldPlan {
    type Target = Field;

    #[inline]
    fn deref(&self) -> &Field {
        &self.descriptor
    }
}

impl FieldPlan {
    /// With `hidden` the reader does not try the field's key before it looks it up.
    fn new(field: Field, fast_path: FastPath, hidden: bool) -> Self {
        let wire_type = if field.packed { LEN } else { field.kind.wire_type() };
        let tag = field.number << 3 | u32::from(wire_type);
        let text = key_text(&field.json_name);
        let json_key = if hidden { Key::without_block(&text) } else { Key::with_start(&text, fast_path.value_start()) };
        let is_flag =
            fast_path == FastPath::Bool && field.oneof.is_none() && tag < 0x80 && json_key.block_with_start().is_some();
        Self {
            tag,
            encoded_tag: EncodedTag::new(tag),
            fast_path,
            true_bytes: if is_flag { tag | 1 << 8 } else { u32::MAX },
            json_key,
            proto_key: Key::new(&key_text(&field.name)),
            descriptor: field,
        }
    }

    #[inline]
    pub(crate) fn tag_bytes(&self) -> &[u8] {
        self.encoded_tag.as_bytes()
    }

    /// The tag that ends the field, which is a group.
    pub(crate) fn end_tag(&self) -> u64 {
        u64::from(self.number << 3 | u32::from(END))
    }

    /// Appends the field, a message or a group, with its content.
    pub(crate) fn put_content(&self, out: &mut Vec<u8>, content: &[u8]) {
        if self.kind != Kind::Group {
            return wire::put_len(out, self.number, content);
        }
        out.extend_from_slice(self.tag_bytes());
        out.extend_from_slice(content);
        wire::put_varint(out, self.end_tag());
    }
}

/// The kinds of field that most JSON is made of, which the codec's loops take first:
/// singular, and without any rule of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FastPath {
    /// Any other field.
    None,
    Bool,
    String,
    /// An open enum.
    Enum,
    /// A message whose JSON form is an object of its fields.
    Message,
    Timestamp,
}

impl FastPath {
    fn of(field: &Field, parent: JsonMapping, mappings: &[JsonMapping], enums: &[EnumPlan]) -> Self {
        // The items of a MessageSet have a form of their own.
        if field.cardinality != Cardinality::Singular || parent == JsonMapping::MessageSet {
            return Self::None;
        }
        match field.kind {
            Kind::Bool => Self::Bool,
            Kind::String => Self::String,
            Kind::Enum if enums[field.type_index as usize].is_plain() => Self::Enum,
            Kind::Message => match mappings[field.type_index as usize] {
                JsonMapping::Plain => Self::Message,
                JsonMapping::Timestamp => Self::Timestamp,
                _ => Self::None,
            },
            _ => Self::None,
        }
    }

    /// How a value of that kind starts in JSON, unless it is a default.
    pub(crate) fn value_start(self) -> &'static str {
        match self {
            Self::Bool => "true",
            Self::String | Self::Enum | Self::Timestamp => "\"",
            Self::Message => "{",
            Self::None => "",
        }
    }
}

/// Two cheap fingerprints of a key whose quote begins `text`: over its first eight bytes,
/// and over four for keys so short that eight would pass the colon.
#[inline]
pub(crate) fn fingerprints(text: [u8; 8]) -> (u32, u32) {
    let word = u64::from_le_bytes(text);
    ((word >> 32) as u32 ^ word as u32, word as u32)
}

/// The fingerprint by which a key is known: over eight bytes if it has so many behind its
/// comma, with the colon; else over four.
fn fingerprint(key: &Key) -> u32 {
    let Some(block) = key.block() else { return 0 };
    let (long, short) = fingerprints(block.bytes()[1..].first_chunk().copied().unwrap_or_default());
    if block.len() > 8 { long } else { short }
}

fn key_text(name: &str) -> String {
    format!(",{}:", quoted(name))
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = vec![b'"'];
    buf::put_string(&mut quoted, text.as_bytes());
    // The text of a `str` is UTF-8, so that nothing of it is replaced.
    String::from_utf8_lossy(&quoted).into_owned()
}

#[derive(Debug)]
pub(crate) struct EnumPlan {
    descriptor: Enum,
    /// Whether it is `google.protobuf.NullValue`, whose only value is JSON's `null`.
    pub(crate) is_null: bool,
    /// In the order of their numbers, each once.
    by_number: Box<[ValuePlan]>,
    names: NameTable,
}

#[derive(Debug)]
struct ValuePlan {
    number: i32,
    /// The first name of the number, in quotes.
    key: Key,
    /// The place of that name in the definition.
    index: u32,
}

impl Deref for EnumPlan {
    type Target = Enum;

    fn deref(&self) -> &Enum {
        &self.descriptor
    }
}

impl EnumPlan {
    fn new(descriptor: Enum) -> Self {
        let values = descriptor.values.iter().zip(0..);
        let mut by_number: Vec<ValuePlan> = values
            .clone()
            .map(|((name, number), index)| ValuePlan { number: *number, key: Key::new(&quoted(name)), index })
            .collect();
        // A stable sort, so that of several names the first stays first.
        by_number.sort_by_key(|value| value.number);
        by_number.dedup_by_key(|value| value.number);
        let names = NameTable::new(values.map(|((name, _), index)| (&**name, index)));
        let is_null = &*descriptor.name == "google.protobuf.NullValue";
        Self { descriptor, is_null, by_number: by_number.into(), names }
    }

    /// Whether every number is a value, written like any other: an open enum that is not
    /// `NullValue`.
    fn is_plain(&self) -> bool {
        !self.closed && !self.is_null
    }

    /// The number that stands for an absent value: 0, or the first value of a closed
    /// enum, which may not have 0.
    ///
    /// Source: <https://protobuf.dev/programming-guides/proto2/#default>.
    pub(crate) fn default_number(&self) -> i32 {
        if self.closed { self.values.first().map_or(0, |(_, number)| *number) } else { 0 }
    }

    /// The name of a number, in quotes.
    #[inline]
    pub(crate) fn key(&self, number: i32) -> Option<&Key> {
        self.value(number).map(|value| &value.key)
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: i32) -> Option<&str> {
        self.value(number).map(|value| &*self.values[value.index as usize].0)
    }

    #[inline]
    fn value(&self, number: i32) -> Option<&ValuePlan> {
        // Most enums count from 0 without gaps.
        if let Some(value) = self.by_number.get(number as usize)
            && value.number == number
        {
            return Some(value);
        }
        let at = self.by_number.binary_search_by_key(&number, |value| value.number).ok()?;
        Some(&self.by_number[at])
    }

    /// The block of a number's name in quotes, if that is short.
    #[inline]
    pub(crate) fn block(&self, number: i32) -> Option<&Block> {
        self.key(number).and_then(Key::block)
    }

    /// The number of a name.
    #[inline]
    pub(crate) fn number(&self, name: &[u8]) -> Option<i32> {
        self.names.find(name).map(|index| self.values[index as usize].1)
    }

    /// Whether a number is a value: any is one of an open enum.
    #[inline]
    pub(crate) fn has(&self, number: i32) -> bool {
        !self.closed || self.value(number).is_some()
    }
}
