//! Keys of service accounts that are broken in every way that people have found, and a
//! look for what of them comes out again.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::random::Random;

/// How many bytes of a secret make a leak.
const WINDOW: usize = 8;

pub(crate) struct Secret {
    windows: HashSet<[u8; WINDOW]>,
}

impl Secret {
    /// What is secret in the JSON of a key.
    pub(crate) fn of(key: &str) -> Self {
        let text = body(key);
        Self::of_bytes([text.as_bytes(), &STANDARD.decode(&text).unwrap()])
    }

    pub(crate) fn of_bytes<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        let windows = secrets.into_iter().flat_map(|secret| secret.windows(WINDOW));
        Self { windows: windows.map(|window| <[u8; WINDOW]>::try_from(window).unwrap()).collect() }
    }

    /// Panics if a part of the secret is in an output: as it is, as decimal numbers, or
    /// in hexadecimal.
    pub(crate) fn assert_kept(&self, output: &str, what: &str) {
        let leaks = |bytes: &[u8]| bytes.windows(WINDOW).any(|window| self.windows.contains(window));
        let decimal = output.split(|letter: char| !letter.is_ascii_digit()).filter(|number| !number.is_empty());
        let decimal: Vec<u8> = decimal.filter_map(|number| number.parse().ok()).collect();
        let hex = |from: usize| -> Vec<u8> {
            let digits: Vec<u32> = output.chars().filter_map(|digit| digit.to_digit(16)).skip(from).collect();
            digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
        };
        let leaked = leaks(output.as_bytes()) || leaks(&decimal) || leaks(&hex(0)) || leaks(&hex(1));
        assert!(!leaked, "a part of the key comes out of {what}: {output}");
    }
}

/// The base64 of a key's PEM, on one line.
fn body(key: &str) -> String {
    let key: Value = serde_json::from_str(key).unwrap();
    key["private_key"].as_str().unwrap().lines().filter(|line| !line.starts_with('-')).collect()
}

/// Texts that were made of a key, few of which are still one.
pub(crate) fn broken(key: &str) -> Vec<String> {
    let parsed: Value = serde_json::from_str(key).unwrap();
    let pem = parsed["private_key"].as_str().unwrap().to_owned();
    let body = body(key);
    let compact = parsed.to_string();
    let field = |field: &str, value: Value| {
        let mut key = parsed.clone();
        key[field] = value;
        key.to_string()
    };
    let private = |text: String| field("private_key", text.into());
    let mut texts = vec![
        pem.clone(),
        pem.replace('\n', ""),
        body.clone(),
        STANDARD.encode(&compact),
        Value::from(&*compact).to_string(),
        format!("'{compact}'"),
        format!("\"{compact}"),
        format!("[{compact}]"),
        format!("{{\"key\":{compact}}}"),
        format!("{compact}}}"),
        format!("{compact},"),
        format!("export KEY={compact}"),
        compact.replace('"', "'"),
        compact.replace('"', ""),
        // The escapes of the JSON undone, as by `echo` in some shells.
        compact.replace("\\n", "\n"),
        compact.replace("\\n", "\\\\\n"),
        format!("private_key: \"{pem}\""),
        format!("private_key = \"{}\"", pem.replace('\n', "\\n")),
        format!("[credentials]\nprivate_key = \"{}\"", pem.replace('\n', "\\n")),
        format!("{body} = 1"),
        format!("wire = \"{body}\""),
        format!("credentials = [\"{body}\"]"),
        format!("subject = {body}"),
        format!("https://{body}@oauth2.googleapis.com/token"),
        private(pem.replace("PRIVATE KEY", "RSA PRIVATE KEY")),
        private(pem.replace("PRIVATE KEY", "EC PRIVATE KEY")),
        private(pem.replace("PRIVATE KEY", "CERTIFICATE")),
        private(pem.replace("-----BEGIN", "----BEGIN")),
        private(pem.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY")),
        private(pem.replace("-----END PRIVATE KEY-----", "")),
        private(pem.replace("-----END PRIVATE KEY-----\n", "-----END PRIVATE KEY----")),
        private(pem.replace("-----BEGIN PRIVATE KEY-----\n", "")),
        private(pem.replace([' ', '\n'], "")),
        private(body.clone()),
        private(pem.to_lowercase()),
        private(pem.replacen('A', "!", 3)),
        private(pem.replace('\n', "\\")),
        private(pem.replace('\n', "\\t")),
        private(pem.replace('\n', ",")),
        private(format!("-----BEGIN PRIVATE KEY-----{}", &body[..400])),
        private(String::new()),
        field("private_key", json!(pem.lines().collect::<Vec<_>>())),
        field("private_key", json!(pem.as_bytes())),
        field("private_key", json!({ "pem": pem.clone() })),
        field("private_key", json!({ pem.clone(): 1 })),
        field("private_key", json!(true)),
        field("private_key", Value::Null),
    ];
    // The key in every other field's place, in place of what belongs there.
    for name in ["type", "private_key_id", "client_email", "client_id", "token_uri", "project_id"] {
        for value in [pem.clone(), body.clone(), format!("https://{body}"), format!("a@{body}")] {
            texts.push(field(name, value.clone().into()));
            texts.push(field(name, json!([value])));
        }
        texts.push(field(name, json!({ "a": body.clone() })));
    }
    texts.extend([key, &compact].into_iter().flat_map(mangled));
    texts.retain(|text| !text.is_empty());
    texts
}

/// Texts that differ from one by a few letters, or are a part of it.
pub(crate) fn mangled(source: &str) -> Vec<String> {
    let mut random = Random(7);
    let mut texts = Vec::new();
    for _ in 0..60 {
        let mut bytes = source.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, b"\"\\{}n-,: A"[random.below(10)]),
                _ => bytes[at] = b' ' + random.below(95) as u8,
            }
        }
        texts.push(String::from_utf8(bytes).unwrap());
        texts.push(source[..random.below(source.len())].to_owned());
        texts.push(source[random.below(source.len())..].to_owned());
    }
    texts
}
