//! `gchat call`.

use std::{path::PathBuf, time::Duration};

use google_chat::{
    MethodScopes,
    grpc_transcoding::{
        HttpRules,
        client::{self, Auto, Choice, Grpc, HttpJson, Origin},
        rpc::EncodedCodec,
    },
    layer::{AuthLayer, TraceLayer},
    protojson::{DescriptorPool, MethodDescriptor, WriteOptions},
};
use http::{HeaderName, HeaderValue, uri::PathAndQuery};
use tonic::{Request, body::Body};
use tower::{Layer, util::BoxCloneSyncService};

use crate::{
    connection::{ConnectionOrEmulator, Target, WireFlag},
    failure::Failure,
    input, output,
};

pub(crate) const HELP: &str = "\
Examples:
  gchat call google.chat.v1.ChatService/CreateSpace --emulator \\
      '{\"space\":{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"}}'
  gchat call acme.v1.Library/GetBook '{\"name\":\"books/1\"}' \\
      --descriptor-set library.bin --endpoint http://localhost:8080 --anonymous";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The method: pkg.Service/Method
    method: String,
    /// The request as JSON, or - for standard input
    #[arg(value_name = "JSON|-", default_value = "{}")]
    request: String,
    /// A descriptor set with its imports [default: Google Chat's]
    #[arg(long, value_name = "FILE")]
    descriptor_set: Option<PathBuf>,
    /// A header of the call, as NAME:VALUE; can be repeated
    #[arg(short = 'H', long, value_name = "NAME:VALUE")]
    header: Vec<String>,
    #[command(flatten)]
    connection: ConnectionOrEmulator,
}

type Channel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, std::convert::Infallible>;

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let schema = input::schema(args.descriptor_set.as_deref())?;
    let method = input::method(&schema, &args.method)?;
    let json = input::message(&args.request)?;
    let wire = input::request(&method, &json)?;
    let target = args.connection.target().await?;
    let scopes = scopes(&target, &method, &wire)?;
    let mut request = Request::new(wire.into());
    request.set_timeout(args.connection.connection.timeout().min(Duration::from_secs(99_999_999)));
    for header in &args.header {
        let (name, value) = split_header(header)?;
        request.metadata_mut().as_mut().append(name, value);
    }
    let mut stub = tonic::client::Grpc::new(channel(&target, scopes, schema)?);
    let Ok(()) = stub.ready().await;
    let path = PathAndQuery::try_from(method.path()).map_err(Failure::usage)?;
    if method.is_client_streaming() || method.is_server_streaming() {
        // One request, whatever the method takes; answers as they come, a line each.
        let requests = request.map(tonic::codegen::tokio_stream::once);
        let mut answers = stub.streaming(requests, path, EncodedCodec).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            print(&method, &answer, None)?;
        }
        return Ok(());
    }
    let answer = stub.unary(request, path, EncodedCodec).await?.into_inner();
    print(&method, &answer, Some(2))
}

/// The scopes to ask for, in full: those of the method, unless others are given.
fn scopes(target: &Target, method: &MethodDescriptor, request: &[u8]) -> Result<Vec<String>, Failure> {
    let needed = MethodScopes::needed(method, request, target.is_app());
    // Whose scopes are chosen elsewhere needs none here.
    if needed.is_none() && target.scopes.is_empty() && target.who.is_user.is_some() {
        return Err(Failure::usage(format!(
            "--scope is missing: gchat knows the scopes of Google Chat's methods only; give the OAuth 2.0 scope of {} \
             with --scope",
            &method.path()[1..]
        )));
    }
    Ok(target.scopes(needed.unwrap_or_default()))
}

fn channel(target: &Target, scopes: Vec<String>, schema: DescriptorPool) -> Result<Channel, Failure> {
    let origin = Origin::parse(&target.endpoint).map_err(Failure::usage)?;
    let rules = HttpRules::new(&schema);
    let authorized = |service: BoxCloneSyncService<_, _, _>| {
        let layer = AuthLayer::new(&rules, &origin, target.who.credentials.clone());
        layer.map(|layer| layer.scopes(scopes).layer(service)).map_err(Failure::usage)
    };
    let connector = client::connector(&origin).map_err(Failure::machine)?;
    let annotated = rules.check().is_ok();
    let grpc = BoxCloneSyncService::new(Grpc::over(connector.clone(), origin.clone()));
    let http_json = || {
        let http_json = HttpJson::builder(&rules, &target.endpoint).build_connecting(connector.clone());
        http_json.map(BoxCloneSyncService::new).map_err(Failure::usage)
    };
    let service = authorized(match target.wire {
        WireFlag::Auto if annotated => {
            let http_json = http_json()?;
            BoxCloneSyncService::new(Auto::by(Choice::auto(connector, &origin)).grpc(grpc).http_json(http_json))
        }
        WireFlag::Auto | WireFlag::Grpc => grpc,
        WireFlag::Http => http_json()?,
    })?;
    Ok(BoxCloneSyncService::new(TraceLayer::attempts(&origin).layer(service)))
}

fn split_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    // The text may hold a token, so it is not repeated.
    let form = || Failure::usage("--header: write NAME:VALUE");
    let (name, value) = text.split_once(':').ok_or_else(form)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| form())?;
    Ok((name, HeaderValue::try_from(value.trim()).map_err(|_| form())?))
}

fn print(method: &MethodDescriptor, answer: &[u8], indent: Option<u8>) -> Result<(), Failure> {
    let mut options = WriteOptions::default();
    options.indent = indent;
    let mut text = Vec::new();
    method.output().write_json(answer, &mut text, &options).map_err(Failure::machine)?;
    text.push(b'\n');
    output::write(output::plain_json(&String::from_utf8_lossy(&text)).as_bytes())
}
