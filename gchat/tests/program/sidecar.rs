//! `gchat sidecar`, in front of an emulator's REST API.

use std::{path::Path, time::Duration};

use google_chat::{
    Client, Credentials, Space, Wire,
    grpc_transcoding::{
        client::{Grpc, HttpJson, Origin},
        server::{Sidecar, check_health, reflect, serve},
    },
    layer::RetryPolicy,
    proto::google::chat::v1::{GetSpaceRequest, chat_service_client::ChatServiceClient},
};
use google_chat_emulator::{Emulator, Fault};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, Request};

use super::support::{Server, ended, fresh, gchat, get, run};

/// Far longer than anything here takes: what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(upstream: &str, flags: &[&str]) -> Server {
    Server::start(&[&["sidecar", "--wire", "http", "--listen", "127.0.0.1:0", "--upstream", upstream], flags].concat())
}

/// The generated stub over gRPC, with nothing of this project's layers under it.
fn stub(endpoint: &str) -> ChatServiceClient<Grpc> {
    ChatServiceClient::new(grpc(endpoint))
}

fn grpc(endpoint: &str) -> Grpc {
    Grpc::new(Origin::parse(endpoint).unwrap()).unwrap()
}

fn space(name: &str) -> google_chat::CreateSpaceRequest {
    Space::named(name).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_calls_the_rest_api_with_request_ids_and_retries_unless_told_otherwise() {
    let emulator = Emulator::start().await.unwrap();
    for (flags, attempts, has_id) in [
        (&[][..], 2, true),
        (&["--no-retries"], 1, true),
        (&["--no-request-ids"], 2, false),
        (&["--no-request-ids", "--no-retries"], 1, false),
    ] {
        let sidecar = start(&emulator.endpoint(), flags);
        let before = emulator.received().len();
        emulator.fail_next(Fault::Unavailable);
        let made = stub(&sidecar.endpoint).create_space(space(&format!("room {flags:?}"))).await;
        emulator.clear_faults();
        assert_eq!(
            made.map(drop).map_err(|status| status.code()),
            if attempts == 2 { Ok(()) } else { Err(Code::Unavailable) }
        );
        let calls = &emulator.received()[before..];
        assert_eq!(calls.len(), attempts, "{flags:?}");
        for call in calls {
            assert_eq!((&call.method, call.target.starts_with("/v1/spaces")), (&Method::POST, true), "{call:?}");
            assert_eq!(call.target.contains("requestId="), has_id, "{flags:?}: {}", call.target);
        }
    }
    // And an error is the one that it would be over gRPC.
    let sidecar = start(&emulator.endpoint(), &[]);
    let missing = || GetSpaceRequest { name: "spaces/none".into(), ..Default::default() };
    let through = stub(&sidecar.endpoint).get_space(missing()).await.unwrap_err();
    let straight = stub(&emulator.endpoint()).get_space(missing()).await.unwrap_err();
    let shown = |status: &tonic::Status| (status.code(), status.message().to_owned(), status.details().to_vec());
    assert_eq!(shown(&through), shown(&straight));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_put_in_where_the_caller_has_none() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| {
        settings.anonymous = false;
        settings.shortcuts = true;
    });
    let key = fresh("sidecar-key.json");
    std::fs::write(&key, emulator.key_file()).unwrap();
    let key = key.to_str().unwrap();
    let create = async |sidecar: &Server, name: &str, token: Option<&str>| {
        let mut call = Request::new(space(name));
        if let Some(token) = token {
            call.metadata_mut().insert("authorization", token.parse().unwrap());
        }
        stub(&sidecar.endpoint).create_space(call).await.map(drop).map_err(|status| status.code())
    };
    let without = start(&emulator.endpoint(), &[]);
    let with = start(&emulator.endpoint(), &["--credentials", key, "--subject", "alice@example.com"]);
    assert_eq!(create(&without, "a", None).await, Err(Code::Unauthenticated));
    assert_eq!(create(&without, "a", Some("Bearer user:bob@example.com")).await, Ok(()));
    assert_eq!(create(&with, "b", None).await, Ok(()));
    assert_eq!(
        create(&with, "c", Some("Bearer nonsense")).await,
        Err(Code::Unauthenticated),
        "the caller's own token counts"
    );
    let tokens = emulator.token_requests();
    assert!(tokens > 0);
    // Each method gets the scope that it needs and no other.
    emulator.configure(|settings| {
        settings.delegated_scopes = Some(vec!["https://www.googleapis.com/auth/chat.spaces.readonly".into()]);
    });
    let list =
        stub(&with.endpoint).list_spaces(google_chat::proto::google::chat::v1::ListSpacesRequest::default()).await;
    assert_eq!(list.map(drop).map_err(|status| status.code()), Ok(()));
}

#[test]
fn a_sidecar_gives_away_neither_credentials_nor_access() {
    let key = Path::new("/nonexistent/key.json");
    let base = ["sidecar", "--check-config"];
    for (flags, problem) in [
        (&["--access-token", "ya29.secret-of-the-account", "--listen", "0.0.0.0:0"][..], "add --allow-remote-callers"),
        (
            &["--access-token", "ya29.secret-of-the-account", "--upstream", "http://10.0.0.1"],
            "not sent to http://10.0.0.1 in clear text",
        ),
        (&["--credentials", key.to_str().unwrap()], "--credentials: the file that it names cannot be read"),
        (&["--subject", "alice@example.com"], "--subject and --impersonate-service-account need credentials"),
        (&["--listen", "localhost:1"], "neither an address with a port"),
        (&["--reflection", "ftp://localhost"], "ftp://localhost"),
    ] {
        let (code, _, said) = owned(&run(&[&base[..], flags].concat()));
        assert!(code == 2 && said.contains(problem) && !said.contains("secret"), "{flags:?}: {said}");
    }
    for flags in [
        &["--access-token", "ya29.secret-of-the-account"][..],
        &["--access-token", "ya29.secret-of-the-account", "--listen", "unix:/nonexistent/a.sock"],
        &["--access-token", "ya29.secret-of-the-account", "--listen", "0.0.0.0:0", "--allow-remote-callers"],
        &["--listen", "0.0.0.0:0", "--upstream", "http://10.0.0.1"],
    ] {
        let (code, said, problem) = owned(&run(&[&base[..], flags].concat()));
        assert_eq!(
            (code, said.as_str(), problem.as_str()),
            (0, "the flags: all settings can be used\n", ""),
            "{flags:?}"
        );
    }
}

fn owned(output: &std::process::Output) -> (i32, String, String) {
    let (code, said, problem) = ended(output);
    (code, said.to_owned(), problem.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_token_does_not_go_on_in_clear_text() {
    // Nobody is there, and nobody is asked.
    let sidecar = start("http://192.0.2.1", &["--no-retries"]);
    let mut call = Request::new(space("a"));
    call.metadata_mut().insert("authorization", "Bearer secret".parse().unwrap());
    let refused = stub(&sidecar.endpoint).create_space(call).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("in clear text") && !refused.message().contains("secret"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_schema_will_do_and_is_told_on() {
    let emulator = Emulator::start().await.unwrap();
    let set = fresh("sidecar-set.bin");
    std::fs::write(&set, google_chat::proto::DESCRIPTOR_SET).unwrap();
    for flags in [
        &[][..],
        &["--descriptor-set", set.to_str().unwrap()],
        &["--reflection"],
        &["--reflection", &emulator.endpoint()],
    ] {
        let sidecar = start(&emulator.endpoint(), flags);
        stub(&sidecar.endpoint).create_space(space(&format!("{flags:?}"))).await.unwrap();
        let schema = reflect(grpc(&sidecar.endpoint)).await.unwrap();
        assert!(schema.method("/google.chat.v1.ChatService/CreateSpace").is_some(), "{flags:?}");
        for service in ["", "google.chat.v1.ChatService"] {
            assert!(check_health(grpc(&sidecar.endpoint), service).await.unwrap(), "{flags:?} {service}");
        }
        let unknown = check_health(grpc(&sidecar.endpoint), "a.B").await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        assert_eq!(get(sidecar.address(), "/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(get(sidecar.address(), "/v1/spaces").0, 415);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_wires_serve_the_same_stub() {
    let emulator = Emulator::start().await.unwrap();
    for (wire, path) in
        [("http", "/v1/spaces"), ("grpc", "/google.chat.v1.ChatService/"), ("auto", "/google.chat.v1.ChatService/")]
    {
        let sidecar = start(&emulator.endpoint(), &["--wire", wire, "--enums-as-integers"]);
        stub(&sidecar.endpoint).create_space(space(wire)).await.unwrap();
        let call = emulator.received().pop().unwrap();
        assert!(call.target.starts_with(path), "{wire}: {}", call.target);
        assert_eq!(call.target.contains("enum-encoding"), wire == "http", "{}", call.target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_says_so_and_serves_on() {
    let emulator = Emulator::start().await.unwrap();
    let mut sidecar = start(&emulator.endpoint(), &["--lame-duck", "3600"]);
    assert!(check_health(grpc(&sidecar.endpoint), "").await.unwrap());
    sidecar.signal("TERM");
    let told = async { while check_health(grpc(&sidecar.endpoint), "").await.unwrap() {} };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(get(sidecar.address(), "/healthz").0, 503);
    stub(&sidecar.endpoint).create_space(space("late")).await.unwrap();
    sidecar.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || sidecar.wait());
    assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().success());
}

/// As small as the service in a library is.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_a_few_lines_in_a_server_of_ones_own() {
    let emulator = Emulator::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let rules = Client::http_rules();
    let sidecar = Sidecar::new(rules, HttpJson::builder(rules, emulator.endpoint()).build().unwrap());
    tokio::spawn(serve(listener, sidecar, Default::default()));
    stub(&endpoint).create_space(space("own")).await.unwrap();
    assert_eq!(emulator.received()[0].target.split('?').next(), Some("/v1/spaces"));
}

/// A network that lets HTTP/1.1 through and nothing else: what does not begin with a
/// request line of it is cut off.
async fn only_http_1(target: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut begin = [0; 4];
                if near.read_exact(&mut begin).await.is_err() || &begin == b"PRI " {
                    return;
                }
                let mut far = TcpStream::connect(target).await.unwrap();
                far.write_all(&begin).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_http_1_gets_through_a_stub_fails_straight_and_works_through_the_sidecar() {
    let emulator = Emulator::start().await.unwrap();
    let network = format!("http://{}", only_http_1(emulator.address()).await);
    let straight = stub(&network).create_space(space("straight")).await.unwrap_err();
    assert_eq!(straight.code(), Code::Unavailable, "{straight}");
    assert!(emulator.received().is_empty());
    let sidecar = start(&network, &[]);
    stub(&sidecar.endpoint).create_space(space("through")).await.unwrap();
    let client = Client::builder().endpoint(&sidecar.endpoint).credentials(Credentials::anonymous());
    let client = client.wire(Wire::Grpc).retry(RetryPolicy::never()).build().unwrap();
    client.create_space(Space::named("by the client")).await.unwrap();
    assert_eq!(emulator.spaces().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_this_users_own_and_goes_with_the_server() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let emulator = Emulator::start().await.unwrap();
    let path = std::env::temp_dir().join(format!("gchat-sidecar-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let arguments = ["sidecar", "--wire", "http", "--listen", &listen, "--upstream", &emulator.endpoint()];
    let mut first = Server::start(&arguments);
    assert_eq!(first.endpoint, listen);
    let file = std::fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket() && file.permissions().mode() & 0o777 == 0o600);
    let mut client = h2::client::handshake(tokio::net::UnixStream::connect(&path).await.unwrap()).await.unwrap();
    tokio::spawn(client.1);
    let call = http::Request::post("http://localhost/google.chat.v1.ChatService/ListSpaces")
        .header("content-type", "application/grpc");
    let (answer, mut body) = client.0.send_request(call.body(()).unwrap(), false).unwrap();
    body.send_data(bytes::Bytes::from_static(&[0; 5]), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    while let Some(data) = answer.data().await {
        data.unwrap();
    }
    assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    // What a killed one left is replaced, and the socket of a living one is not.
    let (code, _, said) = owned(&run(&arguments));
    assert!(code == 1 && said.contains("cannot listen at unix:"), "{said}");
    first.kill();
    assert!(path.exists());
    let mut second = Server::start(&arguments);
    second.signal("TERM");
    assert!(second.wait().success() && !path.exists());
    // What is no socket is nobody's to replace.
    std::fs::write(&path, "mine").unwrap();
    let (code, ..) = owned(&gchat(&arguments).output().unwrap());
    assert_eq!((code, std::fs::read_to_string(&path).unwrap()), (1, "mine".to_owned()));
    std::fs::remove_file(&path).unwrap();
}
