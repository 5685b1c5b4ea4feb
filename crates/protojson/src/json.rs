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

#[cfg(test)]
mod tests {
    use crate::{Defaults, DescriptorPool, WriteOptions};

    /// Small enough for Miri: texts that take every way through reader and writers.
    #[test]
    fn what_is_read_is_written_again() {
        let pool = DescriptorPool::decode(include_bytes!("../tests/proto/all.bin")).unwrap();
        let long = "Where we plan the launch \u{1F680}, day by day, and keep what was decided; ".repeat(3);
        let space = format!(
            r#"{{"name":"spaces/AAQAjCNSsU0","displayName":"Launch \"room\" für alle","spaceType":"SPACE","spaceDetails":{{"description":"{long}","guidelines":"\n"}},"importMode":true,"createTime":"2026-11-24T09:30:00.123456Z","permissionSettings":{{"manageApps":{{"managersAllowed":true,"assistantManagersAllowed":true,"membersAllowed":true}},"viewSpaceMembership":{{"managersAllowed":true,"assistantManagersAllowed":false}}}}}}"#
        );
        let every = r#"{"doubleValue":1.5,"int64Value":"-12","boolValue":false,"grouped":{"inner":1},"bytesValue":"AQI=","closed":"CLOSED_ONE","int64s":["1","-2"],"strings":["","a"],"everies":[{},{"farAway":7}],"byString":{"":1,"a":2},"bySint32":{"-5":{"int32Value":1}},"chosenString":"\\","duration":"1.500s","struct":{"a":[null,1.5,{"b":true}]},"int64Wrapper":"1","aFieldNameThatIsLongerThanTheBlockOfAKey":true}"#;
        for (name, json) in [("example.Space", &*space), ("every.Every", every)] {
            let message = pool.message(name).unwrap();
            let wire = message.from_json(json).unwrap();
            assert_eq!(message.to_json(&wire).unwrap(), json);
            // Twice the same message is the same message, with its lists twice as long.
            assert!(message.to_json(&[&wire[..], &wire].concat()).unwrap().len() >= json.len());
            let options = WriteOptions::default().with_defaults(Defaults::WithoutPresence).with_indent(Some(1));
            let mut whole = Vec::new();
            message.write_json(&wire, &mut whole, &options).unwrap();
            assert_eq!(message.to_json(&message.from_json(&whole).unwrap()).unwrap(), json);
            // Every beginning of either form is refused, or is another message.
            let step = if cfg!(miri) { 97 } else { 1 };
            for end in (0..json.len()).step_by(step) {
                assert!(message.from_json(&json.as_bytes()[..end]).is_err());
            }
            for end in (0..wire.len()).step_by(step) {
                let _ = message.to_json(&wire[..end]);
            }
        }
    }
}
