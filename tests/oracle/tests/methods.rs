//! Every method of the schema, by the stub and by its typed method, over both wires: what is
//! sent is what Google's discovery document says, and what is answered is read. The service on the
//! other side is no part of this project's engine: prost-reflect reads and writes its JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use google_chat::{
    Call, Client, Credentials, MethodRequest, MethodScopes, Wire,
    grpc_transcoding::{Binding, Options, hyper::body::Incoming},
    layer::RetryPolicy,
    proto::DESCRIPTOR_SET,
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tonic::{Code, Status};

/// What the discovery document has of each method.
fn discovery() -> BTreeMap<String, Json> {
    serde_json::from_str(include_str!("../../../proto/discovery.json")).unwrap()
}

/// The methods of discovery that are in no proto.
const NO_RPC: [&str; 2] = ["media.download", "spaces.messages.replaceCards"];

/// An HTTP method and a path whose variable segments are `*`.
type Place = (String, String);

/// The place of a method of discovery: `POST`, `/v1/spaces/*/messages`.
fn place(method: &Json) -> Place {
    let mut path = String::from("/");
    for (at, part) in method["flatPath"].as_str().unwrap().split(['{', '}']).enumerate() {
        path.push_str(if at % 2 == 1 { "*" } else { part });
    }
    (method["httpMethod"].as_str().unwrap().to_owned(), path)
}

/// The place of a binding, and its variables with their patterns.
fn template(binding: &Binding) -> (Place, Vec<(String, String)>) {
    let (mut path, mut variables) = (String::new(), Vec::new());
    for (at, part) in binding.template().as_str().split(['{', '}']).enumerate() {
        match part.split_once('=') {
            Some((name, pattern)) if at % 2 == 1 => {
                path.push_str(pattern);
                variables.push((name.to_owned(), pattern.to_owned()));
            }
            _ => path.push_str(part),
        }
    }
    ((binding.http_method().unwrap().to_string(), path), variables)
}

fn bindings() -> impl Iterator<Item = &'static Binding> {
    Client::http_rules().methods().flat_map(|method| method.bindings())
}

#[test]
fn each_binding_is_a_method_of_discovery_and_each_method_has_a_binding() {
    let ours: BTreeSet<Place> = bindings().map(|binding| template(binding).0).collect();
    let theirs: BTreeSet<Place> = discovery()
        .iter()
        .filter(|(name, _)| !NO_RPC.contains(&name.as_str()))
        .map(|(_, method)| place(method))
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(bindings().count(), 53);
}

#[test]
fn the_scopes_of_each_method_are_those_of_discovery() {
    let by_place: BTreeMap<Place, Json> = discovery().into_values().map(|method| (place(&method), method)).collect();
    for binding in bindings() {
        let path = &binding.method().path()[1..];
        let scopes = MethodScopes::of(path).unwrap().all();
        let theirs = by_place[&template(binding).0]["scopes"].as_array().unwrap();
        let theirs: BTreeSet<&str> = theirs.iter().map(|scope| scope.as_str().unwrap()).collect();
        assert_eq!(scopes.iter().copied().collect::<BTreeSet<_>>(), theirs, "{path}");
        assert_eq!(scopes.len(), theirs.len(), "{path}: a scope comes twice");
        // The narrower one is asked for, but not the one that is for the app's own membership alone.
        for (at, wide) in scopes.iter().enumerate() {
            let narrow = scopes[at..].iter().find(|scope| scope.starts_with(&format!("{wide}.")));
            assert!(matches!(narrow, None | Some(&"chat.memberships.app")), "{path}: {narrow:?} comes after {wide}");
        }
    }
}

/// A message with every field set; of each oneof the member whose turn it is.
fn full(message: &MessageDescriptor, turn: usize, around: &mut Vec<String>) -> DynamicMessage {
    let mut full = DynamicMessage::new(message.clone());
    match message.full_name() {
        "google.protobuf.Timestamp" => full.set_field_by_name("seconds", Value::I64(1_700_000_000)),
        "google.protobuf.Duration" => full.set_field_by_name("seconds", Value::I64(60)),
        "google.protobuf.FieldMask" => {
            full.set_field_by_name("paths", Value::List(vec![Value::String("display_name".to_owned())]));
        }
        name => {
            around.push(name.to_owned());
            for field in message.fields() {
                let its_turn = field.containing_oneof().is_none_or(|oneof| {
                    oneof.fields().nth(turn % oneof.fields().len()).is_some_and(|member| member == field)
                });
                if its_turn && let Some(value) = value(&field, turn, around) {
                    full.set_field(&field, value);
                }
            }
            around.pop();
        }
    }
    full
}

/// A value of a field that is not its default; none where the message would hold itself.
fn value(field: &FieldDescriptor, turn: usize, around: &mut Vec<String>) -> Option<Value> {
    let one = match field.kind() {
        Kind::Message(message) if around.iter().any(|name| name == message.full_name()) => return None,
        Kind::Message(message) if field.is_map() => {
            let entry = value(&message.map_entry_value_field(), turn, around)?;
            return Some(Value::Map([(prost_reflect::MapKey::String("key \u{e9}".to_owned()), entry)].into()));
        }
        Kind::Message(message) => Value::Message(full(&message, turn, around)),
        Kind::Enum(values) => {
            let numbers: Vec<i32> = values.values().map(|value| value.number()).filter(|number| *number != 0).collect();
            Value::EnumNumber(numbers[turn % numbers.len()])
        }
        Kind::String => Value::String(format!("{} \u{e9}&+/\"{turn}", field.name())),
        Kind::Bytes => Value::Bytes(Bytes::from_static(b"\xff\0")),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(0.5),
        Kind::Float => Value::F32(0.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(7),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1 << 60),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(7),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1 << 60),
    };
    Some(match one {
        // Two of each at every level would be two to the power of the depth.
        Value::Message(_) if field.is_list() => Value::List(vec![one]),
        _ if field.is_list() => Value::List(vec![one.clone(), one]),
        _ => one,
    })
}

/// How many turns it takes until each member of each oneof was set.
fn turns(message: &MessageDescriptor, seen: &mut BTreeSet<String>) -> usize {
    if !seen.insert(message.full_name().to_owned()) {
        return 1;
    }
    let own = message.oneofs().map(|oneof| oneof.fields().len()).max();
    let inner = message.fields().filter_map(|field| field.kind().as_message().map(|inner| turns(inner, seen))).max();
    own.max(inner).unwrap_or(1)
}

/// Sets a field by its path: `message.name`.
fn set(message: &mut DynamicMessage, path: &str, value: &str) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(value.to_owned())),
        Some((outer, inner)) => {
            let Some(Value::Message(outer)) = message.get_field_by_name_mut(outer) else { panic!("{path}") };
            set(outer, inner, value);
        }
    }
}

fn clear(message: &mut DynamicMessage, path: &str) {
    match path.split_once('.') {
        None => message.clear_field_by_name(path),
        Some((outer, inner)) => {
            let Some(Value::Message(outer)) = message.get_field_by_name_mut(outer) else { panic!("{path}") };
            clear(outer, inner);
        }
    }
}

fn to_json(message: &DynamicMessage) -> Json {
    serde_json::to_value(message).unwrap()
}

/// What a request is on the wire: its path, its query and its body.
#[derive(Debug, PartialEq)]
struct Sent {
    place: Place,
    path: String,
    query: BTreeSet<(String, String)>,
    body: Json,
}

impl Sent {
    /// What discovery says of a request that goes by a binding.
    fn expected(binding: &Binding, method: &Json, request: &DynamicMessage) -> Self {
        let (place, variables) = template(binding);
        let mut rest = request.clone();
        let mut path = binding.template().as_str().to_owned();
        for (name, pattern) in &variables {
            path = path.replace(&format!("{{{name}={pattern}}}"), &pattern.replace('*', ID));
        }
        // What is in the path is nowhere else, as with the official clients.
        variables.iter().for_each(|(name, _)| clear(&mut rest, name));
        let mut body = Json::Null;
        match method["request"].as_str() {
            None => {}
            Some(kind) if kind == request.descriptor().name() => {
                body = to_json(&rest);
                rest.clear();
            }
            Some(kind) => {
                let kind = kind.trim_start_matches("GoogleChatV1");
                let is_body = |field: &FieldDescriptor| field.kind().as_message().is_some_and(|of| of.name() == kind);
                let field = request.descriptor().fields().find(is_body).unwrap();
                body = to_json(&rest)[field.json_name()].take();
                rest.clear_field(&field);
            }
        }
        let mut query = BTreeSet::new();
        flatten("", &to_json(&rest), &mut query);
        let names: BTreeSet<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
        let parameters = method["parameters"].as_object().unwrap();
        let in_query = |(name, of): (&String, &Json)| (of["location"] == "query").then(|| name.clone());
        let theirs: BTreeSet<String> = parameters.iter().filter_map(in_query).collect();
        assert_eq!(names, theirs.iter().map(String::as_str).collect(), "{binding}");
        Self { place, path, query, body }
    }

    /// What was sent, with its place found by `binding`.
    fn received(binding: &Binding, method: &str, target: &str, body: &[u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
        });
        Self {
            place: (method.to_owned(), template(binding).0.1),
            path: decoded(path),
            query: query.collect(),
            body: if body.is_empty() { Json::Null } else { serde_json::from_slice(body).unwrap() },
        }
    }
}

/// The last segment of a resource's name.
const ID: &str = "a \u{e9}?#%";

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        match first {
            b'%' => {
                let digits = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The parameters of a query that JSON is written as, each with its dotted name.
fn flatten(name: &str, value: &Json, out: &mut BTreeSet<(String, String)>) {
    match value {
        Json::Object(fields) => {
            for (field, value) in fields {
                flatten(&if name.is_empty() { field.clone() } else { format!("{name}.{field}") }, value, out);
            }
        }
        Json::Array(values) => values.iter().for_each(|value| flatten(name, value, out)),
        Json::String(text) => drop(out.insert((name.to_owned(), text.clone()))),
        other => drop(out.insert((name.to_owned(), other.to_string()))),
    }
}

/// What the service answers, and what it was asked.
#[derive(Default)]
struct Exchange {
    answer: Option<DynamicMessage>,
    /// What is answered in place of the message, over HTTP/JSON.
    in_place: Option<&'static str>,
    request: Option<(String, String, Bytes)>,
}

/// Keeps the request, and answers in its protocol.
async fn answer(
    exchange: Arc<Mutex<Exchange>>,
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let mut exchange = exchange.lock().unwrap();
    exchange.request = Some((head.method.to_string(), head.uri.path_and_query().unwrap().to_string(), body));
    let message = exchange.answer.as_ref().unwrap();
    let (content_type, body) = if grpc {
        let encoded = message.encode_to_vec();
        let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
        ("application/grpc", [&[0], &length[..], &encoded[..]].concat())
    } else {
        let json = exchange.in_place.map_or_else(|| to_json(message).to_string(), str::to_owned);
        ("application/json", json.into_bytes())
    };
    let trailers =
        grpc.then(|| HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]));
    let body = Full::new(Bytes::from(body)).with_trailers(async { trailers.map(Ok) });
    Ok(Response::builder().header("content-type", content_type).body(body).unwrap())
}

type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Status>>>>;

type By = Box<dyn Fn(&[u8]) -> Answer>;

/// A method of the client and of the stub, each from an encoded request to an encoded response.
struct Method {
    name: &'static str,
    path: &'static str,
    by: [By; 2],
}

impl Method {
    fn new<Rq: MethodRequest, F: Future<Output = Result<tonic::Response<Rq::Response>, Status>> + 'static>(
        name: &'static str,
        typed: impl Fn(Rq) -> Call<Rq> + 'static,
        stub: impl Fn(Rq) -> F + 'static,
    ) -> Self {
        let typed = move |request: &[u8]| -> Answer {
            let call = typed(Rq::decode(request).unwrap());
            Box::pin(async move {
                let answer = call.await.map_err(|error| {
                    let has_advice = error.advice().is_some_and(|advice| advice.contains("look before"));
                    assert!(!has_advice || !error.message().contains("look before"), "twice the same: {error}");
                    error.status().clone()
                })?;
                Ok(answer.encode_to_vec())
            })
        };
        let stub = move |request: &[u8]| -> Answer {
            let call = stub(Rq::decode(request).unwrap());
            Box::pin(async move { Ok(call.await?.into_inner().encode_to_vec()) })
        };
        Self { name, path: Rq::PATH, by: [Box::new(typed), Box::new(stub)] }
    }
}

macro_rules! methods {
    ($chat:expr, $($method:ident)*) => {[$({
        let (chat, stub) = ($chat.clone(), $chat.stub());
        Method::new(
            stringify!($method),
            move |request| chat.$method(request),
            move |request| {
                let mut stub = stub.clone();
                async move { stub.$method(request).await }
            },
        )
    }),*]};
}

fn methods(chat: &Client) -> [Method; 52] {
    methods!(chat,
        create_message list_messages list_memberships get_membership get_message update_message delete_message
        search_messages get_attachment upload_attachment list_spaces search_spaces get_space create_space set_up_space
        update_space delete_space complete_import_space find_direct_message find_group_chats create_membership
        update_membership delete_membership create_reaction list_reactions delete_reaction list_message_pins
        create_message_pin delete_message_pin create_custom_emoji get_custom_emoji list_custom_emojis
        delete_custom_emoji get_space_read_state update_space_read_state get_thread_read_state get_availability
        mark_as_active mark_as_away mark_as_do_not_disturb update_availability get_space_event list_space_events
        get_space_notification_setting update_space_notification_setting create_section delete_section update_section
        list_sections position_section list_section_items move_section_item
    )
}

const WIRES: [Wire; 2] = [Wire::Grpc, Wire::HttpJson];

/// Serves [`answer`] on both wires.
async fn serve() -> (String, Arc<Mutex<Exchange>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let exchange = Arc::new(Mutex::new(Exchange::default()));
    let kept = Arc::clone(&exchange);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            let service = tower::service_fn(move |request| answer(Arc::clone(&kept), request));
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
            });
        }
    });
    (endpoint, exchange)
}

fn client(endpoint: &str, wire: Wire) -> Client {
    let builder = Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).wire(wire);
    builder.checks(false).retry(RetryPolicy::never()).build().unwrap()
}

/// An empty message counts as an answer only where no resource is due.
#[tokio::test]
async fn a_resource_without_a_name_is_no_answer() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let resource = pool.get_extension_by_name("google.api.resource").unwrap();
    let (endpoint, exchange) = serve().await;
    let mut resources = 0;
    for wire in WIRES {
        let chat = client(&endpoint, wire);
        for Method { name, path, by: [typed, stub] } in &methods(&chat) {
            let method = Client::http_rules().method(path).unwrap();
            let output = pool.get_message_by_name(method.method().output().name()).unwrap();
            let input = pool.get_message_by_name(method.method().input().name()).unwrap();
            let mut request = DynamicMessage::new(input);
            for (name, pattern) in template(&method.bindings()[0]).1 {
                set(&mut request, &name, &pattern.replace('*', "a"));
            }
            let request = request.encode_to_vec();
            // The response is a resource, or holds one alone.
            let is_of_resource = |message: &MessageDescriptor| message.options().has_extension(&resource);
            let holder = output.fields().next().filter(|field| {
                output.fields().len() == 1 && !field.is_list() && field.kind().as_message().is_some_and(is_of_resource)
            });
            let is_resource = is_of_resource(&output) || holder.is_some();
            resources += usize::from(is_resource);

            exchange.lock().unwrap().answer = Some(DynamicMessage::new(output.clone()));
            for call in [typed, stub] {
                let answer = call(&request).await;
                let error = answer.err().map(|status| (status.code(), status.message().to_owned()));
                let Some((code, message)) = error else {
                    assert!(!is_resource, "{wire} {name}");
                    continue;
                };
                assert!(is_resource && code == Code::Internal, "{wire} {name}: {message}");
                let what_to_do = match &**name {
                    "create_space" | "set_up_space" | "create_message" => "with the same request id",
                    _ if method.bindings()[0].http_method() == Some(&http::Method::GET) => "none; make the call again",
                    _ => "look before it is made again",
                };
                assert!(message.contains("without a name") && message.ends_with(what_to_do), "{name}: {message}");
            }
            // All but the name: the stub may be a mock's.
            if is_resource {
                let mut nameless = full(&output, 0, &mut Vec::new());
                match &holder {
                    Some(holder) => clear(&mut nameless, &format!("{}.name", holder.name())),
                    None => clear(&mut nameless, "name"),
                }
                exchange.lock().unwrap().answer = Some(nameless);
                assert_eq!(typed(&request).await.unwrap_err().code(), Code::Internal, "{wire} {name}");
                stub(&request).await.unwrap();
            }
        }
    }
    assert!(resources > 40, "{resources}");
}

/// A success whose body is an error, or none.
#[tokio::test]
async fn an_error_in_place_of_a_message_is_that_error_and_nothing_is_none() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let (endpoint, exchange) = serve().await;
    for Method { name, path, by } in &methods(&client(&endpoint, Wire::HttpJson)) {
        let method = Client::http_rules().method(path).unwrap();
        let (input, output) = (method.method().input(), method.method().output());
        exchange.lock().unwrap().answer = Some(DynamicMessage::new(pool.get_message_by_name(output.name()).unwrap()));
        let mut request = DynamicMessage::new(pool.get_message_by_name(input.name()).unwrap());
        for (name, pattern) in template(&method.bindings()[0]).1 {
            set(&mut request, &name, &pattern.replace('*', "a"));
        }
        let request = request.encode_to_vec();
        let is_empty = output.name() == "google.protobuf.Empty";
        for (body, code) in [
            (r#"{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}"#, Code::PermissionDenied),
            ("", if is_empty { Code::Ok } else { Code::Internal }),
        ] {
            exchange.lock().unwrap().in_place = Some(body);
            for call in by {
                let answered = call(&request).await.map_or_else(|status| status.code(), |_| Code::Ok);
                assert_eq!(answered, code, "{name}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn every_method_sends_what_discovery_says_and_reads_the_answer() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let by_place: BTreeMap<Place, Json> = discovery().into_values().map(|method| (place(&method), method)).collect();
    let (endpoint, exchange) = serve().await;
    let mut calls = 0;
    for wire in WIRES {
        let chat = client(&endpoint, wire);
        let methods = methods(&chat);
        let of_schema: BTreeSet<String> =
            Client::http_rules().methods().map(|method| method.method().path().to_owned()).collect();
        assert_eq!(methods.iter().map(|method| method.path.to_owned()).collect::<BTreeSet<_>>(), of_schema);
        for Method { name, path, by } in &methods {
            let camel: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            assert_eq!(*path, format!("/google.chat.v1.ChatService/{camel}"));
            let bindings = Client::http_rules().method(path).unwrap().bindings();
            let input = pool.get_message_by_name(bindings[0].method().input().name()).unwrap();
            let output = pool.get_message_by_name(bindings[0].method().output().name()).unwrap();
            let turns = turns(&input, &mut BTreeSet::new()).max(turns(&output, &mut BTreeSet::new()));
            for turn in 0..turns {
                let mut request = full(&input, turn, &mut Vec::new());
                for (name, pattern) in template(&bindings[0]).1 {
                    set(&mut request, &name, &pattern.replace('*', ID));
                }
                let encoded = request.encode_to_vec();
                let expected = full(&output, turn, &mut Vec::new());
                // By both with the first, and in turn with the others.
                for call in by.iter().skip(turn % 2).take(if turn == 0 { 2 } else { 1 }) {
                    exchange.lock().unwrap().answer = Some(expected.clone());
                    let answered = DynamicMessage::decode(output.clone(), &*call(&encoded).await.unwrap()).unwrap();
                    assert_eq!(answered, expected, "{wire} {name}");
                    let (method, target, body) = exchange.lock().unwrap().request.take().unwrap();
                    calls += 1;
                    if wire == Wire::Grpc {
                        assert_eq!((&*method, &*target), ("POST", *path));
                        assert_eq!(DynamicMessage::decode(input.clone(), &body[5..]).unwrap(), request, "{name}");
                        continue;
                    }
                    let of_discovery = &by_place[&template(&bindings[0]).0];
                    let sent = Sent::received(&bindings[0], &method, &target, &body);
                    assert_eq!(sent, Sent::expected(&bindings[0], of_discovery, &request), "{name}");
                }
                // The other bindings are not sent by, but can be.
                for other in &bindings[1..] {
                    let sent = other.encode_request(&encoded, &Options::default()).unwrap();
                    let body = sent.payload.map(|payload| payload.body).unwrap_or_default();
                    let sent = Sent::received(other, sent.method.as_str(), &sent.target, &body);
                    let of_discovery = &by_place[&template(other).0];
                    assert_eq!(sent, Sent::expected(other, of_discovery, &request), "{name} by {other}");
                }
            }
        }
    }
    assert!(calls > 4 * 52, "{calls}");
}
