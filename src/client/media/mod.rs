//! Attachments: what is uploaded, to be attached to messages, and downloaded.
//!
//! Both go over HTTP whatever the wire of the client is: over gRPC, UploadAttachment has no field
//! for the bytes, and there is no method that gives them. They have connections of their own, so
//! that they hold up no other call, and share the client's credentials, headers and policies.
//!
//! - An [`Upload`] takes its bytes from a [`Content`](content), of which a [`Window`](content) is
//!   in memory. What is small goes in one request (`multipart`), the rest in parts (`resumable`).
//! - A [`Download`] gives a [`Media`], which goes on where it was when its connection breaks.
//!
//! Source: the `mediaUpload` of `chat.media.upload` in Google's discovery document of `chat.v1`,
//! and the page "Upload file data" of Google's APIs.

mod check;
mod content;
mod download;
mod multipart;
mod resumable;
mod upload;

use std::{error::Error as _, fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use grpc_transcoding::{
    client::{HTTP_STATUS, Origin, http_failure},
    rpc::{self, BROKEN, BoxError, Broken},
};
use http::{Request, Response, StatusCode, response::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::io::AsyncRead;
use tonic::{Code, Status, metadata::MetadataValue};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

pub use download::{Download, Media};
pub use upload::Upload;

use self::content::Content;
use super::{Client, Error, Wire, error_kind::http_status};
use crate::layer::{Attempts, Named, RetryPolicy, Scopes, Steps};

/// The largest attachment, in bytes. Source: the `maxSize` of the discovery document.
pub(super) const LARGEST: u64 = 200 * 1024 * 1024;

/// The largest response that is read whole: that of an upload, or an error.
const WHOLE: usize = 64 * 1024;

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Sends what carries files.
#[derive(Clone)]
pub(super) struct Http(Arc<Shared>);

struct Shared {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>,
    steps: Steps,
    origin: Origin,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    pub(super) fn new<S, B>(service: S, steps: Steps, origin: Origin) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let service = service.map_response(|response: Response<B>| response.map(boxed)).map_err(Into::into);
        Self(Arc::new(Shared { service: BoxCloneSyncService::new(service), steps, origin }))
    }

    fn policy(&self) -> RetryPolicy {
        self.0.steps.policy()
    }

    fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Begins a request to a path and query at the API.
    fn request(&self, method: http::Method, target: String) -> Result<Request<Full<Bytes>>, Status> {
        let url = PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(http::Error::from);
        let url = url.and_then(|target| self.0.origin.url(target).map_err(http::Error::from));
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() =
            url.map_err(|error| Status::invalid_argument(format!("the request cannot be built: {error}")))?;
        Ok(request)
    }

    /// Sends a request once. The body of the response is still to be read.
    ///
    /// # Errors
    ///
    /// If there is no response, or one that is neither a success nor `takes`.
    async fn send(
        &self,
        named: Named,
        request: Request<Full<Bytes>>,
        scopes: Option<&Scopes>,
        attempts: &mut Attempts,
        takes: impl FnOnce(u16) -> bool,
    ) -> Result<(Parts, Body), Status> {
        let shared = &*self.0;
        let response = shared.steps.send(shared.service.clone(), named, request, scopes, attempts).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() || takes(head.status.as_u16()) {
            // Nobody refused it.
            attempts.token = None;
            return Ok((head, body));
        }
        let body = rpc::collect(body, WHOLE).await.map_err(|error| Status::unavailable(error.to_string()));
        Err(mended(http_failure(Client::http_rules().pool(), head, body)))
    }
}

fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A failure as UNAVAILABLE if another attempt may help, since uploads and downloads do no harm
/// when they are made again: 408 (the server waited too long for the request) and 504 (a proxy
/// waited too long for the server) have other codes for calls.
fn mended(status: Status) -> Status {
    if !matches!(http_status(&status), Some(408 | 504)) {
        return status;
    }
    let (message, details) = (status.message().to_owned(), status.details().to_vec().into());
    let metadata = status.metadata().clone();
    Broken::Lost.cause(Status::with_details_and_metadata(Code::Unavailable, message, details, metadata))
}

/// The failure of a response that the API does not give.
fn not_the_api(status: StatusCode, problem: impl Into<String>) -> Status {
    let mut failed = Status::internal(problem);
    failed.metadata_mut().insert(HTTP_STATUS, status.as_u16().into());
    failed
}

/// Waits until there is another attempt, after one that failed.
///
/// # Errors
///
/// The status, if there is no other, or the response was none of the API's: it would be the same.
async fn again(attempts: &mut Attempts, status: Status) -> Result<(), Status> {
    if http_status(&status).is_some_and(|status| status < 400) {
        return Err(status);
    }
    attempts.failed(status).await
}

/// The error of an upload or a download.
fn failed(mut status: Status, method: &'static str) -> Error {
    let broken = status.source().and_then(|cause| cause.downcast_ref::<Broken>()).copied();
    if let Some(broken) = broken {
        status.metadata_mut().insert(BROKEN, MetadataValue::from_static(broken.name()));
    }
    Error::of(status, method, Wire::HttpJson)
}

/// Holds the time of an attempt.
async fn within<T>(limit: Duration, attempt: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = || Err(Status::deadline_exceeded(format!("no response within {limit:?}")));
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| late())
}

impl Client {
    /// Uploads a file, to be attached to messages of the space `parent`: `spaces/{space}`. Its name
    /// there is that of the file.
    ///
    /// ```no_run
    /// # async fn example(chat: google_chat::Client) -> Result<(), google_chat::Error> {
    /// use google_chat::CreateMessageRequest;
    ///
    /// let space = "spaces/AAQAjCNSsU0";
    /// let report = chat
    ///     .upload_file(space, "report.pdf")
    ///     .progress(|sent, total| eprintln!("{sent} of {total:?} bytes"))
    ///     .await?;
    /// chat.create_message(CreateMessageRequest::text(space, "The report").attach(report)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload_file(&self, parent: impl Into<String>, file: impl AsRef<Path>) -> Upload {
        let file = file.as_ref();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Upload::new(self.clone(), parent.into(), name, Content::File(file.to_owned()))
    }

    /// Uploads bytes, as [`Client::upload_file`] does a file.
    pub fn upload_bytes(
        &self,
        parent: impl Into<String>,
        filename: impl Into<String>,
        bytes: impl Into<Bytes>,
    ) -> Upload {
        Upload::new(self.clone(), parent.into(), filename.into(), Content::Bytes(bytes.into()))
    }

    /// Uploads what a reader gives, as [`Client::upload_file`] does a file. `length` is how many
    /// bytes that will be, where it is known.
    ///
    /// A reader cannot go back, so that an upload whose beginning the server has lost fails.
    pub fn upload_reader(
        &self,
        parent: impl Into<String>,
        filename: impl Into<String>,
        reader: impl AsyncRead + Send + 'static,
        length: Option<u64>,
    ) -> Upload {
        let content = Content::Reader(Box::pin(reader), length);
        Upload::new(self.clone(), parent.into(), filename.into(), content)
    }

    /// Downloads the data of an attachment by the `resource_name` of its data ref. Files in Google
    /// Drive have none: they are read by Drive's API.
    ///
    /// ```no_run
    /// # async fn example(chat: google_chat::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// # let data_ref = google_chat::proto::google::chat::v1::AttachmentDataRef::default();
    /// let media = chat.download(&data_ref.resource_name).await?;
    /// println!("{:?}, {:?} bytes", media.content_type(), media.length());
    /// let mut content = Vec::new(); // or a file
    /// media.to_writer(&mut content).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download(&self, resource_name: impl Into<String>) -> Download {
        Download::new(self.clone(), resource_name.into())
    }
}
