//! `gchat call`.

use google_chat_emulator::Emulator;

use super::support::{CREATE, descriptor_set, ended, file, run, text};

#[test]
fn call_makes_the_call_over_either_wire() {
    let request = r#"{"space":{"displayName":"Launch room","spaceType":"SPACE"}}"#;
    for wire in ["grpc", "http"] {
        let output = run(&["call", CREATE, request, "--emulator", "--wire", wire]);
        assert_eq!(text(&output.stderr), "", "{wire}");
        let space: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(space["displayName"], "Launch room", "{wire}");
        let output = run(&["call", CREATE, "{}", "--emulator", "--wire", wire]);
        assert_eq!(output.status.code(), Some(1), "{wire}");
        assert!(text(&output.stderr).contains("INVALID_ARGUMENT: Invalid request: space is required."), "{wire}");
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
        let output = run(args);
        assert_eq!(text(&output.stderr), format!("gchat: {message}"), "{args:?}");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

/// The scopes that domain-wide delegation must allow for a call as a user, and those that
/// an app gets by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_method_is_called_with_a_scope_of_its_own() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let key = file("call-key.json", &emulator.key_file());
    let endpoint = emulator.endpoint();
    let call = |method: &str, request: &str, user: Option<&str>| {
        let method = format!("google.chat.v1.ChatService/{method}");
        let mut args = vec!["call", &*method, request, "--endpoint", &endpoint];
        args.extend(["--credentials", key.to_str().unwrap()]);
        args.extend(user.iter().flat_map(|user| ["--subject", user]));
        let output = run(&args);
        let (code, out, error) = ended(&output);
        (code, out.to_owned(), error.to_owned())
    };
    let alice = Some("alice@example.com");
    let (code, space, error) =
        call("CreateSpace", r#"{"space":{"displayName":"a","spaceType":"SPACE","customer":"customers/C1"}}"#, None);
    assert_eq!(code, 0, "{error}");
    let space: serde_json::Value = serde_json::from_str(&space).unwrap();
    let of_app = space["name"].as_str().unwrap().to_owned();
    let (code, space, error) = call("CreateSpace", r#"{"space":{"displayName":"b","spaceType":"SPACE"}}"#, alice);
    assert_eq!(code, 0, "{error}");
    let space: serde_json::Value = serde_json::from_str(&space).unwrap();
    let name = space["name"].as_str().unwrap();
    let member = r#""membership":{"member":{"name":"users/bob@example.com","type":"HUMAN"}}"#;
    for (method, request, user, scope) in [
        ("GetSpace", format!(r#"{{"name":"{of_app}"}}"#), None, ""),
        ("DeleteSpace", format!(r#"{{"name":"{of_app}"}}"#), None, ""),
        ("GetSpace", format!(r#"{{"name":"{name}"}}"#), alice, "chat.spaces.readonly"),
        ("GetSpace", format!(r#"{{"name":"{name}","useAdminAccess":true}}"#), alice, "chat.admin.spaces.readonly"),
        ("CreateMembership", format!(r#"{{"parent":"{name}",{member}}}"#), alice, "chat.memberships"),
        ("ListMemberships", format!(r#"{{"parent":"{name}"}}"#), alice, "chat.memberships.readonly"),
        ("CreateMessage", format!(r#"{{"parent":"{name}","message":{{"text":"a"}}}}"#), alice, "chat.messages.create"),
        ("ListMessages", format!(r#"{{"parent":"{name}"}}"#), alice, "chat.messages.readonly"),
        (
            "CreateSpace",
            r#"{"space":{"importMode":true,"displayName":"i","spaceType":"SPACE"}}"#.to_owned(),
            alice,
            "chat.import",
        ),
        ("DeleteSpace", format!(r#"{{"name":"{name}"}}"#), alice, "chat.delete"),
    ] {
        emulator.configure(|settings| settings.delegated_scopes = Some(vec![scope.to_owned()]));
        let (code, _, error) = call(method, &request, user);
        assert_eq!(code, 0, "{method} with {scope}: {error}");
    }
    // The scopes of another API are not known.
    let path = descriptor_set("elsewhere");
    let method = "elsewhere.Elsewhere/Get";
    let there = ["call", method, "{}", "--descriptor-set", path.to_str().unwrap(), "--endpoint", &endpoint];
    let with_key = [&there[..], &["--credentials", key.to_str().unwrap()]].concat();
    let output = run(&with_key);
    let (code, _, error) = ended(&output);
    assert!(code == 2 && error.contains("--scope is missing") && error.contains(method), "{error}");
    assert_eq!(emulator.received().iter().filter(|call| call.target.contains("lsewhere")).count(), 0);
    let given = run(&[&with_key[..], &["--scope", "chat.spaces"]].concat());
    assert!(!text(&given.stderr).contains("--scope"), "{given:?}");
}
