//! Both sides of the engine, in one test binary: each binary links everything. What asserts the
//! memory of its whole process is a binary of its own beside this folder.

mod corpus;
mod edge_cases;
mod isolation;
mod random_messages;
#[path = "../shelf/mod.rs"]
mod shelf;
mod transcoding;
mod wire;
