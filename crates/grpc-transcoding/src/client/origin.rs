//! Where a service is.

use std::{error::Error, fmt, net::IpAddr, sync::Arc};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// Where a service is: scheme and authority, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is no origin.
#[derive(Clone, Debug)]
pub struct OriginError {
    text: Box<str>,
    problem: &'static str,
    source: Option<Arc<http::uri::InvalidUri>>,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint `{}`: {}", self.text, self.problem)
    }
}

impl Error for OriginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl OriginError {
    /// What is wrong, without the text.
    pub fn problem(&self) -> &'static str {
        self.problem
    }
}

impl Origin {
    /// Parses `https://host[:port]` or `http://host[:port]`.
    ///
    /// # Errors
    ///
    /// If the scheme is another, there is a path, a query or a user, or the port is
    /// not from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let error = |problem| OriginError { text: shown(text).into(), problem, source: None };
        let uri: Uri =
            text.parse().map_err(|source| OriginError { source: Some(Arc::new(source)), ..error("is not a URL") })?;
        let scheme = uri.scheme().filter(|scheme| **scheme == Scheme::HTTPS || **scheme == Scheme::HTTP);
        let scheme = scheme.ok_or(error("must begin with https:// or http://"))?.clone();
        let authority = uri.authority().ok_or(error("has no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(error("must not hold a user or password"));
        }
        if authority.host().is_empty() {
            return Err(error("has no host"));
        }
        if !has_possible_port(&authority) {
            return Err(error("has a port that is not from 1 to 65535"));
        }
        if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/" | "")) {
            return Err(error("must not have a path"));
        }
        Ok(Self { scheme, authority })
    }

    /// Whether a URL is on this origin: what may be sent here may be sent there.
    pub fn is_of(&self, url: &Uri) -> bool {
        let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
        url.scheme() == Some(&self.scheme)
            && url.host().is_some_and(|host| host.eq_ignore_ascii_case(self.host()))
            && port == self.port()
    }

    /// Whether what is sent there stays secret: over TLS, or within the
    /// machine.
    pub fn is_confidential(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        self.scheme == Scheme::HTTPS
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port; the scheme's own where the URL has none.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of a path and query on this origin.
    ///
    /// # Errors
    ///
    /// If they are too long for a URL.
    pub fn url(&self, path_and_query: http::uri::PathAndQuery) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path_and_query);
        Uri::from_parts(parts)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text)
    }
}

/// What an error repeats of an address: no user and password, and nothing that is
/// plainly something else, such as a key.
fn shown(text: &str) -> String {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        _ => text.to_owned(),
    };
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "\"{}\\".contains(letter);
    if shown.len() > 100 || shown.contains(odd) { "…".to_owned() } else { shown }
}

/// Whether an authority has no port, or one that can be connected to. What
/// [`Authority`] cannot read as a port it takes for none, and so for the scheme's own.
pub(super) fn has_possible_port(authority: &Authority) -> bool {
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    match host_and_port.get(authority.host().len()..) {
        Some("") => true,
        Some(port) => {
            let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        assert_eq!(Origin::parse("https://chat.googleapis.com/").unwrap().to_string(), "https://chat.googleapis.com");
        for (text, problem) in [
            ("chat.googleapis.com", "must begin with https:// or http://"),
            ("ftp://a", "must begin with https:// or http://"),
            ("https://a/b", "must not have a path"),
            ("https://a/?b", "must not have a path"),
            ("https://", "is not a URL"),
            ("https://:80", "has no host"),
            ("http://127.0.0.1:99999", "has a port that is not from 1 to 65535"),
            ("http://127.0.0.1:65536", "has a port that is not from 1 to 65535"),
            ("https://[::1]:99999", "has a port that is not from 1 to 65535"),
            ("https://a:0", "has a port that is not from 1 to 65535"),
            ("https://a:", "has a port that is not from 1 to 65535"),
            ("https://a:+80", "has a port that is not from 1 to 65535"),
            ("https://a:http", "has a port that is not from 1 to 65535"),
        ] {
            assert_eq!(Origin::parse(text).unwrap_err().to_string(), format!("endpoint `{text}`: {problem}"));
        }
        for (text, shown) in [
            ("https://u:p@a", "`https://…@a`: must not hold a user or password"),
            ("u:p@a", "`…@a`: must begin with https:// or http://"),
            ("{\"private_key\":\"MIIE\"}", "`…`: is not a URL"),
        ] {
            assert_eq!(Origin::parse(text).unwrap_err().to_string(), format!("endpoint {shown}"));
        }
        assert!(Origin::parse("https://").unwrap_err().source().is_some());
        for text in ["https://a:1", "https://a:65535", "http://[::1]:8080", "http://[::1]"] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_tls_and_loopback_are_confidential() {
        for (text, confidential) in [
            ("https://a", true),
            ("http://a", false),
            ("http://localhost:1", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost.evil", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Origin::parse(text).unwrap().is_confidential(), confidential, "{text}");
        }
    }
}
