//! Programs that print a token.

use std::{
    io,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use super::http::LIMIT;

/// What a program prints, which must end within the time limit.
pub(super) async fn printed(command: &mut Command, time_limit: Duration) -> io::Result<Vec<u8>> {
    // What it says of errors may hold its secrets.
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(command.spawn()?);
    let stdout = child.0.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
    // When its output is closed, it ends now or never.
    read(stdout, time_limit).await
}

/// A program that is ended when nobody waits for it any more.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Neither can fail but for a program that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a pipe to its end, which a program that this one has started can keep open for ever,
/// so that no thread may wait for it.
#[cfg(unix)]
async fn read(stdout: ChildStdout, time_limit: Duration) -> io::Result<Vec<u8>> {
    use tokio::{io::AsyncReadExt, net::unix::pipe};
    let mut printed = Vec::new();
    let stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
    let mut stdout = stdout.take(LIMIT as u64);
    let read = tokio::time::timeout(time_limit, stdout.read_to_end(&mut printed)).await;
    read.map_err(|_| super::late(time_limit))??;
    Ok(printed)
}

#[cfg(not(unix))]
async fn read(stdout: ChildStdout, time_limit: Duration) -> io::Result<Vec<u8>> {
    use std::io::Read;
    super::aside(time_limit, move || {
        let mut printed = Vec::new();
        stdout.take(LIMIT as u64).read_to_end(&mut printed).map(|_| printed)
    })
    .await
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    /// What the shell has started keeps its output open when the shell is ended.
    #[test]
    fn a_program_that_hangs_by_another_holds_up_nobody() {
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut command = Command::new("/bin/sh");
        let limit = Duration::from_millis(100);
        let error = runtime.block_on(printed(command.args(["-c", "sleep 60 | cat"]), limit)).unwrap_err();
        assert_eq!(error.to_string(), "it has not ended within 100ms");
        // A runtime that ends waits for what its threads do.
        drop(runtime);
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
}
