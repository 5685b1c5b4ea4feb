//! Laying compact JSON out on lines.

/// Appends `compact`, which must be valid JSON without white space, to `out`,
/// with each level indented by `width` more spaces.
pub(crate) fn indent(compact: &[u8], width: usize, out: &mut Vec<u8>) {
    let mut level = 0;
    let mut at = 0;
    let newline = |out: &mut Vec<u8>, level: usize| {
        out.push(b'\n');
        out.resize(out.len() + level * width, b' ');
    };
    while let Some(&byte) = compact.get(at) {
        match byte {
            b'"' => {
                let end = string_end(compact, at);
                out.extend_from_slice(&compact[at..end]);
                at = end;
                continue;
            }
            b'{' | b'[' => {
                out.push(byte);
                if matches!(compact.get(at + 1), Some(b'}' | b']')) {
                    at += 1;
                    out.push(compact[at]);
                } else {
                    level += 1;
                    newline(out, level);
                }
            }
            b'}' | b']' => {
                level = level.saturating_sub(1);
                newline(out, level);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                newline(out, level);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
        at += 1;
    }
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at.min(text.len())..]) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn objects_and_lists_go_on_lines_and_strings_stay() {
        let mut out = Vec::new();
        super::indent(br#"{"a":[1,{"b":"x,{\"}"}],"c":{},"d":[]}"#, 2, &mut out);
        let expected =
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x,{\\\"}\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
