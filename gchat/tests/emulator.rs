//! `gchat emulator`, as a program of its own.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use google_chat::{
    Client, CreateSpaceRequest, Credentials, Space, Wire, policy::RetryPolicy,
    proto::google::chat::v1::ListSpacesRequest, transport::Connector,
};
use tokio::{sync::mpsc, task::JoinSet};

/// A running emulator; killed when it goes out of scope.
struct Emulator {
    process: Child,
    endpoint: String,
}

impl Emulator {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gchat"))
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, endpoint }
    }

    fn client(&self) -> Client {
        let builder = Client::builder().endpoint(&self.endpoint).credentials(Credentials::anonymous());
        builder.wire(Wire::Grpc).retry(RetryPolicy::never()).build().unwrap()
    }

    /// Kills it at once, as SIGKILL does.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A path for this test, without anything at it.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    path
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
        let mut emulator = Emulator::start(&arguments);
        let client = emulator.client();
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
    let emulator = Emulator::start(&arguments);
    let found = all(&emulator.client()).await;
    assert_eq!(found.len(), SPACES);
    for (number, name) in acknowledged.lock().unwrap().iter() {
        assert_eq!(found.get(&format!("space {number}")), Some(&vec![name.clone()]));
    }
    // A request id is known after the restart.
    let request = CreateSpaceRequest { request_id: "id 7".to_owned(), ..Space::named("other").into() };
    let replayed = emulator.client().create_space(request).await.unwrap();
    assert_eq!(found["space 7"], [replayed.name]);
}

#[test]
fn a_file_has_one_emulator_at_a_time_and_must_be_its_own() {
    let file = fresh("one.db");
    let _running = Emulator::start(&["--data", file.to_str().unwrap()]);
    let other = fresh("other.db");
    std::fs::write(&other, "this is no database, but a text that is long enough to be looked at as one ".repeat(20))
        .unwrap();
    for (path, problem) in [(&file, "another emulator uses it"), (&other, "no file of an emulator's")] {
        let output = Command::new(env!("CARGO_BIN_EXE_gchat"))
            .args(["emulator", "--listen", "127.0.0.1:0", "--data", path.to_str().unwrap()])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn over_tls_the_written_certificate_is_trusted() {
    let file = fresh("certificate.pem");
    let emulator = Emulator::start(&["--tls-certificate", file.to_str().unwrap()]);
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
        Emulator::start(&["--require-credentials", "--write-credentials", fresh.to_str().unwrap(), "--fresh-key"]);
    let other = Emulator::start(&["--write-credentials", published.to_str().unwrap()]);
    // The published key, sent to where the fresh one is known.
    let text = std::fs::read_to_string(&published).unwrap();
    std::fs::write(&published, text.replace(&other.endpoint, &emulator.endpoint)).unwrap();
    let create = |key: &Path| {
        Command::new(env!("CARGO_BIN_EXE_gchat"))
            .args(["spaces", "create", "--display-name", "a", "--endpoint", &emulator.endpoint, "--credentials"])
            .args([key.to_str().unwrap(), "--subject", "alice@example.com"])
            .output()
            .unwrap()
    };
    assert!(create(&fresh).status.success());
    let refused = create(&published);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Invalid JWT Signature"), "{refused:?}");
}
