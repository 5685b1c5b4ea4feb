use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use tonic::{Status, body::Body};

use super::{
    service::{Answer, Inner, service},
    take,
};
use crate::{
    Schema,
    schema::Method,
    transcoding::{frame, request},
};

/// The metadata that says which resource a call is about.
const REQUEST_PARAMS: HeaderName = HeaderName::from_static("x-goog-request-params");

/// A tower service that says in `x-goog-request-params` which resource a call is
/// about, so that the API's front end can choose a server without reading the
/// message: the variables of the path template of the method's first HTTP binding.
/// Methods without such variables, and calls that have the header, pass through.
///
/// Source: [AIP-4222](https://google.aip.dev/client-libraries/4222), "Implicit
/// routing headers".
#[derive(Clone, Debug)]
pub struct RoutingHeader<S> {
    inner: S,
    schema: Schema,
}

impl<S> RoutingHeader<S> {
    /// Adds the header to the calls of the methods of `schema`.
    pub fn new(inner: S, schema: Schema) -> Self {
        Self { inner, schema }
    }

    fn routed(&self, call: &Request<Body>) -> Option<Method> {
        let method = self.schema.method(call.uri().path())?;
        let has_variables = method.http_bindings().next()?.1.variables().next().is_some();
        let wanted = has_variables && !method.is_client_streaming() && !call.headers().contains_key(REQUEST_PARAMS);
        wanted.then_some(method)
    }
}

service!(RoutingHeader);

impl<S> RoutingHeader<S> {
    fn through<I: Inner>(&self, mut inner: I, call: Request<Body>) -> Answer {
        let Some(method) = self.routed(&call) else { return Box::pin(inner.call(call)) };
        Box::pin(async move {
            match with_header(call, &method).await {
                Ok(call) => inner.call(call).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

async fn with_header(call: Request<Body>, method: &Method) -> Result<Request<Body>, Status> {
    let (mut head, frames) = take(call).await?;
    let encoding = head.headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    let message = frame::unary(frames.clone(), encoding, usize::MAX)?;
    let params =
        request::routing_params(method.tables(), method.table(), &message).map_err(Status::invalid_argument)?;
    if let (false, Ok(value)) = (params.is_empty(), HeaderValue::try_from(params)) {
        head.headers.insert(REQUEST_PARAMS, value);
    }
    Ok(Request::from_parts(head, Body::new(Full::new(frames))))
}
