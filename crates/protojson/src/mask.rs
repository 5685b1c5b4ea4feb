//! The paths of a `FieldMask`: `display_name` on the wire, `displayName` in
//! JSON. A map's key stands in backticks, and as it is in both (AIP-161).
//!
//! Source: the comments of `google/protobuf/field_mask.proto`.

/// Appends a path in its JSON form. `false` if [`is_path`] would refuse it or it
/// would not read back the same: a capital letter, or an underscore that no
/// lower-case letter follows.
pub(crate) fn put_camel(out: &mut Vec<u8>, path: &[u8]) -> bool {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'`', _) => {
                let Some(end) = memchr::memchr(b'`', after) else { return false };
                out.push(b'`');
                out.extend_from_slice(&after[..=end]);
                rest = &after[end + 1..];
            }
            (b'_', [next @ b'a'..=b'z', after @ ..]) => {
                out.push(next.to_ascii_uppercase());
                rest = after;
            }
            (b'a'..=b'z' | b'0'..=b'9' | b'.' | b'*', _) => out.push(byte),
            _ => return false,
        }
    }
    !path.is_empty()
}

/// Appends a path in its wire form.
pub(crate) fn put_snake(out: &mut Vec<u8>, path: &[u8]) {
    let mut quoted = false;
    for &byte in path {
        quoted ^= byte == b'`';
        if byte.is_ascii_uppercase() && !quoted {
            out.push(b'_');
        }
        out.push(if quoted { byte } else { byte.to_ascii_lowercase() });
    }
}

/// Whether it is a path in its JSON form: names joined by dots, `*` for all fields
/// (AIP-134), and keys in backticks.
pub(crate) fn is_path(path: &[u8]) -> bool {
    let mut quoted = false;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'*');
    let fits = path.iter().all(|&byte| {
        quoted ^= byte == b'`';
        quoted || byte == b'`' || plain(byte)
    });
    fits && !quoted && !path.is_empty()
}

/// The paths of a mask's text: what stands between commas, but for those in
/// backticks.
pub(crate) fn paths(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '`';
        c == ',' && !quoted
    })
}

/// Whether a path is spelled in proto names: it has an underscore outside of
/// backticks.
pub(crate) fn is_snake(path: &str) -> bool {
    path.split('`').step_by(2).any(|plain| plain.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for wire in ["display_name", "space.display_name", "*", "a1.b2_c", "a_b.`Env_1, \"é\\`.c_d", "`a`"] {
            let (mut json, mut back) = (Vec::new(), Vec::new());
            assert!(put_camel(&mut json, wire.as_bytes()) && is_path(&json), "{wire}");
            put_snake(&mut back, &json);
            assert_eq!(back, wire.as_bytes());
            let text = format!("{0},{0}", String::from_utf8(json).unwrap());
            assert_eq!(paths(&text).collect::<Vec<_>>(), [&text[..text.len() / 2]; 2]);
        }
    }

    #[test]
    fn what_would_not_read_back_is_refused() {
        for wire in ["displayName", "a__b", "a_1", "a_", "", "a b", "a-b", "é", "a.`b", "a\"b", "a,b"] {
            assert!(!put_camel(&mut Vec::new(), wire.as_bytes()), "{wire}");
        }
        for json in ["", "display_name", "a\\b", "labels.`env", " spaceDetails", "a-b"] {
            assert!(!is_path(json.as_bytes()), "{json}");
        }
    }
}
