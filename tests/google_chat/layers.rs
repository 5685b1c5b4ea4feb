//! The layers over services that are not this crate's own.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use google_chat::{
    Client, CreateSpaceRequest, Credentials, Space,
    grpc_transcoding::{
        client::{HttpJson, Origin},
        rpc::BoxError,
    },
    layer::{
        AuthLayer, Idempotent, PREVIOUS_ATTEMPTS, RequestIdLayer, RetryLayer, RetryPolicy, RoutingHeaderLayer, Scopes,
        Stack, TraceLayer,
    },
    proto::google::chat::v1::{DeleteSpaceRequest, GetSpaceRequest, chat_service_client::ChatServiceClient},
    protojson::DescriptorPool,
};
use google_chat_emulator::{Emulator, Fault};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, channel::Channel as Pipe};
use prost::Message;
use tonic::{Code, body::Body, transport::Endpoint};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

fn quick() -> RetryPolicy {
    RetryPolicy::default().with_initial_backoff(Duration::from_millis(2))
}

fn origin() -> Origin {
    Origin::parse("http://localhost").unwrap()
}

fn stack() -> Stack {
    Stack::new(Client::http_rules(), &origin()).retry(quick())
}

/// A service of somebody else's that answers with a space, or with an error of its own as
/// many times as it is told. It keeps what it received.
#[derive(Clone, Default)]
struct Backend {
    received: Arc<Mutex<Vec<HeaderMap>>>,
    failures: Arc<AtomicUsize>,
}

impl Backend {
    fn failing(times: usize) -> Self {
        Self { failures: Arc::new(AtomicUsize::new(times)), ..Self::default() }
    }

    fn received(&self) -> Vec<HeaderMap> {
        self.received.lock().unwrap().clone()
    }

    async fn call(self, call: Request<Body>) -> Result<Response<Body>, BoxError> {
        self.received.lock().unwrap().push(call.headers().clone());
        let _ = call.into_body().collect().await?;
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
        let space = Space { name: "spaces/a".to_owned(), ..Space::default() }.encode_to_vec();
        let frame = [&[0, 0, 0, 0, space.len() as u8][..], &space].concat();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from(frame))), Ok(Frame::trailers(trailers))];
        Ok(Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames)))))
    }
}

#[tokio::test]
async fn layers_go_over_tonics_own_channel_one_by_one_and_as_a_stack() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let origin = Origin::parse(&emulator.endpoint()).unwrap();
    let schema = Client::http_rules();
    let alice = || emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
    let scope = "https://www.googleapis.com/auth/chat.spaces";
    let channel = Endpoint::try_from(emulator.endpoint()).unwrap().connect_lazy();
    let stack = Stack::new(schema.clone(), &origin).retry(quick()).credentials(alice()).unwrap().scopes([scope]);
    let one_by_one = ServiceBuilder::new()
        .layer(TraceLayer::calls(&origin))
        .layer(RoutingHeaderLayer::new(schema.clone()))
        .layer(RequestIdLayer::new(schema.clone()))
        .layer(RetryLayer::new(schema.clone()).policy(quick()))
        .layer(TraceLayer::attempts(&origin))
        .layer(AuthLayer::new(schema, &origin, alice()).unwrap().scopes([scope]));
    let stubs = [
        ("stack", ChatServiceClient::new(tower::util::BoxCloneSyncService::new(stack.layer(channel.clone())))),
        ("one by one", ChatServiceClient::new(tower::util::BoxCloneSyncService::new(one_by_one.service(channel)))),
    ];
    for (name, mut stub) in stubs {
        // The server does not say whether the space was created: the request id makes it
        // safe to ask again. A token that it refuses is renewed.
        let tokens = emulator.token_requests();
        emulator.fail_next(Fault::ResetAfter);
        let made = stub.create_space(CreateSpaceRequest::from(Space::named(name))).await;
        let made = made.unwrap_or_else(|status| panic!("{name}: {status}"));
        assert_eq!(made.metadata().get(PREVIOUS_ATTEMPTS.as_str()).unwrap(), "1", "{name}");
        // Nobody refused the token of the first attempt.
        assert_eq!(emulator.token_requests(), tokens + 1, "{name}");
        emulator.fail_next(Fault::ExpiredToken);
        let space = made.into_inner().name;
        let tokens = emulator.token_requests();
        stub.get_space(GetSpaceRequest { name: space.clone(), ..Default::default() }).await.unwrap();
        assert_eq!(emulator.token_requests(), tokens + 1, "{name}");
        let sent = emulator.received().last().unwrap().headers.clone();
        assert_eq!(sent["x-goog-request-params"], format!("name={space}"), "{name}");
        // What the server says arrives as it was said.
        let taken = stub.create_space(CreateSpaceRequest::from(Space::named(name))).await.unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists, "{name}");
    }
    assert_eq!(emulator.spaces().len(), 2);
}

#[tokio::test]
async fn a_channel_without_a_connection_sent_nothing_and_is_tried_again() {
    // A port that was free a moment ago, and that nobody was told of.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let channel = Endpoint::try_from(endpoint).unwrap().connect_lazy();
    let mut stub = ChatServiceClient::new(stack().fill_request_ids(false).layer(channel));
    let status = stub.create_space(CreateSpaceRequest::from(Space::named("a"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().starts_with("the request failed: "), "{status}");
    assert_eq!(status.metadata().get(PREVIOUS_ATTEMPTS.as_str()).unwrap(), "4");
}

#[tokio::test]
async fn an_error_of_the_service_is_a_status_and_tried_again_where_that_is_safe() {
    let request = |id: &str| CreateSpaceRequest { request_id: id.to_owned(), ..Space::named("a").into() };
    for (id, sent) in [("", 1), ("one", 2)] {
        let backend = Backend::failing(1);
        let service = service_fn({
            let backend = backend.clone();
            move |call| backend.clone().call(call)
        });
        let mut stub = ChatServiceClient::new(stack().fill_request_ids(false).layer(service));
        let outcome = stub.create_space(request(id)).await;
        assert_eq!(backend.received().len(), sent, "{id}");
        match outcome {
            Ok(_) => assert_eq!(id, "one"),
            Err(status) => {
                assert_eq!((id, status.code()), ("", Code::Unavailable), "{status}");
                assert_eq!(status.message(), "the request failed: connection reset");
            }
        }
    }
    // A service that is never ready has sent nothing, so that any call is made again.
    let asked = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|call| Backend::default().call(call)).map_err(BoxError::from);
    let never = Unready { asked: Arc::clone(&asked), inner: service };
    let mut stub = ChatServiceClient::new(stack().fill_request_ids(false).layer(never));
    let status = stub.create_space(request("")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the request failed: closed"));
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

#[derive(Clone)]
struct Unready<S> {
    asked: Arc<AtomicUsize>,
    inner: S,
}

impl<S: tower::Service<Request<Body>, Error = BoxError>> tower::Service<Request<Body>> for Unready<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::task::Poll::Ready(Err("closed".into()))
    }

    fn call(&mut self, call: Request<Body>) -> S::Future {
        self.inner.call(call)
    }
}

/// A source of tokens that keeps the scopes that it was asked for.
#[derive(Default)]
struct Source(Mutex<Vec<String>>);

#[tonic::async_trait]
impl google_chat::gcp_auth::TokenProvider for Source {
    async fn token(&self, scopes: &[&str]) -> Result<Arc<gcp_auth::Token>, gcp_auth::Error> {
        self.0.lock().unwrap().push(scopes.join(" "));
        Ok(Arc::new(serde_json::from_str(r#"{"access_token":"secret","expires_in":3600}"#).unwrap()))
    }

    async fn project_id(&self) -> Result<Arc<str>, gcp_auth::Error> {
        Err(gcp_auth::Error::Str("has none"))
    }
}

#[tokio::test]
async fn a_call_may_have_a_policy_scopes_and_a_mark_of_its_own() {
    let delete = |change: &dyn Fn(&mut tonic::Request<DeleteSpaceRequest>)| {
        let mut request = tonic::Request::new(DeleteSpaceRequest { name: "spaces/a".to_owned(), ..Default::default() });
        change(&mut request);
        request
    };
    let mark = |call: &mut tonic::Request<_>| _ = call.extensions_mut().insert(Idempotent::new());
    for (what, request, sent, scopes) in [
        ("nothing", delete(&|_| ()), 1, "layer"),
        ("a mark", delete(&mark), 2, "layer"),
        (
            "a mark and a policy",
            delete(&|call| {
                mark(call);
                call.extensions_mut().insert(RetryPolicy::never());
            }),
            1,
            "layer",
        ),
        ("scopes", delete(&|call| drop(call.extensions_mut().insert(Scopes::new(["a", "b"])))), 1, "a b"),
    ] {
        let (backend, source) = (Backend::failing(1), Arc::new(Source::default()));
        let service = service_fn({
            let backend = backend.clone();
            move |call| backend.clone().call(call)
        });
        let stack = stack().credentials(Credentials::provider(source.clone())).unwrap().scopes(["layer"]);
        let _ = ChatServiceClient::new(stack.layer(service)).delete_space(request).await;
        let received = backend.received();
        assert_eq!(received.len(), sent, "{what}");
        assert!(received.iter().all(|headers| headers["authorization"] == "Bearer secret"), "{what}");
        assert_eq!(*source.0.lock().unwrap(), vec![scopes; sent], "{what}");
    }
}

#[tokio::test]
async fn streams_and_unknown_methods_get_headers_and_pass_as_they_come() {
    for path in ["/acme.Shelf/Sync", "/acme.Shelf/FromTheFuture"] {
        // Echoes: what the call sends comes back before the call has ended.
        let headers = Arc::new(Mutex::new(HeaderMap::new()));
        let service = service_fn({
            let headers = Arc::clone(&headers);
            move |call: Request<Body>| {
                *headers.lock().unwrap() = call.headers().clone();
                async { Ok::<_, Infallible>(Response::new(call.into_body())) }
            }
        });
        let stack = Stack::new(shelf(), &origin()).header("x-who".parse().unwrap(), "me".parse().unwrap());
        let stack = stack.credentials(Credentials::token("secret").unwrap()).unwrap();
        let (mut sender, body) = Pipe::<Bytes, Infallible>::new(1);
        let call = Request::post(path).body(Body::new(body)).unwrap();
        let mut response = stack.layer(service).oneshot(call).await.unwrap().into_body();
        for piece in ["one", "two"] {
            sender.send_data(Bytes::from(piece)).await.unwrap();
            assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), piece, "{path}");
        }
        let headers = headers.lock().unwrap();
        assert_eq!(
            (&headers["x-who"], &headers["authorization"]),
            (&"me".parse().unwrap(), &"Bearer secret".parse().unwrap())
        );
    }
}

#[test]
fn a_token_is_not_sent_in_clear_text() {
    let far = Origin::parse("http://chat.example.com").unwrap();
    let token = || Credentials::token("secret").unwrap();
    for error in [
        AuthLayer::new(Client::http_rules(), &far, token()).map(drop).unwrap_err(),
        Stack::new(Client::http_rules(), &far).credentials(token()).map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("credentials are not sent to http://chat.example.com"), "{error}");
    }
    AuthLayer::new(Client::http_rules(), &far, Credentials::anonymous()).unwrap();
}

#[derive(Clone, PartialEq, prost::Message)]
struct Book {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    request_id: String,
}

/// The schema of another API: shelf.proto, compiled by `tests/oracle/tests/sets.rs`.
fn shelf() -> DescriptorPool {
    DescriptorPool::decode(include_bytes!("shelf.bin")).unwrap()
}

#[tokio::test]
async fn the_layers_go_under_the_stub_of_another_api() {
    let pool = shelf();
    let http = service_fn(|request: Request<http_body_util::Full<Bytes>>| async move {
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        Ok::<_, BoxError>(Response::new(request.into_body()))
    });
    let layers = Stack::new(&pool, &origin()).credentials(Credentials::token("secret").unwrap()).unwrap();
    let http = HttpJson::builder(&pool, "http://localhost").build_over(http).unwrap();
    let mut stub = tonic::client::Grpc::new(layers.layer(http));
    stub.ready().await.unwrap();
    let book = Book { title: "Dune".to_owned(), ..Book::default() };
    let path = http::uri::PathAndQuery::from_static("/acme.Shelf/CreateBook");
    let codec = tonic_prost::ProstCodec::<Book, Book>::default();
    let book = stub.unary(tonic::Request::new(book), path, codec).await.unwrap().into_inner();
    assert_eq!((&*book.title, book.request_id.len()), ("Dune", 36));
}

#[tokio::test]
async fn a_server_stream_gets_the_routing_header_and_the_request_id_and_is_made_once() {
    let backend = Backend::failing(1);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn({
        let (backend, sent) = (backend.clone(), Arc::clone(&sent));
        move |call: Request<Body>| {
            let (backend, sent) = (backend.clone(), Arc::clone(&sent));
            async move {
                let (head, body) = call.into_parts();
                let framed = body.collect().await?.to_bytes();
                sent.lock().unwrap().push(Book::decode(&framed[5..])?);
                backend.call(Request::from_parts(head, Body::new(http_body_util::Full::new(framed)))).await
            }
        }
    });
    let stack = Stack::new(shelf(), &origin()).retry(quick()).credentials(Credentials::token("secret").unwrap());
    let mut stub = tonic::client::Grpc::new(stack.unwrap().layer(service));
    let book = Book { title: "books/dune".to_owned(), ..Book::default() };
    for failed in [true, false] {
        stub.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Book, Book>::default();
        let path = http::uri::PathAndQuery::from_static("/acme.Shelf/WatchBook");
        let stream = stub.server_streaming(tonic::Request::new(book.clone()), path, codec).await;
        assert_eq!(stream.is_err(), failed);
        if let Ok(stream) = stream {
            let read = stream.into_inner().message().await.unwrap().unwrap();
            assert_eq!(read.title, "spaces/a");
        }
    }
    let received = backend.received();
    assert_eq!(received.len(), 2, "the call that failed is not made again");
    for (headers, sent) in received.iter().zip(&*sent.lock().unwrap()) {
        assert_eq!(headers["x-goog-request-params"], "title=books/dune");
        assert_eq!(headers["authorization"], "Bearer secret");
        assert_eq!((&*sent.title, sent.request_id.len()), ("books/dune", 36));
    }
}
