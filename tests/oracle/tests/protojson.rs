//! The codec beside an independent one, prost-reflect, on random messages.

#[path = "../../../crates/protojson/tests/common/mod.rs"]
mod common;

use std::sync::LazyLock;

use common::SET;
use oracle::{Dice, message};
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use protojson::{Base64, Cardinality, Defaults, FieldPath, ReadOptions, WriteOptions};
use serde_json::Value;

static THEIRS: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(SET).unwrap());

fn theirs(name: &str) -> MessageDescriptor {
    THEIRS.get_message_by_name(name).unwrap()
}

/// Messages with fields of every kind, and one as APIs have it.
const NAMES: [&str; 3] = ["every.Every", "every.open.Open", "example.Space"];
#[test]
#[ignore = "writes the fuzz targets' seeds of wire bytes anew"]
fn write_seeds() {
    for seed in 0..12 {
        let path = format!("{}/../../fuzz/seeds/wire/{seed:02}.bin", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, message(&mut Dice(seed), &theirs("every.Every"), 2)).unwrap();
    }
}

/// The first place where two JSON values differ.
///
/// What prost-reflect has of its own passes: floats with a double's digits; no
/// `-0` in a field without presence, though its bits are not the default's;
/// `null` for a wrapped double that is not finite.
fn difference(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b))
            if a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b || a as f32 == b as f32) =>
        {
            None
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(a, b, &format!("{path}[{i}]")))
        }
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let member = |object: &serde_json::Map<_, _>| object.get(key).cloned().unwrap_or("nothing at all".into());
            difference(&member(a), &member(b), &format!("{path}.{key}"))
        }),
        (Value::String(name), Value::Null)
            if path.contains("doubleWrappers") && ["NaN", "Infinity", "-Infinity"].contains(&name.as_str()) =>
        {
            None
        }
        (Value::Number(zero), Value::String(_))
            if zero.as_f64().is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()) =>
        {
            None
        }
        _ => (ours != theirs).then(|| format!("{path}: ours {ours}, theirs {theirs}")),
    }
}

/// Ours and theirs of the same bytes: the same JSON, which both read back as the same.
fn compare(name: &str, wire: &[u8]) -> Result<(), TestCaseError> {
    let (ours, theirs) = (common::message(name), theirs(name));
    let json = ours.to_json(wire).unwrap();
    let expected = serde_json::to_value(DynamicMessage::decode(theirs.clone(), wire).unwrap()).unwrap();
    let found: Value = serde_json::from_str(&json).unwrap();
    prop_assert_eq!(difference(&found, &expected, ""), None);

    // And back: to the same message, and then to the same text.
    let back = ours.from_json(&json).unwrap();
    prop_assert_eq!(&ours.to_json(&back).unwrap(), &json);
    let mut deserializer = serde_json::Deserializer::from_str(&json);
    let read = DynamicMessage::deserialize(theirs.clone(), &mut deserializer).unwrap();
    let again = serde_json::to_value(DynamicMessage::decode(theirs, back.as_slice()).unwrap()).unwrap();
    prop_assert_eq!(again, serde_json::to_value(read).unwrap());
    Ok(())
}

const SELECTOR: [&str; 17] = [
    "every",
    "everies",
    "int32Value",
    "struct",
    "byString",
    "*",
    "*",
    "/",
    "/",
    ".",
    ",",
    "(",
    ")",
    "`",
    "[x]",
    " ",
    "ü",
];

/// The paths of all members of a JSON value.
fn paths_of(value: &Value, here: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| paths_of(element, here, all)),
        Value::Object(members) => {
            for (key, value) in members {
                here.push(key.clone());
                all.push(here.clone());
                paths_of(value, here, all);
                here.pop();
            }
        }
        _ => {}
    }
}

/// Paths as one text: with slashes or dots, in groups or by themselves.
fn selector_of(dice: &mut Dice, paths: &[Vec<String>]) -> String {
    let mut parts = Vec::new();
    let mut left: Vec<&Vec<String>> = paths.iter().collect();
    while let Some(path) = left.pop() {
        let name = &path[0];
        let plain =
            name == "*" || !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = if plain { name.clone() } else { format!("`{name}`") };
        if path.len() == 1 {
            parts.push(name);
            continue;
        }
        let mut below = vec![path[1..].to_vec()];
        if dice.below(2) == 0 {
            left.retain(|other| {
                let same = other.len() > 1 && other[0] == path[0];
                if same {
                    below.push(other[1..].to_vec());
                }
                !same
            });
        }
        let inner = selector_of(dice, &below);
        parts.push(match dice.below(3) {
            0 if below.len() == 1 => format!("{name}/{inner}"),
            1 if below.len() == 1 => format!("{name} . {inner}"),
            _ => format!("{name}( {inner})"),
        });
    }
    parts.join([",", ", "][dice.below(2) as usize])
}

/// What a JSON value is the form of.
#[derive(Clone)]
enum Place {
    Message(MessageDescriptor),
    Map(Box<Place>),
    Free,
    Plain,
}

impl Place {
    fn of(message: &MessageDescriptor) -> Self {
        match message.full_name().strip_prefix("google.protobuf.") {
            None | Some("Empty") => Self::Message(message.clone()),
            Some("Struct" | "Value" | "ListValue" | "Any") => Self::Free,
            Some(_) => Self::Plain,
        }
    }

    fn of_kind(kind: &Kind) -> Self {
        kind.as_message().map_or(Self::Plain, Self::of)
    }

    fn member(&self, key: &str) -> Self {
        match self {
            Self::Message(message) => {
                let field = message.fields().find(|field| field.json_name() == key || field.name() == key);
                match field.map(|field| (field.is_map(), field.kind())) {
                    Some((true, Kind::Message(entry))) => {
                        Self::Map(Box::new(Self::of_kind(&entry.map_entry_value_field().kind())))
                    }
                    Some((_, kind)) => Self::of_kind(&kind),
                    // An extension.
                    None => Self::Plain,
                }
            }
            Self::Map(value) => (**value).clone(),
            Self::Free => Self::Free,
            Self::Plain => unreachable!("{key} in a value without members"),
        }
    }
}

/// What the paths select of a JSON value, by the definition: a member is kept if a path ends
/// at it or above it, or goes on below it; a value without members only in the first case.
fn pruned(value: &Value, place: Place, here: &mut Vec<String>, paths: &[Vec<String>]) -> Value {
    let fits = |path: &[String], here: &[String]| path.iter().zip(here).all(|(name, own)| name == "*" || name == own);
    match value {
        Value::Array(elements) => elements.iter().map(|element| pruned(element, place.clone(), here, paths)).collect(),
        Value::Object(members) => {
            let mut kept = serde_json::Map::new();
            for (key, value) in members {
                let member = place.member(key);
                here.push(key.clone());
                let plain = matches!(member, Place::Plain);
                if paths.iter().any(|path| fits(path, here) && (!plain || path.len() <= here.len())) {
                    kept.insert(key.clone(), pruned(value, member, here, paths));
                }
                here.pop();
            }
            kept.into()
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wire_to_json_to_wire_is_prost_reflects(seed in any::<u64>(), name in prop::sample::select(&NAMES[..])) {
        compare(name, &message(&mut Dice(seed), &theirs(name), 3))?;
    }

    /// Two encodings after one another are one message: fields come twice, messages
    /// merge, members of a oneof replace one another.
    #[test]
    fn two_messages_merge_as_prost_reflects_do(seed in any::<u64>(), name in prop::sample::select(&NAMES[..])) {
        let dice = &mut Dice(seed);
        let wire = [message(dice, &theirs(name), 2), message(dice, &theirs(name), 2)].concat();
        compare(name, &wire)?;
    }

    /// Whatever the options, it is the same message.
    #[test]
    fn every_way_of_writing_reads_back(
        seed in any::<u64>(), name in prop::sample::select(&NAMES[..]), bits in 0..16u8,
    ) {
        let ours = common::message(name);
        let wire = message(&mut Dice(seed), &theirs(name), 2);
        let defaults = if bits & 8 != 0 { Defaults::WithoutPresence } else { Defaults::Omit };
        let options = WriteOptions::default()
            .with_enums_as_integers(bits & 1 != 0)
            .with_proto_field_names(bits & 2 != 0)
            .with_indent((bits & 4 != 0).then_some(2))
            .with_defaults(defaults);
        let mut json = Vec::new();
        ours.write_json(&wire, &mut json, &options).unwrap();
        let back = ours.from_json(&json).unwrap();
        prop_assert_eq!(ours.to_json(&back).unwrap(), ours.to_json(&wire).unwrap());
    }

    /// Only what is selected is written, whatever the options: what an oracle keeps of the
    /// whole JSON, which knows the fields by prost-reflect.
    #[test]
    fn selected_fields_are_what_is_kept_of_the_whole(
        seed in any::<u64>(), name in prop::sample::select(&NAMES[..]), bits in 0..16u8,
    ) {
        let dice = &mut Dice(seed);
        let ours = common::message(name);
        let wire = message(dice, &theirs(name), 2);
        let mut options = WriteOptions::default()
            .with_enums_as_integers(bits & 1 != 0)
            .with_proto_field_names(bits & 2 != 0)
            .with_defaults([Defaults::Omit, Defaults::WithoutPresence, Defaults::Always][usize::from(bits >> 2) % 3]);
        let json = |options: &WriteOptions| {
            let mut json = Vec::new();
            ours.write_json(&wire, &mut json, options).unwrap();
            serde_json::from_slice::<Value>(&json).unwrap()
        };
        let whole = json(&options);
        let mut all = Vec::new();
        paths_of(&whole, &mut Vec::new(), &mut all);
        let mut kept = vec![vec!["*".to_owned()]];
        if !all.is_empty() {
            kept = (0..=dice.below(5)).map(|_| all[dice.below(all.len() as u64) as usize].clone()).collect();
        }
        kept.iter_mut().flatten().for_each(|name| if dice.below(6) == 0 { *name = "*".to_owned() });
        let text = selector_of(dice, &kept);
        options.fields = Some(ours.select(&text).unwrap_or_else(|error| panic!("{text}: {error}")));
        let found = json(&options);
        let expected = pruned(&whole, Place::of(&theirs(name)), &mut Vec::new(), &kept);
        prop_assert_eq!(&found, &expected, "{} of {}", text, whole);

        // The same fields, written by their other names.
        options.proto_field_names = !options.proto_field_names;
        let read = |json: &Value| ours.to_json(&ours.from_json(json.to_string()).unwrap()).unwrap();
        prop_assert_eq!(read(&json(&options)), read(&found), "{}", text);
    }

    /// Whatever a text is made of: it is a selector of the fields of a message, or an error.
    #[test]
    fn any_text_selects_fields_or_is_refused(
        seed in any::<u64>(), pieces in prop::collection::vec(prop::sample::select(&SELECTOR[..]), 0..12),
    ) {
        let ours = common::every();
        let Ok(selector) = ours.select(&pieces.concat()) else { return Ok(()) };
        let wire = message(&mut Dice(seed), &theirs("every.Every"), 2);
        let mut json = Vec::new();
        ours.write_json(&wire, &mut json, &WriteOptions::default().with_fields(Some(selector))).unwrap();
        prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
    }

    /// What a path or a query says of a field is read as the field's value.
    #[test]
    fn every_text_of_a_field_reads_back(seed in any::<u64>()) {
        let ours = common::message("carried.Carried");
        let wire = message(&mut Dice(seed), &theirs("carried.Carried"), 2);
        let merged = ours.merge(&wire).unwrap();
        for field in merged.fields() {
            let descriptor = field.descriptor();
            let textual = descriptor.message().is_none_or(|message| message.json_mapping().is_text());
            let Some(name) = descriptor.path_name().filter(|_| textual) else { continue };
            let path = FieldPath::parse(&ours, name).unwrap();
            let mut back = Vec::new();
            if descriptor.cardinality() == Cardinality::Singular {
                if let Some(text) = merged.text(&path, Base64::UrlSafe).unwrap() {
                    path.put_text(&mut back, &text).unwrap();
                }
            } else {
                field.texts(Base64::Standard, |text| path.put_text(&mut back, text).unwrap()).unwrap();
            }
            let only: Vec<u8> = field.encoded().collect::<Vec<_>>().concat();
            prop_assert_eq!(ours.to_json(&back), ours.to_json(&only), "{}", name);
        }
    }

    #[test]
    fn mutated_input_ends_in_time_and_memory(
        seed in any::<u64>(),
        name in prop::sample::select(&NAMES[..]),
        cuts in prop::collection::vec(any::<(u64, u8)>(), 1..6),
    ) {
        let ours = common::message(name);
        let mut wire = message(&mut Dice(seed), &theirs(name), 2);
        let mut json = ours.to_json(&wire).unwrap().into_bytes();
        for (at, byte) in cuts {
            for bytes in [&mut wire, &mut json] {
                if !bytes.is_empty() {
                    let at = at as usize % bytes.len();
                    bytes[at] = byte;
                }
            }
        }
        let mut out = b"before".to_vec();
        match ours.write_json(&wire, &mut out, &WriteOptions::default()) {
            Ok(()) => prop_assert!(serde_json::from_slice::<Value>(&out[6..]).is_ok()),
            Err(_) => prop_assert_eq!(&out, b"before"),
        }
        prop_assert!(out.capacity() <= wire.len() * 64 + 1024);
        let mut out = b"before".to_vec();
        match ours.read_json(&json, &mut out, &ReadOptions::default()) {
            Ok(()) => prop_assert!(DynamicMessage::decode(theirs(name), &out[6..]).is_ok()),
            Err(error) => {
                prop_assert_eq!(&out, b"before");
                prop_assert!(error.line() >= 1 && error.column() >= 1);
            }
        }
        prop_assert!(out.capacity() <= json.len() * 8 + 1024);
    }
}

/// Keys of all lengths, alike in their first letters or far apart, with the values of
/// two of them in every spacing.
#[test]
fn a_key_is_found_wherever_it_comes() {
    use prost::Message;
    use prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
        field_descriptor_proto::{Label, Type},
    };
    let names = ["a", "b1", "abc", "name", "type", "import_mode", "import_mode_expire_time", "nam", "names"];
    let names: Vec<String> = names.iter().map(ToString::to_string).chain((0..20).map(|i| format!("f{i}"))).collect();
    let kinds = [(Type::String, r#""text""#), (Type::Bool, "true"), (Type::Int32, "7")];
    let field = |(i, name): (usize, &String)| FieldDescriptorProto {
        name: Some(name.clone()),
        number: Some(i as i32 + 1),
        label: Some(Label::Optional.into()),
        r#type: Some(kinds[i % 3].0.into()),
        ..Default::default()
    };
    let message = DescriptorProto {
        name: Some("Keys".into()),
        field: names.iter().enumerate().map(field).collect(),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("keys.proto".into()),
        syntax: Some("proto3".into()),
        message_type: vec![message],
        ..Default::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let ours = protojson::DescriptorPool::decode(&set).unwrap().message("Keys").unwrap();
    let theirs = DescriptorPool::decode(set.as_slice()).unwrap().get_message_by_name("Keys").unwrap();
    let key = |at: usize| theirs.fields().nth(at).unwrap().json_name().to_owned();

    for (first, second) in (0..names.len()).flat_map(|i| (0..names.len()).map(move |j| (i, j))) {
        for (space, null) in [("", false), (" ", false), ("\n  ", false), ("", true), (" ", true)] {
            let value = if null { "null" } else { kinds[first % 3].1 };
            let json = format!(
                r#"{{{space}"{}":{space}{value}{space},{space}"{}"{space}:{}{space}}}"#,
                key(first),
                key(second),
                kinds[second % 3].1
            );
            let read = ours.from_json(&json);
            if first == second {
                assert!(read.unwrap_err().to_string().contains("comes twice"), "{json}");
                continue;
            }
            let expected = DynamicMessage::deserialize(theirs.clone(), &mut serde_json::Deserializer::from_str(&json));
            let mut found = DynamicMessage::new(theirs.clone());
            found.merge(read.unwrap_or_else(|error| panic!("{json}: {error}")).as_slice()).unwrap();
            assert_eq!(found, expected.unwrap(), "{json}");
        }
    }
}
