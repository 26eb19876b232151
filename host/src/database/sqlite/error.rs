//! SQLite's errors as those of `usher:database`, with the SQLSTATE that PostgreSQL has for them.

use rusqlite::{Connection, ErrorCode, ffi};

use super::identity::FileMoved;
use crate::database::failure;
use crate::database::types::Error;

/// Why a statement failed. In each case but the last it had no effect and may be run again.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was stopped at the deadline, or took too long for a core's own thread.
    Interrupted,
    /// Another connection, here or in another process, holds a lock.
    Busy,
    /// A value would exceed the limit.
    TooBig,
    /// Another error of SQLite.
    Sqlite(rusqlite::Error),
    /// A final error.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::Interrupted,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::TooBig) => Self::TooBig,
            _ => Self::Sqlite(error),
        }
    }
}

impl Failure {
    /// The error of a statement that is its own transaction.
    pub(super) fn outside_transaction(self, writes: bool) -> Error {
        match self {
            Self::Interrupted => Error::Timeout,
            Self::Busy => Error::Overloaded,
            Self::TooBig => failure::refused("54000", "string or blob too big", None, None),
            Self::Sqlite(error) => from_sqlite(&error, writes, None),
            Self::Error(error) => error,
        }
    }

    /// The error of a statement in a transaction, which it ends.
    pub(super) fn in_transaction(self, writes: bool) -> Error {
        match self {
            Self::Busy => failure::refused(
                "40001",
                "the database was changed since the transaction began",
                None,
                None,
            ),
            other => other.outside_transaction(writes),
        }
    }
}

impl From<FileMoved> for Failure {
    fn from(_: FileMoved) -> Self {
        Self::Error(moved())
    }
}

/// The error for a file that was moved. Only the log has its path and what happened to it.
pub(super) fn moved() -> Error {
    failure::unavailable("the database file is not the one that was opened")
}

/// Whether the state on disk is unknown after this error.
pub(super) fn is_disk(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}

/// An error of SQLite; `index` is the violated unique index, if it has a name.
pub(super) fn from_sqlite(error: &rusqlite::Error, writes: bool, index: Option<String>) -> Error {
    let refused = |code: &str, message: &str| failure::refused(code, message, None, None);
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => (
            code.extended_code,
            message.as_deref().unwrap_or("unknown error"),
        ),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error.extended_code, msg.as_str()),
        rusqlite::Error::MultipleStatement => {
            return failure::invalid("more than one statement: send them one by one");
        }
        rusqlite::Error::Empty => return failure::invalid("the statement is empty"),
        rusqlite::Error::NulError(_) => return failure::invalid("a statement cannot hold U+0000"),
        other => return refused("XX000", &other.to_string()),
    };
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE => {
            let constraint = index.or_else(|| {
                violated(message)
                    .map(|(table, columns)| format!("{table}_{}_key", columns.join("_")))
            });
            failure::refused("23505", message, constraint, None)
        }
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            let constraint = violated(message).map(|(table, _)| format!("{table}_pkey"));
            failure::refused("23505", message, constraint, None)
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => refused("23503", message),
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let column = after(message)
                .and_then(|name| name.rsplit_once('.'))
                .map(|(_, column)| column.to_owned());
            failure::refused("23502", message, None, column)
        }
        ffi::SQLITE_CONSTRAINT_CHECK => {
            // SQLite reports an unnamed check by its expression.
            let is_name = |name: &&str| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            failure::refused(
                "23514",
                message,
                after(message).filter(is_name).map(str::to_owned),
                None,
            )
        }
        ffi::SQLITE_CONSTRAINT_TRIGGER => refused("P0001", message),
        // In a STRICT table. PostgreSQL rejects the parameter.
        ffi::SQLITE_CONSTRAINT_DATATYPE => failure::invalid(message),
        _ => match code & 0xff {
            ffi::SQLITE_CONSTRAINT => refused("23000", message),
            ffi::SQLITE_AUTH => failure::denied(message),
            ffi::SQLITE_FULL => refused("53100", message),
            ffi::SQLITE_NOMEM => refused("53200", message),
            ffi::SQLITE_CORRUPT => refused("XX001", message),
            ffi::SQLITE_IOERR if writes => refused("58030", "the database file cannot be written"),
            ffi::SQLITE_IOERR => failure::unavailable("the database file cannot be read"),
            ffi::SQLITE_CANTOPEN => failure::unavailable("the database file cannot be opened"),
            ffi::SQLITE_NOTADB => failure::unavailable("the file is not an SQLite database"),
            ffi::SQLITE_READONLY => refused("25006", message),
            ffi::SQLITE_TOOBIG => refused("54000", message),
            ffi::SQLITE_MISMATCH => refused("22P02", message),
            ffi::SQLITE_RANGE => failure::invalid(message),
            ffi::SQLITE_ERROR if message.starts_with("not authorized") => failure::denied(message),
            ffi::SQLITE_ERROR => refused(by_message(message), message),
            _ => refused("XX000", message),
        },
    }
}

/// The error of every call that follows a refusal in a transaction, as in PostgreSQL.
pub(super) fn aborted() -> Error {
    let message =
        "current transaction is aborted, commands are ignored until end of transaction block";
    failure::refused("25P02", message, None, None)
}

/// The SQLSTATE of a wrong statement by its message, because SQLite has one code for all of them.
fn by_message(message: &str) -> &'static str {
    const MESSAGES: [(&str, &str); 15] = [
        ("no such table", "42P01"),
        ("no such view", "42P01"),
        ("no such index", "42704"),
        ("no such trigger", "42704"),
        ("no such collation sequence", "42704"),
        ("no such column", "42703"),
        ("no such function", "42883"),
        ("wrong number of arguments to function", "42883"),
        ("ambiguous column name", "42702"),
        ("duplicate column name", "42701"),
        ("misuse of aggregate", "42803"),
        ("incomplete input", "42601"),
        ("unrecognized token", "42601"),
        ("integer overflow", "22003"),
        ("malformed JSON", "22P02"),
    ];
    if message.contains("syntax error")
        || message.contains("values for") && message.contains("column")
    {
        return "42601";
    }
    if message.ends_with("already exists") {
        return if message.starts_with("index") {
            "42710"
        } else {
            "42P07"
        };
    }
    if message.contains("has no column named") {
        return "42703";
    }
    MESSAGES
        .iter()
        .find(|(start, _)| message.starts_with(start))
        .map_or("XX000", |(_, code)| code)
}

/// The part of a constraint's message after the colon.
fn after(message: &str) -> Option<&str> {
    message
        .split_once("constraint failed: ")
        .map(|(_, after)| after)
}

/// The table and columns of `UNIQUE constraint failed: users.first, users.last`.
pub(super) fn violated(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut table = None;
    let mut columns = Vec::new();
    for name in after(message)?.split(", ") {
        let (of, column) = name.split_once('.')?;
        table = Some(of);
        columns.push(column);
    }
    Some((table?, columns))
}

/// The name of the violated unique index, if `CREATE UNIQUE INDEX` made it. PostgreSQL reports the
/// name, SQLite only the columns.
pub(super) fn index(connection: &Connection, error: &rusqlite::Error) -> Option<String> {
    let rusqlite::Error::SqliteFailure(code, Some(message)) = error else {
        return None;
    };
    if code.extended_code != ffi::SQLITE_CONSTRAINT_UNIQUE {
        return None;
    }
    // SQLite reports an index over an expression by its name.
    if let Some(name) = after(message).and_then(|after| after.strip_prefix("index '")) {
        return name.strip_suffix('\'').map(str::to_owned);
    }
    let (table, columns) = violated(message)?;
    let mut indexes = connection
        .prepare(
            "SELECT list.name, (SELECT group_concat(name, ', ') FROM
                 (SELECT name FROM pragma_index_info(list.name) ORDER BY seqno))
             FROM pragma_index_list(?1) AS list
             WHERE list.\"unique\" AND list.origin = 'c'",
        )
        .ok()?;
    let mut rows = indexes.query([table]).ok()?;
    while let Ok(Some(row)) = rows.next() {
        if row
            .get::<_, String>(1)
            .is_ok_and(|of| of == columns.join(", "))
        {
            return row.get(0).ok();
        }
    }
    None
}
