//! Where a server listens: at a port or, on Unix, at a socket in the file system.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

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
    Socket(tokio::net::UnixListener, SocketFile),
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
            Self::Socket(_, file) => format!("unix:{}", file.0.display()),
        }
    }
}

/// The file of a socket, which goes with the server.
#[cfg(unix)]
pub(super) struct SocketFile(PathBuf);

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens at a socket that only this user can connect to. One that a server which ended
/// without a word has left is replaced, but nothing else is.
#[cfg(unix)]
fn bind_socket(path: &std::path::Path) -> Result<Bound, Failure> {
    use std::os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    };
    let failed = |error| Failure::machine(format!("cannot listen at unix:{}", path.display())).because(error);
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && let Err(error) = UnixStream::connect(path)
        && error.kind() == std::io::ErrorKind::ConnectionRefused
    {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = tokio::net::UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Bound::Socket(listener, file))
}

#[cfg(test)]
mod tests {
    use super::*;

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
