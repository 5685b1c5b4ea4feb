//! From a stub to a REST API.

use std::{
    borrow::Cow,
    convert::Infallible,
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    response::Parts,
};
use http_body_util::Full;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::Service;
use tracing::Span;

use super::{
    BoxError, Broken, Origin,
    failure::unsent,
    grpc_body::{GrpcBodyFromJson, read},
};
use protojson::{DescriptorPool, JsonMapping};

use crate::{
    Binding, HttpPayload, HttpRequest, HttpRules, MethodBindings, Options,
    rpc::{
        BoxFuture, CollectError, MESSAGE_LIMIT, MaybeSend, chain, collect,
        deadline::{Deadline, parse_timeout},
        frame, gzip, header,
        metadata::{mend, metadata},
        response::{self, GRPC_ENCODING, GRPC_TIMEOUT},
        status,
    },
    rules::NoBindings,
};

#[cfg(not(target_family = "wasm"))]
use super::{Connector, PooledClient};

#[cfg(not(target_family = "wasm"))]
type DefaultClient = PooledClient;
/// On WebAssembly there are no sockets, and so no client of our own.
#[cfg(target_family = "wasm")]
type DefaultClient = Infallible;

/// The metadata of a failed call that says which HTTP status the response had. Over gRPC
/// it is there only if the response was not gRPC.
pub const HTTP_STATUS: &str = "http-status";

/// A tower service that goes under a generated tonic stub and sends its calls
/// as HTTP/JSON, by the `google.api.http` rules of the stub's own protos.
///
/// It is generic over the HTTP service that does the sending: anything that
/// takes an `http::Request<Full<Bytes>>`.
///
/// On WebAssembly there are no sockets, so that it is built over such a service
/// ([`HttpJsonBuilder::build_over`]), whose futures need not be `Send`. In a browser there is
/// no timer either: the server is told a call's deadline, and whoever wants it held there
/// holds it in the service.
///
/// Every failure is a gRPC status. One that the server reports has the code,
/// message and details that it would have over gRPC.
#[derive(Clone)]
pub struct HttpJson<S = DefaultClient> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    rules: HttpRules,
    origin: Origin,
    limit: usize,
    options: Options,
}

/// Builds an [`HttpJson`].
#[derive(Debug)]
pub struct HttpJsonBuilder {
    rules: HttpRules,
    origin: String,
    limit: usize,
    options: Options,
}

/// Why an [`HttpJson`] cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not a URL of the kind that is needed.
    Origin(super::OriginError),
    /// The system's certificates cannot be read.
    #[cfg(not(target_family = "wasm"))]
    Connect(super::ConnectError),
    /// No method can be called over HTTP/JSON.
    Rules(NoBindings),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(error) => error.fmt(f),
            #[cfg(not(target_family = "wasm"))]
            Self::Connect(error) => error.fmt(f),
            Self::Rules(error) => error.fmt(f),
        }
    }
}

impl Error for BuildError {
    // The error that is wrapped says all that the display does; its own cause is next.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Origin(error) => error.source(),
            #[cfg(not(target_family = "wasm"))]
            Self::Connect(error) => error.source(),
            Self::Rules(error) => error.source(),
        }
    }
}

impl HttpJsonBuilder {
    /// Sets the largest response that is read, in bytes. The default is 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sends enum values as numbers and asks for them so
    /// (`$alt=json;enum-encoding=int`), as Google's own clients do, in place of
    /// their names. Responses are read in either form.
    #[must_use]
    pub fn enums_as_integers(mut self, integers: bool) -> Self {
        self.options.write.enums_as_integers = integers;
        self
    }

    /// Builds the service over hyper-util's pooled client. Does no IO but
    /// reading the system's certificates.
    ///
    /// # Errors
    ///
    /// If the endpoint or the descriptor pool cannot be used.
    #[cfg(not(target_family = "wasm"))]
    pub fn build(self) -> Result<HttpJson, BuildError> {
        let origin = Origin::parse(&self.origin).map_err(BuildError::Origin)?;
        let connector = super::connector(&origin).map_err(BuildError::Connect)?;
        self.build_connecting(connector)
    }

    /// Builds the service over hyper-util's pooled client, with a connector for
    /// the endpoint.
    ///
    /// # Errors
    ///
    /// If the endpoint or the descriptor pool cannot be used.
    #[cfg(not(target_family = "wasm"))]
    pub fn build_connecting(self, connector: Connector) -> Result<HttpJson, BuildError> {
        self.build_over(PooledClient::new(connector))
    }

    /// Builds the service over an HTTP service of the caller's: a client with settings of
    /// its own, a [`Gateway`](https://docs.rs/grpc-transcoding/latest/grpc_transcoding/server/struct.Gateway.html)
    /// in the same process, a browser's `fetch`, or a function in a test.
    ///
    /// # Errors
    ///
    /// If the endpoint or the descriptor pool cannot be used.
    pub fn build_over<S>(self, inner: S) -> Result<HttpJson<S>, BuildError> {
        let origin = Origin::parse(&self.origin).map_err(BuildError::Origin)?;
        self.rules.check().map_err(BuildError::Rules)?;
        let shared = Shared { rules: self.rules, origin, limit: self.limit, options: self.options };
        Ok(HttpJson { inner, shared: Arc::new(shared) })
    }
}

impl HttpJson {
    /// Begins to build the service for the methods of a
    /// [`DescriptorPool`](crate::DescriptorPool), or of [`HttpRules`] with a service
    /// config, at an endpoint such as `https://library.googleapis.com`.
    pub fn builder(rules: impl Into<HttpRules>, endpoint: impl Into<String>) -> HttpJsonBuilder {
        HttpJsonBuilder {
            rules: rules.into(),
            origin: endpoint.into(),
            limit: MESSAGE_LIMIT,
            options: Options::default(),
        }
    }
}

impl<S, B> HttpJson<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Makes a unary call whose method is known and whose message has no frame. The
    /// response has the metadata as headers, and the message in a gRPC frame.
    ///
    /// The server is told the `timeout`; it is the caller who holds it.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn unary(
        &mut self,
        method: &MethodBindings,
        headers: HeaderMap,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Response<Bytes>, Status> {
        let (binding, request) = method.encode_request(message, &self.shared.options)?;
        let request = self.shared.request(request, headers, timeout)?;
        self.shared.unary(&mut self.inner, binding, request).await
    }
}

impl<S> fmt::Debug for HttpJson<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJson").field("endpoint", &self.shared.origin).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body>> for HttpJson<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + MaybeSend + 'static,
    S::Error: Into<BoxError>,
    S::Future: MaybeSend,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is made ready within the call, so that its failure
        // becomes a status.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Request<Body>) -> Self::Future {
        let (mut inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        let timeout = call.headers().get(&GRPC_TIMEOUT).and_then(parse_timeout);
        let deadline = Deadline::after(timeout);
        let response = Box::pin(async move {
            let response = shared.call(&mut inner, &mut call, timeout, deadline).await;
            Ok(response.unwrap_or_else(response::failure))
        });
        deadline.hold(response, |expired| Ok(response::failure(expired)))
    }
}

impl Shared {
    /// One call: find the method, take the message, build the request, send,
    /// build the response.
    async fn call<S, B>(
        &self,
        inner: &mut S,
        call: &mut Request<Body>,
        timeout: Option<Duration>,
        deadline: Deadline,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let bindings = self.rules.method(call.uri().path()).ok_or_else(|| {
            Status::unimplemented(format!(
                "the descriptor pool has no method {}; decode the descriptor set that the stub was generated from",
                call.uri().path()
            ))
        })?;
        if !bindings.is_sendable() {
            return Err(Status::unimplemented(format!(
                "{} streams its requests, which HttpJson sends only for google.api.HttpBody; call it over gRPC",
                bindings.method().path()
            )));
        }
        let upload = bindings.method().is_client_streaming();
        // A stub's own message may be as large as the stub likes; an upload is
        // kept until it is sent, and so is bounded.
        let limit = if upload { self.limit } else { usize::MAX };
        let framed = collect(call.body_mut(), limit).await.map_err(|error| broken("the request", error))?;
        let encoding = call.headers().get(&GRPC_ENCODING).map(HeaderValue::as_bytes);
        let (binding, request) = if upload {
            self.upload(bindings, framed, encoding)?
        } else {
            bindings.encode_request(&frame::unary(framed, encoding, limit)?, &self.options)?
        };
        let request = self.request(request, std::mem::take(call.headers_mut()), timeout)?;
        if bindings.method().is_server_streaming() {
            let (head, body, times) = self.exchange(inner, binding, request).await?;
            let body = GrpcBodyFromJson::new(binding.clone(), &head.headers, body, times, self.limit, deadline);
            return Ok(response::grpc(body, head.headers));
        }
        let response = self.unary(inner, binding, request).await?;
        Ok(response.map(|framed| Body::new(response::Unary::Message(framed))))
    }

    /// The exchange of a call whose response is one message: the framed message, with the
    /// metadata of the response as headers.
    async fn unary<S, B>(
        &self,
        inner: &mut S,
        binding: &Binding,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body, times) = self.exchange(inner, binding, request).await?;
        match self.body(body, times).await.and_then(|body| decode(binding, &head, body)) {
            Ok(framed) => Ok(response::headers(framed, head.headers)),
            Err(failed) => Err(with_response(failed, head)),
        }
    }

    /// Sends a request. The response is a success, whose body is packed so many times.
    async fn exchange<S, B>(
        &self,
        inner: &mut S,
        binding: &Binding,
        request: Request<Full<Bytes>>,
    ) -> Result<(Parts, B, usize), Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let span = Span::current();
        span.record("http.request.method", request.method().as_str());
        span.record("url.template", binding.template().as_str());
        std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(|error| unsent(error.into()))?;
        let response = inner.call(request).await.map_err(|error| unsent(error.into()))?;
        let (head, body) = response.into_parts();
        response::record(&span, head.status, head.version);
        let packed = header::times_packed(&head.headers).map_err(Status::internal);
        if !head.status.is_success() {
            let body = match packed {
                Ok(times) => self.body(body, times).await,
                Err(unknown) => Err(unknown),
            };
            return Err(http_failure(self.rules.pool(), head, body));
        }
        match packed {
            Ok(times) => Ok((head, body, times)),
            Err(unknown) => Err(with_response(unknown, head)),
        }
    }

    /// The request of an upload: that of its first message, with the data of the
    /// others behind its own.
    fn upload<'b>(
        &self,
        bindings: &'b MethodBindings,
        framed: Bytes,
        encoding: Option<&[u8]>,
    ) -> Result<(&'b Binding, HttpRequest), Status> {
        let mut frames = frame::Frames::new(encoding, self.limit);
        frames.push(framed);
        let first = frames.next()?.unwrap_or_default();
        let (binding, mut request) = bindings.encode_request(&first, &self.options)?;
        if !binding.takes_http_body() {
            return Err(Status::unimplemented(format!(
                "{binding} takes no upload, and {} streams its requests; call it over gRPC",
                binding.method().path()
            )));
        }
        let mut data = Vec::new();
        while let Some(message) = frames.next()? {
            data.extend_from_slice(&binding.encode_more(&message)?);
        }
        if frames.rest() > 0 {
            return Err(Status::internal("the last message is cut off"));
        }
        if let Some(payload) = request.payload.as_mut().filter(|_| !data.is_empty()) {
            payload.body = [&payload.body, &*data].concat().into();
        }
        Ok((binding, request))
    }

    /// The whole body of a response that is packed so many times.
    async fn body<B>(&self, body: B, times: usize) -> Result<Bytes, Status>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut body = collect(body, self.limit).await.map_err(|error| broken("the response", error))?;
        for _ in 0..times {
            if !body.is_empty() {
                body = gzip::decompress(&body, self.limit).map_err(|error| unpacking(error, self.limit))?;
            }
        }
        Ok(body)
    }

    fn request(
        &self,
        request: HttpRequest,
        headers: HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Request<Full<Bytes>>, Status> {
        let bad = |error: &dyn fmt::Display| Status::internal(format!("the request cannot be built: {error}"));
        let HttpRequest { method, target, payload } = request;
        let path = http::uri::PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|error| bad(&error))?;
        let url = self.origin.url(path).map_err(|error| bad(&error))?;
        let (content_type, body) = match payload {
            Some(payload) => (payload.content_type, payload.body),
            None => (None, Bytes::new()),
        };
        // An HttpBody may leave its type open.
        let content_type = match content_type {
            Some(Cow::Borrowed(kind)) => HeaderValue::from_bytes(kind).ok(),
            Some(Cow::Owned(kind)) => {
                let kind = HeaderValue::try_from(kind);
                Some(kind.map_err(|_| Status::invalid_argument("the HttpBody's content type is no header's value"))?)
            }
            None => None,
        };
        let bodyless = body.is_empty();
        let takes_content = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = metadata(headers, content_type);
        let headers = request.headers_mut();
        if bodyless && takes_content {
            // RFC 9110, section 8.6; there are servers that answer 411 otherwise.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(timeout) = timeout {
            // Seconds, as Google's front ends read it.
            if let Ok(seconds) = HeaderValue::try_from(timeout.as_secs_f64().to_string()) {
                headers.insert(&response::SERVER_TIMEOUT, seconds);
            }
        }
        Ok(request)
    }
}

/// The response of a unary call that is a success, framed.
///
/// # Errors
///
/// The error that the body holds in place of a message; INTERNAL if it holds neither.
fn decode(binding: &Binding, head: &Parts, body: Bytes) -> Result<Bytes, Status> {
    if let Some(failed) = error_in_place(binding, &body) {
        return Err(failed);
    }
    let output = binding.method().output();
    // Only a message that is always empty may be left out.
    if body.trim_ascii().is_empty() && output.json_mapping() != JsonMapping::Empty && !binding.gives_http_body() {
        return Err(Status::internal(format!(
            "the response, HTTP {}, has no body, where a {} was expected; the call may have been carried out: check \
             that before you send it again",
            head.status,
            output.name()
        )));
    }
    let content_type = head.headers.get(CONTENT_TYPE).map(|kind| Cow::Owned(kind.as_bytes().to_vec()));
    read(binding, HttpPayload { content_type: content_type.filter(|_| binding.gives_http_body()), body })
}

/// The error that JSON holds in place of a message, as `{"error":{…}}`.
pub(super) fn error_in_place(binding: &Binding, json: &[u8]) -> Option<Status> {
    let foreign = !binding.gives_http_body() && binding.has_no_response_field("error");
    foreign.then(|| status::in_place_of_message(Some(binding.method().pool()), json)).flatten()
}

/// The status of a response that is not a success, as [`HttpJson`] reports it: for requests to an
/// API that are no calls of a stub, such as uploads. `pool` has the details of its errors; `body` is
/// the response's body, or why there is none. Even if it is unreadable, the HTTP status decides the
/// code.
pub fn http_failure(pool: &DescriptorPool, head: Parts, body: Result<Bytes, Status>) -> Status {
    let (mut failed, said) = match body {
        Ok(body) => status::from_http(Some(pool), head.status, &body),
        Err(problem) => (status::unreadable(head.status, problem.message()), false),
    };
    if !said && let Some(redirect) = status::redirect(head.status, &head.headers) {
        failed = redirect;
    }
    // A 502 to 504 without a gRPC code comes from a proxy: the API may have received the call.
    if failed.code() == Code::Unavailable && !said {
        failed = Broken::Lost.cause(failed);
    }
    with_response(failed, head)
}

/// A failure with what the response's headers say, and its HTTP status.
fn with_response(mut failed: Status, head: Parts) -> Status {
    let mut headers = metadata(head.headers, None);
    mend(&mut headers);
    headers.insert(HTTP_STATUS, HeaderValue::from(head.status.as_u16()));
    *failed.metadata_mut() = MetadataMap::from_headers(headers);
    failed
}

pub(super) fn unpacking(error: gzip::GzipError, limit: usize) -> Status {
    match error {
        gzip::GzipError::TooLarge => {
            let problem = format!("the response unpacks to more than the limit of {limit} bytes");
            Broken::TooLarge.cause(Status::resource_exhausted(problem))
        }
        gzip::GzipError::Malformed => Status::internal("the response says that it is gzip, and is not"),
    }
}

fn broken(what: &str, error: CollectError) -> Status {
    match error {
        CollectError::TooLarge => {
            Broken::TooLarge.cause(Status::resource_exhausted(format!("{what} is larger than the limit")))
        }
        CollectError::Malformed(cause) | CollectError::Failed(cause) => {
            Broken::Lost.cause(Status::unavailable(format!("{what} broke off: {}", chain(&*cause))))
        }
    }
}
