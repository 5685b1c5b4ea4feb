//! The emulator, in one test binary: each binary links everything.

mod access;
mod browser;
#[cfg(feature = "store")]
mod data;
mod members;
mod rest;
mod spaces;
mod support;
mod tools;
