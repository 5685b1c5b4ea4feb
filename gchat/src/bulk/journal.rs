//! What became of each row, kept so that a run can go on where another was stopped.
//!
//! The journal is a file of records, a line each: JSON, a space, a checksum. The first
//! says what the journal belongs to, and has the id that the request ids are made of.
//! The second says which run has the journal; each run writes its own there. Then comes
//! what is known of rows, in the order in which it became known; of several records of a
//! row the last counts. A row without a record is sent again with the same request id,
//! and makes no second space, so that it is safe to lose records from the end.
//!
//! A run holds a lock on the file, which the system takes away when the process ends,
//! however it ends. The file is never replaced: a lock is on the file, not on its name.

use std::{
    error::Error,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use ring::digest::{self, SHA256};
use serde::{Deserialize, Serialize};

use super::{
    files,
    outcome::{Kind, Outcome},
};
use crate::failure::{Exit, Failure};

/// The form of the journals of rows that are spaces alone, which came first.
const SPACES: u32 = 2;
/// The form of those that have more: members, or another job. A version of before refuses them.
const FORM: u32 = 3;
/// How long the record of the run is, so that the next can write over it.
const OWNER: usize = 256;
/// The longest record: a row may have tens of thousands of members, each with a reason. It is no
/// more than a limit for files that are no journals: memory is taken for what is read.
const LONGEST: u64 = 1 << 28;

/// What a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    gchat_journal: u32,
    /// Random: no other journal has it.
    id: String,
    /// SHA-256 of the file and of what the flags add to its rows.
    rows_sha256: String,
    rows: u64,
    shard: String,
    endpoint: String,
    identity: String,
    /// What the rows ask for, unless it is spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

impl Head {
    /// The head of a journal that is begun now.
    pub(super) fn new(rows: u64, rows_sha256: &str, shard: &str, endpoint: &str, identity: &str) -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::getrandom(&mut bytes)?;
        Ok(Self {
            gchat_journal: SPACES,
            id: hex(&bytes),
            rows_sha256: rows_sha256.to_owned(),
            rows,
            shard: shard.to_owned(),
            endpoint: endpoint.to_owned(),
            identity: identity.to_owned(),
            job: None,
        })
    }

    /// The same for rows that are more than spaces.
    pub(super) fn of_more(self, job: Option<&str>) -> Self {
        Self { gchat_journal: FORM, job: job.map(str::to_owned), ..self }
    }
}

/// The run that has the journal.
#[derive(Serialize, Deserialize)]
struct Owner {
    pid: u32,
    host: String,
    since: String,
}

impl Owner {
    fn this_run() -> Self {
        let mut host = host_name();
        // Shorter than a record in any case: a character is at most six bytes of JSON.
        host.retain(|letter| letter.is_ascii_graphic());
        host.truncate(64);
        Self { pid: std::process::id(), host, since: prost_types::Timestamp::from(SystemTime::now()).to_string() }
    }
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// The journal cannot be used on this file system.
#[derive(Debug)]
struct CannotUse(&'static str, io::Error);

impl fmt::Display for CannotUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it cannot be {}; name one in a folder of a local disk with --journal", self.0)
    }
}

impl Error for CannotUse {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

/// A record of a row.
#[derive(Serialize, Deserialize)]
struct Entry {
    row: u64,
    #[serde(flatten)]
    outcome: Outcome,
}

pub(super) struct Journal {
    file: File,
    path: PathBuf,
    head: Head,
    /// Of each row what its last record says, and where it begins.
    index: Vec<(Known, u64)>,
    /// How many rows have an outcome of each kind.
    counts: [u64; 4],
    /// How many rows are spaces that lack members.
    partly: u64,
    /// Another run has begun it, which may have sent rows that have no record.
    resumed: bool,
    /// Where the next record is written.
    end: u64,
    /// Records that are not written yet, and where in them those of rows begin.
    pending: Vec<u8>,
    pending_rows: Vec<(u64, Known, usize)>,
}

/// What a record says of a row.
#[derive(Clone, Copy)]
struct Known {
    kind: Kind,
    /// The space is there, and lacks members.
    is_partly: bool,
}

impl Known {
    const NOTHING: Self = Self { kind: Kind::None, is_partly: false };

    fn of(outcome: &Outcome) -> Self {
        let kind = Kind::of(outcome);
        Self { kind, is_partly: kind != Kind::Created && matches!(outcome, Outcome::Created { .. }) }
    }
}

impl Journal {
    /// Opens the journal of a run, or begins it.
    ///
    /// # Errors
    ///
    /// If it cannot be used, another run has it, it is damaged, or it belongs to other
    /// rows, to another identity or to another endpoint.
    pub(super) fn open(path: &Path, wanted: Head) -> Result<Self, Failure> {
        let trouble = |error: io::Error| Failure::machine(format!("the journal {}", path.display())).because(error);
        // Another run may begin the journal between the two looks at it.
        for _ in 0..2 {
            match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => return Self::resume(file, path, wanted),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(trouble(error)),
            }
            if let Some(journal) = Self::begin(path, &wanted).map_err(trouble)? {
                return Ok(journal);
            }
        }
        let problem = "is a symbolic link that leads nowhere; remove the link, or name another file with --journal";
        Err(Failure::machine(format!("the journal {} {problem}", path.display())))
    }

    /// Begins the journal; `None` if there is one meanwhile.
    fn begin(path: &Path, head: &Head) -> io::Result<Option<Self>> {
        // The journal appears under its name whole and locked, or not at all; and a link
        // is made over no file.
        let part = files::with_suffix(path, &format!(".{}.part", head.id));
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&part)?;
        let mut lines = record(head)?;
        lines.extend_from_slice(&owner()?);
        let begun = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(&lines))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&part, path));
        let _ = fs::remove_file(&part);
        match begun {
            Ok(()) => files::sync_folder(path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => {
                return Err(io::Error::new(error.kind(), CannotUse("begun here", error)));
            }
        }
        Ok(Some(Self::new(file, path, head.clone(), lines.len() as u64, false)))
    }

    fn new(file: File, path: &Path, head: Head, end: u64, resumed: bool) -> Self {
        let index = vec![(Known::NOTHING, 0); head.rows as usize];
        let counts = [head.rows, 0, 0, 0];
        let path = path.to_owned();
        let (pending, pending_rows) = (Vec::new(), Vec::new());
        Self { file, path, head, index, counts, partly: 0, resumed, end, pending, pending_rows }
    }

    fn resume(mut file: File, path: &Path, wanted: Head) -> Result<Self, Failure> {
        let trouble = |error: io::Error| Failure::machine(format!("the journal {}", path.display())).because(error);
        let refuse = |problem: &str| Failure::usage(format!("the journal {} {problem}", path.display()));
        if !file.metadata().map_err(trouble)?.is_file() {
            return Err(refuse("is no regular file; name another with --journal"));
        }
        let locked = file.try_lock();
        let mut reader = BufReader::new(&file);
        let mut first = read_line(&mut reader).unwrap_or_default();
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Failure::new(Exit::InUse, in_use(path, &mut reader))),
            Err(TryLockError::Error(error)) => return Err(trouble(io::Error::other(CannotUse("locked", error)))),
        }
        if !first.ends_with(b"\n") {
            first.push(b'\n');
        }
        let head = read_head(&first).map_err(refuse)?;
        head.belongs_to(&wanted).map_err(|problem| refuse(&problem))?;

        // From here on the journal is this run's. That it is has to be told before all
        // records are looked at: there may be many.
        file.seek(SeekFrom::Start(first.len() as u64 - 1)).map_err(trouble)?;
        let owner = owner().map_err(trouble)?;
        file.write_all(b"\n").and_then(|()| file.write_all(&owner)).map_err(trouble)?;
        let mut journal = Self::new(file, path, head, (first.len() + owner.len()) as u64, true);
        match journal.read_entries().map_err(trouble)? {
            None => Ok(journal),
            Some((number, at)) => Err(refuse(&format!(
                "is damaged in its record {number}, at byte {at}: the checksum is wrong. Nothing was sent. Put back a copy of the journal, \
                 or cut it off there: truncate -s {at} {}. Rows whose records are cut off are sent again with the same \
                 request ids, which creates no second space. Do not delete the journal: the request ids would be lost",
                path.display()
            ))),
        }
    }

    /// Reads the records of rows. A line without its end was not written to its end: it
    /// is cut off.
    ///
    /// Otherwise the number of the record that is damaged, and where it begins.
    fn read_entries(&mut self) -> io::Result<Option<(u64, u64)>> {
        let mut reader = BufReader::with_capacity(1 << 16, self.file.try_clone()?);
        reader.seek(SeekFrom::Start(self.end))?;
        for number in 3.. {
            let line = read_line(&mut reader)?;
            let entry: Option<Entry> = content(&line).and_then(|json| serde_json::from_slice(json).ok());
            match entry.filter(|entry| entry.row < self.head.rows) {
                Some(entry) => self.set(entry.row, Known::of(&entry.outcome), self.end),
                None if line.ends_with(b"\n") || line.len() as u64 == LONGEST => return Ok(Some((number, self.end))),
                None => break,
            }
            self.end += line.len() as u64;
        }
        self.file.set_len(self.end)?;
        Ok(None)
    }

    fn set(&mut self, row: u64, known: Known, at: u64) {
        if let Some(entry) = self.index.get_mut(row as usize) {
            self.counts[entry.0.kind as usize] -= 1;
            self.counts[known.kind as usize] += 1;
            self.partly = self.partly - u64::from(entry.0.is_partly) + u64::from(known.is_partly);
            *entry = (known, at);
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> &str {
        &self.head.id
    }

    /// Whether another run has begun it: rows without a record may have been sent.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// How many rows have an outcome of a kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many rows are spaces that lack members, or may.
    pub(super) fn count_partly(&self) -> u64 {
        self.partly
    }

    /// The request id of a row whose file gives it none: always the same, and no other
    /// row's or journal's.
    pub(super) fn request_id(&self, row: u64) -> String {
        let hash = digest::digest(&SHA256, &[self.head.id.as_bytes(), &row.to_be_bytes()].concat());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        // RFC 9562, version 8: made in a way of one's own.
        let bits = u128::from_be_bytes(bytes) & !(0xf << 76 | 3 << 62) | 8 << 76 | 2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    pub(super) fn kind(&self, row: u64) -> Kind {
        self.index.get(row as usize).map_or(Kind::None, |(known, _)| known.kind)
    }

    /// What is known of a row.
    pub(super) fn outcome(&mut self, row: u64) -> io::Result<Option<Outcome>> {
        let at = match self.index.get(row as usize) {
            None | Some((Known { kind: Kind::None, .. }, _)) => return Ok(None),
            Some((_, at)) => *at,
        };
        self.file.seek(SeekFrom::Start(at))?;
        let line = read_line(&mut BufReader::with_capacity(1 << 10, &self.file))?;
        let entry: Option<Entry> = content(&line).and_then(|json| serde_json::from_slice(json).ok());
        match entry {
            Some(entry) => Ok(Some(entry.outcome)),
            None => Err(io::Error::other(format!("the record at byte {at} was changed while the journal was in use"))),
        }
    }

    /// Takes down what is known of a row, for [`write`](Self::write) to keep.
    pub(super) fn put(&mut self, row: u64, outcome: &Outcome) -> io::Result<()> {
        let line = record(&Entry { row, outcome: outcome.clone() })?;
        if line.len() as u64 > LONGEST {
            return Err(io::Error::other(format!("what is known of row {row} is too long for it")));
        }
        self.pending_rows.push((row, Known::of(outcome), self.pending.len()));
        self.pending.extend_from_slice(&line);
        Ok(())
    }

    /// Keeps what was put. What could not be written is still there to be.
    ///
    /// It is not synced to the disk: a record that is lost has its row sent again with
    /// the same request id.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // From where the last good record ends, should the disk have been full before.
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&self.pending)?;
        for (row, known, offset) in std::mem::take(&mut self.pending_rows) {
            self.set(row, known, self.end + offset as u64);
        }
        self.end += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl Head {
    fn belongs_to(&self, wanted: &Self) -> Result<(), String> {
        if self.shard != wanted.shard {
            return Err(format!("belongs to the shard {}, not to {}; give each its own", self.shard, wanted.shard));
        }
        if self.job != wanted.job {
            let job = |head: &Self| head.job.clone().unwrap_or_else(|| "spaces".to_owned());
            let problem = "give each job a journal of its own with --journal";
            return Err(format!("belongs to the job {}, not to {}; {problem}", job(self), job(wanted)));
        }
        if self.rows_sha256 != wanted.rows_sha256 || self.rows != wanted.rows {
            return Err("belongs to other rows: since it was begun, the file has changed, or the flags that fill in \
                        its rows. To go on, put them back as they were, and put new rows into a file of their own. \
                        Do not delete the journal: gchat would use new request ids, and create every existing space \
                        again"
                .to_owned());
        }
        if self.identity != wanted.identity || self.endpoint != wanted.endpoint {
            return Err(format!(
                "belongs to {} at {}, not to {} at {}: a request id works only for the identity that used it first. Go \
                 on as that one. To create the same spaces elsewhere or as another, name another journal with --journal",
                self.identity, self.endpoint, wanted.identity, wanted.endpoint
            ));
        }
        Ok(())
    }
}

/// Refuses to begin where another sharding of the same rows was begun: its journals have
/// request ids of their own, so that every space would be created again. Looks at the
/// journals that are named after the file of rows.
pub(super) fn refuse_other_sharding(rows: &Path, wanted: &Head) -> Result<(), Failure> {
    let of = |shard: &str| shard.split_once('/').map(|(_, of)| of.to_owned());
    let trouble = |error: io::Error| Failure::machine(format!("the journals of {}", rows.display())).because(error);
    let (Some(folder), Some(name)) = (rows.parent(), rows.file_name()) else { return Ok(()) };
    let start = [name.as_encoded_bytes(), b"."].concat();
    // The parent of a bare name is empty.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in std::fs::read_dir(folder).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if !name.starts_with(&start) || !name.ends_with(b".journal") || !path.is_file() {
            continue;
        }
        let mut line = Vec::new();
        let file = File::open(&path).map_err(trouble)?;
        BufReader::new(file.take(1 << 16)).read_until(b'\n', &mut line).map_err(trouble)?;
        let Ok(head) = read_head(&line) else { continue };
        let same_rows = head.rows_sha256 == wanted.rows_sha256 && head.endpoint == wanted.endpoint;
        if same_rows && head.identity == wanted.identity && of(&head.shard) != of(&wanted.shard) {
            return Err(Failure::usage(format!(
                "{} was begun for the shard {} of these rows, and this run is for {}. With other shards, rows that \
                 are spaces already would be created again: go on with the shards that were begun",
                path.display(),
                head.shard,
                wanted.shard
            )));
        }
    }
    Ok(())
}

fn read_head(line: &[u8]) -> Result<Head, &'static str> {
    if let Some(head) = content(line).and_then(|json| serde_json::from_slice::<Head>(json).ok())
        && (SPACES..=FORM).contains(&head.gchat_journal)
    {
        return Ok(head);
    }
    // The form is the first thing in every form.
    let start = b"{\"gchat_journal\":";
    let form = line.strip_prefix(start).map(|rest| rest.split(|byte| !byte.is_ascii_digit()).next().unwrap_or(rest));
    Err(match form {
        Some(b"2" | b"3") => {
            "is damaged in its first record, of which the request ids are made. Put back a copy of the journal. If \
             there is none, look first which of the spaces exist (gchat spaces list): without the journal gchat \
             sends every row with a new request id, and so creates a second space for rows that have one"
        }
        Some([_, ..]) => "was written by another version of gchat, in another form; go on with that version",
        _ => "is no journal of gchat's; name another file with --journal, or move this one away",
    })
}

/// A record as a line.
fn record(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(content)?;
    let sum = checksum(&line);
    line.push(b' ');
    line.extend_from_slice(sum.as_bytes());
    line.push(b'\n');
    Ok(line)
}

/// The record of this run, with spaces before the checksum.
fn owner() -> io::Result<Vec<u8>> {
    let mut line = record(&Owner::this_run())?;
    let at = line.len() - " 00000000\n".len();
    line.splice(at..at, std::iter::repeat_n(b' ', OWNER.saturating_sub(line.len())));
    Ok(line)
}

/// The JSON of a line that is a whole record.
fn content(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (json, sum) = line.split_at(line.len().checked_sub(8)?);
    let json = json.strip_suffix(b" ")?.trim_ascii_end();
    (checksum(json).as_bytes() == sum).then_some(json)
}

fn checksum(json: &[u8]) -> String {
    hex(&digest::digest(&SHA256, json).as_ref()[..4])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line with its end, as far as there is one; empty at the end of the file.
fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Who has the journal, by its second record.
fn in_use(path: &Path, reader: &mut impl BufRead) -> String {
    let owner = read_line(reader).ok();
    let owner: Option<Owner> = owner.and_then(|line| serde_json::from_slice(content(&line)?).ok());
    let who = owner.map_or_else(
        || "another run of gchat".to_owned(),
        |Owner { pid, host, since }| format!("another run of gchat, process {pid} on {host}, since {since}"),
    );
    format!(
        "the journal {} is in use by {who}. It works on the same rows, so that this run has sent nothing; wait until it \
         has ended, or stop it",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::outcome::{End, MemberEnd, Reason};

    fn head() -> Head {
        Head::new(4, "00", "1/1", "http://127.0.0.1:1", "alice").unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gchat-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn created() -> Outcome {
        Outcome::Created {
            name: "spaces/a".to_owned(),
            import_mode_expire_time: Some("2027-01-01T00:00:00Z".into()),
            members: Vec::new(),
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed(Reason { code: "ALREADY_EXISTS".into(), message: "no \"x\"\n".into(), ..Reason::default() })
    }

    fn unknown() -> Outcome {
        Outcome::Unknown(Reason { code: "INTERNAL".into(), ..Reason::default() })
    }

    #[test]
    fn a_journal_keeps_outcomes_and_refuses_what_it_does_not_belong_to() {
        let folder = folder("keeps");
        let path = folder.join("journal");
        let mut journal = Journal::open(&path, head()).unwrap();
        assert_eq!(journal.outcome(1).unwrap(), None);
        for (row, outcome) in [(2, created()), (0, failed()), (1, unknown()), (1, created()), (3, unknown())] {
            journal.put(row, &outcome).unwrap();
        }
        journal.write().unwrap();
        journal.put(0, &failed()).unwrap();
        let ids = [0, 1, 2].map(|row| journal.request_id(row));
        // What is put is not there before it is written.
        drop(journal);
        let mut journal = Journal::open(&path, head()).unwrap();
        let outcomes = [0, 1, 2, 3].map(|row| journal.outcome(row).unwrap());
        assert_eq!(outcomes, [Some(failed()), Some(created()), Some(created()), Some(unknown())]);
        let counts = [Kind::None, Kind::Created, Kind::Failed, Kind::Unknown].map(|kind| journal.count(kind));
        assert_eq!(counts, [0, 2, 1, 1]);
        assert_eq!([0, 1, 2].map(|row| journal.request_id(row)), ids);
        assert!(ids[0] != ids[1] && ids[0].len() == 36 && ids[0].as_bytes()[14] == b'8');
        // One run has it, by whatever name.
        let link = folder.join("link");
        fs::hard_link(&path, &link).unwrap();
        for path in [&path, &link] {
            let failure = Journal::open(path, head()).err().unwrap();
            let who = format!("process {} on ", std::process::id());
            assert!(failure.exit() == Exit::InUse && failure.to_string().contains(&who), "{failure}");
        }
        drop(journal);
        for (other, problem) in [
            (Head { identity: "bob".to_owned(), ..head() }, "belongs to alice at http://127.0.0.1:1, not to bob"),
            (Head { rows_sha256: "11".to_owned(), ..head() }, "belongs to other rows"),
            (Head { shard: "1/2".to_owned(), ..head() }, "belongs to the shard 1/1, not to 1/2"),
        ] {
            let refused = Journal::open(&path, other).err().unwrap().to_string();
            assert!(refused.contains(problem), "{refused}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    /// Written by the first version that had journals, byte for byte.
    #[test]
    fn a_journal_of_before_there_were_members_goes_on() {
        let folder = folder("before");
        let path = folder.join("journal");
        let text = concat!(
            r#"{"gchat_journal":2,"id":"00","rows_sha256":"00","rows":4,"shard":"1/1","#,
            r#""endpoint":"http://127.0.0.1:1","identity":"alice"}"#
        );
        let owner = r#"{"pid":1,"host":"h","since":"2026-01-01T00:00:00Z"}"#;
        let row = r#"{"row":2,"created":{"name":"spaces/a"}}"#;
        let line = |json: &str, pad: usize| format!("{json:pad$} {}\n", checksum(json.as_bytes()));
        fs::write(&path, [line(text, 0), line(owner, OWNER - 10), line(row, 0)].concat()).unwrap();
        let mut journal = Journal::open(&path, head()).unwrap();
        assert_eq!(journal.outcome(2).unwrap(), Some(Outcome::named("spaces/a".to_owned())));
        assert!(journal.is_resumed() && journal.count(Kind::Created) == 1);
        drop(journal);
        let refused = Journal::open(&path, head().of_more(Some("members"))).err().unwrap().to_string();
        assert!(refused.contains("belongs to the job spaces, not to members"), "{refused}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_row_may_have_thousands_of_members() {
        let folder = folder("long");
        let path = folder.join("journal");
        let refused = Reason { code: "NOT_FOUND".into(), message: "no such user ".repeat(20), ..Reason::default() };
        let member =
            |at: u32| MemberEnd { member: format!("users/{at}@example.com"), end: End::Error(refused.clone()) };
        let outcome = Outcome::Created {
            name: "spaces/a".to_owned(),
            import_mode_expire_time: None,
            members: (0..10_000).map(member).collect(),
        };
        let mut journal = Journal::open(&path, head().of_more(None)).unwrap();
        journal.put(1, &outcome).unwrap();
        journal.put(2, &failed()).unwrap();
        journal.write().unwrap();
        drop(journal);
        let mut journal = Journal::open(&path, head().of_more(None)).unwrap();
        assert_eq!([1, 2].map(|row| journal.outcome(row).unwrap()), [Some(outcome), Some(failed())]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_row_is_done_when_its_members_are() {
        let folder = folder("members");
        let path = folder.join("journal");
        let of = |end: End| Outcome::Created {
            name: "spaces/a".to_owned(),
            import_mode_expire_time: None,
            members: vec![
                MemberEnd { member: "users/a".to_owned(), end: End::Name("spaces/a/members/a".to_owned()) },
                MemberEnd { member: "users/b".to_owned(), end },
            ],
        };
        let outcomes =
            [of(End::Name("x".to_owned())), of(End::Error(Reason::default())), of(End::Unknown(Reason::stopped()))];
        let mut journal = Journal::open(&path, head().of_more(None)).unwrap();
        for (row, outcome) in (0..).zip(&outcomes) {
            journal.put(row, outcome).unwrap();
        }
        journal.write().unwrap();
        drop(journal);
        let mut journal = Journal::open(&path, head()).unwrap();
        assert_eq!([0, 1, 2].map(|row| journal.outcome(row).unwrap().unwrap()), outcomes);
        assert_eq!([0, 1, 2].map(|row| journal.kind(row)), [Kind::Created, Kind::Failed, Kind::Unknown]);
        // The spaces are there, whatever became of their members.
        assert_eq!(journal.count_partly(), 2);
        journal.put(1, &outcomes[0]).unwrap();
        journal.write().unwrap();
        assert_eq!((journal.count(Kind::Created), journal.count_partly()), (2, 1));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_journal_is_left_as_it_is() {
        let folder = folder("refused");
        let path = folder.join("journal");
        for (text, problem) in [
            ("notes", "is no journal of gchat's"),
            ("", "is no journal of gchat's"),
            ("{\"gchat_journal\":1,\"rows_sha256\":\"00\"}      \n", "was written by another version"),
            ("{\"gchat_journal\":2,\"id\":\"00\"", "is damaged in its first record"),
        ] {
            fs::write(&path, text).unwrap();
            let refused = Journal::open(&path, head()).err().unwrap().to_string();
            assert!(refused.contains(problem), "{text}: {refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.join("nowhere"), &path).unwrap();
            let refused = Journal::open(&path, head()).err().unwrap().to_string();
            assert!(refused.contains("a symbolic link that leads nowhere"), "{refused}");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }

    /// Cut at any byte, the journal has lost the records that are not whole, and no more.
    #[test]
    fn a_journal_that_is_cut_goes_on_and_one_that_is_damaged_names_the_record() {
        let folder = folder("cut");
        let path = folder.join("journal");
        let mut journal = Journal::open(&path, head()).unwrap();
        let begun = fs::read(&path).unwrap().len();
        let mut ends = vec![begun];
        for (row, outcome) in [(1, created()), (0, failed()), (2, created())] {
            journal.put(row, &outcome).unwrap();
            journal.write().unwrap();
            ends.push(fs::read(&path).unwrap().len());
        }
        let id = journal.id().to_owned();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let opened = Journal::open(&path, head());
            let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
            if len < first {
                let refused = opened.err().unwrap().to_string();
                assert!(refused.contains("first record") || refused.contains("no journal"), "{len}: {refused}");
                continue;
            }
            let mut journal = opened.unwrap_or_else(|refused| panic!("cut to {len}: {refused}"));
            assert_eq!(journal.id(), id);
            let kept = ends[1..].iter().filter(|end| **end <= len).count();
            let outcomes = [1, 0, 2].map(|row| journal.outcome(row).unwrap());
            assert_eq!(outcomes.iter().flatten().count(), kept, "cut to {len}");
            // It goes on behind the last whole record.
            journal.put(3, &created()).unwrap();
            journal.write().unwrap();
            drop(journal);
            let mut journal = Journal::open(&path, head()).unwrap();
            assert_eq!(journal.outcome(3).unwrap(), Some(created()), "cut to {len}");
        }
        for at in [ends[0], ends[1] + 3, ends[2] - 1, ends[2] + 9] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let refused = Journal::open(&path, head()).err().unwrap().to_string();
            let number = 3 + ends[1..].iter().filter(|end| **end <= at).count();
            let cut = format!("truncate -s {}", ends[number - 3]);
            assert!(refused.contains(&format!("damaged in its record {number}")), "{at}: {refused}");
            assert!(refused.contains(&cut), "{at}: {refused}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
