//! Google Chat: the client with its defaults, and a method for each rpc.
//!
//! A call goes this way:
//!
//! 1. The method, which is generated, makes a [`Call`] of a request (`requests`); a list is a stream
//!    of such calls (`pages`).
//! 2. The call fills in its request id, and goes to the service under the stub (`channel`), as the
//!    calls of [`Client::stub`] do.
//! 3. There it is checked, and its scopes are chosen (`checks`), by what is known of its method
//!    (`methods`); then the layers make its attempts.
//! 4. Each response must be one (`answer`). A failure becomes an [`Error`], which says what to do
//!    (`error_kind`).

mod answer;
mod call;
mod channel;
mod checks;
mod error;
mod error_kind;
mod media;
mod methods;
mod pages;
mod requests;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use grpc_transcoding::{
    DescriptorPool, HttpRules,
    client::{BoxError, BuildError, Choice, Connector, ConnectorBuilder, Grpc, HttpJson, Origin, PooledClient, Wire},
};
use http::{HeaderValue, Request, header::USER_AGENT};
use http_body_util::Full;
use tower::Service;

pub(crate) use call::from_text;
pub use call::{Call, HasRequestId, MethodRequest, Response, WithResponse};
pub use channel::Channel;
pub use error::Error;
pub use error_kind::ErrorKind;
pub use media::{Download, Media, Upload};
pub use methods::MethodScopes;
pub use pages::{Items, PageRequest, Pages};

use self::{
    channel::{API_CLIENT, Chosen, OnWire, api_client},
    media::Http,
};
use crate::{
    Credentials,
    credentials::Universe,
    layer::{AuthError, Framing, QUOTA_PROJECT, RetryPolicy, Sender, Stack},
    proto::{self, google::chat::v1::chat_service_client::ChatServiceClient},
};

/// Where Google Chat is.
pub const ENDPOINT: &str = "https://chat.googleapis.com";

const SCOPE: &str = "https://www.googleapis.com/auth/";

/// A client of Google Chat. Cheap to clone; clones share their connections.
///
/// It has a method for each rpc. Each takes its request, or what a request is made of: the one
/// resource or the one name that it requires. The [`Call`] that it returns does nothing until it
/// is awaited. Requests have `of`, which takes what is required; what is left is set as in any struct.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use google_chat::{
///     Client, CreateMessageRequest, Membership, Space,
///     proto::google::chat::v1::{CreateMembershipRequest, ListMembershipsRequest, UpdateSpaceRequest},
/// };
///
/// let chat = Client::new()?;
/// let room = chat.create_space(Space::named("Launch room")).timeout(Duration::from_secs(10)).await?;
///
/// let alice = Membership::person("alice@example.com");
/// chat.create_membership(CreateMembershipRequest::of(&room.name, alice)).await?;
/// let hello = chat.create_message(CreateMessageRequest::text(&room.name, "Hello")).await?;
/// let thread = hello.thread.unwrap_or_default().name;
/// chat.create_message(CreateMessageRequest::text(&room.name, "Read this.").in_thread(thread)).await?;
///
/// let mut members = chat
///     .list_memberships(ListMembershipsRequest { show_groups: true, ..(&room.name).into() })
///     .items();
/// while let Some(member) = members.next().await {
///     println!("{}", member?.name);
/// }
///
/// let renamed = Space { name: room.name.clone(), display_name: "Landed".to_owned(), ..Space::default() };
/// chat.update_space(UpdateSpaceRequest::of(renamed, ["display_name"])).await?;
/// chat.delete_space(&room.name).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    http: Http,
    rules: Arc<checks::Rules>,
    choice: Choice,
    fill_request_ids: bool,
}

/// Builds a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: Option<String>,
    wire: Wire,
    connector: ConnectorBuilder,
    credentials: Option<Credentials>,
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
    Authorize(AuthError),
    /// The quota project has characters that a header cannot have.
    QuotaProject(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Authorize(error) => error.fmt(f),
            Self::QuotaProject(project) => {
                write!(f, "the quota project {project:?} is no project's id; give the id of a Google Cloud project")
            }
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Authorize(error) => Some(error),
            Self::QuotaProject(_) => None,
        }
    }
}

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

    /// The HTTP rules of Google Chat, by the embedded descriptor set, which is decoded once
    /// for all. [`HttpRules::pool`] has the descriptors.
    pub fn http_rules() -> &'static HttpRules {
        static RULES: LazyLock<HttpRules> = LazyLock::new(|| {
            // The build embeds it, and a test decodes it.
            let pool = DescriptorPool::decode(proto::DESCRIPTOR_SET);
            HttpRules::new(&pool.expect("the embedded descriptor set is whole"))
        });
        &RULES
    }

    /// Where calls go unless another endpoint is set: [`ENDPOINT`], or the same host of another
    /// universe that `GOOGLE_CLOUD_UNIVERSE_DOMAIN` names.
    pub fn default_endpoint() -> String {
        Universe::of_environment().endpoint("chat")
    }

    /// Begins to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            endpoint: None,
            wire: Wire::default(),
            connector: Connector::builder(),
            credentials: None,
            scopes: None,
            quota_project: None,
            retry: RetryPolicy::default(),
            fill_request_ids: true,
            checks: true,
        }
    }

    /// Says whether a call would be refused before it is sent, without making it;
    /// also where [`ClientBuilder::checks`] is off.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT with all that is certain to fail.
    pub fn check<Rq: MethodRequest>(&self, request: &Rq) -> Result<(), Error> {
        let Some(method) = Client::http_rules().pool().method(Rq::PATH) else { return Ok(()) };
        self.rules.check(&method, &request.encode_to_vec()).map_err(|status| {
            let request_id = request.clone().request_id_mut().cloned().unwrap_or_default();
            Error::new(status, call::method::<Rq>(), self.wire(), request_id)
        })
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
        self.choice.get().unwrap_or_default()
    }
}

impl ClientBuilder {
    /// Sets where the API is: `https://chat.googleapis.com` by default, or the host of
    /// another universe that `GOOGLE_CLOUD_UNIVERSE_DOMAIN` names. Plain http is for
    /// loopback, or for calls without credentials.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
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
        self.credentials = Some(credentials);
        self
    }

    /// Sets the OAuth 2.0 scopes to ask for, in full or without
    /// `https://www.googleapis.com/auth/`. By default each call asks for
    /// [what it needs](MethodScopes::needed): the least that allows its method, as the app, as
    /// a user or as an administrator (`use_admin_access`), and `chat.import` where the request
    /// says that its space is in import mode. Calls that do not say so, such as to delete such
    /// a space, need `chat.import` to be set.
    #[must_use]
    pub fn scopes<I: IntoIterator<Item: Into<String>>>(mut self, scopes: I) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the project that calls are counted against (`x-goog-user-project`). The default
    /// is [`Credentials::quota_project`].
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
    /// made again, since it may have been carried out.
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
        let (endpoint, origin) = self.destination()?;
        let connect = |error| ClientError::Transport(BuildError::Connect(error));
        let connector = self.connector.clone().build(&origin).map_err(connect)?;
        let grpc = Framing(Grpc::over(connector.clone(), origin.clone()));
        let http_json = HttpJson::builder(Client::http_rules(), &endpoint).build_connecting(connector.clone());
        // Connections of its own, so that what carries files holds up no call.
        let files = PooledClient::new(connector.clone());
        let choice = match self.wire {
            Wire::Auto => Choice::auto(connector, &origin),
            wire => Choice::fixed(wire),
        };
        let sender = Chosen {
            choice: choice.clone(),
            grpc: OnWire::new(Wire::Grpc, grpc),
            http_json: OnWire::new(Wire::HttpJson, http_json.map_err(ClientError::Transport)?),
        };
        self.over(sender, files, choice, &origin)
    }

    /// Builds the client over an HTTP service of the caller's, to which calls go as
    /// HTTP/JSON: a mock, or a client with layers of its own.
    ///
    /// # Errors
    ///
    /// If the endpoint is no URL, or the credentials would go there in clear text.
    pub fn build_over<S, B>(self, http: S) -> Result<Client, ClientError>
    where
        S: Service<Request<Full<Bytes>>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (endpoint, origin) = self.destination()?;
        let http_json = HttpJson::builder(Client::http_rules(), &endpoint).build_over(http.clone());
        let sender = OnWire::new(Wire::HttpJson, http_json.map_err(ClientError::Transport)?);
        self.over(sender, http, Choice::fixed(Wire::HttpJson), &origin)
    }

    /// The endpoint, as it was given and parsed.
    fn destination(&self) -> Result<(String, Origin), ClientError> {
        let endpoint = self.endpoint.clone().unwrap_or_else(Client::default_endpoint);
        let origin = Origin::parse(&endpoint).map_err(BuildError::Origin).map_err(ClientError::Transport)?;
        Ok((endpoint, origin))
    }

    /// Puts the layers over what sends calls, and over what sends files.
    fn over<S, B>(
        self,
        sender: impl Sender + Sync,
        files: S,
        choice: Choice,
        origin: &Origin,
    ) -> Result<Client, ClientError>
    where
        S: Service<Request<Full<Bytes>>, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let credentials = self.credentials.unwrap_or_else(Credentials::application_default);
        let rules = Arc::new(checks::Rules::new(self.checks, &credentials, self.scopes.as_deref()));
        let in_full = |scope: String| if scope.contains("://") { scope } else { format!("{SCOPE}{scope}") };
        let user_agent = HeaderValue::from_static(concat!("google-chat-rust/", env!("CARGO_PKG_VERSION")));
        let connect = |error| ClientError::Transport(BuildError::Connect(error));
        credentials.connect_by(&self.connector).map_err(connect)?;
        let mut stack = Stack::new(Client::http_rules(), origin)
            .fill_request_ids(self.fill_request_ids)
            .header(USER_AGENT, user_agent)
            .retry(self.retry)
            .credentials(credentials)
            .map_err(ClientError::Authorize)?
            // By default the rules choose a scope for each call.
            .scopes(self.scopes.unwrap_or_default().into_iter().map(in_full))
            .prepare({
                let rules = Arc::clone(&rules);
                move |call| rules.apply(call)
            });
        if let Some(project) = self.quota_project {
            let value = HeaderValue::try_from(&project).map_err(|_| ClientError::QuotaProject(project))?;
            stack = stack.header(QUOTA_PROJECT, value);
        }
        let mut steps = stack.steps.clone();
        steps.add_header(API_CLIENT, api_client(Wire::HttpJson));
        let http = Http::new(files, steps, origin.clone());
        let channel = Channel::new(stack, sender);
        Ok(Client { channel, http, rules, choice, fill_request_ids: self.fill_request_ids })
    }
}
