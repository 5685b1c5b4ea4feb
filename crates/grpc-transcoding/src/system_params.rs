//! Query parameters that belong to the API's front end, not to the request.
//!
//! Source: <https://cloud.google.com/apis/docs/system-parameters>.

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
    /// How the response is written.
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
    /// If a form of response is asked for that is not offered.
    pub fn read(binding: &Binding, query: &Query<'_>, mut write: WriteOptions) -> Result<Self, TranscodeError> {
        let (mut events, mut access_token) = (false, None);
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
                "access_token" | "oauth_token" => access_token = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(Self { write, events, access_token })
    }
}
