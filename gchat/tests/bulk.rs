//! `gchat spaces create --from`: many spaces, each once, whatever happens.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use google_chat::emulator::{Emulator, Fault};
use serde_json::Value;

/// A folder for one test, without anything in it.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bulk-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn gchat(folder: &Path, endpoint: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
    command.args(["spaces", "create", "--anonymous", "--endpoint", endpoint]).args(args);
    if args.contains(&"--from") {
        command.args(["--rate", "0"]);
    }
    command.current_dir(folder).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn names(emulator: &Emulator) -> Vec<String> {
    let mut names: Vec<String> = emulator.spaces().into_iter().map(|space| space.display_name).collect();
    names.sort();
    names
}

/// Killed after a few rows, again and again, while calls fail before and after they are
/// carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_again_and_again_creates_every_space_once() {
    for (wire, seed) in [("grpc", 1), ("http", 2)] {
        let emulator = Emulator::start().await.unwrap();
        emulator.fail_share(0.05, seed, &[Fault::ResetBefore, Fault::ResetAfter, Fault::Unavailable, Fault::Truncated]);
        let folder = folder(&format!("killed-{wire}"));
        let rows: Vec<String> = (0..300).map(|row| format!("Room {row:03}")).collect();
        let file: String = rows.iter().map(|name| format!("{{\"displayName\":\"{name}\"}}\n")).collect();
        std::fs::write(folder.join("rooms.ndjson"), file).unwrap();
        let command = || gchat(&folder, &emulator.endpoint(), &["--from", "rooms.ndjson", "--wire", wire]);
        let mut random = seed;
        let mut kills = 0;
        let last = loop {
            let mut run = command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            random = (random * 48_271 + 11) % 0x7fff_ffff;
            let enough = emulator.received().len() + 1 + (random % 40) as usize;
            // Killed in the midst of calls, not between them.
            while emulator.received().len() < enough && run.try_wait().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            if run.try_wait().unwrap().is_none() {
                kills += 1;
                run.kill().unwrap();
                run.wait().unwrap();
                continue;
            }
            let output = run.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            break command().output().unwrap();
        };
        assert!(kills >= 5, "{kills}");
        assert_eq!(names(&emulator), rows, "{wire}");
        // Nothing is left to do, and every row is told in order.
        let told = lines(&last);
        let by_name: std::collections::HashMap<String, String> =
            emulator.spaces().into_iter().map(|space| (space.name, space.display_name)).collect();
        let told: Vec<&str> = told.iter().map(|line| &*by_name[line["name"].as_str().unwrap()]).collect();
        assert_eq!(told, rows, "{wire}");
        assert!(text(&last.stderr).contains("300 spaces are created (300 of them before)"), "{last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_share_a_file() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("shards");
    let rows: Vec<String> = (0..50).map(|row| format!("Room {row:02}")).collect();
    std::fs::write(folder.join("rooms.csv"), format!("displayName\n{}\n", rows.join("\n"))).unwrap();
    let runs: Vec<_> = ["1/3", "2/3", "3/3"]
        .map(|shard| {
            let mut command =
                gchat(&folder, &emulator.endpoint(), &["--from", "rooms.csv", "--shard", shard, "--quiet"]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .into_iter()
        .map(|run| run.wait_with_output().unwrap())
        .collect();
    let counts: Vec<usize> = runs.iter().map(|run| lines(run).len()).collect();
    assert_eq!((counts, names(&emulator)), (vec![17, 17, 16], rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_fail_for_good_are_written_with_their_reason_and_can_be_run_again() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("failed");
    let file = "\u{feff}displayName,spaceDetails.description,importMode,createTime\n\
                taken,\"says \"\"no\"\"\nin two lines\",,\n\
                old,,true,2020-01-02T03:04:05Z\n\
                new,,,\n";
    std::fs::write(folder.join("rooms.csv"), file).unwrap();
    let taken = gchat(&folder, &emulator.endpoint(), &["--display-name", "taken"]).output().unwrap();
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let run = |args: &[&str]| gchat(&folder, &emulator.endpoint(), args).output().unwrap();
    let first = run(&["--from", "rooms.csv", "--external-user-allowed"]);
    assert_eq!(first.status.code(), Some(7), "{}", text(&first.stderr));
    let told = lines(&first);
    assert_eq!((told.len(), &told[0]["error"]["code"]), (3, &"ALREADY_EXISTS".into()));
    assert_eq!((&told[0]["line"], &told[1]["line"]), (&2.into(), &4.into()));
    let until = told[1]["importModeExpireTime"].as_str().unwrap();
    let summary = text(&first.stderr);
    assert!(summary.contains("1 of them are in import mode") && summary.contains(until), "{summary}");
    let spaces = emulator.spaces();
    let old = spaces.iter().find(|space| space.display_name == "old").unwrap();
    assert!(old.import_mode && old.external_user_allowed);
    assert_eq!(old.create_time.unwrap().to_string(), "2020-01-02T03:04:05Z");

    let failed = std::fs::read_to_string(folder.join("rooms.csv.failed.ndjson")).unwrap();
    let row: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(row["error"]["reason"], "SPACE_DISPLAY_NAME_TAKEN");
    assert_eq!(row["space"]["spaceDetails"]["description"], "says \"no\"\nin two lines");
    // As it is, it fails again; the name being free, a run of the failed rows alone
    // creates it, and so does the first run when it is asked to.
    let again = run(&["--from", "rooms.csv", "--external-user-allowed", "--retry-failed"]);
    assert_eq!((again.status.code(), lines(&again).len()), (Some(7), 3));
    assert_eq!(std::fs::read_to_string(folder.join("rooms.csv.failed.ndjson")).unwrap(), failed);
    emulator.configure(|settings| settings.unique_names = false);
    let mended = run(&["--from", "rooms.csv.failed.ndjson"]);
    assert!(mended.status.success(), "{}", text(&mended.stderr));
    let again = run(&["--from", "rooms.csv", "--external-user-allowed", "--retry-failed"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(folder.join("rooms.csv.failed.ndjson")).unwrap(), "");
    assert_eq!(names(&emulator), ["new", "old", "taken", "taken", "taken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_row_is_told_before_anything_is_sent() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bad");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("a.ndjson", "{\"displayName\":\"a\"}\n{\"displayName\":3}\n\n{\"x\":1}\n{}\n[]\n");
    write("b.csv", "displayName,externalUserAllowed\na,yes\nb\nc,true\n");
    write("c.csv", "displayName,accessSettings\na,b\n");
    write("d.csv", "displayName,displayName\na,b\n");
    for (file, expected) in [
        (
            "a.ndjson",
            &[
                "a.ndjson:2:16: displayName: expected a string, found the number 3",
                "a.ndjson:4:2: x: unknown field",
                "a.ndjson:5: display_name is required for a named space",
                "a.ndjson:6:1: expected an object, found a list",
                "gchat: 4 of 5 rows are wrong; nothing was sent",
            ][..],
        ),
        (
            "b.csv",
            &[
                "b.csv:2:2: externalUserAllowed: expected true or false, found \"yes\"",
                "b.csv:3: 1 values, where the header has 2 fields",
                "gchat: 2 of 3 rows are wrong; nothing was sent",
            ],
        ),
        (
            "c.csv",
            &[
                "c.csv:1:2: the header: `accessSettings` is a google.chat.v1.Space.AccessSettings, which has no form \
                 as text",
                "gchat: 1 of 1 rows are wrong; nothing was sent",
            ],
        ),
        (
            "d.csv",
            &["d.csv:1:2: the header: `displayName` comes twice", "gchat: 1 of 1 rows are wrong; nothing was sent"],
        ),
    ] {
        let run = gchat(&folder, &emulator.endpoint(), &["--from", file]).output().unwrap();
        assert_eq!(run.status.code(), Some(2));
        assert_eq!(text(&run.stderr).lines().collect::<Vec<_>>(), expected);
    }
    assert_eq!(emulator.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_for_one_identity_and_a_run_stops_at_what_befalls_every_row() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let folder = folder("identity");
    std::fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
    std::fs::write(folder.join("key.json"), emulator.key_file()).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
        command.args(["spaces", "create", "--from", "rooms.ndjson", "--endpoint", &emulator.endpoint()]).args(args);
        command.current_dir(&folder).env_clear().output().unwrap()
    };
    let (alice, bob) = (["--credentials", "key.json", "--subject", "alice@example.com"], "bob@example.com");
    // One row a minute: the second waits, and is not reached by the first's fate.
    emulator.configure(|settings| settings.api_enabled = false);
    let stopped = run(&[&alice[..], &["--concurrency", "1"]].concat());
    assert_eq!((stopped.status.code(), lines(&stopped).len()), (Some(3), 0), "{}", text(&stopped.stderr));
    assert!(text(&stopped.stderr).contains("enable the Google Chat API"));
    emulator.configure(|settings| settings.api_enabled = true);
    let other = run(&["--credentials", "key.json", "--subject", bob]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("belongs to alice@example.com by"), "{}", text(&other.stderr));
    let done = run(&[&alice[..], &["--rate", "0"]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&emulator), ["a", "b"]);
    // The file having changed, the journal is another's.
    std::fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"c\"}\n").unwrap();
    let changed = run(&alice);
    assert!(text(&changed.stderr).contains("belongs to other rows"), "{}", text(&changed.stderr));
}

/// 60 a minute is one a second: the second row waits for its place, however soon the
/// first is done, and a signal ends the wait.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_paced_and_an_interrupted_run_goes_on() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("paced");
    let rows: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    let file: String = rows.iter().map(|name| format!("{{\"displayName\":\"{name}\"}}\n")).collect();
    std::fs::write(folder.join("rooms.ndjson"), file).unwrap();
    // One an hour, so that only the first is sent.
    let args = ["--from", "rooms.ndjson", "--rate", "0.0166"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
    command.args(["spaces", "create", "--anonymous", "--endpoint", &emulator.endpoint()]).args(args);
    let mut run =
        command.current_dir(&folder).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"line\":1,\"name\":\"spaces/"), "{line}");
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", run.id())]).status().unwrap().success());
    let stopped = run.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130));
    assert!(text(&stopped.stderr).ends_with("gchat: stopped; the same command goes on where it was\n"), "{stopped:?}");
    assert_eq!(emulator.spaces().len(), 1);
    let done = gchat(&folder, &emulator.endpoint(), &["--from", "rooms.ndjson"]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&emulator).into_iter().collect::<BTreeSet<_>>(), rows);
}
