//! The protobuf wire format: a cursor over the fields of an encoded message, and functions
//! that append fields to one.
//!
//! ```
//! use protojson::wire;
//!
//! // message Room { string display_name = 1; int64 seats = 2; }
//! let mut room = Vec::new();
//! wire::put_len(&mut room, 1, b"Library");
//! wire::put_uint(&mut room, 2, 12);
//! assert_eq!(room, b"\x0a\x07Library\x10\x0c");
//!
//! for field in wire::fields(&room) {
//!     let (tag, payload) = field?;
//!     match (tag >> 3, payload) {
//!         (1, payload) => assert_eq!(payload.bytes(), b"Library"),
//!         (_, payload) => assert_eq!(payload.bits(), 12),
//!     }
//! }
//! # Ok::<(), protojson::wire::WireError>(())
//! ```
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use std::fmt;

/// Wire type of varints.
pub const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub const FIXED64: u8 = 1;
/// Wire type of what a length comes before.
pub const LEN: u8 = 2;
/// Wire type that begins a group.
pub const START: u8 = 3;
/// Wire type that ends a group.
pub const END: u8 = 4;
/// Wire type of four bytes.
pub const FIXED32: u8 = 5;

/// How deep messages and groups may nest, here and in ProtoJSON: protobuf's
/// own default.
pub const DEPTH: u32 = 100;

/// What can be wrong with an encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end in the middle of a field.
    Truncated,
    /// A varint is longer than ten bytes.
    Varint,
    /// A tag has a field number that is out of range, or no known wire type.
    Tag,
    /// A group ends without having begun, or never ends.
    Group,
    /// Messages nest deeper than [`DEPTH`] levels.
    Depth,
    /// A name is not UTF-8.
    Utf8,
}

impl std::error::Error for WireError {}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end in the middle of a field",
            Self::Varint => "a varint is longer than ten bytes",
            Self::Tag => "a tag has field number 0, a number out of range, or no known wire type",
            Self::Group => "a group ends without having begun, or never ends",
            Self::Depth => "messages nest deeper than 100 levels",
            Self::Utf8 => "a name is not UTF-8",
        })
    }
}

/// A cursor over an encoded message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The fields of an encoded message: each its tag (the field number times eight, plus the
/// wire type) and its payload. Ends after the first error.
pub fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields(Reader::new(bytes))
}

/// See [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a>(Reader<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.field().transpose();
        if let Some(Err(_)) = next {
            self.0 = Reader::new(&[]);
        }
        next
    }
}

/// A field's payload, not yet interpreted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// A varint, or the little-endian bits of a fixed field.
    Bits(u64),
    /// The content of a length-delimited field or of a group.
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The content; empty for bits.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Bits(_) => &[],
        }
    }

    /// The bits; 0 for a content.
    pub fn bits(self) -> u64 {
        match self {
            Self::Bits(bits) => bits,
            Self::Bytes(_) => 0,
        }
    }
}

impl<'a> Reader<'a> {
    /// A cursor at the first field of `bytes`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether there is nothing left.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Moves past `prefix` if the bytes continue with it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn eat(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Moves past two bytes, if they are `bytes` in little-endian order.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn eat_two(&mut self, bytes: u32) -> bool {
        match self.rest.split_first_chunk() {
            Some((found, rest)) if u32::from(u16::from_le_bytes(*found)) == bytes => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads a varint, as an element of a packed field.
    ///
    /// # Errors
    ///
    /// If the bytes do not begin with one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => {
                let (value, rest) = long_varint(self.rest)?;
                self.rest = rest;
                Ok(value)
            }
        }
    }

    /// Reads a tag: the field number times eight, plus the wire type.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn tag(&mut self) -> Result<u32, WireError> {
        match self.short_tag() {
            0 => self.long_tag(),
            tag => Ok(tag),
        }
    }

    /// Reads a tag of one or two bytes. Returns 0, without advancing, for anything else.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn short_tag(&mut self) -> u32 {
        let (tag, rest) = match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => (u32::from(byte), rest),
            [a, b, ref rest @ ..] if b < 0x80 => (u32::from(a & 0x7f) | u32::from(b) << 7, rest),
            _ => return 0,
        };
        if tag < 8 {
            return 0;
        }
        self.rest = rest;
        tag
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn long_tag(&mut self) -> Result<u32, WireError> {
        let (tag, rest) = long_varint(self.rest)?;
        // The same value in more than five bytes is no tag.
        let short = self.rest.len() - rest.len() <= 5;
        self.rest = rest;
        u32::try_from(tag).ok().filter(|tag| short && *tag >= 8).ok_or(WireError::Tag)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len_delimited(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(WireError::Truncated),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn fixed32(&mut self) -> Result<u32, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// Reads a varint or a fixed field.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bits(&mut self, wire_type: u8) -> Result<u64, WireError> {
        match wire_type {
            VARINT => self.varint(),
            FIXED32 => self.fixed32().map(u64::from),
            _ => self.fixed64(),
        }
    }

    /// Reads the payload of the field that `tag` begins.
    #[inline]
    pub(crate) fn payload(&mut self, tag: u32) -> Result<Payload<'a>, WireError> {
        Ok(match (tag & 7) as u8 {
            VARINT => Payload::Bits(self.varint()?),
            FIXED64 => Payload::Bits(self.fixed64()?),
            LEN => Payload::Bytes(self.len_delimited()?),
            START => Payload::Bytes(self.group(tag >> 3)?),
            FIXED32 => Payload::Bits(u64::from(self.fixed32()?)),
            END => return Err(WireError::Group),
            _ => return Err(WireError::Tag),
        })
    }

    /// The reader after the payload of the field that `tag` begins: by value, so
    /// that a loop's reader can live in registers.
    #[inline(never)]
    pub(crate) fn after(mut self, tag: u32) -> Result<Self, WireError> {
        self.payload(tag)?;
        Ok(self)
    }

    /// Reads up to the end of the group `number`, and past it.
    fn group(&mut self, number: u32) -> Result<&'a [u8], WireError> {
        // A list of open groups, not recursion: the input decides the depth.
        let mut open = vec![number];
        let start = self.rest;
        loop {
            let before = self.rest.len();
            if before == 0 {
                return Err(WireError::Group);
            }
            let tag = self.tag()?;
            match (tag & 7) as u8 {
                START if open.len() >= DEPTH as usize => return Err(WireError::Depth),
                START => open.push(tag >> 3),
                END => {
                    if open.pop() != Some(tag >> 3) {
                        return Err(WireError::Group);
                    }
                    if open.is_empty() {
                        return Ok(&start[..start.len() - before]);
                    }
                }
                _ => {
                    self.payload(tag)?;
                }
            }
        }
    }

    /// The next field with its tag (the field number times eight, plus the wire type) and
    /// its payload, or `None` at the end.
    ///
    /// # Errors
    ///
    /// If the bytes are no encoded message; the cursor is of no use afterwards.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.tag()?;
        Ok(Some((tag, self.payload(tag)?)))
    }
}

// Takes and gives the bytes by value, so that a reader can live in registers.
#[inline(never)]
fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), WireError> {
    // Times in seconds and nanos take five bytes or fewer.
    if let [a, b, c, d, e, ..] = *bytes {
        let (low, high) = (u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7, u64::from(c & 0x7f) << 14);
        if a >= 0x80 && b >= 0x80 && c >= 0x80 {
            if d < 0x80 {
                return Ok((low | high | u64::from(d) << 21, &bytes[4..]));
            }
            if e < 0x80 {
                return Ok((low | high | u64::from(d & 0x7f) << 21 | u64::from(e) << 28, &bytes[5..]));
            }
        }
    }
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            // The tenth byte holds the sixty-fourth bit alone.
            return if i == 9 && byte > 1 { Err(WireError::Varint) } else { Ok((value, &bytes[i + 1..])) };
        }
    }
    Err(if bytes.len() < 10 { WireError::Truncated } else { WireError::Varint })
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field.
pub fn put_len(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number << 3 | u32::from(LEN)));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3));
    put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_and_overlong_ones_fail() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).varint(), Err(WireError::Truncated), "{value}");
            }
        }
        assert_eq!(Reader::new(&[0x80; 11]).varint(), Err(WireError::Varint));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint(),
            Err(WireError::Varint)
        );
    }

    #[test]
    fn tags_refuse_number_zero_and_overlong_forms() {
        assert_eq!(Reader::new(&[0x02]).tag(), Err(WireError::Tag));
        assert_eq!(Reader::new(&[0x88, 0x80, 0x80, 0x80, 0x80, 0x00]).tag(), Err(WireError::Tag));
        assert_eq!(Reader::new(&[0x08]).tag(), Ok(8));
    }

    #[test]
    fn groups_nest_and_must_match() {
        let (tag, payload) = Reader::new(&[0x0b, 0x13, 0x18, 1, 0x14, 0x0c]).field().unwrap().unwrap();
        assert_eq!((tag, payload), (0x0b, Payload::Bytes(&[0x13, 0x18, 1, 0x14])));
        for bad in [&[0x0b, 0x14][..], &[0x0b], &[0x0c], &[0x0b, 0x13, 0x0c]] {
            assert_eq!(Reader::new(bad).field().err(), Some(WireError::Group), "{bad:?}");
        }
        assert_eq!(Reader::new(&[0x0b; 1_000_000]).field().err(), Some(WireError::Depth));
    }

    #[test]
    fn fields_end_after_an_error() {
        let read: Vec<_> = fields(&[0x08, 1, 0x12, 1, b'a', 0x0c, 0x08, 1]).collect();
        let expected = [Ok((8, Payload::Bits(1))), Ok((0x12, Payload::Bytes(b"a"))), Err(WireError::Group)];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_length_beyond_the_input_is_truncated_not_allocated() {
        assert_eq!(Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]).field().err(), Some(WireError::Truncated));
    }
}
