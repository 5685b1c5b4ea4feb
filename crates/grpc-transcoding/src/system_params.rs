//! Query parameters that belong to the API's front end, not to the request.
//!
//! Source: <https://cloud.google.com/apis/docs/system-parameters>.

use http::HeaderName;
use protojson::WriteOptions;

use crate::{Binding, Query, TranscodeError};

/// System parameters that [`SystemParams`] does not read are ignored.
///
/// `callback` asks for JSONP: a response as a script that calls a function. It is passed
/// over as well, and the response is JSON, since any web page can read a script.
const KNOWN: [&str; 18] = [
    "alt",
    "$alt",
    "prettyPrint",
    "$prettyPrint",
    "fields",
    "$fields",
    "key",
    "$key",
    "access_token",
    "oauth_token",
    "callback",
    "$callback",
    "quotaUser",
    "userProject",
    "$.xgafv",
    "$httpMethod",
    "uploadType",
    "upload_protocol",
];

pub(crate) fn is_known(key: &str) -> bool {
    KNOWN.contains(&key)
}

/// What the system parameters of a request ask for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SystemParams {
    /// How the response is written, and with which of its fields: `fields`.
    pub write: WriteOptions,
    /// `alt=sse`: a stream as server-sent events.
    pub events: bool,
    /// `access_token` or `oauth_token`: the caller's, in place of the `authorization`
    /// header.
    pub access_token: Option<String>,
}

impl SystemParams {
    /// Reads them, over what the server does by itself. A field of the request comes before
    /// a system parameter of its name.
    ///
    /// # Errors
    ///
    /// If a form of response is asked for that is not offered, or a field that the response
    /// does not have.
    pub fn read(binding: &Binding, query: &Query<'_>, mut write: WriteOptions) -> Result<Self, TranscodeError> {
        let (mut events, mut access_token, mut fields) = (false, None, String::new());
        for (key, value) in query.pairs() {
            if !is_known(key) || binding.query_field(key).is_some() {
                continue;
            }
            match key {
                "prettyPrint" | "$prettyPrint" => write.indent = (value == "true").then_some(2),
                "alt" | "$alt" => {
                    let mut parts = value.split(';');
                    match parts.next() {
                        Some("json") => {}
                        Some("media") if binding.gives_http_body() => {}
                        Some("sse") => events = true,
                        _ => {
                            let problem = format!("`{key}={value}` is not offered; ask for json or sse");
                            return Err(TranscodeError::request(problem));
                        }
                    }
                    write.enums_as_integers |= parts.any(|part| part == "enum-encoding=int");
                }
                // An empty one asks for all fields.
                "fields" | "$fields" if !value.trim().is_empty() => {
                    fields.push_str(if fields.is_empty() { "" } else { "," });
                    fields.push_str(value);
                }
                "access_token" | "oauth_token" => access_token = Some(value.to_owned()),
                _ => {}
            }
        }
        if !fields.is_empty() {
            write.fields = Some(binding.select("fields", &fields)?);
        }
        Ok(Self { write, events, access_token })
    }

    /// Reads those that come as headers: `X-Goog-FieldMask`, which says the same as `fields`
    /// in the query, and is passed over where that is there.
    ///
    /// # Errors
    ///
    /// If the response does not have one of the fields.
    pub fn read_headers(&mut self, binding: &Binding, headers: &http::HeaderMap) -> Result<(), TranscodeError> {
        static MASK: HeaderName = HeaderName::from_static("x-goog-fieldmask");
        if self.write.fields.is_some() || !headers.contains_key(&MASK) {
            return Ok(());
        }
        let mask: Vec<_> = headers.get_all(&MASK).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let mask = mask.join(",");
        if !mask.trim().is_empty() {
            self.write.fields = Some(binding.select("X-Goog-FieldMask", &mask)?);
        }
        Ok(())
    }
}
