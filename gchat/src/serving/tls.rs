//! TLS towards the clients of a server, and towards the server behind it.

use std::{
    fs,
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
        server::WebPkiClientVerifier,
    },
};

use crate::{failure::Failure, output};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ServerTls {
    /// Serve over TLS, with the certificate and its chain in this file (PEM); it, the key
    /// and the authorities are read again when they change
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
    pub(super) fn reloading(&self) -> Result<Option<Arc<Reloading>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else { return Ok(None) };
        let files = Files { certificate: certificate.clone(), key: key.clone(), client_ca: self.tls_client_ca.clone() };
        Reloading::new(files).map(|reloading| Some(Arc::new(reloading)))
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

/// The files that a server's TLS is made of.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// A server's TLS, which is made anew when one of its files has changed, as they do when
/// somebody renews a certificate. If they cannot be used then, it stays as it was.
///
/// A new configuration has no sessions of the one before: whoever showed a certificate by an
/// authority that is not trusted any more cannot go on with one.
pub(super) struct Reloading {
    files: Files,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// When the files were changed that this is of.
    changed: [Option<SystemTime>; 3],
    looked: Instant,
    /// What was last said of files that cannot be used.
    problem: Option<String>,
}

impl Reloading {
    fn new(files: Files) -> Result<Self, Failure> {
        let changed = files.changed();
        let config = Arc::new(files.load()?);
        let current = Current { config, changed, looked: Instant::now(), problem: None };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// The configuration for a connection that begins now.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let changed = self.files.changed();
            if changed != current.changed {
                // What fails is tried again at each look: that a file could not be read may have
                // nothing to do with a change of it.
                match self.files.load() {
                    Ok(config) => {
                        (current.config, current.changed, current.problem) = (Arc::new(config), changed, None);
                    }
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
        Arc::clone(&current.config)
    }
}

impl Files {
    fn changed(&self) -> [Option<SystemTime>; 3] {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()]
            .map(|file| file.and_then(|file| fs::metadata(file).and_then(|file| file.modified()).ok()))
    }

    fn load(&self) -> Result<ServerConfig, Failure> {
        let Self { certificate, key, client_ca } = self;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(Failure::machine)?;
        let builder = match client_ca {
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
        let mut config = builder.with_single_cert(chain, private).map_err(unfit)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
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
        let files = Files { certificate: certificate.clone(), key: key.clone(), client_ca: None };
        let reloading = Reloading::new(files).unwrap();
        let taken = || {
            reloading.current.lock().unwrap().looked -= LOOK;
            reloading.current()
        };
        let before = taken();
        let later = SystemTime::now() + Duration::from_secs(60);
        let write = |file: &Path, text: &str| {
            fs::write(file, text).unwrap();
            fs::File::options().append(true).open(file).unwrap().set_modified(later).unwrap();
        };
        write(&certificate, &second.cert.pem());
        write(&key, "no key");
        assert!(Arc::ptr_eq(&taken(), &before));
        assert!(reloading.current.lock().unwrap().problem.is_some());
        // The times are those that were seen before.
        write(&key, &second.signing_key.serialize_pem());
        assert!(!Arc::ptr_eq(&taken(), &before));
        assert!(reloading.current.lock().unwrap().problem.is_none());
        for file in [certificate, key] {
            fs::remove_file(file).unwrap();
        }
    }
}
