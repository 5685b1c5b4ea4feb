//! HTTP/2 frame by frame (RFC 9113), so that an attack can send what no proper client does.

use std::{io, net::SocketAddr};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, tcp::OwnedWriteHalf},
    task::JoinHandle,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// Ends the stream.
pub(crate) const END_STREAM: u8 = 1;
/// The headers are whole.
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The HEADERS frame of a request.
pub(crate) fn request(stream: u32, flags: u8, method: &str, address: SocketAddr, path: &str) -> Vec<u8> {
    let authority = address.to_string();
    let mut fields = vec![(":method", method), (":scheme", "http"), (":authority", &authority), (":path", path)];
    if method == "POST" {
        fields.push(("content-type", "application/json"));
    }
    frame(HEADERS, flags | END_HEADERS, stream, &block(&fields))
}

/// Fields as literals without an index (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of seven bits (RFC 7541, section 5.1).
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128) as u8 | 128);
                    length /= 128;
                }
                block.push(length as u8);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A client's connection that writes frames and passes over what comes.
pub(crate) struct Connection {
    write: OwnedWriteHalf,
    read: JoinHandle<()>,
}

impl Connection {
    /// Connects, and sends the preface with empty settings.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let read = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        });
        write.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        Ok(Self { write, read })
    }

    pub(crate) async fn send(&mut self, frames: impl AsRef<[u8]>) -> io::Result<()> {
        self.write.write_all(frames.as_ref()).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.read.abort();
    }
}
