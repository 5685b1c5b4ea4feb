//! How a command fails: a line for people, a code for scripts.

use std::{fmt, process::ExitCode};

use google_chat::{Error, Wire};

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
    /// So many rows of a file failed for good.
    Rows(String),
    /// The server is not there for now.
    Later(String),
}

impl Failure {
    pub(crate) fn usage(problem: impl fmt::Display) -> Self {
        Self::Usage(problem.to_string())
    }

    pub(crate) fn machine(problem: impl fmt::Display) -> Self {
        Self::Machine(problem.to_string())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Machine(_) => 1,
            Self::Missing(_) => 3,
            Self::Rows(_) => 7,
            Self::Later(_) => 6,
            // Another try does not help, whatever the code says.
            Self::Call(error) if error.is_misconfigured() => 1,
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
            | Self::Later(problem) => f.write_str(problem),
            Self::Call(error) => error.fmt(f),
            Self::Status(status) => write!(f, "{:?}: {}", status.code(), status.message()),
        }
    }
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
