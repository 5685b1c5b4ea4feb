//! The end of a call on which nothing comes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::{BoxError, inner::BoxBody};
use crate::rpc::response;

/// How long nothing has come.
pub(super) struct Silence(Option<(Pin<Box<Sleep>>, Duration)>);

impl Silence {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self(limit.map(|limit| (Box::pin(tokio::time::sleep(limit)), limit)))
    }

    /// Something came.
    pub(super) fn broken(&mut self) {
        if let Some((end, limit)) = &mut self.0
            && let Some(next) = Instant::now().checked_add(*limit)
        {
            end.as_mut().reset(next);
        }
    }

    /// Something came at that time.
    pub(super) fn broken_at(&mut self, time: Instant) {
        if let Some((end, limit)) = &mut self.0
            && let Some(next) = time.checked_add(*limit).filter(|next| *next > end.deadline())
        {
            end.as_mut().reset(next);
        }
    }

    /// The status of a call on which nothing has come for too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some((end, limit)) = &mut self.0 else { return Poll::Pending };
        let limit = *limit;
        let status = |()| Status::deadline_exceeded(format!("nothing came from the server for {limit:?}"));
        end.as_mut().poll(context).map(status)
    }
}

/// The body of a gRPC response, which ends with DEADLINE_EXCEEDED if nothing comes for too
/// long.
pub(super) struct Idle {
    body: BoxBody,
    silence: Silence,
    over: bool,
}

impl Idle {
    pub(super) fn new(body: BoxBody, limit: Option<Duration>) -> Self {
        Self { body, silence: Silence::new(limit), over: false }
    }
}

impl Body for Idle {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.silence.broken();
                Poll::Ready(frame)
            }
            Poll::Pending => this.silence.poll(context).map(|status| {
                this.over = true;
                Some(Ok(Frame::trailers(response::trailers(&status))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::{super::inner::boxed, *};

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_nothing_has_come_for_too_long() {
        let pieces = futures_util::stream::unfold(0, |count| async move {
            match count {
                3 => std::future::pending().await,
                _ => tokio::time::sleep(Duration::from_secs(50)).await,
            }
            Some((Ok::<_, Status>(Frame::data(Bytes::from_static(b"a"))), count + 1))
        });
        let body = Idle::new(boxed(StreamBody::new(pieces)), Some(Duration::from_secs(60)));
        let begun = Instant::now();
        let whole = body.collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "4");
        assert_eq!((whole.to_bytes().len(), begun.elapsed().as_secs()), (3, 210));
    }
}
