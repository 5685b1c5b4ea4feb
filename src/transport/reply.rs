//! Answers to a stub.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tonic::{Status, body::Body};

use crate::transcoding::frame;

pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A unary call's success: one message, then the trailers.
pub(super) fn success(message: &[u8], metadata: HeaderMap) -> Response<Body> {
    let framed = match frame::frame(message) {
        Ok(framed) => framed,
        Err(status) => return failure(status),
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = metadata;
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A stream's answer: its body makes the frames and the trailers.
pub(super) fn stream<B>(body: B, head: &http::response::Parts) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<super::BoxError>,
{
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = metadata(&head.headers);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A failed call: HTTP 200, with the status among the headers.
pub(super) fn failure(status: Status) -> Response<Body> {
    status.into_http()
}

/// Collects a body, up to a limit.
pub(super) async fn collect<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<super::BoxError>,
{
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(CollectError::TooLarge),
        Err(error) => Err(CollectError::Failed(super::chain(&*error))),
    }
}

pub(super) enum CollectError {
    TooLarge,
    Failed(String),
}

/// The headers of an HTTP answer that are a call's metadata: all but those of
/// the connection and of gRPC itself.
pub(super) fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if is_metadata(name.as_str()) {
            metadata.append(name, value.clone());
        }
    }
    metadata
}

pub(super) fn is_metadata(name: &str) -> bool {
    const NOT: [&str; 15] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-type",
        "content-encoding",
        "accept-encoding",
        "host",
        "accept",
        "expect",
    ];
    !NOT.contains(&name) && !name.starts_with("grpc-")
}
