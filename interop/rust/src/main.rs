//! The parts of the interoperability tests that are written in Rust.
//!
//! `interop table TABLE ENDPOINT KEY grpc|http` runs the table of calls;
//! `interop random SET FLAWS GATEWAY COUNT [sidecar]` makes random calls through a gateway;
//! `interop streams SET GATEWAY [sidecar]` reads the streams of one. With `sidecar`, what is
//! called is one in front of the gateway.

mod random;
mod steps;
mod streams;
mod table;

use std::error::Error;

use google_chat::{grpc_transcoding::rpc::EncodedCodec, protojson::MethodDescriptor};
use http::uri::PathAndQuery;
use tonic::{
    Status,
    body::Body,
    client::GrpcService,
    codegen::{Bytes, StdError, http},
};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["table", table, endpoint, key, wire] => table::run(table, endpoint, key, wire).await,
        ["random", set, flaws, gateway, count] => random::run(set, flaws, gateway, count.parse()?, false).await,
        ["random", set, flaws, gateway, count, "sidecar"] => {
            random::run(set, flaws, gateway, count.parse()?, true).await
        }
        ["streams", set, gateway] => streams::run(set, gateway, false).await,
        ["streams", set, gateway, "sidecar"] => streams::run(set, gateway, true).await,
        _ => Err("usage: interop table|random|streams ...".into()),
    }
}

/// Calls a method with a message as wire bytes.
async fn call<S>(channel: S, method: &MethodDescriptor, message: Vec<u8>) -> Result<Vec<u8>, Status>
where
    S: GrpcService<Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as tonic::codegen::Body>::Error: Into<StdError> + Send,
{
    let mut stub = tonic::client::Grpc::new(channel);
    stub.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
    let path = PathAndQuery::try_from(method.path()).map_err(|error| Status::internal(error.to_string()))?;
    Ok(stub.unary(tonic::Request::new(message.into()), path, EncodedCodec).await?.into_inner().into())
}

/// Calls a method that streams its replies: these, and the status at their end.
async fn call_stream<S>(channel: S, method: &MethodDescriptor, message: Vec<u8>) -> (Vec<Vec<u8>>, Status)
where
    S: GrpcService<Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as tonic::codegen::Body>::Error: Into<StdError> + Send,
{
    let mut replies = Vec::new();
    let mut stub = tonic::client::Grpc::new(channel);
    let streamed = async {
        stub.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
        let path = PathAndQuery::try_from(method.path()).map_err(|error| Status::internal(error.to_string()))?;
        let answer = stub.server_streaming(tonic::Request::new(message.into()), path, EncodedCodec).await?;
        let mut stream = answer.into_inner();
        while let Some(reply) = stream.message().await? {
            replies.push(reply.into());
        }
        Ok(())
    };
    let status = streamed.await.map_or_else(|status| status, |()| Status::ok(""));
    (replies, status)
}
