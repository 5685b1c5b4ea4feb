//! One value as a text, as a path and a query have it: like its JSON form, but
//! without quotes.

use std::borrow::Cow;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

use super::{
    WriteError, WriteOptions,
    merged::{self, Fields, Occurrence},
    scalar, time, write_well_known,
};
use crate::descriptor::{Field, JsonMapping, Kind, Tables};
use crate::wire::Payload;

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
    tables: &Tables,
    field: &Field,
    found: &[Occurrence<'a>],
    base64: Base64,
) -> Result<Option<Cow<'a, str>>, WriteError> {
    let Some(last) = found.last() else {
        return if field.is_message() { Ok(None) } else { default(tables, field) };
    };
    if !field.is_message() {
        return scalar(tables, field, last.payload, base64);
    }
    let message = tables.message_of(field);
    let pieces = merged::pieces(found);
    match (message.shape, message.fields.first()) {
        (JsonMapping::Wrapper, Some(inner)) => match Fields::read(tables, message, &pieces)?.of(0).last() {
            Some(value) => scalar(tables, inner, value.payload, base64),
            None => default(tables, inner),
        },
        (JsonMapping::Timestamp, _) => {
            let (seconds, nanos) = write_well_known::seconds_and_nanos(&pieces)?;
            let mut json = Vec::new();
            time::put_timestamp(&mut json, seconds, nanos).map_err(WriteError::new)?;
            Ok(Some(Cow::Owned(unquoted(json))))
        }
        (JsonMapping::Duration, _) => {
            let (seconds, nanos) = write_well_known::seconds_and_nanos(&pieces)?;
            let text = time::format_duration(seconds, nanos).map_err(WriteError::new)?;
            Ok(Some(Cow::Owned(String::from_utf8_lossy(text.as_bytes()).into_owned())))
        }
        (JsonMapping::FieldMask, _) => {
            let paths = write_well_known::mask_text(&pieces)?;
            Ok(Some(Cow::Owned(String::from_utf8_lossy(&paths).into_owned())))
        }
        _ => Err(WriteError::new(format!("a {} has no form as text", message.name))),
    }
}

/// The text of one value that is no message.
pub(crate) fn scalar<'a>(
    tables: &Tables,
    field: &Field,
    payload: Payload<'a>,
    base64: Base64,
) -> Result<Option<Cow<'a, str>>, WriteError> {
    let text = match field.kind {
        Kind::String => {
            let text = std::str::from_utf8(payload.bytes());
            return text.map(|text| Some(Cow::Borrowed(text))).map_err(|_| WriteError::malformed("it is not UTF-8"));
        }
        Kind::Bytes if base64 == Base64::UrlSafe => URL_SAFE.encode(payload.bytes()),
        Kind::Bytes => STANDARD.encode(payload.bytes()),
        // By name even where JSON has `null`, which a text cannot tell from a name.
        Kind::Enum => {
            let kind = tables.enum_of(field);
            let number = payload.bits() as i32;
            match kind.key(number) {
                Some(name) => unquoted(name.as_bytes().to_vec()),
                None if kind.closed => return Ok(None),
                None => number.to_string(),
            }
        }
        _ => {
            let mut json = Vec::new();
            if !scalar::put_bits(&mut json, tables, field, payload.bits(), &WriteOptions::default()) {
                return Ok(None);
            }
            unquoted(json)
        }
    };
    Ok(Some(Cow::Owned(text)))
}

fn default(tables: &Tables, field: &Field) -> Result<Option<Cow<'static, str>>, WriteError> {
    scalar(tables, field, merged::default_payload(tables, field), Base64::Standard)
}

/// A number, or a name in quotes, as JSON has it, without the quotes.
fn unquoted(json: Vec<u8>) -> String {
    let text = json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&json);
    String::from_utf8_lossy(text).into_owned()
}
