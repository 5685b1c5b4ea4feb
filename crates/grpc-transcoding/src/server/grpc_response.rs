//! The messages of a gRPC response, as they come, and the status at its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;
use tonic::Status;

use super::{idle::Silence, inner::BoxBody, request_stream::Requests};
use crate::rpc::{
    chain,
    deadline::{Deadline, Expiry},
    frame::Frames,
    response::{self, GRPC_ENCODING},
};

pub(super) struct GrpcResponse {
    body: BoxBody,
    frames: Frames,
    expiry: Expiry,
    silence: Silence,
    /// The stream that it is the response to.
    requests: Option<Requests>,
    /// What the trailers, or the headers in their place, say.
    status: Option<Status>,
    ended: bool,
}

impl GrpcResponse {
    /// Takes the headers off a response.
    ///
    /// # Errors
    ///
    /// The status of a response that has failed already.
    pub(super) fn new(
        response: Response<BoxBody>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<(HeaderMap, Self), Status> {
        let (head, body) = response.into_parts();
        let status = response::status(&head.headers);
        if let Some(failed) = status.clone().filter(|status| status.code() != tonic::Code::Ok) {
            return Err(failed);
        }
        let frames = Frames::new(head.headers.get(&GRPC_ENCODING).map(HeaderValue::as_bytes), limit);
        let silence = Silence::new(None);
        let expiry = deadline.expiry();
        let (requests, ended) = (None, false);
        Ok((head.headers, Self { body, frames, expiry, silence, requests, status, ended }))
    }

    /// Ends the response if nothing comes for so long.
    pub(super) fn limit_silence(&mut self, limit: Option<std::time::Duration>) {
        self.silence = Silence::new(limit);
    }

    /// Makes it the response to a stream of requests: a fault of that is its outcome, and
    /// its end is the end of that.
    pub(super) fn answer(&mut self, requests: Requests) {
        self.requests = Some(requests);
    }

    /// The next message; `None` at the end of a response that is a success.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.frames.next()? {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.ended {
                return Poll::Ready(self.end());
            }
            if let Some(expired) = self.expiry.passed() {
                return Poll::Ready(Err(expired));
            }
            let frame = Pin::new(&mut self.body).poll_frame(context);
            if let Some(requests) = &self.requests {
                // To poll the response may be what has found the fault.
                if let Poll::Ready(fault) = requests.poll_fault(context) {
                    return Poll::Ready(Err(fault));
                }
                self.silence.broken_at(requests.heard());
            }
            let frame = match frame {
                Poll::Ready(frame) => frame,
                Poll::Pending => match self.expiry.poll(context) {
                    Poll::Ready(expired) => return Poll::Ready(Err(expired)),
                    Poll::Pending => return self.silence.poll(context).map(Err),
                },
            };
            self.silence.broken();
            match frame {
                Some(Ok(piece)) => match piece.into_data() {
                    Ok(data) => self.frames.push(data),
                    Err(piece) => {
                        let trailers = piece.into_trailers().unwrap_or_default();
                        self.status = response::status(&trailers).or(self.status.take());
                    }
                },
                Some(Err(error)) => {
                    let cause = chain(&*error);
                    return Poll::Ready(Err(Status::unavailable(format!("the response broke off: {cause}"))));
                }
                None => self.ended = true,
            }
        }
    }

    /// Gives up the rest of the requests.
    pub(super) fn end_requests(&mut self) {
        self.requests = None;
    }

    fn end(&self) -> Result<Option<Bytes>, Status> {
        match &self.status {
            Some(status) if status.code() != tonic::Code::Ok => Err(status.clone()),
            Some(_) if self.frames.rest() > 0 => Err(Status::internal("the response's last message is cut off")),
            Some(_) => Ok(None),
            None => Err(Status::unknown("the backend's response has no grpc-status; it is not a gRPC server")),
        }
    }

    /// The one message of a unary call.
    pub(super) async fn one(&mut self) -> Result<Bytes, Status> {
        let message = self.next().await?;
        let message = message.ok_or_else(|| Status::internal("the backend's response has no message"))?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(Status::internal("the backend sent more than one message for a unary call")),
        }
    }
}
