//! What a web page may have a browser send to a server on this machine.
//!
//! A browser sends requests for every page that it shows, also to servers that only its own
//! machine can reach. It keeps pages of other origins from reading the responses, but a form or
//! an image is sent without asking, and a page whose host name is made to resolve to
//! 127.0.0.1 ("DNS rebinding") counts as the same origin. [`BrowserGuardLayer`] refuses such
//! requests before they act:
//!
//! - With an `Origin` header: if the origin is neither the server's own nor allowed.
//! - With `Sec-Fetch-Site`: if that is neither `none` nor `same-origin`, and the origin is not
//!   allowed ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/)).
//! - On loopback: if the host that is asked for is neither loopback's nor allowed.
//! - A POST whose body has no content type, which a page can send anywhere; a browser asks the
//!   server before it sends other methods with a body. Where such bodies are allowed, that is
//!   for clients that are no browsers.
//! - A POST that stands for another method by `$httpMethod`, unless its content type is JSON,
//!   which a form cannot send. `X-HTTP-Method-Override` needs no such rule: a browser asks the
//!   server before it sends that header.
//!
//! Clients that are no browsers send neither `Origin` nor `Sec-Fetch-Site`. Of gRPC only the
//! host is looked at: a browser asks before it sends gRPC's content type to another origin,
//! and that question (OPTIONS) is refused. So a gateway may pass on the `Origin` of a page
//! that it allows.

use std::{
    future::{Future, ready},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderName, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::gateway;
use crate::rpc::{header, response};

/// A tower layer that refuses what a web page of another origin has a browser send.
///
/// Put it above everything else that a server answers, also above a layer for CORS: that one
/// decides who may read responses, this one who may send requests.
#[derive(Clone, Debug)]
pub struct BrowserGuardLayer {
    origins: Vec<String>,
    hosts: Vec<String>,
    /// Whether only loopback's names and `hosts` are served.
    named: bool,
    untyped: bool,
}

/// A service behind a [`BrowserGuardLayer`].
#[derive(Clone, Debug)]
pub struct BrowserGuard<S> {
    inner: S,
    rules: Arc<BrowserGuardLayer>,
}

/// By which browsers say for whose page they send a request.
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A request that is refused.
type Refused = (StatusCode, Status);

impl BrowserGuardLayer {
    /// Guards a server that listens at `address`. On loopback, only `localhost`, names that
    /// end so, and loopback's addresses are served.
    pub fn new(address: IpAddr) -> Self {
        Self { origins: Vec::new(), hosts: Vec::new(), named: address.to_canonical().is_loopback(), untyped: false }
    }

    /// Allows pages of another origin, such as `https://app.example.com`; `*` allows all.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Serves another host name, without a port. If the server is not on loopback, that ends
    /// its serving any name: only loopback's and the allowed ones are served then.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self.named = true;
        self
    }

    /// Sets whether the body of a POST is taken that has no `content-type`. By default it is
    /// refused with HTTP 415, and always if a browser says that it sent the request, by
    /// `Origin` or `Sec-Fetch-Site`.
    #[must_use]
    pub fn allow_missing_content_type(mut self, allow: bool) -> Self {
        self.untyped = allow;
        self
    }

    fn check(&self, head: &Parts, has_body: bool) -> Result<(), Refused> {
        self.check_host(head)?;
        if header::is_grpc(&head.headers) {
            return Ok(());
        }
        self.check_origin(head)?;
        let kind = head.headers.get(CONTENT_TYPE);
        let by_browser = head.headers.contains_key(ORIGIN) || head.headers.contains_key(&FETCH_SITE);
        if has_body && kind.is_none() && head.method == Method::POST && (!self.untyped || by_browser) {
            let problem = "the body has no content type; send the header `content-type: application/json`";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)));
        }
        let overridden = head.method == Method::POST && gateway::method_parameter(&head.uri).is_some();
        if overridden && !kind.is_some_and(header::is_json) {
            let problem = "$httpMethod needs `content-type: application/json`; the header X-HTTP-Method-Override \
                           works with any";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)));
        }
        Ok(())
    }

    fn check_host(&self, head: &Parts) -> Result<(), Refused> {
        if !self.named {
            return Ok(());
        }
        let refused = |host: &str| {
            let problem = format!(
                "the host `{host}` is not served here; ask for localhost, or have the server allow this host name"
            );
            (StatusCode::MISDIRECTED_REQUEST, Status::permission_denied(problem))
        };
        for host in hosts(head) {
            let Ok(authority) = host else { return Err(refused("")) };
            let name = authority.host().trim_end_matches('.');
            let allowed = self.hosts.iter().any(|one| one.eq_ignore_ascii_case(name));
            if !allowed && !is_loopback(name) {
                return Err(refused(name));
            }
        }
        Ok(())
    }

    fn check_origin(&self, head: &Parts) -> Result<(), Refused> {
        let refused = |problem: String| (StatusCode::FORBIDDEN, Status::permission_denied(problem));
        let any = self.origins.iter().any(|one| one == "*");
        let mut allowed = any;
        for origin in head.headers.get_all(ORIGIN) {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            if any || self.origins.iter().any(|one| one.eq_ignore_ascii_case(&origin)) {
                allowed = true;
            } else if !is_own(&origin, head) {
                let problem = format!("pages of the origin `{origin}` may not send requests here");
                return Err(refused(problem));
            }
        }
        let sites = head.headers.get_all(&FETCH_SITE);
        if !allowed && sites.iter().any(|site| !["none", "same-origin"].iter().any(|own| site == own)) {
            let problem = "a browser sent this for a page of another site; open the address itself";
            return Err(refused(problem.to_owned()));
        }
        Ok(())
    }
}

/// The hosts that a request asks for: HTTP/2's `:authority`, and the `host` headers.
fn hosts(head: &Parts) -> impl Iterator<Item = Result<Authority, http::uri::InvalidUri>> {
    let named = head.headers.get_all(HOST).into_iter().map(|host| Authority::try_from(host.as_bytes()));
    head.uri.authority().cloned().map(Ok).into_iter().chain(named)
}

fn is_loopback(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    let address = address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    address || name == "localhost" || name.ends_with(".localhost")
}

/// Whether an origin is that of the server, by the host that was asked for.
fn is_own(origin: &str, head: &Parts) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Ok(authority) = Authority::try_from(authority) else { return false };
    let usual = if scheme == "https" { 443 } else { 80 };
    let same = |host: &Authority| {
        host.host().eq_ignore_ascii_case(authority.host())
            && host.port_u16().unwrap_or(usual) == authority.port_u16().unwrap_or(usual)
    };
    let mut hosts = hosts(head).peekable();
    hosts.peek().is_some() && hosts.all(|host| host.is_ok_and(|host| same(&host)))
}

impl<S> Layer<S> for BrowserGuardLayer {
    type Service = BrowserGuard<S>;

    fn layer(&self, inner: S) -> BrowserGuard<S> {
        BrowserGuard { inner, rules: Arc::new(self.clone()) }
    }
}

impl<S, B> Service<Request<B>> for BrowserGuard<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        match self.rules.check(&head, !body.is_end_stream()) {
            Ok(()) => Box::pin(self.inner.call(Request::from_parts(head, body))),
            Err((_, status)) if header::is_grpc(&head.headers) => Box::pin(ready(Ok(status.into_http()))),
            Err((http, status)) => Box::pin(ready(Ok(response::error_response(&status, http)))),
        }
    }
}
