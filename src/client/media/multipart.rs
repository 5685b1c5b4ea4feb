//! An upload in one request: the metadata and the content, as the two parts of a body.
//!
//! Source: RFC 2387, "The MIME Multipart/Related Content-type".

use bytes::{BufMut, Bytes, BytesMut};

/// Makes the body. `boundary` must not be in the content.
pub(super) fn body(boundary: &str, json: &[u8], content_type: &str, content: &[u8]) -> Bytes {
    let head = format!("--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n");
    let middle = format!("\r\n--{boundary}\r\ncontent-type: {content_type}\r\n\r\n");
    let end = format!("\r\n--{boundary}--\r\n");
    let size = head.len() + json.len() + middle.len() + content.len() + end.len();
    let mut body = BytesMut::with_capacity(size);
    for piece in [head.as_bytes(), json, middle.as_bytes(), content, end.as_bytes()] {
        body.put(piece);
    }
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_two_parts() {
        let expected = "--b\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{}\r\n--b\r\ncontent-type: \
                        image/png\r\n\r\n\u{1}\r\n\r\n--b--\r\n";
        assert_eq!(body("b", b"{}", "image/png", b"\x01\r\n"), expected);
    }
}
