//! A call of one method, whichever it is.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use grpc_transcoding::rpc::EncodedCodec;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Status, metadata::MetadataMap};

use super::{Client, Error, Wire, answer::NameIsDue};
use crate::layer::{PREVIOUS_ATTEMPTS, RetryPolicy, uuid};

/// A message that is the request of one method of Google Chat. Generated from the protos.
pub trait MethodRequest: Message + Clone + fmt::Debug + Default + 'static {
    /// The message that the method responds with.
    type Response: Message + Default + 'static;

    /// The method's gRPC path: `/google.chat.v1.ChatService/CreateSpace`.
    const PATH: &'static str;

    /// The request id, where the request has one.
    fn request_id_mut(&mut self) -> Option<&mut String> {
        None
    }
}

/// A request with a request id ([AIP-155](https://google.aip.dev/155)): made again with the same
/// id, the call does nothing twice. Generated from the protos.
pub trait HasRequestId: MethodRequest {}

/// Lets a text stand for a request that requires nothing else.
macro_rules! from_text {
    ($request:ident) => {
        impl From<&str> for $request {
            fn from(text: &str) -> Self {
                Self::of(text)
            }
        }
        impl From<&String> for $request {
            fn from(text: &String) -> Self {
                Self::of(text)
            }
        }
        impl From<String> for $request {
            fn from(text: String) -> Self {
                Self::of(text)
            }
        }
    };
}
pub(crate) use from_text;

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A call of the method whose request is `Rq`; await it to make it.
///
/// ```no_run
/// # async fn example(chat: google_chat::Client) -> Result<(), google_chat::Error> {
/// use std::time::Duration;
/// use google_chat::proto::google::chat::v1::CreateMessageRequest;
///
/// let request = CreateMessageRequest::text("spaces/AAQAjCNSsU0", "Hello");
/// let sent = chat.create_message(request).timeout(Duration::from_secs(5)).await?;
/// println!("{}", sent.name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call is made by awaiting it"]
pub struct Call<Rq> {
    client: Client,
    pub(super) request: Rq,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl<Rq: MethodRequest> Call<Rq> {
    pub(crate) fn new(client: &Client, request: Rq) -> Self {
        Self { client: client.clone(), request, timeout: None, retry: None }
    }

    /// Sets how long the call may take, from the token to the whole response; where
    /// [pages](Call::pages) are asked for, each of them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when this call is made again, in place of the client's policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Has the call give what lies beside the message, too.
    pub fn with_response(self) -> WithResponse<Rq> {
        WithResponse(self)
    }

    async fn send(mut self) -> Result<Response<Rq::Response>, Error> {
        let fill = self.client.fill_request_ids;
        // Filled in here, so that a failure can say which it was.
        let request_id = self.request.request_id_mut().map_or_else(String::new, |id| {
            if fill && id.is_empty() {
                *id = uuid().unwrap_or_default();
            }
            id.clone()
        });
        let request = self.request.encode_to_vec();
        let answer = unary(&self.client, Rq::PATH, request, self.timeout, self.retry).await;
        let wire = self.client.wire();
        let answer = answer.and_then(|(metadata, message)| match Rq::Response::decode(message) {
            Ok(message) => Ok((metadata, message)),
            Err(error) => Err(Status::internal(error.to_string())),
        });
        match answer {
            Ok((metadata, message)) => {
                let attempts = attempts(&metadata);
                Ok(Response { message, metadata, wire, request_id, attempts })
            }
            Err(status) => Err(Error::new(status, method::<Rq>(), wire, request_id)),
        }
    }

    /// The error of a call that is not made, or whose response cannot be used.
    pub(super) fn failed(&self, status: Status) -> Error {
        Error::new(status, method::<Rq>(), self.client.wire(), String::new())
    }
}

impl<Rq: HasRequestId> Call<Rq> {
    /// Sets the request id: the server answers a known one with what it made the first
    /// time.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        if let Some(field) = self.request.request_id_mut() {
            *field = id.into();
        }
        self
    }
}

/// Makes a call of an encoded message. It is not generic, so that a program has tonic's machinery
/// once and not for each method that it calls.
async fn unary(
    client: &Client,
    path: &'static str,
    message: Vec<u8>,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
) -> Result<(MetadataMap, Bytes), Status> {
    let mut request = tonic::Request::new(message.into());
    request.extensions_mut().insert(NameIsDue);
    if let Some(retry) = retry {
        request.extensions_mut().insert(retry);
    }
    if let Some(limit) = timeout {
        // tonic panics on what eight digits of hours cannot say.
        request.set_timeout(limit.min(Duration::from_secs(99_999_999 * 3600)));
    }
    let mut stub = tonic::client::Grpc::new(client.channel());
    let Ok(()) = stub.ready().await;
    let answer = stub.unary(request, PathAndQuery::from_static(path), EncodedCodec).await?;
    let (metadata, message, _) = answer.into_parts();
    Ok((metadata, message))
}

/// The method of a request, as an [`Error`] names it.
pub(super) fn method<Rq: MethodRequest>() -> &'static str {
    &Rq::PATH[1..]
}

impl<Rq: MethodRequest> IntoFuture for Call<Rq> {
    type Output = Result<Rq::Response, Error>;
    type IntoFuture = Boxed<Rq::Response>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.send().await.map(|response| response.message) })
    }
}

/// A [`Call`] that gives a [`Response`].
#[derive(Clone, Debug)]
#[must_use = "a call is made by awaiting it"]
pub struct WithResponse<Rq>(Call<Rq>);

impl<Rq: MethodRequest> IntoFuture for WithResponse<Rq> {
    type Output = Result<Response<Rq::Response>, Error>;
    type IntoFuture = Boxed<Response<Rq::Response>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.send())
    }
}

/// The message that a call was answered with, and how it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response<M> {
    /// The message.
    pub message: M,
    /// The metadata of the response; over HTTP/JSON its headers.
    pub metadata: MetadataMap,
    /// The wire that the call went over.
    pub wire: Wire,
    /// The request id that it was made with; empty if none was.
    pub request_id: String,
    /// How often the call was made until it was answered.
    pub attempts: u32,
}

/// How often a call was made, by the metadata of its answer.
pub(super) fn attempts(metadata: &MetadataMap) -> u32 {
    let previous = metadata.get(PREVIOUS_ATTEMPTS.as_str()).and_then(|value| value.to_str().ok()?.parse().ok());
    previous.unwrap_or(0_u32).saturating_add(1)
}
