use std::fmt;

use crate::wire::WireError;

/// Why JSON text is not the ProtoJSON form of a message.
///
/// Its display is one sentence: where, what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    path: String,
    problem: Box<str>,
    offset: usize,
    line: usize,
    column: usize,
}

impl ParseError {
    pub(super) fn new(problem: impl Into<Box<str>>, offset: usize) -> Box<Self> {
        Box::new(Self { path: String::new(), problem: problem.into(), offset, line: 0, column: 0 })
    }

    /// Adds a step in front of the path.
    pub(super) fn within(mut self: Box<Self>, step: &str) -> Box<Self> {
        prepend(&mut self.path, step);
        self
    }

    /// Fills in line and column from the text.
    pub(super) fn locate(mut self, text: &[u8]) -> Self {
        let before = &text[..self.offset.min(text.len())];
        self.line = 1 + memchr::memchr_iter(b'\n', before).count();
        let line = &before[memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)..];
        // Characters, not bytes: continuation bytes do not count.
        self.column = 1 + line.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        self
    }

    /// The path of the field, in JSON names from the message that was read:
    /// `spaceDetails.description`, `members[2]`. Empty at the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Puts `prefix` in front of the path.
    #[must_use]
    pub(crate) fn at(mut self, prefix: &str) -> Self {
        prepend(&mut self.path, prefix);
        self
    }
}

fn prepend(path: &mut String, step: &str) {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    *path = format!("{step}{dot}{path}");
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} (line {}, column {})", self.problem, self.line, self.column)
    }
}

impl std::error::Error for ParseError {}

/// Why wire bytes have no ProtoJSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    path: String,
    problem: Box<str>,
    malformed: bool,
}

impl WriteError {
    pub(super) fn new(problem: impl Into<Box<str>>) -> Box<Self> {
        Box::new(Self { path: String::new(), problem: problem.into(), malformed: false })
    }

    pub(super) fn malformed(problem: impl Into<Box<str>>) -> Box<Self> {
        Box::new(Self { malformed: true, ..*Self::new(problem) })
    }

    pub(super) fn within(mut self: Box<Self>, step: &str) -> Box<Self> {
        prepend(&mut self.path, step);
        self
    }

    /// The path of the field, in JSON names from the message that was written.
    /// Empty at the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Whether the bytes are not a message at all. Otherwise they are one that
    /// JSON cannot express, such as a timestamp after the year 9999.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl From<WireError> for WriteError {
    fn from(error: WireError) -> Self {
        *WriteError::malformed(error.to_string())
    }
}

impl From<WireError> for Box<WriteError> {
    fn from(error: WireError) -> Self {
        WriteError::malformed(error.to_string())
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for WriteError {}

/// Why a field cannot be given as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// There is no field at the path, or none that a text can give.
    Path(String),
    /// The text is no value of the field.
    Value(String),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(problem) | Self::Value(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TextError {}
