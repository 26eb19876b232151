//! Opens a connection and sets its limits.
//!
//! A statement cannot exceed these limits or change them. A connection to a file whose path now
//! names another file is not opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::{Connection, FileControl, OpenFlags};

use super::column_cache::ColumnCache;
use super::connection::Conn;
use super::control::Control;
use super::functions;
use super::identity::{DatabaseFile, FileMoved};
use crate::database::config::Config;

/// Where a database is.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// In this process's memory, under a name of its own.
    Memory(String),
    File(PathBuf),
    /// A temporary database of one connection. SQLite writes it to an unnamed file if it is large.
    Temporary,
}

impl Location {
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    /// Reads on a separate thread.
    Reader,
    /// Reads on a core's own thread, which must not wait for a lock.
    Inline,
}

/// Instructions of SQLite's virtual machine between two looks at the clock: some microseconds.
const INSTRUCTIONS: i32 = 200;

/// Arguments of one function, as many as PostgreSQL allows.
const ARGUMENTS: i32 = 100;

/// Instructions of one statement: some ten thousand rows of literal values.
const PROGRAM: i32 = 250_000;

/// Prepared statements that a connection caches.
const PREPARED: usize = 256;

/// How long SQLite itself waits for a lock before the deadline is checked.
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// The largest value that SQLite supports, in bytes.
const LARGEST_VALUE: u64 = 1_000_000_000;

impl Conn {
    pub(super) fn open(location: &Location, role: Role, config: &Config) -> rusqlite::Result<Self> {
        let mut sqlite = connect(location, role, config)?;
        let wait = if role == Role::Inline {
            Duration::ZERO
        } else {
            LOCK_WAIT
        };
        sqlite.busy_timeout(wait)?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        set_limits(&sqlite, config)?;
        sqlite.execute_batch(match location {
            // `synchronous` would read the schema, and there is nothing to flush in memory.
            Location::Memory(_) => "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
            Location::File(_) => {
                "PRAGMA cell_size_check = ON; PRAGMA synchronous = FULL;
                 PRAGMA cache_size = -16384;"
            }
            Location::Temporary => "PRAGMA cell_size_check = ON;",
        })?;
        if role != Role::Writer || config.read_only {
            sqlite.execute_batch("PRAGMA query_only = ON;")?;
        }
        // What is in memory is locked by its readers, so writers wait for them.
        let is_reader = role == Role::Reader && !matches!(location, Location::Memory(_));
        let control = Arc::new(Control::new(is_reader));
        let progress = Arc::clone(&control);
        sqlite.progress_handler(INSTRUCTIONS, Some(move || progress.must_stop()))?;
        functions::register(&sqlite, &control)?;
        let max_value = max_value(config);
        control.set_max_value(max_value);
        let authorizer = Arc::clone(&control);
        sqlite.authorizer(Some(move |context: AuthContext<'_>| {
            authorizer.authorize(context)
        }))?;
        Ok(Self {
            sqlite,
            control,
            columns: ColumnCache::new(PREPARED),
            file: None,
            max_value,
        })
    }

    /// Opens a connection that keeps a database in memory and runs no statement.
    pub(super) fn keep(location: &Location, config: &Config) -> rusqlite::Result<Self> {
        Ok(Self {
            sqlite: connect(location, Role::Reader, config)?,
            control: Arc::new(Control::new(false)),
            columns: ColumnCache::new(0),
            file: None,
            max_value: max_value(config),
        })
    }

    /// Binds the connection to the file that the database was opened from: see [`super::identity`].
    pub(super) fn bound_to(mut self, file: &Arc<DatabaseFile>) -> Result<Self, FileMoved> {
        self.file = Some(Arc::clone(file));
        let mut moved = 0;
        let control = self
            .sqlite
            .file_control(Some("main"), FileControl::HasMoved(&mut moved));
        // SQLite compares its own path, because the host's path may be a symbolic link that
        // changed.
        if control.is_ok() && moved != 0 {
            file.check()?;
            return Err(FileMoved::default());
        }
        file.check()?;
        Ok(self)
    }

    /// Turns on write-ahead logging, so that readers and the writer do not block each other.
    /// Returns whether it is on.
    pub(super) fn enable_wal(&self) -> rusqlite::Result<bool> {
        self.as_host(|sqlite| {
            let mode: String =
                sqlite.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            // A connection opens the log when it first reads. Until then the last other connection
            // to close deletes the log, and this one would take it for moved.
            sqlite.execute_batch("SELECT 1 FROM sqlite_schema LIMIT 1")?;
            Ok(mode.eq_ignore_ascii_case("wal"))
        })
    }

    /// Reads the schema, which fails if the file is no database. Returns whether it is UTF-8.
    pub(super) fn read_schema(&self) -> rusqlite::Result<bool> {
        self.as_host(|sqlite| {
            let mut statement =
                sqlite.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if row.get_ref(0)?.as_str().is_err() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}

fn connect(location: &Location, role: Role, config: &Config) -> rusqlite::Result<Connection> {
    let base = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let created = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    match location {
        Location::Memory(name) => {
            Connection::open_with_flags(name, base | created | OpenFlags::SQLITE_OPEN_URI)
        }
        Location::File(path) => {
            Connection::open_with_flags(as_path(path), base | access(role, config))
        }
        Location::Temporary => Connection::open_with_flags("", base | created),
    }
}

/// A path that SQLite does not take for a URI or one of its special names.
pub(super) fn as_path(path: &Path) -> PathBuf {
    if path.is_absolute() {
        path.to_owned()
    } else {
        Path::new(".").join(path)
    }
}

fn access(role: Role, config: &Config) -> OpenFlags {
    match (role, config.read_only) {
        (_, true) => OpenFlags::SQLITE_OPEN_READ_ONLY,
        (Role::Writer, false) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        (_, false) => OpenFlags::SQLITE_OPEN_READ_WRITE,
    }
}

/// The largest value, in bytes: more than fits into a result, so that `too-large` is returned for
/// it.
fn max_value(config: &Config) -> u32 {
    let bytes = config.max_rows_bytes.saturating_mul(2).max(16 << 20);
    u32::try_from(bytes.min(LARGEST_VALUE)).unwrap_or(u32::MAX)
}

/// Sets the limits that hold for every statement.
fn set_limits(sqlite: &Connection, config: &Config) -> rusqlite::Result<()> {
    let bytes = |bytes: u64| i32::try_from(bytes).unwrap_or(i32::MAX);
    sqlite.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    sqlite.set_limit(
        Limit::SQLITE_LIMIT_LENGTH,
        i32::try_from(max_value(config)).unwrap_or(i32::MAX),
    )?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, ARGUMENTS)?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_VDBE_OP, PROGRAM)?;
    sqlite.set_limit(
        Limit::SQLITE_LIMIT_SQL_LENGTH,
        bytes(config.max_statement_bytes.max(64 << 10) as u64),
    )?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 4096)?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100)?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // "name" is always an identifier, as in PostgreSQL.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    Ok(())
}
