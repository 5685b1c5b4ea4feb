//! Files that were uploaded, and the attachments of messages that are made of them.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use google_chat::proto::google::chat::v1::{Attachment, AttachmentDataRef, attachment};

/// An uploaded file. It is a protobuf message, so that it can be kept in a file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Upload {
    /// The token that a message names it by, and the last part of its resource name.
    #[prost(string, tag = "1")]
    pub(super) token: String,
    /// The name of the space that it was uploaded to.
    #[prost(string, tag = "2")]
    pub(super) space: String,
    /// Who uploaded it, as [`Identity::key`](crate::identity::Identity::key) has it.
    #[prost(string, tag = "3")]
    pub(super) creator: String,
    #[prost(string, tag = "4")]
    pub(super) filename: String,
    #[prost(string, tag = "5")]
    pub(super) content_type: String,
    /// The content, in the pieces in which it came.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) content: Vec<Bytes>,
}

impl Upload {
    /// The name that its content is downloaded by: opaque, and with characters that are to be
    /// escaped in a path, as Google's are.
    pub(super) fn resource_name(&self) -> String {
        STANDARD.encode(format!("{}/attachments/{}", self.space, self.token))
    }

    /// The token that a resource name is made of.
    pub(super) fn token_of(resource_name: &str) -> Option<String> {
        let name = String::from_utf8(STANDARD.decode(resource_name).ok()?).ok()?;
        Some(name.split_once("/attachments/")?.1.to_owned())
    }

    /// How many bytes it takes, about.
    pub(super) fn size(&self) -> u64 {
        let texts = self.token.len() + self.space.len() + self.creator.len() + self.filename.len();
        let content: usize = self.content.iter().map(Bytes::len).sum();
        (size_of::<Self>() + texts + self.content_type.len() + content) as u64
    }

    /// What it is referred to by, before it is part of a message.
    pub(super) fn data_ref(&self) -> AttachmentDataRef {
        AttachmentDataRef { resource_name: self.resource_name(), attachment_upload_token: self.token.clone() }
    }

    /// It as the attachment of a message.
    pub(super) fn attachment(&self, message: &str) -> Attachment {
        let data = AttachmentDataRef { resource_name: self.resource_name(), ..AttachmentDataRef::default() };
        Attachment {
            name: format!("{message}/attachments/{}", self.token),
            content_name: self.filename.clone(),
            content_type: self.content_type.clone(),
            source: attachment::Source::UploadedContent as i32,
            data_ref: Some(attachment::DataRef::AttachmentDataRef(data)),
            ..Attachment::default()
        }
    }
}
