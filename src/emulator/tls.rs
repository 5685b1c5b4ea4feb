//! A certificate of the emulator's own.

use std::{net::IpAddr, sync::Arc};

use tokio_rustls::rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivatePkcs8KeyDer};

use crate::transport::BoxError;

/// Makes a certificate for an address and `localhost`, and what a server needs to
/// use it. The text is the certificate as PEM.
pub(super) fn generate(address: IpAddr) -> Result<(Arc<ServerConfig>, String), BoxError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !address.is_loopback() && !address.is_unspecified() {
        names.push(address.to_string());
    }
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), made.cert.pem()))
}
