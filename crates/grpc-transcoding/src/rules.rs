//! HTTP rules, resolved against the messages of their methods.

use super::{
    descriptor::Rule,
    table::{Body, Cardinality, HttpRule, MessageType, Tables, UnusableRule},
    template::PathTemplate,
};

/// The messages of the method that a rule is for.
pub(super) struct Target<'a> {
    pub(super) input: &'a MessageType,
    pub(super) output: &'a MessageType,
}

/// The bindings of a rule in declared order: its own, then the additional
/// ones; and those that cannot be used, with the reason.
pub(super) fn bindings(tables: &Tables, target: &Target<'_>, rule: &Rule<'_>) -> (Vec<HttpRule>, Vec<UnusableRule>) {
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    let mut add = |rule: &Rule<'_>, nested: bool| {
        let binding = match nested {
            true => Err("an additional binding has additional bindings of its own".to_owned()),
            false => binding(tables, target, rule),
        };
        match binding {
            Ok(binding) => usable.push(binding),
            Err(problem) => {
                let name = format!("{} {}", rule.verb, rule.template);
                let binding = if name == " " { "an HTTP rule" } else { name.trim() };
                unusable.push(UnusableRule { binding: binding.into(), problem: problem.into() });
            }
        }
    };
    add(rule, false);
    for additional in &rule.additional {
        add(additional, !additional.additional.is_empty());
    }
    (usable, unusable)
}

fn binding(tables: &Tables, target: &Target<'_>, rule: &Rule<'_>) -> Result<HttpRule, String> {
    if let Some(error) = rule.malformed {
        return Err(format!("the rule is not an encoded google.api.HttpRule: {error}"));
    }
    if rule.verb.is_empty() && rule.template.is_empty() {
        return Err("the rule names no HTTP method and no path".to_owned());
    }
    let template = PathTemplate::parse(rule.template).map_err(|error| error.to_string())?;
    let variables = template.variables().map(|path| variable(tables, target.input, path)).collect::<Result<_, _>>()?;
    let body = match rule.body {
        "" => Body::None,
        "*" => Body::Rest,
        name => Body::Field(top_level("body", target.input, name)?),
    };
    let response_body = match rule.response_body {
        "" => None,
        name => Some(top_level("response_body", target.output, name)?),
    };
    let any_verb = rule.verb == "*";
    let verb = if any_verb { "POST" } else { rule.verb };
    let verb = http::Method::from_bytes(verb.as_bytes()).map_err(|_| format!("`{verb}` is not an HTTP method"))?;
    Ok(HttpRule { verb, any_verb, template, variables, body, response_body })
}

fn top_level(option: &str, message: &MessageType, name: &str) -> Result<u16, String> {
    // By its proto name alone: that is what a rule names fields by.
    message
        .fields
        .iter()
        .position(|field| &*field.name == name)
        .map(|index| index as u16)
        .ok_or_else(|| format!("{option} `{name}` is not a field of {}", message.name))
}

/// The field indices along the path of a template's variable, which must lead
/// to a single value: a scalar, or a message that is one in JSON.
fn variable(tables: &Tables, input: &MessageType, path: &str) -> Result<Box<[u16]>, String> {
    let mut message = Some(input);
    let mut indices = Vec::new();
    for name in path.split('.') {
        let Some(parent) = message else {
            return Err(format!("path variable `{path}` goes through a field that is not a message"));
        };
        let index = parent
            .fields
            .iter()
            .position(|field| &*field.name == name)
            .ok_or_else(|| format!("path variable `{path}`: {} has no field `{name}`", parent.name))?;
        let field = &parent.fields[index];
        if field.cardinality != Cardinality::Singular {
            return Err(format!("path variable `{path}`: `{name}` is a repeated field or a map"));
        }
        indices.push(index as u16);
        message = field.is_message().then(|| tables.message_of(field));
    }
    match message {
        Some(message) if !message.shape.is_text() => {
            Err(format!("path variable `{path}` is a {}, which a path cannot carry", message.name))
        }
        _ => Ok(indices.into()),
    }
}
