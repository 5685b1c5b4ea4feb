//! How a command fails: a line for people, a code for scripts.

use std::{fmt, io, process::ExitCode};

use google_chat::{Error, Wire, grpc_transcoding::rpc::code_name};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or its input is wrong.
    Usage(String),
    /// The call was made, or could not be.
    Call(Box<Error>),
    /// A call that a stub made failed.
    Status(Box<tonic::Status>),
    /// Something of this machine: a file, a port.
    Machine(String),
    /// What creating a space needs is not all there.
    Missing(String),
    /// Some rows of a file failed.
    Rows(String),
    /// Of some rows of a file it is unknown whether there is a space.
    Unknown(String),
    /// Another run works on the same file.
    InUse(String),
    /// The server is not there for now.
    Later(String),
    /// So much was found that is to be looked at.
    Findings(String),
    /// The user stopped the command.
    Interrupted(String),
}

impl Failure {
    pub(crate) fn usage(problem: impl fmt::Display) -> Self {
        Self::Usage(problem.to_string())
    }

    pub(crate) fn machine(problem: impl fmt::Display) -> Self {
        Self::Machine(problem.to_string())
    }

    /// A request that was refused before it was sent.
    pub(crate) fn unsent(status: tonic::Status) -> Self {
        Self::usage(Self::from(status))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Machine(_) => 1,
            Self::Missing(_) => 3,
            Self::Rows(_) => 7,
            Self::Unknown(_) => 9,
            Self::InUse(_) => 10,
            Self::Later(_) => 6,
            // Another try does not help, whatever the code says.
            Self::Call(error) if error.is_misconfigured() => 1,
            Self::Findings(_) => 8,
            // As a shell has it of who ends by SIGINT.
            Self::Interrupted(_) => 130,
            Self::Call(error) => code(error.code()),
            Self::Status(status) if Error::of((**status).clone(), "", Wire::Auto).is_misconfigured() => 1,
            Self::Status(status) => code(status.code()),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem)
            | Self::Machine(problem)
            | Self::Missing(problem)
            | Self::Rows(problem)
            | Self::Unknown(problem)
            | Self::InUse(problem)
            | Self::Later(problem)
            | Self::Findings(problem)
            | Self::Interrupted(problem) => f.write_str(problem),
            Self::Call(error) => error.fmt(f),
            Self::Status(status) => write!(f, "{}: {}", code_name(status.code()), status.message()),
        }
    }
}

/// Says what is wrong with the command line, as clap has it, but for what may be a key or
/// a token that came to a wrong place.
pub(crate) fn command_line(error: &clap::Error) -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = error.render().to_string();
    let kept = without_secrets(&shown, &arguments);
    // With colours, where there is nothing to be left out.
    if kept == shown {
        let _ = error.print();
    } else {
        let _ = io::Write::write_all(&mut io::stderr(), kept.as_bytes());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// A text without those of the arguments that are long, or, where a key or a token is
/// among them, without all of eight bytes and more. Names of flags stay.
fn without_secrets(text: &str, arguments: &[String]) -> String {
    let marks = ["PRIVATE KEY", "private_key", "-----BEGIN", "ya29."];
    let longest = if arguments.iter().any(|word| marks.iter().any(|mark| word.contains(mark))) { 7 } else { 30 };
    let is_flag =
        |word: &str| word.starts_with('-') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // clap has an argument as it is, and what comes before and after its first `=`.
    let parts =
        arguments.iter().flat_map(|word| word.split_once('=').map_or([&**word, "", ""], |(a, b)| [&**word, a, b]));
    let mut hidden: Vec<&str> = parts.filter(|part| part.len() > longest && !is_flag(part)).collect();
    // One that holds another goes first.
    hidden.sort_by_key(|word| std::cmp::Reverse(word.len()));
    hidden.into_iter().fold(text.to_owned(), |text, word| text.replace(word, "…"))
}

fn code(code: tonic::Code) -> u8 {
    match code {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => 3,
        tonic::Code::AlreadyExists => 4,
        tonic::Code::NotFound => 5,
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::ResourceExhausted => 6,
        _ => 1,
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn arguments_that_may_be_secret_are_not_repeated() {
        let key = r#"KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"#;
        for (arguments, text, shown) in [
            (&["gchat", "nonsense"][..], "no command 'nonsense'", "no command 'nonsense'"),
            (&["gchat", "--nonsense-that-is-a-long-flag-of-30"], "--nonsense", "--nonsense"),
            (&["gchat", "-----BEGIN", "PRIVATE", key], &format!("'{key}' found"), "'…' found"),
            (&["gchat", "--wire=ya29.short"], "invalid value 'ya29.short' for --wire", "invalid value '…' for --wire"),
            (&["gchat", "-----BEGIN KEY MIIE=="], "'-----BEGIN KEY MIIE' found", "'…' found"),
            (&["gchat", key], &format!("'{key}' found, use '-- {key}'"), "'…' found, use '-- …'"),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(without_secrets(text, &arguments), shown);
        }
    }
}
