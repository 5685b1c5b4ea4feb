//! What `gchat gateway` and `gchat sidecar` have in common: logs, metrics, readiness, TLS
//! and the config file.

use std::{io::Write, time::Duration};

use google_chat::{
    Space,
    grpc_transcoding::{
        client::{Connector, Grpc, Origin},
        server::check_health,
    },
    proto::google::chat::v1::chat_service_client::ChatServiceClient,
};
use google_chat_emulator::Emulator;
use serde_json::Value;

use super::support::{Server, answer, ended, file, fresh, get, run};

const PATIENCE: Duration = Duration::from_secs(20);

fn space(name: &str) -> google_chat::CreateSpaceRequest {
    Space::named(name).into()
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_no_secrets() {
    let emulator = Server::emulator(&[]);
    let flags = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &emulator.endpoint, "--access-log"];
    let mut gateway = Server::start(&[&flags[..], &["json"]].concat());
    let head = "GET /v1/spaces/none?access_token=secret&key=secret HTTP/1.1\r\nhost: localhost\r\nconnection: close";
    answer(gateway.send(&format!("{head}\r\nauthorization: Bearer secret\r\nuser-agent: \"me\r\n\r\n")));
    let line = gateway.line();
    let entry: Value = serde_json::from_str(&line).unwrap();
    assert!(!line.contains("secret"), "{line}");
    for (name, value) in [
        ("method", Value::from("GET")),
        ("path", "/v1/spaces/none".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 401.into()),
        ("code", "UNAUTHENTICATED".into()),
        ("cancelled", false.into()),
        ("user_agent", "\"me".into()),
    ] {
        assert_eq!(entry[name], value, "{name}: {line}");
    }
    assert!(entry["duration_ms"].as_f64().unwrap() > 0.0 && entry["bytes"].as_u64().unwrap() > 0, "{line}");
    assert!(entry["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{line}");

    let mut gateway = Server::start(&[&flags[..], &["text"]].concat());
    answer(gateway.send(&format!("{head}\r\n\r\n")));
    let line = gateway.line();
    assert!(
        line.contains(r#" "GET /v1/spaces/none HTTP/1.1" 401 UNAUTHENTICATED "#) && !line.contains("secret"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_under_the_standard_names() {
    let emulator = Emulator::start().await.unwrap();
    let flags = ["--admin", "127.0.0.1:0", "--access-log", "json", "--listen", "127.0.0.1:0"];
    let mut sidecar =
        Server::start(&[&["sidecar", "--wire", "http", "--upstream", &emulator.endpoint()], &flags[..]].concat());
    let admin = sidecar.admin();
    let grpc = Grpc::new(Origin::parse(&sidecar.endpoint).unwrap()).unwrap();
    let mut stub = ChatServiceClient::new(grpc);
    stub.create_space(space("a")).await.unwrap();
    stub.create_space(space("a")).await.unwrap_err();
    // What is logged has been counted.
    let entries: Vec<Value> = (0..2).map(|_| serde_json::from_str(&sidecar.line()).unwrap()).collect();
    let codes: Vec<_> = entries.iter().map(|entry| (entry["status"].clone(), entry["code"].clone())).collect();
    assert_eq!(codes, [(200.into(), "OK".into()), (200.into(), "ALREADY_EXISTS".into())]);
    assert!(entries.iter().all(|entry| entry["cancelled"] == false), "{entries:?}");
    let (status, text) = get(&admin, "/metrics");
    let labels = r#"grpc_type="unary",grpc_service="google.chat.v1.ChatService",grpc_method="CreateSpace""#;
    for line in [
        format!("grpc_server_started_total{{{labels}}} 2"),
        format!(r#"grpc_server_handled_total{{{labels},grpc_code="OK"}} 1"#),
        format!(r#"grpc_server_handled_total{{{labels},grpc_code="AlreadyExists"}} 1"#),
        format!("grpc_server_handling_seconds_count{{{labels}}} 2"),
    ] {
        assert!(status == 200 && text.lines().any(|one| one == line), "{line}\n{text}");
    }

    let backend = emulator.endpoint();
    let mut gateway = Server::start(&[&["gateway", "--reflection", "--backend", &backend], &flags[..]].concat());
    let admin = gateway.admin();
    assert_eq!(get(gateway.address(), "/v1/spaces").0, 200);
    assert_eq!(get(gateway.address(), "/no/such?path").0, 404);
    gateway.line();
    gateway.line();
    let (_, text) = get(&admin, "/metrics");
    for labels in [
        r#"http_request_method="GET",http_route="/v1/spaces",http_response_status_code="200""#,
        r#"http_request_method="GET",http_route="",http_response_status_code="404""#,
    ] {
        let line = format!("http_server_request_duration_seconds_count{{{labels}}} 1");
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert_eq!(get(&admin, "/").0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_ready_as_long_as_its_backend_is() {
    let emulator = Emulator::start().await.unwrap();
    let backend = emulator.endpoint();
    let mut gateway = Server::start(&[
        "gateway",
        "--reflection",
        "--backend",
        &backend,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    let admin = gateway.admin();
    assert_eq!((get(&admin, "/readyz").0, get(gateway.address(), "/readyz").0), (200, 200));
    emulator.stop(Duration::ZERO).await;
    let unready = tokio::task::spawn_blocking({
        let admin = admin.clone();
        move || loop {
            let (status, problem) = get(&admin, "/readyz");
            if status != 200 {
                return (status, problem);
            }
        }
    });
    let (status, problem) = tokio::time::timeout(PATIENCE, unready).await.unwrap().unwrap();
    assert!(status == 503 && problem.starts_with("the backend: "), "{problem}");
    assert_eq!(get(&admin, "/healthz").0, 200);
}

/// A certificate authority, and what it signs.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_served_to_those_with_a_certificate_and_its_own_is_renewed() {
    let emulator = Emulator::start().await.unwrap();
    let (one, other) = (Authority::new(), Authority::new());
    let (certificate, key) = one.sign("localhost");
    let [certificate, key, ca] =
        [("serving.crt", certificate), ("serving.key", key), ("serving-ca.crt", one.pem.clone())]
            .map(|(name, text)| file(name, &text));
    let [certificate_flag, key_flag, ca_flag] = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
    let said = fresh("serving-errors");
    let sidecar = Server::start_with_errors(
        &[
            "sidecar",
            "--wire",
            "http",
            "--upstream",
            &emulator.endpoint(),
            "--listen",
            "127.0.0.1:0",
            "--tls-certificate",
            certificate_flag,
            "--tls-key",
            key_flag,
            "--tls-client-ca",
            ca_flag,
        ],
        &said,
    );
    let port = sidecar.endpoint.strip_prefix("https://127.0.0.1:").unwrap();
    let origin = Origin::parse(&format!("https://localhost:{port}")).unwrap();
    let well = async |roots: &Authority, shown: Option<&Authority>| {
        let mut builder = Connector::builder().root_certificates(roots.pem.as_bytes());
        if let Some(shown) = shown {
            let (certificate, key) = shown.sign("client");
            builder = builder.client_certificate(certificate.as_bytes(), key.as_bytes());
        }
        let connector = builder.build(&origin).unwrap();
        check_health(Grpc::over(connector, origin.clone()), "").await.is_ok()
    };
    assert!(well(&one, Some(&one)).await);
    assert!(!well(&one, None).await && !well(&one, Some(&other)).await, "only those with a certificate are served");
    assert!(!well(&other, Some(&one)).await);
    // Half of a renewal is none.
    let (renewed, renewed_key) = other.sign("localhost");
    std::fs::File::create(&certificate).unwrap().write_all(renewed.as_bytes()).unwrap();
    let told = async {
        while !std::fs::read_to_string(&said).unwrap().contains("the certificate stays as it was") {
            assert!(well(&one, Some(&one)).await);
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(well(&one, Some(&one)).await);
    std::fs::File::create(&key).unwrap().write_all(renewed_key.as_bytes()).unwrap();
    let renewal = async { while !well(&other, Some(&one)).await {} };
    tokio::time::timeout(PATIENCE, renewal).await.unwrap();
    // So are the authorities of its clients.
    std::fs::write(&ca, &other.pem).unwrap();
    let renewal = async { while !well(&other, Some(&other)).await {} };
    tokio::time::timeout(PATIENCE, renewal).await.unwrap();
    assert!(!well(&other, Some(&one)).await);
}

#[test]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
fn settings_come_from_a_file_and_flags_before_them() {
    let text = "# of a test\nlisten = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:1\"\npassthrough = true\n\
                cors-origin = [\"https://a.example\", \"https://b.example\"]\ntimeout = 1.5\n";
    let set = fresh("serving-set.bin");
    std::fs::write(&set, google_chat::proto::DESCRIPTOR_SET).unwrap();
    let text = format!("{text}descriptor-set = \"{}\"\n", set.display());
    let config = file("serving.toml", &text);
    let config = config.to_str().unwrap();
    let checked = run(&["gateway", "--config", config, "--check-config"]);
    assert_eq!(ended(&checked), (0, format!("{config}: all settings can be used\n").as_str(), ""));
    let gateway = Server::start(&["gateway", "--config", config]);
    assert_eq!(get(gateway.address(), "/healthz").0, 200);

    for (line, problem) in [
        ("timeout = 'ya29.secret'", "invalid value"),
        ("max-streams = 0", "0 is not in 1..=100000"),
        ("colour = 'red'", "line 8: there is no setting `colour`"),
        ("access-log = 'xml'", "invalid value 'xml' for '--access-log <FORM>'"),
        ("tls-certificate = '/nonexistent'", "--tls-key"),
        ("tls-certificate = '/nonexistent'\ntls-key = '/nonexistent'", "--tls-certificate: cannot read /nonexistent"),
        ("backend-ca = '/nonexistent'", "--backend-ca: cannot read /nonexistent"),
        ("reflection = true", "cannot be used with"),
        ("check-config =", "this is not TOML"),
    ] {
        let bad = file("serving-bad.toml", &format!("{}\n{line}\n", text.replace("timeout = 1.5\n", "")));
        let (code, _, said) = {
            let output = run(&["gateway", "--config", bad.to_str().unwrap(), "--check-config"]);
            let (code, out, said) = ended(&output);
            (code, out.to_owned(), said.to_owned())
        };
        assert!(code == 2 && said.contains(problem) && !said.contains("secret"), "{line}: {said}");
    }
    // A flag whose value may be left out is true or has one.
    for line in ["reflection = true", "reflection = 'http://127.0.0.1:1'"] {
        let config = file("serving-sidecar.toml", line);
        let checked = run(&["sidecar", "--config", config.to_str().unwrap(), "--check-config"]);
        assert_eq!(ended(&checked).0, 0, "{line}: {:?}", ended(&checked));
    }
    let output = run(&["sidecar", "--config", "/nonexistent.toml"]);
    assert!(ended(&output).2.contains("--config: cannot read /nonexistent.toml"));
    // A flag comes before the file.
    let output = run(&["gateway", "--config", config, "--listen", "127.0.0.1:x", "--check-config"]);
    assert!(ended(&output).2.contains("'127.0.0.1:x'"));
    let gateway = Server::start(&["gateway", "--config", config, "--timeout=2", "--listen", "127.0.0.1:0"]);
    assert!(gateway.endpoint.starts_with("http://127.0.0.1:"));
}
