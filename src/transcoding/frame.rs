//! gRPC's message framing: a flag, a length in four bytes, the message.
//!
//! Source: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md),
//! "Length-Prefixed-Message".

use bytes::{BufMut, Bytes, BytesMut};
use tonic::Status;

/// Takes the one message of a unary call.
pub(crate) fn unary(mut body: Bytes) -> Result<Bytes, Status> {
    if body.is_empty() {
        return Err(Status::internal("the call has no message, where one was expected"));
    }
    if body.len() < 5 {
        return Err(Status::internal("the message's header is cut off"));
    }
    match body[0] {
        0 => {}
        1 => return Err(Status::unimplemented("compressed messages are not supported; send them without compression")),
        flag => return Err(Status::internal(format!("the message's header begins with {flag}, not 0 or 1"))),
    }
    let len = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
    match body.len() - 5 {
        have if have < len => Err(Status::internal("the message is cut off")),
        have if have > len => Err(Status::internal("the call has more than one message, where one was expected")),
        _ => Ok(body.split_off(5)),
    }
}

/// Frames a message.
pub(crate) fn frame(message: &[u8]) -> Result<Bytes, Status> {
    let len = u32::try_from(message.len())
        .map_err(|_| Status::resource_exhausted("the message is longer than gRPC's framing can say"))?;
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(len);
    framed.put_slice(message);
    Ok(framed.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_taken_and_anything_else_refused() {
        assert_eq!(unary(frame(b"abc").unwrap()).unwrap(), &b"abc"[..]);
        assert_eq!(unary(frame(b"").unwrap()).unwrap(), &b""[..]);
        for (bytes, code) in [
            (&b""[..], tonic::Code::Internal),
            (b"\0\0\0", tonic::Code::Internal),
            (b"\0\0\0\0\x02a", tonic::Code::Internal),
            (b"\0\0\0\0\x01ab", tonic::Code::Internal),
            (b"\x01\0\0\0\x01a", tonic::Code::Unimplemented),
            (b"\x02\0\0\0\x01a", tonic::Code::Internal),
        ] {
            assert_eq!(unary(Bytes::from_static(bytes)).unwrap_err().code(), code, "{bytes:?}");
        }
    }
}
