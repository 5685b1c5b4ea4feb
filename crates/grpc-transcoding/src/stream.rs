//! The messages of a streamed response, cut out of the text as it comes.
//!
//! Three forms are told apart by themselves: a JSON array, as Google's front
//! ends stream; values one after another (NDJSON); and server-sent events,
//! where the content type says so. What is kept is never more than the message
//! that is still incomplete.

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
}

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
        let events = essence.eq_ignore_ascii_case(b"text/event-stream");
        Self::of(if events { Form::Events } else { Form::Unknown }, limit)
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
        let size = element.as_ref().map_or(self.buffer.len() + self.event.len(), Bytes::len);
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

    fn skip_space(&mut self) {
        let space = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.buffer.advance(space);
    }

    fn next_value(&mut self) -> Result<Option<Bytes>, JsonStreamError> {
        if self.scanned == 0 {
            const MARK: &[u8] = b"\xef\xbb\xbf";
            if self.form == Form::Unknown && self.buffer.starts_with(MARK) {
                self.buffer.advance(MARK.len());
            } else if self.form == Form::Unknown && MARK.starts_with(&self.buffer) {
                return Ok(None);
            }
            self.skip_space();
            match (self.form, self.buffer.first()) {
                (_, None) => return Ok(None),
                (Form::Unknown, Some(b'[')) => {
                    self.buffer.advance(1);
                    self.form = Form::Array;
                    return self.next_value();
                }
                (Form::Unknown, Some(_)) => self.form = Form::Values,
                (Form::Array | Form::ArrayNext, Some(b']')) => {
                    self.buffer.advance(1);
                    self.form = Form::Done;
                    return self.next_value();
                }
                (Form::ArrayNext, Some(b',')) => {
                    self.buffer.advance(1);
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
            let bare = !self.in_string && self.nesting == 0;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    // What ends a value that is no object or list.
                    b',' | b']' | b'}' if bare => return Ok(Some(self.take(self.scanned))),
                    byte if bare && byte.is_ascii_whitespace() => return Ok(Some(self.take(self.scanned))),
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
        if len == 0 && !self.buffer.is_empty() {
            // A stray comma or bracket: given out as it is, it is no JSON.
            return self.buffer.split_to(1).freeze();
        }
        self.buffer.split_to(len).freeze()
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
            let line = self.buffer.split_to(len + 1);
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
            ("\u{feff}[{}]", &["{}"]),
        ] {
            for piece in 1..=text.len().max(1) {
                assert_eq!(elements("application/json", text, piece).unwrap(), expected, "{text:?} by {piece}");
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
