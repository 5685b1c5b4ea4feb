//! What a descriptor set says: its files decoded, every name in it resolved, and the whole
//! checked. What the codec makes of it is in `plan.rs`.

mod decode;
mod error;
mod link;

pub use error::DescriptorError;
pub(crate) use link::link;

use crate::{
    json_mapping::JsonMapping,
    wire::{FIXED32, FIXED64, LEN, START, VARINT},
};

/// The definitions of a set, each in the order of the set.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
    pub(crate) methods: Vec<Method>,
}

#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) name: Box<str>,
    pub(crate) mapping: JsonMapping,
    /// In the order of their numbers; extensions among them.
    pub(crate) fields: Vec<Field>,
    /// How many oneofs there are, without those that `optional` makes in proto3.
    pub(crate) oneofs: u16,
    /// The encoded `google.protobuf.MessageOptions`.
    pub(crate) options: Box<[u8]>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) cardinality: Cardinality,
    pub(crate) packed: bool,
    /// Whether set and unset differ, so that a default value is written.
    pub(crate) presence: bool,
    /// The index of the oneof among the message's.
    pub(crate) oneof: Option<u16>,
    /// The message or the enum of the field, by its index in the set.
    pub(crate) type_index: u32,
    /// The proto name; `[package.name]` for an extension.
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// The encoded `google.protobuf.FieldOptions`.
    pub(crate) options: Box<[u8]>,
}

impl Field {
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Group)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Enum {
    pub(crate) name: Box<str>,
    /// Whether a number without a name is no value of the enum.
    pub(crate) closed: bool,
    /// Names and numbers, as they were declared.
    pub(crate) values: Vec<(Box<str>, i32)>,
}

#[derive(Debug)]
pub(crate) struct Method {
    /// The gRPC path.
    pub(crate) path: Box<str>,
    /// The request message, by its index in the set.
    pub(crate) input: u32,
    /// The response message, by its index in the set.
    pub(crate) output: u32,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
    /// The encoded `google.protobuf.MethodOptions`.
    pub(crate) options: Box<[u8]>,
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
    pub(crate) fn from_number(number: u64) -> Option<Self> {
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
