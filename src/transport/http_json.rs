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
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    BoxError, Connector, MESSAGE_LIMIT, Origin, chain,
    reply::{self, CollectError, collect},
};
use crate::{
    Schema,
    transcoding::{accept, frame, request, status},
};

/// The HTTP client that [`HttpJson`] uses unless it is given another:
/// hyper-util's, with a pool of connections.
pub type PooledClient = Client<Connector, Full<Bytes>>;

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
}

/// Builds an [`HttpJson`].
#[derive(Debug)]
pub struct HttpJsonBuilder {
    schema: Schema,
    origin: String,
    limit: usize,
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

    /// Builds the service over hyper-util's pooled client. Does no IO but
    /// reading the system's certificates.
    ///
    /// # Errors
    ///
    /// If the endpoint or the schema cannot be used.
    pub fn build(self) -> Result<HttpJson, BuildError> {
        let origin = Origin::parse(&self.origin).map_err(BuildError::Origin)?;
        let connector = super::connector(&origin).map_err(BuildError::Connect)?;
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        self.build_over(client)
    }

    /// Builds the service over an HTTP service of the caller's.
    ///
    /// # Errors
    ///
    /// If the endpoint or the schema cannot be used.
    pub fn build_over<S>(self, inner: S) -> Result<HttpJson<S>, BuildError> {
        let origin = Origin::parse(&self.origin).map_err(BuildError::Origin)?;
        if self.schema.methods().all(|method| method.http_bindings().next().is_none()) {
            return Err(BuildError::NoRules);
        }
        Ok(HttpJson { inner, shared: Arc::new(Shared { schema: self.schema, origin, limit: self.limit }) })
    }
}

impl HttpJson {
    /// Begins to build the service for the methods of `schema`, at an endpoint
    /// such as `https://chat.googleapis.com`.
    pub fn builder(schema: Schema, endpoint: impl Into<String>) -> HttpJsonBuilder {
        HttpJsonBuilder { schema, origin: endpoint.into(), limit: MESSAGE_LIMIT }
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
    B: http_body::Body<Data = Bytes> + Send,
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

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        Box::pin(async move { Ok(shared.call(inner, call).await.unwrap_or_else(reply::failure)) })
    }
}

impl Shared {
    /// One call: find the method, take the message, build the request, send,
    /// build the answer.
    async fn call<S, B>(&self, inner: S, call: Request<Body>) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = call.into_parts();
        let method = self.schema.method(head.uri.path()).ok_or_else(|| {
            Status::unimplemented(format!(
                "the schema has no method {}; decode the descriptor set that the stub was generated from",
                head.uri.path()
            ))
        })?;
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(Status::unimplemented(format!("{} is streaming; call it over gRPC", method.path())));
        }
        let framed = collect(body, usize::MAX).await.map_err(|error| broken("the request", error))?;
        let message = frame::unary(framed)?;
        let target = request::transcode(&self.schema.0, method.table(), &message)?;
        let timeout = head.headers.get("grpc-timeout").and_then(parse_timeout);
        let rule = target.rule;
        let request = self.request(target, &head.headers, timeout)?;
        let exchange = async {
            let response = send(inner, request).await?;
            let (head, body) = response.into_parts();
            let body = collect(body, self.limit).await.map_err(|error| broken("the answer", error))?;
            Ok::<_, Status>((head, body))
        };
        let (head, body) = match timeout {
            None => exchange.await?,
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .map_err(|_| Status::deadline_exceeded(format!("no answer within {limit:?}")))??,
        };
        if !head.status.is_success() {
            let mut failed = status::from_http(&self.schema.0, head.status, &body);
            *failed.metadata_mut() = tonic::metadata::MetadataMap::from_headers(reply::metadata(&head.headers));
            return Err(failed);
        }
        let message = accept::read_reply(&self.schema.0, method.table(), rule, &body)?;
        Ok(reply::success(&message, reply::metadata(&head.headers)))
    }

    fn request(
        &self,
        target: request::Target<'_>,
        metadata: &HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Request<Full<Bytes>>, Status> {
        let bad = |error: &dyn fmt::Display| Status::internal(format!("the request cannot be built: {error}"));
        let path = target.target.parse().map_err(|error: http::uri::InvalidUri| bad(&error))?;
        let url = self.origin.url(path).map_err(|error| bad(&error))?;
        let has_body = target.body.is_some();
        let mut request = Request::new(Full::new(Bytes::from(target.body.unwrap_or_default())));
        *request.method_mut() = target.verb;
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        for (name, value) in metadata {
            if reply::is_metadata(name.as_str()) {
                headers.append(name, value.clone());
            }
        }
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(timeout) = timeout {
            // Seconds, as Google's front ends read it.
            if let Ok(seconds) = HeaderValue::try_from(timeout.as_secs_f64().to_string()) {
                headers.insert(HeaderName::from_static("x-server-timeout"), seconds);
            }
        }
        Ok(request)
    }
}

async fn send<S, B>(mut inner: S, request: Request<Full<Bytes>>) -> Result<Response<B>, Status>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let unavailable = |error: S::Error| Status::unavailable(format!("the request failed: {}", chain(&*error.into())));
    std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(unavailable)?;
    inner.call(request).await.map_err(unavailable)
}

fn broken(what: &str, error: CollectError) -> Status {
    match error {
        CollectError::TooLarge => Status::resource_exhausted(format!("{what} is larger than the limit")),
        CollectError::Failed(cause) => Status::unavailable(format!("{what} broke off: {cause}")),
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
///
/// Source: gRPC over HTTP/2, "Timeout".
pub(super) fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
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
