//! A request's body that can be sent once more.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Status, body::Body};

/// How much of a body is remembered that may come from a stranger, whatever length it
/// says that it has.
const REMEMBERED: usize = 256 * 1024;

/// A body, as one attempt to send it sees it. It remembers what it gave, up to a
/// limit, for the next attempt.
pub(super) struct Replay {
    source: Arc<Mutex<Source>>,
    attempt: u32,
}

/// Keeps a body from one attempt to the next.
pub(super) struct Keeper(Arc<Mutex<Source>>);

struct Source {
    body: Body,
    /// The length of the whole, where it is known.
    length: SizeHint,
    /// How much is remembered at most.
    limit: usize,
    given: Vec<Bytes>,
    size: usize,
    /// How many of the pieces given before this attempt has sent.
    at: usize,
    /// Everything that was given is remembered.
    whole: bool,
    ended: bool,
    attempt: u32,
}

impl Keeper {
    /// Keeps a body. One of a known length that is `held` in memory anyway, a message of
    /// this process, is remembered whole.
    pub(super) fn new(body: Body, held: bool) -> Self {
        let length = body.size_hint();
        let limit = if held && length.exact().is_some() { usize::MAX } else { REMEMBERED };
        let (given, size, at) = (Vec::new(), 0, 0);
        let source = Source { body, length, limit, given, size, at, whole: true, ended: false, attempt: 0 };
        Self(Arc::new(Mutex::new(source)))
    }

    /// The body for the next attempt, from its beginning; `None` if not all of it is
    /// remembered. The attempt before gets no more of it.
    pub(super) fn attempt(&self) -> Option<Replay> {
        let mut source = lock(&self.0);
        if !source.whole {
            return None;
        }
        source.attempt += 1;
        source.at = 0;
        Some(Replay { source: Arc::clone(&self.0), attempt: source.attempt })
    }
}

impl Drop for Keeper {
    /// There will be no other attempt.
    fn drop(&mut self) {
        let mut source = lock(&self.0);
        source.whole = false;
        if source.at == source.given.len() {
            (source.given, source.at) = (Vec::new(), 0);
        }
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut source = lock(&self.source);
        let source = &mut *source;
        if source.attempt != self.attempt {
            return Poll::Ready(None);
        }
        if let Some(piece) = source.given.get(source.at).cloned() {
            source.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if source.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut source.body).poll_frame(context));
        match &frame {
            None => source.ended = true,
            Some(Ok(frame)) if source.whole => match frame.data_ref() {
                Some(piece) if source.size.saturating_add(piece.len()) <= source.limit => {
                    source.size += piece.len();
                    source.given.push(piece.clone());
                    source.at = source.given.len();
                }
                _ => source.forget(),
            },
            Some(_) => source.forget(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        source.at == source.given.len() && (source.ended || source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        if source.whole && source.at == 0 { source.length } else { SizeHint::default() }
    }
}

impl Source {
    fn forget(&mut self) {
        self.whole = false;
        (self.given, self.at) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn pieces(count: usize, size: usize) -> Body {
        let pieces = (0..count).map(move |_| Ok::<_, Status>(Frame::data(Bytes::from(vec![7; size]))));
        Body::new(StreamBody::new(futures_util::stream::iter(pieces)))
    }

    #[tokio::test]
    async fn a_body_is_sent_again_from_its_beginning_while_it_is_remembered() {
        let large = || Body::new(Full::from(vec![1; 2 * REMEMBERED]));
        for (body, held, length, again) in [
            (large(), true, 2 * REMEMBERED, true),
            // The length may be a stranger's word.
            (large(), false, 2 * REMEMBERED, false),
            (pieces(3, 1_000), true, 3_000, true),
            (pieces(4, REMEMBERED / 2), true, 2 * REMEMBERED, false),
            (Body::empty(), false, 0, true),
        ] {
            let keeper = Keeper::new(body, held);
            assert_eq!(keeper.attempt().unwrap().collect().await.unwrap().to_bytes().len(), length);
            let second = keeper.attempt();
            assert_eq!(second.is_some(), again, "{length}, {held}");
            if let Some(second) = second {
                assert_eq!(second.collect().await.unwrap().to_bytes().len(), length);
            }
        }
    }

    #[tokio::test]
    async fn an_attempt_that_broke_off_takes_nothing_from_the_next() {
        let keeper = Keeper::new(pieces(3, 10), false);
        let mut first = keeper.attempt().unwrap();
        first.frame().await.unwrap().unwrap();
        let mut second = keeper.attempt().unwrap();
        assert!(first.frame().await.is_none());
        second.frame().await.unwrap().unwrap();
        drop(keeper);
        assert_eq!(second.collect().await.unwrap().to_bytes().len(), 20);
    }
}
