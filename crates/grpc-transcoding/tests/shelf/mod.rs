//! The service of shelf.proto, which has HTTP rules of every kind: its stub's calls, a
//! backend in the process, and the gateway between.

#![allow(dead_code, reason = "each test has its part of it")]

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock, Mutex},
};

use bytes::Bytes;
use grpc_transcoding::{
    ConfigError, DescriptorPool, HttpRules, MethodBindings, MethodDescriptor, client::HttpJson, server::Gateway,
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt, service_fn, util::BoxCloneSyncService};

/// The compiled form of shelf.proto; `tests/oracle/tests/sets.rs` of the repository writes it.
pub(crate) const SET: &[u8] = include_bytes!("../proto/shelf.bin");
pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(SET).unwrap());
pub(crate) static RULES: LazyLock<HttpRules> = LazyLock::new(|| HttpRules::new(&POOL));

/// The rules of shelf.proto, with those of a service config.
pub(crate) fn rules_with(config: &[u8]) -> Result<HttpRules, ConfigError> {
    HttpRules::with_config(&POOL, config)
}

pub(crate) fn bindings(name: &str) -> &'static MethodBindings {
    RULES.method(&format!("/shelf.Shelf/{name}")).unwrap()
}

pub(crate) fn method(name: &str) -> MethodDescriptor {
    bindings(name).method().clone()
}

/// The request line, content type and body that a message becomes.
pub(crate) fn transcode(name: &str, message: Value) -> Result<(String, Option<String>, String), String> {
    let method = method(name);
    let wire = method.input().from_json(message.to_string()).unwrap();
    let request = bindings(name).to_http(&wire).map_err(|error| error.to_string())?;
    let kind = request.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let line = format!("{} {}", request.method(), request.uri());
    Ok((line, kind, String::from_utf8(request.into_body().into()).unwrap()))
}

/// A call as a backend got it: its path, its headers and its messages.
pub(crate) type Call = (String, HeaderMap, Vec<Vec<u8>>);
/// What a backend answers: messages, and a status if it is not OK.
pub(crate) type Answer = (Vec<Vec<u8>>, Option<Status>);

/// A gRPC server that keeps what it was called with.
#[derive(Clone, Default)]
pub(crate) struct Backend {
    pub(crate) calls: Arc<Mutex<Vec<Call>>>,
    pub(crate) answer: Arc<Mutex<Answer>>,
}

pub(crate) type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

impl Backend {
    pub(crate) fn answering(messages: &[(&str, Value)], status: Option<Status>) -> Self {
        let wire =
            |(message, json): &(&str, Value)| POOL.message(message).unwrap().from_json(json.to_string()).unwrap();
        let backend = Self::default();
        *backend.answer.lock().unwrap() = (messages.iter().map(wire).collect(), status);
        backend
    }

    /// A gRPC server, in the process.
    pub(crate) fn service(&self) -> Inner {
        let backend = self.clone();
        BoxCloneSyncService::new(service_fn(move |call: Request<Body>| {
            let backend = backend.clone();
            async move {
                let (head, body) = call.into_parts();
                let messages = unframe(&body.collect().await.unwrap().to_bytes());
                backend.calls.lock().unwrap().push((head.uri.path().to_owned(), head.headers, messages));
                let (messages, status) = backend.answer.lock().unwrap().clone();
                let mut pieces: Vec<_> = messages.iter().map(|message| Ok(Frame::data(frame(message)))).collect();
                let mut trailers = HeaderMap::new();
                status.unwrap_or_else(|| Status::ok("")).add_header(&mut trailers).unwrap();
                pieces.push(Ok::<_, Infallible>(Frame::trailers(trailers)));
                let body = Body::new(StreamBody::new(tokio_stream(pieces)));
                Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            }
        }))
    }

    pub(crate) fn gateway(&self) -> Gateway<Inner> {
        Gateway::new(RULES.clone(), self.service()).unwrap()
    }

    /// The last call's messages, as JSON.
    pub(crate) fn received(&self, name: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        let (path, _, messages) = calls.last().expect("the backend was called");
        assert_eq!(path, &format!("/shelf.Shelf/{name}"));
        let json = |wire: &Vec<u8>| serde_json::from_str(&method(name).input().to_json(wire).unwrap()).unwrap();
        messages.iter().map(json).collect()
    }
}

pub(crate) fn tokio_stream<T>(items: Vec<T>) -> impl futures_core::Stream<Item = T> + Send
where
    T: Send,
{
    futures_util::stream::iter(items)
}

pub(crate) fn frame(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

pub(crate) fn unframe(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push(rest[..len].to_vec());
        bytes = &rest[len..];
    }
    messages
}

/// A stub's call: its messages in, the reply's messages and status out.
pub(crate) async fn call<S>(service: S, name: &str, messages: &[Value]) -> (Vec<Value>, Status)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let framed: Vec<u8> =
        messages.iter().flat_map(|json| frame(&method(name).input().from_json(json.to_string()).unwrap())).collect();
    let call = Request::post(format!("/shelf.Shelf/{name}"))
        .header("content-type", "application/grpc")
        .body(Body::new(Full::from(framed)))
        .unwrap();
    let (head, body) = service.oneshot(call).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers).or(Status::from_header_map(&head.headers)).expect("has a status");
    let json = |wire: &Vec<u8>| serde_json::from_str(&method(name).output().to_json(wire).unwrap()).unwrap();
    (unframe(&body.to_bytes()).iter().map(json).collect(), status)
}

pub(crate) fn http_json<S>(inner: S) -> HttpJson<S> {
    HttpJson::builder(RULES.clone(), "http://127.0.0.1:1").build_over(inner).unwrap()
}

/// A REST request to the gateway.
pub(crate) async fn rest(backend: &Backend, request: Request<Full<Bytes>>) -> (u16, HeaderMap, String) {
    let (head, body) = backend.gateway().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

pub(crate) type Rest = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// A REST server that gives one answer, and keeps what it was asked.
pub(crate) fn answering(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> (Arc<Mutex<Vec<Request<()>>>>, Rest) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        kept.lock().unwrap().push(request.map(drop));
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        std::future::ready(Ok(answer.body(Full::from(body)).unwrap()))
    });
    (asked, BoxCloneSyncService::new(service))
}

/// The numbers of HttpRule's fields.
pub(crate) const GET: u8 = 2;
pub(crate) const PUT: u8 = 3;
pub(crate) const POST: u8 = 4;
pub(crate) const BODY: u8 = 7;
pub(crate) const ADDITIONAL: u8 = 11;
pub(crate) const RESPONSE_BODY: u8 = 12;

/// An encoded `google.api.Http` of one rule for a method, made of fields of text
/// by their numbers.
pub(crate) fn http_rule(method: &str, fields: &[(u8, &str)]) -> Vec<u8> {
    let text = |(number, text): &(u8, &str)| [&[number << 3 | 2, text.len() as u8][..], text.as_bytes()].concat();
    let selector = text(&(1, &format!("shelf.Shelf.{method}")));
    let rule = [selector, fields.iter().flat_map(text).collect()].concat();
    [vec![0x0a, rule.len() as u8], rule].concat()
}

/// The standard messages of errors.
pub(crate) mod rpc {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Status {
        #[prost(int32, tag = "1")]
        pub(crate) code: i32,
        #[prost(string, tag = "2")]
        pub(crate) message: String,
        #[prost(message, repeated, tag = "3")]
        pub(crate) details: Vec<prost_types::Any>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct ErrorInfo {
        #[prost(string, tag = "1")]
        pub(crate) reason: String,
        #[prost(string, tag = "2")]
        pub(crate) domain: String,
        #[prost(map = "string, string", tag = "3")]
        pub(crate) metadata: std::collections::HashMap<String, String>,
    }

    impl prost::Name for ErrorInfo {
        const NAME: &'static str = "ErrorInfo";
        const PACKAGE: &'static str = "google.rpc";
    }
}
