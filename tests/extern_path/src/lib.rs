//! A consumer whose own messages hold google-chat's.

/// The generated code.
#[allow(missing_docs, unreachable_pub, reason = "generated")]
pub mod acme {
    include!(concat!(env!("OUT_DIR"), "/acme.v1.rs"));
}
