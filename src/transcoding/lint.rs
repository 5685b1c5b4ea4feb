//! What of a schema HTTP/JSON cannot carry.

use std::fmt;

use crate::schema::{Body, Cardinality, HttpRule, MessageType, Method, Schema, Shape, Tables};

/// How deep fields are looked at.
const DEEP: usize = 6;

/// A field that a binding leaves to the query, which cannot carry it. A call
/// that sets it over that binding is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The method, for example `google.chat.v1.ChatService/CreateSpace`.
    pub method: String,
    /// The binding: verb and path template.
    pub binding: String,
    /// The path of the field, in proto names.
    pub field: String,
    /// Why a query cannot carry it.
    pub problem: &'static str,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: field `{}` {}, which a query cannot carry",
            self.method, self.binding, self.field, self.problem
        )
    }
}

impl Schema {
    /// Lists the fields that no binding's path, query or body can carry.
    ///
    /// Source: `google/api/http.proto`: a query parameter is a field of a
    /// primitive type, a repeated one, or one within a message that is not
    /// repeated.
    pub fn lint(&self) -> Vec<Lint> {
        let mut lints = Vec::new();
        for method in self.methods() {
            for rule in &method.table().rules {
                binding(&mut lints, &self.0, &method, rule);
            }
        }
        lints
    }
}

fn binding(lints: &mut Vec<Lint>, tables: &Tables, method: &Method, rule: &HttpRule) {
    if rule.body == Body::Rest {
        return;
    }
    let input = &tables.messages[method.table().input as usize];
    let mut found = Vec::new();
    for index in 0..input.fields.len() {
        let in_body = rule.body == Body::Field(index as u16);
        let in_path = rule.variables.iter().any(|path| **path == [index as u16]);
        if !in_body && !in_path {
            check(&mut found, tables, input, index, "", &mut vec![method.table().input]);
        }
    }
    lints.extend(found.into_iter().map(|(field, problem)| Lint {
        method: method.path().trim_start_matches('/').to_owned(),
        binding: format!("{} {}", rule.verb, rule.template),
        field,
        problem,
    }));
}

/// `within` are the messages around the field, so that recursion ends.
fn check(
    found: &mut Vec<(String, &'static str)>,
    tables: &Tables,
    message: &MessageType,
    index: usize,
    prefix: &str,
    within: &mut Vec<u32>,
) {
    let field = &message.fields[index];
    let path = format!("{prefix}{}", field.name);
    if field.cardinality == Cardinality::Map {
        return found.push((path, "is a map"));
    }
    if !field.is_message() {
        return;
    }
    let inner = tables.message_of(field);
    match inner.shape {
        _ if field.cardinality == Cardinality::Repeated => found.push((path, "is a repeated message")),
        Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper => {}
        // As deep as anybody's requests go; the paths of messages that refer to
        // one another would be too many.
        Shape::Plain if within.len() > DEEP => {}
        Shape::Plain if within.contains(&field.type_index) => found.push((path, "is recursive")),
        Shape::Plain => {
            within.push(field.type_index);
            for inner_index in 0..inner.fields.len() {
                check(found, tables, inner, inner_index, &format!("{path}."), within);
            }
            within.pop();
        }
        _ => found.push((path, "is a message of free form")),
    }
}
