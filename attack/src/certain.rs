//! Failures of connecting that will not mend by themselves: the client ends at once and names
//! the cause.

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

use crate::{
    Attack, Result, Row,
    backend::Backend,
    program::{Run, Stage, run},
};

/// How long a command may take.
const AT_ONCE: Duration = Duration::from_secs(5);
/// When a command that goes on is killed.
const KILLED: Duration = Duration::from_secs(8);
/// How many connections a command may make.
const CONNECTIONS: usize = 2;

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "client/unknown-certificate", run: |stage| Box::pin(tls(stage, Fault::Unknown)) },
        Attack { name: "client/wrong-name", run: |stage| Box::pin(tls(stage, Fault::Name)) },
        Attack { name: "client/expired", run: |stage| Box::pin(tls(stage, Fault::Expired)) },
        Attack { name: "client/no-http2", run: |stage| Box::pin(tls(stage, Fault::Protocol)) },
        Attack { name: "client/plain-port", run: |stage| Box::pin(plain(stage)) },
        Attack { name: "client/proxy-407", run: |stage| Box::pin(proxy(stage)) },
    ]
}

/// What is wrong with a server's TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Unknown,
    Name,
    Expired,
    Protocol,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "a certificate of an unknown issuer",
            Self::Name => "a certificate for another name",
            Self::Expired => "an expired certificate",
            Self::Protocol => "a server of gRPC that agrees on HTTP/1.1 only (ALPN)",
        }
    }

    /// One of these is in the message.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Unknown => &["issuer", "unknown", "not trusted", "self-signed"],
            Self::Name => &["name"],
            Self::Expired => &["expired"],
            Self::Protocol => &["HTTP/2", "ALPN", "h2"],
        }
    }
}

/// The certificate of an authority (PEM), and what a server with one of its certificates needs.
fn certificates(fault: Fault) -> Result<(String, Arc<ServerConfig>)> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Attack authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trusted = authority.self_signed(&authority_key)?.pem();
    let key = KeyPair::generate()?;
    let name = if fault == Fault::Name { "other.example" } else { "127.0.0.1" };
    let mut server = CertificateParams::new(vec![name.to_owned()])?;
    if fault == Fault::Expired {
        (server.not_before, server.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }
    let certificate = match fault {
        Fault::Unknown => server.self_signed(&key)?,
        _ => server.signed_by(&key, &Issuer::new(authority, authority_key))?,
    };
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if fault != Fault::Protocol {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok((trusted, Arc::new(config)))
}

async fn tls(stage: &Stage, fault: Fault) -> Result<Row> {
    let (trusted, config) = certificates(fault)?;
    let authority = stage.fresh("authority.pem");
    fs::write(&authority, trusted)?;
    let acceptor = TlsAcceptor::from(config);
    let server = Backend::serve(move |stream, _, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    })?;
    let wires: &[&str] = if fault == Fault::Protocol { &["grpc"] } else { &["grpc", "http"] };
    let endpoint = format!("https://{}", server.address);
    judge(stage, fault.name(), fault.words(), &server, &endpoint, wires, &[("SSL_CERT_FILE", &path(&authority))]).await
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

async fn plain(stage: &Stage) -> Result<Row> {
    let server = Backend::serve(|mut stream, _, _| async move {
        let _ = stream.read(&mut [0; 1_024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    })?;
    let endpoint = format!("https://{}", server.address);
    let words = &["TLS", "https", "http://"];
    judge(stage, "https:// to a port without TLS", words, &server, &endpoint, &["grpc", "http"], &[]).await
}

async fn proxy(stage: &Stage) -> Result<Row> {
    let server = Backend::serve(|mut stream: TcpStream, _, _| async move {
        let _ = stream.read(&mut [0; 1_024]).await;
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"attack\"\r\n\
            Content-Length: 0\r\n\r\n";
        let _ = stream.write_all(refusal).await;
    })?;
    let proxy = format!("http://{}", server.address);
    let endpoint = "https://chat.googleapis.com";
    judge(stage, "a proxy that answers 407", &["407"], &server, endpoint, &["grpc", "http"], &[("HTTPS_PROXY", &proxy)])
        .await
}

/// Has a space created over each wire, and many from a file; each ends at once.
async fn judge(
    stage: &Stage,
    what: &str,
    words: &[&str],
    server: &Backend,
    endpoint: &str,
    wires: &[&str],
    environment: &[(&str, &str)],
) -> Result<Row> {
    let rows = stage.fresh("rows.ndjson");
    fs::write(
        &rows,
        "{\"displayName\":\"a\",\"spaceType\":\"SPACE\"}\n{\"displayName\":\"b\",\"spaceType\":\"SPACE\"}\n",
    )?;
    let rows = path(&rows);
    let (mut outcomes, mut held) = (Vec::new(), true);
    let singles = wires.iter().map(|wire| (*wire, false));
    for (wire, bulk) in singles.chain([(wires[0], true)]) {
        let _ = fs::remove_file(format!("{rows}.journal"));
        let mut arguments = vec!["spaces", "create", "--anonymous", "--endpoint", endpoint, "--wire", wire];
        arguments.extend(if bulk { ["--from", &rows] } else { ["--display-name", "x"] });
        let mut command = stage.command(&arguments);
        command.envs(environment.iter().copied());
        let before = server.seen.connections.load(Relaxed);
        let run = run(command, Stdio::null(), KILLED).await?;
        let connections = server.seen.connections.load(Relaxed) - before;
        let well = is_well(&run, words) && connections <= CONNECTIONS;
        held &= well && connections > 0;
        let name = if bulk { format!("{wire} --from") } else { wire.to_owned() };
        outcomes.push(format!("{name}: {}", described(&run, words, connections)));
    }
    Ok(Row {
        attack: what.to_owned(),
        limit: format!(
            "each command ends within {AT_ONCE:?} with an error that names the cause, after {CONNECTIONS} connections at most"
        ),
        outcome: outcomes.join("; "),
        held,
    })
}

fn is_well(run: &Run, words: &[&str]) -> bool {
    !run.killed && run.took < AT_ONCE && !run.output.status.success() && names_one(run, words)
}

fn names_one(run: &Run, words: &[&str]) -> bool {
    let errors = run.errors().to_lowercase();
    words.iter().any(|word| errors.contains(&word.to_lowercase()))
}

fn described(run: &Run, words: &[&str], connections: usize) -> String {
    let ended =
        if run.killed { "went on until it was killed".to_owned() } else { format!("ended with {}", run.output.status) };
    let cause = if names_one(run, words) { "the cause named" } else { "the cause not named" };
    format!("{ended} after {:.1} s, {connections} connections, {cause}", run.took.as_secs_f64())
}
