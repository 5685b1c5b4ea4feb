//! `gchat spaces create --from`: many spaces, each once, whatever happens.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use google_chat_emulator::{Emulator, Fault};
use serde_json::Value;

use super::{
    shared::random::Random,
    support::{answering, folder, gchat, json_answer, signal, text},
};

/// Creates spaces there; those of a file without a limit of their rate.
fn create(folder: &Path, endpoint: &str, args: &[&str]) -> Command {
    let rate: &[&str] = if args.contains(&"--from") { &["--rate", "0"] } else { &[] };
    in_folder(folder, &[&["--anonymous", "--endpoint", endpoint], args, rate].concat())
}

fn in_folder(folder: &Path, args: &[&str]) -> Command {
    let mut command = gchat(&[&["spaces", "create"], args].concat());
    command.current_dir(folder);
    command
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The rows of a file that a run wrote, behind its first line.
fn rows_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(emulator: &Emulator) -> Vec<String> {
    let mut names: Vec<String> = emulator.spaces().into_iter().map(|space| space.display_name).collect();
    names.sort();
    names
}

/// How often bulk is killed: a few times in a usual run of the tests, and as often as the
/// variable says in a long one.
fn kills() -> usize {
    std::env::var("GCHAT_BULK_KILLS").map_or(12, |kills| kills.parse().unwrap())
}

/// Where the last two records of a journal begin.
fn last_two_records(journal: &[u8]) -> usize {
    let ends = journal.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.filter(|end| *end < journal.len()).collect();
    ends[ends.len() - 2]
}

/// Two runs are begun at the same moment and killed at any, again and again, under all the
/// emulator's faults; then the journal is cut within its last two records. Display names
/// are not unique, so that nothing else prevents a second space.
async fn runs_in_pairs_are_killed_again_and_again(wire: &str, seed: u64) {
    let mut random = Random(seed);
    let (kills, is_long) = (kills().div_ceil(2), kills() > 100);
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.unique_names = false);
    let faults = [
        Fault::Latency(Duration::from_millis(30)),
        Fault::Unavailable,
        Fault::QuotaExceeded { retry_after: Some(1) },
        Fault::QuotaExceeded { retry_after: None },
        Fault::Html,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Truncated,
    ];
    emulator.fail_share(0.1, seed, &faults);
    let folder = folder(&format!("bulk-killed-{wire}"));
    let journal = folder.join("rooms.ndjson.journal");
    let rows: Vec<String> = (0..40 * kills).map(|row| format!("Room {row:05}")).collect();
    let file: String = rows.iter().map(|name| format!("{{\"displayName\":\"{name}\"}}\n")).collect();
    fs::write(folder.join("rooms.ndjson"), file).unwrap();
    let command = || create(&folder, &emulator.endpoint(), &["--from", "rooms.ndjson", "--wire", wire]);
    let (mut at_work, mut shut_out, mut cuts) = (0, 0, 0);
    for _ in 0..kills {
        let mut pair: Vec<Child> =
            (0..2).map(|_| command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).collect();
        // Not to wait for something: any moment will do.
        tokio::time::sleep(Duration::from_millis(random.next() % 400)).await;
        for run in &mut pair {
            run.kill().unwrap();
        }
        for run in pair {
            let output = run.wait_with_output().unwrap();
            match output.status.code() {
                None => at_work += 1,
                Some(10) => {
                    shut_out += 1;
                    let told = text(&output.stderr);
                    assert!(told.contains("is in use by another run of gchat, process "), "{told}");
                }
                Some(0) => {}
                code => panic!("{code:?}: {}", text(&output.stderr)),
            }
        }
        let Ok(whole) = fs::read(&journal) else { continue };
        if whole.iter().filter(|byte| **byte == b'\n').count() > 4 {
            let from = last_two_records(&whole);
            let len = from + random.below(whole.len() - from);
            fs::write(&journal, &whole[..len]).unwrap();
            cuts += 1;
        }
    }
    let before = emulator.spaces().len();
    let run = command().output().unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(names(&emulator), rows, "{wire}");
    let by_name: HashMap<String, String> =
        emulator.spaces().into_iter().map(|space| (space.name, space.display_name)).collect();
    let told = |run: &Output| -> Vec<String> {
        lines(run).iter().map(|line| by_name[line["name"].as_str().unwrap()].clone()).collect()
    };
    assert_eq!(told(&run), rows, "{wire}");

    // Cut at every byte of the last two records.
    if !is_long {
        emulator.fail_share(0.0, seed, &[]);
    }
    let whole = fs::read(&journal).unwrap();
    let from = last_two_records(&whole);
    for len in from..whole.len() {
        fs::write(&journal, &whole[..len]).unwrap();
        let run = command().output().unwrap();
        assert!(run.status.success(), "cut to {len} of {}: {}", whole.len(), text(&run.stderr));
        assert_eq!(lines(&run).len(), rows.len(), "{wire}, cut to {len}");
    }
    assert_eq!(names(&emulator), rows, "{wire}");
    let run = command().output().unwrap();
    assert_eq!(told(&run), rows, "{wire}");
    let all = format!("{0} spaces are created ({0} of them before), 0 rows failed, 0 retries", rows.len());
    assert!(text(&run.stderr).contains(&all), "{run:?}");
    println!(
        "{wire}: {kills} pairs killed, {at_work} runs of them at work, {shut_out} shut out; the journal cut {cuts} \
             times and at {} more bytes; {before} of {} rows created before the last run, each once after it",
        whole.len() - from,
        rows.len()
    );
    assert!(kills < 5 || shut_out > 0 && cuts > 0, "{shut_out} {cuts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_in_pairs_that_are_killed_create_every_space_once_over_grpc() {
    runs_in_pairs_are_killed_again_and_again("grpc", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_in_pairs_that_are_killed_create_every_space_once_over_http() {
    runs_in_pairs_are_killed_again_and_again("http", 2).await;
}

#[test]
fn an_answer_that_says_nothing_certain_is_unknown_and_a_refusal_is_a_failure() {
    let folder = folder("bulk-unclear");
    for (at, (answer, expected)) in [
        ("HTTP/1.1 500 X\r\ncontent-length: 0\r\n", "INTERNAL"),
        ("HTTP/1.1 507 X\r\ncontent-length: 0\r\n", "INTERNAL"),
        ("HTTP/1.1 502 X\r\ncontent-length: 6\r\n\r\n<html>", "UNAVAILABLE"),
        ("HTTP/1.1 504 X\r\ncontent-length: 0\r\n", "DEADLINE_EXCEEDED"),
        ("HTTP/1.1 302 X\r\nlocation: /login\r\ncontent-length: 0\r\n", "UNKNOWN"),
        ("HTTP/1.1 408 X\r\ncontent-length: 0\r\n", ""),
        ("HTTP/1.1 501 X\r\ncontent-length: 0\r\n", ""),
        ("HTTP/1.1 409 X\r\ncontent-length: 0\r\n", "ABORTED"),
        ("HTTP/1.1 500 X\r\ncontent-length: 32\r\n\r\n{\"error\":{\"status\":\"DATA_LOSS\"}}", "DATA_LOSS"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"na", ""),
        ("", "UNAVAILABLE"),
        ("HTTP/1.1 400 X\r\ncontent-length: 0\r\n", "refused INVALID_ARGUMENT"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = match answer {
            "" => "",
            open if open.ends_with("\r\n") => Box::leak(format!("{open}connection: close\r\n\r\n").into_boxed_str()),
            whole => whole,
        };
        let (endpoint, calls) = answering(vec![answer]);
        let file = format!("{at}.ndjson");
        fs::write(folder.join(&file), "{\"displayName\":\"a\"}\n").unwrap();
        let args = ["--from", &file, "--patience", "0", "--wire", "http", "--timeout", "20"];
        let run = create(&folder, &endpoint, &args).output().unwrap();
        let told = &lines(&run)[0];
        let context = format!("{answer:?}: {told} {}", text(&run.stderr));
        let is_refused = expected.starts_with("refused");
        let (member, other) = if is_refused { ("error", "unknown") } else { ("unknown", "error") };
        assert!(told[member].is_object() && told[other].is_null(), "{context}");
        let code = told[member]["code"].as_str().unwrap();
        assert!(expected.is_empty() || expected.ends_with(code), "{context}");
        // The server has answered no row at all: it is not there, for all that is known.
        assert_eq!(run.status.code(), Some(if is_refused { 7 } else { 6 }), "{context}");
        let kept = [("failed", is_refused), ("unknown", !is_refused)];
        for (kind, is_there) in kept {
            assert_eq!(folder.join(format!("{file}.{kind}.ndjson")).exists(), is_there, "{kind}, {context}");
        }
        assert!(calls.try_recv().is_ok(), "{context}");
    }
}

/// What no other row can be sent through either ends the run at once, with the cause, and
/// not after the patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_cannot_be_made_stops_a_run_at_once() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let folder = folder("bulk-certificate");
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\n").unwrap();
    for wire in ["grpc", "http", "auto"] {
        let run = create(&folder, &emulator.endpoint(), &["--from", "rooms.csv", "--wire", wire]).output().unwrap();
        let told = text(&run.stderr);
        assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0), "{told}");
        assert!(told.contains("is by an issuer that is not trusted here") && told.contains(" in 0 s"), "{told}");
        assert!(!folder.join("rooms.csv.unknown.ndjson").exists());
    }
}

/// A server that has forgotten the request id refuses a row for its own space.
#[test]
fn a_name_that_is_taken_after_an_unclear_answer_may_be_the_rows_own() {
    const UNCLEAR: &str = "HTTP/1.1 500 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const TAKEN: &str = "HTTP/1.1 409 X\r\nconnection: close\r\ncontent-length: 37\r\n\r\n\
                         {\"error\":{\"status\":\"ALREADY_EXISTS\"}}";
    let folder = folder("bulk-own");
    fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n").unwrap();
    // Within a run, from one run to the next, and without any doubt.
    for (at, (answers, runs, is_in_doubt)) in
        [(vec![UNCLEAR, TAKEN], 1, true), (vec![UNCLEAR, UNCLEAR, TAKEN], 2, true), (vec![TAKEN], 1, false)]
            .into_iter()
            .enumerate()
    {
        let (endpoint, _calls) = answering(answers);
        let journal = format!("journal-{at}");
        let args = ["--from", "rooms.ndjson", "--journal", &journal, "--patience", "0", "--wire", "http"];
        let run = || create(&folder, &endpoint, &args).output().unwrap();
        for _ in 1..runs {
            run();
        }
        let last = run();
        let told = &lines(&last)[0]["error"];
        assert_eq!(told["code"], "ALREADY_EXISTS", "{}", text(&last.stderr));
        let advice = told["advice"].as_str().unwrap();
        assert_eq!(advice.contains("an earlier attempt of this row"), is_in_doubt, "{at}: {advice}");
        fs::remove_file(folder.join("rooms.ndjson.failed.ndjson")).unwrap();
    }
}

/// What a run of rows says to do next creates no second space: neither the same command
/// again nor `--from` with the file that it names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_advice_of_a_run_with_unknown_rows_creates_no_second_space() {
    for wire in ["grpc", "http"] {
        for advice in ["rooms.ndjson", "rooms.ndjson.unknown.ndjson"] {
            let emulator = Emulator::start().await.unwrap();
            emulator.configure(|settings| settings.unique_names = false);
            let folder = folder(&format!("bulk-advice-{wire}-{}", advice.len()));
            fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
            let run = |file: &str, more: &[&str]| {
                let args = [&["--from", file, "--wire", wire, "--concurrency", "1"], more].concat();
                create(&folder, &emulator.endpoint(), &args).output().unwrap()
            };
            // The space is created, the answer is lost, and then a proxy has only a page.
            emulator.fail_next(Fault::ResetAfter);
            (0..2).for_each(|_| emulator.fail_next(Fault::Html));
            let first = run("rooms.ndjson", &["--patience", "0"]);
            let context = text(&first.stderr);
            // The first row ended the run, or the second was created and the run went on.
            assert!(matches!(first.status.code(), Some(6 | 9)), "{context}");
            assert!(lines(&first)[0]["unknown"].is_object(), "{context}");
            assert!(context.contains("1 rows are unknown"), "{context}");
            let unknown = rows_of(&folder.join("rooms.ndjson.unknown.ndjson"));
            assert_eq!((unknown.len(), &unknown[0]["space"]["displayName"]), (1, &"a".into()));
            assert_eq!(names(&emulator)[0], "a");
            let second = run(advice, &[]);
            assert!(second.status.success(), "{}", text(&second.stderr));
            let third = run("rooms.ndjson", &[]);
            assert!(third.status.success(), "{}", text(&third.stderr));
            assert_eq!(names(&emulator), ["a", "b"], "{wire}, {advice}");
            assert!(!folder.join("rooms.ndjson.unknown.ndjson").exists());
        }
    }
}

/// One row's answer stays unclear while others are created: the run goes on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_answer_stays_unclear_does_not_keep_the_others_back() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-one-unclear");
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\nc\n").unwrap();
    // One row waits longer for its answer than the others take.
    emulator.fail_next(Fault::Latency(Duration::from_secs(3)));
    let args = ["--from", "rooms.csv", "--timeout", "1", "--patience", "1", "--wire", "grpc"];
    let run = create(&folder, &emulator.endpoint(), &args).output().unwrap();
    let told = lines(&run);
    assert_eq!((run.status.code(), told.len()), (Some(9), 3), "{}", text(&run.stderr));
    // Whichever came first to the server.
    let unclear: Vec<&Value> = told.iter().filter(|line| line["unknown"]["code"] == "DEADLINE_EXCEEDED").collect();
    assert_eq!((unclear.len(), told.iter().filter(|line| line["name"].is_string()).count()), (1, 2), "{told:?}");
    let done = create(&folder, &emulator.endpoint(), &["--from", "rooms.csv"]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&emulator), ["a", "b", "c"]);
}

/// The quota is used up, for longer than the patience, while other rows are created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_no_time_was_left_for_are_not_passed_over_in_silence() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.writes_per_minute = Some(2));
    let folder = folder("bulk-open");
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\nc\nd\n").unwrap();
    let args = ["--from", "rooms.csv", "--concurrency", "4", "--patience", "2", "--wire", "http"];
    let run = create(&folder, &emulator.endpoint(), &args).output().unwrap();
    let told = text(&run.stderr);
    assert_eq!(run.status.code(), Some(6), "{told}");
    assert!(told.contains("the server had no time for 2 rows") || told.contains("No row was answered for"), "{told}");
    emulator.configure(|settings| settings.writes_per_minute = None);
    let done = create(&folder, &emulator.endpoint(), &["--from", "rooms.csv"]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&emulator), ["a", "b", "c", "d"]);
}

/// Flags fill in what a row does not say, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_can_turn_off_what_a_flag_turns_on() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-overlay");
    let rows = "{\"displayName\":\"board\",\"externalUserAllowed\":false}\n\
                {\"display_name\":\"team\",\"spaceDetails\":{\"guidelines\":\"g\"}}\n\
                {\"space\":{\"displayName\":\"kept\",\"external_user_allowed\":false},\"requestId\":\"r\"}\n";
    fs::write(folder.join("rooms.ndjson"), rows).unwrap();
    let args = ["--from", "rooms.ndjson", "--external-user-allowed", "--description", "d"];
    let run = create(&folder, &emulator.endpoint(), &args).output().unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let mut spaces: Vec<_> = emulator
        .spaces()
        .into_iter()
        .map(|space| {
            let details = space.space_details.unwrap_or_default();
            (space.display_name, space.external_user_allowed, details.description, details.guidelines)
        })
        .collect();
    spaces.sort();
    let expected = [("board", false, "d", ""), ("kept", false, "d", ""), ("team", true, "d", "g")];
    let expected =
        expected.map(|(name, open, about, rules)| (name.to_owned(), open, about.to_owned(), rules.to_owned()));
    assert_eq!(spaces, expected);
}

/// Other shards have other journals, and so other request ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_begun_are_not_begun_again_in_other_shards() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-resharded");
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\n").unwrap();
    let run = |more: &[&str]| {
        create(&folder, &emulator.endpoint(), &[&["--from", "rooms.csv"], more].concat()).output().unwrap()
    };
    assert!(run(&[]).status.success());
    let other = run(&["--shard", "1/2"]);
    let told = text(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{told}");
    assert!(told.contains("was begun for the shard 1/1 of these rows, and this run is for 1/2"), "{told}");
    assert_eq!(names(&emulator), ["a", "b"]);
}

/// A server that looks at who calls before it looks up the request id.
#[test]
fn a_refusal_of_the_caller_after_an_unclear_answer_leaves_the_row_unknown() {
    const UNCLEAR: &str = "HTTP/1.1 500 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const CREATED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 19\r\n\r\n{\"name\":\"spaces/a\"}";
    const DENIED: &str = "HTTP/1.1 403 X\r\nconnection: close\r\ncontent-length: 40\r\n\r\n\
                          {\"error\":{\"status\":\"PERMISSION_DENIED\"}}";
    let folder = folder("bulk-denied");
    fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
    let (endpoint, _calls) = answering(vec![CREATED, UNCLEAR, DENIED]);
    let args = ["--from", "rooms.ndjson", "--concurrency", "1", "--patience", "0", "--wire", "http"];
    let run = create(&folder, &endpoint, &args).output().unwrap();
    let told = &lines(&run)[1];
    assert!(told["unknown"].is_object(), "{told} {}", text(&run.stderr));
    assert_eq!(run.status.code(), Some(9), "{}", text(&run.stderr));
}

/// A refusal stays certain, however often the row is sent: no attempt before was unclear.
#[test]
fn a_refusal_of_the_caller_in_a_later_run_is_a_failure() {
    let folder = folder("bulk-denied-again");
    fs::write(folder.join("rows.ndjson"), "{\"space\":\"spaces/a\",\"member\":\"a@example.com\"}\n").unwrap();
    fs::write(
        folder.join("rooms.ndjson"),
        "{\"displayName\":\"a\",\"members\":[\"a@example.com\",\"b@example.com\"]}\n",
    )
    .unwrap();
    let created = || json_answer("200 OK", "{\"name\":\"spaces/a\"}");
    let denied = || json_answer("403 Forbidden", "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"message\":\"no\"}}");
    for (command, file, answers) in [
        (["members", "add"], "rows.ndjson", vec![denied()]),
        (["spaces", "complete-import"], "rows.ndjson", vec![denied()]),
        (
            ["spaces", "create"],
            "rooms.ndjson",
            vec![created(), denied(), denied(), denied(), denied(), created(), denied()],
        ),
    ] {
        let (endpoint, _calls) = answering(answers);
        let run = |args: &[&str]| {
            let from = ["--from", file, "--wire", "http", "--rate", "0", "--anonymous", "--endpoint", &endpoint];
            let output = gchat(&[&command, &from[..], args].concat()).current_dir(&folder).output().unwrap();
            let told = text(&output.stdout).to_owned();
            assert_eq!(output.status.code(), Some(7), "{command:?} {args:?}: {told} {}", text(&output.stderr));
            assert!(told.contains("PERMISSION_DENIED") && !told.contains("unknown"), "{told}");
        };
        run(&[]);
        run(&["--retry-failed"]);
        // Of a row without a record it is not known whether it was sent: it is refused all the same.
        let mut paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let journal = paths.find(|path| path.extension().is_some_and(|end| end == "journal")).unwrap();
        let whole = fs::read_to_string(&journal).unwrap();
        fs::write(&journal, whole.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        run(&[]);
        fs::remove_file(journal).unwrap();
    }
}

/// Whether an import in doubt is complete, only the space says.
#[test]
fn an_import_in_doubt_is_unknown_as_long_as_its_space_cannot_be_read() {
    let folder = folder("bulk-import-unread");
    fs::write(folder.join("rows.ndjson"), "{\"space\":\"spaces/a\"}\n").unwrap();
    let refused = |status: &str| json_answer("400 X", &format!("{{\"error\":{{\"status\":\"{status}\"}}}}"));
    let (endpoint, _calls) = answering([
        json_answer("500 X", "{}"),
        refused("FAILED_PRECONDITION"),
        json_answer("403 X", "{\"error\":{\"status\":\"PERMISSION_DENIED\"}}"),
        refused("FAILED_PRECONDITION"),
        json_answer("200 OK", "{\"name\":\"spaces/a\"}"),
    ]);
    let run = || {
        let args =
            ["--from", "rows.ndjson", "--wire", "http", "--patience", "0", "--anonymous", "--endpoint", &endpoint];
        let run = gchat(&[&["spaces", "complete-import"], &args[..]].concat()).current_dir(&folder).output().unwrap();
        (run.status.code(), text(&run.stdout).to_owned())
    };
    let first = run();
    assert!(matches!(first.0, Some(6 | 9)) && first.1.contains("INTERNAL"), "{first:?}");
    let second = run();
    assert!(second.0 == Some(9) && second.1.contains("\"unknown\":{\"code\":\"FAILED_PRECONDITION\""), "{second:?}");
    assert_eq!(run(), (Some(0), "{\"line\":1,\"name\":\"spaces/a\"}\n".to_owned()));
}

/// The ids that a file gives are those that are sent, in both forms; two rows of one id
/// would be one space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_keeps_the_request_id_that_its_file_gives_it() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.unique_names = false);
    let folder = folder("bulk-ids");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("a.ndjson", "{\"displayName\":\"a\",\"requestId\":\"id-a\"}\n");
    write("b.ndjson", "{\"space\":{\"displayName\":\"a\"},\"requestId\":\"id-a\"}\n{\"displayName\":\"b\"}\n");
    write("c.csv", "request_id,displayName\nid-a,a\n,c\n");
    let run = |file: &str| create(&folder, &emulator.endpoint(), &["--from", file]).output().unwrap();
    for file in ["a.ndjson", "b.ndjson", "c.csv"] {
        let done = run(file);
        assert!(done.status.success(), "{file}: {}", text(&done.stderr));
    }
    assert_eq!(names(&emulator), ["a", "b", "c"]);
    write("d.csv", "requestId,displayName\nx,a\ny,b\nx,c\n");
    write("e.ndjson", "{\"displayName\":\"a\",\"requestId\":1}\n{\"space\":{},\"requestID\":\"x\"}\n");
    for (file, problem) in [
        ("d.csv", "d.csv:4: requestId: the row in line 2 has the same, so that both would be one space\n"),
        ("e.ndjson", "e.ndjson:1: requestId: expected a string, found 1\ne.ndjson:2: requestID: unknown field beside"),
    ] {
        let refused = run(file);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).starts_with(problem), "{}", text(&refused.stderr));
    }
}

/// By whatever name the file or the journal is called, one run works on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_on_the_same_rows_says_who_has_them() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-in-use");
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\nc\nd\n").unwrap();
    std::os::unix::fs::symlink("rooms.csv", folder.join("link.csv")).unwrap();
    std::os::unix::fs::symlink("rooms.csv.journal", folder.join("journal")).unwrap();
    fs::create_dir(folder.join("inner")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("inner/outer")).unwrap();
    for shard in ["1/1", "2/2"] {
        // Slow enough that it is still at work.
        let args = ["--anonymous", "--endpoint", &emulator.endpoint(), "--rate", "0.1"];
        let mut first = in_folder(&folder, &[&args[..], &["--from", "rooms.csv", "--shard", shard]].concat());
        let mut first = first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let suffix = if shard == "1/1" { "" } else { ".2-of-2" };
        let journal = format!("rooms.csv{suffix}.journal");
        let _ = fs::remove_file(folder.join("journal"));
        std::os::unix::fs::symlink(&journal, folder.join("journal")).unwrap();
        for more in [
            &["--from", "rooms.csv"][..],
            &["--from", "link.csv"],
            &["--from", "inner/outer/rooms.csv"],
            &["--from", "rooms.csv", "--journal", "journal"],
            &["--from", "rooms.csv", "--journal", "inner/outer/journal"],
        ] {
            let sent = emulator.received().len();
            let second = create(&folder, &emulator.endpoint(), &[more, &["--shard", shard]].concat()).output().unwrap();
            let told = text(&second.stderr);
            assert_eq!(second.status.code(), Some(10), "{more:?}: {told}");
            assert!(told.contains(&format!("another run of gchat, process {} on ", first.id())), "{told}");
            assert_eq!(emulator.received().len(), sent);
        }
        // The lock ends with the process, and the other goes on.
        first.kill().unwrap();
        first.wait().unwrap();
        let args = ["--from", "rooms.csv", "--shard", shard];
        let second = create(&folder, &emulator.endpoint(), &args).output().unwrap();
        if shard == "1/1" {
            assert!(second.status.success(), "{}", text(&second.stderr));
            assert_eq!(names(&emulator), ["a", "b", "c", "d"]);
            emulator.configure(|settings| settings.unique_names = false);
            // Other shards are for rows that were not begun.
            fs::remove_file(folder.join(&journal)).unwrap();
        }
    }
}

/// What lies where a run would write, and is not a run's, stays as it is; nothing is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_other_people_are_left_alone() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-foreign");
    fs::write(folder.join("rooms.csv"), "displayName\na\n").unwrap();
    let run = |args: &[&str]| create(&folder, &emulator.endpoint(), &[&["--from", "rooms.csv"], args].concat());
    for (name, link, problem) in [
        ("rooms.csv.failed.ndjson", false, "rooms.csv.failed.ndjson is there, but no run with this journal wrote it"),
        ("rooms.csv.unknown.ndjson", true, "rooms.csv.unknown.ndjson is no regular file"),
        ("rooms.csv.journal", false, "rooms.csv.journal is no journal of gchat's"),
    ] {
        let _ = fs::remove_file(folder.join("rooms.csv.journal"));
        fs::write(folder.join("notes"), "my notes\n").unwrap();
        let path = folder.join(name);
        if link {
            std::os::unix::fs::symlink("notes", &path).unwrap();
        } else {
            fs::rename(folder.join("notes"), &path).unwrap();
        }
        let refused = run(&[]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(text(&refused.stderr).contains(problem), "{}", text(&refused.stderr));
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes\n", "{name}");
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(emulator.received().len(), 0);
    // A name that only seems to be free does not lead a run elsewhere.
    let _ = fs::remove_file(folder.join("rooms.csv.journal"));
    std::os::unix::fs::symlink("elsewhere", folder.join("rooms.csv.journal")).unwrap();
    let refused = run(&[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!folder.join("elsewhere").exists());
    // Nothing is left over.
    let left: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left, ["rooms.csv", "rooms.csv.journal"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_taken_as_spreadsheets_write_it() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-excel");
    let run = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        create(&folder, &emulator.endpoint(), &["--from", name]).output().unwrap()
    };
    let file = "\u{feff}displayName;importMode;createTime\r\n\r\n\"a;\r\nb\";TRUE;2020-01-02T03:04:05Z\r\nc;False;\r\n";
    let done = run("a.csv", file.as_bytes());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let told: Vec<u64> = lines(&done).iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!((told, names(&emulator)), (vec![3, 5], vec!["a;\r\nb".to_owned(), "c".to_owned()]));
    let sent = emulator.received().len();
    let utf16: Vec<u8> = "\u{feff}displayName\nx\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, expected) in [
        (
            "b.csv",
            &b"displayName,importMode\r\nd,\r\n\"e,\r\nf,TRUE\r\n"[..],
            "b.csv:3: the quote that opens in this line is not closed\ngchat: 1 of 2 rows are wrong; nothing was sent\n",
        ),
        (
            "c.csv",
            b"displayName,importMode\r\ng,WAHR\r\n",
            "c.csv:2:2: importMode: expected true or false, found \"WAHR\"\n\
             gchat: 1 of 1 rows are wrong; nothing was sent\n",
        ),
        (
            "d.csv",
            b"displayName\nM\xfcnchen\n",
            "d.csv:2: the row is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)\n\
             gchat: 1 of 1 rows are wrong; nothing was sent\n",
        ),
        ("e.csv", &utf16, "gchat: e.csv: the rows are in UTF-16; save the file as UTF-8 (in Excel: CSV UTF-8)\n"),
    ] {
        let refused = run(name, bytes);
        assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(2), expected));
    }
    assert_eq!(emulator.received().len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_share_a_file() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-shards");
    let rows: Vec<String> = (0..50).map(|row| format!("Room {row:02}")).collect();
    std::fs::write(folder.join("rooms.csv"), format!("displayName\n{}\n", rows.join("\n"))).unwrap();
    let runs: Vec<_> = ["1/3", "2/3", "3/3"]
        .map(|shard| {
            let mut command =
                create(&folder, &emulator.endpoint(), &["--from", "rooms.csv", "--shard", shard, "--quiet"]);
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
    let folder = folder("bulk-failed");
    let file = "\u{feff}displayName,spaceDetails.description,importMode,createTime\n\
                taken,\"says \"\"no\"\"\nin two lines\",,\n\
                old,,true,2020-01-02T03:04:05Z\n\
                new,,,\n";
    std::fs::write(folder.join("rooms.csv"), file).unwrap();
    let taken = create(&folder, &emulator.endpoint(), &["--display-name", "taken"]).output().unwrap();
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    let run = |args: &[&str]| create(&folder, &emulator.endpoint(), args).output().unwrap();
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
    let row = &rows_of(&folder.join("rooms.csv.failed.ndjson"))[0];
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
    // It is the same row by the same request id, in whichever file, and so the same space.
    let again = run(&["--from", "rooms.csv", "--external-user-allowed", "--retry-failed"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(lines(&again)[0]["name"], lines(&mended)[0]["name"]);
    assert!(!folder.join("rooms.csv.failed.ndjson").exists());
    assert_eq!(names(&emulator), ["new", "old", "taken", "taken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_row_is_told_before_anything_is_sent() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-bad");
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
        let run = create(&folder, &emulator.endpoint(), &["--from", file]).output().unwrap();
        assert_eq!(run.status.code(), Some(2));
        assert_eq!(text(&run.stderr).lines().collect::<Vec<_>>(), expected);
    }
    assert_eq!(emulator.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_for_one_identity_and_a_run_stops_at_what_befalls_every_row() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let folder = folder("bulk-identity");
    std::fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
    std::fs::write(folder.join("key.json"), emulator.key_file()).unwrap();
    let run = |args: &[&str]| {
        let there = ["--from", "rooms.ndjson", "--endpoint", &emulator.endpoint()];
        in_folder(&folder, &[&there[..], args].concat()).output().unwrap()
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
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_paced_and_an_interrupted_run_goes_on() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-paced");
    let rows: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    let file: String = rows.iter().map(|name| format!("{{\"displayName\":\"{name}\"}}\n")).collect();
    std::fs::write(folder.join("rooms.ndjson"), file).unwrap();
    // One an hour, so that only the first is sent.
    let args = ["--anonymous", "--endpoint", &emulator.endpoint(), "--from", "rooms.ndjson", "--rate", "0.0166"];
    let mut command = in_folder(&folder, &args);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"line\":1,\"name\":\"spaces/"), "{line}");
    signal(&run, "INT");
    let stopped = run.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130));
    assert!(text(&stopped.stderr).ends_with("gchat: stopped; run the same command again to resume\n"), "{stopped:?}");
    assert_eq!(emulator.spaces().len(), 1);
    let done = create(&folder, &emulator.endpoint(), &["--from", "rooms.ndjson"]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(names(&emulator).into_iter().collect::<BTreeSet<_>>(), rows);
}

#[test]
fn many_spaces_stop_at_once_where_no_connection_can_be_made() {
    let folder = folder("bulk-no-connection");
    fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
    // Speaks no TLS, and says so as servers do.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let output = create(&folder, &endpoint, &["--from", "rooms.ndjson"]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("does not speak TLS; if that is intended, use http://127.0.0.1:"), "{error}");
    // No row has come to its end.
    assert!(output.stdout.is_empty() && error.contains("0 spaces are created, 0 rows failed"), "{output:?}");
}

/// The names of the members of a space.
fn members(emulator: &Emulator, space: &str) -> Vec<String> {
    let endpoint = emulator.endpoint();
    let list = ["members", "list", space, "--groups", "--anonymous", "--endpoint", &endpoint];
    let output = gchat(&list).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    lines(&output).iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect()
}

/// A command of a file of rows other than to create spaces.
fn rows(folder: &Path, emulator: &Emulator, command: &[&str], args: &[&str]) -> Command {
    let endpoint = emulator.endpoint();
    let mut command = gchat(&[command, args, &["--anonymous", "--endpoint", &endpoint, "--rate", "0"]].concat());
    command.current_dir(folder);
    command
}

/// Class rooms from a spreadsheet: each with its members, once, though runs are killed and
/// connections break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spaces_get_their_members_once_however_often_the_run_is_killed() {
    for (wire, seed) in [("grpc", 3), ("http", 4)] {
        let mut random = Random(seed);
        let emulator = Emulator::start().await.unwrap();
        emulator.configure(|settings| settings.unique_names = false);
        let faults = [
            Fault::Latency(Duration::from_millis(20)),
            Fault::Unavailable,
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::Truncated,
        ];
        emulator.fail_share(0.1, seed, &faults);
        let folder = folder(&format!("bulk-rooms-{wire}"));
        let rooms: Vec<String> = (0..30).map(|room| format!("Class {room:02}")).collect();
        let file: String = rooms
            .iter()
            .map(|room| format!("{room},\"teacher@example.com, a@example.com b@example.com;groups/7\"\n"))
            .collect();
        fs::write(folder.join("rooms.csv"), format!("displayName,members\n{file}")).unwrap();
        let command = || create(&folder, &emulator.endpoint(), &["--from", "rooms.csv", "--wire", wire]);
        for _ in 0..5 {
            let mut run = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Not to wait for something: any moment will do.
            tokio::time::sleep(Duration::from_millis(100 + random.next() % 300)).await;
            run.kill().unwrap();
            run.wait().unwrap();
        }
        let run = command().output().unwrap();
        assert!(run.status.success(), "{}", text(&run.stderr));
        assert_eq!(names(&emulator), rooms, "{wire}");
        emulator.fail_share(0.0, seed, &[]);
        let told = lines(&run);
        assert_eq!(told.len(), rooms.len());
        for line in told {
            let space = line["name"].as_str().unwrap();
            let names: Vec<&str> =
                line["members"].as_array().unwrap().iter().map(|member| member["member"].as_str().unwrap()).collect();
            let expected = ["users/teacher@example.com", "users/a@example.com", "users/b@example.com", "groups/7"];
            assert_eq!(names, expected, "{line}");
            assert!(line["members"].as_array().unwrap().iter().all(|member| member["name"].is_string()), "{line}");
            // And the one that created it.
            assert_eq!(members(&emulator, space).len(), 5, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_imports_are_done_once_after_unclear_answers_over_grpc() {
    members_and_imports_are_done_once("grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_imports_are_done_once_after_unclear_answers_over_http() {
    members_and_imports_are_done_once("http").await;
}

/// What the rows ask for is done once, whatever befalls the answers; and the next run has
/// nothing to do.
async fn members_and_imports_are_done_once(wire: &str) {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder(&format!("bulk-members-{wire}"));
    fs::write(folder.join("rooms.csv"), "displayName\na\nb\n").unwrap();
    let created = create(&folder, &emulator.endpoint(), &["--from", "rooms.csv", "--import-mode"]).output().unwrap();
    assert!(created.status.success(), "{}", text(&created.stderr));
    fs::write(folder.join("created.ndjson"), &created.stdout).unwrap();
    let spaces: Vec<String> = lines(&created).iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect();

    let import = ["--from", "created.ndjson", "--wire", wire];
    // The import is completed, and nobody hears of it; then a proxy has only a page.
    for fault in [Fault::ResetAfter, Fault::Html] {
        emulator.fail_next(fault);
    }
    let done = rows(&folder, &emulator, &["spaces", "complete-import"], &import).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("gchat: 2 imports are complete, 0 rows failed"), "{done:?}");
    assert!(emulator.spaces().iter().all(|space| !space.import_mode));
    let told: Vec<String> = lines(&done).iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, spaces);

    let (a, b) = (&spaces[0], &spaces[1]);
    fs::write(
        folder.join("members.csv"),
        format!("space,member\n{a},alice@example.com\n{b},alice@example.com\n{b},groups/7\n"),
    )
    .unwrap();
    for fault in [Fault::ResetAfter, Fault::Html, Fault::ResetAfter] {
        emulator.fail_next(fault);
    }
    let add = || {
        let args = ["--from", "members.csv", "--wire", wire, "--concurrency", "1"];
        rows(&folder, &emulator, &["members", "add"], &args).output().unwrap()
    };
    let done = add();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("gchat: 3 members are added, 0 rows failed"), "{done:?}");
    let counts = [a, b].map(|space| members(&emulator, space).len());
    assert_eq!(counts, [2, 3]);
    let sent = emulator.received().len();
    let again = add();
    assert_eq!((again.status.code(), lines(&again).len()), (Some(0), 3));
    assert_eq!(emulator.received().len(), sent);

    // Who is a member already, without any doubt, is refused.
    fs::write(folder.join("more.ndjson"), "{\"member\":\"alice@example.com\"}\n{\"member\":\"bob@example.com\"}\n")
        .unwrap();
    let more = rows(&folder, &emulator, &["members", "add", a], &["--from", "more.ndjson"]).output().unwrap();
    let told = lines(&more);
    assert_eq!(more.status.code(), Some(7), "{}", text(&more.stderr));
    assert_eq!((&told[0]["error"]["code"], told[1]["name"].is_string()), (&"ALREADY_EXISTS".into(), true));
    let failed = &rows_of(&folder.join("more.ndjson.members.failed.ndjson"))[0];
    assert_eq!((&failed["space"], &failed["member"]), (&a.as_str().into(), &"users/alice@example.com".into()));
    // The file of what failed is one of rows.
    let again = ["--from", "more.ndjson.members.failed.ndjson"];
    let again = rows(&folder, &emulator, &["members", "add"], &again).output().unwrap();
    assert_eq!(lines(&again)[0]["error"]["code"], "ALREADY_EXISTS", "{}", text(&again.stderr));
    // A journal is for one job.
    let other = ["--from", "more.ndjson", "--journal", "rooms.csv.journal"];
    let other = rows(&folder, &emulator, &["members", "add", a], &other).output().unwrap();
    assert!(text(&other.stderr).contains("belongs to the job spaces, not to members"), "{other:?}");
}

/// A space whose members were not all added is there, says who is missing, and is mended by the
/// same command, which does not create it again.
#[test]
fn a_member_that_is_refused_fails_the_row_and_not_the_space() {
    let folder = folder("bulk-partly");
    fs::write(
        folder.join("rooms.ndjson"),
        "{\"displayName\":\"a\",\"members\":[\"x@example.com=owner\",\"alice@example.com\"]}\n",
    )
    .unwrap();
    let (endpoint, calls) = answering([
        json_answer("200 OK", "{\"name\":\"spaces/a\"}"),
        json_answer("404 Not Found", "{\"error\":{\"status\":\"NOT_FOUND\",\"message\":\"no x\"}}"),
        json_answer("200 OK", "{\"name\":\"spaces/a/members/1\"}"),
        // When it is run again: x is added, and made an owner.
        json_answer("200 OK", "{\"name\":\"spaces/a/members/2\"}"),
        json_answer("200 OK", "{\"name\":\"spaces/a/members/2\",\"role\":\"ROLE_MANAGER\"}"),
    ]);
    let run = |args: &[&str]| {
        let from = ["--from", "rooms.ndjson", "--wire", "http"];
        create(&folder, &endpoint, &[&from, args].concat()).output().unwrap()
    };
    let first = run(&[]);
    assert_eq!(first.status.code(), Some(7), "{}", text(&first.stderr));
    let told = &lines(&first)[0];
    let of = |at: usize, field: &str| told["members"][at][field].clone();
    assert_eq!(
        (&told["name"], of(0, "member"), of(1, "member")),
        (&"spaces/a".into(), "users/x@example.com".into(), "users/alice@example.com".into())
    );
    assert_eq!((&of(0, "error")["code"], of(1, "name")), (&"NOT_FOUND".into(), "spaces/a/members/1".into()), "{told}");
    let failed = &rows_of(&folder.join("rooms.ndjson.failed.ndjson"))[0];
    assert_eq!(
        (&failed["members"], &failed["error"]["message"]),
        (&serde_json::json!(["users/x@example.com=owner"]), &"no x".into())
    );
    assert!(failed["requestId"].is_string() && failed["space"]["displayName"] == "a", "{failed}");
    // As it is, it is told again, and nothing is sent.
    assert_eq!(lines(&run(&[]))[0], *told);
    let mended = run(&["--retry-failed"]);
    assert!(mended.status.success(), "{}", text(&mended.stderr));
    assert_eq!(lines(&mended)[0]["members"][0]["name"], "spaces/a/members/2");
    assert_eq!(calls.try_iter().count(), 5);
    assert!(!folder.join("rooms.ndjson.failed.ndjson").exists());
}

/// The files that a run writes are rows for a run with a journal of its own: what may have been
/// carried out, or was in part, is not refused there for being there.
#[test]
fn the_files_of_a_run_finish_what_it_began() {
    let folder = folder("bulk-finish");
    fs::write(
        folder.join("rows.csv"),
        "space,member,role\nspaces/a,x@example.com,owner\nspaces/a,z@example.com,\nspaces/a,y@example.com,\n",
    )
    .unwrap();
    let taken = || json_answer("409 X", "{\"error\":{\"status\":\"ALREADY_EXISTS\",\"message\":\"is there\"}}");
    let (endpoint, _calls) = answering([
        json_answer("200 OK", "{\"name\":\"spaces/a/members/1\"}"),
        json_answer("403 X", "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"message\":\"no role\"}}"),
        taken(),
        json_answer("500 X", "{}"),
        // The rows that failed: the role is given now, and z was never one of this file's.
        taken(),
        json_answer("200 OK", "{\"name\":\"spaces/a/members/1\",\"role\":\"ROLE_MANAGER\"}"),
        taken(),
        // The row that was unclear.
        taken(),
    ]);
    let run = |file: &str, code: i32| {
        let args = ["--from", file, "--wire", "http", "--patience", "0", "--concurrency", "1", "--rate", "0"];
        let there = ["--anonymous", "--endpoint", &endpoint];
        let run = gchat(&[&["members", "add"], &args[..], &there].concat()).current_dir(&folder).output().unwrap();
        assert_eq!(run.status.code(), Some(code), "{} {}", text(&run.stdout), text(&run.stderr));
        lines(&run)
    };
    let first = run("rows.csv", 6);
    assert_eq!(first[0]["error"]["added"], "spaces/a/members/1");
    assert!(first[2]["unknown"].is_object() && first[1]["error"]["code"] == "ALREADY_EXISTS", "{first:?}");
    let failed = folder.join("rows.csv.members.failed.ndjson");
    assert!(fs::read_to_string(&failed).unwrap().contains("gchat members add --from takes this file"));
    let failed = run("rows.csv.members.failed.ndjson", 7);
    assert_eq!(
        (&failed[0]["name"], &failed[1]["error"]["code"]),
        (&"spaces/a/members/x@example.com".into(), &"ALREADY_EXISTS".into())
    );
    let unknown = run("rows.csv.members.unknown.ndjson", 0);
    assert_eq!(unknown[0]["name"], "spaces/a/members/y@example.com");
}

/// A space in import mode whose members were refused is in the file of what failed with the time
/// at which it ends; the file is one of rows all the same.
#[test]
fn an_import_whose_members_were_refused_is_a_row_of_the_file() {
    let folder = folder("bulk-import-members");
    fs::write(folder.join("rooms.ndjson"), "{\"displayName\":\"a\",\"members\":[\"x@example.com\"]}\n").unwrap();
    let created = || json_answer("200 OK", "{\"name\":\"spaces/a\",\"importModeExpireTime\":\"2027-01-01T00:00:00Z\"}");
    let (endpoint, _calls) = answering([
        created(),
        json_answer("404 X", "{\"error\":{\"status\":\"NOT_FOUND\",\"message\":\"no x\"}}"),
        created(),
        json_answer("200 OK", "{\"name\":\"spaces/a/members/1\"}"),
    ]);
    let run = |file: &str| {
        let args = ["--from", file, "--wire", "http", "--import-mode"];
        create(&folder, &endpoint, &args).output().unwrap()
    };
    let first = run("rooms.ndjson");
    assert_eq!(first.status.code(), Some(7), "{}", text(&first.stderr));
    assert!(
        text(&first.stderr).contains("gchat: 1 spaces are created, 1 spaces lack members, 1 rows failed, "),
        "{first:?}"
    );
    let failed = &rows_of(&folder.join("rooms.ndjson.failed.ndjson"))[0];
    assert_eq!(failed["importModeExpireTime"], "2027-01-01T00:00:00Z", "{failed}");
    let second = run("rooms.ndjson.failed.ndjson");
    assert!(second.status.success(), "{}", text(&second.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rows_of_members_and_imports_are_told_before_anything_is_sent() {
    let emulator = Emulator::start().await.unwrap();
    let folder = folder("bulk-members-bad");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("a.csv", "member,role\na@b.c,boss\n,\nx y,owner\na@b.c,\n");
    write("b.csv", "role\nowner\n");
    write("c.ndjson", "{\"member\":3}\n{\"member\":\"a@b.c\",\"space\":\"rooms/a\"}\n{\"x\":1}\n[]\n{\"member\":\n");
    write("d.ndjson", "{\"line\":1,\"name\":\"spaces/a\"}\n{\"line\":2,\"error\":{}}\n{\"space\":\"spaces/a\"}\n");
    write("e.csv", "displayName,members\na,\"b@c.d b@c.d\"\nb,b@c.d=boss\n");
    let add = &["members", "add", "spaces/a"][..];
    for (command, file, expected) in [
        (
            add,
            "a.csv",
            &[
                "a.csv:2:2: unknown role `boss`; the roles are member, manager and owner",
                "a.csv:3: member is missing: an e-mail address, users/ID, groups/ID or app",
                "a.csv:4:1: `x y` is no member; give an e-mail address, users/ID, groups/ID or app",
                "gchat: 3 of 4 rows are wrong; nothing was sent",
            ][..],
        ),
        (
            add,
            "b.csv",
            &["b.csv:1: the header: there is no column `member`", "gchat: 1 of 1 rows are wrong; nothing was sent"],
        ),
        (
            add,
            "c.ndjson",
            &[
                "c.ndjson:1: member: expected an object, found the number 3",
                "c.ndjson:2: `rooms/a` is no space; write spaces/{space}",
                "c.ndjson:3: x: unknown field",
                "c.ndjson:4:1: expected an object, found a list",
                "c.ndjson:5:11: member: expected an object, found the end",
                "gchat: 5 of 5 rows are wrong; nothing was sent",
            ],
        ),
        (
            &["spaces", "complete-import"],
            "d.ndjson",
            &[
                "d.ndjson:2: space is missing: spaces/{space}; of rows that became no space, nothing can be completed",
                "d.ndjson:3: the row in line 1 completes the same space",
                "gchat: 2 of 3 rows are wrong; nothing was sent",
            ],
        ),
        (
            &["spaces", "create"],
            "e.csv",
            &[
                "e.csv:2: members: users/b@c.d comes twice",
                "e.csv:3:2: members: unknown role `boss`; the roles are member, manager and owner",
                "gchat: 2 of 2 rows are wrong; nothing was sent",
            ],
        ),
    ] {
        let run = rows(&folder, &emulator, command, &["--from", file]).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        assert_eq!(text(&run.stderr).lines().collect::<Vec<_>>(), expected);
    }
    assert_eq!(emulator.received().len(), 0);
}
