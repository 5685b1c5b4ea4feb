//! The spans of `gchat gateway` and `gchat sidecar`, as a collector gets them.

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf};

use google_chat::{
    Space,
    grpc_transcoding::{
        client::{Grpc, Origin},
        hyper::body::Frame,
        rpc,
        server::{RequestBody, ServeOptions, serve},
    },
    proto::google::chat::v1::{GetSpaceRequest, chat_service_client::ChatServiceClient},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use prost::Message;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tonic::{body::Body, codegen::tokio_stream};
use tower::service_fn;

use super::support::{Server, answer, ended, fresh, gchat, get, run};

/// The messages that the program sends, which `interop/tracing.py` holds against OpenTelemetry's own.
#[path = "../../src/serving/spans/otlp.rs"]
#[allow(dead_code, reason = "the program's own")]
mod otlp;

use otlp::{ExportTraceServiceRequest, ExportTraceServiceResponse, Span, any::Value};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const METHOD: &str = "google.chat.v1.ChatService/GetSpace";

/// A server of gRPC and of JSON: for any call it passes on the headers and the body, and
/// answers with a message.
async fn answering(message: impl Message, json: &'static str) -> (String, UnboundedReceiver<(HeaderMap, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (calls, taken): (UnboundedSender<_>, _) = unbounded_channel();
    let mut frame = rpc::room(message.encoded_len());
    message.encode(&mut frame).unwrap();
    let frame = rpc::frame(frame).unwrap();
    let service = service_fn(move |call: Request<RequestBody>| {
        let (calls, frame) = (calls.clone(), frame.clone());
        async move {
            let (head, body) = call.into_parts();
            let is_grpc = rpc::is_grpc(&head.headers);
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            let _ = calls.send((head.headers, body));
            if !is_grpc {
                return Ok::<_, Infallible>(Response::new(Body::new(Full::new(json.into()))));
            }
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let frames = [Ok::<_, Infallible>(Frame::data(frame)), Ok(Frame::trailers(trailers))];
            let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
            Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
        }
    });
    tokio::spawn(serve(listener, service, ServeOptions::default()));
    (endpoint, taken)
}

struct Collector {
    endpoint: String,
    taken: UnboundedReceiver<(HeaderMap, Vec<u8>)>,
}

impl Collector {
    async fn start() -> Self {
        let (endpoint, taken) = answering(ExportTraceServiceResponse::default(), "").await;
        Self { endpoint, taken }
    }

    /// What has come from a server, which is made to end: its headers, what it says of itself
    /// and its spans by their kinds. There is nothing secret in any of it.
    async fn spans_of(&mut self, mut server: Server) -> Vec<(HeaderMap, BTreeMap<String, Value>, Vec<Span>)> {
        server.signal("TERM");
        assert!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap().success());
        let mut all = Vec::new();
        while let Ok((headers, body)) = self.taken.try_recv() {
            let text = String::from_utf8_lossy(&body);
            assert!(!text.contains("secret"), "{text}");
            let message = rpc::unary(body.into(), None, usize::MAX).unwrap();
            let mut request = ExportTraceServiceRequest::decode(message).unwrap();
            let of_resource = request.resource_spans.remove(0);
            assert!(request.resource_spans.is_empty());
            let mut spans: Vec<_> = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans).collect();
            spans.sort_by_key(|span| span.kind);
            all.push((headers, attributes(of_resource.resource.unwrap().attributes), spans));
        }
        all
    }
}

fn attributes(all: Vec<otlp::KeyValue>) -> BTreeMap<String, Value> {
    all.into_iter().map(|one| (one.key, one.value.unwrap().value.unwrap())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the attributes of a span, but for the port of a client, which the system chose.
fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    let mut found = attributes(span.attributes.clone());
    found.remove("network.peer.port");
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(key, value)| match value {
            Value::Text(text) => (key, text),
            Value::Int(number) => (key, number.to_string()),
        })
        .collect();
    let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(found, expected, "{}", span.name);
}

fn schema() -> PathBuf {
    let set = fresh("tracing-chat.bin");
    std::fs::write(&set, google_chat::proto::DESCRIPTOR_SET).unwrap();
    set
}

fn port(endpoint: &str) -> &str {
    endpoint.rsplit(':').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_call_have_spans_in_the_trace_of_the_client() {
    let mut collector = Collector::start().await;
    let (backend, mut calls) = answering(Space::named("a"), "").await;
    let set = schema();
    let gateway = Server::spawn(
        gchat(&[
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--backend",
            &backend,
            "--descriptor-set",
            set.to_str().unwrap(),
        ])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-own-key=a%2Cb")
        .env("OTEL_SERVICE_NAME", "the gateway")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=a%20b+c"),
    );
    let own = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1\r\ntracestate: b=2");
    let head = "host: localhost:8080\r\nconnection: close\r\nuser-agent: me/1\r\nauthorization: Bearer secret";
    let path = "/v1/spaces/a?access_token=secret";
    answer(gateway.send(&format!("GET {path} HTTP/1.1\r\n{head}\r\n{own}\r\n\r\n")));
    let (headers, _) = calls.recv().await.unwrap();
    let listens = port(&gateway.endpoint).to_owned();
    let mut all = collector.spans_of(gateway).await;
    let (sent, resource, spans) = all.remove(0);
    assert_eq!(sent["x-own-key"], "a,b");
    let of_resource = |key: &str| resource[key].clone();
    assert_eq!(of_resource("service.name"), Value::Text("the gateway".to_owned()));
    assert_eq!(of_resource("service.version"), Value::Text(env!("CARGO_PKG_VERSION").to_owned()));
    assert_eq!(of_resource("deployment.environment.name"), Value::Text("a b+c".to_owned()));
    let [request, call] = &spans[..] else { panic!("{spans:?}") };

    assert_eq!((request.name.as_str(), request.kind), ("GET /v1/{name=spaces/*}", otlp::SERVER));
    assert_eq!((hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!((request.trace_state.as_str(), &request.status), ("a=1,b=2", &None));
    assert_attributes(
        request,
        &[
            ("client.address", "127.0.0.1"),
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "/v1/{name=spaces/*}"),
            ("network.peer.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("server.address", "localhost"),
            ("server.port", "8080"),
            ("url.path", "/v1/spaces/a"),
            ("url.scheme", "http"),
            ("user_agent.original", "me/1"),
        ],
    );
    assert_ne!(listens, "8080");

    assert_eq!((call.name.as_str(), call.kind), (METHOD, otlp::CLIENT));
    assert_eq!((&call.trace_id, &call.parent_span_id), (&request.trace_id, &request.span_id));
    assert_attributes(
        call,
        &[
            ("rpc.method", METHOD),
            ("rpc.response.status_code", "OK"),
            ("rpc.system.name", "grpc"),
            ("server.address", "127.0.0.1"),
            ("server.port", port(&backend)),
        ],
    );
    assert!(request.start_time_unix_nano <= call.start_time_unix_nano, "{spans:?}");
    assert!(call.start_time_unix_nano < call.end_time_unix_nano, "{spans:?}");

    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    assert_eq!(headers.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_recorded_as_its_caller_says_and_else_by_its_share() {
    let mut collector = Collector::start().await;
    let (backend, mut calls) = answering(Space::named("a"), "").await;
    let set = schema();
    for (share, parent, expected, recorded) in [
        ("1", Some("00"), "00", false),
        ("0", Some("01"), "01", true),
        ("0", None, "02", false),
        ("1", None, "03", true),
    ] {
        let flags = ["--otlp-endpoint", &collector.endpoint, "--trace-sample", share, "--listen", "127.0.0.1:0"];
        let set = ["gateway", "--backend", &backend, "--descriptor-set", set.to_str().unwrap()];
        let gateway = Server::start(&[&set[..], &flags].concat());
        let own = parent.map_or_else(String::new, |flags| format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n"));
        // Without a parent that can be read, this state belongs to nothing.
        let head = "host: localhost\r\nconnection: close\r\ntracestate: a=1";
        answer(gateway.send(&format!("GET /v1/spaces/a HTTP/1.1\r\n{head}\r\n{own}\r\n")));
        let (headers, _) = calls.recv().await.unwrap();
        let spans: Vec<_> = collector
            .spans_of(gateway)
            .await
            .into_iter()
            .flat_map(|(_, _, spans)| spans)
            .map(|span| span.kind)
            .collect();
        let case = format!("share {share}, parent {parent:?}");
        assert_eq!(spans, if recorded { &[otlp::SERVER, otlp::CLIENT][..] } else { &[] }, "{case}");
        let told = headers["traceparent"].to_str().unwrap();
        assert!(told.ends_with(&format!("-{expected}")), "{case}: {told}");
        assert_eq!(told.contains(TRACE), parent.is_some(), "{case}: {told}");
        assert_eq!(headers.contains_key("tracestate"), parent.is_some(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_marked_and_unknown_names_make_none() {
    let mut collector = Collector::start().await;
    let set = schema();
    let flags = ["--otlp-endpoint", &collector.endpoint, "--listen", "127.0.0.1:0"];
    let set =
        ["gateway", "--passthrough", "--backend", "http://127.0.0.1:1", "--descriptor-set", set.to_str().unwrap()];
    let gateway = Server::start(&[&set[..], &flags].concat());
    assert_eq!(get(gateway.address(), "/v1/spaces/a").0, 503);
    assert_eq!(get(gateway.address(), "/nowhere").0, 404);
    answer(gateway.send("BREW /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
    let grpc = Grpc::new(Origin::parse(&gateway.endpoint).unwrap()).unwrap();
    let call = Request::post("/a.Pot/Brew").header("content-type", "application/grpc").body(Body::empty()).unwrap();
    tower::ServiceExt::oneshot(grpc, call).await.unwrap();

    let spans = collector.spans_of(gateway).await.into_iter().flat_map(|(_, _, spans)| spans);
    let mut found: Vec<_> = spans
        .map(|span| {
            let of = attributes(span.attributes.clone());
            let text = |key: &str| match of.get(key) {
                Some(Value::Text(text)) => text.clone(),
                _ => String::new(),
            };
            let original = text("http.request.method_original") + &text("rpc.method_original");
            (span.kind, span.name, text("error.type"), span.status.map_or(0, |status| status.code), original)
        })
        .collect();
    found.sort();
    let expected = [
        (otlp::SERVER, "GET", "", 0, ""),
        (otlp::SERVER, "GET /v1/{name=spaces/*}", "503", otlp::ERROR, ""),
        (otlp::SERVER, "HTTP", "", 0, "BREW"),
        (otlp::SERVER, "grpc", "UNAVAILABLE", otlp::ERROR, "a.Pot/Brew"),
        (otlp::CLIENT, METHOD, "UNAVAILABLE", otlp::ERROR, ""),
        (otlp::CLIENT, "grpc", "UNAVAILABLE", otlp::ERROR, "a.Pot/Brew"),
    ];
    let own = |(kind, name, error, status, original): (i32, &str, &str, i32, &str)| {
        (kind, name.to_owned(), error.to_owned(), status, original.to_owned())
    };
    assert_eq!(found, expected.map(own));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_passes_the_trace_on_over_http() {
    let mut collector = Collector::start().await;
    let (upstream, mut calls) = answering(Space::named("a"), r#"{"name":"spaces/a"}"#).await;
    let flags = ["sidecar", "--listen", "127.0.0.1:0", "--wire", "http", "--upstream", &upstream];
    let sidecar = Server::start(&[&flags[..], &["--otlp-endpoint", &collector.endpoint]].concat());
    let mut stub = ChatServiceClient::new(Grpc::new(Origin::parse(&sidecar.endpoint).unwrap()).unwrap());
    let request = GetSpaceRequest { name: "spaces/a".to_owned(), ..Default::default() };
    let mut request = tonic::Request::new(request);
    let own = format!("00-{TRACE}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", own.parse().unwrap());
    stub.get_space(request).await.unwrap();
    let (headers, _) = calls.recv().await.unwrap();
    let mut all = collector.spans_of(sidecar).await;
    let spans = all.remove(0).2;
    let [request, call] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((request.name.as_str(), request.kind, call.name.as_str()), (METHOD, otlp::SERVER, METHOD));
    assert_eq!((hex(&request.parent_span_id).as_str(), &call.parent_span_id), (PARENT, &request.span_id));
    let found = attributes(request.attributes.clone());
    for (key, value) in [("rpc.system.name", "grpc"), ("rpc.method", METHOD), ("rpc.response.status_code", "OK")] {
        assert_eq!(found[key], Value::Text(value.to_owned()));
    }
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{}-01", hex(&call.span_id)));
}

#[test]
fn what_cannot_be_a_collector_is_said_before_the_server_listens() {
    let set = schema();
    let flags = ["gateway", "--backend", "http://127.0.0.1:1", "--check-config", "--descriptor-set"];
    let flags = [&flags[..], &[set.to_str().unwrap()]].concat();
    for (more, problem) in [
        (&["--otlp-endpoint", "collector:4317"][..], "--otlp-endpoint: must begin with https:// or http://"),
        (&["--trace-sample", "1.5"], "not a number from 0 to 1"),
    ] {
        let output = run(&[&flags[..], more].concat());
        let (_, _, said) = ended(&output);
        assert!(said.contains(problem), "{said}");
    }
    let mut command = gchat(&flags);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    for (name, value, problem) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "spans are sent over gRPC only"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a key", "OTEL_EXPORTER_OTLP_HEADERS: write key=value"),
        ("OTEL_BSP_SCHEDULE_DELAY", "a while", "OTEL_BSP_SCHEDULE_DELAY: write milliseconds"),
        ("OTEL_SDK_DISABLED", "true", ""),
    ] {
        let output = command.env(name, value).output().unwrap();
        command.env_remove(name);
        let (code, _, said) = ended(&output);
        assert!(said.contains(problem) && (code == 0) == problem.is_empty() && !said.contains("a key"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spans_that_a_collector_has_taken_are_counted() {
    let mut collector = Collector::start().await;
    let set = schema();
    let flags = ["--otlp-endpoint", &collector.endpoint, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let set = ["gateway", "--backend", "http://127.0.0.1:1", "--descriptor-set", set.to_str().unwrap()];
    let mut gateway = Server::spawn(gchat(&[&set[..], &flags].concat()).env("OTEL_BSP_SCHEDULE_DELAY", "1"));
    let admin = gateway.admin();
    assert_eq!(get(gateway.address(), "/nowhere").0, 404);
    collector.taken.recv().await.unwrap();
    // The answer is read a moment after it was sent.
    let counted = tokio::task::spawn_blocking(move || {
        loop {
            let (_, text) = get(&admin, "/metrics");
            if text.lines().any(|line| line == "otlp_spans_exported_total 1") {
                return text;
            }
        }
    });
    assert!(counted.await.unwrap().lines().any(|line| line == "otlp_spans_dropped_total 0"));
}
