//! Collecting a body.

use std::{error::Error, fmt};

use bytes::{Bytes, BytesMut};

use super::{BoxError, chain};

/// Collects a body, up to a limit. One that comes in one piece is not copied.
pub async fn collect<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // A body that says how long it is need not be waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(CollectError::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|error| CollectError::of(error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - whole.len().max(joined.len()) {
            return Err(CollectError::TooLarge);
        }
        if whole.is_empty() && joined.is_empty() {
            whole = data;
            continue;
        }
        if joined.is_empty() {
            joined = std::mem::take(&mut whole).into();
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

/// Why a body cannot be collected.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollectError {
    /// The body is larger than the limit.
    TooLarge,
    /// What was sent is not HTTP.
    Malformed(BoxError),
    /// The sender is gone.
    Failed(BoxError),
}

impl fmt::Display for CollectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is larger than the limit"),
            Self::Malformed(cause) => write!(f, "the body is not HTTP: {}", chain(&**cause)),
            Self::Failed(cause) => write!(f, "the body broke off: {}", chain(&**cause)),
        }
    }
}

impl Error for CollectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge => None,
            Self::Malformed(cause) | Self::Failed(cause) => Some(&**cause),
        }
    }
}

impl CollectError {
    /// Tells what is not HTTP from a sender that is gone.
    pub(crate) fn of(error: BoxError) -> Self {
        use std::io::ErrorKind::{InvalidData, InvalidInput};
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(part) = cause {
            // hyper gives these for chunks that are malformed.
            let kind = part.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(kind, Some(InvalidData | InvalidInput)) {
                return Self::Malformed(error);
            }
            cause = part.source();
        }
        Self::Failed(error)
    }
}
