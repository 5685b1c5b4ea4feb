//! The schemas of messages, enums and fields: their JSON form by ProtoJSON, as the codec
//! writes and reads it.

use std::collections::{HashSet, VecDeque};

use protojson::{
    Cardinality, Defaults, EnumDescriptor, FieldDescriptor, JsonMapping, Kind, MessageDescriptor, WriteOptions,
};

use super::{
    facts::Facts,
    json::{Json, Object},
};
use crate::http_rule::fields;

/// The component that has the body of an error. Its name is none that a proto could have.
pub(super) const ERROR: &str = "http-error";

/// Makes schemas, and remembers which components they refer to.
pub(super) struct Schemas<'d> {
    pub(super) facts: &'d Facts<'d>,
    pub(super) options: &'d WriteOptions,
    /// The messages that responses have, which may leave out any field that holds its default.
    in_responses: HashSet<String>,
    /// The components that are referred to.
    seen: HashSet<String>,
    messages: VecDeque<MessageDescriptor>,
    enums: Vec<(String, Object)>,
    /// How much text could have been written in the time in which fields were looked at that
    /// may have become query parameters.
    pub(super) work: usize,
}

/// What `google.api.field_behavior` says of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Behavior(u16);

impl Behavior {
    /// In the order of their numbers, from 1.
    const NAMES: [&'static str; 8] = [
        "OPTIONAL",
        "REQUIRED",
        "OUTPUT_ONLY",
        "INPUT_ONLY",
        "IMMUTABLE",
        "UNORDERED_LIST",
        "NON_EMPTY_DEFAULT",
        "IDENTIFIER",
    ];
    pub(super) const REQUIRED: u16 = 2;
    const OUTPUT_ONLY: u16 = 3;
    const INPUT_ONLY: u16 = 4;

    /// Reads encoded `FieldOptions`.
    pub(super) fn of(options: &[u8]) -> Self {
        use protojson::wire::{Payload, Reader};
        /// `google.api.field_behavior`, an extension of `FieldOptions`.
        const BEHAVIOR: u32 = 1052;
        let mut bits = 0;
        let mut add = |behavior: u64| bits |= if behavior < 16 { 1 << behavior } else { 0 };
        // The pool has read the options before, so that they can be read.
        let _ = fields(options, |number, payload| {
            match payload {
                Payload::Bits(behavior) if number == BEHAVIOR => add(behavior),
                Payload::Bytes(packed) if number == BEHAVIOR => {
                    let mut reader = Reader::new(packed);
                    while !reader.is_empty() {
                        add(reader.varint()?);
                    }
                }
                _ => {}
            }
            Ok(())
        });
        Self(bits)
    }

    pub(super) fn has(self, behavior: u16) -> bool {
        self.0 & 1 << behavior != 0
    }

    fn names(self) -> Vec<&'static str> {
        let known = Self::NAMES.into_iter().zip(1..);
        known.filter(|(_, behavior)| self.has(*behavior)).map(|(name, _)| name).collect()
    }
}

impl<'d> Schemas<'d> {
    /// `outputs` are the messages that methods respond with.
    pub(super) fn new(
        facts: &'d Facts<'d>,
        options: &'d WriteOptions,
        outputs: impl IntoIterator<Item = MessageDescriptor>,
    ) -> Self {
        let mut in_responses = HashSet::new();
        let mut open: Vec<MessageDescriptor> = outputs.into_iter().collect();
        while let Some(message) = open.pop() {
            if in_responses.insert(message.name().to_owned()) {
                open.extend(message.fields().filter_map(FieldDescriptor::message));
            }
        }
        Self {
            facts,
            options,
            in_responses,
            seen: HashSet::new(),
            messages: VecDeque::new(),
            enums: Vec::new(),
            work: 0,
        }
    }

    /// The next component that something refers to.
    pub(super) fn next_component(&mut self) -> Option<(String, Object)> {
        if let Some(found) = self.enums.pop() {
            return Some(found);
        }
        let message = self.messages.pop_front()?;
        let schema = match message.json_mapping() {
            JsonMapping::Any => any(),
            _ => self.object(&message, &[], !self.in_responses.contains(message.name())),
        };
        Some((message.name().to_owned(), schema))
    }

    /// The name of a field in JSON.
    pub(super) fn name<'f>(&self, field: FieldDescriptor<'f>) -> &'f str {
        if self.options.proto_field_names { field.name() } else { field.json_name() }
    }

    /// A message as an object of its fields, without those with the indices `bound`. Only
    /// requests say which fields are required: a response goes without those that hold their
    /// default.
    pub(super) fn object(&mut self, message: &MessageDescriptor, bound: &[u16], request: bool) -> Object {
        let symbol = self.facts.symbol(message.name());
        let (mut properties, mut required) = (Object::new(), Vec::new());
        let mut oneofs: Vec<(u16, Vec<&str>)> = Vec::new();
        let mut names = HashSet::new();
        for field in message.fields().filter(|field| !bound.contains(&field.index())) {
            let name = self.name(field);
            // Of two fields with one name, the codec reads the first.
            if !names.insert(name) {
                continue;
            }
            if self.is_required(message, field) {
                required.push(name.to_owned());
            }
            if let Some(index) = field.oneof() {
                match oneofs.iter_mut().find(|(oneof, _)| *oneof == index) {
                    Some((_, members)) => members.push(name),
                    None => oneofs.push((index, vec![name])),
                }
            }
            properties.put(name.to_owned(), self.property(message, field));
        }
        let mut description = symbol.comment.clone();
        let mut members = Object::new();
        for (index, names) in oneofs.iter().filter(|(_, names)| names.len() > 1) {
            let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            paragraph(&mut description, &format!("At most one of {list} is set."));
            let owned = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            members.put(self.facts.oneof(message.name(), *index).to_owned(), owned);
        }
        let mut schema = Object::new().with("type", "object");
        schema.put_text("description", description);
        schema.put_flag("deprecated", symbol.deprecated);
        if !properties.is_empty() {
            schema.put("properties", properties);
        }
        if request && !required.is_empty() {
            schema.put("required", required);
        }
        if !members.is_empty() {
            schema.put("x-oneofs", members);
        }
        schema
    }

    /// The names of the fields that a request must have.
    pub(super) fn required(&self, message: &MessageDescriptor) -> Vec<String> {
        let required = message.fields().filter(|field| self.is_required(message, *field));
        required.map(|field| self.name(field).to_owned()).collect()
    }

    pub(super) fn is_required(&self, message: &MessageDescriptor, field: FieldDescriptor<'_>) -> bool {
        Behavior::of(field.options()).has(Behavior::REQUIRED) || self.facts.field(message, field).required
    }

    /// Whether responses have the message as well.
    pub(super) fn is_in_responses(&self, message: &MessageDescriptor) -> bool {
        self.in_responses.contains(message.name())
    }

    fn property(&mut self, message: &MessageDescriptor, field: FieldDescriptor<'_>) -> Object {
        let mut schema = self.field(field);
        let unset_is_null = self.options.defaults == Defaults::Always && field.is_message();
        if unset_is_null && field.cardinality() == Cardinality::Singular {
            schema = nullable(schema);
        }
        let symbol = self.facts.field(message, field);
        let behavior = Behavior::of(field.options());
        schema.put_text("description", symbol.comment.clone());
        schema.put_flag("deprecated", symbol.deprecated);
        schema.put_flag("readOnly", behavior.has(Behavior::OUTPUT_ONLY));
        schema.put_flag("writeOnly", behavior.has(Behavior::INPUT_ONLY));
        let names = behavior.names();
        if !names.is_empty() {
            schema.put("x-field-behavior", names);
        }
        schema
    }

    /// A field with all its values.
    pub(super) fn field(&mut self, field: FieldDescriptor<'_>) -> Object {
        match field.cardinality() {
            Cardinality::Singular => self.value(field),
            Cardinality::Repeated => array(self.value(field)),
            Cardinality::Map => {
                let entry = field.message();
                let of = |number| entry.as_ref().and_then(|entry| entry.field(number));
                let mut schema = Object::new().with("type", "object");
                match of(2) {
                    Some(value) => schema.put("additionalProperties", self.value(value)),
                    None => schema.put("additionalProperties", true),
                }
                let keys = match of(1).map(FieldDescriptor::kind) {
                    Some(Kind::Bool) => Object::new().with("enum", vec!["true", "false"]),
                    Some(Kind::String) | None => return schema,
                    Some(kind) => match scalar(kind).get("pattern") {
                        Some(pattern) => Object::new().with("pattern", pattern.clone()),
                        None => Object::new().with("pattern", INTEGER),
                    },
                };
                schema.with("propertyNames", keys)
            }
        }
    }

    /// One value of a field.
    fn value(&mut self, field: FieldDescriptor<'_>) -> Object {
        if let Some(message) = field.message() {
            return self.message(&message);
        }
        match field.enumeration() {
            Some(kind) if is_null(kind) => Object::new().with("type", "null"),
            Some(kind) => self.enumeration(kind),
            None => scalar(field.kind()),
        }
    }

    /// A message by its own.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Object {
        let text = |format: &'static str| Object::new().with("type", "string").with("format", format);
        match message.json_mapping() {
            JsonMapping::Timestamp => text("date-time"),
            JsonMapping::Duration => text("google-duration").with("pattern", r"^-?[0-9]+(\.[0-9]{1,9})?s$"),
            JsonMapping::FieldMask => text("google-fieldmask"),
            JsonMapping::Struct => Object::new().with("type", "object").with("additionalProperties", true),
            JsonMapping::ListValue => array(Object::new()),
            JsonMapping::Value => Object::new(),
            JsonMapping::Wrapper => match message.fields().next() {
                Some(field) => self.value(field),
                None => Object::new(),
            },
            _ => {
                if self.seen.insert(message.name().to_owned()) {
                    self.messages.push_back(message.clone());
                }
                reference(message.name())
            }
        }
    }

    fn enumeration(&mut self, kind: EnumDescriptor<'_>) -> Object {
        let name = kind.name();
        if self.seen.insert(name.to_owned()) {
            let symbol = self.facts.symbol(name);
            let mut description = symbol.comment.clone();
            let mut schema = Object::new();
            let values: Vec<(&str, i32)> = match self.options.enums_as_integers {
                false => kind.values().collect(),
                // The first name of a number stands for it.
                true => {
                    let mut numbers = HashSet::new();
                    kind.values().filter(|(_, number)| numbers.insert(*number)).collect()
                }
            };
            let names = || values.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
            if self.options.enums_as_integers {
                schema = schema.with("type", "integer").with("format", "int32");
                schema.put("enum", values.iter().map(|(_, number)| Json::Int((*number).into())).collect::<Vec<_>>());
                schema.put("x-enum-varnames", names());
            } else {
                schema = schema.with("type", "string").with("enum", names());
            }
            if !kind.is_closed() {
                let other = match self.options.enums_as_integers {
                    true => "There may be numbers that are not listed here.",
                    false => "A value without a name here is written as its number.",
                };
                paragraph(&mut description, other);
            }
            schema.put_text("description", description);
            schema.put_flag("deprecated", symbol.deprecated);
            let of = |value: &str| self.facts.symbol(&format!("{name}.{value}"));
            let comments: Vec<_> = values.iter().map(|(value, _)| of(value).comment.clone()).collect();
            if comments.iter().any(|comment| !comment.is_empty()) {
                schema.put("x-enum-descriptions", comments);
            }
            let deprecated: Vec<_> = values.iter().map(|(value, _)| of(value).deprecated).collect();
            if deprecated.contains(&true) {
                schema.put("x-enum-deprecated", deprecated);
            }
            self.enums.push((name.to_owned(), schema));
        }
        reference(name)
    }

    /// One value of a field as paths and queries have it; `None` if they cannot.
    pub(super) fn text(&mut self, field: FieldDescriptor<'_>) -> Option<Object> {
        if let Some(message) = field.message() {
            return match message.json_mapping() {
                JsonMapping::Wrapper => message.fields().next().and_then(|field| self.text(field)),
                mapping if mapping.is_text() => Some(self.message(&message)),
                _ => None,
            };
        }
        Some(match field.enumeration() {
            Some(kind) if is_null(kind) => Object::new().with("type", "string").with("enum", vec!["NULL_VALUE"]),
            _ => self.value(field),
        })
    }
}

fn is_null(kind: EnumDescriptor<'_>) -> bool {
    kind.name() == "google.protobuf.NullValue"
}

const INTEGER: &str = "^-?[0-9]+$";

/// A number, bool, string or bytes, as JSON has it.
fn scalar(kind: Kind) -> Object {
    let of = |kind: &'static str| Object::new().with("type", kind);
    let float = |format: &'static str| {
        let words = of("string").with("enum", vec!["NaN", "Infinity", "-Infinity"]);
        Object::new().with("anyOf", vec![of("number").with("format", format), words])
    };
    match kind {
        Kind::Double => float("double"),
        Kind::Float => float("float"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => of("string").with("format", "int64").with("pattern", INTEGER),
        Kind::Uint64 | Kind::Fixed64 => of("string").with("format", "uint64").with("pattern", "^[0-9]+$"),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => of("integer")
            .with("format", "int32")
            .with("minimum", i64::from(i32::MIN))
            .with("maximum", i64::from(i32::MAX)),
        Kind::Uint32 | Kind::Fixed32 => {
            of("integer").with("format", "uint32").with("minimum", 0).with("maximum", i64::from(u32::MAX))
        }
        Kind::Bool => of("boolean"),
        Kind::Bytes => of("string").with("format", "byte").with("contentEncoding", "base64"),
        _ => of("string"),
    }
}

fn any() -> Object {
    let kind = Object::new()
        .with("type", "string")
        .with("description", "The type of the message: a URL that ends in its full name.");
    Object::new()
        .with("type", "object")
        .with(
            "description",
            "A message of any type: its members beside `@type`, or `value` for those whose JSON is no object.",
        )
        .with("properties", Object::new().with("@type", kind))
        .with("additionalProperties", true)
}

/// The body of an error.
///
/// Source: [AIP-193](https://google.aip.dev/193).
pub(super) fn error() -> Object {
    let of = |kind: &'static str, description: &'static str| {
        Object::new().with("type", kind).with("description", description)
    };
    let detail = Object::new()
        .with("type", "object")
        .with("properties", Object::new().with("@type", of("string", "The type of the detail.")))
        .with("additionalProperties", true);
    let members = Object::new()
        .with("code", of("integer", "The HTTP status.").with("format", "int32"))
        .with("message", of("string", "What went wrong."))
        .with("status", of("string", "The name of the gRPC code, as google.rpc.Code has it."))
        .with("details", array(detail).with("description", "Messages that say more, such as google.rpc.ErrorInfo."));
    let inner = Object::new()
        .with("type", "object")
        .with("properties", members)
        .with("required", vec!["code", "message", "status"]);
    of("object", "The body of a response that is an error.")
        .with("properties", Object::new().with("error", inner))
        .with("required", vec!["error"])
}

pub(super) fn reference(name: &str) -> Object {
    Object::new().with("$ref", format!("#/components/schemas/{name}"))
}

pub(super) fn array(items: Object) -> Object {
    Object::new().with("type", "array").with("items", items)
}

/// The schema, or null.
pub(super) fn nullable(schema: Object) -> Object {
    Object::new().with("anyOf", vec![schema, Object::new().with("type", "null")])
}

/// Adds a paragraph to a description.
pub(super) fn paragraph(description: &mut String, text: &str) {
    if !description.is_empty() {
        description.push_str("\n\n");
    }
    description.push_str(text);
}
