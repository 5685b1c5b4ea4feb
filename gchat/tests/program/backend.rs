//! A gRPC server of any schema, in the process of the test.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
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
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Code, Status, body::Body};
use tower::{ServiceExt, service_fn};

use super::support::descriptor_set;

/// The request and the response of all methods.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Echo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The server that has answered.
    #[prost(string, tag = "2")]
    pub(crate) server: String,
}

/// A service `PACKAGE.Echo` with the rules of `Get`, and `Watch` that streams.
pub(crate) fn proto(package: &str, get: &str) -> Vec<u8> {
    let text = format!(
        r#"syntax = "proto3";
        package {package};
        import "google/api/annotations.proto";
        service Echo {{
          rpc Get(Message) returns (Message) {{ option (google.api.http) = {{ get: "{get}" }}; }}
          rpc Watch(Message) returns (stream Message) {{ option (google.api.http) = {{ get: "{get}:watch" }}; }}
        }}
        message Message {{ string name = 1; string server = 2; }}"#
    );
    // Tests that run at the same time do not write the same file.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let file = descriptor_set(&format!("backend-{}", NEXT.fetch_add(1, Relaxed)), &text);
    named(&std::fs::read(file).unwrap(), &format!("{package}.proto"))
}

/// The set with another name for its own file.
fn named(set: &[u8], name: &str) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct Set {
        #[prost(bytes = "vec", repeated, tag = "1")]
        files: Vec<Vec<u8>>,
    }
    let mut set = Set::decode(set).unwrap();
    for file in &mut set.files {
        if prost_types::FileDescriptorProto::decode(&**file).unwrap().name() == "own.proto" {
            // A field that comes again replaces the one before.
            let again = prost_types::FileDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
            file.extend(again.encode_to_vec());
        }
    }
    set.encode_to_vec()
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
