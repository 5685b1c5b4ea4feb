//! The codec's public face: what descriptors do with bytes and text.

#[cfg(feature = "prost")]
use crate::DescriptorPool;
use crate::{FieldDescriptor, MessageDescriptor, ParseError, ReadOptions, WriteError, WriteOptions, read, write};

impl MessageDescriptor {
    /// Writes an encoded message as JSON.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message, or hold what JSON cannot express.
    pub fn to_json(&self, wire: &[u8]) -> Result<String, WriteError> {
        let mut out = Vec::with_capacity(wire.len() * 3 + 64);
        self.write_json(wire, &mut out, &WriteOptions::default())?;
        // The writer checks every string it copies, so this never fails.
        String::from_utf8(out).map_err(|error| WriteError::new(error.to_string()))
    }

    /// Appends an encoded message to `out`, as JSON.
    ///
    /// With a buffer that is large enough nothing is allocated in the common
    /// case. On an error, `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message, or hold what JSON cannot express.
    pub fn write_json(&self, wire: &[u8], out: &mut Vec<u8>, options: &WriteOptions) -> Result<(), WriteError> {
        write::write(self.pool().plan(), self.plan(), wire, out, options)
    }

    /// Reads JSON, as an encoded message.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not the JSON form of such a message.
    pub fn from_json(&self, json: impl AsRef<[u8]>) -> Result<Vec<u8>, ParseError> {
        let mut out = Vec::with_capacity(json.as_ref().len());
        self.read_json(json.as_ref(), &mut out, &ReadOptions::default())?;
        Ok(out)
    }

    /// Reads JSON and appends the encoded message to `out`.
    ///
    /// With a buffer that is large enough nothing is allocated in the common
    /// case. On an error, `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not the JSON form of such a message.
    pub fn read_json(&self, json: &[u8], out: &mut Vec<u8>, options: &ReadOptions) -> Result<(), ParseError> {
        read::read(self.pool().plan(), self.plan(), json, out, options)
    }
}

impl FieldDescriptor<'_> {
    /// Appends the JSON of the field's value in an encoded message of its type: `null` for
    /// a message that is not set, the default for anything else that is not. On an error,
    /// `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the bytes are not such a message, or the value is one that JSON cannot express.
    pub fn write_json(self, wire: &[u8], out: &mut Vec<u8>, options: &WriteOptions) -> Result<(), WriteError> {
        write::write_field(self.pool().plan(), self.parent(), self.plan(), wire, out, options)
    }

    /// Reads the JSON of the field's value and appends the encoded field to `out`. `null`
    /// leaves it unset. On an error, `out` is as it was.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not the JSON form of such a value.
    pub fn read_json(self, json: &[u8], out: &mut Vec<u8>, options: &ReadOptions) -> Result<(), ParseError> {
        read::read_field(self.pool().plan(), self.plan(), json, out, options)
    }
}

#[cfg(feature = "prost")]
impl DescriptorPool {
    /// Writes a prost message as JSON.
    ///
    /// # Errors
    ///
    /// If the pool does not have the message, or the message holds what JSON cannot
    /// express.
    pub fn to_json<M: prost::Message + prost::Name>(&self, message: &M) -> Result<String, WriteError> {
        let name = M::full_name();
        let found = self.message(&name);
        let descriptor = found.ok_or_else(|| WriteError::new(format!("the pool has no message `{name}`")))?;
        descriptor.to_json(&message.encode_to_vec())
    }

    /// Reads a prost message from JSON.
    ///
    /// # Errors
    ///
    /// If the pool does not have the message, or the text is not its JSON form.
    pub fn from_json<M: prost::Message + prost::Name + Default>(
        &self,
        json: impl AsRef<[u8]>,
    ) -> Result<M, ParseError> {
        let name = M::full_name();
        let failed = |problem: String| ParseError::new(problem, 0).locate(json.as_ref());
        let descriptor = self.message(&name).ok_or_else(|| failed(format!("the pool has no message `{name}`")))?;
        let wire = descriptor.from_json(json.as_ref())?;
        M::decode(wire.as_slice()).map_err(|error| failed(format!("the pool's `{name}` is not the program's: {error}")))
    }
}
