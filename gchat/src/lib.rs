//! The program `gchat`: Google Chat from the command line. It is a library for its own
//! `main` and has no interface for others.

mod auth;
mod browser;
mod bulk;
mod call;
mod config;
mod connection;
mod doctor;
mod emulator;
mod explain;
mod failure;
mod gateway;
mod input;
mod limits;
#[cfg(feature = "full")]
mod man;
mod media;
mod members;
mod messages;
mod output;
mod people;
mod reactions;
mod schema;
mod serving;
mod sidecar;
mod signals;
mod spaces;
mod verbose;
mod who;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
#[cfg(feature = "full")]
use clap_complete::Shell;

use failure::{Exit, Failure};
use google_chat::grpc_transcoding::HttpRules;

/// Without completions, any name of a shell leads to the error that says so.
#[cfg(not(feature = "full"))]
type Shell = String;

/// Google Chat from the command line, over gRPC or HTTP/JSON
#[derive(Parser)]
#[command(name = "gchat", version, after_help = format!("{}\n\n{}", config::HELP, exit_codes()))]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log calls and their attempts to standard error; -vv also logs their start
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Logs and counts the requests to a service, as `gchat gateway` does: for the benchmarks.
#[doc(hidden)]
pub fn observed<S>(service: S, rules: &HttpRules, log: impl Write + Send + 'static) -> serving::Observe<S> {
    serving::Observe::with_log_and_metrics(service, rules, log)
}

/// What help says of the ends of commands.
fn exit_codes() -> String {
    let mut text = "Exit codes:".to_owned();
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("\n  {:<4} {meaning}", exit as u8));
    }
    text
}

#[derive(Subcommand)]
enum Command {
    /// Work with spaces
    #[command(subcommand)]
    Spaces(spaces::Command),
    /// Work with the members of spaces
    #[command(subcommand)]
    Members(members::Command),
    /// Send, read, change and delete messages
    #[command(subcommand)]
    Messages(messages::Command),
    /// Work with the reactions to messages
    #[command(subcommand)]
    Reactions(reactions::Command),
    /// Download attachments
    #[command(subcommand)]
    Media(media::Command),
    /// Log in with a browser, and see who is logged in
    #[command(subcommand)]
    Auth(auth::Command),
    /// Call any method of any API, over either protocol
    #[command(after_help = call::HELP)]
    Call(Box<call::Args>),
    /// Print the HTTP request of a call, without sending it
    #[command(after_help = explain::HELP)]
    Explain(explain::Args),
    /// Diagnose why creating a space fails
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Args),
    /// Run a local Google Chat for tests and development
    #[command(after_help = emulator::HELP)]
    Emulator(emulator::Args),
    /// Serve the methods of a gRPC server as REST
    #[command(after_help = gateway::help())]
    Gateway(Box<gateway::Args>),
    /// Serve any gRPC stub by calling a REST API
    #[command(after_help = sidecar::help())]
    Sidecar(Box<sidecar::Args>),
    /// Write the schema of Google Chat: a descriptor set, or OpenAPI
    #[command(after_help = schema::HELP)]
    Schema(schema::Args),
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(after_help = "Examples:\n  gchat man ~/.local/share/man/man1")]
    Man {
        /// The folder; it is created if it does not exist
        folder: PathBuf,
    },
}

const COMPLETIONS_HELP: &str = "\
Examples:
  gchat completions bash \\
      >~/.local/share/bash-completion/completions/gchat";

/// Runs the program on the arguments of the process.
#[doc(hidden)]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let (arguments, config) = match serving::with_config_file(&Cli::command(), arguments) {
        Ok(arguments) => arguments,
        Err(failure) => return end(&failure),
    };
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // Help and the version are results like others: it is an error if they cannot be
        // written.
        Err(asked) if !asked.use_stderr() => {
            return match asked.print().and_then(|()| io::stdout().flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    end(&Failure::machine("cannot write to standard output").because(error))
                }
                _ => ExitCode::SUCCESS,
            };
        }
        Err(error) => {
            let exit = failure::command_line(&error, &arguments);
            if let Some(file) = config {
                output::note(&format!("The settings of {} count as flags.", file.display()));
            }
            return exit;
        }
    };
    if let Err(failure) = verbose::log(cli.verbose) {
        return end(&failure);
    }
    let runtime = match cli.command {
        Command::Gateway(_) | Command::Sidecar(_) | Command::Emulator(_) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()
        }
        // One thread: a command makes one call, or waits for the network; to share many
        // calls among threads costs more than it gains.
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(Failure::machine("the runtime cannot be started").because(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

/// Says why the command failed.
fn end(failure: &Failure) -> ExitCode {
    output::say(&failure.text());
    failure.exit().into()
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Spaces(command) => spaces::run(command).await,
        Command::Members(command) => members::run(command).await,
        Command::Messages(command) => messages::run(command).await,
        Command::Reactions(command) => reactions::run(command).await,
        Command::Media(command) => media::run(command).await,
        Command::Auth(command) => auth::run(command).await,
        Command::Call(args) => call::run(*args).await,
        Command::Explain(args) => explain::run(&args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Emulator(args) => emulator::run(args).await,
        Command::Gateway(args) => gateway::run(*args).await,
        Command::Sidecar(args) => sidecar::run(*args).await,
        Command::Schema(args) => schema::run(&args),
        #[cfg(feature = "full")]
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gchat", &mut text);
            output::write(&text)
        }
        #[cfg(feature = "full")]
        Command::Man { folder } => man::write(Cli::command(), &folder)
            .map_err(|error| Failure::machine(format!("cannot write to {}", folder.display())).because(error)),
        #[cfg(not(feature = "full"))]
        Command::Completions { .. } => Err(Failure::left_out("completions")),
        #[cfg(not(feature = "full"))]
        Command::Man { .. } => Err(Failure::left_out("man pages")),
    }
}
