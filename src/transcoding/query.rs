//! The query: fields that neither path nor body carries.

use std::{borrow::Cow, fmt};

use tonic::Status;

use crate::{
    json::{self, ReadOptions, WriteOptions, mask},
    schema::{
        percent::{decode, encode},
        Cardinality, Field, Kind, Message, MessageType, Shape, Tables,
        wire::{DEPTH, LEN, Payload, Reader, put_len, put_varint},
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
    wire: &[u8],
    within: &[u32],
    skip: &dyn Fn(&Field) -> bool,
) -> Result<(), String> {
    let set = fields(wire)?;
    for field in message.fields.iter().filter(|field| !skip(field)) {
        let values = || set.iter().filter(|(tag, _)| tag >> 3 == field.number);
        let last = values().next_back();
        if last.is_none() && !field.required {
            continue;
        }
        let name: Cow<'_, str> = match prefix {
            "" => (&*field.json_name).into(),
            _ => format!("{prefix}.{}", field.json_name).into(),
        };
        if field.cardinality == Cardinality::Map && last.is_some() {
            return Err(format!("field `{name}` is a map, which a query cannot carry"));
        }
        if field.is_message() && last.is_some() {
            let nested = tables.message_of(field);
            let repeated = field.cardinality == Cardinality::Repeated;
            match nested.shape {
                Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper if !repeated => {}
                Shape::Plain if !repeated && within.contains(&field.type_index) => {
                    return Err(format!("field `{name}` is recursive, which a query cannot carry"));
                }
                Shape::Plain if !repeated => {
                    let within = [within, &[field.type_index]].concat();
                    let merged: Vec<u8> = values().flat_map(|(_, payload)| payload.bytes()).copied().collect();
                    put_message(target, tables, nested, &name, &merged, &within, &|_| false)?;
                    continue;
                }
                _ => return Err(format!("field `{name}` is a {}, which a query cannot carry", nested.name)),
            }
        }
        let Some((_, payload)) = last else {
            let must = field.required && field.cardinality == Cardinality::Singular && !field.is_message();
            if must && prefix.is_empty() {
                put_parameter(target, &name, &scalar_text(tables, message, field, &[])?);
            }
            continue;
        };
        if field.cardinality == Cardinality::Repeated {
            for one in each_value(field, values())? {
                put_parameter(target, &name, &scalar_text(tables, message, field, &one)?);
            }
            continue;
        }
        let text: Cow<'_, str> = match payload {
            Payload::Bytes(text) if field.kind == Kind::String => utf8(field, text)?.into(),
            _ => {
                let mut all = Vec::new();
                for (tag, payload) in values() {
                    put_field(&mut all, *tag, *payload);
                }
                scalar_text(tables, message, field, &all)?.into()
            }
        };
        let zero = match payload {
            Payload::Bits(bits) => *bits == 0,
            Payload::Bytes(bytes) => bytes.is_empty(),
        };
        if field.presence || field.required || !zero {
            put_parameter(target, &name, &text);
        }
    }
    Ok(())
}

fn fields(wire: &[u8]) -> Result<Vec<(u32, Payload<'_>)>, String> {
    let mut found = Vec::new();
    let mut reader = Reader::new(wire);
    while let Some(field) = reader.field().map_err(|error| error.to_string())? {
        found.push(field);
    }
    Ok(found)
}

fn put_field(out: &mut Vec<u8>, tag: u32, payload: Payload<'_>) {
    put_varint(out, u64::from(tag));
    match payload {
        Payload::Bytes(bytes) => {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Payload::Bits(bits) => match (tag & 7) as u8 {
            crate::schema::wire::FIXED32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
            crate::schema::wire::FIXED64 => out.extend_from_slice(&bits.to_le_bytes()),
            _ => put_varint(out, bits),
        },
    }
}

/// Each element of a repeated scalar, as the bytes of a message with only it.
fn each_value<'a>(field: &Field, values: impl Iterator<Item = &'a (u32, Payload<'a>)>) -> Result<Vec<Vec<u8>>, String> {
    let natural = field.kind.wire_type();
    let mut all = Vec::new();
    for (tag, payload) in values {
        if (tag & 7) as u8 == LEN && natural != LEN {
            let mut packed = Reader::new(payload.bytes());
            while !packed.is_empty() {
                let mut one = Vec::new();
                let element = field.number << 3 | u32::from(natural);
                let payload = packed.payload(element).map_err(|error| error.to_string())?;
                put_field(&mut one, element, payload);
                all.push(one);
            }
        } else {
            let mut one = Vec::new();
            put_field(&mut one, *tag, *payload);
            all.push(one);
        }
    }
    Ok(all)
}

/// The text of a single value, from the bytes of a message in which it is set.
pub(super) fn scalar_text(
    tables: &Tables,
    message: &MessageType,
    field: &Field,
    wire: &[u8],
) -> Result<String, String> {
    if field.kind == Kind::String {
        let mut last = &[][..];
        let mut reader = Reader::new(wire);
        while let Some((tag, payload)) = reader.field().map_err(|error| error.to_string())? {
            if tag == field.tag {
                last = payload.bytes();
            }
        }
        return utf8(field, last).map(str::to_owned);
    }
    let mut json = Vec::new();
    json::write_field(tables, message, field, wire, &mut json, &WriteOptions::default())
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(json).map_err(|error| error.to_string())?;
    // A list of one, where the field is repeated.
    let text = match field.cardinality {
        Cardinality::Repeated => text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default(),
        _ => &text,
    };
    // Numbers go as the digits that they have; the rest is text: a timestamp, a
    // mask, base64.
    if text.starts_with('"') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        Ok(text.to_owned())
    }
}

fn utf8<'a>(field: &Field, text: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(text).map_err(|_| format!("field `{}` is not UTF-8", field.json_name))
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
        let invalid =
            |problem: &str| Status::invalid_argument(format!("the query cannot be decoded: {problem}"));
        match part.contains('+') {
            true => decode(&part.replace('+', " "), false).map(|text| Cow::Owned(text.into_owned())).map_err(invalid),
            false => decode(part, false).map_err(invalid),
        }
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
        let textual = |shape| matches!(shape, Shape::Wrapper | Shape::FieldMask | Shape::Timestamp | Shape::Duration);
        match fields.last().filter(|leaf| leaf.is_message()).map(|leaf| tables.message_of(leaf)) {
            Some(message) if !textual(message.shape) => {
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
    for name in path.split('.') {
        let (_, field) = parent?.field_named(name.as_bytes())?;
        if fields.len() >= DEPTH as usize {
            return None;
        }
        fields.push(field);
        let plain = field.cardinality == Cardinality::Singular && field.kind == Kind::Message;
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
        put_len(&mut wrapped, parent.number, &content);
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
    let bare = match kind {
        Kind::Bool => matches!(text, "true" | "false"),
        Kind::Enum => text.parse::<i32>().is_ok(),
        _ => false,
    };
    let json = if bare { text.to_owned() } else { serde_json::Value::from(text).to_string() };
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
