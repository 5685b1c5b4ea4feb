//! Runs the table of calls with this project's client over one wire, and prints a line of
//! JSON for each: its id, and the answer or the error.

use std::{collections::HashMap, process::Command};

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

use crate::{Failure, call};

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
    let mut saved: HashMap<String, String> = HashMap::new();
    for step in table["steps"].as_array().ok_or("steps")? {
        if let Some(settings) = step.get("set") {
            set(emulator, settings)?;
            continue;
        }
        let text = |name: &str| step[name].as_str().unwrap_or_default();
        let mut request = step["request"].to_string();
        for (name, value) in &saved {
            request = request.replace(&format!("{{{name}}}"), value);
        }
        let path = format!("/google.chat.v1.ChatService/{}", text("method"));
        let method = schema.method(&path).ok_or("method")?;
        let client = clients.get(text("as")).ok_or("as")?;
        let outcome = match call(client.channel(), &method, method.input().from_json(&request)?).await {
            Ok(answer) => {
                let answer: Value = serde_json::from_str(&method.output().to_json(&answer)?)?;
                for (name, field) in step["save"].as_object().into_iter().flatten() {
                    let value = answer[field.as_str().unwrap_or_default()].as_str().unwrap_or_default();
                    saved.insert(name.clone(), value.to_owned());
                }
                json!({"id": text("id"), "answer": answer})
            }
            Err(status) => json!({"id": text("id"), "error": described(&status)}),
        };
        println!("{outcome}");
    }
    Ok(())
}

/// Changes the emulator's settings, as anybody can: by curl.
fn set(emulator: &str, settings: &Value) -> Result<(), Failure> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--request", "PATCH", "--data", &settings.to_string()]);
    curl.args(["--header", "content-type: application/json"]);
    if let Some(certificate) = std::env::var_os("SSL_CERT_FILE") {
        curl.arg("--cacert").arg(certificate);
    }
    let output = curl.arg(format!("{emulator}/emulator/settings")).output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
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
