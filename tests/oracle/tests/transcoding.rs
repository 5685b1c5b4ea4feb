//! What `HttpJson` makes of random messages that have every kind of field, read by our
//! own gateway.

#[path = "../../../crates/grpc-transcoding/tests/shelf/mod.rs"]
mod shelf;

use std::{collections::BTreeMap, sync::LazyLock};

use grpc_transcoding::{HttpRules, PathTemplate, client::HttpJson, server::Gateway};
use http::Request;
use http_body_util::{BodyExt, Full};
use oracle::{Dice, len_delimited, message, tag, value, varint};
use proptest::{collection, option, prelude::*};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use shelf::{Backend, POOL, call, frame, http_json, method};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt;

const SET: &[u8] = include_bytes!("../../../crates/protojson/tests/proto/all.bin");

/// A service whose methods take `carried.Carried`, each by another rule: in the body, in
/// the query, and for each field of a single value one that has it in the path.
struct Carried {
    rules: HttpRules,
    message: grpc_transcoding::MessageDescriptor,
    descriptor: MessageDescriptor,
    /// The fields that a path can hold, by the method that has them there.
    in_path: BTreeMap<String, FieldDescriptor>,
}

static CARRIED: LazyLock<Carried> = LazyLock::new(|| {
    use prost::Message as _;
    use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
    let descriptor =
        DescriptorPool::decode(SET).unwrap().get_message_by_name("carried.Carried").expect("is in the set");
    let textual = |field: &FieldDescriptor| match field.kind() {
        Kind::Message(message) => {
            message.full_name().starts_with("google.protobuf.") && !message.full_name().ends_with("Empty")
        }
        _ => true,
    };
    let mut rules = vec![
        ("Body".to_owned(), 4, "/v1/body".to_owned(), "*"),
        ("Inner".to_owned(), 4, "/v1/inner".to_owned(), "inner"),
        ("Query".to_owned(), 2, "/v1/query".to_owned(), ""),
    ];
    let mut in_path = BTreeMap::new();
    for field in descriptor.fields().filter(|field| !field.is_list() && textual(field)) {
        let name = field.name();
        rules.push((format!("Path_{name}"), 2, format!("/v1/{name}/{{{name}}}:go"), ""));
        in_path.insert(format!("Path_{name}"), field.clone());
        if matches!(field.kind(), Kind::String) {
            rules.push((format!("Deep_{name}"), 2, format!("/v1/deep/{name}/{{{name}=**}}/end"), ""));
            in_path.insert(format!("Deep_{name}"), field);
        }
    }
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".carried.Carried".to_owned()),
        output_type: Some(".carried.Carried".to_owned()),
        ..Default::default()
    };
    let service = FileDescriptorProto {
        name: Some("service.proto".to_owned()),
        package: Some("carried".to_owned()),
        dependency: vec!["carried.proto".to_owned()],
        service: vec![ServiceDescriptorProto {
            name: Some("Service".to_owned()),
            method: rules.iter().map(|(name, ..)| method(name)).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut http = Vec::new();
    for (name, verb, template, body) in &rules {
        let mut rule = Vec::new();
        len_delimited(&mut rule, 1, format!("carried.Service.{name}").as_bytes());
        len_delimited(&mut rule, *verb, template.as_bytes());
        len_delimited(&mut rule, 7, body.as_bytes());
        len_delimited(&mut http, 1, &rule);
    }
    let service = FileDescriptorSet { file: vec![service] }.encode_to_vec();
    let pool = grpc_transcoding::DescriptorPool::decode(&[SET, &service].concat()).unwrap();
    let rules = HttpRules::with_config(&pool, &http).unwrap();
    assert_eq!(rules.lint(), []);
    Carried { message: pool.message("carried.Carried").unwrap(), rules, descriptor, in_path }
});

/// What a backend gets of a call by way of `HttpJson` and our gateway, as JSON.
fn sent_and_read(method: &str, wire: &[u8], numbers: bool) -> Result<Value, Status> {
    let backend = Backend::default();
    backend.answer.lock().unwrap().0.push(Vec::new());
    let gateway = Gateway::new(CARRIED.rules.clone(), backend.service()).unwrap();
    let http = HttpJson::builder(CARRIED.rules.clone(), "http://in.process").enums_as_integers(numbers);
    let call = Request::post(format!("/carried.Service/{method}"))
        .header("content-type", "application/grpc")
        .body(Body::new(Full::from(frame(wire))))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(http.build_over(gateway).unwrap().oneshot(call)).unwrap();
    let (head, body) = answer.into_parts();
    let trailers = runtime.block_on(body.collect()).unwrap().trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers).or(Status::from_header_map(&head.headers)).expect("has a status");
    if status.code() != Code::Ok {
        return Err(status);
    }
    let calls = backend.calls.lock().unwrap();
    Ok(as_json(&calls[0].2[0]))
}

/// A message as JSON, without messages that are set but empty, which a query cannot say.
fn as_json(wire: &[u8]) -> Value {
    fn without_empty(value: &mut Value) {
        if let Value::Object(members) = value {
            members.values_mut().for_each(without_empty);
            members.retain(|_, value| value.as_object().is_none_or(|members| !members.is_empty()));
        }
    }
    let mut json = serde_json::from_str(&CARRIED.message.to_json(wire).unwrap()).unwrap();
    without_empty(&mut json);
    json
}

/// What the wire may hold and the message then does not: fields of another wire type than
/// their own, and numbers that a closed enum does not have.
fn noise(dice: &mut Dice, wire: &mut Vec<u8>) {
    match dice.below(4) {
        0 => len_delimited(wire, dice.of(&[1, 3, 14, 16]), b"\x07"),
        1 => {
            tag(wire, dice.of(&[9, 12, 27, 43, 51, 71, 72]), 0);
            varint(wire, 7);
        }
        2 => {
            tag(wire, dice.of(&[14, 29, 44]), 0);
            varint(wire, 7);
        }
        _ => {}
    }
}

proptest! {
    // Each case is a call or more for every field.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_http_json_sends_in_body_and_query_the_gateway_reads(seed in any::<u64>()) {
        let dice = &mut Dice(seed);
        for _ in 0..10 {
            let mut wire = Vec::new();
            noise(dice, &mut wire);
            wire.extend(message(dice, &CARRIED.descriptor, 3));
            noise(dice, &mut wire);
            let numbers = dice.below(2) == 0;
            for method in ["Body", "Inner", "Query"] {
                let read = sent_and_read(method, &wire, numbers).map_err(|status| status.to_string());
                prop_assert_eq!(read, Ok(as_json(&wire)), "{}", method);
            }
        }
    }

    #[test]
    fn what_http_json_sends_in_a_path_the_gateway_reads(seed in any::<u64>()) {
        let dice = &mut Dice(seed);
        for (method, field) in &CARRIED.in_path {
            let mut wire = Vec::new();
            value(dice, field, 3, &mut wire);
            let sent = as_json(&wire);
            match sent_and_read(method, &wire, false) {
                Ok(read) => prop_assert_eq!(read, sent, "{}", method),
                // Some texts have no place in a path; nothing else may be refused.
                Err(status) => {
                    let text = sent[field.json_name()].as_str().unwrap_or("never");
                    let free = ["string_value", "chosen_string", "string_wrapper", "dotted", "first", "second_one", "alt"];
                    let slash = text.starts_with('/') || text.contains('/') && method.starts_with("Path_");
                    let refused = text.is_empty() || slash && free.contains(&field.name());
                    prop_assert!(refused && status.code() == Code::InvalidArgument, "{} {}: {}", method, sent, status);
                }
            }
        }
    }
}

fn search() -> impl Strategy<Value = Value> {
    let text = "[a-z&=+%/ .:éß\u{1F680}\"\\\\]{0,8}";
    let scalars = (text, any::<i32>(), option::of(any::<i32>()), any::<bool>(), -1..9i32, any::<u64>());
    let lists = (
        collection::vec(-1..9i32, 0..3),
        collection::vec(any::<i64>(), 0..3),
        collection::vec(text, 0..3),
        collection::vec(any::<u8>(), 0..6),
    );
    let floats = (any::<f64>(), any::<f32>());
    let known = (
        option::of((-62_135_596_800..253_402_300_799i64, 0..1_000_000_000u32)),
        option::of(-315_576_000_000..315_576_000_000i64),
        option::of("[a-z]{1,4}([A-Z][a-z]{1,3})?(\\.[a-z]{1,3})?"),
        option::of(any::<i64>()),
        option::of(text),
    );
    let nested = (option::of((text, option::of(any::<i32>()))), option::of(any::<Result<i32, bool>>()));
    (scalars, lists, floats, known, nested).prop_map(|(scalars, lists, floats, known, nested)| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let mut search = json!({
            "shelf": "shelves/a", "query": scalars.0, "pageSize": scalars.1, "exact": scalars.3, "genre": scalars.4,
            "seed": scalars.5.to_string(), "genres": lists.0, "years": lists.1, "words": lists.2,
            "cursor": STANDARD.encode(lists.3),
            "score": if floats.0.is_finite() { json!(floats.0) } else { json!("NaN") },
            "weight": if floats.1.is_finite() { json!(floats.1) } else { json!("-Infinity") },
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                search[key] = value;
            }
        };
        set("offset", scalars.2.map(Value::from));
        set("within", known.1.map(|seconds| format!("{seconds}s").into()));
        set("fieldsToRead", known.2.map(Value::from));
        set("limit", known.3.map(|limit| limit.to_string().into()));
        set("note", known.4.map(Value::from));
        set(
            "by",
            nested
                .0
                .filter(|(name, born)| !name.is_empty() || born.is_some())
                .map(|(name, born)| json!({"givenName": name, "born": born})),
        );
        match nested.1 {
            Some(Ok(year)) => set("byYear", Some(year.into())),
            Some(Err(_)) => set("byField", Some("".into())),
            None => {}
        }
        if let Some((seconds, nanos)) = known.0 {
            let mut timestamp = Vec::new();
            for (number, value) in [(1, seconds as u64), (2, u64::from(nanos))] {
                tag(&mut timestamp, number, 0);
                varint(&mut timestamp, value);
            }
            let text = POOL.message("google.protobuf.Timestamp").unwrap().to_json(&timestamp).unwrap();
            set("since", Some(serde_json::from_str(&text).unwrap()));
        }
        search
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the client puts into path and query the gateway reads back, for every
    /// kind of field that a query can carry.
    #[test]
    fn what_the_client_sends_the_gateway_calls(message in search()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let backend = Backend::answering(&[("shelf.Book", json!({"title": "T"}))], None);
            let (replies, status) = call(http_json(backend.gateway()), "Search", std::slice::from_ref(&message)).await;
            prop_assert_eq!((status.code(), status.message()), (Code::Ok, ""));
            prop_assert_eq!(replies, vec![json!({"title": "T"})]);
            let sent = method("Search").input().from_json(message.to_string()).unwrap();
            let sent: Value = serde_json::from_str(&method("Search").input().to_json(&sent).unwrap()).unwrap();
            prop_assert_eq!(backend.received("Search"), vec![sent]);
            Ok(())
        })?;
    }
}

proptest! {
    #[test]
    fn what_expand_writes_matches_reads(one in "[^/]{1,12}", many in "([^/%]{1,6}(/[^/%]{0,6}){0,3})?") {
        for (pattern, value) in [
            ("{v}", one.clone()),
            ("{v=**}", many.clone()),
            ("{v=a%20b/*}", format!("a b/{}", one.replace('%', ""))),
            ("{v=**/c d}", format!("{many}{}c d", if many.is_empty() { "" } else { "/" })),
        ] {
            for source in ["/", "/v1/", "/v1/é/"].map(|start| format!("{start}{pattern}")) {
                for source in [format!("{source}:go"), format!("{source}/end"), source] {
                    if let Ok(path) = PathTemplate::parse(&source).unwrap().expand(&[&value]) {
                        let found = PathTemplate::parse(&source).unwrap().matches(&path);
                        prop_assert_eq!(found, Ok(Some(vec![value.clone()])), "{} {}", source, path);
                    }
                }
            }
        }
    }
}
