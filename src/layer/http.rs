//! HTTP requests that are no calls of a stub, such as those that carry files.

use bytes::Bytes;
use grpc_transcoding::{client, rpc::BoxError};
use http::{HeaderName, HeaderValue, Request, Response, Version};
use http_body_util::Full;
use tonic::Status;
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span};

use super::{Attempts, PREVIOUS_ATTEMPTS, RetryPolicy, Scopes, stack::Steps, trace};

/// How the span of a request names it: by the method that it belongs to and the template of its
/// path, since the path itself may hold a secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
}

impl Steps {
    /// The policy by which requests are made again.
    pub(crate) fn policy(&self) -> RetryPolicy {
        self.retry.clone().unwrap_or(RetryPolicy::ONCE)
    }

    /// Adds a header to all requests.
    pub(crate) fn add_header(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        self.headers.extend(value.map(|value| (name, value)));
    }

    /// Sends a request once, with the headers of the stack, and with a token for `scopes`, or for
    /// the stack's own. The response may have any status, and its body is still to be read. The
    /// caller holds the time of the attempt.
    ///
    /// # Errors
    ///
    /// If there is no token or no response.
    pub(crate) async fn send<S, B>(
        &self,
        http: S,
        named: Named,
        mut request: Request<Full<Bytes>>,
        scopes: Option<&Scopes>,
        attempts: &mut Attempts,
    ) -> Result<Response<B>, Status>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
    {
        if attempts.made() > 0 {
            request.headers_mut().insert(PREVIOUS_ATTEMPTS, HeaderValue::from(attempts.made()));
        }
        let span = self.attempt_trace.as_ref().map_or_else(Span::none, |trace| {
            let span = trace.attempt(named.method, request.headers());
            span.record("http.request.method", request.method().as_str());
            span.record("url.template", named.template);
            span
        });
        let attempt = async {
            self.add_headers(request.headers_mut());
            if let Some(auth) = &self.auth {
                let refused = attempts.token.take();
                let scopes = scopes.unwrap_or(&self.scopes);
                attempts.token = auth.apply(request.headers_mut(), scopes, refused.as_ref()).await?;
            }
            http.oneshot(request).await.map_err(client::unsent)
        };
        let outcome = attempt.instrument(span.clone()).await;
        match &outcome {
            Ok(response) => {
                let version = if response.version() == Version::HTTP_2 { "2" } else { "1.1" };
                span.record("http.response.status_code", response.status().as_u16());
                span.record("network.protocol.version", version);
            }
            Err(status) => trace::record(&span, status.code()),
        }
        outcome
    }
}
