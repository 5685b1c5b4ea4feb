//! Settings: flags, environment variables, the config file and credentials.

use std::process::Output;

use google_chat_emulator::Emulator;

use super::{
    shared::broken_keys,
    support::{ended, file, gchat, run, text},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
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

/// Whom the file impersonates and acts for is of its own credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
async fn who_is_named_by_a_flag_is_not_made_another_by_the_file() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| (settings.anonymous, settings.shortcuts) = (false, true));
    let key = file("named-key.json", &emulator.key_file());
    let lines = [
        format!("endpoint = {:?}", emulator.endpoint()),
        "impersonate_service_account = \"admin@project.iam.gserviceaccount.com\"".to_owned(),
        "subject = \"alice@example.com\"".to_owned(),
    ];
    let config = file("named.toml", &lines.join("\n"));
    let create = ["spaces", "create", "--quiet", "--customer", "customers/my_customer", "--display-name"];
    for (name, args, members) in
        [("bob", ["--access-token", "user:bob@example.com"], 1), ("app", ["--credentials", key.to_str().unwrap()], 0)]
    {
        let output = gchat(&[&create[..], &[name], &args].concat()).env("GCHAT_CONFIG", &config).output().unwrap();
        assert_eq!(ended(&output), (0, "", ""), "{args:?}");
        let space = emulator.spaces().into_iter().find(|space| space.display_name == name).unwrap();
        assert_eq!(space.membership_count.unwrap().joined_direct_human_user_count, members, "{name}");
    }
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
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
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
    assert!(text(&output.stdout).contains("it holds JSON where the path of a credentials file belongs"), "{output:?}");
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
        let output = gchat(&["spaces", "list", "--subject", "alice@example.com"])
            .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
            .output()
            .unwrap();
        let error = text_of(&output);
        assert!(error.contains("GOOGLE_APPLICATION_CREDENTIALS") && error.contains(problem), "{error}");
    }
}

#[test]
fn without_credentials_the_three_ways_to_give_some_are_named() {
    let output = run(&["spaces", "create", "--display-name", "a"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    let ways = ["GOOGLE_APPLICATION_CREDENTIALS", "gcloud auth application-default login", "an access token"];
    for way in ways.into_iter().chain(["an emulator needs none: add --anonymous"]) {
        assert!(error.contains(way), "{error}");
    }
}
