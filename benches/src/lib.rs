//! The call that is measured, and the generated code of the peers.

/// The descriptor set of everything here.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bench.bin"));

/// The request that all calls make.
pub const REQUEST: &str = r#"{"space":{"displayName":"Launch room for the spring release","spaceType":"SPACE","spaceDetails":{"description":"Where we plan the launch, day by day"},"customer":"customers/my_customer"},"requestId":"2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21"}"#;

/// Where it goes over HTTP/JSON.
pub const TARGET: &str = "/v1/spaces?requestId=2f1e3c9a-6f0b-4a7e-9d53-0c6a8b1f4e21";

/// Where it goes over gRPC.
pub const METHOD: &str = "/google.chat.v1.ChatService/CreateSpace";

/// The space that is the response to it.
pub const REPLY: &str = r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch room for the spring release","spaceThreadingState":"THREADED_MESSAGES","spaceType":"SPACE","spaceHistoryState":"HISTORY_ON","createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{},"accessSettings":{"accessState":"PRIVATE"},"customer":"customers/C01abc23d","spaceUri":"https://chat.google.com/room/AAQAjCNSsU0?cls=11"}"#;

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
