//! How many bytes of bodies all requests together may hold.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BoxError, inner::BoxBody};

/// What each request has besides: so those with small bodies are served while large ones
/// hold everything.
const FREE: usize = 16 * 1024;

/// What is counted at a time, in bytes.
const UNIT: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

/// What one request holds, until this is dropped.
pub(super) struct Share {
    budget: Budget,
    size: usize,
    held: Option<OwnedSemaphorePermit>,
    refused: bool,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), size: 0, held: None, refused: false }
    }
}

impl Share {
    /// Takes room for so many more bytes; whether there is any.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.size = self.size.saturating_add(bytes);
        let needed = self.size.saturating_sub(FREE).div_ceil(UNIT);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = needed.checked_sub(held).filter(|more| *more > 0) else { return true };
        let taken =
            u32::try_from(more).ok().and_then(|more| Arc::clone(&self.budget.0).try_acquire_many_owned(more).ok());
        let Some(taken) = taken else {
            self.refused = true;
            return false;
        };
        match &mut self.held {
            None => self.held = Some(taken),
            Some(held) => held.merge(taken),
        }
        true
    }

    /// Takes more room, or gives some back, so that it is so many bytes; whether there is
    /// enough.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.size) {
            return self.grow(more);
        }
        self.size = bytes;
        let needed = bytes.saturating_sub(FREE).div_ceil(UNIT);
        if let Some(held) = &mut self.held {
            drop(held.split(held.num_permits().saturating_sub(needed)));
        }
        true
    }

    /// Whether there was no room at some time.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }
}

/// A body that takes room as it comes, and ends with an error where there is none.
pub(super) struct Charged<'a> {
    pub(super) body: BoxBody,
    pub(super) share: &'a mut Share,
}

impl Body for Charged<'_> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        let size = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if !this.share.grow(size) {
            return Poll::Ready(Some(Err("there is no room for it".into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_have_room_while_large_ones_hold_all() {
        let budget = Budget::new(8 * UNIT);
        let mut large = budget.share();
        assert!(large.grow(FREE) && large.grow(8 * UNIT) && !large.is_refused());
        let mut other = budget.share();
        assert!(other.grow(FREE));
        assert!(!other.grow(1) && other.is_refused());
        // What is given back is there for others.
        assert!(large.resize(FREE + 7 * UNIT) && large.resize(0));
        assert!(other.resize(FREE + 8 * UNIT) && other.resize(FREE + 7 * UNIT));
        assert!(large.resize(FREE + UNIT) && !large.resize(FREE + UNIT + 1));
        drop((large, other));
        assert!(budget.share().grow(FREE + 8 * UNIT));
    }
}
