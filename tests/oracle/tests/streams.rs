//! The elements of JSON streams, beside those that serde_json finds.

use grpc_transcoding::JsonStreamDecoder;
use proptest::prelude::*;
use serde_json::Value;

const NDJSON: &str = "application/x-ndjson";

/// What comes of a stream of JSON values: the values before the first that is none, and
/// whether there is one.
fn decoded(content_type: &str, text: &str, cuts: &[usize]) -> (Vec<Value>, bool) {
    let mut elements = JsonStreamDecoder::new(content_type.as_bytes(), usize::MAX);
    let (mut values, mut at) = (Vec::new(), 0);
    let ends = cuts.iter().map(|cut| cut % (text.len() + 1)).collect::<std::collections::BTreeSet<_>>();
    for end in ends.into_iter().chain([text.len()]) {
        elements.push(&text.as_bytes()[at..end]);
        at = end;
        loop {
            match elements.next().map(|element| element.map(|element| serde_json::from_slice(&element))) {
                Ok(None) => break,
                Ok(Some(Ok(value))) => values.push(value),
                Ok(Some(Err(_))) | Err(_) => return (values, true),
            }
        }
    }
    loop {
        match elements.finish().map(|element| element.map(|element| serde_json::from_slice(&element))) {
            Ok(None) => return (values, false),
            Ok(Some(Ok(value))) => values.push(value),
            Ok(Some(Err(_))) | Err(_) => return (values, true),
        }
    }
}

fn fragments() -> impl Strategy<Value = String> {
    const FRAGMENTS: [&str; 30] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"ü[\"",
        "1",
        "-2.5e3",
        "true",
        "null",
        " ",
        "\n",
        "\r\n",
        "\t",
        "{}",
        "[]",
        "{\"a\":[1,{\"b\":\"}\"}]}",
        "[[],\"]\"]",
        "\"",
        "\\",
        "x",
        "ü",
        "-",
        "0",
        "\u{c}",
        "{\"a\":null}",
    ];
    prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..12).prop_map(|parts| parts.concat())
}

/// Values with white space between them, which are right.
fn values() -> impl Strategy<Value = Vec<&'static str>> {
    const VALUES: [&str; 9] =
        ["{}", "[]", "\"a\\\"\"", "17", "null", "{\"a\":[1,{\"b\":\"}\"}]}", "[[],\"]\"]", "-0.5", "\"ü\\\\\""];
    prop::collection::vec(prop::sample::select(&VALUES[..]), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_cut_as_serde_json_cuts_them(text in fragments(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let (mut values, mut failed) = (Vec::new(), false);
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            match value {
                Ok(value) => values.push(value),
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        prop_assert_eq!(decoded(NDJSON, &text, &cuts), (values, failed));
    }

    #[test]
    fn an_array_has_the_elements_that_serde_json_finds(text in fragments(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let text = format!("[{text}]");
        let (found, failed) = decoded("application/json", &text, &cuts);
        match serde_json::from_str::<Vec<Value>>(&text) {
            Ok(values) => prop_assert_eq!((found, failed), (values, false)),
            Err(_) => prop_assert!(failed, "{:?}", found),
        }
    }

    #[test]
    fn right_streams_are_read_in_every_form(values in values(), space in "[ \n\t]{0,2}", cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let expected: Vec<Value> = values.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
        let array = format!("{space}[{space}{}{space}]{space}", values.join(&format!("{space},{space}")));
        prop_assert_eq!(decoded("application/json", &array, &cuts), (expected.clone(), false));
        let lines: String = values.iter().map(|value| format!("{space}{value}\n")).collect();
        prop_assert_eq!(decoded(NDJSON, &lines, &cuts), (expected, false));
    }
}
