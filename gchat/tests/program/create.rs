//! `gchat spaces create`: one space.

use std::process::Output;

use serde_json::Value;

use super::support::{Server, answering, file, fresh, gchat_reading, run, text};

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
        // Each attempt is answered so: one whose answer says nothing clear is made again.
        let (endpoint, _calls) = answering([answer]);
        let command =
            ["spaces", "create", "--display-name", "a", "--anonymous", "--wire", "http", "--endpoint", &endpoint];
        let output = run(&command);
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
    let create = ["spaces", "create", "--emulator", "--from-json", "-", "--output", "table"];
    let output = gchat_reading(&create, r#"{"displayName":"piped","spaceType":"SPACE"}"#);
    assert!(text(&output.stdout).lines().any(|line| line.split_whitespace().eq(["displayName", "piped"])));
}

#[test]
fn the_written_credentials_create_spaces() {
    let key = fresh("create-key.json");
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
    file("create-key.json", "Google's");
    let output = run(&["emulator", "--listen", "127.0.0.1:0", "--write-credentials", key]);
    assert_eq!((output.status.code(), std::fs::read_to_string(key).unwrap().as_str()), (Some(2), "Google's"));
}
