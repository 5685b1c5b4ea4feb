//! gRPC-Web: gRPC calls as browsers can send them, with the status at the end of the body.
//!
//! tonic-web translates; here is what it leaves to the server around it: media types with
//! parameters and those that nobody serves, the headers of HTTP/1.1, and a response that
//! breaks off.
//!
//! Source: [gRPC-Web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).

use google_chat::grpc_transcoding::server::{Gateway, RequestBody};
use http::{Request, Response};
use tonic::body::Body;

use super::backends::Pick;
use crate::failure::Failure;

#[cfg(not(feature = "full"))]
pub(super) enum GrpcWeb {}

#[cfg(not(feature = "full"))]
impl GrpcWeb {
    pub(super) fn new(_: Gateway<Pick>) -> Result<Self, Failure> {
        Err(Failure::left_out("--grpc-web"))
    }

    pub(super) async fn answer(&self, _: Request<RequestBody>) -> Response<Body> {
        match *self {}
    }
}

#[cfg(feature = "full")]
pub(super) use full::GrpcWeb;

#[cfg(feature = "full")]
mod full {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use google_chat::grpc_transcoding::{
        bytes::Bytes,
        hyper::body::{Body as HttpBody, Frame, SizeHint},
        rpc,
    };
    use http::{
        HeaderMap, HeaderValue, Method, StatusCode, Version,
        header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, TE},
    };
    use http_body_util::BodyExt;
    use tonic::{Code, Status};
    use tonic_web::GrpcWebLayer;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::serving::LateCode;

    /// The media types that are served: messages as bytes, and all of the body in base64.
    const KINDS: [&str; 4] = [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
    ];

    /// gRPC-Web in front of a gateway that passes gRPC calls through.
    pub(in crate::gateway) struct GrpcWeb(Gateway<Pick>);

    impl GrpcWeb {
        pub(in crate::gateway) fn new(gateway: Gateway<Pick>) -> Result<Self, Failure> {
            Ok(Self(gateway))
        }

        /// The response to a request of gRPC-Web.
        pub(in crate::gateway) async fn answer(&self, mut request: Request<RequestBody>) -> Response<Body> {
            let Some(kind) = request.headers().get(CONTENT_TYPE).and_then(known) else {
                let problem = format!("of gRPC-Web, these content types are served: {}", KINDS.join(", "));
                return rpc::error_response(&Status::invalid_argument(problem), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            };
            if request.method() != Method::POST {
                let problem = Status::unimplemented("a call over gRPC-Web is a POST");
                let mut refusal = rpc::error_response(&problem, StatusCode::METHOD_NOT_ALLOWED);
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                return refusal;
            }
            // The library knows media types without parameters only, and responds with bytes to
            // whoever does not ask for text.
            let wanted = request.headers().get(ACCEPT).and_then(known).unwrap_or(kind);
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(wanted));
            let (gateway, code) = (self.0.clone(), LateCode::default());
            let passed = service_fn(|call: Request<Body>| {
                let (gateway, code) = (gateway.clone(), code.clone());
                async move {
                    let answer = gateway.oneshot(as_grpc(call)).await?;
                    Ok::<_, Infallible>(answer.map(|body| Body::new(Told { body, code, over: false })))
                }
            });
            let Ok(mut answer) = GrpcWebLayer::new().layer(passed).oneshot(request).await;
            // The length of the body would be that without the status.
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer.extensions_mut().insert(code);
            answer
        }
    }

    fn known(kind: &HeaderValue) -> Option<&'static str> {
        let kind = kind.to_str().ok()?.split(';').next()?.trim();
        KINDS.into_iter().find(|known| known.eq_ignore_ascii_case(kind))
    }

    /// The call as an HTTP/2 client sends it: without the headers of an HTTP/1.1 connection.
    fn as_grpc(call: Request<Body>) -> Request<Body> {
        let (mut head, body) = call.into_parts();
        let own = ["grpc-timeout", "grpc-encoding", "grpc-accept-encoding"];
        let own = own.map(|name| (name, head.headers.get(name).cloned()));
        head.headers = rpc::metadata(head.headers, Some(HeaderValue::from_static("application/grpc")));
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        for (name, value) in own {
            if let Some(value) = value {
                head.headers.insert(name, value);
            }
        }
        head.version = Version::HTTP_2;
        // The library says the length of the text, of which the bytes are fewer; mapping says none.
        Request::from_parts(head, Body::new(body.map_frame(|frame| frame)))
    }

    /// The body of a gRPC response, which tells the code at its end. Where the server's
    /// connection breaks, it ends with a status: a browser would see no more than that the
    /// connection was closed.
    struct Told {
        body: Body,
        code: LateCode,
        over: bool,
    }

    impl HttpBody for Told {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            if self.over {
                return Poll::Ready(None);
            }
            let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.over = true;
                    let mut trailers = HeaderMap::new();
                    let status = Status::unavailable(format!("the response broke off: {}", error.message()));
                    if status.add_header(&mut trailers).is_err() {
                        trailers.insert("grpc-status", HeaderValue::from(Code::Unavailable as i32));
                    }
                    Frame::trailers(trailers)
                }
                None => return Poll::Ready(None),
            };
            if let Some(code) = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status")) {
                self.code.set(Code::from_bytes(code.as_bytes()));
            }
            Poll::Ready(Some(Ok(frame)))
        }

        fn is_end_stream(&self) -> bool {
            self.over || self.body.is_end_stream()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }

    #[cfg(test)]
    mod tests {
        use http_body_util::{Full, Limited};

        use super::*;

        #[tokio::test]
        async fn a_response_that_breaks_off_ends_with_a_status() {
            let broken = Limited::new(Full::<Bytes>::from("more than a byte"), 1);
            let body = Body::new(broken.map_err(|_| Status::data_loss("the connection was lost")));
            let code = LateCode::default();
            let whole = Told { body, code: code.clone(), over: false }.collect().await.unwrap();
            let trailers = whole.trailers().unwrap();
            assert_eq!(trailers["grpc-status"], "14");
            assert!(trailers["grpc-message"].to_str().unwrap().ends_with("the%20connection%20was%20lost"));
            assert_eq!(code.get(), Some(Code::Unavailable));
        }
    }
}
