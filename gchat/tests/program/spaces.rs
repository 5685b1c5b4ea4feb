//! `gchat spaces`, but for creating: read, list, update, delete, complete an import.

use google_chat_emulator::Emulator;

use super::support::{ended, gchat, text};

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
        assert_eq!((nothing.0, &*nothing.2), (2, "gchat: nothing to update; give at least one flag of the space\n"));
        let got = run(&["get", name, "--output", "json"]);
        assert!(got.1.contains("\"displayName\": \"b\""), "{got:?}");
        let kept = run(&["delete", name]);
        assert!(kept.0 == 2 && kept.2.contains("add --yes"), "{kept:?}");
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

/// What is set up is found: a direct message by the person, a group chat by its people, a named
/// space by its words.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spaces_are_set_up_and_found() {
    for wire in ["grpc", "http"] {
        let emulator = Emulator::start().await.unwrap();
        emulator.configure(|settings| settings.shortcuts = true);
        let endpoint = emulator.endpoint();
        let run = |args: &[&str]| {
            let there = ["--access-token", "user:alice@example.com", "--endpoint", &endpoint, "--wire", wire];
            let output = gchat(&[&["spaces"], args, &there, &["--output", "name"]].concat()).output().unwrap();
            let (code, out, error) = ended(&output);
            (code, out.trim().to_owned(), error.to_owned())
        };
        let set_up = |args: &[&str]| {
            let (code, out, error) = run(&[&["setup"], args].concat());
            assert_eq!((code, &*error), (0, ""), "{args:?}");
            out
        };
        let missing = run(&["find-direct-message", "bob@example.com"]);
        assert!(missing.0 == 5 && missing.2.contains("NOT_FOUND"), "{missing:?}");
        let direct = set_up(&["--member", "bob@example.com"]);
        assert_eq!(run(&["find-direct-message", "bob@example.com"]), (0, direct.clone(), String::new()));
        assert_eq!(set_up(&["--member", "users/bob@example.com"]), direct);
        let group = set_up(&["--member", "bob@example.com", "--member", "carol@example.com"]);
        assert_eq!(run(&["find-group-chats", "bob@example.com", "carol@example.com"]).1, group);
        let named = set_up(&["--display-name", "Launch room", "--member", "bob@example.com", "--description", "d"]);
        assert_eq!(run(&["search", "launch"]), (0, named.clone(), String::new()));
        assert_eq!(run(&["search", "nothing"]).1, "");
        assert_eq!(run(&["search", "--query", "space_type = \"SPACE\" AND display_name:\"room\""]).1, named);
        let kinds: Vec<_> = [&direct, &group, &named]
            .map(|name| {
                let space = emulator.spaces().into_iter().find(|space| space.name == **name).unwrap();
                space.space_type().as_str_name()
            })
            .into();
        assert_eq!(kinds, ["DIRECT_MESSAGE", "GROUP_CHAT", "SPACE"]);
        // The other space of the name is named, as a search finds it.
        let taken = run(&["create", "--display-name", "Launch room"]);
        assert!(taken.0 == 4 && taken.2.ends_with(&format!("; the space that has the name is {named}\n")), "{taken:?}");
    }
}
