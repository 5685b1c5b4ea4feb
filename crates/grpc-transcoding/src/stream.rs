//! The messages of a stream of JSON, cut out of the text as it comes.
//!
//! Two forms are told apart by themselves: a JSON array, as Google's front ends stream, and
//! values one after another. The content type says whether it is server-sent events, and
//! whether an array is a value among others (NDJSON). What is kept is never more than the
//! message that is still incomplete.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Cuts a stream of JSON text into its elements. Sans IO: what comes is
/// [pushed](JsonStreamDecoder::push), what is whole is [taken](JsonStreamDecoder::next).
#[derive(Debug)]
pub struct JsonStreamDecoder {
    form: Form,
    buffer: BytesMut,
    /// How far the element at the start of the buffer has been looked through.
    scanned: usize,
    nesting: usize,
    in_string: bool,
    escaped: bool,
    /// The data of the event that is being read.
    event: BytesMut,
    limit: usize,
    /// Whether a record separator, U+001E, is white space (RFC 7464).
    records: bool,
    /// Where the buffer begins.
    at: Position,
    /// Where the last element begins.
    element: Position,
}

/// A place in the text, from 0: its line, and its column in characters.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// The place after some text that begins here.
    fn after(self, text: &[u8]) -> Self {
        let (lines, rest) = match memchr::memrchr(b'\n', text) {
            Some(last) => (1 + memchr::memchr_iter(b'\n', &text[..last]).count(), &text[last + 1..]),
            None => (0, text),
        };
        // Continuation bytes of UTF-8 do not count.
        let characters = rest.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        Self { line: self.line + lines, column: if lines > 0 { characters } else { self.column + characters } }
    }
}

/// Whether a media type, without parameters, is one of JSON values one after another.
pub(crate) fn is_values(media_type: &[u8]) -> bool {
    const VALUES: [&str; 5] =
        ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json", RECORDS];
    VALUES.iter().any(|kind| media_type.eq_ignore_ascii_case(kind.as_bytes()))
}

/// JSON text sequences: each value comes after a record separator (RFC 7464).
const RECORDS: &str = "application/json-seq";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing but white space yet.
    Unknown,
    /// Within an array, before an element or the end.
    Array,
    /// Within an array, after an element.
    ArrayNext,
    /// Within an array, after a comma.
    ArrayComma,
    Values,
    Events,
    /// After the array's end.
    Done,
}

/// Why a stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonStreamError {
    /// An element is larger than the limit, in bytes.
    TooLarge(usize),
    /// The text ends within the array or an element.
    Truncated,
    /// Not JSON.
    Malformed(&'static str),
}

impl fmt::Display for JsonStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "a message of the stream is larger than the limit of {limit} bytes"),
            Self::Truncated => f.write_str("the stream broke off in the middle"),
            Self::Malformed(problem) => write!(f, "the stream is not JSON: {problem}"),
        }
    }
}

impl std::error::Error for JsonStreamError {}

impl JsonStreamDecoder {
    /// Reads text of a content type, with elements of up to `limit` bytes.
    pub fn new(content_type: &[u8], limit: usize) -> Self {
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let form = match () {
            () if essence.eq_ignore_ascii_case(b"text/event-stream") => Form::Events,
            () if is_values(essence) => Form::Values,
            () => Form::Unknown,
        };
        Self { records: essence.eq_ignore_ascii_case(RECORDS.as_bytes()), ..Self::of(form, limit) }
    }

    fn of(form: Form, limit: usize) -> Self {
        Self {
            form,
            buffer: BytesMut::new(),
            scanned: 0,
            nesting: 0,
            in_string: false,
            escaped: false,
            event: BytesMut::new(),
            limit,
            records: false,
            at: Position::default(),
            element: Position::default(),
        }
    }

    /// Takes in what comes next of the text.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next element that is whole, or `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// If it is larger than the limit, or the text is no such stream.
    #[expect(clippy::should_implement_trait, reason = "more may come after `None`")]
    pub fn next(&mut self) -> Result<Option<Bytes>, JsonStreamError> {
        let element = if self.form == Form::Events { self.next_event()? } else { self.next_value()? };
        let size = element.as_ref().map_or(self.held(), Bytes::len);
        if size > self.limit {
            return Err(JsonStreamError::TooLarge(self.limit));
        }
        Ok(element)
    }

    /// What there is at the end of the text: the last value or event may lack
    /// the white space that would end it.
    ///
    /// # Errors
    ///
    /// If the text ends within the array or an element.
    pub fn finish(&mut self) -> Result<Option<Bytes>, JsonStreamError> {
        if self.form != Form::Events && self.scanned == 0 {
            self.skip_space();
        }
        match self.form {
            Form::Events => {
                self.push(b"\n\n");
                self.next_event()
            }
            Form::Values if self.nesting == 0 && !self.in_string && self.scanned > 0 => {
                self.push(b"\n");
                self.next_value()
            }
            Form::Values | Form::Unknown if self.buffer.is_empty() => Ok(None),
            Form::Done => Ok(None),
            _ => Err(JsonStreamError::Truncated),
        }
    }

    /// How many bytes are held: of the element that is still incomplete, once
    /// [`next`](JsonStreamDecoder::next) has given `None`.
    pub fn held(&self) -> usize {
        self.buffer.len() + self.event.len()
    }

    /// Where in the text the element begins that was taken last, or that is being read: its
    /// line, and its column in characters, both from 1.
    pub fn position(&self) -> (usize, usize) {
        (self.element.line + 1, self.element.column + 1)
    }

    fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r') || self.records && byte == 0x1e
    }

    /// Takes what is done with off the front.
    fn pass(&mut self, len: usize) -> BytesMut {
        let passed = self.buffer.split_to(len);
        self.at = self.at.after(&passed);
        passed
    }

    fn skip_space(&mut self) {
        let space = self.buffer.iter().take_while(|byte| self.is_space(**byte)).count();
        self.pass(space);
    }

    fn next_value(&mut self) -> Result<Option<Bytes>, JsonStreamError> {
        if self.scanned == 0 {
            const MARK: &[u8] = b"\xef\xbb\xbf";
            if self.at.line + self.at.column == 0 && MARK.starts_with(&self.buffer[..self.buffer.len().min(MARK.len())])
            {
                if self.buffer.len() < MARK.len() {
                    return Ok(None);
                }
                self.buffer.advance(MARK.len());
            }
            self.skip_space();
            self.element = self.at;
            match (self.form, self.buffer.first()) {
                (_, None) => return Ok(None),
                (Form::Unknown, Some(b'[')) => {
                    self.pass(1);
                    self.form = Form::Array;
                    return self.next_value();
                }
                (Form::Unknown, Some(_)) => self.form = Form::Values,
                (Form::Array | Form::ArrayNext, Some(b']')) => {
                    self.pass(1);
                    self.form = Form::Done;
                    return self.next_value();
                }
                (Form::ArrayNext, Some(b',')) => {
                    self.pass(1);
                    self.form = Form::ArrayComma;
                    return self.next_value();
                }
                (Form::ArrayComma, Some(b']')) => {
                    return Err(JsonStreamError::Malformed("a comma before the end of the array"));
                }
                (Form::ArrayNext, Some(_)) => return Err(JsonStreamError::Malformed("no comma between two elements")),
                (Form::Done, Some(_)) => return Err(JsonStreamError::Malformed("text after the array")),
                _ => {}
            }
        }
        while let Some(&byte) = self.buffer.get(self.scanned) {
            let bare = self.nesting == 0;
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                let Some(len) = memchr::memchr2(b'"', b'\\', &self.buffer[self.scanned..]) else {
                    self.scanned = self.buffer.len();
                    break;
                };
                self.scanned += len;
                self.escaped = self.buffer[self.scanned] == b'\\';
                self.in_string = self.escaped;
                if bare && !self.in_string {
                    return Ok(Some(self.take(self.scanned + 1)));
                }
            } else {
                match byte {
                    // What ends a value that is no object, list or string.
                    b',' | b':' | b']' | b'}' if bare => return Ok(Some(self.take(self.scanned))),
                    b'"' | b'{' | b'[' if bare && self.scanned > 0 => return Ok(Some(self.take(self.scanned))),
                    byte if bare && self.is_space(byte) => return Ok(Some(self.take(self.scanned))),
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.nesting += 1,
                    b'}' | b']' => {
                        self.nesting -= 1;
                        if self.nesting == 0 {
                            return Ok(Some(self.take(self.scanned + 1)));
                        }
                    }
                    _ => {}
                }
            }
            self.scanned += 1;
        }
        Ok(None)
    }

    fn take(&mut self, len: usize) -> Bytes {
        self.scanned = 0;
        if matches!(self.form, Form::Array | Form::ArrayComma) {
            self.form = Form::ArrayNext;
        }
        // A stray comma or bracket is given out as it is, and is no JSON.
        self.pass(len.max(1)).freeze()
    }

    /// Source: the HTML standard, "Server-sent events", "Parsing an event
    /// stream".
    fn next_event(&mut self) -> Result<Option<Bytes>, JsonStreamError> {
        loop {
            let Some(len) = memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at) else {
                self.scanned = self.buffer.len();
                return Ok(None);
            };
            self.scanned = 0;
            if self.event.is_empty() {
                self.element = self.at;
            }
            let line = self.pass(len + 1);
            let line = line[..len].strip_suffix(b"\r").unwrap_or(&line[..len]);
            if line.is_empty() {
                if !self.event.is_empty() {
                    return Ok(Some(self.event.split().freeze()));
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.event.is_empty() {
                    self.event.extend_from_slice(b"\n");
                }
                self.event.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
    }
}

/// The value of an object's only member, if that has this key: of `{"result": M}`, as
/// grpc-gateway streams messages, M.
#[cfg(feature = "client")]
pub(crate) fn only_member(object: &[u8], key: &str) -> Option<Bytes> {
    let inner = object.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    let inner = inner.strip_prefix(b"\"")?.strip_prefix(key.as_bytes())?.strip_prefix(b"\"")?;
    let mut values = JsonStreamDecoder::of(Form::Values, usize::MAX);
    values.push(inner.trim_ascii_start().strip_prefix(b":")?);
    let value = values.next().ok()??;
    (values.buffer.trim_ascii() == b"}").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of a text that comes in pieces of a size.
    fn elements(content_type: &str, text: &str, piece: usize) -> Result<Vec<String>, JsonStreamError> {
        let mut elements = JsonStreamDecoder::new(content_type.as_bytes(), 64);
        let mut found = Vec::new();
        let mut take = |element: Bytes| found.push(String::from_utf8_lossy(&element).into_owned());
        for chunk in text.as_bytes().chunks(piece) {
            elements.push(chunk);
            while let Some(element) = elements.next()? {
                take(element);
            }
        }
        while let Some(element) = elements.finish()? {
            take(element);
        }
        Ok(found)
    }

    #[test]
    fn array_stream_partial_chunks() {
        for (text, expected) in [
            ("[]", &[][..]),
            ("", &[]),
            (" \n", &[]),
            (" [ {\"a\":\"]}\\\"\"} ,\n[1,2] ] \n", &["{\"a\":\"]}\\\"\"}", "[1,2]"]),
            ("[1,\"x,]\",null]", &["1", "\"x,]\"", "null"]),
            ("{\"a\":1}\n{\"a\":2}{\"a\":3}\n", &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]),
            ("1 2\n3", &["1", "2", "3"]),
            ("\"a\"\"b\\\"\"1\"c\"[2]true{}", &["\"a\"", "\"b\\\"\"", "1", "\"c\"", "[2]", "true", "{}"]),
            ("\u{feff}[{}]", &["{}"]),
        ] {
            for piece in 1..=text.len().max(1) {
                assert_eq!(elements("application/json", text, piece).unwrap(), expected, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn the_content_type_says_that_an_array_is_a_value() {
        for (content_type, text, expected) in [
            ("application/x-ndjson", "[1]\n[2]\n", &["[1]", "[2]"][..]),
            ("Application/JSONL; charset=utf-8", "\u{feff}[]\r\n\r\n1", &["[]", "1"]),
            ("application/json-seq", "\u{1e}[1]\n\u{1e}\u{1e}2\n", &["[1]", "2"]),
            // In no other form is a record separator white space, and a form feed in none.
            ("application/x-ndjson", "\u{1e}1\n", &["\u{1e}1"]),
            ("application/json-seq", "1\u{c}\n", &["1\u{c}"]),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(elements(content_type, text, piece).unwrap(), expected, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn elements_are_known_by_where_they_begin() {
        for (text, positions) in [
            ("{}\n {\"ü\":\n1}[2]\n\n3", &[(1, 1), (2, 2), (3, 3), (5, 1)][..]),
            ("[\"ü\", {},\r\n\t4]", &[(1, 2), (1, 7), (2, 2)]),
        ] {
            for piece in 1..=text.len() {
                let mut elements = JsonStreamDecoder::new(b"", 64);
                let mut found = Vec::new();
                for chunk in text.as_bytes().chunks(piece) {
                    elements.push(chunk);
                    while elements.next().unwrap().is_some() {
                        found.push(elements.position());
                    }
                }
                if elements.finish().unwrap().is_some() {
                    found.push(elements.position());
                }
                assert_eq!(found, positions, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn events_are_their_data() {
        let text = ": hello\nevent: x\ndata: {\"a\":\ndata: 1}\r\n\r\n\ndata:{}\n\n";
        for piece in 1..=text.len() {
            let found = elements("text/event-stream; charset=utf-8", text, piece).unwrap();
            assert_eq!(found, ["{\"a\":\n1}", "{}"], "by {piece}");
        }
        assert_eq!(elements("text/event-stream", "data: {}", 3).unwrap(), ["{}"]);
    }

    #[cfg(feature = "client")]
    #[test]
    #[cfg(feature = "client")]
    fn an_envelope_is_an_object_of_one_member() {
        for (object, value) in [
            (r#"{"result":{"a":"}"}}"#, Some(r#"{"a":"}"}"#)),
            (" { \"result\" : [1, 2] } ", Some("[1, 2]")),
            (r#"{"result":"a,b"}"#, Some(r#""a,b""#)),
            (r#"{"result":{},"next":{}}"#, None),
            (r#"{"results":{}}"#, None),
            (r#"{"a":{"result":{}}}"#, None),
            (r#"{"result":}"#, None),
            ("{}", None),
        ] {
            let found = only_member(object.as_bytes(), "result");
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{object}");
        }
    }

    #[test]
    fn what_is_cut_off_or_too_large_or_no_list_is_an_error() {
        let large = format!("[\"{}\"]", "x".repeat(100));
        for (text, error) in [
            ("[{}", JsonStreamError::Truncated),
            ("[{},", JsonStreamError::Truncated),
            ("[", JsonStreamError::Truncated),
            ("{\"a\":", JsonStreamError::Truncated),
            ("[{}] x", JsonStreamError::Malformed("text after the array")),
            ("[{} {}]", JsonStreamError::Malformed("no comma between two elements")),
            ("[{},]", JsonStreamError::Malformed("a comma before the end of the array")),
            (&large, JsonStreamError::TooLarge(64)),
        ] {
            for piece in [1, 7, 200] {
                assert_eq!(elements("application/json", text, piece), Err(error.clone()), "{text} by {piece}");
            }
        }
    }
}
