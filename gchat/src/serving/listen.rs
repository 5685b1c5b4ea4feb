//! Where a server listens: at a port or, on Unix, at a socket in the file system.

#[cfg(unix)]
use std::{io, path::Path};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

#[cfg(unix)]
use google_chat::grpc_transcoding::server::Listener;
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Port(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "sockets are Unix's"))]
    Socket(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("a path is missing behind unix:".to_owned()),
            #[cfg(unix)]
            Some(path) => Ok(Self::Socket(path.into())),
            #[cfg(not(unix))]
            Some(_) => Err("there are no Unix sockets on this system; give an address with a port".to_owned()),
            None => text.parse().map(Self::Port).map_err(|_| {
                "neither an address with a port, such as 127.0.0.1:50051, nor unix: and a path".to_owned()
            }),
        }
    }
}

impl Address {
    /// Whether only this machine can connect.
    pub(crate) fn is_local(&self) -> bool {
        self.ip().to_canonical().is_loopback()
    }

    /// The address as that of a network; a socket is this machine's own.
    pub(crate) fn ip(&self) -> IpAddr {
        match self {
            Self::Port(address) => address.ip(),
            Self::Socket(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// # Errors
    ///
    /// If the address is taken, or is not this machine's.
    pub(super) async fn bind(&self) -> Result<Bound, Failure> {
        match self {
            Self::Port(address) => TcpListener::bind(address)
                .await
                .map(Bound::Port)
                .map_err(|error| Failure::machine(format!("cannot listen at {address}")).because(error)),
            #[cfg(unix)]
            Self::Socket(path) => bind_socket(path),
            #[cfg(not(unix))]
            Self::Socket(path) => Err(Failure::usage(format!("{}: no Unix sockets here", path.display()))),
        }
    }
}

/// What is listened at.
pub(super) enum Bound {
    Port(TcpListener),
    #[cfg(unix)]
    Socket(Socket),
}

impl Bound {
    /// The address as a client of it has it.
    pub(super) fn shown(&self, tls: bool) -> String {
        match self {
            Self::Port(listener) => {
                let scheme = if tls { "https" } else { "http" };
                listener.local_addr().map_or_else(|_| scheme.to_owned(), |address| format!("{scheme}://{address}"))
            }
            #[cfg(unix)]
            Self::Socket(socket) => format!("unix:{}", socket.file.path.display()),
        }
    }
}

/// A socket whose file goes when it is closed, which is before the last calls have ended.
#[cfg(unix)]
pub(super) struct Socket {
    /// Dropped first: as long as the socket is open, no other file has its number.
    file: SocketFile,
    listener: tokio::net::UnixListener,
}

#[cfg(unix)]
impl Listener for Socket {
    type Stream = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        Listener::accept(&mut self.listener).await
    }
}

#[cfg(unix)]
struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file; `None` if they were not to be had.
    id: Option<(u64, u64)>,
}

#[cfg(unix)]
impl SocketFile {
    fn id(path: &Path) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it, and another server may listen there now.
        if self.id.is_some() && Self::id(&self.path) == self.id {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Listens at a socket that only this user can connect to. One that a server which ended
/// without a word has left is replaced, but nothing else is.
#[cfg(unix)]
fn bind_socket(path: &Path) -> Result<Bound, Failure> {
    use std::os::unix::{fs::FileTypeExt, net::UnixStream};

    use rustix::{fs::Mode, process::umask};
    let failed = |error| Failure::machine(format!("cannot listen at unix:{}", path.display())).because(error);
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && let Err(error) = UnixStream::connect(path)
        && error.kind() == std::io::ErrorKind::ConnectionRefused
    {
        std::fs::remove_file(path).map_err(failed)?;
    }
    // To change the mode afterwards would be too late: others could have connected by then.
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = tokio::net::UnixListener::bind(path);
    umask(before);
    let listener = listener.map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), id: SocketFile::id(path) };
    Ok(Bound::Socket(Socket { file, listener }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn a_socket_that_is_closed_leaves_another_servers_alone() {
        let path = std::env::temp_dir().join(format!("gchat-listen-{}.sock", std::process::id()));
        let first = bind_socket(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = bind_socket(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn an_address_is_a_port_or_a_socket() {
        for (text, local) in [
            ("127.0.0.1:0", Ok(true)),
            ("[::1]:50051", Ok(true)),
            ("[::ffff:127.0.0.1]:1", Ok(true)),
            ("0.0.0.0:1", Ok(false)),
            ("10.0.0.1:1", Ok(false)),
            ("unix:/run/a.sock", Ok(cfg!(unix))),
            ("unix:", Err(())),
            ("localhost:1", Err(())),
            ("/run/a.sock", Err(())),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.is_local()).map_err(drop), local, "{text}");
        }
    }
}
