//! A consumer whose own messages hold google-chat's.

/// The programs of the README, which need the emulator as well as the library.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The generated code.
#[allow(missing_docs, unreachable_pub, reason = "generated")]
pub mod acme {
    include!(concat!(env!("OUT_DIR"), "/acme.v1.rs"));
}
