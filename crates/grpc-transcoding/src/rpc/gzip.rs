//! gzip of bodies and messages, by flate2.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzDecoder, GzEncoder},
};

/// Why bytes cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GzipError {
    /// They unpack to more than is allowed.
    TooLarge,
    Malformed,
}

/// How many small members there may be. gzip data may be members one after another, each
/// of which needs a decoder of its own: many that hold nothing would cost much time for
/// few bytes.
const SMALL_MEMBERS: u32 = 1_000;

/// Unpacks the members of gzip data.
#[derive(Debug)]
struct Members {
    member: GzDecoder<Bounded>,
    /// A member that unpacks to fewer bytes is small.
    small: usize,
    small_members: u32,
}

/// A buffer that takes no more than its limit between two takings.
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    /// How many bytes the member has given that is being read.
    member: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        self.member += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Members {
    fn new(limit: usize, small: usize) -> Self {
        let out = Bounded { limit, ..Bounded::default() };
        Self { member: GzDecoder::new(out), small, small_members: 0 }
    }

    fn push(&mut self, mut packed: &[u8]) -> Result<(), GzipError> {
        while !packed.is_empty() {
            match self.member.write(packed).map_err(|error| reason(&error))? {
                // The member has ended: what is left belongs to the next.
                0 => self.begin_next()?,
                len => packed = &packed[len..],
            }
        }
        self.member.flush().map_err(|error| reason(&error))
    }

    fn begin_next(&mut self) -> Result<(), GzipError> {
        self.member.try_finish().map_err(|error| reason(&error))?;
        let mut out = std::mem::take(self.member.get_mut());
        self.small_members += u32::from(std::mem::take(&mut out.member) < self.small);
        if self.small_members > SMALL_MEMBERS {
            return Err(GzipError::Malformed);
        }
        self.member = GzDecoder::new(out);
        Ok(())
    }

    /// Checks that the end is an end.
    fn finish(&mut self) -> Result<(), GzipError> {
        self.member.try_finish().map_err(|error| reason(&error))
    }

    /// What is unpacked since it was last taken.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.member.get_mut().bytes)
    }
}

fn reason(error: &io::Error) -> GzipError {
    if error.kind() == io::ErrorKind::OutOfMemory { GzipError::TooLarge } else { GzipError::Malformed }
}

/// Unpacks a body as it comes, which is packed once or several times.
#[derive(Debug)]
pub(crate) struct Unpacker {
    /// In the order in which they unpack.
    layers: Vec<Layer>,
    /// Something came. A body of no bytes is not packed, whatever its headers say.
    begun: bool,
}

#[derive(Debug)]
struct Layer {
    members: Members,
    /// What came and is not unpacked yet.
    packed: Bytes,
    finished: bool,
}

impl Unpacker {
    /// What one chunk may unpack to: gzip packs at most some 1,000 times.
    const LIMIT: usize = 2 * 1024 * Self::CHUNK;

    /// How many packed bytes are unpacked at a time, so that what they unpack to is
    /// bounded.
    const CHUNK: usize = 1024;

    pub(crate) fn new(times: usize) -> Self {
        // A stream may well be members of a few bytes each; those that are empty are of
        // no use to it.
        let layer = || Layer { members: Members::new(Self::LIMIT, 1), packed: Bytes::new(), finished: false };
        Self { layers: (0..times).map(|_| layer()).collect(), begun: false }
    }

    /// Whether the body is not packed at all.
    pub(crate) fn is_plain(&self) -> bool {
        self.layers.is_empty()
    }

    /// Takes what comes. It is to be called when [`next`](Self::next) gives nothing.
    pub(crate) fn push(&mut self, packed: Bytes) {
        if let Some(first) = self.layers.first_mut() {
            self.begun |= !packed.is_empty();
            first.packed = packed;
        }
    }

    /// Unpacks a little more of what came, so that the messages in it can be passed on
    /// before there is more; `None` if all of it is unpacked.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, GzipError> {
        // The last layer that has something makes room for those before it.
        while let Some(at) = self.layers.iter().rposition(|layer| !layer.packed.is_empty()) {
            let layer = &mut self.layers[at];
            let chunk = layer.packed.split_to(layer.packed.len().min(Self::CHUNK));
            layer.members.push(&chunk)?;
            let unpacked = Bytes::from(layer.members.take());
            match self.layers.get_mut(at + 1) {
                Some(inner) => inner.packed = unpacked,
                None if unpacked.is_empty() => {}
                None => return Ok(Some(unpacked)),
            }
        }
        Ok(None)
    }

    /// The same at the end of the body, where each layer must have come to its end.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, GzipError> {
        while self.begun {
            if let Some(unpacked) = self.next()? {
                return Ok(Some(unpacked));
            }
            let Some(at) = self.layers.iter().position(|layer| !layer.finished) else { return Ok(None) };
            let layer = &mut self.layers[at];
            layer.finished = true;
            layer.members.finish()?;
            let rest = Bytes::from(layer.members.take());
            match self.layers.get_mut(at + 1) {
                Some(inner) => inner.packed = rest,
                None if rest.is_empty() => {}
                None => return Ok(Some(rest)),
            }
        }
        Ok(None)
    }
}

/// Unpacks a whole body of up to `limit` bytes.
pub(crate) fn decompress(bytes: &[u8], limit: usize) -> Result<Bytes, GzipError> {
    let mut members = Members::new(limit, 1024);
    members.push(bytes)?;
    members.finish()?;
    Ok(members.take().into())
}

/// Packs a body.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    // Writing into a vector does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body unpacks to that comes in pieces of a size.
    fn unpack(packed: &[u8], times: usize, piece: usize) -> Result<Vec<u8>, GzipError> {
        let mut unpacker = Unpacker::new(times);
        let mut found = Vec::new();
        for piece in packed.chunks(piece) {
            unpacker.push(Bytes::copy_from_slice(piece));
            while let Some(unpacked) = unpacker.next()? {
                found.extend_from_slice(&unpacked);
            }
        }
        while let Some(unpacked) = unpacker.finish()? {
            found.extend_from_slice(&unpacked);
        }
        Ok(found)
    }

    #[test]
    fn layers_are_undone_one_after_another_in_any_pieces() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|at| at.to_string().into_bytes()).collect();
        let mut packed = text.clone();
        for times in 1..=3 {
            packed = compress(&packed);
            for piece in [7, 1000, packed.len()] {
                assert_eq!(unpack(&packed, times, piece), Ok(text.clone()), "{times} by {piece}");
            }
            let cut = &packed[..packed.len() - 1];
            assert_eq!(unpack(cut, times, 1000), Err(GzipError::Malformed), "{times}");
            assert_eq!(unpack(b"", times, 1), Ok(Vec::new()), "{times}");
        }
    }

    #[test]
    fn members_are_joined_and_many_small_ones_refused() {
        let two = [compress(b"ab"), compress(b"cd")].concat();
        assert_eq!((decompress(&two, 4), unpack(&two, 1, 3)), (Ok(Bytes::from_static(b"abcd")), Ok(b"abcd".to_vec())));
        assert_eq!(decompress(&two, 3), Err(GzipError::TooLarge));
        let empty = compress(b"").repeat(SMALL_MEMBERS as usize + 2);
        assert_eq!(decompress(&empty, 4), Err(GzipError::Malformed));
        assert_eq!(unpack(&empty, 1, 1000), Err(GzipError::Malformed));
        // A stream of events, each a member, has no end to their number.
        let events = compress(b"a").repeat(SMALL_MEMBERS as usize + 2);
        assert_eq!(unpack(&events, 1, 1000).unwrap().len(), SMALL_MEMBERS as usize + 2);
        assert_eq!(decompress(&events, 10_000), Err(GzipError::Malformed));
        let large = compress(&[b'a'; 1024]).repeat(2_000);
        assert_eq!(decompress(&large, 4 << 20).unwrap().len(), 1024 * 2_000);
    }
}
