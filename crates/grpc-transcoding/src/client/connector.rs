//! The one connector under both wires, and where it connects to.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{
    AlertDescription, CertificateError, InvalidMessage,
    pki_types::{CertificateDer, InvalidDnsNameError, pem::PemObject},
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::{
    BoxError,
    proxy::{Proxied, Proxy},
};

/// How long connecting may take, with TLS and by way of a proxy.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// A connection to a server or to a proxy, with TLS or without.
pub(super) type Dialed = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection to the origin, with TLS or without, by way of a proxy or not.
type Stream = MaybeHttpsStream<Dialed>;

/// Opens connections to one origin: TLS by rustls with the system's roots for
/// https, plain for http. Clones are the same connector.
#[derive(Clone)]
pub struct Connector {
    // hyper-util clones its client, and the connector with it, for each request.
    shared: Arc<Shared>,
    h2_only: bool,
}

struct Shared {
    origin: Origin,
    tls: HttpsConnector<Proxied>,
    /// A connection that was opened to see what it speaks, for the first who asks.
    kept: Mutex<Option<Stream>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("origin", &self.shared.origin)
            .field("h2_only", &self.h2_only)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Begins to make a connector that is not the usual one; [`connector`] makes
    /// that.
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder::default()
    }

    /// Whether what answers at the origin chose HTTP/2 in the TLS handshake (ALPN, RFC
    /// 7301). The connection is kept for the first call.
    ///
    /// # Errors
    ///
    /// If there is no connection to be had.
    pub(crate) async fn speaks_h2(&self) -> Result<bool, BoxError> {
        let origin = self.shared.origin.url(http::uri::PathAndQuery::from_static("/"))?;
        let stream = self.clone().oneshot(origin).await?;
        let h2 = alpn(&stream) == Some(b"h2");
        *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        Ok(h2)
    }

    /// The same connector for who speaks HTTP/2 only.
    pub(super) fn h2_only(mut self) -> Self {
        self.h2_only = true;
        self
    }
}

/// What TLS agreed on, if it did.
fn alpn(stream: &Stream) -> Option<&[u8]> {
    match stream {
        MaybeHttpsStream::Http(_) => None,
        MaybeHttpsStream::Https(stream) => stream.inner().get_ref().1.alpn_protocol(),
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The connectors below are ready at all times; what is called is a clone.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        // The certificates, the proxy and the kept connection are all the origin's.
        if !shared.origin.is_of(&target) {
            let problem = format!("the connector is made for {}, and not for {target}", shared.origin);
            return Box::pin(std::future::ready(Err(Misconfigured(problem).into())));
        }
        let kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let h2_only = self.h2_only;
        let connecting = shared.tls.clone().call(target);
        Box::pin(async move {
            let stream = match kept {
                Some(stream) => stream,
                None => tokio::time::timeout(CONNECT, connecting)
                    .await
                    .map_err(|_| format!("no connection within {CONNECT:?}"))?
                    .map_err(|error| tls_failure(&shared.origin.to_string(), error))?,
            };
            match alpn(&stream) {
                Some(other) if h2_only && other != b"h2" => {
                    let other = String::from_utf8_lossy(other);
                    Err(Misconfigured(format!(
                        "gRPC needs HTTP/2, and the server, or a proxy in between, chose {other}: try the HTTP/JSON \
                         wire"
                    ))
                    .into())
                }
                _ => Ok(stream),
            }
        })
    }
}

/// Why there can be no connection until somebody mends something: the server, the
/// network in between, or the settings here. To try again does not help.
#[derive(Debug)]
pub(super) struct Misconfigured(pub(super) String);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misconfigured {}

/// Finds an error of a type among an error and its causes.
pub(super) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // What an io::Error was made of is not among its sources; only the causes of that are.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => find(inner),
        None => error.source().and_then(find),
    }
}

/// What a failure to connect to `peer` is: a [`Misconfigured`] with what to do where
/// TLS can never succeed, else the error as it came.
pub(super) fn tls_failure(peer: &str, error: BoxError) -> BoxError {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented, PeerIncompatible};
    if find::<InvalidDnsNameError>(&*error).is_some() {
        return Misconfigured(format!("{peer} has a name that no certificate can be for; check the address")).into();
    }
    let Some(problem) = find::<rustls::Error>(&*error) else { return error };
    let certificate = |what: &str, mend: &str| format!("the certificate of {peer} {what} ({problem}); {mend}");
    Misconfigured(match problem {
        InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                certificate("has expired", "have it renewed, or set this machine's clock")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                certificate("is not valid yet", "set this machine's clock")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                certificate("is for another name", "use a name that it is for, or have one made for this name")
            }
            // The last two are of an issuer whose name is trusted, with another key.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => certificate(
                "is by an issuer that is not trusted here",
                "if it is the right one, as with a proxy that opens TLS or a test server, add its issuer's certificate \
                 to the system's, or name a file with both in SSL_CERT_FILE",
            ),
            _ => certificate("cannot be used", "have another one made"),
        },
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => {
            let plain = peer.replacen("https://", "http://", 1);
            format!("what answers at {peer} does not speak TLS; if it is to be without, try {plain}")
        }
        AlertReceived(AlertDescription::NoApplicationProtocol) => {
            format!("{peer} speaks neither HTTP/2 nor HTTP/1.1 over TLS ({problem}); check the address")
        }
        AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::UnrecognisedName
            | AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::AccessDenied,
        )
        | PeerIncompatible(_)
        | NoCertificatesPresented => {
            format!("{peer} and this client find no TLS that suits both ({problem}); ask who runs it what it wants")
        }
        _ => return error,
    })
    .into()
}

/// Makes a [`Connector`].
#[derive(Clone, Default)]
pub struct ConnectorBuilder {
    roots: Vec<u8>,
    proxy: Option<String>,
}

impl fmt::Debug for ConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("ConnectorBuilder").field("proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

impl ConnectorBuilder {
    /// Trusts more certificates (PEM) beside the system's: those of a proxy that
    /// ends TLS, or of a test server. May be called several times.
    #[must_use]
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        self.roots.extend_from_slice(pem);
        self.roots.push(b'\n');
        self
    }

    /// Goes through this proxy to every https address, in place of the one that the
    /// environment names: `http://`, `https://` or `socks5://`, then
    /// `[user:password@]host[:port]`.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Makes the connector for an origin. Only https needs certificates, so that
    /// plain http works on a machine that has none.
    ///
    /// # Errors
    ///
    /// If the origin is https and there are no root certificates, or some are given
    /// that cannot be read; or if the proxy is none that can be used.
    pub fn build(&self, origin: &Origin) -> Result<Connector, ConnectError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let proxy = match &self.proxy {
            Some(url) => Some(Proxy::parse("the proxy", url)?).filter(|_| origin.is_https()),
            // Plain http is for loopback, and goes there by itself.
            None if origin.is_https() => Proxy::of_environment(origin)?,
            None => None,
        };
        let roots = if origin.is_https() { self.roots()? } else { rustls::RootCertStore::empty() };
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Proxied::new(http, config, proxy));
        let shared = Shared { origin: origin.clone(), tls, kept: Mutex::default() };
        Ok(Connector { shared: Arc::new(shared), h2_only: false })
    }

    /// The certificates that are trusted: the system's, as far as they can be
    /// read, and those given.
    fn roots(&self) -> Result<rustls::RootCertStore, ConnectError> {
        let mut roots = rustls::RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        for certificate in CertificateDer::pem_slice_iter(&self.roots) {
            // The parser's own error repeats what it was given, which may be a key.
            let added = certificate.map_err(|_| "it is not PEM".to_owned());
            let added = added.and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
            added.map_err(|error| ConnectError(format!("a root certificate cannot be used: {error}")))?;
        }
        if roots.is_empty() {
            let causes: String = system.errors.iter().map(|error| format!(": {}", crate::rpc::chain(error))).collect();
            return Err(ConnectError(format!(
                "the system's root certificates cannot be read; install the package ca-certificates{causes}"
            )));
        }
        Ok(roots)
    }
}

/// Where a service is: scheme and authority, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
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

impl Error for OriginError {}

impl OriginError {
    /// What is wrong, without the text.
    pub fn problem(&self) -> &'static str {
        self.problem
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

impl Origin {
    /// Parses `https://host[:port]` or `http://host[:port]`.
    ///
    /// # Errors
    ///
    /// If the scheme is another, there is a path, a query or a user, or the port is
    /// not from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let error = |problem| OriginError { text: shown(text).into(), problem };
        let uri: Uri = text.parse().map_err(|_| error("is not a URL"))?;
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

    /// Whether a URL is on this origin.
    fn is_of(&self, url: &Uri) -> bool {
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
    pub(crate) fn url(&self, path_and_query: http::uri::PathAndQuery) -> Result<Uri, http::uri::InvalidUriParts> {
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

/// Why no connector could be made: for want of root certificates, or of a proxy
/// that can be used.
#[derive(Debug)]
pub struct ConnectError(pub(super) String);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConnectError {}

/// Makes the usual connector for an origin: the system's certificates, and the
/// proxies of the environment as it is now.
///
/// # Errors
///
/// As [`ConnectorBuilder::build`].
pub fn connector(origin: &Origin) -> Result<Connector, ConnectError> {
    Connector::builder().build(origin)
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
