//! The response of a server-streaming call on its way to a stub: JSON as it comes
//! becomes gRPC frames, and whatever ends it becomes the trailers.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body::Frame;
use tonic::Status;

use super::BoxError;
use crate::{
    Binding, HttpPayload, JsonStreamDecoder, JsonStreamError,
    client::http_json::{error_in_place, unpacking},
    rpc::{
        chain,
        deadline::{Deadline, Expiry},
        frame,
        gzip::Unpacker,
        response,
    },
    stream::only_member,
};

pub(super) struct GrpcBodyFromJson<B> {
    body: Pin<Box<B>>,
    binding: Binding,
    content: Content,
    unpacker: Unpacker,
    limit: usize,
    expiry: Expiry,
    /// The body has ended; what is in `content` is all there is.
    ended: bool,
    /// The trailers are sent.
    done: bool,
}

enum Content {
    Json(JsonStreamDecoder),
    /// Each piece of the body as it comes is the data of an HttpBody.
    Raw {
        content_type: Vec<u8>,
        piece: Option<Bytes>,
    },
}

impl<B> GrpcBodyFromJson<B> {
    pub(super) fn new(
        binding: Binding,
        headers: &HeaderMap,
        body: B,
        times_packed: usize,
        limit: usize,
        deadline: Deadline,
    ) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        let content = if binding.gives_http_body() {
            Content::Raw { content_type: kind.to_vec(), piece: None }
        } else {
            Content::Json(JsonStreamDecoder::new(kind, limit))
        };
        Self {
            body: Box::pin(body),
            binding,
            content,
            unpacker: Unpacker::new(times_packed),
            limit,
            expiry: deadline.expiry(),
            ended: false,
            done: false,
        }
    }

    /// The next message that is whole, framed.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.message(false)? {
                return Ok(Some(message));
            }
            if !self.unpack_some()? {
                return if self.ended { self.message(true) } else { Ok(None) };
            }
        }
    }

    /// The next message of what is unpacked; `last` if there will be no more.
    fn message(&mut self, last: bool) -> Result<Option<Bytes>, Status> {
        match &mut self.content {
            Content::Raw { content_type, piece } => piece.take().map(|data| {
                // The type is said once, with the first piece.
                let kind = std::mem::take(content_type);
                read(&self.binding, HttpPayload { content_type: Some(kind.into()), body: data })
            }),
            Content::Json(elements) => {
                let element = match elements.next() {
                    Ok(None) if last => elements.finish(),
                    other => other,
                };
                element.map_err(unreadable)?.map(|element| self.element(element))
            }
        }
        .transpose()
    }

    /// The message of an element. An error that the server could only report in the
    /// middle of its stream comes in the place of a message, `{"error":{…}}`;
    /// grpc-gateway has each message in an envelope, `{"result":{…}}`.
    fn element(&self, element: Bytes) -> Result<Bytes, Status> {
        if let Some(failed) = error_in_place(&self.binding, &element) {
            return Err(failed);
        }
        let enveloped = self.binding.has_no_response_field("result").then(|| only_member(&element, "result")).flatten();
        read(&self.binding, HttpPayload::json(enveloped.unwrap_or(element)))
    }

    /// Takes what the body has next, as it comes. It is unpacked a little at a time, so
    /// that the messages in it are passed on before there is more.
    fn push(&mut self, data: Bytes) {
        if self.unpacker.is_plain() { self.take_in(data) } else { self.unpacker.push(data) }
    }

    /// Unpacks a little more, or what is left at the end; whether there was any.
    fn unpack_some(&mut self) -> Result<bool, Status> {
        let unpacked = if self.ended { self.unpacker.finish() } else { self.unpacker.next() };
        let unpacked = unpacked.map_err(|error| unpacking(error, self.limit))?;
        Ok(unpacked.map(|data| self.take_in(data)).is_some())
    }

    fn take_in(&mut self, data: Bytes) {
        match &mut self.content {
            Content::Json(elements) => elements.push(&data),
            Content::Raw { piece, .. } => *piece = Some(data).filter(|data| !data.is_empty()),
        }
    }

    fn trailers(&mut self, status: &Status) -> Frame<Bytes> {
        self.done = true;
        Frame::trailers(response::trailers(status))
    }
}

/// The message of a response's body, framed.
pub(super) fn read(binding: &Binding, payload: HttpPayload) -> Result<Bytes, Status> {
    let mut message = frame::room(payload.body.len() + 8);
    binding.decode_response(&payload, &mut message)?;
    frame::frame(message)
}

fn unreadable(error: JsonStreamError) -> Status {
    match error {
        JsonStreamError::TooLarge(_) => Status::resource_exhausted(error.to_string()),
        JsonStreamError::Truncated => Status::unavailable(error.to_string()),
        JsonStreamError::Malformed(_) => Status::internal(error.to_string()),
    }
}

impl<B> http_body::Body for GrpcBodyFromJson<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if this.done {
                return Poll::Ready(None);
            }
            match this.next() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                Ok(None) if this.ended => return Poll::Ready(Some(Ok(this.trailers(&Status::ok(""))))),
                Ok(None) => {}
                Err(status) => return Poll::Ready(Some(Ok(this.trailers(&status)))),
            }
            if let Poll::Ready(expired) = this.expiry.poll(context) {
                return Poll::Ready(Some(Ok(this.trailers(&expired))));
            }
            match ready!(this.body.as_mut().poll_frame(context)) {
                Some(Ok(piece)) => {
                    if let Ok(data) = piece.into_data() {
                        this.push(data);
                    }
                }
                Some(Err(error)) => {
                    let lost = Status::unavailable(format!("the stream broke off: {}", chain(&*error.into())));
                    return Poll::Ready(Some(Ok(this.trailers(&lost))));
                }
                None => this.ended = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
