//! Servers that answer the call that is measured.

use std::convert::Infallible;

use benches::{
    METHOD, REPLY,
    google::chat::v1::{CreateSpaceRequest, Space},
};
use bytes::Bytes;
use google_chat::{
    Client,
    grpc_transcoding::server::{Gateway, RequestBody},
};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::Service as HyperService};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rest_over_grpc::{handling, serving::RestService};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::{Service, service_fn};

/// A tower service over HTTP, whatever the body of its requests.
pub(crate) trait Answers<B>:
    Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<B, S> Answers<B> for S where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves by hyper's HTTP/1.1 and nothing else.
pub(crate) async fn bare<S, B>(listener: TcpListener, service: S)
where
    S: HyperService<Request<Incoming>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data: Send> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async {
            // A client that leaves is no failure here.
            let _ = connection.await;
        });
    }
}

/// Takes the body, and answers static bytes.
pub(crate) async fn fixed<B: http_body::Body>(request: Request<B>) -> Result<Response<Body>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(REPLY.as_bytes()))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(crate) fn framed(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

/// A gRPC service with an empty handler: it answers the same frame to all.
pub(crate) fn grpc() -> impl Answers<Body> {
    let method = Client::http_rules().method(METHOD).expect("the method").method();
    let reply = framed(&method.output().from_json(REPLY).expect("the reply"));
    service_fn(move |call: Request<Body>| {
        let reply = reply.clone();
        async move {
            let _ = call.into_body().collect().await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let frames = [Ok::<_, Infallible>(Frame::data(reply)), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(Body::new(StreamBody::new(tonic::codegen::tokio_stream::iter(frames))));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            Ok(response)
        }
    })
}

/// The gateway in front of that, in one process.
pub(crate) fn gateway() -> impl Answers<RequestBody> {
    Gateway::new(Client::http_rules().clone(), grpc()).expect("a gateway")
}

/// rest_over_grpc with a handler.
pub(crate) fn rest_over_grpc<R: benches::bench::Rooms + Clone>(
    rooms: R,
) -> TowerToHyperService<RestService<benches::rest_over_grpc_peer::Transcoder<R>>> {
    TowerToHyperService::new(RestService::new(benches::rest_over_grpc_peer::Transcoder::new(rooms)))
}

/// rest_over_grpc's empty handler, which answers the same space to all.
#[derive(Clone)]
pub(crate) struct Answering(Space);

impl Answering {
    pub(crate) fn new() -> Self {
        Self(serde_json::from_str(REPLY).expect("a space"))
    }
}

impl benches::bench::Rooms for Answering {
    async fn create_space(&self, _: CreateSpaceRequest, _: &mut handling::Context) -> Result<Space, handling::Status> {
        Ok(self.0.clone())
    }
}
