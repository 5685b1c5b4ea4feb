//! What the emulator serves about itself: a page at `/` for people, and settings,
//! faults, the clock and the calls under `/emulator/` for tests in any language.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use prost_types::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tonic::{Status, body::Body};

use super::{
    State,
    faults::{Fault, Faults, Share},
    front,
    identity::{Grant, Identity},
    lock,
    received::Received,
    settings::{Settings, seconds},
};
use google_chat::{
    Space,
    grpc_transcoding::rpc::{BoxError, code_name, error_response, http_status, is_grpc},
    proto::google::chat::v1::space::SpaceType,
};

/// What a request here may hold.
const LIMIT: usize = 64 * 1024;
/// How many of the newest spaces, and of the last calls, the page shows.
const SHOWN: usize = 50;

/// Whether a path is one of these. Browsers ask for the icon of the page by themselves.
pub(super) fn serves(path: &str) -> bool {
    path == "/" || path == "/favicon.ico" || path.starts_with("/emulator/")
}

/// What `POST /emulator/faults` takes. What is left out is as it was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FaultsChange {
    /// Those of the next calls, after those that are still to come.
    #[serde(default)]
    next: Vec<Fault>,
    share: Option<Share>,
}

/// What `POST /emulator/clock` takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    #[serde(with = "seconds")]
    advance: Duration,
}

pub(super) async fn answer<B>(state: &State, request: Request<B>) -> Result<Response<Body>, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = front::collect(body, LIMIT).await;
    let allow = match head.uri.path() {
        "/" | "/emulator/calls" => "GET, HEAD",
        "/emulator/settings" => "GET, HEAD, PATCH",
        "/emulator/faults" => "GET, HEAD, POST, DELETE",
        _ => "POST",
    };
    let reads = [Method::GET, Method::HEAD].contains(&head.method);
    let is_json = head.headers.get(CONTENT_TYPE).is_some_and(is_json);
    let answer = match (head.uri.path(), head.method.as_str()) {
        ("/", _) if reads => return page(state).await,
        ("/emulator/settings", _) if reads => Ok(json!(*state.settings())),
        ("/emulator/settings", "PATCH") | ("/emulator/faults" | "/emulator/clock", "POST") if !is_json => {
            let status =
                Status::invalid_argument("the body is not said to be JSON; send content-type: application/json");
            return Ok(error_response(&status, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        ("/emulator/settings", "PATCH") => change_settings(state, &body),
        ("/emulator/calls", _) if reads => {
            let calls = lock(&state.log).all();
            // A thousand calls take a while, in which this thread has others to serve.
            let described = tokio::task::spawn_blocking(move || {
                Value::Array(calls.iter().map(|call| described(&call.received())).collect()).to_string()
            });
            return response("application/json", described.await?);
        }
        ("/emulator/faults", _) if reads => Ok(described_faults(state)),
        ("/emulator/faults", "POST") => parse(&body).and_then(|change| change_faults(state, change)),
        ("/emulator/faults", "DELETE") => {
            *lock(&state.faults) = Faults::default();
            Ok(described_faults(state))
        }
        ("/emulator/clock", "POST") => parse(&body).map(|change: ClockChange| {
            let mut ahead = lock(&state.ahead);
            *ahead = ahead.saturating_add(change.advance);
            json!({"ahead": ahead.as_secs_f64()})
        }),
        ("/" | "/emulator/settings" | "/emulator/calls" | "/emulator/faults" | "/emulator/clock", _) => {
            let status = Status::unimplemented(format!("{} takes {allow}", head.uri.path()));
            let mut response = error_response(&status, StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return Ok(response);
        }
        (path, _) => Err(Status::not_found(format!(
            "nothing is served at {path}; there are /emulator/settings, /emulator/faults, /emulator/clock and \
             /emulator/calls"
        ))),
    };
    match answer {
        Ok(value) => response("application/json", format!("{value:#}\n")),
        Err(status) => Ok(error_response(&status, http_status(status.code()))),
    }
}

/// Whether a content type is that of JSON.
fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn response(kind: &'static str, text: String) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(|error| Status::invalid_argument(format!("the body: {error}")))
}

fn change_settings(state: &State, body: &[u8]) -> Result<Value, Status> {
    let change: serde_json::Map<String, Value> = parse(body)?;
    let mut settings = lock(&state.settings);
    let mut value = json!(**settings);
    for (name, new) in change {
        value[name] = new;
    }
    let changed = serde_json::from_value::<Settings>(value.clone());
    *settings = changed.map_err(|error| Status::invalid_argument(format!("the settings: {error}")))?.into();
    Ok(value)
}

fn change_faults(state: &State, change: FaultsChange) -> Result<Value, Status> {
    let mut faults = lock(&state.faults);
    if !faults.has_room(change.next.len()) {
        return Err(Status::resource_exhausted("too many faults wait for calls; DELETE /emulator/faults removes them"));
    }
    if let Some(share) = change.share {
        faults.set_share(share);
    }
    change.next.into_iter().for_each(|fault| faults.push(fault));
    drop(faults);
    Ok(described_faults(state))
}

fn described_faults(state: &State) -> Value {
    let faults = lock(&state.faults);
    json!({"next": faults.next().collect::<Vec<_>>(), "share": faults.share()})
}

fn described(call: &Received) -> Value {
    let headers: Value = call
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let grpc = is_grpc(&call.headers);
    json!({
        "at": Timestamp::from(call.at).to_string(),
        "verb": call.verb.as_str(),
        "target": call.target,
        "headers": headers,
        // What is framed is no text.
        "body": (!grpc).then(|| String::from_utf8_lossy(&call.body)),
        "bytes": call.body_len,
        "truncated": call.body_len > call.body.len() as u64,
        "code": call.code.map(code_name),
    })
}

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; overflow-wrap: anywhere; }
code { font: 13px ui-monospace, monospace; }
.failed { color: #c33; } .none { opacity: .6; }";

/// The page: the newest spaces and the last calls, the newest first.
async fn page(state: &State) -> Result<Response<Body>, BoxError> {
    let now = state.now();
    let rooms = state.store.run(move |store| store.newest(SHOWN, now)).await.unwrap_or_default();
    let anybody = Grant::of(Identity::App, &["chat.app.spaces"]);
    let spaces: Vec<String> = rooms.iter().map(|room| space_row(&room.seen(&anybody))).collect();
    let calls = lock(&state.log).last(SHOWN);
    let calls: Vec<String> = calls.iter().rev().map(|call| call_row(&call.received(), now)).collect();
    let table = |head: &[&str], rows: &[String], none: &str| {
        if rows.is_empty() {
            return format!("<p class=none>{none}</p>");
        }
        let head: String = head.iter().map(|name| format!("<th>{name}")).collect();
        format!("<table><tr>{head}</tr>\n{}</table>", rows.concat())
    };
    let address = format!("{}://{}", state.scheme, state.address);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<meta http-equiv=refresh content=3>\n\
         <meta name=viewport content=\"width=device-width\">\n<title>Google Chat emulator</title>\n\
         <style>{STYLE}</style>\n<h1>Google Chat emulator at <code>{address}</code></h1>\n\
         <h2>Newest spaces</h2>\n{}\n<h2>Last calls</h2>\n{}\n",
        table(&["Name", "Display name", "Kind", "Members", "Created"], &spaces, "No space was created yet."),
        table(&["Ago", "Call", "Wire", "Client", "Outcome"], &calls, "No call came yet."),
    );
    response("text/html; charset=utf-8", page)
}

fn space_row(space: &Space) -> String {
    let members = space.membership_count.unwrap_or_default();
    let (people, groups) = (members.joined_direct_human_user_count, members.joined_group_count);
    let members = if groups > 0 { format!("{people} and {groups} groups") } else { people.to_string() };
    let import = if space.import_mode { ", in import mode" } else { "" };
    let kind = SpaceType::try_from(space.space_type).unwrap_or_default().as_str_name();
    let created = space.create_time.map_or_else(String::new, |time| time.to_string());
    format!(
        "<tr><td><code>{}</code><td>{}<td>{kind}{import}<td>{members}<td>{created}</tr>\n",
        escaped(&space.name),
        escaped(&space.display_name)
    )
}

fn call_row(call: &Received, now: SystemTime) -> String {
    let ago = now.duration_since(call.at).unwrap_or_default().as_secs();
    let wire = if is_grpc(&call.headers) { "gRPC" } else { "HTTP/JSON" };
    let agent = call.headers.get("x-goog-api-client").or_else(|| call.headers.get("user-agent"));
    let agent = agent.map_or_else(String::new, |agent| escaped(&String::from_utf8_lossy(agent.as_bytes())));
    let (class, outcome) = match call.code {
        Some(tonic::Code::Ok) => ("", "OK"),
        Some(code) => (" class=failed", code_name(code)),
        None => (" class=failed", "no answer"),
    };
    let (verb, target) = (escaped(call.verb.as_str()), escaped(&call.target));
    format!(
        "<tr><td>{ago} s<td><code>{verb} {target}</code><td>{wire}<td><code>{agent}</code><td{class}>{outcome}</tr>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
