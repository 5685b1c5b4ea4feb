//! `gchat schema`.

use std::path::PathBuf;

use google_chat::{
    MethodScopes,
    grpc_transcoding::{DescriptorPool, HttpRules, openapi::OpenApi},
    protojson::WriteOptions,
};

use crate::{
    failure::{Exit, Failure},
    input, output,
};

pub(crate) const HELP: &str = "\
Examples:
  gchat schema --output chat.bin
  gchat schema --openapi --output chat.json
  gchat schema --openapi --descriptor-set api.bin --server https://api.example
  gchat schema --lint --descriptor-set api.bin
  grpcurl -protoset chat.bin -plaintext -d '{}' localhost:8086 \\
      google.chat.v1.ChatService/ListSpaces
  buf build chat.bin -o - >/dev/null

Envoy:
  The filter envoy.filters.http.grpc_json_transcoder takes the file as its
  proto_descriptor.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print lint findings instead: fields that cannot go in a query string, and the like
    #[arg(long, conflicts_with_all = ["output", "openapi"])]
    lint: bool,
    /// Write an OpenAPI 3.1 document instead, as JSON
    #[arg(long)]
    openapi: bool,
    /// A descriptor set to lint or to describe, with its imports; it has comments if it
    /// was made with --include_source_info [default: Google Chat's]
    #[arg(long, value_name = "FILE")]
    descriptor_set: Option<PathBuf>,
    /// Lint or describe methods without an HTTP rule as a gateway with --unbound-methods
    /// serves them
    #[arg(long)]
    unbound_methods: bool,
    /// The title of the document
    #[arg(long, help_heading = "OpenAPI", value_name = "TEXT", requires = "openapi")]
    title: Option<String>,
    /// The version of the document
    #[arg(
        id = "document_version",
        long = "version",
        help_heading = "OpenAPI",
        value_name = "TEXT",
        requires = "openapi"
    )]
    version: Option<String>,
    /// The URL of a server; can be repeated [default: the host that the protos name]
    #[arg(long, help_heading = "OpenAPI", value_name = "URL", requires = "openapi")]
    server: Vec<String>,
    /// Describe a gateway with --enums-as-integers
    #[arg(long, help_heading = "OpenAPI", requires = "openapi")]
    enums_as_integers: bool,
    /// Describe a gateway with --proto-field-names
    #[arg(long, help_heading = "OpenAPI", requires = "openapi")]
    proto_field_names: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.lint {
        return lint(args);
    }
    let file = args.descriptor_set.as_deref();
    if file.is_some() && !args.openapi {
        return Err(Failure::usage("--descriptor-set is for --lint and --openapi: say which"));
    }
    if args.unbound_methods && !args.openapi {
        return Err(Failure::usage("--unbound-methods is for --lint and --openapi: say which"));
    }
    let set = match file {
        Some(file) => input::descriptor_set(file)?,
        None => google_chat::proto::DESCRIPTOR_SET.to_vec(),
    };
    if !args.openapi {
        return write(args, &set);
    }
    let pool = match file {
        Some(file) => {
            DescriptorPool::decode(&set).map_err(|error| Failure::usage(file.display().to_string()).because(error))?
        }
        None => output::schema().clone(),
    };
    let rules = input::rules(&pool, args.unbound_methods);
    rules.check().map_err(Failure::usage)?;
    for lint in rules.unused() {
        output::say(&format!("warning: {lint}"));
    }
    let options = WriteOptions::default()
        .with_enums_as_integers(args.enums_as_integers)
        .with_proto_field_names(args.proto_field_names);
    let mut document = describe(&rules, set).write_options(options).max_size(usize::MAX);
    if let Some(title) = &args.title {
        document = document.title(title);
    }
    if let Some(version) = &args.version {
        document = document.version(version);
    }
    document = args.server.iter().fold(document, OpenApi::server);
    write(args, document.to_json().map_err(Failure::usage)?.as_bytes())
}

/// The OpenAPI document of a schema, with what is known of Google Chat's methods beside it: the
/// protos have scopes by service alone.
pub(crate) fn describe(rules: &HttpRules, set: Vec<u8>) -> OpenApi {
    let known = rules.methods().filter_map(|method| {
        let name = method.method().path().trim_start_matches('/');
        MethodScopes::of(name).map(|scopes| (name, scopes))
    });
    known.fold(OpenApi::new(rules, set), |document, (method, scopes)| {
        let urls = scopes.all().iter().map(|scope| format!("https://www.googleapis.com/auth/{scope}"));
        document.scopes(method, urls)
    })
}

fn lint(args: &Args) -> Result<(), Failure> {
    let lints = input::rules(&input::schema(args.descriptor_set.as_deref())?, args.unbound_methods).lint();
    for lint in &lints {
        output::write(format!("{lint}\n").as_bytes())?;
    }
    if lints.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Findings, format!("{} findings", lints.len()))) }
}

fn write(args: &Args, content: &[u8]) -> Result<(), Failure> {
    match &args.output {
        None => output::write(content),
        Some(file) => std::fs::write(file, content)
            .map_err(|error| Failure::machine(format!("cannot write {}", file.display())).because(error)),
    }
}
