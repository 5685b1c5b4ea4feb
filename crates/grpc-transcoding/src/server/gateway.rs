//! From REST clients to a gRPC service.

mod streamed;

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, TE, VARY},
};
use http_body_util::Full;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use protojson::{DescriptorPool, ReadOptions, WriteOptions};

#[cfg(feature = "openapi")]
use super::docs::{Docs, Place};
use super::{
    BoxError,
    budget::{Budget, Charged, Share},
    grpc_metadata,
    grpc_response::GrpcResponse,
    idle::{Idle, Silence},
    inner::{BoxBody, Inner, boxed},
    json_body::{Form, JsonBodyFromGrpc},
};
#[cfg(feature = "openapi")]
use crate::openapi::OpenApi;
use crate::{
    Binding, HttpPayload, HttpRules, Lint, NoBindings, Options, Query, Route, Router, SystemParams, TranscodeError,
    rpc::{
        BoxFuture, CollectError, Lasting, MESSAGE_LIMIT, chain, collect,
        deadline::{Deadline, parse_timeout, timeout_value},
        frame, gzip, header,
        metadata::{METADATA_LIMIT, MetadataError, check, metadata},
        response::{self, GRPC_TIMEOUT, JSON, after_headers},
        status,
    },
};

/// How long a body must be for gzip to pay: about what goes in one packet, which is there
/// no sooner for being smaller.
const WORTH_PACKING: usize = 1400;

static METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// How long a call may take by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stream may be without a message by default.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// How many bytes of bodies are held by default.
pub(super) const BODIES: usize = 256 * 1024 * 1024;

/// A tower service that stands in front of a gRPC service and offers its
/// methods as REST, by their `google.api.http` rules. Calls that are gRPC
/// already pass through, unless [`GatewayLayer::passthrough`] says otherwise.
///
/// The gRPC service may be in the process, such as tonic's router, or elsewhere,
/// by way of `Grpc`.
///
/// A binding that is never used, because its rule cannot be, because it has no body for a
/// stream of requests, or because another has the same HTTP method and path, is logged as a
/// warning, and among [`GatewayLayer::warnings`].
///
/// A method that streams its requests takes them out of one body: lines of JSON
/// (`application/x-ndjson`), or an array or values one after another (`application/json`).
/// Each is passed on as soon as it has come, with the fields of path and query in every
/// message. The response may begin before the request has ended, over HTTP/1.1 as well; it
/// begins with the server's first message, so that a call that fails before has the HTTP
/// status of its error. A fault of the stream, such as an element that is no JSON, resets
/// the call and is its outcome.
///
/// For those who count or log, a response has among its extensions the [`Binding`] that the
/// request was for, if there is one, and one that is an error has its
/// [`Code`](tonic::Code): HTTP's statuses are fewer.
#[derive(Clone)]
pub struct Gateway<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// The settings of a [`Gateway`]; also the tower layer that makes one.
#[derive(Clone)]
pub struct GatewayLayer(Shared);

#[derive(Clone)]
struct Shared {
    rules: HttpRules,
    router: Arc<Router>,
    limit: usize,
    path_length: usize,
    path_segments: usize,
    metadata_limit: usize,
    options: Options,
    passthrough: bool,
    grpc_metadata: bool,
    timeout: Option<Duration>,
    idle: Option<Duration>,
    budget: Budget,
    #[cfg(feature = "openapi")]
    docs: Option<Arc<Docs>>,
}

impl GatewayLayer {
    /// Makes gateways for the methods of a [`DescriptorPool`], or of [`HttpRules`] with a
    /// service config.
    ///
    /// # Errors
    ///
    /// If no method has an HTTP rule that can be used.
    pub fn new(rules: impl Into<HttpRules>) -> Result<Self, NoBindings> {
        let rules = rules.into();
        rules.check()?;
        let layer = Self(Shared {
            router: Arc::new(Router::new(&rules)),
            rules,
            limit: MESSAGE_LIMIT,
            metadata_limit: METADATA_LIMIT,
            path_length: 8 * 1024,
            path_segments: 256,
            options: Options::default(),
            passthrough: true,
            grpc_metadata: false,
            timeout: Some(TIMEOUT),
            idle: Some(IDLE),
            budget: Budget::new(BODIES),
            #[cfg(feature = "openapi")]
            docs: None,
        });
        for warning in layer.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(layer)
    }

    /// Makes a layer with the same settings for other rules, such as those of a schema that
    /// has changed. The gateways of both share the room for bodies
    /// ([`GatewayLayer::max_body_memory`]). It serves no document until it is given one, since
    /// that is of a schema, too.
    ///
    /// # Errors
    ///
    /// As for [`GatewayLayer::new`].
    pub fn with_rules(&self, rules: impl Into<HttpRules>) -> Result<Self, NoBindings> {
        let Self(Shared { rules, router, .. }) = Self::new(rules)?;
        Ok(Self(Shared {
            rules,
            router,
            #[cfg(feature = "openapi")]
            docs: None,
            ..self.0.clone()
        }))
    }

    /// The bindings that are never used, and why. [`HttpRules::lint`] lists more.
    pub fn warnings(&self) -> Vec<Lint> {
        self.0.rules.unused()
    }

    /// Sets the longest path that is taken, in bytes without the query, and how many
    /// segments it may have. The response to others is 414. The default is 8 KiB and 256
    /// segments.
    #[must_use]
    pub fn max_path(mut self, bytes: usize, segments: usize) -> Self {
        (self.0.path_length, self.0.path_segments) = (bytes, segments);
        self
    }

    /// Sets the largest body that is taken, in bytes, the largest element of one that is a
    /// stream of requests, and the largest message of a response. The default is 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.0.limit = bytes;
        self
    }

    /// Sets whether calls that are gRPC already pass through, to any method of the server
    /// behind the gateway, whether or not it has an HTTP rule. If not, they are answered
    /// with UNIMPLEMENTED. By default they pass.
    #[must_use]
    pub fn passthrough(mut self, pass: bool) -> Self {
        self.0.passthrough = pass;
        self
    }

    /// Sets whether metadata has the prefix `Grpc-Metadata-` among the headers of HTTP, as
    /// with grpc-gateway: what a request has under it becomes metadata beside the other
    /// headers, and all metadata of a response comes under it. By default the metadata of a
    /// response comes by its own names, and such headers of a request are left out.
    #[must_use]
    pub fn grpc_metadata_prefix(mut self, prefix: bool) -> Self {
        self.0.grpc_metadata = prefix;
        self
    }

    /// Sets whether query parameters are passed over that are neither fields of the request
    /// nor system parameters. By default they are errors.
    #[must_use]
    pub fn ignore_unknown_query(mut self, ignore: bool) -> Self {
        self.0.options.ignore_unknown_query = ignore;
        self
    }

    /// Sets how long a call may take whose client does not ask for less. For streams only
    /// what their client asks holds, and each message of a stream of requests may take so
    /// long from its first byte to its last. The default is 60 seconds.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.timeout = limit;
        self
    }

    /// Sets how long the server behind the gateway may leave a stream, or a gRPC call that
    /// passes through, without a message; then it ends with DEADLINE_EXCEEDED. Where requests
    /// come as a stream of JSON, their messages count as well. The default is 10 minutes.
    #[must_use]
    pub fn stream_idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.idle = limit;
        self
    }

    /// Sets how many bytes of bodies are held at a time, of all requests together, beside
    /// the first 16 KiB of each. A request for which there is no room is answered with 503
    /// and `Retry-After`. The default is 256 MiB.
    #[must_use]
    pub fn max_body_memory(mut self, bytes: usize) -> Self {
        self.0.budget = Budget::new(bytes);
        self
    }

    /// Sets how large the headers of a request may be that become a call's metadata,
    /// counted as HTTP/2 does: name, value and 32 bytes for each. The default is 8 KiB, as
    /// gRPC recommends to servers. More than the backend takes would cost the connection
    /// that all calls share.
    #[must_use]
    pub fn max_metadata_size(mut self, bytes: usize) -> Self {
        self.0.metadata_limit = bytes;
        self
    }

    /// Sets how bodies are read. By default a field that the request does not
    /// have is an error.
    #[must_use]
    pub fn read_options(mut self, options: ReadOptions) -> Self {
        self.0.options.read = options;
        self
    }

    /// Sets how responses are written. A client's system parameters (`$alt`,
    /// `prettyPrint`, `fields`) come before it.
    #[must_use]
    pub fn write_options(mut self, options: WriteOptions) -> Self {
        #[cfg(feature = "openapi")]
        if let Some(docs) = &self.0.docs {
            self.0.docs = Some(Arc::new(Docs::new(docs.document.clone().served(&options))));
        }
        self.0.options.write = options;
        self
    }

    /// Serves an OpenAPI document at `/openapi.json`, and at `/docs` a page for people. If the
    /// API has a method at such a path, that is served instead. By default neither is served.
    ///
    /// The document's [`write_options`](OpenApi::write_options) are those of the gateway, and
    /// its server is the gateway unless it has one.
    #[cfg(feature = "openapi")]
    #[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
    #[must_use]
    pub fn docs(mut self, document: OpenApi) -> Self {
        self.0.docs = Some(Arc::new(Docs::new(document.served(&self.0.options.write))));
        self
    }
}

impl<S> Layer<S> for GatewayLayer {
    type Service = Gateway<S>;

    fn layer(&self, inner: S) -> Gateway<S> {
        Gateway { inner, shared: Arc::new(self.0.clone()) }
    }
}

impl fmt::Debug for GatewayLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayLayer").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl<S> Gateway<S> {
    /// Puts a gateway for the methods of a [`DescriptorPool`], or of [`HttpRules`], in
    /// front of `inner`, with [`GatewayLayer`]'s defaults.
    ///
    /// # Errors
    ///
    /// If no method has an HTTP rule that can be used.
    pub fn new(rules: impl Into<HttpRules>, inner: S) -> Result<Self, NoBindings> {
        GatewayLayer::new(rules).map(|layer| layer.layer(inner))
    }
}

impl<S> fmt::Debug for Gateway<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Gateway<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Arc::clone(&self.shared).serve(Inner::new(self.inner.clone()), request.map(boxed))
    }
}

/// Why a request gets an error as its response.
struct Refusal {
    status: Status,
    http: Option<StatusCode>,
    allow: Vec<Method>,
    binding: Option<Binding>,
    /// Whether the metadata of the status comes under a prefix.
    prefix: bool,
}

impl From<Status> for Box<Refusal> {
    fn from(status: Status) -> Self {
        Box::new(Refusal { status, http: None, allow: Vec::new(), binding: None, prefix: false })
    }
}

impl From<TranscodeError> for Box<Refusal> {
    fn from(error: TranscodeError) -> Self {
        Status::from(error).into()
    }
}

impl From<MetadataError> for Box<Refusal> {
    fn from(error: MetadataError) -> Self {
        let status = Status::invalid_argument(error.to_string());
        match error {
            MetadataError::TooLarge(_) => Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, status),
            _ => status.into(),
        }
    }
}

/// The status of a gRPC call whose metadata is not passed on.
pub(super) fn unfit(error: &MetadataError) -> Status {
    match error {
        // As gRPC's own servers have it.
        MetadataError::TooLarge(_) => Status::resource_exhausted(error.to_string()),
        _ => Status::invalid_argument(error.to_string()),
    }
}

impl Refusal {
    fn new(http: StatusCode, status: Status) -> Box<Self> {
        let mut refusal: Box<Self> = status.into();
        refusal.http = Some(http);
        refusal
    }

    fn too_large(limit: usize) -> Box<Self> {
        let status = Status::invalid_argument(format!("the body is larger than {limit} bytes"));
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, status)
    }

    fn into_response(self, pool: &DescriptorPool) -> Response<Body> {
        let http = self.http.unwrap_or_else(|| status::http_status(self.status.code()));
        let body = status::to_body(Some(pool), &self.status, http);
        let metadata = self.status.metadata().clone().into_headers();
        let mut response = answer(http, body, headers(metadata, JSON, self.prefix));
        response.extensions_mut().insert(self.status.code());
        if let Some(binding) = self.binding {
            response.extensions_mut().insert(binding);
        }
        for method in self.allow {
            if let Ok(method) = HeaderValue::from_str(method.as_str()) {
                response.headers_mut().append(ALLOW, method);
            }
        }
        response
    }
}

fn answer(status: StatusCode, body: impl Into<Bytes>, headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body.into())));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The headers of a response: the metadata of the call, and a content type.
fn headers(call: HeaderMap, kind: HeaderValue, prefix: bool) -> HeaderMap {
    if !prefix {
        return metadata(call, Some(kind));
    }
    let mut headers = grpc_metadata::give(metadata(call, None));
    headers.insert(CONTENT_TYPE, kind);
    headers
}

impl Shared {
    fn serve(
        self: Arc<Self>,
        inner: Inner,
        request: Request<BoxBody>,
    ) -> BoxFuture<Result<Response<Body>, Infallible>> {
        if header::is_grpc(request.headers()) {
            if !self.passthrough {
                return Box::pin(std::future::ready(Ok(response::failure(Status::unimplemented(
                    "gRPC calls are not passed through here; send them to the server itself, or call the method as REST",
                )))));
            }
            return Box::pin(async move { Ok(self.pass(inner, request).await.unwrap_or_else(response::failure)) });
        }
        let asked = timeout(request.headers());
        let deadline = Deadline::after(asked);
        let late = Arc::clone(&self);
        let head = request.method() == Method::HEAD;
        let answer = Box::pin(async move {
            let answer = self.rest(inner, request, asked).await;
            let answer = answer.unwrap_or_else(|refusal| refusal.into_response(self.rules.pool()));
            Ok(if head { answer.map(|_| Body::empty()) } else { answer })
        });
        deadline.hold(answer, move |expired| {
            let refusal: Box<Refusal> = expired.into();
            let answer = refusal.into_response(late.rules.pool());
            Ok(if head { answer.map(|_| Body::empty()) } else { answer })
        })
    }

    /// A call that is gRPC already.
    async fn pass(&self, inner: Inner, request: Request<BoxBody>) -> Result<Response<Body>, Status> {
        let mut call = request.map(Body::new);
        let method = self.rules.method(call.uri().path());
        let sends = method.is_some_and(|method| method.method().is_client_streaming());
        call.extensions_mut().insert(if sends { Lasting::Request } else { Lasting::Response });
        check(call.headers_mut(), self.metadata_limit).map_err(|error| unfit(&error))?;
        let response = patiently(self.idle, inner.send(call)).await?;
        Ok(response.map(|body| Body::new(Idle::new(body, self.idle))))
    }

    /// One request: find the method, and do what it says.
    async fn rest(
        &self,
        inner: Inner,
        request: Request<BoxBody>,
        asked: Option<Duration>,
    ) -> Result<Response<Body>, Box<Refusal>> {
        let (mut head, body) = request.into_parts();
        if header::is_grpc_web(&head.headers) {
            let problem = "gRPC-Web is not served here; send gRPC over HTTP/2, or REST with the content type \
                           application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)));
        }
        if let Some(method) = overridden(&head)? {
            head.method = method;
        }
        #[cfg(feature = "openapi")]
        if let Some(answer) = self.docs(&head).await {
            return Ok(answer?);
        }
        let (binding, variables) = self.route(&head.method, head.uri.path())?;
        match self.answer(inner, binding, &variables, head, body, asked).await {
            Ok(mut response) => {
                response.extensions_mut().insert(binding.clone());
                Ok(response)
            }
            Err(mut refusal) => {
                refusal.binding = Some(binding.clone());
                Err(refusal)
            }
        }
    }

    /// The response to a request for the document or the page, where no method is served.
    #[cfg(feature = "openapi")]
    async fn docs(&self, head: &http::request::Parts) -> Option<Result<Response<Body>, Status>> {
        let docs = self.docs.as_ref()?;
        let place = Place::of(&head.method, head.uri.path())?;
        let free = matches!(self.router.find(&Method::GET, head.uri.path()), Ok(Route::Unknown));
        if free { Some(docs.answer(place, &head.headers).await) } else { None }
    }

    /// The request of a binding: take the body, make the message, call, answer.
    async fn answer(
        &self,
        inner: Inner,
        binding: &Binding,
        variables: &[String],
        head: http::request::Parts,
        body: BoxBody,
        asked: Option<Duration>,
    ) -> Result<Response<Body>, Box<Refusal>> {
        let method = binding.method();
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let mut system = SystemParams::read(binding, &query, self.options.write.clone())?;
        system.read_headers(binding, &head.headers)?;
        if !binding.is_servable() {
            let name = method.path().trim_start_matches('/');
            let problem = format!("{name} streams its requests, and {binding} has no body for them; call it over gRPC");
            return Err(Status::unimplemented(problem).into());
        }
        if binding.takes_json_stream() {
            let texts = streamed::texts(binding, variables, &query, &self.options)?;
            // In a box, so that other calls need no room for it.
            return Box::pin(self.answer_stream(inner, (binding, texts), system, head, body, asked)).await;
        }
        // A stream may last, but not the request of one.
        let timeout = match self.timeout.filter(|_| !method.is_server_streaming()) {
            Some(limit) => Some(asked.map_or(limit, |asked| asked.min(limit))),
            None => asked,
        };
        let deadline = Deadline::after(timeout);
        let mut share = self.budget.share();
        let taking = Deadline::after(timeout.or(self.timeout));
        let body = taking.within(self.body(&head.headers, body, &mut share)).await?;
        // Without a body its type says nothing.
        if !binding.takes_http_body() && !body.is_empty() {
            check_content_type(&head.headers)?;
        }
        let content_type = head.headers.get(CONTENT_TYPE).filter(|_| binding.takes_http_body());
        let content_type = content_type.map(|kind| Cow::Owned(kind.as_bytes().to_vec()));
        let mut message = frame::room(body.len());
        let payload = HttpPayload { content_type, body };
        binding.decode_request(variables, &query, &payload, &self.options, &mut message)?;
        let message = frame::frame(message)?;
        // To read what a client prefers costs more than to find its method: only where it counts.
        let form = if method.is_server_streaming() { Form::asked_for(&head.headers) } else { Form::Array };
        let packs = header::prefers_gzip(&head.headers);
        let message = Body::new(Full::new(message));
        let mut call = call(binding, message, head.headers, timeout, self.grpc_metadata)?;
        authorize(&mut call, &system)?;
        check(call.headers_mut(), self.metadata_limit)?;
        if method.is_server_streaming() {
            call.extensions_mut().insert(Lasting::Response);
        }
        let response = deadline.within(inner.send(call)).await?;
        let (mut headers, incoming) = GrpcResponse::new(response, self.limit, deadline)
            .map_err(|failed| self.failed(failed, HeaderMap::new()))?;
        // What the backend said before the call failed is worth as much as what it said then.
        let answer = match method.is_server_streaming() {
            true => self.stream(binding, system, form, &mut headers, incoming).await,
            false => self.respond(binding, &system, packs, &mut headers, incoming).await,
        };
        answer.map_err(|failed| self.failed(failed, headers))
    }

    /// The refusal of a call that failed with a status of the backend, after some headers.
    fn failed(&self, status: Status, headers: HeaderMap) -> Box<Refusal> {
        let mut refusal: Box<Refusal> = after_headers(status, headers).into();
        refusal.prefix = self.grpc_metadata;
        refusal
    }

    /// The response of a server-streaming call that has begun well.
    async fn stream(
        &self,
        binding: &Binding,
        system: SystemParams,
        form: Form,
        headers: &mut HeaderMap,
        mut incoming: GrpcResponse,
    ) -> Result<Response<Body>, Status> {
        incoming.limit_silence(self.idle);
        let first = incoming.next().await?;
        let form = match (binding.gives_http_body(), system.events) {
            (true, _) => Form::Raw,
            (false, true) => Form::Events,
            (false, false) => form,
        };
        let mut kind = form.content_type();
        if let (Form::Raw, Some(message)) = (form, &first) {
            kind = media_type(binding.encode_response(message, &system.write)?.content_type.as_deref());
        }
        let mut options = system.write;
        // A line is a message; an array's elements may be laid out.
        options.indent = options.indent.filter(|_| form == Form::Array);
        let body = JsonBodyFromGrpc::new(incoming, first, binding.clone(), form, options);
        let mut response = Response::new(Body::new(body));
        *response.headers_mut() = self::headers(std::mem::take(headers), kind, self.grpc_metadata);
        Ok(response)
    }

    /// The response of a unary call that has begun well.
    async fn respond(
        &self,
        binding: &Binding,
        system: &SystemParams,
        packs: bool,
        headers: &mut HeaderMap,
        mut incoming: GrpcResponse,
    ) -> Result<Response<Body>, Status> {
        let message = incoming.one().await?;
        let HttpPayload { content_type, body } = binding.encode_response(&message, &system.write)?;
        let is_json = !binding.gives_http_body();
        let kind = if is_json { JSON } else { media_type(content_type.as_deref()) };
        let headers = self::headers(std::mem::take(headers), kind, self.grpc_metadata);
        if !is_json || body.len() < WORTH_PACKING {
            return Ok(answer(StatusCode::OK, body, headers));
        }
        let body = if packs { gzip::compress(&body).into() } else { body };
        let mut answer = answer(StatusCode::OK, body, headers);
        answer.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        if packs {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(answer)
    }

    /// The whole body of a request, unpacked.
    async fn body(&self, headers: &HeaderMap, body: BoxBody, share: &mut Share) -> Result<Bytes, Box<Refusal>> {
        let times = times_packed(headers)?;
        let body = collect(Charged { body, share }, self.limit).await;
        let mut body = body.map_err(|error| match error {
            CollectError::TooLarge => Refusal::too_large(self.limit),
            CollectError::Malformed(cause) => {
                Status::invalid_argument(format!("the body is not HTTP: {}", chain(&*cause))).into()
            }
            CollectError::Failed(_) if share.is_refused() => no_room().into(),
            CollectError::Failed(cause) => Status::cancelled(format!("the body broke off: {}", chain(&*cause))).into(),
        })?;
        for _ in 0..times {
            body = gzip::decompress(&body, self.limit).map_err(|error| match error {
                gzip::GzipError::TooLarge => Refusal::too_large(self.limit),
                gzip::GzipError::Malformed => {
                    Status::invalid_argument("the body says that it is gzip, and is not").into()
                }
            })?;
            if !share.grow(body.len()) {
                return Err(no_room().into());
            }
        }
        Ok(body)
    }

    fn route(&self, method: &Method, path: &str) -> Result<(&Binding, Vec<String>), Box<Refusal>> {
        // Before anything is done for each byte or segment of it.
        let (length, segments) = (self.path_length, self.path_segments);
        if path.len() > length || memchr::memchr_iter(b'/', path.as_bytes()).count() > segments {
            let problem = format!("the path is longer than {length} bytes or {segments} segments");
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, Status::invalid_argument(problem)));
        }
        let find = |method: &Method| self.router.find(method, path);
        let found = match find(method)? {
            Route::MethodNotAllowed(allow) if method == Method::HEAD && allow.contains(&Method::GET) => {
                find(&Method::GET)?
            }
            other => other,
        };
        match found {
            Route::Found { binding, variables } => Ok((binding, variables)),
            Route::MethodNotAllowed(allow) => {
                let status = Status::unimplemented(format!("{path} cannot be requested with {method}"));
                let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, status);
                refusal.allow = allow;
                Err(refusal)
            }
            Route::Unknown => Err(Status::not_found(format!("nothing is served at {path}")).into()),
        }
    }
}

/// The status of a request whose body has no room beside those of others.
pub(super) fn no_room() -> Status {
    let mut status =
        Status::unavailable("the bodies of other requests take all room; send the request again in a second");
    status.metadata_mut().insert("retry-after", tonic::metadata::MetadataValue::from_static("1"));
    status
}

/// The work, or DEADLINE_EXCEEDED if nothing has come of it for so long.
pub(super) async fn patiently<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let mut silence = Silence::new(limit);
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => silence.poll(context).map(Err),
    })
    .await
}

/// The HTTP method that a POST stands for where a client has no other: Google's Java client
/// sends PATCH so. Google's front ends take the header and the system parameter
/// `$httpMethod`.
fn overridden(head: &http::request::Parts) -> Result<Option<Method>, Box<Refusal>> {
    if head.method != Method::POST {
        return Ok(None);
    }
    let header = head.headers.get(&METHOD_OVERRIDE).map(HeaderValue::as_bytes);
    let parameter = || method_parameter(&head.uri).map(str::as_bytes);
    let Some(method) = header.or_else(parameter) else { return Ok(None) };
    let refused = |_| Status::invalid_argument("the method to be used in place of POST is none of HTTP's");
    Ok(Some(Method::from_bytes(method).map_err(refused)?))
}

/// The value of the system parameter `$httpMethod`.
pub(super) fn method_parameter(uri: &http::Uri) -> Option<&str> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| ["$httpMethod=", "%24httpMethod="].iter().find_map(|name| pair.strip_prefix(name)))
}

/// The content type of an HttpBody, as a header.
fn media_type(kind: Option<&[u8]>) -> HeaderValue {
    let known = kind.and_then(|kind| HeaderValue::from_bytes(kind).ok());
    known.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// How long the client waits: gRPC's own header, or Google's in seconds.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = || headers.get(&response::SERVER_TIMEOUT)?.to_str().ok()?.parse().ok();
    let given = headers.get(&GRPC_TIMEOUT).and_then(parse_timeout);
    given.or_else(|| seconds().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

/// How many times the body of a request is packed.
fn times_packed(headers: &HeaderMap) -> Result<usize, Box<Refusal>> {
    header::times_packed(headers).map_err(|problem| {
        let status = Status::invalid_argument(format!("{problem}; send gzip, or no encoding"));
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, status)
    })
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Box<Refusal>> {
    let Some(kind) = headers.get(CONTENT_TYPE).filter(|kind| !header::is_json(kind)) else { return Ok(()) };
    let kind = header::essence(kind.as_bytes()).to_ascii_lowercase();
    let curl = match &kind[..] {
        b"application/x-www-form-urlencoded" => "-d",
        kind if kind.starts_with(b"multipart/") => "-F",
        _ => "",
    };
    let advice = match curl {
        "" => "; send application/json".to_owned(),
        flag => format!(
            ", a form, as curl sends it for {flag}; send JSON, by `curl --json` or with the header `content-type: \
             application/json`"
        ),
    };
    let problem = format!("the content type is `{}`{advice}", kind.escape_ascii());
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)))
}

/// Gives a call the token that came as a system parameter, unless it has one.
fn authorize(call: &mut Request<Body>, system: &SystemParams) -> Result<(), Status> {
    let Some(token) = &system.access_token else { return Ok(()) };
    if !call.headers().contains_key(AUTHORIZATION) {
        let mut token = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Status::invalid_argument("access_token: it holds what a header cannot"))?;
        token.set_sensitive(true);
        call.headers_mut().insert(AUTHORIZATION, token);
    }
    Ok(())
}

/// The gRPC call of framed messages. With `prefix` its metadata may have one, too.
fn call(
    binding: &Binding,
    messages: Body,
    headers: HeaderMap,
    timeout: Option<Duration>,
    prefix: bool,
) -> Result<Request<Body>, Status> {
    let prefixed = if prefix { grpc_metadata::take(&headers)? } else { Vec::new() };
    let mut call = Request::new(messages);
    *call.method_mut() = Method::POST;
    let uri = binding.call_uri().cloned();
    *call.uri_mut() = uri.ok_or_else(|| Status::internal("the method's name cannot be in a URL; call it over gRPC"))?;
    *call.version_mut() = http::Version::HTTP_2;
    *call.headers_mut() = metadata(headers, Some(response::GRPC));
    call.headers_mut().remove(&METHOD_OVERRIDE);
    call.headers_mut().extend(prefixed);
    call.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        call.headers_mut().insert(&GRPC_TIMEOUT, timeout_value(timeout));
    }
    Ok(call)
}
