//! Rooms and their messages in a file, by SQLite.
//!
//! One thread has the file. It takes the changes that wait, makes all of them in one
//! transaction, and lets the calls that made them go on when that is committed: what was
//! answered is kept, and many calls at once cost one flush of the disk.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use prost::Message;
use rusqlite::{Connection, ErrorCode, ToSql, config::DbConfig};
use tokio::sync::oneshot;
use tonic::Status;

use super::{conversation::Post, room::Room, uploads::Upload};

/// What tells the file from that of another program (`PRAGMA application_id`): "GChE".
const APPLICATION: i64 = 0x4743_6845;

/// The version of the file's format (`PRAGMA user_version`).
const VERSION: i64 = 4;

/// The version before, which had rooms alone.
const BEFORE: i64 = 3;

/// How many pages the write-ahead log has before they are moved to their places: pages that
/// change often are moved once.
const CHECKPOINT: i64 = 16_384;

const ROOMS: &str = "CREATE TABLE rooms (place INTEGER PRIMARY KEY, room BLOB NOT NULL)";

const MESSAGES: &str = "
    CREATE TABLE posts (room INTEGER, place INTEGER, post BLOB NOT NULL, PRIMARY KEY (room, place)) WITHOUT ROWID;
    CREATE TABLE uploads (room INTEGER, token TEXT, upload BLOB NOT NULL, PRIMARY KEY (room, token));
";

const NOT_OURS: &str = "it is no file of an emulator's, and was left as it is; name another file";

/// How many changes share a transaction, at most, so that the first of them does not wait
/// long.
const GROUP: usize = 1_024;

/// What a file has.
#[derive(Default)]
pub(super) struct Contents {
    /// With their places.
    pub(super) rooms: Vec<(u64, Room)>,
    /// With the places of their rooms, and their own.
    pub(super) posts: Vec<(u64, u64, Post)>,
    /// With the places of their rooms.
    pub(super) uploads: Vec<(u64, Upload)>,
}

/// What a row of the file is of: rooms have places; so have messages, in their rooms; and
/// uploads are in rooms, too, and have tokens.
pub(super) enum Key {
    Room(u64),
    Post(u64, u64),
    Upload(u64, String),
}

/// A change of the file: what is encoded is put in place of what was there. `None` removes
/// it, and a room with all that is in it.
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) row: Option<Vec<u8>>,
}

/// What the thread that has the file is told.
enum Order {
    Make(Change),
    /// Says when all changes before are kept, or why they are not.
    Tell(oneshot::Sender<Result<(), Status>>),
    /// Reads the file. Changes are made again after it.
    Read(Sender<Result<Contents, String>>),
}

/// Hands changes to the thread that has the file.
pub(super) struct Writer {
    /// `None` when the thread is to end.
    orders: Option<Sender<Order>>,
    /// How many changes are not kept yet.
    unkept: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub(super) fn start(disk: Disk) -> Result<Self, String> {
        let (orders, receiver) = mpsc::channel();
        let unkept = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&unkept);
        let thread = thread::Builder::new().name("emulator-file".to_owned());
        let thread = thread.spawn(move || write(&disk, &receiver, &count)).map_err(|error| error.to_string())?;
        Ok(Self { orders: Some(orders), unkept, thread: Some(thread) })
    }

    /// Has a change made, some time after this.
    pub(super) fn make(&self, change: Change) {
        self.unkept.fetch_add(1, Ordering::Relaxed);
        self.order(Order::Make(change));
    }

    /// Says when all changes so far are kept, or why they are not; `None` if they are now.
    pub(super) fn kept(&self) -> Option<oneshot::Receiver<Result<(), Status>>> {
        // The count falls only after the commit, and rises only under the store's lock, which
        // the caller has.
        if self.unkept.load(Ordering::Acquire) == 0 {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.order(Order::Tell(sender));
        Some(receiver)
    }

    /// What the file has, after changes that it did not take.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) fn read(&self) -> Result<Contents, String> {
        let (sender, receiver) = mpsc::channel();
        self.order(Order::Read(sender));
        receiver.recv().unwrap_or_else(|_| Err("the thread that writes it has ended".to_owned()))
    }

    fn order(&self, order: Order) {
        // Without the thread the other end of the order's channel is dropped, which says it.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }
}

impl Drop for Writer {
    /// Waits until what was ordered is done and the file is closed.
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Does what it is told until nobody is left to tell it anything.
fn write(disk: &Disk, orders: &Receiver<Order>, unkept: &AtomicUsize) {
    // After a failure nothing is written until the store has read what the file has: later
    // changes are made of what is not there.
    let mut failed: Option<Status> = None;
    while let Ok(first) = orders.recv() {
        let (mut changes, mut waiting, mut reader) = (Vec::new(), Vec::new(), None);
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Make(change) => changes.push(change),
                Order::Tell(sender) => waiting.push(sender),
                Order::Read(sender) => reader = Some(sender),
            }
            next = if changes.len() < GROUP && reader.is_none() { orders.try_recv().ok() } else { None };
        }
        if failed.is_none() {
            match disk.make(&changes) {
                Ok(()) => drop(unkept.fetch_sub(changes.len(), Ordering::Release)),
                Err(status) => failed = Some(status),
            }
        }
        for sender in waiting {
            let _ = sender.send(failed.clone().map_or(Ok(()), Err));
        }
        if let Some(reader) = reader {
            failed = None;
            unkept.store(0, Ordering::Release);
            let _ = reader.send(disk.contents());
        }
    }
}

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

    /// Makes the tables that there are not. Returns the version of the file's format.
    fn prepare(&self, durable: bool) -> rusqlite::Result<i64> {
        self.0.pragma_update(None, "journal_mode", "WAL")?;
        self.0.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        self.0.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        let rooms = match self.number("user_version")? {
            0 => ROOMS,
            BEFORE => "",
            other => return Ok(other),
        };
        self.0.execute_batch(&format!("BEGIN; {rooms}; {MESSAGES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
        self.number("user_version")
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<i64> {
        self.0.pragma_query_value(None, pragma, |row| row.get(0))
    }

    /// All that is in it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) fn contents(&self) -> Result<Contents, String> {
        let mut contents = Contents::default();
        self.each("SELECT place, 0, room FROM rooms ORDER BY place", |place, _: i64, room| {
            contents.rooms.push((place, room));
        })?;
        self.each("SELECT room, place, post FROM posts ORDER BY room, place", |room, place: i64, post| {
            contents.posts.push((room, place as u64, post));
        })?;
        self.each("SELECT room, token, upload FROM uploads", |room, _: String, upload| {
            contents.uploads.push((room, upload));
        })?;
        Ok(contents)
    }

    /// Calls a function with each row of a query: a place, a second key, and what is decoded.
    fn each<K: rusqlite::types::FromSql, M: Message + Default>(
        &self,
        sql: &str,
        mut with: impl FnMut(u64, K, M),
    ) -> Result<(), String> {
        let mut statement = self.0.prepare(sql).map_err(|error| explain(&error))?;
        let mut rows = statement.query([]).map_err(|error| explain(&error))?;
        while let Some(row) = rows.next().map_err(|error| explain(&error))? {
            let read = || Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get::<_, Vec<u8>>(2)?));
            let (place, key, bytes) = read().map_err(|error: rusqlite::Error| explain(&error))?;
            with(place, key, M::decode(&*bytes).map_err(|error| damaged(&error))?);
        }
        Ok(())
    }

    /// Makes changes, all or none.
    ///
    /// # Errors
    ///
    /// INTERNAL if the file cannot be written.
    fn make(&self, changes: &[Change]) -> Result<(), Status> {
        if changes.is_empty() {
            return Ok(());
        }
        let make = || {
            let transaction = self.0.unchecked_transaction()?;
            let run = |sql: &str, params: &[&dyn ToSql]| transaction.prepare_cached(sql)?.execute(params);
            for Change { key, row } in changes {
                match (key, row) {
                    (Key::Room(place), Some(room)) => {
                        run("INSERT OR REPLACE INTO rooms VALUES (?, ?)", &[&(*place as i64), room])?;
                    }
                    (Key::Room(place), None) => {
                        for table in ["rooms WHERE place", "posts WHERE room", "uploads WHERE room"] {
                            run(&format!("DELETE FROM {table} = ?"), &[&(*place as i64)])?;
                        }
                    }
                    (Key::Post(room, place), Some(post)) => {
                        let key: [&dyn ToSql; 3] = [&(*room as i64), &(*place as i64), post];
                        run("INSERT OR REPLACE INTO posts VALUES (?, ?, ?)", &key)?;
                    }
                    (Key::Post(room, place), None) => {
                        run("DELETE FROM posts WHERE room = ? AND place = ?", &[&(*room as i64), &(*place as i64)])?;
                    }
                    (Key::Upload(room, token), None) => {
                        run("DELETE FROM uploads WHERE room = ? AND token = ?", &[&(*room as i64), token])?;
                    }
                    (Key::Upload(room, token), Some(upload)) => {
                        run("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", &[&(*room as i64), token, upload])?;
                    }
                }
            }
            transaction.commit()
        };
        make().map_err(|error: rusqlite::Error| {
            Status::internal(format!("The emulator's file cannot be written: {}.", explain(&error)))
        })
    }

    /// Makes the file take so many pages and no more, as if the disk were full then.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.0.pragma_update(None, "max_page_count", pages).unwrap();
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
