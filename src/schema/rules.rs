//! HTTP rules, resolved against the messages of their methods.

use super::{
    SchemaError,
    descriptor::Rule,
    table::{Body, Cardinality, HttpRule, MessageType, Tables},
    template::PathTemplate,
};

type Result<T> = std::result::Result<T, SchemaError>;

/// The method that a rule is for, as errors name it.
pub(super) struct Target<'a> {
    pub(super) file: &'a str,
    pub(super) method: &'a str,
    pub(super) input: &'a MessageType,
    pub(super) output: &'a MessageType,
}

impl Target<'_> {
    fn error(&self, problem: impl Into<Box<str>>) -> SchemaError {
        SchemaError::new(self.file, self.method, problem)
    }
}

/// The bindings of a rule in declared order: its own, then the additional
/// ones.
pub(super) fn bindings(tables: &Tables, target: &Target<'_>, rule: &Rule<'_>) -> Result<Vec<HttpRule>> {
    let mut bindings = vec![binding(tables, target, rule)?];
    for additional in &rule.additional {
        if !additional.additional.is_empty() {
            return Err(target.error("an additional binding has additional bindings of its own"));
        }
        bindings.push(binding(tables, target, additional)?);
    }
    Ok(bindings)
}

fn binding(tables: &Tables, target: &Target<'_>, rule: &Rule<'_>) -> Result<HttpRule> {
    let template = PathTemplate::parse(rule.template).map_err(|error| target.error(error.to_string()))?;
    let variables = template.variables().map(|path| variable(tables, target, path)).collect::<Result<Vec<_>>>()?;
    let body = match rule.body {
        "" => Body::None,
        "*" => Body::Rest,
        name => Body::Field(top_level(target, "body", target.input, name)?),
    };
    let response_body = match rule.response_body {
        "" => None,
        name => Some(top_level(target, "response_body", target.output, name)?),
    };
    let any_verb = rule.verb == "*";
    let verb = if any_verb { "POST" } else { rule.verb };
    let verb = http::Method::from_bytes(verb.as_bytes())
        .map_err(|_| target.error(format!("`{}` is not an HTTP method", rule.verb)))?;
    Ok(HttpRule { verb, any_verb, template, variables, body, response_body })
}

fn top_level(target: &Target<'_>, option: &str, message: &MessageType, name: &str) -> Result<u16> {
    // By its proto name alone: that is what a rule names fields by.
    message
        .fields
        .iter()
        .position(|field| &*field.name == name)
        .map(|index| index as u16)
        .ok_or_else(|| target.error(format!("{option} `{name}` is not a field of {}", message.name)))
}

/// The field indices along the path of a template's variable, which must lead
/// to a single value.
fn variable(tables: &Tables, target: &Target<'_>, path: &str) -> Result<Box<[u16]>> {
    let mut message = Some(target.input);
    let mut indices = Vec::new();
    for name in path.split('.') {
        let Some(parent) = message else {
            return Err(target.error(format!("path variable `{path}` goes through a field that is not a message")));
        };
        let index =
            parent.fields.iter().position(|field| &*field.name == name).ok_or_else(|| {
                target.error(format!("path variable `{path}`: {} has no field `{name}`", parent.name))
            })?;
        let field = &parent.fields[index];
        if field.cardinality != Cardinality::Singular {
            return Err(target.error(format!("path variable `{path}`: `{name}` is a repeated field or a map")));
        }
        indices.push(index as u16);
        message = field.is_message().then(|| tables.message_of(field));
    }
    if message.is_some() {
        return Err(target.error(format!("path variable `{path}` is a message")));
    }
    Ok(indices.into())
}
