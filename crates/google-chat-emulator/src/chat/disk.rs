//! Rooms in a file, by SQLite.
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
use rusqlite::{Connection, ErrorCode, config::DbConfig, params};
use tokio::sync::oneshot;
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

const PUT: &str = "INSERT INTO rooms VALUES (?1, ?2) ON CONFLICT DO UPDATE SET room = ?2";

const REMOVE: &str = "DELETE FROM rooms WHERE place = ?";

const NOT_OURS: &str = "it is no file of an emulator's, and was left as it is; name another file";

/// How many changes share a transaction, at most, so that the first of them does not wait
/// long.
const GROUP: usize = 1_024;

/// What a file has: rooms with their places.
pub(super) type Contents = Vec<(u64, Room)>;

/// A change of the file: a room's place, and the encoded room, or `None` to remove it.
pub(super) struct Change(pub(super) u64, pub(super) Option<Vec<u8>>);

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
            let _ = reader.send(disk.rooms());
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
    pub(super) fn rooms(&self) -> Result<Contents, String> {
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
            for Change(place, room) in changes {
                let place = *place as i64;
                match room {
                    Some(room) => transaction.prepare_cached(PUT)?.execute(params![place, room])?,
                    None => transaction.prepare_cached(REMOVE)?.execute([place])?,
                };
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
