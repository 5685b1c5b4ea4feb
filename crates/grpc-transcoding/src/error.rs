//! Why a message and an HTTP request or response cannot be made of one another.

use std::{error::Error, fmt};

/// Why something cannot be transcoded.
#[derive(Debug)]
pub struct TranscodeError {
    kind: TranscodeErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What could not be transcoded, which decides the gRPC status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TranscodeErrorKind {
    /// The request cannot be carried or read: INVALID_ARGUMENT.
    InvalidRequest,
    /// HTTP/JSON cannot carry the method, or a field that the request sets: UNIMPLEMENTED.
    Unsupported,
    /// The response cannot be written or read: INTERNAL.
    InvalidResponse,
}

impl TranscodeError {
    pub(crate) fn new(kind: TranscodeErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(TranscodeErrorKind::InvalidRequest, message)
    }

    pub(crate) fn response(message: impl Into<String>) -> Self {
        Self::new(TranscodeErrorKind::InvalidResponse, message)
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What could not be transcoded.
    pub fn kind(&self) -> TranscodeErrorKind {
        self.kind
    }

    /// What is wrong, in a sentence that has the cause in it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for TranscodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TranscodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(any(feature = "client", feature = "server"))]
impl From<TranscodeError> for tonic::Status {
    fn from(error: TranscodeError) -> Self {
        let code = match error.kind {
            TranscodeErrorKind::InvalidRequest => tonic::Code::InvalidArgument,
            TranscodeErrorKind::Unsupported => tonic::Code::Unimplemented,
            TranscodeErrorKind::InvalidResponse => tonic::Code::Internal,
        };
        let mut status = Self::new(code, error.message);
        if let Some(source) = error.source {
            status.set_source(std::sync::Arc::from(source));
        }
        status
    }
}
