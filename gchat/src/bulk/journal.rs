//! What became of each row, kept so that a run can go on where another was stopped.
//!
//! The journal is a file of lines of one length. The first says what it belongs to:
//! the rows, who sends them where, and the salt that the request ids are made of. Then
//! there is a line for each row, empty as long as the row has not come to its end, so
//! that keeping what became of a row is one small write at its place, and one write does
//! for neighbours. A row whose end was not kept is sent again with the same request id,
//! and makes no second space.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// How long the first line is.
const HEAD: usize = 1024;
/// How long a row's line is.
const LINE: usize = 128;
/// How many lines are read at once: rows are asked for in their order.
const AHEAD: usize = 512;

/// What a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The form of the journal.
    pub(super) gchat_journal: u32,
    /// SHA-256 of the file and of what the flags add to its rows.
    pub(super) rows_sha256: String,
    pub(super) rows: u64,
    pub(super) shard: String,
    pub(super) endpoint: String,
    pub(super) identity: String,
    pub(super) salt: String,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is a space now, with this name, and until then if it is imported.
    Created { name: String, import_until: Option<String> },
    /// It failed for good, with this code.
    Failed { code: String },
}

pub(super) struct Journal {
    file: File,
    path: PathBuf,
    head: Head,
    /// The lines from this row on, as far as they were read.
    ahead: (u64, Vec<u8>),
    /// Lines that are not written yet.
    pending: Vec<(u64, [u8; LINE])>,
}

impl Journal {
    fn new(file: File, path: &Path, head: Head) -> Self {
        Self { file, path: path.to_owned(), head, ahead: (0, Vec::new()), pending: Vec::new() }
    }

    /// Opens the journal of a run, or begins it.
    ///
    /// # Errors
    ///
    /// If it cannot be used, or belongs to other rows, to another identity or to
    /// another endpoint.
    pub(super) fn open(path: &Path, wanted: Head) -> Result<Self, Failure> {
        let trouble = |error: io::Error| Failure::machine(format!("the journal {}: {error}", path.display()));
        if !path.exists() {
            return Self::begin(path, wanted).map_err(trouble);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(trouble)?;
        let mut line = vec![0; HEAD];
        let refuse = |problem: &str| Failure::usage(format!("the journal {} {problem}", path.display()));
        let read = file.read_exact(&mut line);
        let head: Option<Head> = read.ok().and_then(|()| serde_json::from_slice(line.trim_ascii_end()).ok());
        let head = head.ok_or_else(|| refuse("is no journal of gchat's; move it away"))?;
        if head.gchat_journal != wanted.gchat_journal {
            return Err(refuse("was written by another version of gchat; go on with that"));
        }
        if head.rows_sha256 != wanted.rows_sha256 || head.rows != wanted.rows || head.shard != wanted.shard {
            return Err(refuse(
                "belongs to other rows: the file or the flags have changed since. Go on with those, or move the \
                 journal away to begin anew, which creates every space once more",
            ));
        }
        if head.identity != wanted.identity || head.endpoint != wanted.endpoint {
            return Err(refuse(&format!(
                "belongs to {} at {}, not to {} at {}: a request id works for who used it first. Go on as that one, or \
                 move the journal away to begin anew, which creates every space once more",
                head.identity, head.endpoint, wanted.identity, wanted.endpoint
            )));
        }
        Ok(Self::new(file, path, head))
    }

    fn begin(path: &Path, head: Head) -> io::Result<Self> {
        let mut line = serde_json::to_vec(&head)?;
        if line.len() >= HEAD {
            return Err(io::Error::other("the endpoint and the identity are too long for it"));
        }
        line.resize(HEAD - 1, b' ');
        line.push(b'\n');
        // It is there as a whole, or not at all.
        let part = path.with_extension("part");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&part)?;
        file.write_all(&line)?;
        file.set_len(HEAD as u64 + head.rows * LINE as u64)?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        Ok(Self::new(file, path, head))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The request id of a row: always the same, and no other row's or journal's.
    pub(super) fn request_id(&self, row: u64) -> String {
        let hash = Sha256::new().chain_update(&self.head.salt).chain_update(row.to_be_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        // RFC 9562, version 8: made in a way of one's own.
        let bits = u128::from_be_bytes(bytes) & !(0xf << 76 | 3 << 62) | 8 << 76 | 2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// What became of a row; `None` if it has not come to its end.
    pub(super) fn end(&mut self, row: u64) -> io::Result<Option<End>> {
        if self.known(row).is_none() {
            self.file.seek(SeekFrom::Start(HEAD as u64 + row * LINE as u64))?;
            let (first, lines) = &mut self.ahead;
            *first = row;
            lines.clear();
            (&self.file).take((AHEAD * LINE) as u64).read_to_end(lines)?;
        }
        Ok(read_line(self.known(row).ok_or(io::ErrorKind::UnexpectedEof)?))
    }

    /// A row's line, if it was read.
    fn known(&mut self, row: u64) -> Option<&mut [u8]> {
        let (first, lines) = &mut self.ahead;
        let from = usize::try_from(row.checked_sub(*first)?).ok()?.checked_mul(LINE)?;
        lines.get_mut(from..from.checked_add(LINE)?)
    }

    /// Takes down what became of a row, for [`write`](Self::write) to keep.
    pub(super) fn put(&mut self, row: u64, end: &End) -> io::Result<()> {
        let text = match end {
            End::Created { name, import_until } => {
                format!("created {name} {}", import_until.as_deref().unwrap_or("-"))
            }
            End::Failed { code } => format!("failed {code}"),
        };
        let mut line = [b' '; LINE];
        line[LINE - 1] = b'\n';
        let place = line[..LINE - 1].get_mut(..text.len());
        place.ok_or_else(|| io::Error::other(format!("`{text}` is too long for it")))?.copy_from_slice(text.as_bytes());
        self.pending.push((row, line));
        Ok(())
    }

    /// Has a row be sent again.
    pub(super) fn forget(&mut self, row: u64) -> io::Result<()> {
        self.pending.push((row, [0; LINE]));
        self.write()
    }

    /// Keeps what was put. What could not be written is still there to be.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable_by_key(|(row, _)| *row);
        let written = self.write_lines(&pending);
        if written.is_ok() {
            pending.clear();
        }
        self.pending = pending;
        written
    }

    fn write_lines(&mut self, lines: &[(u64, [u8; LINE])]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for run in lines.chunk_by(|(row, _), (next, _)| row + 1 == *next) {
            bytes.clear();
            for (row, line) in run {
                bytes.extend_from_slice(line);
                if let Some(known) = self.known(*row) {
                    known.copy_from_slice(line);
                }
            }
            self.file.seek(SeekFrom::Start(HEAD as u64 + run[0].0 * LINE as u64))?;
            self.file.write_all(&bytes)?;
        }
        Ok(())
    }
}

fn read_line(line: &[u8]) -> Option<End> {
    // What was not written to its end counts as not written.
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut words = line.split_ascii_whitespace();
    match (words.next()?, words.next()?, words.next()) {
        ("created", name, Some(until)) => {
            let import_until = Some(until).filter(|until| *until != "-").map(str::to_owned);
            Some(End::Created { name: name.to_owned(), import_until })
        }
        ("failed", code, None) => Some(End::Failed { code: code.to_owned() }),
        _ => None,
    }
}

/// Leaves of a file of failed rows those that did fail, each once: a run can be stopped
/// between writing one there and keeping it in the journal.
pub(super) fn mend_failed(path: &Path, mut failed: impl FnMut(u64) -> io::Result<bool>) -> io::Result<()> {
    let text = match File::open(path) {
        Ok(file) => io::BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let part = path.with_extension("part");
    let mut mended = BufWriter::new(File::create(&part)?);
    let mut seen = std::collections::HashSet::new();
    for line in io::BufRead::split(text, b'\n') {
        let line = line?;
        let row = serde_json::from_slice::<serde_json::Value>(&line).ok().and_then(|row| row["row"].as_u64());
        let Some(row) = row else { continue };
        if failed(row)? && seen.insert(row) {
            mended.write_all(&line)?;
            mended.write_all(b"\n")?;
        }
    }
    mended.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            gchat_journal: 1,
            rows_sha256: "00".to_owned(),
            rows: 3,
            shard: "1/1".to_owned(),
            endpoint: "http://127.0.0.1:1".to_owned(),
            identity: "alice".to_owned(),
            salt: "salt".to_owned(),
        }
    }

    #[test]
    fn a_journal_keeps_ends_and_refuses_what_it_does_not_belong_to() {
        let folder = std::env::temp_dir().join(format!("gchat-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("journal");
        let mut journal = Journal::open(&path, head()).unwrap();
        let created =
            End::Created { name: "spaces/a".to_owned(), import_until: Some("2027-01-01T00:00:00Z".to_owned()) };
        let failed = End::Failed { code: "ALREADY_EXISTS".to_owned() };
        assert_eq!(journal.end(1).unwrap(), None);
        journal.put(2, &created).unwrap();
        journal.put(0, &failed).unwrap();
        journal.put(1, &created).unwrap();
        journal.write().unwrap();
        journal.forget(1).unwrap();
        assert_eq!(journal.end(2).unwrap(), Some(created.clone()));
        let id = journal.request_id(1);
        drop(journal);
        let mut journal = Journal::open(&path, Head { salt: "another run's".to_owned(), ..head() }).unwrap();
        let ends = [0, 1, 2].map(|row| journal.end(row).unwrap());
        assert_eq!(ends, [Some(failed), None, Some(created)]);
        assert_eq!(journal.request_id(1), id);
        assert_ne!(journal.request_id(2), id);
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'8'));
        journal.forget(0).unwrap();
        assert_eq!(journal.end(0).unwrap(), None);
        for (other, problem) in [
            (Head { identity: "bob".to_owned(), ..head() }, "belongs to alice at http://127.0.0.1:1, not to bob"),
            (Head { rows_sha256: "11".to_owned(), ..head() }, "belongs to other rows"),
            (Head { gchat_journal: 2, ..head() }, "another version"),
        ] {
            let refused = Journal::open(&path, other).err().unwrap().to_string();
            assert!(refused.contains(problem), "{refused}");
        }
        std::fs::write(&path, "notes").unwrap();
        assert!(Journal::open(&path, head()).err().unwrap().to_string().contains("is no journal"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
