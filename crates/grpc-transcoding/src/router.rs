//! Finding the method and binding of a request line.
//!
//! The templates are kept in tries, keyed by decoded segments, so that a look-up costs
//! the length of the path and not the number of routes.

use std::{borrow::Cow, cmp::Reverse, collections::HashMap};

use bytes::Bytes;
use http::{Method, header::CONTENT_TYPE};

use crate::{
    Binding, HttpPayload, HttpRules, Options, Query, TranscodeError, TranscodeErrorKind, path::split, percent::decode,
    template::Segment,
};

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

/// A binding whose template ends at a node. Entries are sorted in the order in which they are
/// tried: templates without `**` first, then those with more literals, then those of methods
/// with one request, then those of a stream that can be served, then those that were declared
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Whether the template has a `**`.
    many: bool,
    /// The number of literal segments.
    literals: Reverse<usize>,
    /// Whether the requests are a stream.
    streams: bool,
    /// Whether they cannot be served over HTTP.
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
            for binding in method.bindings() {
                let segments = &binding.template().segments;
                let literals = segments.iter().filter(|one| matches!(one, Segment::Literal(_))).count();
                let entry = Entry {
                    many: segments.contains(&Segment::DoubleStar),
                    literals: Reverse(literals),
                    streams: method.method().is_client_streaming() && !binding.takes_http_body(),
                    unserved: !binding.is_servable(),
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

    /// Finds the binding of an HTTP request and reads the request message, encoded: the
    /// inverse of [`MethodBindings::to_http`](crate::MethodBindings::to_http). The content
    /// type counts for a `google.api.HttpBody` only.
    ///
    /// # Errors
    ///
    /// If no binding has the HTTP method and path, or the request is not one of its
    /// method.
    pub fn from_http(&self, request: &http::Request<Bytes>) -> Result<(&Binding, Vec<u8>), TranscodeError> {
        let (path, method) = (request.uri().path(), request.method());
        let Route::Found { binding, variables } = self.find(method, path)? else {
            return Err(TranscodeError::new(
                TranscodeErrorKind::Unsupported,
                format!("no method is bound to {method} {path}"),
            ));
        };
        let content_type = request.headers().get(CONTENT_TYPE).map(|kind| Cow::Owned(kind.as_bytes().to_vec()));
        let payload = HttpPayload { content_type, body: request.body().clone() };
        let query = Query::parse(request.uri().query().unwrap_or_default())?;
        let mut message = Vec::new();
        binding.decode_request(&variables, &query, &payload, &Options::default(), &mut message)?;
        Ok((binding, message))
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
    use prost::Message;
    use prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
        ServiceDescriptorProto,
        field_descriptor_proto::{Label, Type},
    };

    use super::*;
    use crate::DescriptorPool;

    /// Methods of one binding each, with `v` and `w` in the request; those that begin with
    /// `<` stream their requests.
    fn rules(rules: &[(&str, &str)]) -> HttpRules {
        let text = |number: u32, text: &str| {
            let mut field = Vec::new();
            protojson::wire::put_len(&mut field, number, text.as_bytes());
            field
        };
        let field = |(name, number): (&str, i32)| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..Default::default()
        };
        let method = |(at, (verb, _)): (usize, &(&str, &str))| MethodDescriptorProto {
            name: Some(format!("M{at}")),
            input_type: Some(".a.M".to_owned()),
            output_type: Some(".a.M".to_owned()),
            client_streaming: Some(verb.starts_with('<')),
            ..Default::default()
        };
        let file = FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            package: Some("a".to_owned()),
            syntax: Some("proto3".to_owned()),
            message_type: vec![DescriptorProto {
                name: Some("M".to_owned()),
                field: [("v", 1), ("w", 2)].map(field).into(),
                ..Default::default()
            }],
            service: vec![ServiceDescriptorProto {
                name: Some("B".to_owned()),
                method: rules.iter().enumerate().map(method).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let pool = DescriptorPool::decode(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
        let rule = |(at, (verb, template)): (usize, &(&str, &str))| {
            let custom = [text(1, verb.trim_start_matches('<')), text(2, template)].concat();
            let mut rule = text(1, &format!("a.B.M{at}"));
            protojson::wire::put_len(&mut rule, 8, &custom);
            let mut http = Vec::new();
            protojson::wire::put_len(&mut http, 1, &rule);
            http
        };
        HttpRules::with_config(&pool, &rules.iter().enumerate().flat_map(rule).collect::<Vec<_>>()).unwrap()
    }

    /// What a request line leads to, in words.
    fn said(found: Result<Route<'_>, TranscodeError>) -> String {
        match found {
            Ok(Route::Found { binding, variables }) => format!("{} {variables:?}", binding.template()),
            Ok(Route::MethodNotAllowed(allowed)) => format!("{allowed:?}"),
            Ok(Route::Unknown) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// The same by looking at each template in turn.
    fn naive<'r>(rules: &'r HttpRules, method: &Method, path: &str) -> Result<Route<'r>, TranscodeError> {
        let mut all: Vec<&Binding> = rules.methods().map(|method| &method.bindings()[0]).collect();
        all.sort_by_key(|binding| {
            let template = binding.template();
            let literals = template.segments.iter().filter(|one| matches!(one, Segment::Literal(_))).count();
            let many = template.segments.contains(&Segment::DoubleStar);
            (Reverse((template.verb.is_some(), Reverse(many), literals)), binding.method().is_client_streaming())
        });
        let mut allowed = Vec::new();
        for binding in all {
            let matched = binding.template().matches(path);
            let matched = matched.map_err(|error| TranscodeError::request(error.to_string()))?;
            let Some(variables) = matched else { continue };
            match binding.http_method() {
                Some(own) if own != method => {
                    if !allowed.contains(own) {
                        allowed.push(own.clone());
                    }
                }
                _ => return Ok(Route::Found { binding, variables }),
            }
        }
        Ok(if allowed.is_empty() { Route::Unknown } else { Route::MethodNotAllowed(allowed) })
    }

    const VERBS: [&str; 5] = ["GET", "POST", "*", "<GET", "<POST"];

    /// splitmix64: a seed is a case.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) % limit as u64) as usize
        }

        fn of(&mut self, choices: &[&'static str]) -> &'static str {
            choices[self.below(choices.len())]
        }
    }

    fn template(random: &mut Random) -> String {
        let mut segments: Vec<String> = Vec::new();
        for _ in 0..random.below(5) {
            let segment = random.of(&["a", "b", "c d", "%61", "x:y", "*", "*", "**"]);
            // A template has no more than one `**`.
            if segment != "**" || segments.iter().all(|other| other != "**") {
                segments.push(segment.to_owned());
            }
        }
        if segments.is_empty() {
            return "/".to_owned();
        }
        // A variable around some of them.
        let from = random.below(segments.len());
        let to = from + 1 + random.below(segments.len() - from);
        let variable = format!("{{v={}}}", segments[from..to].join("/"));
        segments.splice(from..to, [variable]);
        let path = format!("/{}", segments.join("/"));
        // A colon in the last segment would be a verb's.
        let last = path.rsplit('/').next().unwrap_or_default();
        let verb = if last.contains(':') { ":go" } else { random.of(&["", "", ":go", ":b", ":c%20d"]) };
        path + verb
    }

    fn path(random: &mut Random) -> String {
        const PARTS: [&str; 16] =
            ["a", "a", "b", "b", "c%20d", "%61", "%62", "x:y", "x%3ay", "", "go", "%zz", "%ff", "a%2Fb", "z", "a:b"];
        let parts: Vec<&str> = (0..random.below(6)).map(|_| random.of(&PARTS)).collect();
        format!("/{}{}", parts.join("/"), random.of(&["", "", "", ":go", ":b", ":c%20d", ":", "/"]))
    }

    #[test]
    fn the_trie_finds_what_looking_at_each_template_finds() {
        for seed in 0..1_000 {
            let random = &mut Random(seed);
            let declared: Vec<(&str, String)> =
                (0..1 + random.below(13)).map(|_| (random.of(&VERBS), template(random))).collect();
            let declared: Vec<(&str, &str)> = declared.iter().map(|(verb, template)| (*verb, &**template)).collect();
            let rules = self::rules(&declared);
            let router = Router::new(&rules);
            let paths: Vec<String> = (0..1 + random.below(15)).map(|_| path(random)).collect();
            for path in paths.iter().map(String::as_str).chain(["", "a", ":go"]) {
                for verb in [Method::GET, Method::POST, Method::PUT] {
                    let expected = said(naive(&rules, &verb, path));
                    assert_eq!(said(router.find(&verb, path)), expected, "seed {seed}: {verb} {path} {declared:?}");
                }
            }
        }
    }

    #[test]
    fn the_most_specific_template_is_taken() {
        let rules = rules(&[
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
        let router = Router::new(&rules);
        for (line, expected) in [
            ("GET /v1/a", "/v1/a []"),
            ("GET /v1/%61", "/v1/a []"),
            ("GET /v1/c", r#"/v1/{v=*} ["c"]"#),
            ("GET /v1/c/b", r#"/v1/{v=**}/b ["c"]"#),
            ("GET /v1/c/d", r#"/v1/{v=**} ["c/d"]"#),
            ("GET /v1/a:go", r#"/v1/{v=*}:go ["a"]"#),
            ("GET /v1/a:stop", r#"/v1/{v=*} ["a:stop"]"#),
            ("PUT /v2/a", r#"/v2/{v} ["a"]"#),
            ("POST /v3/a", r#"/v3/{v} ["a"]"#),
            ("PUT /v3/a", "[POST]"),
            ("GET /v3/a/b", r#"/v3/{v=%61/*} ["a/b"]"#),
            ("GET /v4", "nothing"),
            ("GET /v1/%zz", "the path cannot be decoded: `%` without two hexadecimal digits"),
        ] {
            let (verb, path) = line.split_once(' ').unwrap();
            assert_eq!(said(router.find(&verb.parse().unwrap(), path)), expected, "{line}");
        }
        let path = |binding: &Binding| binding.method().path().to_owned();
        let hidden: Vec<_> = router.hidden().into_iter().map(|(binding, first)| (path(binding), path(first))).collect();
        assert_eq!(
            hidden,
            [("/a.B/M6", "/a.B/M5"), ("/a.B/M7", "/a.B/M8")].map(|(one, first)| (one.into(), first.into()))
        );
    }

    /// A schema from a server's reflection may be anything.
    #[test]
    fn a_template_of_many_segments_is_no_recursion() {
        // Node's WASI crashes once a program has taken hundreds of megabytes. There the stack has 1 MiB.
        let long = "/a".repeat(if cfg!(target_family = "wasm") { 20_000 } else { 1_000_000 });
        let rules = rules(&[("GET", &long), ("GET", &format!("/{{v=**}}{long}"))]);
        let router = Router::new(&rules);
        assert!(matches!(router.find(&Method::GET, &long), Ok(Route::Found { .. })));
        assert!(matches!(router.find(&Method::GET, &long[2..]), Ok(Route::Unknown)));
    }
}
