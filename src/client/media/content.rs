//! Where the bytes of an upload come from, and which of them are in memory.

use std::{io, path::PathBuf, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt},
};
use tonic::{Code, Status};

/// What is to be uploaded.
pub(super) enum Content {
    File(PathBuf),
    Bytes(Bytes),
    /// A reader, and how many bytes it gives.
    Reader(Pin<Box<dyn AsyncRead + Send>>, Option<u64>),
}

/// Content that is open, and those of its bytes that are in memory.
pub(super) struct Window {
    source: Source,
    length: Option<u64>,
    /// The place of the first byte that is held.
    start: u64,
    held: Bytes,
    /// Nothing comes after what is held.
    ended: bool,
}

enum Source {
    File(File),
    Bytes(Bytes),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
}

/// How much more than what is needed may be read at once.
const SLACK: usize = 8 * 1024;

impl Content {
    /// Opens the content.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) async fn open(self) -> Result<Window, Status> {
        let (source, length) = match self {
            Self::Bytes(bytes) => {
                let length = Some(bytes.len() as u64);
                let (source, held) = (Source::Bytes(bytes.clone()), bytes);
                return Ok(Window { source, length, start: 0, held, ended: true });
            }
            Self::File(path) => {
                let unreadable = |error: io::Error| unreadable(&format!("the file {}", path.display()), error);
                let file = File::open(&path).await.map_err(unreadable)?;
                let metadata = file.metadata().await.map_err(unreadable)?;
                if metadata.is_dir() {
                    return Err(unreadable(io::ErrorKind::IsADirectory.into()));
                }
                // A pipe has no length, and none of the things of the kind can go back. Some files
                // that are made as they are read, such as those of /proc, say that they are empty.
                match metadata.is_file() {
                    true => (Source::File(file), Some(metadata.len()).filter(|length| *length > 0)),
                    false => (Source::Reader(Box::pin(file)), None),
                }
            }
            Self::Reader(reader, length) => (Source::Reader(reader), length),
        };
        Ok(Window { source, length, start: 0, held: Bytes::new(), ended: false })
    }
}

impl Window {
    /// How many bytes there are, as soon as that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.length.or_else(|| self.ended.then(|| self.end()))
    }

    /// The place of the first byte that is held.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// What is held.
    pub(super) fn held(&self) -> &Bytes {
        &self.held
    }

    /// Whether nothing comes after what is held.
    pub(super) fn is_last(&self) -> bool {
        self.ended
    }

    fn end(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    /// Reads until more than `size` bytes are held, or all that are left: thus it is known
    /// whether the first `size` of them are the last.
    ///
    /// # Errors
    ///
    /// If the content cannot be read, has not the length that it was to have, or goes beyond
    /// `limit` bytes.
    pub(super) async fn fill(&mut self, size: usize, limit: u64) -> Result<(), Status> {
        if self.ended || self.held.len() > size {
            return Ok(());
        }
        // A copy of what is left over, so that the memory around it is free before more is used.
        let rest = std::mem::take(&mut self.held).to_vec();
        // What goes on behind its own length is refused, and none of it is read before.
        let most = limit.min(self.length.unwrap_or(limit));
        let left = most.saturating_sub(self.start);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        let mut held = BytesMut::with_capacity(room.max(rest.len()).saturating_add(SLACK));
        held.extend_from_slice(&rest);
        drop(rest);
        let outcome = loop {
            let read = match &mut self.source {
                Source::File(file) => file.read_buf(&mut held).await,
                Source::Reader(reader) => reader.read_buf(&mut held).await,
                Source::Bytes(_) => Ok(0),
            };
            match read {
                Ok(0) => {
                    self.ended = true;
                    break Ok(());
                }
                Ok(_) if held.len() > size || self.start + held.len() as u64 > most => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(unreadable("the content", error)),
            }
        };
        // What was read stays, so that a later call goes on behind it.
        self.held = held.freeze();
        outcome?;
        let end = self.end();
        if let Some(length) = self.length
            && (end > length || self.ended && end < length)
        {
            let more = if end > length { "more" } else { "fewer" };
            return Err(Status::failed_precondition(format!(
                "the content has {more} than the {length} bytes that it was to have: it was changed while it was \
                 read, or its length was given wrongly; upload it again"
            )));
        }
        if end > limit {
            return Err(too_large(limit));
        }
        Ok(())
    }

    /// Makes the byte at `place` the first that is held.
    ///
    /// # Errors
    ///
    /// If the content cannot be read there.
    pub(super) async fn seek(&mut self, place: u64) -> Result<(), Status> {
        if (self.start..=self.end()).contains(&place) {
            // It fits, since it is not more than is held.
            self.held = self.held.slice((place - self.start) as usize..);
            self.start = place;
            return Ok(());
        }
        match &mut self.source {
            Source::Bytes(whole) => {
                let at = usize::try_from(place).unwrap_or(usize::MAX).min(whole.len());
                self.held = whole.slice(at..);
            }
            Source::File(file) => {
                file.seek(io::SeekFrom::Start(place)).await.map_err(|error| unreadable("the file", error))?;
                (self.held, self.ended) = (Bytes::new(), false);
            }
            Source::Reader(_) => {
                return Err(Status::new(
                    Code::Aborted,
                    format!(
                        "the server has lost what it was sent, and the reader cannot go back to byte {place}; begin \
                         again with a new reader, or upload a file or bytes"
                    ),
                ));
            }
        }
        self.start = place;
        Ok(())
    }
}

/// The content has more bytes than an attachment may have.
pub(super) fn too_large(limit: u64) -> Status {
    Status::invalid_argument(format!(
        "the content has more than {limit} bytes, which is the most that an attachment may have; put it into Google \
         Drive and link it"
    ))
}

fn unreadable(what: &str, error: io::Error) -> Status {
    let mut status = Status::failed_precondition(format!("{what} cannot be read: {error}"));
    status.set_source(Arc::new(error));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000;

    fn reader(bytes: &'static [u8], length: Option<u64>) -> Content {
        Content::Reader(Box::pin(bytes), length)
    }

    #[tokio::test]
    async fn a_window_holds_no_more_than_it_is_asked_for_and_goes_on() {
        let bytes: &'static [u8] = Box::leak((0..=255).cycle().take(100_000).collect::<Vec<u8>>().into_boxed_slice());
        let mut window = reader(bytes, None).open().await.unwrap();
        let mut read = Vec::new();
        while !window.is_last() {
            window.fill(20_000, u64::MAX).await.unwrap();
            assert!(window.held().len() <= 20_000 + SLACK);
            assert_eq!(window.total().is_some(), window.is_last());
            let taken = window.held().len().min(20_000);
            read.extend_from_slice(&window.held()[..taken]);
            window.seek(window.start() + taken as u64).await.unwrap();
        }
        read.extend_from_slice(window.held());
        assert_eq!((&*read, window.total()), (bytes, Some(100_000)));
    }

    #[tokio::test]
    async fn bytes_and_files_go_back_and_readers_do_not() {
        let path = std::env::temp_dir().join(format!("google-chat-window-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        for content in [Content::Bytes(Bytes::from_static(b"0123456789")), Content::File(path.clone())] {
            let mut window = content.open().await.unwrap();
            for (place, rest) in [(7, "789"), (0, "0123456789"), (10, ""), (3, "3456789")] {
                window.seek(place).await.unwrap();
                window.fill(20, LIMIT).await.unwrap();
                assert_eq!((&**window.held(), window.total()), (rest.as_bytes(), Some(10)));
            }
        }
        std::fs::remove_file(path).unwrap();
        let mut window = reader(b"0123456789", None).open().await.unwrap();
        window.fill(3, LIMIT).await.unwrap();
        window.seek(2).await.unwrap();
        assert!(window.seek(0).await.unwrap_err().message().contains("cannot go back to byte 0"));
    }

    #[tokio::test]
    async fn a_file_that_says_it_is_empty_is_read() {
        let path = std::env::temp_dir().join(format!("google-chat-empty-{}", std::process::id()));
        std::fs::write(&path, b"").unwrap();
        let mut window = Content::File(path.clone()).open().await.unwrap();
        window.fill(20, LIMIT).await.unwrap();
        assert_eq!((window.held().len(), window.total(), window.is_last()), (0, Some(0), true));
        std::fs::remove_file(path).unwrap();
        if cfg!(target_os = "linux") {
            let mut window = Content::File("/proc/self/stat".into()).open().await.unwrap();
            window.fill(100_000, 100_000).await.unwrap();
            assert!(window.is_last() && window.total().is_some_and(|total| total > 0), "{:?}", window.held());
        }
    }

    #[tokio::test]
    async fn content_of_another_length_or_too_much_of_it_is_refused() {
        for (length, limit, problem) in [
            (Some(11), LIMIT, "fewer than the 11 bytes"),
            (Some(9), LIMIT, "more than the 9 bytes"),
            (None, 9, "has more than 9 bytes"),
        ] {
            let mut window = reader(b"0123456789", length).open().await.unwrap();
            let status = window.fill(100, limit).await.unwrap_err();
            assert!(status.message().contains(problem), "{status}");
        }
        // No more is read than shows it.
        let mut window = Content::Reader(Box::pin(tokio::io::repeat(0)), Some(9)).open().await.unwrap();
        let status = window.fill(usize::MAX, 10_000_000).await.unwrap_err();
        assert!(status.message().contains("more than the 9 bytes"), "{status}");
        assert!(window.held().len() <= 9 + SLACK, "{}", window.held().len());
        let missing = Content::File("/there/is/no/such/file".into()).open().await.err().unwrap();
        assert!(missing.message().starts_with("the file /there/is/no/such/file cannot be read: "), "{missing}");
        assert!(std::error::Error::source(&missing).is_some());
    }
}
