//! SQLite in memory: one database for the process, a connection for each thread. A statement runs
//! on the thread of its request, because it takes less time than handing it to another thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::Failure;
use super::request::{NewUser, Page};
use super::sqlite;
use super::store::{SQLITE_SCHEMA, Store, User};
use crate::Error;

const NAME: &str = "file:/users?vfs=memdb";

/// How long a write waits for another thread's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// The database, which lives as long as this.
#[derive(Clone)]
pub(super) struct Memory {
    _keeps_it: Arc<Mutex<Connection>>,
}

impl Memory {
    /// A database with an empty table.
    pub(super) fn open() -> Result<Self, Error> {
        let connection = connect()?;
        connection.execute_batch(SQLITE_SCHEMA)?;
        Ok(Self {
            _keeps_it: Arc::new(Mutex::new(connection)),
        })
    }
}

fn connect() -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(NAME, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Runs work on the thread's connection.
fn run<T>(work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
    CONNECTION.with_borrow_mut(|slot| {
        let connection = match slot {
            Some(connection) => connection,
            None => slot.insert(connect()?),
        };
        work(connection)
    })
}

impl Store for Memory {
    async fn create(&self, user: &NewUser) -> Result<User, Failure> {
        run(|connection| Ok(sqlite::create(connection, user)?))
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        run(|connection| sqlite::get(connection, id))
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        run(|connection| Ok(sqlite::list(connection, page)?))
    }
}
