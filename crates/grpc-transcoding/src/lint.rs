//! What of a schema HTTP/JSON cannot carry, and what servers differ in.

use std::{borrow::Cow, fmt};

use super::route::Routes;
use crate::schema::{Body, Cardinality, HttpRule, MessageType, Method, MethodType, Schema, Shape, Tables};

/// How deep fields are looked at.
const DEEP: usize = 6;

/// What a binding has that HTTP/JSON cannot carry, or that servers differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lint {
    /// The method, for example `google.chat.v1.ChatService/CreateSpace`.
    pub method: String,
    /// The binding: verb and path template.
    pub binding: String,
    /// The path of the field that it is about, in proto names. A call that sets it over
    /// that binding is refused.
    pub field: Option<String>,
    /// What is wrong with the field or the binding.
    pub problem: Cow<'static, str>,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.method, self.binding)?;
        match &self.field {
            Some(field) => write!(f, "field `{field}` {}, which a query cannot carry", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl Schema {
    /// Lists the bindings that are never used, because of what their rules say or because
    /// others have the same HTTP method and path; the fields that a binding leaves to the
    /// query, which cannot carry them; and the bindings whose body servers may not read.
    ///
    /// Sources: `google/api/http.proto`: a query parameter is a field of a primitive type,
    /// a repeated one, or one within a message that is not repeated. AIP-127: additional
    /// bindings have the body of the first. RFC 9110, sections 9.3.1 and 9.3.5: a body of
    /// GET and DELETE means nothing.
    pub fn lint(&self) -> Vec<Lint> {
        let mut lints = unused(&self.0);
        for method in self.methods() {
            for rule in &method.table().rules {
                binding(&mut lints, &self.0, &method, rule);
            }
        }
        lints
    }
}

/// The bindings that no server and no client uses, and why.
pub(crate) fn unused(tables: &Tables) -> Vec<Lint> {
    let lint = |method: &MethodType, binding: String, problem: String| Lint {
        method: method.path.trim_start_matches('/').to_owned(),
        binding,
        field: None,
        problem: problem.into(),
    };
    let mut lints = Vec::new();
    for method in &tables.methods {
        for rule in &method.unusable {
            lints.push(lint(method, rule.binding.to_string(), format!("cannot be used: {}", rule.problem)));
        }
    }
    for (method, rule, first) in Routes::new(tables).hidden(tables) {
        let method = &tables.methods[method as usize];
        let rule = &method.rules[rule as usize];
        let first = first.path.trim_start_matches('/');
        let problem = format!("is never served: {first} has the same HTTP method and path");
        lints.push(lint(method, name(rule), problem));
    }
    lints
}

/// HTTP method and path template of a binding.
fn name(rule: &HttpRule) -> String {
    format!("{} {}", if rule.any_verb { "*" } else { rule.verb.as_str() }, rule.template)
}

fn binding(lints: &mut Vec<Lint>, tables: &Tables, method: &Method, rule: &HttpRule) {
    let lint = |field, problem: &'static str| Lint {
        method: method.path().trim_start_matches('/').to_owned(),
        binding: name(rule),
        field,
        problem: problem.into(),
    };
    if rule.body != Body::None && [http::Method::GET, http::Method::DELETE].contains(&rule.verb) {
        lints.push(lint(None, "has a body, which servers and proxies may drop for its verb"));
    }
    let bodyless = |rule: &HttpRule| rule.body == Body::None;
    let first = method.table().rules.iter().find(|first| !bodyless(first));
    if !bodyless(rule) && first.is_some_and(|first| first.body != rule.body) {
        lints.push(lint(None, "has another body than the first binding that has one (AIP-127)"));
    }
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
    lints.extend(found.into_iter().map(|(field, problem)| lint(Some(field), problem)));
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
        shape if shape.is_text() => {}
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
