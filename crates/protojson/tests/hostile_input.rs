//! Input that means harm ends in an error, in time and memory that its size bounds.

mod common;

use common::{every, message};
use protojson::{MessageDescriptor, ReadOptions};

fn value_message() -> MessageDescriptor {
    message("google.protobuf.Value")
}

fn space() -> MessageDescriptor {
    message("example.Space")
}

fn len_delimited(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    prost::encoding::encode_varint(u64::from(number << 3 | 2), out);
    prost::encoding::encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

#[test]
fn invalid_utf8_string_fails() {
    // A string, a map's key, a map's value, and the string of a Value.
    for (message, wire) in [(space(), &b"\x0a\x01\xff"[..]), (value_message(), b"\x1a\x01\xff")] {
        let error = message.to_json(wire).unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
}

#[test]
fn a_member_that_replaces_another_at_every_level_costs_a_constant_multiple() {
    // At every level a number, then a list in its place. Writing each level once more
    // would take 2 to the 40th steps.
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
    assert_eq!(value_message().to_json(&wire).unwrap(), format!("{}0{}", "[".repeat(40), "]".repeat(40)));
}

#[test]
fn hostile_nesting_ends_in_an_error() {
    for text in ["[".repeat(1_000_000), r#"{"a":"#.repeat(1_000_000)] {
        let error = value_message().from_json(&text).unwrap_err();
        assert_eq!(error.problem(), "the text nests deeper than 100 levels", "{}", error.problem());
    }
    let options = ReadOptions::default().with_ignore_unknown(true);
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    assert!(space().read_json(deep.as_bytes(), &mut Vec::new(), &options).is_err());
    let keys: String = (0..1_000).map(|_| "\"displayName\":\"a\",").collect();
    let error = space().from_json(format!("{{{keys}}}")).unwrap_err();
    assert_eq!(error.problem(), "the field `displayName` comes twice");
}

/// A message whose fields are out of order at every level: each of them makes
/// the streaming path stop.
#[test]
fn a_fault_at_every_level_costs_a_constant_multiple() {
    fn nested(levels: usize) -> Vec<u8> {
        let mut wire = vec![0x28, 1];
        for _ in 0..levels {
            let mut outer = vec![0x40, 1];
            len_delimited(&mut outer, 11, &wire);
            outer.extend([0x28, 2]);
            wire = outer;
        }
        wire
    }
    // On a stack a quarter of what a thread has by default, optimized or not.
    let deep = move || {
        let json = every().to_json(&nested(90)).unwrap();
        assert_eq!(json.matches("\"every\":{\"int32Value\":").count(), 90);
        let wire = every().from_json(&json).unwrap();
        assert_eq!(every().to_json(&wire), Ok(json));
    };
    #[cfg(not(target_family = "wasm"))]
    std::thread::Builder::new().stack_size(512 * 1024).spawn(deep).unwrap().join().unwrap();
    #[cfg(target_family = "wasm")]
    deep();
    let error = every().to_json(&nested(100)).unwrap_err();
    assert_eq!(error.problem(), "messages nest deeper than 100 levels");
    // A million keys of one name, and a length of 10 GB.
    let keys = format!("{{{}\"boolValue\":true}}", "\"boolValue\":true,".repeat(1_000_000));
    assert_eq!(every().from_json(&keys).unwrap_err().problem(), "the field `boolValue` comes twice");
    let huge = [0x4a, 0x80, 0x80, 0x80, 0x80, 0x28];
    assert_eq!(every().to_json(&huge).unwrap_err().problem(), "the bytes end in the middle of a field");
}
