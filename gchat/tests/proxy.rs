//! `gchat` behind a proxy that the environment names.

mod support;

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use google_chat_emulator::Emulator;
use support::gchat;

/// The target and the credentials of each tunnel.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Starts a proxy that only makes tunnels. What it was asked is kept.
fn proxy() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, seen) = (client.unwrap(), Arc::clone(&seen));
            thread::spawn(move || {
                let head: Vec<String> = BufReader::new(client.try_clone().unwrap())
                    .lines()
                    .map(Result::unwrap)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let target = head[0].split(' ').nth(1).unwrap().to_owned();
                let credentials = head.iter().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
                });
                seen.lock().unwrap().push((target.clone(), credentials.unwrap_or_default()));
                let server = TcpStream::connect(target).unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut from, &mut to));
                // Either side may end it as it likes.
                let _ = io::copy(&mut &server, &mut &client);
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_go_through_the_proxy_of_the_environment_but_for_no_proxy() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let certificate = directory.join("proxy-certificate.pem");
    std::fs::write(&certificate, emulator.certificate().unwrap()).unwrap();
    let (address, asked) = proxy();
    let create = |wire: &str, name: &str, no_proxy: &str| {
        let output = gchat(&["spaces", "create", "--anonymous", "--display-name", name, "--output", "name"])
            .args(["--wire", wire])
            .args(["--endpoint", &emulator.endpoint()])
            .env("HTTPS_PROXY", format!("http://user:secret@{address}"))
            .env("NO_PROXY", no_proxy)
            .env("SSL_CERT_FILE", &certificate)
            .output()
            .unwrap();
        assert!(output.status.success(), "{wire}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let target = (emulator.address().to_string(), "Basic dXNlcjpzZWNyZXQ=".to_owned());
    for (at, wire) in ["grpc", "http", "auto"].into_iter().enumerate() {
        create(wire, wire, "");
        assert_eq!(*asked.lock().unwrap(), vec![target.clone(); at + 1], "{wire}");
    }
    create("auto", "directly", "127.0.0.1");
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(emulator.spaces().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let certificate = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-proxy-certificate.pem");
    std::fs::write(&certificate, emulator.certificate().unwrap()).unwrap();
    let create = |endpoint: &str, variables: &[(&str, &str)]| {
        let create = ["spaces", "create", "--anonymous", "--display-name", "a", "--quiet", "--endpoint", endpoint];
        let output =
            gchat(&create).env("SSL_CERT_FILE", &certificate).envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (name, url) in [
        ("HTTPS_PROXY", "http://user:secret@127.0.0.1:99999"),
        ("HTTPS_PROXY", "socks4://user:secret@127.0.0.1:1"),
        ("https_proxy", "ftp://user:secret@127.0.0.1:1"),
        ("ALL_PROXY", "http://user:80#secret@127.0.0.1:1"),
        ("all_proxy", "secret secret"),
    ] {
        let (code, error) = create(&emulator.endpoint(), &[(name, url)]);
        assert_eq!(code, Some(2), "{name}={url}: {error}");
        assert!(error.contains(&format!("{name} is not a proxy that can be used; write http://")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(emulator.received().len(), 0);
    // Where no proxy is asked, none is looked at.
    let garbage = ("HTTPS_PROXY", "secret secret");
    assert_eq!(create(&emulator.endpoint(), &[garbage, ("NO_PROXY", "127.0.0.1")]), (Some(0), String::new()));
    let plain = Emulator::start().await.unwrap();
    assert_eq!(create(&plain.endpoint(), &[garbage]), (Some(0), String::new()));
    assert_eq!(create(&emulator.endpoint(), &[("HTTPS_PROXY", "")]).0, Some(4), "the name is taken");
}

#[test]
fn many_spaces_stop_at_once_where_no_connection_can_be_made() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let rows = folder.join("no-connection.ndjson");
    let journal = folder.join("no-connection.ndjson.journal");
    let _ = std::fs::remove_file(&journal);
    std::fs::write(&rows, "{\"displayName\":\"a\"}\n{\"displayName\":\"b\"}\n").unwrap();
    // Speaks no TLS, and says so as servers do.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = io::Read::read(&mut client, &mut [0; 4096]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let create = ["spaces", "create", "--anonymous", "--rate", "0", "--endpoint", &endpoint, "--from"];
    let output = gchat(&create).arg(&rows).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("does not speak TLS; if it is to be without, try http://127.0.0.1:"), "{error}");
    // No row has come to its end.
    assert!(output.stdout.is_empty() && error.contains("0 spaces are created, 0 rows failed"), "{output:?}");
    std::fs::remove_file(journal).unwrap();
}
