//! From REST clients to a gRPC service.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, TE},
};
use http_body_util::Full;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    BoxError, MESSAGE_LIMIT, chain,
    reply::{self, CollectError, collect},
};
use crate::{
    Schema,
    schema::{HttpRule, MethodType},
    transcoding::{
        accept::{self, Route},
        frame, status,
    },
};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// A tower service that stands in front of a gRPC service and offers its
/// methods as REST, by their `google.api.http` rules. Calls that are gRPC
/// already pass through.
#[derive(Clone)]
pub struct Gateway<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    schema: Schema,
    limit: usize,
}

impl<S> Gateway<S> {
    /// Puts a gateway for the methods of `schema` in front of `inner`.
    pub fn new(schema: Schema, inner: S) -> Self {
        Self { inner, shared: Arc::new(Shared { schema, limit: MESSAGE_LIMIT }) }
    }
}

impl<S> fmt::Debug for Gateway<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("schema", &self.shared.schema).finish_non_exhaustive()
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, shared) = (self.inner.clone(), Arc::clone(&self.shared));
        Box::pin(async move {
            let grpc = request
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
            Ok(if grpc {
                let call = request.map(Body::new);
                send(inner, call).await.map_or_else(reply::failure, |response| response.map(Body::new))
            } else {
                let answer = shared.rest(inner, request).await;
                answer.unwrap_or_else(|refusal| refusal.into_response(&shared.schema))
            })
        })
    }
}

/// A request that is answered with an error.
struct Refusal {
    status: Status,
    http: Option<StatusCode>,
    allow: Vec<Method>,
    metadata: HeaderMap,
}

impl From<Status> for Box<Refusal> {
    fn from(status: Status) -> Self {
        let metadata = reply::metadata(status.metadata().as_ref());
        Box::new(Refusal { status, http: None, allow: Vec::new(), metadata })
    }
}

impl Refusal {
    fn new(http: StatusCode, status: Status) -> Box<Self> {
        let mut refusal: Box<Self> = status.into();
        refusal.http = Some(http);
        refusal
    }

    fn into_response(self, schema: &Schema) -> Response<Body> {
        let body = status::to_body(&schema.0, &self.status);
        let http = self.http.unwrap_or_else(|| status::http_status(self.status.code()));
        let mut response = json(http, body, self.metadata);
        for verb in self.allow {
            if let Ok(verb) = HeaderValue::from_str(verb.as_str()) {
                response.headers_mut().append(ALLOW, verb);
            }
        }
        response
    }
}

fn json(status: StatusCode, body: Vec<u8>, metadata: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    *response.headers_mut() = metadata;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

impl Shared {
    /// One request: find the method, take the body, make the message, call,
    /// answer.
    async fn rest<S, B, R>(&self, inner: S, request: Request<B>) -> Result<Response<Body>, Box<Refusal>>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
        R: http_body::Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let (method, rule, values) = self.route(&head.method, head.uri.path())?;
        check_content_type(&head.headers)?;
        let body = collect(body, self.limit).await.map_err(|error| match error {
            CollectError::TooLarge => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Status::invalid_argument(format!("the body is larger than {} bytes", self.limit)),
            ),
            CollectError::Failed(cause) => Status::cancelled(format!("the body broke off: {cause}")).into(),
        })?;
        let query = head.uri.query().unwrap_or_default();
        let message = accept::transcode(&self.schema.0, method, rule, &values, query, &body)?;
        let call = call(method, &message, &head.headers)?;
        let (head, message) = answer(send(inner, call).await?, self.limit).await?;
        let body = accept::reply(&self.schema.0, method, rule, &message)?;
        Ok(json(StatusCode::OK, body, reply::metadata(&head)))
    }

    fn route<'t>(
        &'t self,
        verb: &Method,
        path: &str,
    ) -> Result<(&'t MethodType, &'t HttpRule, Vec<String>), Box<Refusal>> {
        match accept::route(&self.schema.0, verb, path)? {
            Route::Found { method, rule, values } => Ok((method, rule, values)),
            Route::WrongVerb(allow) => {
                let status = Status::unimplemented(format!("{path} cannot be requested with {verb}"));
                let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, status);
                refusal.allow = allow;
                Err(refusal)
            }
            Route::Unknown => Err(Status::not_found(format!("nothing is served at {path}")).into()),
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Box<Refusal>> {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return Ok(()) };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind.ends_with("+json") {
        return Ok(());
    }
    let problem = format!("the content type is `{kind}`; send application/json");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)))
}

/// The gRPC call of a message.
fn call(method: &MethodType, message: &[u8], headers: &HeaderMap) -> Result<Request<Body>, Status> {
    let mut call = Request::new(Body::new(Full::new(frame::frame(message)?)));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = method
        .path
        .parse()
        .map_err(|error| Status::internal(format!("the method's path cannot be requested: {error}")))?;
    *call.version_mut() = http::Version::HTTP_2;
    *call.headers_mut() = reply::metadata(headers);
    call.headers_mut().insert(CONTENT_TYPE, reply::GRPC);
    call.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    Ok(call)
}

/// The headers and the message of a gRPC answer.
async fn answer<R>(response: Response<R>, limit: usize) -> Result<(HeaderMap, Bytes), Status>
where
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    use http_body_util::BodyExt;
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers).filter(|status| status.code() != tonic::Code::Ok) {
        return Err(status);
    }
    let collected = http_body_util::Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            return Status::resource_exhausted(format!("the answer is larger than {limit} bytes"));
        }
        Status::unavailable(format!("the answer broke off: {}", chain(&*error)))
    })?;
    match collected.trailers().and_then(Status::from_header_map) {
        Some(status) if status.code() != tonic::Code::Ok => return Err(status),
        None if !head.headers.contains_key("grpc-status") => {
            return Err(Status::unknown("the backend's answer has no grpc-status; it is not a gRPC server"));
        }
        _ => {}
    }
    Ok((head.headers, frame::unary(collected.to_bytes())?))
}

async fn send<S, R>(mut inner: S, call: Request<Body>) -> Result<Response<R>, Status>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let unavailable = |error: S::Error| Status::unavailable(format!("the backend failed: {}", chain(&*error.into())));
    std::future::poll_fn(|context| inner.poll_ready(context)).await.map_err(unavailable)?;
    inner.call(call).await.map_err(unavailable)
}
