//! CSV as RFC 4180 has it and as spreadsheets write it.

use std::io::{self, BufRead};

use super::rows::{Bad, LONGEST};

/// Reads records, and knows in which line each begins.
///
/// A line ends with LF, CRLF or CR. Values are separated by the first comma, semicolon
/// or tab of the header: where a comma is the decimal point, Excel separates them by
/// semicolons.
pub(super) struct Csv<R> {
    reader: R,
    separator: Option<u8>,
    line: u64,
    /// The last byte was a CR, which has ended its line already.
    after_cr: bool,
    /// Nothing more can be read.
    ended: bool,
}

pub(super) struct Record {
    pub(super) line: u64,
    pub(super) values: Vec<String>,
}

/// Where in a value the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    /// In quotes that opened in this line.
    Quoted(u64),
    /// After the quotes that opened in this line.
    Closed(u64),
}

impl<R: BufRead> Csv<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, separator: None, line: 1, after_cr: false, ended: false }
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// The next record that is not an empty line; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the record. The next call goes on behind it.
    pub(super) fn record(&mut self) -> Result<Option<Record>, Bad> {
        let (mut values, mut value, mut len) = (Vec::new(), Vec::new(), 0);
        let (mut place, mut begin) = (Place::Start, self.line);
        loop {
            let Some(byte) = self.byte()? else {
                match place {
                    Place::Quoted(line) => return Err(bad(line, "the quote that opens in this line is not closed")),
                    Place::Start if values.is_empty() => return Ok(None),
                    _ => break,
                }
            };
            len += 1;
            if len > LONGEST {
                self.ended = true;
                let (line, why) = match place {
                    Place::Quoted(line) => (line, ": the quote that opens in this line may not be closed"),
                    _ => (begin, ""),
                };
                return Err(bad(line, format!("the row is longer than {LONGEST} bytes{why}")));
            }
            place = match (place, byte) {
                (Place::Quoted(line), b'"') if self.peek()? != Some(b'"') => Place::Closed(line),
                (Place::Quoted(_), _) => {
                    if byte == b'"' {
                        self.byte()?;
                    }
                    value.push(byte);
                    place
                }
                (Place::Start, b'"') => Place::Quoted(self.line),
                (_, b'\r' | b'\n') => {
                    if byte == b'\r' && self.peek()? == Some(b'\n') {
                        self.byte()?;
                    }
                    if place != Place::Start || !values.is_empty() {
                        break;
                    }
                    begin = self.line;
                    place
                }
                (_, byte) if self.separates(byte) => {
                    values.push(std::mem::take(&mut value));
                    Place::Start
                }
                (Place::Closed(line), _) => {
                    self.skip_line()?;
                    return Err(bad(
                        line,
                        "the quotes that open in this line are closed in the middle of a value; is one missing or, \
                         within the value, not doubled?",
                    ));
                }
                (Place::Start | Place::Plain, _) => {
                    value.push(byte);
                    Place::Plain
                }
            };
        }
        values.push(value);
        // All that follows the header has its separator.
        self.separator.get_or_insert(b',');
        let values: Result<_, _> = values.into_iter().map(String::from_utf8).collect();
        match values {
            Ok(values) => Ok(Some(Record { line: begin, values })),
            Err(_) => Err(bad(begin, NOT_UTF8)),
        }
    }

    fn separates(&mut self, byte: u8) -> bool {
        match self.separator {
            Some(separator) => byte == separator,
            None if matches!(byte, b',' | b';' | b'\t') => {
                self.separator = Some(byte);
                true
            }
            None => false,
        }
    }

    fn skip_line(&mut self) -> Result<(), Bad> {
        let line = self.line;
        while self.line == line && self.byte()?.is_some() {}
        if self.after_cr && self.peek()? == Some(b'\n') {
            self.byte()?;
        }
        Ok(())
    }

    /// Takes a byte, and counts lines.
    fn byte(&mut self) -> Result<Option<u8>, Bad> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.reader.consume(1);
            self.line += u64::from(byte == b'\r' || byte == b'\n' && !self.after_cr);
            self.after_cr = byte == b'\r';
        }
        Ok(byte)
    }

    fn peek(&mut self) -> Result<Option<u8>, Bad> {
        if self.ended {
            return Ok(None);
        }
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.peek(),
            Err(error) => {
                self.ended = true;
                Err(bad(self.line, error.to_string()))
            }
        }
    }
}

pub(super) const NOT_UTF8: &str = "the row is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)";

fn bad(line: u64, problem: impl Into<String>) -> Bad {
    Bad { line, column: None, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_line_in_which_they_begin() {
        for (text, expected) in [
            ("a,b\nc,d\n", "1[a|b] 2[c|d]"),
            ("a,b\r\nc,d\r\ne,f", "1[a|b] 2[c|d] 3[e|f]"),
            ("a\rb\rc", "1[a] 2[b] 3[c]"),
            ("a\r\n\r\n\nb\r\n", "1[a] 4[b]"),
            ("a,b\n\"x\r\ny\",z\nc,d", "1[a|b] 2[x\r\ny|z] 4[c|d]"),
            ("a;b\nc,1;d", "1[a|b] 2[c,1|d]"),
            ("a\tb\nc;1\td", "1[a|b] 2[c;1|d]"),
            ("a\nb;c", "1[a] 2[b;c]"),
            ("a,b\n\"he said \"\"no\"\", twice\",\"\"\n", "1[a|b] 2[he said \"no\", twice|]"),
            ("a,b\n5\" pipe,\n,\n", "1[a|b] 2[5\" pipe|] 3[|]"),
            ("", ""),
            // What is wrong is told, and the next record is read.
            ("a,b\n1,\"x\n2,y\n", "1[a|b] 2!the quote that opens in this line is not closed"),
            ("a,b\r\n\"x\"y,z\r\n1,2", "1[a|b] 2!the quotes that open in this line 3[1|2]"),
            ("a\n\"x\ny\"z\"\nb", "1[a] 2!the quotes that open in this line 4[b]"),
        ] {
            let mut csv = Csv::new(text.as_bytes());
            let mut found = Vec::new();
            loop {
                match csv.record() {
                    Ok(None) => break,
                    Ok(Some(record)) => found.push(format!("{}[{}]", record.line, record.values.join("|"))),
                    Err(bad) => found.push(format!("{}!{}", bad.line, bad.problem)),
                }
            }
            let found: Vec<&str> = found
                .iter()
                .map(|found| found.split_once(" are closed in").map_or(found.as_str(), |(start, _)| start))
                .collect();
            assert_eq!(found.join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_read_on_for_ever() {
        let text = format!("a\n\"{}", "x\n".repeat(LONGEST));
        let mut csv = Csv::new(text.as_bytes());
        assert!(csv.record().is_ok_and(|record| record.is_some()));
        let bad = csv.record().err().unwrap();
        assert!(bad.line == 2 && bad.problem.contains("may not be closed"), "{bad}");
        assert!(csv.record().is_ok_and(|record| record.is_none()));
    }
}
