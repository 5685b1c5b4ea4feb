//! What stands before the API on the emulator's port: what else is served there, and
//! the faults.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    Request, Response,
    header::{CONTENT_TYPE, HOST},
};
use http_body::Frame;
use http_body_util::{BodyExt, Collected, Full, Limited};
use tonic::{Code, Status, body::Body};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::{Service, ServiceExt};

use super::{State, admin, faults::Fault, lock, received::Watched, service::Chat};
use google_chat::{
    grpc_transcoding::{
        rpc::{BoxError, error_response, http_status, is_grpc},
        server::{Gateway, Reflection, RequestBody},
    },
    proto::google::chat::v1::chat_service_server::ChatServiceServer,
};

/// What a token request may hold.
const LIMIT: usize = 64 * 1024;

#[derive(Clone)]
pub(super) struct Front {
    pub(super) state: Arc<State>,
    pub(super) gateway: Gateway<ChatServiceServer<Chat>>,
    pub(super) reflection: Reflection,
    pub(super) health: HealthServer<HealthService>,
}

impl Service<Request<RequestBody>> for Front {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move {
            match request.uri().path() {
                "/token" => return front.token(request).await,
                path if admin::serves(path) => return admin::answer(&front.state, request).await,
                path if Reflection::serves(path) => return Ok(front.reflection.oneshot(request).await?),
                path if path.starts_with("/grpc.health.v1.Health/") => {
                    return Ok(front.health.oneshot(request).await?);
                }
                _ => {}
            }
            let is_call = is_grpc(request.headers()) || request.uri().path().contains("/v1/");
            let (request, number) = front.watched(request);
            // What is no call of the API takes no fault from one that is.
            let fault = if is_call { lock(&front.state.faults).roll() } else { None };
            let state = Arc::clone(&front.state);
            let answer = match fault {
                None => front.pass(request).await,
                Some(fault) => front.fail(request, fault).await,
            }?;
            lock(&state.log).end(number, code(&answer));
            Ok(answer)
        })
    }
}

impl Front {
    /// Keeps a call for those who ask what came.
    fn watched(&self, request: Request<RequestBody>) -> (Request<Body>, u64) {
        let (head, body) = request.into_parts();
        let number = lock(&self.state.log).begin(self.state.now(), &head);
        let body = Body::new(Watched { body, state: Arc::clone(&self.state), number });
        (Request::from_parts(head, body), number)
    }

    async fn pass(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        self.gateway.oneshot(request).await.map_err(Into::into)
    }

    async fn token(self, request: Request<RequestBody>) -> Result<Response<Body>, BoxError> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let form = collect(request.into_body(), LIMIT).await;
        let settings = self.state.settings();
        let uris = [Some(self.state.token_uri()), host.map(|host| format!("{}://{host}/token", self.state.scheme))];
        let uris: Vec<String> = uris.into_iter().flatten().collect();
        let (status, answer) = {
            let mut tokens = lock(&self.state.tokens);
            tokens.exchange(&form, &self.state.key, &uris, &settings, self.state.now())
        };
        let answer = Full::new(Bytes::from(answer.to_string()));
        let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        Ok(response.body(Body::new(answer))?)
    }

    async fn fail(self, request: Request<Body>, fault: Fault) -> Result<Response<Body>, BoxError> {
        let grpc = is_grpc(request.headers());
        match fault {
            Fault::Latency(time) => {
                tokio::time::sleep(time).await;
                self.pass(request).await
            }
            Fault::Unavailable => refuse(grpc, Status::unavailable("The service is currently unavailable."), None),
            Fault::QuotaExceeded { retry_after } => refuse(grpc, super::rules::quota_exceeded(60), retry_after),
            Fault::Html => {
                let page = Full::new(Bytes::from_static(b"<!DOCTYPE html><title>Error 500</title>"));
                let response = Response::builder().status(500).header(CONTENT_TYPE, "text/html; charset=UTF-8");
                let response = response.extension(Code::Internal);
                Ok(response.body(Body::new(page))?)
            }
            Fault::ResetBefore => Err("a fault: the connection ends".into()),
            Fault::ResetAfter => {
                let answer = self.pass(request).await?;
                // Carried out to its end.
                let _ = answer.into_body().collect().await;
                Err("a fault: the connection ends".into())
            }
            Fault::Truncated => {
                let (head, body) = self.pass(request).await?.into_parts();
                let data = body.collect().await?.to_bytes();
                let half = Frame::data(data.slice(..data.len() / 2));
                let pieces = [Ok(half), Err(Status::internal("a fault: the answer ends"))];
                let pieces = tonic::codegen::tokio_stream::iter(pieces);
                Ok(Response::from_parts(head, Body::new(http_body_util::StreamBody::new(pieces))))
            }
            Fault::ExpiredToken => {
                lock(&self.state.tokens).expire(self.state.now());
                self.pass(request).await
            }
        }
    }
}

/// A body, up to a limit; nothing if it is longer or does not come.
pub(super) async fn collect<B>(body: B, limit: usize) -> Bytes
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    Limited::new(body, limit).collect().await.map(Collected::to_bytes).unwrap_or_default()
}

/// How a call ended, over either protocol. A response to REST that failed has its code among
/// the extensions.
fn code(response: &Response<Body>) -> Code {
    let grpc = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    let rest = response.extensions().get::<Code>().copied();
    grpc.or(rest).unwrap_or(Code::Ok)
}

/// Answers a call with a status, in the form of its wire.
fn refuse(grpc: bool, status: Status, retry_after: Option<u64>) -> Result<Response<Body>, BoxError> {
    let mut response: Response<Body> = match grpc {
        true => status.clone().into_http(),
        false => error_response(&status, http_status(status.code())),
    };
    response.extensions_mut().insert(status.code());
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}
