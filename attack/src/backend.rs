//! The gRPC server behind the gateway: hyper's HTTP/2 with its default settings, which are
//! those of tonic's server, and the calls of `attack.proto`.

use std::{
    convert::Infallible,
    fmt::Write,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, channel::Channel, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::Result;

type Body = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Blob {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    data: String,
}

#[derive(Clone, PartialEq, Message)]
struct Seconds {
    #[prost(double, tag = "1")]
    seconds: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Amount {
    #[prost(int32, tag = "1")]
    messages: i32,
    #[prost(int32, tag = "2")]
    size: i32,
}

/// A running backend; it stops when this is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    /// Ends the server when it is dropped.
    _stop: oneshot::Sender<()>,
}

/// What the backend saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    /// Calls of `Wait` and `Tail` that are under way.
    pub(crate) lasting: AtomicUsize,
    /// The metadata `x-…` and `…-bin` of the calls.
    metadata: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Seen {
    /// The metadata that came since the last time.
    pub(crate) fn take_metadata(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut *self.metadata.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, headers: &HeaderMap) {
        let mut metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in headers {
            if (name.as_str().starts_with("x-") || name.as_str().ends_with("-bin")) && metadata.len() < 10_000 {
                metadata.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
            }
        }
    }

    /// Waits until so many lasting calls are under way, for a time at most; how many are.
    pub(crate) async fn lasting(&self, count: usize, within: Duration) -> usize {
        let reached = async {
            while self.lasting.load(Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(within, reached).await;
        self.lasting.load(Relaxed)
    }
}

/// Counts a lasting call for as long as it lives.
struct Lasting(Arc<Seen>);

impl Lasting {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.lasting.fetch_add(1, Relaxed);
        Self(Arc::clone(seen))
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.0.lasting.fetch_sub(1, Relaxed);
    }
}

impl Backend {
    /// Starts one, on a thread of its own.
    pub(crate) fn start() -> Result<Self> {
        Self::serve(|stream, _, seen| serve(stream, seen))
    }

    /// Starts one whose connections are served by a function, which is also told how many
    /// connections came before.
    pub(crate) fn serve<F, S>(connection: S) -> Result<Self>
    where
        S: Fn(TcpStream, usize, Arc<Seen>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        Self::listen(listener, connection)
    }

    /// The same, at a listener that there is.
    pub(crate) fn listen<F, S>(listener: std::net::TcpListener, connection: S) -> Result<Self>
    where
        S: Fn(TcpStream, usize, Arc<Seen>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        listener.set_nonblocking(true)?;
        let (address, seen) = (listener.local_addr()?, Arc::<Seen>::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::clone(&seen);
        thread::spawn(move || {
            runtime.block_on(async {
                let accepting = async {
                    let Ok(listener) = TcpListener::from_std(listener) else { return };
                    while let Ok((stream, _)) = listener.accept().await {
                        let _ = stream.set_nodelay(true);
                        let before = state.connections.fetch_add(1, Relaxed);
                        tokio::spawn(connection(stream, before, Arc::clone(&state)));
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, seen, _stop: stop })
    }
}

/// Serves a connection as HTTP/2.
pub(crate) async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
    // How a connection ends is known to the other side.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> std::result::Result<Response<Body>, Infallible> {
    seen.note(request.headers());
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let Ok(body) = request.into_body().collect().await else { return Ok(reply(Body::default())) };
    let body = body.to_bytes();
    let message = body.get(5..).unwrap_or_default();
    Ok(match method.as_str() {
        "Echo" => unary(&Text::decode(message).unwrap_or_default()),
        "Put" => unary(&Text { text: Blob::decode(message).unwrap_or_default().name }),
        "Collect" => unary(&Text { text: format!("{} bytes", body.len()) }),
        "Wait" => {
            let _lasting = Lasting::new(&seen);
            let seconds = Seconds::decode(message).unwrap_or_default().seconds;
            tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default()).await;
            unary(&Text { text: "waited".to_owned() })
        }
        "Lots" => {
            let amount = Amount::decode(message).unwrap_or_default();
            let blob = Blob { name: String::new(), data: "x".repeat(amount.size.cast_unsigned() as usize) };
            let (mut sender, body) = Channel::<Bytes>::new(1);
            tokio::spawn(async move {
                for _ in 0..amount.messages {
                    if sender.send_data(framed(&blob)).await.is_err() {
                        return;
                    }
                }
                let _ = sender.send_trailers(trailers()).await;
            });
            reply(body.boxed_unsync())
        }
        "Tail" => {
            let (mut sender, body) = Channel::<Bytes>::new(1);
            let lasting = Lasting::new(&seen);
            tokio::spawn(async move {
                let _lasting = lasting;
                while sender.send_data(framed(&Text { text: "still here".to_owned() })).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            reply(body.boxed_unsync())
        }
        _ => {
            let mut response = reply(Body::default());
            response.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
            response
        }
    })
}

fn unary(message: &impl Message) -> Response<Body> {
    let body = Full::new(framed(message)).with_trailers(async { Some(Ok(trailers())) });
    reply(body.boxed_unsync())
}

fn reply(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The descriptor set of `attack.proto`, and with `bindings` of a second service, which has
/// so many: half of them begin alike, and the second segment tells the others apart.
pub(crate) fn schema(directory: &Path, bindings: Option<usize>) -> Result<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([directory, here, &here.join("../proto")])?;
    compiler.include_imports(true).open_file("attack.proto")?;
    if let Some(bindings) = bindings {
        let mut proto = String::from(
            "syntax = \"proto3\";\npackage attack.v1;\nimport \"google/api/annotations.proto\";\n\
             message Name { string name = 1; string rest = 2; }\nservice Many {\n",
        );
        for at in 0..bindings {
            let path = match at % 2 {
                0 => format!("/v1/things/{{name}}/kind{at}/{{rest=**}}"),
                _ => format!("/v1/kind{at}/{{name}}/things/{{rest}}"),
            };
            writeln!(proto, "rpc M{at}(Name) returns (Name) {{ option (google.api.http) = {{get: \"{path}\"}}; }}")?;
        }
        proto.push_str("}\n");
        fs::write(directory.join("many.proto"), proto)?;
        compiler.open_file("many.proto")?;
    }
    Ok(compiler.encode_file_descriptor_set())
}
