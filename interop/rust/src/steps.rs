//! The table of calls, for any client: what is asked in which order, and how it is told.

use std::{collections::HashMap, error::Error, process::Command};

use serde_json::{Value, json};

type Failure = Box<dyn Error>;

/// What comes of a call: the answer, or what the client knows of the error.
pub(crate) type Outcome = Result<Value, Value>;

/// Makes the calls, by an identity, a method and a request in ProtoJSON, and prints a line of
/// JSON for each. Settings are changed at the URL of the emulator.
pub(crate) async fn run(
    table: &Value,
    emulator: &str,
    call: impl AsyncFn(&str, &str, &str) -> Result<Outcome, Failure>,
) -> Result<(), Failure> {
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
        let outcome = match call(text("as"), text("method"), &request).await? {
            Ok(answer) => {
                for (name, path) in step["save"].as_object().into_iter().flatten() {
                    let path = format!("/{}", path.as_str().unwrap_or_default());
                    let value = answer.pointer(&path).and_then(Value::as_str).ok_or("save")?;
                    saved.insert(name.clone(), value.to_owned());
                }
                json!({"id": text("id"), "answer": answer})
            }
            Err(error) => json!({"id": text("id"), "error": error}),
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
