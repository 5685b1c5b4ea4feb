//! `gchat explain`.

use std::{io::BufRead, path::PathBuf};

use google_chat::{ENDPOINT, Schema, schema::Method};
use serde_json::{Map, Value};

use crate::{failure::Failure, input, output};

pub(crate) const EXAMPLES: &str = "\
Examples:
  gchat explain google.chat.v1.ChatService/CreateSpace \\
      '{\"space\":{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"},\"requestId\":\"1\"}' --format curl
  gchat explain --ndjson <requests.ndjson     one {\"method\":…,\"request\":…} a line";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The method: pkg.Service/Method
    #[arg(required_unless_present = "ndjson")]
    method: Option<String>,
    /// The request as JSON, or - for standard input
    #[arg(value_name = "JSON|-", default_value = "{}")]
    request: String,
    /// How to print the HTTP request
    #[arg(long, value_enum, default_value_t = Format::Http)]
    format: Format,
    /// Reads {"method":…,"request":…} lines from standard input and prints a JSON line for each
    #[arg(long, conflicts_with_all = ["method", "format"])]
    ndjson: bool,
    /// A descriptor set with imports; the embedded one, of Google Chat, by default
    #[arg(long, value_name = "FILE")]
    descriptor_set: Option<PathBuf>,
    /// Where the API is
    #[arg(long, value_name = "URL", env = "GCHAT_ENDPOINT", default_value = ENDPOINT)]
    endpoint: String,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A curl command
    Curl,
    /// A grpcurl command
    Grpcurl,
    /// The request as HTTP/1.1 has it
    Http,
    /// Method, path, query, headers and body as JSON
    Json,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let schema = input::schema(args.descriptor_set.as_deref())?;
    let Some(name) = &args.method else { return lines(&schema) };
    let method = input::method(&schema, name)?;
    let json = input::message(&args.request)?;
    let wire = input::request(&method, &json)?;
    let request = method.to_http(&wire)?;
    let text = match args.format {
        Format::Json => format!("{}\n", as_json(&request)?),
        Format::Http => as_http(&request, &args.endpoint),
        Format::Curl => as_curl(&request, &args.endpoint),
        Format::Grpcurl => as_grpcurl(&method, &wire, args)?,
    };
    output::write(text.as_bytes())
}

/// One request a line in, one a line out.
fn lines(schema: &Schema) -> Result<(), Failure> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(Failure::machine)?;
        if line.trim().is_empty() {
            continue;
        }
        let explained =
            explain_line(schema, &line).map_err(|failure| Failure::usage(format!("line {}: {failure}", number + 1)))?;
        output::write(format!("{explained}\n").as_bytes())?;
    }
    Ok(())
}

fn explain_line(schema: &Schema, line: &str) -> Result<Value, Failure> {
    let line: Value = serde_json::from_str(line).map_err(Failure::usage)?;
    let name = line.get("method").and_then(Value::as_str).ok_or_else(|| Failure::usage("`method` is missing"))?;
    let method = input::method(schema, name)?;
    let request = line.get("request").map_or_else(|| "{}".to_owned(), Value::to_string);
    as_json(&method.to_http(&input::request(&method, &request)?)?)
}

type Request = http::Request<Vec<u8>>;

fn as_json(request: &Request) -> Result<Value, Failure> {
    let query = request.uri().query().unwrap_or_default();
    let query: Vec<Value> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Value::from(vec![decoded(key), decoded(value)])
        })
        .collect();
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = match (request.body().as_slice(), is_json(request)) {
        ([], _) => Value::Null,
        (body, true) => serde_json::from_slice(body).map_err(Failure::machine)?,
        (body, false) => String::from_utf8_lossy(body).into(),
    };
    Ok(Value::from_iter([
        ("method", request.method().as_str().into()),
        ("path", request.uri().path().into()),
        ("query", query.into()),
        ("headers", headers.into()),
        ("body", body),
    ]))
}

fn is_json(request: &Request) -> bool {
    request.headers().get("content-type").is_some_and(|kind| kind == "application/json")
}

/// A percent-encoded text that this program's own library wrote.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().filter(|_| byte == b'%');
        let value = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn as_http(request: &Request, endpoint: &str) -> String {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host).trim_end_matches('/');
    let mut text = format!("{} {} HTTP/1.1\nhost: {host}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push('\n');
    if !request.body().is_empty() {
        text.push_str(&String::from_utf8_lossy(request.body()));
        text.push('\n');
    }
    text
}

fn as_curl(request: &Request, endpoint: &str) -> String {
    let url = format!("{}{}", endpoint.trim_end_matches('/'), request.uri());
    let mut command = format!("curl --request {} {}", request.method(), quoted(&url));
    for (name, value) in request.headers() {
        let header = format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        command.push_str(&format!(" \\\n  --header {}", quoted(&header)));
    }
    if !request.body().is_empty() {
        command.push_str(&format!(" \\\n  --data-raw {}", quoted(&String::from_utf8_lossy(request.body()))));
    }
    command.push('\n');
    command
}

fn as_grpcurl(method: &Method, wire: &[u8], args: &Args) -> Result<String, Failure> {
    let json = method.input().to_json(wire).map_err(Failure::machine)?;
    let (plain, host) = match args.endpoint.split_once("://") {
        Some(("http", host)) => (" -plaintext", host),
        Some((_, host)) => ("", host),
        None => ("", args.endpoint.as_str()),
    };
    let host = host.trim_end_matches('/');
    let port = match (host.contains(':'), plain) {
        (true, _) => "",
        (false, "") => ":443",
        (false, _) => ":80",
    };
    let set = args
        .descriptor_set
        .as_ref()
        .map_or_else(String::new, |file| format!(" -protoset {}", quoted(&file.display().to_string())));
    Ok(format!("grpcurl{plain}{set} -d {} {host}{port} {}\n", quoted(&json), &method.path()[1..]))
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
