//! Generated code: the messages and the stub of Google Chat, and the standard
//! types that they are made of.
//!
//! ```
//! use google_chat::{Space, proto::google::chat::v1::{CreateSpaceRequest, space::SpaceType}};
//!
//! let space = Space { display_name: "Launch room".into(), ..Space::default() };
//! let mut request = CreateSpaceRequest { space: Some(space), ..CreateSpaceRequest::default() };
//! request.space.as_mut().unwrap().set_space_type(SpaceType::Space);
//! assert_eq!(request, Space::named("Launch room").into());
//! ```
//!
//! The modules follow the protobuf packages, so that a build of your own can
//! map them with `extern_path`: `.google` is `::google_chat::proto::google`.
//!
//! This is the only file that includes what `build.rs` generates: what is checked in, or with
//! the feature `generate` what it has just made of `proto/`.

/// The descriptor set of everything here: an encoded `FileDescriptorSet` with
/// all imports and with the `google.api` options. [`DescriptorPool::decode`] reads it.
///
/// [`DescriptorPool::decode`]: protojson::DescriptorPool::decode
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google_chat.bin"));

/// The protobuf package `google`.
pub mod google {
    /// API annotations: HTTP rules, field behaviours, resource names.
    #[allow(missing_docs, reason = "generated from protos that comment what they can")]
    pub mod api {
        include!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.api.rs"));
    }
    /// What Google Workspace's applications share.
    pub mod apps {
        /// Cards.
        pub mod card {
            /// Version 1 of cards: `Card`, which a message of Google Chat has in a `CardWithId`.
            #[allow(missing_docs, reason = "generated from protos that comment what they can")]
            #[allow(clippy::all, clippy::pedantic, reason = "generated")]
            pub mod v1 {
                include!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.apps.card.v1.rs"));
            }
        }
    }
    /// Google Chat.
    pub mod chat {
        /// Version 1 of Google Chat: `Space`, `CreateSpaceRequest` and the stub,
        /// `chat_service_client::ChatServiceClient`.
        #[allow(missing_docs, reason = "generated from protos that comment what they can")]
        #[allow(clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            include!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.chat.v1.rs"));
        }
    }
    /// The status of a call and the standard details of an error.
    #[allow(missing_docs, reason = "generated from protos that comment what they can")]
    pub mod rpc {
        include!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.rpc.rs"));
    }
    /// Types that many APIs share: `Color`.
    #[allow(missing_docs, reason = "generated from protos that comment what they can")]
    pub mod r#type {
        include!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.r#type.rs"));
    }
}
