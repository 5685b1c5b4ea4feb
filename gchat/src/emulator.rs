//! `gchat emulator`.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

#[cfg(feature = "full")]
use base64::{Engine, engine::general_purpose::STANDARD};
use google_chat_emulator::{Emulator, EmulatorBuilder, Fault};
use serde_json::Value;

use crate::{browser::BrowserFlags, failure::Failure, output, signals::Signals};

pub(crate) const HELP: &str = "\
Examples:
  gchat emulator
  gchat emulator --data spaces.db --require-credentials \\
      --write-credentials key.json
  gchat spaces create --display-name \"Launch room\" --anonymous \\
      --endpoint http://127.0.0.1:8086";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8086")]
    listen: SocketAddr,
    /// Keep spaces, members and request ids in this file [default: in memory]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Sync every write to disk, so that it survives a loss of power (slower)
    #[arg(long, requires = "data")]
    durable: bool,
    /// Serve over TLS, and write the certificate for clients to trust; an existing
    /// file is replaced only if an emulator wrote it
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// How long calls may take to end after SIGTERM or Ctrl-C, in seconds; a second
    /// signal ends them at once
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    drain: u64,
    /// Write a service account key that works with this emulator, for clients in any
    /// language; its private key is published, for tests only
    #[arg(long, help_heading = "Credentials", value_name = "FILE")]
    write_credentials: Option<PathBuf>,
    /// Generate a new key instead of the published test key
    #[arg(long, help_heading = "Credentials", requires = "write_credentials")]
    fresh_key: bool,
    /// Refuse calls without credentials, as Google Chat does
    #[arg(long, help_heading = "Credentials")]
    require_credentials: bool,
    /// Accept `Bearer user:EMAIL` and `Bearer app` as tokens
    #[arg(long, help_heading = "Credentials")]
    shortcuts: bool,
    /// The scopes that domain-wide delegation allows the key [default: any]
    #[arg(long, help_heading = "Credentials", value_name = "SCOPE", value_delimiter = ',')]
    delegated_scopes: Option<Vec<String>>,
    /// The most spaces that may be written per minute [default: no limit]. Google Chat
    /// allows 60
    #[arg(long, help_heading = "Failures", value_name = "COUNT")]
    writes_per_minute: Option<u32>,
    /// Fraction of calls to fail, from 0 to 1
    #[arg(long, help_heading = "Failures", value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    fail_share: f64,
    /// Faults to inject, chosen at random: unavailable, quota[=SECONDS to retry after],
    /// html, reset-before, reset-after, truncated, expired-token, latency=MILLISECONDS
    #[arg(long, help_heading = "Failures", value_name = "FAULT", value_delimiter = ',', value_parser = fault,
          default_value = "reset-before,reset-after,unavailable")]
    fail_with: Vec<Fault>,
    /// Seed for random faults: the same seed makes the same calls fail
    #[arg(long, help_heading = "Failures", value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    browser: BrowserFlags,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    // Before anything is begun that a signal is to end well.
    let mut signals = Signals::new()?;
    let guard = args.browser.guard(args.listen.ip());
    let builder = Emulator::builder().address(args.listen).browser_guard(guard);
    let emulator = furnish(builder, &args)?
        .start()
        .await
        .map_err(|error| Failure::machine(format!("the emulator at {} cannot start", args.listen)).because(error))?;
    #[cfg(feature = "full")]
    if let (Some(file), Some(certificate)) = (&args.tls_certificate, emulator.certificate()) {
        write_own("--tls-certificate", file, certificate, 0o644, is_certificate)?;
    }
    emulator.configure(|settings| {
        settings.anonymous = !args.require_credentials;
        settings.shortcuts = args.shortcuts;
        settings.delegated_scopes = args.delegated_scopes;
        settings.writes_per_minute = args.writes_per_minute;
    });
    emulator.fail_share(args.fail_share, args.seed, &args.fail_with);
    if let Some(file) = &args.write_credentials {
        write_own("--write-credentials", file, &emulator.key_file(), 0o600, is_key)?;
    }
    output::write(format!("listening at {}\n", emulator.endpoint()).as_bytes())?;
    if io::stdout().is_terminal() && args.tls_certificate.is_none() && !args.require_credentials {
        let create = "gchat spaces create --display-name 'Launch room' --anonymous --endpoint";
        output::note(&format!("In another terminal, try: {create} {}", emulator.endpoint()));
    }
    signals.next().await;
    tokio::select! {
        () = emulator.stop(Duration::from_secs(args.drain)) => {}
        _ = signals.next() => {}
    }
    Ok(())
}

/// Gives the emulator its file, its key and its certificate.
#[cfg(feature = "full")]
fn furnish(mut builder: EmulatorBuilder, args: &Args) -> Result<EmulatorBuilder, Failure> {
    if let Some(file) = &args.data {
        builder = builder.data(file, args.durable);
    }
    if args.fresh_key {
        builder = builder.key(fresh_key()?);
    }
    if args.tls_certificate.is_some() {
        builder = builder.tls();
    }
    Ok(builder)
}

/// Refuses what this build of the emulator cannot do.
#[cfg(not(feature = "full"))]
fn furnish(builder: EmulatorBuilder, args: &Args) -> Result<EmulatorBuilder, Failure> {
    for (flag, is_given) in [
        ("--data", args.data.is_some()),
        ("--fresh-key", args.fresh_key),
        ("--tls-certificate", args.tls_certificate.is_some()),
    ] {
        if is_given {
            return Err(Failure::left_out(flag));
        }
    }
    Ok(builder)
}

/// Writes a file that only this user may change, in place of one that an emulator wrote
/// before, but of nothing else: a key of Google's is given out only once.
fn write_own(flag: &str, file: &Path, text: &str, mode: u32, is_own: fn(&str) -> bool) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::machine(format!("cannot write {}", file.display())).because(error);
    match fs::symlink_metadata(file) {
        Ok(found) if found.is_file() && fs::read_to_string(file).is_ok_and(|text| is_own(&text)) => {
            fs::remove_file(file).map_err(failed)?;
        }
        Ok(_) => {
            let problem = "is not a file that an emulator wrote; name one that does not exist";
            return Err(Failure::usage(format!("{flag}: {} {problem}", file.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut options = fs::OpenOptions::new();
    // Nothing that came there meanwhile is followed or written over.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(file).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

/// Whether a text is the key of an emulator's.
fn is_key(text: &str) -> bool {
    let key: Value = serde_json::from_str(text).unwrap_or_default();
    let id = key["private_key_id"].as_str().unwrap_or_default();
    id == "published-test-key" || id.starts_with("fresh-test-key-")
}

/// Whether a text is a certificate of an emulator's, and nothing else.
#[cfg(feature = "full")]
fn is_certificate(text: &str) -> bool {
    let body = text.trim().strip_prefix("-----BEGIN CERTIFICATE-----");
    let body = body.and_then(|rest| rest.strip_suffix("-----END CERTIFICATE-----")).unwrap_or_default();
    let body: String = body.split_whitespace().collect();
    let subject = Emulator::CERTIFICATE_SUBJECT.as_bytes();
    STANDARD.decode(body).is_ok_and(|der| der.windows(subject.len()).any(|part| part == subject))
}

/// A private key for tests: RSA of 2048 bits, as PEM of PKCS #8.
#[cfg(feature = "full")]
fn fresh_key() -> Result<String, Failure> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).map_err(Failure::machine)?;
    let pem = rsa::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, rsa::pkcs8::LineEnding::LF).map_err(Failure::machine)?;
    Ok(pem.to_string())
}

fn fault(text: &str) -> Result<Fault, String> {
    let (name, number) = text.split_once('=').map_or((text, None), |(name, number)| (name, Some(number)));
    let number = number.map(str::parse).transpose().map_err(|_| format!("{name} takes a whole number"))?;
    Ok(match (name, number) {
        ("unavailable", None) => Fault::Unavailable,
        ("quota", retry_after) => Fault::QuotaExceeded { retry_after },
        ("html", None) => Fault::Html,
        ("reset-before", None) => Fault::ResetBefore,
        ("reset-after", None) => Fault::ResetAfter,
        ("truncated", None) => Fault::Truncated,
        ("expired-token", None) => Fault::ExpiredToken,
        ("latency", Some(millis)) => Fault::Latency(Duration::from_millis(millis)),
        _ => return Err("no such fault".to_owned()),
    })
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not from 0 to 1".to_owned()) }
}
