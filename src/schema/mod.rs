//! A `FileDescriptorSet`, compiled once into compact tables.
//!
//! [`Schema::decode`] reads the set, resolves every name in it and checks it
//! whole; afterwards nothing can be missing. An HTTP rule that cannot be used
//! costs its binding alone. The tables are laid out for the codec: a field is found by number with one index, by
//! name with one hash, and carries its JSON keys ready to be copied.
//!
//! ```
//! # #[cfg(feature = "chat")] {
//! use google_chat::{Schema, proto};
//!
//! let schema = Schema::decode(proto::DESCRIPTOR_SET)?;
//! let method = schema.method("/google.chat.v1.ChatService/CreateSpace").unwrap();
//! assert_eq!(method.input().name(), "google.chat.v1.CreateSpaceRequest");
//! # }
//! # Ok::<(), google_chat::SchemaError>(())
//! ```

mod compile;
mod descriptor;
mod error;
mod names;
pub(crate) mod percent;
mod rules;
mod table;
mod template;
pub(crate) mod wire;

use std::{fmt, sync::Arc};

pub use error::SchemaError;
pub use template::{PathTemplate, TemplateError};

pub(crate) use table::*;
pub(crate) use template::{Literal, Segment};

/// A compiled set of protobuf definitions. Cheap to clone.
#[derive(Clone)]
pub struct Schema(pub(crate) Arc<Tables>);

impl Schema {
    /// Compiles an encoded `FileDescriptorSet`, as protoc's
    /// `--descriptor_set_out` (with `--include_imports`) and protox's
    /// `encode_file_descriptor_set` write it.
    ///
    /// The set must be taken from bytes: prost's descriptor types drop the HTTP
    /// rules.
    ///
    /// # Errors
    ///
    /// Names the file and the symbol where an import is missing, a type is
    /// unknown or a name is defined twice; also if the set is empty. An HTTP rule
    /// that cannot be used is no error: its method does without that binding, and
    /// [`Schema::lint`] says why.
    pub fn decode(descriptor_set: &[u8]) -> Result<Self, SchemaError> {
        Self::decode_with_http(descriptor_set, &[])
    }

    /// The same, with HTTP rules from a service config: an encoded
    /// `google.api.Http`. A rule there comes before the annotation of its
    /// method; of several for one method the last holds.
    ///
    /// Source: `google/api/http.proto`, "gRPC API Service Configuration".
    ///
    /// # Errors
    ///
    /// As for [`Schema::decode`], and if a rule's selector is no method of the
    /// set.
    pub fn decode_with_http(descriptor_set: &[u8], http: &[u8]) -> Result<Self, SchemaError> {
        compile::compile(descriptor_set, http).map(|tables| Self(Arc::new(tables)))
    }

    /// The message with the full name `name`, for example
    /// `google.chat.v1.Space`.
    pub fn message(&self, name: &str) -> Option<Message> {
        match self.0.symbols.get(name)? {
            Symbol::Message(index) => Some(Message { schema: self.clone(), index: *index }),
            _ => None,
        }
    }

    /// The method with the gRPC path `path`, for example
    /// `/google.chat.v1.ChatService/CreateSpace`.
    pub fn method(&self, path: &str) -> Option<Method> {
        let index = self.0.method_paths.find(path.as_bytes())?;
        Some(Method { schema: self.clone(), index })
    }

    /// All methods, in the order of the set.
    pub fn methods(&self) -> impl Iterator<Item = Method> + '_ {
        (0..self.0.methods.len() as u32).map(|index| Method { schema: self.clone(), index })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("messages", &self.0.messages.len())
            .field("methods", &self.0.methods.len())
            .finish()
    }
}

/// A message type of a [`Schema`].
#[derive(Clone)]
pub struct Message {
    pub(crate) schema: Schema,
    pub(crate) index: u32,
}

impl Message {
    /// The full name, for example `google.chat.v1.Space`.
    pub fn name(&self) -> &str {
        &self.table().name
    }

    pub(crate) fn table(&self) -> &MessageType {
        &self.schema.0.messages[self.index as usize]
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.name()).finish()
    }
}

/// A method of a service of a [`Schema`].
#[derive(Clone)]
pub struct Method {
    schema: Schema,
    index: u32,
}

impl Method {
    pub(crate) fn table(&self) -> &MethodType {
        &self.schema.0.methods[self.index as usize]
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.schema.0
    }

    /// The gRPC path, for example `/google.chat.v1.ChatService/CreateSpace`.
    pub fn path(&self) -> &str {
        &self.table().path
    }

    /// The request message.
    pub fn input(&self) -> Message {
        Message { schema: self.schema.clone(), index: self.table().input }
    }

    /// The response message.
    pub fn output(&self) -> Message {
        Message { schema: self.schema.clone(), index: self.table().output }
    }

    /// Whether the client sends a stream of messages.
    pub fn is_client_streaming(&self) -> bool {
        self.table().client_streaming
    }

    /// Whether the server answers with a stream of messages.
    pub fn is_server_streaming(&self) -> bool {
        self.table().server_streaming
    }

    /// The HTTP verb and path template of each binding that can be used, the main
    /// one first. Empty where the method has no HTTP rule.
    pub fn http_bindings(&self) -> impl Iterator<Item = (&http::Method, &PathTemplate)> {
        self.table().rules.iter().map(|rule| (&rule.verb, &rule.template))
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Method").field(&self.path()).finish()
    }
}
