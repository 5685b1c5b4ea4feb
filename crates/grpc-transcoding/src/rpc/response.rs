//! Responses to a stub, and the parts of a response that client and server share.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tonic::{
    Status,
    body::Body,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    failure::{BROKEN, Broken},
    metadata::{is_sound_status, mend, mend_status, metadata},
};

pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The metadata that says how long a call may take.
///
/// Source: gRPC over HTTP/2, "Timeout".
pub static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Google's own header for the same, in seconds.
pub(crate) static SERVER_TIMEOUT: HeaderName = HeaderName::from_static("x-server-timeout");
pub(crate) static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

pub(crate) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// A gRPC response with a body that yields the frames and the trailers. Its metadata is made
/// of `headers`; what gRPC cannot carry is left out.
pub(crate) fn grpc<B>(body: B, headers: HeaderMap) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<super::BoxError>,
{
    self::headers(Body::new(body), headers)
}

/// Makes the head of a gRPC response as [`grpc`] does, around a body of any type.
pub(crate) fn headers<B>(body: B, headers: HeaderMap) -> Response<B> {
    let mut response = Response::new(body);
    *response.headers_mut() = metadata(headers, Some(GRPC));
    mend(response.headers_mut());
    response
}

/// Makes a gRPC server's response readable for a stub: invalid statuses and metadata in its
/// headers and trailers are corrected.
pub(crate) fn mended(mut response: Response<Body>) -> Response<Body> {
    mend_status(response.headers_mut());
    mend(response.headers_mut());
    response.map(|body| Body::new(Mended(body)))
}

/// A body whose trailers are corrected as the headers are.
struct Mended(Body);

impl http_body::Body for Mended {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.get_mut().0).poll_frame(context);
        polled.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                mend_status(trailers);
                mend(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body of a unary call's success: one message, framed, then the trailers.
pub(crate) enum Unary {
    Message(Bytes),
    Trailers,
    End,
}

impl http_body::Body for Unary {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let next = if matches!(this, Self::Message(_)) { Self::Trailers } else { Self::End };
        Poll::Ready(match std::mem::replace(this, next) {
            Self::Message(framed) => Some(Ok(Frame::data(framed))),
            Self::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(&GRPC_STATUS, HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Self::End => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::End)
    }
}

/// The status that headers or trailers hold.
pub fn status(headers: &HeaderMap) -> Option<Status> {
    // Most headers have no status, and most trailers nothing else than that of a success.
    let code = headers.get(&GRPC_STATUS)?;
    if code == "0" && headers.len() == 1 {
        return Some(Status::ok(""));
    }
    if is_sound_status(headers) {
        return Status::from_header_map(headers);
    }
    let mut mended = headers.clone();
    mend_status(&mut mended);
    Status::from_header_map(&mended)
}

/// Adds the metadata of the headers, which came before the status, to that of the status.
/// Where both have a name, the values of the status stay.
pub(crate) fn after_headers(mut status: Status, headers: HeaderMap) -> Status {
    let mut both = std::mem::take(status.metadata_mut()).into_headers();
    let mut name = None;
    let mut skip = false;
    for (next, value) in metadata(headers, None) {
        // A name comes with the first of its values only.
        if let Some(next) = next {
            skip = both.contains_key(&next);
            name = Some(next);
        }
        if let (Some(name), false) = (&name, skip) {
            both.append(name, value);
        }
    }
    *status.metadata_mut() = MetadataMap::from_headers(both);
    status
}

/// A status as the trailers of a body.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(&GRPC_STATUS, HeaderValue::from_static("13"));
    }
    trailers
}

/// A failed call: HTTP 200, with the status among the headers.
pub fn failure(mut status: Status) -> Response<Body> {
    let cause = std::error::Error::source(&status).and_then(|cause| cause.downcast_ref::<Broken>()).copied();
    if let Some(cause) = cause {
        status.metadata_mut().insert(BROKEN, MetadataValue::from_static(cause.name()));
    }
    let mut response: Response<Body> = status.into_http();
    if let Some(cause) = cause {
        response.extensions_mut().insert(cause);
    }
    response
}

/// Makes the response of a call over HTTP/JSON that failed: the error as JSON, in Google's
/// form, with the details whose types are Google's own. Services in front of a `Gateway` use it
/// to refuse a request themselves; over gRPC, [`Status::into_http`] is its counterpart.
pub fn error_response(status: &Status, http: StatusCode) -> Response<Body> {
    let body = super::status::to_body(None, status, http);
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = http;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Tells the span of an attempt, if there is one, what HTTP says of it.
pub(crate) fn record(span: &tracing::Span, status: http::StatusCode, version: http::Version) {
    span.record("http.response.status_code", status.as_u16());
    span.record("network.protocol.version", if version == http::Version::HTTP_2 { "2" } else { "1.1" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_that_are_no_base64_are_left_out() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        headers.insert("grpc-status-details-bin", HeaderValue::from_static("YQ"));
        assert_eq!(status(&headers).unwrap().details(), b"a");
        for bad in ["a,b", "_-8", "a"] {
            headers.insert("grpc-status-details-bin", HeaderValue::from_static(bad));
            let status = status(&headers).unwrap();
            assert_eq!((status.code(), status.details()), (tonic::Code::Unavailable, &b""[..]), "{bad}");
        }
    }
}
