//! The query: fields that neither path nor body carries.

use std::borrow::Cow;

use protojson::{Base64, Cardinality, JsonMapping, MergedField, MergedMessage, MessageDescriptor};

use crate::{
    TranscodeError,
    percent::{decode, encode},
};

/// The keys and values of a query, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Splits the query of a URL, without its question mark, into keys and values.
    ///
    /// # Errors
    ///
    /// If one of them cannot be decoded.
    pub fn parse(query: &'a str) -> Result<Self, TranscodeError> {
        fn text(part: &str) -> Result<Cow<'_, str>, TranscodeError> {
            let text = match memchr::memchr(b'+', part.as_bytes()).is_some() {
                true => decode(&part.replace('+', " "), false).map(|text| Cow::Owned(text.into_owned())),
                false => decode(part, false),
            };
            text.map_err(|problem| TranscodeError::request(format!("the query cannot be decoded: {problem}")))
        }
        let pairs = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((text(key)?, text(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The keys and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// Why a field does not become query parameters.
pub(crate) enum Refused {
    /// A query cannot carry such a field.
    Unsupported(String),
    /// Its value has no text.
    Unwritable(String),
}

/// Appends a field of a request as query parameters. A required field goes even where it
/// holds its default; a member of a oneof that is not set would set it.
pub(crate) fn put_top_level(
    target: &mut String,
    message: &MessageDescriptor,
    field: MergedField<'_>,
    required: bool,
) -> Result<(), Refused> {
    let descriptor = field.descriptor();
    let singular = descriptor.cardinality() == Cardinality::Singular;
    let must = required && singular && !descriptor.is_message() && descriptor.oneof().is_none();
    if field.is_set() || must { put_field(target, field, required, "", std::slice::from_ref(message)) } else { Ok(()) }
}

/// Appends the fields of a message, whose names begin with `prefix`, as query parameters.
///
/// `within` are the messages around the fields: http.proto has no query for a message
/// within one of its own kind. One that is set but empty has no form in a query either,
/// and is left out.
fn put_message(
    target: &mut String,
    message: &MergedMessage<'_>,
    prefix: &str,
    within: &[MessageDescriptor],
) -> Result<(), Refused> {
    message.fields().try_for_each(|field| put_field(target, field, false, prefix, within))
}

fn put_field(
    target: &mut String,
    field: MergedField<'_>,
    required: bool,
    prefix: &str,
    within: &[MessageDescriptor],
) -> Result<(), Refused> {
    let descriptor = field.descriptor();
    let singular = descriptor.cardinality() == Cardinality::Singular;
    let name = parameter_name(field, prefix, within)?;
    let failed = |error: protojson::WriteError| Refused::Unwritable(format!("field `{name}`: {error}"));
    if descriptor.cardinality() == Cardinality::Map {
        return Err(Refused::Unsupported(format!("field `{name}` is a map, which a query cannot carry")));
    }
    if let Some(nested) = descriptor.message() {
        match nested.json_mapping() {
            mapping if mapping.is_text() && singular => {}
            JsonMapping::Plain if singular && within.contains(&nested) => {
                return Err(Refused::Unsupported(format!("field `{name}` is recursive, which a query cannot carry")));
            }
            JsonMapping::Plain if singular => {
                let within = [within, &[nested]].concat();
                let message = field.message().map_err(|error| Refused::Unwritable(error.to_string()))?;
                let Some(message) = message else { return Ok(()) };
                return put_message(target, &message, &name, &within);
            }
            _ => {
                let problem = format!("field `{name}` is a {}, which a query cannot carry", nested.name());
                return Err(Refused::Unsupported(problem));
            }
        }
    }
    if singular {
        if descriptor.has_presence() || required || !field.is_default() {
            let text = field.text(Base64::Standard).map_err(failed)?;
            put_parameter(target, &name, &text.unwrap_or_default());
        }
        return Ok(());
    }
    field.texts(Base64::Standard, |text| put_parameter(target, &name, text)).map_err(failed)
}

/// The name of a field's parameter: the JSON name; or the proto name, where dots in the
/// JSON name would make a path of it, or another field is read by it.
fn parameter_name<'f>(
    field: MergedField<'f>,
    prefix: &str,
    within: &[MessageDescriptor],
) -> Result<Cow<'f, str>, Refused> {
    let descriptor = field.descriptor();
    let name = descriptor.path_name().ok_or_else(|| {
        let message = within.last().map_or("the message", |message| message.name());
        let problem = format!("field `{}` of {message} has no name that a query could give it by", descriptor.name());
        Refused::Unsupported(problem)
    })?;
    Ok(match prefix {
        "" => name.into(),
        _ => format!("{prefix}.{name}").into(),
    })
}

pub(crate) fn put_parameter(target: &mut String, name: &str, value: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    encode(target, name);
    target.push('=');
    encode(target, value);
}
