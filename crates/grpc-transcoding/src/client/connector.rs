//! The one connector under gRPC and HTTP/JSON.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioIo,
};
use rustls::{
    AlertDescription, CertificateError, InvalidMessage,
    pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, pem::PemObject},
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::{
    BoxError, BoxFuture, Origin,
    failure::{Misconfigured, find},
    proxy::{Proxied, Proxy},
};

/// How long connecting may take by default, with TLS and by way of a proxy.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to a server or to a proxy, with TLS or without.
pub(super) type Dialed = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection to the origin, with TLS or without, by way of a proxy or not.
#[derive(Debug)]
pub struct Connection(MaybeHttpsStream<Dialed>);

impl hyper::rt::Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

impl legacy::connect::Connection for Connection {
    fn connected(&self) -> legacy::connect::Connected {
        self.0.connected()
    }
}

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
    timeout: Duration,
    /// A connection that was opened to see what it speaks, for the first who asks.
    kept: Mutex<Option<Connection>>,
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

    /// Whether the server at the origin chose HTTP/2 in the TLS handshake (ALPN, RFC
    /// 7301). The connection is kept for the first call.
    ///
    /// # Errors
    ///
    /// If there is no connection to be had.
    pub(crate) async fn speaks_h2(&self) -> Result<bool, BoxError> {
        let origin = self.shared.origin.url(http::uri::PathAndQuery::from_static("/"))?;
        let stream = self.clone().oneshot(origin).await?;
        let h2 = stream.alpn() == Some(b"h2");
        *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        Ok(h2)
    }

    /// The same connector for who speaks HTTP/2 only.
    pub(super) fn h2_only(mut self) -> Self {
        self.h2_only = true;
        self
    }
}

impl Connection {
    /// The protocol that TLS agreed on, if there is one.
    fn alpn(&self) -> Option<&[u8]> {
        match &self.0 {
            MaybeHttpsStream::Http(_) => None,
            MaybeHttpsStream::Https(stream) => stream.inner().get_ref().1.alpn_protocol(),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = BoxFuture<Result<Connection, BoxError>>;

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
                None => tokio::time::timeout(shared.timeout, connecting)
                    .await
                    .map_err(|_| format!("no connection within {:?}", shared.timeout))?
                    .map(Connection)
                    .map_err(|error| tls_failure(&shared.origin.to_string(), error))?,
            };
            match stream.alpn() {
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
            format!("the server at {peer} does not speak TLS; if that is intended, use {plain}")
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
    identity: Option<(Vec<u8>, Vec<u8>)>,
    tls: Option<rustls::ClientConfig>,
    proxy: Option<String>,
    timeout: Option<Duration>,
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

    /// Shows servers that ask for one a certificate with its chain, and signs with its key
    /// (both PEM).
    #[must_use]
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Self {
        self.identity = Some((chain.to_vec(), key.to_vec()));
        self
    }

    /// Sets the whole configuration of TLS: with another provider of cryptography, with
    /// other roots than the system's, or with a certificate of the client's own. The
    /// certificates of [`ConnectorBuilder::root_certificates`] and
    /// [`ConnectorBuilder::client_certificate`] do not count then, and the protocols that TLS agrees on (ALPN) are set here, whatever the configuration says.
    ///
    /// ```
    /// use grpc_transcoding::{client::{Connector, Origin}, rustls};
    ///
    /// let roots = rustls::RootCertStore::empty(); // the certificates of your own authority
    /// let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_no_client_auth();
    /// let connector = Connector::builder().tls_config(tls).build(&Origin::parse("https://library.example")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tls_config(mut self, mut config: rustls::ClientConfig) -> Self {
        config.alpn_protocols.clear();
        self.tls = Some(config);
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

    /// Sets how long connecting may take, with TLS and by way of a proxy. The default is 10
    /// seconds.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Makes the connector for an origin. Only https needs certificates, so that
    /// plain http works on a machine that has none.
    ///
    /// # Errors
    ///
    /// If the origin is https and there are no root certificates, or some are given
    /// that cannot be read; if the client's certificate and its key are not each other's; or
    /// if the proxy is none that can be used.
    pub fn build(&self, origin: &Origin) -> Result<Connector, ConnectError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let timeout = self.timeout.unwrap_or(CONNECT);
        http.set_connect_timeout(Some(timeout));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let proxy = match &self.proxy {
            Some(url) => Some(Proxy::parse("the proxy", url)?).filter(|_| origin.is_https()),
            // Plain http is for loopback, and goes there by itself.
            None if origin.is_https() => Proxy::of_environment(origin)?,
            None => None,
        };
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => {
                let roots = if origin.is_https() { self.roots()? } else { rustls::RootCertStore::empty() };
                let builder =
                    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                        .with_safe_default_protocol_versions()
                        .map_err(|error| ConnectError::caused_by(error.to_string(), error))?
                        .with_root_certificates(roots);
                match &self.identity {
                    None => builder.with_no_client_auth(),
                    Some((chain, key)) => {
                        let unusable = "the client's certificate or its key cannot be used";
                        // As above: the parser's errors may show the key.
                        let no_pem = |_| ConnectError::new(format!("{unusable}: it is not PEM"));
                        let chain: Result<_, _> = CertificateDer::pem_slice_iter(chain).collect();
                        let key = PrivateKeyDer::from_pem_slice(key).map_err(no_pem)?;
                        builder
                            .with_client_auth_cert(chain.map_err(no_pem)?, key)
                            .map_err(|error| ConnectError::caused_by(format!("{unusable}: {error}"), error))?
                    }
                }
            }
        };
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Proxied::new(http, config, proxy, timeout));
        let shared = Shared { origin: origin.clone(), tls, timeout, kept: Mutex::default() };
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
            let unusable = "a root certificate cannot be used";
            let certificate = certificate.map_err(|_| ConnectError::new(format!("{unusable}: it is not PEM")))?;
            roots.add(certificate).map_err(|error| ConnectError::caused_by(format!("{unusable}: {error}"), error))?;
        }
        if roots.is_empty() {
            let causes: String = system.errors.iter().map(|error| format!(": {}", crate::rpc::chain(error))).collect();
            let message =
                format!("the system's root certificates cannot be read; install the package ca-certificates{causes}");
            return Err(match system.errors.into_iter().next() {
                Some(error) => ConnectError::caused_by(message, error),
                None => ConnectError::new(message),
            });
        }
        Ok(roots)
    }
}

/// Why no connector could be made: for want of root certificates, or of a proxy
/// that can be used.
#[derive(Debug)]
pub struct ConnectError {
    message: String,
    source: Option<BoxError>,
}

impl ConnectError {
    pub(super) fn new(message: String) -> Self {
        Self { message, source: None }
    }

    fn caused_by(message: String, source: impl Into<BoxError>) -> Self {
        Self { message, source: Some(source.into()) }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Makes the usual connector for an origin: the system's certificates, and the
/// proxies of the environment as it is now.
///
/// # Errors
///
/// As [`ConnectorBuilder::build`].
pub fn connector(origin: &Origin) -> Result<Connector, ConnectError> {
    Connector::builder().build(origin)
}
