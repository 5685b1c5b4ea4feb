//! Writes what is not in order: the fields of each message are collected first, then
//! written in the order of their numbers. What comes again is merged as protobuf does.

use crate::{
    Cardinality, Defaults, Kind, WriteError, WriteOptions, buf, map,
    merged::{self, Fields, Occurrence},
    plan::{FieldPlan, MessagePlan, Plan},
    scalar,
    wire::{self, Payload},
    write::{Output, Writer, index_step},
};

type Written<T = ()> = Result<T, WriteError>;

pub(crate) struct Merge<'w>(Output<'w>);

impl<'w> Writer<'w> for Merge<'w> {
    type Error = WriteError;

    fn output(&mut self) -> &mut Output<'w> {
        &mut self.0
    }

    fn fields(&mut self, message: &MessagePlan, pieces: &[&[u8]], depth: u32) -> Written {
        let fields = Fields::read(self.0.plan, message, pieces)?;
        if self.0.options.defaults == Defaults::Omit {
            for found in fields.set() {
                self.member(&message.fields[usize::from(found[0].index)], found, depth)?;
            }
            return Ok(());
        }
        for (index, field) in message.fields.iter().enumerate() {
            if !self.member(field, fields.of(index), depth)? {
                self.default_member(field);
            }
        }
        Ok(())
    }
}

impl<'w> Merge<'w> {
    pub(crate) fn new(plan: &'w Plan, options: &'w WriteOptions, out: &'w mut Vec<u8>) -> Self {
        Self(Output { plan, options, out })
    }

    /// Writes the value of one field of a message: `null` for an unset message, the default
    /// for anything else that is unset.
    pub(crate) fn field(&mut self, message: &MessagePlan, field: &FieldPlan, wire: &[u8]) -> Written {
        let fields = Fields::read(self.0.plan, message, &[wire])?;
        let found = message.index_of(field.number).map_or(&[][..], |index| fields.of(index));
        if !self.value(field, found, wire::DEPTH)? {
            self.default_value(field);
        }
        Ok(())
    }

    /// Writes a field with its name. `false`, with nothing written, if it has no value.
    fn member(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let before = self.0.out.len();
        self.key(field);
        let written = self.value(field, found, depth).map_err(|error| error.within(&field.json_name))?;
        if !written {
            self.0.out.truncate(before);
        }
        Ok(written)
    }

    fn key(&mut self, field: &FieldPlan) {
        let key = if self.0.options.proto_field_names { &field.proto_key } else { &field.json_key };
        match key.block() {
            Some(block) => buf::put_key(self.0.out, block),
            None => self.0.out.extend_from_slice(key.as_bytes()),
        }
    }

    /// Writes what all occurrences of a field are together. `false`, with nothing written,
    /// if that is no value.
    fn value(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let Some(last) = found.last() else { return Ok(false) };
        match field.cardinality {
            Cardinality::Map => {
                let start = self.0.out.len();
                let written = map::object(self, field, &merged::pieces(found), depth)?;
                if !written {
                    self.0.out.truncate(start);
                }
                Ok(written)
            }
            Cardinality::Repeated => self.list(field, found, depth),
            Cardinality::Singular if field.is_message() => {
                let message = self.0.plan.message_of(field);
                self.message(message, &merged::pieces(found), depth - 1)?;
                Ok(true)
            }
            Cardinality::Singular => self.single(field, last.payload),
        }
    }

    fn single(&mut self, field: &FieldPlan, payload: Payload<'_>) -> Written<bool> {
        if !field.presence && scalar::is_default(field.kind, payload) {
            return Ok(false);
        }
        let Output { plan, options, out } = &mut self.0;
        match field.kind {
            Kind::String => scalar::put_string(out, payload.bytes())?,
            Kind::Bytes => scalar::put_bytes(out, payload.bytes()),
            _ => return Ok(scalar::put_json(out, plan, field, payload.bits(), options)),
        }
        Ok(true)
    }

    fn list(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let start = self.0.out.len();
        let mut index = 0;
        merged::elements(field, found, |payload| {
            match payload {
                Payload::Bits(bits) => self.0.bits_element(field, bits),
                Payload::Bytes(content) => {
                    let written = self.content_element(field, content, depth);
                    written.map_err(|error| error.within(&index_step(index)))?;
                }
            }
            index += 1;
            Ok::<_, WriteError>(())
        })?;
        // Empty packed runs and unknown numbers of a closed enum are no elements.
        let any = self.0.out.len() > start;
        if any {
            buf::close(self.0.out, start, b'[', b']');
        }
        Ok(any)
    }

    /// Writes a field without a value, if the options ask for it.
    fn default_member(&mut self, field: &FieldPlan) {
        let always = self.0.options.defaults == Defaults::Always && field.is_message();
        let extension = field.name.starts_with('[');
        if field.oneof.is_none() && !extension && (!field.presence || always) {
            self.key(field);
            self.default_value(field);
        }
    }

    /// Writes what a field without a value holds.
    fn default_value(&mut self, field: &FieldPlan) {
        let Output { plan, options, out } = &mut self.0;
        match (field.cardinality, field.kind) {
            (Cardinality::Repeated, _) => out.extend_from_slice(b"[]"),
            (Cardinality::Map, _) => out.extend_from_slice(b"{}"),
            (_, Kind::Message | Kind::Group) => out.extend_from_slice(b"null"),
            (_, Kind::String | Kind::Bytes) => out.extend_from_slice(b"\"\""),
            _ => {
                let bits = merged::default_payload(plan, field).bits();
                // Every enum has its default among its values.
                if !scalar::put_json(out, plan, field, bits, options) {
                    out.push(b'0');
                }
            }
        }
    }
}
