//! Calls of methods that stream their requests: the elements of one body.

use std::time::Duration;

use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    request::Parts,
};
use http_body::Body as _;
use tonic::{Status, body::Body};

use super::{BoxBody, Form, Inner, Refusal, Shared, call, check};
use crate::{
    Binding, JsonStreamDecoder, Options, Query, SystemParams,
    rpc::{Lasting, deadline::Deadline, header},
    server::{grpc_response::GrpcResponse, request_stream::GrpcBodyFromJson, serve::MayLast},
    stream,
};

/// How many bytes path and query may add to each message. Each element has them again, so
/// that the least of elements would make the largest of messages otherwise.
const TEXTS: usize = 4 * 1024;

impl Shared {
    /// The request of a binding whose method streams its requests: begin the call, and
    /// answer while the body still comes.
    pub(super) async fn answer_stream(
        &self,
        inner: Inner,
        (binding, texts): (&Binding, Vec<u8>),
        system: SystemParams,
        head: Parts,
        body: BoxBody,
        asked: Option<Duration>,
    ) -> Result<Response<Body>, Box<Refusal>> {
        let method = binding.method();
        let times = super::times_packed(&head.headers)?;
        // Each time a few bytes become a thousand times as many, and a stream has no limit as a whole.
        if times > 1 {
            let problem = "the body is packed more than once; send gzip once, or no encoding";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)));
        }
        let kind = head.headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        if !body.is_end_stream() {
            check_content_type(&head)?;
        }
        let elements = JsonStreamDecoder::new(kind, self.limit);
        if let Some(body) = head.extensions.get::<MayLast>() {
            body.may_last();
        }
        let message = (binding.clone(), self.options.clone(), texts);
        let (share, time) = (self.budget.share(), self.timeout);
        let (body, requests) = GrpcBodyFromJson::new(Body::new(body), times, elements, message, share, time);
        let deadline = Deadline::after(asked);
        let (form, packs) = (Form::asked_for(&head.headers), header::prefers_gzip(&head.headers));
        let mut call = call(binding, Body::new(body), head.headers, asked, self.grpc_metadata)?;
        super::authorize(&mut call, &system)?;
        check(call.headers_mut(), self.metadata_limit)?;
        call.extensions_mut().insert(Lasting::Request);
        let response = deadline.within(requests.beside(self.idle, inner.send(call))).await?;
        let (mut headers, mut incoming) = GrpcResponse::new(response, self.limit, deadline)
            .map_err(|failed| self.failed(failed, HeaderMap::new()))?;
        incoming.answer(requests);
        incoming.limit_silence(self.idle);
        let answer = match method.is_server_streaming() {
            true => self.stream(binding, system, form, &mut headers, incoming).await,
            false => self.respond(binding, &system, packs, &mut headers, incoming).await,
        };
        answer.map_err(|failed| self.failed(failed, headers))
    }
}

/// What path and query say of each message of a stream.
///
/// The peers differ: Envoy gives it to the first message alone, grpc-gateway to none. In
/// every message it makes each what a unary call would be made of.
pub(super) fn texts(
    binding: &Binding,
    variables: &[String],
    query: &Query<'_>,
    options: &Options,
) -> Result<Vec<u8>, Status> {
    let mut texts = Vec::new();
    binding.put_texts(variables, query, true, options, &mut texts)?;
    if texts.len() > TEXTS {
        let problem = format!("path and query add more than {TEXTS} bytes to each message of the stream");
        return Err(Status::invalid_argument(problem));
    }
    Ok(texts)
}

fn check_content_type(head: &Parts) -> Result<(), Box<Refusal>> {
    let known = |kind: &&HeaderValue| header::is_json(kind) || stream::is_values(header::essence(kind.as_bytes()));
    let Some(kind) = head.headers.get(CONTENT_TYPE).filter(|kind| !known(kind)) else { return Ok(()) };
    let kind = header::essence(kind.as_bytes());
    let problem = format!(
        "the content type is `{}`; send the messages one a line as application/x-ndjson, or as an array as \
         application/json",
        kind.escape_ascii()
    );
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(problem)))
}
