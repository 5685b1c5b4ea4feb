//! Both sides of the engine, in one test binary: each binary links everything. What asserts the
//! memory of its whole process is a binary of its own beside this folder.

mod client_streams;
mod corpus;
mod deadline;
mod edge_cases;
mod fields;
mod isolation;
mod metadata;
mod request;
mod response;
mod rules;
#[path = "../shelf/mod.rs"]
mod shelf;
mod sidecar;
mod streams;
mod unbound;
mod wire;
