use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use tonic::{Code, Status, metadata::MetadataMap};

use super::{Client, Error, Wire};
use crate::layer::{PREVIOUS_ATTEMPTS, RetryPolicy, uuid};
use crate::proto::google::chat::v1::{CreateSpaceRequest, Space, space::SpaceType};

/// The method, as an [`Error`] names it.
pub(super) const METHOD: &str = "google.chat.v1.ChatService/CreateSpace";

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl Space {
    /// A named space: what most calls create.
    pub fn named(display_name: impl Into<String>) -> Self {
        Self { display_name: display_name.into(), space_type: SpaceType::Space as i32, ..Self::default() }
    }
}

impl From<Space> for CreateSpaceRequest {
    fn from(space: Space) -> Self {
        Self { space: Some(space), request_id: String::new() }
    }
}

/// A call to create a space; await it to make it.
#[derive(Clone, Debug)]
#[must_use = "a call is made by awaiting it"]
pub struct CreateSpace {
    client: Client,
    request: CreateSpaceRequest,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl CreateSpace {
    pub(super) fn new(client: Client, request: CreateSpaceRequest) -> Self {
        Self { client, request, timeout: None, retry: None }
    }

    /// Sets the request id: the server answers a known one with the space that
    /// it made the first time.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request.request_id = id.into();
        self
    }

    /// Sets how long the call may take, from the token to the whole answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when this call is made again, in place of the client's policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Has the call answer with what lies beside the space, too.
    pub fn with_response(self) -> CreateSpaceWithResponse {
        CreateSpaceWithResponse(self)
    }

    async fn send(mut self) -> Result<CreatedSpace, Error> {
        // Filled in here, so that a failure can say which it was.
        if self.client.fill_request_ids && self.request.request_id.is_empty() {
            self.request.request_id = uuid().unwrap_or_default();
        }
        let request_id = self.request.request_id.clone();
        let mut request = tonic::Request::new(self.request);
        if let Some(retry) = self.retry {
            request.extensions_mut().insert(retry);
        }
        if let Some(limit) = self.timeout {
            // tonic panics on what eight digits of hours cannot say.
            request.set_timeout(limit.min(Duration::from_secs(99_999_999 * 3600)));
        }
        let answer = self.client.stub().create_space(request).await;
        let wire = self.client.wire();
        let failed = |status| Error::new(status, METHOD, wire, request_id.clone());
        let (metadata, space, _) = answer.map_err(&failed)?.into_parts();
        if space.name.is_empty() {
            // Whoever answered, it was hardly Google Chat: a proxy's page, say.
            let what = "the answer is a space without a name, so that it is not known whether one was created";
            let next = match &*request_id {
                "" => "look for it before the call is made again",
                _ => "make the call again with the same request id, which creates no second space",
            };
            return Err(failed(Status::with_metadata(Code::Internal, format!("{what}; {next}"), metadata)));
        }
        let attempts = attempts(&metadata);
        Ok(CreatedSpace { space, metadata, wire, request_id, attempts })
    }
}

impl IntoFuture for CreateSpace {
    type Output = Result<Space, Error>;
    type IntoFuture = Boxed<Space>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.send().await.map(|created| created.space) })
    }
}

/// A [`CreateSpace`] that answers with a [`CreatedSpace`].
#[derive(Clone, Debug)]
#[must_use = "a call is made by awaiting it"]
pub struct CreateSpaceWithResponse(CreateSpace);

impl IntoFuture for CreateSpaceWithResponse {
    type Output = Result<CreatedSpace, Error>;
    type IntoFuture = Boxed<CreatedSpace>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.send())
    }
}

/// A created space and how it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreatedSpace {
    /// The space.
    pub space: Space,
    /// The metadata of the answer; over HTTP/JSON its headers.
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
