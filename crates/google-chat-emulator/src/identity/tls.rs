use std::{net::IpAddr, sync::Arc};

use google_chat::grpc_transcoding::rpc::BoxError;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio_rustls::rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivatePkcs8KeyDer};

/// The common name of an emulator's certificate.
pub(crate) const SUBJECT: &str = "Google Chat emulator of google-chat";

/// Makes a certificate for an address and `localhost`, and what a server needs to use it.
/// The text is the certificate as PEM.
pub(crate) fn certificate(address: IpAddr) -> Result<(Arc<ServerConfig>, String), BoxError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !address.is_loopback() && !address.is_unspecified() {
        names.push(address.to_string());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), certificate.pem()))
}
