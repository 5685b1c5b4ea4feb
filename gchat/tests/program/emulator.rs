//! `gchat emulator`, as a program of its own.

use std::{
    collections::HashMap,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{Arc, Mutex},
};

use google_chat::{
    Client, CreateSpaceRequest, Credentials, Space, Wire, grpc_transcoding::client::Connector, layer::RetryPolicy,
    proto::google::chat::v1::ListSpacesRequest,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::support::{Server, answer, ended, file, fresh, run, text};

fn client(emulator: &Server) -> Client {
    let builder = Client::builder().endpoint(&emulator.endpoint).credentials(Credentials::anonymous());
    builder.wire(Wire::Grpc).retry(RetryPolicy::never()).build().unwrap()
}

/// The names of all spaces, by display name.
async fn all(client: &Client) -> HashMap<String, Vec<String>> {
    let (mut found, mut token) = (HashMap::<_, Vec<_>>::new(), String::new());
    loop {
        let request = ListSpacesRequest { page_size: 1_000, page_token: token, ..ListSpacesRequest::default() };
        let page = client.stub().list_spaces(request).await.unwrap().into_inner();
        for space in page.spaces {
            found.entry(space.display_name).or_default().push(space.name);
        }
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_emulator_has_all_that_it_acknowledged() {
    const SPACES: usize = 10_000;
    let file = fresh("killed.db");
    let arguments = ["--data", file.to_str().unwrap()];
    let acknowledged = Arc::new(Mutex::new(HashMap::<usize, String>::new()));
    // It is killed twice in the midst of the work, and let to finish then.
    for goal in [SPACES / 4, SPACES * 2 / 3, SPACES] {
        let mut emulator = Server::emulator(&arguments);
        let client = client(&emulator);
        let found = all(&client).await;
        let known = acknowledged.lock().unwrap().clone();
        assert!(found.values().all(|names| names.len() == 1), "a space is there twice");
        for (number, name) in &known {
            assert_eq!(found.get(&format!("space {number}")), Some(&vec![name.clone()]));
        }
        let left: Vec<usize> = (0..SPACES).filter(|number| !known.contains_key(number)).collect();
        let left = Arc::new(Mutex::new(left.into_iter()));
        let (made, mut count) = mpsc::unbounded_channel();
        let mut workers = JoinSet::new();
        for _ in 0..64 {
            let (client, left, made) = (client.clone(), Arc::clone(&left), made.clone());
            let acknowledged = Arc::clone(&acknowledged);
            workers.spawn(async move {
                loop {
                    let Some(number) = left.lock().unwrap().next() else { return };
                    let space = Some(Space::named(format!("space {number}")));
                    let request = CreateSpaceRequest { space, request_id: format!("id {number}") };
                    let Ok(space) = client.create_space(request).await else { return };
                    acknowledged.lock().unwrap().insert(number, space.name);
                    let _ = made.send(());
                }
            });
        }
        drop(made);
        for _ in known.len()..goal {
            count.recv().await.unwrap();
        }
        emulator.kill();
        while workers.join_next().await.is_some() {}
    }
    let emulator = Server::emulator(&arguments);
    let found = all(&client(&emulator)).await;
    assert_eq!(found.len(), SPACES);
    for (number, name) in acknowledged.lock().unwrap().iter() {
        assert_eq!(found.get(&format!("space {number}")), Some(&vec![name.clone()]));
    }
    // A request id is known after the restart.
    let request = CreateSpaceRequest { request_id: "id 7".to_owned(), ..Space::named("other").into() };
    let replayed = client(&emulator).create_space(request).await.unwrap();
    assert_eq!(found["space 7"], [replayed.name]);
}

#[test]
fn a_file_has_one_emulator_at_a_time_and_must_be_its_own() {
    let file = fresh("one.db");
    let _running = Server::emulator(&["--data", file.to_str().unwrap()]);
    let other = fresh("other.db");
    std::fs::write(&other, "this is no database, but a text that is long enough to be looked at as one ".repeat(20))
        .unwrap();
    // A database of another program's, whose writes are still in its log.
    let foreign = fresh("foreign.db");
    let database = rusqlite::Connection::open(&foreign).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch("CREATE TABLE rooms (a); INSERT INTO rooms VALUES (1)").unwrap();
    let copy = fresh("foreign-copy.db");
    for end in ["", "-wal"] {
        std::fs::copy(format!("{}{end}", foreign.display()), format!("{}{end}", copy.display())).unwrap();
    }
    let before = [std::fs::read(&copy).unwrap(), std::fs::read(format!("{}-wal", copy.display())).unwrap()];
    for (path, problem) in [
        (&file, "it is in use, perhaps by another emulator"),
        (&other, "it is no file of an emulator's, and was left as it is"),
        (&copy, "it is no file of an emulator's, and was left as it is"),
    ] {
        let output = run(&["emulator", "--listen", "127.0.0.1:0", "--data", path.to_str().unwrap()]);
        let (code, _, error) = ended(&output);
        assert!(code == 1 && error.contains(problem), "{error}");
    }
    let after = [std::fs::read(&copy).unwrap(), std::fs::read(format!("{}-wal", copy.display())).unwrap()];
    assert!(before == after, "the other program's files are changed");
}

/// The rows of a file's table, by SQLite without the emulator.
fn rooms(file: &Path) -> i64 {
    let database = rusqlite::Connection::open(file).unwrap();
    database.query_row("SELECT count(*) FROM rooms", [], |row| row.get(0)).unwrap()
}

fn post(path: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signal_lets_calls_end_and_leaves_everything_in_the_file() {
    const CREATE: &str = r#"{"displayName":"slow","spaceType":"SPACE"}"#;
    for signal in ["TERM", "INT"] {
        let file = fresh(&format!("ended-by-{signal}.db"));
        let mut emulator = Server::emulator(&["--data", file.to_str().unwrap()]);
        client(&emulator).create_space(Space::named("quick")).await.unwrap();
        answer(emulator.send(&post("/emulator/faults", r#"{"next":[{"latency":1}]}"#)));
        let slow = emulator.send(&post("/v1/spaces", CREATE));
        // The call is under way when its fault is taken.
        while answer(emulator.send("GET /emulator/faults HTTP/1.0\r\n\r\n")).contains("latency") {}
        emulator.signal(signal);
        assert!(answer(slow).starts_with("HTTP/1.1 200"), "{signal}");
        assert_eq!(emulator.wait().code(), Some(0), "{signal}");
        assert!(!Path::new(&format!("{}-wal", file.display())).exists(), "{signal}");
        assert_eq!(rooms(&file), 2, "{signal}");
    }
}

#[test]
fn a_second_signal_ends_the_emulator_at_once() {
    let mut emulator = Server::emulator(&["--drain", "3600"]);
    answer(emulator.send(&post("/emulator/faults", r#"{"next":[{"latency":3600}]}"#)));
    let slow = emulator.send(&post("/v1/spaces", "{}"));
    while answer(emulator.send("GET /emulator/faults HTTP/1.0\r\n\r\n")).contains("latency") {}
    emulator.signal("TERM");
    // Then the port is closed, and the call is waited for.
    while TcpStream::connect(emulator.address()).is_ok() {}
    assert!(emulator.process.try_wait().unwrap().is_none());
    emulator.signal("TERM");
    assert_eq!(emulator.wait().code(), Some(0));
    assert_eq!(answer(slow), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_file_is_called_that() {
    let file = fresh("damaged.db");
    let mut emulator = Server::emulator(&["--data", file.to_str().unwrap()]);
    for name in 0..200 {
        client(&emulator).create_space(Space::named(format!("space {name}"))).await.unwrap();
    }
    emulator.signal("TERM");
    emulator.wait();
    let root: i64 = {
        let database = rusqlite::Connection::open(&file).unwrap();
        database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'rooms'", [], |row| row.get(0)).unwrap()
    };
    let mut bytes = std::fs::read(&file).unwrap();
    let page = (root as usize - 1) * 4096;
    bytes[page..page + 4096].fill(0xff);
    std::fs::write(&file, &bytes).unwrap();
    let output = run(&["emulator", "--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]);
    let (code, _, error) = ended(&output);
    assert_eq!(code, 1, "{error}");
    for part in ["damaged.db: it is damaged (", "malformed", "put a copy of it in its place, or name another file"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(std::fs::read(&file).unwrap() == bytes, "the file is changed");
}

/// `--tls-certificate` and `--write-credentials` write over files of an emulator's alone.
#[test]
fn no_file_of_somebody_elses_is_written_over() {
    let (certificate, key) = (fresh("own-certificate.pem"), fresh("own-key.json"));
    let flags = |certificate: &Path, key: &Path| {
        let flags = ["--tls-certificate", certificate.to_str().unwrap(), "--write-credentials", key.to_str().unwrap()];
        flags.map(str::to_owned).to_vec()
    };
    let start = |certificate: &Path, key: &Path| {
        let flags = flags(certificate, key);
        Server::emulator(&flags.iter().map(String::as_str).collect::<Vec<_>>())
    };
    drop(start(&certificate, &key));
    let first = std::fs::read_to_string(&certificate).unwrap();
    // A key that others could read is one no more.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(start(&certificate, &key));
    assert_ne!(std::fs::read_to_string(&certificate).unwrap(), first);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let servers = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = format!("{first}{}", servers.cert.pem());
    let linked = fresh("linked.pem");
    symlink(&certificate, &linked).unwrap();
    for (flag, text) in [
        ("--tls-certificate", servers.cert.pem()),
        ("--tls-certificate", chain),
        ("--tls-certificate", String::new()),
        ("--write-credentials", r#"{"private_key_id":"googles","note":"fresh-test-key-"}"#.to_owned()),
    ] {
        let path = file("somebody-elses", &text);
        let output = run(&["emulator", "--listen", "127.0.0.1:0", flag, path.to_str().unwrap()]);
        let (code, _, error) = ended(&output);
        assert!(code == 2 && error.contains("is not a file that an emulator wrote"), "{flag}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{flag}");
    }
    let output = run(&["emulator", "--listen", "127.0.0.1:0", "--tls-certificate", linked.to_str().unwrap()]);
    assert!(output.status.code() == Some(2) && linked.is_symlink(), "{output:?}");
}

#[tokio::test]
async fn over_tls_the_written_certificate_is_trusted() {
    let file = fresh("certificate.pem");
    let emulator = Server::emulator(&["--tls-certificate", file.to_str().unwrap()]);
    let connector = Connector::builder().root_certificates(&std::fs::read(&file).unwrap());
    let builder = Client::builder().endpoint(&emulator.endpoint).credentials(Credentials::anonymous());
    let chat = builder.connector(connector).build().unwrap();
    let made = chat.create_space(Space::named("a")).with_response().await.unwrap();
    assert_eq!(made.wire, Wire::Grpc);
}

#[test]
fn a_fresh_key_goes_through_the_token_flow_and_the_published_one_does_not() {
    let (fresh, published) = (fresh("fresh-key.json"), fresh("published-key.json"));
    let emulator =
        Server::emulator(&["--require-credentials", "--write-credentials", fresh.to_str().unwrap(), "--fresh-key"]);
    let other = Server::emulator(&["--write-credentials", published.to_str().unwrap()]);
    // The published key, sent to where the fresh one is known.
    let copy = std::fs::read_to_string(&published).unwrap();
    std::fs::write(&published, copy.replace(&other.endpoint, &emulator.endpoint)).unwrap();
    let create = |key: &Path| {
        let create = ["spaces", "create", "--display-name", "a", "--endpoint", &emulator.endpoint, "--credentials"];
        run(&[&create[..], &[key.to_str().unwrap(), "--subject", "alice@example.com"]].concat())
    };
    assert!(create(&fresh).status.success());
    let refused = create(&published);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("Invalid JWT Signature"), "{refused:?}");
}
