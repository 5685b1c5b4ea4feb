use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use google_chat::{
    Credentials, CredentialsError, Space,
    grpc_transcoding::{
        client::{Connector, ConnectorBuilder},
        rpc::BoxError,
        server::{BrowserGuardLayer, Gateway, Reflection, ServeOptions, serve},
    },
    proto::{DESCRIPTOR_SET, google::chat::v1::chat_service_server::SERVICE_NAME},
    protojson::DescriptorPool,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_rustls::rustls::ServerConfig;
use tonic_health::{
    ServingStatus,
    pb::{FILE_DESCRIPTOR_SET, health_server::HealthServer},
    server::{HealthReporter, HealthService},
};
use tower::Layer;

use super::{
    Fault, Received, State,
    faults::{Faults, Share},
    front::Front,
};
use crate::{
    Settings,
    chat::Chat,
    identity::{Hop, HopFault, Issuer, ServiceKey},
    lock,
    organization::Organization,
};

/// A running emulator. [`Emulator::stop`] lets calls end; when this is dropped, it stops at
/// once.
pub struct Emulator {
    state: Arc<State>,
    server: JoinHandle<()>,
    /// Makes the server take no more connections.
    stop: Option<oneshot::Sender<()>>,
    certificate: Option<String>,
}

impl Emulator {
    /// The common name of an emulator's certificate: by that it can be told from a real
    /// server's.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub const CERTIFICATE_SUBJECT: &str = crate::identity::SUBJECT;

    /// Starts an emulator on loopback, at a port that the system chooses.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Begins to start an emulator that is not the usual one.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            #[cfg(feature = "tls")]
            tls: false,
            key: None,
            guard: None,
            #[cfg(feature = "store")]
            data: None,
        }
    }

    /// The address that the emulator listens at.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// The address as an endpoint: `http://127.0.0.1:…`, or `https://`.
    pub fn endpoint(&self) -> String {
        self.state.endpoint()
    }

    /// The certificate (PEM) that clients have to trust, if there is TLS, for which the feature
    /// `tls` is needed. It was made when the emulator was started; its subject is
    /// `Emulator::CERTIFICATE_SUBJECT`.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// How to connect to the emulator: with its certificate trusted.
    pub fn connector(&self) -> ConnectorBuilder {
        Connector::builder().root_certificates(self.certificate().unwrap_or_default().as_bytes())
    }

    /// The JSON of a service account's key whose tokens come from this emulator, for clients
    /// in any language. The private key is a published one, for tests, unless the emulator
    /// was given another.
    pub fn key_file(&self) -> String {
        self.state.issuer.key_file(&format!("{}/token", self.state.token_base()))
    }

    /// The JSON of a user's login with every scope, as gcloud and `gchat auth login` write it
    /// (`authorized_user`): a refresh token that this emulator takes. Each is another login.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn login_file(&self, email: &str) -> io::Result<String> {
        const CLIENT_ID: &str = "emulator.apps.googleusercontent.com";
        const SCOPES: [&str; 9] = [
            "cloud-platform",
            "chat.spaces",
            "chat.spaces.create",
            "chat.spaces.readonly",
            "chat.memberships",
            "chat.messages",
            "chat.messages.create",
            "chat.delete",
            "chat.import",
        ];
        let scopes = SCOPES.map(|scope| format!("https://www.googleapis.com/auth/{scope}")).join(" ");
        let token = self.state.issuer.log_in(email, CLIENT_ID, &scopes);
        let token = token.ok_or_else(|| io::Error::other("the system has no random bytes"))?;
        let file = serde_json::json!({
            "type": "authorized_user",
            "client_id": CLIENT_ID,
            "client_secret": "emulator-client-secret",
            "refresh_token": token,
            "token_uri": format!("{}/token", self.state.token_base()),
            "universe_domain": "googleapis.com",
        });
        Ok(format!("{file:#}\n"))
    }

    /// The key, as the Chat app's credentials; [`Credentials::for_user`] makes those of a
    /// user of it.
    ///
    /// # Errors
    ///
    /// If the system has no root certificates.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::service_account_key(&self.key_file())
    }

    /// Changes what the organization is like from now on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        self.state.organization.configure(change);
    }

    /// Makes the next call go wrong; several of these, the next calls in order.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.state.faults).next.push_back(fault);
    }

    /// Makes a share of the calls go wrong, from 0 to 1, each in one of these ways. The same
    /// seed makes the same choices.
    pub fn fail_share(&self, share: f64, seed: u64, kinds: &[Fault]) {
        lock(&self.state.faults).set_share(Share { share, seed, kinds: kinds.to_vec() });
    }

    /// Makes the next request to a server go wrong that takes part in getting a token; several
    /// of these, the next requests in order. At most 1,000 wait at each.
    pub fn fail_next_at(&self, hop: Hop, fault: HopFault) {
        self.state.issuer.fail_next(hop, fault);
    }

    /// The faults that wait for the next calls, in order.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.state.faults).next.iter().cloned().collect()
    }

    /// Makes nothing more go wrong: neither the next calls, nor a share of all, nor requests
    /// for tokens.
    pub fn clear_faults(&self) {
        self.state.issuer.clear_faults();
        *lock(&self.state.faults) = Faults::default();
    }

    /// Moves the emulator's clock forward, at most to the end of the year 9999. Tokens that
    /// were given out expire by it; what a key signs may be of its time or of the real one.
    pub fn advance(&self, time: Duration) {
        self.state.organization.advance(time);
    }

    /// The spaces that there are, in the order of their creation.
    pub fn spaces(&self) -> Vec<Space> {
        self.state.chat.spaces()
    }

    /// The last calls, at most 1,000 and 16 MiB, in the order in which they came, as they
    /// came over the wire; those that a [`Fault`] befell are among them. Requests for tokens
    /// are not.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.log).all()
    }

    /// How often a token was asked for at the token endpoint.
    pub fn token_requests(&self) -> usize {
        self.requests_at(Hop::Token)
    }

    /// How often a server was asked that takes part in getting a token.
    pub fn requests_at(&self, hop: Hop) -> usize {
        self.state.issuer.requests(hop)
    }

    /// Stops: takes no more calls, lets those under way end, for `grace` at most, and closes
    /// the file, which then has everything by itself.
    pub async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if tokio::time::timeout(grace, &mut self.server).await.is_err() {
            self.server.abort();
        }
        self.state.chat.close();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Ends the connections, too: they are tasks of a set that it owns.
        self.server.abort();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("address", &self.state.address).finish_non_exhaustive()
    }
}

/// How an emulator is to be started.
#[derive(Clone)]
#[must_use = "an emulator is started by its start"]
pub struct EmulatorBuilder {
    address: SocketAddr,
    #[cfg(feature = "tls")]
    tls: bool,
    key: Option<String>,
    guard: Option<BrowserGuardLayer>,
    #[cfg(feature = "store")]
    data: Option<(std::path::PathBuf, bool)>,
}

impl EmulatorBuilder {
    /// Sets where to listen. By default on loopback, at a port that the system chooses.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Serves over TLS, with a certificate made for the address and `localhost`.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Sets the service account's private key: RSA of 2048 bits or more, as PEM of PKCS #8.
    /// By default it is a published one, which anybody can sign with.
    pub fn key(mut self, pem: impl Into<String>) -> Self {
        self.key = Some(pem.into());
        self
    }

    /// Sets what is refused of what web pages have browsers send. By default it is
    /// [`BrowserGuardLayer::new`] of the address.
    pub fn browser_guard(mut self, guard: BrowserGuardLayer) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Keeps spaces, members, messages and request ids in a file, too, each before the call is
    /// answered, so that a killed emulator has them when it is started again. `durable`: they
    /// survive a loss of power, too, for which each write waits for the disk; writes at the
    /// same time wait together.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub fn data(mut self, file: impl Into<std::path::PathBuf>, durable: bool) -> Self {
        self.data = Some((file.into(), durable));
        self
    }

    fn chat(&self, organization: Arc<Organization>, issuer: Arc<Issuer>) -> Result<Chat, String> {
        #[cfg(feature = "store")]
        if let Some((file, durable)) = &self.data {
            return Chat::on_disk(organization, issuer, file, *durable);
        }
        Ok(Chat::in_memory(organization, issuer))
    }

    /// Makes the certificate if the emulator is to serve over TLS: what the server needs to
    /// use it, and its PEM.
    fn certificate(&self, address: SocketAddr) -> Result<Option<(Arc<ServerConfig>, String)>, BoxError> {
        #[cfg(feature = "tls")]
        if self.tls {
            return crate::identity::certificate(address.ip()).map(Some);
        }
        let _ = address;
        Ok(None)
    }

    /// Starts the emulator.
    ///
    /// # Errors
    ///
    /// If the emulator cannot listen at the address, or the file or the key cannot be used.
    pub async fn start(self) -> io::Result<Emulator> {
        let organization = Arc::<Organization>::default();
        let key = self.key.clone().map_or_else(ServiceKey::published, ServiceKey::new).map_err(io::Error::other)?;
        let issuer = Arc::new(Issuer::new(Arc::clone(&organization), key));
        let chat = self.chat(Arc::clone(&organization), Arc::clone(&issuer)).map_err(io::Error::other)?;

        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let (tls, certificate) = self.certificate(address).map_err(io::Error::other)?.unzip();
        let state = Arc::new(State {
            address,
            scheme: if tls.is_some() { "https" } else { "http" },
            organization,
            issuer,
            chat: chat.clone(),
            faults: Mutex::default(),
            log: Arc::default(),
        });
        let schema = DescriptorPool::decode(DESCRIPTOR_SET).map_err(io::Error::other)?;
        let reporter = HealthReporter::new();
        reporter.set_service_status(SERVICE_NAME, ServingStatus::Serving).await;
        let front = Front {
            state: Arc::clone(&state),
            gateway: Gateway::new(schema, chat).map_err(io::Error::other)?,
            reflection: Reflection::new(&[DESCRIPTOR_SET, FILE_DESCRIPTOR_SET]).map_err(io::Error::other)?,
            health: HealthServer::new(HealthService::from_health_reporter(reporter)),
        };

        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // Who drops an emulator ends the server itself.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        // How long calls may take to end is for `stop` to say.
        let mut options = ServeOptions::default().shutdown(stopped, Duration::MAX);
        if let Some(config) = tls {
            options = options.tls(config);
        }
        let guard = self.guard.unwrap_or_else(|| BrowserGuardLayer::new(address.ip()));
        let server = tokio::spawn(serve(listener, guard.layer(front), options));
        Ok(Emulator { state, server, stop: Some(stop), certificate })
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorBuilder").field("address", &self.address).finish_non_exhaustive()
    }
}
