//! What `gchat gateway` and `gchat sidecar` have in common as servers: where they listen,
//! with which certificate, what they log and count, how they say that they are well, and
//! how they end.
//!
//! A request goes through `observe`, which logs, counts and traces it, to the service of the
//! command. `spans` are what is traced. `admin` answers those who watch the server, on a port
//! of its own. `config` makes flags of a file.

mod access_log;
mod admin;
mod config;
mod listen;
mod metrics;
mod observe;
mod spans;
mod tls;

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use google_chat::grpc_transcoding::{
    DescriptorPool, HttpRules,
    client::{Connector, ConnectorBuilder, Grpc, Origin},
    server::{Health, RequestBody, ServeOptions, reflect_set, serve},
};
use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

#[cfg(feature = "full")]
pub(crate) use self::observe::LateCode;
use self::{access_log::AccessLog, listen::Bound, metrics::Metrics, spans::TraceFlags};
pub(crate) use self::{
    admin::{Readiness, health},
    config::with_config_file,
    listen::Address,
    observe::{Observe, Observers},
    spans::{TRACEPARENT, TRACESTATE, Traced, Tracer},
    tls::{BackendTls, ServerTls},
};
use crate::{
    failure::{Exit, Failure},
    limits::Bounds,
    output,
    signals::Signals,
};

/// What help says of the settings that come from a file.
pub(crate) const CONFIG_HELP: &str = "\
Config file:
  --config FILE reads settings from a file in TOML: each is a long flag by its
  name, such as listen = \"127.0.0.1:8080\", timeout = 20 or no-retries = true.
  A flag that can be repeated has a list. A flag of the command line replaces
  what the file says. --check-config says whether all of it can be used.";

/// What help says of how a server ends.
pub(crate) const SHUTDOWN_HELP: &str = "\
Shutdown:
  After SIGTERM or Ctrl-C the server says that it takes no more calls. Then the
  port is closed, and calls under way may end within --drain; a second signal
  ends them at once. With --lame-duck, the port stays open for that long after
  SIGTERM, so that load balancers see it and send no more calls.";

#[derive(clap::Args)]
#[command(next_help_heading = "Operation")]
pub(crate) struct Operation {
    /// Read settings from a file in TOML; see below
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check all settings, and the files that they name, and end
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Log each request to standard output, without queries and headers
    #[arg(long, value_enum, value_name = "FORM")]
    access_log: Option<access_log::Form>,
    /// Where to serve /healthz, /readyz and, for Prometheus, /metrics
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// How long calls may take to end after SIGTERM or Ctrl-C, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
    /// How long to keep serving after SIGTERM, in seconds; a second signal ends this
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    lame_duck: u64,
    #[command(flatten)]
    tracing: TraceFlags,
    #[command(flatten)]
    tls: ServerTls,
}

/// A server whose settings can be used, before it listens.
pub(crate) struct Server<'o> {
    operation: &'o Operation,
    bounds: &'o Bounds,
    log: Option<AccessLog>,
    metrics: Option<Arc<Metrics>>,
    /// What records spans; calls to the server behind are for it to record, too.
    pub(crate) tracer: Option<Tracer>,
    tls: Option<Arc<tls::Reloading>>,
    /// Whether calls are taken. It is for the service to answer with, too.
    pub(crate) health: Health,
}

impl Operation {
    /// Makes ready what a server of some methods needs.
    ///
    /// # Errors
    ///
    /// If a certificate, a key or a setting of the tracing cannot be used.
    pub(crate) fn server<'o>(&'o self, rules: &HttpRules, bounds: &'o Bounds) -> Result<Server<'o>, Failure> {
        let methods = rules.methods().map(|method| method.method().path());
        let mut services: Vec<&str> =
            methods.filter_map(|path| path[1..].split_once('/')).map(|(name, _)| name).collect();
        services.dedup();
        let tls = self.tls.reloading()?;
        let tracer = self.tracing.tracer(rules, scheme(tls.is_some()))?;
        Ok(Server {
            operation: self,
            bounds,
            log: self.access_log.map(AccessLog::start),
            metrics: self.admin.map(|_| Arc::new(Metrics::new(rules, tracer.as_ref().map(Tracer::counts)))),
            tracer,
            tls,
            health: Health::new(services),
        })
    }

    /// Says that the settings can be used.
    pub(crate) fn checked(&self) -> Result<(), Failure> {
        let place = self.config.as_ref().map_or_else(|| "the flags".to_owned(), |file| file.display().to_string());
        output::write(format!("{place}: all settings can be used\n").as_bytes())
    }
}

impl Server<'_> {
    /// The scheme of its URLs.
    pub(crate) fn scheme(&self) -> &'static str {
        scheme(self.tls.is_some())
    }

    /// Who is told of requests, and of a schema that has changed.
    pub(crate) fn observers(&self) -> Observers {
        Observers { log: self.log.clone(), metrics: self.metrics.clone(), tracer: self.tracer.clone() }
    }

    /// Listens, says where, and serves until a signal has come and the calls under way have
    /// ended.
    ///
    /// # Errors
    ///
    /// If an address cannot be listened at.
    pub(crate) async fn run<S>(
        self,
        address: &Address,
        service: S,
        readiness: Readiness,
        mut signals: Signals,
    ) -> Result<(), Failure>
    where
        S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = address.bind().await?;
        let admin = match self.operation.admin {
            Some(address) => Some(Address::Port(address).bind().await?),
            None => None,
        };
        output::write(format!("listening at {}\n", listener.shown(self.tls.is_some())).as_bytes())?;
        // The admin port is served while calls end, and as long as this command runs.
        let _admin = match admin {
            None => None,
            Some(listener) => {
                output::write(format!("admin at {}\n", listener.shown(false)).as_bytes())?;
                let admin = admin::service(self.health.clone(), readiness, self.metrics.clone());
                Some(Aborts(tokio::spawn(async move { listener.serve(admin, admin::options()).await })))
            }
        };

        let health = self.health.clone();
        let lame_duck = Duration::from_secs(self.operation.lame_duck);
        let (drains, drain) = tokio::sync::oneshot::channel();
        let stop = async move {
            let terminated = signals.next().await;
            health.set_serving(false);
            if terminated {
                tokio::select! {
                    () = tokio::time::sleep(lame_duck) => {}
                    _ = signals.next() => {}
                }
            }
            let _ = drains.send(signals);
        };
        let mut options = ServeOptions::default()
            .limits(self.bounds.server())
            .shutdown(stop, Duration::from_secs(self.operation.drain));
        if let Some(tls) = self.tls.clone() {
            options = options.tls_with(move || tls.current());
        }
        let observers = self.observers();
        tokio::select! {
            () = listener.serve(Observe::new(service, observers), options) => {}
            // A signal while calls end by themselves ends them.
            () = async {
                if let Ok(mut signals) = drain.await {
                    signals.next().await;
                }
            } => {}
        }
        if let Some(log) = self.log {
            log.finish();
        }
        if let Some(tracer) = self.tracer {
            tracer.finish().await;
        }
        Ok(())
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Ends a task when it goes out of scope.
pub(crate) struct Aborts(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a server may take to say what its protos are.
const REFLECTION: Duration = Duration::from_secs(60);

/// The longest wait between two questions for it.
const WAIT: Duration = Duration::from_secs(2);

/// The descriptor set of a server's protos, by its reflection. A server that cannot be
/// reached may be about to start, and is asked again.
///
/// # Errors
///
/// If it does not say, or a signal comes first.
pub(crate) async fn reflected(url: &str, server: Grpc, signals: &mut Signals) -> Result<Vec<u8>, Failure> {
    let mut wait = Duration::from_millis(100);
    let mut unreached = None;
    let asked = async {
        loop {
            match reflect_set(server.clone()).await {
                Err(status) if status.code() == tonic::Code::Unavailable => {
                    if unreached.is_none() {
                        output::note(&format!("waiting for {url}: {}", status.message()));
                    }
                    unreached = Some(status);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT);
                }
                other => return other,
            }
        }
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(REFLECTION, asked) => answer,
        _ = signals.next() => return Err(Failure::new(Exit::Interrupted, "stopped before the server listened")),
    };
    match (answer, unreached) {
        (Ok(set), _) => Ok(set?),
        (Err(_), Some(status)) => Err(status.into()),
        (Err(_), None) => Err(Failure::machine(format!(
            "{url} does not say within {REFLECTION:?} what its protos are; give them with --descriptor-set"
        ))),
    }
}

/// The schema of a descriptor set, which may be a file's.
pub(crate) fn schema(set: &[u8], file: Option<&Path>) -> Result<DescriptorPool, Failure> {
    let place = || file.map_or_else(|| "the server's reflection".to_owned(), |file| file.display().to_string());
    DescriptorPool::decode(set).map_err(|error| Failure::usage(place()).because(error))
}

/// The connector to the server behind.
pub(crate) fn connector(origin: &Origin, tls: &BackendTls, bounds: &Bounds) -> Result<Connector, Failure> {
    let builder = ConnectorBuilder::default().connect_timeout(bounds.backend_connect_timeout);
    tls.apply(builder)?.build(origin).map_err(Failure::machine)
}

impl Bound {
    async fn serve<S>(self, service: S, options: ServeOptions)
    where
        S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        match self {
            Self::Port(listener) => serve(listener, service, options).await,
            #[cfg(unix)]
            Self::Socket(socket) => serve(socket, service, options).await,
        }
    }
}
