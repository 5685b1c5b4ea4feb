//! What an encoded message may be, and what its JSON is then.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

mod common;

use common::every;
use prost::Message;
use protojson::DescriptorPool;

fn written(wire: &[u8]) -> Result<String, String> {
    every().to_json(wire).map_err(|error| error.to_string())
}

#[test]
fn repeated_non_contiguous_concatenates() {
    // strings = 27, int32_value = 5 between.
    assert_eq!(written(b"\xda\x01\x01a\x28\x01\xda\x01\x01b").unwrap(), r#"{"int32Value":1,"strings":["a","b"]}"#);
}

#[test]
fn packed_and_unpacked_both_accepted() {
    // int64s = 23, declared packed; sint32s = 24, not.
    assert_eq!(written(b"\xba\x01\x02\x01\x02\xb8\x01\x03").unwrap(), r#"{"int64s":["1","2","3"]}"#);
    assert_eq!(written(b"\xc2\x01\x02\x02\x04\xc0\x01\x06").unwrap(), r#"{"sint32s":[1,2,3]}"#);
}

#[test]
fn scalar_last_wins() {
    assert_eq!(written(b"\x28\x01\x28\x02").unwrap(), r#"{"int32Value":2}"#);
}

#[test]
fn submessage_merges() {
    // every = 11, with an int32_value, then with a bool_value.
    assert_eq!(written(b"\x5a\x02\x28\x01\x5a\x02\x40\x01").unwrap(), r#"{"every":{"int32Value":1,"boolValue":true}}"#);
}

#[test]
fn oneof_message_merge() {
    // chosen_every = 53, twice; chosen_int32 = 51 in between would end it.
    let merged = r#"{"chosenEvery":{"int32Value":1,"boolValue":true}}"#;
    assert_eq!(written(b"\xaa\x03\x02\x28\x01\xaa\x03\x02\x40\x01").unwrap(), merged);
    assert_eq!(
        written(b"\xaa\x03\x02\x28\x01\x98\x03\x07\xaa\x03\x02\x40\x01").unwrap(),
        r#"{"chosenEvery":{"boolValue":true}}"#
    );
}

#[test]
fn map_entry_missing_key_or_value_and_duplicate_key() {
    // by_string = 41: without a value, without a key, and "a" twice.
    assert_eq!(written(b"\xca\x02\x03\x0a\x01a\xca\x02\x02\x10\x02").unwrap(), r#"{"byString":{"":2,"a":0}}"#);
    assert_eq!(
        written(b"\xca\x02\x05\x0a\x01a\x10\x01\xca\x02\x05\x0a\x01a\x10\x02").unwrap(),
        r#"{"byString":{"a":2}}"#
    );
}

#[test]
fn unknown_fields_dropped_in_json() {
    // Field 999 as a number, and as a group.
    assert_eq!(written(b"\xb8\x3e\x01\x28\x01\xbb\x3e\x08\x01\xbc\x3e").unwrap(), r#"{"int32Value":1}"#);
    for bad in [
        &b"\xbb\x3e"[..],
        b"\xbb\x3e\xb4\x3e",
        b"\x02\x00",
        b"\x28",
        b"\x4a\x05a",
        b"\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    ] {
        assert!(written(bad).is_err(), "{bad:x?}");
    }
}

#[test]
fn invalid_utf8_string_fails_bytes_ok() {
    assert!(written(b"\x4a\x01\xff").is_err());
    assert_eq!(written(b"\x62\x01\xff").unwrap(), r#"{"bytesValue":"/w=="}"#);
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
    let pool = DescriptorPool::decode(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
    let message = pool.message("M").unwrap();
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
fn what_comes_again_mends_what_came_first() {
    for (wire, json) in [
        // A timestamp with nanos -1, then 0.
        (
            &[0xea, 3, 11, 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0xea, 3, 2, 0x10, 0][..],
            r#"{"timestamp":"1970-01-01T00:00:00Z"}"#,
        ),
        // A Value without a value, then `true`.
        (&[0x8a, 4, 0, 0x8a, 4, 2, 0x20, 1], r#"{"value":true}"#),
    ] {
        assert_eq!(every().to_json(wire).unwrap(), json);
    }
}
