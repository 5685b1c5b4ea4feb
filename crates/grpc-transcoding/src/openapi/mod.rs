//! OpenAPI 3.1 of any API: what its HTTP bindings take and give, as a document for tools and
//! as a page for people.
//!
//! ```
//! use grpc_transcoding::{DescriptorPool, HttpRules, openapi::OpenApi};
//!
//! let set = include_bytes!("../../tests/library/library.bin");
//! let rules = HttpRules::new(&DescriptorPool::decode(set)?);
//! let document = OpenApi::new(&rules, &set[..]).title("Library").server("https://library.example.com").to_json()?;
//! assert!(document.starts_with(r#"{"openapi":"3.1.0","info":{"title":"Library","version":"v1"#));
//! assert!(document.contains(r#""/v1/shelves/{shelf}/books:search":{"get":{"operationId":"example.library.v1.Library.SearchBooks""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The document is made of the same [`HttpRules`] that the codec goes by, so that it says what
//! the codec does:
//!
//! - Each binding is an operation. Its id is the method's full name; that of the second
//!   binding ends in `.binding2`, and so on.
//! - Each segment of a path that may vary is a parameter. Its name is that of the resource
//!   (`google.api.resource`), or the singular of the segment before it; that of a variable of
//!   one segment is the variable's. `x-grpc-path-fields` has the fields that the parameters
//!   make up. A `**` is marked with `x-multi-segment`.
//! - OpenAPI takes two paths that differ only in the names of parameters as one. Of two
//!   bindings that have the same path so, and the same HTTP method, the second has a fragment
//!   behind its path, `#` and its id, which clients do not send.
//! - An HTTP method that a path item has no member for (`LOCK`) is in the member
//!   `x-additionalOperations` of the path item, which OpenAPI 3.2 has without `x-`. A binding
//!   for any HTTP method is `post`, or there as `*`.
//! - The components have the full names of messages and enums. Timestamp, Duration, FieldMask,
//!   Struct, Value, ListValue and the wrappers stand where they are used.
//! - Requests say which fields are required, and responses do not, since ProtoJSON leaves out
//!   what holds its default. `x-field-behavior` has what `google.api.field_behavior` says.
//! - A message says in its description, and in `x-oneofs`, which fields are members of one
//!   oneof.
//! - `x-grpc-streaming` marks streams; `x-grpc-method` and `x-grpc-path-template` have the method
//!   and the template of its rule.
//!
//! How it is made: `facts` reads what the pool does not keep, `path` takes templates apart,
//! `query` lists parameters, `schema` makes components, `operation` puts one binding together,
//! and this file all of them.

mod facts;
mod json;
mod operation;
mod page;
mod path;
mod query;
mod schema;

pub use self::page::STYLE;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use bytes::Bytes;
use protojson::{MessageDescriptor, WriteOptions};

use self::{
    facts::Facts,
    json::{Json, Object, write_text},
    operation::{Operation, id, service},
    path::Path,
    schema::{ERROR, Schemas},
};
use crate::{Binding, HttpRules, MethodBindings, Router};

/// How large a document may become by default, in bytes. That of all of Google's APIs, without
/// comments, has less.
const MAX_SIZE: usize = 64 * 1024 * 1024;

/// The HTTP methods that a path item has members for.
const HTTP_METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// Makes an OpenAPI document, or a page, of an API's HTTP rules.
#[derive(Clone)]
pub struct OpenApi {
    rules: HttpRules,
    set: Bytes,
    title: Option<String>,
    version: Option<String>,
    servers: Vec<String>,
    options: WriteOptions,
    scopes: HashMap<String, Vec<String>>,
    max_size: usize,
}

/// The document would be larger than it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the document of the API would be larger than {} bytes; raise the limit, or give it a smaller schema",
            self.limit
        )
    }
}

impl std::error::Error for TooLarge {}

impl fmt::Debug for OpenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenApi").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl OpenApi {
    /// Makes documents of rules, and of the `FileDescriptorSet` that their pool was decoded
    /// from: it has the comments, if it has source info, and other things that the pool does
    /// not keep.
    pub fn new(rules: impl Into<HttpRules>, descriptor_set: impl Into<Bytes>) -> Self {
        Self {
            rules: rules.into(),
            set: descriptor_set.into(),
            title: None,
            version: None,
            servers: Vec::new(),
            options: WriteOptions::default(),
            scopes: HashMap::new(),
            max_size: MAX_SIZE,
        }
    }

    /// Sets the title. The default is what the names of the services begin with.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the version. The default is the one that the package's name ends in, or else 1.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds the URL of a server. The default is the host that the protos name
    /// (`google.api.default_host`), if any.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.servers.push(url.into());
        self
    }

    /// Sets how the server writes JSON: with which names, and with enums as numbers or names.
    #[must_use]
    pub fn write_options(mut self, options: WriteOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the OAuth scopes of a method, any of which allows its calls. The default are those
    /// of its service (`google.api.oauth_scopes`).
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, method: &str, scopes: impl IntoIterator<Item = S>) -> Self {
        let name = method.trim_start_matches('/').to_owned();
        self.scopes.insert(name, scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets how large a document may become, in bytes. The default is 64 MiB.
    #[must_use]
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = bytes;
        self
    }

    /// Writes the document as JSON text. It is the same for the same rules, byte by byte.
    ///
    /// # Errors
    ///
    /// If it would be too large.
    pub fn to_json(&self) -> Result<String, TooLarge> {
        let facts = Facts::read(&self.set);
        let plan = Plan::new(self, &facts);
        let mut schemas = plan.schemas();
        let mut text = String::from("{\"openapi\":\"3.1.0\",\"info\":");
        let info = Object::new().with("title", plan.title()).with("version", plan.version());
        info.write(&mut text);
        let servers: Vec<_> = plan.servers.iter().map(|url| Object::new().with("url", url.clone())).collect();
        if !servers.is_empty() {
            text.push_str(",\n\"servers\":");
            Json::from(servers).write(&mut text);
        }
        text.push_str(",\n\"tags\":");
        let tags = plan.services.iter().map(|name| {
            let mut tag = Object::new().with("name", (*name).to_owned());
            tag.put_text("description", facts.symbol(name).comment.clone());
            tag
        });
        Json::from(tags.collect::<Vec<_>>()).write(&mut text);

        text.push_str(",\n\"paths\":{");
        let mut scopes = BTreeSet::new();
        for (at, item) in plan.items.iter().enumerate() {
            text.push_str(if at > 0 { ",\n" } else { "\n" });
            write_text(&mut text, &item.path);
            text.push(':');
            let (mut known, mut additional) = (Object::new(), Object::new());
            let mut length = text.len();
            for (key, entry) in &item.operations {
                let operation = plan.operation(entry, &mut schemas);
                scopes.extend(operation.scopes.iter().cloned());
                let operation = operation.to_json();
                // Here, since any name may be an HTTP method, so that a path may have any number.
                length += operation.size();
                self.check(length + schemas.work)?;
                match HTTP_METHODS.contains(&&**key) {
                    true => known.put(key.to_ascii_lowercase(), operation),
                    false => additional.put(key.clone(), operation),
                }
            }
            if !additional.is_empty() {
                known.put("x-additionalOperations", additional);
            }
            known.write(&mut text);
            self.check(text.len() + schemas.work)?;
        }

        text.push_str("},\n\"components\":{\"schemas\":{");
        let mut components = BTreeMap::new();
        let mut length = text.len();
        let mut next = Some((ERROR.to_owned(), schema::error()));
        while let Some((name, schema)) = next {
            let mut component = String::new();
            schema.write(&mut component);
            length += name.len() + component.len();
            self.check(length)?;
            components.insert(name, component);
            next = schemas.next_component();
        }
        for (at, (name, schema)) in components.iter().enumerate() {
            text.push_str(if at > 0 { ",\n" } else { "\n" });
            write_text(&mut text, name);
            text.push(':');
            text.push_str(schema);
        }
        text.push_str("},\n\"parameters\":");
        system_parameters().write(&mut text);
        if !scopes.is_empty() {
            text.push_str(",\n\"securitySchemes\":");
            security(scopes).write(&mut text);
        }
        text.push_str("}}\n");
        Ok(text)
    }

    /// Adds the server that the document is served by, unless there is one.
    #[cfg(all(feature = "server", not(target_family = "wasm")))]
    pub(crate) fn served(self, write: &WriteOptions) -> Self {
        let own = if self.servers.is_empty() { self.server("/") } else { self };
        own.write_options(write.clone())
    }

    fn check(&self, length: usize) -> Result<(), TooLarge> {
        if length > self.max_size { Err(TooLarge { limit: self.max_size }) } else { Ok(()) }
    }
}

/// Where each binding goes.
struct Plan<'p> {
    api: &'p OpenApi,
    facts: &'p Facts<'p>,
    /// The services that have bindings, in the order of their methods.
    services: Vec<&'p str>,
    /// The URLs of the servers that hold for the whole document.
    servers: Vec<String>,
    /// The paths, in the order in which they come up.
    items: Vec<Item<'p>>,
    /// The ids of those bindings that a server never comes to, each with that of the binding
    /// that is in the way.
    hidden: HashMap<String, String>,
}

struct Item<'p> {
    path: String,
    names: Vec<String>,
    /// By HTTP method, in capitals.
    operations: Vec<(String, Entry<'p>)>,
}

/// A binding, and its path.
struct Entry<'p> {
    method: &'p MethodBindings,
    index: usize,
    path: Path,
}

impl<'p> Plan<'p> {
    fn new(api: &'p OpenApi, facts: &'p Facts<'p>) -> Self {
        let (services, servers) = (Vec::new(), api.servers.clone());
        let mut plan = Self { api, facts, services, servers, items: Vec::new(), hidden: HashMap::new() };
        let mut shapes = HashMap::new();
        let mut any = Vec::new();
        let mut ids = HashMap::new();
        for method in api.rules.methods().filter(|method| !method.bindings().is_empty()) {
            if plan.services.last() != Some(&service(method)) {
                plan.services.push(service(method));
            }
            for (index, binding) in method.bindings().iter().enumerate() {
                ids.insert(std::ptr::from_ref(binding.resolved()), id(method, index));
                match binding.http_method() {
                    Some(http_method) => plan.add(&mut shapes, method, index, http_method.as_str()),
                    None => any.push((method, index)),
                }
            }
        }
        // After the others, since they take what those leave.
        for (method, index) in any {
            plan.add(&mut shapes, method, index, "*");
        }
        if plan.servers.is_empty() {
            plan.servers.extend(plan.host().map(|host| format!("https://{host}")));
        }
        let of = |binding: &Binding| ids.get(&std::ptr::from_ref(binding.resolved())).cloned();
        let router = Router::new(&api.rules);
        plan.hidden = router.hidden().into_iter().filter_map(|(one, first)| Some((of(one)?, of(first)?))).collect();
        plan
    }

    /// Gives a binding its place.
    fn add(&mut self, shapes: &mut HashMap<String, usize>, method: &'p MethodBindings, index: usize, key: &str) {
        let mut path = Path::new(&method.bindings()[index], &self.facts.path_names);
        let shape = path.shape();
        let Some(&at) = shapes.get(&shape) else {
            shapes.insert(shape, self.items.len());
            let names = path.parameters.iter().map(|parameter| parameter.name.clone()).collect();
            let key = if key == "*" { "POST" } else { key }.to_owned();
            let item = Item { path: path.text(), names, operations: vec![(key, Entry { method, index, path })] };
            return self.items.push(item);
        };
        let item = &mut self.items[at];
        path.rename(&item.names);
        let is_free = |key: &str| item.operations.iter().all(|(taken, _)| taken != key);
        let key = [if key == "*" { "POST" } else { key }, key].into_iter().find(|key| is_free(key));
        let text = path.text();
        let entry = Entry { method, index, path };
        match key {
            Some(key) => item.operations.push((key.to_owned(), entry)),
            None => {
                let http_method = method.bindings()[index].http_method();
                let key = http_method.map_or("POST", http::Method::as_str).to_owned();
                let names = item.names.clone();
                let path = format!("{text}#{}", id(method, index));
                self.items.push(Item { path, names, operations: vec![(key, entry)] });
            }
        }
    }

    /// Where schemas come from, for this document.
    fn schemas(&self) -> Schemas<'p> {
        let used = self.api.rules.methods().filter(|method| !method.bindings().is_empty());
        let outputs: Vec<MessageDescriptor> = used.map(|method| method.method().output()).collect();
        Schemas::new(self.facts, &self.api.options, outputs)
    }

    fn operation(&self, entry: &Entry<'_>, schemas: &mut Schemas<'_>) -> Operation {
        let mut operation = Operation::new(entry.method, entry.index, &entry.path, schemas);
        let service = self.facts.service(&operation.service);
        operation.scopes = match (self.api.scopes.get(&operation.method), service) {
            (Some(scopes), _) => scopes.clone(),
            (None, Some(service)) => service.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            (None, None) => Vec::new(),
        };
        operation.host =
            service.map(|service| service.host.to_owned()).filter(|host| !host.is_empty() && self.servers.is_empty());
        operation.hidden_by = self.hidden.get(&operation.id).cloned();
        operation.http_method = match entry.method.bindings()[entry.index].http_method() {
            None => Some("*".to_owned()),
            Some(method) => Some(method.to_string()).filter(|method| !HTTP_METHODS.contains(&&**method)),
        };
        operation
    }

    /// The host that the protos name for all services, if there is one.
    fn host(&self) -> Option<&'p str> {
        let host = |name: &&str| self.facts.service(name).map_or("", |service| service.host);
        let mut hosts = self.services.iter().map(host);
        let first = hosts.next().filter(|host| !host.is_empty())?;
        hosts.all(|host| host == first).then_some(first)
    }

    /// The part that the packages of the services have in common.
    fn package(&self) -> String {
        let package = |name: &&'p str| -> Vec<&'p str> {
            name.rsplit_once('.').map_or(Vec::new(), |(package, _)| package.split('.').collect())
        };
        let mut packages = self.services.iter().map(package);
        let mut common = packages.next().unwrap_or_default();
        for package in packages {
            let same = common.iter().zip(&package).take_while(|(one, other)| one == other).count();
            common.truncate(same);
        }
        common.join(".")
    }

    fn title(&self) -> String {
        let package = self.package();
        match &self.api.title {
            Some(title) => title.clone(),
            None if package.is_empty() => {
                self.services.first().map_or_else(|| "API".to_owned(), |name| (*name).to_owned())
            }
            None => package,
        }
    }

    fn version(&self) -> String {
        let package = self.package();
        let last = package.rsplit('.').next().unwrap_or_default();
        let is_version = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        self.api.version.clone().unwrap_or_else(|| if is_version { last.to_owned() } else { "1".to_owned() })
    }
}

/// Parameters of any operation, which belong to the server and not to the request.
///
/// Source: <https://cloud.google.com/apis/docs/system-parameters>.
fn system_parameters() -> Object {
    let parameter = |name: &'static str, description: &'static str, schema: Object| {
        let json = Object::new().with("name", name).with("in", "query").with("description", description);
        json.with("schema", schema)
    };
    let text = || Object::new().with("type", "string");
    Object::new()
        .with(
            "alt",
            parameter(
                "$alt",
                "The form of the response; also as alt. With json;enum-encoding=int, enums are numbers.",
                text().with("enum", vec!["json", "json;enum-encoding=int", "sse", "media"]).with("default", "json"),
            ),
        )
        .with(
            "prettyPrint",
            parameter("prettyPrint", "Whether the response is indented.", Object::new().with("type", "boolean")),
        )
        .with(
            "fields",
            parameter(
                "fields",
                "The fields that the response is to have, such as name,items(title); * for all.",
                text(),
            ),
        )
        .with("access_token", parameter("access_token", "A token, in place of the header Authorization.", text()))
}

/// Google's OAuth, which is what `google.api.oauth_scopes` is about.
fn security(scopes: BTreeSet<String>) -> Object {
    let mut list = Object::new();
    scopes.into_iter().for_each(|scope| list.put(scope, ""));
    let flow = Object::new()
        .with("authorizationUrl", "https://accounts.google.com/o/oauth2/v2/auth")
        .with("tokenUrl", "https://oauth2.googleapis.com/token")
        .with("scopes", list);
    let scheme = Object::new().with("type", "oauth2").with("flows", Object::new().with("authorizationCode", flow));
    Object::new().with("oauth2", scheme)
}
