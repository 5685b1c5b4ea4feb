//! What tonic generates from `library.proto`, and the descriptors beside it.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod generated {
    tonic::include_proto!("example.library.v1");
}

pub use generated::*;

/// The descriptor set that the HTTP rules are read from.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/library.bin"));
