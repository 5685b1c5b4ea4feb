//! AWS's part in the security token service: a signed request to `GetCallerIdentity`, whose
//! signature is checked here, with the one key that the emulator's AWS has.
//!
//! Source: "Create a signed AWS API request" (Signature Version 4) of AWS's documentation.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use ring::{digest, hmac};
use serde_json::Value;

/// The key of the emulator's AWS. It opens nothing else.
const KEY_ID: &str = "AKIDEMULATOR";
const SECRET: &str = "emulator-aws-secret";
const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/emulator";

/// Who has signed a request.
///
/// # Errors
///
/// If the request is not the right one, or its signature is not.
pub(super) fn subject(token: &str, audience: &str, now: SystemTime) -> Result<String, String> {
    let malformed = || "The AWS request is malformed.".to_owned();
    // A JSON object, encoded as a part of a URL.
    let encoded = format!("a={}", token.replace('+', "%2B"));
    let json = form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, json)| json.into_owned()).unwrap_or_default();
    let request: Value =
        serde_json::from_str(if token.starts_with('{') { token } else { &json }).map_err(|_| malformed())?;
    let mut headers: Vec<(String, &str)> = Vec::new();
    for header in request["headers"].as_array().ok_or_else(malformed)? {
        let (name, value) = header["key"].as_str().zip(header["value"].as_str()).ok_or_else(malformed)?;
        headers.push((name.to_ascii_lowercase(), value));
    }
    let header = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| *value);
    let url: http::Uri = request["url"].as_str().unwrap_or_default().parse().map_err(|_| malformed())?;
    let host = url.host().unwrap_or_default();
    if request["method"] != "POST" || header("host") != Some(host) || !host.ends_with(".amazonaws.com") {
        return Err(malformed());
    }
    if header("x-goog-cloud-target-resource") != Some(audience) {
        return Err("The AWS request is for another audience.".to_owned());
    }
    let time = header("x-amz-date").ok_or_else(malformed)?;
    if !is_timely(time, now) {
        return Err("The AWS request has expired.".to_owned());
    }
    let authorization = header("authorization").and_then(|text| text.strip_prefix("AWS4-HMAC-SHA256 "));
    let mut parts = authorization.ok_or_else(malformed)?.split(',').map(str::trim);
    let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or_else(malformed);
    let (credential, names, signature) = (part("Credential=")?, part("SignedHeaders=")?, part("Signature=")?);
    let (id, scope) = credential.split_once('/').ok_or_else(malformed)?;
    let signed: Option<Vec<String>> =
        names.split(';').map(|name| header(name).map(|value| format!("{name}:{}\n", value.trim()))).collect();
    let signed = signed.ok_or_else(malformed)?;
    // To sign the audience is recommended, and Google's clients do not.
    let is_signed = |name: &str| names.split(';').any(|one| one == name);
    if id != KEY_ID || !is_signed("host") || !is_signed("x-amz-date") {
        return Err("The security token included in the AWS request is invalid.".to_owned());
    }
    let mut query: Vec<&str> = url.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let path = if url.path().is_empty() { "/" } else { url.path() };
    let canonical = format!("POST\n{path}\n{}\n{}\n{names}\n{}", query.join("&"), signed.concat(), sha256(b""));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let secret = format!("AWS4{SECRET}").into_bytes();
    let key = scope.split('/').fold(secret, |key, part| mac(&key, part.as_bytes()).as_ref().to_vec());
    if hex(mac(&key, text.as_bytes()).as_ref()) != signature {
        return Err("The signature of the AWS request does not match.".to_owned());
    }
    Ok(ROLE.to_owned())
}

/// Whether a time of the form `20150830T123600Z` is within a quarter of an hour.
fn is_timely(time: &str, now: SystemTime) -> bool {
    let digits = |from: usize, to: usize| time.get(from..to).unwrap_or_default();
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0, 4),
        digits(4, 6),
        digits(6, 8),
        digits(9, 11),
        digits(11, 13),
        digits(13, 15)
    );
    let time = text.parse::<Timestamp>().ok().and_then(|time| SystemTime::try_from(time).ok());
    time.is_some_and(|time| {
        [now, SystemTime::now()].iter().any(|now| {
            let apart = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
            apart < Duration::from_secs(900)
        })
    })
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
