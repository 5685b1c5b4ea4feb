//! A field in a message or below it, and its value as a text.

use std::fmt;

use crate::{
    Cardinality, FieldDescriptor, JsonMapping, MessageDescriptor, TextError, plan::MessagePlan, text, wire::DEPTH,
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
        let find = |message: &MessagePlan, name: &str| message.index_of_name(name.as_bytes());
        let mut indices = Vec::new();
        let mut parent = Some(message.plan());
        let plan = message.pool().plan();
        for name in names(path) {
            let found = parent.and_then(|parent| Some((find(parent, name)?, parent)));
            let Some((index, within)) = found.filter(|_| indices.len() < DEPTH as usize) else {
                return Err(TextError::Path(format!("{} has no field `{path}`", message.name())));
            };
            let field = &within.fields[index];
            indices.push(index as u16);
            let plain = field.cardinality == Cardinality::Singular && field.is_message();
            parent = plain.then(|| plan.message_of(field)).filter(|message| message.mapping == JsonMapping::Plain);
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
        let plan = message.pool().plan();
        let mut indices = Vec::new();
        let mut parent = Some(message.plan());
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
            parent = field.is_message().then(|| plan.message_of(field));
        }
        match parent {
            Some(message) if !message.mapping.is_text() => {
                Err(failed(format!("`{path}` is a {}, which has no form as text", message.name)))
            }
            _ => Ok(Self { message: message.clone(), indices: indices.into() }),
        }
    }

    /// The fields along the path.
    pub fn fields(&self) -> impl Iterator<Item = FieldDescriptor<'_>> {
        let pool = self.message.pool();
        let mut message = self.message.plan();
        self.indices.iter().map(move |index| {
            let field = FieldDescriptor::new(pool, message, *index);
            if field.is_message() {
                message = pool.plan().message_of(field.plan());
            }
            field
        })
    }

    /// The indices of the fields along the path, each among those of its message.
    pub fn indices(&self) -> &[u16] {
        &self.indices
    }

    /// The field that the path leads to.
    pub fn leaf(&self) -> Option<FieldDescriptor<'_>> {
        self.fields().last()
    }

    /// Appends the field to an encoded message, with the value that `text` is, as the path
    /// and the query of a URL have it. A repeated field gets one more value.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the value, or that the field has no form as text; nothing is
    /// appended then.
    pub fn put_text(&self, out: &mut Vec<u8>, text: &str) -> Result<(), TextError> {
        let fields: Vec<_> = self.fields().collect();
        let Some((leaf, parents)) = fields.split_last() else { return Ok(()) };
        let mut content = Vec::new();
        text::put(&mut content, leaf.pool().plan(), leaf.plan(), text)?;
        // Protobuf merges the occurrences of a message, so each value is written by itself.
        for parent in parents.iter().rev() {
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
                && self.parent().index_of_name(name.as_bytes()) == Some(usize::from(self.index()))
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
