//! TLS towards the clients of a server, and towards the server behind it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use google_chat::grpc_transcoding::{
    client::ConnectorBuilder,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
};

use crate::{failure::Failure, output};

/// How often the files of the certificate are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ServerTls {
    /// Serve over TLS, with the certificate and its chain in this file (PEM); it and the
    /// key are read again when they change
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Serve only clients that show a certificate by an authority in this file (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct BackendTls {
    /// Trust the authorities in this file (PEM) for the server behind, beside the system's
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
    /// Show the server behind the certificate in this file (PEM)
    #[arg(long, value_name = "FILE", requires = "backend_key")]
    backend_certificate: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "backend_certificate")]
    backend_key: Option<PathBuf>,
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::usage(format!("{flag}: cannot read {}", file.display())).because(error))
}

/// The parser's own errors may show what it was given, which may be a key.
fn no_pem(flag: &str, file: &Path, what: &str) -> Failure {
    Failure::usage(format!("{flag}: {} holds no {what} in PEM", file.display()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl ServerTls {
    /// How connections are served over TLS; `None` if they are not.
    ///
    /// # Errors
    ///
    /// If a file cannot be used.
    pub(super) fn config(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else { return Ok(None) };
        let certificates = Reloading::new(certificate.clone(), key.clone())?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(Failure::machine)?;
        let builder = match &self.tls_client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for root in CertificateDer::pem_slice_iter(&read("--tls-client-ca", file)?) {
                    let root = root.map_err(|_| no_pem("--tls-client-ca", file, "certificate"))?;
                    roots.add(root).map_err(|error| Failure::usage("--tls-client-ca").because(error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|_| no_pem("--tls-client-ca", file, "certificate"))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }
}

impl BackendTls {
    /// Adds what is set to how connections are made.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub(super) fn apply(&self, mut builder: ConnectorBuilder) -> Result<ConnectorBuilder, Failure> {
        if let Some(file) = &self.backend_ca {
            builder = builder.root_certificates(&read("--backend-ca", file)?);
        }
        if let (Some(certificate), Some(key)) = (&self.backend_certificate, &self.backend_key) {
            builder =
                builder.client_certificate(&read("--backend-certificate", certificate)?, &read("--backend-key", key)?);
        }
        Ok(builder)
    }
}

/// A certificate that is read again when its files have changed, as they do when somebody
/// renews it. One that cannot be used then is not taken, and the one before stays.
struct Reloading {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    /// When the files were changed that this is of.
    changed: [Option<SystemTime>; 2],
    looked: Instant,
    /// What was last said of files that cannot be used.
    problem: Option<String>,
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Reloading {
    fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, Failure> {
        let changed = changed(&certificate, &key);
        let loaded = Arc::new(load(&certificate, &key)?);
        let current = Current { key: loaded, changed, looked: Instant::now(), problem: None };
        Ok(Self { certificate, key, current: Mutex::new(current) })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let changed = changed(&self.certificate, &self.key);
            if changed != current.changed {
                // What fails is tried again at each look: that a file could not be read may have
                // nothing to do with a change of it.
                match load(&self.certificate, &self.key) {
                    Ok(key) => (current.key, current.changed, current.problem) = (Arc::new(key), changed, None),
                    Err(failure) => {
                        let problem = failure.text();
                        if current.problem.as_ref() != Some(&problem) {
                            output::say(&format!("warning: the certificate stays as it was: {problem}"));
                            current.problem = Some(problem);
                        }
                    }
                }
            }
        }
        Arc::clone(&current.key)
    }
}

impl ResolvesServerCert for Reloading {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn changed(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|file| fs::metadata(file).and_then(|file| file.modified()).ok())
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, Failure> {
    let chain = read("--tls-certificate", certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| no_pem("--tls-certificate", certificate, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&read("--tls-key", key)?);
    let private = private.map_err(|_| no_pem("--tls-key", key, "private key"))?;
    let unfit = |error| {
        let problem =
            format!("the key in {} is not that of the certificate in {}", key.display(), certificate.display());
        Failure::usage(problem).because(error)
    };
    CertifiedKey::from_der(chain, private, &provider()).map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_that_could_not_be_read_is_read_later() {
        let folder = std::env::temp_dir();
        let [certificate, key] =
            ["crt", "key"].map(|end| folder.join(format!("gchat-tls-{}.{end}", std::process::id())));
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (first, second) = (pair(), pair());
        fs::write(&certificate, first.cert.pem()).unwrap();
        fs::write(&key, first.signing_key.serialize_pem()).unwrap();
        let reloading = Reloading::new(certificate.clone(), key.clone()).unwrap();
        let shown = || {
            reloading.current.lock().unwrap().looked -= LOOK;
            reloading.current().cert[0].to_vec()
        };
        let later = SystemTime::now() + Duration::from_secs(60);
        let write = |file: &Path, text: &str| {
            fs::write(file, text).unwrap();
            fs::File::options().append(true).open(file).unwrap().set_modified(later).unwrap();
        };
        write(&certificate, &second.cert.pem());
        write(&key, "no key");
        assert_eq!(shown(), first.cert.der().to_vec());
        assert!(reloading.current.lock().unwrap().problem.is_some());
        // The times are those that were seen before.
        write(&key, &second.signing_key.serialize_pem());
        assert_eq!(shown(), second.cert.der().to_vec());
        assert!(reloading.current.lock().unwrap().problem.is_none());
        for file in [certificate, key] {
            fs::remove_file(file).unwrap();
        }
    }
}
