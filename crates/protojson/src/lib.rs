//! Protobuf's wire format to ProtoJSON and back, in one pass.
//!
//! Both directions are driven by a descriptor set that is decoded once, and go from byte
//! slice to buffer: no message tree, no generated code. So they serve prost, other code
//! generators, and programs that have no generated code at all.
//!
//! ```
//! use protojson::DescriptorPool;
//!
//! // message Room { string display_name = 1; int64 seats = 2; }
//! let pool = DescriptorPool::decode(include_bytes!("../tests/room.bin"))?;
//! let room = pool.message("example.Room").unwrap();
//! let encoded = room.from_json(r#"{"displayName": "Library", "seats": 12}"#)?;
//! assert_eq!(encoded, b"\x0a\x07Library\x10\x0c");
//! assert_eq!(room.to_json(&encoded)?, r#"{"displayName":"Library","seats":"12"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`DescriptorPool`] holds the definitions; [`MessageDescriptor`] writes and reads JSON.
//! - [`MergedMessage`] has the fields of an encoded message, as protobuf reads them.
//! - [`FieldPath`] leads to a field in a message, or below, whose value a text can give,
//!   as the path and the query of a URL do.
//! - [`wire`] reads and writes the encoded form itself.
//!
//! Messages nest up to 100 levels.
//!
//! Source: <https://protobuf.dev/programming-guides/json/>.

#![cfg_attr(docsrs, feature(doc_cfg))]

// Functions that the loops of the reader and the writers consist of are
// `#[cfg_attr(not(debug_assertions), inline(always))]`. With plain `#[inline]` in buf, lexer,
// read, stream and wire, a resource of 1,700 bytes takes a fifth longer to write and a tenth
// to read; elsewhere it made no difference. Only in optimised builds, because of the stack:
// see `read::Parser`.

mod buf;
#[cfg(any(test, protojson_safe))]
mod buf_safe;
mod descriptor;
mod error;
mod field_path;
mod indent;
mod json;
mod json_mapping;
mod lexer;
mod map;
mod mask;
mod merge;
mod merged;
mod names;
mod number;
mod options;
mod plan;
mod pool;
mod read;
mod read_map;
mod read_well_known;
mod scalar;
mod seen;
mod selector;
mod stream;
mod text;
mod time;
pub mod wire;
mod write;
mod write_well_known;

pub use descriptor::{Cardinality, DescriptorError, Kind};
pub use error::{ParseError, TextError, WriteError};
pub use field_path::FieldPath;
pub use json_mapping::JsonMapping;
pub use merged::{MergedField, MergedMessage};
pub use options::{Defaults, ReadOptions, WriteOptions};
pub use pool::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor};
pub use selector::FieldSelector;
pub use text::Base64;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
