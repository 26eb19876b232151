//! One connection to SQLite: how it is opened, and how it runs one statement within its time and memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::{
    CachedStatement, Connection, FileControl, InterruptHandle, OpenFlags, StatementStatus,
};

use super::control::Control;
use super::error::{self, Failure};
use super::functions;
use super::identity::{DatabaseFile, Keeper, Moved};
use super::values::{self, Columns};
use crate::database::budget::{Budget, Meter};
use crate::database::config::Config;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Rows, Value};

/// Where a database is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In this process's memory, under a name of its own.
    Memory(String),
    File(PathBuf),
    /// In a file without a name, for one connection, gone with it. Made on disk only where the connection's own memory does not do.
    Aside,
}

impl Place {
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    /// Reads on a thread that may wait.
    Reader,
    /// Reads on a core's own thread, which must not wait for a lock.
    Inline,
}

/// How often the time is looked at, in instructions of SQLite's virtual machine: some microseconds.
const INSTRUCTIONS: i32 = 200;

/// The largest value on a core's own thread. What would need a larger one runs again where it may wait: there is no instruction
/// that is slow without a large value.
const INLINE_VALUE: u32 = 64 << 10;

/// The size of a prepared statement times that of its largest value. An instruction takes at least 24 bytes, may be slow in
/// proportion to a value, and where they follow each other without a jump none is interrupted.
const WORK: u64 = 1 << 37;

/// A statement that is larger once it is prepared is not remembered.
const REMEMBERED: u32 = 64 << 10;

/// Arguments of one function, as many as PostgreSQL allows.
const ARGUMENTS: i32 = 100;

/// Instructions of one statement: some ten thousand rows of literal values.
const PROGRAM: i32 = 250_000;

/// Pages that are copied before the time is looked at: some milliseconds.
const PAGES: i32 = 4096;

/// Prepared statements that a connection remembers.
const PREPARED: usize = 256;

/// How long SQLite itself waits for a lock before it is asked whether there is time left.
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// The most that SQLite allows a value to have, in bytes.
const LARGEST_VALUE: u64 = 1_000_000_000;

/// What SQLite says of a statement that shows a program, and not only a plan.
const EXPLAIN: i32 = 1;

/// What is wanted of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// As many as the budget has room for.
    Rows(Budget),
    Count,
}

/// What a statement gave.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    pub(super) affected: u64,
}

/// How much was changed, and whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    changes: u64,
    is_autocommit: bool,
}

/// A connection that has been set up.
pub(super) struct Conn {
    sqlite: Connection,
    control: Arc<Control>,
    /// The columns that statements had when they last ran here, by the statement's number.
    columns: RefCell<HashMap<u64, Known, RandomState>>,
    /// The file it was opened from, where it is one.
    file: Option<Arc<DatabaseFile>>,
    /// The largest value that any statement may make, in bytes.
    max_value: u32,
}

/// The columns that a statement had when it last ran.
struct Known {
    columns: Arc<Columns>,
    /// Whether it is still the same statement, prepared against the same schema, shows in how often each was done.
    runs: i32,
    preparations: i32,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl Conn {
    pub(super) fn open(place: &Place, role: Role, config: &Config) -> rusqlite::Result<Self> {
        let base = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut sqlite = match place {
            Place::Memory(name) => {
                let flags = base
                    | OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(name, flags)?
            }
            Place::File(path) => {
                Connection::open_with_flags(as_path(path), base | access(role, config))?
            }
            Place::Aside => {
                let flags =
                    base | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
                Connection::open_with_flags("", flags)?
            }
        };
        let wait = if role == Role::Inline {
            Duration::ZERO
        } else {
            LOCK_WAIT
        };
        sqlite.busy_timeout(wait)?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        limit(&sqlite, config)?;
        sqlite.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )?;
        match place {
            Place::Memory(_) => {
                sqlite.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;")?;
            }
            Place::File(_) => {
                sqlite.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;")?;
            }
            Place::Aside => {}
        }
        if role != Role::Writer || config.read_only {
            sqlite.execute_batch("PRAGMA query_only = ON;")?;
        }
        let control = Arc::new(Control::default());
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
            columns: RefCell::default(),
            file: None,
            max_value,
        })
    }

    /// Holds it to the file that was opened first: see [`super::identity`].
    pub(super) fn guarded_by(mut self, file: &Arc<DatabaseFile>) -> Result<Self, Moved> {
        self.file = Some(Arc::clone(file));
        let mut moved = 0;
        let asked = self
            .sqlite
            .file_control(Some("main"), FileControl::HasMoved(&mut moved));
        // By its own path first: that which the host was told may lead elsewhere through a symbolic link.
        if asked.is_ok() && moved != 0 {
            file.look()?;
            return Err(Moved::default());
        }
        file.look()?;
        Ok(self)
    }

    /// Looks whether its file is in its place.
    fn look(&self) -> Result<(), Moved> {
        self.file.as_ref().map_or(Ok(()), DatabaseFile::look)
    }

    /// Makes writers and readers independent of each other, and tells whether that is so.
    pub(super) fn write_ahead(&self) -> rusqlite::Result<bool> {
        self.host(|sqlite| {
            let mode: String =
                sqlite.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            Ok(mode.eq_ignore_ascii_case("wal"))
        })
    }

    /// Reads the schema, which shows whether this is a database at all. Gives whether all of it is UTF-8.
    pub(super) fn read_schema(&self) -> rusqlite::Result<bool> {
        self.host(|sqlite| {
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

    /// Copies the whole database aside. Nobody may write to it meanwhile.
    pub(super) fn copy(&self, config: &Config) -> Result<Self, Error> {
        let told = |error: rusqlite::Error| error::told(&error, false, None);
        let mut copy = Self::open(&Place::Aside, Role::Reader, config).map_err(told)?;
        let is_over = || self.control.is_over();
        if back_up(&self.sqlite, &mut copy.sqlite, is_over).map_err(told)? {
            Ok(copy)
        } else {
            Err(Error::Timeout)
        }
    }

    /// The rows of what the host itself asks, each as `|one|other|`.
    #[cfg(test)]
    pub(super) fn ask_as_host(&self, text: &str) -> rusqlite::Result<Vec<String>> {
        use rusqlite::types::ValueRef;
        self.host(|sqlite| {
            let mut prepared = sqlite.prepare(text)?;
            let columns = prepared.column_count();
            let mut rows = prepared.query([])?;
            let mut told = Vec::new();
            while let Some(row) = rows.next()? {
                let mut line = "|".to_owned();
                for index in 0..columns {
                    line += &match row.get_ref(index)? {
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        ValueRef::Integer(value) => value.to_string(),
                        other => format!("{other:?}"),
                    };
                    line.push('|');
                }
                told.push(line);
            }
            Ok(told)
        })
    }

    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(super) fn interrupt_handle(&self) -> InterruptHandle {
        self.sqlite.get_interrupt_handle()
    }

    /// Runs what the host itself has to say.
    fn host<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        self.control.host_speaks(true);
        let done = work(&self.sqlite);
        self.control.host_speaks(false);
        done
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        self.host(|sqlite| sqlite.execute_batch(text))
            .map_err(|error| self.failed(error.into(), true))
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        self.look()?;
        self.say("BEGIN IMMEDIATE")
    }

    /// Begins a transaction that reads what is there now.
    pub(super) fn begin_reading(&self) -> Result<(), Failure> {
        self.say("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")
            .inspect_err(|_| {
                self.clean();
            })
    }

    /// Commits. What cannot be committed is rolled back.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        let committed = self.host(|sqlite| sqlite.execute_batch("COMMIT"));
        let Err(error) = committed else {
            // It is done, and perhaps where nobody will find it.
            return self.look().map_err(|_| Failure::Error(Error::InDoubt));
        };
        // The log may have been written, and what is read from the disk after a crash may hold it.
        let failure = if error::is_disk(&error) {
            Failure::Error(Error::InDoubt)
        } else {
            self.failed(error.into(), true)
        };
        if !matches!(failure, Failure::Busy) {
            self.clean();
        }
        Err(failure)
    }

    /// Rolls back what is open. Gives whether the connection may be used again.
    pub(super) fn clean(&self) -> bool {
        // An interruption that comes late may hit the ROLLBACK.
        for _ in 0..3 {
            if self.sqlite.is_autocommit()
                || self.host(|sqlite| sqlite.execute_batch("ROLLBACK")).is_ok()
            {
                return true;
            }
        }
        self.sqlite.is_autocommit()
    }

    /// Tells, compared with an earlier one, whether a statement has done anything.
    pub(super) fn state(&self) -> State {
        State {
            changes: self.sqlite.total_changes(),
            is_autocommit: self.sqlite.is_autocommit(),
        }
    }

    /// Tries again while a lock is in the way and there is time. Only for threads that may wait.
    pub(super) fn patiently<T>(
        &self,
        mut work: impl FnMut(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match work(self) {
                Err(Failure::Busy) if !self.control.is_over() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => return done,
            }
        }
    }

    /// Runs a statement to its end, which is measured as of `began`.
    pub(super) fn answer(
        &self,
        statement: &Statement,
        params: &[Value],
        want: Want,
        began: Instant,
    ) -> Result<Answer, Failure> {
        let answer = self
            .run(statement, params, want)
            .map_err(|failure| self.failed(failure, statement.writes));
        statement.took(began.elapsed());
        answer
    }

    /// Prepares a statement, limits its values by its size, and binds its parameters. Gives also whether
    /// it is small enough to be remembered.
    ///
    /// The size is taken first: SQLite counts the parameters that are bound as part of it.
    pub(super) fn prepare(
        &self,
        statement: &Statement,
        params: &[Value],
    ) -> Result<(CachedStatement<'_>, bool), Failure> {
        let mut prepared = self.sqlite.prepare_cached(&statement.text)?;
        if prepared.is_explain() == EXPLAIN {
            prepared.discard();
            let why = "EXPLAIN shows addresses of the host's memory: use EXPLAIN QUERY PLAN";
            return Err(failure::denied(why).into());
        }
        let is_small = self.limit_work(statement, &prepared)?;
        values::bind(&mut prepared, params)?;
        Ok((prepared, is_small))
    }

    /// Limits the values that the statements which follow may make: on a core's own thread to what is quick.
    pub(super) fn limit_values(&self, inline: bool) -> Result<(), Failure> {
        let bytes = if inline {
            INLINE_VALUE.min(self.max_value)
        } else {
            self.max_value
        };
        self.set_max_value(bytes)
    }

    fn set_max_value(&self, bytes: u32) -> Result<(), Failure> {
        if self.control.max_value() != bytes {
            self.control.set_max_value(bytes);
            let limit = i32::try_from(bytes).unwrap_or(i32::MAX);
            self.sqlite.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit)?;
        }
        Ok(())
    }

    /// Limits the values of a statement by its size: see [`WORK`]. Gives whether it is small enough to be remembered.
    fn limit_work(
        &self,
        statement: &Statement,
        prepared: &CachedStatement<'_>,
    ) -> Result<bool, Failure> {
        let size = if prepared.get_status(StatementStatus::Run) == 0 {
            let size =
                u32::try_from(prepared.get_status(StatementStatus::MemUsed)).unwrap_or(u32::MAX);
            statement.prepared_bytes.store(size, Relaxed);
            size
        } else {
            statement.prepared_bytes.load(Relaxed)
        };
        let bytes = WORK / u64::from(size.max(1));
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes < self.control.max_value() {
            self.set_max_value(bytes.max(INLINE_VALUE))?;
        }
        Ok(size <= REMEMBERED)
    }

    fn run(&self, statement: &Statement, params: &[Value], want: Want) -> Result<Answer, Failure> {
        let (mut prepared, is_small) = self.prepare(statement, params)?;
        // Left to itself SQLite commits what a statement has changed also where its rows are not read to the end, and may report
        // an interruption after it has committed. Whoever is told of an error is to know that nothing happened.
        let whole = self.sqlite.is_autocommit() && !prepared.readonly();
        let answer = if whole {
            self.begin()?;
            self.step(statement, &mut prepared, want)
                .and_then(|answer| self.commit().map(|()| answer))
        } else {
            self.step(statement, &mut prepared, want)
        };
        if is_small {
            drop(prepared);
        } else {
            prepared.discard();
        }
        if whole && answer.is_err() {
            self.clean();
        }
        answer
    }

    /// The columns that a statement's result has, which are nearly always those it had before.
    ///
    /// SQLite prepares a statement anew where the schema has changed, and counts that and its runs. One that was forgotten and
    /// prepared again begins to count anew.
    fn columns(
        &self,
        statement: &Statement,
        prepared: &rusqlite::Statement<'_>,
        meter: &Meter,
    ) -> Result<Arc<Columns>, Failure> {
        let runs = prepared.get_status(StatementStatus::Run);
        let preparations = prepared.get_status(StatementStatus::RePrepare);
        let mut known = self.columns.borrow_mut();
        if let Some(known) = known.get_mut(&statement.id) {
            let is_next = known.runs.wrapping_add(1) == runs && known.preparations == preparations;
            if is_next || known.columns.are_of(prepared) {
                (known.runs, known.preparations) = (runs, preparations);
                meter.fits(known.columns.names_bytes)?;
                return Ok(Arc::clone(&known.columns));
            }
        }
        let columns = Arc::new(Columns::of(prepared, meter)?);
        if columns.names_bytes > REMEMBERED as usize {
            return Ok(columns);
        }
        if known.len() >= PREPARED {
            known.clear();
        }
        let last = Known {
            columns: Arc::clone(&columns),
            runs,
            preparations,
        };
        known.insert(statement.id, last);
        Ok(columns)
    }

    fn step(
        &self,
        statement: &Statement,
        prepared: &mut CachedStatement<'_>,
        want: Want,
    ) -> Result<Answer, Failure> {
        let before = self.sqlite.total_changes();
        let mut answer = Answer {
            rows: Rows {
                columns: Arc::default(),
                rows: Vec::new(),
            },
            affected: 0,
        };
        match want {
            Want::Rows(budget) => {
                let mut meter = budget.meter();
                let mut columns = None;
                let mut rows = prepared.raw_query();
                while let Some(row) = rows.next()? {
                    // Only now: a statement is prepared anew at its first step where the schema has changed.
                    let columns = match &mut columns {
                        Some(columns) => columns,
                        none => none.insert(self.columns(statement, row.as_ref(), &meter)?),
                    };
                    let (row, bytes) = columns.read(row, Some(&meter))?;
                    meter.take(row.len(), bytes)?;
                    answer.rows.rows.push(row);
                }
                drop(rows);
                let columns = match columns {
                    Some(columns) => columns,
                    None => self.columns(statement, prepared, &meter)?,
                };
                answer.rows.columns = Arc::clone(&columns.names);
            }
            Want::Count => {
                let mut rows = prepared.raw_query();
                while rows.next()?.is_some() {
                    answer.affected += 1;
                }
            }
        }
        // Definitions leave the count of the last change as it was.
        if !prepared.readonly() {
            answer.affected = if self.sqlite.total_changes() == before {
                0
            } else {
                self.sqlite.changes()
            };
        }
        Ok(answer)
    }

    /// Says of a failure what can be found out only here.
    pub(super) fn failed(&self, failure: Failure, writes: bool) -> Failure {
        match failure {
            Failure::Sqlite(error) => {
                let index = self.host(|sqlite| error::index(sqlite, &error));
                Failure::Error(error::told(&error, writes, index))
            }
            other => other,
        }
    }
}

impl Keeper for Conn {
    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.host(|sqlite| {
            sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0).map(|busy| busy == 0)
            })
        })
    }

    fn copy_to(&self, path: &Path) -> rusqlite::Result<()> {
        let mut copy = Connection::open_with_flags(
            as_path(path),
            OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?;
        back_up(&self.sqlite, &mut copy, || false).map(drop)
    }
}

/// Copies one database into another until `is_over`. Returns whether all of it is there.
fn back_up(
    from: &Connection,
    to: &mut Connection,
    is_over: impl Fn() -> bool,
) -> rusqlite::Result<bool> {
    let backup = Backup::new(from, to)?;
    // Bit by bit, because SQLite does not look at the time meanwhile.
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => return Ok(true),
            _ if is_over() => return Ok(false),
            StepResult::More => {}
            // Another connection holds a lock.
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.look().is_err() {
            // The last one to be closed would write the log into a file that it may not belong to, and delete what is in its place.
            let kept = self
                .sqlite
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            if let Err(error) = kept {
                tracing::error!("the log of a file that was moved cannot be left alone: {error}");
            }
        }
    }
}

/// A path is never taken for a URI, nor for one of SQLite's special names.
fn as_path(path: &Path) -> PathBuf {
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

/// The largest value, in bytes: more than a result has room for, so that it is found to be too large for that.
fn max_value(config: &Config) -> u32 {
    let bytes = config.max_rows_bytes.saturating_mul(2).max(16 << 20);
    u32::try_from(bytes.min(LARGEST_VALUE)).unwrap_or(u32::MAX)
}

/// What no statement may exceed, whatever it says.
fn limit(sqlite: &Connection, config: &Config) -> rusqlite::Result<()> {
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
    // "name" is an identifier, as in PostgreSQL, and never a text.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    Ok(())
}
