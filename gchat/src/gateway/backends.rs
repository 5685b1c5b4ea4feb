//! The servers behind the gateway, which of them gets a call, and one schema of all of them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    future::Future,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
};

use google_chat::grpc_transcoding::{
    HttpRules,
    bytes::Bytes,
    client::{Grpc, Origin},
    rpc,
    server::{Health, Reflection},
};
use http::{Request, Response};
use http_body_util::Full;
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    failure::Failure,
    serving::{Traced, Tracer},
};

/// The longest request of a health check that is read.
const HEALTH: usize = 4 * 1024;

/// Which calls go to another server than the others, and its URL.
#[derive(Clone, Debug)]
pub(super) struct Route {
    of: Of,
    url: String,
}

/// What the calls of a route have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    /// A service by its full name, or a package with all that is below it.
    Name(String),
    /// What the path of an HTTP request begins with, by segments.
    Path(Vec<String>),
}

impl FromStr for Route {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const USAGE: &str = "write a service, a package, or a path that begins with /, then = and the server's URL";
        let (of, url) = text.split_once('=').filter(|(of, url)| !of.is_empty() && !url.is_empty()).ok_or(USAGE)?;
        let of = if of.starts_with('/') {
            let segments = segments(of).ok_or("the path has an escape that is none")?;
            if segments.is_empty() {
                return Err("the path / is that of all requests; give the server as --backend");
            }
            Of::Path(segments)
        } else {
            let is_name =
                |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !of.split('.').all(is_name) {
                return Err(USAGE);
            }
            Of::Name(of.to_owned())
        };
        Ok(Self { of, url: url.to_owned() })
    }
}

/// The segments of a path without escapes, so that a path has no other spelling that goes
/// elsewhere; `None` if an escape is none.
fn segments(path: &str) -> Option<Vec<String>> {
    let decode = |segment: &str| {
        let mut bytes = Vec::with_capacity(segment.len());
        let mut rest = segment.bytes();
        while let Some(byte) = rest.next() {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(if byte == b'%' { (digit()? << 4 | digit()?) as u8 } else { byte });
        }
        String::from_utf8(bytes).ok()
    };
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

/// A server behind the gateway.
pub(super) struct Backend {
    pub(super) url: String,
    pub(super) origin: Origin,
    pub(super) grpc: Grpc,
}

/// What sends calls to each server, in their order.
pub(super) type Calls = Arc<[Traced<Grpc>]>;

/// All servers behind the gateway.
pub(super) struct Backends {
    /// The first one gets what no route is for.
    servers: Vec<Backend>,
    /// With the places of their servers.
    routes: Vec<(Of, usize)>,
}

impl Backends {
    /// # Errors
    ///
    /// If a server cannot be called by its URL, or two routes are for the same calls.
    pub(super) fn new(
        url: &str,
        routes: &[Route],
        connect: impl Fn(&Origin) -> Result<Grpc, Failure>,
    ) -> Result<Self, Failure> {
        let server = |url: &str| {
            let origin = Origin::parse(url).map_err(Failure::usage)?;
            connect(&origin).map(|grpc| Backend { url: url.to_owned(), origin, grpc })
        };
        let mut backends = Self { servers: vec![server(url)?], routes: Vec::new() };
        for Route { of, url } in routes {
            if backends.routes.iter().any(|(other, _)| other == of) {
                return Err(Failure::usage(format!("--route: there are two for {}; give one", of.shown())));
            }
            let at = match backends.servers.iter().position(|one| one.url == *url) {
                Some(at) => at,
                None => {
                    backends.servers.push(server(url)?);
                    backends.servers.len() - 1
                }
            };
            backends.routes.push((of.clone(), at));
        }
        Ok(backends)
    }

    /// What sends the calls of clients, which are traced, unlike the gateway's own.
    pub(super) fn calls(&self, tracer: Option<&Tracer>) -> Calls {
        let traced = |server: &Backend| Traced::new(server.grpc.clone(), tracer.cloned(), server.origin.clone());
        self.servers.iter().map(traced).collect()
    }

    pub(super) fn all(&self) -> &[Backend] {
        &self.servers
    }

    /// The server of a service: that of the longest name.
    fn of_service(&self, service: &str) -> usize {
        let routes = self.routes.iter().filter_map(|(of, at)| match of {
            Of::Name(name) if is_below(service, name) => Some((name.len(), *at)),
            _ => None,
        });
        routes.max().map_or(0, |(_, at)| at)
    }

    /// The server of a path: that of the longest beginning. `None` if the service decides.
    pub(super) fn of_path(&self, path: &str) -> Option<usize> {
        let mut routes = self.routes.iter().filter_map(|(of, at)| match of {
            Of::Path(beginning) => Some((beginning, *at)),
            Of::Name(_) => None,
        });
        let first = routes.next()?;
        let path = segments(path)?;
        let begins = |(beginning, _): &(&Vec<String>, usize)| {
            let Some((last, whole)) = beginning.split_last() else { return false };
            let end = path.get(whole.len());
            // A custom verb is no part of the last segment.
            let ends = end.is_some_and(|end| end == last || end.rsplit_once(':').is_some_and(|(end, _)| end == last));
            path.starts_with(whole) && ends
        };
        std::iter::once(first)
            .chain(routes)
            .filter(begins)
            .max_by_key(|(beginning, _)| beginning.len())
            .map(|(_, at)| at)
    }

    /// The schema of all servers, as one descriptor set, and what to say of it. Each file is
    /// that of the server which gets the calls of a service in it, else that of the first
    /// which has it.
    ///
    /// # Errors
    ///
    /// If the servers' schemas cannot be one: a definition is in files with different names.
    pub(super) fn merged(&self, sets: &[Bytes]) -> Result<(Bytes, Vec<String>), Failure> {
        if let [set] = sets {
            return Ok((set.clone(), Vec::new()));
        }
        let mut files: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for (of, set) in sets.iter().enumerate() {
            let broken = |error| Failure::machine(format!("{}: its reflection", self.servers[of].url)).because(error);
            for bytes in Set::decode(set.clone()).map_err(broken)?.files {
                let proto = FileDescriptorProto::decode(bytes.clone()).map_err(broken)?;
                files.entry(proto.name().to_owned()).or_default().push(File { of, bytes, proto });
            }
        }
        let mut warnings = Vec::new();
        let mut chosen: Vec<File> = Vec::new();
        for (name, mut versions) in files {
            let owned = |file: &File| file.services().any(|service| self.of_service(&service) == file.of);
            let first = versions.swap_remove(versions.iter().position(owned).unwrap_or(0));
            for other in versions.iter().filter(|other| other.shape() != first.shape()) {
                let [own, other] = [first.of, other.of].map(|of| &self.servers[of].url);
                warnings.push(format!("{name} of {other} is not that of {own}, which is used"));
            }
            chosen.push(first);
        }
        chosen.sort_by_key(|file| file.of);
        // The files of which the definitions are, and the file of each definition.
        let mut kept = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut set = Set::default();
        for file in chosen {
            let names: Vec<String> = file.names().collect();
            let twice = names.iter().find_map(|name| known.get(name).map(|at| (name, &kept[*at])));
            match twice {
                None => {
                    known.extend(names.into_iter().map(|name| (name, kept.len())));
                    kept.push((file.of, file.proto.name().to_owned(), file.shape()));
                    set.files.push(file.bytes);
                }
                // Such as gRPC's own protos, whose paths differ from language to language.
                Some((_, (of, first, shape))) if names.iter().all(|name| known.contains_key(name)) => {
                    if *shape != file.shape() {
                        let [own, other] = [*of, file.of].map(|of| &self.servers[of].url);
                        let name = file.proto.name();
                        warnings.push(format!("{name} of {other} is not {first} of {own}, which is used"));
                    }
                    let instead = FileDescriptorProto {
                        name: file.proto.name,
                        syntax: file.proto.syntax,
                        dependency: vec![first.clone()],
                        public_dependency: vec![0],
                        ..FileDescriptorProto::default()
                    };
                    set.files.push(instead.encode_to_vec().into());
                }
                Some((name, (of, first, _))) => {
                    let [own, other] = [*of, file.of].map(|of| &self.servers[of].url);
                    let problem = format!(
                        "{name} is defined in {first} of {own} and in {} of {other}, which differ; give one descriptor \
                         set of all servers as --descriptor-set",
                        file.proto.name()
                    );
                    return Err(Failure::usage(problem));
                }
            }
        }
        Ok((set.encode_to_vec().into(), warnings))
    }

    /// What of the routes and the schema does not fit: routes to no service, and services
    /// whose server does not have them. `sets` are those of the servers, if they said them.
    pub(super) fn warnings(&self, rules: &HttpRules, sets: &[Bytes]) -> Vec<String> {
        let services: HashSet<&str> = rules.methods().map(|method| service_of(method.method().path())).collect();
        let mut warnings = Vec::new();
        for (of, _) in &self.routes {
            if let Of::Name(name) = of
                && !services.iter().any(|service| is_below(service, name))
            {
                warnings.push(format!("--route {name}: the schema has no service of this name or below it"));
            }
        }
        if sets.len() == self.servers.len() && sets.len() > 1 {
            let of_server = |set: &Bytes| -> HashSet<String> {
                let files = Set::decode(set.clone()).unwrap_or_default().files.into_iter();
                let files = files.filter_map(|bytes| FileDescriptorProto::decode(bytes).ok());
                files.flat_map(|proto| services_of(&proto).collect::<Vec<_>>()).collect()
            };
            let own: Vec<HashSet<String>> = sets.iter().map(of_server).collect();
            let mut lost: Vec<&str> = services
                .into_iter()
                .filter(|service| {
                    // By a path, its calls may go to another.
                    let by_path =
                        self.routes.iter().any(|(of, at)| matches!(of, Of::Path(_)) && own[*at].contains(*service));
                    !own[self.of_service(service)].contains(*service) && !by_path
                })
                .collect();
            lost.sort_unstable();
            warnings.extend(lost.into_iter().map(|service| {
                let url = &self.servers[self.of_service(service)].url;
                format!("calls of {service} go to {url}, which does not have it; give it a --route")
            }));
        }
        warnings
    }
}

/// Whether a name is that of a service, or of a package that it is in.
fn is_below(service: &str, name: &str) -> bool {
    service.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Of {
    fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Path(segments) => format!("/{}/", segments.join("/")),
        }
    }
}

/// A `FileDescriptorSet`, whose files keep the options that prost's types drop.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

/// A file of a server's schema.
struct File {
    /// The server's place.
    of: usize,
    bytes: Bytes,
    proto: FileDescriptorProto,
}

impl File {
    fn services(&self) -> impl Iterator<Item = String> {
        services_of(&self.proto)
    }

    /// The full names that the file defines, but for those within others.
    fn names(&self) -> impl Iterator<Item = String> {
        let messages = self.proto.message_type.iter().map(|message| within(&self.proto, message.name()));
        let enums = self.proto.enum_type.iter().map(|one| within(&self.proto, one.name()));
        let extensions = self.proto.extension.iter().map(|extension| within(&self.proto, extension.name()));
        messages.chain(enums).chain(extensions).chain(self.services())
    }

    /// What two versions of a file have in common although different compilers wrote them.
    fn shape(&self) -> (Vec<DescriptorProto>, Vec<prost_types::EnumDescriptorProto>) {
        fn plain(message: &mut DescriptorProto) {
            message.options = None;
            for field in message.field.iter_mut().chain(&mut message.extension) {
                (field.json_name, field.options) = (None, None);
            }
            message.enum_type.iter_mut().for_each(plain_enum);
            message.nested_type.iter_mut().for_each(plain);
        }
        fn plain_enum(one: &mut prost_types::EnumDescriptorProto) {
            one.options = None;
            one.value.iter_mut().for_each(|value| value.options = None);
        }
        let (mut messages, mut enums) = (self.proto.message_type.clone(), self.proto.enum_type.clone());
        messages.iter_mut().for_each(plain);
        enums.iter_mut().for_each(plain_enum);
        (messages, enums)
    }
}

fn services_of(proto: &FileDescriptorProto) -> impl Iterator<Item = String> {
    proto.service.iter().map(|service| within(proto, service.name()))
}

fn within(proto: &FileDescriptorProto, name: &str) -> String {
    if proto.package().is_empty() { name.to_owned() } else { format!("{}.{name}", proto.package()) }
}

/// The service of a gRPC path.
fn service_of(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// Sends each call to its server.
#[derive(Clone)]
pub(super) struct Pick {
    pub(super) backends: Arc<Backends>,
    pub(super) calls: Calls,
    /// The server of all calls, where the path of the request has decided.
    pub(super) always: Option<usize>,
    /// Of several servers, each would say a part.
    pub(super) reflection: Option<Reflection>,
}

impl Service<Request<Body>> for Pick {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        let path = call.uri().path();
        match &mut self.reflection {
            Some(reflection) if Reflection::serves(path) => return reflection.call(call),
            Some(_) if Health::serves(path) => {
                let (backends, calls) = (Arc::clone(&self.backends), Arc::clone(&self.calls));
                return Box::pin(async move {
                    match named(call).await {
                        Ok((service, call)) => calls[backends.of_service(&service)].clone().call(call).await,
                        Err(status) => Ok(rpc::failure(status)),
                    }
                });
            }
            _ => {}
        }
        let at = self.always.unwrap_or_else(|| self.backends.of_service(service_of(path)));
        self.calls[at].clone().call(call)
    }
}

/// A `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// A health check, and the service that it asks for.
async fn named(call: Request<Body>) -> Result<(String, Request<Body>), Status> {
    let (head, body) = call.into_parts();
    let unreadable = |error: &dyn std::fmt::Display| Status::invalid_argument(format!("the health check: {error}"));
    let framed = rpc::collect(body, HEALTH).await.map_err(|error| unreadable(&error))?;
    let encoding = head.headers.get("grpc-encoding").map(http::HeaderValue::as_bytes);
    let message = rpc::unary(framed.clone(), encoding, HEALTH)?;
    let request = HealthCheckRequest::decode(message).map_err(|error| unreadable(&error))?;
    Ok((request.service, Request::from_parts(head, Body::new(Full::new(framed)))))
}

#[cfg(test)]
mod tests {
    use google_chat::grpc_transcoding::{DescriptorPool, client::Connector};
    use prost_types::{FieldDescriptorProto, ServiceDescriptorProto};

    use super::*;

    fn backends(routes: &[&str]) -> Backends {
        let routes: Vec<Route> = routes.iter().map(|route| route.parse().unwrap()).collect();
        let connect = |origin: &Origin| Ok(Grpc::over(Connector::builder().build(origin).unwrap(), origin.clone()));
        Backends::new("http://127.0.0.1:1", &routes, connect).unwrap()
    }

    /// A file with an import, and messages that each have a field of the last type.
    fn file(
        name: &str,
        import: Option<&str>,
        messages: &[&str],
        field: &str,
        services: &[&str],
    ) -> FileDescriptorProto {
        let of = FieldDescriptorProto {
            name: Some("own".to_owned()),
            number: Some(1),
            label: Some(1),
            r#type: Some(11),
            type_name: Some(format!(".p.{field}")),
            ..Default::default()
        };
        let message = |name: &&str| DescriptorProto {
            name: Some((*name).to_owned()),
            field: vec![of.clone()],
            ..Default::default()
        };
        let service = |name: &&str| ServiceDescriptorProto { name: Some((*name).to_owned()), ..Default::default() };
        FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some("p".to_owned()),
            dependency: import.map(str::to_owned).into_iter().collect(),
            message_type: messages.iter().map(message).collect(),
            service: services.iter().map(service).collect(),
            ..Default::default()
        }
    }

    fn set(files: &[FileDescriptorProto]) -> Bytes {
        Set { files: files.iter().map(|file| file.encode_to_vec().into()).collect() }.encode_to_vec().into()
    }

    #[tokio::test]
    async fn the_longest_name_and_the_longest_path_decide() {
        let backends = backends(&[
            "a.b=http://127.0.0.1:2",
            "a.b.C=http://127.0.0.1:3",
            "/v1/a=http://127.0.0.1:2",
            "/v1/a/b/=http://127.0.0.1:3",
        ]);
        assert_eq!(backends.all().len(), 3);
        for (service, at) in [("a.b.D", 1), ("a.b.C", 2), ("a.b.c.E", 1), ("a.bc.D", 0), ("a", 0)] {
            assert_eq!(backends.of_service(service), at, "{service}");
        }
        for (path, at) in [
            ("/v1/a", Some(1)),
            ("/v1/a/c", Some(1)),
            ("/v1/a:verb", Some(1)),
            ("/v1/a/b", Some(2)),
            ("/v1//a/%62/c", Some(2)),
            ("/v1/a/bc", Some(1)),
            ("/v1/ab", None),
            ("/v1", None),
            ("/v1/a%", None),
        ] {
            assert_eq!(backends.of_path(path), at, "{path}");
        }
    }

    #[tokio::test]
    async fn servers_with_the_same_definitions_have_one_schema() {
        let backends = backends(&["p.S=http://127.0.0.1:2"]);
        let main = set(&[file("a.proto", None, &["M"], "M", &["T"]), file("s.proto", None, &["Old"], "Old", &["S"])]);
        // The same message in another file, which a third one imports.
        let other = set(&[
            file("lang/a.proto", None, &["M"], "M", &["T"]),
            file("s.proto", Some("lang/a.proto"), &["New"], "M", &["S"]),
        ]);
        let (merged, warnings) = backends.merged(&[main.clone(), other]).unwrap();
        let pool = DescriptorPool::decode(&merged).unwrap();
        assert!(pool.message("p.M").is_some() && pool.message("p.New").is_some() && pool.message("p.Old").is_none());
        assert_eq!(warnings, ["s.proto of http://127.0.0.1:1 is not that of http://127.0.0.1:2, which is used"]);

        // What is only partly the same cannot be one.
        let differs = set(&[file("lang/a.proto", None, &["M", "N"], "M", &[])]);
        let problem = backends.merged(&[main, differs]).unwrap_err().text();
        assert!(
            problem.starts_with("p.M is defined in a.proto of http://127.0.0.1:1 and in lang/a.proto of"),
            "{problem}"
        );
    }
}
