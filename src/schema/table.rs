//! The compiled form of a descriptor set.

use std::collections::HashMap;

use super::{names::NameTable, template::PathTemplate};

/// Everything in a set.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) messages: Vec<MessageType>,
    pub(crate) enums: Vec<EnumType>,
    pub(crate) methods: Vec<MethodType>,
    pub(crate) symbols: HashMap<Box<str>, Symbol>,
    pub(crate) method_paths: HashMap<Box<str>, u32>,
}

impl Tables {
    #[inline(always)]
    pub(crate) fn message_of(&self, field: &Field) -> &MessageType {
        &self.messages[field.type_index as usize]
    }

    #[inline(always)]
    pub(crate) fn enum_of(&self, field: &Field) -> &EnumType {
        &self.enums[field.type_index as usize]
    }

    pub(crate) fn message(&self, name: &str) -> Option<&MessageType> {
        match self.symbols.get(name)? {
            Symbol::Message(index) => Some(&self.messages[*index as usize]),
            _ => None,
        }
    }
}

/// What a full name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Package,
    Message(u32),
    Enum(u32),
    /// A field, oneof, enum value, service, method or extension: a name that
    /// is taken.
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct MessageType {
    pub(crate) name: Box<str>,
    pub(crate) shape: Shape,
    /// In the order of their numbers.
    pub(crate) fields: Vec<Field>,
    /// One more than the index of the field, by its number; 0 for none.
    pub(super) dense: Box<[u16]>,
    pub(crate) names: NameTable,
    pub(crate) oneofs: u16,
}

impl MessageType {
    #[inline(always)]
    pub(crate) fn index_of(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }

    #[inline(always)]
    pub(crate) fn field(&self, number: u32) -> Option<&Field> {
        self.index_of(number).map(|index| &self.fields[index])
    }

    /// The field that JSON calls `name`, by its JSON or its proto name.
    #[inline]
    pub(crate) fn field_named(&self, name: &[u8]) -> Option<(usize, &Field)> {
        let index = self.names.find(name)? as usize;
        Some((index, &self.fields[index]))
    }
}

/// What is special about a message's JSON form.
///
/// Source: <https://protobuf.dev/programming-guides/json/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    #[default]
    Plain,
    MapEntry,
    MessageSet,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// A message of one field, `value`, that stands for that value.
    Wrapper,
    Empty,
}

/// No oneof; see [`Field::oneof`].
pub(crate) const NO_ONEOF: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The tag under which the field is written.
    pub(crate) tag: u32,
    /// The tag, encoded; `tag_len` bytes of it.
    tag_bytes: [u8; 8],
    tag_len: u8,
    pub(crate) kind: Kind,
    pub(crate) cardinality: Cardinality,
    pub(crate) packed: bool,
    /// Whether set and unset differ, so that a default value is printed.
    pub(crate) presence: bool,
    /// `google.api.field_behavior` holds REQUIRED.
    pub(crate) required: bool,
    /// The index of the oneof among the message's (synthetic ones aside).
    pub(crate) oneof: u16,
    /// The message or enum type, by its index in the tables.
    pub(crate) type_index: u32,
    /// `,"displayName":`
    pub(crate) json_key: Key,
    /// `,"display_name":`
    pub(crate) proto_key: Key,
    /// The proto name; `[pkg.ext]` for an extension.
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
}

impl Field {
    pub(super) fn new(name: &str, json_name: &str, number: u32, kind: Kind) -> Self {
        Self {
            number,
            tag: 0,
            tag_bytes: [0; 8],
            tag_len: 0,
            kind,
            cardinality: Cardinality::Singular,
            packed: false,
            presence: false,
            required: false,
            oneof: NO_ONEOF,
            type_index: u32::MAX,
            json_key: Key::field(json_name),
            proto_key: Key::field(name),
            name: name.into(),
            json_name: json_name.into(),
        }
    }

    pub(super) fn set_tag(&mut self) {
        let wire_type = if self.packed { super::wire::LEN } else { self.kind.wire_type() };
        self.tag = self.number << 3 | u32::from(wire_type);
        let mut bytes = Vec::with_capacity(5);
        super::wire::put_varint(&mut bytes, u64::from(self.tag));
        self.tag_len = bytes.len() as u8;
        self.tag_bytes[..bytes.len()].copy_from_slice(&bytes);
    }

    #[inline(always)]
    pub(crate) fn tag_bytes(&self) -> &[u8] {
        &self.tag_bytes[..usize::from(self.tag_len)]
    }

    /// The encoded tag, filled up, and its length.
    #[inline(always)]
    pub(crate) fn tag_word(&self) -> ([u8; 8], usize) {
        (self.tag_bytes, usize::from(self.tag_len))
    }

    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cardinality {
    Singular,
    Repeated,
    Map,
}

/// A field's type, numbered as in `FieldDescriptorProto.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Double = 1,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Group,
    Message,
    Bytes,
    Uint32,
    Enum,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

impl Kind {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        use Kind::*;
        const KINDS: [Kind; 18] = [
            Double, Float, Int64, Uint64, Int32, Fixed64, Fixed32, Bool, String, Group, Message, Bytes, Uint32, Enum,
            Sfixed32, Sfixed64, Sint32, Sint64,
        ];
        KINDS.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }

    pub(crate) fn wire_type(self) -> u8 {
        use super::wire::{FIXED32, FIXED64, LEN, START, VARINT};
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => FIXED32,
            Self::String | Self::Bytes | Self::Message => LEN,
            Self::Group => START,
            _ => VARINT,
        }
    }
}

/// How many bytes of a [`Key`] lie inline.
pub(crate) const INLINE: usize = 32;

/// Text that is copied into JSON as it is.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    inline: [u8; INLINE],
    len: u8,
    long: Box<[u8]>,
}

impl Key {
    pub(crate) fn new(text: &str) -> Self {
        let mut key = Self { inline: [0; INLINE], len: 0, long: Box::default() };
        if let Some(inline) = key.inline.get_mut(..text.len()) {
            inline.copy_from_slice(text.as_bytes());
            key.len = text.len() as u8;
        } else {
            key.long = text.as_bytes().into();
        }
        key
    }

    fn field(name: &str) -> Self {
        Self::new(&format!(",{}:", quoted(name)))
    }

    /// The text with what fills up its block, and its length; `None` if it is
    /// too long for that.
    #[inline(always)]
    pub(crate) fn block(&self) -> Option<(&[u8; INLINE], usize)> {
        (self.len != 0).then_some((&self.inline, usize::from(self.len)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.len == 0 { &self.long } else { &self.inline[..usize::from(self.len)] }
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Debug, Default)]
pub(crate) struct EnumType {
    pub(crate) name: Box<str>,
    pub(crate) closed: bool,
    /// `google.protobuf.NullValue`, whose only value is JSON's `null`.
    pub(crate) null: bool,
    /// By number, with the first name of each, quoted.
    pub(super) values: Vec<(i32, Key)>,
    pub(crate) names: NameTable,
    /// The numbers that [`EnumType::names`] leads to.
    pub(super) numbers: Vec<i32>,
}

impl EnumType {
    /// The value's name, quoted.
    #[inline]
    pub(crate) fn key(&self, number: i32) -> Option<&Key> {
        // Most enums count from 0 without gaps.
        if let Some((found, key)) = self.values.get(number as usize)
            && *found == number
        {
            return Some(key);
        }
        self.position(number).map(|at| &self.values[at].1)
    }

    fn position(&self, number: i32) -> Option<usize> {
        self.values.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    #[inline]
    pub(crate) fn number(&self, name: &[u8]) -> Option<i32> {
        self.names.find(name).map(|at| self.numbers[at as usize])
    }
}

#[derive(Debug)]
pub(crate) struct MethodType {
    pub(crate) path: Box<str>,
    pub(crate) input: u32,
    pub(crate) output: u32,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
    /// The HTTP bindings in declared order.
    pub(crate) rules: Vec<HttpRule>,
}

/// One HTTP binding of a method, resolved.
#[derive(Clone, Debug)]
pub(crate) struct HttpRule {
    pub(crate) verb: http::Method,
    /// `custom` with the kind `*`: any verb.
    pub(crate) any_verb: bool,
    pub(crate) template: PathTemplate,
    /// For each variable of the template, the field indices that lead to it.
    pub(crate) variables: Vec<Box<[u16]>>,
    pub(crate) body: Body,
    /// The index of the response field that makes up the answer's body.
    pub(crate) response_body: Option<u16>,
}

/// Which part of the request message is the HTTP body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// Every field that the path does not bind.
    Rest,
    Field(u16),
}
