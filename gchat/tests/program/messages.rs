//! `gchat messages`, `gchat reactions` and `gchat media`.

use std::fs;

use google_chat_emulator::{Emulator, Fault};
use serde_json::Value;

use super::support::{answering, ended, file, folder, gchat, json_answer};

/// An emulator, and what runs the program against it as alice, who has a space there.
struct There {
    emulator: Emulator,
    wire: &'static str,
    space: String,
}

impl There {
    async fn start(wire: &'static str) -> Self {
        let emulator = Emulator::start().await.unwrap();
        let mut there = Self { emulator, wire, space: String::new() };
        there.space = there.run(&["spaces", "create", "--display-name", "a", "--output", "name"]).1.trim().to_owned();
        there
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        self.run_as("alice@example.com", args, "")
    }

    fn run_as(&self, who: &str, args: &[&str], input: &str) -> (i32, String, String) {
        self.emulator.configure(|settings| settings.shortcuts = true);
        let endpoint = self.emulator.endpoint();
        let token = if who == "app" { "app".to_owned() } else { format!("user:{who}") };
        let there = ["--access-token", &token, "--endpoint", &endpoint, "--wire", self.wire];
        let output = super::support::gchat_reading(&[args, &there].concat(), input);
        let (code, out, error) = ended(&output);
        (code, out.to_owned(), error.to_owned())
    }

    /// The same, where it must be well.
    fn json(&self, args: &[&str]) -> Value {
        let (code, out, error) = self.run(&[args, &["--output", "json"]].concat());
        assert_eq!((code, &*error), (0, ""), "{args:?}: {out}");
        serde_json::from_str(&out).unwrap()
    }

    fn list(&self, args: &[&str]) -> Vec<String> {
        let (code, out, error) = self.run(&[&["messages", "list", &*self.space], args].concat());
        assert_eq!((code, &*error), (0, ""), "{args:?}: {out}");
        out.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap_or("").to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_are_sent_read_changed_and_deleted() {
    for wire in ["grpc", "http"] {
        let there = There::start(wire).await;
        let space = &*there.space;
        let first = there.json(&["messages", "send", space, "one", "--message-id", "client-one"]);
        assert_eq!((&first["text"], first["name"].as_str().unwrap().starts_with(space)), (&"one".into(), true));
        let text = file(&format!("message-{wire}.txt"), "two\nlines\n");
        there.json(&["messages", "send", space, "--file", text.to_str().unwrap()]);
        let piped = there.run_as("alice@example.com", &["messages", "send", space, "-", "--output", "name"], "three\n");
        assert!(piped.0 == 0 && piped.1.starts_with(&format!("{space}/messages/")), "{piped:?}");
        assert_eq!(there.list(&[]), ["one", "two\nlines", "three"]);
        assert_eq!(there.list(&["--newest-first", "--limit", "1"]), ["three"]);
        let since = first["createTime"].as_str().unwrap();
        assert_eq!(there.list(&["--since", since]), ["two\nlines", "three"]);
        let table = there.run(&["messages", "list", space, "--output", "table"]).1;
        assert!(table.lines().nth(1).unwrap().ends_with("two lines"), "{table}");

        // Replies go where the flags say.
        let thread = first["thread"]["name"].as_str().unwrap();
        let reply = there.json(&["messages", "send", space, "reply", "--thread", thread, "--reply-or-fail"]);
        assert_eq!(reply["thread"]["name"], thread);
        let keyed: Vec<Value> = ["a", "b"]
            .map(|text| there.json(&["messages", "send", space, text, "--thread-key", "k"])["thread"]["name"].clone())
            .into();
        assert!(keyed[0] == keyed[1] && keyed[0] != thread, "{keyed:?}");
        assert_eq!(there.list(&["--thread", thread]), ["one", "reply"]);
        let nowhere = format!("{space}/threads/nothing");
        let refused = there.run(&["messages", "send", space, "x", "--thread", &nowhere, "--reply-or-fail"]);
        assert_eq!(refused.0, 5, "{refused:?}");

        // Sent again with the same request id, it is the same message.
        let once = ["messages", "send", space, "once", "--request-id", "r-1"];
        assert_eq!(there.json(&once)["name"], there.json(&once)["name"]);

        let name = first["name"].as_str().unwrap();
        assert_eq!(there.json(&["messages", "edit", name, "changed"])["text"], "changed");
        assert_eq!(there.json(&["messages", "get", name])["text"], "changed");
        let own = format!("{space}/messages/client-own");
        let made = there.json(&["messages", "edit", &own, "new", "--allow-missing"]);
        assert_eq!(there.json(&["messages", "get", &own])["name"], made["name"]);

        let kept = there.run(&["messages", "delete", name]);
        assert!(kept.0 == 2 && kept.2.contains("add --yes"), "{kept:?}");
        let replies = there.run(&["messages", "delete", name, "--yes"]);
        assert!(replies.0 == 1 && replies.2.contains("FAILED_PRECONDITION"), "{replies:?}");
        assert_eq!(there.run(&["messages", "delete", name, "--yes", "--force"]), (0, String::new(), String::new()));
        assert_eq!(there.run(&["messages", "get", name]).0, 5);
        assert!(there.list(&["--deleted"]).len() > there.list(&[]).len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cards_come_from_files_and_are_sent_by_the_app() {
    for wire in ["grpc", "http"] {
        let there = There::start(wire).await;
        let card = file(&format!("card-{wire}.json"), r#"{"header": {"title": "Disk full"}}"#);
        let space = &*there.space;
        assert_eq!(there.run(&["members", "add", space, "app"]).0, 0);
        let send = ["messages", "send", space, "text", "--card", card.to_str().unwrap(), "--card", "-"];
        let second = r#"{"cardId": "two", "card": {"header": {"title": "Disk fuller"}}}"#;
        let (code, out, error) = there.run_as("app", &send, second);
        assert_eq!((code, &*error), (0, ""), "{out}");
        let sent: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&sent["cardsV2"][0]["cardId"], &sent["cardsV2"][1]["cardId"]), (&"card-1".into(), &"two".into()));
        assert_eq!(sent["cardsV2"][0]["card"]["header"]["title"], "Disk full");
        let name = sent["name"].as_str().unwrap();
        // An id that is made up is none of those that are given.
        let given = r#"{"cardId": "card-1", "card": {"header": {"title": "Disk full again"}}}"#;
        let (code, out, error) = there.run_as("app", &send, given);
        assert_eq!((code, &*error), (0, ""), "{out}");
        let cards = serde_json::from_str::<Value>(&out).unwrap()["cardsV2"].clone();
        assert_eq!((&cards[0]["cardId"], &cards[1]["cardId"]), (&"card-2".into(), &"card-1".into()));
        let edit = ["messages", "edit", name, "--card", "-"];
        let (code, out, error) = there.run_as("app", &edit, second);
        assert_eq!(code, 0, "{error}");
        let changed: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((changed["cardsV2"].as_array().unwrap().len(), &changed["text"]), (1, &"text".into()));
    }
}

#[test]
fn a_message_that_cannot_be_is_refused_before_anything_is_sent() {
    let card = file("card-wrong.json", "{\n  \"header\": {\"titel\": \"T\"}}");
    let card = card.to_str().unwrap();
    for (args, problem) in [
        (&["send", "spaces/a"][..], "there is nothing to send"),
        (&["send", "spaces/a", "--file", "/nonexistent"], "cannot read /nonexistent"),
        (&["send", "spaces/a", "--card", card], "card-wrong.json: header.titel: unknown field (line 2, column 14)"),
        (&["send", "spaces/a", "x", "--reply-or-fail"], "add --thread or --thread-key"),
        (&["send", "spaces/a", "x", "--create-time", "yesterday"], "expected an RFC 3339 timestamp"),
        (&["edit", "spaces/a/messages/b"], "nothing to change"),
    ] {
        let there = ["--anonymous", "--endpoint", "http://127.0.0.1:9"];
        let output = gchat(&[&["messages"], args, &there].concat()).output().unwrap();
        let (code, _, error) = ended(&output);
        assert!(code == 2 && error.contains(problem), "{args:?}: {error}");
    }
}

/// The id that the client made up is what sends the same message again.
#[test]
fn where_it_is_unclear_whether_a_message_was_sent_the_error_has_the_request_id() {
    let of = |status: &str| format!("{{\"error\":{{\"status\":\"{status}\"}}}}");
    for (answer, codes, has_id) in [
        (json_answer("503 Service Unavailable", "{}"), [6, 6], true),
        // Sent again until there is no time left, which is what some of them end with.
        (json_answer("500 X", "{}"), [1, 6], true),
        (json_answer("409 X", &of("ABORTED")), [1, 6], true),
        (json_answer("500 X", &of("DATA_LOSS")), [1, 6], true),
        (json_answer("499 X", &of("CANCELLED")), [1, 6], true),
        (json_answer("200 OK", "{\"na"), [1, 6], true),
        (json_answer("400 X", &of("INVALID_ARGUMENT")), [1, 1], false),
        (json_answer("403 X", &of("PERMISSION_DENIED")), [3, 3], false),
    ] {
        let (endpoint, _calls) = answering([answer.clone()]);
        let args =
            ["messages", "send", "spaces/a", "x", "--anonymous", "--wire", "http", "--timeout", "1", "--endpoint"];
        let output = gchat(&[&args[..], &[&endpoint]].concat()).output().unwrap();
        let (code, _, error) = ended(&output);
        let id = error.trim_end().rsplit_once("to make the same call: --request-id ").map(|(_, id)| id.len());
        assert!(codes.contains(&code) && id == has_id.then_some(36), "{answer}: {code} {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_lost_makes_no_second_message() {
    for wire in ["grpc", "http"] {
        let there = There::start(wire).await;
        there.emulator.fail_next(Fault::ResetAfter);
        there.json(&["messages", "send", &there.space, "once"]);
        assert_eq!(there.list(&[]), ["once"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reactions_are_added_listed_and_removed() {
    for wire in ["grpc", "http"] {
        let there = There::start(wire).await;
        let sent = there.json(&["messages", "send", &there.space, "x"]);
        let name = sent["name"].as_str().unwrap();
        let added = there.json(&["reactions", "add", name, "👍"]);
        assert_eq!(added["emoji"]["unicode"], "👍");
        there.json(&["reactions", "add", name, "🎉"]);
        let list = |args: &[&str]| there.run(&[&["reactions", "list", name, "--output", "name"], args].concat()).1;
        let reaction = added["name"].as_str().unwrap();
        assert_eq!(list(&[]).lines().count(), 2);
        assert_eq!(list(&["--emoji", "👍"]).trim(), reaction);
        assert_eq!(
            list(&["--emoji", "👍", "--emoji", "🎉", "--user", added["user"]["name"].as_str().unwrap()])
                .lines()
                .count(),
            2
        );
        let table = there.run(&["reactions", "list", name, "--output", "table"]).1;
        assert!(table.contains("👍 users/"), "{table}");
        assert_eq!(there.run(&["reactions", "remove", reaction]), (0, String::new(), String::new()));
        assert_eq!(list(&[]).lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attachments_are_sent_and_downloaded() {
    for wire in ["grpc", "http"] {
        let there = There::start(wire).await;
        let folder = folder(&format!("attachments-{wire}"));
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        fs::write(path("report.pdf"), &content).unwrap();
        fs::write(path("notes.txt"), "notes").unwrap();
        let attach = ["--attach", &path("report.pdf"), "--attach", &path("notes.txt")];
        let sent = there.json(&[&["messages", "send", &there.space, "The report"], &attach[..]].concat());
        let names: Vec<&str> =
            sent["attachment"].as_array().unwrap().iter().map(|one| one["contentName"].as_str().unwrap()).collect();
        assert_eq!(names, ["report.pdf", "notes.txt"], "{sent}");

        let message = sent["name"].as_str().unwrap();
        let to = format!("{}/", path("down"));
        let (code, out, error) = there.run(&["media", "download", message, "--to", &to, "--output", "name"]);
        assert_eq!((code, &*error), (0, ""), "{out}");
        assert_eq!(out.lines().collect::<Vec<_>>(), [path("down/report.pdf"), path("down/notes.txt")]);
        assert!(fs::read(path("down/report.pdf")).unwrap() == content);
        // What is there stays, unless it is to be replaced.
        let again = there.run(&["media", "download", message, "--to", &to]);
        assert!(again.0 == 2 && again.2.contains("add --overwrite"), "{again:?}");
        fs::write(path("down/notes.txt"), "old").unwrap();
        assert_eq!(there.run(&["media", "download", message, "--to", &to, "--overwrite"]).0, 0);
        assert_eq!(fs::read_to_string(path("down/notes.txt")).unwrap(), "notes");
        assert_eq!(fs::read_dir(path("down")).unwrap().count(), 2);

        let one = sent["attachment"][1]["name"].as_str().unwrap();
        assert_eq!(there.run(&["media", "download", one, "--to", "-"]), (0, "notes".to_owned(), String::new()));
        let resource = sent["attachment"][1]["attachmentDataRef"]["resourceName"].as_str().unwrap();
        assert_eq!(there.run(&["media", "download", resource, "--to", &path("own")]).0, 0);
        assert_eq!(fs::read_to_string(path("own")).unwrap(), "notes");
        let many = there.run(&["media", "download", message, "--to", &path("one")]);
        assert!(many.0 == 2 && many.2.contains("has 2 attachments"), "{many:?}");
        let missing = there.run(&["messages", "send", &there.space, "x", "--attach", &path("nothing.txt")]);
        assert!(missing.0 != 0 && missing.2.contains("nothing.txt"), "{missing:?}");
    }
}
