//! Requests to the servers of identities, and what these answer.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

/// A request that came whole.
pub(crate) struct Asked<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The emulator, as clients may have named it: `http://127.0.0.1:8086`.
    pub(crate) bases: &'a [String],
}

/// An answer: an HTTP status, headers, and a body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Asked<'_> {
    /// A field of the form in the body.
    pub(super) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        field(self.body, name)
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        field(self.query.as_bytes(), name)
    }

    /// The access token that the request came with.
    pub(super) fn bearer(&self) -> Option<&str> {
        let header = self.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }
}

fn field<'f>(form: &'f [u8], name: &str) -> Option<Cow<'f, str>> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

impl Reply {
    pub(super) fn json(body: &Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: body.to_string() }
    }

    pub(super) fn text(body: impl Into<String>) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/text".to_owned())], body: body.into() }
    }

    /// An error of OAuth 2.0 (RFC 6749, section 5.2).
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self { status, ..Self::json(&json!({"error": error, "error_description": description})) }
    }

    /// An error of Google's APIs (AIP-193), with the reason of its ErrorInfo.
    pub(super) fn api(status: u16, code: &str, message: &str, reason: Option<(&str, &str)>) -> Self {
        let mut error = json!({"code": status, "message": message, "status": code});
        if let Some((reason, domain)) = reason {
            let kind = "type.googleapis.com/google.rpc.ErrorInfo";
            error["details"] = json!([{"@type": kind, "reason": reason, "domain": domain}]);
        }
        Self { status, ..Self::json(&json!({ "error": error })) }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
