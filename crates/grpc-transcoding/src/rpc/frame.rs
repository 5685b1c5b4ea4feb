//! gRPC's message framing: a flag, a length in four bytes, the message.
//!
//! Source: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md),
//! "Length-Prefixed-Message".

use bytes::{Buf, Bytes, BytesMut};
use tonic::Status;

use super::gzip;

/// Takes the one message of a unary call.
///
/// `encoding` is the call's `grpc-encoding`.
pub fn unary(body: Bytes, encoding: Option<&[u8]>, limit: usize) -> Result<Bytes, Status> {
    // Nearly always it is all there is, and as it is.
    if let Some(&[0, a, b, c, d]) = body.first_chunk()
        && u32::from_be_bytes([a, b, c, d]) as usize == body.len() - HEADER
        && body.len() - HEADER <= limit
    {
        return Ok(body.slice(HEADER..));
    }
    let mut frames = Frames::new(encoding, limit);
    frames.push(body);
    let message = frames.next()?;
    match (message, frames.rest()) {
        (None, 0) => Err(Status::internal("the call has no message, where one was expected")),
        (None, 1..5) => Err(Status::internal("the message's header is cut off")),
        (None, _) => Err(Status::internal("the message is cut off")),
        (Some(_), 1..) => Err(Status::internal("the call has more than one message, where one was expected")),
        (Some(message), _) => Ok(message),
    }
}

/// How long the header of a message is.
pub const HEADER: usize = 5;

/// Frames a message that was written with room for its header in front.
///
/// # Errors
///
/// RESOURCE_EXHAUSTED if it is longer than 4 GiB.
pub fn frame(mut message: Vec<u8>) -> Result<Bytes, Status> {
    let len = u32::try_from(message.len().saturating_sub(HEADER))
        .map_err(|_| Status::resource_exhausted("the message is longer than gRPC's framing can say"))?;
    if let Some(header) = message.first_chunk_mut::<HEADER>() {
        let [a, b, c, d] = len.to_be_bytes();
        *header = [0, a, b, c, d];
    }
    Ok(message.into())
}

/// Room for a message of about `len` bytes, with its header.
pub fn room(len: usize) -> Vec<u8> {
    let mut room = Vec::with_capacity(HEADER + len);
    room.resize(HEADER, 0);
    room
}

/// Cuts the messages out of a body as it comes. Sans IO.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    encoding: Encoding,
    limit: usize,
}

/// What `grpc-encoding` says.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    None,
    Gzip,
    Unknown,
}

impl Frames {
    pub(crate) fn new(encoding: Option<&[u8]>, limit: usize) -> Self {
        let encoding = match encoding {
            None | Some(b"identity") => Encoding::None,
            Some(b"gzip") => Encoding::Gzip,
            Some(_) => Encoding::Unknown,
        };
        Self { buffer: BytesMut::new(), encoding, limit }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = chunk.into();
        } else {
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// How many bytes are left that are no whole message.
    pub(crate) fn rest(&self) -> usize {
        self.buffer.len()
    }

    /// The next message that is whole.
    ///
    /// # Errors
    ///
    /// INTERNAL if the framing is broken, RESOURCE_EXHAUSTED if a message is
    /// larger than the limit, which is known before it is taken in.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(&[flag, a, b, c, d]) = self.buffer.first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if len > self.limit {
            return Err(Status::resource_exhausted(format!(
                "a message of {len} bytes is larger than the limit of {} bytes",
                self.limit
            )));
        }
        let compressed = match (flag, self.encoding) {
            (0, _) => false,
            (1, Encoding::Gzip) => true,
            // gRPC's compression.md, "Specifically".
            (1, Encoding::None) => return Err(Status::internal("the message is compressed, but has no grpc-encoding")),
            (1, Encoding::Unknown) => {
                return Err(Status::unimplemented("the message is compressed, and not with gzip"));
            }
            (flag, _) => return Err(Status::internal(format!("the message's header begins with {flag}, not 0 or 1"))),
        };
        if self.buffer.len() < HEADER + len {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let message = self.buffer.split_to(len).freeze();
        if !compressed {
            return Ok(Some(message));
        }
        gzip::decompress(&message, self.limit).map(Some).map_err(|error| match error {
            gzip::GzipError::TooLarge => {
                Status::resource_exhausted(format!("a message unpacks to more than the limit of {} bytes", self.limit))
            }
            gzip::GzipError::Malformed => Status::internal("a message is not gzip, as its flag says"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Bytes {
        let mut room = room(message.len());
        room.extend_from_slice(message);
        frame(room).unwrap()
    }

    #[test]
    fn one_message_is_taken_and_anything_else_refused() {
        let take = |bytes: &[u8]| unary(Bytes::copy_from_slice(bytes), None, 1024);
        assert_eq!(take(&framed(b"abc")).unwrap(), &b"abc"[..]);
        assert_eq!(take(&framed(b"")).unwrap(), &b""[..]);
        for (bytes, code) in [
            (&b""[..], tonic::Code::Internal),
            (b"\0\0\0", tonic::Code::Internal),
            (b"\0\0\0\0\x02a", tonic::Code::Internal),
            (b"\0\0\0\0\x01ab", tonic::Code::Internal),
            (b"\x01\0\0\0\x01a", tonic::Code::Internal),
            (b"\x02\0\0\0\x01a", tonic::Code::Internal),
            (b"\0\xff\0\0\0", tonic::Code::ResourceExhausted),
        ] {
            assert_eq!(take(bytes).unwrap_err().code(), code, "{bytes:?}");
        }
    }

    #[test]
    fn compressed_messages_are_unpacked_up_to_the_limit() {
        let packed = gzip::compress(&[b'a'; 1000]);
        let mut framed = framed(&packed).to_vec();
        framed[0] = 1;
        let framed = Bytes::from(framed);
        assert_eq!(unary(framed.clone(), Some(b"gzip"), 1000).unwrap(), vec![b'a'; 1000]);
        assert_eq!(unary(framed, Some(b"gzip"), 999).unwrap_err().code(), tonic::Code::ResourceExhausted);
        let unknown = unary(Bytes::from_static(b"\x01\0\0\0\x01a"), Some(b"zstd"), 9).unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::Unimplemented);
        let broken = unary(Bytes::from_static(b"\x01\0\0\0\x01a"), Some(b"gzip"), 9).unwrap_err();
        assert_eq!(broken.code(), tonic::Code::Internal);
    }

    #[test]
    fn messages_come_in_any_pieces() {
        let whole = [framed(b"ab"), framed(b""), framed(b"cde")].concat();
        for piece in 1..=whole.len() {
            let mut frames = Frames::new(None, 10);
            let mut found = Vec::new();
            for chunk in whole.chunks(piece) {
                frames.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = frames.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!((found, frames.rest()), (vec![b"ab"[..].into(), Bytes::new(), b"cde"[..].into()], 0), "{piece}");
        }
    }
}
