//! `gchat gateway`.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use google_chat::{
    grpc_transcoding::{
        client::{Grpc, Origin, connector},
        server::{GatewayLayer, ServeOptions, reflect, serve},
    },
    protojson::{Defaults, ReadOptions, WriteOptions},
};
use http::{HeaderValue, Request, Response, StatusCode};
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::{
    browser::BrowserFlags,
    failure::{Exit, Failure},
    input,
    limits::Bounds,
    output,
    signals::Signals,
};

pub(crate) const HELP: &str = "\
Examples:
  gchat gateway --backend http://localhost:50051 --reflection
  gchat gateway --backend https://grpc.example.com --descriptor-set api.bin

Shutdown:
  GET /healthz answers 200, and 503 after SIGTERM or Ctrl-C. Then the port is
  closed, and calls under way may end within --drain; a second signal ends them
  at once. With --lame-duck, the port stays open for that long after SIGTERM, so
  that load balancers see the 503 and send no more calls.";

/// How long the server may take to say what its protos are.
const REFLECTION: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The URL of the gRPC server
    #[arg(long, value_name = "URL")]
    backend: String,
    /// A descriptor set of the server's protos, with their imports
    #[arg(long, value_name = "FILE", required_unless_present = "reflection")]
    descriptor_set: Option<PathBuf>,
    /// Ask the server for its protos, by gRPC server reflection
    #[arg(long, conflicts_with = "descriptor_set")]
    reflection: bool,
    /// Pass gRPC calls through to the server, also of methods without an HTTP rule
    #[arg(long)]
    passthrough: bool,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The largest body and the largest message of an answer, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    max_message_size: usize,
    /// How long calls may take to end after SIGTERM or Ctrl-C, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// How long to keep serving after SIGTERM, in seconds; a second signal ends this
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    lame_duck: u64,
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
    limits: Bounds,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let origin = Origin::parse(&args.backend).map_err(Failure::usage)?;
    let connector = connector(&origin).map_err(Failure::machine)?;
    let backend = Grpc::over(connector, origin).with_limits(args.limits.backend());
    let schema = match args.reflection {
        true => match tokio::select! {
            schema = tokio::time::timeout(REFLECTION, reflect(backend.clone())) => schema,
            _ = signals.next() => return Err(Failure::new(Exit::Interrupted, "stopped before the gateway listened")),
        } {
            Ok(schema) => schema?,
            Err(_) => {
                return Err(Failure::machine(format!(
                    "{} does not say within {REFLECTION:?} what its protos are; give them with --descriptor-set",
                    args.backend
                )));
            }
        },
        false => input::schema(args.descriptor_set.as_deref())?,
    };
    let mut read = ReadOptions::default();
    read.ignore_unknown = args.ignore_unknown_fields;
    let mut write = WriteOptions::default();
    write.defaults = if args.print_defaults { Defaults::WithoutPresence } else { Defaults::Omit };
    write.enums_as_integers = args.enums_as_integers;
    write.proto_field_names = args.proto_field_names;
    let layer = GatewayLayer::new(schema).map_err(Failure::usage)?;
    for warning in layer.warnings() {
        output::say(&format!("warning: {warning}"));
    }
    let layer = layer
        .passthrough(args.passthrough)
        .max_message_size(args.max_message_size)
        .read_options(read)
        .write_options(write);
    let layer = args.limits.gateway(layer);

    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::machine(format!("cannot listen at {}", args.listen)).because(error))?;
    let address = listener.local_addr().map_err(Failure::machine)?;
    output::write(format!("listening at http://{address}\n").as_bytes())?;

    let draining = Arc::new(AtomicBool::new(false));
    let gateway = layer.layer(backend);
    let state = Arc::clone(&draining);
    let service = service_fn(move |request: Request<_>| {
        let (gateway, state) = (gateway.clone(), Arc::clone(&state));
        async move {
            match request.uri().path() {
                "/healthz" => Ok::<_, Infallible>(health(state.load(Ordering::Relaxed))),
                _ => gateway.oneshot(request).await,
            }
        }
    });
    let (drains, drain) = tokio::sync::oneshot::channel();
    let stop = async move {
        let terminated = signals.next().await;
        draining.store(true, Ordering::Relaxed);
        if terminated {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(args.lame_duck)) => {}
                _ = signals.next() => {}
            }
        }
        let _ = drains.send(signals);
    };
    let options = ServeOptions::default().limits(args.limits.server()).shutdown(stop, Duration::from_secs(args.drain));
    let guard = args.browser.guard(address.ip());
    let guard = args.cors_origin.iter().fold(guard, |guard, origin| guard.allow_origin(origin));
    let serving: Pin<Box<dyn Future<Output = ()> + Send>> = if args.cors_origin.is_empty() {
        Box::pin(serve(listener, guard.layer(service), options))
    } else {
        Box::pin(serve(listener, guard.layer(cors(&args.cors_origin)?.layer(service)), options))
    };
    tokio::select! {
        () = serving => {}
        // A signal while calls end by themselves ends them.
        () = async {
            if let Ok(mut signals) = drain.await {
                signals.next().await;
            }
        } => {}
    }
    Ok(())
}

fn health(draining: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if draining {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
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
