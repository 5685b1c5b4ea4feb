//! `gchat members`, and members that are added when a space is created.

use google_chat_emulator::Emulator;
use serde_json::Value;

use super::support::{answering, ended, gchat, json_answer};

/// Runs the program against an emulator.
fn there(emulator: &Emulator, wire: &str, args: &[&str]) -> (i32, String, String) {
    let endpoint = emulator.endpoint();
    let output = gchat(&[args, &["--anonymous", "--endpoint", &endpoint, "--wire", wire]].concat()).output().unwrap();
    let (code, out, error) = ended(&output);
    (code, out.to_owned(), error.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn members_are_added_listed_changed_and_removed() {
    for wire in ["grpc", "http"] {
        let emulator = Emulator::start().await.unwrap();
        let run = |args: &[&str]| there(&emulator, wire, args);
        let space = run(&["spaces", "create", "--display-name", "a", "--output", "name"]).1;
        let space = space.trim();
        let add = |members: &[&str]| run(&[&["members", "add", space], members].concat());
        let (code, out, error) = add(&["alice@example.com", "bob@example.com=manager", "--group", "7"]);
        assert_eq!((code, &*error), (0, ""), "{out}");
        let added: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let roles: Vec<&str> = added.iter().map(|member| member["role"].as_str().unwrap_or_default()).collect();
        assert_eq!(roles, ["ROLE_MEMBER", "ROLE_ASSISTANT_MANAGER", ""], "{out}");

        // Of several, each has its end; of one, the exit code says what it is.
        let (code, out, error) = add(&["alice@example.com", "carol@example.com", "--output", "name"]);
        assert_eq!((code, out.lines().count()), (7, 1), "{out} {error}");
        assert!(error.starts_with("gchat: users/alice@example.com: ") && error.contains("ALREADY_EXISTS"), "{error}");
        assert!(error.ends_with("gchat: 1 of 2 members were not added\n"), "{error}");
        assert_eq!(add(&["alice@example.com"]).0, 4);

        let list = |args: &[&str]| {
            let (code, out, error) = run(&[&["members", "list", space, "--output", "table"], args].concat());
            assert_eq!((code, &*error), (0, ""));
            out
        };
        let table = list(&["--groups"]);
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        let has =
            |at: usize, role: &str| rows.iter().any(|row| row[..2] == [added[at]["name"].as_str().unwrap(), role]);
        assert!(has(0, "member") && has(1, "manager") && has(2, "-") && table.contains(" groups/7\n"), "{table}");
        assert!(rows.iter().all(|row| row[2] == "JOINED"), "{table}");
        assert_eq!(list(&["--role", "manager"]).lines().count(), 1);
        assert_eq!(list(&["--people", "--limit", "2"]).lines().count(), 2);
        assert_eq!(list(&["--apps"]), "");

        let changed = run(&["members", "update", space, "alice@example.com", "--role", "owner"]);
        assert!(changed.0 == 0 && changed.1.contains("\"role\": \"ROLE_MANAGER\""), "{changed:?}");
        let got = run(&["members", "get", space, "alice@example.com", "--output", "name"]);
        assert!(got.0 == 0 && got.1.starts_with(&format!("{space}/members/")), "{got:?}");

        let (code, out, error) = run(&["members", "remove", space, "bob@example.com", "nobody@example.com"]);
        assert!(code == 7 && out.lines().count() == 1, "{out} {error}");
        assert!(error.contains("nobody@example.com: ") && error.contains("NOT_FOUND"), "{error}");
        assert_eq!(run(&["members", "remove", got.1.trim(), "--output", "name"]), (0, got.1.clone(), String::new()));
        let gone = run(&["members", "get", got.1.trim()]);
        assert!(gone.0 == 5 && gone.2.contains("NOT_FOUND"), "{gone:?}");
    }
}

#[test]
fn a_member_that_is_none_is_refused_before_anything_is_sent() {
    for (args, problem) in [
        (&["members", "add", "spaces/a", "alice@example.com=boss"][..], "unknown role `boss`"),
        (&["members", "add", "spaces/a", "spaces/b"], "`spaces/b` is no member"),
        (&["members", "add", "spaces/a", "--group", "g@example.com/x"], "is no member"),
        (&["members", "add", "spaces/a"], "<MEMBER>"),
        (&["members", "get", "spaces/a"], "give a space and its members"),
        (&["spaces", "create", "--display-name", "a", "--member", "a b"], "`a b` is no member"),
        (&["spaces", "setup", "--member", "a@b.c=owner"], "change the role afterwards"),
        (&["spaces", "setup"], "--member"),
    ] {
        let output = gchat(&[args, &["--anonymous", "--endpoint", "http://127.0.0.1:9"]].concat()).output().unwrap();
        let (code, _, error) = ended(&output);
        assert!(code == 2 && error.contains(problem), "{args:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_space_is_created_with_its_members_and_says_what_happened_to_each() {
    for wire in ["grpc", "http"] {
        let emulator = Emulator::start().await.unwrap();
        let create = |name: &str, more: &[&str]| {
            let create = ["spaces", "create", "--display-name", name, "--output", "name", "--member"];
            there(
                &emulator,
                wire,
                &[&create[..], &["alice@example.com=manager", "--member", "bob@example.com"], more].concat(),
            )
        };
        let (code, out, error) = create("a", &[]);
        assert_eq!(code, 0, "{error}");
        let space = out.trim();
        let told: Vec<&str> = error.lines().collect();
        assert!(told[0].starts_with(&format!("gchat: users/alice@example.com was added: {space}/members/")), "{error}");
        assert!(told[1].starts_with("gchat: users/bob@example.com was added: ") && told.len() == 2, "{error}");

        // One is refused: the space is printed all the same, and what to do.
        let (code, out, error) = create("b", &["--member", "bob@example.com=owner"]);
        let space = out.trim();
        assert!(code == 7 && space.starts_with("spaces/"), "{out} {error}");
        assert!(error.contains("gchat: users/bob@example.com: "), "{error}");
        let problem = format!("gchat: {space} was created, but 1 of 3 members are not in their roles");
        let (_, advice) = error.split_once(&format!("{problem}; to give the roles: ")).unwrap();
        let advised: Vec<&str> = advice.split_whitespace().skip(1).collect();
        let given = there(&emulator, wire, &advised);
        assert!(given.0 == 0 && given.1.contains("ROLE_MANAGER"), "{advice} {given:?}");
    }
}

/// Whose role alone was refused is not to be added again.
#[test]
fn the_advice_for_a_role_that_was_refused_gives_the_role() {
    let member = r#"{"name":"spaces/a/members/1"}"#;
    let (endpoint, _calls) = answering([
        json_answer("200 OK", r#"{"name":"spaces/a"}"#),
        json_answer("404 X", r#"{"error":{"status":"NOT_FOUND","message":"no x"}}"#),
        json_answer("409 X", r#"{"error":{"status":"ALREADY_EXISTS","message":"is there"}}"#),
        json_answer("200 OK", member),
        json_answer("403 X", r#"{"error":{"status":"PERMISSION_DENIED","message":"no role"}}"#),
        json_answer("200 OK", member),
    ]);
    let run = |args: &[&str]| {
        let there = ["--anonymous", "--wire", "http", "--endpoint", &endpoint];
        let output = gchat(&[args, &there].concat()).output().unwrap();
        let (code, out, error) = ended(&output);
        (code, out.to_owned(), error.to_owned())
    };
    let members = ["--member", "x@example.com", "--member", "me@example.com", "--member", "y@example.com=owner"];
    let create = ["spaces", "create", "--display-name", "a", "--output", "name"];
    let (code, _, error) = run(&[&create[..], &members].concat());
    let told: Vec<&str> = error.lines().collect();
    assert_eq!((code, told.len()), (7, 4), "{error}");
    assert_eq!(told[1], "gchat: users/me@example.com is a member already");
    assert!(told[2].starts_with("gchat: users/y@example.com: was added as spaces/a/members/1, but is not "), "{error}");
    assert_eq!(
        told[3],
        "gchat: spaces/a was created, but 1 of 3 members were not added; to add them: gchat members add spaces/a \
         users/x@example.com; and 1 of 3 members are not in their roles; to give the roles: gchat members update \
         spaces/a/members/1 --role owner"
    );
    assert_eq!(run(&["members", "update", "spaces/a/members/1", "--role", "owner", "--output", "name"]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_taken_display_name_says_which_space_has_it() {
    for wire in ["grpc", "http"] {
        let emulator = Emulator::start().await.unwrap();
        let create = || there(&emulator, wire, &["spaces", "create", "--display-name", "a \"b\"", "--output", "name"]);
        let first = create().1;
        let (code, out, error) = create();
        assert_eq!((code, &*out), (4, ""), "{error}");
        assert!(error.ends_with(&format!("; the space that has the name is {first}")), "{error}");
    }
}
