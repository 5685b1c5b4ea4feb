//! `gchat gateway`.

use std::{convert::Infallible, path::PathBuf};

use google_chat::{
    grpc_transcoding::{
        client::{Grpc, Origin},
        server::{GatewayLayer, Peer, RequestBody},
    },
    protojson::{Defaults, ReadOptions, WriteOptions},
};
use http::{HeaderName, HeaderValue, Request, header::HOST};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::{
    browser::BrowserFlags,
    failure::Failure,
    input,
    limits::Bounds,
    output, schema,
    serving::{self, Address, BackendTls, CONFIG_HELP, Operation, Readiness, SHUTDOWN_HELP, Traced},
    signals::Signals,
};

pub(crate) fn help() -> String {
    format!("{EXAMPLES}\n\n{DOCS}\n\n{HEALTH}\n\n{CONFIG_HELP}\n\n{SHUTDOWN_HELP}")
}

const EXAMPLES: &str = "\
Examples:
  gchat gateway --backend http://localhost:50051 --reflection
  gchat gateway --backend https://grpc.example.com --descriptor-set api.bin";

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
    /// Serve no OpenAPI document at /openapi.json and no page at /docs
    #[arg(long)]
    no_docs: bool,
    /// Pass gRPC calls through to the server, also of methods without an HTTP rule
    #[arg(long)]
    passthrough: bool,
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
    /// An origin that browsers may call from, or * for all; can be repeated
    #[arg(long, help_heading = "Browsers", value_name = "ORIGIN")]
    cors_origin: Vec<String>,
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
    let origin = Origin::parse(&args.backend).map_err(Failure::usage)?;
    let connector = serving::connector(&origin, &args.backend_tls, &args.limits)?;
    let backend = Grpc::over(connector, origin.clone()).with_limits(args.limits.backend());
    let set = match &args.descriptor_set {
        Some(file) => input::descriptor_set(file)?,
        // What a server would say is not asked for; any schema does for the other settings.
        None if args.operation.check_config => google_chat::proto::DESCRIPTOR_SET.to_vec(),
        None => serving::reflected(&args.backend, backend.clone(), &mut signals).await?,
    };
    let rules = input::rules(&serving::schema(&set, args.descriptor_set.as_deref())?, args.unbound_methods);
    let mut read = ReadOptions::default();
    read.ignore_unknown = args.ignore_unknown_fields;
    let mut write = WriteOptions::default();
    write.defaults = if args.print_defaults { Defaults::WithoutPresence } else { Defaults::Omit };
    write.enums_as_integers = args.enums_as_integers;
    write.proto_field_names = args.proto_field_names;
    let layer = GatewayLayer::new(rules.clone()).map_err(|none| {
        let hint = match none.unusable() {
            None if !args.unbound_methods => "; to serve methods without rules, add --unbound-methods",
            _ => "",
        };
        Failure::usage(format!("{none}{hint}"))
    })?;
    for warning in layer.warnings() {
        output::say(&format!("warning: {warning}"));
    }
    let layer = layer
        .passthrough(args.passthrough)
        .ignore_unknown_query(args.ignore_unknown_query)
        .grpc_metadata_prefix(args.grpc_metadata_prefix)
        .max_path(args.max_path_length, args.max_path_segments)
        .read_options(read)
        .write_options(write);
    let layer = if args.no_docs { layer } else { layer.docs(schema::describe(&rules, set)) };
    let server = args.operation.server(&rules, &args.limits)?;
    let traced = Traced::new(backend.clone(), server.tracer.clone(), origin);
    let gateway = args.limits.gateway(layer).layer(traced);
    let guard = args.browser.guard(args.listen.ip());
    let guard = args.cors_origin.iter().fold(guard, |guard, origin| guard.allow_origin(origin));
    let cors = if args.cors_origin.is_empty() { None } else { Some(cors(&args.cors_origin)?) };
    if args.operation.check_config {
        return args.operation.checked();
    }

    let readiness = Readiness::of(backend);
    let (health, state, scheme) = (server.health.clone(), readiness.clone(), server.scheme());
    let service = service_fn(move |mut request: Request<RequestBody>| {
        let (gateway, health, state) = (gateway.clone(), health.clone(), state.clone());
        async move {
            match serving::health(request.uri().path(), &health, &state).await {
                Some(answer) => Ok::<_, Infallible>(answer),
                None => {
                    forward(&mut request, scheme);
                    gateway.oneshot(request).await
                }
            }
        }
    });
    match cors {
        None => server.run(&args.listen, guard.layer(service), readiness, signals).await,
        Some(cors) => server.run(&args.listen, guard.layer(cors.layer(service)), readiness, signals).await,
    }
}

/// Tells the backend for whom a request is, as proxies do: the client's address behind those
/// that came with the request, and the scheme and the host that it asked for unless it came
/// with others. Only what this gateway adds is certain; the rest is what the client says.
fn forward<B>(request: &mut Request<B>, scheme: &'static str) {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let authority = || HeaderValue::from_str(request.uri().authority()?.as_str()).ok();
    let host = request.headers().get(HOST).cloned().or_else(authority);
    let headers = request.headers_mut();
    if let Some(peer) = peer {
        let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|addresses| addresses.to_str().ok());
        let all: Vec<_> = before.map(str::to_owned).chain([peer.ip().to_canonical().to_string()]).collect();
        if let Ok(all) = HeaderValue::try_from(all.join(", ")) {
            headers.insert(FORWARDED_FOR, all);
        }
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

fn cors(origins: &[String]) -> Result<CorsLayer, Failure> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origins: Result<Vec<HeaderValue>, _> = origins.iter().map(HeaderValue::try_from).collect();
        AllowOrigin::list(origins.map_err(|_| Failure::usage("--cors-origin: not an origin"))?)
    };
    Ok(CorsLayer::new().allow_origin(allowed).allow_methods(Any).allow_headers(AllowHeaders::mirror_request()))
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
        assert_eq!(own(Some("10.0.0.7:4000"), proxied), ["192.0.2.1, 10.0.0.1, 10.0.0.7", "http", "api.example"]);
        let by_socket = Request::get("https://inner.example/v1/spaces").header("x-forwarded-for", "192.0.2.1");
        assert_eq!(own(None, by_socket), ["192.0.2.1", "https", "inner.example"]);
    }
}
