//! The built program, as a person or a script runs it: a file for each thing that it does.
#![cfg(unix)]

mod auth;
mod backend;
mod backends;
mod browsers;
mod bulk;
mod call;
mod create;
mod doctor;
#[cfg(feature = "full")]
mod emulator;
mod explain;
mod gateway;
mod help;
mod members;
mod messages;
mod output;
mod proxy;
mod schema;
mod serving;
mod settings;
mod shared;
mod sidecar;
mod spaces;
mod support;
mod tracing;
