//! The messages of a space as they are kept, with what finds them.

use std::collections::{BTreeMap, HashMap};

use google_chat::proto::google::chat::v1::{Message, Reaction, attachment::DataRef};
use prost_types::Timestamp;

use super::{page::micros, uploads::Upload};

/// A message as it is kept. It is a protobuf message, so that it can be kept in a file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Post {
    #[prost(message, required, tag = "1")]
    pub(super) message: Message,
    /// Who created it, as [`Identity::key`](crate::identity::Identity::key) has it.
    #[prost(string, tag = "2")]
    pub(super) creator: String,
    /// The request id that created it, if there was one.
    #[prost(string, tag = "3")]
    pub(super) request_id: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) reactions: Vec<Reaction>,
    /// When each reaction was given, in microseconds, and later than the one before: pages of
    /// them begin behind a time. Files of older versions do not have all.
    #[prost(uint64, repeated, tag = "5")]
    pub(super) reaction_times: Vec<u64>,
}

impl Post {
    pub(super) fn is_deleted(&self) -> bool {
        self.message.delete_time.is_some()
    }

    /// The name of the thread that it is in.
    pub(super) fn thread(&self) -> &str {
        self.message.thread.as_ref().map_or("", |thread| &thread.name)
    }

    /// Gives the reactions that have no times yet times of their own, the last ones now.
    pub(super) fn time_reactions(&mut self, now: Option<Timestamp>) {
        for _ in self.reaction_times.len()..self.reactions.len() {
            let next = self.reaction_times.last().map_or(1, |last| last + 1);
            self.reaction_times.push(next.max(micros(now)));
        }
    }

    /// The tokens of the uploads that its attachments, and those that it forwards, are made of.
    pub(super) fn uploads(&self) -> Vec<String> {
        let quoted = self.message.quoted_message_metadata.as_ref();
        let quoted = quoted.and_then(|quoted| quoted.quoted_message_snapshot.as_ref());
        let forwarded = quoted.into_iter().flat_map(|quoted| &quoted.attachments);
        let all = self.message.attachment.iter().chain(forwarded);
        let names = all.filter_map(|attachment| match &attachment.data_ref {
            Some(DataRef::AttachmentDataRef(data)) => Upload::token_of(&data.resource_name),
            _ => None,
        });
        names.collect()
    }

    fn thread_key(&self) -> &str {
        self.message.thread.as_ref().map_or("", |thread| &thread.thread_key)
    }
}

/// The messages of a space. A message has a place, which is the order in which they came.
/// Deleted ones stay, without their content.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    posts: BTreeMap<u64, Post>,
    /// The places by the last parts of the messages' names, and by the ids that clients gave.
    places: HashMap<String, u64>,
    /// The places of each thread's messages, by its name.
    threads: HashMap<String, Vec<u64>>,
    /// The threads' names by their keys.
    keys: HashMap<String, String>,
}

impl Conversation {
    /// The place of the next message.
    pub(super) fn next(&self) -> u64 {
        self.posts.last_key_value().map_or(1, |(place, _)| place + 1)
    }

    /// The message with an id, which may be one that a client gave.
    pub(super) fn find(&self, id: &str) -> Option<(u64, &Post)> {
        let place = *self.places.get(id)?;
        Some((place, self.posts.get(&place)?))
    }

    pub(super) fn post(&self, place: u64) -> Option<&Post> {
        self.posts.get(&place)
    }

    /// All messages, in the order in which they came.
    pub(super) fn posts(&self) -> impl DoubleEndedIterator<Item = (u64, &Post)> {
        self.posts.iter().map(|(place, post)| (*place, post))
    }

    /// The messages of a thread, in the order in which they came; none if there is no such
    /// thread.
    pub(super) fn thread(&self, name: &str) -> impl Iterator<Item = (u64, &Post)> {
        let places = self.threads.get(name).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.posts.get(place)?)))
    }

    pub(super) fn thread_of_key(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Puts a message at its place, in place of what it was before.
    pub(super) fn insert(&mut self, place: u64, post: Post) -> Option<Post> {
        let id = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        if !self.posts.contains_key(&place) {
            self.places.insert(id(&post.message.name), place);
            if !post.message.client_assigned_message_id.is_empty() {
                self.places.insert(post.message.client_assigned_message_id.clone(), place);
            }
            self.threads.entry(post.thread().to_owned()).or_default().push(place);
            if !post.thread_key().is_empty() {
                self.keys.insert(post.thread_key().to_owned(), post.thread().to_owned());
            }
        }
        self.posts.insert(place, post)
    }
}
