//! The one connector under both wires, and where it connects to.

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::BoxError;

/// Opens connections: TLS by rustls with the system's roots for https, plain
/// for http.
pub type Connector = HttpsConnector<Proxied>;

/// How long connecting may take, to a server or by way of a proxy.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens TCP connections, those for https through the proxy that the environment
/// names (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`; with user and password in the
/// URL), by CONNECT. Plain http is for loopback, and goes there by itself.
#[derive(Clone, Debug)]
pub struct Proxied {
    http: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Proxied {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let proxy = match target.scheme() == Some(&Scheme::HTTPS) {
            true => self.proxies.intercept(&target),
            false => None,
        };
        let Some(proxy) = proxy else {
            let connecting = self.http.call(target);
            return Box::pin(async move { connecting.await.map_err(Into::into) });
        };
        let at = proxy.uri().clone();
        let mut tunnel = Tunnel::new(at.clone(), self.http.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Box::pin(async move {
            let connecting = tokio::time::timeout(CONNECT, tunnel.oneshot(target)).await;
            let problem = match connecting {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => super::chain(&error),
                Err(_) => format!("no answer within {CONNECT:?}"),
            };
            // Without the user and password that the environment may give it.
            let (host, port) =
                (at.host().unwrap_or_default(), at.port_u16().map_or(String::new(), |port| format!(":{port}")));
            Err(format!("the proxy {host}{port}: {problem}").into())
        })
    }
}

/// Where a service is: scheme and authority, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: http::uri::Authority,
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    text: Box<str>,
    problem: &'static str,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint `{}`: {}", self.text, self.problem)
    }
}

impl std::error::Error for OriginError {}

impl Origin {
    /// Parses `https://host[:port]` or `http://host[:port]`.
    ///
    /// # Errors
    ///
    /// If the scheme is another, or there is a path, a query or a user.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        // A user and password in it are not repeated in an error.
        let shown = match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
            _ => text.to_owned(),
        };
        let error = |problem| OriginError { text: shown.as_str().into(), problem };
        let uri: Uri = text.parse().map_err(|_| error("is not a URL"))?;
        let scheme = uri.scheme().filter(|scheme| **scheme == Scheme::HTTPS || **scheme == Scheme::HTTP);
        let scheme = scheme.ok_or(error("must begin with https:// or http://"))?.clone();
        let authority = uri.authority().ok_or(error("has no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(error("must not hold a user or password"));
        }
        if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/" | "")) {
            return Err(error("must not have a path"));
        }
        Ok(Self { scheme, authority })
    }

    /// Whether what is sent there stays secret: over TLS, or within the
    /// machine.
    pub fn is_confidential(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        self.scheme == Scheme::HTTPS
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of a path and query on this origin.
    pub(crate) fn url(&self, path_and_query: http::uri::PathAndQuery) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
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

/// Why no connector could be made: the system's certificates cannot be read.
#[derive(Debug)]
pub struct ConnectError(std::io::Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system's root certificates cannot be read; install the package ca-certificates: {}", self.0)
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Makes the connector for an origin. Only https needs certificates, so that
/// plain http works on a machine that has none. Proxies are those of the
/// environment, as it is now.
///
/// # Errors
///
/// If the origin is https and the system has no root certificates.
pub fn connector(origin: &Origin) -> Result<Connector, ConnectError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let proxied = Proxied { http, proxies: Arc::new(Matcher::from_env()) };
    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = if origin.is_https() {
        builder.with_provider_and_native_roots(rustls::crypto::ring::default_provider()).map_err(ConnectError)?
    } else {
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError(std::io::Error::other(error)))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_all_versions().wrap_connector(proxied))
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
        ] {
            assert_eq!(Origin::parse(text).unwrap_err().to_string(), format!("endpoint `{text}`: {problem}"));
        }
        let error = Origin::parse("https://u:p@a").unwrap_err().to_string();
        assert_eq!(error, "endpoint `https://…@a`: must not hold a user or password");
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
