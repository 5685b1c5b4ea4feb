//! How a command fails: a line for people, a code for scripts.

use std::{fmt, process::ExitCode};

use google_chat::Error;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or its input is wrong.
    Usage(String),
    /// The call was made, or could not be.
    Call(Box<Error>),
    /// Something of this machine: a file, a port.
    Machine(String),
}

impl Failure {
    pub(crate) fn usage(problem: impl fmt::Display) -> Self {
        Self::Usage(problem.to_string())
    }

    pub(crate) fn machine(problem: impl fmt::Display) -> Self {
        Self::Machine(problem.to_string())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        // tonic's codes, by their numbers: UNAUTHENTICATED 16,
        // PERMISSION_DENIED 7, ALREADY_EXISTS 6.
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Machine(_) => 1,
            Self::Call(error) => match error.code() as i32 {
                16 | 7 => 3,
                6 => 4,
                _ => 1,
            },
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) | Self::Machine(problem) => f.write_str(problem),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(Box::new(error))
    }
}
