//! Google Chat's `spaces.create` as a local server, for tests and
//! development.
//!
//! One port serves gRPC (HTTP/2 without TLS), HTTP/JSON (HTTP/1.1 or HTTP/2,
//! through a [`Gateway`]) and an OAuth 2.0 token endpoint, whose
//! tokens [`Emulator::credentials`] gets as any client of Google's would; also gRPC
//! reflection and health, a page at `/` that shows the spaces and the last calls, and
//! `/emulator/settings`, `/emulator/faults`, `/emulator/clock` and `/emulator/calls` for
//! tests in other languages. Spaces are kept in memory unless they are given a file. What the
//! organization is like, and what the documentation leaves open, is in [`Settings`]; calls
//! without credentials are taken unless they say otherwise. What web pages of other origins
//! have a browser send is refused by a [`BrowserGuardLayer`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use google_chat::{Client, Space};
//! use google_chat_emulator::{Emulator, Fault};
//!
//! let emulator = Emulator::start().await?;
//! emulator.configure(|settings| settings.anonymous = false);
//! emulator.fail_next(Fault::ResetAfter);
//!
//! let alice = emulator.credentials()?.for_user("alice@example.com")?;
//! let chat = Client::builder().endpoint(emulator.endpoint()).credentials(alice).build()?;
//! let created = chat.create_space(Space::named("Launch room")).with_response().await?;
//! // The first answer was lost; the second is of the same space.
//! assert_eq!(created.attempts, 2);
//! assert_eq!(emulator.spaces(), [created.space]);
//! # Ok(())
//! # }
//! ```

mod admin;
#[cfg(feature = "store")]
mod disk;
mod faults;
mod filter;
mod front;
mod identity;
mod ids;
mod index;
mod received;
mod room;
mod rules;
mod service;
mod settings;
mod store;
mod tls;

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::Status;
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::Layer;

pub use faults::Fault;
pub use received::Received;
pub use settings::Settings;

use self::{
    faults::{Faults, Share},
    identity::{ServiceKey, Tokens},
    received::Log,
    store::Keeper,
};
use google_chat::{
    Credentials, CredentialsError, Space,
    grpc_transcoding::{
        client::{Connector, ConnectorBuilder},
        server::{BrowserGuardLayer, Gateway, Reflection, ServeOptions, serve},
    },
    proto::{self, google::chat::v1::chat_service_server::ChatServiceServer},
    protojson::DescriptorPool,
};

/// How long a write counts against the quota.
const QUOTA_WINDOW: Duration = Duration::from_secs(60);

/// A running emulator. [`Emulator::stop`] lets calls end; when this is dropped, it stops at
/// once.
pub struct Emulator {
    state: Arc<State>,
    server: JoinHandle<()>,
    /// What has the server take no more connections.
    stop: Option<oneshot::Sender<()>>,
    certificate: Option<String>,
}

/// How an emulator is to be started.
#[derive(Clone)]
#[must_use = "an emulator is started by its start"]
pub struct EmulatorBuilder {
    address: SocketAddr,
    tls: bool,
    key: Option<String>,
    guard: Option<BrowserGuardLayer>,
    #[cfg(feature = "store")]
    data: Option<(std::path::PathBuf, bool)>,
}

/// What the parts of an emulator share.
#[derive(Debug)]
struct State {
    address: SocketAddr,
    scheme: &'static str,
    settings: Mutex<Arc<Settings>>,
    store: Keeper,
    key: ServiceKey,
    tokens: Mutex<Tokens>,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    /// How far the clock was moved.
    ahead: Mutex<Duration>,
    writes: Mutex<VecDeque<SystemTime>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// At most so long before the last second that a timestamp can say that the
    /// end of an import can be said, too.
    fn now(&self) -> SystemTime {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799 - 100 * 86_400);
        SystemTime::now().checked_add(*lock(&self.ahead)).unwrap_or(last).min(last)
    }

    /// Where tokens are had: on loopback, if every address is listened at.
    fn token_uri(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        format!("{}://{address}/token", self.scheme)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.settings))
    }

    /// Counts a write against the quota.
    fn count_write(&self, settings: &Settings) -> Result<(), Status> {
        let Some(limit) = settings.writes_per_minute else { return Ok(()) };
        let now = self.now();
        let mut writes = lock(&self.writes);
        while writes.front().is_some_and(|at| now.duration_since(*at).is_ok_and(|age| age >= QUOTA_WINDOW)) {
            writes.pop_front();
        }
        if writes.len() >= limit as usize {
            return Err(rules::quota_exceeded(limit));
        }
        writes.push_back(now);
        Ok(())
    }
}

impl Emulator {
    /// Whom the certificate names: by that it can be told from a real server's.
    pub const CERTIFICATE_SUBJECT: &str = tls::ISSUER;

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
            tls: false,
            key: None,
            guard: None,
            #[cfg(feature = "store")]
            data: None,
        }
    }

    /// The address that is listened at.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// The address as an endpoint: `http://127.0.0.1:…`, or `https://`.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.state.scheme, self.state.address)
    }

    /// The certificate (PEM) that clients have to trust, if there is TLS. It was
    /// made when the emulator was started; its subject is
    /// [`Emulator::CERTIFICATE_SUBJECT`].
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// How to connect to the emulator: with its certificate trusted.
    pub fn connector(&self) -> ConnectorBuilder {
        Connector::builder().root_certificates(self.certificate().unwrap_or_default().as_bytes())
    }

    /// The JSON of a service account's key whose tokens come from this emulator,
    /// for clients in any language. The private key is a published one, for tests,
    /// unless the emulator was given another.
    pub fn key_file(&self) -> String {
        identity::key_file(&self.state.key, &self.state.token_uri())
    }

    /// The key, as the Chat app's credentials; [`Credentials::for_user`] makes
    /// those of a user of it.
    ///
    /// # Errors
    ///
    /// If the system has no root certificates.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::service_account_key(&self.key_file())
    }

    /// Changes what the organization is like from now on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut lock(&self.state.settings)));
    }

    /// Has the next call go wrong; several of these, the next calls in order.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// Has a share of the calls go wrong, from 0 to 1, in one of some ways each.
    /// The same seed makes the same choices.
    pub fn fail_share(&self, share: f64, seed: u64, kinds: &[Fault]) {
        lock(&self.state.faults).set_share(Share { share, seed, kinds: kinds.to_vec() });
    }

    /// The faults that wait for the next calls, in order.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.state.faults).next().cloned().collect()
    }

    /// Has no more calls go wrong: neither the next ones nor a share of all.
    pub fn clear_faults(&self) {
        *lock(&self.state.faults) = Faults::default();
    }

    /// Moves the emulator's clock forward, at most to the end of the year 9999.
    /// Tokens that were given out expire by it; what a key signs may be of its time
    /// or of the real one.
    pub fn advance(&self, time: Duration) {
        let mut ahead = lock(&self.state.ahead);
        *ahead = ahead.saturating_add(time);
    }

    /// The spaces that there are, in the order of their creation. If they are in a
    /// file, it is waited for.
    pub fn spaces(&self) -> Vec<Space> {
        let (now, anybody) = (self.state.now(), identity::Grant::of(identity::Identity::App, &["chat.app.spaces"]));
        let rooms = self.state.store.run_blocking(move |store| store.page(0, usize::MAX, now, |_| true));
        rooms.map(|(rooms, _)| rooms.iter().map(|room| room.seen(&anybody)).collect()).unwrap_or_default()
    }

    /// The last calls, at most 1,000 and 16 MiB, in the order in which they came, as they
    /// came over the wire; those that a [`Fault`] befell are among them. Requests for
    /// tokens are not.
    pub fn received(&self) -> Vec<Received> {
        let calls = lock(&self.state.log).all();
        calls.iter().map(|call| call.received()).collect()
    }

    /// Stops: takes no more calls, lets those under way end, for `grace` at most, and
    /// closes the file, which then has everything by itself.
    pub async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if tokio::time::timeout(grace, &mut self.server).await.is_err() {
            self.server.abort();
        }
        self.state.store.close().await;
    }

    /// How often a token was asked for.
    pub fn token_requests(&self) -> usize {
        lock(&self.state.tokens).fetches
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorBuilder").field("address", &self.address).finish_non_exhaustive()
    }
}

impl EmulatorBuilder {
    /// Sets where to listen. By default on loopback, at a port that the system
    /// chooses.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Serves over TLS, with a certificate made for the address and `localhost`.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Sets the service account's private key: RSA of 2048 bits or more, as PEM of
    /// PKCS #8. By default it is a published one, which anybody can sign with.
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

    /// Keeps spaces, members and request ids in a file, each before it is
    /// answered, so that a killed emulator has them when it is started again.
    /// `durable`: they survive a loss of power, too, which takes longer.
    #[cfg(feature = "store")]
    pub fn data(mut self, file: impl Into<std::path::PathBuf>, durable: bool) -> Self {
        self.data = Some((file.into(), durable));
        self
    }

    /// Starts the emulator.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened at, or the file or the key cannot be used.
    pub async fn start(self) -> io::Result<Emulator> {
        let schema = DescriptorPool::decode(proto::DESCRIPTOR_SET).map_err(io::Error::other)?;
        #[cfg(feature = "store")]
        let store = match &self.data {
            None => Keeper::in_memory(),
            Some((file, durable)) => Keeper::Disk(disk::Writer::open(file, *durable).map_err(io::Error::other)?),
        };
        #[cfg(not(feature = "store"))]
        let store = Keeper::in_memory();
        let key = self.key.map_or_else(ServiceKey::published, ServiceKey::new).map_err(io::Error::other)?;
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            address,
            scheme: if self.tls { "https" } else { "http" },
            settings: Mutex::default(),
            store,
            key,
            tokens: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            ahead: Mutex::default(),
            writes: Mutex::default(),
        });
        let chat = ChatServiceServer::new(service::Chat { state: Arc::clone(&state) });
        let sets = [proto::DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let reporter = tonic_health::server::HealthReporter::new();
        reporter.set_serving::<ChatServiceServer<service::Chat>>().await;
        let front = front::Front {
            state: Arc::clone(&state),
            gateway: Gateway::new(schema, chat).map_err(io::Error::other)?,
            reflection: Reflection::new(&sets).map_err(io::Error::other)?,
            health: HealthServer::new(HealthService::from_health_reporter(reporter)),
        };
        let (tls, certificate) = match self.tls {
            false => (None, None),
            true => {
                tls::generate(address.ip()).map(|(config, pem)| (Some(config), Some(pem))).map_err(io::Error::other)?
            }
        };
        let guard = self.guard.unwrap_or_else(|| BrowserGuardLayer::new(address.ip()));
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // Who drops an emulator ends the server itself.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        // How long calls may take to end is for `stop` to say.
        let mut options = ServeOptions::default().shutdown(stopped, Duration::MAX);
        if let Some(tls) = tls {
            options = options.tls(tls);
        }
        let server = tokio::spawn(serve(listener, guard.layer(front), options));
        Ok(Emulator { state, server, stop: Some(stop), certificate })
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
