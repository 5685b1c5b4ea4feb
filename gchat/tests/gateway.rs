//! `gchat gateway`, as a program of its own, in front of an emulator.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use google_chat::{Client, Credentials, Space, Wire, policy::RetryPolicy};
use google_chat_emulator::{Emulator, Fault};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;

/// Far longer than anything here takes: what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway; killed when it goes out of scope.
struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    fn start(emulator: &Emulator, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gchat"))
            .args(["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &emulator.endpoint()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening at http://").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, address }
    }

    fn client(&self, wire: Wire) -> Client {
        let builder = Client::builder().endpoint(format!("http://{}", self.address));
        builder.credentials(Credentials::anonymous()).wire(wire).retry(RetryPolicy::never()).build().unwrap()
    }

    fn terminate(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_through_only_where_it_is_asked_to() {
    let emulator = Emulator::start().await.unwrap();
    for (arguments, code) in [(&[][..], Some(Code::Unimplemented)), (&["--passthrough"][..], None)] {
        let gateway = Gateway::start(&emulator, arguments);
        let called = gateway.client(Wire::Grpc).create_space(Space::named("a")).await;
        assert_eq!(called.err().map(|error| error.code()), code, "{arguments:?}");
        gateway.client(Wire::HttpJson).create_space(Space::named(format!("b {arguments:?}"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_ends() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fail_next(Fault::Latency(Duration::from_secs(3_600)));
    // Its question for the server's protos is no call of the emulator's.
    let gateway = Gateway::start(&emulator, &["--timeout", "0.2"]);
    let called = gateway.client(Wire::HttpJson).create_space(Space::named("a"));
    let error = tokio::time::timeout(PATIENCE, called.into_future()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_drain() {
    let emulator = Emulator::start().await.unwrap();
    let mut gateway = Gateway::start(&emulator, &["--drain", "3600"]);
    emulator.fail_next(Fault::Latency(Duration::from_secs(3_600)));
    let mut call = TcpStream::connect(&gateway.address).await.unwrap();
    call.write_all(b"GET /v1/spaces/a HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let under_way = async {
        while emulator.received().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, under_way).await.unwrap();
    gateway.terminate();
    let closed = async { while TcpStream::connect(&gateway.address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    assert!(gateway.process.try_wait().unwrap().is_none(), "the call under way is waited for");
    gateway.terminate();
    let ended = tokio::task::spawn_blocking(move || gateway.process.wait().unwrap());
    assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().success());
}
