use std::fmt;

/// Why a descriptor set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorError {
    file: Box<str>,
    symbol: Box<str>,
    problem: Box<str>,
}

impl DescriptorError {
    pub(crate) fn new(file: &str, symbol: &str, problem: impl Into<Box<str>>) -> Self {
        Self { file: file.into(), symbol: symbol.into(), problem: problem.into() }
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

impl std::error::Error for DescriptorError {}
