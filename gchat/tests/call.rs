//! `gchat explain` and `gchat call`, as a person or a script runs them.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn gchat(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
    command.args(args).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const CREATE: &str = "google.chat.v1.ChatService/CreateSpace";

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
            let output = gchat(&["explain", CREATE, argument, "--format", format], input);
            assert_eq!(text(&output.stderr), "", "{format}");
            assert_eq!(text(&output.stdout), expected, "{format}");
        }
    }
}

#[test]
fn explain_reads_and_prints_lines() {
    let lines = "{\"method\":\"google.chat.v1.ChatService.CreateSpace\",\"request\":{\"requestId\":\"1\"}}\n\n{\"method\":\"google.chat.v1.ChatService/CreateSpace\"}\n";
    let output = gchat(&["explain", "--ndjson"], lines);
    assert_eq!(
        text(&output.stdout),
        "{\"method\":\"POST\",\"path\":\"/v1/spaces\",\"query\":[[\"requestId\",\"1\"]],\"headers\":{},\"body\":null}\n\
         {\"method\":\"POST\",\"path\":\"/v1/spaces\",\"query\":[],\"headers\":{},\"body\":null}\n"
    );
    let output = gchat(&["explain", "--ndjson"], "{\"method\":\"a.B/C\"}\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "gchat: line 1: the schema has no method a.B/C\n");
}

#[test]
fn call_makes_the_call_over_either_wire() {
    let request = r#"{"space":{"displayName":"Launch room","spaceType":"SPACE"}}"#;
    for wire in ["grpc", "http"] {
        let output = gchat(&["call", CREATE, request, "--emulator", "--wire", wire], "");
        assert_eq!(text(&output.stderr), "", "{wire}");
        let space: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(space["displayName"], "Launch room", "{wire}");
        let output = gchat(&["call", CREATE, "{}", "--emulator", "--wire", wire], "");
        assert_eq!(output.status.code(), Some(1), "{wire}");
        assert!(text(&output.stderr).contains("InvalidArgument: Invalid request: space is required."), "{wire}");
    }
}

#[test]
fn what_cannot_be_called_is_said_before_anything_is_sent() {
    for (args, message) in [
        (
            &["call", "google.chat.v1.ChatService/Create"][..],
            "the schema has no method google.chat.v1.ChatService/Create\n",
        ),
        (
            &["explain", "v1.ChatService/CreateSpace"],
            "the schema has no method v1.ChatService/CreateSpace; did you mean google.chat.v1.ChatService/CreateSpace?\n",
        ),
        (
            &["call", CREATE, r#"{"space":{"name":1}}"#],
            "the request: space.name: expected a string, found the number 1 (line 1, column 18)\n",
        ),
        (&["call", CREATE, "{}", "-H", "no-colon", "--emulator"], "--header: write NAME:VALUE\n"),
        (
            &["explain", CREATE, "--descriptor-set", "/nonexistent/x"],
            "cannot read /nonexistent/x: No such file or directory (os error 2)\n",
        ),
        (
            &["gateway", "--backend", "ftp://x", "--reflection"],
            "endpoint `ftp://x`: must begin with https:// or http://\n",
        ),
    ] {
        let output = gchat(args, "");
        assert_eq!(text(&output.stderr), format!("gchat: {message}"), "{args:?}");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
