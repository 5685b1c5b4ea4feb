//! Where the browser comes back to after a login: a port of this machine.
//!
//! Source: [RFC 8252](https://www.rfc-editor.org/rfc/rfc8252), section 7.3.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The largest head of a request, and how long it may take.
const HEAD: usize = 16 * 1024;
const TIME: Duration = Duration::from_secs(10);
/// How many connections may be open at once.
const VISITS: usize = 32;

pub(super) struct Listener(TcpListener);

impl Listener {
    pub(super) async fn start() -> io::Result<Self> {
        TcpListener::bind(("127.0.0.1", 0)).await.map(Self)
    }

    /// The address that the browser is to be sent to.
    pub(super) fn redirect_uri(&self) -> io::Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.0.local_addr()?.port()))
    }

    /// Waits for a request whose query `outcome` makes something of. Others, as for the icon of
    /// the page, or by whoever else comes, change nothing; nor do connections that browsers open
    /// to have them ready.
    pub(super) async fn outcome<T: Send + 'static>(
        &self,
        outcome: impl Fn(&str) -> Option<T> + Clone + Send + 'static,
    ) -> io::Result<T> {
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.0.accept(), if visits.len() < VISITS => {
                    visits.spawn(visit(accepted?.0, outcome.clone()));
                }
                Some(visited) = visits.join_next() => {
                    if let Ok(Some(found)) = visited {
                        return Ok(found);
                    }
                }
            }
        }
    }
}

/// Answers one request.
async fn visit<T>(mut stream: TcpStream, outcome: impl Fn(&str) -> Option<T>) -> Option<T> {
    let query = tokio::time::timeout(TIME, query(&mut stream)).await.ok().flatten();
    let found = query.and_then(|query| outcome(&query));
    let (status, text) = match &found {
        Some(_) => ("200 OK", "You can close this window, and go back to the terminal."),
        None => ("404 Not Found", "Nothing is here. The login goes on in its own window."),
    };
    let page = format!("<!DOCTYPE html><title>gchat</title><p>{text}</p>\n");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         referrer-policy: no-referrer\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // The login goes on, whether the page is seen or not.
    let _ = tokio::time::timeout(TIME, stream.write_all(format!("{head}{page}").as_bytes())).await;
    let _ = stream.shutdown().await;
    found
}

/// The query of the address that a GET is for.
async fn query(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(part.get(..read)?);
        if head.len() > HEAD {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("GET /")?.split(' ').next()?;
    target.strip_prefix('?').map(str::to_owned)
}
