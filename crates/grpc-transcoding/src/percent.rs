//! Percent-encoding, as paths and queries have it.
//!
//! Source: RFC 3986, section 2.

use std::borrow::Cow;

/// Appends `text`, with every byte but the unreserved ones percent-encoded.
pub(crate) fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // A table, as each byte of a path or a query comes by here.
    static PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            plain[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.' | b'~');
            byte += 1;
        }
        plain
    };
    let mut rest = text;
    loop {
        // What stays is ASCII, so that its end is one of a character.
        let len = rest.bytes().position(|byte| !PLAIN[usize::from(byte)]).unwrap_or(rest.len());
        let (run, after) = rest.split_at(len);
        out.push_str(run);
        let Some(next) = after.chars().next() else { return };
        let (escaped, after) = after.split_at(next.len_utf8());
        for byte in escaped.bytes() {
            out.extend(['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]);
        }
        rest = after;
    }
}

/// Resolves percent-escapes; `keep_slash` leaves those of `/` as they are, as
/// http.proto asks for variables of several segments.
///
/// # Errors
///
/// Says what is wrong with the text.
pub(crate) fn decode(text: &str, keep_slash: bool) -> Result<Cow<'_, str>, &'static str> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("`%` without two hexadecimal digits");
        };
        let value = (high * 16 + low) as u8;
        if value == b'/' && keep_slash {
            bytes.extend_from_slice(&rest[..3]);
        } else {
            bytes.push(value);
        }
        rest = &after[2..];
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "it is not UTF-8")
}
