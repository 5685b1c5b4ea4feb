use std::{error::Error, fmt};

use crate::wire::WireError;

/// Why a descriptor set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorError {
    file: Box<str>,
    symbol: Box<str>,
    problem: Box<str>,
    cause: Option<WireError>,
}

impl DescriptorError {
    pub(crate) fn new(file: &str, symbol: &str, problem: impl Into<Box<str>>) -> Self {
        Self { file: file.into(), symbol: symbol.into(), problem: problem.into(), cause: None }
    }

    /// The error of a set of which as many files as `read` could be decoded.
    pub(super) fn encoding(cause: WireError, read: usize) -> Self {
        let problem = format!("not an encoded FileDescriptorSet: {cause} (after {read} files that can be read)");
        Self { cause: Some(cause), ..Self::new("", "", problem) }
    }

    /// The proto file that the problem is in; empty if it is in the set itself.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The full name of the message, field, enum or method that the problem is
    /// in; empty if it is in the file itself.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// What is wrong, and what to do about it.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.file, &*self.symbol) {
            ("", "") => f.write_str("descriptor set")?,
            (file, "") => f.write_str(file)?,
            ("", symbol) => write!(f, "`{symbol}`")?,
            (file, symbol) => write!(f, "{file}: `{symbol}`")?,
        }
        write!(f, ": {}", self.problem)
    }
}

impl Error for DescriptorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
