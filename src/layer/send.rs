//! What sends the calls under the steps.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use grpc_transcoding::{
    client::{self, HttpJson},
    rpc::{self, BoxError, Broken, GRPC_TIMEOUT},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::{Service, ServiceExt};

use super::call::UnaryCall;

/// One attempt to make a unary call.
pub(crate) struct Attempt<'c> {
    pub(crate) call: &'c UnaryCall<'c>,
    /// The headers of this attempt, in place of the call's.
    pub(crate) headers: HeaderMap,
    /// How long the attempt may take, if there is a limit. The caller holds it; the server
    /// is to be told.
    pub(crate) timeout: Option<Duration>,
}

/// Sends calls. A status of the sender's own has a [`Broken`] as its cause where it matters
/// to a retry.
pub(crate) trait Sender: Clone + Send + 'static {
    /// Makes a unary call once.
    fn unary(&mut self, attempt: Attempt<'_>) -> impl Future<Output = Result<Response<Whole>, Status>> + Send;

    /// Passes a call on as it comes.
    fn stream(&mut self, call: Request<Body>) -> impl Future<Output = Result<Response<Body>, Status>> + Send;
}

/// The whole body of a unary call that succeeded: a message in its frame, and trailers.
pub(crate) struct Whole {
    framed: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Whole {
    /// The message in its frame; `None` if there is none.
    pub(crate) fn framed(&self) -> Option<&Bytes> {
        self.framed.as_ref()
    }
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let data = this.framed.take().map(Frame::data);
        Poll::Ready(data.or_else(|| this.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.framed.is_none() && self.trailers.is_none()
    }
}

impl<S, B> Sender for HttpJson<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    async fn unary(&mut self, attempt: Attempt<'_>) -> Result<Response<Whole>, Status> {
        let Attempt { call, headers, timeout } = attempt;
        let response = HttpJson::unary(self, call.bindings, headers, &call.message, timeout).await?;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Ok(response.map(|framed| Whole { framed: Some(framed), trailers: Some(trailers) }))
    }

    async fn stream(&mut self, call: Request<Body>) -> Result<Response<Body>, Status> {
        let Ok(response) = self.call(call).await;
        Ok(response)
    }
}

/// A service that takes calls as a stub makes them: with their messages in frames.
#[derive(Clone, Debug)]
pub(crate) struct Framing<S>(pub(crate) S);

/// The largest response that is kept: far more than a stub takes by default.
const LARGEST: usize = 64 * 1024 * 1024;

impl<S, B> Framing<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    async fn exchange(&mut self, call: Request<Body>) -> Result<Response<B>, Status> {
        let ready = self.0.ready().await.map_err(|error| unready(error.into()))?;
        ready.call(call).await.map_err(|error| failed(error.into()))
    }
}

impl<S, B> Sender for Framing<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    async fn unary(&mut self, attempt: Attempt<'_>) -> Result<Response<Whole>, Status> {
        let Attempt { call, headers, timeout } = attempt;
        let mut request = Request::new(Body::new(Full::new(call.framed.clone())));
        *request.method_mut() = call.head.method.clone();
        *request.uri_mut() = call.head.uri.clone();
        *request.version_mut() = call.head.version;
        *request.extensions_mut() = call.head.extensions.clone();
        *request.headers_mut() = headers;
        if let Some(timeout) = timeout {
            // Eight digits of milliseconds are more than a day.
            let millis = timeout.as_millis().clamp(1, 99_999_999);
            if let Ok(value) = HeaderValue::try_from(format!("{millis}m")) {
                request.headers_mut().insert(&GRPC_TIMEOUT, value);
            }
        }
        let (head, body) = self.exchange(request).await?.into_parts();
        let broken = head.extensions.get::<Broken>().copied();
        let whole = Limited::new(body, LARGEST).collect().await.map_err(cut_off)?;
        let trailers = whole.trailers().cloned().unwrap_or_default();
        let status = rpc::status(&trailers).or_else(|| rpc::status(&head.headers));
        let mut status = status.unwrap_or_else(|| match rpc::code(head.status) {
            Code::Ok => Broken::Lost.cause(Status::unavailable("the response ends without a status")),
            // tonic reads a response without a status in the same way.
            code => Status::new(code, format!("the response is HTTP {}, without a status", head.status)),
        });
        if status.code() == Code::Ok {
            let framed = Some(whole.to_bytes()).filter(|framed| !framed.is_empty());
            return Ok(Response::from_parts(head, Whole { framed, trailers: Some(trailers) }));
        }
        if let Some(broken) = broken {
            status = broken.cause(status);
        }
        // What the headers said before the trailers is metadata, too.
        let mut metadata = std::mem::take(status.metadata_mut()).into_headers();
        for (name, value) in &rpc::metadata(head.headers, None) {
            if !metadata.contains_key(name) {
                metadata.insert(name, value.clone());
            }
        }
        *status.metadata_mut() = MetadataMap::from_headers(metadata);
        Err(status)
    }

    async fn stream(&mut self, call: Request<Body>) -> Result<Response<Body>, Status> {
        Ok(self.exchange(call).await?.map(Body::new))
    }
}

/// The status of a call that was not sent, since the service takes none.
fn unready(error: BoxError) -> Status {
    match error.downcast::<Status>() {
        Ok(status) => *status,
        Err(error) => client::unavailable("the request failed", &*error),
    }
}

/// The status of a call that failed with an error of the service's own.
fn failed(error: BoxError) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return *status,
        Err(error) => error,
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(found) = cause {
        // Nothing was sent where there was no connection.
        if found.is::<tonic::ConnectError>() {
            return unready(error);
        }
        if found.is::<tonic::TimeoutExpired>() {
            return Status::deadline_exceeded("no response in time");
        }
        cause = found.source();
    }
    client::unsent(error)
}

/// The status of a call whose response ended before it was whole.
fn cut_off(error: BoxError) -> Status {
    if error.is::<LengthLimitError>() {
        let problem = format!("the response is larger than the limit of {LARGEST} bytes");
        return Broken::TooLarge.cause(Status::resource_exhausted(problem));
    }
    Broken::Lost.cause(Status::unavailable(format!("the response broke off: {}", rpc::chain(&*error))))
}
