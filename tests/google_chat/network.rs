//! The client on networks as they are: with proxies, with and without HTTP/2.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::proxy::{Proxy, Tunnel};
use google_chat::{
    Client, ClientBuilder, CreateSpaceRequest, Credentials, Space, Wire,
    grpc_transcoding::{
        client::{Auto, Choice, Connector, Grpc, HttpJson, Origin},
        server::{BrowserGuardLayer, RequestBody, ServeOptions, serve},
    },
    layer::RetryPolicy,
    proto::{DESCRIPTOR_SET, google::chat::v1::chat_service_client::ChatServiceClient},
    protojson::DescriptorPool,
};
use google_chat_emulator::Emulator;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
    },
};
use tonic::{Code, body::Body};
use tower::ServiceExt;

/// A certificate for a host, and a server's side of it that speaks this.
fn certificate(host: &str, protocols: &[&str]) -> (Arc<ServerConfig>, String) {
    certificate_in(host, protocols, 1975, 4096)
}

/// The same, valid from the first day of one year to that of another.
fn certificate_in(host: &str, protocols: &[&str], from: i32, to: i32) -> (Arc<ServerConfig>, String) {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
    // A machine may trust a certificate of its own whose subject is localhost.
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("test of {host}"));
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let made = params.self_signed(&signing_key).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![made.der().clone()], key.into()).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Arc::new(config), made.pem())
}

fn builder(endpoint: &str) -> ClientBuilder {
    let policy = RetryPolicy::default().with_initial_backoff(Duration::from_millis(2));
    Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).retry(policy)
}

#[tokio::test]
async fn where_a_proxy_lets_only_http_1_through_calls_go_as_json() {
    let guard = BrowserGuardLayer::new([127, 0, 0, 1].into()).allow_host("chat.googleapis.com");
    let emulator = Emulator::builder().browser_guard(guard).start().await.unwrap();
    // Google's name, at a proxy that reads what goes there.
    let (config, root) = certificate("chat.googleapis.com", &["http/1.1"]);
    let proxy = Proxy::start(Tunnel::Opened(config.into(), emulator.address()), 0).await;
    let connector =
        Connector::builder().root_certificates(root.as_bytes()).proxy(format!("http://user:secret@{}", proxy.address));
    let builder = builder("https://chat.googleapis.com").connector(connector);

    let chat = builder.clone().build().unwrap();
    assert_eq!(chat.wire(), Wire::Auto);
    for name in ["a", "b"] {
        let made = chat.create_space(Space::named(name)).with_response().await.unwrap();
        assert_eq!((made.wire, chat.wire()), (Wire::HttpJson, Wire::HttpJson));
    }
    // The connection that decided served both calls.
    assert_eq!(proxy.asked(), [("chat.googleapis.com:443".to_owned(), "Basic dXNlcjpzZWNyZXQ=".to_owned())]);
    assert_eq!(emulator.spaces().len(), 2);

    let grpc = builder.clone().wire(Wire::Grpc).retry(RetryPolicy::never()).build().unwrap();
    let error = grpc.create_space(Space::named("c")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("chose http/1.1: try the HTTP/JSON wire"), "{error}");
    assert_eq!(emulator.spaces().len(), 2);

    // Without its certificate the proxy is not trusted, and no wire is chosen.
    let connector = Connector::builder().proxy(format!("http://{}", proxy.address));
    let wary = builder.connector(connector).retry(RetryPolicy::never()).build();
    // A machine without any certificates cannot even ask.
    if let Ok(wary) = wary {
        let error = wary.create_space(Space::named("d")).await.unwrap_err();
        assert!(error.message().contains("certificate"), "{error}");
        assert_eq!(wary.wire(), Wire::Auto);
    }
}

#[tokio::test]
async fn where_http_2_passes_calls_go_as_grpc() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let direct = builder(&emulator.endpoint()).connector(emulator.connector()).build().unwrap();
    let made = direct.create_space(Space::named("a")).with_response().await.unwrap();
    assert_eq!((made.wire, made.attempts), (Wire::Grpc, 1));

    // A proxy that fails at first decides nothing.
    let proxy = Proxy::start(Tunnel::Through, 2).await;
    let through = emulator.connector().proxy(format!("http://{}", proxy.address));
    let chat = builder(&emulator.endpoint()).connector(through).build().unwrap();
    let made = chat.create_space(Space::named("b")).with_response().await.unwrap();
    assert_eq!((made.wire, made.attempts, proxy.asked().len()), (Wire::Grpc, 3, 3));
    let stub = chat.stub().create_space(CreateSpaceRequest::from(Space::named("c"))).await;
    stub.unwrap();
    assert_eq!((emulator.spaces().len(), proxy.asked().len()), (3, 3));

    // The other wire passes there as well.
    let json = builder(&emulator.endpoint()).connector(emulator.connector()).wire(Wire::HttpJson).build().unwrap();
    json.create_space(Space::named("d")).await.unwrap();
}

#[tokio::test]
async fn without_tls_calls_to_loopback_go_as_grpc() {
    let emulator = Emulator::start().await.unwrap();
    let chat = builder(&emulator.endpoint()).build().unwrap();
    let made = chat.create_space(Space::named("a")).with_response().await.unwrap();
    assert_eq!(made.wire, Wire::Grpc);
}

#[tokio::test]
async fn tokens_come_through_the_same_proxy() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let proxy = Proxy::start(Tunnel::Through, 0).await;
    let through = emulator.connector().proxy(format!("http://{}", proxy.address));
    let alice = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
    let chat = builder(&emulator.endpoint()).connector(through).credentials(alice).build().unwrap();
    chat.create_space(Space::named("a")).await.unwrap();
    assert_eq!((emulator.token_requests(), proxy.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_page_in_place_of_grpc_names_the_other_wire_and_decides_nothing() {
    let (config, root) = certificate("localhost", &["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let page = tower::service_fn(|_: Request<RequestBody>| async {
        let page = Full::new(bytes::Bytes::from_static(b"<html>Blocked</html>"));
        Response::builder().status(403).header(CONTENT_TYPE, "text/html").body(Body::new(page))
    });
    tokio::spawn(serve(listener, page, ServeOptions::default().tls(config)));
    let connector = Connector::builder().root_certificates(root.as_bytes());
    let chat = builder(&endpoint).connector(connector).build().unwrap();
    for _ in 0..2 {
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.wire()), (Code::PermissionDenied, Wire::Grpc));
        assert!(error.message().contains("try the HTTP/JSON wire"), "{error}");
    }
}

#[tokio::test]
async fn a_tls_configuration_of_ones_own_decides_whom_to_trust() {
    let (config, root) = certificate("localhost", &["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let empty =
        tower::service_fn(|_: Request<RequestBody>| async { Response::builder().status(404).body(Body::empty()) });
    tokio::spawn(serve(listener, empty, ServeOptions::default().tls(config)));
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    for (trusted, code) in [(vec![root], Code::NotFound), (vec![], Code::Unavailable)] {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        let tls = ClientConfig::builder_with_provider(default_provider().into());
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut tls = tls.with_no_client_auth();
        // The connector offers what it speaks, whatever is said here.
        tls.alpn_protocols = vec![b"other".to_vec()];
        let connector = Connector::builder().tls_config(tls);
        let chat = builder(&endpoint).wire(Wire::HttpJson).connector(connector).build().unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(
            error.to_string().contains("by an issuer that is not trusted here"),
            code == Code::Unavailable,
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_dropped_call_frees_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let chat = builder(&endpoint).wire(Wire::HttpJson).build().unwrap();
    let call = tokio::spawn(async move { chat.create_space(Space::named("a")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = [0; 1024];
    assert_ne!(stream.read(&mut seen).await.unwrap(), 0);
    call.abort();
    // What is left of the request, then the end.
    while stream.read(&mut seen).await.unwrap_or_default() > 0 {}
}

#[tokio::test]
async fn the_choice_of_the_wire_has_the_calls_deadline() {
    // Takes connections, and says nothing of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let (_, root) = certificate("localhost", &["h2"]);
    let connector = Connector::builder().root_certificates(root.as_bytes());
    let origin = Origin::parse(&endpoint).unwrap();
    let schema = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let connector = connector.build(&origin).unwrap();
    let grpc = Grpc::over(connector.clone(), origin.clone());
    let http_json = HttpJson::builder(schema, endpoint).build_connecting(connector.clone()).unwrap();
    let mut stub = ChatServiceClient::new(Auto::by(Choice::auto(connector, &origin)).grpc(grpc).http_json(http_json));
    let mut call = tonic::Request::new(CreateSpaceRequest::from(Space::named("a")));
    call.set_timeout(Duration::from_millis(50));
    let error = stub.create_space(call).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::DeadlineExceeded, "no response within 50ms"));
}

#[test]
fn certificates_and_proxies_that_cannot_be_used_are_refused() {
    let connector = Connector::builder().proxy("not a url");
    let error = builder("http://127.0.0.1:1").connector(connector).build().unwrap_err();
    assert!(error.to_string().starts_with("the proxy is not a proxy that can be used"), "{error}");
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let connector = Connector::builder().root_certificates(broken);
    let error = builder("https://localhost").connector(connector).build().unwrap_err();
    assert!(error.to_string().starts_with("a root certificate cannot be used"), "{error}");
}

#[tokio::test]
async fn a_password_goes_to_a_proxy_by_tls_where_its_url_says_so() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let (config, root) = certificate("localhost", &[]);
    let proxy = Proxy::start_with_tls(config.into()).await;
    let url = format!("https://user:secret@localhost:{}", proxy.address.port());
    let through = emulator.connector().root_certificates(root.as_bytes()).proxy(&url);
    for (at, wire) in [Wire::Auto, Wire::Grpc, Wire::HttpJson].into_iter().enumerate() {
        let chat = builder(&emulator.endpoint()).connector(through.clone()).wire(wire).build().unwrap();
        let made = chat.create_space(Space::named(at.to_string())).with_response().await.unwrap();
        assert_eq!(made.attempts, 1, "{wire}");
    }
    assert_eq!(proxy.asked(), vec![(emulator.address().to_string(), "Basic dXNlcjpzZWNyZXQ=".to_owned()); 3]);

    // A proxy that speaks no TLS, or whose certificate is not trusted, gets no password.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://user:secret@localhost:{}", listener.local_addr().unwrap().port());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 16 * 1024];
        let len = stream.read(&mut heard).await.unwrap();
        heard.truncate(len);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        // Whoever comes again is not answered.
        drop(listener);
        heard
    });
    for (url, problem) in [(plain, "does not speak TLS"), (url, "is by an issuer that is not trusted here")] {
        let chat = builder(&emulator.endpoint()).connector(emulator.connector().proxy(url)).build().unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert!(error.is_misconfigured() && error.attempts() == 1, "{error}");
        assert!(
            error.message().contains("the proxy https://localhost:") && error.message().contains(problem),
            "{error}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let heard = heard.await.unwrap();
    assert!(heard.starts_with(&[22, 3]) && !heard.windows(7).any(|window| window == b"CONNECT"), "{heard:?}");
    assert_eq!(proxy.asked().len(), 3);
}

/// A SOCKS 5 proxy (RFC 1928, RFC 1929) that takes one user and password. What it was
/// asked for is kept.
async fn socks(stream: &mut TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await?;
    if greeting != [5, 1, 2] {
        asked.lock().unwrap().push(format!("{greeting:?}"));
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, 2]).await?;
    let mut login = [0; 14];
    stream.read_exact(&mut login[..]).await?;
    let taken = &login == b"\x01\x04user\x07s:cret!";
    stream.write_all(&[1, u8::from(!taken)]).await?;
    if !taken {
        asked.lock().unwrap().push("login".to_owned());
        return Ok(());
    }
    let mut request = [0; 5];
    stream.read_exact(&mut request).await?;
    assert_eq!(request[..4], [5, 1, 0, 3], "a name, which the proxy looks up");
    let mut rest = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut rest).await?;
    let (host, port) = rest.split_at(rest.len() - 2);
    let to = format!("{}:{}", String::from_utf8_lossy(host), u16::from_be_bytes([port[0], port[1]]));
    asked.lock().unwrap().push(to.clone());
    let mut server = TcpStream::connect(to).await?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    tokio::io::copy_bidirectional(stream, &mut server).await.map(drop)
}

#[tokio::test]
async fn a_socks_proxy_is_spoken_to_as_one() {
    let (config, root) = certificate("localhost", &["h2", "http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let emulator = Emulator::start().await.unwrap();
    let to = emulator.address();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(config);
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut opened = acceptor.accept(stream).await.unwrap();
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut opened, &mut server).await;
            });
        }
    });
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move { drop(socks(&mut stream, &seen).await) });
        }
    });
    let create = |user: &str| {
        let connector = Connector::builder().root_certificates(root.as_bytes());
        let connector = connector.proxy(format!("socks5://{user}{address}"));
        let chat = builder(&format!("https://localhost:{port}")).connector(connector).build().unwrap();
        async move { chat.create_space(Space::named("a")).await }
    };
    create("user:s%3Acret!@").await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [format!("localhost:{port}")]);
    assert_eq!(emulator.spaces().len(), 1);
    for (user, problem) in
        [("user:s%3Acres!@", "does not take the user and password"), ("", "wants a user and password")]
    {
        let error = create(user).await.unwrap_err();
        assert!(error.is_misconfigured() && error.attempts() == 1 && error.message().contains(problem), "{error}");
        assert!(!error.to_string().contains("cres"), "{error}");
    }
    assert_eq!(*asked.lock().unwrap(), [format!("localhost:{port}"), "login".to_owned(), "[5, 1, 0]".to_owned()]);
}

#[tokio::test]
async fn what_a_proxy_refuses_for_good_is_not_asked_for_again() {
    for (status, certain, problem) in [
        ("407 Proxy Authentication Required", true, "does not take the user and password (HTTP 407"),
        ("403 Forbidden", true, "refuses the connection to chat.googleapis.com:443 (HTTP 403 Forbidden)"),
        ("405 Method Not Allowed", true, "refuses the connection"),
        ("429 Too Many Requests", false, "it answered HTTP 429"),
        ("502 Bad Gateway", false, "it answered HTTP 502"),
        ("302 Found", false, "it answered HTTP 302"),
    ] {
        let proxy = Proxy::start(Tunnel::Refused(status), 0).await;
        let (_, root) = certificate("localhost", &[]);
        let connector = Connector::builder().root_certificates(root.as_bytes());
        let connector = connector.proxy(format!("http://user:secret@{}", proxy.address));
        let chat = builder("https://chat.googleapis.com").connector(connector).build().unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.is_misconfigured()), (Code::Unavailable, certain), "{error}");
        assert_eq!(proxy.asked().len(), if certain { 1 } else { 5 }, "{error}");
        assert!(error.message().contains(&format!("the proxy http://{}", proxy.address)), "{error}");
        assert!(error.message().contains(problem) && !error.to_string().contains("secret"), "{error}");
    }
}

/// A server that takes connections, and how many it took.
async fn counting(config: Option<Arc<ServerConfig>>) -> (u16, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::<Mutex<usize>>::default();
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *seen.lock().unwrap() += 1;
            let config = config.clone();
            tokio::spawn(async move {
                match config {
                    Some(config) => drop(TlsAcceptor::from(config).accept(stream).await),
                    // As a server does that gets no HTTP.
                    None => {
                        let mut hello = [0; 4096];
                        let _ = stream.read(&mut hello).await;
                        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                        while stream.read(&mut hello).await.unwrap_or_default() > 0 {}
                    }
                }
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn what_stays_so_until_somebody_mends_it_fails_at_once_and_says_what() {
    let both = &["h2", "http/1.1"][..];
    let (good, root) = certificate("localhost", both);
    for (name, config, roots, host, problem) in [
        ("expired", Some(certificate_in("localhost", both, 2000, 2001)), None, "localhost", "has expired"),
        ("not yet", Some(certificate_in("localhost", both, 4000, 4001)), None, "localhost", "is not valid yet"),
        (
            "same name",
            Some((good.clone(), root.clone())),
            Some(certificate("localhost", &[]).1),
            "localhost",
            "is by an issuer",
        ),
        ("unknown", Some((good.clone(), root.clone())), Some(certificate("a", &[]).1), "localhost", "is by an issuer"),
        ("name", Some((good.clone(), root.clone())), None, "127.0.0.1", "is for another name"),
        ("alpn", Some(certificate("localhost", &["smtp"])), None, "localhost", "neither HTTP/2 nor HTTP/1.1"),
        (
            "plain",
            None,
            Some(root.clone()),
            "localhost",
            "does not speak TLS; if that is intended, use http://localhost:",
        ),
    ] {
        let (config, own) = config.unzip();
        let roots = roots.or(own).unwrap();
        let (port, count) = counting(config).await;
        for (at, wire) in [Wire::Auto, Wire::Grpc, Wire::HttpJson].into_iter().enumerate() {
            let connector = Connector::builder().root_certificates(roots.as_bytes());
            let chat = builder(&format!("https://{host}:{port}")).connector(connector).wire(wire).build().unwrap();
            let error = chat.create_space(Space::named("a")).await.unwrap_err();
            assert_eq!((error.code(), error.is_misconfigured()), (Code::Unavailable, true), "{name} {wire}: {error}");
            assert_eq!((error.attempts(), *count.lock().unwrap()), (1, at + 1), "{name} {wire}: {error}");
            assert!(error.message().contains(problem) && error.message().contains("; "), "{name} {wire}: {error}");
            assert!(!error.to_string().contains("try again"), "{name} {wire}: {error}");
        }
    }
    // The same of the token endpoint.
    let emulator = Emulator::start().await.unwrap();
    let (port, count) = counting(None).await;
    let mut key: serde_json::Value = serde_json::from_str(&emulator.key_file()).unwrap();
    key["token_uri"] = format!("https://localhost:{port}/token").into();
    let key = Credentials::service_account_key(&key.to_string()).unwrap();
    let connector = Connector::builder().root_certificates(root.as_bytes());
    let chat = builder(&emulator.endpoint()).connector(connector).credentials(key.for_user("a@example.com").unwrap());
    let error = chat.build().unwrap().create_space(Space::named("a")).await.unwrap_err();
    assert!(
        error.is_misconfigured()
            && error.message().contains("no access token was given by the token endpoint https://localhost"),
        "{error}"
    );
    assert_eq!(*count.lock().unwrap(), 1, "{error}");
}

#[tokio::test]
async fn a_connector_connects_to_its_origin_and_nowhere_else() {
    let (port, _) = counting(None).await;
    let (other, asked) = counting(None).await;
    let origin = Origin::parse(&format!("http://localhost:{port}")).unwrap();
    let connector = google_chat::grpc_transcoding::client::connector(&origin).unwrap();
    for (url, own) in [
        (format!("http://localhost:{port}/a"), true),
        (format!("http://LOCALHOST:{port}"), true),
        (format!("http://localhost:{other}"), false),
        (format!("http://127.0.0.1:{port}"), false),
        (format!("https://localhost:{port}"), false),
    ] {
        let connected = connector.clone().oneshot(url.parse::<http::Uri>().unwrap()).await;
        assert_eq!(connected.is_ok(), own, "{url}");
    }
    assert_eq!(*asked.lock().unwrap(), 0);
}
