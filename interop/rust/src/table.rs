//! Runs the table of calls with this project's client over one wire, and prints a line of
//! JSON for each: its id, and the answer or the error.

use std::collections::HashMap;

use google_chat::{
    Client, Credentials, Wire,
    grpc_transcoding::rpc::code_name,
    layer::RetryPolicy,
    proto::{DESCRIPTOR_SET, google::rpc},
    protojson::DescriptorPool,
};
use prost::Message;
use serde_json::{Value, json};
use tonic::Status;

use crate::{Failure, call, steps};

pub(crate) async fn run(table: &str, endpoint: &str, key: &str, wire: &str) -> Result<(), Failure> {
    let table: Value = serde_json::from_slice(&std::fs::read(table)?)?;
    let key = std::fs::read_to_string(key)?;
    // Whoever gives the tokens is the emulator, whatever stands before it.
    let tokens: Value = serde_json::from_str(&key)?;
    let emulator = tokens["token_uri"].as_str().and_then(|uri| uri.strip_suffix("/token")).ok_or("token_uri")?;
    let schema = DescriptorPool::decode(DESCRIPTOR_SET)?;
    let mut clients = HashMap::new();
    for (name, identity) in table["identities"].as_object().ok_or("identities")? {
        let app = Credentials::service_account_key(&key)?;
        let credentials = match identity["subject"].as_str() {
            Some(subject) => app.for_user(subject)?,
            None => app,
        };
        let scopes = identity["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let client = Client::builder()
            .endpoint(endpoint)
            .wire(if wire == "grpc" { Wire::Grpc } else { Wire::HttpJson })
            .credentials(credentials)
            .scopes(scopes)
            // As the others: nothing is filled in, checked or tried again.
            .checks(false)
            .fill_request_ids(false)
            .retry(RetryPolicy::never())
            .build()?;
        clients.insert(name.clone(), client);
    }
    let call = async |identity: &str, method: &str, request: &str| {
        let method = schema.method(&format!("/google.chat.v1.ChatService/{method}")).ok_or("method")?;
        let client = clients.get(identity).ok_or("as")?;
        Ok(match call(client.channel(), &method, method.input().from_json(request)?).await {
            Ok(answer) => Ok(serde_json::from_str(&method.output().to_json(&answer)?)?),
            Err(status) => Err(described(&status)),
        })
    };
    steps::run(&table, emulator, call).await
}

fn described(status: &Status) -> Value {
    let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
    let info = details.iter().find_map(|detail| detail.to_msg::<rpc::ErrorInfo>().ok()).unwrap_or_default();
    let metadata: std::collections::BTreeMap<_, _> = info.metadata.into_iter().collect();
    json!({
        "code": code_name(status.code()),
        "reason": info.reason,
        "domain": info.domain,
        "metadata": metadata,
    })
}
