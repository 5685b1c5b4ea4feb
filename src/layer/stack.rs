use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use grpc_transcoding::{
    HttpRules, MethodBindings,
    client::Origin,
    rpc::{self, BoxError},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use super::{
    AuthError, AuthLayer, RequestIdLayer, RetryLayer, RetryPolicy, RoutingHeaderLayer, Scopes, TraceLayer,
    auth::Auth,
    call::{UnaryCall, method_of_one_message},
    request_id, retry, routing_header,
    send::{Attempt, Framing, Sender, Whole},
    trace::{self, Trace},
};
use crate::Credentials;

/// All layers of this module in the right order, as one layer.
///
/// ```no_run
/// # fn over(rules: google_chat::grpc_transcoding::HttpRules) -> Result<(), Box<dyn std::error::Error>> {
/// use google_chat::{Credentials, layer::{RetryPolicy, Stack}};
/// use google_chat::grpc_transcoding::client::{HttpJson, Origin};
/// use tower::Layer;
///
/// let endpoint = "https://library.googleapis.com";
/// let layers = Stack::new(&rules, &Origin::parse(endpoint)?)
///     .retry(RetryPolicy::default().with_attempts(3))
///     .credentials(Credentials::application_default())?
///     .scopes(["https://www.googleapis.com/auth/cloud-platform"]);
/// let service = layers.layer(HttpJson::builder(rules, endpoint).build()?);
/// // LibraryClient::new(service), or any other generated stub
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) steps: Steps,
    origin: Origin,
}

impl Stack {
    /// The layers for calls of the methods of `rules` that are sent to `origin`: spans,
    /// routing headers, request ids and retries. Credentials are to be set.
    pub fn new(rules: impl Into<HttpRules>, origin: &Origin) -> Self {
        let steps = Steps {
            rules: Some(rules.into()),
            call_trace: Some(Trace::new(origin)),
            routing_header: true,
            fill_request_ids: true,
            retry: Some(RetryPolicy::default()),
            attempt_trace: Some(Trace::new(origin)),
            ..Steps::default()
        };
        Self { steps, origin: origin.clone() }
    }

    /// Sets whether an empty request id is filled in, as it is by default.
    #[must_use]
    pub fn fill_request_ids(mut self, fill: bool) -> Self {
        self.steps.fill_request_ids = fill;
        self
    }

    /// Sets when calls are made again, and how long they may take.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.steps.retry = Some(policy);
        self
    }

    /// Sets who makes the calls; nobody by default.
    ///
    /// # Errors
    ///
    /// If the token would travel in clear text.
    pub fn credentials(mut self, credentials: Credentials) -> Result<Self, AuthError> {
        self.steps.auth = Some(Auth::new(&self.origin, credentials)?);
        Ok(self)
    }

    /// Sets the OAuth 2.0 scopes that the tokens are to have, in full. There are none by
    /// default.
    #[must_use]
    pub fn scopes<I: IntoIterator<Item: Into<String>>>(mut self, scopes: I) -> Self {
        self.steps.scopes = Scopes::new(scopes);
        self
    }

    /// Sets a step that sees each call with one message before the others do.
    #[must_use]
    pub(crate) fn prepare<F>(mut self, prepare: F) -> Self
    where
        F: Fn(&mut UnaryCall<'_>) -> Result<(), Status> + Send + Sync + 'static,
    {
        self.steps.prepare = Some(Arc::new(prepare));
        self
    }

    /// Adds a header to every call that does not have it.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.steps.headers.insert(name, value);
        self
    }
}

/// A service with layers over it: what every layer of this module makes. Its failures are
/// gRPC statuses.
///
/// The response of a unary call is passed on when it is whole, and is at most 64 MiB.
#[derive(Clone, Debug)]
pub struct Layered<S> {
    steps: Arc<Steps>,
    inner: S,
}

macro_rules! layers {
    ($($layer:ident $steps:tt),*) => {$(
        impl<S> Layer<S> for $layer {
            type Service = Layered<S>;

            fn layer(&self, inner: S) -> Layered<S> {
                Layered { steps: Arc::new(self.$steps.clone()), inner }
            }
        }
    )*};
}

layers!(Stack steps, TraceLayer 0, RoutingHeaderLayer 0, RequestIdLayer 0, RetryLayer 0, AuthLayer 0);

impl<S, B> Service<Request<Body>> for Layered<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is made ready within the call, so that its failure becomes a
        // status.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        let (steps, mut sender) = (Arc::clone(&self.steps), Framing(self.inner.clone()));
        Box::pin(async move { Ok(steps.call(call, &mut sender).await) })
    }
}

/// A step of a client's own, which sees each call with one message before the others do.
pub(super) type Prepare = Arc<dyn Fn(&mut UnaryCall<'_>) -> Result<(), Status> + Send + Sync>;

/// The steps that a call goes through, each of which may be left out.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    /// The methods whose calls go through the steps.
    pub(super) rules: Option<HttpRules>,
    pub(super) call_trace: Option<Trace>,
    pub(super) prepare: Option<Prepare>,
    pub(super) routing_header: bool,
    pub(super) fill_request_ids: bool,
    pub(super) headers: HeaderMap,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) attempt_trace: Option<Trace>,
    pub(super) auth: Option<Auth>,
    pub(super) scopes: Scopes,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A header may hold a key of the caller's.
        f.debug_struct("Steps").field("retry", &self.retry).field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl Steps {
    pub(crate) async fn call<T: Sender>(&self, call: Request<Body>, sender: &mut T) -> Response<Body> {
        let span = self.call_trace.as_ref().map_or_else(Span::none, |trace| trace.call(call.uri().path()));
        let method = self.rules.as_ref().and_then(|rules| method_of_one_message(rules, &call));
        let method = match method {
            Some(method) if !method.method().is_server_streaming() => method,
            _ => {
                // In a box of its own, which unary calls need not carry along.
                let stream: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async {
                    let call = match method {
                        Some(method) => self.server_stream(method, call).await,
                        None => Ok(call),
                    };
                    match call {
                        Ok(call) => self.stream(call, sender).await,
                        Err(status) => rpc::failure(status),
                    }
                });
                return trace::spanned(span, stream).await;
            }
        };
        // Pinned where it is made: to move a future of this size costs more than a step.
        let unary = pin!(async {
            let mut call = UnaryCall::read(method, call).await?;
            self.prepare(&mut call)?;
            retry::attempts(self, &call, sender).await
        });
        let outcome = unary.instrument(span.clone()).await;
        trace::record(&span, code(&outcome));
        outcome.map_or_else(rpc::failure, |response| response.map(Body::new))
    }

    /// Prepares a call with one message whose response is a stream. It is made once, since part
    /// of its response may have been passed on when it fails.
    async fn server_stream(&self, method: &MethodBindings, call: Request<Body>) -> Result<Request<Body>, Status> {
        let mut call = UnaryCall::read(method, call).await?;
        self.prepare(&mut call)?;
        Ok(call.into_request())
    }

    /// Adds to a call what is the same for all its attempts.
    fn prepare(&self, call: &mut UnaryCall<'_>) -> Result<(), Status> {
        if let Some(prepare) = &self.prepare {
            prepare(call)?;
        }
        if self.routing_header {
            routing_header::apply(call)?;
        }
        request_id::apply(call, self.fill_request_ids)?;
        self.add_headers(&mut call.head.headers);
        Ok(())
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
    }

    /// The policy of a call's retries. Without a step of that kind it is made once, but for a
    /// token that is refused.
    pub(super) fn retry_policy<'c>(&'c self, call: &'c UnaryCall<'_>) -> &'c RetryPolicy {
        static ONCE: RetryPolicy = RetryPolicy::ONCE;
        let Some(policy) = &self.retry else { return &ONCE };
        call.head.extensions.get().unwrap_or(policy)
    }

    /// Makes a unary call once. `token` is the one that was refused before; afterwards it
    /// is the one that was sent, if its source can give another.
    pub(super) async fn attempt<T: Sender>(
        &self,
        call: &UnaryCall<'_>,
        mut headers: HeaderMap,
        timeout: Option<Duration>,
        token: &mut Option<HeaderValue>,
        sender: &mut T,
    ) -> Result<Response<Whole>, Status> {
        let path = call.bindings.method().path();
        let span = self.attempt_trace.as_ref().map_or_else(Span::none, |trace| trace.attempt(path, &headers));
        let attempt = pin!(async {
            if let Some(auth) = &self.auth {
                let scopes = call.scopes.as_ref().unwrap_or(&self.scopes);
                let refused = token.take();
                *token = auth.apply(&mut headers, scopes, refused.as_ref()).await?;
            }
            // The server is told whole milliseconds, rounded up, so that it does not see the
            // limit pass before it has.
            let timeout = timeout.map(|limit| Duration::from_millis(limit.as_micros().div_ceil(1_000) as u64));
            sender.unary(Attempt { call, headers, timeout }).await
        });
        let attempt = attempt.instrument(span.clone());
        let outcome = match timeout {
            None => attempt.await,
            Some(limit) => tokio::time::timeout(limit, attempt)
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no response within {limit:?}")))),
        };
        trace::record(&span, code(&outcome));
        outcome
    }

    /// Passes on a call whose response may be a stream, as may its request.
    async fn stream<T: Sender>(&self, mut call: Request<Body>, sender: &mut T) -> Response<Body> {
        let path = call.uri().path();
        let span = self.attempt_trace.as_ref().map_or_else(Span::none, |trace| trace.attempt(path, call.headers()));
        self.add_headers(call.headers_mut());
        let exchange = async {
            if let Some(auth) = &self.auth {
                let scopes = call.extensions().get().unwrap_or(&self.scopes).clone();
                auth.apply(call.headers_mut(), &scopes, None).await?;
            }
            sender.stream(call).await
        };
        let response = async { exchange.await.unwrap_or_else(rpc::failure) };
        trace::spanned(span, pin!(response)).await
    }
}

fn code(outcome: &Result<Response<Whole>, Status>) -> Code {
    outcome.as_ref().map_or_else(Status::code, |_| Code::Ok)
}
