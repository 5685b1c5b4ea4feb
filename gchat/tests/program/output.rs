//! What commands print, and the codes that they end with.

use std::{
    fs::OpenOptions,
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use google_chat_emulator::Emulator;

use super::support::{CREATE, Server, answering, descriptor_set, file, fresh, gchat, json_answer, run, signal, text};

#[test]
fn nothing_of_a_servers_text_is_an_order_to_the_terminal() {
    // ESC, the same in one byte of C1, BEL, DEL, a carriage return, right-to-left override.
    let orders = "a\u{1b}]0;title\u{7}\u{9b}2J\u{7f}\r\n\u{85}gchat: done\u{202e}z";
    let space = serde_json::json!({"name": orders, "displayName": orders, "spaceType": "SPACE"});
    let page = serde_json::json!({ "spaces": [space] });
    let error = serde_json::json!({"error": {"code": 404, "message": orders, "status": "NOT_FOUND", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": orders, "domain": orders},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": orders}]}]}});
    let server = |status: &str, body: &str| answering([json_answer(status, body)]).0;
    let space = server("200 OK", &space.to_string());
    let page = server("200 OK", &page.to_string());
    let error = server("404 Not Found", &error.to_string());
    let html = server("502 Bad Gateway", &format!("<html>{orders}"));
    let rows = file("orders.ndjson", "{\"displayName\":\"a\"}\n");
    let rows = rows.to_str().unwrap();
    let method = "google.chat.v1.ChatService/GetSpace";
    let get = ["spaces", "get", "spaces/a", "--output"];
    let list = ["spaces", "list", "--output"];
    let create = ["spaces", "create", "--rate", "0", "--timeout", "1", "--patience", "0", "--from", rows];
    let mut checked = 0;
    for (endpoint, args) in [
        (&space, [&get[..], &["table"]].concat()),
        (&space, [&get[..], &["json"]].concat()),
        (&space, [&get[..], &["name"]].concat()),
        (&page, [&list[..], &["table"]].concat()),
        (&page, [&list[..], &["json"]].concat()),
        (&page, [&list[..], &["name"]].concat()),
        (&space, ["call", method, "{\"name\":\"spaces/a\"}"].to_vec()),
        (&space, create.to_vec()),
        (&error, get[..3].to_vec()),
        (&error, ["call", method, "{\"name\":\"spaces/a\"}"].to_vec()),
        (&error, ["doctor"].to_vec()),
        (&error, create.to_vec()),
        (&html, get[..3].to_vec()),
        (&html, ["doctor"].to_vec()),
    ] {
        for suffix in ["journal", "failed.ndjson"] {
            let _ = std::fs::remove_file(format!("{rows}.{suffix}"));
        }
        let there = ["--anonymous", "--wire", "http", "--endpoint", endpoint];
        let timeout: &[&str] = if args.contains(&"--timeout") { &[] } else { &["--timeout", "1"] };
        let output = gchat(&[&args[..], &there[..], timeout].concat()).output().unwrap();
        for stream in [&output.stdout, &output.stderr] {
            let printed = text(stream);
            let order = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
            assert!(!printed.contains(order), "{args:?}: {printed:?}");
            // A line of the server's own is none of ours.
            assert!(!printed.lines().any(|line| line.starts_with("gchat: done")), "{args:?}: {printed:?}");
            checked += usize::from(printed.contains("title"));
        }
    }
    assert!(checked >= 14, "{checked}");
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

/// Every exit code that the help names, by a command that ends so.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commands_end_with_the_codes_that_the_help_names() {
    let emulator = Emulator::start().await.unwrap();
    let endpoint = emulator.endpoint();
    let there = ["--endpoint", &*endpoint, "--anonymous"];
    let spaces = |args: &[&str]| gchat(&[&["spaces"], args, &there].concat());
    let rows = |name: &str, rows: &str| file(name, rows).to_str().unwrap().to_owned();
    for name in ["codes-taken.ndjson", "codes-wrong.ndjson", "codes-stopped.ndjson"] {
        for end in ["journal", "failed.ndjson", "unknown.ndjson"] {
            fresh(&format!("{name}.{end}"));
        }
    }
    let taken = rows("codes-taken.ndjson", "{\"displayName\":\"taken\"}\n");
    let wrong = rows("codes-wrong.ndjson", "{\"displayName\":\"\"}\n");
    let set = descriptor_set("codes");
    let unnamed = r#"{"space":{"spaceType":"SPACE"}}"#;
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let to = |mut command: Command, stdout: std::fs::File| {
        command.stdout(stdout);
        command
    };
    let cases = vec![
        (0, spaces(&["create", "--display-name", "taken"])),
        (0, gchat(&["--help"])),
        (0, gchat(&["schema", "--lint"])),
        // The server's word, not this program's.
        (1, gchat(&[&["call", CREATE, unnamed], &there[..]].concat())),
        (1, gchat(&["schema", "--output", "/nonexistent/chat.bin"])),
        (if cfg!(feature = "full") { 1 } else { 2 }, gchat(&["man", "/dev/null/man"])),
        (1, to(gchat(&["schema"]), full())),
        (1, to(gchat(&["--help"]), full())),
        (1, to(gchat(&["--version"]), full())),
        (if cfg!(feature = "full") { 1 } else { 2 }, to(gchat(&["completions", "bash"]), full())),
        (1, to(gchat(&["emulator", "--listen", "127.0.0.1:0"]), full())),
        (1, to(spaces(&["list"]), full())),
        (1, to(gchat(&["explain", CREATE, "{}"]), full())),
        (2, gchat(&["spaces", "create", "--nothing"])),
        (2, spaces(&["create"])),
        (2, spaces(&["create", "--dry-run"])),
        (2, spaces(&["create", "--from", &wrong])),
        (2, gchat(&["explain", CREATE, unnamed, "--as-client"])),
        (2, gchat(&["explain", CREATE, "{", "--as-client"])),
        (3, gchat(&["spaces", "create", "--display-name", "a", "--endpoint", &endpoint])),
        (3, gchat(&["spaces", "create", "--display-name", "a", "--endpoint", &endpoint, "--access-token", "old"])),
        (3, gchat(&["doctor", "--endpoint", &endpoint, "--access-token", "old"])),
        (4, spaces(&["create", "--display-name", "taken"])),
        (5, spaces(&["get", "spaces/nothing"])),
        (5, spaces(&["delete", "spaces/nothing", "--yes"])),
        (6, gchat(&["spaces", "get", "spaces/a", "--anonymous", "--timeout", "1", "--endpoint", "http://127.0.0.1:9"])),
        (7, spaces(&["create", "--from", &taken, "--rate", "0"])),
        (8, gchat(&["schema", "--lint", "--descriptor-set", set.to_str().unwrap()])),
    ];
    let mut shown = std::collections::BTreeSet::new();
    for (code, mut command) in cases {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
        let error = text(&output.stderr);
        assert!(code == 0 || error.contains("gchat: ") || error.contains("error: "), "{command:?}: {error}");
        assert!(!error.contains("panicked"), "{command:?}: {error}");
        shown.insert(code);
    }
    // Ctrl-C, once a call is under way; whatever it is that does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let rows = rows("codes-stopped.ndjson", "{\"displayName\":\"a\"}\n");
    let stopped = ["spaces", "create", "--from", &rows, "--anonymous", "--wire", "http", "--endpoint", &address];
    let child = gchat(&stopped).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _call = silent.accept().unwrap();
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    shown.insert(130);
    // A command that has nothing to end well is ended by the signal itself, which a shell
    // shows as the same code.
    let alone = ["spaces", "get", "spaces/a", "--anonymous", "--wire", "http", "--endpoint", &address];
    let child = gchat(&alone).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _call = silent.accept().unwrap();
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(2));

    // Rows whose fate is unknown, and a second run on one file: the tests of bulk have them.
    shown.extend([9, 10]);

    let help = gchat(&["--help"]).output().unwrap();
    let (_, table) = text(&help.stdout).split_once("Exit codes:\n").unwrap();
    let named = table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    assert_eq!(named.collect::<std::collections::BTreeSet<i32>>(), shown);
}

#[test]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
fn verbose_shows_calls_and_attempts_and_no_token() {
    let emulator = Server::emulator(&["--require-credentials", "--shortcuts"]);
    let token = ["--access-token", "user:alice@example.com", "--endpoint", &emulator.endpoint];
    for (command, spans) in [
        (&["spaces", "create", "--display-name", "a"][..], &["call{", "attempt{"][..]),
        (&["call", "google.chat.v1.ChatService/ListSpaces"], &["attempt{"]),
    ] {
        let quiet = run(&[command, &token].concat());
        assert!(quiet.stderr.is_empty(), "{quiet:?}");
        for verbose in ["-v", "-vv"] {
            let output = run(&[command, &token, &[verbose]].concat());
            let log = text(&output.stderr);
            for span in spans {
                let begun = log.lines().any(|line| line.contains(span) && line.ends_with(": new"));
                assert!(begun == (verbose == "-vv") && log.contains(": close "), "{span} {verbose}: {log}");
            }
            assert!(!log.contains("alice"), "{log}");
        }
    }
}
