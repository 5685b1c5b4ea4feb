//! The query parameters of a binding: the fields that it leaves to the query, as the codec
//! reads them.

use std::collections::BTreeMap;

use protojson::{Cardinality, FieldDescriptor, JsonMapping, MessageDescriptor};

use super::{
    operation::{Parameter, Place},
    schema::{Schemas, array, paragraph},
};
use crate::binding::{Body, Resolved};

/// How many messages deep parameters go. The codec reads deeper ones, but the paths of
/// messages that refer to one another would be too many.
const DEEP: usize = 6;

/// How many fields are looked at for one operation.
const FIELDS: usize = 2000;

/// How many parameters an operation has at most.
const PARAMETERS: usize = 500;

/// How many bytes the names of a oneof's members have at most that each of them names.
const MEMBERS: usize = 4 * 1024;

/// How many bytes the names and descriptions of an operation's parameters have at most.
const TEXT: usize = 1024 * 1024;

/// What a field that is looked at counts beside the text of the document, in bytes: work that
/// leaves no text must have an end as well.
const WORK: usize = 8;

struct Walk<'w, 'd> {
    rule: &'w Resolved,
    schemas: &'w mut Schemas<'d>,
    looked_at: usize,
    text: usize,
    found: Vec<Parameter>,
    /// The messages around a field, and the indices of the fields that lead to it.
    within: Vec<MessageDescriptor>,
    path: Vec<u16>,
    /// The oneofs of which the fields that lead to it are members, each by its path, with the
    /// name of the member.
    oneofs: Vec<(String, String)>,
}

/// The parameters, and whether there are more of them than are listed.
pub(super) fn parameters(rule: &Resolved, schemas: &mut Schemas<'_>) -> (Vec<Parameter>, bool) {
    if rule.body == Body::Rest {
        return (Vec::new(), false);
    }
    let body = match rule.body {
        Body::Field(index) => Some(index),
        _ => None,
    };
    let within = vec![rule.input.clone()];
    let (path, oneofs) = (Vec::new(), Vec::new());
    let mut walk = Walk { rule, schemas, looked_at: 0, text: 0, found: Vec::new(), within, path, oneofs };
    for field in rule.input.fields().filter(|field| Some(field.index()) != body) {
        walk.add(&rule.input, field, "");
    }
    let more = walk.is_full();
    let (mut found, looked_at) = (walk.found, walk.looked_at);
    schemas.work += WORK * looked_at;
    describe_oneofs(&mut found);
    (found, more)
}

/// Says of each member of a oneof which others there are.
fn describe_oneofs(parameters: &mut [Parameter]) {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (oneof, member) in parameters.iter().flat_map(|parameter| &parameter.oneofs) {
        let members = members.entry(oneof.clone()).or_default();
        if members.last() != Some(member) {
            members.push(member.clone());
        }
    }
    for parameter in parameters {
        for (oneof, _) in &parameter.oneofs {
            let list: Vec<_> = members[oneof].iter().map(|member| format!("`{member}`")).collect();
            if list.len() > 1 && list.iter().map(String::len).sum::<usize>() <= MEMBERS {
                let list = list.join(", ");
                paragraph(&mut parameter.description, &format!("A request has at most one of {list}."));
            }
        }
    }
}

impl Walk<'_, '_> {
    fn is_full(&self) -> bool {
        self.looked_at >= FIELDS || self.found.len() >= PARAMETERS || self.text >= TEXT
    }

    fn add(&mut self, message: &MessageDescriptor, field: FieldDescriptor<'_>, prefix: &str) {
        if self.is_full() {
            return;
        }
        self.looked_at += 1;
        if field.oneof().is_some_and(|oneof| self.is_bound(oneof, field)) {
            return;
        }
        let Some(name) = self.name(message, field) else { return };
        let name = format!("{prefix}{name}");
        self.path.push(field.index());
        if let Some(oneof) = field.oneof() {
            let oneof = self.schemas.facts.oneof(message.name(), oneof);
            self.oneofs.push((format!("{prefix}{oneof}"), name.clone()));
        }
        if !self.rule.variables.iter().any(|variable| variable.indices() == self.path) {
            self.named(message, field, name);
        }
        if field.oneof().is_some() {
            self.oneofs.pop();
        }
        self.path.pop();
    }

    /// Whether the path of a request sets another member of the oneof of a field.
    fn is_bound(&self, oneof: u16, field: FieldDescriptor<'_>) -> bool {
        let depth = self.path.len();
        self.rule.variables.iter().any(|variable| {
            let set = variable.fields().nth(depth);
            variable.indices().starts_with(&self.path)
                && set.is_some_and(|set| set.oneof() == Some(oneof) && set.index() != field.index())
        })
    }

    /// The name by which the codec finds the field: the one that its JSON has, if it can.
    fn name<'f>(&self, message: &MessageDescriptor, field: FieldDescriptor<'f>) -> Option<&'f str> {
        let plain = field.name();
        let finds = !plain.contains(['.', '[']) && message.field_named(plain) == Some(field);
        if self.schemas.options.proto_field_names && finds { Some(plain) } else { field.path_name() }
    }

    fn named(&mut self, message: &MessageDescriptor, field: FieldDescriptor<'_>, name: String) {
        if field.cardinality() == Cardinality::Map {
            return;
        }
        let repeated = field.cardinality() == Cardinality::Repeated;
        if let Some(schema) = self.schemas.text(field) {
            let symbol = self.schemas.facts.field(message, field);
            self.text += name.len() + symbol.comment.len();
            self.found.push(Parameter {
                name,
                place: Place::Query,
                required: self.path.len() == 1 && self.schemas.is_required(message, field),
                deprecated: symbol.deprecated,
                description: symbol.comment.clone(),
                oneofs: self.oneofs.clone(),
                schema: if repeated { array(schema) } else { schema },
                many: false,
            });
            return;
        }
        let Some(nested) = field.message().filter(|nested| nested.json_mapping() == JsonMapping::Plain) else { return };
        if repeated || self.within.len() > DEEP || self.within.contains(&nested) {
            return;
        }
        self.within.push(nested.clone());
        for field in nested.fields() {
            self.add(&nested, field, &format!("{name}."));
        }
        self.within.pop();
    }
}
