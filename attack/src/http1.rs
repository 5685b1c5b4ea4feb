//! HTTP/1.1 byte by byte, so that an attack can send what no proper client does.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A client's connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head after the first, in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref()).await
    }

    /// Reads the head of an answer: the status and the lines after it.
    pub(crate) async fn head(&mut self) -> io::Result<(u16, Vec<String>)> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let status = lines.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
        lines.remove(0);
        Ok((status, lines))
    }

    /// Reads an answer.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head().await?;
        let mut answer = Answer { status, headers, body: Vec::new() };
        if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body).await?;
        } else if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer.body).await?;
        } else if ![204, 304].contains(&status) {
            self.0.read_to_end(&mut answer.body).await?;
        }
        Ok(answer)
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + length, 0);
            self.0.read_exact(&mut body[start..]).await?;
            self.0.read_line(&mut String::new()).await?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// Waits until the server closes the connection, whatever it sends before; for a time
    /// at most. Whether it did.
    pub(crate) async fn closed(&mut self, within: Duration) -> bool {
        tokio::time::timeout(within, tokio::io::copy(&mut self.0, &mut tokio::io::sink())).await.is_ok()
    }
}

/// Sends a request over a connection of its own and reads the answer, which may come before
/// the request is taken.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> io::Result<Answer> {
    let exchange = async {
        let mut connection = Connection::open(address).await?;
        let sent = connection.send(request).await;
        connection.answer().await.map_err(|error| sent.err().unwrap_or(error))
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no response within 30 s");
    tokio::time::timeout(Duration::from_secs(30), exchange).await.unwrap_or_else(|_| Err(late()))
}

/// The status of an answer, or what happened in its place.
pub(crate) fn outcome(answer: &io::Result<Answer>) -> String {
    match answer {
        Ok(answer) => answer.status.to_string(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => "no answer".to_owned(),
        Err(_) => "closed without an answer".to_owned(),
    }
}

/// A GET without a body, as a proper client sends it.
pub(crate) fn get(address: SocketAddr, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

/// A POST of JSON, as a proper client sends it.
pub(crate) fn post(address: SocketAddr, target: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    )
}
