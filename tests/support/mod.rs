//! What the tests of this crate and of the program share: a link in `gchat/tests/program`
//! leads here, which `cargo package` follows, so that each package has its copy.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod broken_keys;
pub(crate) mod cloud;
pub(crate) mod proxy;
pub(crate) mod random;
