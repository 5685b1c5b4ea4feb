//! What `HttpJson` makes of random messages that have every kind of field, read by our
//! own gateway.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::shelf::{Backend, frame};
use grpc_transcoding::{HttpRules, client::HttpJson, server::Gateway};
use http::Request;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;
use tonic::{Code, Status, body::Body};
use tower::ServiceExt;

static SET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut compiler = protox::Compiler::new(["tests/proto"]).unwrap();
    compiler.include_imports(true).open_files(["every.proto"]).unwrap();
    compiler.encode_file_descriptor_set()
});
static THEIRS: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    DescriptorPool::decode(SET.as_slice()).unwrap().get_message_by_name("every.Every").expect("is in the set")
});

/// A source of choices: splitmix64, so that a seed is a message.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Numbers of all sizes, small ones most often.
    fn number(&mut self) -> u64 {
        let bits = self.of(&[0, 1, 3, 7, 8, 14, 31, 32, 33, 52, 63, 64]);
        let number = if bits == 64 { self.next() } else { self.next() & ((1 << bits) - 1) };
        if self.below(4) == 0 { (number as i64).wrapping_neg() as u64 } else { number }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 12] =
            ["", "a", "Launch room", "\"", "\\", "\n\t", "\u{1}", "ü", "日本", "\u{1F680}", "sixteen bytes 16", "</>"];
        (0..self.below(6)).map(|_| self.of(&PIECES)).collect()
    }
}

fn varint(out: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, out);
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

fn len_delimited(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    tag(out, number, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A message as wire bytes: fields in any order, some more than once, some that
/// the schema does not have. What has no JSON form is left out.
fn message(dice: &mut Dice, descriptor: &MessageDescriptor, depth: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let limits = [-62_135_596_800_i64, 0, 1_795_513_800, 951_782_400, 253_402_300_799];
            tag(&mut out, 1, 0);
            varint(&mut out, dice.of(&limits) as u64);
            tag(&mut out, 2, 0);
            varint(&mut out, dice.of(&[0, 1, 999, 1_000, 123_456_000, 500_000_000, 999_999_999]));
            return out;
        }
        "google.protobuf.Duration" => {
            let (seconds, nanos) =
                dice.of(&[(0_i64, 1_i32), (-1, -500_000_000), (315_576_000_000, 0), (7, 1_000), (0, -7)]);
            tag(&mut out, 1, 0);
            varint(&mut out, seconds as u64);
            tag(&mut out, 2, 0);
            varint(&mut out, i64::from(nanos) as u64);
            return out;
        }
        "google.protobuf.FieldMask" => {
            let paths = ["display_name", "*", "a.b_c.`Key_1, \"é\"`.d", "labels.`a.b`"];
            for _ in 0..dice.below(3) {
                len_delimited(&mut out, 1, dice.of(&paths).as_bytes());
            }
            return out;
        }
        "google.protobuf.Value" => {
            let member = if depth == 0 { 1 + dice.below(4) } else { 1 + dice.below(6) };
            let field = descriptor.get_field(member as u32).expect("has six");
            if member == 2 {
                tag(&mut out, 2, 1);
                out.extend_from_slice(&dice.of(&[0.0_f64, -0.5, 1e300, 7.0]).to_le_bytes());
            } else {
                value(dice, &field, depth, &mut out);
            }
            return out;
        }
        _ => {}
    }
    let mut fields: Vec<_> = descriptor.fields().collect();
    let whole = is_struct_entry(descriptor);
    fields.retain(|_| whole || dice.below(4) == 0);
    if dice.below(3) == 0 && !fields.is_empty() {
        // Out of order, and again.
        let at = dice.below(fields.len() as u64) as usize;
        fields.rotate_left(at);
        let again = fields[dice.below(fields.len() as u64) as usize].clone();
        fields.push(again);
    }
    for field in fields {
        if dice.below(30) == 0 {
            tag(&mut out, 7_777, 0);
            varint(&mut out, 1);
        }
        let times = if field.is_list() || field.is_map() { dice.below(4) } else { 1 };
        if field.is_packable_list(dice) {
            let mut packed = Vec::new();
            for _ in 0..times {
                scalar(dice, &field.kind(), &mut packed);
            }
            len_delimited(&mut out, field.number(), &packed);
            continue;
        }
        for _ in 0..times {
            value(dice, &field, depth, &mut out);
        }
    }
    out
}

/// Whether it is an entry of a Struct, which must have its value.
fn is_struct_entry(descriptor: &MessageDescriptor) -> bool {
    descriptor.parent_message().is_some_and(|parent| parent.full_name() == "google.protobuf.Struct")
}

trait Packable {
    fn is_packable_list(&self, dice: &mut Dice) -> bool;
}

impl Packable for FieldDescriptor {
    /// Packed and unpacked are both legal, whatever is declared.
    fn is_packable_list(&self, dice: &mut Dice) -> bool {
        let scalar = !matches!(self.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
        self.is_list() && scalar && dice.below(2) == 0
    }
}

fn wire_type(kind: &Kind) -> u32 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
        Kind::String | Kind::Bytes | Kind::Message(_) => 2,
        _ => 0,
    }
}

fn scalar(dice: &mut Dice, kind: &Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Double => {
            let special = [0.0, -0.0, 1.5, -1e-300, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324];
            let bits = if dice.below(2) == 0 { dice.of(&special).to_bits() } else { dice.next() };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Kind::Float => {
            // Not the largest: prost-reflect refuses to read its digits back.
            let special = [0.0, -0.0, 1.5, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE];
            let bits = if dice.below(2) == 0 { dice.of(&special).to_bits() } else { dice.next() as u32 };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Kind::Fixed64 | Kind::Sfixed64 => out.extend_from_slice(&dice.number().to_le_bytes()),
        Kind::Fixed32 | Kind::Sfixed32 => out.extend_from_slice(&(dice.number() as u32).to_le_bytes()),
        Kind::Bool => varint(out, dice.below(2)),
        // prost-reflect keeps what a closed enum does not have; the conformance
        // suite, which we pass, counts that as unknown.
        Kind::Enum(kind) if kind.name() == "Closed" => varint(out, i64::from(dice.of(&[0, 1, -1])) as u64),
        Kind::Enum(kind) if kind.name() == "NullValue" => varint(out, 0),
        Kind::Enum(_) => varint(out, i64::from(dice.of(&[0, 1, -1, 2, 1_000_000])) as u64),
        Kind::Int32 => varint(out, i64::from(dice.number() as i32) as u64),
        Kind::Uint32 | Kind::Sint32 => varint(out, u64::from(dice.number() as u32)),
        _ => varint(out, dice.number()),
    }
}

/// One value with its tag.
fn value(dice: &mut Dice, field: &FieldDescriptor, depth: u32, out: &mut Vec<u8>) {
    let kind = field.kind();
    match &kind {
        Kind::Message(inner) if depth == 0 && is_struct_entry(inner) => {}
        Kind::Message(inner) => {
            let content = if depth == 0 { Vec::new() } else { message(dice, inner, depth - 1) };
            // A Value must have a value.
            if depth == 0 && inner.full_name() == "google.protobuf.Value" {
                len_delimited(out, field.number(), &message(dice, inner, 0));
            } else if field.is_group() {
                tag(out, field.number(), 3);
                out.extend_from_slice(&content);
                tag(out, field.number(), 4);
            } else {
                len_delimited(out, field.number(), &content);
            }
        }
        Kind::String => len_delimited(out, field.number(), dice.text().as_bytes()),
        Kind::Bytes => {
            let content: Vec<u8> = (0..dice.below(7)).map(|_| dice.next() as u8).collect();
            len_delimited(out, field.number(), &content);
        }
        kind => {
            tag(out, field.number(), wire_type(kind));
            scalar(dice, kind, out);
        }
    }
}

#[test]
#[ignore = "writes the fuzz targets' seeds of wire bytes anew"]
fn write_seeds() {
    for seed in 0..12 {
        let path = format!("{}/fuzz/seeds/wire/{seed:02}.bin", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, message(&mut Dice(seed), &THEIRS, 2)).unwrap();
    }
}

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
    let mut compiler = protox::Compiler::new(["tests/proto"]).unwrap();
    compiler.include_imports(true).open_files(["carried.proto"]).unwrap();
    let set = compiler.encode_file_descriptor_set();
    let descriptor =
        DescriptorPool::decode(set.as_slice()).unwrap().get_message_by_name("carried.Carried").expect("is in the set");
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
    let pool = grpc_transcoding::DescriptorPool::decode(&[set, service].concat()).unwrap();
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
