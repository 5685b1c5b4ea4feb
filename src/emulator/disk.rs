//! Rooms in a file, by SQLite.
//!
//! One thread has the file. It takes the operations that are waiting, does all of
//! them within one transaction, and lets their callers go on when that is
//! committed: so that what was answered is kept, and many calls at once cost one
//! commit.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use tokio::sync::oneshot;
use tonic::Status;

use super::{
    ids,
    room::Room,
    store::{Rows, Store, decode},
};

/// How many operations share a commit, at most.
const GROUP: usize = 256;

/// The form of the file that this version reads and writes.
const VERSION: i64 = 2;

/// How many pages the log grows by before they go to their places: those that
/// change often do so once.
const CHECKPOINT: i64 = 16_384;

/// How much of the file is kept in memory, in KiB.
const CACHE: i64 = 32 * 1024;

const TABLES: &str = "
    CREATE TABLE ids (secret INTEGER NOT NULL);
    CREATE TABLE rooms (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT UNIQUE,
        customer TEXT,
        display_name TEXT,
        room BLOB NOT NULL
    );
    CREATE INDEX names ON rooms (display_name, customer) WHERE display_name IS NOT NULL;
";

/// An operation on the store, and what tells its caller the outcome.
type Job = Box<dyn FnOnce(&mut Store) -> Box<dyn FnOnce() + Send> + Send>;

/// Hands operations to the thread that has the file.
#[derive(Clone)]
pub(super) struct Writer(Sender<Job>);

impl Writer {
    /// Opens a file, or makes it. `durable`: commits survive a loss of power, and
    /// take a flush of the disk each.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is in use, or is no file of an emulator's.
    pub(super) fn open(path: &Path, durable: bool) -> Result<Self, String> {
        let bad = |problem: String| format!("{}: {problem}", path.display());
        let disk = Disk::open(path, durable).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => bad("another emulator uses it".to_owned()),
            Some(rusqlite::ErrorCode::NotADatabase) => bad("it is no file of an emulator's".to_owned()),
            _ => bad(error.to_string()),
        })?;
        let version = disk.version().map_err(|error| bad(error.to_string()))?;
        if version != VERSION {
            return Err(bad(format!("it has the form {version}, and this version knows {VERSION}; name another file")));
        }
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("emulator-store".to_owned())
            .spawn(move || serve(&mut Store::new(Box::new(disk)), &receiver))
            .map_err(|error| error.to_string())?;
        Ok(Self(sender))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        self.send(operation).await.unwrap_or_else(|_| Err(not_kept()))
    }

    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = mpsc::channel();
        self.hand_over(operation, move |outcome| drop(sender.send(outcome)));
        receiver.recv().unwrap_or_else(|_| Err(not_kept()))
    }

    fn send<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Status>> {
        let (sender, receiver) = oneshot::channel();
        self.hand_over(operation, move |outcome| drop(sender.send(outcome)));
        receiver
    }

    fn hand_over<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
        tell: impl FnOnce(Result<T, Status>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |store| {
            let outcome = operation(store);
            Box::new(move || tell(outcome))
        });
        // Without the thread nobody tells the caller, who learns it by that.
        drop(self.0.send(job));
    }
}

fn not_kept() -> Status {
    Status::internal("The emulator could not write its file.")
}

/// Does what is handed over until nobody is left to hand anything over.
fn serve(store: &mut Store, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut done = Vec::new();
        let begun = store.rows().begin();
        if begun.is_ok() {
            done.push(first(store));
            while done.len() < GROUP
                && let Ok(next) = jobs.try_recv()
            {
                done.push(next(store));
            }
        }
        // Whose work is not kept is told so by the end of the channel.
        if begun.is_ok() && store.rows().commit().is_ok() {
            done.into_iter().for_each(|tell| tell());
        }
    }
}

struct Disk {
    connection: Connection,
    secret: i64,
    last: i64,
    /// Whether something failed since the transaction began.
    failed: bool,
}

impl Disk {
    fn open(path: &Path, durable: bool) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // No other process has it at the same time, which saves shared memory, too.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        connection.pragma_update(None, "cache_size", -CACHE)?;
        let mut disk = Self { connection, secret: 0, last: 0, failed: false };
        if disk.version()? == 0 {
            let secret = ids::secret() as i64;
            disk.connection.execute_batch(&format!(
                "BEGIN; {TABLES} INSERT INTO ids VALUES ({secret}); PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        }
        if disk.version()? == VERSION {
            disk.secret = disk.connection.query_row("SELECT secret FROM ids", [], |row| row.get(0))?;
            let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence";
            disk.last = disk.connection.query_row(last, [], |row| row.get(0))?;
        }
        Ok(disk)
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0))
    }

    fn noting<T>(&mut self, outcome: rusqlite::Result<T>) -> Result<T, Status> {
        outcome.map_err(|error| {
            self.failed = true;
            Status::internal(format!("The emulator's file: {error}"))
        })
    }

    fn execute(&mut self, sql: &str, params: impl Params) -> Result<(), Status> {
        let outcome = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        self.noting(outcome).map(drop)
    }

    fn rows<T>(
        &mut self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Status> {
        let outcome = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>());
        self.noting(outcome)
    }
}

impl Rows for Disk {
    fn secret(&self) -> u64 {
        self.secret as u64
    }

    fn last(&self) -> u64 {
        self.last as u64
    }

    fn by_request(&mut self, request_id: &str) -> Result<Option<u64>, Status> {
        let found = self
            .connection
            .prepare_cached("SELECT place FROM rooms WHERE request_id = ?")
            .and_then(|mut statement| statement.query_row([request_id], |row| row.get::<_, i64>(0)).optional());
        self.noting(found).map(|place| place.map(|place| place as u64))
    }

    fn room(&mut self, place: u64) -> Result<Option<Room>, Status> {
        let found = self
            .connection
            .prepare_cached("SELECT room FROM rooms WHERE place = ?")
            .and_then(|mut statement| statement.query_row([place as i64], |row| row.get::<_, Vec<u8>>(0)).optional());
        self.noting(found)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn named(&mut self, (customer, name): &(String, String)) -> Result<Vec<u64>, Status> {
        // Of many with one name, which only a setting allows, some will do.
        let sql = "SELECT place FROM rooms WHERE display_name = ? AND customer = ? LIMIT 16";
        self.rows(sql, [name, customer], |row| Ok(row.get::<_, i64>(0)? as u64))
    }

    fn put(&mut self, place: u64, room: &Room, before: Option<&Room>) -> Result<(), Status> {
        let (customer, name) = room.display_key().unzip();
        let bytes = room.encode_to_vec();
        let place = place as i64;
        if before.is_some() {
            let sql = "UPDATE rooms SET customer = ?, display_name = ?, room = ? WHERE place = ?";
            return self.execute(sql, params![customer, name, bytes, place]);
        }
        let request_id = Some(room.request_id.as_str()).filter(|id| !id.is_empty());
        let sql = "INSERT INTO rooms (place, request_id, customer, display_name, room) VALUES (?, ?, ?, ?, ?)";
        self.last = self.last.max(place);
        self.execute(sql, params![place, request_id, customer, name, bytes])
    }

    fn remove(&mut self, place: u64, _: &Room) -> Result<(), Status> {
        self.execute("DELETE FROM rooms WHERE place = ?", [place as i64])
    }

    fn after(&mut self, place: u64, limit: usize) -> Result<Vec<(u64, Room)>, Status> {
        let sql = "SELECT place, room FROM rooms WHERE place > ? ORDER BY place LIMIT ?";
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let rows =
            self.rows(sql, params![place, limit as i64], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.into_iter().map(|(place, bytes)| Ok((place as u64, decode(&bytes)?))).collect()
    }

    fn newest(&mut self, limit: usize) -> Result<Vec<Room>, Status> {
        let sql = "SELECT room FROM rooms ORDER BY place DESC LIMIT ?";
        let rows = self.rows(sql, [limit as i64], |row| row.get::<_, Vec<u8>>(0))?;
        rows.iter().map(|bytes| decode(bytes)).collect()
    }

    fn begin(&mut self) -> Result<(), Status> {
        self.failed = false;
        self.execute("BEGIN", [])
    }

    fn commit(&mut self) -> Result<(), Status> {
        if !self.failed && self.execute("COMMIT", []).is_ok() {
            return Ok(());
        }
        let _ = self.execute("ROLLBACK", []);
        Err(not_kept())
    }
}
