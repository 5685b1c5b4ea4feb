//! The emulator as a server for tests: the port and what is served there (`front`, `admin`,
//! `page`), the faults that calls meet, and the calls that came.

mod admin;
mod emulator;
mod faults;
mod front;
mod media;
mod page;
mod received;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

pub use emulator::{Emulator, EmulatorBuilder};
pub use faults::Fault;
pub use received::Received;

use self::{faults::Faults, received::Log};
use crate::{chat::Chat, identity::Issuer, organization::Organization};

/// What the server shares between its connections and its owner.
#[derive(Debug)]
struct State {
    address: SocketAddr,
    scheme: &'static str,
    organization: Arc<Organization>,
    issuer: Arc<Issuer>,
    chat: Chat,
    faults: Mutex<Faults>,
    log: Arc<Mutex<Log>>,
}

impl State {
    /// The address as an endpoint.
    fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where tokens are given: on loopback, if the emulator listens at every address.
    fn token_base(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        format!("{}://{address}", self.scheme)
    }
}
