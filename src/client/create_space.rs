use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use tonic::metadata::MetadataMap;

use super::{Client, Error, Wire};
use crate::proto::google::chat::v1::{CreateSpaceRequest, Space, space::SpaceType};

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
}

impl CreateSpace {
    pub(super) fn new(client: Client, request: CreateSpaceRequest) -> Self {
        Self { client, request, timeout: None }
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

    /// Has the call answer with what lies beside the space, too.
    pub fn with_response(self) -> CreateSpaceWithResponse {
        CreateSpaceWithResponse(self)
    }

    async fn send(self) -> Result<CreatedSpace, Error> {
        let wire = self.client.wire;
        let failed = |status| Error::new(status, "google.chat.v1.ChatService/CreateSpace", wire);
        let mut request = tonic::Request::new(self.request);
        let mut stub = self.client.stub();
        let answer = match self.timeout {
            None => stub.create_space(request).await,
            Some(limit) => {
                // tonic panics on what eight digits of hours cannot say.
                request.set_timeout(limit.min(Duration::from_secs(99_999_999 * 3600)));
                let expired = |_| tonic::Status::deadline_exceeded(format!("no answer within {limit:?}"));
                tokio::time::timeout(limit, stub.create_space(request)).await.map_err(expired).and_then(|answer| answer)
            }
        };
        let (metadata, space, _) = answer.map_err(failed)?.into_parts();
        Ok(CreatedSpace { space, metadata, wire })
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
}
