//! What the stores over SQLite share: the statements, and how a file is opened. A commit to a file
//! is in its write-ahead log, and on the disk, before it is acknowledged.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, named_params, params};
use usher_guest::users::sql;

use super::failure::Failure;
use super::request::{NewUser, Page};
use super::store::{SQLITE_SCHEMA, User};
use crate::Error;

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the file and its table if they do not exist, and returns the connection that writes.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path)?;
    connection.execute_batch(SQLITE_SCHEMA)?;
    Ok(connection)
}

/// Another connection to a file that exists.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;",
    )?;
    Ok(connection)
}

/// Stores a new user.
pub(super) fn create(connection: &Connection, user: &NewUser) -> rusqlite::Result<User> {
    connection
        .prepare_cached(sql::CREATE)?
        .query_row(params![user.name, user.email], |row| User::try_from(row))
}

/// Reads one user.
pub(super) fn get(connection: &Connection, id: i64) -> Result<User, Failure> {
    let mut statement = connection.prepare_cached(sql::GET)?;
    let mut rows = statement.query([id])?;
    let row = rows.next()?.ok_or(Failure::NotFound)?;
    Ok(User::try_from((id, row))?)
}

/// Reads a page of users and, if there is one, the user after it.
pub(super) fn list(connection: &Connection, page: &Page) -> rusqlite::Result<Vec<User>> {
    let limit = page.limit + 1;
    let user = |row: &rusqlite::Row<'_>| User::try_from(row);
    match &page.email {
        // By name, because SQLite numbers such parameters in the order of their appearance.
        Some(email) => connection
            .prepare_cached(sql::LIST_BY_EMAIL)?
            .query_map(
                named_params! {"$1": page.after, "$2": limit, "$3": email},
                user,
            )?
            .collect(),
        None => connection
            .prepare_cached(sql::LIST)?
            .query_map([page.after, limit], user)?
            .collect(),
    }
}
