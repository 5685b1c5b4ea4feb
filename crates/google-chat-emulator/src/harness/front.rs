//! What stands before the API on the emulator's port: what else is served there, the log of
//! the calls, and the faults.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use google_chat::grpc_transcoding::{
    rpc::{BoxError, error_response, http_status, is_grpc},
    server::{Gateway, Reflection, RequestBody},
};
use http::{
    Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body::Frame;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use tonic::{Code, Status, body::Body};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::{Service, ServiceExt};

use super::{State, admin, faults::Fault, media, received::Watched};
use crate::{
    chat::{Chat, refusal},
    identity::{Asked, Hop, HopFault, Reply},
    lock,
};

/// How much a request to the emulator itself may hold.
const LIMIT: usize = 64 * 1024;

#[derive(Clone)]
pub(super) struct Front {
    pub(super) state: Arc<State>,
    pub(super) gateway: Gateway<Chat>,
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
            if let Some(hop) = Hop::of(request.uri().path(), request.headers()) {
                return front.identity(hop, request).await;
            }
            match request.uri().path() {
                path if admin::serves(path) => admin::respond(&front.state, request).await,
                path if Reflection::serves(path) => Ok(front.reflection.oneshot(request).await?),
                path if path.starts_with("/grpc.health.v1.Health/") => Ok(front.health.oneshot(request).await?),
                _ => front.call(request).await,
            }
        })
    }
}

impl Front {
    /// Takes a request on the way to a token.
    async fn identity(self, hop: Hop, request: Request<RequestBody>) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let body = match collect(body).await {
            Ok(body) => body,
            Err(refused) => return Ok(refused),
        };
        let reply = match self.state.issuer.fault(hop) {
            Some(HopFault::Reset) => return Err("a fault: the connection ends".into()),
            Some(HopFault::Answer { status, body }) => {
                Reply { status, headers: vec![("content-type", "application/json".to_owned())], body }
            }
            fault => {
                if let Some(HopFault::Latency(time)) = fault {
                    tokio::time::sleep(time).await;
                }
                let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
                let mut bases = vec![self.state.token_base()];
                bases.extend(host.map(|host| format!("{}://{host}", self.state.scheme)));
                self.state.issuer.respond(
                    hop,
                    &Asked {
                        method: head.method,
                        path: head.uri.path(),
                        query: head.uri.query().unwrap_or_default(),
                        headers: &head.headers,
                        body: &body,
                        bases: &bases,
                    },
                )
            }
        };
        let mut response = Response::builder().status(reply.status);
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Body::new(Full::from(reply.body)))?)
    }

    /// Takes a call of the API.
    async fn call(self, request: Request<RequestBody>) -> Result<Response<Body>, BoxError> {
        let is_call = is_grpc(request.headers()) || request.uri().path().contains("/v1/");
        let (head, body) = request.into_parts();
        let (state, log) = (Arc::clone(&self.state), Arc::clone(&self.state.log));
        let number = lock(&log).begin(state.organization.now(), &head);
        let request = Request::from_parts(head, Body::new(Watched { body, log: Arc::clone(&log), number }));
        // What is no call of the API takes no fault from one that is.
        let fault = if is_call { lock(&state.faults).roll() } else { None };
        let response = match fault {
            None => self.pass(request).await,
            Some(fault) => self.fail(request, fault).await,
        }?;
        lock(&log).end(number, code(&response));
        Ok(response)
    }

    async fn pass(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        if media::serves(request.uri().path()) {
            return media::respond(&self.state, request).await;
        }
        self.gateway.oneshot(request).await.map_err(Into::into)
    }

    async fn fail(self, request: Request<Body>, fault: Fault) -> Result<Response<Body>, BoxError> {
        let grpc = is_grpc(request.headers());
        match fault {
            Fault::Latency(time) => {
                tokio::time::sleep(time).await;
                self.pass(request).await
            }
            Fault::Unavailable => Ok(refuse(grpc, Status::unavailable("The service is currently unavailable."))),
            Fault::QuotaExceeded { retry_after } => {
                let mut response = refuse(grpc, refusal::quota_exceeded("space", 60));
                response.headers_mut().extend(retry_after.map(|seconds| (RETRY_AFTER, seconds.into())));
                Ok(response)
            }
            Fault::Html => {
                let page = Body::new(Full::from("<!DOCTYPE html><title>Error 500</title>"));
                let response = Response::builder().status(500).extension(Code::Internal);
                Ok(response.header(CONTENT_TYPE, "text/html; charset=UTF-8").body(page)?)
            }
            Fault::ResetBefore => Err("a fault: the connection ends".into()),
            Fault::ResetAfter => {
                let response = self.pass(request).await?;
                // The call is carried out to its end.
                let _ = response.into_body().collect().await;
                Err("a fault: the connection ends".into())
            }
            Fault::Truncated => {
                let (head, body) = self.pass(request).await?.into_parts();
                let data = body.collect().await?.to_bytes();
                let half = Frame::data(data.slice(..data.len() / 2));
                let pieces = [Ok(half), Err(Status::internal("a fault: the response ends"))];
                let pieces = tonic::codegen::tokio_stream::iter(pieces);
                Ok(Response::from_parts(head, Body::new(StreamBody::new(pieces))))
            }
            Fault::ExpiredToken => {
                self.state.issuer.expire_tokens();
                self.pass(request).await
            }
            Fault::CutOff { after } => {
                let cut = Arc::new(AtomicBool::new(false));
                let request = request.map(|body| Body::new(Cut { body, left: after, cut: Arc::clone(&cut) }));
                let response = self.pass(request).await?;
                if cut.load(Relaxed) {
                    return Err("a fault: the connection ends".into());
                }
                Ok(response.map(|body| Body::new(Cut { body, left: after, cut })))
            }
            Fault::UploadsLost => {
                self.state.chat.forget_uploads();
                self.pass(request).await
            }
        }
    }
}

/// A body that ends with an error after so many bytes.
struct Cut {
    body: Body,
    left: u64,
    cut: Arc<AtomicBool>,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.cut.load(Relaxed) {
            return Poll::Ready(Some(Err(Status::unavailable("a fault: the connection ends"))));
        }
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            // Nothing was cut off before the trailers.
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        // What is cut off ends the body the next time.
        this.cut.store(data.len() as u64 > this.left, Relaxed);
        data.truncate(usize::try_from(this.left).unwrap_or(usize::MAX));
        this.left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request to the emulator itself, or the response to one that is too long. If it
/// does not come whole, nothing of it.
pub(super) async fn collect(body: RequestBody) -> Result<Bytes, Response<Body>> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let status = Status::invalid_argument(format!("The body has more than {LIMIT} bytes; send a shorter one."));
            Err(error_response(&status, StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Ok(Bytes::new()),
    }
}

/// How a call ended, over either protocol. A response to REST that failed has its code among
/// the extensions.
fn code(response: &Response<Body>) -> Code {
    let grpc = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    let rest = response.extensions().get::<Code>().copied();
    grpc.or(rest).unwrap_or(Code::Ok)
}

/// The response to a call that fails with a status, in the form of its protocol.
pub(super) fn refuse(grpc: bool, status: Status) -> Response<Body> {
    if grpc {
        return status.into_http();
    }
    let mut response = error_response(&status, http_status(status.code()));
    response.extensions_mut().insert(status.code());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_ends_before_the_cut_keeps_its_trailers() {
        for (left, whole) in [(2, true), (1, false)] {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let frames = [Frame::data(Bytes::from_static(b"ab")), Frame::trailers(trailers)].map(Ok::<_, Status>);
            let body = Body::new(StreamBody::new(tonic::codegen::tokio_stream::iter(frames)));
            let cut = Cut { body, left, cut: Arc::default() };
            let collected = cut.collect().await;
            let status = collected.ok().and_then(|body| Some(body.trailers()?["grpc-status"].clone()));
            assert_eq!(status.is_some(), whole, "{left}");
        }
    }
}
