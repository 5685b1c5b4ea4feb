//! Finding the method and binding of a request line.

use std::{cmp::Reverse, collections::HashMap};

use http::Method;
use tonic::Status;

use crate::schema::{HttpRule, MethodType, Segment, Tables};

/// The bindings of a schema, ready to be looked up by path.
#[derive(Debug)]
pub(crate) struct Routes {
    /// By the first and the second segment of their templates, where both are literals.
    by_start: HashMap<Box<str>, HashMap<Box<str>, Vec<Entry>>>,
    others: Vec<Entry>,
}

/// A method and a binding of it, by their indices, and how special its template
/// is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    method: u32,
    rule: u32,
    rank: (bool, Reverse<bool>, usize),
}

/// What a request line leads to.
pub(crate) enum Route<'t> {
    Found {
        method: &'t MethodType,
        rule: &'t HttpRule,
        values: Vec<String>,
    },
    /// Other verbs have the path; these.
    WrongVerb(Vec<Method>),
    Unknown,
}

impl Routes {
    pub(crate) fn new(tables: &Tables) -> Self {
        let mut routes = Self { by_start: HashMap::new(), others: Vec::new() };
        for (m, method) in tables.methods.iter().enumerate() {
            for (r, rule) in method.rules.iter().enumerate() {
                let segments = &rule.template.segments;
                let literals = segments.iter().filter(|one| matches!(one, Segment::Literal(_))).count();
                let many = segments.contains(&Segment::DoubleStar);
                // A verb before none, since `{name=a/*}` takes `a/b:verb`, too; then one
                // segment before any number, and literals before stars.
                let rank = (rule.template.verb.is_some(), Reverse(many), literals);
                let entry = Entry { method: m as u32, rule: r as u32, rank };
                match &segments[..] {
                    [Segment::Literal(a), Segment::Literal(b), ..] if plain(a) && plain(b) => {
                        routes.by_start.entry(a.clone()).or_default().entry(b.clone()).or_default().push(entry);
                    }
                    _ => routes.others.push(entry),
                }
            }
        }
        let lists = routes.by_start.values_mut().flat_map(HashMap::values_mut).chain([&mut routes.others]);
        lists.for_each(|list| list.sort_by_key(Entry::order));
        routes
    }

    /// Finds the method and binding for a verb and a path.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the path matches but cannot be decoded.
    pub(crate) fn find<'t>(&self, tables: &'t Tables, verb: &Method, path: &str) -> Result<Route<'t>, Status> {
        let mut start = path.trim_start_matches('/').splitn(3, '/');
        let first = start.next().unwrap_or_default();
        let second = start.next().unwrap_or_default();
        let second = second.split(':').next().unwrap_or_default();
        let start = self.by_start.get(first).and_then(|seconds| seconds.get(second)).map_or(&[][..], |list| list);
        // A literal may come percent-encoded; then only the slow way finds it.
        let encoded = first.contains('%') || second.contains('%');
        if self.others.is_empty() && !encoded {
            return among(start, tables, verb, path);
        }
        let all = self.by_start.values().flat_map(HashMap::values).flatten().filter(|_| encoded);
        let mut candidates: Vec<Entry> = start.iter().chain(&self.others).chain(all).copied().collect();
        candidates.sort_by_key(Entry::order);
        among(&candidates, tables, verb, path)
    }
}

impl Entry {
    /// More special ones come first, and of equals the first declared.
    fn order(&self) -> impl Ord + use<> {
        (Reverse(self.rank), self.method, self.rule)
    }
}

/// The first of the candidates, in their order, that fits.
fn among<'t>(candidates: &[Entry], tables: &'t Tables, verb: &Method, path: &str) -> Result<Route<'t>, Status> {
    let mut allowed = Vec::new();
    for entry in candidates {
        let method = &tables.methods[entry.method as usize];
        let rule = &method.rules[entry.rule as usize];
        let matched = rule.template.matches(path).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let Some(values) = matched else { continue };
        if rule.any_verb || rule.verb == *verb {
            return Ok(Route::Found { method, rule, values });
        }
        if !allowed.contains(&rule.verb) {
            allowed.push(rule.verb.clone());
        }
    }
    Ok(if allowed.is_empty() { Route::Unknown } else { Route::WrongVerb(allowed) })
}

/// Whether a literal travels as it is written.
fn plain(literal: &str) -> bool {
    !literal.contains('%')
}
