//! The program behind a proxy that the environment names.

use google_chat_emulator::Emulator;

use super::{
    shared::proxy::{Proxy, Tunnel},
    support::{file, gchat, text},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_go_through_the_proxy_of_the_environment_but_for_no_proxy() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let certificate = file("proxy-certificate.pem", emulator.certificate().unwrap());
    let proxy = Proxy::start(Tunnel::Through, 0).await;
    let create = |wire: &str, name: &str, no_proxy: &str| {
        let output = gchat(&["spaces", "create", "--anonymous", "--display-name", name, "--output", "name"])
            .args(["--wire", wire])
            .args(["--endpoint", &emulator.endpoint()])
            .env("HTTPS_PROXY", format!("http://user:secret@{}", proxy.address))
            .env("NO_PROXY", no_proxy)
            .env("SSL_CERT_FILE", &certificate)
            .output()
            .unwrap();
        assert!(output.status.success(), "{wire}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let target = (emulator.address().to_string(), "Basic dXNlcjpzZWNyZXQ=".to_owned());
    for (at, wire) in ["grpc", "http", "auto"].into_iter().enumerate() {
        create(wire, wire, "");
        assert_eq!(proxy.asked(), vec![target.clone(); at + 1], "{wire}");
    }
    create("auto", "directly", "127.0.0.1");
    assert_eq!(proxy.asked().len(), 3);
    assert_eq!(emulator.spaces().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let certificate = file("no-proxy-certificate.pem", emulator.certificate().unwrap());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let proxy = Proxy::start(Tunnel::Refused("407 Proxy Authentication Required"), 0).await;
    let create = ["spaces", "create", "--display-name", "a", "--access-token", "t", "--timeout", "2"];
    let there = ["--endpoint", "https://chat.example.com"];
    for (at, wire) in ["http", "grpc"].into_iter().enumerate() {
        let output = gchat(&[&create[..], &there[..], &["--wire", wire]].concat())
            .env("HTTPS_PROXY", format!("http://user:s3cret@{}", proxy.address))
            .env("NO_PROXY", "other.example.com")
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert!(error.contains(&format!("the proxy http://{}", proxy.address)) && !error.contains("s3cret"), "{error}");
        // user:s3cret
        let asked = ("chat.example.com:443".to_owned(), "Basic dXNlcjpzM2NyZXQ=".to_owned());
        assert_eq!(proxy.asked(), vec![asked; at + 1], "{wire}");
    }
}
