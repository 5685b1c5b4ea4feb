//! Google as a machine sees it: its hosts by their own names, over TLS, at a proxy that leads
//! to an emulator. A program is shown the way by its environment alone.

use std::{path::PathBuf, sync::Arc};

use google_chat::grpc_transcoding::server::BrowserGuardLayer;
use google_chat_emulator::Emulator;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivatePkcs8KeyDer};

use super::proxy::{Proxy, Tunnel};

/// The service account of the emulator.
pub(crate) const ACCOUNT: &str = "chat-app@emulator.iam.gserviceaccount.com";
/// How a workload identity pool's provider is named.
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github";
/// A JWT of a provider that nobody asks for a signature: `{"sub":"repo:acme/rooms"}`.
pub(crate) const SUBJECT_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyZXBvOmFjbWUvcm9vbXMifQ.c2lnbmF0dXJl";
/// What IAM calls its subject.
pub(crate) const PRINCIPAL: &str =
    "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject/repo:acme/rooms";

pub(crate) struct Cloud {
    pub(crate) emulator: Emulator,
    proxy: Proxy,
    folder: PathBuf,
}

impl Cloud {
    /// Google, in the domain of a universe, where TLS agrees on these protocols. Files of the
    /// test are kept in `folder`, which is made anew.
    pub(crate) async fn start(folder: PathBuf, universe: &str, protocols: &[&str]) -> Self {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let hosts = ["chat", "oauth2", "sts", "iamcredentials", "accounts"].map(|host| format!("{host}.{universe}"));
        let hosts: Vec<String> = hosts.into_iter().chain(["accounts.google.com".to_owned()]).collect();
        let guard = BrowserGuardLayer::new([127, 0, 0, 1].into());
        let guard = hosts.iter().fold(guard, |guard, host| guard.allow_host(host));
        let emulator = Emulator::builder().browser_guard(guard).start().await.unwrap();
        emulator.configure(|settings| settings.anonymous = false);
        let (config, certificate) = certificate(hosts, protocols);
        std::fs::write(folder.join("ca.pem"), certificate).unwrap();
        let proxy = Proxy::start(Tunnel::Opened(config.into(), emulator.address()), 0).await;
        Self { emulator, proxy, folder }
    }

    /// Writes a file of the test.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The whole environment of a program that is to reach Google there, and has no
    /// credentials yet.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let folder = self.folder.to_str().unwrap();
        [
            ("HOME", folder.to_owned()),
            ("HTTPS_PROXY", format!("http://{}", self.proxy.address)),
            ("SSL_CERT_FILE", format!("{folder}/ca.pem")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// A user's login, as gcloud writes it.
    pub(crate) fn login(&self, email: &str) -> Value {
        let mut login: Value = serde_json::from_str(&self.emulator.login_file(email).unwrap()).unwrap();
        login.as_object_mut().unwrap().remove("token_uri");
        login
    }
}

/// Where the emulator's service account is impersonated.
pub(crate) fn impersonation_url() -> String {
    format!("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken")
}

/// The file of a workload identity pool, with this source of subject tokens.
pub(crate) fn external_account(subject_token_type: &str, source: Value) -> Value {
    json!({
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": format!("urn:ietf:params:{subject_token_type}"),
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
        "service_account_impersonation_url": impersonation_url(),
    })
}

fn certificate(hosts: Vec<String>, protocols: &[&str]) -> (Arc<ServerConfig>, String) {
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(hosts).unwrap().self_signed(&signing_key).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![made.der().clone()], key.into()).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Arc::new(config), made.pem())
}

/// A server of another cloud on this machine: it answers the paths that it knows, to requests
/// that have the header. Its address is `http://127.0.0.1:…`.
pub(crate) async fn other_cloud(pages: &'static [(&str, &str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).await.is_err() {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                let page = pages.iter().find(|(line, header, _)| {
                    head.starts_with(&format!("{line} http/1.1").to_ascii_lowercase()) && head.contains(header)
                });
                let (status, body) = page.map_or(("404 Not Found", ""), |(_, _, body)| ("200 OK", *body));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    format!("http://{address}")
}
