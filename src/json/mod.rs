//! Protobuf wire bytes to ProtoJSON text and back, in one pass.
//!
//! Both directions are driven by the schema's tables and go from byte slice to
//! buffer: no message tree, no generated code.
//!
//! Writing JSON streams as long as the bytes are in the common form, fields in
//! ascending order and none twice. On meeting anything else (a field that comes
//! again, a second member of a oneof) the whole message is written once more by
//! the exact path, which collects before it writes. Once in it, it stays in it:
//! trying to stream each submessage again would cost 2 to the depth.
//!
//! ```
//! # #[cfg(feature = "chat")] {
//! use google_chat::{Schema, Space, proto};
//!
//! let schema = Schema::decode(proto::DESCRIPTOR_SET)?;
//! let space: Space = schema.from_json(r#"{"displayName": "Launch room"}"#)?;
//! assert_eq!(space.display_name, "Launch room");
//! assert_eq!(schema.to_json(&space)?, r#"{"displayName":"Launch room"}"#);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Messages nest up to 100 levels, and both directions recur. What must be
//! inlined for speed is so in optimized builds only: without an optimizer each
//! inlined body adds its variables to the frame of every level, and the levels
//! would not fit into a thread's stack.
//!
//! Source: <https://protobuf.dev/programming-guides/json/>.

mod error;
mod exact;
mod indent;
pub(crate) mod mask;
pub(crate) mod merged;
pub(crate) mod number;
mod raw;
mod read;
mod read_well_known;
mod scalar;
pub(crate) mod text;
pub(crate) mod time;
mod write;
mod write_well_known;

pub use error::{ParseError, WriteError};

use crate::schema::{Message, Schema};

pub(crate) use read::{read, read_field, read_single};
pub(crate) use write::{write, write_field};

/// How JSON is written. The default is what Google's own front ends send.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Which fields are written though they hold their default.
    pub defaults: Defaults,
    /// Enum values as numbers, not names.
    pub enums_as_integers: bool,
    /// `display_name`, not `displayName`.
    pub proto_field_names: bool,
    /// How many spaces each level is indented by, on lines of its own; `None`
    /// writes no white space at all.
    pub indent: Option<u8>,
}

/// Which fields are written though they hold their default value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defaults {
    /// None.
    #[default]
    Omit,
    /// Those without presence: there, unset and default are the same. Lists
    /// and maps are among them.
    WithoutPresence,
    /// Those without presence, and every unset message as `null`, so that each
    /// field is there.
    Always,
}

/// How JSON is read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Passes over fields that the message does not have, and over enum names
    /// that the enum does not have.
    pub ignore_unknown: bool,
}

impl Message {
    /// Writes the message with the wire bytes `wire` as JSON.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message, or hold what JSON cannot express.
    pub fn to_json(&self, wire: &[u8]) -> Result<String, WriteError> {
        let mut out = Vec::with_capacity(wire.len() * 3 + 64);
        self.write_json(wire, &mut out, &WriteOptions::default())?;
        // The writer checks every string it copies, so this never fails.
        String::from_utf8(out).map_err(|error| *WriteError::new(error.to_string()))
    }

    /// Appends the message with the wire bytes `wire` to `out`, as JSON.
    ///
    /// With a buffer that is large enough nothing is allocated in the common
    /// case. On an error, `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message, or hold what JSON cannot express.
    pub fn write_json(&self, wire: &[u8], out: &mut Vec<u8>, options: &WriteOptions) -> Result<(), WriteError> {
        write::write(&self.schema.0, self.table(), wire, out, options)
    }

    /// Reads JSON, as the message's wire bytes.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not the JSON form of such a message.
    pub fn from_json(&self, json: impl AsRef<[u8]>) -> Result<Vec<u8>, ParseError> {
        let mut out = Vec::with_capacity(json.as_ref().len());
        self.read_json(json.as_ref(), &mut out, &ReadOptions::default())?;
        Ok(out)
    }

    /// Reads JSON and appends the message's wire bytes to `out`.
    ///
    /// With a buffer that is large enough nothing is allocated in the common
    /// case. On an error, `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not the JSON form of such a message.
    pub fn read_json(&self, json: &[u8], out: &mut Vec<u8>, options: &ReadOptions) -> Result<(), ParseError> {
        read::read(&self.schema.0, self.table(), json, out, options)
    }
}

impl Schema {
    /// Writes a prost message as JSON.
    ///
    /// # Errors
    ///
    /// If the schema does not have the message, or the message holds what JSON
    /// cannot express.
    pub fn to_json<M: prost::Message + prost::Name>(&self, message: &M) -> Result<String, WriteError> {
        let name = M::full_name();
        let found = self.message(&name);
        let schema = found.ok_or_else(|| *WriteError::new(format!("the schema has no message `{name}`")))?;
        schema.to_json(&message.encode_to_vec())
    }

    /// Reads a prost message from JSON.
    ///
    /// # Errors
    ///
    /// If the schema does not have the message, or the text is not its JSON
    /// form.
    pub fn from_json<M: prost::Message + prost::Name + Default>(
        &self,
        json: impl AsRef<[u8]>,
    ) -> Result<M, ParseError> {
        let name = M::full_name();
        let failed = |problem: String| ParseError::new(problem, 0).locate(json.as_ref());
        let schema = self.message(&name).ok_or_else(|| failed(format!("the schema has no message `{name}`")))?;
        let wire = schema.from_json(json.as_ref())?;
        M::decode(wire.as_slice())
            .map_err(|error| failed(format!("the schema's `{name}` is not the program's: {error}")))
    }
}
