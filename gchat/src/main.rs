//! `gchat`: Google Chat from the command line.

mod call;
mod connection;
mod emulator;
mod explain;
mod failure;
mod gateway;
mod input;
mod output;
mod spaces;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Google Chat from the command line, over gRPC or HTTP/JSON
#[derive(Parser)]
#[command(name = "gchat", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the call failed
  2  the command line or its input is wrong
  3  credentials are missing or were refused
  4  the display name is taken";

#[derive(Subcommand)]
enum Command {
    /// Work with spaces
    #[command(subcommand)]
    Spaces(spaces::Command),
    /// Call any method of any schema, over either wire
    #[command(after_help = call::EXAMPLES)]
    Call(Box<call::Args>),
    /// Print the HTTP request that a call is, without sending anything
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Args),
    /// Run a local Google Chat for tests and development
    Emulator(emulator::Args),
    /// Offer a gRPC server's methods as REST
    #[command(after_help = gateway::EXAMPLES)]
    Gateway(gateway::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: a command makes one call, or waits for the network.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(Failure::usage(format!("the runtime cannot be started: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gchat: {failure}");
            failure.exit_code()
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Spaces(command) => spaces::run(command).await,
        Command::Call(args) => call::run(*args).await,
        Command::Explain(args) => explain::run(&args),
        Command::Emulator(args) => emulator::run(args).await,
        Command::Gateway(args) => gateway::run(args).await,
    }
}
