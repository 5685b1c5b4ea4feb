//! Rooms in a file, by SQLite. Each change is a transaction of its own, which has ended
//! before the call is answered.

use std::path::Path;

use prost::Message;
use rusqlite::{Connection, ErrorCode, config::DbConfig, params};
use tonic::Status;

use super::room::Room;

/// What tells the file from that of another program (`PRAGMA application_id`): "GChE".
const APPLICATION: i64 = 0x4743_6845;

/// The version of the file's format (`PRAGMA user_version`).
const VERSION: i64 = 3;

/// How many pages the write-ahead log has before they are moved to their places: pages that
/// change often are moved once.
const CHECKPOINT: i64 = 16_384;

const TABLE: &str = "CREATE TABLE rooms (place INTEGER PRIMARY KEY, room BLOB NOT NULL)";

const NOT_OURS: &str = "it is no file of an emulator's, and was left as it is; name another file";

/// The file. It is the emulator's alone as long as this is there.
pub(super) struct Disk(Connection);

impl Disk {
    /// Opens a file, or makes it. `durable`: what is kept survives a loss of power, which
    /// takes a flush of the disk for each change.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is in use, or is no file of an emulator's.
    pub(super) fn open(path: &Path, durable: bool) -> Result<Self, String> {
        let disk = Self(Connection::open(path).map_err(|error| explain(&error))?);
        if !disk.lock().map_err(|error| explain(&error))? {
            return Err(NOT_OURS.to_owned());
        }
        match disk.prepare(durable).map_err(|error| explain(&error))? {
            VERSION => Ok(disk),
            other => Err(format!("its format has the version {other}, not {VERSION}; name another file")),
        }
    }

    /// Keeps other processes from the file, which saves shared memory, too. Returns whether
    /// the file is the emulator's; if not, it stays as it is.
    fn lock(&self) -> rusqlite::Result<bool> {
        // The log of another program's file is not to be worked into it when it is closed.
        let keep_log = |keep| self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
        keep_log(true)?;
        self.0.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let ours = match self.number("page_count")? {
            // So that the file says whose it is from its first page on.
            0 => self.0.pragma_update(None, "application_id", APPLICATION).map(|()| true)?,
            _ => self.number("application_id")? == APPLICATION,
        };
        if ours {
            keep_log(false)?;
        }
        Ok(ours)
    }

    /// Makes the table, if there is none. Returns the version of the file's format.
    fn prepare(&self, durable: bool) -> rusqlite::Result<i64> {
        self.0.pragma_update(None, "journal_mode", "WAL")?;
        self.0.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        self.0.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        if self.number("user_version")? == 0 {
            self.0.execute_batch(&format!("BEGIN; {TABLE}; PRAGMA user_version = {VERSION}; COMMIT;"))?;
        }
        self.number("user_version")
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<i64> {
        self.0.pragma_query_value(None, pragma, |row| row.get(0))
    }

    /// All rooms, with their places.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) fn rooms(&self) -> Result<Vec<(u64, Room)>, String> {
        let read = || {
            let mut statement = self.0.prepare("SELECT place, room FROM rooms ORDER BY place")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|error| explain(&error))?;
        let decode = |(place, bytes): (i64, Vec<u8>)| Ok((place as u64, Room::decode(&*bytes)?));
        let rooms: Result<_, prost::DecodeError> = rows.into_iter().map(decode).collect();
        rooms.map_err(|error| damaged(&error))
    }

    /// # Errors
    ///
    /// INTERNAL if the file cannot be written; nothing was kept then.
    pub(super) fn put(&self, place: u64, room: &Room) -> Result<(), Status> {
        let sql = "INSERT INTO rooms VALUES (?1, ?2) ON CONFLICT DO UPDATE SET room = ?2";
        self.execute(sql, params![place as i64, room.encode_to_vec()])
    }

    /// # Errors
    ///
    /// As [`Disk::put`].
    pub(super) fn remove(&self, place: u64) -> Result<(), Status> {
        self.execute("DELETE FROM rooms WHERE place = ?", [place as i64])
    }

    #[cfg(test)]
    pub(super) fn refuse_writes(&self) {
        self.0.pragma_update(None, "query_only", true).unwrap();
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), Status> {
        let outcome = self.0.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        let failed = |error| Status::internal(format!("The emulator's file cannot be written: {}.", explain(&error)));
        outcome.map(drop).map_err(failed)
    }
}

/// What is wrong with the file, in words.
fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => "it is in use, perhaps by another emulator".to_owned(),
        Some(ErrorCode::NotADatabase) => NOT_OURS.to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => damaged(error),
        Some(ErrorCode::DiskFull) => format!("the disk is full ({error})"),
        _ => error.to_string(),
    }
}

fn damaged(error: &dyn std::error::Error) -> String {
    format!("it is damaged ({error}); put a copy of it in its place, or name another file")
}
