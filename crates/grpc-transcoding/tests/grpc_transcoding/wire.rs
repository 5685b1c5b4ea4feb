//! What goes over the wire between a client, a gateway and a gRPC server, by clients that
//! write and read its frames themselves.

use std::{convert::Infallible, net::SocketAddr};

use crate::shelf::{RULES, frame, method};
use bytes::Bytes;
use grpc_transcoding::{
    client::{Grpc, Origin},
    server::{Gateway, RequestBody, ServeOptions, serve},
};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt, service_fn};

async fn served<S>(service: S) -> SocketAddr
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, service, ServeOptions::default()));
    address
}

/// A gRPC server that fails every call by headers alone, and a gateway in front of it.
async fn failing() -> (SocketAddr, SocketAddr) {
    let backend = service_fn(|_: Request<RequestBody>| async { Ok(Status::not_found("no book: 100 %").into_http()) });
    let backend = served(backend).await;
    let grpc = Grpc::new(Origin::parse(&format!("http://{backend}")).unwrap()).unwrap();
    (backend, served(Gateway::new(RULES.clone(), grpc).unwrap()).await)
}

fn call(address: SocketAddr, timeout: Option<&str>) -> http::request::Builder {
    let call = Request::post(format!("http://{address}/shelf.Shelf/GetBook"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    match timeout {
        Some(timeout) => call.header("grpc-timeout", timeout),
        None => call,
    }
}

/// Makes a call by HTTP/2 and gives the headers of the answer, and the data and the
/// trailers behind them, if they do not end the stream.
async fn over_h2(address: SocketAddr, timeout: Option<&str>) -> (HeaderMap, Vec<Bytes>, Option<HeaderMap>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = call(address, timeout).body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap()), true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        data.push(piece.unwrap());
    }
    (head.headers, data, body.trailers().await.unwrap())
}

/// As gRPC has it: HEADERS that end the stream. Some clients take a DATA frame behind
/// them, even an empty one, for an answer without a status.
#[tokio::test]
async fn trailers_only_stays_trailers_only() {
    let (backend, gateway) = failing().await;
    for address in [backend, gateway] {
        for timeout in [None, Some("20S")] {
            let (headers, data, trailers) = over_h2(address, timeout).await;
            let case = format!("{address} of {backend}, {gateway}, {timeout:?}: {headers:?}");
            assert_eq!(headers["grpc-status"], "5", "{case}");
            assert_eq!(headers["grpc-message"], "no%20book:%20100%20%25", "{case}");
            assert_eq!((data, trailers), (vec![], None), "{case}");
        }
    }
    let grpc = Grpc::new(Origin::parse(&format!("http://{backend}")).unwrap()).unwrap();
    for timeout in [None, Some("20S")] {
        let answer = grpc.clone().oneshot(call(backend, timeout).body(Body::empty()).unwrap()).await.unwrap();
        assert!(http_body::Body::is_end_stream(answer.body()), "{timeout:?}");
    }
}

/// tonic panics for some of it, and forgets the code for other.
#[tokio::test]
async fn a_stub_can_read_whatever_a_server_says() {
    for in_trailers in [false, true] {
        let backend = service_fn(move |_: Request<RequestBody>| async move {
            let mut said = HeaderMap::new();
            said.insert("grpc-status", "5".parse().unwrap());
            said.insert("grpc-message", "no book: %ff".parse().unwrap());
            said.insert("grpc-status-details-bin", "!!!".parse().unwrap());
            said.insert("x-trace-bin", "!!!".parse().unwrap());
            said.insert("x-other-bin", "YQ==,Yg".parse().unwrap());
            let mut answer = Response::new(Body::empty());
            if in_trailers {
                let trailers = http_body_util::Empty::new().with_trailers(std::future::ready(Some(Ok(said))));
                answer = Response::new(Body::new(trailers));
            } else {
                *answer.headers_mut() = said;
            }
            answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok::<_, Infallible>(answer)
        });
        let origin = Origin::parse(&format!("http://{}", served(backend).await)).unwrap();
        let answer =
            Grpc::new(origin).unwrap().oneshot(call("127.0.0.1:1".parse().unwrap(), None).body(Body::empty()).unwrap());
        let (head, body) = answer.await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let said = if in_trailers { body.trailers().unwrap() } else { &head.headers };
        let status = Status::from_header_map(said).unwrap();
        assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, "no book: %ff"), "{said:?}");
        assert!(!said.contains_key("x-trace-bin"), "{said:?}");
        assert_eq!(said.get_all("x-other-bin").iter().collect::<Vec<_>>(), ["YQ", "Yg"]);
    }
}

#[tokio::test]
async fn a_redirect_in_place_of_grpc_names_where_it_leads() {
    let elsewhere = service_fn(|_: Request<RequestBody>| async {
        let answer = Response::builder().status(302).header("location", "https://login.example.com/?secret");
        Ok::<_, Infallible>(answer.body(Body::empty()).unwrap())
    });
    let address = served(elsewhere).await;
    let grpc = Grpc::new(Origin::parse(&format!("http://{address}")).unwrap()).unwrap();
    let answer = grpc.oneshot(call(address, None).body(Body::empty()).unwrap()).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    let expected =
        "the server answered HTTP 302 Found, a redirect to https://login.example.com/, which is not followed";
    assert!(status.code() == tonic::Code::Unknown && status.message().starts_with(expected), "{status:?}");
}

/// What a server answers to bytes, until it ends the connection.
async fn over_http_1(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_that_are_not_http_are_answered_with_400() {
    let (_, gateway) = failing().await;
    {
        let (address, path) = (gateway, "/v1/rename/1");
        for (request, problem) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "no Host header"),
            ("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n".to_owned(), "more than one Host"),
            ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), "is no host"),
            (
                format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"
                ),
                "the body is not HTTP",
            ),
        ] {
            let answer = over_http_1(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {answer}");
            assert!(answer.contains(problem) && answer.contains("INVALID_ARGUMENT"), "{request}: {answer}");
        }
    }
}
