//! The messages that the tests are about, and what all of them do with those.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::LazyLock;

use protojson::{DescriptorPool, MessageDescriptor};

/// The compiled form of the files in `tests/proto`; `tests/oracle/tests/sets.rs` of the repository writes it.
pub(crate) const SET: &[u8] = include_bytes!("../proto/all.bin");

pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(SET).unwrap());

pub(crate) fn message(name: &str) -> MessageDescriptor {
    POOL.message(name).unwrap_or_else(|| panic!("the set has no {name}"))
}

/// The message that has a field of every kind.
pub(crate) fn every() -> MessageDescriptor {
    message("every.Every")
}

/// JSON as it is read and written again, or what is wrong with it.
pub(crate) fn again(message: &MessageDescriptor, json: &str) -> Result<String, String> {
    let wire = message.from_json(json).map_err(|error| error.to_string())?;
    message.to_json(&wire).map_err(|error| error.to_string())
}

/// Each text, read as a message of every kind of field, is written as the other one.
pub(crate) fn become_json(cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(again(&every(), json).as_deref(), Ok(*expected), "{json}");
    }
}

/// None of the texts is a message of every kind of field.
pub(crate) fn fail(cases: &[&str]) {
    for json in cases {
        assert!(again(&every(), json).is_err(), "{json}: {:?}", again(&every(), json));
    }
}
