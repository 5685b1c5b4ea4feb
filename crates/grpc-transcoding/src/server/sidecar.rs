//! From the gRPC stubs of any language to what is under a Rust stub: mostly
//! `HttpJson`, and so a REST API.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::Full;
use tonic::{Status, body::Body, metadata::MetadataValue};
use tower::{Layer, Service};

use super::{
    BoxError,
    budget::{Budget, Charged, Share},
    gateway::{BODIES, IDLE, TIMEOUT, no_room, patiently, unfit},
    idle::Idle,
    inner::{BoxBody, Inner, boxed},
};
use crate::{
    HttpRules, MethodBindings,
    rpc::{
        BROKEN, BoxFuture, CollectError, HEADER, Lasting, MESSAGE_LIMIT, chain, collect,
        deadline::{Deadline, parse_timeout, timeout_value},
        frame::{self, Frames},
        header,
        metadata::{METADATA_LIMIT, check},
        response::{self, GRPC_ENCODING, GRPC_TIMEOUT},
    },
};

/// A tower service that takes gRPC calls from the network, as the stubs of any language
/// send them, and hands them to a service that goes under a Rust stub: `HttpJson`, so that
/// every stub calls a REST API; or `Auto`, or `Grpc`; with layers or without.
///
/// It holds the limits that such a service does not, since a stub in the same process is no
/// stranger. What is no gRPC over HTTP/2 is refused with an HTTP status.
///
#[cfg_attr(feature = "client", doc = "```")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// mod library {
///     include!("../../tests/library/stub.rs"); // in your crate: tonic::include_proto!("example.library.v1");
/// }
/// use grpc_transcoding::{
///     DescriptorPool, HttpRules,
///     client::{Grpc, HttpJson, Origin},
///     server::{ServeOptions, Sidecar, serve},
/// };
/// use library::{SearchBooksRequest, library_client::LibraryClient};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # // A REST API that answers each search with the title that was asked for.
/// # let api = tower::service_fn(|request: http::Request<_>| async move {
/// #     let title = request.uri().query().and_then(|query| query.strip_prefix("title=")).unwrap_or_default();
/// #     let body = format!(r#"{{"books": [{{"title": "{title}"}}]}}"#);
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::from(body)))
/// # });
/// let rules = HttpRules::new(&DescriptorPool::decode(include_bytes!("../../tests/library/library.bin"))?);
/// // With `build()` in place of this it goes over the network.
/// let http = HttpJson::builder(&rules, "https://library.example").build_over(api)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// tokio::spawn(serve(listener, Sidecar::new(rules, http), ServeOptions::default()));
///
/// // Now the stub of any language can call the API. This one is Rust's.
/// let mut stub = LibraryClient::new(Grpc::new(Origin::parse(&format!("http://{address}"))?)?);
/// let request = SearchBooksRequest { parent: "shelves/1".into(), title: "Dune".into() };
/// assert_eq!(stub.search_books(request).await?.into_inner().books[0].title, "Dune");
/// # Ok(())
/// # }
/// ```
///
/// In a server that there is already, it is a service for the paths of its methods, as
/// any other: with axum, `Router::route_service("/example.library.v1.Library/{method}",
/// sidecar)`.
#[derive(Clone)]
pub struct Sidecar<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What a [`Sidecar`] bears of its callers; also the tower layer that makes one.
#[derive(Clone)]
pub struct SidecarLayer(Shared);

#[derive(Clone)]
struct Shared {
    rules: HttpRules,
    limit: usize,
    metadata_limit: usize,
    timeout: Option<Duration>,
    idle: Option<Duration>,
    budget: Budget,
}

impl SidecarLayer {
    /// Makes sidecars for the methods of a [`DescriptorPool`](crate::DescriptorPool), or of
    /// [`HttpRules`] with a service config. Calls of other methods are handed on as they
    /// come: `HttpJson` answers them with UNIMPLEMENTED, and `Grpc` sends them.
    pub fn new(rules: impl Into<HttpRules>) -> Self {
        Self(Shared {
            rules: rules.into(),
            limit: MESSAGE_LIMIT,
            metadata_limit: METADATA_LIMIT,
            timeout: Some(TIMEOUT),
            idle: Some(IDLE),
            budget: Budget::new(BODIES),
        })
    }

    /// Sets the largest request that is taken, in bytes: a message, also after it is
    /// unpacked, or all of an upload. The default is 4 MiB. Responses have the limit of the
    /// service behind.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.0.limit = bytes;
        self
    }

    /// Sets how large the metadata of a call may be, counted as HTTP/2 does: name, value
    /// and 32 bytes for each. The default is 8 KiB, as gRPC recommends to servers.
    #[must_use]
    pub fn max_metadata_size(mut self, bytes: usize) -> Self {
        self.0.metadata_limit = bytes;
        self
    }

    /// Sets how long a call may take whose caller sets no earlier deadline; it holds for
    /// streams only as far as their caller asks. The default is 60 seconds.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.timeout = limit;
        self
    }

    /// Sets how long a stream may be without a message; then it ends with
    /// DEADLINE_EXCEEDED. The default is 10 minutes.
    #[must_use]
    pub fn stream_idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.0.idle = limit;
        self
    }

    /// Sets how many bytes of requests are held at a time, of all calls together, beside
    /// the first 16 KiB of each. A call for which there is no room ends with UNAVAILABLE.
    /// The default is 256 MiB.
    #[must_use]
    pub fn max_body_memory(mut self, bytes: usize) -> Self {
        self.0.budget = Budget::new(bytes);
        self
    }
}

impl<S> Layer<S> for SidecarLayer {
    type Service = Sidecar<S>;

    fn layer(&self, inner: S) -> Sidecar<S> {
        Sidecar { inner, shared: Arc::new(self.0.clone()) }
    }
}

impl fmt::Debug for SidecarLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SidecarLayer").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl<S> Sidecar<S> {
    /// Puts a sidecar for the methods of a [`DescriptorPool`](crate::DescriptorPool), or of
    /// [`HttpRules`], over `inner`, with [`SidecarLayer`]'s defaults.
    pub fn new(rules: impl Into<HttpRules>, inner: S) -> Self {
        SidecarLayer::new(rules).layer(inner)
    }
}

impl<S> fmt::Debug for Sidecar<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecar").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Sidecar<S>
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

    fn call(&mut self, call: Request<B>) -> Self::Future {
        if let Some(refusal) = no_grpc(&call) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        Arc::clone(&self.shared).serve(Inner::new(self.inner.clone()), call.map(boxed))
    }
}

impl Shared {
    fn serve(self: Arc<Self>, inner: Inner, call: Request<BoxBody>) -> BoxFuture<Result<Response<Body>, Infallible>> {
        Box::pin(async move {
            let mut response = self.call(inner, call).await.unwrap_or_else(response::failure);
            // It is for layers between a stub and this, of which there are none on the network.
            response.headers_mut().remove(BROKEN);
            Ok(response)
        })
    }

    async fn call(&self, inner: Inner, mut call: Request<BoxBody>) -> Result<Response<Body>, Status> {
        check(call.headers_mut(), self.metadata_limit).map_err(|error| unfit(&error))?;
        let asked = asked_timeout(call.headers())?;
        let Some(method) = self.rules.method(call.uri().path()).filter(|method| method.is_sendable()) else {
            // Messages that flow in both directions are held back by whoever reads them.
            return self.lasting(inner, call.map(Body::new)).await;
        };
        let streams = method.method().is_server_streaming();
        let timeout = match self.timeout.filter(|_| !streams) {
            Some(limit) => Some(asked.map_or(limit, |asked| asked.min(limit))),
            None => asked,
        };
        if timeout != asked
            && let Some(timeout) = timeout
        {
            call.headers_mut().insert(&GRPC_TIMEOUT, timeout_value(timeout));
        }
        let deadline = Deadline::after(timeout);
        let mut share = self.budget.share();
        let (mut head, body) = call.into_parts();
        // A stream may last, but not the request of one.
        let taking = Deadline::after(timeout.or(self.timeout));
        let framed = taking.within(self.take(method, &mut head.headers, body, &mut share)).await?;
        let call = Request::from_parts(head, Body::new(Full::new(framed)));
        if streams {
            return self.lasting(inner, call).await;
        }
        Ok(deadline.within(inner.send(call)).await?.map(Body::new))
    }

    /// Takes in the message of a call, or all messages of an upload, and unpacks what is
    /// packed.
    async fn take(
        &self,
        method: &MethodBindings,
        headers: &mut HeaderMap,
        body: BoxBody,
        share: &mut Share,
    ) -> Result<Bytes, Status> {
        let framed = collect(Charged { body, share }, self.limit.saturating_add(HEADER)).await;
        let framed = framed.map_err(|error| match error {
            CollectError::TooLarge => self.too_large(),
            _ if share.is_refused() => no_room(),
            CollectError::Malformed(cause) | CollectError::Failed(cause) => {
                Status::cancelled(format!("the request broke off: {}", chain(&*cause)))
            }
        })?;
        // The length is that of the body as it came.
        headers.remove(CONTENT_LENGTH);
        let encoding = headers.remove(&GRPC_ENCODING);
        let encoding = encoding.as_ref().map(HeaderValue::as_bytes);
        let upload = method.method().is_client_streaming();
        // Whether it is packed each message says for itself.
        if !upload && framed.first() == Some(&0) || upload && encoding.is_none_or(|encoding| encoding == b"identity") {
            return Ok(framed);
        }
        let mut frames = Frames::new(encoding, self.limit);
        frames.push(framed);
        let mut plain = Vec::new();
        while let Some(message) = frames.next().map_err(with_known_encodings)? {
            let mut room = frame::room(message.len());
            room.extend_from_slice(&message);
            plain.extend_from_slice(&frame::frame(room)?);
            if plain.len() > self.limit.saturating_add(HEADER) {
                return Err(self.too_large());
            }
        }
        if frames.rest() > 0 {
            return Err(Status::internal("the last message is cut off"));
        }
        if share.grow(plain.len()) { Ok(plain.into()) } else { Err(no_room()) }
    }

    /// Hands on a call that may last.
    async fn lasting(&self, inner: Inner, mut call: Request<Body>) -> Result<Response<Body>, Status> {
        call.extensions_mut().insert(Lasting::Response);
        let response = patiently(self.idle, inner.send(call)).await?;
        Ok(response.map(|body| Body::new(Idle::new(body, self.idle))))
    }

    fn too_large(&self) -> Status {
        Status::resource_exhausted(format!("the request is larger than the limit of {} bytes", self.limit))
    }
}

/// The response to what is no gRPC over HTTP/2: a browser, a health check of HTTP, or a
/// client of a protocol that is like gRPC.
fn no_grpc<B>(request: &Request<B>) -> Option<Response<Body>> {
    let (status, problem) = if !header::is_grpc(request.headers()) {
        let problem = "this port takes gRPC; send REST requests to the API itself";
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, problem)
    } else if request.version() < Version::HTTP_2 {
        // Over HTTP/1.1 the status, which comes in trailers, would not arrive.
        let problem = "gRPC needs HTTP/2; connect without a proxy in between that speaks HTTP/1.1 only";
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, problem)
    } else if request.method() != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are sent by POST")
    } else {
        return None;
    };
    let mut response = Response::new(Body::new(Full::from(format!("{problem}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

/// How long the caller waits. One that cannot be read is no reason to wait for ever.
fn asked_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(&GRPC_TIMEOUT) else { return Ok(None) };
    let timeout = parse_timeout(value);
    timeout.map(Some).ok_or_else(|| Status::invalid_argument("grpc-timeout is not up to eight digits and a unit"))
}

/// A status that says how messages may be packed, where one was packed in another way.
///
/// Source: [gRPC compression](https://github.com/grpc/grpc/blob/master/doc/compression.md),
/// "Compression Method Supported by the Server".
fn with_known_encodings(mut status: Status) -> Status {
    if status.code() == tonic::Code::Unimplemented {
        status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity,gzip"));
    }
    status
}
