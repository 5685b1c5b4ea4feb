//! Path templates as OpenAPI has them: each segment that may vary is a parameter of its own.
//!
//! `/v1/{name=shelves/*/books/*}` becomes `/v1/shelves/{shelf}/books/{book}`. Two paths that
//! differ only in the names of their parameters are one path to OpenAPI, so whoever comes
//! second takes the names of the first.

use std::collections::{BTreeMap, HashSet};

use crate::{
    Binding,
    template::{Segment, Variable},
};

/// A path with parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Path {
    /// Literal text and parameters by turns: one more of the former.
    literals: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
}

/// A segment that may vary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// Whether it stands for any number of segments: `**`.
    pub(super) many: bool,
    /// The place of its variable among the template's; `None` outside of variables.
    pub(super) variable: Option<usize>,
    /// Whether it is all of its variable.
    pub(super) whole: bool,
}

impl Path {
    /// Takes a binding's template apart. `known` are names by the literal before.
    pub(super) fn new(binding: &Binding, known: &BTreeMap<&str, &str>) -> Self {
        let template = binding.template();
        let mut path = Self { literals: vec![String::new()], parameters: Vec::new() };
        let (mut before, mut used) = ("", HashSet::new());
        let mut variables = template.variables.iter().enumerate().peekable();
        for (at, segment) in template.segments.iter().enumerate() {
            path.push_text("/");
            if let Segment::Literal(literal) = segment {
                path.push_text(&literal.encoded);
                before = &literal.decoded;
                continue;
            }
            while variables.next_if(|(_, variable)| variable.segments.end <= at).is_some() {}
            let variable =
                variables.peek().filter(|(_, variable)| variable.segments.contains(&at)).map(|found| found.0);
            let whole = variable.is_some_and(|index| template.variables[index].segments.len() == 1);
            let name = match variable {
                Some(index) if whole => json_path(binding, index),
                Some(index) => name_after(before, known).unwrap_or_else(|| leaf(&template.variables[index])),
                None => name_after(before, known).unwrap_or_else(|| "segment".to_owned()),
            };
            let name = unused(&mut used, if name.is_empty() { "segment".to_owned() } else { name });
            path.parameters.push(Parameter { name, many: *segment == Segment::DoubleStar, variable, whole });
            path.literals.push(String::new());
            before = "";
        }
        if template.segments.is_empty() {
            path.push_text("/");
        }
        if let Some(verb) = &template.verb {
            path.push_text(":");
            path.push_text(verb);
        }
        path
    }

    fn push_text(&mut self, text: &str) {
        if let Some(last) = self.literals.last_mut() {
            last.push_str(text);
        }
    }

    /// What two paths have in common that OpenAPI cannot tell apart.
    pub(super) fn shape(&self) -> String {
        self.literals.join("{}")
    }

    /// Takes the names of the parameters of another path of the same shape.
    pub(super) fn rename(&mut self, names: &[String]) {
        for (parameter, name) in self.parameters.iter_mut().zip(names) {
            parameter.name.clone_from(name);
        }
    }

    /// The path as the document has it.
    pub(super) fn text(&self) -> String {
        let mut text = self.literals.first().cloned().unwrap_or_default();
        for (parameter, literal) in self.parameters.iter().zip(&self.literals[1..]) {
            text.push('{');
            text.push_str(&parameter.name);
            text.push('}');
            text.push_str(literal);
        }
        text
    }

    /// The value of a variable in terms of the parameters: `shelves/{shelf}/books/{book}`.
    pub(super) fn value(&self, binding: &Binding, variable: usize) -> String {
        let template = binding.template();
        let segments = template.variables[variable].segments.clone();
        let mut parameters = self.parameters.iter().filter(|parameter| parameter.variable == Some(variable));
        let parts = template.segments[segments].iter().map(|segment| match segment {
            Segment::Literal(literal) => literal.decoded.to_string(),
            _ => parameters.next().map_or_else(String::new, |parameter| format!("{{{}}}", parameter.name)),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// The name, with a number behind it if another parameter has it.
fn unused(used: &mut HashSet<String>, name: String) -> String {
    let numbered = (used.len() + 1..).map(|number| format!("{name}{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !used.contains(name)).unwrap_or(name);
    used.insert(free.clone());
    free
}

/// The JSON names along the path of a variable's field.
fn json_path(binding: &Binding, variable: usize) -> String {
    let path = &binding.resolved().variables[variable];
    identifier(&path.fields().map(|field| field.json_name()).collect::<Vec<_>>().join("_"))
}

fn leaf(variable: &Variable) -> String {
    variable.path.rsplit('.').next().unwrap_or(&variable.path).to_owned()
}

/// The name of what follows a literal: what a resource calls it, or else the singular.
fn name_after(literal: &str, known: &BTreeMap<&str, &str>) -> Option<String> {
    let name = match known.get(literal) {
        Some(name) => identifier(name),
        None => identifier(&singular(literal)),
    };
    (!name.is_empty() && !literal.is_empty()).then_some(name)
}

/// The text as an identifier, which is what some generators of clients expect: with an
/// underscore in place of any other character.
fn identifier(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = name.trim_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

/// The singular of an English plural, as far as rules go.
fn singular(plural: &str) -> String {
    let ending = |end: &str, with: &str| plural.strip_suffix(end).map(|stem| format!("{stem}{with}"));
    if plural.len() < 4 || plural.ends_with("ss") {
        return plural.to_owned();
    }
    (ending("ies", "y").or_else(|| ending("elves", "elf")).or_else(|| ending("alves", "alf")))
        .or_else(|| ["sses", "ches", "shes", "xes"].iter().find_map(|end| ending(end, &end[..end.len() - 2])))
        .or_else(|| ending("s", ""))
        .unwrap_or_else(|| plural.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_have_singulars() {
        for (plural, expected) in [
            ("shelves", "shelf"),
            ("books", "book"),
            ("policies", "policy"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("databases", "database"),
            ("drives", "drive"),
            ("access", "access"),
            ("archive", "archive"),
            ("v1", "v1"),
        ] {
            assert_eq!(singular(plural), expected);
        }
    }
}
