//! What the gateway makes of a schema, and how another schema takes its place.
//!
//! All that depends on the schema is one [`Served`]. A new schema makes another one, which
//! replaces the first as a whole; requests under way keep the one that they began with.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use google_chat::grpc_transcoding::{
    HttpRules,
    bytes::Bytes,
    rpc,
    server::{Gateway, GatewayLayer, Reflection, RequestBody, reflect_set},
};
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::{Layer, ServiceExt};

use super::{
    backends::{Backends, Calls, Pick},
    grpc_web::GrpcWeb,
};
use crate::{
    failure::Failure,
    input, output,
    serving::{self, Observers},
    signals::Hangup,
};

/// How long a server may take to say what its protos are, while the ones before are served.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is served of a schema.
pub(super) struct Served {
    backends: Arc<Backends>,
    /// With all calls to one server, in the order of the servers; empty if there is only one.
    by_path: Vec<Gateway<Pick>>,
    by_service: Gateway<Pick>,
    grpc_web: Option<GrpcWeb>,
}

impl Served {
    /// # Errors
    ///
    /// If `set` is no descriptor set, or this program has no gRPC-Web.
    pub(super) fn new(
        layer: &GatewayLayer,
        backends: &Arc<Backends>,
        calls: &Calls,
        schema: &Schema,
        choices: &Choices,
    ) -> Result<Self, Failure> {
        let layer = match choices.docs {
            true => &layer.clone().docs(crate::schema::describe(&schema.rules, schema.set.to_vec())),
            false => layer,
        };
        let count = backends.all().len();
        let reflection = match count {
            1 => None,
            _ => Some(Reflection::new(&[&schema.set]).map_err(Failure::machine)?),
        };
        let pick = |always| Pick {
            backends: Arc::clone(backends),
            calls: Arc::clone(calls),
            always,
            reflection: reflection.clone(),
        };
        let by_path = (0..count).filter(|_| count > 1).map(|at| layer.layer(pick(Some(at)))).collect();
        // It is asked for by itself, whether or not other gRPC calls pass.
        let web = || GrpcWeb::new(layer.clone().passthrough(true).layer(pick(None)));
        Ok(Self {
            backends: Arc::clone(backends),
            by_path,
            by_service: layer.layer(pick(None)),
            grpc_web: if choices.grpc_web { Some(web()?) } else { None },
        })
    }

    /// The response to a request.
    pub(super) async fn answer(&self, request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
        if let Some(grpc_web) = &self.grpc_web
            && rpc::is_grpc_web(request.headers())
        {
            return Ok(grpc_web.answer(request).await);
        }
        let by_path = match self.by_path.is_empty() || rpc::is_grpc(request.headers()) {
            true => None,
            false => self.backends.of_path(request.uri().path()),
        };
        let gateway = by_path.and_then(|at| self.by_path.get(at)).unwrap_or(&self.by_service);
        gateway.clone().oneshot(request).await
    }
}

/// What is served now.
pub(super) struct Current(RwLock<Arc<Served>>);

impl Current {
    pub(super) fn new(served: Served) -> Self {
        Self(RwLock::new(Arc::new(served)))
    }

    pub(super) fn get(&self) -> Arc<Served> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, served: Served) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(served);
    }
}

/// Where a schema comes from, and what is made of it.
#[derive(Clone)]
pub(super) struct Choices {
    /// The file of the schema; the servers say it if there is none.
    pub(super) file: Option<PathBuf>,
    pub(super) unbound_methods: bool,
    pub(super) docs: bool,
    pub(super) grpc_web: bool,
}

/// The schema that is served, and what is to be renewed with it.
pub(super) struct Renewal {
    pub(super) current: Arc<Current>,
    pub(super) observers: Observers,
    pub(super) backends: Arc<Backends>,
    pub(super) calls: Calls,
    pub(super) layer: GatewayLayer,
    pub(super) choices: Choices,
    /// What is served now: the file's descriptor set, or one of each server.
    pub(super) sets: Vec<Bytes>,
    /// What was said of it.
    pub(super) warnings: Vec<String>,
}

impl Renewal {
    /// Looks for another schema from time to time, and on SIGHUP. One that cannot be used is
    /// told and not taken.
    pub(super) async fn run(mut self, interval: Option<Duration>, mut hangup: Hangup) {
        let mut told = None;
        loop {
            let asked = tokio::select! {
                () = hangup.next() => true,
                () = pause(interval) => false,
            };
            let problem = self.renew(asked).await.err().map(|failure| failure.text());
            if let Some(problem) = &problem
                && (asked || told.as_ref() != Some(problem))
            {
                output::say(&format!("warning: the schema stays as it was: {problem}"));
            }
            told = problem;
        }
    }

    /// Takes another schema if there is one. A server that does not say its part keeps the
    /// one before.
    async fn renew(&mut self, asked: bool) -> Result<(), Failure> {
        let (mut sets, mut unsaid) = (self.sets.clone(), None);
        match &self.choices.file {
            Some(file) => sets = vec![input::descriptor_set(file)?.into()],
            None => {
                for (set, backend) in sets.iter_mut().zip(self.backends.all()) {
                    let said = tokio::time::timeout(PATIENCE, reflect_set(backend.grpc.clone())).await;
                    let late = |_| Status::deadline_exceeded(format!("it does not say its protos within {PATIENCE:?}"));
                    match said.map_err(late).and_then(|said| said) {
                        Ok(said) => *set = said.into(),
                        Err(status) => {
                            unsaid = Some(Failure::machine(backend.url.clone()).because(Failure::from(status).text()));
                        }
                    }
                }
            }
        }
        if sets != self.sets {
            self.take(sets).await?;
        } else if asked && unsaid.is_none() {
            output::note("the schema has not changed");
        }
        unsaid.map_or(Ok(()), Err)
    }

    async fn take(&mut self, sets: Vec<Bytes>) -> Result<(), Failure> {
        let (layer, backends, calls) = (self.layer.clone(), Arc::clone(&self.backends), Arc::clone(&self.calls));
        let (choices, said) = (self.choices.clone(), sets.clone());
        // A large schema takes seconds, in which its thread does nothing else.
        let made = tokio::task::spawn_blocking(move || {
            let schema = Schema::new(&backends, &said, &choices)?;
            let layer = layer.with_rules(schema.rules.clone()).map_err(Failure::usage)?;
            let served = Served::new(&layer, &backends, &calls, &schema, &choices)?;
            let warnings = schema.warnings(&layer);
            Ok::<_, Failure>((schema, layer, served, warnings))
        });
        let (schema, layer, served, warnings) = made.await.map_err(Failure::machine)??;
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            output::say(&format!("warning: {warning}"));
        }
        (self.layer, self.warnings) = (layer, warnings);
        self.observers.learn(&schema.rules);
        self.current.set(served);
        self.sets = sets;
        output::note(&format!("the schema has changed: {} methods are served now", schema.rules.methods().count()));
        Ok(())
    }
}

/// Waits for the next look at the schema; for ever, without an interval.
async fn pause(interval: Option<Duration>) {
    match interval {
        Some(interval) => tokio::time::sleep(interval).await,
        None => std::future::pending().await,
    }
}

/// A schema that can be used.
pub(super) struct Schema {
    pub(super) set: Bytes,
    pub(super) rules: HttpRules,
    /// What does not fit between the servers and the routes to them.
    unfit: Vec<String>,
}

impl Schema {
    /// Takes the schema of a file, or of all servers.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub(super) fn new(backends: &Backends, sets: &[Bytes], choices: &Choices) -> Result<Self, Failure> {
        let (set, mut unfit) = backends.merged(sets)?;
        let rules = input::rules(&serving::schema(&set, choices.file.as_deref())?, choices.unbound_methods);
        unfit.extend(backends.warnings(&rules, sets));
        Ok(Self { set, rules, unfit })
    }

    /// What to tell of it, with the bindings that are never used.
    pub(super) fn warnings(&self, layer: &GatewayLayer) -> Vec<String> {
        self.unfit.iter().cloned().chain(layer.warnings().iter().map(ToString::to_string)).collect()
    }
}
