//! Random calls over gRPC, and over HTTP/JSON through a gateway that is not ours.
//!
//! A plain gRPC service in this program writes down what reaches it, and answers with a
//! random message or status. It must be the same, and so must what the caller gets,
//! whichever way the call went. Prints where it listens, and reads the gateway's URL from
//! standard input.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io::BufRead,
    sync::{Arc, Mutex, PoisonError},
};

use google_chat::{
    grpc_transcoding::{
        client::{Grpc, HttpJson, Origin},
        server::{ServeOptions, serve},
    },
    proto::google::rpc,
    protojson,
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor,
    ReflectMessage, SerializeOptions, Value,
};
use tokio::net::TcpListener;
use tonic::{Code, Status, body::Body, codegen::Bytes};
use tower::{service_fn, util::BoxCloneSyncService};

use crate::{Failure, call, call_stream};

/// What calls go through.
pub(crate) type Through = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services, and their methods that are called, with the variables of their path templates.
const SERVICES: [&str; 2] = ["google.chat.v1.ChatService", "kinds.Kinds"];
const PATHS: [(&str, &str, &str); 13] = [
    ("ListMemberships", "parent", "spaces/*"),
    ("GetSpace", "name", "spaces/*"),
    ("UpdateSpace", "space.name", "spaces/*"),
    ("DeleteSpace", "name", "spaces/*"),
    ("CompleteImportSpace", "name", "spaces/*"),
    ("CreateMembership", "parent", "spaces/*"),
    ("DeleteMembership", "name", "spaces/*/members/*"),
    ("Query", "name", "kinds/*"),
    ("Tree", "name", "trees/**"),
    ("Replace", "name", "kinds/*"),
    ("Update", "everything.name", "kinds/*"),
    ("CreateSpace", "", ""),
    ("ListSpaces", "", ""),
];
/// What a method takes from the body; the rest is path and query.
const BODIES: [(&str, &str); 6] = [
    ("CreateSpace", "space"),
    ("UpdateSpace", "space"),
    ("CompleteImportSpace", "*"),
    ("CreateMembership", "membership"),
    ("Replace", "*"),
    ("Update", "everything"),
];

/// The flaw that is shown last, and is kept out of all other calls.
const WITHOUT_VALUE: &str = "a map entry without its value";

/// How deep messages are within each other at most, which is as deep as ours are.
const DEPTH: u32 = 6;

/// Runs `count` calls through the gateway of that name, which may have the flaws of the
/// file and no others: `{gateway: {flaw: reason}}`, by the names of [`flaws_of`]. Calls go
/// to a sidecar in front of the gateway where there is one.
pub(crate) async fn run(set: &str, flaws: &str, gateway: &str, count: u64, sidecar: bool) -> Result<(), Failure> {
    let set = std::fs::read(set)?;
    let pool = DescriptorPool::decode(&set[..])?;
    let flaws: serde_json::Value = serde_json::from_slice(&std::fs::read(flaws)?)?;
    let flaws: BTreeMap<String, String> = serde_json::from_value(flaws[gateway].clone())?;
    let service = Arc::new(Mutex::new(Exchange::of(Ok(Bytes::new()))));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let known = service.clone();
    tokio::spawn(serve(listener, service_fn(move |request| answer(known.clone(), request)), ServeOptions::default()));
    println!("listening at http://{address}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;

    let schema = protojson::DescriptorPool::decode(&set)?;
    let direct = Grpc::new(Origin::parse(&format!("http://{address}"))?)?;
    let through = match sidecar {
        true => Through::new(Grpc::new(Origin::parse(line.trim())?)?),
        false => Through::new(HttpJson::builder(schema.clone(), line.trim()).build()?),
    };
    let methods: Vec<MethodDescriptor> = SERVICES
        .iter()
        .map(|name| pool.get_service_by_name(name).ok_or(*name))
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| PATHS.iter().any(|(name, ..)| *name == method.name()))
        .collect();
    let mut set_fields = BTreeSet::new();
    let mut seen: BTreeMap<&str, (u64, String)> = BTreeMap::new();
    let (mut failures, mut alike) = (Vec::new(), 0_u64);
    for seed in 0..count {
        let mut dice = Dice { random: fastrand::Rng::with_seed(seed), full_maps: false };
        let method = &methods[(seed % methods.len() as u64) as usize];
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let ours = schema.method(&path).ok_or("a method that our schema lacks")?;
        let request = request(&mut dice, method);
        note(&request, &mut set_fields);
        dice.full_maps = flaws.contains_key(WITHOUT_VALUE);
        let planned = if dice.below(8) == 0 {
            Err(status(&mut dice))
        } else {
            Ok(Bytes::from(message(&mut dice, &method.output(), DEPTH).encode_to_vec()))
        };
        let mut outcomes = Vec::new();
        for wire in ["grpc", "http"] {
            *service.lock().unwrap_or_else(PoisonError::into_inner) = Exchange::of(planned.clone());
            let wanted = request.encode_to_vec();
            let answer = match wire {
                "grpc" => call(direct.clone(), &ours, wanted).await,
                _ => call(through.clone(), &ours, wanted).await,
            };
            let received = service.lock().unwrap_or_else(PoisonError::into_inner).received.take();
            outcomes.push(Outcome::of(method, received, answer)?);
        }
        if outcomes[0].is_flawed(&outcomes[1], &[]) {
            alike += 1;
            continue;
        }
        let evidence = format!("{path}: {}", outcomes[0].difference(&outcomes[1]));
        let met = flaws_of(method, &request, &outcomes[0].answer);
        let met: Vec<&Flaw> = met.iter().filter(|flaw| flaws.contains_key(flaw.name)).collect();
        match met[..] {
            // Each by itself, so that what is shown shows it.
            [one] if outcomes[0].is_flawed(&outcomes[1], &[one]) => {
                seen.entry(one.name).or_insert_with(|| (0, brief(&evidence))).0 += 1;
            }
            [_, _, ..] if outcomes[0].is_flawed(&outcomes[1], &met) => {}
            _ => failures.push(evidence),
        }
    }
    failures.extend(streams(&schema, &pool, &service, &direct, &through, gateway).await?);
    if let Some(flaw) = flaws.keys().find(|flaw| *flaw == WITHOUT_VALUE) {
        // The last, since the gateway may be gone then.
        let method = methods.iter().find(|method| method.name() == "Replace").ok_or("the method Replace")?;
        let ours = schema.method("/kinds.Kinds/Replace").ok_or("the method Replace")?;
        let mut request = DynamicMessage::new(method.input());
        request.set_field_by_name("name", Value::String("kinds/a".to_owned()));
        // counts = 21, with an entry that has a key and no value.
        let answer = Ok(Bytes::from_static(b"\xaa\x01\x03\x0a\x01a"));
        *service.lock().unwrap_or_else(PoisonError::into_inner) = Exchange::of(answer);
        match call(through.clone(), &ours, request.encode_to_vec()).await {
            Ok(_) => {}
            Err(status) => drop(seen.insert(WITHOUT_VALUE, (1, format!("/kinds.Kinds/Replace: {status:?} ({flaw})")))),
        }
    }
    for (flaw, reason) in &flaws {
        match seen.get(flaw.as_str()) {
            Some((times, evidence)) => println!("~ {gateway}, {flaw}: {reason} ({times} calls), as in\n  {evidence}"),
            None => failures.push(format!("{flaw} is listed as a flaw, but nothing shows it")),
        }
    }
    let missing = fields(&methods).difference(&set_fields).cloned().collect::<Vec<_>>();
    if !missing.is_empty() {
        failures.push(format!("no request had {}", missing.join(", ")));
    }
    if !failures.is_empty() {
        for failure in failures.iter().take(10) {
            eprintln!("{failure}");
        }
        return Err(format!("{} failures in {count} calls through {gateway}", failures.len()).into());
    }
    let sidecar = if sidecar { "the sidecar and " } else { "" };
    println!(
        "{sidecar}{gateway}: {alike} of {count} random calls, with all {} fields, give what they give over gRPC; the others are explained",
        set_fields.len()
    );
    Ok(())
}

fn brief(text: &str) -> String {
    let end = text.char_indices().nth(300).map_or(text.len(), |(at, _)| at);
    if end < text.len() { format!("{}...", &text[..end]) } else { text.to_owned() }
}

/// Streams of messages, which end well or in the middle: what differs through the gateway
/// from what they are over gRPC.
async fn streams(
    schema: &protojson::DescriptorPool,
    pool: &DescriptorPool,
    service: &Mutex<Exchange>,
    direct: &Grpc,
    through: &Through,
    gateway: &str,
) -> Result<Vec<String>, Failure> {
    let method = schema.method("/kinds.Kinds/Watch").ok_or("the method Watch")?;
    let known = pool.get_service_by_name("kinds.Kinds").ok_or("the service Kinds")?;
    let known = known.methods().find(|one| one.name() == "Watch").ok_or("the method Watch")?;
    let mut request = DynamicMessage::new(known.input());
    request.set_field_by_name("name", Value::String("kinds/a".to_owned()));
    let mut message = DynamicMessage::new(known.output());
    message.set_field_by_name("text", Value::String("]}, \"result\": \"{[".to_owned()));
    let messages = vec![Bytes::from(message.encode_to_vec()), Bytes::new()];
    let late = Status::resource_exhausted("no more: 100 %");
    let mut failures = Vec::new();
    for (messages, status) in [(messages.clone(), Status::ok("")), (messages, late), (vec![], Status::ok(""))] {
        // Envoy has no place for an error that comes late.
        if gateway == "Envoy" && status.code() != Code::Ok {
            continue;
        }
        let mut outcomes = Vec::new();
        for wire in ["grpc", "http"] {
            *service.lock().unwrap_or_else(PoisonError::into_inner) =
                Exchange { received: None, messages: messages.clone(), status: status.clone() };
            let wanted = request.encode_to_vec();
            let (found, status) = match wire {
                "grpc" => call_stream(direct.clone(), &method, wanted).await,
                _ => call_stream(through.clone(), &method, wanted).await,
            };
            let found: Vec<String> = found
                .into_iter()
                .map(|message| Ok(json(&DynamicMessage::decode(known.output(), &message[..])?).to_string()))
                .collect::<Result<_, Failure>>()?;
            outcomes.push((found, status.code(), status.message().to_owned()));
        }
        if outcomes[0] != outcomes[1] {
            failures.push(format!("a stream is {:?}, came back {:?}", outcomes[0], outcomes[1]));
        }
    }
    Ok(failures)
}

/// What the service has received, the method's path and the message, and what it is to
/// answer.
struct Exchange {
    received: Option<(String, Bytes)>,
    messages: Vec<Bytes>,
    status: Status,
}

impl Exchange {
    fn of(answer: Result<Bytes, Status>) -> Self {
        let (messages, status) = match answer {
            Ok(message) => (vec![message], Status::ok("")),
            Err(status) => (vec![], status),
        };
        Self { received: None, messages, status }
    }
}

async fn answer(
    exchange: Arc<Mutex<Exchange>>,
    request: Request<impl http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError>>>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (messages, status) = {
        let mut exchange = exchange.lock().unwrap_or_else(PoisonError::into_inner);
        // A frame: whether it is compressed, its length, and the message.
        exchange.received = body.get(5..).map(|message| (path, body.slice_ref(message)));
        (exchange.messages.clone(), exchange.status.clone())
    };
    if messages.is_empty() && status.code() != Code::Ok {
        return Ok(status.into_http());
    }
    let mut trailers = HeaderMap::new();
    let _ = status.add_header(&mut trailers);
    let frames = messages.into_iter().map(|message| {
        let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        Ok::<_, Infallible>(Frame::data(Bytes::from(frame)))
    });
    let frames: Vec<_> = frames.chain([Ok(Frame::trailers(trailers))]).collect();
    let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// What came of a call. Messages are compared as JSON, since a default may be on the wire
/// or not.
struct Outcome {
    received: Option<(String, DynamicMessage)>,
    answer: Answer,
}

type Answer = Result<serde_json::Value, (Code, String, Vec<rpc::ErrorInfo>)>;

impl Outcome {
    fn of(
        method: &MethodDescriptor,
        received: Option<(String, Bytes)>,
        answer: Result<Vec<u8>, Status>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            received: match received {
                Some((path, bytes)) => Some((path, DynamicMessage::decode(method.input(), bytes)?)),
                None => None,
            },
            answer: match answer {
                Ok(bytes) => Ok(json(&DynamicMessage::decode(method.output(), &bytes[..])?)),
                Err(status) => {
                    let details = rpc::Status::decode(status.details())?.details;
                    let details = details.iter().map(prost_types::Any::to_msg).collect::<Result<_, _>>()?;
                    Err((status.code(), status.message().to_owned(), details))
                }
            },
        })
    }

    /// What has arrived, but for some fields.
    fn arrived(&self, without: &[&str]) -> serde_json::Value {
        let Some((path, message)) = &self.received else { return serde_json::Value::Null };
        let mut message = message.clone();
        for field in without {
            message.clear_field_by_name(field);
        }
        serde_json::json!({"method": path, "request": json(&message)})
    }

    /// Whether the gateway did what the flaws that a call may meet do to it, and nothing
    /// else.
    fn is_flawed(&self, through: &Self, flaws: &[&Flaw]) -> bool {
        let fields: Vec<&str> = flaws.iter().filter_map(|flaw| flaw.changes).collect();
        if self.arrived(&fields) == through.arrived(&fields) && self.answer == through.answer {
            return true;
        }
        let Err((code, ..)) = &through.answer else { return false };
        match &through.received {
            None => *code == Code::InvalidArgument && flaws.iter().any(|flaw| flaw.refused),
            Some(_) => {
                let lost = flaws.iter().any(|flaw| flaw.lost == Some(*code));
                lost && self.arrived(&fields) == through.arrived(&fields)
            }
        }
    }

    /// What differs in another outcome, which it is that the gateway's call had.
    fn difference(&self, through: &Self) -> String {
        let (ours, theirs) = (self.arrived(&[]), through.arrived(&[]));
        if ours != theirs {
            return format!("sent {}; {:?}", first(&ours, &theirs, ""), through.answer.as_ref().err());
        }
        match (&self.answer, &through.answer) {
            (Ok(ours), Ok(theirs)) => format!("answered {}", first(ours, theirs, "")),
            (Ok(ours), Err(theirs)) => format!("answered {ours}, came back {theirs:?}"),
            (ours, theirs) => format!("answered {:?}, came back {theirs:?}", ours.as_ref().err()),
        }
    }
}

/// A message as JSON, in which nothing but NullValue is null; as text where it has no JSON
/// form.
fn json(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_else(|_| message.to_text_format().into())
}

/// The first place where two values differ.
fn first(ours: &serde_json::Value, theirs: &serde_json::Value, path: &str) -> String {
    if let (serde_json::Value::Object(a), serde_json::Value::Object(b)) = (ours, theirs) {
        for key in a.keys().chain(b.keys()) {
            let (one, other) = (&ours[key], &theirs[key]);
            if one != other {
                return first(one, other, &format!("{path}.{key}"));
            }
        }
    }
    format!("{path} {ours}, became {theirs}")
}

/// What a gateway may be known to get wrong of a call.
#[derive(Clone, Copy)]
struct Flaw {
    name: &'static str,
    /// It changes this field of the request.
    changes: Option<&'static str>,
    /// It refuses the request.
    refused: bool,
    /// It loses the answer, with this code.
    lost: Option<Code>,
}

impl Flaw {
    const fn changing(name: &'static str, field: &'static str) -> Self {
        Self { name, changes: Some(field), refused: false, lost: None }
    }

    const fn refusing(name: &'static str) -> Self {
        Self { name, changes: None, refused: true, lost: None }
    }
}

/// The flaws that a call may meet.
fn flaws_of(method: &MethodDescriptor, request: &DynamicMessage, answer: &Answer) -> Vec<Flaw> {
    let mut found = Vec::new();
    let body = body(method);
    if method.input().get_field_by_name(body).is_some_and(|field| !request.has_field(&field)) {
        found.push(Flaw::changing("no body", body));
    }
    if method.name().starts_with("Update") && !request.has_field_by_name("update_mask") {
        found.push(Flaw::changing("PATCH without a mask", "update_mask"));
    }
    if masks_all(&json(request)) || answer.as_ref().is_ok_and(masks_all) {
        found.push(Flaw { lost: Some(Code::Unknown), ..Flaw::refusing("* in a field mask") });
    }
    if answer.as_ref().is_err_and(|(code, message, _)| {
        *code == Code::Unauthenticated && message.contains(|c: char| c.is_ascii_control())
    }) {
        let name = "control characters in an UNAUTHENTICATED message";
        found.push(Flaw { name, changes: None, refused: false, lost: Some(Code::Unavailable) });
    }
    for (field, value) in request.fields().filter(|(field, _)| body != "*" && body != field.name()) {
        let unknown = |value: &Value| match (field.kind(), value) {
            (Kind::Enum(kind), Value::EnumNumber(number)) => kind.get_value(*number).is_none(),
            _ => false,
        };
        if value.as_list().map_or_else(|| unknown(value), |values| values.iter().any(unknown)) {
            found.push(Flaw::refusing("unknown enum number in the query"));
        }
        if let Value::Message(message) = value {
            let first = message.get_field_by_number(1);
            match (message.descriptor().full_name(), first.as_deref()) {
                ("google.protobuf.FieldMask", Some(Value::List(paths)))
                    if paths.iter().any(|path| path.as_str().is_some_and(|path| path.contains('_'))) =>
                {
                    let field = if field.name() == "mask" { "mask" } else { "update_mask" };
                    found.push(Flaw::changing("JSON names in a field mask in the query", field));
                }
                ("google.protobuf.Duration", Some(Value::I64(seconds))) if seconds.abs() > i64::MAX / 1_000_000_000 => {
                    found.push(Flaw::refusing("more than 292 years in the query"));
                }
                _ => {}
            }
        }
        if method.name() == "Tree" && field.name() == "name" && value.as_str() == Some("trees") {
            found.push(Flaw::changing("no segment for **", "name"));
        }
    }
    found
}

/// Whether a field mask is in it that stands for all fields.
fn masks_all(value: &serde_json::Value) -> bool {
    let serde_json::Value::Object(fields) = value else { return false };
    fields.iter().any(|(key, value)| {
        let mask = key == "mask" || key == "updateMask";
        mask && value.as_str().is_some_and(|paths| paths.contains('*')) || masks_all(value)
    })
}

fn body(method: &MethodDescriptor) -> &'static str {
    BODIES.iter().find(|(name, _)| *name == method.name()).map_or("", |(_, body)| body)
}

/// Whether it is a message, not one of the well-known types, with nothing set.
fn is_empty(value: &Value) -> bool {
    value.as_message().is_some_and(|message| {
        message.fields().next().is_none() && message.descriptor().package_name() != "google.protobuf"
    })
}

/// The names of all fields that requests can have.
fn fields(methods: &[MethodDescriptor]) -> BTreeSet<String> {
    fn collect(message: &MessageDescriptor, into: &mut BTreeSet<String>) {
        if message.is_map_entry() || message.package_name() == "google.protobuf" {
            return;
        }
        for field in message.fields() {
            if into.insert(field.full_name().to_owned())
                && let Kind::Message(inner) = field.kind()
            {
                collect(&inner, into);
            }
        }
    }
    let mut found = BTreeSet::new();
    for method in methods {
        collect(&method.input(), &mut found);
    }
    found
}

/// Notes the fields that a message has.
fn note(message: &DynamicMessage, into: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        if field.parent_message().package_name() == "google.protobuf" || field.parent_message().is_map_entry() {
            continue;
        }
        into.insert(field.full_name().to_owned());
        match value {
            Value::Message(inner) => note(inner, into),
            Value::List(values) => {
                values.iter().filter_map(Value::as_message).for_each(|inner| note(inner, into));
            }
            Value::Map(entries) => {
                entries.values().filter_map(Value::as_message).for_each(|inner| note(inner, into));
            }
            _ => {}
        }
    }
}

/// A source of choices; a seed is a call.
struct Dice {
    random: fastrand::Rng,
    /// Whether every entry of a map has a key and a value that are no default, which
    /// prost and prost-reflect leave out on the wire.
    full_maps: bool,
}

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.u64(..limit)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Numbers of all sizes, the limits among them.
    fn number(&mut self) -> i64 {
        let bits = self.of(&[0, 1, 7, 8, 31, 32, 52, 53, 54, 63]);
        let number = self.random.u64(..) & ((1 << bits) - 1);
        self.of(&[number as i64, (number as i64).wrapping_neg(), i64::MAX, i64::MIN])
    }

    /// What path, query and JSON have reserved, among other things.
    fn text(&mut self) -> String {
        const PIECES: [&str; 24] = [
            "a",
            "Launch room",
            "/",
            "%",
            "%2F",
            "?",
            "#",
            "&",
            "=",
            "+",
            ";",
            ",",
            ":",
            "@",
            "\"",
            "\\",
            "<>",
            "'",
            "ü",
            "日本",
            "\u{1F680}",
            "\u{1}\t\n",
            "~!*()",
            "[]{}|^`",
        ];
        (0..self.below(6)).map(|_| self.of(&PIECES)).collect()
    }

    /// One segment of a path, which is neither empty nor `.` or `..`.
    fn segment(&mut self) -> String {
        let text = self.text().replace('/', "-");
        if text.is_empty() { "AAQAjCNSsU0".to_owned() } else { text }
    }
}

/// A request that its path template takes.
fn request(dice: &mut Dice, method: &MethodDescriptor) -> DynamicMessage {
    let mut request = message(dice, &method.input(), DEPTH);
    let body = body(method);
    for field in method.input().fields() {
        // What has no form in a query: a message with nothing set.
        if body != "*" && body != field.name() && is_empty(request.get_field(&field).as_ref()) {
            request.clear_field(&field);
        }
    }
    let (_, path, template) = PATHS.iter().find(|(name, ..)| *name == method.name()).expect("every method is there");
    if !path.is_empty() {
        let name: Vec<String> = template
            .split('/')
            .map(|part| match part {
                "*" => dice.segment(),
                "**" => (0..dice.below(4)).map(|_| dice.segment()).collect::<Vec<_>>().join("/"),
                literal => literal.to_owned(),
            })
            .collect();
        let mut holder = &mut request;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                holder.set_field_by_name(part, Value::String(name.join("/").trim_end_matches('/').to_owned()));
                break;
            }
            let Some(Value::Message(inner)) = holder.get_field_by_name_mut(part) else { break };
            holder = inner;
        }
    }
    request
}

/// A status with details, as services send them.
fn status(dice: &mut Dice) -> Status {
    let code = Code::from_i32(1 + dice.below(16) as i32);
    let info = rpc::ErrorInfo {
        reason: "RANDOM".to_owned(),
        domain: "chat.googleapis.com".to_owned(),
        metadata: [("key".to_owned(), format!("{}{}", if dice.full_maps { "v" } else { "" }, dice.text()))].into(),
    };
    let details = match dice.below(2) {
        0 => Vec::new(),
        _ => vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        }],
    };
    let message = format!("it is {}", dice.text());
    if details.is_empty() {
        return Status::new(code, message);
    }
    let whole = rpc::Status { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, whole.encode_to_vec().into())
}

/// A message with about half of its fields.
fn message(dice: &mut Dice, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let seconds_and_nanos = |message: &mut DynamicMessage, seconds: i64, nanos: i32| {
        message.set_field_by_number(1, Value::I64(seconds));
        message.set_field_by_number(2, Value::I32(nanos));
    };
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let seconds = dice.of(&[-62_135_596_800, -1, 0, 951_782_400, 1_795_513_800, 253_402_300_799]);
            seconds_and_nanos(&mut message, seconds, dice.of(&[0, 1, 1_000, 123_456_000, 500_000_000, 999_999_999]));
        }
        "google.protobuf.Duration" => {
            let limits = [(0, 0), (315_576_000_000, 0), (-315_576_000_000, 0), (-1, -500_000_000), (7, 1), (0, -1_000)];
            let (seconds, nanos) = dice.of(&limits);
            seconds_and_nanos(&mut message, seconds, nanos);
        }
        "google.protobuf.FieldMask" => {
            let paths = ["display_name", "space_details", "permission_settings.manage_apps", "a", "text", "*"];
            let chosen = (0..dice.below(4)).map(|_| Value::String(dice.of(&paths[..5]).to_owned())).collect();
            message.set_field_by_number(
                1,
                Value::List(if dice.below(9) == 0 { vec![Value::String(paths[5].into())] } else { chosen }),
            );
        }
        "google.protobuf.Value" => match dice.below(if depth == 0 { 4 } else { 5 }) {
            0 => message.set_field_by_number(1, Value::EnumNumber(0)),
            1 => message.set_field_by_number(2, Value::F64(dice.of(&[0.0, -0.5, 1e300, 7.0]))),
            2 => message.set_field_by_number(3, Value::String(dice.text())),
            3 => message.set_field_by_number(4, Value::Bool(dice.below(2) == 0)),
            _ => {
                let values =
                    (0..dice.below(3)).map(|_| Value::Message(self::message(dice, descriptor, depth - 1))).collect();
                let list = descriptor.get_field(6).and_then(|field| field.kind().as_message().cloned());
                let mut list = DynamicMessage::new(list.expect("a list"));
                list.set_field_by_number(1, Value::List(values));
                message.set_field_by_number(6, Value::Message(list));
            }
        },
        _ => {
            for field in descriptor.fields() {
                if dice.below(2) == 0 || depth == 0 && matches!(field.kind(), Kind::Message(_)) {
                    continue;
                }
                let value = field_value(dice, &field, depth);
                message.set_field(&field, value);
            }
        }
    }
    message
}

fn field_value(dice: &mut Dice, field: &FieldDescriptor, depth: u32) -> Value {
    if let Kind::Message(entry) = field.kind()
        && field.is_map()
    {
        let (keys, values) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let full = dice.full_maps;
        let entries = (0..dice.below(3)).filter_map(|_| {
            let key = match keys.kind() {
                Kind::String if full => MapKey::String(format!("k{}", dice.text())),
                Kind::String => MapKey::String(dice.text()),
                _ => MapKey::I32(dice.number() as i32 | i32::from(full)),
            };
            let value = one(dice, &values, depth);
            let empty = value.as_message().is_some_and(|message| message.fields().next().is_none());
            (!full || !empty && !value.is_default(&values.kind())).then_some((key, value))
        });
        return Value::Map(entries.collect());
    }
    match field.cardinality() {
        Cardinality::Repeated => Value::List((0..dice.below(4)).map(|_| one(dice, field, depth)).collect()),
        _ => one(dice, field, depth),
    }
}

fn one(dice: &mut Dice, field: &FieldDescriptor, depth: u32) -> Value {
    match field.kind() {
        Kind::Message(inner) => Value::Message(message(dice, &inner, depth.saturating_sub(1))),
        Kind::Enum(kind) => {
            let known: Vec<i32> = kind.values().map(|value| value.number()).collect();
            let unknown = [1_000_000, -1, i32::MAX];
            Value::EnumNumber(if dice.below(5) == 0 { dice.of(&unknown) } else { dice.of(&known) })
        }
        Kind::String => Value::String(dice.text()),
        Kind::Bytes => Value::Bytes((0..dice.below(7)).map(|_| dice.random.u8(..)).collect::<Vec<_>>().into()),
        Kind::Bool => Value::Bool(dice.below(2) == 0),
        Kind::Double => Value::F64(dice.of(&[0.0, 0.1, -1.5, 1e300, f64::MIN_POSITIVE, f64::INFINITY, f64::MAX])),
        Kind::Float => Value::F32(dice.of(&[0.0, 0.1, -1.5, 1e30, f32::MIN_POSITIVE, f32::NEG_INFINITY])),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(dice.number() as i32),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(dice.number() as u32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(dice.number()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(dice.number() as u64),
    }
}
