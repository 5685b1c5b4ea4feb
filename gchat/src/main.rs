//! `gchat`: Google Chat from the command line.

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
mod output;
mod signals;
mod spaces;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use google_chat::grpc_transcoding::HttpRules;

use failure::{Exit, Failure};

/// Google Chat from the command line, over gRPC or HTTP/JSON
#[derive(Parser)]
#[command(name = "gchat", version, after_help = format!("{}\n\n{EXIT_CODES}", config::HELP))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the call failed, or something of this machine: a file, a port, a full disk
  2    the command line or its input is wrong; nothing was sent
  3    credentials are missing or were refused
  4    the display name is taken
  5    the space was not found
  6    the server was not reached, took too long or wants a pause (quota): try again
  7    some rows of a file failed
  8    schema --lint found something
  9    it is unknown whether some rows became spaces: run the same command again
  10   another run works on the same file
  130  stopped by Ctrl-C; with --from, the same command goes on where it was";

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
    /// Find out what is missing for a space to be created, and how to mend it
    #[command(after_help = doctor::STEPS)]
    Doctor(doctor::Args),
    /// Run a local Google Chat for tests and development
    Emulator(emulator::Args),
    /// Offer a gRPC server's methods as REST
    #[command(after_help = gateway::EXAMPLES)]
    Gateway(gateway::Args),
    /// Write the schema of Google Chat: an encoded FileDescriptorSet, with HTTP rules
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema {
        /// Where to; standard output by default
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Lists, in place of that, what HTTP/JSON cannot carry of its rules
        #[arg(long, conflicts_with = "output")]
        lint: bool,
        /// Another schema to be looked at: a descriptor set with imports
        #[arg(long, value_name = "FILE", requires = "lint")]
        descriptor_set: Option<PathBuf>,
    },
    /// Print a shell's completions
    #[command(after_help = "Example:\n  gchat completions bash >~/.local/share/bash-completion/completions/gchat")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder, which is made if it is not there
    #[command(after_help = "Example:\n  gchat man ~/.local/share/man/man1")]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

const SCHEMA_EXAMPLES: &str = "\
Examples:
  gchat schema --output chat.bin
  gchat schema --lint --descriptor-set api.bin
  grpcurl -protoset chat.bin -plaintext -d '{}' localhost:8086 google.chat.v1.ChatService/ListSpaces
  buf build chat.bin -o - >/dev/null
  Envoy: envoy.filters.http.grpc_json_transcoder, proto_descriptor: chat.bin";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
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
        Err(error) => return failure::command_line(&error),
    };
    let runtime = match cli.command {
        Command::Gateway(_) | Command::Emulator(_) => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
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
        Command::Call(args) => call::run(*args).await,
        Command::Explain(args) => explain::run(&args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Emulator(args) => emulator::run(args).await,
        Command::Gateway(args) => gateway::run(args).await,
        Command::Schema { lint: true, descriptor_set, .. } => {
            let lints = HttpRules::new(&input::schema(descriptor_set.as_deref())?).lint();
            for lint in &lints {
                output::write(format!("{lint}\n").as_bytes())?;
            }
            if lints.is_empty() {
                Ok(())
            } else {
                Err(Failure::new(Exit::Findings, format!("{} findings", lints.len())))
            }
        }
        Command::Schema { output: None, .. } => output::write(google_chat::proto::DESCRIPTOR_SET),
        Command::Schema { output: Some(file), .. } => std::fs::write(&file, google_chat::proto::DESCRIPTOR_SET)
            .map_err(|error| Failure::machine(format!("cannot write {}", file.display())).because(error)),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gchat", &mut text);
            output::write(&text)
        }
        Command::Man { folder } => std::fs::create_dir_all(&folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &folder))
            .map_err(|error| Failure::machine(format!("cannot write to {}", folder.display())).because(error)),
    }
}
