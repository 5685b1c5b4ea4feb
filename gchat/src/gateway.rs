//! `gchat gateway`.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use google_chat::{
    Schema,
    json::{Defaults, ReadOptions, WriteOptions},
    transport::{GatewayLayer, Grpc, Origin, serve},
};
use http::{HeaderValue, Request, Response, StatusCode, uri::PathAndQuery};
use prost::Message;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::{call::Raw, failure::Failure, input, output};

pub(crate) const EXAMPLES: &str = "\
Examples:
  gchat gateway --backend http://localhost:50051 --reflection --listen 127.0.0.1:8080
  gchat gateway --backend https://grpc.example.com --descriptor-set api.bin

GET /healthz answers 200. After SIGTERM or Ctrl-C the port is closed, calls under way
end, and a connection that is still open is answered 503 there.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The gRPC server
    #[arg(long, value_name = "URL")]
    backend: String,
    /// A descriptor set of the server's protos, with imports
    #[arg(long, value_name = "FILE", required_unless_present = "reflection")]
    descriptor_set: Option<PathBuf>,
    /// Asks the server for its protos, by gRPC server reflection
    #[arg(long, conflicts_with = "descriptor_set")]
    reflection: bool,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The largest body and the largest message of an answer, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    max_message_size: usize,
    /// Passes over fields of a body that the request does not have
    #[arg(long)]
    ignore_unknown_fields: bool,
    /// Prints fields that hold their default, too
    #[arg(long)]
    print_defaults: bool,
    /// Prints enum values as numbers
    #[arg(long)]
    enums_as_integers: bool,
    /// Prints display_name, not displayName
    #[arg(long)]
    proto_field_names: bool,
    /// An origin that browsers may call from, or * for all; can be repeated
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// How long calls may take to end after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let backend = Grpc::new(Origin::parse(&args.backend).map_err(Failure::usage)?).map_err(Failure::machine)?;
    let schema = match args.reflection {
        true => reflected(backend.clone()).await?,
        false => input::schema(args.descriptor_set.as_deref())?,
    };
    if schema.methods().all(|method| method.http_bindings().next().is_none()) {
        return Err(Failure::usage(
            "no method of the schema has an HTTP rule (google.api.http); there is nothing to offer",
        ));
    }
    let mut read = ReadOptions::default();
    read.ignore_unknown = args.ignore_unknown_fields;
    let mut write = WriteOptions::default();
    write.defaults = if args.print_defaults { Defaults::WithoutPresence } else { Defaults::Omit };
    write.enums_as_integers = args.enums_as_integers;
    write.proto_field_names = args.proto_field_names;
    let layer =
        GatewayLayer::new(schema).max_message_size(args.max_message_size).read_options(read).write_options(write);

    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::machine(format!("cannot listen at {}: {error}", args.listen)))?;
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
    let stop = async move {
        ended().await;
        draining.store(true, Ordering::Relaxed);
    };
    let grace = Duration::from_secs(args.drain);
    if args.cors_origin.is_empty() {
        serve(listener, None, service, stop, grace).await;
    } else {
        let service = cors(&args.cors_origin)?.layer(service);
        serve(listener, None, service, stop, grace).await;
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

/// Until the process is asked to end.
async fn ended() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The fields of `grpc.reflection.v1` that are needed.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
    #[prost(message, optional, tag = "7")]
    error: Option<Refusal>,
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    descriptors: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(string, tag = "2")]
    message: String,
}

/// The server's own schema: every service's file, with its imports.
async fn reflected(backend: Grpc) -> Result<Schema, Failure> {
    const REFLECTION: [&str; 2] = [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    let list = Question { list_services: Some(String::new()), ..Question::default() };
    let mut path = REFLECTION[0];
    let services = match ask(&backend, path, &list).await {
        Err(Failure::Status(status)) if status.code() == tonic::Code::Unimplemented => {
            path = REFLECTION[1];
            ask(&backend, path, &list).await?
        }
        other => other?,
    };
    // By name, in the order in which they came; the descriptors' own bytes, since
    // prost's types would drop the HTTP rules.
    let mut known: HashMap<String, Vec<u8>> = HashMap::new();
    let mut wanted: VecDeque<Question> = services
        .services
        .unwrap_or_default()
        .service
        .into_iter()
        .filter(|service| !service.name.starts_with("grpc.reflection."))
        .map(|service| Question { file_containing_symbol: Some(service.name), ..Question::default() })
        .collect();
    while let Some(question) = wanted.pop_front() {
        if question.file_by_filename.as_ref().is_some_and(|name| known.contains_key(name)) {
            continue;
        }
        for bytes in ask(&backend, path, &question).await?.files.unwrap_or_default().descriptors {
            let file = prost_types::FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|error| Failure::machine(format!("the server's reflection: {error}")))?;
            let imports = file.dependency.iter().filter(|name| !known.contains_key(*name));
            wanted.extend(imports.map(|name| Question { file_by_filename: Some(name.clone()), ..Question::default() }));
            known.insert(file.name().to_owned(), bytes);
        }
    }
    let set = Files { descriptors: known.into_values().collect() };
    Schema::decode(&set.encode_to_vec()).map_err(|error| Failure::machine(format!("the server's schema: {error}")))
}

async fn ask(backend: &Grpc, path: &'static str, question: &Question) -> Result<Answer, Failure> {
    let mut stub = tonic::client::Grpc::new(backend.clone());
    let Ok(()) = stub.ready().await;
    let request = tonic::Request::new(tonic::codegen::tokio_stream::once(question.encode_to_vec()));
    let mut answers = stub.streaming(request, PathAndQuery::from_static(path), Raw).await?.into_inner();
    let answer = answers.message().await?.ok_or_else(|| Failure::machine("the server's reflection gave no answer"))?;
    let answer = Answer::decode(answer.as_slice()).map_err(Failure::machine)?;
    match answer.error {
        Some(refusal) => Err(Failure::machine(format!("the server's reflection: {}", refusal.message))),
        None => Ok(answer),
    }
}
