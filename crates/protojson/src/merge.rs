//! Writes what is not in order: the fields of each message are collected first, then
//! written in the order of their numbers. What comes again is merged as protobuf does.

use std::borrow::Cow;

use crate::{
    Cardinality, Defaults, Kind, WriteError, WriteOptions, buf, map,
    merged::{self, Fields, Occurrence},
    plan::{FieldPlan, MessagePlan, Plan},
    scalar,
    selector::{Cursor, Level, Place},
    wire::{self, Payload},
    write::{Output, Writer, index_step},
};

type Written<T = ()> = Result<T, WriteError>;

pub(crate) struct Merge<'w> {
    output: Output<'w>,
    /// Where it is in what is selected of the fields; `None` if all of them are.
    selected: Option<Cursor<'w>>,
}

impl<'w> Writer<'w> for Merge<'w> {
    type Error = WriteError;

    fn output(&mut self) -> &mut Output<'w> {
        &mut self.output
    }

    fn fields(&mut self, message: &MessagePlan, pieces: &[&[u8]], depth: u32) -> Written {
        let fields = Fields::read(self.output.plan, message, pieces)?;
        if self.output.options.defaults == Defaults::Omit {
            for found in fields.set() {
                let index = usize::from(found[0].index);
                let Some(level) = self.enter_field(message, index) else { continue };
                self.member(&message.fields[index], found, depth)?;
                self.leave(level);
            }
            return Ok(());
        }
        for (index, field) in message.fields.iter().enumerate() {
            let Some(level) = self.enter_field(message, index) else { continue };
            if !self.member(field, fields.of(index), depth)? {
                self.default_member(field);
            }
            self.leave(level);
        }
        Ok(())
    }

    fn enter<'k>(&mut self, member: impl FnOnce() -> (Cow<'k, [u8]>, Place)) -> Option<Level> {
        let Some(selected) = &mut self.selected else { return Some(Level::default()) };
        let (key, place) = member();
        // A key that is not UTF-8 is refused where it is written.
        selected.enter(std::iter::once(&*String::from_utf8_lossy(&key)), place)
    }

    fn leave(&mut self, level: Level) {
        if let Some(selected) = &mut self.selected {
            selected.leave(level);
        }
    }
}

impl<'w> Merge<'w> {
    pub(crate) fn new(plan: &'w Plan, options: &'w WriteOptions, out: &'w mut Vec<u8>) -> Self {
        Self { output: Output { plan, options, out }, selected: options.fields.as_ref().map(Cursor::new) }
    }

    /// Writes the value of one field of a message: `null` for an unset message, the default
    /// for anything else that is unset.
    pub(crate) fn field(&mut self, message: &MessagePlan, field: &FieldPlan, wire: &[u8]) -> Written {
        let fields = Fields::read(self.output.plan, message, &[wire])?;
        let found = message.index_of(field.number).map_or(&[][..], |index| fields.of(index));
        if !self.value(field, found, wire::DEPTH)? {
            self.default_value(field);
        }
        Ok(())
    }

    fn enter_field(&mut self, message: &MessagePlan, index: usize) -> Option<Level> {
        match &mut self.selected {
            Some(selected) => selected.enter_field(self.output.plan, message, index),
            None => Some(Level::default()),
        }
    }

    /// Writes a field with its name. `false`, with nothing written, if it has no value.
    fn member(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let before = self.output.out.len();
        self.key(field);
        let written = self.value(field, found, depth).map_err(|error| error.within(&field.json_name))?;
        if !written {
            self.output.out.truncate(before);
        }
        Ok(written)
    }

    fn key(&mut self, field: &FieldPlan) {
        let key = if self.output.options.proto_field_names { &field.proto_key } else { &field.json_key };
        match key.block() {
            Some(block) => buf::put_key(self.output.out, block),
            None => self.output.out.extend_from_slice(key.as_bytes()),
        }
    }

    /// Writes what all occurrences of a field are together. `false`, with nothing written,
    /// if that is no value.
    fn value(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let Some(last) = found.last() else { return Ok(false) };
        match field.cardinality {
            Cardinality::Map => {
                let start = self.output.out.len();
                let written = map::object(self, field, &merged::pieces(found), depth)?;
                if !written {
                    self.output.out.truncate(start);
                }
                Ok(written)
            }
            Cardinality::Repeated => self.list(field, found, depth),
            Cardinality::Singular if field.is_message() => {
                let message = self.output.plan.message_of(field);
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
        let Output { plan, options, out } = &mut self.output;
        match field.kind {
            Kind::String => scalar::put_string(out, payload.bytes())?,
            Kind::Bytes => scalar::put_bytes(out, payload.bytes()),
            _ => return Ok(scalar::put_json(out, plan, field, payload.bits(), options)),
        }
        Ok(true)
    }

    fn list(&mut self, field: &FieldPlan, found: &[Occurrence<'_>], depth: u32) -> Written<bool> {
        let start = self.output.out.len();
        let mut index = 0;
        merged::elements(field, found, |payload| {
            match payload {
                Payload::Bits(bits) => self.output.bits_element(field, bits),
                Payload::Bytes(content) => {
                    let written = self.content_element(field, content, depth);
                    written.map_err(|error| error.within(&index_step(index)))?;
                }
            }
            index += 1;
            Ok::<_, WriteError>(())
        })?;
        // Empty packed runs and unknown numbers of a closed enum are no elements.
        let any = self.output.out.len() > start;
        if any {
            buf::close(self.output.out, start, b'[', b']');
        }
        Ok(any)
    }

    /// Writes a field without a value, if the options ask for it.
    fn default_member(&mut self, field: &FieldPlan) {
        let always = self.output.options.defaults == Defaults::Always && field.is_message();
        let extension = field.name.starts_with('[');
        if field.oneof.is_none() && !extension && (!field.presence || always) {
            self.key(field);
            self.default_value(field);
        }
    }

    /// Writes what a field without a value holds.
    fn default_value(&mut self, field: &FieldPlan) {
        let Output { plan, options, out } = &mut self.output;
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
