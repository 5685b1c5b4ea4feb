//! The paths of a `FieldMask`: `display_name` on the wire, `displayName` in
//! JSON.
//!
//! Source: the comments of `google/protobuf/field_mask.proto`.

/// Appends a path in its JSON form. `false` if it would not read back the same:
/// a capital letter, or an underscore that no lower-case letter follows.
pub(super) fn put_camel(out: &mut Vec<u8>, path: &[u8]) -> bool {
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => match bytes.next() {
                Some(next @ b'a'..=b'z') => out.push(next.to_ascii_uppercase()),
                _ => return false,
            },
            b'A'..=b'Z' => return false,
            b'"' | b'\\' | b',' | 0..=0x1f => return false,
            _ => out.push(byte),
        }
    }
    true
}

/// Appends a path in its wire form.
pub(crate) fn put_snake(out: &mut Vec<u8>, path: &[u8]) {
    for &byte in path {
        if byte.is_ascii_uppercase() {
            out.push(b'_');
        }
        out.push(byte.to_ascii_lowercase());
    }
}

/// Whether every byte may stand in a JSON path: an underscore may not.
pub(super) fn is_path(path: &[u8]) -> bool {
    !path.is_empty() && path.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.')
}
