//! The flags of a server that say what browsers may send to it.

use std::net::IpAddr;

use google_chat::grpc_transcoding::server::BrowserGuardLayer;

#[derive(clap::Args)]
#[command(next_help_heading = "Browsers")]
pub(crate) struct BrowserFlags {
    /// A host name to serve, without a port; can be repeated [default: loopback names
    /// if the server listens there, else all]
    #[arg(long, value_name = "HOST")]
    allowed_host: Vec<String>,
    /// Accept bodies without a content type, which any web page can send
    #[arg(long)]
    allow_missing_content_type: bool,
}

impl BrowserFlags {
    /// What refuses the requests that browsers may not send to a server at `address`.
    pub(crate) fn guard(&self, address: IpAddr) -> BrowserGuardLayer {
        let guard = BrowserGuardLayer::new(address).allow_missing_content_type(self.allow_missing_content_type);
        self.allowed_host.iter().fold(guard, |guard, host| guard.allow_host(host))
    }
}
