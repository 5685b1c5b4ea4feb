//! The public handles of a descriptor set: its messages, fields, enums and methods.

use std::{fmt, sync::Arc};

use crate::{
    Cardinality, DescriptorError, JsonMapping, Kind,
    descriptor::{self, Method},
    names::NameTable,
    plan::{EnumPlan, FieldPlan, MessagePlan, Plan},
};

/// A set of protobuf definitions, checked and ready to be looked up. Cheap to clone.
#[derive(Clone)]
pub struct DescriptorPool(Arc<Pool>);

struct Pool {
    plan: Plan,
    methods: Vec<Method>,
    method_paths: NameTable,
}

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
        let definitions = descriptor::link(descriptor_set)?;
        let methods = definitions.methods;
        let method_paths = NameTable::new(methods.iter().zip(0..).map(|(method, index)| (&*method.path, index)));
        let plan = Plan::new(definitions.messages, definitions.enums);
        Ok(Self(Arc::new(Pool { plan, methods, method_paths })))
    }

    /// The message with the full name `name`, for example `google.protobuf.Timestamp`.
    pub fn message(&self, name: &str) -> Option<MessageDescriptor> {
        let index = self.plan().index_of(name)?;
        Some(MessageDescriptor { pool: self.clone(), index })
    }

    /// All messages, in the order of the set; a nested one comes after the one around it.
    pub fn messages(&self) -> impl Iterator<Item = MessageDescriptor> + '_ {
        (0..self.plan().messages.len() as u32).map(|index| MessageDescriptor { pool: self.clone(), index })
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

    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }
}

impl fmt::Debug for DescriptorPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorPool")
            .field("messages", &self.plan().messages.len())
            .field("methods", &self.0.methods.len())
            .finish()
    }
}

/// A message type of a [`DescriptorPool`]. Cheap to clone.
#[derive(Clone)]
pub struct MessageDescriptor {
    pool: DescriptorPool,
    index: u32,
}

impl MessageDescriptor {
    /// The full name, for example `google.protobuf.Timestamp`.
    pub fn name(&self) -> &str {
        &self.plan().name
    }

    /// How the message is mapped to JSON.
    pub fn json_mapping(&self) -> JsonMapping {
        self.plan().mapping
    }

    /// The fields, in the order of their numbers; extensions among them.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldDescriptor<'_>> {
        (0..self.plan().fields.len()).map(|index| self.at(index))
    }

    /// The field with the number `number`.
    pub fn field(&self, number: u32) -> Option<FieldDescriptor<'_>> {
        self.plan().index_of(number).map(|index| self.at(index))
    }

    /// The field that JSON calls `name`, by its JSON name or its proto name.
    pub fn field_named(&self, name: &str) -> Option<FieldDescriptor<'_>> {
        self.plan().index_of_name(name.as_bytes()).map(|index| self.at(index))
    }

    /// The encoded `google.protobuf.MessageOptions`; empty where there are none.
    pub fn options(&self) -> &[u8] {
        &self.plan().options
    }

    fn at(&self, index: usize) -> FieldDescriptor<'_> {
        FieldDescriptor::new(&self.pool, self.plan(), index as u16)
    }

    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn plan(&self) -> &MessagePlan {
        &self.pool.plan().messages[self.index as usize]
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
    pool: &'p DescriptorPool,
    parent: &'p MessagePlan,
    index: u16,
}

impl<'p> FieldDescriptor<'p> {
    pub(crate) fn new(pool: &'p DescriptorPool, parent: &'p MessagePlan, index: u16) -> Self {
        Self { pool, parent, index }
    }

    pub(crate) fn pool(self) -> &'p DescriptorPool {
        self.pool
    }

    /// The message that the field is of.
    pub(crate) fn parent(self) -> &'p MessagePlan {
        self.parent
    }

    pub(crate) fn plan(self) -> &'p FieldPlan {
        &self.parent.fields[usize::from(self.index)]
    }

    /// The place of the field among those of its message, in the order of their numbers.
    pub fn index(self) -> u16 {
        self.index
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.plan().number
    }

    /// The proto name, for example `display_name`; `[package.name]` for an extension.
    pub fn name(self) -> &'p str {
        &self.plan().name
    }

    /// The JSON name, for example `displayName`.
    pub fn json_name(self) -> &'p str {
        &self.plan().json_name
    }

    /// The type of its values.
    pub fn kind(self) -> Kind {
        self.plan().kind
    }

    /// How many values it has.
    pub fn cardinality(self) -> Cardinality {
        self.plan().cardinality
    }

    /// Whether unset and set to the default are two things.
    pub fn has_presence(self) -> bool {
        self.plan().presence
    }

    /// Which oneof of its message the field is a member of; `None` for none, and for
    /// those that `optional` makes in proto3.
    pub fn oneof(self) -> Option<u16> {
        self.plan().oneof
    }

    /// Whether its values are messages, in either encoding.
    pub fn is_message(self) -> bool {
        self.plan().is_message()
    }

    /// The type of its values, if they are messages. That of a map is its entry.
    pub fn message(self) -> Option<MessageDescriptor> {
        let field = self.plan();
        field.is_message().then(|| MessageDescriptor { pool: self.pool.clone(), index: field.type_index })
    }

    /// The full name and the values of its enum, if it has one.
    pub fn enumeration(self) -> Option<EnumDescriptor<'p>> {
        let field = self.plan();
        (field.kind == Kind::Enum).then(|| EnumDescriptor(self.pool.plan().enum_of(field)))
    }

    /// The encoded `google.protobuf.FieldOptions`; empty where there are none.
    pub fn options(self) -> &'p [u8] {
        &self.plan().options
    }

    /// Appends the field, which is a message, to an encoded message.
    pub fn put_message(self, out: &mut Vec<u8>, content: &[u8]) {
        self.plan().put_content(out, content);
    }
}

impl PartialEq for FieldDescriptor<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.parent, other.parent) && self.index == other.index
    }
}

impl Eq for FieldDescriptor<'_> {}

impl fmt::Debug for FieldDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldDescriptor({}.{})", self.parent.name, self.name())
    }
}

/// The enum of a field.
#[derive(Clone, Copy)]
pub struct EnumDescriptor<'p>(&'p EnumPlan);

impl<'p> EnumDescriptor<'p> {
    /// The full name.
    pub fn name(self) -> &'p str {
        &self.0.name
    }

    /// Whether a number without a name is no value of the enum.
    pub fn is_closed(self) -> bool {
        self.0.closed
    }

    /// The names of the values and their numbers, as they were declared.
    pub fn values(self) -> impl Iterator<Item = (&'p str, i32)> {
        self.0.values.iter().map(|(name, number)| (&**name, *number))
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
    fn method(&self) -> &Method {
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
        &self.method().path
    }

    /// The request message.
    pub fn input(&self) -> MessageDescriptor {
        MessageDescriptor { pool: self.pool.clone(), index: self.method().input }
    }

    /// The response message.
    pub fn output(&self) -> MessageDescriptor {
        MessageDescriptor { pool: self.pool.clone(), index: self.method().output }
    }

    /// Whether the client sends a stream of messages.
    pub fn is_client_streaming(&self) -> bool {
        self.method().client_streaming
    }

    /// Whether the server responds with a stream of messages.
    pub fn is_server_streaming(&self) -> bool {
        self.method().server_streaming
    }

    /// The encoded `google.protobuf.MethodOptions`; empty where there are none.
    pub fn options(&self) -> &[u8] {
        &self.method().options
    }
}

impl fmt::Debug for MethodDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MethodDescriptor").field(&self.path()).finish()
    }
}
