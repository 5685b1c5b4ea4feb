//! The rows of a file: a Space in each line, or CSV with a header of field paths.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use google_chat::{
    Space,
    protojson::{FieldPath, MessageDescriptor, TextError},
};
use prost::Message as _;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};

use super::csv::{Csv, NOT_UTF8, Record};
use crate::{failure::Failure, output};

/// The longest row that is read, in bytes: more than any Space may have.
pub(super) const LONGEST: usize = 1 << 20;

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
    /// Its number among the rows of the file, from 0.
    pub(super) number: u64,
    pub(super) line: u64,
    pub(super) space: Space,
    /// The request id, if the file gives one.
    pub(super) request_id: Option<String>,
}

impl Row {
    /// Tells the row from what it may have been changed to.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = Context::new(&SHA256);
        hash.update(self.request_id.as_deref().unwrap_or_default().as_bytes());
        hash.update(&self.space.encode_to_vec());
        hash.finish().as_ref()[..8].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
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
    space: MessageDescriptor,
    /// What each row begins with, encoded; the row's own fields come after it, and so
    /// count.
    template: Vec<u8>,
    /// The same as JSON, where it has more than the type of the space: a row's own `false`
    /// or list is not to be joined with it.
    defaults: Option<Map<String, Value>>,
    /// The number of the next row.
    number: u64,
}

enum Form {
    Ndjson { reader: BufReader<Hashing>, line: u64, text: Vec<u8>, ended: bool },
    Csv { reader: Csv<BufReader<Hashing>>, columns: Option<Vec<Column>> },
}

/// What the values of a column of CSV are.
#[derive(PartialEq, Eq)]
enum Column {
    Field(String),
    RequestId,
}

/// A file, of which everything that is read goes into a hash.
struct Hashing {
    file: File,
    hash: Context,
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
    ///
    /// # Errors
    ///
    /// If it cannot be read from its start, or is no UTF-8.
    pub(super) fn new(mut file: File, format: Format, template: Vec<u8>) -> Result<Self, Failure> {
        file.rewind().map_err(|error| Failure::usage("the rows must be in a file").because(error))?;
        let mut reader = BufReader::with_capacity(1 << 16, Hashing { file, hash: Context::new(&SHA256) });
        let start = reader.fill_buf().map_err(|error| Failure::usage("the rows cannot be read").because(error))?;
        match start {
            [0xef, 0xbb, 0xbf, ..] => reader.consume(3),
            // A byte order mark, or a Latin letter in two or four bytes.
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, _, ..] | [_, 0, ..] => {
                return Err(Failure::usage("the rows are in UTF-16; save the file as UTF-8 (in Excel: CSV UTF-8)"));
            }
            _ => {}
        }
        let form = match format {
            Format::Ndjson => Form::Ndjson { reader, line: 0, text: Vec::new(), ended: false },
            Format::Csv => Form::Csv { reader: Csv::new(reader), columns: None },
        };
        let space = output::schema().message("google.chat.v1.Space");
        let space = space.ok_or_else(|| Failure::machine("no message Space"))?;
        let defaults: Value = space
            .to_json(&template)
            .map_err(Failure::machine)
            .and_then(|json| serde_json::from_str(&json).map_err(Failure::machine))?;
        let defaults = defaults.as_object().filter(|defaults| defaults.len() > 1).cloned();
        Ok(Self { form, space, template, defaults, number: 0 })
    }

    /// How many rows were read.
    pub(super) fn count(&self) -> u64 {
        self.number
    }

    /// What the file holds, once all of it was read, as hexadecimal digits.
    pub(super) fn digest(self) -> String {
        let file = match self.form {
            Form::Ndjson { reader, .. } => reader.into_inner(),
            Form::Csv { reader, .. } => reader.into_inner().into_inner(),
        };
        let mut hash = file.hash;
        hash.update(&self.template);
        hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Row, Bad>> {
        let number = self.number;
        let row = match &mut self.form {
            Form::Ndjson { ended: true, .. } => return None,
            Form::Ndjson { reader, line, text, ended } => loop {
                text.clear();
                *line += 1;
                let bad = |problem: String| Bad { line: *line, column: None, problem };
                match reader.take(LONGEST as u64 + 1).read_until(b'\n', text) {
                    Ok(0) => return None,
                    Ok(len) if len > LONGEST => {
                        // What comes next is no row.
                        let _ = io::copy(reader, &mut io::sink());
                        break Err(bad(format!("the row is longer than {LONGEST} bytes")));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        // To read on would fail for ever.
                        *ended = true;
                        break Err(bad(error.to_string()));
                    }
                }
                let json = text.trim_ascii_end();
                if json.is_empty() {
                    continue;
                }
                let template = Template { wire: &self.template, json: self.defaults.as_ref() };
                match from_json(&self.space, &template, json, *line) {
                    Ok(None) => {}
                    Ok(Some((space, request_id))) => break Ok(Row { number, line: *line, space, request_id }),
                    Err(bad) => break Err(bad),
                }
            },
            Form::Csv { reader, columns } => loop {
                let record = match reader.record() {
                    Ok(Some(record)) => record,
                    Ok(None) => return None,
                    Err(bad) => break Err(bad),
                };
                let Some(columns) = columns else {
                    match read_header(&self.space, &record) {
                        Ok(header) => *columns = Some(header),
                        Err(bad) => {
                            // Nothing can be said of the rows under it.
                            while !matches!(reader.record(), Ok(None)) {}
                            break Err(bad);
                        }
                    }
                    continue;
                };
                break from_csv(&self.space, &self.template, columns, &record).map(|(space, request_id)| Row {
                    number,
                    line: record.line,
                    space,
                    request_id,
                });
            },
        };
        self.number += 1;
        Some(row)
    }
}

fn read_header(space: &MessageDescriptor, record: &Record) -> Result<Vec<Column>, Bad> {
    let mut columns: Vec<Column> = Vec::new();
    for (at, path) in record.values.iter().map(|path| path.trim()).enumerate() {
        let bad = |problem| Err(Bad { line: record.line, column: Some(at as u64 + 1), problem });
        let column = match path {
            "requestId" | "request_id" => Column::RequestId,
            _ => Column::Field(path.to_owned()),
        };
        if let Column::Field(path) = &column
            && let Err(TextError::Path(problem)) =
                FieldPath::parse(space, path).and_then(|path| path.put_text(&mut Vec::new(), ""))
        {
            return bad(format!("the header: {problem}"));
        }
        if columns.contains(&column) {
            return bad(format!("the header: `{path}` comes twice"));
        }
        columns.push(column);
    }
    Ok(columns)
}

type Values = (Space, Option<String>);

fn from_csv(space: &MessageDescriptor, template: &[u8], columns: &[Column], record: &Record) -> Result<Values, Bad> {
    let Record { line, values } = record;
    if values.len() != columns.len() {
        let problem = format!("{} values, where the header has {} fields", values.len(), columns.len());
        return Err(Bad { line: *line, column: None, problem });
    }
    let (mut wire, mut request_id) = (template.to_vec(), None);
    for (at, (column, text)) in columns.iter().zip(values).enumerate() {
        match column {
            // An empty value is none.
            _ if text.is_empty() => {}
            Column::RequestId => request_id = Some(text.clone()),
            Column::Field(path) => put_text(space, &mut wire, path, text).map_err(|error| Bad {
                line: *line,
                column: Some(at as u64 + 1),
                problem: format!("{path}: {error}"),
            })?,
        }
    }
    Ok((decode(&wire, *line)?, request_id))
}

fn put_text(space: &MessageDescriptor, wire: &mut Vec<u8>, path: &str, text: &str) -> Result<(), TextError> {
    // Spreadsheets write TRUE and FALSE. A field that is no bool has taken or refused the
    // text as it is.
    let lower = || Some(text.to_ascii_lowercase()).filter(|lower| lower == "true" || lower == "false");
    let field = FieldPath::parse(space, path)?;
    field.put_text(wire, text).or_else(|error| match lower() {
        Some(lower) => field.put_text(wire, &lower).map_err(|_| error),
        None => Err(error),
    })
}

/// A row of NDJSON: a Space, perhaps with a `requestId` beside its fields, or an object
/// with a `space` and a `requestId`, as a run writes the rows that it could not create.
/// `None` for the line by which a run knows that file again.
fn from_json(
    space: &MessageDescriptor,
    template: &Template<'_>,
    json: &[u8],
    line: u64,
) -> Result<Option<Values>, Bad> {
    let bad = |column, problem| Bad { line, column, problem };
    let text = std::str::from_utf8(json).map_err(|_| bad(None, NOT_UTF8.to_owned()))?;
    let explain = |error: &google_chat::protojson::ParseError| {
        let place = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
        format!("{place}{}", error.problem())
    };
    let error = match space.from_json(text) {
        Ok(wire) => {
            let row = || serde_json::from_str(text).unwrap_or_default();
            return Ok(Some((template.complete(space, &wire, row, line)?, None)));
        }
        Err(error) => error,
    };
    let mut object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    if object.contains_key("gchat") && object.contains_key("journal") {
        return Ok(None);
    }
    let id = object.shift_remove("requestId").or_else(|| object.shift_remove("request_id"));
    let wrapped = object.shift_remove("space");
    let inner = match (wrapped, &id) {
        (Some(wrapped), _) => {
            let beside = ["line", "error", "unknown"];
            if let Some(other) = object.keys().find(|key| !beside.contains(&key.as_str())) {
                return Err(bad(None, format!("{other}: unknown field beside `space`")));
            }
            wrapped
        }
        (None, Some(_)) => Value::Object(object),
        (None, None) => return Err(bad(Some(error.column() as u64), explain(&error))),
    };
    let request_id = match id {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id).filter(|id| !id.is_empty()),
        Some(other) => return Err(bad(None, format!("requestId: expected a string, found {other}"))),
    };
    let wire = space.from_json(inner.to_string()).map_err(|error| bad(None, explain(&error)))?;
    Ok(Some((template.complete(space, &wire, || inner, line)?, request_id)))
}

/// What the flags give to every row.
struct Template<'t> {
    wire: &'t [u8],
    json: Option<&'t Map<String, Value>>,
}

impl Template<'_> {
    /// The space of a row, which is given both encoded and as JSON, with what the row
    /// does not say.
    fn complete(
        &self,
        space: &MessageDescriptor,
        wire: &[u8],
        row: impl FnOnce() -> Value,
        line: u64,
    ) -> Result<Space, Bad> {
        let Some(defaults) = self.json else { return decode(&[self.wire, wire].concat(), line) };
        let mut row = row();
        if let Value::Object(row) = &mut row {
            fill_in(row, defaults);
        }
        let wire = space.from_json(row.to_string());
        decode(&wire.map_err(|error| Bad { line, column: None, problem: error.to_string() })?, line)
    }
}

/// Adds the members of `defaults` that an object has under neither of their names.
fn fill_in(object: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    // The two are one oneof: a row that has one does not take the other.
    const PERMISSIONS: [&str; 2] = ["permissionSettings", "predefinedPermissionSettings"];
    for (name, default) in defaults {
        let own = |object: &Map<String, Value>, name: &str| {
            [name.to_owned(), proto_name(name)].into_iter().find(|name| object.contains_key(name))
        };
        match own(object, name) {
            Some(own) => {
                if let (Value::Object(defaults), Some(Value::Object(inner))) = (default, object.get_mut(&own)) {
                    fill_in(inner, defaults);
                }
            }
            None if PERMISSIONS.contains(&&**name) && PERMISSIONS.iter().any(|name| own(object, name).is_some()) => {}
            None => {
                object.insert(name.clone(), default.clone());
            }
        }
    }
}

/// `display_name` for `displayName`.
fn proto_name(json_name: &str) -> String {
    let mut name = String::with_capacity(json_name.len() + 4);
    for letter in json_name.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn decode(wire: &[u8], line: u64) -> Result<Space, Bad> {
    Space::decode(wire).map_err(|error| Bad { line, column: None, problem: error.to_string() })
}
