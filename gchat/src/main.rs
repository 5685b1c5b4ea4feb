//! `gchat`: Google Chat from the command line.

fn main() -> std::process::ExitCode {
    gchat::main()
}
