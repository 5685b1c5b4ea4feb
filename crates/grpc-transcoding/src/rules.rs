//! The HTTP rules of a pool, each resolved against the messages of its method.

use std::{collections::HashMap, error::Error, fmt, sync::Arc};

use protojson::{DescriptorPool, FieldPath, MessageDescriptor, MethodDescriptor};

use crate::{
    Lint, PathTemplate,
    binding::{Binding, Body, Resolved},
    http_body,
    http_rule::{Http, HttpRule, fields},
};

/// The HTTP bindings of every method of a [`DescriptorPool`]. Cheap to clone.
///
/// A rule that cannot be used costs its binding alone: the method does without it, and
/// [`HttpRules::lint`] says why.
#[derive(Clone)]
pub struct HttpRules(Arc<Rules>);

struct Rules {
    pool: DescriptorPool,
    /// In the order of the pool's methods.
    methods: Vec<MethodBindings>,
}

/// A method and its HTTP bindings.
#[derive(Debug)]
pub struct MethodBindings {
    method: MethodDescriptor,
    bindings: Vec<Binding>,
    unusable: Vec<UnusableRule>,
}

/// An HTTP rule that cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct UnusableRule {
    /// HTTP method and path template, as the rule has them.
    pub(crate) binding: Box<str>,
    pub(crate) problem: Box<str>,
}

/// Why a service config cannot be used.
#[derive(Clone, Debug)]
pub struct ConfigError {
    message: String,
    source: Option<protojson::wire::WireError>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// No method of a pool can be called over HTTP/JSON. Those without a rule can once
/// [`HttpRules::with_unbound_methods`] has bound them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBindings {
    unusable: Option<Lint>,
}

impl NoBindings {
    /// The first rule that cannot be used; `None` if there is no rule at all.
    pub fn unusable(&self) -> Option<&Lint> {
        self.unusable.as_ref()
    }
}

impl fmt::Display for NoBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unusable {
            None => f.write_str(
                "no method of the descriptor pool has an HTTP rule (google.api.http); if the protos have some, the \
                 descriptor set went through types that drop options, as prost's do: write it to bytes before that",
            ),
            Some(first) => {
                write!(f, "no HTTP rule (google.api.http) of the descriptor pool can be used; the first is {first}")
            }
        }
    }
}

impl Error for NoBindings {}

impl HttpRules {
    /// Takes the rules from the methods' annotations, `google.api.http`.
    pub fn new(pool: &DescriptorPool) -> Self {
        Self::resolve(pool, &mut HashMap::new(), false)
    }

    /// Resolves the rules as [`HttpRules::new`] does, but with those of a service config: an encoded `google.api.Http`. A rule
    /// there comes before the annotation of its method; of several for one method the last
    /// holds.
    ///
    /// Source: `google/api/http.proto`, "gRPC API Service Configuration".
    ///
    /// # Errors
    ///
    /// If the bytes are no such config, or a rule's selector is no method of the pool.
    pub fn with_config(pool: &DescriptorPool, config: &[u8]) -> Result<Self, ConfigError> {
        let http = Http::decode(config).map_err(|error| ConfigError {
            message: format!("not an encoded google.api.Http: {error}"),
            source: Some(error),
        })?;
        // The last one holds (http.proto, "HttpRule.selector").
        let mut overrides: HashMap<&str, HttpRule<'_>> = http.rules.into_iter().collect();
        let rules = Self::resolve(pool, &mut overrides, http.fully_decode_reserved_expansion);
        match overrides.keys().next() {
            Some(selector) => Err(ConfigError {
                message: format!("`{selector}`: a service config's rule for a method that is not in the set"),
                source: None,
            }),
            None => Ok(rules),
        }
    }

    /// Gives each method that has no HTTP rule a binding at its gRPC path, with the request as
    /// the body: `POST /package.Service/Method`, and `body: "*"`.
    ///
    /// ```
    /// use grpc_transcoding::{DescriptorPool, HttpRules};
    ///
    /// let pool = DescriptorPool::decode(include_bytes!("../tests/library/library.bin"))?;
    /// let rules = HttpRules::new(&pool).with_unbound_methods();
    /// assert!(rules.methods().all(|method| !method.bindings().is_empty()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_unbound_methods(self) -> Self {
        let methods = self.methods().map(|found| {
            let (method, mut bindings, mut unusable) =
                (found.method.clone(), found.bindings.clone(), found.unusable.clone());
            if bindings.is_empty() && unusable.is_empty() {
                let rule = HttpRule { method: "POST", template: method.path(), body: "*", ..HttpRule::default() };
                (bindings, unusable) = self::bindings(&method, &rule, false);
            }
            MethodBindings { method, bindings, unusable }
        });
        Self(Arc::new(Rules { methods: methods.collect(), pool: self.pool().clone() }))
    }

    fn resolve(pool: &DescriptorPool, overrides: &mut HashMap<&str, HttpRule<'_>>, decode_all: bool) -> Self {
        let methods = pool.methods().map(|method| {
            let selector = method.path().trim_start_matches('/').replace('/', ".");
            let rule = overrides.remove(&*selector).or_else(|| HttpRule::of_options(method.options()));
            let (bindings, unusable) = match &rule {
                Some(rule) => bindings(&method, rule, decode_all),
                None => Default::default(),
            };
            MethodBindings { method: method.clone(), bindings, unusable }
        });
        Self(Arc::new(Rules { methods: methods.collect(), pool: pool.clone() }))
    }

    /// The pool that the rules are for.
    pub fn pool(&self) -> &DescriptorPool {
        &self.0.pool
    }

    /// The bindings of the method with the gRPC path `path`, for example
    /// `/google.chat.v1.ChatService/CreateSpace`.
    pub fn method(&self, path: &str) -> Option<&MethodBindings> {
        let method = self.0.pool.method(path)?;
        self.0.methods.get(method.index())
    }

    /// Checks that there is anything to do over HTTP/JSON.
    ///
    /// # Errors
    ///
    /// If no method has a binding that can be used.
    pub fn check(&self) -> Result<(), NoBindings> {
        if self.methods().any(|method| !method.bindings().is_empty()) {
            return Ok(());
        }
        Err(NoBindings { unusable: self.unused().into_iter().next() })
    }

    /// All methods, in the order of the pool, with and without bindings.
    pub fn methods(&self) -> impl Iterator<Item = &MethodBindings> {
        self.0.methods.iter()
    }
}

impl From<DescriptorPool> for HttpRules {
    fn from(pool: DescriptorPool) -> Self {
        Self::new(&pool)
    }
}

impl From<&DescriptorPool> for HttpRules {
    fn from(pool: &DescriptorPool) -> Self {
        Self::new(pool)
    }
}

impl From<&HttpRules> for HttpRules {
    fn from(rules: &HttpRules) -> Self {
        rules.clone()
    }
}

impl fmt::Debug for HttpRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRules").field("pool", &self.0.pool).finish_non_exhaustive()
    }
}

impl MethodBindings {
    /// The method.
    pub fn method(&self) -> &MethodDescriptor {
        &self.method
    }

    /// The bindings that can be used, the main one first. Empty where the method has no
    /// HTTP rule.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    pub(crate) fn unusable(&self) -> &[UnusableRule] {
        &self.unusable
    }

    /// Whether the method's requests are uploads, `google.api.HttpBody`s, by any binding.
    pub fn takes_http_body(&self) -> bool {
        self.bindings.iter().any(Binding::takes_http_body)
    }

    /// Whether a server can make the method's calls of HTTP requests, by any binding: a
    /// stream of requests only by one that has a body.
    pub fn is_servable(&self) -> bool {
        self.bindings.iter().any(Binding::is_servable)
    }

    /// Whether a client can send the method's calls as HTTP requests: a stream of requests
    /// only if they are the parts of an upload.
    #[cfg(any(feature = "client", feature = "server"))]
    pub(crate) fn is_sendable(&self) -> bool {
        !self.method.is_client_streaming() || self.takes_http_body()
    }
}

/// The bindings of a rule in declared order: its own, then the additional ones; and those
/// that cannot be used, with the reason.
fn bindings(method: &MethodDescriptor, rule: &HttpRule<'_>, decode_all: bool) -> (Vec<Binding>, Vec<UnusableRule>) {
    let (input, output) = (method.input(), method.output());
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    let mut add = |rule: &HttpRule<'_>, nested: bool| {
        let resolved = match nested {
            true => Err("an additional binding has additional bindings of its own".to_owned()),
            false => resolve(method, &input, &output, rule, decode_all),
        };
        match resolved {
            Ok(resolved) => usable.push(Binding::new(resolved)),
            Err(problem) => {
                let name = format!("{} {}", rule.method, rule.template);
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

fn resolve(
    method: &MethodDescriptor,
    input: &MessageDescriptor,
    output: &MessageDescriptor,
    rule: &HttpRule<'_>,
    decode_all: bool,
) -> Result<Resolved, String> {
    if let Some(error) = rule.malformed {
        return Err(format!("the rule is not an encoded google.api.HttpRule: {error}"));
    }
    if rule.method.is_empty() && rule.template.is_empty() {
        return Err("the rule names no HTTP method and no path".to_owned());
    }
    let mut template = PathTemplate::parse(rule.template).map_err(|error| error.to_string())?;
    template.decode_all = decode_all;
    let variable =
        |path: &str| FieldPath::parse_proto(input, path).map_err(|problem| format!("path variable {problem}"));
    let variables: Vec<FieldPath> = template.variables().map(variable).collect::<Result<_, _>>()?;
    let body = match rule.body {
        "" => Body::None,
        "*" => Body::Rest,
        name => Body::Field(top_level("body", input, name)?),
    };
    let response_body = match rule.response_body {
        "" => None,
        name => Some(top_level("response_body", output, name)?),
    };
    let any_http_method = rule.method == "*";
    let http_method = if any_http_method { "POST" } else { rule.method };
    let http_method = http::Method::from_bytes(http_method.as_bytes())
        .map_err(|_| format!("`{http_method}` is not an HTTP method"))?;
    let takes_http_body = match body {
        Body::None => false,
        Body::Rest => http_body::is(input),
        Body::Field(index) => is_http_body(input, index),
    };
    let gives_http_body = match response_body {
        None => http_body::is(output),
        Some(index) => is_http_body(output, index),
    };
    let in_query = |index: u16| match body {
        Body::Rest => false,
        Body::Field(field) if field == index => false,
        _ => !variables.iter().any(|path| path.indices() == [index]),
    };
    let query = input.fields().filter(|field| in_query(field.index()));
    let query = query.map(|field| (field.index(), is_required(field.options()))).collect();
    Ok(Resolved {
        method: method.clone(),
        input: input.clone(),
        output: output.clone(),
        http_method,
        any_http_method,
        template,
        variables,
        body,
        response_body,
        query,
        takes_http_body,
        gives_http_body,
        #[cfg(all(feature = "server", not(target_family = "wasm")))]
        call_uri: method.path().parse().ok(),
    })
}

fn is_http_body(message: &MessageDescriptor, index: u16) -> bool {
    let field = message.fields().nth(usize::from(index));
    field.and_then(|field| field.message()).is_some_and(|message| http_body::is(&message))
}

/// Whether encoded `FieldOptions` have REQUIRED in `google.api.field_behavior`.
fn is_required(options: &[u8]) -> bool {
    use protojson::wire::{Payload, Reader};
    /// `google.api.field_behavior`, an extension of `FieldOptions`; REQUIRED is 2.
    const BEHAVIOR: u32 = 1052;
    const REQUIRED: u64 = 2;
    let mut required = false;
    let _ = fields(options, |number, payload| {
        match payload {
            Payload::Bits(behavior) if number == BEHAVIOR => required |= behavior == REQUIRED,
            Payload::Bytes(packed) if number == BEHAVIOR => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    required |= reader.varint()? == REQUIRED;
                }
            }
            _ => {}
        }
        Ok(())
    });
    required
}

fn top_level(option: &str, message: &MessageDescriptor, name: &str) -> Result<u16, String> {
    // By its proto name alone: that is what a rule names fields by.
    let mut fields = message.fields();
    let found = fields.find(|field| field.name() == name);
    found.map(|field| field.index()).ok_or_else(|| format!("{option} `{name}` is not a field of {}", message.name()))
}
