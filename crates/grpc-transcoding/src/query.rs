//! The query: fields that neither path nor body carries.

use std::{borrow::Cow, fmt};

use tonic::Status;

use crate::{
    json::{
        self, ReadOptions, mask,
        merged::{self, Fields},
        text::{self, Base64},
    },
    schema::{
        Cardinality, Field, Kind, Message, MessageType, NO_ONEOF, Shape, Tables,
        percent::{decode, encode},
        wire::{DEPTH, put_len},
    },
};

/// Appends the fields of a message, whose names begin with `prefix`, as query
/// parameters.
///
/// `within` are the messages around the fields, by their indices: http.proto
/// has no query for a message within one of its own kind. One that is set but
/// empty has no form in a query either, and is left out.
pub(super) fn put_message(
    target: &mut String,
    tables: &Tables,
    message: &MessageType,
    prefix: &str,
    fields: &Fields<'_>,
    within: &[u32],
    skip: &dyn Fn(usize) -> bool,
) -> Result<(), String> {
    for (index, field) in message.fields.iter().enumerate().filter(|(index, _)| !skip(*index)) {
        let found = fields.of(index);
        let singular = field.cardinality == Cardinality::Singular;
        if found.is_empty() {
            // A required field goes even where it holds its default; a member of a oneof
            // that is not set would set it.
            let must = field.required && singular && !field.is_message() && field.oneof == NO_ONEOF;
            if !must || !prefix.is_empty() {
                continue;
            }
        }
        let name = parameter_name(message, index, prefix)?;
        let failed = |error: Box<json::WriteError>| format!("field `{name}`: {error}");
        if field.cardinality == Cardinality::Map {
            return Err(format!("field `{name}` is a map, which a query cannot carry"));
        }
        if field.is_message() {
            let nested = tables.message_of(field);
            match nested.shape {
                shape if shape.is_text() && singular => {}
                Shape::Plain if singular && within.contains(&field.type_index) => {
                    return Err(format!("field `{name}` is recursive, which a query cannot carry"));
                }
                Shape::Plain if singular => {
                    let within = [within, &[field.type_index]].concat();
                    let fields =
                        Fields::read(tables, nested, &merged::pieces(found)).map_err(|error| error.to_string())?;
                    put_message(target, tables, nested, &name, &fields, &within, &|_| false)?;
                    continue;
                }
                _ => return Err(format!("field `{name}` is a {}, which a query cannot carry", nested.name)),
            }
        }
        if singular {
            let unset = found.last().is_some_and(|last| merged::is_default(field, last.payload));
            if field.presence || field.required || !unset {
                let text = text::singular(tables, field, found, Base64::Standard).map_err(failed)?;
                put_parameter(target, &name, &text.unwrap_or_default());
            }
            continue;
        }
        merged::elements(field, found, |payload| {
            if let Some(text) = text::scalar(tables, field, payload, Base64::Standard)? {
                put_parameter(target, &name, &text);
            }
            Ok(())
        })
        .map_err(failed)?;
    }
    Ok(())
}

/// The name of a field's parameter: the JSON name; or the proto name, where dots in the
/// JSON name would make a path of it, or another field is read by it.
fn parameter_name<'f>(message: &'f MessageType, index: usize, prefix: &str) -> Result<Cow<'f, str>, String> {
    let field = &message.fields[index];
    let leads_here = |name: &&str| {
        let mut names = names(name);
        names.next() == Some(name)
            && names.next().is_none()
            && message.names.find(name.as_bytes()) == Some(index as u32)
    };
    let name = [&*field.json_name, &*field.name].into_iter().find(leads_here).ok_or_else(|| {
        format!("field `{}` of {} has no name that a query could give it by", field.name, message.name)
    })?;
    Ok(match prefix {
        "" => name.into(),
        _ => format!("{prefix}.{name}").into(),
    })
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

pub(super) fn put_parameter(target: &mut String, name: &str, value: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    encode(target, name);
    target.push('=');
    encode(target, value);
}

/// The keys and values of a query, decoded.
pub(crate) type Parameters<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Splits a query into its keys and values.
///
/// # Errors
///
/// INVALID_ARGUMENT if one cannot be decoded.
pub(crate) fn parameters(query: &str) -> Result<Parameters<'_>, Status> {
    fn text(part: &str) -> Result<Cow<'_, str>, Status> {
        let text = match part.contains('+') {
            true => decode(&part.replace('+', " "), false).map(|text| Cow::Owned(text.into_owned())),
            false => decode(part, false),
        };
        text.map_err(|problem| Status::invalid_argument(format!("the query cannot be decoded: {problem}")))
    }
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((text(key)?, text(value)?))
        })
        .collect()
}

/// Why a field cannot be given as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// There is no field at the path, or none that a text can give.
    Path(String),
    /// The text is no value of the field.
    Value(String),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(problem) | Self::Value(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TextError {}

impl Message {
    /// Appends to a message's wire bytes the field at a dotted path, in JSON or proto
    /// names, with a value as a query parameter has it. A repeated field gets one
    /// more value.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the path or the value; nothing is appended then.
    pub fn put_text(&self, wire: &mut Vec<u8>, path: &str, text: &str) -> Result<(), TextError> {
        let tables = &*self.schema.0;
        let fields = resolve(tables, self.table(), path);
        let fields = fields.ok_or_else(|| TextError::Path(format!("{} has no field `{path}`", self.name())))?;
        match fields.last().filter(|leaf| leaf.is_message()).map(|leaf| tables.message_of(leaf)) {
            Some(message) if !message.shape.is_text() => {
                Err(TextError::Path(format!("`{path}` is a {}, which has no form as text", message.name)))
            }
            _ => put_text(wire, tables, &fields, text).map_err(TextError::Value),
        }
    }
}

/// The fields along a dotted path of JSON or proto names.
pub(super) fn resolve<'t>(tables: &'t Tables, message: &'t MessageType, path: &str) -> Option<Vec<&'t Field>> {
    let mut fields = Vec::new();
    let mut parent = Some(message);
    for name in names(path) {
        let (_, field) = parent?.field_named(name.as_bytes())?;
        if fields.len() >= DEPTH as usize {
            return None;
        }
        fields.push(field);
        let plain = field.cardinality == Cardinality::Singular && field.is_message();
        parent = plain.then(|| tables.message_of(field)).filter(|message| message.shape == Shape::Plain);
    }
    Some(fields)
}

/// Appends the field that `path` leads to, with the value that `text` gives.
///
/// Protobuf merges the occurrences of a message, so each parameter is written
/// by itself.
pub(super) fn put_text(out: &mut Vec<u8>, tables: &Tables, path: &[&Field], text: &str) -> Result<(), String> {
    let Some((leaf, parents)) = path.split_last() else { return Ok(()) };
    let mut content = Vec::new();
    leaf_from_text(&mut content, tables, leaf, text)?;
    for parent in parents.iter().rev() {
        let mut wrapped = Vec::new();
        parent.put_content(&mut wrapped, &content);
        content = wrapped;
    }
    out.extend_from_slice(&content);
    Ok(())
}

fn leaf_from_text(out: &mut Vec<u8>, tables: &Tables, leaf: &Field, text: &str) -> Result<(), String> {
    let mut kind = leaf.kind;
    if leaf.is_message() {
        let message = tables.message_of(leaf);
        match message.shape {
            Shape::Wrapper => kind = message.fields.first().map_or(kind, |field| field.kind),
            Shape::FieldMask => {
                put_mask(out, leaf, text);
                return Ok(());
            }
            Shape::Timestamp | Shape::Duration => {}
            _ => return Err(format!("a {} cannot be given as text", message.name)),
        }
    }
    let json = match (kind, text) {
        // Google's Python client spells them so, and other gateways take the digits.
        (Kind::Bool, "true" | "True" | "1") => "true".to_owned(),
        (Kind::Bool, "false" | "False" | "0") => "false".to_owned(),
        (Kind::Enum, "null") if tables.enum_of(leaf).null => text.to_owned(),
        (Kind::Enum, _) if text.parse::<i32>().is_ok() => text.to_owned(),
        _ => serde_json::Value::from(text).to_string(),
    };
    read(out, tables, leaf, &json)
}

fn read(out: &mut Vec<u8>, tables: &Tables, leaf: &Field, json: &str) -> Result<(), String> {
    let options = ReadOptions::default();
    let read = match leaf.cardinality {
        Cardinality::Repeated => json::read_field(tables, leaf, format!("[{json}]").as_bytes(), out, &options),
        _ => json::read_single(tables, leaf, json.as_bytes(), out, &options),
    };
    read.map_err(|error| error.problem().to_owned())
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
