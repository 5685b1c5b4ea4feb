//! What of an API HTTP/JSON cannot carry, and what servers differ in.

use std::{borrow::Cow, fmt};

use protojson::{Cardinality, FieldDescriptor, JsonMapping, MessageDescriptor};

use crate::{Binding, HttpRules, MethodBindings, Router, binding::Body};

/// How deep fields are looked at.
const DEEP: usize = 6;

/// What a binding has that HTTP/JSON cannot carry, or that servers differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lint {
    /// The method, for example `google.chat.v1.ChatService/CreateSpace`.
    pub method: String,
    /// The binding: HTTP method and path template.
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

impl HttpRules {
    /// Lists the bindings that are never used, because of what their rules say or because
    /// others have the same HTTP method and path; the fields that a binding leaves to the
    /// query, which cannot carry them; and the bindings whose body servers may not read.
    ///
    /// Sources: `google/api/http.proto`: a query parameter is a field of a primitive type,
    /// a repeated one, or one within a message that is not repeated. AIP-127: additional
    /// bindings have the body of the first. RFC 9110, sections 9.3.1 and 9.3.5: a body of
    /// GET and DELETE means nothing.
    pub fn lint(&self) -> Vec<Lint> {
        let mut lints = self.unused();
        for method in self.methods() {
            for binding in method.bindings() {
                check_binding(&mut lints, method, binding);
            }
        }
        lints
    }

    /// The bindings that no server and no client uses, and why.
    pub fn unused(&self) -> Vec<Lint> {
        let lint = |method: &str, binding: String, problem: String| Lint {
            method: method.trim_start_matches('/').to_owned(),
            binding,
            field: None,
            problem: problem.into(),
        };
        let mut lints = Vec::new();
        for method in self.methods() {
            for rule in method.unusable() {
                let problem = format!("cannot be used: {}", rule.problem);
                lints.push(lint(method.method().path(), rule.binding.to_string(), problem));
            }
        }
        for binding in self.methods().flat_map(MethodBindings::bindings).filter(|binding| !binding.is_servable()) {
            let problem = "is never served: the method streams its requests, and the rule has no body for them";
            lints.push(lint(binding.method().path(), binding.to_string(), problem.to_owned()));
        }
        for (binding, first) in Router::new(self).hidden() {
            let first = first.method().path().trim_start_matches('/');
            let problem = format!("is never served: {first} has the same HTTP method and path");
            lints.push(lint(binding.method().path(), binding.to_string(), problem));
        }
        lints
    }
}

fn check_binding(lints: &mut Vec<Lint>, method: &MethodBindings, binding: &Binding) {
    let lint = |field, problem: &'static str| Lint {
        method: method.method().path().trim_start_matches('/').to_owned(),
        binding: binding.to_string(),
        field,
        problem: problem.into(),
    };
    let rule = binding.resolved();
    if rule.body != Body::None && [http::Method::GET, http::Method::DELETE].contains(&rule.http_method) {
        lints.push(lint(None, "has a body, which servers and proxies may drop for its HTTP method"));
    }
    let bodies = method.bindings().iter().map(|binding| binding.resolved().body);
    let first = bodies.into_iter().find(|body| *body != Body::None);
    if rule.body != Body::None && first.is_some_and(|first| first != rule.body) {
        lints.push(lint(None, "has another body than the first binding that has one (AIP-127)"));
    }
    let mut found = Vec::new();
    for (index, _) in &rule.query {
        if let Some(field) = rule.input.fields().nth(usize::from(*index)) {
            check(&mut found, field, "", &mut vec![rule.input.clone()]);
        }
    }
    lints.extend(found.into_iter().map(|(field, problem)| lint(Some(field), problem)));
}

/// `within` are the messages around the field, so that recursion ends.
fn check(
    found: &mut Vec<(String, &'static str)>,
    field: FieldDescriptor<'_>,
    prefix: &str,
    within: &mut Vec<MessageDescriptor>,
) {
    let path = format!("{prefix}{}", field.name());
    if field.cardinality() == Cardinality::Map {
        return found.push((path, "is a map"));
    }
    let Some(inner) = field.message() else { return };
    match inner.json_mapping() {
        _ if field.cardinality() == Cardinality::Repeated => found.push((path, "is a repeated message")),
        mapping if mapping.is_text() => {}
        // As deep as anybody's requests go; the paths of messages that refer to
        // one another would be too many.
        JsonMapping::Plain if within.len() > DEEP => {}
        JsonMapping::Plain if within.contains(&inner) => found.push((path, "is recursive")),
        JsonMapping::Plain => {
            within.push(inner.clone());
            for field in inner.fields() {
                check(found, field, &format!("{path}."), within);
            }
            within.pop();
        }
        _ => found.push((path, "is a message of free form")),
    }
}
