//! What the emulator serves about itself: settings, faults, the clock and the calls under
//! `/emulator/`, for tests in any language, and the page at `/`.

use std::time::Duration;

use bytes::Bytes;
use google_chat::grpc_transcoding::{
    rpc::{BoxError, code_name, error_response, http_status, is_grpc},
    server::RequestBody,
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use prost_types::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tonic::{Status, body::Body};

use super::{
    Fault, Received, State,
    faults::{Faults, Share},
    front::collect,
    page::page,
};
use crate::{Hop, HopFault, lock, settings::seconds};

/// Whether a path is one of these. Browsers ask for the icon of the page by themselves.
pub(super) fn serves(path: &str) -> bool {
    path == "/" || path == "/favicon.ico" || path.starts_with("/emulator/")
}

/// What `POST /emulator/faults` takes. What is left out is as it was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FaultsChange {
    /// Faults of the next calls, after the faults that are still to come.
    #[serde(default)]
    next: Vec<Fault>,
    share: Option<Share>,
    /// Those of the next requests for tokens.
    #[serde(default)]
    hops: Vec<FaultAt>,
}

/// The fault of the next request to a hop.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultAt {
    hop: Hop,
    fault: HopFault,
}

/// What `POST /emulator/clock` takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    #[serde(with = "seconds")]
    advance: Duration,
}

pub(super) async fn respond(state: &State, request: Request<RequestBody>) -> Result<Response<Body>, BoxError> {
    let (head, body) = request.into_parts();
    let body = match collect(body).await {
        Ok(body) => body,
        Err(refused) => return Ok(refused),
    };
    let path = head.uri.path();
    let allow = match path {
        "/" | "/emulator/calls" => "GET, HEAD",
        "/emulator/settings" => "GET, HEAD, PATCH",
        "/emulator/faults" => "GET, HEAD, POST, DELETE",
        "/emulator/clock" => "POST",
        _ => {
            return Ok(refuse(&Status::not_found(format!(
                "nothing is served at {path}; there are /emulator/settings, /emulator/faults, /emulator/clock and \
                 /emulator/calls"
            ))));
        }
    };
    let method = if head.method == Method::HEAD { "GET" } else { head.method.as_str() };
    if !allow.split(", ").any(|one| one == method) {
        let status = Status::unimplemented(format!("{path} takes {allow}"));
        let mut response = error_response(&status, StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return Ok(response);
    }
    if ["PATCH", "POST"].contains(&method) && !head.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        let status = Status::invalid_argument("the body is not said to be JSON; send content-type: application/json");
        return Ok(error_response(&status, StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let outcome = match (path, method) {
        ("/emulator/settings", "GET") => Ok(json!(*state.organization.settings())),
        ("/emulator/settings", _) => change_settings(state, &body),
        ("/emulator/clock", _) => parse(&body).map(|change: ClockChange| {
            let ahead = state.organization.advance(change.advance);
            json!({"ahead": ahead.as_secs_f64()})
        }),
        ("/emulator/faults", "GET") => Ok(faults(state)),
        ("/emulator/faults", "DELETE") => {
            *lock(&state.faults) = Faults::default();
            state.issuer.clear_faults();
            Ok(faults(state))
        }
        ("/emulator/faults", _) => parse(&body).and_then(|change| change_faults(state, change)),
        ("/emulator/calls", _) => {
            let calls = lock(&state.log).all();
            // A thousand calls take a while, in which this thread has others to serve.
            let text = tokio::task::spawn_blocking(move || Value::from_iter(calls.iter().map(described)).to_string());
            return Ok(response("application/json", text.await?));
        }
        _ => return Ok(response("text/html; charset=utf-8", page(state))),
    };
    Ok(outcome.map_or_else(|status| refuse(&status), |value| response("application/json", format!("{value:#}\n"))))
}

/// Whether a content type is that of JSON.
fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn response(kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refuse(status: &Status) -> Response<Body> {
    error_response(status, http_status(status.code()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(|error| Status::invalid_argument(format!("the body: {error}")))
}

fn change_settings(state: &State, body: &[u8]) -> Result<Value, Status> {
    let change: Map<String, Value> = parse(body)?;
    state.organization.configure(|settings| {
        let mut value = json!(settings);
        for (name, new) in change {
            value[name] = new;
        }
        let changed = serde_json::from_value(value.clone());
        *settings = changed.map_err(|error| Status::invalid_argument(format!("the settings: {error}")))?;
        Ok(value)
    })
}

fn change_faults(state: &State, change: FaultsChange) -> Result<Value, Status> {
    let mut faults = lock(&state.faults);
    if !faults.has_room(change.next.len()) {
        return Err(Status::resource_exhausted("too many faults wait for calls; DELETE /emulator/faults removes them"));
    }
    if let Some(share) = change.share {
        faults.set_share(share);
    }
    faults.next.extend(change.next);
    drop(faults);
    for FaultAt { hop, fault } in change.hops {
        if !state.issuer.fail_next(hop, fault) {
            return Err(Status::resource_exhausted(
                "too many faults wait at a hop; DELETE /emulator/faults removes them",
            ));
        }
    }
    Ok(self::faults(state))
}

fn faults(state: &State) -> Value {
    let faults = lock(&state.faults);
    json!({"next": faults.next, "share": faults.share()})
}

fn described(call: &Received) -> Value {
    let headers = call.headers.iter();
    let headers = headers.map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    json!({
        "at": Timestamp::from(call.at).to_string(),
        "method": call.method.as_str(),
        "target": call.target,
        "headers": Value::from_iter(headers),
        // A frame is no text.
        "body": (!is_grpc(&call.headers)).then(|| String::from_utf8_lossy(&call.body)),
        "bytes": call.body_len,
        "truncated": call.body_len > call.body.len() as u64,
        "code": call.code.map(code_name),
    })
}
