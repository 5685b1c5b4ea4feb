//! What `--verbose` shows.

#[cfg(feature = "full")]
use std::io;

#[cfg(feature = "full")]
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::format::FmtSpan,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::failure::Failure;

/// Logs the library's spans, of calls and of attempts, to standard error: each when it
/// ends, and from the second level on also when it begins.
#[cfg(feature = "full")]
pub(crate) fn log(level: u8) -> Result<(), Failure> {
    if level == 0 {
        return Ok(());
    }
    let events = if level == 1 { FmtSpan::CLOSE } else { FmtSpan::NEW | FmtSpan::CLOSE };
    // Only the library's: other crates log headers, and so tokens.
    let ours = Targets::new()
        .with_target("google_chat", LevelFilter::TRACE)
        .with_target("grpc_transcoding", LevelFilter::TRACE);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_span_events(events);
    tracing_subscriber::registry().with(layer).with(ours).init();
    Ok(())
}

/// Refuses to log, for which this build has no code.
#[cfg(not(feature = "full"))]
pub(crate) fn log(level: u8) -> Result<(), Failure> {
    if level == 0 { Ok(()) } else { Err(Failure::left_out("--verbose")) }
}
