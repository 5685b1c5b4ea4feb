//! The generated code of the peers.

/// The descriptor set of everything here.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bench.bin"));

/// A list of spaces.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod bench {
    include!(concat!(env!("OUT_DIR"), "/bench.rs"));
    include!(concat!(env!("OUT_DIR"), "/bench.serde.rs"));
    include!(concat!(env!("OUT_DIR"), "/bench.rest.rs"));
}

/// The server that rest_over_grpc generates.
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::redundant_explicit_links, reason = "generated")]
pub mod rest_over_grpc_peer {
    use super::{bench, google};
    include!(concat!(env!("OUT_DIR"), "/transcoder.rest.rs"));
}

/// The package `google`.
pub mod google {
    /// The package `google.chat`.
    pub mod chat {
        /// Spaces.
        #[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/google.chat.v1.rs"));
            include!(concat!(env!("OUT_DIR"), "/google.chat.v1.serde.rs"));
        }
    }
    #[allow(missing_docs, unreachable_pub, dead_code, reason = "generated")]
    pub(crate) mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
}

/// The same messages as buffa generates them.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated")]
pub mod buffa_peer {
    include!(concat!(env!("OUT_DIR"), "/buffa/mod.rs"));
}
