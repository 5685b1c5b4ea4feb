//! From a stub to a REST API.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    response,
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::Service;
use tracing::Span;

use super::{
    BoxError, Broken, Connector, HTTP_STATUS, MESSAGE_LIMIT, Origin,
    metadata::{mend, metadata},
    reply::{self, CollectError, GRPC_ENCODING, GRPC_TIMEOUT, collect},
    streamed::Streamed,
    unsent,
};
use crate::{
    Schema,
    schema::{Cardinality, HttpRule, Shape, Tables},
    transcoding::{
        Lint, accept, frame, gzip, header, lint,
        request::{self, Enums},
        status,
    },
};

/// The HTTP client that [`HttpJson`] uses unless it is given another:
/// hyper-util's, with a pool of connections. Clones share the pool, and are as
/// cheap as one pointer.
#[derive(Clone, Debug)]
pub struct PooledClient(Arc<Client<Connector, Full<Bytes>>>);

impl PooledClient {
    /// Makes a client that connects by `connector`, when it is first used.
    pub fn new(connector: Connector) -> Self {
        Self(Arc::new(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)))
    }
}

impl Service<Request<Full<Bytes>>> for PooledClient {
    type Response = Response<Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.0.request(request)
    }
}

/// A tower service that goes under a generated tonic stub and sends its calls
/// as HTTP/JSON, by the `google.api.http` rules of the stub's own protos.
///
/// It is generic over the HTTP service that does the sending: anything that
/// takes an `http::Request<Full<Bytes>>`.
///
/// Every failure is a gRPC status. One that the server reports has the code,
/// message and details that it would have over gRPC.
#[derive(Clone)]
pub struct HttpJson<S = PooledClient> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    origin: Origin,
    limit: usize,
    enums: Enums,
}

/// Builds an [`HttpJson`].
#[derive(Debug)]
pub struct HttpJsonBuilder {
    schema: Schema,
    origin: String,
    limit: usize,
    enums: Enums,
}

/// Why an [`HttpJson`] cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not a URL of the kind that is needed.
    Origin(super::OriginError),
    /// The system's certificates cannot be read.
    Connect(super::ConnectError),
    /// No method of the schema has an HTTP rule.
    NoRules,
    /// No method of the schema has an HTTP rule that can be used. This is the first one.
    UnusableRules(Lint),
}

impl BuildError {
    /// # Errors
    ///
    /// If no method of the schema has an HTTP rule that can be used.
    pub(super) fn check_rules(schema: &Schema) -> Result<(), Self> {
        if schema.methods().any(|method| method.http_bindings().next().is_some()) {
            return Ok(());
        }
        let first = lint::unused(&schema.0).into_iter().next();
        Err(first.map_or(Self::NoRules, Self::UnusableRules))
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::NoRules => f.write_str(
                "no method of the schema has an HTTP rule (google.api.http); if the protos have some, the descriptor \
                 set went through types that drop options, as prost's do: write it to bytes before that",
            ),
            Self::UnusableRules(first) => {
                write!(f, "no HTTP rule (google.api.http) of the schema can be used; the first is {first}")
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl HttpJsonBuilder {
    /// Sets the largest answer that is read, in bytes. The default is 4 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sends enum values as numbers and asks for them so
    /// (`$alt=json;enum-encoding=int`), as Google's own clients do, in place of
    /// their names. Answers are read in either form.
    #[must_use]
    pub fn enums_as_integers(mut self, integers: bool) -> Self {
        self.enums = if integers { Enums::Numbers } else { Enums::Names };
        self
    }

    /// Builds the service over hyper-util's pooled client. Does no IO but
    /// reading the system's certificates.
    ///
    /// # Errors
    ///
    /// If the endpoint or the schema cannot be used.
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
    /// If the endpoint or the schema cannot be used.
    pub fn build_connecting(self, connector: Connector) -> Result<HttpJson, BuildError> {
        self.build_over(PooledClient::new(connector))
    }

    /// Builds the service over an HTTP service of the caller's.
    ///
    /// # Errors
    ///
    /// If the endpoint or the schema cannot be used.
    pub fn build_over<S>(self, inner: S) -> Result<HttpJson<S>, BuildError> {
        let origin = Origin::parse(&self.origin).map_err(BuildError::Origin)?;
        BuildError::check_rules(&self.schema)?;
        let shared = Shared { schema: self.schema, origin, limit: self.limit, enums: self.enums };
        Ok(HttpJson { inner, shared: Arc::new(shared) })
    }
}

impl HttpJson {
    /// Begins to build the service for the methods of `schema`, at an endpoint
    /// such as `https://chat.googleapis.com`.
    pub fn builder(schema: Schema, endpoint: impl Into<String>) -> HttpJsonBuilder {
        HttpJsonBuilder { schema, origin: endpoint.into(), limit: MESSAGE_LIMIT, enums: Enums::Names }
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
        method: &crate::schema::Method,
        headers: HeaderMap,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Response<Bytes>, Status> {
        let target = request::transcode(method.tables(), method.table(), message, self.shared.enums)?;
        self.shared.unary(&mut self.inner, method, target, headers, timeout).await
    }
}

impl<S> fmt::Debug for HttpJson<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJson").field("endpoint", &self.shared.origin).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<Body>> for HttpJson<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is made ready within the call, so that its failure
        // becomes a status.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Request<Body>) -> Self::Future {
        let (mut inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        let timeout = call.headers().get(&GRPC_TIMEOUT).and_then(parse_timeout);
        let deadline = Deadline::after(timeout);
        let answer = Box::pin(async move {
            let answer = shared.call(&mut inner, &mut call, timeout, deadline).await;
            Ok(answer.unwrap_or_else(reply::failure))
        });
        deadline.hold(answer, |expired| Ok(reply::failure(expired)))
    }
}

impl Shared {
    /// One call: find the method, take the message, build the request, send,
    /// build the answer.
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
        let method = self.schema.method(call.uri().path()).ok_or_else(|| {
            Status::unimplemented(format!(
                "the schema has no method {}; decode the descriptor set that the stub was generated from",
                call.uri().path()
            ))
        })?;
        let tables = &*self.schema.0;
        if method.is_client_streaming() && !request::takes_http_body(tables, method.table()) {
            return Err(Status::unimplemented(format!(
                "{} streams its requests, which HTTP/JSON can only for google.api.HttpBody; call it over gRPC",
                method.path()
            )));
        }
        // A stub's own message may be as large as the stub likes; an upload is
        // kept until it is sent, and so is bounded.
        let limit = if method.is_client_streaming() { self.limit } else { usize::MAX };
        let framed = collect(call.body_mut(), limit).await.map_err(|error| broken("the request", error))?;
        let encoding = call.headers().get(&GRPC_ENCODING).map(HeaderValue::as_bytes);
        let target = if method.is_client_streaming() {
            upload(tables, &method, framed, encoding, limit, self.enums)?
        } else {
            request::transcode(tables, method.table(), &frame::unary(framed, encoding, limit)?, self.enums)?
        };
        let headers = std::mem::take(call.headers_mut());
        if method.is_server_streaming() {
            let (binding, head, body, times) = self.exchange(inner, &method, target, headers, timeout).await?;
            let body = Streamed::new(binding, &head.headers, body, times, self.limit, deadline);
            return Ok(reply::grpc(body, head.headers));
        }
        let answer = self.unary(inner, &method, target, headers, timeout).await?;
        Ok(answer.map(|framed| Body::new(reply::Unary::Message(framed))))
    }

    /// The exchange of a call whose answer is one message: the framed message, with the
    /// metadata of the answer as headers.
    async fn unary<S, B>(
        &self,
        inner: &mut S,
        method: &crate::schema::Method,
        target: request::Target<'_>,
        headers: HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Response<Bytes>, Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (binding, head, body, times) = self.exchange(inner, method, target, headers, timeout).await?;
        match self.body(body, times).await.and_then(|body| binding.answer(head.status, &head.headers, &body)) {
            Ok(framed) => Ok(reply::headers(framed, head.headers)),
            Err(failed) => Err(with_answer(failed, head)),
        }
    }

    /// Sends the request. The answer is a success, whose body is packed so many times.
    async fn exchange<S, B>(
        &self,
        inner: &mut S,
        method: &crate::schema::Method,
        target: request::Target<'_>,
        headers: HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<(Binding, response::Parts, B, usize), Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let binding = Binding::new(method, target.rule);
        let span = Span::current();
        span.record("http.request.method", target.verb.as_str());
        span.record("url.template", target.rule.template.as_str());
        let request = self.request(target, headers, timeout)?;
        std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(|error| unsent(error.into()))?;
        let answer = inner.call(request).await.map_err(|error| unsent(error.into()))?;
        let (head, body) = answer.into_parts();
        reply::record(&span, head.status, head.version);
        let packed = header::times_packed(&head.headers).map_err(Status::internal);
        if !head.status.is_success() {
            let body = match packed {
                Ok(times) => self.body(body, times).await,
                Err(unknown) => Err(unknown),
            };
            return Err(with_answer(self.failure(&head, body), head));
        }
        match packed {
            Ok(times) => Ok((binding, head, body, times)),
            Err(unknown) => Err(with_answer(unknown, head)),
        }
    }

    /// The whole body of an answer that is packed so many times.
    async fn body<B>(&self, body: B, times: usize) -> Result<Bytes, Status>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut body = collect(body, self.limit).await.map_err(|error| broken("the answer", error))?;
        for _ in 0..times {
            if !body.is_empty() {
                body = gzip::decompress(&body, self.limit).map_err(|error| unpacking(error, self.limit))?;
            }
        }
        Ok(body)
    }

    /// The status of an answer that is not a success. Even if its body is unreadable, the
    /// HTTP status decides the code.
    fn failure(&self, head: &response::Parts, body: Result<Bytes, Status>) -> Status {
        let (mut failed, said) = match body {
            Ok(body) => status::from_http(&self.schema.0, head.status, &body),
            Err(problem) => (status::unreadable(head.status, problem.message()), false),
        };
        if !said && let Some(redirect) = status::redirect(head.status, &head.headers) {
            failed = redirect;
        }
        // A 502 to 504 without a gRPC code comes from a proxy: the API may have received
        // the call.
        if failed.code() == Code::Unavailable && !said { Broken::Lost.cause(failed) } else { failed }
    }

    fn request(
        &self,
        target: request::Target<'_>,
        headers: HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Request<Full<Bytes>>, Status> {
        let bad = |error: &dyn fmt::Display| Status::internal(format!("the request cannot be built: {error}"));
        let path = Bytes::from(target.target);
        let path = http::uri::PathAndQuery::from_maybe_shared(path).map_err(|error| bad(&error))?;
        let url = self.origin.url(path).map_err(|error| bad(&error))?;
        let content_type = match (&target.body, target.content_type) {
            (None, _) => None,
            (Some(_), None) => Some(HeaderValue::from_static("application/json")),
            // An HttpBody may leave its type open.
            (Some(_), Some(kind)) if kind.is_empty() => None,
            (Some(_), Some(kind)) => {
                let kind = HeaderValue::try_from(kind);
                Some(kind.map_err(|_| Status::invalid_argument("the HttpBody's content type is no header's value"))?)
            }
        };
        let bodyless = target.body.as_ref().is_none_or(Vec::is_empty);
        let takes_content = [Method::POST, Method::PUT, Method::PATCH].contains(&target.verb);
        let mut request = Request::new(Full::new(Bytes::from(target.body.unwrap_or_default())));
        *request.method_mut() = target.verb;
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
                headers.insert(HeaderName::from_static("x-server-timeout"), seconds);
            }
        }
        Ok(request)
    }
}

/// When a call must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// From now on; a limit beyond what the clock can say is none.
    pub(super) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))))
    }

    pub(super) fn instant(self) -> Option<Instant> {
        self.0.map(|(instant, _)| instant)
    }

    pub(super) fn expired(self) -> Status {
        let limit = self.0.map_or(Duration::ZERO, |(_, limit)| limit);
        Status::deadline_exceeded(format!("no answer within {limit:?}"))
    }

    /// The work, or what `late` makes of the status if it is not done in time.
    pub(super) fn hold<T: 'static>(
        self,
        work: Pin<Box<dyn Future<Output = T> + Send>>,
        late: impl FnOnce(Status) -> T + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = T> + Send>> {
        let Some((instant, _)) = self.0 else { return work };
        Box::pin(async move {
            let done = tokio::time::timeout_at(instant, work).await;
            done.unwrap_or_else(|_| late(self.expired()))
        })
    }
}

/// The method and the binding that a request went by.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    method: crate::schema::Method,
    index: usize,
}

impl Binding {
    pub(super) fn new(method: &crate::schema::Method, rule: &HttpRule) -> Self {
        let index = method.table().rules.iter().position(|one| std::ptr::eq(one, rule)).unwrap_or(0);
        Self { method: method.clone(), index }
    }

    pub(super) fn method(&self) -> &crate::schema::Method {
        &self.method
    }

    pub(super) fn rule(&self) -> &HttpRule {
        &self.method.table().rules[self.index]
    }

    pub(super) fn tables(&self) -> &Tables {
        self.method.tables()
    }

    pub(super) fn gives_http_body(&self) -> bool {
        accept::gives_http_body(self.tables(), self.method.table(), self.rule())
    }

    /// The reply of a unary call that is a success, framed.
    ///
    /// # Errors
    ///
    /// The error that the answer holds in place of a message; INTERNAL if it holds
    /// neither.
    fn answer(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Status> {
        if self.gives_http_body() {
            return self.read(headers, body);
        }
        if let Some(failed) = self.error_in_place(body) {
            return Err(failed);
        }
        let output = &self.tables().messages[self.method.table().output as usize];
        // Only a message that is always empty may be left out.
        if body.trim_ascii().is_empty() && output.shape != Shape::Empty {
            return Err(Status::internal(format!(
                "the answer, HTTP {status}, has no body, where a {} was expected; the call may have been carried out: \
                 look before it is made again",
                output.name
            )));
        }
        self.read(headers, body)
    }

    /// The error that JSON holds in place of a message, as `{"error":{…}}`.
    pub(super) fn error_in_place(&self, json: &[u8]) -> Option<Status> {
        let foreign = !self.gives_http_body() && self.has_no_field("error");
        foreign.then(|| status::in_place_of_message(self.tables(), json)).flatten()
    }

    /// Whether an object with this key cannot be the JSON of an answer, but for fields
    /// that the schema does not know.
    pub(super) fn has_no_field(&self, key: &str) -> bool {
        let tables = self.tables();
        let output = &tables.messages[self.method.table().output as usize];
        let message = match self.rule().response_body.map(|index| &output.fields[usize::from(index)]) {
            None => output,
            Some(field) if field.cardinality == Cardinality::Map => return false,
            Some(field) if field.cardinality == Cardinality::Repeated || !field.is_message() => return true,
            Some(field) => tables.message_of(field),
        };
        let any_key = matches!(message.shape, Shape::Any | Shape::Struct | Shape::Value);
        !any_key && message.field_named(key.as_bytes()).is_none()
    }

    /// The reply that a body holds, framed.
    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Status> {
        let (tables, method, rule) = (self.tables(), self.method.table(), self.rule());
        if self.gives_http_body() {
            let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
            return accept::read_http_body(tables, method, rule, kind, body);
        }
        accept::read_reply(tables, method, rule, body)
    }
}

/// A failure with what the answer's headers say, and its HTTP status.
fn with_answer(mut failed: Status, head: response::Parts) -> Status {
    let mut headers = metadata(head.headers, None);
    mend(&mut headers);
    headers.insert(HTTP_STATUS, HeaderValue::from(head.status.as_u16()));
    *failed.metadata_mut() = MetadataMap::from_headers(headers);
    failed
}

pub(super) fn unpacking(error: gzip::GzipError, limit: usize) -> Status {
    match error {
        gzip::GzipError::TooLarge => {
            let problem = format!("the answer unpacks to more than the limit of {limit} bytes");
            Broken::TooLarge.cause(Status::resource_exhausted(problem))
        }
        gzip::GzipError::Malformed => Status::internal("the answer is not gzip, as it says"),
    }
}

/// The request of an upload: that of its first message, with the data of the
/// others behind its own.
fn upload<'t>(
    tables: &'t Tables,
    method: &'t crate::schema::Method,
    framed: Bytes,
    encoding: Option<&[u8]>,
    limit: usize,
    enums: Enums,
) -> Result<request::Target<'t>, Status> {
    let mut frames = frame::Frames::new(encoding, limit);
    frames.push(framed);
    let first = frames.next()?.unwrap_or_default();
    let mut target = request::transcode(tables, method.table(), &first, enums)?;
    while let Some(message) = frames.next()? {
        let more = request::more_data(tables, method.table(), target.rule, &message);
        target.body.get_or_insert_default().extend(more.map_err(Status::invalid_argument)?);
    }
    if frames.rest() > 0 { Err(Status::internal("the last message is cut off")) } else { Ok(target) }
}

fn broken(what: &str, error: CollectError) -> Status {
    match error {
        CollectError::TooLarge => {
            Broken::TooLarge.cause(Status::resource_exhausted(format!("{what} is larger than the limit")))
        }
        CollectError::Malformed(cause) | CollectError::Failed(cause) => {
            Broken::Lost.cause(Status::unavailable(format!("{what} broke off: {cause}")))
        }
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
///
/// Source: gRPC over HTTP/2, "Timeout".
pub(crate) fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_units_and_eight_digits() {
        let parse = |text: &'static str| parse_timeout(&HeaderValue::from_static(text));
        assert_eq!(parse("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse("30S"), Some(Duration::from_secs(30)));
        assert_eq!(parse("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parse("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "30", "123456789S", "-1S", "1.5S", "1s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
