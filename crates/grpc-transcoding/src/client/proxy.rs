//! Proxies: which one to go through, and how to ask it for a connection.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, StatusCode, Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::SocksV5},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Service, ServiceExt};

use crate::rpc::chain;

use super::{
    BoxError, ConnectError, Origin,
    connector::{Dialed, tls_failure},
    failure::{Misconfigured, find},
    origin::has_possible_port,
};

/// The largest head of a proxy's response.
const HEAD: usize = 8 * 1024;

/// A proxy, and what it wants to know.
pub(super) struct Proxy {
    /// With the scheme `http` or `https` for an HTTP proxy, `http` for SOCKS.
    address: Uri,
    /// In words, without user and password.
    name: String,
    kind: Kind,
}

enum Kind {
    /// CONNECT, with this header for the user and password.
    Http(Option<HeaderValue>),
    /// SOCKS 5 (RFC 1928), with this user and password. The proxy looks names up.
    Socks(Option<(String, String)>),
}

impl Proxy {
    /// Reads a proxy's URL; `what` is what gave it.
    ///
    /// # Errors
    ///
    /// If it cannot be used. The error does not repeat the URL, which may hold a
    /// password.
    pub(super) fn parse(what: &str, url: &str) -> Result<Self, ConnectError> {
        Self::read(url).ok_or_else(|| {
            ConnectError::new(format!(
                "{what} is not a proxy that can be used; write http://, https:// or socks5://, then \
                 [user:password@]host[:port], with the special characters of user and password percent-encoded"
            ))
        })
    }

    /// The proxy that the environment names for an https origin: `HTTPS_PROXY`, else
    /// `ALL_PROXY`, unless `NO_PROXY` excepts the host. A variable that is empty is as
    /// good as not set.
    ///
    /// # Errors
    ///
    /// If it names one that cannot be used.
    pub(super) fn of_environment(origin: &Origin) -> Result<Option<Self>, ConnectError> {
        let set = |name: &'static str| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?));
        let Some((name, url)) = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().find_map(set)
        else {
            return Ok(None);
        };
        let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(set);
        let no_proxy = no_proxy.map(|(_, hosts)| hosts.to_string_lossy().into_owned()).unwrap_or_default();
        let any = Matcher::builder().https("http://localhost").no(no_proxy).build();
        let target = origin.url(http::uri::PathAndQuery::from_static("/"));
        if target.is_ok_and(|target| any.intercept(&target).is_none()) {
            return Ok(None);
        }
        Self::parse(name, url.to_str().unwrap_or_default()).map(Some)
    }

    fn read(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        // A `/`, `?` or `#` of the password ends the host for a parser, and what comes
        // before it would be asked for a connection.
        let whole = matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/"));
        let one_at = authority.as_str().matches('@').count() < 2;
        if !whole || url.contains('#') || !one_at || authority.host().is_empty() || !has_possible_port(authority) {
            return None;
        }
        let scheme = uri.scheme_str().unwrap_or("http");
        let socks = match scheme {
            "http" | "https" => false,
            "socks5" | "socks5h" => true,
            _ => return None,
        };
        let found: Intercept =
            Matcher::builder().https(url).build().intercept(&Uri::from_static("https://localhost"))?;
        let auth = found.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
        // RFC 1929 has one byte for the length of each.
        if auth.as_ref().is_some_and(|(user, password)| user.len().max(password.len()) > 255) {
            return None;
        }
        let port = uri.port_u16().unwrap_or(match scheme {
            "http" => 80,
            "https" => 443,
            _ => 1080,
        });
        let host = authority.host();
        let dialed = if socks { "http" } else { scheme };
        Some(Self {
            address: format!("{dialed}://{host}:{port}/").parse().ok()?,
            name: format!("the proxy {scheme}://{host}:{port}"),
            kind: if socks { Kind::Socks(auth) } else { Kind::Http(found.basic_auth().cloned()) },
        })
    }
}

/// Opens connections: to a proxy for the target if there is one, else to the target.
#[derive(Clone)]
pub(super) struct Proxied {
    http: HttpConnector,
    /// To the proxy, which may want TLS of its own.
    dial: HttpsConnector<HttpConnector>,
    proxy: Option<Arc<Proxy>>,
    timeout: Duration,
}

impl Proxied {
    /// `tls` has no protocols for ALPN: CONNECT is spoken in HTTP/1.1.
    pub(super) fn new(http: HttpConnector, tls: rustls::ClientConfig, proxy: Option<Proxy>, timeout: Duration) -> Self {
        let dial = HttpsConnector::from((http.clone(), tls));
        Self { http, dial, proxy: proxy.map(Arc::new), timeout }
    }
}

impl Service<Uri> for Proxied {
    type Response = Dialed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Dialed, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.http.call(target);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let (dial, timeout) = (self.dial.clone(), self.timeout);
        Box::pin(async move {
            let name = &proxy.name;
            let connecting = tokio::time::timeout(timeout, proxy.connect(dial, target)).await;
            let failed = match connecting {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => format!("no response within {timeout:?}").into(),
            };
            let failed = tls_failure(name, failed);
            if find::<Misconfigured>(&*failed).is_some() {
                return Err(failed);
            }
            Err(format!("{name}: {}", chain(&*failed)).into())
        })
    }
}

impl Proxy {
    async fn connect(&self, dial: HttpsConnector<HttpConnector>, target: Uri) -> Result<Dialed, BoxError> {
        match &self.kind {
            Kind::Http(auth) => {
                let mut stream = TokioIo::new(dial.oneshot(self.address.clone()).await?);
                self.tunnel(&mut stream, &target, auth.as_ref()).await?;
                Ok(stream.into_inner())
            }
            Kind::Socks(auth) => {
                let mut socks = SocksV5::new(self.address.clone(), dial);
                if let Some((user, password)) = auth {
                    socks = socks.with_auth(user.clone(), password.clone());
                }
                socks.oneshot(target).await.map_err(|error| {
                    let problem = chain(&error);
                    // The crate does not export the type that tells these apart.
                    let refused = ["user/pass", "credentials", "authentication"].iter().any(|it| problem.contains(it));
                    if refused { self.wants_password(&problem).into() } else { problem.into() }
                })
            }
        }
    }

    /// Asks for a tunnel to the target (RFC 9110, section 9.3.6).
    async fn tunnel(
        &self,
        stream: &mut TokioIo<Dialed>,
        target: &Uri,
        auth: Option<&HeaderValue>,
    ) -> Result<(), BoxError> {
        let port = target.port_u16().unwrap_or(if target.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
        let to = format!("{}:{port}", target.host().unwrap_or_default());
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(auth) = auth {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(auth.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece).await? {
                0 => return Err("it closed the connection without a response".into()),
                _ if head.len() > HEAD => return Err("the head of its response is too large".into()),
                len => head.extend_from_slice(&piece[..len]),
            }
        }
        let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| StatusCode::from_bytes(rest.get(2..5)?).ok());
        let Some(status) = status else {
            return Err(Misconfigured(format!("{} does not speak HTTP; check its address", self.name)).into());
        };
        match status.as_u16() {
            200..300 => Ok(()),
            407 => Err(self.wants_password(&format!("HTTP {status}")).into()),
            // These may pass by themselves.
            408 | 425 | 429 => Err(format!("it answered HTTP {status}").into()),
            400..500 => Err(Misconfigured(format!(
                "{} refuses the connection to {to} (HTTP {status}); ask who runs it to allow that, or except the host \
                 in NO_PROXY",
                self.name
            ))
            .into()),
            _ => Err(format!("it answered HTTP {status}").into()),
        }
    }

    fn wants_password(&self, problem: &str) -> Misconfigured {
        let given = match self.kind {
            Kind::Http(None) | Kind::Socks(None) => "wants a user and password",
            _ => "does not take the user and password",
        };
        Misconfigured(format!(
            "{} {given} ({problem}); write those that it takes in its URL: user:password@ before the host, with special \
             characters percent-encoded",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_that_can_be_used_are_taken() {
        for (url, name) in [
            ("http://proxy:3128", "the proxy http://proxy:3128"),
            ("proxy:3128", "the proxy http://proxy:3128"),
            ("http://user:s%40cret@proxy/", "the proxy http://proxy:80"),
            ("https://user:secret@proxy", "the proxy https://proxy:443"),
            ("socks5://user:secret@[::1]", "the proxy socks5://[::1]:1080"),
            ("socks5h://proxy:9050", "the proxy socks5h://proxy:9050"),
        ] {
            assert_eq!(Proxy::parse("HTTPS_PROXY", url).map(|proxy| proxy.name).unwrap(), name);
        }
        for url in [
            "",
            "not a url secret",
            "http://",
            "http://user:secret@proxy:99999",
            "http://user:secret@proxy:0",
            "http://user:secret@proxy:",
            "http://user:sec/ret@proxy:80",
            "http://user:80#secret@proxy",
            "http://user:sec?ret@proxy:80",
            "http://user:sec@ret@proxy:80",
            "http://user:secret@proxy/path",
            "ftp://user:secret@proxy",
            "socks4://user:secret@proxy",
            "socks://user:secret@proxy",
        ] {
            let error = Proxy::parse("HTTPS_PROXY", url).map(|proxy| proxy.name).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY is not a proxy that can be used; write http://"), "{url}: {error}");
            assert!(!error.contains("sec") && !error.contains("ret@"), "{url}: {error}");
        }
    }
}
