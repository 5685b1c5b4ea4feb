//! A stream of messages on its way to a REST client: a JSON array, lines of
//! JSON, or server-sent events.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use tonic::Status;

use protojson::WriteOptions;

use super::grpc_response::GrpcResponse;
use crate::{
    Binding,
    rpc::{header, status},
};

/// How the messages are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Array,
    Lines,
    Events,
    /// The data of HttpBodies, one after another.
    Raw,
}

impl Form {
    /// The form that a client asks for; an array if it does not say.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        // One order of preference for those that a client likes equally.
        const FORMS: [(&str, Form); 6] = [
            ("application/json", Form::Array),
            ("application/x-ndjson", Form::Lines),
            ("application/ndjson", Form::Lines),
            ("application/jsonl", Form::Lines),
            ("application/stream+json", Form::Lines),
            ("text/event-stream", Form::Events),
        ];
        header::preferred(headers, &FORMS.map(|(kind, _)| kind)).map_or(Self::Array, |at| FORMS[at].1)
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Array => "application/json; charset=UTF-8",
            Self::Lines => "application/x-ndjson; charset=UTF-8",
            Self::Events => "text/event-stream; charset=UTF-8",
            Self::Raw => "application/octet-stream",
        })
    }
}

pub(super) struct JsonBodyFromGrpc {
    incoming: GrpcResponse,
    /// The first message, which was waited for to know that the call has not
    /// failed at once.
    first: Option<Option<Bytes>>,
    binding: Binding,
    form: Form,
    options: WriteOptions,
    written: bool,
    done: bool,
}

impl JsonBodyFromGrpc {
    pub(super) fn new(
        incoming: GrpcResponse,
        first: Option<Bytes>,
        binding: Binding,
        form: Form,
        options: WriteOptions,
    ) -> Self {
        Self { incoming, first: Some(first), binding, form, options, written: false, done: false }
    }

    /// A message, or an error in its place, as a piece of the body.
    fn piece(&mut self, json: &[u8]) -> Bytes {
        let (before, after): (&[u8], &[u8]) = match self.form {
            Form::Array if self.written => (b",\n", b""),
            Form::Array => (b"[", b""),
            Form::Lines => (b"", b"\n"),
            Form::Events => (b"data: ", b"\n\n"),
            Form::Raw => (b"", b""),
        };
        self.written = true;
        [before, json, after].concat().into()
    }

    fn message(&mut self, message: &[u8]) -> Result<Bytes, Status> {
        let payload = self.binding.encode_response(message, &self.options)?;
        Ok(if self.form == Form::Raw { payload.body } else { self.piece(&payload.body) })
    }

    /// The end: of an array its bracket, and before it what went wrong.
    fn last(&mut self, failed: Option<Status>) -> Bytes {
        self.done = true;
        self.incoming.end_requests();
        let mut last = Vec::new();
        if let Some(status) = failed {
            last.extend_from_slice(&self.piece(&status::to_body(
                Some(self.binding.method().pool()),
                &status,
                status::http_status(status.code()),
            )));
        }
        if self.form == Form::Array {
            last.extend_from_slice(if self.written { b"]" } else { b"[]" });
        }
        last.into()
    }
}

impl http_body::Body for JsonBodyFromGrpc {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let next = match this.first.take() {
            Some(first) => Ok(first),
            None => ready!(this.incoming.poll_next(context)),
        };
        let outcome = match next {
            Ok(Some(wire)) => this.message(&wire).map(Some),
            Ok(None) => Ok(None),
            Err(status) => Err(status),
        };
        Poll::Ready(Some(match outcome {
            Ok(Some(piece)) => Ok(Frame::data(piece)),
            Ok(None) => Ok(Frame::data(this.last(None))),
            // Raw bytes have no place for an error: the body breaks off.
            Err(status) if this.form == Form::Raw => {
                this.done = true;
                Err(status)
            }
            Err(status) => Ok(Frame::data(this.last(Some(status)))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
