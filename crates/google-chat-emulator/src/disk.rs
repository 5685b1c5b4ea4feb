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
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, config::DbConfig, params};
use tokio::sync::oneshot;
use tonic::Status;

use super::{
    ids,
    room::Room,
    store::{Rows, Store, decode},
};

/// How many operations share a commit, at most.
const GROUP: usize = 256;

/// What tells the file from that of another program (`PRAGMA application_id`): "GChE".
const APPLICATION: i64 = 0x4743_6845;

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

/// An operation on the store, if that can be used, and what tells its caller the outcome:
/// that of the operation, or why it could not be kept.
type Job = Box<dyn FnOnce(Option<&mut Store>) -> Box<dyn FnOnce(Result<(), Status>) + Send> + Send>;

/// What the thread that has the file is told.
enum Order {
    Do(Job),
    /// Closes the file, and ends.
    Close(oneshot::Sender<()>),
}

/// Hands operations to the thread that has the file.
#[derive(Clone)]
pub(super) struct Writer(Sender<Order>);

impl Writer {
    /// Opens a file, or makes it. `durable`: commits survive a loss of power, and
    /// take a flush of the disk each.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is in use, or is no file of an emulator's.
    pub(super) fn open(path: &Path, durable: bool) -> Result<Self, String> {
        let bad = |problem: &str| format!("{}: {problem}", path.display());
        let disk = Disk::open(path, durable).map_err(|problem| bad(&problem))?;
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("emulator-store".to_owned())
            .spawn(move || serve(Store::new(Box::new(disk)), &receiver))
            .map_err(|error| error.to_string())?;
        Ok(Self(sender))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = oneshot::channel();
        self.hand_over(operation, move |outcome| drop(sender.send(outcome)));
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = mpsc::channel();
        self.hand_over(operation, move |outcome| drop(sender.send(outcome)));
        receiver.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Has the thread end when it has done what it was told before.
    pub(super) async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        // It may have ended already.
        let _ = self.0.send(Order::Close(sender));
        let _ = receiver.await;
    }

    fn hand_over<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
        tell: impl FnOnce(Result<T, Status>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |store| {
            let outcome = store.map_or_else(|| Err(closed()), operation);
            Box::new(move |kept: Result<(), Status>| tell(kept.and(outcome)))
        });
        // Without the thread nobody tells the caller, who learns it by that.
        drop(self.0.send(Order::Do(job)));
    }
}

fn closed() -> Status {
    Status::unavailable("The emulator has closed its file.")
}

/// Does what it is told until nobody is left to tell it anything.
fn serve(mut store: Store, orders: &Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let (mut done, mut closing) = (Vec::new(), None);
        let begun = store.rows().begin();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Do(job) => done.push(job(begun.is_ok().then_some(&mut store))),
                Order::Close(sender) => closing = Some(sender),
            }
            next = if done.len() < GROUP && closing.is_none() { orders.try_recv().ok() } else { None };
        }
        let kept = begun.and_then(|()| store.rows().commit());
        done.into_iter().for_each(|tell| tell(kept.clone()));
        if let Some(sender) = closing {
            // SQLite moves what is in the log to the file when the file is closed.
            drop(store);
            let _ = sender.send(());
            return;
        }
    }
}

/// What went wrong with the file, in words.
fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => "it is in use, perhaps by another emulator".to_owned(),
        Some(ErrorCode::NotADatabase) => NOT_OURS.to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => {
            format!("it is damaged ({error}); put a copy of it in its place, or name another file")
        }
        Some(ErrorCode::DiskFull) => format!("the disk is full ({error})"),
        _ => error.to_string(),
    }
}

const NOT_OURS: &str = "it is no file of an emulator's, and was left as it is; name another file";

struct Disk {
    connection: Connection,
    secret: i64,
    last: i64,
    /// What failed first since the transaction began.
    failed: Option<Status>,
}

impl Disk {
    fn open(path: &Path, durable: bool) -> Result<Self, String> {
        let connection = Connection::open(path).map_err(|error| explain(&error))?;
        let mut disk = Self { connection, secret: 0, last: 0, failed: None };
        if !disk.lock().map_err(|error| explain(&error))? {
            return Err(NOT_OURS.to_owned());
        }
        match disk.prepare(durable).map_err(|error| explain(&error))? {
            VERSION => Ok(disk),
            other => Err(format!("it has the form {other}, and this version knows {VERSION}; name another file")),
        }
    }

    /// Keeps other processes from the file, which saves shared memory, too. Whether the
    /// file is the emulator's; if not, it stays as it is.
    fn lock(&self) -> rusqlite::Result<bool> {
        // The log of another program's file is not to be worked into it when it is closed.
        let keep_log = |keep| self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
        keep_log(true)?;
        self.connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let ours = match self.number("page_count")? {
            // So that the file says whose it is from its first page on.
            0 => self.connection.pragma_update(None, "application_id", APPLICATION).map(|()| true)?,
            _ => self.number("application_id")? == APPLICATION,
        };
        if ours {
            keep_log(false)?;
        }
        Ok(ours)
    }

    /// Makes what is not there yet; the form that the file has.
    fn prepare(&mut self, durable: bool) -> rusqlite::Result<i64> {
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        self.connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        self.connection.pragma_update(None, "cache_size", -CACHE)?;
        if self.number("user_version")? == 0 {
            let secret = ids::secret() as i64;
            self.connection.execute_batch(&format!(
                "BEGIN; {TABLES} INSERT INTO ids VALUES ({secret}); PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        }
        let version = self.number("user_version")?;
        if version == VERSION {
            self.secret = self.connection.query_row("SELECT secret FROM ids", [], |row| row.get(0))?;
            let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence";
            self.last = self.connection.query_row(last, [], |row| row.get(0))?;
        }
        Ok(version)
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, pragma, |row| row.get(0))
    }

    fn noting<T>(&mut self, outcome: rusqlite::Result<T>) -> Result<T, Status> {
        outcome.map_err(|error| {
            let status = Status::internal(format!("The emulator's file cannot be used: {}.", explain(&error)));
            self.failed.get_or_insert(status).clone()
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
        self.failed = None;
        self.execute("BEGIN", [])
    }

    fn commit(&mut self) -> Result<(), Status> {
        let kept = match self.failed.take() {
            None => self.execute("COMMIT", []),
            Some(status) => Err(status),
        };
        if kept.is_err() {
            let _ = self.execute("ROLLBACK", []);
        }
        kept
    }
}
