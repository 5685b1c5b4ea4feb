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

/// Whether it is a path in its JSON form: names joined by dots, and `*` for all fields
/// (AIP-134). Quoted map keys (AIP-161) are none: what is capital in them would not stay.
pub(super) fn is_path(path: &[u8]) -> bool {
    !path.is_empty() && path.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for wire in ["display_name", "space.display_name", "*", "a1.b2_c"] {
            let (mut json, mut back) = (Vec::new(), Vec::new());
            assert!(put_camel(&mut json, wire.as_bytes()) && is_path(&json), "{wire}");
            put_snake(&mut back, &json);
            assert_eq!(back, wire.as_bytes());
        }
    }

    #[test]
    fn what_would_not_read_back_is_refused() {
        for wire in ["displayName", "a__b", "a_1", "a_"] {
            assert!(!put_camel(&mut Vec::new(), wire.as_bytes()), "{wire}");
        }
        for json in ["", "display_name", "a\\b", "labels.`Env`", " spaceDetails"] {
            assert!(!is_path(json.as_bytes()), "{json}");
        }
    }
}
