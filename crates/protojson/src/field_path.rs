//! A field in a message or below it, and its value as a text.

use std::fmt;

use crate::{
    FieldDescriptor, MessageDescriptor, TextError,
    descriptor::{Cardinality, Field, JsonMapping, Kind, MessageType},
    mask, raw, read,
    wire::{DEPTH, put_len},
};

/// The way to a field: through singular messages, from a message on.
///
/// ```
/// # let pool = protojson::DescriptorPool::decode(include_bytes!("../tests/room.bin"))?;
/// let room = pool.message("example.Room").unwrap();
/// let path = protojson::FieldPath::parse(&room, "displayName")?;
/// let mut encoded = Vec::new();
/// path.put_text(&mut encoded, "Library")?;
/// assert_eq!(encoded, b"\x0a\x07Library");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FieldPath {
    message: MessageDescriptor,
    indices: Box<[u16]>,
}

impl FieldPath {
    /// Finds the field at a dotted path of JSON names or proto names, as queries have
    /// them. An extension's name, in brackets, is one with its dots.
    ///
    /// # Errors
    ///
    /// If there is no such field, or none that a text can give.
    pub fn parse(message: &MessageDescriptor, path: &str) -> Result<Self, TextError> {
        let find = |message: &MessageType, name: &str| message.field_named(name.as_bytes()).map(|(index, _)| index);
        let mut indices = Vec::new();
        let mut parent = Some(message.table());
        let tables = &message.pool.0;
        for name in names(path) {
            let found = parent.and_then(|parent| Some((find(parent, name)?, parent)));
            let Some((index, within)) = found.filter(|_| indices.len() < DEPTH as usize) else {
                return Err(TextError::Path(format!("{} has no field `{path}`", message.name())));
            };
            let field = &within.fields[index];
            indices.push(index as u16);
            let plain = field.cardinality == Cardinality::Singular && field.is_message();
            parent = plain.then(|| tables.message_of(field)).filter(|message| message.shape == JsonMapping::Plain);
        }
        Ok(Self { message: message.clone(), indices: indices.into() })
    }

    /// Finds the field at a dotted path of proto names alone, as the variables of a path
    /// template have them: one with a single value that is text in JSON, a number or a
    /// bool.
    ///
    /// # Errors
    ///
    /// If there is no such field.
    pub fn parse_proto(message: &MessageDescriptor, path: &str) -> Result<Self, TextError> {
        let failed = |problem: String| TextError::Path(problem);
        let tables = &message.pool.0;
        let mut indices = Vec::new();
        let mut parent = Some(message.table());
        for name in path.split('.') {
            let Some(within) = parent else {
                return Err(failed(format!("`{path}` goes through a field that is not a message")));
            };
            let index = within.fields.iter().position(|field| &*field.name == name);
            let index = index.ok_or_else(|| failed(format!("`{path}`: {} has no field `{name}`", within.name)))?;
            let field = &within.fields[index];
            if field.cardinality != Cardinality::Singular {
                return Err(failed(format!("`{path}`: `{name}` is a repeated field or a map")));
            }
            indices.push(index as u16);
            parent = field.is_message().then(|| tables.message_of(field));
        }
        match parent {
            Some(message) if !message.shape.is_text() => {
                Err(failed(format!("`{path}` is a {}, which has no form as text", message.name)))
            }
            _ => Ok(Self { message: message.clone(), indices: indices.into() }),
        }
    }

    /// The fields along the path.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = FieldDescriptor<'_>> {
        let pool = &self.message.pool;
        let mut message = self.message.table();
        let mut fields = Vec::with_capacity(self.indices.len());
        for index in &self.indices {
            let field = FieldDescriptor { pool, message, index: *index };
            fields.push(field);
            if field.is_message() {
                message = pool.0.message_of(field.table());
            }
        }
        fields.into_iter()
    }

    /// The indices of the fields along the path, each among those of its message.
    pub fn indices(&self) -> &[u16] {
        &self.indices
    }

    /// The field that the path leads to.
    pub fn leaf(&self) -> Option<FieldDescriptor<'_>> {
        self.fields().next_back()
    }

    /// Appends the field to an encoded message, with the value that `text` is, as the path
    /// and the query of a URL have it. A repeated field gets one more value.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the value, or that the field has no form as text; nothing is
    /// appended then.
    pub fn put_text(&self, out: &mut Vec<u8>, text: &str) -> Result<(), TextError> {
        let mut fields = self.fields().rev();
        let Some(leaf) = fields.next() else { return Ok(()) };
        let mut content = Vec::new();
        put_leaf(&mut content, leaf, text)?;
        // Protobuf merges the occurrences of a message, so each value is written by itself.
        for parent in fields {
            let mut wrapped = Vec::new();
            parent.put_message(&mut wrapped, &content);
            content = wrapped;
        }
        out.extend_from_slice(&content);
        Ok(())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, field) in self.fields().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(field.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({}.{self})", self.message.name())
    }
}

impl<'p> FieldDescriptor<'p> {
    /// The name by which [`FieldPath::parse`] finds the field: its JSON name; or its proto
    /// name, where dots in the JSON name would make a path of it, or another field is
    /// found by it. `None` if neither is of use.
    pub fn path_name(self) -> Option<&'p str> {
        [self.json_name(), self.name()].into_iter().find(|name| {
            let mut parts = names(name);
            parts.next() == Some(name)
                && parts.next().is_none()
                && self.message.names.find(name.as_bytes()) == Some(u32::from(self.index))
        })
    }
}

/// The names along a dotted path; an extension's, in brackets, is one with its dots.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let mut bracket = false;
    path.split(move |c| {
        bracket = match c {
            '[' => true,
            ']' => false,
            _ => bracket,
        };
        c == '.' && !bracket
    })
}

fn put_leaf(out: &mut Vec<u8>, leaf: FieldDescriptor<'_>, text: &str) -> Result<(), TextError> {
    let (tables, field) = (&leaf.pool.0, leaf.table());
    let mut kind = field.kind;
    if field.is_message() {
        let message = tables.message_of(field);
        match message.shape {
            JsonMapping::Wrapper => kind = message.fields.first().map_or(kind, |field| field.kind),
            JsonMapping::FieldMask => {
                put_mask(out, field, text);
                return Ok(());
            }
            JsonMapping::Timestamp | JsonMapping::Duration => {}
            _ => {
                let problem = format!("`{}` is a {}, which has no form as text", field.json_name, message.name);
                return Err(TextError::Path(problem));
            }
        }
    }
    let json = match (kind, text) {
        // Google's Python client spells them so, and other gateways take the digits.
        (Kind::Bool, "true" | "True" | "1") => b"true".to_vec(),
        (Kind::Bool, "false" | "False" | "0") => b"false".to_vec(),
        (Kind::Enum, "null") if tables.enum_of(field).null => text.into(),
        (Kind::Enum, _) if text.parse::<i32>().is_ok() => text.into(),
        _ => {
            let mut json = vec![b'"'];
            raw::put_string(&mut json, text.as_bytes());
            json
        }
    };
    let read = match field.cardinality {
        Cardinality::Repeated => {
            let list = [b"[", &*json, b"]"].concat();
            read::read_field(tables, field, &list, out, &Default::default())
        }
        _ => read::read_single(tables, field, &json, out, &Default::default()),
    };
    read.map_err(|error| TextError::Value(error.problem().to_owned()))
}

/// Writes a field mask. Each path may be spelled in JSON names or in proto
/// names; one with an underscore is in proto names.
fn put_mask(out: &mut Vec<u8>, leaf: &Field, text: &str) {
    let mut paths = Vec::new();
    for path in mask::paths(text).filter(|path| !path.is_empty()) {
        let mut snake = Vec::with_capacity(path.len() + 4);
        if mask::is_snake(path) {
            snake.extend_from_slice(path.as_bytes());
        } else {
            mask::put_snake(&mut snake, path.as_bytes());
        }
        put_len(&mut paths, 1, &snake);
    }
    put_len(out, leaf.number, &paths);
}
