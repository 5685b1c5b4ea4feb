//! Which messages have a JSON form of their own.

use crate::descriptor::{Field, Kind, Message};

/// How a message is mapped to JSON: as an object of its fields, or as one of the
/// well-known types is.
///
/// Source: <https://protobuf.dev/programming-guides/json/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonMapping {
    /// An object of the message's fields.
    #[default]
    Plain,
    /// An entry of a map, which is a member of the map's object.
    MapEntry,
    /// A MessageSet: an object whose keys are names of extensions.
    MessageSet,
    /// `google.protobuf.Any`: an object with an `@type`.
    Any,
    /// `google.protobuf.Timestamp`: a string by RFC 3339.
    Timestamp,
    /// `google.protobuf.Duration`: a string such as `"1.5s"`.
    Duration,
    /// `google.protobuf.FieldMask`: a string of paths with commas between.
    FieldMask,
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: any value.
    Value,
    /// `google.protobuf.ListValue`: any array.
    ListValue,
    /// A wrapper such as `google.protobuf.StringValue`: the value of its only field.
    Wrapper,
    /// `google.protobuf.Empty`: an object without members.
    Empty,
}

impl JsonMapping {
    /// Whether the JSON form is one string, number or bool, which a path and a query can
    /// hold as well.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Timestamp | Self::Duration | Self::FieldMask | Self::Wrapper)
    }

    /// Whether the JSON form is an object of the message's fields, whatever their keys.
    pub(crate) fn is_object(self) -> bool {
        matches!(self, Self::Plain | Self::MapEntry | Self::MessageSet)
    }
}

/// The mapping of the message with the full name `name`, if its options say nothing.
pub(crate) fn well_known(name: &str) -> JsonMapping {
    match name.strip_prefix("google.protobuf.") {
        Some("Any") => JsonMapping::Any,
        Some("Timestamp") => JsonMapping::Timestamp,
        Some("Duration") => JsonMapping::Duration,
        Some("FieldMask") => JsonMapping::FieldMask,
        Some("Struct") => JsonMapping::Struct,
        Some("Value") => JsonMapping::Value,
        Some("ListValue") => JsonMapping::ListValue,
        Some("Empty") => JsonMapping::Empty,
        Some(
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue"
            | "StringValue" | "BytesValue",
        ) => JsonMapping::Wrapper,
        _ => JsonMapping::Plain,
    }
}

/// Whether a message has the fields that the codec counts on for its mapping.
pub(crate) fn has_expected_fields(message: &Message) -> bool {
    let has = |number: u32, allowed: &[Kind]| {
        message.fields.iter().any(|field| field.number == number && allowed.contains(&field.kind))
    };
    match message.mapping {
        JsonMapping::Any => has(1, &[Kind::String]) && has(2, &[Kind::Bytes]),
        JsonMapping::Timestamp | JsonMapping::Duration => has(1, &[Kind::Int64]) && has(2, &[Kind::Int32]),
        JsonMapping::FieldMask => has(1, &[Kind::String]),
        JsonMapping::Struct | JsonMapping::ListValue => has(1, &[Kind::Message]),
        JsonMapping::Value => {
            has(1, &[Kind::Enum])
                && has(2, &[Kind::Double])
                && has(3, &[Kind::String])
                && has(4, &[Kind::Bool])
                && has(5, &[Kind::Message])
                && has(6, &[Kind::Message])
        }
        JsonMapping::Wrapper => {
            let scalar = |field: &Field| !field.is_message() && field.kind != Kind::Enum;
            message.fields.len() == 1 && message.fields[0].number == 1 && scalar(&message.fields[0])
        }
        JsonMapping::MapEntry => {
            message.fields.len() == 2
                && message.fields.iter().any(|field| field.number == 2)
                && message.fields.iter().any(|field| {
                    field.number == 1
                        && !matches!(
                            field.kind,
                            Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum | Kind::Message | Kind::Group
                        )
                })
        }
        JsonMapping::Plain | JsonMapping::MessageSet | JsonMapping::Empty => true,
    }
}
