use std::{error::Error, fmt};

use crate::wire::WireError;

/// Why JSON text is not the ProtoJSON form of a message.
///
/// Its display is one sentence: where, what was expected, what was found.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError(Box<ParseProblem>);

#[derive(Clone, PartialEq, Eq)]
struct ParseProblem {
    path: String,
    problem: Box<str>,
    offset: usize,
    line: usize,
    column: usize,
}

impl ParseError {
    #[cold]
    pub(crate) fn new(problem: impl Into<Box<str>>, offset: usize) -> Self {
        let problem = problem.into();
        Self(Box::new(ParseProblem { path: String::new(), problem, offset, line: 0, column: 0 }))
    }

    /// Adds a step in front of the path.
    #[must_use]
    pub(crate) fn within(mut self, step: &str) -> Self {
        prepend(&mut self.0.path, step);
        self
    }

    /// Fills in line and column from the text.
    #[must_use]
    pub(crate) fn locate(mut self, text: &[u8]) -> Self {
        let before = &text[..self.0.offset.min(text.len())];
        self.0.line = 1 + memchr::memchr_iter(b'\n', before).count();
        let line = &before[memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)..];
        // Characters, not bytes: continuation bytes do not count.
        self.0.column = 1 + line.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        self
    }

    /// The path of the field, in JSON names from the message that was read:
    /// `spaceDetails.description`, `members[2]`. Empty at the top.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// The place in the text, in bytes from its beginning.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }
}

fn prepend(path: &mut String, step: &str) {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    *path = format!("{step}{dot}{path}");
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path().is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        write!(f, "{} (line {}, column {})", self.problem(), self.line(), self.column())
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParseError({:?})", self.to_string())
    }
}

impl Error for ParseError {}

/// Why an encoded message has no ProtoJSON form.
#[derive(Clone, PartialEq, Eq)]
pub struct WriteError(Box<WriteProblem>);

#[derive(Clone, PartialEq, Eq)]
struct WriteProblem {
    path: String,
    problem: Box<str>,
    malformed: bool,
    cause: Option<WireError>,
}

impl WriteError {
    #[cold]
    pub(crate) fn new(problem: impl Into<Box<str>>) -> Self {
        let problem = problem.into();
        Self(Box::new(WriteProblem { path: String::new(), problem, malformed: false, cause: None }))
    }

    #[cold]
    pub(crate) fn malformed(problem: impl Into<Box<str>>) -> Self {
        let mut error = Self::new(problem);
        error.0.malformed = true;
        error
    }

    /// Adds a step in front of the path.
    #[must_use]
    pub(crate) fn within(mut self, step: &str) -> Self {
        prepend(&mut self.0.path, step);
        self
    }

    /// The path of the field, in JSON names from the message that was written.
    /// Empty at the top.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// Whether the bytes are not a message at all. Otherwise they are one that
    /// JSON cannot express, such as a timestamp after the year 9999.
    pub fn is_malformed(&self) -> bool {
        self.0.malformed
    }
}

impl From<WireError> for WriteError {
    #[cold]
    fn from(cause: WireError) -> Self {
        let mut error = Self::malformed(cause.to_string());
        error.0.cause = Some(cause);
        error
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path().is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        f.write_str(self.problem())
    }
}

impl fmt::Debug for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteError({:?})", self.to_string())
    }
}

impl Error for WriteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as _)
    }
}

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

impl Error for TextError {}
