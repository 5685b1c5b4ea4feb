//! The compiled form of a descriptor set.

use std::collections::HashMap;

use crate::{
    names::NameTable,
    raw,
    wire::{self, END, FIXED32, FIXED64, LEN, START, VARINT},
};

/// Everything in a set.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) messages: Vec<MessageType>,
    pub(crate) enums: Vec<EnumType>,
    pub(crate) methods: Vec<MethodType>,
    pub(crate) symbols: HashMap<Box<str>, Symbol>,
    pub(crate) method_paths: NameTable,
}

impl Tables {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn message_of(&self, field: &Field) -> &MessageType {
        &self.messages[field.type_index as usize]
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
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
    pub(crate) shape: JsonMapping,
    /// In the order of their numbers.
    pub(crate) fields: Vec<Field>,
    /// The [`Key::head`] of each field.
    pub(super) heads: Box<[u32]>,
    /// One more than the index of the field, by its number; 0 for none.
    pub(super) dense: Box<[u16]>,
    pub(crate) names: NameTable,
    pub(crate) oneofs: u16,
    /// Whether the message is a few settings: fields that all have a
    /// [`Field::truth`], at most [`TRUTHS`].
    pub(crate) settings: bool,
}

/// What tells a key from most others, given the text from its quote on: a number
/// of the first eight bytes, and one of the first four, which are never beyond the
/// colon.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn heads_of(text: [u8; 8]) -> (u32, u32) {
    let word = u64::from_le_bytes(text);
    ((word >> 32) as u32 ^ word as u32, word as u32)
}

/// See [`MessageType::settings`].
pub(crate) const TRUTHS: usize = 8;

impl MessageType {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn index_of(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn field(&self, number: u32) -> Option<&Field> {
        self.index_of(number).map(|index| &self.fields[index])
    }

    /// The heads of the fields from an index on; `None` beyond the last field.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn heads(&self, from: usize) -> Option<&[u32]> {
        self.heads.get(from..)
    }

    /// The field that JSON calls `name`, by its JSON or its proto name.
    #[inline]
    pub(crate) fn field_named(&self, name: &[u8]) -> Option<(usize, &Field)> {
        let index = self.names.find(name)? as usize;
        Some((index, &self.fields[index]))
    }
}

/// How a message is mapped to JSON: as an object of its fields, or as one of the
/// well-known types is.
///
/// Source: <https://protobuf.dev/programming-guides/json/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonMapping {
    /// An object of the message's fields.
    #[default]
    Plain,
    /// An entry of a map, which is a member of the map's object.
    MapEntry,
    /// A MessageSet: an object whose keys are names of extensions.
    MessageSet,
    /// `google.protobuf.Any`: an object with an `@type`.
    Any,
    /// `google.protobuf.Timestamp`: a string by RFC 3339.
    Timestamp,
    /// `google.protobuf.Duration`: a string such as `"1.5s"`.
    Duration,
    /// `google.protobuf.FieldMask`: a string of paths with commas between.
    FieldMask,
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: any value.
    Value,
    /// `google.protobuf.ListValue`: any array.
    ListValue,
    /// A wrapper such as `google.protobuf.StringValue`: the value of its only field.
    Wrapper,
    /// `google.protobuf.Empty`: an object without members.
    Empty,
}

impl JsonMapping {
    /// Whether the JSON form is one string, number or bool, which a path and a query can
    /// hold as well.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Timestamp | Self::Duration | Self::FieldMask | Self::Wrapper)
    }
}

/// No oneof; see [`Field::oneof`].
pub(crate) const NO_ONEOF: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The tag under which the field is written.
    pub(crate) tag: u32,
    pub(crate) encoded: Tag,
    pub(crate) kind: Kind,
    pub(crate) cardinality: Cardinality,
    pub(crate) common: Common,
    /// For a bool in no oneof, the two bytes of its tag and `true`, if they are
    /// two and its key is no longer than a block; else what no two bytes are.
    pub(crate) truth: u32,
    pub(crate) packed: bool,
    /// Whether set and unset differ, so that a default value is printed.
    pub(crate) presence: bool,
    /// Its encoded `google.protobuf.FieldOptions`.
    pub(crate) options: Box<[u8]>,
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
            encoded: Tag::default(),
            kind,
            cardinality: Cardinality::Singular,
            common: Common::No,
            truth: u32::MAX,
            packed: false,
            presence: false,
            options: Box::default(),
            oneof: NO_ONEOF,
            type_index: u32::MAX,
            json_key: Key::field(json_name),
            proto_key: Key::field(name),
            name: name.into(),
            json_name: json_name.into(),
        }
    }

    pub(super) fn set_tag(&mut self) {
        let wire_type = if self.packed { LEN } else { self.kind.wire_type() };
        self.tag = self.number << 3 | u32::from(wire_type);
        self.encoded = Tag::new(self.tag);
    }

    /// Fills in what the codec looks at first, once all else is known.
    pub(super) fn set_common(&mut self, common: Common) {
        self.common = common;
        self.json_key.begin(common.begin());
        let short = self.tag < 0x80 && self.oneof == NO_ONEOF && self.json_key.full_block().is_some();
        if common == Common::Bool && short {
            self.truth = self.tag | 1 << 8;
        }
    }

    /// Keeps the key for writing, but out of what the reader guesses by.
    pub(super) fn hide_key(&mut self) {
        self.json_key = Key::outside_of_block(self.json_key.as_bytes());
        self.truth = u32::MAX;
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn tag_bytes(&self) -> &[u8] {
        self.encoded.as_bytes()
    }

    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Group)
    }

    /// Appends the field, a message or a group, with its content.
    pub(crate) fn put_content(&self, out: &mut Vec<u8>, content: &[u8]) {
        if self.kind != Kind::Group {
            return wire::put_len(out, self.number, content);
        }
        out.extend_from_slice(self.tag_bytes());
        out.extend_from_slice(content);
        wire::put_varint(out, u64::from(self.number << 3 | u32::from(END)));
    }
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// At most one.
    Singular,
    /// Any number.
    Repeated,
    /// Any number, each with a key.
    Map,
}

/// A tag as it is on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tag {
    bytes: [u8; 8],
    /// At most 5, always: the codec's copies count on it.
    len: u8,
}

impl Tag {
    fn new(tag: u32) -> Self {
        let mut encoded = Vec::with_capacity(5);
        wire::put_varint(&mut encoded, u64::from(tag));
        let mut bytes = [0; 8];
        bytes[..encoded.len()].copy_from_slice(&encoded);
        Self { bytes, len: encoded.len() as u8 }
    }

    /// At most 5.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// The tag in the lowest bytes, zeros above.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn word(self) -> u64 {
        u64::from_le_bytes(self.bytes)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The kinds of field that most JSON is made of, for the codec's loops to take
/// first: singular, and without any rule of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Common {
    /// Anything else.
    No,
    Bool,
    Text,
    /// An open enum.
    Enum,
    /// A message whose JSON form is an object of its fields.
    Message,
    Timestamp,
}

impl Common {
    /// How a value of that kind begins in JSON, if not with a default.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Bool => "true",
            Self::Text | Self::Enum | Self::Timestamp => "\"",
            Self::Message => "{",
            Self::No => "",
        }
    }
}

/// A field's type, numbered as in `FieldDescriptorProto.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of descriptor.proto say it")]
pub enum Kind {
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
///
/// What follows it in its block is how the value of a field of that kind
/// usually begins, or is whole: `true`, a quote, a brace. So key and beginning
/// are written by one copy, and recognised by one comparison.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    block: Block,
    /// What does not fit into the block, whole.
    long: Box<[u8]>,
}

/// Up to [`INLINE`] bytes of text in a block of fixed size, so that copying and
/// comparing them takes no loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    bytes: [u8; INLINE],
    /// At most `INLINE`, always: the codec's copies count on it.
    len: u8,
    /// The length with the beginning of the value; not less than `len`, at most
    /// `INLINE`; 0 if that does not fit.
    full: u8,
}

impl Block {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bytes(&self) -> &[u8; INLINE] {
        &self.bytes
    }

    /// At most [`INLINE`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// With the beginning of the value; at most [`INLINE`], 0 if that does not
    /// fit.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn full_len(&self) -> usize {
        usize::from(self.full)
    }
}

impl Key {
    pub(crate) fn new(text: &str) -> Self {
        Self::with_value(text.as_bytes(), b"")
    }

    fn with_value(text: &[u8], value: &[u8]) -> Self {
        let mut block = Block { bytes: [0; INLINE], len: 0, full: 0 };
        let Some((inline, rest)) = block.bytes.split_at_mut_checked(text.len()) else {
            return Self { block, long: text.into() };
        };
        inline.copy_from_slice(text);
        block.len = text.len() as u8;
        if let Some(inline) = rest.get_mut(..value.len()) {
            inline.copy_from_slice(value);
            block.full = (text.len() + value.len()) as u8;
        }
        Self { block, long: Box::default() }
    }

    fn outside_of_block(text: &[u8]) -> Self {
        Self { block: Block { bytes: [0; INLINE], len: 0, full: 0 }, long: text.into() }
    }

    fn field(name: &str) -> Self {
        Self::new(&format!(",{}:", quoted(name)))
    }

    /// Puts the beginning of a value behind the key.
    pub(super) fn begin(&mut self, value: &str) {
        *self = Self::with_value(self.as_bytes(), value.as_bytes());
    }

    /// The text, or `None` if it is too long for a block.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn block(&self) -> Option<&Block> {
        (self.block.len != 0).then_some(&self.block)
    }

    /// The text with the beginning of its value, or `None` if that is too long
    /// for a block.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn full_block(&self) -> Option<&Block> {
        (self.block.full != 0).then_some(&self.block)
    }

    /// The same where it is known to be short.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn begun(&self) -> &Block {
        &self.block
    }

    /// That of [`heads_of`] which tells the key: of eight bytes, if it has so many
    /// behind its comma, with the colon; else of four.
    pub(super) fn head(&self) -> u32 {
        let (long, short) = heads_of(self.block.bytes[1..].first_chunk().copied().unwrap_or_default());
        if self.block.len > 8 { long } else { short }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.block.len == 0 { &self.long } else { &self.block.bytes[..self.block.len()] }
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = vec![b'"'];
    // The text of a `str` is UTF-8, so that nothing of it is replaced.
    raw::put_string(&mut quoted, text.as_bytes());
    String::from_utf8_lossy(&quoted).into_owned()
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
    /// Whether every number is a value of its own kind: open, and no
    /// `NullValue`.
    pub(super) fn is_plain(&self) -> bool {
        !self.closed && !self.null
    }

    /// The number that stands for an absent value: 0, or the first value of a closed
    /// enum, which may not have 0.
    ///
    /// Source: <https://protobuf.dev/programming-guides/proto2/#default>.
    pub(crate) fn default_number(&self) -> i32 {
        if self.closed { self.numbers.first().copied().unwrap_or(0) } else { 0 }
    }

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
    /// Its encoded `google.protobuf.MethodOptions`.
    pub(crate) options: Box<[u8]>,
}
