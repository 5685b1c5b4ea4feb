//! gzip of bodies and messages, by flate2.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write};

/// Why bytes cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GzipError {
    /// They unpack to more than is allowed.
    TooLarge,
    Malformed,
}

/// Unpacks a body as it comes.
#[derive(Debug)]
pub(crate) struct Unpacker {
    decoder: write::MultiGzDecoder<Bounded>,
}

/// A buffer that takes no more than its limit between two takings.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn reason(error: &std::io::Error) -> GzipError {
    if error.kind() == std::io::ErrorKind::OutOfMemory { GzipError::TooLarge } else { GzipError::Malformed }
}

impl Unpacker {
    /// What one chunk may unpack to: gzip packs at most some 1,000 times, and
    /// chunks are [`Unpacker::CHUNK`] bytes.
    const LIMIT: usize = 2 * 1024 * Self::CHUNK;

    /// How many packed bytes to push at a time, so that what they unpack to is
    /// bounded.
    pub(crate) const CHUNK: usize = 1024;

    pub(crate) fn new() -> Self {
        Self { decoder: write::MultiGzDecoder::new(Bounded { bytes: Vec::new(), limit: Self::LIMIT }) }
    }

    /// Unpacks a chunk: what it gives, with what came before.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, GzipError> {
        self.decoder.write_all(chunk).and_then(|()| self.decoder.flush()).map_err(|error| reason(&error))?;
        Ok(std::mem::take(&mut self.decoder.get_mut().bytes))
    }

    /// Checks that the end is an end.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, GzipError> {
        self.decoder.try_finish().map_err(|error| reason(&error))?;
        Ok(std::mem::take(&mut self.decoder.get_mut().bytes))
    }
}

/// Unpacks a whole body of up to `limit` bytes.
pub(crate) fn decompress(bytes: &[u8], limit: usize) -> Result<Bytes, GzipError> {
    let mut decoder = write::MultiGzDecoder::new(Bounded { bytes: Vec::new(), limit });
    decoder.write_all(bytes).map_err(|error| reason(&error))?;
    decoder.finish().map(|out| out.bytes.into()).map_err(|error| reason(&error))
}

/// Packs a body.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    // Writing into a vector does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
