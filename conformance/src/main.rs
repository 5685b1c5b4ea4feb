//! A testee for Protobuf's conformance suite.
//!
//! Reads length-prefixed `conformance.ConformanceRequest`s on standard input
//! and answers each on standard output. The test messages are those of the
//! descriptor set that `CONFORMANCE_DESCRIPTORS` names.
//!
//! The codec turns wire bytes into JSON and JSON into wire bytes; from binary to
//! binary goes by way of JSON, and from JSON to JSON by way of binary.

use std::io::{self, Read, Write};

use prost::{Message, Oneof};
use protojson::{DescriptorPool, ReadOptions, WriteOptions};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2, 7, 8")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    requested_output_format: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    test_category: i32,
}

#[derive(Clone, PartialEq, Oneof)]
enum Payload {
    #[prost(bytes, tag = "1")]
    Protobuf(Vec<u8>),
    #[prost(bytes, tag = "2")]
    Json(Vec<u8>),
    #[prost(bytes, tag = "7")]
    Jspb(Vec<u8>),
    #[prost(bytes, tag = "8")]
    Text(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4, 5, 6")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Outcome {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(string, tag = "2")]
    RuntimeError(String),
    #[prost(bytes, tag = "3")]
    Protobuf(Vec<u8>),
    #[prost(bytes, tag = "4")]
    Json(Vec<u8>),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

/// `WireFormat` of conformance.proto.
const PROTOBUF: i32 = 1;
const JSON: i32 = 2;
/// `TestCategory.JSON_IGNORE_UNKNOWN_PARSING_TEST`.
const IGNORE_UNKNOWN: i32 = 3;

fn answer(schema: &DescriptorPool, request: &Request) -> Outcome {
    if request.message_type == "conformance.FailureSet" {
        return Outcome::Protobuf(Vec::new());
    }
    let Some(message) = schema.message(&request.message_type) else {
        return Outcome::Skipped(format!("no message {}", request.message_type));
    };
    if !matches!(request.requested_output_format, PROTOBUF | JSON) {
        return Outcome::Skipped("neither binary nor JSON".to_owned());
    }
    let mut options = ReadOptions::default();
    options.ignore_unknown = request.test_category == IGNORE_UNKNOWN;
    let mut wire = Vec::new();
    match &request.payload {
        Some(Payload::Protobuf(bytes)) => wire.clone_from(bytes),
        Some(Payload::Json(json)) => {
            if let Err(error) = message.read_json(json, &mut wire, &options) {
                return Outcome::ParseError(error.to_string());
            }
            if request.requested_output_format == PROTOBUF {
                return Outcome::Protobuf(wire);
            }
        }
        _ => return Outcome::Skipped("neither binary nor JSON".to_owned()),
    }
    let mut json = Vec::new();
    if let Err(error) = message.write_json(&wire, &mut json, &WriteOptions::default()) {
        return match error.is_malformed() {
            true => Outcome::ParseError(error.to_string()),
            false => Outcome::SerializeError(error.to_string()),
        };
    }
    if request.requested_output_format == JSON {
        return Outcome::Json(json);
    }
    let mut again = Vec::new();
    match message.read_json(&json, &mut again, &options) {
        Ok(()) => Outcome::Protobuf(again),
        Err(error) => Outcome::RuntimeError(format!("our own JSON does not read back: {error}")),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::var("CONFORMANCE_DESCRIPTORS")
        .map_err(|_| "set CONFORMANCE_DESCRIPTORS to a descriptor set of the suite's test messages")?;
    let schema = DescriptorPool::decode(&std::fs::read(file)?)?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let mut len = [0; 4];
        match input.read_exact(&mut len) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
        input.read_exact(&mut bytes)?;
        let outcome = answer(&schema, &Request::decode(bytes.as_slice())?);
        let reply = Response { outcome: Some(outcome) }.encode_to_vec();
        output.write_all(&u32::try_from(reply.len())?.to_le_bytes())?;
        output.write_all(&reply)?;
        output.flush()?;
    }
}
