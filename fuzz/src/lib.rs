//! What must hold of the codec for any input at all. Each function panics where
//! it does not.

use std::sync::LazyLock;

use protojson::{DescriptorPool, MessageDescriptor, ReadOptions, WriteOptions};

/// A schema with every kind of field.
static EVERY: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/protojson/tests/proto");
    let mut compiler = protox::Compiler::new([protos]).expect("the protos are there");
    compiler.include_imports(true).open_files(["every.proto"]).expect("the protos compile");
    let schema = DescriptorPool::decode(&compiler.encode_file_descriptor_set()).expect("the schema compiles");
    schema.message("every.Every").expect("the schema has the message")
});

/// JSON that is read has a wire form that is written and read again to the
/// same; JSON that is refused leaves the buffer as it was.
pub fn read_json(json: &[u8]) {
    let mut wire = b"before".to_vec();
    for ignore_unknown in [false, true] {
        wire.truncate(6);
        let mut options = ReadOptions::default();
        options.ignore_unknown = ignore_unknown;
        match EVERY.read_json(json, &mut wire, &options) {
            Ok(()) => settle(&wire[6..]),
            Err(error) => {
                assert_eq!(wire, b"before");
                assert!(error.line() >= 1 && error.column() >= 1);
            }
        }
        assert!(wire.capacity() <= json.len() * 16 + 1024, "{} bytes for {}", wire.capacity(), json.len());
    }
}

/// Wire bytes that are written have a JSON form that is read to the same
/// message.
pub fn write_json(wire: &[u8]) {
    let mut json = b"before".to_vec();
    match EVERY.write_json(wire, &mut json, &WriteOptions::default()) {
        Ok(()) => settle(wire),
        Err(_) => assert_eq!(json, b"before"),
    }
    assert!(json.capacity() <= wire.len() * 128 + 1024, "{} bytes for {}", json.capacity(), wire.len());
}

/// What has a JSON form keeps it by way of the wire and back.
fn settle(wire: &[u8]) {
    let Ok(json) = EVERY.to_json(wire) else { return };
    let again = EVERY.from_json(&json).unwrap_or_else(|error| panic!("{json} does not read back: {error}"));
    assert_eq!(EVERY.to_json(&again).as_ref(), Ok(&json));
}
