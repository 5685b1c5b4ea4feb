//! The emulator, in one test binary: each binary links everything.

mod access;
mod browser;
#[cfg(feature = "store")]
mod data;
mod media;
mod members;
mod messages;
mod reactions;
mod reading;
mod rest;
mod search;
mod setup;
mod spaces;
mod support;
mod tools;
