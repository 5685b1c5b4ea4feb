//! `gchat explain` and `--dry-run`: requests that are shown, not sent.

use std::process::Command;

use google_chat_emulator::Emulator;

use super::support::{CREATE, ended, gchat, gchat_reading, text};

#[test]
fn explain_prints_the_request_in_every_form() {
    let request = r#"{"requestId":"a b/c&d+é","space":{"displayName":"It's \"a\" room","spaceType":"SPACE"}}"#;
    const PATH: &str = "/v1/spaces?requestId=a%20b%2Fc%26d%2B%C3%A9";
    const BODY: &str = r#"{"displayName":"It's \"a\" room","spaceType":"SPACE"}"#;
    for (format, expected) in [
        (
            "http",
            format!("POST {PATH} HTTP/1.1\nhost: chat.googleapis.com\ncontent-type: application/json\n\n{BODY}\n"),
        ),
        (
            "json",
            format!(
                "{{\"method\":\"POST\",\"path\":\"/v1/spaces\",\"query\":[[\"requestId\",\"a b/c&d+é\"]],\
                 \"headers\":{{\"content-type\":\"application/json\"}},\"body\":{BODY}}}\n"
            ),
        ),
        (
            "curl",
            format!(
                "curl --request POST 'https://chat.googleapis.com{PATH}' \\\n  --header 'content-type: application/json' \\\n  \
                 --data-raw '{}'\n",
                BODY.replace('\'', r"'\''")
            ),
        ),
        (
            "grpcurl",
            format!(
                "grpcurl -d '{{\"space\":{},\"requestId\":\"a b/c&d+é\"}}' chat.googleapis.com:443 {CREATE}\n",
                BODY.replace('\'', r"'\''")
            ),
        ),
    ] {
        // The request as an argument and from standard input.
        for (argument, input) in [(request, ""), ("-", request)] {
            let output = gchat_reading(&["explain", CREATE, argument, "--format", format], input);
            assert_eq!(text(&output.stderr), "", "{format}");
            assert_eq!(text(&output.stdout), expected, "{format}");
        }
    }
}

#[test]
fn explain_reads_and_prints_lines() {
    let lines = "{\"method\":\"google.chat.v1.ChatService.CreateSpace\",\"request\":{\"requestId\":\"1\"}}\n\n{\"method\":\"google.chat.v1.ChatService/CreateSpace\"}\n";
    let output = gchat_reading(&["explain", "--ndjson"], lines);
    assert_eq!(
        text(&output.stdout),
        "{\"method\":\"POST\",\"path\":\"/v1/spaces\",\"query\":[[\"requestId\",\"1\"]],\"headers\":{},\"body\":null}\n\
         {\"method\":\"POST\",\"path\":\"/v1/spaces\",\"query\":[],\"headers\":{},\"body\":null}\n"
    );
    // A line that is refused is answered as well, and those after it.
    let output = gchat_reading(&["explain", "--ndjson"], &format!("{{\"method\":\"a.B/C\"}}\nnothing\n{lines}"));
    let (code, explained, error) = ended(&output);
    let explained: Vec<&str> = explained.lines().collect();
    assert_eq!(explained[0], r#"{"line":1,"error":"the schema has no method a.B/C"}"#);
    assert!(explained[1].starts_with(r#"{"line":2,"error":"expected ident"#), "{explained:?}");
    assert!(explained.len() == 4 && explained[3].starts_with(r#"{"method":"POST""#), "{explained:?}");
    assert_eq!((code, error), (2, "gchat: 2 of 4 lines have no HTTP request; their results say why\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_shown_as_a_command_can_be_run() {
    let emulator = Emulator::start().await.unwrap();
    let endpoint = emulator.endpoint();
    let create = ["spaces", "create", "--display-name", "It's $HOME", "--anonymous", "--endpoint", &endpoint];
    let shown = gchat(&[&create[..], &["--dry-run"]].concat()).output().unwrap();
    let command = text(&shown.stdout);
    assert!(command.contains("x-goog-api-client: gl-rust/") && command.contains("requestId="), "{command}");
    assert_eq!(emulator.received().len(), 0);
    if Command::new("curl").arg("--version").output().is_ok() {
        let run = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(text(&run.stdout).contains("\"displayName\":\"It's $HOME\""), "{run:?}");
        assert_eq!(emulator.spaces()[0].display_name, "It's $HOME");
    }
    let bad = gchat(&["spaces", "create", "--dry-run", "--anonymous"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("space.display_name is required"), "{bad:?}");
    let json = r#"{"space":{"displayName":"a","spaceType":"SPACE"}}"#;
    let explained = gchat(&["explain", CREATE, json, "--as-client", "--format", "json"]).output().unwrap();
    let explained: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(explained["query"][0][1].as_str().unwrap().len(), 36);
    assert!(explained["headers"]["x-server-timeout"].is_string());
    let plain = gchat(&["explain", CREATE, json, "--format", "json"]).output().unwrap();
    let plain: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((&plain["query"], plain["headers"].as_object().unwrap().len()), (&serde_json::json!([]), 1));
    let grpc = gchat(&["explain", CREATE, json, "--as-client", "--format", "grpcurl"]).output().unwrap();
    let grpc = text(&grpc.stdout);
    assert!(grpc.contains("$GCHAT_ACCESS_TOKEN") && grpc.contains("\"requestId\":\""), "{grpc}");
}
