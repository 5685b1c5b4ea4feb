use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use grpc_transcoding::{HttpPayload, MethodBindings, Options, rpc};
use http::{HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use prost::Message;
use tonic::Status;

use super::{
    Http, LARGEST, WHOLE, again, check,
    content::{Content, too_large},
    failed, multipart, not_the_api,
    resumable::{GRAIN, Parted},
    within,
};
use crate::{
    Client, Error,
    client::checks,
    layer::{Attempts, Named, RetryPolicy, Scopes, uuid},
    proto::google::chat::v1::{AttachmentDataRef, UploadAttachmentRequest, UploadAttachmentResponse},
};

/// The method, as an [`Error`] names it.
const METHOD: &str = "google.chat.v1.ChatService/UploadAttachment";

/// The content that goes in one request, if nothing else is said: no more than the smallest part,
/// since all of it has to go within the time of one attempt, however slow the line is.
const SMALL: u64 = GRAIN as u64;

/// The largest part, if nothing else is said.
const CHUNK: usize = 8 * 1024 * 1024;

/// A call to upload an attachment; await it to make it. It gives what a message refers to the
/// attachment by, which becomes an [`Attachment`](crate::proto::google::chat::v1::Attachment) by
/// `into()`.
///
/// Content of more than 256 KiB is sent in parts. When a connection breaks, the server is asked how
/// far it has the content, and the upload goes on from there. The client's
/// [`RetryPolicy`] holds for each part: its attempts and its time begin anew with each part that
/// the server has. To drop the call is to end it.
///
/// In memory is no more than a part ([`Upload::chunk_size`]).
#[must_use = "a call is made by awaiting it"]
pub struct Upload {
    client: Client,
    request: UploadAttachmentRequest,
    content: Content,
    content_type: Option<String>,
    small: u64,
    chunk: usize,
    progress: Box<dyn FnMut(u64, Option<u64>) + Send>,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl Http {
    /// Sends a request once, and reads the response within the attempt's time.
    pub(super) async fn exchange(
        &self,
        named: Named,
        request: Request<Full<Bytes>>,
        scopes: Option<&Scopes>,
        attempts: &mut Attempts,
        takes: impl FnOnce(u16) -> bool,
    ) -> Result<Response<Bytes>, Status> {
        within(attempts.begin(), async {
            let (head, body) = self.send(named, request, scopes, attempts, takes).await?;
            let broken = |error| Status::unavailable(format!("the response broke off: {}", rpc::chain(&error)));
            Ok(Response::from_parts(head, rpc::collect(body, WHOLE).await.map_err(broken)?))
        })
        .await
    }
}

impl Upload {
    pub(super) fn new(client: Client, parent: String, filename: String, content: Content) -> Self {
        Self {
            client,
            request: UploadAttachmentRequest { parent, filename },
            content,
            content_type: None,
            small: SMALL,
            chunk: CHUNK,
            progress: Box::new(|_, _| {}),
            timeout: None,
            retry: None,
        }
    }

    /// Sets the name of the attachment, with its ending.
    pub fn filename(mut self, name: impl Into<String>) -> Self {
        self.request.filename = name.into();
        self
    }

    /// Sets the content type, such as `image/png`. By default it is told by the name.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets how many bytes go in one request, all of which are in memory then: 256 KiB by default.
    /// What is larger goes in parts; with 0 everything does.
    pub fn resumable_over(mut self, bytes: u64) -> Self {
        self.small = bytes;
        self
    }

    /// Sets how large a part may be, which is what an upload takes of memory: 8 MiB by default,
    /// and a multiple of 256 KiB in any case. Parts are smaller on a slow line.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk = bytes.min(LARGEST as usize).next_multiple_of(GRAIN).max(GRAIN);
        self
    }

    /// Has a function called with the number of bytes that the server has, and with that of all,
    /// once that is known: each time that the first number is larger than it ever was, and at the
    /// end. What the server has lost, and gets again, is not told.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Sets how long the upload may take as a whole. By default there is no such limit, but one
    /// for each part.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when a request of this upload is made again, in place of the client's policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    async fn send(self) -> Result<AttachmentDataRef, Error> {
        let timeout = self.timeout.unwrap_or(Duration::MAX);
        let late = || Err(Status::deadline_exceeded(format!("the upload was not done within {timeout:?}")));
        let outcome = tokio::time::timeout(timeout, self.upload()).await.unwrap_or_else(|_| late());
        outcome.map_err(|status| failed(status, METHOD))
    }

    async fn upload(self) -> Result<AttachmentDataRef, Status> {
        let Self { client, request, content, content_type, small, chunk, mut progress, timeout, retry } = self;
        let content_type = content_type.unwrap_or_else(|| check::content_type(&request.filename).to_owned());
        let limit = if client.rules.checks() { LARGEST } else { u64::MAX };
        if client.rules.checks() {
            check(&request, &content_type)?;
        }
        let content_type = HeaderValue::try_from(&content_type)
            .map_err(|_| Status::invalid_argument(format!("the content type {content_type:?} is no header's value")))?;
        let (_, http_request) = bindings().encode_request(&request.encode_to_vec(), &Options::default())?;
        let json = http_request.payload.map(|payload| payload.body).unwrap_or_default();
        let mut window = content.open().await?;
        if window.total().is_some_and(|total| total > limit) {
            return Err(too_large(limit));
        }
        let scopes = client.rules.scopes(METHOD);
        // Every request may be sent again: what it makes has no effect until a message refers to it.
        let policy = retry.unwrap_or_else(|| client.http.policy());
        let attempts = Attempts::new(policy, true, u32::MAX, timeout);
        let is_small = match window.total() {
            Some(total) => total <= small,
            None => {
                window.fill(usize::try_from(small).unwrap_or(usize::MAX), limit.min(LARGEST)).await?;
                window.total().is_some_and(|total| total <= small)
            }
        };
        let http = &client.http;
        let response = if is_small {
            window.fill(usize::MAX, limit).await?;
            let upload = Small { http, scopes: scopes.as_ref(), target: http_request.target, json, content_type };
            let response = upload.upload(window.held(), attempts).await?;
            progress(window.held().len() as u64, window.total());
            response
        } else {
            let target = format!("/resumable/upload{}?uploadType=resumable", http_request.target);
            let (scopes, progress) = (scopes.as_ref(), &mut *progress);
            let method = METHOD;
            let upload =
                Parted { http, method, scopes, target, json, content_type, window, chunk, limit, attempts, progress };
            upload.upload().await?
        };
        data_ref(&response)
    }
}

/// An upload in one request.
struct Small<'u> {
    http: &'u Http,
    scopes: Option<&'u Scopes>,
    target: String,
    json: Bytes,
    content_type: HeaderValue,
}

impl Small<'_> {
    async fn upload(self, content: &[u8], mut attempts: Attempts) -> Result<Response<Bytes>, Status> {
        let named = Named { method: METHOD, template: "/upload/v1/{parent}/attachments:upload" };
        let target = format!("/upload{}?uploadType=multipart", self.target);
        let boundary = uuid()?;
        // A header's value of visible ASCII, as it was checked or told by a name.
        let content_type = self.content_type.to_str().unwrap_or("application/octet-stream");
        let body = multipart::body(&boundary, &self.json, content_type, content);
        let kind = HeaderValue::try_from(format!("multipart/related; boundary={boundary}"));
        let kind = kind.map_err(|error| Status::internal(error.to_string()))?;
        loop {
            let mut request = self.http.request(Method::POST, target.clone())?;
            request.headers_mut().insert(CONTENT_TYPE, kind.clone());
            *request.body_mut() = Full::new(body.clone());
            match self.http.exchange(named, request, self.scopes, &mut attempts, |_| false).await {
                Ok(response) => return Ok(response),
                Err(status) => again(&mut attempts, status).await?,
            }
        }
    }
}

/// The method's binding, which has the path and the JSON of its request.
fn bindings() -> &'static MethodBindings {
    static BINDINGS: LazyLock<&MethodBindings> = LazyLock::new(|| {
        // The schema is embedded, and a test has this called.
        Client::http_rules().method(&format!("/{METHOD}")).expect("the embedded schema has the method")
    });
    &BINDINGS
}

/// # Errors
///
/// INVALID_ARGUMENT with all that is certain to fail.
fn check(request: &UploadAttachmentRequest, content_type: &str) -> Result<(), Status> {
    let mut violations = Vec::new();
    violations.extend(check::filename(&request.filename).map(|problem| ("filename", problem)));
    if !check::is_media_type(content_type) {
        let problem = format!("is {content_type:?}, which is no media type; give one such as image/png");
        violations.push(("content_type", problem));
    }
    checks::refuse(violations)
}

/// What the response to a whole upload refers to the attachment by.
fn data_ref(response: &Response<Bytes>) -> Result<AttachmentDataRef, Status> {
    let mut encoded = Vec::new();
    let payload = HttpPayload::json(response.body().clone());
    let unreadable = |problem: String| not_the_api(response.status(), problem);
    let read = bindings().bindings().first().map(|binding| binding.decode_response(&payload, &mut encoded));
    read.transpose().map_err(|error| unreadable(error.to_string()))?;
    let message = UploadAttachmentResponse::decode(&*encoded).map_err(|error| unreadable(error.to_string()))?;
    let data_ref = message.attachment_data_ref.unwrap_or_default();
    if data_ref.attachment_upload_token.is_empty() && data_ref.resource_name.is_empty() {
        let problem = "the response does not say what to attach, so that nothing was uploaded; upload it again";
        return Err(unreadable(problem.to_owned()));
    }
    Ok(data_ref)
}

impl IntoFuture for Upload {
    type Output = Result<AttachmentDataRef, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("request", &self.request).finish_non_exhaustive()
    }
}
