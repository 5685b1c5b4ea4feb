//! `gchat`: Google Chat from the command line.

mod emulator;
mod failure;
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
    /// Run a local Google Chat for tests and development
    Emulator(emulator::Args),
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
        Command::Emulator(args) => emulator::run(args).await,
    }
}
