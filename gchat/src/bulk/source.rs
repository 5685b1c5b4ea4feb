//! The file of rows, as it was when all of it was looked at.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
};

use google_chat::Client;

use super::{
    job::{Item, Job},
    rows::{Format, Row, Rows},
};
use crate::{failure::Failure, output};

pub(super) struct Source {
    path: PathBuf,
    file: File,
    format: Format,
    job: Job,
    /// Whether any row has members beside its space.
    has_members: bool,
    /// Of each row, so that none is sent with the request id of another because the file
    /// was changed meanwhile.
    fingerprints: Vec<u64>,
    digest: String,
}

impl Source {
    /// Looks at every row, and says all that is wrong.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a row is wrong.
    pub(super) fn open(path: &Path, format: Format, job: Job, client: &Client) -> Result<Self, Failure> {
        let unusable = || Failure::usage(path.display().to_string());
        let file = File::open(path).map_err(|error| unusable().because(error))?;
        let (fingerprints, digest) = (Vec::new(), String::new());
        let mut source = Self { path: path.to_owned(), file, format, job, has_members: false, fingerprints, digest };
        let mut rows = source.read().map_err(|failure| unusable().because(failure))?;
        let mut ids = HashMap::new();
        let (mut count, mut wrong) = (0_u64, 0_u64);
        while let Some(row) = rows.next() {
            count += 1;
            let problems = match row {
                Err(bad) => vec![bad.to_string()],
                Ok(row) => {
                    source.fingerprints.push(row.fingerprint());
                    source.has_members |= matches!(&row.item, Item::Space(_, members) if !members.is_empty());
                    problems(row, client, &mut ids)
                }
            };
            wrong += u64::from(!problems.is_empty());
            for problem in problems {
                output::note(&format!("{}:{problem}", source.path.display()));
            }
        }
        source.digest = rows.digest()?;
        match wrong {
            0 => Ok(source),
            _ => Err(Failure::usage(format!("{wrong} of {count} rows are wrong; nothing was sent"))),
        }
    }

    fn read(&self) -> Result<Rows, Failure> {
        let file = self.file.try_clone().map_err(Failure::machine)?;
        Rows::new(file, self.format, &self.job)
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u64 {
        self.fingerprints.len() as u64
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    pub(super) fn has_members(&self) -> bool {
        self.has_members
    }

    /// What the file and the flags hash to.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Reads the rows again, from the first. Only one reader may be in use at a time.
    pub(super) fn rows(&self) -> Result<Unchanged<'_>, Failure> {
        Ok(Unchanged { rows: self.read()?, source: self })
    }
}

/// What is wrong with a row that can be read.
fn problems(row: Row, client: &Client, once: &mut HashMap<String, u64>) -> Vec<String> {
    let Row { line, item, request_id, .. } = row;
    if let Some((key, problem)) = item.once(request_id.as_deref())
        && let Some(other) = once.insert(key, line)
    {
        return vec![format!("{line}: {}", problem.replace("{}", &other.to_string()))];
    }
    let problems = item.problems(&request_id.unwrap_or_default(), client);
    problems.into_iter().map(|problem| format!("{line}: {problem}")).collect()
}

/// The rows, as long as they are what they were.
pub(super) struct Unchanged<'a> {
    rows: Rows,
    source: &'a Source,
}

impl Unchanged<'_> {
    /// The next row.
    ///
    /// # Errors
    ///
    /// If the file was changed.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Failure> {
        let changed = |place: String| {
            Failure::machine(format!(
                "{}{place} was changed while the run went on, so that no more rows are sent. Put the file back as it \
                 was; the same command goes on then",
                self.source.path.display()
            ))
        };
        match self.rows.next() {
            None if self.rows.count() == self.source.count() => Ok(None),
            None => Err(changed(String::new())),
            Some(Err(bad)) => Err(changed(format!(":{}", bad.line))),
            Some(Ok(row)) if self.source.fingerprints.get(row.number as usize) == Some(&row.fingerprint()) => {
                Ok(Some(row))
            }
            Some(Ok(row)) => Err(changed(format!(":{}", row.line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use google_chat::Credentials;

    use super::*;

    /// Otherwise a row could be sent with the request id of another.
    #[test]
    fn a_file_that_changes_while_it_is_in_use_gives_no_more_rows() {
        let path = std::env::temp_dir().join(format!("gchat-source-{}", std::process::id()));
        let file =
            |rows: &[&str]| rows.iter().map(|name| format!("{{\"displayName\":\"{name}\"}}\n")).collect::<String>();
        let client = Client::builder().endpoint("http://127.0.0.1:1").credentials(Credentials::anonymous());
        let client = client.build().unwrap();
        let job = Job::Spaces { flags: serde_json::json!({}) };
        for (changed, problem) in [
            (&["a", "b", "c"][..], None),
            (&["a", "c", "b"], Some(":2 was changed")),
            (&["a", "b"], Some(" was changed")),
            (&["a", "b", "c", "d"], Some(":4 was changed")),
            (&["a", "b", "\""], Some(":3 was changed")),
        ] {
            std::fs::write(&path, file(&["a", "b", "c"])).unwrap();
            let source = Source::open(&path, Format::Ndjson, job.clone(), &client).unwrap();
            assert_eq!((source.count(), source.digest().len()), (3, 64));
            std::fs::write(&path, file(changed)).unwrap();
            let mut rows = source.rows().unwrap();
            let failure = loop {
                match rows.next() {
                    Ok(None) => break None,
                    Ok(Some(_)) => {}
                    Err(failure) => break Some(failure.to_string()),
                }
            };
            match (&failure, problem) {
                (None, None) => {}
                (Some(failure), Some(problem)) if failure.contains(problem) => {}
                _ => panic!("{changed:?}: {failure:?}"),
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
