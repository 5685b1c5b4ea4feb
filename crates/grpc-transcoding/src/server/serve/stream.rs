//! A client's connection, as HTTP reads and writes it.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::connections::Entry;

/// How much is read, and for how long, of what a client still sends to a connection that
/// is closed. Without that the system would answer it with a reset, which may overtake
/// the response on the way.
const LINGER: (usize, Duration) = (8 * 1024 * 1024, Duration::from_secs(1));

/// Gives first what was read already; ends if the client takes nothing for too long; and
/// lingers at the end if the client has not sent everything.
pub(super) struct Stream<I> {
    io: I,
    prefix: Bytes,
    entry: Arc<Entry>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<I> Stream<I> {
    pub(super) fn new(io: I, prefix: Bytes, entry: Arc<Entry>, patience: Duration) -> Self {
        Self { io, prefix, entry, patience, stalled: None, lingering: None }
    }

    /// An outcome of writing, or an error if none came for too long.
    fn wrote<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.stalled.take().is_some() {
                self.entry.touch();
            }
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of what is sent to it")))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Stream<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.io).poll_read(context, buffer);
        }
        let len = this.prefix.len().min(buffer.remaining());
        buffer.put_slice(&this.prefix[..len]);
        this.prefix.advance(len);
        // What has come meanwhile goes with it: for so little alone hyper would make the
        // connection's buffer twice as large. An error ends the connection the next time, too.
        if this.prefix.is_empty() && buffer.remaining() > 0 {
            let _ = Pin::new(&mut this.io).poll_read(context, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(context, data);
        this.wrote(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(context, data);
        this.wrote(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(context);
        this.wrote(context, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let outcome = Pin::new(&mut this.io).poll_shutdown(context);
            ready!(this.wrote(context, outcome))?;
        }
        if !this.entry.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let (over, left) = this.lingering.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER.1)), LINGER.0));
        let mut space = [0; 8 * 1024];
        while *left > 0 && over.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut this.io).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *left = left.saturating_sub(buffer.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
