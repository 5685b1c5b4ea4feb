//! `gchat gateway`.

mod backends;
mod cors;
mod grpc_web;
mod schema;

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use google_chat::{
    grpc_transcoding::{
        bytes::Bytes,
        client::{Grpc, Origin},
        server::{GatewayLayer, Peer, RequestBody},
    },
    protojson::{Defaults, ReadOptions, WriteOptions},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONNECTION, HOST},
};
use tower::{Layer, service_fn};

use self::{
    backends::{Backends, Route},
    cors::CorsFlags,
    schema::{Choices, Current, Renewal, Schema, Served},
};
use crate::{
    browser::BrowserFlags,
    failure::Failure,
    input,
    limits::{self, Bounds, Limit},
    output,
    serving::{
        self, Aborts, Address, BackendTls, CONFIG_HELP, Operation, Readiness, SHUTDOWN_HELP, TRACEPARENT, TRACESTATE,
    },
    signals::{Hangup, Signals},
};

pub(crate) fn help() -> String {
    format!("{EXAMPLES}\n\n{DOCS}\n\n{HEALTH}\n\n{CONFIG_HELP}\n\n{SHUTDOWN_HELP}")
}

const EXAMPLES: &str = "\
Examples:
  gchat gateway --backend http://localhost:50051 --reflection
  gchat gateway --backend https://grpc.example.com --descriptor-set api.bin
  gchat gateway --backend http://localhost:50051 --reflection \\
      --route billing.v1=http://localhost:50052

Several servers:
  Each --route sends the calls of a service, of all services of a package, or
  the HTTP requests whose path begins so, to another server than --backend. The
  longest name or path counts, and a path before a name. By reflection, each
  server says its own protos. All servers have the same --backend-ca,
  --backend-certificate and limits.

Schema:
  The protos are asked for again every --reflection-refresh seconds and on
  SIGHUP. The file of --descriptor-set is read again on SIGHUP. A schema that
  cannot be used is not taken. Calls under way keep the one before.";

const DOCS: &str = "\
Documentation:
  GET /openapi.json answers with the methods as OpenAPI 3.1, and GET /docs with
  a page for people, unless the API itself has such a path.";

const HEALTH: &str = "\
Health:
  GET /healthz answers 200 as long as the gateway takes calls. GET /readyz does
  so only if the backend takes calls too, by gRPC health where it has that. Both
  answer 503 after SIGTERM or Ctrl-C.";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    /// The URL of the gRPC server
    #[arg(long, alias = "upstream", value_name = "URL")]
    backend: String,
    /// A descriptor set of the server's protos, with their imports
    #[arg(long, value_name = "FILE", required_unless_present = "reflection")]
    descriptor_set: Option<PathBuf>,
    /// Ask the server for its protos, by gRPC server reflection
    #[arg(long, conflicts_with = "descriptor_set")]
    reflection: bool,
    /// How often to ask for them again, in seconds; 0 for only on SIGHUP
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = limits::optional)]
    reflection_refresh: Limit,
    /// Send the calls of a service, of a package, or below a path to another server; can
    /// be repeated
    #[arg(long, value_name = "NAME|/PATH=URL")]
    route: Vec<Route>,
    /// Serve no OpenAPI document at /openapi.json and no page at /docs
    #[arg(long)]
    no_docs: bool,
    /// Pass gRPC calls through to the server, also of methods without an HTTP rule
    #[arg(long)]
    passthrough: bool,
    /// Take gRPC-Web calls of any method of the server
    #[arg(long)]
    grpc_web: bool,
    /// Serve methods without an HTTP rule, too: at POST /package.Service/Method, with the
    /// request as the body
    #[arg(long)]
    unbound_methods: bool,
    /// Ignore query parameters that are neither fields of the request nor Google's own
    #[arg(long)]
    ignore_unknown_query: bool,
    /// Take metadata from headers Grpc-Metadata-NAME, and give that of responses so, as
    /// grpc-gateway does
    #[arg(long)]
    grpc_metadata_prefix: bool,
    /// Where to listen: an address with a port, or unix: and a path; port 0 lets the
    /// system choose
    #[arg(long, value_name = "ADDR|unix:PATH", default_value = "127.0.0.1:8080")]
    listen: Address,
    /// How long the path of a request may be
    #[arg(long, help_heading = "Limits", value_name = "BYTES", default_value_t = 8 * 1024)]
    max_path_length: usize,
    /// How many segments the path of a request may have
    #[arg(long, help_heading = "Limits", value_name = "COUNT", default_value_t = 256)]
    max_path_segments: usize,
    /// Ignore fields of a body that the request message does not have
    #[arg(long, help_heading = "JSON")]
    ignore_unknown_fields: bool,
    /// Print fields that have their default value, too
    #[arg(long, help_heading = "JSON")]
    print_defaults: bool,
    /// Print enum values as numbers
    #[arg(long, help_heading = "JSON")]
    enums_as_integers: bool,
    /// Print proto field names: display_name, not displayName
    #[arg(long, help_heading = "JSON")]
    proto_field_names: bool,
    #[command(flatten)]
    cors: CorsFlags,
    #[command(flatten)]
    browser: BrowserFlags,
    #[command(flatten)]
    operation: Operation,
    #[command(flatten)]
    backend_tls: BackendTls,
    #[command(flatten)]
    limits: Bounds,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let hangup = Hangup::new()?;
    let connect = |origin: &Origin| {
        let connector = serving::connector(origin, &args.backend_tls, &args.limits)?;
        Ok(Grpc::over(connector, origin.clone()).with_limits(args.limits.backend()))
    };
    let choices = Choices {
        file: args.descriptor_set.clone(),
        unbound_methods: args.unbound_methods,
        docs: !args.no_docs,
        grpc_web: args.grpc_web,
    };
    let backends = Arc::new(Backends::new(&args.backend, &args.route, connect)?);
    let mut sets: Vec<Bytes> = Vec::new();
    match &args.descriptor_set {
        Some(file) => sets.push(input::descriptor_set(file)?.into()),
        // What a server would say is not asked for; any schema does for the other settings.
        None if args.operation.check_config => sets.push(Bytes::from_static(google_chat::proto::DESCRIPTOR_SET)),
        None => {
            for backend in backends.all() {
                sets.push(serving::reflected(&backend.url, backend.grpc.clone(), &mut signals).await?.into());
            }
        }
    }
    let schema = Schema::new(&backends, &sets, &choices)?;
    let mut read = ReadOptions::default();
    read.ignore_unknown = args.ignore_unknown_fields;
    let mut write = WriteOptions::default();
    write.defaults = if args.print_defaults { Defaults::WithoutPresence } else { Defaults::Omit };
    write.enums_as_integers = args.enums_as_integers;
    write.proto_field_names = args.proto_field_names;
    let layer = GatewayLayer::new(schema.rules.clone()).map_err(|none| {
        let hint = match none.unusable() {
            None if !args.unbound_methods => "; to serve methods without rules, add --unbound-methods",
            _ => "",
        };
        Failure::usage(format!("{none}{hint}"))
    })?;
    // Of a server that was not asked there is nothing to tell.
    let warnings = if args.operation.check_config && args.reflection { Vec::new() } else { schema.warnings(&layer) };
    for warning in &warnings {
        output::say(&format!("warning: {warning}"));
    }
    let layer = layer
        .passthrough(args.passthrough)
        .ignore_unknown_query(args.ignore_unknown_query)
        .grpc_metadata_prefix(args.grpc_metadata_prefix)
        .max_path(args.max_path_length, args.max_path_segments)
        .read_options(read)
        .write_options(write);
    let layer = args.limits.gateway(layer);
    let server = args.operation.server(&schema.rules, &args.limits)?;
    let calls = backends.calls(server.tracer.as_ref());
    let served = Served::new(&layer, &backends, &calls, &schema, &choices)?;
    let guard = args.cors.allow(args.browser.guard(args.listen.ip()));
    let cors = args.cors.layer(args.grpc_web)?;
    if args.operation.check_config {
        return args.operation.checked();
    }

    let current = Arc::new(Current::new(served));
    let renewal = Renewal {
        current: Arc::clone(&current),
        observers: server.observers(),
        backends: Arc::clone(&backends),
        calls,
        layer,
        choices,
        sets,
        warnings,
    };
    let interval = args.reflection_refresh.0.filter(|_| args.reflection);
    let _renewal = Aborts(tokio::spawn(renewal.run(interval, hangup)));
    let readiness = Readiness::of(backends.all().iter().map(|backend| (backend.url.clone(), backend.grpc.clone())));
    let (health, state, scheme) = (server.health.clone(), readiness.clone(), server.scheme());
    let service = service_fn(move |mut request: Request<RequestBody>| {
        let (current, health, state) = (Arc::clone(&current), health.clone(), state.clone());
        async move {
            match serving::health(request.uri().path(), &health, &state).await {
                Some(answer) => Ok::<_, Infallible>(answer),
                None => {
                    forward(&mut request, scheme);
                    current.get().answer(request).await
                }
            }
        }
    });
    match cors {
        None => server.run(&args.listen, guard.layer(service), readiness, signals).await,
        Some(cors) => server.run(&args.listen, guard.layer(cors.layer(service)), readiness, signals).await,
    }
}

/// Tells the backend for whom a request is, as proxies do: the client's address, and the scheme
/// and the host that it asked for, each behind those that came with the request. Only the last
/// of each is certain; the rest is what the client says.
fn forward<B>(request: &mut Request<B>, scheme: &'static str) {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let authority = || HeaderValue::from_str(request.uri().authority()?.as_str()).ok();
    let host = request.headers().get(HOST).cloned().or_else(authority);
    let headers = request.headers_mut();
    keep_ours(headers);
    if let Some(peer) = peer {
        append(headers, FORWARDED_FOR, &peer.ip().to_canonical().to_string());
    }
    append(headers, FORWARDED_PROTO, scheme);
    if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
        append(headers, FORWARDED_HOST, host);
    }
}

/// Adds a value behind those that a header has, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers.get_all(&name).iter().filter_map(|line| line.to_str().ok());
    let all: Vec<_> = before.chain([value]).collect();
    if let Ok(all) = HeaderValue::try_from(all.join(", ")) {
        headers.insert(name, all);
    }
}

/// Takes from `Connection`, which names what is for the next server only, the headers that this
/// gateway adds: a client could have them left out otherwise (RFC 9110, section 7.6.1).
fn keep_ours(headers: &mut HeaderMap) {
    let ours = |name: &str| {
        [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, TRACEPARENT, TRACESTATE]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own.as_str()))
    };
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let names: Vec<_> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    if names.iter().any(|name| ours(name)) {
        let others: Vec<_> = names.into_iter().filter(|name| !ours(name)).collect();
        match HeaderValue::try_from(others.join(", ")) {
            Ok(others) if !others.is_empty() => headers.insert(CONNECTION, others),
            _ => headers.remove(CONNECTION),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_is_told_for_whom_a_request_is() {
        let own = |peer: Option<&str>, request: http::request::Builder| {
            let peer = Peer(peer.map(|peer| peer.parse().unwrap()));
            let mut request = request.extension(peer).body(()).unwrap();
            forward(&mut request, "https");
            [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST].map(|name| {
                let values: Vec<_> =
                    request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
                values.join(" | ")
            })
        };
        let straight = Request::get("/v1/spaces").header("host", "api.example:8443");
        assert_eq!(own(Some("[::ffff:10.0.0.7]:4000"), straight), ["10.0.0.7", "https", "api.example:8443"]);
        let proxied = Request::get("https://inner.example/v1/spaces")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-host", "api.example");
        let all = ["192.0.2.1, 10.0.0.1, 10.0.0.7", "http, https", "api.example, inner.example"];
        assert_eq!(own(Some("10.0.0.7:4000"), proxied), all);
        let by_socket = Request::get("https://inner.example/v1/spaces").header("x-forwarded-for", "192.0.2.1");
        assert_eq!(own(None, by_socket), ["192.0.2.1", "https", "inner.example"]);
    }

    #[test]
    fn a_client_cannot_have_left_out_what_the_gateway_adds() {
        for (line, kept) in [
            ("X-Forwarded-For", None),
            ("close, x-forwarded-host, TraceParent", Some("close")),
            ("keep-alive, x-mine", Some("keep-alive, x-mine")),
        ] {
            let mut request =
                Request::get("/v1/spaces").header("host", "a").header("connection", line).body(()).unwrap();
            forward(&mut request, "http");
            assert_eq!(request.headers().get(CONNECTION).map(|line| line.to_str().unwrap()), kept, "{line}");
        }
    }
}
