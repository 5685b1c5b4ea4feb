//! A gRPC server of any schema, in the process of the test.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, RwLock},
    task::{Context, Poll},
};

use google_chat::grpc_transcoding::{
    bytes::Bytes,
    hyper::body::{Body as HttpBody, Frame},
    rpc,
    server::{Health, Reflection, RequestBody, ServeOptions, serve},
};
use http::{HeaderMap, Request, Response};
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Status, body::Body};
use tower::{ServiceExt, service_fn};

/// The request and the response of all methods.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Echo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The server that has answered.
    #[prost(string, tag = "2")]
    pub(crate) server: String,
}

/// A descriptor set with a service `PACKAGE.Echo`, with the rules of `Get`, and `Watch` that
/// streams. It is written here and not compiled, since each test has other names and rules;
/// prost-types has no rules.
pub(crate) fn proto(package: &str, get: &str) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct Set {
        #[prost(message, repeated, tag = "1")]
        file: Vec<File>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "4")]
        message_type: Vec<DescriptorProto>,
        #[prost(message, repeated, tag = "6")]
        service: Vec<Service>,
        #[prost(string, tag = "12")]
        syntax: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Service {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        method: Vec<Method>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Method {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        input_type: String,
        #[prost(string, tag = "3")]
        output_type: String,
        #[prost(message, tag = "4")]
        options: Option<Options>,
        #[prost(bool, tag = "6")]
        server_streaming: bool,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Options {
        #[prost(message, tag = "72295728")]
        http: Option<Rule>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Rule {
        #[prost(string, tag = "2")]
        get: String,
    }
    let text = |name: &str, number| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional as i32),
        r#type: Some(Type::String as i32),
        ..Default::default()
    };
    let message = DescriptorProto {
        name: Some("Message".to_owned()),
        field: vec![text("name", 1), text("server", 2)],
        ..Default::default()
    };
    let method = |name: &str, get: String, server_streaming| Method {
        name: name.to_owned(),
        input_type: format!(".{package}.Message"),
        output_type: format!(".{package}.Message"),
        options: Some(Options { http: Some(Rule { get }) }),
        server_streaming,
    };
    let methods = vec![method("Get", get.to_owned(), false), method("Watch", format!("{get}:watch"), true)];
    let file = File {
        name: format!("{package}.proto"),
        package: package.to_owned(),
        message_type: vec![message],
        service: vec![Service { name: "Echo".to_owned(), method: methods }],
        syntax: "proto3".to_owned(),
    };
    Set { file: vec![file] }.encode_to_vec()
}

/// Answers `Get` with the request and its own name, and `Watch` with two such messages. It
/// fails with details for the name `fail`, in a stream after the first message. For `hold` a
/// stream lasts.
pub(crate) struct Backend {
    pub(crate) endpoint: String,
    reflection: Arc<RwLock<Reflection>>,
    serving: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn start(name: &'static str, set: &[u8]) -> Self {
        Self::at("127.0.0.1:0", name, set).await
    }

    pub(crate) async fn at(address: &str, name: &'static str, set: &[u8]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let reflection = Arc::new(RwLock::new(Reflection::new(&[set]).unwrap()));
        let (known, health) = (Arc::clone(&reflection), Health::new([format!("{name}.Echo")]));
        let service = service_fn(move |call: Request<RequestBody>| {
            let (reflection, health) = (known.read().unwrap().clone(), health.clone());
            async move {
                let path = call.uri().path();
                Ok::<_, Infallible>(match () {
                    () if Reflection::serves(path) => reflection.oneshot(call).await?,
                    () if Health::serves(path) => health.oneshot(call).await?,
                    () => answer(name, call).await,
                })
            }
        });
        let serving = tokio::spawn(serve(listener, service, ServeOptions::default()));
        Self { endpoint, reflection, serving }
    }

    /// Says another schema from now on.
    pub(crate) fn say(&self, set: &[u8]) {
        *self.reflection.write().unwrap() = Reflection::new(&[set]).unwrap();
    }

    pub(crate) fn stop(&self) {
        self.serving.abort();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn answer(name: &str, call: Request<RequestBody>) -> Response<Body> {
    let streams = call.uri().path().ends_with("/Watch");
    let framed = rpc::collect(call.into_body(), 1 << 20).await.unwrap();
    let mut message = Echo::decode(rpc::unary(framed, None, 1 << 20).unwrap()).unwrap();
    message.server = name.to_owned();
    let mut room = rpc::room(message.encoded_len());
    message.encode(&mut room).unwrap();
    let framed = rpc::frame(room).unwrap();
    let mut trailers = HeaderMap::new();
    let status = match &*message.name {
        "fail" => Status::with_details(Code::NotFound, "nö 100 %", Bytes::from_static(b"\x08\x05\x12\x02no")),
        _ => Status::ok(""),
    };
    status.add_header(&mut trailers).unwrap();
    if !streams && status.code() != Code::Ok {
        return status.into_http();
    }
    let count = if streams && status.code() == Code::Ok { 2 } else { 1 };
    let mut frames: VecDeque<_> = (0..count).map(|_| Frame::data(framed.clone())).collect();
    let lasts = message.name == "hold";
    if !lasts {
        frames.push_back(Frame::trailers(trailers));
    }
    let mut response = Response::new(Body::new(Frames { frames, lasts }));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    lasts: bool,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.frames.pop_front() {
            None if self.lasts => Poll::Pending,
            next => Poll::Ready(next.map(Ok)),
        }
    }
}

/// The code, the message and the details of gRPC-Web's or gRPC's headers.
pub(crate) fn status(headers: &str) -> (Option<Code>, String) {
    let field = |name: &str| headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    (
        field("grpc-status").map(|code| Code::from_bytes(code.as_bytes())),
        field("grpc-message").unwrap_or_default().to_owned(),
    )
}
