//! A server stream of grpc-gateway, read by HttpJson.
//!
//! grpc-gateway writes a line for each message, `{"result": ...}`, and a line
//! `{"error": ...}` where the stream fails. Its server, which is in Go, sends a message only
//! after the one before it was read here.

use std::time::Duration;

use google_chat::{
    grpc_transcoding::{
        client::{Grpc, HttpJson, Origin},
        rpc::EncodedCodec,
    },
    proto::google::rpc,
    protojson::DescriptorPool,
};
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Status, codegen::http::uri::PathAndQuery};

use crate::{Failure, call, random::Through};

#[derive(Clone, PartialEq, Message)]
struct CountRequest {
    #[prost(int32, tag = "1")]
    to: i32,
    #[prost(int32, tag = "2")]
    fails_at: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(int32, tag = "1")]
    value: i32,
}

/// How long a message may take; more means that it is held back.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads streams of the gateway at a URL, or of a sidecar in front of one, by a descriptor
/// set that has `streams.proto`.
pub(crate) async fn run(set: &str, gateway: &str, sidecar: bool) -> Result<(), Failure> {
    let schema = DescriptorPool::decode(&std::fs::read(set)?)?;
    let through = match sidecar {
        true => Through::new(Grpc::new(Origin::parse(gateway)?)?),
        false => Through::new(HttpJson::builder(schema.clone(), gateway).build()?),
    };
    for (request, numbers) in [
        (CountRequest { to: 3, fails_at: 0 }, 3),
        (CountRequest { to: 5, fails_at: 3 }, 2),
        (CountRequest { to: 5, fails_at: 1 }, 0),
    ] {
        let found = timeout(PATIENCE, count(&through, &schema, &request))
            .await
            .map_err(|_| format!("{request:?}: a message is held back until the next"))??;
        let expected: Vec<i32> = (1..=numbers).collect();
        let ended = match &found.1 {
            None => request.fails_at == 0,
            Some(status) => request.fails_at != 0 && is_counted_out(status, request.fails_at)?,
        };
        if found.0 != expected || !ended {
            return Err(format!("{request:?}: {found:?}, where {expected:?} was to come").into());
        }
    }
    let sidecar = if sidecar { "the sidecar and " } else { "" };
    println!("{sidecar}grpc-gateway: streams arrive message by message, with their errors");
    Ok(())
}

/// The numbers that a call gives, and the status that it ends with unless that is OK.
async fn count(
    through: &Through,
    schema: &DescriptorPool,
    request: &CountRequest,
) -> Result<(Vec<i32>, Option<Status>), Failure> {
    let release = schema.method("/streams.Streams/Release").ok_or("the method Release")?;
    let mut stub = tonic::client::Grpc::new(through.clone());
    stub.ready().await?;
    let path = PathAndQuery::from_static("/streams.Streams/Count");
    let sent = tonic::Request::new(request.encode_to_vec().into());
    let mut stream = match stub.server_streaming(sent, path, EncodedCodec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok((Vec::new(), Some(status))),
    };
    let mut numbers = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => numbers.push(Number::decode(message)?.value),
            Ok(None) => return Ok((numbers, None)),
            Err(status) => return Ok((numbers, Some(status))),
        }
        if numbers.len() < request.to as usize {
            call(through.clone(), &release, Vec::new()).await?;
        }
    }
}

fn is_counted_out(status: &Status, at: i32) -> Result<bool, Failure> {
    let details = rpc::Status::decode(status.details())?.details;
    let [detail] = &details[..] else { return Ok(false) };
    let info: rpc::ErrorInfo = detail.to_msg()?;
    Ok(status.code() == Code::ResourceExhausted
        && status.message() == "no number is left: ü"
        && (info.reason.as_str(), info.metadata.get("at")) == ("COUNTED_OUT", Some(&at.to_string())))
}
