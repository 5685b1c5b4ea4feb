//! A consumer whose own messages hold google-chat's.

/// The programs of the README and of docs, which need the emulator as well as the library.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/chat.md")]
    struct Chat;
    #[doc = include_str!("../../../docs/credentials.md")]
    struct Credentials;
    #[doc = include_str!("../../../docs/emulator.md")]
    struct Emulator;
    #[doc = include_str!("../../../docs/engine.md")]
    struct Engine;
    #[doc = include_str!("../../../docs/errors.md")]
    struct Errors;
    #[doc = include_str!("../../../docs/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../../docs/retries.md")]
    struct Retries;
    #[doc = include_str!("../../../docs/sidecar.md")]
    struct Sidecar;
}

/// The generated code.
#[allow(missing_docs, unreachable_pub, reason = "generated")]
pub mod acme {
    include!(concat!(env!("OUT_DIR"), "/acme.v1.rs"));
}
