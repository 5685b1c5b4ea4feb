//! JSON text, token by token (RFC 8259).

use std::borrow::Cow;

use crate::{ParseError, buf, number};

pub(crate) type Parsed<T = ()> = Result<T, ParseError>;

/// A place in a text that was checked to be UTF-8.
pub(crate) struct Lexer<'t> {
    pub(crate) text: &'t [u8],
    pub(crate) at: usize,
}

/// An object or a list.
pub(crate) struct Container {
    name: &'static str,
    open: u8,
    close: u8,
    next: &'static str,
}

pub(crate) const OBJECT: Container = Container { name: "an object", open: b'{', close: b'}', next: "`,` or `}`" };
pub(crate) const LIST: Container = Container { name: "a list", open: b'[', close: b']', next: "`,` or `]`" };

/// Told of each key that is passed over: where its object begins, the key, and where its
/// value begins.
pub(crate) type OnKey<'f> = &'f mut dyn FnMut(usize, &[u8], usize);

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        // A byte order mark is no part of the text.
        Self { text, at: if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn skip_space(&mut self) {
        // Mostly there is none.
        if self.text.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.skip_long_space();
        }
    }

    #[inline(never)]
    fn skip_long_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    /// Moves past `byte` if it is the next one that is not white space.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The place of the next token.
    pub(crate) fn position(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    #[cold]
    pub(crate) fn error(&self, problem: impl Into<Box<str>>) -> ParseError {
        ParseError::new(problem, self.at)
    }

    #[cold]
    pub(crate) fn too_deep(&self) -> ParseError {
        self.error("the text nests deeper than 100 levels")
    }

    /// The error of a token that is not `what`.
    #[cold]
    pub(crate) fn expected(&mut self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(b'"') => {
                let (at, string) = (self.at, self.string());
                self.at = at;
                match string {
                    Ok(text) => excerpt(&text),
                    Err(error) => return error,
                }
            }
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(_) => match (self.word(), number::scan_number(&self.text[self.at..])) {
                ("true" | "false", _) => "a bool".to_owned(),
                ("null", _) => "null".to_owned(),
                (_, Some(len)) => {
                    let number = &self.text[self.at..][..len.min(40)];
                    format!("the number {}", String::from_utf8_lossy(number))
                }
                (word, None) => format!("`{word}`"),
            },
        };
        self.error(format!("expected {what}, found {found}"))
    }

    /// The letters and digits at this place, at most 40, or the one character that is
    /// no such.
    fn word(&self) -> &'t str {
        let rest = &self.text[self.at..(self.at + 160).min(self.text.len())];
        // A cut in the middle of a character leaves what is before it.
        let rest = match std::str::from_utf8(rest) {
            Ok(rest) => rest,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        let ends = |(at, c): (usize, char)| (at > 0 && !c.is_alphanumeric()).then_some(at);
        let limit = rest.char_indices().nth(40).map_or(rest.len(), |(at, _)| at);
        let end = rest.char_indices().find_map(ends).unwrap_or(rest.len());
        let first = rest.chars().next();
        let end = if first.is_some_and(char::is_alphanumeric) { end } else { first.map_or(0, char::len_utf8) };
        &rest[..end.min(limit)]
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Parsed {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// Moves past `true`, `false` or `null`.
    pub(crate) fn literal(&mut self, word: &str) -> Parsed {
        self.skip_space();
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected(&format!("`{word}`")))
    }

    /// The number at this place, as text.
    #[inline]
    pub(crate) fn number(&mut self) -> Parsed<&'t [u8]> {
        self.skip_space();
        let rest = &self.text[self.at..];
        match number::scan_number(rest) {
            Some(len) => {
                self.at += len;
                Ok(&rest[..len])
            }
            None => Err(self.expected("a number")),
        }
    }

    /// A string, with its escapes resolved.
    pub(crate) fn string(&mut self) -> Parsed<Cow<'t, str>> {
        // The whole text was checked to be UTF-8, quotes are ASCII, and escapes are
        // characters: nothing is replaced.
        Ok(match self.string_bytes()? {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// A string as its bytes, with its escapes resolved.
    #[inline]
    pub(crate) fn string_bytes(&mut self) -> Parsed<Cow<'t, [u8]>> {
        match self.plain_string()? {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => self.escaped_bytes().map(Cow::Owned),
        }
    }

    #[inline(never)]
    fn escaped_bytes(&mut self) -> Parsed<Vec<u8>> {
        let mut text = Vec::new();
        self.escaped_string(&mut text)?;
        Ok(text)
    }

    /// A string without escapes; `None`, without advancing, if it has some.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn plain_string(&mut self) -> Parsed<Option<&'t [u8]>> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        let rest = &self.text[self.at + 1..];
        let len = buf::plain_run(rest);
        match rest.get(len) {
            Some(b'"') => {
                self.at += len + 2;
                Ok(Some(&rest[..len]))
            }
            Some(b'\\') => Ok(None),
            Some(_) => Err(ParseError::new(CONTROL, self.at + 1 + len)),
            None => Err(ParseError::new(ENDLESS, self.at)),
        }
    }

    /// A string without escapes whose opening quote is before `at`, and where it
    /// ends; `None` for any other.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn plain_from(&self, at: usize) -> Option<(&'t [u8], usize)> {
        let rest = &self.text[at..];
        let len = buf::plain_run(rest);
        (rest.get(len) == Some(&b'"')).then(|| (&rest[..len], at + len + 1))
    }

    /// Appends a string that has escapes to `out`.
    pub(crate) fn escaped_string(&mut self, out: &mut Vec<u8>) -> Parsed {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let len = buf::plain_run(rest);
            out.extend_from_slice(&rest[..len]);
            self.at += len;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.error(CONTROL)),
                None => return Err(ParseError::new(ENDLESS, start)),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let c = match self.text.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error("an escape that JSON does not have")),
        };
        self.at += 2;
        Ok(c)
    }

    /// `\uXXXX`, or two of them that are a surrogate pair.
    fn unicode_escape(&mut self) -> Parsed<char> {
        let half = "half of a surrogate pair";
        let unit = self.unit(self.at)?;
        self.at += 6;
        let code = match unit {
            0xd800..0xdc00 => {
                let Ok(low @ 0xdc00..0xe000) = self.unit(self.at) else { return Err(self.error(half)) };
                self.at += 6;
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            unit => unit,
        };
        char::from_u32(code).ok_or_else(|| self.error(half))
    }

    /// The UTF-16 code unit that `\uXXXX` at `at` gives.
    fn unit(&self, at: usize) -> Parsed<u32> {
        let escape = self.text.get(at..at + 6).and_then(|escape| escape.strip_prefix(b"\\u"));
        let digits = escape.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| ParseError::new("expected four hexadecimal digits after \\u", at))
    }

    /// Moves into an object or a list. `false`, and behind it, if it is empty.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn open(&mut self, container: &Container) -> Parsed<bool> {
        if !self.eat(container.open) {
            return Err(self.expected(container.name));
        }
        Ok(!self.eat(container.close))
    }

    /// Moves from a member or an element to the next. `false`, and behind the object or the
    /// list, at its end.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn next(&mut self, container: &Container) -> Parsed<bool> {
        let byte = self.peek();
        if byte != Some(b',') && byte != Some(container.close) {
            return Err(self.expected(container.next));
        }
        self.at += 1;
        Ok(byte == Some(b','))
    }

    /// The key of a member, with its escapes resolved, and where it is. Moves past the
    /// colon.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn key(&mut self) -> Parsed<(Cow<'t, [u8]>, usize)> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let at = self.at;
        let key = self.string_bytes()?;
        if self.eat(b':') { Ok((key, at)) } else { Err(self.expected("`:`")) }
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, depth: u32) -> Parsed {
        self.skip_with(depth, &mut |_, _, _| ())
    }

    /// Passes over a value, and reports its keys.
    pub(crate) fn skip_with(&mut self, depth: u32, on_key: OnKey<'_>) -> Parsed {
        if depth == 0 {
            return Err(self.too_deep());
        }
        match self.peek() {
            Some(b'"') => self.string_bytes().map(drop),
            Some(b'{') => {
                let start = self.at;
                let mut more = self.open(&OBJECT)?;
                while more {
                    let (key, _) = self.key()?;
                    on_key(start, &key, self.at);
                    self.skip_with(depth - 1, on_key)?;
                    more = self.next(&OBJECT)?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.open(&LIST)?;
                for index in 0.. {
                    if !more {
                        break;
                    }
                    self.skip_with(depth - 1, on_key).map_err(|error| error.within(&format!("[{index}]")))?;
                    more = self.next(&LIST)?;
                }
                Ok(())
            }
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(drop),
        }
    }
}

const CONTROL: &str = "a control character in a string; write it as \\u00XX";
const ENDLESS: &str = "the string does not end";

/// The first 40 characters of a text, in quotes.
pub(crate) fn excerpt(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_and_their_escapes_are_those_of_json() {
        for (text, expected) in [
            (r#""a""#, Ok("a")),
            (r#" "" "#, Ok("")),
            (r#""\"\\\/\b\f\n\r\t""#, Ok("\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\u00fc\uD83D\ude80!""#, Ok("\u{fc}\u{1F680}!")),
            (r#""a"#, Err("the string does not end")),
            (r#""\"#, Err("an escape that JSON does not have")),
            (r#""\x""#, Err("an escape that JSON does not have")),
            (r#""\u12g4""#, Err("expected four hexadecimal digits after \\u")),
            (r#""\u+123""#, Err("expected four hexadecimal digits after \\u")),
            (r#""\ud800""#, Err("half of a surrogate pair")),
            (r#""\ud800\u0041""#, Err("half of a surrogate pair")),
            (r#""\udc00""#, Err("half of a surrogate pair")),
            ("\"\n\"", Err("a control character in a string; write it as \\u00XX")),
            ("\"\\n\n\"", Err("a control character in a string; write it as \\u00XX")),
            ("'a'", Err("expected a string, found `'`")),
        ] {
            let read = Lexer::new(text.as_bytes()).string();
            let read = read.as_ref().map(|text| &**text).map_err(ParseError::problem);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_skipped_whole_and_only_if_it_is_json() {
        for text in ["1", "-0.5e+7", "\"\\n\"", "true", "null", "[]", "{}", "[1,[2,{\"a\":[]}]]", "{\"a\" : {\"b\":1}}"]
        {
            let padded = format!("{text},");
            let mut lexer = Lexer::new(padded.as_bytes());
            assert!(lexer.skip(5).is_ok(), "{text}");
            assert_eq!(lexer.at, text.len());
        }
        for text in ["", "01x", "+1", "nul", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "\"", "[[[[[[]]]]]]"] {
            let mut lexer = Lexer::new(text.as_bytes());
            assert!(lexer.skip(5).and_then(|()| lexer.end()).is_err(), "{text}");
        }
    }
}
