//! Google Chat: the client with its defaults.
//!
//! [`Client`] puts the generated stub over the wire that is asked for, with the
//! credentials in between. [`Client::stub`] hands out that stub.

pub(crate) mod checks;
mod create_space;
mod error;

use std::{convert::Infallible, fmt, future::Future, pin::Pin, task};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{Service, util::BoxCloneSyncService};

pub use create_space::{CreateSpace, CreateSpaceWithResponse, CreatedSpace};
pub use error::Error;

use crate::{
    Credentials, Schema,
    policy::{Authorize, AuthorizeError, RequestId, Retry, RetryPolicy},
    proto::{self, google::chat::v1::chat_service_client::ChatServiceClient},
    transport::{BuildError, Grpc, HttpJson, Origin},
};

/// Where Google Chat is.
pub const ENDPOINT: &str = "https://chat.googleapis.com";

const SCOPE: &str = "https://www.googleapis.com/auth/";

/// How calls travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// gRPC over HTTP/2.
    Grpc,
    /// HTTP/JSON, by gRPC Transcoding. Passes wherever HTTP passes.
    #[default]
    HttpJson,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "gRPC",
            Self::HttpJson => "HTTP/JSON",
        })
    }
}

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
    wire: Wire,
    fill_request_ids: bool,
}

/// The service under the client's stub: one wire, with checks, request ids,
/// retries, deadlines and credentials.
#[derive(Clone)]
pub struct Channel(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
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
    Schema(crate::SchemaError),
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

    /// The generated stub, over the same wire and with the same credentials.
    pub fn stub(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel.clone())
    }

    /// The wire that calls travel over.
    pub fn wire(&self) -> Wire {
        self.wire
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

    /// Sets the wire.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
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
    /// `https://www.googleapis.com/auth/`. By default `chat.app.spaces.create`
    /// for an app, `chat.spaces.create` for a user, and `chat.import` for a space
    /// in import mode.
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
        let origin = Origin::parse(&self.endpoint).map_err(|error| transport(BuildError::Origin(error)))?;
        let app = self.credentials.is_app();
        let rules = checks::Rules { check: self.checks, app, scopes: self.scopes.clone() };
        let is_user = app == Some(false);
        let scopes = self
            .scopes
            .unwrap_or_else(|| vec![if is_user { "chat.spaces.create" } else { "chat.app.spaces.create" }.to_owned()]);
        let scopes =
            scopes.into_iter().map(|scope| if scope.contains("://") { scope } else { format!("{SCOPE}{scope}") });
        let mut headers = headers(self.wire);
        if let Some(project) = self.quota_project {
            let value = HeaderValue::try_from(&project).map_err(|_| ClientError::QuotaProject(project))?;
            headers.insert("x-goog-user-project", value);
        }
        let schema = Schema::decode(proto::DESCRIPTOR_SET).map_err(ClientError::Schema)?;
        let wire = match self.wire {
            Wire::Grpc => {
                let grpc = Grpc::new(origin.clone()).map_err(|error| transport(BuildError::Connect(error)))?;
                BoxCloneSyncService::new(grpc)
            }
            Wire::HttpJson => {
                let http = HttpJson::builder(schema.clone(), self.endpoint).build().map_err(transport)?;
                BoxCloneSyncService::new(http)
            }
        };
        let authorized = Authorize::new(wire, &origin, self.credentials, scopes.collect(), headers);
        let repeated = Retry::new(authorized.map_err(ClientError::Authorize)?, schema.clone(), self.retry);
        let known = RequestId::new(repeated, schema).fill(self.fill_request_ids);
        let channel = BoxCloneSyncService::new(checks::Checks::new(known, rules));
        Ok(Client { channel: Channel(channel), wire: self.wire, fill_request_ids: self.fill_request_ids })
    }
}

/// The headers that Google's own clients send to say what they are.
fn headers(wire: Wire) -> HeaderMap {
    /// The release of tonic that this crate is built with.
    const TONIC: &str = "0.14";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let transport = match wire {
        Wire::Grpc => format!("grpc/{TONIC}"),
        Wire::HttpJson => format!("rest/{VERSION}"),
    };
    let client = format!("gl-rust/{} {transport} gapic/{VERSION}", env!("GOOGLE_CHAT_RUSTC"));
    let mut headers = HeaderMap::new();
    if let Ok(client) = HeaderValue::try_from(client) {
        headers.insert("x-goog-api-client", client);
    }
    headers.insert("user-agent", HeaderValue::from_static(concat!("google-chat-rust/", env!("CARGO_PKG_VERSION"))));
    headers
}
