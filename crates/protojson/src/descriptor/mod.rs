//! Descriptor sets, decoded once into a pool.
//!
//! [`DescriptorPool::decode`] reads a `FileDescriptorSet`, resolves every name in it and
//! checks it whole; afterwards nothing can be missing. Options stay as they are encoded,
//! for whoever knows them.

mod decode;
mod error;
mod link;
mod table;

use std::{fmt, sync::Arc};

pub use error::DescriptorError;
pub use table::{Cardinality, JsonMapping, Kind};

pub(crate) use table::*;

/// A set of protobuf definitions, checked and ready to be looked up. Cheap to clone.
#[derive(Clone)]
pub struct DescriptorPool(pub(crate) Arc<Tables>);

impl DescriptorPool {
    /// Decodes a `FileDescriptorSet`, as protoc's `--descriptor_set_out` (with
    /// `--include_imports`) and protox's `encode_file_descriptor_set` write it.
    ///
    /// The set must be taken from bytes: prost's descriptor types drop the options of
    /// other packages, such as `google.api.http`.
    ///
    /// # Errors
    ///
    /// Names the file and the symbol where an import is missing, a type is unknown or a
    /// name is defined twice; also if the set is empty.
    pub fn decode(descriptor_set: &[u8]) -> Result<Self, DescriptorError> {
        link::link(descriptor_set).map(|tables| Self(Arc::new(tables)))
    }

    /// The message with the full name `name`, for example `google.protobuf.Timestamp`.
    pub fn message(&self, name: &str) -> Option<MessageDescriptor> {
        match self.0.symbols.get(name)? {
            Symbol::Message(index) => Some(MessageDescriptor { pool: self.clone(), index: *index }),
            _ => None,
        }
    }

    /// All messages, in the order of the set; a nested one comes after the one around it.
    pub fn messages(&self) -> impl Iterator<Item = MessageDescriptor> + '_ {
        (0..self.0.messages.len() as u32).map(|index| MessageDescriptor { pool: self.clone(), index })
    }

    /// The method with the gRPC path `path`, for example
    /// `/google.chat.v1.ChatService/CreateSpace`.
    pub fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let index = self.0.method_paths.find(path.as_bytes())?;
        Some(MethodDescriptor { pool: self.clone(), index })
    }

    /// All methods, in the order of the set.
    pub fn methods(&self) -> impl Iterator<Item = MethodDescriptor> + '_ {
        (0..self.0.methods.len() as u32).map(|index| MethodDescriptor { pool: self.clone(), index })
    }
}

impl fmt::Debug for DescriptorPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorPool")
            .field("messages", &self.0.messages.len())
            .field("methods", &self.0.methods.len())
            .finish()
    }
}

/// A message type of a [`DescriptorPool`]. Cheap to clone.
#[derive(Clone)]
pub struct MessageDescriptor {
    pub(crate) pool: DescriptorPool,
    pub(crate) index: u32,
}

impl MessageDescriptor {
    /// The full name, for example `google.protobuf.Timestamp`.
    pub fn name(&self) -> &str {
        &self.table().name
    }

    /// How the message is mapped to JSON.
    pub fn json_mapping(&self) -> JsonMapping {
        self.table().shape
    }

    /// The fields, in the order of their numbers; extensions among them.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldDescriptor<'_>> {
        (0..self.table().fields.len()).map(|index| self.at(index))
    }

    /// The field with the number `number`.
    pub fn field(&self, number: u32) -> Option<FieldDescriptor<'_>> {
        self.table().index_of(number).map(|index| self.at(index))
    }

    /// The field that JSON calls `name`, by its JSON name or its proto name.
    pub fn field_named(&self, name: &str) -> Option<FieldDescriptor<'_>> {
        self.table().field_named(name.as_bytes()).map(|(index, _)| self.at(index))
    }

    fn at(&self, index: usize) -> FieldDescriptor<'_> {
        FieldDescriptor { pool: &self.pool, message: self.table(), index: index as u16 }
    }

    pub(crate) fn table(&self) -> &MessageType {
        &self.pool.0.messages[self.index as usize]
    }
}

impl PartialEq for MessageDescriptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool.0, &other.pool.0) && self.index == other.index
    }
}

impl Eq for MessageDescriptor {}

impl fmt::Debug for MessageDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MessageDescriptor").field(&self.name()).finish()
    }
}

/// A field of a [`MessageDescriptor`].
#[derive(Clone, Copy)]
pub struct FieldDescriptor<'p> {
    pub(crate) pool: &'p DescriptorPool,
    pub(crate) message: &'p MessageType,
    pub(crate) index: u16,
}

impl<'p> FieldDescriptor<'p> {
    pub(crate) fn table(self) -> &'p Field {
        &self.message.fields[usize::from(self.index)]
    }

    /// The place of the field among those of its message, in the order of their numbers.
    pub fn index(self) -> u16 {
        self.index
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.table().number
    }

    /// The proto name, for example `display_name`; `[package.name]` for an extension.
    pub fn name(self) -> &'p str {
        &self.table().name
    }

    /// The JSON name, for example `displayName`.
    pub fn json_name(self) -> &'p str {
        &self.table().json_name
    }

    /// The type of its values.
    pub fn kind(self) -> Kind {
        self.table().kind
    }

    /// How many values it has.
    pub fn cardinality(self) -> Cardinality {
        self.table().cardinality
    }

    /// Whether unset and set to the default are two things.
    pub fn has_presence(self) -> bool {
        self.table().presence
    }

    /// Which oneof of its message the field is a member of; `None` for none, and for
    /// those that `optional` makes in proto3.
    pub fn oneof(self) -> Option<u16> {
        (self.table().oneof != NO_ONEOF).then_some(self.table().oneof)
    }

    /// Whether its values are messages, in either encoding.
    pub fn is_message(self) -> bool {
        self.table().is_message()
    }

    /// The type of its values, if they are messages. That of a map is its entry.
    pub fn message(self) -> Option<MessageDescriptor> {
        let field = self.table();
        field.is_message().then(|| MessageDescriptor { pool: self.pool.clone(), index: field.type_index })
    }

    /// The full name and the values of its enum, if it has one.
    pub fn enumeration(self) -> Option<EnumDescriptor<'p>> {
        let field = self.table();
        (field.kind == Kind::Enum).then(|| EnumDescriptor(self.pool.0.enum_of(field)))
    }

    /// The encoded `google.protobuf.FieldOptions`; empty where there are none.
    pub fn options(self) -> &'p [u8] {
        &self.table().options
    }

    /// Appends the field, which is a message, to an encoded message.
    pub fn put_message(self, out: &mut Vec<u8>, content: &[u8]) {
        self.table().put_content(out, content);
    }
}

impl PartialEq for FieldDescriptor<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.message, other.message) && self.index == other.index
    }
}

impl Eq for FieldDescriptor<'_> {}

impl fmt::Debug for FieldDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldDescriptor({}.{})", self.message.name, self.name())
    }
}

/// The enum of a field.
#[derive(Clone, Copy)]
pub struct EnumDescriptor<'p>(&'p EnumType);

impl<'p> EnumDescriptor<'p> {
    /// The full name.
    pub fn name(self) -> &'p str {
        &self.0.name
    }

    /// Whether a number without a name is no value of the enum.
    pub fn is_closed(self) -> bool {
        self.0.closed
    }

    /// The number of the value with that name.
    pub fn number(self, name: &str) -> Option<i32> {
        self.0.number(name.as_bytes())
    }
}

impl fmt::Debug for EnumDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnumDescriptor").field(&self.name()).finish()
    }
}

/// A method of a service of a [`DescriptorPool`]. Cheap to clone.
#[derive(Clone)]
pub struct MethodDescriptor {
    pool: DescriptorPool,
    index: u32,
}

impl MethodDescriptor {
    fn table(&self) -> &MethodType {
        &self.pool.0.methods[self.index as usize]
    }

    /// The pool that the method is in.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The place of the method among those of its pool.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// The gRPC path, for example `/google.chat.v1.ChatService/CreateSpace`.
    pub fn path(&self) -> &str {
        &self.table().path
    }

    /// The request message.
    pub fn input(&self) -> MessageDescriptor {
        MessageDescriptor { pool: self.pool.clone(), index: self.table().input }
    }

    /// The response message.
    pub fn output(&self) -> MessageDescriptor {
        MessageDescriptor { pool: self.pool.clone(), index: self.table().output }
    }

    /// Whether the client sends a stream of messages.
    pub fn is_client_streaming(&self) -> bool {
        self.table().client_streaming
    }

    /// Whether the server responds with a stream of messages.
    pub fn is_server_streaming(&self) -> bool {
        self.table().server_streaming
    }

    /// The encoded `google.protobuf.MethodOptions`; empty where there are none.
    pub fn options(&self) -> &[u8] {
        &self.table().options
    }
}

impl fmt::Debug for MethodDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MethodDescriptor").field(&self.path()).finish()
    }
}
