//! The commands beside `spaces create`, by what they print and how they end.

mod broken_keys;
mod support;

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use google_chat::protojson::DescriptorPool;
use google_chat_emulator::{Emulator, Settings};
use support::{descriptor_set, ended, file, gchat, signal, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_space_is_read_listed_changed_and_deleted() {
    for wire in ["grpc", "http"] {
        let emulator = Emulator::start().await.unwrap();
        let endpoint = emulator.endpoint();
        let run = |args: &[&str]| {
            let there = ["--anonymous", "--endpoint", &endpoint, "--wire", wire];
            let output = gchat(&[&["spaces"], args, &there].concat()).output().unwrap();
            let (code, out, error) = ended(&output);
            (code, out.to_owned(), error.to_owned())
        };
        let name = run(&["create", "--display-name", "a", "--guidelines", "g", "--output", "name"]).1;
        let name = name.trim();
        assert_eq!(run(&["create", "--display-name", "quiet", "--quiet"]), (0, String::new(), String::new()));
        let (code, list, _) = run(&["list", "--output", "table"]);
        let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((code, rows.len(), &rows[0][..]), (0, 2, &[name, "SPACE", "a"][..]));
        let (_, list, _) = run(&["list", "--limit", "1"]);
        assert!(list.lines().count() == 1 && list.starts_with("{\"name\":"), "{list}");
        let (_, list, _) = run(&["list", "--filter", "spaceType = \"GROUP_CHAT\""]);
        assert_eq!(list, "");
        // What is not given stays, also where the API takes it together.
        let changed = run(&["update", name, "--description", "d", "--display-name", "b"]);
        assert_eq!(changed.0, 0, "{changed:?}");
        let space = emulator.spaces().remove(0);
        let details = space.space_details.unwrap();
        assert_eq!((&*space.display_name, &*details.description, &*details.guidelines), ("b", "d", "g"));
        let changed = run(&["update", name, "--permission", "manageApps=managers"]);
        assert!(changed.0 == 0 && changed.1.contains("\"manageApps\": {\n      \"managersAllowed\": true\n    }"));
        let nothing = run(&["update", name]);
        assert_eq!((nothing.0, &*nothing.2), (2, "gchat: nothing is to be changed; give a flag of the space\n"));
        let got = run(&["get", name, "--output", "json"]);
        assert!(got.1.contains("\"displayName\": \"b\""), "{got:?}");
        let kept = run(&["delete", name]);
        assert!(kept.0 == 2 && kept.2.contains("say --yes"), "{kept:?}");
        assert_eq!(run(&["delete", name, "--yes"]), (0, String::new(), String::new()));
        let gone = run(&["get", name]);
        assert!(gone.0 == 5 && gone.2.contains("NOT_FOUND") && gone.2.contains("check the name"), "{gone:?}");
        let import = run(&["create", "--display-name", "i", "--import-mode", "--output", "name"]).1;
        let done = run(&["complete-import", import.trim()]);
        assert!(done.0 == 0 && !done.1.contains("importMode"), "{done:?}");
        let again = run(&["complete-import", import.trim()]);
        assert_eq!(again.0, 1, "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_file_counts_least_then_the_environment_then_flags() {
    let (one, two) = (Emulator::start().await.unwrap(), Emulator::start().await.unwrap());
    one.configure(|settings| settings.anonymous = false);
    let key = file("config-key.json", &one.key_file());
    let lines = [
        format!("endpoint = {:?}", one.endpoint()),
        "wire = \"http\"".to_owned(),
        format!("credentials = {key:?}"),
        "subject = \"alice@example.com\"".to_owned(),
    ];
    let config = file("config.toml", &lines.join("\n"));
    let create = |name: &str, set: &[(&str, &str)], args: &[&str]| {
        let args = [&["spaces", "create", "--quiet", "--display-name", name], args].concat();
        gchat(&args).env("GCHAT_CONFIG", &config).envs(set.iter().copied()).output().unwrap()
    };
    assert_eq!(ended(&create("file", &[], &[])), (0, "", ""));
    let call = one.received().remove(0);
    assert_eq!(call.target.split('?').next(), Some("/v1/spaces"));
    // The key is not for who is there without credentials.
    assert_eq!(
        ended(&create("environment", &[("GCHAT_ENDPOINT", &two.endpoint()), ("GCHAT_WIRE", "grpc")], &["--anonymous"])),
        (0, "", "")
    );
    assert_eq!(two.received()[0].target, "/google.chat.v1.ChatService/CreateSpace");
    let flags = ["--endpoint", &two.endpoint(), "--wire", "http", "--anonymous"];
    assert_eq!(ended(&create("flags", &[("GCHAT_ENDPOINT", "ftp://x"), ("GCHAT_WIRE", "grpc")], &flags)), (0, "", ""));
    assert_eq!(two.received()[1].target.split('?').next(), Some("/v1/spaces"));
    // An emulator of its own needs nothing of all that.
    assert_eq!(ended(&create("own", &[("GCHAT_ENDPOINT", "ftp://x")], &["--emulator"])), (0, "", ""));
    assert_eq!((one.spaces().len(), two.spaces().len()), (1, 2));
    for (set, problem) in [
        (("GCHAT_WIRE", "carrier-pigeon"), "GCHAT_WIRE can be auto, grpc or http"),
        (("GCHAT_CONFIG", "no-such.toml"), "the config file (GCHAT_CONFIG) cannot be read: No such file"),
    ] {
        let output = create("a", &[set], &[]);
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains(problem), "{output:?}");
    }
    let bad = file("bad.toml", "wire = \"http\"\ncolour = 1\n");
    let output = gchat(&["spaces", "list"]).env("GCHAT_CONFIG", &bad).output().unwrap();
    let problem = "bad.toml: line 2: there is no such setting `colour`; the settings are";
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains(problem), "{output:?}");
}

/// Each thing that can be missing, in the order in which it is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_doctor_finds_what_is_missing_and_says_how_to_mend_it() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let endpoint = emulator.endpoint();
    let key = file("doctor-key.json", &emulator.key_file());
    let (app, user) = (["--credentials", key.to_str().unwrap()], ["--subject", "alice@example.com"]);
    let user = [app, user].concat();
    let doctor = |args: &[&str]| {
        let output = gchat(&[&["doctor", "--endpoint", &endpoint], args].concat()).output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout).to_owned())
    };
    let (code, said) = doctor(&user);
    assert!(code == 0 && said.ends_with("A space can be created; nothing was.\n") && !said.contains("fails"), "{said}");
    let (code, said) = doctor(&app);
    assert!(code == 0 && said.contains("an administrator has approved the app"), "{said}");
    let (code, said) = doctor(&[&user[..], &["--import-mode"]].concat());
    assert!(code == 0 && said.contains("a token is given for chat.import"), "{said}");

    type Change = fn(&mut Settings);
    let nothing: Change = |_| {};
    for (args, change, step, mend) in [
        (&["--anonymous"][..], nothing, "fails the token is taken", "mend:  get a new access token"),
        (&["--access-token", "old"], nothing, "fails the token is taken", "mend:  get a new access token"),
        (
            &user[..],
            |settings| settings.delegated_scopes = Some(vec!["chat.spaces".to_owned()]),
            "fails domain-wide delegation allows the scopes",
            "100000000000000000001",
        ),
        (
            &user[..],
            |settings| settings.users = Some(Vec::new()),
            "fails a token is given",
            "alice@example.com is no user",
        ),
        (
            &user[..],
            |settings| settings.api_enabled = false,
            "fails the Google Chat API is enabled",
            "enable the Google",
        ),
        (
            &[&user[..], &["--scope", "chat.spaces.readonly"]].concat(),
            nothing,
            "fails the token's scopes allow it",
            "gcloud auth application-default login --client-id-file=FILE \
             --scopes=https://www.googleapis.com/auth/chat.spaces.create",
        ),
        (
            &user[..],
            |settings| settings.app_configured = false,
            "fails the Chat app is configured",
            "configure the Chat",
        ),
        (&app[..], |settings| settings.app_approved = false, "fails an administrator has", "have an administrator"),
    ] {
        emulator.configure(|settings| {
            *settings = Settings::default();
            settings.anonymous = false;
            change(settings);
        });
        let (code, said) = doctor(args);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(step) && said.contains(mend), "{step}: {said}");
        // It stops there.
        assert!(said.trim_end().lines().last().unwrap().starts_with("      mend:"), "{said}");
    }
    assert_eq!(emulator.spaces().len(), 0);
    // Quota comes back by itself.
    emulator.configure(|settings| {
        *settings = Settings::default();
        settings.writes_per_minute = Some(0);
    });
    let (code, said) = doctor(&["--anonymous"]);
    assert!(code == 6 && said.contains("found: RESOURCE_EXHAUSTED: "), "{code}: {said}");
    emulator.configure(|settings| settings.anonymous = false);
    let output = gchat(&["doctor", "--anonymous", "--endpoint", "http://127.0.0.1:9"]).output().unwrap();
    let (code, said, _) = ended(&output);
    assert!(code == 6 && said.contains("fails the API is reached"), "{said}");
    let output = gchat(&["doctor", "--endpoint", &endpoint]).output().unwrap();
    let (code, said, _) = ended(&output);
    assert!(code == 3 && said.contains("fails credentials are found") && said.contains("gcloud auth"), "{said}");
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
    let method = "google.chat.v1.ChatService/CreateSpace";
    let json = r#"{"space":{"displayName":"a","spaceType":"SPACE"}}"#;
    let explained = gchat(&["explain", method, json, "--as-client", "--format", "json"]).output().unwrap();
    let explained: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(explained["query"][0][1].as_str().unwrap().len(), 36);
    assert!(explained["headers"]["x-server-timeout"].is_string());
    let plain = gchat(&["explain", method, json, "--format", "json"]).output().unwrap();
    let plain: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((&plain["query"], plain["headers"].as_object().unwrap().len()), (&serde_json::json!([]), 1));
    let grpc = gchat(&["explain", method, json, "--as-client", "--format", "grpcurl"]).output().unwrap();
    let grpc = text(&grpc.stdout);
    assert!(grpc.contains("$GCHAT_ACCESS_TOKEN") && grpc.contains("\"requestId\":\""), "{grpc}");
}

#[test]
fn the_schema_completions_and_man_pages_are_written() {
    let set = gchat(&["schema"]).output().unwrap().stdout;
    let schema = DescriptorPool::decode(&set).unwrap();
    assert!(schema.method("/google.chat.v1.ChatService/CreateSpace").unwrap().http_bindings().next().is_some());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = gchat(&["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains("complete-import"), "{shell}");
    }
    // The folders are made, as on a machine that has no manual of its user's yet.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home-without-man");
    let _ = std::fs::remove_dir_all(&home);
    let folder = home.join("share/man/man1");
    assert_eq!(ended(&gchat(&["man", folder.to_str().unwrap()]).output().unwrap()), (0, "", ""));
    let page = std::fs::read_to_string(folder.join("gchat-spaces-create.1")).unwrap();
    assert!(page.contains("\\-\\-retry\\-failed"), "{page}");
}

const SHELF: &str = r#"
    syntax = "proto3";
    package shelf;
    import "google/api/annotations.proto";
    service Shelf {
      rpc Search(SearchRequest) returns (SearchRequest) {
        option (google.api.http) = { get: "/v1/{shelf=shelves/*}/books:search" };
      }
    }
    message SearchRequest {
      string shelf = 1;
      map<string, string> labels = 2;
    }
"#;

#[test]
fn what_http_cannot_carry_is_listed() {
    assert_eq!(ended(&gchat(&["schema", "--lint"]).output().unwrap()), (0, "", ""));
    let set = descriptor_set("lint", SHELF);
    let output = gchat(&["schema", "--lint", "--descriptor-set", set.to_str().unwrap()]).output().unwrap();
    let (code, found, problem) = ended(&output);
    let labels = "shelf.Shelf/Search: GET /v1/{shelf=shelves/*}/books:search: field `labels` is a map, which a query \
                  cannot carry";
    assert!(code == 8 && found.lines().any(|line| line == labels), "{code}: {found}");
    assert_eq!(problem, format!("gchat: {} findings\n", found.lines().count()));
    let both = ended(&gchat(&["schema", "--lint", "--output", "x"]).output().unwrap()).0;
    let alone = ended(&gchat(&["schema", "--descriptor-set", "x"]).output().unwrap()).0;
    assert_eq!((both, alone), (2, 2));
}

/// Each place of the program where credentials go, and those next to it.
const PLACES: [&str; 14] = [
    "--credentials",
    "--credentials unquoted",
    "key.json",
    "--access-token",
    "--subject",
    "--wire",
    "GCHAT_CREDENTIALS",
    "GCHAT_ACCESS_TOKEN",
    "GCHAT_SUBJECT",
    "GCHAT_ENDPOINT",
    "GCHAT_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "config.toml",
    "credentials in config.toml",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_part_of_a_broken_key_comes_out_of_the_program() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let endpoint = emulator.endpoint();
    let good = emulator.key_file();
    let secret = broken_keys::Secret::of(&good);
    let key = file("broken-good.json", &good);
    let run = |place: &str, text: &str| {
        let mut command = gchat(&["doctor"]);
        if place != "GCHAT_ENDPOINT" {
            command.args(["--endpoint", &endpoint]);
        }
        match place {
            "--credentials unquoted" => command.arg("--credentials").args(text.split_whitespace()),
            "key.json" => command.arg("--credentials").arg(file("broken-key.json", text)),
            "--subject" => command.arg("--credentials").arg(&key).args([place, text]),
            "GCHAT_SUBJECT" => command.arg("--credentials").arg(&key).env(place, text),
            "config.toml" => command.env("GCHAT_CONFIG", file("broken-config.toml", text)),
            "credentials in config.toml" => {
                let line = format!("credentials = {}", serde_json::Value::from(text));
                command.env("GCHAT_CONFIG", file("broken-config.toml", &line))
            }
            flag if flag.starts_with('-') => command.args([flag, text]),
            variable => command.env(variable, text),
        };
        let output = command.output().unwrap();
        let what = format!("{place} with {text}");
        assert!(output.status.code().is_some_and(|code| code != 101), "{what}: {output:?}");
        secret.assert_kept(text_of(&output).as_str(), &what);
        output
    };
    let texts = broken_keys::broken(&good);
    for (at, text) in texts.iter().enumerate() {
        // Every text somewhere, and every place with every kind of text.
        for place in PLACES.iter().skip(at % 7).step_by(if at < 60 { 3 } else { 7 }) {
            run(place, text);
        }
    }
    // What is plainly a key is taken where a path belongs, and named where not.
    for place in ["--credentials", "GCHAT_CREDENTIALS", "credentials in config.toml"] {
        let output = run(place, &good);
        assert!(text(&output.stdout).contains("ok    a token is given"), "{place}: {output:?}");
    }
    let output = run("GOOGLE_APPLICATION_CREDENTIALS", &good);
    assert!(text(&output.stdout).contains("it holds JSON where the path of a key's file belongs"), "{output:?}");
    let output = run("--credentials", "no-such-file");
    assert!(text(&output.stdout).contains("--credentials: the file that it names cannot be read"), "{output:?}");
}

/// All that a command printed.
fn text_of(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_address_with_an_impossible_port_is_refused() {
    let key = r#"{"client_email":"a@example.com","token_uri":"http://127.0.0.1:99999/","private_key":"-"}"#;
    let method = "google.chat.v1.ChatService/CreateSpace";
    for port in ["99999", "65536", "0", "", "-1", "http"] {
        let address = format!("http://127.0.0.1:{port}");
        let address = address.as_str();
        for args in [
            &["spaces", "create", "--display-name", "a", "--access-token", "t", "--endpoint", address][..],
            &["spaces", "get", "spaces/a", "--anonymous", "--wire", "http", "--endpoint", address],
            &["doctor", "--access-token", "t", "--endpoint", address],
            &["call", method, "{}", "--access-token", "t", "--endpoint", address],
            &["explain", method, "{}", "--format", "curl", "--endpoint", address],
            &["gateway", "--reflection", "--backend", address],
        ] {
            let output = gchat(args).output().unwrap();
            let problem = format!("endpoint `{address}`: has a port that is not from 1 to 65535");
            assert!(output.status.code() == Some(2) && text(&output.stderr).contains(&problem), "{args:?}: {output:?}");
        }
    }
    let output = gchat(&["spaces", "list", "--credentials", key]).output().unwrap();
    assert!(text(&output.stderr).contains("its token_uri has a port that is not"), "{output:?}");
    for listen in ["127.0.0.1:99999", "127.0.0.1:"] {
        for command in [&["emulator"][..], &["gateway", "--reflection", "--backend", "http://127.0.0.1:1"]] {
            let output = gchat(&[command, &["--listen", listen]].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{output:?}");
        }
    }
}

/// Answers each HTTP request with this status and body.
fn answering(status: &'static str, body: String) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    endpoint
}

#[test]
fn nothing_of_a_servers_text_is_an_order_to_the_terminal() {
    // ESC, the same in one byte of C1, BEL, DEL, a carriage return, right-to-left override.
    let orders = "a\u{1b}]0;title\u{7}\u{9b}2J\u{7f}\r\n\u{85}gchat: done\u{202e}z";
    let space = serde_json::json!({"name": orders, "displayName": orders, "spaceType": "SPACE"});
    let page = serde_json::json!({ "spaces": [space] });
    let error = serde_json::json!({"error": {"code": 404, "message": orders, "status": "NOT_FOUND", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": orders, "domain": orders},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": orders}]}]}});
    let space = answering("200 OK", space.to_string());
    let page = answering("200 OK", page.to_string());
    let error = answering("404 Not Found", error.to_string());
    let html = answering("502 Bad Gateway", format!("<html>{orders}"));
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
            support::fresh(&format!("{name}.{end}"));
        }
    }
    let taken = rows("codes-taken.ndjson", "{\"displayName\":\"taken\"}\n");
    let wrong = rows("codes-wrong.ndjson", "{\"displayName\":\"\"}\n");
    // A GET that no query can carry.
    let set = descriptor_set(
        "codes",
        r#"syntax = "proto3";
        package codes;
        import "google/api/annotations.proto";
        service Codes { rpc Get(Request) returns (Request) { option (google.api.http) = { get: "/v1/codes" }; } }
        message Request { map<string, string> labels = 1; }"#,
    );
    let create = "google.chat.v1.ChatService/CreateSpace";
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
        (1, gchat(&[&["call", create, unnamed], &there[..]].concat())),
        (1, gchat(&["schema", "--output", "/nonexistent/chat.bin"])),
        (1, gchat(&["man", "/dev/null/man"])),
        (1, to(gchat(&["schema"]), full())),
        (1, to(gchat(&["--help"]), full())),
        (1, to(gchat(&["--version"]), full())),
        (1, to(gchat(&["completions", "bash"]), full())),
        (1, to(gchat(&["emulator", "--listen", "127.0.0.1:0"]), full())),
        (1, to(spaces(&["list"]), full())),
        (1, to(gchat(&["explain", create, "{}"]), full())),
        (2, gchat(&["spaces", "create", "--nothing"])),
        (2, spaces(&["create"])),
        (2, spaces(&["create", "--dry-run"])),
        (2, spaces(&["create", "--from", &wrong])),
        (2, gchat(&["explain", create, unnamed, "--as-client"])),
        (2, gchat(&["explain", create, "{", "--as-client"])),
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

    // Rows whose fate is unknown, and a second run on one file: tests/bulk.rs has them.
    shown.extend([9, 10]);

    let help = gchat(&["--help"]).output().unwrap();
    let (_, table) = text(&help.stdout).split_once("Exit codes:\n").unwrap();
    let named = table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    assert_eq!(named.collect::<std::collections::BTreeSet<i32>>(), shown);
}

/// What a space can be created with and not be changed to, and where an emulator of the
/// command's own has nothing.
#[test]
fn commands_offer_no_flag_that_can_only_fail() {
    for (command, missing) in [
        (
            "update",
            &[
                "--external-user-allowed",
                "--import-mode",
                "--create-time",
                "--customer",
                "--predefined-permissions",
                "--emulator",
            ][..],
        ),
        ("get", &["--emulator"]),
        ("list", &["--emulator"]),
        ("delete", &["--emulator"]),
        ("complete-import", &["--emulator"]),
    ] {
        let help = gchat(&["spaces", command, "--help"]).output().unwrap();
        let create = gchat(&["spaces", "create", "--help"]).output().unwrap();
        for flag in missing {
            let has = |help: &[u8]| text(help).split_whitespace().any(|word| word == *flag);
            assert!(!has(&help.stdout) && has(&create.stdout), "{command} {flag}");
        }
    }
}

/// Before it listens, and as the lint has them.
#[test]
fn the_gateway_names_what_it_never_serves() {
    const PROTO: &str = r#"
        syntax = "proto3";
        package named;
        import "google/api/annotations.proto";
        service Named {
          rpc Get(Request) returns (Request) { option (google.api.http) = { get: "/v1/{name}" }; }
          rpc Read(Request) returns (Request) { option (google.api.http) = { get: "/v1/{other}" }; }
          rpc Bad(Request) returns (Request) { option (google.api.http) = { get: "/v2/pre-{name}" }; }
        }
        message Request { string name = 1; string other = 2; }"#;
    let set = descriptor_set("named", PROTO);
    let expected = [
        "named.Named/Bad: GET /v2/pre-{name}: cannot be used: path template `/v2/pre-{name}`: unexpected text at column 9",
        "named.Named/Read: GET /v1/{other}: is never served: named.Named/Get has the same HTTP method and path",
    ];
    let lint = gchat(&["schema", "--lint", "--descriptor-set", set.to_str().unwrap()]).output().unwrap();
    let (_, listed, _) = ended(&lint);
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    let gateway = |set: &Path| {
        let mut command = gchat(&["gateway", "--backend", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]);
        command.arg("--descriptor-set").arg(set).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut child = gateway(&set).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    assert!(line.starts_with("listening at http://127.0.0.1:"), "{line}");
    let said = child.wait_with_output().unwrap().stderr;
    assert_eq!(text(&said), expected.map(|warning| format!("gchat: warning: {warning}\n")).concat());

    // And without anything to serve, it says so and ends.
    let without = descriptor_set("without", r#"syntax = "proto3"; message Nothing {}"#);
    let output = gateway(&without).output().unwrap();
    let (code, _, problem) = ended(&output);
    assert!(code == 2 && problem.starts_with("gchat: no method of the schema has an HTTP rule"), "{code}: {problem}");
}
