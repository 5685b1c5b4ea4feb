//! Finding the method and binding of a request line.
//!
//! The templates are kept in tries, keyed by decoded segments, so that a look-up costs
//! the length of the path and not the number of routes.

use std::{cmp::Reverse, collections::HashMap};

use http::Method;

use crate::{Binding, HttpRules, TranscodeError, path::split, percent::decode, template::Segment};

/// The bindings of a pool, ready to be looked up by HTTP method and path.
#[derive(Debug)]
pub struct Router {
    bindings: Vec<Binding>,
    /// The first is the root of the templates without a custom verb.
    nodes: Vec<Node>,
    /// The roots of the templates with one.
    verbs: HashMap<Box<str>, u32>,
}

/// What the segments up to here lead to. The other nodes are known by their indices, so
/// that a deep trie needs no recursion.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, u32>,
    star: Option<u32>,
    /// The trie of the segments after a `**`, from the last one backwards.
    double_star: Option<u32>,
    /// The bindings whose templates end here, in the order in which they are taken.
    entries: Vec<Entry>,
}

/// A binding, by its index. The order is that in which bindings are tried: one segment before any number of them, then literals before stars; of equals,
/// what can be served, and then the first declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    many: bool,
    literals: Reverse<usize>,
    unserved: bool,
    /// The index in [`Router::bindings`], which are in declared order.
    binding: u32,
}

/// What a request line leads to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Route<'r> {
    /// A binding, and the values of its path's variables.
    Found {
        /// The binding.
        binding: &'r Binding,
        /// The values, in the order of the template's variables.
        variables: Vec<String>,
    },
    /// The path is served with other HTTP methods: these.
    MethodNotAllowed(Vec<Method>),
    /// Nothing is served at the path.
    Unknown,
}

impl Router {
    /// Takes the bindings of all methods.
    pub fn new(rules: &HttpRules) -> Self {
        let mut router = Self { bindings: Vec::new(), nodes: vec![Node::default()], verbs: HashMap::new() };
        for method in rules.methods() {
            let unserved = !method.is_servable();
            for binding in method.bindings() {
                let segments = &binding.template().segments;
                let literals = segments.iter().filter(|one| matches!(one, Segment::Literal(_))).count();
                let entry = Entry {
                    many: segments.contains(&Segment::DoubleStar),
                    literals: Reverse(literals),
                    unserved,
                    binding: router.bindings.len() as u32,
                };
                router.insert(binding, entry);
                router.bindings.push(binding.clone());
            }
        }
        router.nodes.iter_mut().for_each(|node| node.entries.sort());
        router
    }

    fn insert(&mut self, binding: &Binding, entry: Entry) {
        let template = binding.template();
        let mut at = 0;
        if let Some(verb) = &template.verb {
            let new = self.nodes.len() as u32;
            at = *self.verbs.entry(verb.clone()).or_insert(new);
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        let stars = template.segments.iter().position(|segment| *segment == Segment::DoubleStar);
        let (before, after) = template.segments.split_at(stars.map_or(template.segments.len(), |at| at + 1));
        for segment in before.iter().chain(after.iter().rev()) {
            at = self.child(at, segment);
        }
        self.nodes[at as usize].entries.push(entry);
    }

    /// The node after a segment, made if it is not there.
    fn child(&mut self, at: u32, segment: &Segment) -> u32 {
        let new = self.nodes.len() as u32;
        let node = &mut self.nodes[at as usize];
        let child = match segment {
            Segment::Literal(literal) => *node.literals.entry(literal.decoded.clone()).or_insert(new),
            Segment::Star => *node.star.get_or_insert(new),
            Segment::DoubleStar => *node.double_star.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Finds the binding for an HTTP method and a path without its query.
    ///
    /// # Errors
    ///
    /// If the path matches but cannot be decoded.
    pub fn find(&self, method: &Method, path: &str) -> Result<Route<'_>, TranscodeError> {
        let Some(mut parts) = split(path) else { return Ok(Route::Unknown) };
        let mut allowed = Vec::new();
        // A custom verb comes before none, since `{name=a/*}` takes `a/b:verb`, too.
        if let Some((last, custom)) = parts.last().and_then(|last| last.rsplit_once(':'))
            && let Some(root) = self.verbs.get(custom)
        {
            let whole = parts.pop();
            let root_path = last.is_empty() && parts.is_empty();
            parts.extend((!root_path).then_some(last));
            if let Some(found) = self.among(*root, method, &parts, &mut allowed)? {
                return Ok(found);
            }
            parts.truncate(parts.len() - usize::from(!root_path));
            parts.extend(whole);
        }
        if let Some(found) = self.among(0, method, &parts, &mut allowed)? {
            return Ok(found);
        }
        Ok(if allowed.is_empty() { Route::Unknown } else { Route::MethodNotAllowed(allowed) })
    }

    /// The first binding below a root, in their order, that fits.
    fn among(
        &self,
        root: u32,
        method: &Method,
        parts: &[&str],
        allowed: &mut Vec<Method>,
    ) -> Result<Option<Route<'_>>, TranscodeError> {
        let mut found = Vec::new();
        self.forwards(root, parts, &mut found);
        found.sort();
        for entry in found {
            let binding = self.binding(&entry);
            let template = binding.template();
            let variables = template.values(parts, template.taken(parts.len()));
            let variables = variables.map_err(|error| TranscodeError::request(error.to_string()).caused_by(error))?;
            match binding.http_method() {
                Some(own) if own != method => {
                    if !allowed.contains(own) {
                        allowed.push(own.clone());
                    }
                }
                _ => return Ok(Some(Route::Found { binding, variables })),
            }
        }
        Ok(None)
    }

    fn binding(&self, entry: &Entry) -> &Binding {
        &self.bindings[entry.binding as usize]
    }

    /// Collects the bindings below a root whose templates match the parts.
    fn forwards(&self, root: u32, parts: &[&str], found: &mut Vec<Entry>) {
        self.walk(root, parts.iter(), |node, rest| {
            if rest.len() == 0 {
                found.extend_from_slice(&node.entries);
            }
            if let Some(after) = node.double_star {
                self.backwards(after, rest.as_slice(), found);
            }
        });
    }

    /// Collects the bindings of a `**` that begins with `parts`, of which the templates
    /// leave the last ones to the segments after it.
    fn backwards(&self, root: u32, parts: &[&str], found: &mut Vec<Entry>) {
        // A variable never begins with a slash.
        let clean = parts.first().is_none_or(|first| !first.is_empty());
        self.walk(root, parts.iter().rev(), |node, rest| {
            if clean || rest.len() == 0 {
                found.extend_from_slice(&node.entries);
            }
        });
    }

    /// Visits each node that the parts lead to, with the parts that are left.
    fn walk<'p, P: ExactSizeIterator<Item = &'p &'p str> + Clone>(
        &self,
        root: u32,
        parts: P,
        mut visit: impl FnMut(&Node, &P),
    ) {
        let mut next = Some((root, parts));
        // Where a literal and a star both fit, the star waits.
        let mut waiting = Vec::new();
        while let Some((at, mut parts)) = next.take().or_else(|| waiting.pop()) {
            let node = &self.nodes[at as usize];
            visit(node, &parts);
            let Some(part) = parts.next() else { continue };
            let literal = match node.literals.is_empty() {
                true => None,
                false => decode(part, false).ok().and_then(|part| node.literals.get(&*part)),
            };
            let star = node.star.filter(|_| !part.is_empty());
            match (literal, star) {
                (Some(literal), star) => {
                    waiting.extend(star.map(|star| (star, parts.clone())));
                    next = Some((*literal, parts));
                }
                (None, Some(star)) => next = Some((star, parts)),
                (None, None) => {}
            }
        }
    }

    /// The bindings that no request comes to, each with the one that has its HTTP method
    /// and path, in declared order.
    pub(crate) fn hidden(&self) -> Vec<(&Binding, &Binding)> {
        let mut hidden = Vec::new();
        for node in &self.nodes {
            for (at, entry) in node.entries.iter().enumerate() {
                let own = self.binding(entry).http_method();
                let takes = |first: &&Entry| self.binding(first).http_method().is_none_or(|method| Some(method) == own);
                if let Some(first) = node.entries[..at].iter().find(takes) {
                    hidden.push((entry.binding, first.binding));
                }
            }
        }
        hidden.sort();
        let binding = |index: u32| &self.bindings[index as usize];
        hidden.into_iter().map(|(one, first)| (binding(one), binding(first))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::schema::{Body, PathTemplate};

    /// Methods of one binding each; those that begin with `<` stream their requests.
    fn tables(rules: &[(&str, &str)]) -> Tables {
        let method = |(verb, template): &(&str, &str)| MethodType {
            path: format!("/a.B/{template}").into(),
            input: 0,
            output: 0,
            client_streaming: verb.starts_with('<'),
            server_streaming: false,
            rules: vec![HttpRule {
                verb: verb.trim_start_matches(['<', '*']).parse().unwrap_or(Method::POST),
                any_verb: verb.contains('*'),
                template: PathTemplate::parse(template).unwrap(),
                variables: Vec::new(),
                body: Body::None,
                response_body: None,
            }],
            unusable: Vec::new(),
        };
        Tables { messages: vec![Default::default()], methods: rules.iter().map(method).collect(), ..Tables::default() }
    }

    /// What a request line leads to, in words.
    fn said(found: Result<Route<'_>, Status>) -> String {
        match found {
            Ok(Route::Found { method, values, .. }) => format!("{} {values:?}", method.path),
            Ok(Route::WrongVerb(allowed)) => format!("{allowed:?}"),
            Ok(Route::Unknown) => "nothing".to_owned(),
            Err(status) => status.message().to_owned(),
        }
    }

    /// The same by looking at each template in turn.
    fn naive<'t>(tables: &'t Tables, verb: &Method, path: &str) -> Result<Route<'t>, Status> {
        let mut all: Vec<(&MethodType, &HttpRule)> =
            tables.methods.iter().map(|method| (method, &method.rules[0])).collect();
        all.sort_by_key(|(method, rule)| {
            let segments = &rule.template.segments;
            let literals = segments.iter().filter(|one| matches!(one, Segment::Literal(_))).count();
            let many = segments.contains(&Segment::DoubleStar);
            (Reverse((rule.template.verb.is_some(), Reverse(many), literals)), method.client_streaming)
        });
        let mut allowed = Vec::new();
        for (method, rule) in all {
            let matched = rule.template.matches(path).map_err(|error| Status::invalid_argument(error.to_string()))?;
            let Some(values) = matched else { continue };
            if rule.any_verb || rule.verb == *verb {
                return Ok(Route::Found { method, rule, values });
            }
            if !allowed.contains(&rule.verb) {
                allowed.push(rule.verb.clone());
            }
        }
        Ok(if allowed.is_empty() { Route::Unknown } else { Route::MethodNotAllowed(allowed) })
    }

    const VERBS: [&str; 5] = ["GET", "POST", "*", "<GET", "<POST"];

    fn template() -> impl Strategy<Value = String> {
        let segment = select(&["a", "b", "c d", "%61", "x:y", "*", "*", "**"][..]);
        let segments = prop::collection::vec(segment, 0..5);
        (segments, any::<(u8, u8)>(), select(&["", "", ":go", ":b", ":c%20d"][..])).prop_map(
            |(mut segments, span, verb)| {
                let stars = segments.iter().position(|segment| *segment == "**");
                let mut at = 0;
                segments.retain(|segment| {
                    at += 1;
                    *segment != "**" || Some(at - 1) == stars
                });
                if segments.is_empty() {
                    return "/".to_owned();
                }
                // A variable around some of them.
                let from = usize::from(span.0) % segments.len();
                let to = from + 1 + usize::from(span.1) % (segments.len() - from);
                let variable = format!("{{v={}}}", segments[from..to].join("/"));
                segments.splice(from..to, [&*variable]);
                let path = format!("/{}", segments.join("/"));
                // A colon in the last segment would be a verb's.
                if path.rsplit('/').next().is_some_and(|last| last.contains(':')) { path + ":go" } else { path + verb }
            },
        )
    }

    fn path() -> impl Strategy<Value = String> {
        let part = select(
            &["a", "a", "b", "b", "c%20d", "%61", "%62", "x:y", "x%3ay", "", "go", "%zz", "%ff", "a%2Fb", "z", "a:b"][..],
        );
        let end = select(&["", "", "", ":go", ":b", ":c%20d", ":", "/"][..]);
        (prop::collection::vec(part, 0..6), end).prop_map(|(parts, end)| format!("/{}{end}", parts.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_trie_finds_what_looking_at_each_template_finds(
            rules in prop::collection::vec((select(&VERBS[..]), template()), 1..14),
            paths in prop::collection::vec(path(), 1..16),
        ) {
            let rules: Vec<(&str, &str)> = rules.iter().map(|(verb, template)| (*verb, template.as_str())).collect();
            let tables = tables(&rules);
            let routes = Routes::new(&tables);
            for path in paths.iter().map(String::as_str).chain(["", "a", ":go"]) {
                for verb in [Method::GET, Method::POST, Method::PUT] {
                    let expected = said(naive(&tables, &verb, path));
                    prop_assert_eq!(said(routes.find(&tables, &verb, path)), expected, "{} {} {:?}", verb, path, rules);
                }
            }
        }
    }

    #[test]
    fn the_most_special_template_is_taken() {
        let tables = tables(&[
            ("GET", "/v1/{v=**}"),
            ("GET", "/v1/{v=*}"),
            ("GET", "/v1/a"),
            ("GET", "/v1/{v=**}/b"),
            ("GET", "/v1/{v=*}:go"),
            ("*", "/v2/{v}"),
            ("PUT", "/v2/{v}"),
            ("<POST", "/v3/{w}"),
            ("POST", "/v3/{v}"),
            ("GET", "/v3/{v=%61/*}"),
        ]);
        let routes = Routes::new(&tables);
        for (line, expected) in [
            ("GET /v1/a", "/a.B//v1/a []"),
            ("GET /v1/%61", "/a.B//v1/a []"),
            ("GET /v1/c", r#"/a.B//v1/{v=*} ["c"]"#),
            ("GET /v1/c/b", r#"/a.B//v1/{v=**}/b ["c"]"#),
            ("GET /v1/c/d", r#"/a.B//v1/{v=**} ["c/d"]"#),
            ("GET /v1/a:go", r#"/a.B//v1/{v=*}:go ["a"]"#),
            ("GET /v1/a:stop", r#"/a.B//v1/{v=*} ["a:stop"]"#),
            ("PUT /v2/a", r#"/a.B//v2/{v} ["a"]"#),
            ("POST /v3/a", r#"/a.B//v3/{v} ["a"]"#),
            ("PUT /v3/a", "[POST]"),
            ("GET /v3/a/b", r#"/a.B//v3/{v=%61/*} ["a/b"]"#),
            ("GET /v4", "nothing"),
            ("GET /v1/%zz", "the path cannot be decoded: `%` without two hexadecimal digits"),
        ] {
            let (verb, path) = line.split_once(' ').unwrap();
            assert_eq!(said(routes.find(&tables, &verb.parse().unwrap(), path)), expected, "{line}");
        }
        let hidden: Vec<_> =
            routes.hidden(&tables).into_iter().map(|(method, _, first)| (method, &*first.path)).collect();
        assert_eq!(hidden, [(6, "/a.B//v2/{v}"), (7, "/a.B//v3/{v}")]);
    }

    /// A schema from a server's reflection may be anything.
    #[test]
    fn a_template_of_a_million_segments_is_no_recursion() {
        let long = "/a".repeat(1_000_000);
        let tables = tables(&[("GET", &long), ("GET", &format!("/{{v=**}}{long}"))]);
        let routes = Routes::new(&tables);
        assert!(matches!(routes.find(&tables, &Method::GET, &long), Ok(Route::Found { .. })));
        assert!(matches!(routes.find(&tables, &Method::GET, &long[2..]), Ok(Route::Unknown)));
    }
}
