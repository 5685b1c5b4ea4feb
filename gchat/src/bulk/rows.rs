//! The rows of a file: an object of JSON in each line, or CSV with a header of field paths.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use google_chat::{
    Membership, Space,
    proto::google::chat::v1::membership::MemberType,
    protojson::{FieldPath, MessageDescriptor, ParseError, TextError},
};
use prost::Message;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};

use super::{
    csv::{Csv, NOT_UTF8, Record},
    job::{Item, Job},
    outcome::{Outcome, Reason},
};
use crate::{
    failure::Failure,
    people::{Invitee, Role},
};

/// The longest row that is read, in bytes: more than any Space may have.
pub(super) const LONGEST: usize = 1 << 20;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// An object of JSON in each line
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
    pub(super) item: Item,
    /// The request id, if the file gives one.
    pub(super) request_id: Option<String>,
    /// What the run knew of it that wrote the row to this file.
    pub(super) before: Option<Outcome>,
}

impl Row {
    /// Tells the row from what it may have been changed to.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = Context::new(&SHA256);
        hash.update(self.request_id.as_deref().unwrap_or_default().as_bytes());
        hash.update(&self.item.bytes());
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
    reader: Reader,
    /// The number of the next row.
    number: u64,
}

enum Form {
    Ndjson { reader: BufReader<Hashing>, line: u64, text: Vec<u8>, ended: bool },
    Csv { reader: Csv<BufReader<Hashing>>, columns: Option<Vec<Column>> },
}

/// Reads a row as what its job asks for.
struct Reader {
    job: Job,
    message: MessageDescriptor,
    /// What each row begins with, encoded; the row's own fields come after it, and so
    /// count.
    template: Vec<u8>,
    /// The same as JSON, where it has more than the type of the space: a row's own `false`
    /// or list is not to be joined with it.
    defaults: Option<Map<String, Value>>,
}

/// What the values of a column of CSV are.
#[derive(Clone, PartialEq, Eq)]
enum Column {
    Field(String),
    RequestId,
    Members,
    Space,
    Member,
    Role,
    Ignored,
}

/// What a row says beside the fields of its message.
#[derive(Default)]
struct Beside {
    request_id: Option<String>,
    members: Vec<Invitee>,
    space: Option<String>,
    member: Option<Invitee>,
    role: Option<Role>,
    before: Option<Outcome>,
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
    pub(super) fn new(mut file: File, format: Format, job: &Job) -> Result<Self, Failure> {
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
        Ok(Self { form, reader: Reader::new(job)?, number: 0 })
    }

    /// How many rows were read.
    pub(super) fn count(&self) -> u64 {
        self.number
    }

    /// What the file holds, once all of it was read, as hexadecimal digits.
    ///
    /// # Errors
    ///
    /// If the flags cannot be used.
    pub(super) fn digest(self) -> Result<String, Failure> {
        let file = match self.form {
            Form::Ndjson { reader, .. } => reader.into_inner(),
            Form::Csv { reader, .. } => reader.into_inner().into_inner(),
        };
        let mut hash = file.hash;
        hash.update(&self.reader.job.digest()?);
        Ok(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
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
                match self.reader.json_row(json, *line) {
                    Ok(None) => {}
                    Ok(Some((item, request_id, before))) => {
                        break Ok(Row { number, line: *line, item, request_id, before });
                    }
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
                    match self.reader.header(&record) {
                        Ok(header) => *columns = Some(header),
                        Err(bad) => {
                            // Nothing can be said of the rows under it.
                            while !matches!(reader.record(), Ok(None)) {}
                            break Err(bad);
                        }
                    }
                    continue;
                };
                let row = self.reader.csv_row(columns, &record);
                break row.map(|(item, request_id, before)| Row {
                    number,
                    line: record.line,
                    item,
                    request_id,
                    before,
                });
            },
        };
        self.number += 1;
        Some(row)
    }
}

/// What a row asks for, its request id, and what was known of it before.
type Values = (Item, Option<String>, Option<Outcome>);

impl Reader {
    fn new(job: &Job) -> Result<Self, Failure> {
        let (message, template) = (job.message()?, job.template()?);
        let defaults: Value = message
            .to_json(&template)
            .map_err(Failure::machine)
            .and_then(|json| serde_json::from_str(&json).map_err(Failure::machine))?;
        let defaults = defaults.as_object().filter(|defaults| defaults.len() > 1).cloned();
        Ok(Self { job: job.clone(), message, template, defaults })
    }

    fn header(&self, record: &Record) -> Result<Vec<Column>, Bad> {
        let mut columns: Vec<Column> = Vec::new();
        for (at, path) in record.values.iter().map(|path| path.trim()).enumerate() {
            let bad = |problem| Err(Bad { line: record.line, column: Some(at as u64 + 1), problem });
            let column = self.column(path);
            if let Column::Field(path) = &column
                && let Err(TextError::Path(problem)) =
                    FieldPath::parse(&self.message, path).and_then(|path| path.put_text(&mut Vec::new(), ""))
            {
                return bad(format!("the header: {problem}"));
            }
            if column != Column::Ignored && columns.contains(&column) {
                return bad(format!("the header: `{path}` comes twice"));
            }
            columns.push(column);
        }
        let missing = match &self.job {
            Job::Spaces { .. } => None,
            Job::Members { space, .. } => (!columns.contains(&Column::Member))
                .then_some("member")
                .or((space.is_none() && !columns.contains(&Column::Space)).then_some("space")),
            Job::Imports => (!columns.contains(&Column::Space)).then_some("space"),
        };
        match missing {
            None => Ok(columns),
            Some(column) => {
                let problem = format!("the header: there is no column `{column}`");
                Err(Bad { line: record.line, column: None, problem })
            }
        }
    }

    /// What stands in a column, by its head.
    fn column(&self, head: &str) -> Column {
        match (&self.job, head) {
            (Job::Spaces { .. }, "requestId" | "request_id") => Column::RequestId,
            (Job::Spaces { .. }, "members") => Column::Members,
            (Job::Members { .. }, "space") => Column::Space,
            (Job::Members { .. }, "member") => Column::Member,
            (Job::Members { .. }, "role") => Column::Role,
            (Job::Imports, "space" | "name") => Column::Space,
            // The list of what was created has other columns as well.
            (Job::Imports, _) => Column::Ignored,
            (_, path) => Column::Field(path.to_owned()),
        }
    }

    fn csv_row(&self, columns: &[Column], record: &Record) -> Result<Values, Bad> {
        let Record { line, values } = record;
        if values.len() != columns.len() {
            let problem = format!("{} values, where the header has {} fields", values.len(), columns.len());
            return Err(Bad { line: *line, column: None, problem });
        }
        let (mut wire, mut beside) = (self.template.clone(), Beside::default());
        for (at, (column, text)) in columns.iter().zip(values).enumerate() {
            let bad = |problem: String| Bad { line: *line, column: Some(at as u64 + 1), problem };
            match column {
                // An empty value is none.
                _ if text.is_empty() => {}
                Column::Ignored => {}
                Column::RequestId => beside.request_id = Some(text.clone()),
                Column::Space => beside.space = Some(text.trim().to_owned()),
                Column::Member => beside.member = Some(text.trim().parse().map_err(bad)?),
                Column::Role => beside.role = Some(text.trim().parse().map_err(bad)?),
                Column::Members => beside.members = members(text).map_err(bad)?,
                Column::Field(path) => {
                    put_text(&self.message, &mut wire, path, text).map_err(|error| bad(format!("{path}: {error}")))?
                }
            }
        }
        self.item(&wire, beside, *line)
    }

    /// A row of NDJSON: the fields of the message, perhaps with others beside them, or an object
    /// as a run writes the rows that failed. `None` for the line by which a run knows that file
    /// again.
    fn json_row(&self, json: &[u8], line: u64) -> Result<Option<Values>, Bad> {
        let bad = |column, problem| Bad { line, column, problem };
        let text = std::str::from_utf8(json).map_err(|_| bad(None, NOT_UTF8.to_owned()))?;
        let explain = |error: &ParseError| {
            let place = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
            format!("{place}{}", error.problem())
        };
        let error = match self.message.from_json(text) {
            Ok(wire) if matches!(self.job, Job::Spaces { .. }) => {
                let row = || serde_json::from_str(text).unwrap_or_default();
                let wire = self.complete(&wire, row, line)?;
                return self.item(&wire, Beside::default(), line).map(Some);
            }
            // The fields alone do not say all.
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let unreadable = |error: &Option<ParseError>| match error {
            Some(error) => bad(Some(error.column() as u64), explain(error)),
            None => bad(None, "expected an object".to_owned()),
        };
        let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(text) else { return Err(unreadable(&error)) };
        if object.contains_key("gchat") && object.contains_key("journal") {
            return Ok(None);
        }
        let found = self.beside(&mut object).map_err(|problem| bad(None, problem))?;
        let Some((inner, beside)) = found else { return Err(unreadable(&error)) };
        let wire = self.message.from_json(inner.to_string()).map_err(|error| bad(None, explain(&error)))?;
        let wire = self.complete(&wire, || inner, line)?;
        self.item(&wire, beside, line).map(Some)
    }

    /// Takes out of a row what is beside the fields of the message, and gives what is left of it;
    /// `None` if it has nothing but fields.
    fn beside(&self, object: &mut Map<String, Value>) -> Result<Option<(Value, Beside)>, String> {
        let mut beside = Beside { before: known(object), ..Beside::default() };
        let mut take = |names: &[&str]| names.iter().find_map(|name| object.shift_remove(*name));
        match &self.job {
            Job::Spaces { .. } => {
                let id = take(&["requestId", "request_id"]);
                let members = take(&["members"]);
                let wrapped = take(&["space"]);
                if let (None, None, None) = (&id, &members, &wrapped) {
                    return Ok(None);
                }
                beside.request_id = text("requestId", id)?.filter(|id| !id.is_empty());
                beside.members = match members {
                    None | Some(Value::Null) => Vec::new(),
                    Some(Value::String(text)) => self::members(&text)?,
                    Some(Value::Array(list)) => {
                        let invitee = |one: Value| match one {
                            Value::String(text) => text.parse().map_err(|problem| format!("members: {problem}")),
                            other => Err(format!("members: expected strings, found {other}")),
                        };
                        list.into_iter().map(invitee).collect::<Result<_, _>>()?
                    }
                    Some(other) => return Err(format!("members: expected a list, found {other}")),
                };
                match wrapped {
                    Some(wrapped) => {
                        let known = ["line", "error", "unknown", "name", "importModeExpireTime"];
                        match object.keys().find(|key| !known.contains(&key.as_str())) {
                            Some(other) => Err(format!("{other}: unknown field beside `space`")),
                            None => Ok(Some((wrapped, beside))),
                        }
                    }
                    None => Ok(Some((Value::Object(std::mem::take(object)), beside))),
                }
            }
            Job::Members { .. } => {
                drop([take(&["line"]), take(&["error"]), take(&["unknown"])]);
                beside.space = text("space", take(&["space"]))?;
                beside.role = text("role", take(&["role"]))?.map(|role| role.parse()).transpose()?;
                if object.get("member").is_some_and(Value::is_string) {
                    let member = text("member", object.shift_remove("member"))?;
                    beside.member = member.map(|member| member.parse()).transpose()?;
                }
                Ok(Some((Value::Object(std::mem::take(object)), beside)))
            }
            Job::Imports => {
                // The list of what was created has other fields as well.
                beside.space = text("space", take(&["space", "name"]))?;
                Ok(Some((Value::Object(Map::new()), beside)))
            }
        }
    }

    /// What a row asks for.
    fn item(&self, wire: &[u8], beside: Beside, line: u64) -> Result<Values, Bad> {
        let bad = |problem: &str| Bad { line, column: None, problem: problem.to_owned() };
        let Beside { request_id, members, space, member, role, before } = beside;
        let item = match &self.job {
            Job::Spaces { .. } => Item::Space(Box::new(decode::<Space>(wire, line)?), members),
            Job::Members { space: usual, role: usual_role, .. } => {
                let mut membership: Membership = decode(wire, line)?;
                let own_role = member.as_ref().and_then(|member| member.role);
                let of_field = match &membership.member_type {
                    Some(MemberType::Member(user)) => Some(user.name.parse::<Invitee>()),
                    Some(MemberType::GroupMember(group)) => Some(group.name.parse()),
                    None => None,
                };
                let invitee = match (member, of_field) {
                    (Some(member), _) => member,
                    (None, Some(member)) => member.map_err(|problem| bad(&problem))?,
                    (None, None) => {
                        return Err(bad("member is missing: an e-mail address, users/ID, groups/ID or app"));
                    }
                };
                membership.member_type = invitee.membership.member_type;
                let space = space.or_else(|| usual.clone()).ok_or_else(|| bad("space is missing: spaces/{space}"))?;
                Item::Member(space, Box::new(Invitee { membership, role: own_role.or(role).or(*usual_role) }))
            }
            Job::Imports => Item::Import(space.ok_or_else(|| {
                bad("space is missing: spaces/{space}; of rows that became no space, nothing can be completed")
            })?),
        };
        Ok((item, request_id, before))
    }

    /// The message of a row, which is given both encoded and as JSON, with what the row
    /// does not say.
    fn complete(&self, wire: &[u8], row: impl FnOnce() -> Value, line: u64) -> Result<Vec<u8>, Bad> {
        let Some(defaults) = &self.defaults else { return Ok([&self.template, wire].concat()) };
        let mut row = row();
        if let Value::Object(row) = &mut row {
            fill_in(row, defaults);
        }
        let wire = self.message.from_json(row.to_string());
        wire.map_err(|error| Bad { line, column: None, problem: error.to_string() })
    }
}

/// What the run that wrote a row to a file says there: that it is unknown whether the row was
/// carried out, or that its member was added, and only the role was refused. A row that was refused
/// as a whole is like any other.
fn known(object: &Map<String, Value>) -> Option<Outcome> {
    if let Some(unknown) = object.get("unknown").filter(|unknown| !unknown.is_null()) {
        return Some(Outcome::Unknown(serde_json::from_value(unknown.clone()).unwrap_or_default()));
    }
    object.get("error")?.get("added")?;
    Some(Outcome::Unknown(Reason::not_sent()))
}

/// A text that a row has beside its fields.
fn text(name: &str, value: Option<Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{name}: expected a string, found {other}")),
    }
}

/// Members in one value: spaces, commas, semicolons and line ends part them.
fn members(text: &str) -> Result<Vec<Invitee>, String> {
    let parts = text.split(|letter: char| letter.is_whitespace() || matches!(letter, ',' | ';'));
    let invitees = parts.filter(|part| !part.is_empty()).map(str::parse);
    invitees.collect::<Result<_, String>>().map_err(|problem| format!("members: {problem}"))
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

fn decode<M: Message + Default>(wire: &[u8], line: u64) -> Result<M, Bad> {
    M::decode(wire).map_err(|error| Bad { line, column: None, problem: error.to_string() })
}
