//! One scalar value, between its bits and its text: in JSON, as a map's key, and as a path
//! and a query have it.

use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::{STANDARD, URL_SAFE},
    },
};

use crate::{
    Base64, WriteError, WriteOptions,
    buf::{self, Charset, Key},
    descriptor::{Field, Kind},
    number,
    plan::Plan,
    wire::{self, Payload, put_varint},
};

/// Undoes the zigzag encoding.
#[inline]
fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[inline]
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Whether a value is the default of its kind. `-0.0` is not: its bits differ.
#[inline]
pub(crate) fn is_default(kind: Kind, payload: Payload<'_>) -> bool {
    match payload {
        Payload::Bytes(bytes) => bytes.is_empty(),
        // A varint is cut to the 32 bits of its field.
        Payload::Bits(bits) => match kind {
            Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum => bits as u32 == 0,
            _ => bits == 0,
        },
    }
}

/// The integer, or 0 or 1 for a bool, that the bits of a map's key are.
pub(crate) fn integer(kind: Kind, bits: u64) -> i128 {
    match kind {
        Kind::Int32 | Kind::Sfixed32 => i128::from(bits as i32),
        Kind::Uint32 | Kind::Fixed32 => i128::from(bits as u32),
        Kind::Sint32 => i128::from(unzigzag(u64::from(bits as u32)) as i32),
        Kind::Sint64 => i128::from(unzigzag(bits)),
        Kind::Int64 | Kind::Sfixed64 => i128::from(bits as i64),
        Kind::Bool => i128::from(bits != 0),
        _ => i128::from(bits),
    }
}

/// Appends a number or a bool as text, without quotes. Enums are numbers here.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn put_number(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    let mut buffer = itoa::Buffer::new();
    let text = match kind {
        Kind::Bool if bits == 0 => return buf::put_word(out, *b"false\0\0\0", 5),
        Kind::Bool => return buf::put_word(out, *b"true\0\0\0\0", 4),
        Kind::Int32 | Kind::Sfixed32 | Kind::Enum => buffer.format(bits as i32),
        Kind::Uint32 | Kind::Fixed32 => buffer.format(bits as u32),
        Kind::Sint32 => buffer.format(unzigzag(u64::from(bits as u32)) as i32),
        Kind::Int64 | Kind::Sfixed64 => buffer.format(bits as i64),
        Kind::Uint64 | Kind::Fixed64 => buffer.format(bits),
        Kind::Sint64 => buffer.format(unzigzag(bits)),
        Kind::Double => return number::format_double(f64::from_bits(bits), |text| out.extend_from_slice(text)),
        Kind::Float => return number::format_float(f32::from_bits(bits as u32), |text| out.extend_from_slice(text)),
        Kind::String | Kind::Bytes | Kind::Message | Kind::Group => return,
    };
    buf::put_short(out, text.as_bytes());
}

/// Whether JSON has a number in quotes: integers of 64 bits, and `NaN` and its like.
#[inline]
fn is_quoted(kind: Kind, bits: u64) -> bool {
    matches!(kind, Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64)
        || kind == Kind::Double && !f64::from_bits(bits).is_finite()
        || kind == Kind::Float && !f32::from_bits(bits as u32).is_finite()
}

/// Appends the JSON of a number, bool or enum. `false`, with nothing appended, if it is a
/// number that a closed enum does not have, which is then not part of the message.
#[inline]
#[must_use]
pub(crate) fn put_json(out: &mut Vec<u8>, plan: &Plan, field: &Field, bits: u64, options: &WriteOptions) -> bool {
    match field.kind {
        Kind::Enum => return put_enum(out, plan, field, bits as i32, options),
        kind => {
            let quoted = is_quoted(kind, bits);
            if quoted {
                out.push(b'"');
            }
            put_number(out, kind, bits);
            if quoted {
                out.push(b'"');
            }
        }
    }
    true
}

/// Appends a number or a bool in quotes, as a map's key is.
#[inline]
pub(crate) fn put_quoted(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    out.push(b'"');
    put_number(out, kind, bits);
    out.push(b'"');
}

/// See [`put_json`].
#[inline]
#[must_use]
pub(crate) fn put_enum(out: &mut Vec<u8>, plan: &Plan, field: &Field, number: i32, options: &WriteOptions) -> bool {
    let kind = plan.enum_of(field);
    match kind.key(number) {
        _ if kind.is_null => out.extend_from_slice(b"null"),
        Some(key) if !options.enums_as_integers => match key.block() {
            Some(block) => buf::put_key(out, block),
            None => out.extend_from_slice(key.as_bytes()),
        },
        None if kind.closed => return false,
        _ => put_number(out, Kind::Enum, number as u64),
    }
    true
}

/// Appends a string in quotes, which must be UTF-8.
#[inline(never)]
pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), WriteError> {
    out.push(b'"');
    check_utf8(text, buf::put_string(out, text))
}

/// Appends a key and a string, which must be UTF-8.
#[inline]
pub(crate) fn put_member(out: &mut Vec<u8>, key: &Key, text: &[u8]) -> Result<(), WriteError> {
    match key.block_with_start() {
        Some(block) => check_utf8(text, buf::put_member(out, block, text)),
        None => {
            out.extend_from_slice(key.as_bytes());
            put_string(out, text)
        }
    }
}

#[inline]
fn check_utf8(text: &[u8], charset: Charset) -> Result<(), WriteError> {
    if charset == Charset::Other && simdutf8::basic::from_utf8(text).is_err() {
        return Err(not_utf8());
    }
    Ok(())
}

#[cold]
pub(crate) fn not_utf8() -> WriteError {
    WriteError::malformed("a string that is not UTF-8")
}

/// Appends bytes in base64, with padding and without quotes.
pub(crate) fn put_base64(out: &mut Vec<u8>, bytes: &[u8], alphabet: Base64) {
    let engine = match alphabet {
        Base64::Standard => &STANDARD,
        Base64::UrlSafe => &URL_SAFE,
    };
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice is exactly as long as the text, so that this cannot fail.
    let len = engine.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + len);
}

/// Appends bytes as JSON has them.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    put_base64(out, bytes, Base64::Standard);
    out.push(b'"');
}

/// Appends the bytes that a text in base64 is: in either alphabet, padded or not. `None`,
/// with anything appended, if it is no such text.
pub(crate) fn parse_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const LOOSE: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    static STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LOOSE);
    static URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LOOSE);
    let engine = if memchr::memchr2(b'-', b'_', text).is_some() { &URL_SAFE } else { &STANDARD };
    engine.decode_vec(text, out).ok()
}

/// What a field of that kind takes.
pub(crate) fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Enum => "an enum number",
        Kind::String => "a string",
        Kind::Bytes => "base64",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "an integer of 32 bits",
        Kind::Uint32 | Kind::Fixed32 => "a non-negative integer of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "an integer of 64 bits",
        Kind::Uint64 | Kind::Fixed64 => "a non-negative integer of 64 bits",
        Kind::Float => "a number within the range of a float",
        Kind::Double => "a number within the range of a double",
        Kind::Message | Kind::Group => "a message",
    }
}

/// The bits of a number, a bool or the number of an enum as they are encoded. `None` if
/// the text is no such value or out of range. Only a text in `quotes` may be the name of a
/// number that is not finite.
pub(crate) fn parse(kind: Kind, text: &[u8], quotes: bool) -> Option<u64> {
    match kind {
        Kind::Double => return number::parse_double(text, quotes).map(f64::to_bits),
        Kind::Float => return number::parse_float(text, quotes).map(|value| u64::from(value.to_bits())),
        Kind::Bool => {
            return match text {
                b"true" => Some(1),
                b"false" => Some(0),
                _ => None,
            };
        }
        _ => {}
    }
    let value = match text {
        // Up to nine digits fit into anything.
        [b'1'..=b'9', rest @ ..] if rest.len() < 9 && rest.iter().all(u8::is_ascii_digit) => {
            text.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'))
        }
        _ => number::parse_integer(text)?,
    };
    match kind {
        Kind::Int32 | Kind::Sfixed32 | Kind::Enum => i32::try_from(value).ok().map(|value| i64::from(value) as u64),
        Kind::Uint32 | Kind::Fixed32 => u32::try_from(value).ok().map(u64::from),
        Kind::Sint32 => i32::try_from(value).ok().map(|value| zigzag(i64::from(value))),
        Kind::Int64 | Kind::Sfixed64 => i64::try_from(value).ok().map(|value| value as u64),
        Kind::Uint64 | Kind::Fixed64 => u64::try_from(value).ok(),
        Kind::Sint64 => i64::try_from(value).ok().map(zigzag),
        _ => None,
    }
}

/// Appends the bits of a number, bool or enum as they are encoded.
#[inline]
pub(crate) fn encode(out: &mut Vec<u8>, kind: Kind, bits: u64) {
    match kind.wire_type() {
        wire::FIXED32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        wire::FIXED64 => out.extend_from_slice(&bits.to_le_bytes()),
        _ => put_varint(out, bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_from_their_text() {
        let bits = [0, 1, 2, 127, 128, 0x7fff_ffff, 0x3fb9_9999_9999_999a, u64::MAX, 0x7ff0_0000_0000_0000];
        for number in 1..=18 {
            let kind = Kind::from_number(number).unwrap();
            for bits in bits {
                let bits = match kind {
                    Kind::Bool => bits & 1,
                    Kind::Int32 | Kind::Sfixed32 | Kind::Enum => i64::from(bits as i32) as u64,
                    Kind::Uint32 | Kind::Fixed32 | Kind::Sint32 | Kind::Float => u64::from(bits as u32),
                    Kind::String | Kind::Bytes | Kind::Message | Kind::Group => continue,
                    _ => bits,
                };
                let mut text = Vec::new();
                put_number(&mut text, kind, bits);
                let back = parse(kind, &text, true);
                let nan = text == b"NaN";
                assert!(back == Some(bits) || nan && back.is_some(), "{kind:?} {}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn base64_is_read_in_either_alphabet_with_or_without_padding() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("/+8=", Some(b"\xff\xef")),
            ("_-8", Some(b"\xff\xef")),
            ("YQ", Some(b"a")),
            ("_+8=", None),
            ("Y", None),
            ("Y Q", None),
        ] {
            let mut out = Vec::new();
            let read = parse_base64(text.as_bytes(), &mut out).map(|()| &*out);
            assert_eq!(read, expected, "{text}");
        }
    }
}
