//! The built program, as a person or a script runs it.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Output, Stdio},
};

use google_chat_emulator::Emulator;
use serde_json::Value;
use support::{Server, gchat, run, text};

fn without_assigned(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut space: Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["name", "createTime", "spaceUri"] {
        assert!(space.as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    space
}

#[test]
fn both_wires_print_the_same_space() {
    let create = ["spaces", "create", "--display-name", "Launch room", "--emulator", "--wire"];
    let http = run(&[&create[..], &["http"]].concat());
    let grpc = run(&[&create[..], &["grpc"]].concat());
    let space = without_assigned(&http);
    assert_eq!(space, without_assigned(&grpc));
    assert_eq!(space["displayName"], "Launch room");
}

/// A success that holds no space is none, whatever its HTTP status.
#[test]
fn an_answer_without_a_space_is_a_failure() {
    for (answer, problem) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "has no body"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "has no body"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "a space without a name"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{\"error\":{\"message\":\"m\"}}", "INTERNAL: m"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let command =
            ["spaces", "create", "--display-name", "a", "--anonymous", "--wire", "http", "--endpoint", &endpoint];
        // Each attempt is answered so: one whose answer says nothing clear is made again.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // Once the body is there, which is the request's last line.
                let mut request = BufReader::new(client.unwrap());
                let mut piece = Vec::new();
                while !piece.ends_with(b"}") {
                    assert_ne!(request.read_until(b'}', &mut piece).unwrap(), 0);
                }
                request.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        let output = gchat(&command).output().unwrap();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success() && out.is_empty() && error.contains(problem), "{answer}: {out} {error}");
    }
}

#[test]
fn every_settable_field_has_a_flag() {
    let output = run(&[
        "spaces",
        "create",
        "--emulator",
        "--display-name",
        "n",
        "--description",
        "d",
        "--guidelines",
        "g",
        "--external-user-allowed",
        "--history",
        "HISTORY_OFF",
        "--import-mode",
        "--create-time",
        "2020-01-02T03:04:05Z",
        "--audience",
        "audiences/default",
        "--discoverable-by",
        "audiences/a,audiences/b",
        "--joinable-by",
        "audiences/a",
        "--members-visible-to",
        "audiences/b",
        "--permission",
        "manageApps=managers+assistantManagers",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let space: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (path, value) in [
        ("/displayName", "n"),
        ("/spaceDetails/description", "d"),
        ("/spaceDetails/guidelines", "g"),
        ("/spaceHistoryState", "HISTORY_OFF"),
        ("/createTime", "2020-01-02T03:04:05Z"),
        ("/accessSettings/audience", "audiences/default"),
        ("/accessSettings/accessState", "DISCOVERABLE"),
        ("/accessSettings/accessPermissionSettings/discoverSpaceSetting/principals/1/audience/name", "audiences/b"),
        ("/accessSettings/accessPermissionSettings/joinSpaceSetting/principals/0/audience/name", "audiences/a"),
        (
            "/accessSettings/accessPermissionSettings/viewSpaceMembershipSetting/principals/0/audience/name",
            "audiences/b",
        ),
    ] {
        assert_eq!(space.pointer(path), Some(&value.into()), "{path} of {space}");
    }
    assert_eq!(space["externalUserAllowed"], true);
    assert_eq!(space["importMode"], true);
    // An app's alone: a user's is given by the server.
    let app = ["spaces", "create", "--display-name", "n", "--customer", "customers/C1", "--emulator"];
    let space: Value = serde_json::from_slice(&run(&app).stdout).unwrap();
    assert_eq!(space["customer"], "customers/C1");
}

#[test]
fn a_space_is_read_from_json() {
    let mut child = gchat(&["spaces", "create", "--emulator", "--from-json", "-", "--output", "table"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(br#"{"displayName":"piped","spaceType":"SPACE"}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).lines().any(|line| line.split_whitespace().eq(["displayName", "piped"])));
}

#[test]
fn the_written_credentials_create_spaces() {
    let key = std::env::temp_dir().join(format!("gchat-key-{}.json", std::process::id()));
    let key = key.to_str().unwrap();
    let flags = ["--require-credentials", "--write-credentials", key, "--delegated-scopes", "chat.spaces.create"];
    let server = Server::emulator(&flags);
    let create = ["spaces", "create", "--endpoint", &server.endpoint, "--output", "name", "--display-name"];
    for (args, code, problem) in [
        (&["a", "--credentials", key, "--subject", "alice@example.com"][..], 0, ""),
        (&["b", "--credentials", key, "--customer", "customers/my_customer", "--wire", "grpc"], 0, ""),
        (&["c", "--credentials", key], 2, "space.customer is required"),
        (&["d", "--anonymous"], 3, "CREDENTIALS_MISSING"),
        (&["e", "--credentials", key, "--subject", "alice@example.com", "--import-mode"], 3, "Domain-wide delegation"),
    ] {
        let output = run(&[&create[..], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
        assert!(text(&output.stderr).contains(problem), "{args:?} {output:?}");
    }
    // A key that is not the emulator's own is not written over.
    std::fs::write(key, "Google's").unwrap();
    let output = run(&["emulator", "--listen", "127.0.0.1:0", "--write-credentials", key]);
    assert_eq!((output.status.code(), std::fs::read_to_string(key).unwrap().as_str()), (Some(2), "Google's"));
    std::fs::remove_file(key).unwrap();
}

/// A proxy that asks for other credentials, and then is gone.
#[test]
fn https_goes_through_the_proxy_of_the_environment() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (stream, _) = proxy.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let lines: Vec<String> = lines.collect();
        (&stream).write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap();
        lines
    });
    let create = ["spaces", "create", "--display-name", "a", "--access-token", "t", "--timeout", "2"];
    let there = ["--endpoint", "https://chat.example.com"];
    for wire in ["http", "grpc"] {
        let mut command = gchat(&[&create[..], &there[..], &["--wire", wire]].concat());
        command.env("HTTPS_PROXY", format!("http://user:s3cret@{address}")).env("NO_PROXY", "other.example.com");
        let output = command.output().unwrap();
        let error = text(&output.stderr);
        assert!(error.contains(&format!("the proxy http://{address}")) && !error.contains("s3cret"), "{error}");
    }
    let lines = asked.join().unwrap();
    assert_eq!(lines[0], "CONNECT chat.example.com:443 HTTP/1.1");
    let authorization = lines.iter().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
    // user:s3cret
    assert_eq!(authorization, Some("Basic dXNlcjpzM2NyZXQ="), "{lines:?}");
}

#[test]
fn failures_have_their_exit_codes_and_one_line() {
    let server = Server::emulator(&[]);
    let there =
        ["spaces", "create", "--endpoint", &server.endpoint, "--anonymous", "--display-name", "a", "--output", "name"];
    let first = run(&there);
    assert!(first.status.success() && text(&first.stdout).starts_with("spaces/"), "{first:?}");
    for (args, code, message) in [
        (&there[..], 4, "ALREADY_EXISTS"),
        (&[&there[..], &["--wire", "grpc"]].concat(), 4, "choose another display name"),
        (&["spaces", "create", "--emulator"], 2, "space.display_name is required"),
        (
            &["spaces", "create", "--emulator", "--display-name", "a", "--create-time", "x", "--import-mode"],
            2,
            "createTime: expected an RFC 3339 timestamp, found \"x\"",
        ),
        (&["spaces", "create", "--emulator", "--permission", "manageApps=all"], 2, "unknown role `all`"),
        (
            &["spaces", "create", "--emulator", "--permission", "manageCats=members"],
            2,
            "permissionSettings.manageCats: unknown field",
        ),
        (&["spaces", "create", "--emulator", "--from-json", "/nonexistent"], 2, "cannot read /nonexistent"),
        (
            &["spaces", "create", "--display-name", "a", "--endpoint", "ftp://x"],
            2,
            "must begin with https:// or http://",
        ),
        (
            &["spaces", "create", "--display-name", "a", "--access-token", "t", "--endpoint", "http://example.com"],
            2,
            "in clear text",
        ),
    ] {
        let output = run(args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(message), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    }
}

#[tokio::test]
async fn a_named_key_that_cannot_be_used_says_what_is_wrong() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-key.json");
    // A key as the emulator writes it, but for where its tokens come from.
    let written = Emulator::start().await.unwrap().key_file();
    let mut key: serde_json::Value = serde_json::from_str(&written).unwrap();
    key["token_uri"] = "http://example.com/token".into();
    let key = key.to_string();
    for (text, problem) in [("{}", "cannot be used"), (key.as_str(), "would send tokens in clear text")] {
        std::fs::write(&file, text).unwrap();
        let output = gchat(&["spaces", "create", "--display-name", "a", "--endpoint", "http://127.0.0.1:1"])
            .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains("GOOGLE_APPLICATION_CREDENTIALS") && error.contains(problem), "{error}");
    }
}

#[test]
fn without_credentials_the_three_ways_to_give_some_are_named() {
    let output = run(&["spaces", "create", "--display-name", "a"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    for way in ["GOOGLE_APPLICATION_CREDENTIALS", "gcloud auth application-default login", "an access token"] {
        assert!(error.contains(way), "{error}");
    }
}
