//! `gchat emulator`.

use std::net::SocketAddr;

use google_chat::emulator::Emulator;

use crate::failure::Failure;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8086")]
    listen: SocketAddr,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let emulator = Emulator::listen(args.listen)
        .await
        .map_err(|error| Failure::machine(format!("cannot listen at {}: {error}", args.listen)))?;
    println!("listening at {}", emulator.endpoint());
    tokio::signal::ctrl_c().await.map_err(Failure::machine)
}
