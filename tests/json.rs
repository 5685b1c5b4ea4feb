//! The codec beside prost-reflect, and on input that means harm.

use std::sync::LazyLock;

use google_chat::{
    Schema, Space,
    json::{ReadOptions, WriteOptions},
    proto::{
        DESCRIPTOR_SET,
        google::chat::v1::{
            Audience,
            space::{
                AccessPermissionSetting, AccessPermissionSettings, AccessSettings, MembershipCount, PermissionSetting,
                PermissionSettings, Principal, SpaceDetails, SpacePermissionSettings, principal::PrincipalType,
            },
        },
    },
};
use proptest::{collection, option, prelude::*};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

fn setting() -> impl Strategy<Value = PermissionSetting> {
    any::<(bool, Option<bool>, bool)>().prop_map(|(managers_allowed, assistant_managers_allowed, members_allowed)| {
        PermissionSetting { managers_allowed, assistant_managers_allowed, members_allowed }
    })
}

fn permissions() -> impl Strategy<Value = SpacePermissionSettings> {
    prop_oneof![
        (-2..4i32).prop_map(SpacePermissionSettings::PredefinedPermissionSettings),
        (option::of(setting()), option::of(setting())).prop_map(|(manage_apps, view_space_membership)| {
            let settings = PermissionSettings { manage_apps, view_space_membership, ..Default::default() };
            SpacePermissionSettings::PermissionSettings(settings)
        }),
    ]
}

fn access() -> impl Strategy<Value = AccessSettings> {
    let principal = option::of(".{0,6}")
        .prop_map(|name| Principal { principal_type: name.map(|name| PrincipalType::Audience(Audience { name })) });
    (0..3i32, ".{0,6}", option::of(collection::vec(principal, 0..3))).prop_map(
        |(access_state, audience, principals)| {
            let setting = principals.map(|principals| AccessPermissionSetting { principals });
            let settings = AccessPermissionSettings { discover_space_setting: setting, ..Default::default() };
            AccessSettings { access_state, audience, access_permission_settings: Some(settings) }
        },
    )
}

fn space() -> impl Strategy<Value = Space> {
    let timestamp =
        (-62_135_596_800..=253_402_300_799i64, prop_oneof![Just(0), Just(500_000_000), 0..1_000_000_000i32])
            .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
    let details = (".{0,40}", "[\\x00-\\x7f]{0,40}")
        .prop_map(|(description, guidelines)| SpaceDetails { description, guidelines });
    (
        (".{0,30}", 0..5i32, any::<bool>(), option::of(details), 0..9i32),
        (
            option::of(timestamp),
            any::<Option<i32>>(),
            option::of(access()),
            option::of(".{0,9}"),
            option::of(permissions()),
        ),
    )
        .prop_map(|((name, kind, flag, details, history), (time, count, access, customer, permissions))| Space {
            display_name: name,
            space_type: kind,
            import_mode: flag,
            space_details: details,
            space_history_state: history,
            create_time: time,
            membership_count: count.map(|joined_direct_human_user_count| MembershipCount {
                joined_direct_human_user_count,
                joined_group_count: 0,
            }),
            access_settings: access,
            customer,
            space_permission_settings: permissions,
            ..Space::default()
        })
}

fn schema() -> &'static google_chat::schema::Message {
    static SPACE: LazyLock<google_chat::schema::Message> =
        LazyLock::new(|| Schema::decode(DESCRIPTOR_SET).unwrap().message("google.chat.v1.Space").unwrap());
    &SPACE
}

fn oracle() -> prost_reflect::MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).unwrap());
    POOL.get_message_by_name("google.chat.v1.Space").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Two encodings after one another are one message: fields come twice,
    /// messages merge, members of a oneof replace one another.
    #[test]
    fn json_is_prost_reflects(a in space(), b in space(), both in any::<bool>()) {
        let mut wire = a.encode_to_vec();
        if both {
            wire.extend(b.encode_to_vec());
        }
        let theirs = DynamicMessage::decode(oracle(), wire.as_slice()).unwrap();
        let theirs = serde_json::to_value(&theirs).unwrap();
        let json = schema().to_json(&wire).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), &theirs);

        let back = schema().from_json(&json).unwrap();
        prop_assert_eq!(Space::decode(back.as_slice()).unwrap(), Space::decode(wire.as_slice()).unwrap());
        let mut indented = Vec::new();
        let mut options = WriteOptions::default();
        options.indent = Some(2);
        schema().write_json(&wire, &mut indented, &options).unwrap();
        let again = schema().from_json(&indented).unwrap();
        prop_assert_eq!(again, back);
    }

    #[test]
    fn mutated_json_never_panics_and_leaves_the_buffer_alone(
        a in space(), cuts in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut json = schema().to_json(&a.encode_to_vec()).unwrap().into_bytes();
        for (at, byte) in cuts {
            let at = at.index(json.len());
            json[at] = byte;
        }
        let mut out = b"before".to_vec();
        match schema().read_json(&json, &mut out, &ReadOptions::default()) {
            Ok(()) => prop_assert!(Space::decode(&out[6..]).is_ok()),
            Err(error) => {
                prop_assert_eq!(out, b"before");
                prop_assert!(error.line() >= 1 && error.column() >= 1);
            }
        }
    }

    #[test]
    fn mutated_wire_never_panics(a in space(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = a.encode_to_vec();
        wire.push(0);
        let at = at.index(wire.len());
        wire[at] = byte;
        let mut out = b"before".to_vec();
        if schema().write_json(&wire, &mut out, &WriteOptions::default()).is_err() {
            prop_assert_eq!(out, b"before");
        } else {
            prop_assert!(serde_json::from_slice::<Value>(&out[6..]).is_ok());
        }
    }
}

/// A `google.protobuf.Struct` is the one recursive message that every schema
/// with error details has.
fn value() -> google_chat::schema::Message {
    let mut compiler = protox::Compiler::new(["proto"]).unwrap();
    compiler.include_imports(true).open_files(["google/protobuf/struct.proto"]).unwrap();
    Schema::decode(&compiler.encode_file_descriptor_set()).unwrap().message("google.protobuf.Value").unwrap()
}

/// The schema that has a field of every kind, in `every.Every`.
static EVERY: LazyLock<Schema> = LazyLock::new(|| {
    let mut compiler = protox::Compiler::new(["tests/proto"]).unwrap();
    compiler.include_imports(true).open_files(["every.proto", "google/protobuf/any.proto"]).unwrap();
    compiler.open_file("google/protobuf/empty.proto").unwrap();
    Schema::decode(&compiler.encode_file_descriptor_set()).unwrap()
});

fn every() -> google_chat::schema::Message {
    EVERY.message("every.Every").unwrap()
}

/// JSON as it reads and is written again, or what is wrong with it.
fn again(message: &google_chat::schema::Message, json: &str) -> Result<String, String> {
    let wire = message.from_json(json).map_err(|error| error.to_string())?;
    message.to_json(&wire).map_err(|error| error.to_string())
}

#[test]
fn map_keys_come_sorted_and_once() {
    let sorted = r#"{"byString":{"":3,"a":2,"b":1}}"#;
    assert_eq!(again(&every(), r#"{"byString":{"b":1,"a":2,"":3}}"#).as_deref(), Ok(sorted));
    let error = again(&every(), "{\"byString\":{\"b\":1,\"a\":1,\n \"b\":2}}").unwrap_err();
    assert_eq!(error, "byString: the key \"b\" comes twice (line 2, column 2)");
    // Of all sizes, sorted and not, with one key again anywhere.
    for count in [2_usize, 7, 8, 9, 100, 5_000] {
        let keys: Vec<usize> = (0..count).map(|i| i * 7 % count.next_power_of_two() + 10_000).collect();
        let mut orders = [keys.clone(), keys];
        orders[1].sort_unstable();
        for keys in orders {
            let json = |keys: &[usize]| {
                let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{key}")).collect();
                format!("{{\"byString\":{{{}}}}}", members.join(","))
            };
            assert!(every().from_json(json(&keys)).is_ok(), "{count}");
            for (again, at) in [(0, count), (count - 1, 0), (count / 2, count)] {
                let mut keys = keys.clone();
                keys.insert(at, keys[again]);
                let error = every().from_json(json(&keys)).unwrap_err();
                assert!(error.problem().ends_with("comes twice"), "{count}: {error}");
            }
        }
    }
    // On the wire the last of them holds.
    let twice = b"\xca\x02\x05\x0a\x01a\x10\x01\xca\x02\x05\x0a\x01a\x10\x02";
    assert_eq!(every().to_json(twice).unwrap(), r#"{"byString":{"a":2}}"#);
}

/// protoc allows no such map, but a descriptor set may come from elsewhere.
#[test]
fn an_absent_value_of_a_closed_enum_is_its_first() {
    use prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
        FileDescriptorSet, MessageOptions,
        field_descriptor_proto::{Label, Type},
    };
    let field = |name: &str, number, label: Label, kind: Type, type_name: Option<&str>| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: type_name.map(Into::into),
        ..Default::default()
    };
    let entry = DescriptorProto {
        name: Some("MmEntry".into()),
        field: vec![
            field("key", 1, Label::Optional, Type::String, None),
            field("value", 2, Label::Optional, Type::Enum, Some(".Late")),
        ],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let message = DescriptorProto {
        name: Some("M".into()),
        field: vec![
            field("mm", 1, Label::Repeated, Type::Message, Some(".M.MmEntry")),
            field("late", 2, Label::Optional, Type::Enum, Some(".Late")),
        ],
        nested_type: vec![entry],
        ..Default::default()
    };
    let value = |(name, number): (&str, i32)| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        ..Default::default()
    };
    let late = EnumDescriptorProto {
        name: Some("Late".into()),
        value: [("FIVE", 5), ("TWO", 2)].map(value).into(),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("late.proto".into()),
        message_type: vec![message],
        enum_type: vec![late],
        ..Default::default()
    };
    let schema = Schema::decode(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
    let message = schema.message("M").unwrap();
    for (wire, json) in [
        (&b"\x0a\x03\x0a\x01k"[..], r#"{"mm":{"k":"FIVE"}}"#),
        (b"\x0a\x05\x0a\x01k\x10\x02", r#"{"mm":{"k":"TWO"}}"#),
        // What the enum does not have is unknown, and so is an entry with it.
        (b"\x0a\x05\x0a\x01k\x10\x00", "{}"),
        (b"\x10\x00", "{}"),
        (b"\x10\x02\x10\x00", r#"{"late":"TWO"}"#),
    ] {
        assert_eq!(message.to_json(wire).unwrap(), json, "{wire:x?}");
    }
}

#[test]
fn null_for_unknown_key_still_unknown() {
    let error = again(&every(), r#"{"nope":null}"#).unwrap_err();
    assert!(error.contains("nope: unknown field"), "{error}");
}

#[test]
fn uint64_quoted_exponent_field_too_large() {
    let error = again(&every(), r#"{"uint64Value":"1.8446744073709551616e19"}"#).unwrap_err();
    assert!(error.contains("uint64Value"), "{error}");
    let largest = r#"{"uint64Value":"18446744073709551615"}"#;
    assert_eq!(again(&every(), r#"{"uint64Value":"1.8446744073709551615e19"}"#).as_deref(), Ok(largest));
}

#[test]
fn minus_zero_is_no_default() {
    assert_eq!(again(&every(), r#"{"open":{"ratio":-0.0}}"#).as_deref(), Ok(r#"{"open":{"ratio":-0}}"#));
    assert_eq!(again(&every(), r#"{"open":{"ratio":0.0}}"#).as_deref(), Ok(r#"{"open":{}}"#));
}

#[test]
fn empty_in_any_has_no_value() {
    // Its JSON form is an ordinary object, so that its fields, none, stand beside
    // the type.
    let empty = r#"{"@type":"type.googleapis.com/google.protobuf.Empty"}"#;
    let any = EVERY.message("google.protobuf.Any").unwrap();
    assert_eq!(again(&any, empty).as_deref(), Ok(empty));
}

#[test]
fn list_value_deep_nesting_25() {
    let json = format!("{}1{}", "[".repeat(25), "]".repeat(25));
    assert_eq!(again(&value(), &json), Ok(json));
}

#[test]
fn invalid_utf8_string_fails() {
    // A string, a map's key, a map's value, and the string of a Value.
    for (message, wire) in [(schema(), &b"\x0a\x01\xff"[..]), (&value(), b"\x1a\x01\xff")] {
        let error = message.to_json(wire).unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
}

#[test]
fn the_exact_path_is_entered_once_whatever_the_depth() {
    // At every level a number, then a list in its place. Trying to stream each
    // level again would take 2 to the 40th steps.
    let number = [0x11, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut wire = number.to_vec();
    for _ in 0..40 {
        let field = |tag: u8, content: &[u8]| {
            let mut bytes = vec![tag];
            prost::encoding::encode_varint(content.len() as u64, &mut bytes);
            bytes.extend_from_slice(content);
            bytes
        };
        wire = [number.to_vec(), field(0x32, &field(0x0a, &wire))].concat();
    }
    assert_eq!(value().to_json(&wire).unwrap(), format!("{}0{}", "[".repeat(40), "]".repeat(40)));
}

#[test]
fn hostile_nesting_ends_in_an_error() {
    for text in ["[".repeat(1_000_000), r#"{"a":"#.repeat(1_000_000)] {
        let error = value().from_json(&text).unwrap_err();
        assert_eq!(error.problem(), "the text nests deeper than 100 levels", "{}", error.problem());
    }
    let mut options = ReadOptions::default();
    options.ignore_unknown = true;
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    assert!(schema().read_json(deep.as_bytes(), &mut Vec::new(), &options).is_err());
    let keys: String = (0..1_000).map(|_| "\"displayName\":\"a\",").collect();
    let error = schema().from_json(format!("{{{keys}}}")).unwrap_err();
    assert_eq!(error.problem(), "the field `displayName` comes twice");
}

#[test]
fn errors_say_where() {
    for (json, message) in [
        (
            r#"{"spaceDetails":{"description":1}}"#,
            "spaceDetails.description: expected a string, found the number 1 (line 1, column 32)",
        ),
        (
            "{\n \"createTime\": \"yesterday\"}",
            "createTime: expected an RFC 3339 timestamp, found \"yesterday\" (line 2, column 16)",
        ),
        (r#"{"ü":1}"#, "ü: unknown field (line 1, column 2)"),
        (r#"{"spaceType":"NO"}"#, "spaceType: google.chat.v1.Space.SpaceType has no value \"NO\" (line 1, column 14)"),
        (r#"{"importMode":1}"#, "importMode: expected true or false, found the number 1 (line 1, column 15)"),
        (
            r#"{"membershipCount":{"joinedGroupCount":1.5}}"#,
            "membershipCount.joinedGroupCount: expected an integer of 32 bits, found the number 1.5 (line 1, column 40)",
        ),
        (
            r#"{"accessSettings":{"accessPermissionSettings":{"joinSpaceSetting":{"principals":[{},{"audience":{"name":[]}}]}}}}"#,
            "accessSettings.accessPermissionSettings.joinSpaceSetting.principals[1].audience.name: expected a string, found a list (line 1, column 105)",
        ),
        ("{} x", "expected the end, found `x` (line 1, column 4)"),
        ("nojson", "expected an object, found `nojson` (line 1, column 1)"),
        (r#"{"importMode":nul}"#, "importMode: expected `null`, found `nul` (line 1, column 15)"),
        (r#"{"importMode":truth}"#, "importMode: expected `true`, found `truth` (line 1, column 15)"),
        (r#"{"createTime":nope}"#, "createTime: expected `null`, found `nope` (line 1, column 15)"),
        (r#"{"displayName":-}"#, "displayName: expected a string, found `-` (line 1, column 16)"),
        (r#"{"displayName":é1.5}"#, "displayName: expected a string, found `é1` (line 1, column 16)"),
        ("", "expected an object, found the end (line 1, column 1)"),
    ] {
        assert_eq!(schema().from_json(json).unwrap_err().to_string(), message);
    }
    let space = Space { create_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), ..Space::default() };
    let error = schema().to_json(&space.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "createTime: the timestamp is outside the years 0001 to 9999");
    assert!(!error.is_malformed());
    assert!(schema().to_json(&[0x0a, 5, b'a']).unwrap_err().is_malformed());
}

/// Keys of all lengths, alike in their first letters or far apart, with the values of
/// two of them in every spacing.
#[test]
fn a_key_is_found_wherever_it_comes() {
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
    let ours = Schema::decode(&set).unwrap().message("Keys").unwrap();
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
