//! One scalar value: from its bits on the wire to JSON.

use super::{
    WriteError, WriteOptions, number,
    raw::{self, Charset},
};
use crate::descriptor::{Field, Key, Kind, Tables};

/// Undoes the zigzag encoding.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Whether the bits are the default value of a field of that kind. `-0.0` is
/// not: its bits differ.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn is_default(kind: Kind, bits: u64) -> bool {
    match kind {
        // A varint is cut to the 32 bits of its field.
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum => bits as u32 == 0,
        _ => bits == 0,
    }
}

/// Appends the value of a number, bool or enum. Integers of 64 bits are
/// quoted. `false` if it is an unknown number of a closed enum, which is then
/// not part of the message.
#[inline]
#[must_use]
pub(super) fn put_bits(out: &mut Vec<u8>, tables: &Tables, field: &Field, bits: u64, options: &WriteOptions) -> bool {
    let integer = |out: &mut Vec<u8>, text: &str| raw::put_short(out, text.as_bytes());
    let quoted = |out: &mut Vec<u8>, text: &str| {
        out.push(b'"');
        raw::put_short(out, text.as_bytes());
        out.push(b'"');
    };
    let mut buffer = itoa::Buffer::new();
    match field.kind {
        Kind::Bool if bits == 0 => raw::put_word(out, *b"false\0\0\0", 5),
        Kind::Bool => raw::put_word(out, *b"true\0\0\0\0", 4),
        Kind::Enum => return put_enum(out, tables, field, bits as i32, options),
        Kind::Int32 | Kind::Sfixed32 => integer(out, buffer.format(bits as i32)),
        Kind::Uint32 | Kind::Fixed32 => integer(out, buffer.format(bits as u32)),
        Kind::Sint32 => integer(out, buffer.format(unzigzag(u64::from(bits as u32)) as i32)),
        Kind::Int64 | Kind::Sfixed64 => quoted(out, buffer.format(bits as i64)),
        Kind::Uint64 | Kind::Fixed64 => quoted(out, buffer.format(bits)),
        Kind::Sint64 => quoted(out, buffer.format(unzigzag(bits))),
        Kind::Double => number::format_double(f64::from_bits(bits), |text| out.extend_from_slice(text)),
        Kind::Float => number::format_float(f32::from_bits(bits as u32), |text| out.extend_from_slice(text)),
        Kind::String | Kind::Bytes | Kind::Message | Kind::Group => {}
    }
    true
}

/// See [`put_bits`].
#[cfg_attr(not(debug_assertions), inline(always))]
#[must_use]
pub(super) fn put_enum(out: &mut Vec<u8>, tables: &Tables, field: &Field, number: i32, options: &WriteOptions) -> bool {
    let kind = tables.enum_of(field);
    match kind.key(number) {
        _ if kind.null => out.extend_from_slice(b"null"),
        Some(key) if !options.enums_as_integers => match key.block() {
            Some(block) => raw::put_key(out, block),
            None => out.extend_from_slice(key.as_bytes()),
        },
        None if kind.closed => return false,
        _ => raw::put_short(out, itoa::Buffer::new().format(number).as_bytes()),
    }
    true
}

/// Appends a string, which must be UTF-8.
#[inline(never)]
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), WriteError> {
    out.push(b'"');
    check_text(text, raw::put_string(out, text))
}

/// Appends a key and a string, which must be UTF-8.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn put_text_member(out: &mut Vec<u8>, key: &Key, text: &[u8]) -> Result<(), WriteError> {
    match key.full_block() {
        Some(block) => check_text(text, raw::put_member(out, block, text)),
        None => {
            out.extend_from_slice(key.as_bytes());
            put_text(out, text)
        }
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn check_text(text: &[u8], charset: Charset) -> Result<(), WriteError> {
    if charset == Charset::Other && simdutf8::basic::from_utf8(text).is_err() {
        return Err(WriteError::malformed("a string that is not UTF-8"));
    }
    Ok(())
}

/// Appends bytes in base64, with the standard alphabet and padding.
pub(super) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice is exactly as long as the text, so that this cannot fail.
    let len = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + len);
    out.push(b'"');
}
