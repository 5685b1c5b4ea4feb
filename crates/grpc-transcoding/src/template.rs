//! The grammar of path templates. What they do with a path is in
//! [`crate::path`].

use std::{fmt, ops::Range};

use crate::percent;

/// The path template of an HTTP rule, parsed.
///
/// ```text
/// Template  = "/" Segments [ Verb ] ;
/// Segments  = Segment { "/" Segment } ;
/// Segment   = "*" | "**" | LITERAL | Variable ;
/// Variable  = "{" FieldPath [ "=" Segments ] "}" ;
/// FieldPath = IDENT { "." IDENT } ;
/// Verb      = ":" LITERAL ;
/// ```
///
/// Beyond that, as other gateways take it: `/` alone, for the root; and a colon in a
/// literal, since only the last colon of the last segment begins a verb. A literal and a
/// variable cannot share a segment (`/v1/prefix-{name}`): no other gateway takes that.
///
/// Source: [`google/api/http.proto`], "Path template syntax".
///
/// [`google/api/http.proto`]: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    source: Box<str>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<Box<str>>,
    /// Whether `%2F` is decoded in variables of several segments, too: a service
    /// config's `fully_decode_reserved_expansion`.
    pub(crate) decode_all: bool,
}

/// One segment of a template, with variables opened up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Literal),
    Star,
    DoubleStar,
}

/// The text of a literal segment, in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// As it is sent: what the template says, percent-encoded where needed.
    pub(crate) encoded: Box<str>,
    /// What that means: two segments are equal if this is.
    pub(crate) decoded: Box<str>,
}

/// A variable: a field path, and the segments that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) path: Box<str>,
    pub(crate) segments: Range<usize>,
}

/// Why a path template cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    template: Box<str>,
    at: usize,
    problem: Box<str>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path template `{}`: {} at column {}", self.template, self.problem, self.at + 1)
    }
}

impl std::error::Error for TemplateError {}

impl PathTemplate {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// Says what the grammar does not allow, and at which column: a missing
    /// leading slash, a variable within a variable, a variable named twice, more
    /// than one `**`, an unclosed brace, an empty segment.
    ///
    /// http.proto has `**` as the last segment only, but there are published
    /// APIs that go on after it (Discovery Engine's
    /// `{parent=…/dataStores/**}/suggestionDenyListEntries:purge`); as long as
    /// there is one, what it stands for is clear.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let after_segments = source.rfind(['/', '{', '}']).map_or(0, |at| at + 1);
        let verb_at = source[after_segments..].rfind(':').map_or(source.len(), |at| after_segments + at);
        let mut parser = Parser {
            source,
            at: 0,
            verb_at,
            template: Self {
                source: source.into(),
                segments: Vec::new(),
                variables: Vec::new(),
                verb: None,
                decode_all: false,
            },
        };
        parser.expect('/')?;
        if source.len() > 1 {
            parser.segments(false)?;
        }
        if parser.at == verb_at && parser.eat(':') {
            parser.verb_at = source.len();
            parser.template.verb = Some(parser.literal()?.encoded);
        }
        if parser.at < source.len() {
            return Err(parser.error("unexpected text"));
        }
        Ok(parser.template)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The field paths of the variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| &*variable.path)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    /// Where the colon of the verb is, or the end of the template.
    verb_at: usize,
    template: PathTemplate,
}

impl<'a> Parser<'a> {
    fn error(&self, problem: impl Into<Box<str>>) -> TemplateError {
        TemplateError { template: self.source.into(), at: self.at, problem: problem.into() }
    }

    fn eat(&mut self, token: char) -> bool {
        let found = self.source[self.at..].starts_with(token);
        self.at += if found { token.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, token: char) -> Result<(), TemplateError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(format!("expected `{token}`"))) }
    }

    fn segments(&mut self, inside: bool) -> Result<(), TemplateError> {
        loop {
            if self.source[self.at..].starts_with("***") {
                return Err(self.error("three stars"));
            } else if self.source[self.at..].starts_with("**") {
                if self.template.segments.contains(&Segment::DoubleStar) {
                    return Err(self.error("a second `**`"));
                }
                self.at += 2;
                self.template.segments.push(Segment::DoubleStar);
            } else if self.eat('*') {
                self.template.segments.push(Segment::Star);
            } else if self.source[self.at..].starts_with('{') {
                if inside {
                    return Err(self.error("a variable within a variable"));
                }
                self.at += 1;
                self.variable()?;
            } else {
                let literal = self.literal()?;
                self.template.segments.push(Segment::Literal(literal));
            }
            if !self.eat('/') {
                return Ok(());
            }
        }
    }

    fn variable(&mut self) -> Result<(), TemplateError> {
        let path = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let is_ident = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !path.split('.').all(is_ident) {
            return Err(self.error("expected a field path"));
        }
        if self.template.variables().any(|other| other == path) {
            return Err(self.error(format!("variable `{path}` comes twice")));
        }
        let start = self.template.segments.len();
        if self.eat('=') {
            self.segments(true)?;
        } else {
            self.template.segments.push(Segment::Star);
        }
        self.expect('}')?;
        let segments = start..self.template.segments.len();
        self.template.variables.push(Variable { path: path.into(), segments });
        Ok(())
    }

    fn literal(&mut self) -> Result<Literal, TemplateError> {
        let start = self.at;
        let mut text = self.take(|c| !matches!(c, '/' | '{' | '}' | '*' | '?' | '#') && !c.is_control());
        if self.at > self.verb_at {
            text = &self.source[start..self.verb_at];
            self.at = self.verb_at;
        }
        if text.is_empty() {
            return Err(self.error("an empty segment"));
        }
        // Literals are compared in the form in which they travel (http.proto:
        // reserved characters in a literal are percent-encoded).
        let mut encoded = String::with_capacity(text.len());
        for (i, byte) in text.bytes().enumerate() {
            let escape = byte == b'%' && text[i + 1..].bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
            if escape || byte.is_ascii_alphanumeric() || b"-_.~!$&'()+,;@:=".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        let decoded = percent::decode(&encoded, false).map_err(|problem| {
            self.at = start;
            self.error(format!("`{text}` cannot be decoded: {problem}"))
        })?;
        Ok(Literal { decoded: decoded.into(), encoded: encoded.into() })
    }

    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.source[self.at..];
        let text = &rest[..rest.find(|c| !keep(c)).unwrap_or(rest.len())];
        self.at += text.len();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(encoded: &str, decoded: &str) -> Segment {
        Segment::Literal(Literal { encoded: encoded.into(), decoded: decoded.into() })
    }

    #[test]
    fn the_grammar_is_read_in_full() {
        let template = PathTemplate::parse("/v1/{space.name=spaces/*}/x/{rest=a/**}:go").unwrap();
        assert_eq!(
            template.segments,
            [
                literal("v1", "v1"),
                literal("spaces", "spaces"),
                Segment::Star,
                literal("x", "x"),
                literal("a", "a"),
                Segment::DoubleStar,
            ]
        );
        assert_eq!(template.variables().collect::<Vec<_>>(), ["space.name", "rest"]);
        assert_eq!(template.variables[1].segments, 4..6);
        assert_eq!(template.verb.as_deref(), Some("go"));
        assert_eq!(
            PathTemplate::parse("/v1/{v}").unwrap().segments,
            PathTemplate::parse("/v1/{v=*}").unwrap().segments
        );
    }

    #[test]
    fn what_other_gateways_take_beyond_the_grammar_is_taken() {
        assert!(PathTemplate::parse("/").unwrap().segments.is_empty());
        for (source, segments, verb) in [
            ("/a:b/c", vec![literal("a:b", "a:b"), literal("c", "c")], None),
            ("/a:b:c", vec![literal("a:b", "a:b")], Some("c")),
            ("/{v=a:b/*}", vec![literal("a:b", "a:b"), Segment::Star], None),
            ("/{v=a:b}:c", vec![literal("a:b", "a:b")], Some("c")),
            ("/a=b/c d%2fé", vec![literal("a=b", "a=b"), literal("c%20d%2f%C3%A9", "c d/é")], None),
        ] {
            let template = PathTemplate::parse(source).unwrap();
            assert_eq!((&template.segments, template.verb.as_deref()), (&segments, verb), "{source}");
        }
    }

    #[test]
    fn what_the_grammar_forbids_is_refused() {
        for (template, problem) in [
            ("v1", "expected `/` at column 1"),
            ("/v1//a", "an empty segment at column 5"),
            ("/v1/", "an empty segment at column 5"),
            ("/v1/***", "three stars at column 5"),
            ("/v1/{a=**}/{b=**}", "a second `**` at column 15"),
            ("/v1/{a={b}}", "a variable within a variable at column 8"),
            ("/v1/{a}/{a}", "variable `a` comes twice at column 11"),
            ("/v1/{a", "expected `}` at column 7"),
            ("/v1/{}", "expected a field path at column 6"),
            ("/v1/{a.}", "expected a field path at column 8"),
            ("/v1/a:", "an empty segment at column 7"),
            ("/:a", "an empty segment at column 2"),
            ("/v1/a:b?c", "unexpected text at column 8"),
            ("/v1/prefix-{a}", "unexpected text at column 12"),
            ("/v1/a/%ff", "`%ff` cannot be decoded: it is not UTF-8 at column 7"),
            ("/v1/a?b", "unexpected text at column 6"),
            ("/v1/a*", "unexpected text at column 6"),
        ] {
            let error = PathTemplate::parse(template).unwrap_err().to_string();
            assert_eq!(error, format!("path template `{template}`: {problem}"));
        }
    }
}
