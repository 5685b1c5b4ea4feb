//! Google Chat: the client with its defaults.
//!
//! [`Client`] puts the generated stub over the wire that is asked for, with the
//! credentials in between. [`Client::stub`] hands out that stub.

mod checks;
mod create_space;
mod error;
mod error_kind;
mod scopes;

use std::{convert::Infallible, fmt, sync::Arc, task};

use bytes::Bytes;
use grpc_transcoding::{DescriptorPool, HttpRules, client::Wire};
use http::{HeaderMap, HeaderValue, Request, Response, header::USER_AGENT};
use http_body_util::Full;
use tokio::sync::OnceCell;
use tonic::body::Body;
use tower::{Service, ServiceExt};

pub use create_space::{CreateSpace, CreateSpaceWithResponse, CreatedSpace};
pub use error::Error;
pub use error_kind::ErrorKind;
pub use scopes::MethodScopes;

use crate::{
    Credentials,
    policy::{Authorize, AuthorizeError, RequestId, Retry, RetryPolicy, RoutingHeader, Trace, service::Answer},
    proto::{self, google::chat::v1::chat_service_client::ChatServiceClient},
    transport::{Auto, BoxError, BuildError, Connector, ConnectorBuilder, Grpc, HttpJson, Origin},
};

/// Where Google Chat is.
pub const ENDPOINT: &str = "https://chat.googleapis.com";

const API_CLIENT: &str = "x-goog-api-client";
const SCOPE: &str = "https://www.googleapis.com/auth/";

/// A client of Google Chat. Cheap to clone; clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use google_chat::{Client, Space};
///
/// let chat = Client::new()?;
/// let space = chat.create_space(Space::named("Launch room")).await?;
/// println!("{}", space.name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    rules: Arc<checks::Rules>,
    wire: Arc<OnceCell<Wire>>,
    fill_request_ids: bool,
}

/// The service under the client's stub: one wire, with checks, request ids,
/// retries, deadlines and credentials.
#[derive(Clone)]
pub struct Channel(Arc<dyn Stack>);

/// A service that calls can be made of at any time: ours wait for what is under them
/// within the call. It is cloned for each call, and so should be little.
trait Stack: Send + Sync {
    fn call(&self, call: Request<Body>) -> Answer;
}

impl<S> Stack for S
where
    S: Service<Request<Body>, Future = Answer> + Clone + Send + Sync,
{
    fn call(&self, call: Request<Body>) -> Answer {
        Service::call(&mut self.clone(), call)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        self.0.call(call)
    }
}

/// Builds a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: String,
    wire: Wire,
    connector: ConnectorBuilder,
    credentials: Credentials,
    scopes: Option<Vec<String>>,
    quota_project: Option<String>,
    retry: RetryPolicy,
    fill_request_ids: bool,
    checks: bool,
}

/// Why a client cannot be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The endpoint or the system's certificates cannot be used.
    Transport(BuildError),
    /// The credentials would travel in clear text.
    Authorize(AuthorizeError),
    /// The embedded schema does not compile; it always does.
    Schema(protojson::DescriptorError),
    /// The quota project holds what a header cannot.
    QuotaProject(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Authorize(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
            Self::QuotaProject(project) => write!(f, "the quota project {project:?} is no project's id"),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// A client of Google Chat with application default credentials.
    ///
    /// # Errors
    ///
    /// If the system has no root certificates. Credentials are looked up at
    /// the first call.
    pub fn new() -> Result<Self, ClientError> {
        Self::builder().build()
    }

    /// Begins to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            endpoint: ENDPOINT.to_owned(),
            wire: Wire::default(),
            connector: Connector::builder(),
            credentials: Credentials::application_default(),
            scopes: None,
            quota_project: None,
            retry: RetryPolicy::default(),
            fill_request_ids: true,
            checks: true,
        }
    }

    /// Creates a space. The returned call does nothing until it is awaited.
    ///
    /// Takes a [`Space`](crate::Space), or a whole
    /// [`CreateSpaceRequest`](crate::CreateSpaceRequest).
    pub fn create_space(&self, request: impl Into<crate::CreateSpaceRequest>) -> CreateSpace {
        CreateSpace::new(self.clone(), request.into())
    }

    /// Says whether a call would be refused before it is sent, without making it;
    /// also where [`ClientBuilder::checks`] is off.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT with all that is certain to fail.
    pub fn check(&self, request: &crate::CreateSpaceRequest) -> Result<(), Error> {
        let failed = |status| Error::new(status, create_space::METHOD, self.wire(), request.request_id.clone());
        self.rules.check(request).map_err(failed)
    }

    /// The generated stub, over the same wire and with the same credentials.
    pub fn stub(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel.clone())
    }

    /// The service under the stub, for stubs that were generated elsewhere from the
    /// same protos.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The wire that calls travel over: [`Wire::Auto`] as long as no connection has
    /// decided.
    pub fn wire(&self) -> Wire {
        self.wire.get().copied().unwrap_or_default()
    }
}

impl ClientBuilder {
    /// Sets where the API is: `https://chat.googleapis.com` by default. Plain
    /// http is for loopback, or for calls without credentials.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the wire; [`Wire::Auto`] by default.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// Sets how connections are made, to the API and to the token endpoint: which
    /// certificates are trusted, and through which proxy.
    #[must_use]
    pub fn connector(mut self, connector: ConnectorBuilder) -> Self {
        self.connector = connector;
        self
    }

    /// Sets who makes the calls. The default is
    /// [`Credentials::application_default`].
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets the OAuth 2.0 scopes to ask for, in full or without
    /// `https://www.googleapis.com/auth/`. By default each call asks for the least that
    /// [`MethodScopes`] has for its method, as the app or as a user, and for
    /// `chat.import` to create a space in import mode. An administrator's calls
    /// (`use_admin_access`) need theirs to be set.
    #[must_use]
    pub fn scopes<I: IntoIterator<Item: Into<String>>>(mut self, scopes: I) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the project that calls are counted against (`x-goog-user-project`), if
    /// it is not that of the credentials.
    #[must_use]
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Sets when calls are made again, and how long they may take.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets whether an empty request id is filled in with a random UUID, as it is
    /// by default. Without a request id a call whose connection breaks is not
    /// made again, since the space may have been created.
    #[must_use]
    pub fn fill_request_ids(mut self, fill: bool) -> Self {
        self.fill_request_ids = fill;
        self
    }

    /// Sets whether calls that are certain to fail are refused before they are
    /// sent, as they are by default.
    #[must_use]
    pub fn checks(mut self, check: bool) -> Self {
        self.checks = check;
        self
    }

    /// Builds the client. Does no IO but reading the system's certificates.
    ///
    /// # Errors
    ///
    /// If the endpoint is no URL, the credentials would go there in clear text,
    /// or the system has no root certificates.
    pub fn build(self) -> Result<Client, ClientError> {
        let transport = ClientError::Transport;
        let (origin, schema) = self.parts()?;
        let connect = |error| transport(BuildError::Connect(error));
        let connector = self.connector.clone().build(&origin).map_err(connect)?;
        let grpc = Grpc::over(connector.clone(), origin.clone()).map_request(naming(Wire::Grpc));
        let http_json = HttpJson::builder(schema.clone(), &self.endpoint).build_connecting(connector.clone());
        let http_json = http_json.map_err(transport)?.map_request(naming(Wire::HttpJson));
        let mut wire = Arc::new(OnceCell::new_with(Some(self.wire)));
        let channel = match self.wire {
            Wire::Grpc => Channel(Arc::new(grpc)),
            Wire::HttpJson => Channel(Arc::new(http_json)),
            _ => {
                let auto = Auto::new(connector, origin.clone(), grpc, http_json);
                wire = auto.chosen();
                Channel(Arc::new(auto))
            }
        };
        self.over(channel, wire, &origin, schema)
    }

    /// Builds the client over an HTTP service of the caller's, to which calls go as
    /// HTTP/JSON: a mock, or a client with layers of its own.
    ///
    /// # Errors
    ///
    /// If the endpoint is no URL, or the credentials would go there in clear text.
    pub fn build_over<S, B>(self, http: S) -> Result<Client, ClientError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (origin, schema) = self.parts()?;
        let http_json = HttpJson::builder(schema.clone(), &self.endpoint).build_over(http);
        let http_json = http_json.map_err(ClientError::Transport)?.map_request(naming(Wire::HttpJson));
        let wire = Arc::new(OnceCell::new_with(Some(Wire::HttpJson)));
        self.over(Channel(Arc::new(http_json)), wire, &origin, schema)
    }

    fn parts(&self) -> Result<(Origin, HttpRules), ClientError> {
        let origin = Origin::parse(&self.endpoint).map_err(BuildError::Origin).map_err(ClientError::Transport)?;
        let pool = DescriptorPool::decode(proto::DESCRIPTOR_SET).map_err(ClientError::Schema)?;
        Ok((origin, HttpRules::new(&pool)))
    }

    /// Puts the policies over what sends.
    fn over(
        self,
        channel: Channel,
        wire: Arc<OnceCell<Wire>>,
        origin: &Origin,
        schema: HttpRules,
    ) -> Result<Client, ClientError> {
        let app = self.credentials.is_app();
        let rules = Arc::new(checks::Rules { check: self.checks, app, scopes: self.scopes.clone() });
        let in_full = |scope: String| if scope.contains("://") { scope } else { format!("{SCOPE}{scope}") };
        // By default the checks choose a scope for each call.
        let scopes: Vec<String> = self.scopes.unwrap_or_default().into_iter().map(in_full).collect();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("google-chat-rust/", env!("CARGO_PKG_VERSION"))));
        if let Some(project) = self.quota_project {
            let value = HeaderValue::try_from(&project).map_err(|_| ClientError::QuotaProject(project))?;
            headers.insert("x-goog-user-project", value);
        }
        let connect = |error| ClientError::Transport(BuildError::Connect(error));
        self.credentials.connect_by(&self.connector).map_err(connect)?;
        let channel = Authorize::new(channel, origin, self.credentials, scopes, headers);
        let channel = channel.map_err(ClientError::Authorize)?;
        let channel = Trace::attempts(channel, origin);
        let repeated = Retry::new(channel, schema.clone(), self.retry);
        let known = RequestId::new(repeated, schema.pool().clone()).fill(self.fill_request_ids);
        let routed = RoutingHeader::new(known, schema);
        let checked = checks::Checks::new(routed, Arc::clone(&rules));
        let channel = Channel(Arc::new(Trace::calls(checked, origin)));
        Ok(Client { channel, rules, wire, fill_request_ids: self.fill_request_ids })
    }
}

/// Adds the header by which Google's own clients say what they are.
fn naming(wire: Wire) -> impl Fn(Request<Body>) -> Request<Body> + Clone {
    /// The release of tonic that this crate is built with.
    const TONIC: &str = "0.14";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let transport = match wire {
        Wire::Grpc => format!("grpc/{TONIC}"),
        _ => format!("rest/{VERSION}"),
    };
    let name = format!("gl-rust/{} {transport} gapic/{VERSION}", env!("GOOGLE_CHAT_RUSTC"));
    let name = HeaderValue::try_from(name).ok();
    move |mut call| {
        if let (Some(name), false) = (&name, call.headers().contains_key(API_CLIENT)) {
            call.headers_mut().insert(API_CLIENT, name.clone());
        }
        call
    }
}
