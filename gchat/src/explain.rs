//! `gchat explain`.

use std::{io::BufRead, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use google_chat::{
    Client, ClientBuilder, CreateSpaceRequest, Credentials, ENDPOINT,
    grpc_transcoding::{HttpRules, client::Origin, rpc::EncodedCodec},
    layer::RetryPolicy,
    protojson::{FieldPath, MethodDescriptor},
};
use http_body_util::{BodyExt, Full};
use prost::{Message, bytes::Bytes};
use serde_json::{Map, Value};

use crate::{config::Config, connection::Target, failure::Failure, input, output};

pub(crate) const HELP: &str = "\
Examples:
  gchat explain google.chat.v1.ChatService/CreateSpace --format curl \\
      '{\"space\":{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"}}'
  gchat explain --ndjson <requests.ndjson";

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
    /// Read lines {"method":…,"request":…} from standard input; print for each the
    /// request as JSON, or {"line":…,"error":…}
    #[arg(long, conflicts_with_all = ["method", "format"])]
    ndjson: bool,
    /// A descriptor set with its imports [default: Google Chat's]
    #[arg(long, value_name = "FILE")]
    descriptor_set: Option<PathBuf>,
    /// Give methods without an HTTP rule one: POST /package.Service/Method
    #[arg(long, conflicts_with = "as_client")]
    unbound_methods: bool,
    /// Add what the client would: its checks, a request id, its headers, and
    /// $GCHAT_ACCESS_TOKEN
    #[arg(long, conflicts_with_all = ["descriptor_set", "ndjson"])]
    as_client: bool,
    /// The URL of the API; `https://chat.googleapis.com` by default
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A curl command
    Curl,
    /// A grpcurl command
    Grpcurl,
    /// The request in HTTP/1.1
    Http,
    /// Method, path, query, headers and body as JSON
    Json,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let schema = input::schema(args.descriptor_set.as_deref())?;
    let Some(name) = &args.method else { return lines(&input::rules(&schema, args.unbound_methods)) };
    let method = input::method(&schema, name)?;
    let json = input::message(&args.request)?;
    let mut wire = input::request(&method, &json)?;
    let endpoint =
        args.endpoint.clone().map_or_else(|| Config::read(false).map(|config| config.endpoint), |it| Ok(Some(it)));
    let endpoint = endpoint?.unwrap_or_else(|| ENDPOINT.to_owned());
    Origin::parse(&endpoint).map_err(Failure::usage)?;
    let request = match args.as_client {
        true => as_sent(Client::builder().endpoint(&endpoint), &method, &mut wire).await?,
        false => to_http(&input::rules(&schema, args.unbound_methods), &method, &wire)?,
    };
    let text = match args.format {
        Format::Json => format!("{}\n", as_json(&request)?),
        Format::Http => return output::write(&as_http(&request, &endpoint)),
        Format::Curl => as_curl(&request, &endpoint, args.as_client),
        Format::Grpcurl => as_grpcurl(&method, &wire, args, &endpoint)?,
    };
    output::write(text.as_bytes())
}

/// The curl command of creating a space as the client does it.
pub(crate) async fn curl_of_create(target: &Target, request: &CreateSpaceRequest) -> Result<String, Failure> {
    target.client()?.check(request).map_err(Failure::usage)?;
    let method = input::method(output::schema(), "google.chat.v1.ChatService/CreateSpace")?;
    let sent = as_sent(target.builder(), &method, &mut request.encode_to_vec()).await?;
    Ok(as_curl(&sent, &target.endpoint, !target.is_anonymous()))
}

/// The HTTP request that the client makes of a call: it is let do so, and stopped
/// before it sends. Credentials are left out, since getting a token would be a request
/// of its own. A request id that it fills in is added to the message.
async fn as_sent(builder: ClientBuilder, method: &MethodDescriptor, wire: &mut Vec<u8>) -> Result<Request, Failure> {
    let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let http = tower::service_fn(move |request: http::Request<Full<Bytes>>| {
        let kept = sender.send(request);
        async move { Err::<http::Response<Full<Bytes>>, _>(kept.map_or("not kept", |()| "not sent")) }
    });
    let builder = builder.credentials(Credentials::anonymous()).retry(RetryPolicy::never());
    let client = builder.build_over(http).map_err(Failure::usage)?;
    let mut stub = tonic::client::Grpc::new(client.channel());
    let Ok(()) = stub.ready().await;
    let path = http::uri::PathAndQuery::try_from(method.path()).map_err(Failure::usage)?;
    let answer = stub.unary(tonic::Request::new(wire.clone().into()), path, EncodedCodec).await.map(drop);
    let Ok(request) = sent.try_recv() else {
        return Err(answer.map_or_else(Failure::unsent, |()| Failure::machine("the client sent nothing")));
    };
    let (mut head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let id = target.split(['?', '&']).find_map(|part| part.strip_prefix("requestId="));
    if let Some(id) = id.map(decoded)
        && FieldPath::parse(&method.input(), "requestId").and_then(|field| field.put_text(wire, &id)).is_err()
    {
        return Err(Failure::machine("the request id has no place in the message"));
    }
    head.uri = target.parse().map_err(Failure::machine)?;
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Request::from_parts(head, body))
}

/// One request a line in, one a line out: the HTTP request, or why there is none.
fn lines(rules: &HttpRules) -> Result<(), Failure> {
    let (mut count, mut refused) = (0, 0);
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| Failure::usage(format!("cannot read line {}", number + 1)).because(error))?;
        if line.trim().is_empty() {
            continue;
        }
        count += 1;
        let explained = explain_line(rules, &line).unwrap_or_else(|failure| {
            refused += 1;
            serde_json::json!({"line": number + 1, "error": failure.text()})
        });
        output::write(format!("{explained}\n").as_bytes())?;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::usage(format!("{refused} of {count} lines have no HTTP request; their results say why"))),
    }
}

fn explain_line(rules: &HttpRules, line: &str) -> Result<Value, Failure> {
    let line: Value = serde_json::from_str(line).map_err(Failure::usage)?;
    let name = line.get("method").and_then(Value::as_str).ok_or_else(|| Failure::usage("`method` is missing"))?;
    let method = input::method(rules.pool(), name)?;
    let request = line.get("request").map_or_else(|| "{}".to_owned(), Value::to_string);
    as_json(&to_http(rules, &method, &input::request(&method, &request)?)?)
}

type Request = http::Request<Bytes>;

/// The HTTP request that a message transcodes to.
fn to_http(rules: &HttpRules, method: &MethodDescriptor, message: &[u8]) -> Result<Request, Failure> {
    let bindings = rules.method(method.path()).ok_or_else(|| Failure::machine("the method is not in its schema"))?;
    bindings.to_http(message).map_err(|error| Failure::unsent(tonic::Status::from(error)))
}

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
    let body = match (&request.body()[..], is_json(request)) {
        ([], _) => Value::Null,
        (body, true) => serde_json::from_slice(body).map_err(Failure::machine)?,
        (body, false) => match as_text(body) {
            Some(text) => text.into(),
            None => serde_json::json!({ "base64": STANDARD.encode(body) }),
        },
    };
    Ok(Value::from_iter([
        ("method", request.method().as_str().into()),
        ("path", request.uri().path().into()),
        ("query", query.into()),
        ("headers", headers.into()),
        ("body", body),
    ]))
}

/// A body that can be shown and quoted as the text that it is.
fn as_text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'))
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

fn as_http(request: &Request, endpoint: &str) -> Vec<u8> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host).trim_end_matches('/');
    let mut text = format!("{} {} HTTP/1.1\nhost: {host}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push('\n');
    let mut bytes = text.into_bytes();
    if !request.body().is_empty() {
        bytes.extend_from_slice(request.body());
        bytes.push(b'\n');
    }
    bytes
}

fn as_curl(request: &Request, endpoint: &str, authorized: bool) -> String {
    let url = format!("{}{}", endpoint.trim_end_matches('/'), request.uri());
    let mut command = format!("curl --request {} {}", request.method(), quoted(&url));
    if authorized {
        command.push_str(" \\\n  --header \"authorization: Bearer $GCHAT_ACCESS_TOKEN\"");
    }
    for (name, value) in request.headers() {
        let header = format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        match name.as_str() {
            // What is asked for packed is to be unpacked.
            "accept-encoding" => command.push_str(" \\\n  --compressed"),
            _ => command.push_str(&format!(" \\\n  --header {}", quoted(&header))),
        }
    }
    match as_text(request.body()) {
        Some("") => {}
        Some(text) => command.push_str(&format!(" \\\n  --data-raw {}", quoted(text))),
        // No shell can quote it.
        None => {
            let packed = STANDARD.encode(request.body());
            command = format!("printf %s {packed} | base64 --decode | {command} \\\n  --data-binary @-");
        }
    }
    command.push('\n');
    command
}

fn as_grpcurl(method: &MethodDescriptor, wire: &[u8], args: &Args, endpoint: &str) -> Result<String, Failure> {
    let json = method.input().to_json(wire).map_err(Failure::machine)?;
    let (plain, host) = match endpoint.split_once("://") {
        Some(("http", host)) => (" -plaintext", host),
        Some((_, host)) => ("", host),
        None => ("", endpoint),
    };
    let authorized = if args.as_client { " -H \"authorization: Bearer $GCHAT_ACCESS_TOKEN\"" } else { "" };
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
    Ok(format!("grpcurl{plain}{set}{authorized} -d {} {host}{port} {}\n", quoted(&json), &method.path()[1..]))
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_comes_as_it_is() {
        let upload = http::Request::post("/v1/a:upload").header("content-type", "image/png");
        let upload = upload.body(Bytes::from_static(b"\x89P\x00\xff")).unwrap();
        let endpoint = "https://a.example.com";
        assert!(as_http(&upload, endpoint).ends_with(b"content-type: image/png\n\n\x89P\x00\xff\n"));
        assert_eq!(as_json(&upload).unwrap()["body"], serde_json::json!({"base64": "iVAA/w=="}));
        assert_eq!(
            as_curl(&upload, endpoint, false),
            "printf %s iVAA/w== | base64 --decode | curl --request POST 'https://a.example.com/v1/a:upload' \\\n  \
             --header 'content-type: image/png' \\\n  --data-binary @-\n"
        );
    }
}
