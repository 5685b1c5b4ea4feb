//! Google Chat's `spaces.create` as a local server, for tests and
//! development.
//!
//! One port serves gRPC (HTTP/2 without TLS) and HTTP/JSON (HTTP/1.1 or
//! HTTP/2), the latter through the crate's own [`Gateway`]. Spaces are kept in
//! memory. Callers are not authenticated: every call is made by the same
//! caller.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let emulator = google_chat::emulator::Emulator::start().await?;
//! println!("listening at {}", emulator.endpoint());
//! # Ok(())
//! # }
//! ```

mod rules;
mod service;
mod store;

use std::{fmt, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Schema,
    proto::{self, google::chat::v1::chat_service_server::ChatServiceServer},
    transport::{Gateway, serve},
};

/// A running emulator; it stops when this is dropped.
pub struct Emulator {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Starts an emulator on loopback, at a port that the system chooses.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts an emulator at an address.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened at.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        let schema = Schema::decode(proto::DESCRIPTOR_SET).map_err(io::Error::other)?;
        let chat = ChatServiceServer::new(service::Chat::default());
        let gateway = Gateway::new(schema, chat);
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, server: tokio::spawn(serve(listener, gateway, std::future::pending(), Duration::ZERO)) })
    }

    /// The address that is listened at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as an endpoint: `http://127.0.0.1:…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Ends the connections, too: they are tasks of a set that it owns.
        self.server.abort();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("address", &self.address).finish_non_exhaustive()
    }
}
