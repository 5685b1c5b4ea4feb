//! The files that a run writes beside the file of rows, over none but its own.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, output};

/// A file of rows that a run writes anew each time: the rows that failed, or those of
/// which it is unknown what became of them.
///
/// Its first line says which journal it belongs to, and what the rest hashes to: it is
/// replaced only if it is as a run with that journal wrote it.
pub(super) struct RowFile {
    path: PathBuf,
    /// The id of the journal.
    journal: String,
    /// The command that takes the file.
    command: &'static str,
    /// What its rows are.
    what: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    gchat: String,
    journal: String,
    sha256: String,
}

impl RowFile {
    pub(super) fn new(path: PathBuf, journal: &str, command: &'static str, what: &'static str) -> Self {
        Self { path, journal: journal.to_owned(), command, what }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is there.
    ///
    /// # Errors
    ///
    /// If what is there may not be replaced.
    pub(super) fn look(&self) -> Result<bool, Failure> {
        self.look_again(Failure::usage)
    }

    /// Looks as [`RowFile::look`] does; `failure` makes the refusal.
    fn look_again(&self, failure: fn(String) -> Failure) -> Result<bool, Failure> {
        let refuse = |problem: &str| {
            failure(format!(
                "{} {problem}. This run needs the name for the rows that {}. Move the existing file, and run the same \
                 command again",
                self.path.display(),
                self.what
            ))
        };
        // Not through a symbolic link.
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.trouble(error)),
            Ok(found) if !found.is_file() => return Err(refuse("is no regular file")),
            Ok(_) => {}
        }
        let mut reader = BufReader::new(File::open(&self.path).map_err(|error| self.trouble(error))?);
        let mut first = Vec::new();
        (&mut reader).take(1 << 16).read_until(b'\n', &mut first).map_err(|error| self.trouble(error))?;
        let mark: Option<Mark> = serde_json::from_slice(&first).ok();
        let Some(mark) = mark.filter(|mark| mark.journal == self.journal) else {
            return Err(refuse("is there, but no run with this journal wrote it"));
        };
        let mut hash = Context::new(&SHA256);
        loop {
            let found = reader.fill_buf().map_err(|error| self.trouble(error))?;
            if found.is_empty() {
                break;
            }
            hash.update(found);
            let count = found.len();
            reader.consume(count);
        }
        if hex(hash) != mark.sha256 {
            return Err(refuse("was changed since it was written; --from takes it under any name"));
        }
        Ok(true)
    }

    /// Replaces the file by one with these rows; without rows there is no file.
    pub(super) fn write(
        &self,
        rows: impl FnOnce(&mut dyn FnMut(&serde_json::Value) -> io::Result<()>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Nobody else has a file of this name: the journal's id is random.
        let part = with_suffix(&self.path, &format!(".{}.part", self.journal));
        let _ = fs::remove_file(&part);
        let written = self.write_part(&part, rows).and_then(|count| {
            // Rows were sent by now, so that the command line is not to blame.
            let is_there = self.look_again(Failure::machine)?;
            let done = match count {
                0 if is_there => fs::remove_file(&self.path),
                0 => Ok(()),
                _ => fs::rename(&part, &self.path).and_then(|()| sync_folder(&self.path)),
            };
            done.map_err(|error| self.trouble(error))
        });
        let _ = fs::remove_file(&part);
        written
    }

    fn write_part(
        &self,
        part: &Path,
        rows: impl FnOnce(&mut dyn FnMut(&serde_json::Value) -> io::Result<()>) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mark = |sha256: String| -> io::Result<Vec<u8>> {
            let gchat = format!("rows that {}; {} --from takes this file", self.what, self.command);
            let mut line = serde_json::to_vec(&Mark { gchat, journal: self.journal.clone(), sha256 })?;
            line.push(b'\n');
            Ok(line)
        };
        let trouble = |error| self.trouble(error);
        let file = OpenOptions::new().write(true).create_new(true).open(part).map_err(trouble)?;
        let mut out = BufWriter::new(file);
        let (mut count, mut hash) = (0, Context::new(&SHA256));
        // Written over at the end, when it is known; it is as long then.
        out.write_all(&mark("0".repeat(64)).map_err(trouble)?).map_err(trouble)?;
        rows(&mut |row| {
            let line = format!("{}\n", output::plain_json(&row.to_string()));
            count += 1;
            hash.update(line.as_bytes());
            out.write_all(line.as_bytes())
        })?;
        let mut file = out.into_inner().map_err(|error| trouble(error.into_error()))?;
        let mark = mark(hex(hash)).map_err(trouble)?;
        file.rewind().and_then(|()| file.write_all(&mark)).and_then(|()| file.sync_all()).map_err(trouble)?;
        Ok(count)
    }

    fn trouble(&self, error: io::Error) -> Failure {
        Failure::machine(format!("cannot write {}", self.path.display())).because(error)
    }
}

fn hex(hash: Context) -> String {
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file beside another whose name has so much more at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The file itself, where its name is a symbolic link: so that what lies beside it is
/// found by every name.
pub(super) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path)?.is_symlink() {
        true => fs::canonicalize(path),
        false => Ok(path.to_owned()),
    }
}

/// Has the names in a file's folder survive a loss of power.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a folder cannot be opened as a file.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_replaced_only_as_it_was_written() {
        let folder = std::env::temp_dir().join(format!("gchat-rows-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("rows.failed.ndjson");
        let file = RowFile::new(path.clone(), "a", "gchat", "failed");
        let write = |file: &RowFile, rows: &[u32]| {
            file.write(|put| rows.iter().try_for_each(|row| put(&json!(row))).map_err(Failure::machine))
        };
        write(&file, &[]).unwrap();
        assert!(!path.exists());
        write(&file, &[1, 2]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("\n1\n2\n"));
        write(&file, &[3]).unwrap();
        let ours = fs::read_to_string(&path).unwrap();
        assert!(ours.ends_with("\n3\n"));
        let other = RowFile::new(path.clone(), "b", "gchat", "failed").look().unwrap_err().to_string();
        assert!(other.contains("no run with this journal wrote it"), "{other}");
        for (text, problem) in [
            (ours.replace("3\n", "4\n"), "was changed since"),
            ("my own notes\n".to_owned(), "no run with this journal wrote it"),
            (String::new(), "no run with this journal wrote it"),
        ] {
            fs::write(&path, &text).unwrap();
            for rows in [&[5][..], &[]] {
                let refused = write(&file, rows).unwrap_err().to_string();
                assert!(refused.contains(problem), "{refused}");
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
        #[cfg(unix)]
        {
            fs::rename(&path, folder.join("else")).unwrap();
            fs::write(folder.join("else"), &ours).unwrap();
            std::os::unix::fs::symlink("else", &path).unwrap();
            let refused = write(&file, &[5]).unwrap_err().to_string();
            assert!(refused.contains("is no regular file"), "{refused}");
            assert_eq!(fs::read_to_string(folder.join("else")).unwrap(), ours);
        }
        fs::remove_file(&path).unwrap();
        write(&file, &[6]).unwrap();
        write(&file, &[]).unwrap();
        assert!(!path.exists());
        assert!(fs::read_dir(&folder).unwrap().all(|entry| entry.unwrap().file_name() == "else"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
