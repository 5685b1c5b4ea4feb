//! A stream of JSON from a REST client on its way to a gRPC service: each element becomes a
//! message as soon as it is whole.
//!
//! The body of the call and whoever takes its response know of each other: a fault in the
//! stream is the outcome of the call, whatever the service makes of a body that breaks off,
//! and what the client still sends after the response has ended is left to the connection.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio::time::{Instant, Sleep};
use tonic::{Status, body::Body};

use super::{budget::Share, gateway::no_room, idle::Silence};
use crate::{
    Binding, HttpPayload, JsonStreamDecoder, Options, TranscodeError,
    rpc::{BoxError, CollectError, chain, frame::HEADER, gzip::Unpacker},
};
use protojson::ParseError;

/// How many bytes of messages are passed on at once, where that many have come.
const BATCH: usize = 16 * 1024;

/// How many pieces of a body that have no whole message are read, or unpacked, before others
/// have their turn.
const PIECES: usize = 16;

/// The response's side of a stream of requests. Dropping it ends the stream.
pub(super) struct Requests(Arc<Mutex<Both>>);

/// What both sides share.
struct Both {
    /// `None` once it has ended, or nobody wants the rest.
    body: Option<Body>,
    /// Why it cannot be read on.
    fault: Option<Status>,
    /// When the last message was passed on.
    heard: Instant,
    /// Who waits for the body.
    sender: Option<Waker>,
    /// Who waits for the response.
    receiver: Option<Waker>,
}

fn lock(both: &Mutex<Both>) -> MutexGuard<'_, Both> {
    // Nothing is left half done by a panic.
    both.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the waker of whoever polls.
fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

impl Requests {
    /// When the last message of the stream was passed on.
    pub(super) fn heard(&self) -> Instant {
        lock(&self.0).heard
    }

    /// The status of a stream that cannot be read on.
    pub(super) fn poll_fault(&self, context: &Context<'_>) -> Poll<Status> {
        let mut both = lock(&self.0);
        match both.fault.take() {
            Some(fault) => Poll::Ready(fault),
            None => {
                keep(&mut both.receiver, context);
                Poll::Pending
            }
        }
    }

    /// The work of the response's side; or the fault of the stream, or DEADLINE_EXCEEDED if
    /// neither side has anything for so long.
    pub(super) async fn beside<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut silence = Silence::new(limit);
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            let done = work.as_mut().poll(context);
            // The work may be what has found the fault.
            if let Poll::Ready(fault) = self.poll_fault(context) {
                return Poll::Ready(Err(fault));
            }
            if done.is_ready() {
                return done;
            }
            silence.broken_at(self.heard());
            silence.poll(context).map(Err)
        })
        .await
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let mut both = lock(&self.0);
        both.body = None;
        if let Some(sender) = both.sender.take() {
            sender.wake();
        }
    }
}

/// The body of a call whose messages are the elements of a stream of JSON.
pub(super) struct GrpcBodyFromJson {
    both: Arc<Mutex<Both>>,
    elements: JsonStreamDecoder,
    unpacker: Unpacker,
    binding: Binding,
    options: Options,
    /// What path and query say of each message.
    texts: Vec<u8>,
    share: Share,
    /// How long an element may take that has begun.
    time: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// How many elements have come whole.
    count: usize,
    /// Why the element after those that are passed on is refused.
    failed: Option<Status>,
    /// The client's body has ended; and all of it is unpacked.
    ended: bool,
    last: bool,
    done: bool,
}

impl GrpcBodyFromJson {
    /// Takes the elements of `body`, which is packed so many times.
    pub(super) fn new(
        body: Body,
        times_packed: usize,
        elements: JsonStreamDecoder,
        (binding, options, texts): (Binding, Options, Vec<u8>),
        share: Share,
        time: Option<Duration>,
    ) -> (Self, Requests) {
        let (fault, sender, receiver) = (None, None, None);
        let both = Both { body: Some(body), fault, heard: Instant::now(), sender, receiver };
        let both = Arc::new(Mutex::new(both));
        let requests = Requests(Arc::clone(&both));
        let unpacker = Unpacker::new(times_packed);
        let (timer, count, failed, ended, last, done) = (None, 0, None, false, false, false);
        let call = Self {
            both,
            elements,
            unpacker,
            binding,
            options,
            texts,
            share,
            time,
            timer,
            count,
            failed,
            ended,
            last,
            done,
        };
        (call, requests)
    }

    /// The messages that are whole, framed.
    fn messages(&mut self) -> Result<Vec<u8>, Status> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut framed = Vec::new();
        while framed.len() < BATCH {
            match self.put_message(&mut framed) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failed) if framed.is_empty() => return Err(failed),
                Err(failed) => {
                    self.failed = Some(failed);
                    break;
                }
            }
        }
        Ok(framed)
    }

    /// Appends the message of the next element; whether one was whole.
    fn put_message(&mut self, framed: &mut Vec<u8>) -> Result<bool, Status> {
        let element = match self.elements.next() {
            Ok(None) if self.last => self.elements.finish(),
            other => other,
        };
        let Some(element) = element.map_err(|error| self.unreadable(&error))? else { return Ok(false) };
        self.count += 1;
        self.timer = None;
        let start = framed.len();
        framed.extend_from_slice(&[0; HEADER]);
        if let Err(error) = self.binding.decode_body(&HttpPayload::json(element), &self.options, framed) {
            framed.truncate(start);
            return Err(self.unfit(error));
        }
        framed.extend_from_slice(&self.texts);
        let len = u32::try_from(framed.len() - start - HEADER)
            .map_err(|_| Status::resource_exhausted("a message is longer than gRPC's framing can say"))?;
        framed[start + 1..start + HEADER].copy_from_slice(&len.to_be_bytes());
        Ok(true)
    }

    fn push(&mut self, data: Bytes) {
        if self.unpacker.is_plain() { self.elements.push(&data) } else { self.unpacker.push(data) }
    }

    /// Unpacks a little more, or what is left at the end; whether there was any.
    fn unpack_some(&mut self) -> Result<bool, Status> {
        let unpacked = if self.ended { self.unpacker.finish() } else { self.unpacker.next() };
        let unpacked = unpacked.map_err(|_| Status::invalid_argument("the body says that it is gzip, and is not"))?;
        Ok(unpacked.map(|data| self.elements.push(&data)).is_some())
    }

    /// The status of a stream that is no JSON from the next element on.
    fn unreadable(&self, error: &crate::JsonStreamError) -> Status {
        let (line, column) = self.elements.position();
        let number = self.count + 1;
        Status::invalid_argument(format!("element {number}: {error} (line {line}, column {column})"))
    }

    /// The status of an element that is no message of the method.
    fn unfit(&self, error: TranscodeError) -> Status {
        let number = self.count;
        let (line, column) = self.elements.position();
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<ParseError>());
        let problem = match source {
            // Its place is that within the element.
            Some(error) => {
                let path = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
                let column = if error.line() == 1 { column - 1 + error.column() } else { error.column() };
                let line = line - 1 + error.line();
                format!("Invalid JSON payload received. {path}{} (line {line}, column {column})", error.problem())
            }
            None => format!("{error} (line {line}, column {column})"),
        };
        TranscodeError::new(error.kind(), format!("element {number}: {problem}")).caused_by(error).into()
    }

    /// The next messages; `None` at the end of the stream.
    fn poll_messages(
        &mut self,
        body: &mut Option<Body>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        for _ in 0..PIECES {
            let messages = self.messages()?;
            // What follows whole elements is part of a piece that the connection bounds, unless it
            // was packed.
            let bounded = !messages.is_empty() && self.unpacker.is_plain();
            let held = if bounded { 0 } else { self.elements.held() };
            if !self.share.resize(held) {
                return Poll::Ready(Err(no_room()));
            }
            if !messages.is_empty() {
                return Poll::Ready(Ok(Some(messages.into())));
            }
            if self.unpack_some()? {
                continue;
            }
            if self.last {
                return Poll::Ready(Ok(None));
            }
            if self.ended {
                self.last = true;
                continue;
            }
            let Some(open) = body else {
                return Poll::Ready(Err(Status::cancelled(
                    "the response has ended, and with it the stream of requests",
                )));
            };
            match Pin::new(open).poll_frame(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    if let Ok(data) = piece.into_data() {
                        self.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(error.into()))),
                Poll::Ready(None) => (self.ended, *body) = (true, None),
                Poll::Pending => return self.poll_late(context).map(Err),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The status of an element that has begun and does not come whole.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some(time) = self.time.filter(|_| self.elements.held() > 0) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(timer.as_mut().poll(context));
        let number = self.count + 1;
        Poll::Ready(Status::deadline_exceeded(format!(
            "element {number} has begun and did not come whole within {time:?}"
        )))
    }
}

fn broken(error: BoxError) -> Status {
    match CollectError::of(error) {
        CollectError::Failed(cause) => Status::cancelled(format!("the body broke off: {}", chain(&*cause))),
        other => Status::invalid_argument(other.to_string()),
    }
}

impl http_body::Body for GrpcBodyFromJson {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let shared = Arc::clone(&this.both);
        let mut both = lock(&shared);
        match this.poll_messages(&mut both.body, context) {
            Poll::Pending => {
                keep(&mut both.sender, context);
                Poll::Pending
            }
            Poll::Ready(Ok(Some(messages))) => {
                both.heard = Instant::now();
                Poll::Ready(Some(Ok(Frame::data(messages))))
            }
            Poll::Ready(Ok(None)) => {
                this.done = true;
                both.heard = Instant::now();
                Poll::Ready(None)
            }
            Poll::Ready(Err(fault)) => {
                this.done = true;
                // What the client still sends is for the connection to deal with.
                both.body = None;
                both.fault = Some(fault.clone());
                if let Some(receiver) = both.receiver.take() {
                    receiver.wake();
                }
                Poll::Ready(Some(Err(fault)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}
