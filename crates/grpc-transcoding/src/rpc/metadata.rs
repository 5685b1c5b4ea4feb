//! Between the headers of HTTP and the metadata of a gRPC call.
//!
//! Source: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md),
//! "Custom-Metadata".

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_TYPE},
};

use super::header;

/// Standard base64, with padding or without, as the values of `-bin` headers may have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How large the metadata of a request may be unless something else is said: what gRPC
/// recommends to servers as their limit.
pub(crate) const METADATA_LIMIT: usize = 8 * 1024;

/// What HTTP/2 counts for a header besides its name and its value (RFC 9113, section
/// 6.5.2).
const OVERHEAD: usize = 32;

/// How many values of a `-bin` header may come joined in one line of a response.
const JOINED: usize = 100;

/// Leaves of a message's headers those that are a call's metadata: all but those of the
/// connection and of gRPC itself. The content type is the one given.
pub fn metadata(mut headers: HeaderMap, content_type: Option<HeaderValue>) -> HeaderMap {
    while let Some(other) = headers.keys().find(|name| !is_metadata(name.as_str())).cloned() {
        if other == CONNECTION {
            // What the connection names as its own is not passed on (RFC 9110, 7.6.1).
            let own: Vec<HeaderName> =
                header::elements(&headers, CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
            for name in own {
                headers.remove(name);
            }
        }
        headers.remove(other);
    }
    match content_type {
        Some(kind) => drop(headers.insert(CONTENT_TYPE, kind)),
        None => drop(headers.remove(CONTENT_TYPE)),
    }
    headers
}

pub(crate) fn is_metadata(name: &str) -> bool {
    !matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "content-encoding"
            | "accept-encoding"
            | "host"
            | "accept"
            | "expect"
    ) && !name.starts_with("grpc-")
}

/// Why the headers of a request cannot be sent to a gRPC server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MetadataError {
    /// The header's name has characters that gRPC's names do not have.
    Name(HeaderName),
    /// The value of a `-bin` header is not base64.
    Binary(HeaderName),
    /// A value has bytes that are not printable ASCII.
    Text(HeaderName),
    /// All together they are larger than the limit, in bytes.
    TooLarge(usize),
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "the name of the header {name} cannot be passed on: gRPC's names have lower-case letters, digits, \
                 `-`, `_` and `.` only; rename it, or leave it out"
            ),
            Self::Binary(name) => write!(
                f,
                "the value of the header {name} is not base64, as gRPC has it for names that end in -bin; encode the \
                 value in base64, with the standard alphabet"
            ),
            Self::Text(name) => write!(
                f,
                "the value of the header {name} has bytes that gRPC cannot carry in text; keep to printable ASCII, or \
                 send base64 under a name that ends in -bin"
            ),
            Self::TooLarge(limit) => write!(
                f,
                "the headers are larger than {limit} bytes, counted as HTTP/2 does: name, value and {OVERHEAD} for \
                 each; send fewer or shorter ones"
            ),
        }
    }
}

/// Makes sure that a gRPC server takes the headers of a call, and that they are no larger
/// than `limit`. All calls share the connection to the server, and a value that one server
/// refuses may stay in its header table and fail the calls of others.
///
/// The values of `-bin` headers, which HTTP may join by commas, are set apart and have the
/// one form that gRPC sends, without padding.
///
/// # Errors
///
/// The header that is wrong, or that all together are too large.
pub(crate) fn check(headers: &mut HeaderMap, limit: usize) -> Result<(), MetadataError> {
    let mut size = 0;
    let mut count = |name: &HeaderName, value: &[u8]| {
        size += name.as_str().len() + value.len() + OVERHEAD;
        if size > limit { Err(MetadataError::TooLarge(limit)) } else { Ok(()) }
    };
    for (name, value) in headers.iter() {
        if !all(name.as_str().as_bytes(), |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
            return Err(MetadataError::Name(name.clone()));
        }
        if is_binary(name) {
            for one in joined(value) {
                count(name, unpadded(one))?;
                if BASE64.decode(one).is_err() {
                    return Err(MetadataError::Binary(name.clone()));
                }
            }
        } else {
            count(name, value.as_bytes())?;
            if !all(value.as_bytes(), |byte| matches!(byte, 0x20..=0x7e)) {
                return Err(MetadataError::Text(name.clone()));
            }
        }
    }
    set_apart(headers);
    Ok(())
}

/// Leaves out of a response's headers the values of `-bin` headers that are not base64,
/// which callers could not read, and sets apart those that came joined.
pub(crate) fn mend(headers: &mut HeaderMap) {
    let sound = |value: &HeaderValue| {
        let mut values = joined(value);
        values.by_ref().take(JOINED).all(|one| BASE64.decode(one).is_ok()) && values.next().is_none()
    };
    while let Some(name) = headers.iter().find(|(name, value)| is_binary(name) && !sound(value)).map(|(name, _)| name) {
        let name = name.clone();
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().filter(|value| sound(value)).cloned().collect();
        headers.remove(&name);
        for value in values {
            headers.append(&name, value);
        }
    }
    set_apart(headers);
}

/// Whether all bytes are such. It looks at each, since many at once are quicker than one by one
/// to the first other.
fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is(*byte))
}

fn is_binary(name: &HeaderName) -> bool {
    name.as_str().ends_with("-bin")
}

/// The values of a `-bin` header's line.
fn joined(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn unpadded(value: &[u8]) -> &[u8] {
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    &value[..value.len() - padding]
}

/// Makes a line of each value of `-bin` headers.
fn set_apart(headers: &mut HeaderMap) {
    let other = |(name, value): (&HeaderName, &HeaderValue)| {
        let bytes = value.as_bytes();
        (is_binary(name) && (bytes.contains(&b',') || bytes.ends_with(b"="))).then(|| name.clone())
    };
    while let Some(name) = headers.iter().find_map(other) {
        let values: Vec<HeaderValue> = headers
            .get_all(&name)
            .iter()
            .flat_map(joined)
            .filter_map(|value| HeaderValue::from_bytes(unpadded(value)).ok())
            .collect();
        headers.remove(&name);
        for value in values {
            headers.append(&name, value);
        }
    }
}

/// The details of an encoded status among headers or trailers.
static DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Makes headers or trailers that hold a status such that tonic can read it. tonic panics
/// for details that are not base64, and has the code UNKNOWN for a message whose
/// percent-escapes are not UTF-8; gRPC keeps the code, and the message as it is.
pub(crate) fn mend_status(headers: &mut HeaderMap) {
    if !has_sound_details(headers) {
        headers.remove(&DETAILS);
    }
    if let Some(message) = headers.get(&MESSAGE)
        && !is_sound_message(message.as_bytes())
    {
        let mut escaped = String::new();
        for byte in String::from_utf8_lossy(message.as_bytes()).bytes() {
            match byte {
                b'%' | 0..0x20 | 0x7f.. => escaped.push_str(&format!("%{byte:02X}")),
                _ => escaped.push(char::from(byte)),
            }
        }
        match HeaderValue::try_from(escaped) {
            Ok(message) => drop(headers.insert(&MESSAGE, message)),
            Err(_) => drop(headers.remove(&MESSAGE)),
        }
    }
}

/// Whether tonic can read the status that headers or trailers hold.
pub(crate) fn is_sound_status(headers: &HeaderMap) -> bool {
    has_sound_details(headers) && headers.get(&MESSAGE).is_none_or(|message| is_sound_message(message.as_bytes()))
}

fn has_sound_details(headers: &HeaderMap) -> bool {
    headers.get(&DETAILS).is_none_or(|details| BASE64.decode(details).is_ok())
}

/// Whether a message is UTF-8 once its percent-escapes are resolved. What is no escape
/// stands for itself.
fn is_sound_message(message: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            decoded.push((high << 4 | low) as u8);
            rest = &after[2..];
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn checked(lines: &[(&'static str, &str)]) -> Result<Vec<(String, String)>, String> {
        let mut headers = headers(lines);
        check(&mut headers, 400).map_err(|error| error.to_string())?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        Ok(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    #[test]
    fn bin_metadata_has_one_form_and_anything_else_is_refused() {
        for (lines, found) in [
            (&[("a-bin", "YQ==")][..], &["YQ"][..]),
            (&[("a-bin", "YQ")], &["YQ"]),
            (&[("a-bin", "YWI=,YWJj, YQ== ")], &["YWI", "YWJj", "YQ"]),
            (&[("a-bin", "YQ"), ("a-bin", "Yg==")], &["YQ", "Yg"]),
            (&[("a-bin", "+/8=")], &["+/8"]),
            (&[("a-bin", "")], &[""]),
        ] {
            let values: Vec<String> = checked(lines).unwrap().into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, found, "{lines:?}");
        }
        for bad in ["!!!", "_-8", "Y", "YQ,!", "YQ===", "YWI==", "=", "YR", "Y Q"] {
            assert!(checked(&[("a-bin", bad)]).unwrap_err().contains("a-bin is not base64"), "{bad}");
        }
    }

    #[test]
    fn text_metadata_is_printable_ascii_under_grpcs_names() {
        assert_eq!(checked(&[("x-a_b.c", " ~")]).unwrap(), [("x-a_b.c".to_owned(), " ~".to_owned())]);
        for bad in ["\u{e9}", "a\tb", "\u{80}"] {
            assert!(checked(&[("a", bad)]).unwrap_err().contains("header a has bytes"), "{bad:?}");
        }
        for bad in ["a!", "a*", "a~b"] {
            assert!(checked(&[(bad, "")]).unwrap_err().contains("rename it"), "{bad}");
        }
    }

    #[test]
    fn metadata_is_counted_as_http_2_counts_it() {
        let fits = "x".repeat(400 - 32 - 1);
        assert!(checked(&[("a", &fits)]).is_ok());
        let too_large = "the headers are larger than 400 bytes";
        assert!(checked(&[("a", &format!("{fits}x"))]).unwrap_err().starts_with(too_large));
        assert!(checked(&[("a", &fits), ("b", "")]).unwrap_err().starts_with(too_large));
        assert!(checked(&[("a-bin", &",".repeat(20))]).unwrap_err().starts_with(too_large));
        assert!(checked(&[("a-bin", &",".repeat(9))]).is_ok());
    }

    #[test]
    fn what_an_answer_has_beyond_base64_is_left_out() {
        let mut found = headers(&[("a-bin", "YQ==,Yg"), ("a-bin", "!"), ("b-bin", "!"), ("c", "\u{e9}")]);
        found.append("d-bin", HeaderValue::from_str(&",".repeat(JOINED)).unwrap());
        mend(&mut found);
        assert_eq!(found.get_all("a-bin").iter().collect::<Vec<_>>(), ["YQ", "Yg"]);
        assert_eq!((found.len(), found["c"].as_bytes()), (3, "\u{e9}".as_bytes()));
    }

    #[test]
    fn grpc_message_with_bad_escapes_is_kept_as_it_is() {
        for (message, expected) in [
            ("100 %", "100 %"),
            ("%zz %4", "%zz %4"),
            ("a%20b", "a b"),
            ("%C3%BC", "\u{fc}"),
            ("\u{fc} %20", "\u{fc}  "),
            ("bad %ff, 100 %25", "bad %ff, 100 %25"),
            ("\u{fc} %C3", "\u{fc} %C3"),
        ] {
            let mut found = headers(&[("grpc-status", "5"), ("grpc-message", message)]);
            let sound = is_sound_status(&found);
            mend_status(&mut found);
            let status = tonic::Status::from_header_map(&found).unwrap();
            assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, expected), "{message}");
            assert_eq!(sound, !message.contains("bad") && !message.ends_with("%C3"), "{message}");
        }
    }
}
