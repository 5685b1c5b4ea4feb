//! The rows of a file: a Space in each line, or CSV with a header of field paths.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use google_chat::{Space, schema::Message, transcoding::TextError};
use prost::Message as _;
use sha2::{Digest, Sha256};

use crate::{failure::Failure, output};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A Space as JSON in each line
    Ndjson,
    /// A header of field paths, then values
    Csv,
}

impl Format {
    pub(super) fn of(file: &Path) -> Self {
        match file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            true => Self::Csv,
            false => Self::Ndjson,
        }
    }
}

/// A row that can be sent.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) space: Space,
}

/// What is wrong with a row, and where.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) line: u64,
    /// Of the text, or in CSV the number of the value.
    pub(super) column: Option<u64>,
    pub(super) problem: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.line)?;
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        write!(f, " {}", self.problem)
    }
}

/// Reads a file row by row.
pub(super) struct Rows {
    form: Form,
    space: Message,
    /// What each row begins with, encoded; the row's own fields come after it, and so
    /// count.
    template: Vec<u8>,
}

enum Form {
    Ndjson { reader: BufReader<Hashing>, line: u64, text: Vec<u8> },
    Csv { reader: Box<csv::Reader<Hashing>>, record: csv::StringRecord, header: Option<Vec<String>> },
}

/// A file, of which everything that is read goes into a hash.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

impl Rows {
    /// Begins at the start of the file.
    pub(super) fn new(mut file: File, format: Format, template: Vec<u8>) -> Result<Self, Failure> {
        file.rewind().map_err(|error| Failure::usage(format!("the rows must be in a file: {error}")))?;
        let file = Hashing { file, hash: Sha256::new() };
        let form = match format {
            Format::Ndjson => {
                Form::Ndjson { reader: BufReader::with_capacity(1 << 16, file), line: 0, text: Vec::new() }
            }
            Format::Csv => {
                let mut builder = csv::ReaderBuilder::new();
                let reader = builder.has_headers(false).buffer_capacity(1 << 16).from_reader(file);
                Form::Csv { reader: Box::new(reader), record: csv::StringRecord::new(), header: None }
            }
        };
        let space = output::schema()?.message("google.chat.v1.Space");
        Ok(Self { form, space: space.ok_or_else(|| Failure::machine("no message Space"))?, template })
    }

    /// What the file holds, once all of it was read, as hexadecimal digits.
    pub(super) fn digest(self) -> String {
        let file = match self.form {
            Form::Ndjson { reader, .. } => reader.into_inner(),
            Form::Csv { reader, .. } => reader.into_inner(),
        };
        let mut hash = file.hash;
        hash.update(&self.template);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Row, Bad>> {
        match &mut self.form {
            Form::Ndjson { reader, line, text } => loop {
                text.clear();
                *line += 1;
                match reader.read_until(b'\n', text) {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some(Err(Bad { line: *line, column: None, problem: error.to_string() })),
                }
                let json = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text).trim_ascii_end();
                if !json.trim_ascii_start().is_empty() {
                    return Some(from_json(&self.space, &self.template, json, *line));
                }
            },
            Form::Csv { reader, record, header } => loop {
                let line = reader.position().line();
                let bad = |error: csv::Error| {
                    let at = error.position().map_or(line, csv::Position::line);
                    let problem = match error.kind() {
                        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                            format!("{len} values, where the header has {expected_len} fields")
                        }
                        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
                        _ => error.to_string(),
                    };
                    Bad { line: at, column: None, problem }
                };
                match reader.read_record(record) {
                    Ok(false) => return None,
                    Ok(true) => {}
                    Err(error) => return Some(Err(bad(error))),
                }
                let line = record.position().map_or(line, csv::Position::line);
                let Some(paths) = header else {
                    match read_header(&self.space, record, line) {
                        Ok(paths) => *header = Some(paths),
                        Err(bad) => {
                            // Nothing can be said of the rows under it.
                            while reader.read_record(record).is_ok_and(|more| more) {}
                            return Some(Err(bad));
                        }
                    }
                    continue;
                };
                let mut wire = self.template.clone();
                for (at, (path, text)) in paths.iter().zip(record.iter()).enumerate() {
                    // An empty value is none.
                    if text.is_empty() {
                        continue;
                    }
                    if let Err(error) = self.space.put_text(&mut wire, path, text) {
                        let problem = format!("{path}: {error}");
                        return Some(Err(Bad { line, column: Some(at as u64 + 1), problem }));
                    }
                }
                return Some(decode(&wire, line));
            },
        }
    }
}

fn read_header(space: &Message, record: &csv::StringRecord, line: u64) -> Result<Vec<String>, Bad> {
    let mut paths: Vec<String> = Vec::new();
    for (at, path) in record.iter().map(str::trim).enumerate() {
        let bad = |problem| Err(Bad { line, column: Some(at as u64 + 1), problem });
        if let Err(TextError::Path(problem)) = space.put_text(&mut Vec::new(), path, "") {
            return bad(format!("the header: {problem}"));
        }
        if paths.iter().any(|other| other == path) {
            return bad(format!("the header: `{path}` comes twice"));
        }
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// A row of NDJSON: a Space, or what a run wrote of one that failed.
fn from_json(space: &Message, template: &[u8], json: &[u8], line: u64) -> Result<Row, Bad> {
    let text = std::str::from_utf8(json).map_err(|_| Bad { line, column: None, problem: "not UTF-8".to_owned() })?;
    let wire = space.from_json(text).or_else(|error| {
        let row: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).ok();
        let failed = row.filter(|row| row.contains_key("error")).and_then(|row| row.get("space").cloned());
        failed.and_then(|failed| space.from_json(failed.to_string()).ok()).ok_or(error)
    });
    let wire = wire.map_err(|error| {
        let place = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
        Bad { line, column: Some(error.column() as u64), problem: format!("{place}{}", error.problem()) }
    })?;
    decode(&[template, &wire].concat(), line)
}

fn decode(wire: &[u8], line: u64) -> Result<Row, Bad> {
    let space = Space::decode(wire).map_err(|error| Bad { line, column: None, problem: error.to_string() })?;
    Ok(Row { line, space })
}
