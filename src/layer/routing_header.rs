use grpc_transcoding::HttpRules;
use http::{HeaderName, HeaderValue};
use tonic::Status;

use super::{call::UnaryCall, stack::Steps};

/// The metadata that says which resource a call is about.
const REQUEST_PARAMS: HeaderName = HeaderName::from_static("x-goog-request-params");

/// A layer that says in `x-goog-request-params` which resource a call is
/// about, so that the API's front end can choose a server without reading the
/// message: the variables of the path template of the method's first HTTP binding.
/// Methods without such variables, and calls that have the header, pass unchanged.
///
/// Calls whose request is a stream pass unchanged.
///
/// Source: [AIP-4222](https://google.aip.dev/client-libraries/4222), "Implicit
/// routing headers".
#[derive(Clone, Debug)]
pub struct RoutingHeaderLayer(pub(super) Steps);

impl RoutingHeaderLayer {
    /// Adds the header to the calls of the methods of `rules`.
    pub fn new(rules: impl Into<HttpRules>) -> Self {
        Self(Steps { rules: Some(rules.into()), routing_header: true, ..Steps::default() })
    }
}

pub(super) fn apply(call: &mut UnaryCall<'_>) -> Result<(), Status> {
    let first = call.bindings.bindings().first();
    let has_variables = first.is_some_and(|binding| binding.template().variables().next().is_some());
    if !has_variables || call.head.headers.contains_key(REQUEST_PARAMS) {
        return Ok(());
    }
    let params = call.bindings.routing_params(&call.message)?;
    if let (false, Ok(value)) = (params.is_empty(), HeaderValue::try_from(params)) {
        call.head.headers.insert(REQUEST_PARAMS, value);
    }
    Ok(())
}
