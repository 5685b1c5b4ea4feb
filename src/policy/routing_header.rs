use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use tonic::{Status, body::Body};

use super::{
    service::{Answer, Inner, service},
    take,
};
use grpc_transcoding::{HttpRules, MethodBindings, rpc as frame};

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
    schema: HttpRules,
}

impl<S> RoutingHeader<S> {
    /// Adds the header to the calls of the methods of `schema`.
    pub fn new(inner: S, schema: HttpRules) -> Self {
        Self { inner, schema }
    }

    fn routed(&self, call: &Request<Body>) -> Option<&MethodBindings> {
        let method = self.schema.method(call.uri().path())?;
        let has_variables = method.bindings().first()?.template().variables().next().is_some();
        let wanted =
            has_variables && !method.method().is_client_streaming() && !call.headers().contains_key(REQUEST_PARAMS);
        wanted.then_some(method)
    }
}

service!(RoutingHeader);

impl<S> RoutingHeader<S> {
    fn through<I: Inner>(&self, mut inner: I, call: Request<Body>) -> Answer {
        if self.routed(&call).is_none() {
            return Box::pin(inner.call(call));
        }
        let rules = self.schema.clone();
        Box::pin(async move {
            let Some(method) = rules.method(call.uri().path()) else { return inner.call(call).await };
            match with_header(call, method).await {
                Ok(call) => inner.call(call).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

async fn with_header(call: Request<Body>, method: &MethodBindings) -> Result<Request<Body>, Status> {
    let (mut head, frames) = take(call).await?;
    let encoding = head.headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    let message = frame::unary(frames.clone(), encoding, usize::MAX)?;
    let params = method.routing_params(&message)?;
    if let (false, Ok(value)) = (params.is_empty(), HeaderValue::try_from(params)) {
        head.headers.insert(REQUEST_PARAMS, value);
    }
    Ok(Request::from_parts(head, Body::new(Full::new(frames))))
}
