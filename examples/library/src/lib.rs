//! What tonic generates from `library.proto`, and the descriptors beside it.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod generated {
    tonic::include_proto!("example.library.v1");
}

pub use generated::*;

/// The descriptor set that the HTTP rules are read from.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/library.bin"));

/// The README of grpc-transcoding, which is tested where there is no code generator, has
/// a copy of what is generated here.
#[test]
fn the_copy_for_the_engines_readme_is_what_is_generated() {
    let copy = "../../crates/grpc-transcoding/tests/library";
    let stub = include_str!(concat!(env!("OUT_DIR"), "/example.library.v1.rs"));
    let update = "copy the new one there";
    assert!(std::fs::read(format!("{copy}/library.bin")).unwrap() == DESCRIPTORS, "{copy}/library.bin: {update}");
    assert!(std::fs::read_to_string(format!("{copy}/stub.rs")).unwrap() == stub, "{copy}/stub.rs: {update}");
}
