//! One value as a text, as a path and a query have it: like its JSON form, but
//! without quotes.

use std::borrow::Cow;

use crate::{
    JsonMapping, TextError, WriteError,
    descriptor::Kind,
    lexer, mask,
    merged::{self, Fields, Occurrence},
    number,
    plan::{EnumPlan, FieldPlan, Plan},
    scalar, time,
    wire::{self, Payload, put_len, put_varint},
    write_well_known,
};

/// The alphabet that bytes are spelled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base64 {
    /// JSON's own, for queries.
    Standard,
    /// Without a slash, for paths.
    UrlSafe,
}

/// The text of a singular field with these occurrences; of its default if there
/// is none. `None` for a message that is not set, and for what has no value: a
/// number that a closed enum does not have.
///
/// # Errors
///
/// If the bytes are no such value, or one without a form as text.
pub(crate) fn singular<'a>(
    plan: &Plan,
    field: &FieldPlan,
    found: &[Occurrence<'a>],
    base64: Base64,
) -> Result<Option<Cow<'a, str>>, WriteError> {
    let Some(last) = found.last() else {
        return if field.is_message() { Ok(None) } else { default(plan, field) };
    };
    if !field.is_message() {
        return value(plan, field, last.payload, base64);
    }
    let message = plan.message_of(field);
    let pieces = merged::pieces(found);
    let mut text = Vec::new();
    match message.mapping {
        JsonMapping::Wrapper => {
            let inner = &message.fields[0];
            return match Fields::read(plan, message, &pieces)?.of(0).last() {
                Some(found) => value(plan, inner, found.payload, base64),
                None => default(plan, inner),
            };
        }
        JsonMapping::Timestamp => {
            write_well_known::timestamp(&mut text, &pieces)?;
            // A timestamp is written with its quotes.
            text = text[1..text.len() - 1].to_vec();
        }
        JsonMapping::Duration => write_well_known::duration(&mut text, &pieces)?,
        JsonMapping::FieldMask => write_well_known::field_mask(&mut text, &pieces)?,
        _ => return Err(WriteError::new(format!("a {} has no form as text", message.name))),
    }
    Ok(Some(owned(text)))
}

/// The text of one value that is no message.
pub(crate) fn value<'a>(
    plan: &Plan,
    field: &FieldPlan,
    payload: Payload<'a>,
    base64: Base64,
) -> Result<Option<Cow<'a, str>>, WriteError> {
    let mut text = Vec::new();
    match field.kind {
        Kind::String => {
            let text = std::str::from_utf8(payload.bytes()).map_err(|_| scalar::not_utf8())?;
            return Ok(Some(Cow::Borrowed(text)));
        }
        Kind::Bytes => scalar::put_base64(&mut text, payload.bytes(), base64),
        // By name even where JSON has `null`, which a text cannot tell from a name.
        Kind::Enum => {
            let kind = plan.enum_of(field);
            match kind.name(payload.bits() as i32) {
                Some(name) => text.extend_from_slice(name.as_bytes()),
                None if kind.closed => return Ok(None),
                None => scalar::put_number(&mut text, field.kind, payload.bits()),
            }
        }
        kind => scalar::put_number(&mut text, kind, payload.bits()),
    }
    Ok(Some(owned(text)))
}

fn default(plan: &Plan, field: &FieldPlan) -> Result<Option<Cow<'static, str>>, WriteError> {
    value(plan, field, merged::default_payload(plan, field), Base64::Standard)
}

fn owned(text: Vec<u8>) -> Cow<'static, str> {
    // Numbers, names and base64 are ASCII, and a mask's paths were checked: nothing is
    // replaced.
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

/// Appends a field with the value that `text` is. Of a repeated field, it is one more
/// value.
///
/// # Errors
///
/// Says what is wrong with the value, or that the field has no form as text; nothing is
/// appended then.
pub(crate) fn put(out: &mut Vec<u8>, plan: &Plan, field: &FieldPlan, text: &str) -> Result<(), TextError> {
    if !field.is_message() {
        return put_value(out, plan, field, text);
    }
    let message = plan.message_of(field);
    let mut content = Vec::new();
    match message.mapping {
        JsonMapping::Wrapper => {
            let inner = &message.fields[0];
            put_value(&mut content, plan, inner, text)?;
            // Like any field without presence, the value is not encoded if it is the default.
            let mut fields = wire::fields(&content);
            if fields.any(|field| field.is_ok_and(|(_, payload)| scalar::is_default(inner.kind, payload))) {
                content.clear();
            }
        }
        JsonMapping::Timestamp => put_time(&mut content, text, time::TIMESTAMP, time::parse_timestamp)?,
        JsonMapping::Duration => put_time(&mut content, text, time::DURATION, time::parse_duration)?,
        JsonMapping::FieldMask => put_mask(&mut content, text),
        _ => {
            let problem = format!("`{}` is a {}, which has no form as text", field.json_name, message.name);
            return Err(TextError::Path(problem));
        }
    }
    field.put_content(out, &content);
    Ok(())
}

/// Appends a field that is no message, even if the value is its default.
fn put_value(out: &mut Vec<u8>, plan: &Plan, field: &FieldPlan, text: &str) -> Result<(), TextError> {
    let content = match field.kind {
        Kind::String => Cow::Borrowed(text.as_bytes()),
        Kind::Bytes => {
            let mut bytes = Vec::new();
            scalar::parse_base64(text.as_bytes(), &mut bytes).ok_or_else(|| expected("base64", text))?;
            Cow::Owned(bytes)
        }
        kind => {
            let bits = match kind {
                // Google's Python client spells bools so, and other gateways take the digits.
                Kind::Bool => match text {
                    "True" | "1" => Some(1),
                    "False" | "0" => Some(0),
                    _ => scalar::parse(kind, text.as_bytes(), true),
                },
                Kind::Enum => Some(enum_bits(plan.enum_of(field), text)?),
                _ => scalar::parse(kind, text.as_bytes(), true),
            };
            let bits = bits.ok_or_else(|| expected(scalar::describe(kind), text))?;
            out.extend_from_slice(field.tag_bytes());
            let mut encoded = Vec::new();
            scalar::encode(&mut encoded, kind, bits);
            if field.packed {
                put_varint(out, encoded.len() as u64);
            }
            out.extend_from_slice(&encoded);
            return Ok(());
        }
    };
    put_len(out, field.number, &content);
    Ok(())
}

/// The bits of an enum's value, by its name or its number.
fn enum_bits(kind: &EnumPlan, text: &str) -> Result<u64, TextError> {
    let number = match text {
        "null" if kind.is_null => Some(0),
        _ => kind.number(text.as_bytes()),
    };
    let number = number.or_else(|| text.parse().ok().filter(|_| number::is_number(text.as_bytes())));
    let number = number.ok_or_else(|| TextError::Value(format!("{} has no value {text:?}", kind.name)))?;
    Ok(i64::from(number) as u64)
}

fn put_time(
    content: &mut Vec<u8>,
    text: &str,
    what: &str,
    parse: fn(&[u8]) -> Option<(i64, i32)>,
) -> Result<(), TextError> {
    let (seconds, nanos) = parse(text.as_bytes()).ok_or_else(|| expected(what, text))?;
    time::encode(content, seconds, nanos);
    Ok(())
}

/// Appends the paths of a field mask. Each may be spelled in JSON names or in proto names;
/// one with an underscore is in proto names.
fn put_mask(content: &mut Vec<u8>, text: &str) {
    for path in mask::paths(text).filter(|path| !path.is_empty()) {
        let mut snake = Vec::with_capacity(path.len() + 4);
        if mask::is_snake(path) {
            snake.extend_from_slice(path.as_bytes());
        } else {
            mask::put_snake(&mut snake, path.as_bytes());
        }
        put_len(content, 1, &snake);
    }
}

fn expected(what: &str, text: &str) -> TextError {
    TextError::Value(format!("expected {what}, found {}", lexer::excerpt(text)))
}
