//! The client, in one test binary: each binary links everything. Tests that assert something of
//! their whole process, as allocations or the global subscriber, are binaries of their own beside
//! this folder.

mod client;
mod create_space;
mod credentials;
mod docs;
mod layers;
mod media;
mod network;
mod pages;
#[path = "../support/mod.rs"]
mod support;
