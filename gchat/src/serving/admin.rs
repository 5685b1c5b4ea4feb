//! What a server says to those who watch it: whether it lives, whether it takes calls, and
//! what it has counted.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use google_chat::grpc_transcoding::{
    bytes::Bytes,
    client::Grpc,
    server::{Health, Limits, RequestBody, ServeOptions, check_health},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use tokio::sync::Mutex;
use tonic::{Code, body::Body};
use tower::Service;

use super::metrics::Metrics;

/// How long the server behind may take to say whether it is well.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long what it said holds, so that probes are not passed on one by one.
const FRESH: Duration = Duration::from_secs(1);

/// Whether calls can be answered: that is up to the servers behind.
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    backends: Arc<[(String, Grpc)]>,
    last: Arc<Mutex<Option<Told>>>,
}

/// What the servers behind said, and when: a problem, if there was one.
type Told = (Instant, Option<String>);

impl Readiness {
    /// Asks the servers behind by gRPC health, which are called by their URLs. One without
    /// that is ready if it answers.
    pub(crate) fn of(backends: impl IntoIterator<Item = (String, Grpc)>) -> Self {
        Self { backends: backends.into_iter().collect(), last: Arc::default() }
    }

    /// Why calls cannot be answered now; `None` if they can.
    async fn problem(&self) -> Option<String> {
        if self.backends.is_empty() {
            return None;
        }
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((when, problem)) = &*last
            && when.elapsed() < FRESH
        {
            return problem.clone();
        }
        let backends = Arc::clone(&self.backends);
        // In a task of its own, which keeps the lock: a client that asks and goes away at once
        // would have the servers asked again and again otherwise.
        let asking = tokio::spawn(async move {
            let problem = problem_of(&backends).await;
            *last = Some((Instant::now(), problem.clone()));
            problem
        });
        asking.await.unwrap_or_else(|error| Some(format!("the backends cannot be asked: {error}")))
    }
}

/// What is wrong with some of the servers, a line each.
async fn problem_of(backends: &[(String, Grpc)]) -> Option<String> {
    // All at the same time: several that say nothing take no longer than one.
    let asked: Vec<_> = backends.iter().map(|(_, backend)| tokio::spawn(told(backend.clone()))).collect();
    let mut problems = Vec::new();
    for ((url, _), asked) in backends.iter().zip(asked) {
        let problem = asked.await.unwrap_or_else(|error| Some(format!(" cannot be asked: {error}")));
        let name = if backends.len() > 1 { format!("the backend {url}") } else { "the backend".to_owned() };
        problems.extend(problem.map(|problem| name + &problem));
    }
    (!problems.is_empty()).then(|| problems.join("\n"))
}

/// What is wrong with a server, behind its name.
async fn told(backend: Grpc) -> Option<String> {
    match tokio::time::timeout(PATIENCE, check_health(backend, "")).await {
        Ok(Ok(true)) => None,
        Ok(Err(status)) if status.code() == Code::Unimplemented => None,
        Ok(Ok(false)) => Some(" does not take calls".to_owned()),
        Ok(Err(status)) => Some(format!(": {}", status.message())),
        Err(_) => Some(format!(" does not answer within {PATIENCE:?}")),
    }
}

/// The answer to a path that asks how the server is; `None` for other paths.
pub(crate) async fn health(path: &str, health: &Health, readiness: &Readiness) -> Option<Response<Body>> {
    let problem = match path {
        // A server that ends is not to be restarted, but it is not to be sent calls either; whoever
        // has one probe only has this one.
        "/healthz" | "/readyz" if !health.is_serving() => Some("the server takes no more calls".to_owned()),
        "/healthz" => None,
        "/readyz" => readiness.problem().await,
        _ => return None,
    };
    Some(match problem {
        None => answer(StatusCode::OK, "ok\n".to_owned()),
        Some(problem) => answer(StatusCode::SERVICE_UNAVAILABLE, problem + "\n"),
    })
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// How the admin port is served: few are to ask there.
pub(super) fn options() -> ServeOptions {
    ServeOptions::default().limits(Limits::default().connections(64).requests(64))
}

/// The service of the admin port.
#[derive(Clone)]
pub(super) struct Admin {
    health: Health,
    readiness: Readiness,
    metrics: Option<Arc<Metrics>>,
}

pub(super) fn service(health: Health, readiness: Readiness, metrics: Option<Arc<Metrics>>) -> Admin {
    Admin { health, readiness, metrics }
}

impl Service<Request<RequestBody>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request.method(), request.uri().path()).await) })
    }
}

impl Admin {
    async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if ![Method::GET, Method::HEAD].contains(method) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "ask by GET\n".to_owned());
        }
        if let Some(health) = health(path, &self.health, &self.readiness).await {
            return health;
        }
        match &self.metrics {
            Some(metrics) if path == "/metrics" => {
                let mut response = answer(StatusCode::OK, metrics.text());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            _ => answer(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned()),
        }
    }
}
