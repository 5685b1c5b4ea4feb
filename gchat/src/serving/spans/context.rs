//! The trace that a request belongs to.
//!
//! Source: [W3C Trace Context](https://www.w3.org/TR/trace-context/), sections 3.2
//! (`traceparent`) and 3.3 (`tracestate`).

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of the flags: the caller may have recorded the trace.
pub(super) const SAMPLED: u8 = 1;
/// Of the flags: the last 56 bits of the trace id are random.
pub(super) const RANDOM: u8 = 2;

/// A span, as those are told that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) flags: u8,
}

impl Context {
    /// The span that a request belongs to; `None` if it names none, or in a way that cannot be
    /// read.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let (line, None) = (lines.next()?.as_bytes(), lines.next()) else { return None };
        let (known, rest) = line.split_at_checked(55)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let [version] = hex(parts.next()?)?;
        let (trace, span, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        // Later versions may have more behind this.
        let ends = rest.is_empty() || version > 0 && rest[0] == b'-';
        let valid = ends && version != 0xff && trace != [0; 16] && span != [0; 8];
        // Only these flags are known, and others are not to be passed on.
        valid.then_some(Self { trace, span, flags: flags & (SAMPLED | RANDOM) })
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of `traceparent` for those that belong to this span.
    pub(super) fn header(&self) -> HeaderValue {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        let text = format!("00-{trace:032x}-{span:016x}-{:02x}", self.flags);
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Bytes in hexadecimal, with small letters as the specification wants it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Context> {
        Context::of(&lines.iter().map(|line| (TRACEPARENT, line.parse().unwrap())).collect())
    }

    #[test]
    fn traceparent_is_read_as_its_specification_says() {
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(read(&[own]).unwrap().header(), own);
        for (line, flags) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", 0),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", SAMPLED | RANDOM),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SAMPLED),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", SAMPLED),
        ] {
            assert_eq!(read(&[line]).map(|context| context.flags), Some(flags), "{line}");
        }
        for line in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert_eq!(read(&[line]), None, "{line}");
        }
        assert_eq!(read(&[own, own]), None);
    }
}
