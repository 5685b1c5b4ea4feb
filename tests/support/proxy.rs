//! A proxy for tunnels.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What a proxy does with a tunnel that it is asked for.
#[derive(Clone)]
pub(crate) enum Tunnel {
    /// Answers with this status.
    Refused(&'static str),
    /// Connects to where it says.
    Through,
    /// Ends TLS itself, and passes on what is in it.
    Opened(TlsAcceptor, SocketAddr),
}

/// A proxy that makes tunnels, as CONNECT asks for them.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// The target and the credentials of each tunnel.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Proxy {
    /// Starts a proxy that refuses as many tunnels as `refused` first.
    pub(crate) async fn start(tunnel: Tunnel, refused: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, tunnel.clone(), Arc::clone(&seen), refused));
            }
        });
        Self { address, asked }
    }

    /// Starts a proxy that is spoken to over TLS.
    pub(crate) async fn start_with_tls(tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        Self::serve(stream, Tunnel::Through, seen, 0).await;
                    }
                });
            }
        });
        Self { address, asked }
    }

    async fn serve(
        stream: impl AsyncRead + AsyncWrite + Unpin,
        tunnel: Tunnel,
        asked: Arc<Mutex<Vec<(String, String)>>>,
        refused: usize,
    ) {
        let mut stream = BufReader::new(stream);
        let (mut target, mut credentials, mut line) = (String::new(), String::new(), String::new());
        while stream.read_line(&mut line).await.unwrap() > 2 {
            if let Some(rest) = line.strip_prefix("CONNECT ") {
                target = rest.split(' ').next().unwrap().to_owned();
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("proxy-authorization")
            {
                credentials = value.trim().to_owned();
            }
            line.clear();
        }
        let mut stream = stream.into_inner();
        let count = {
            let mut asked = asked.lock().unwrap();
            asked.push((target.clone(), credentials));
            asked.len()
        };
        if count <= refused {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap();
            return;
        }
        if let Tunnel::Refused(status) = tunnel {
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            return;
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        // Either side may end it as it likes.
        match tunnel {
            Tunnel::Refused(_) => {}
            Tunnel::Through => {
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            }
            Tunnel::Opened(acceptor, to) => {
                let Ok(mut opened) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut opened, &mut server).await;
            }
        }
    }

    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}
