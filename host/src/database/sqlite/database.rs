//! An open database, and the pool of each core.
//!
//! Short statements run on the core's own thread, all others on separate threads. Calls on a file
//! that was moved return `unavailable`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::connection::Conn;
use super::cursor::Cursor;
use super::error::Failure;
use super::execution::{Executed, Output};
use super::group_commit;
use super::identity::{CHECK_INTERVAL, DatabaseFile, FileMoved};
use super::inline::{self, final_result, is_short};
use super::lease::{Lease, Readers, Shared};
use super::opening::{Location, Role};
use super::separate_thread;
use super::transaction::Transaction;
use super::unusable::{check_path, open_error, reason, unusable};
use super::write_queue::{ReplyChannel, reply_channel};
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::metrics::Connections;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(super) shared: Arc<Shared>,
}

impl Database {
    /// Opens a file, or creates it.
    pub(crate) async fn open(file: &Path, config: &Arc<Config>) -> Result<Self, OpenError> {
        let location = Location::File(file.to_owned());
        let shared_config = Arc::clone(config);
        tokio::task::spawn_blocking(move || Self::connect(location, shared_config))
            .await
            .unwrap_or_else(|error| {
                Err(unusable(
                    config,
                    format!("opening it was given up: {error}"),
                ))
            })
    }

    /// Creates a database in memory, separate from all others.
    #[expect(
        clippy::unused_async,
        reason = "like the other functions that open one"
    )]
    pub(crate) async fn memory(config: &Arc<Config>) -> Result<Self, OpenError> {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:/usher-{}?vfs=memdb", CREATED.fetch_add(1, Relaxed));
        Self::connect(Location::Memory(name), Arc::clone(config))
    }

    fn connect(location: Location, config: Arc<Config>) -> Result<Self, OpenError> {
        if let Location::File(path) = &location {
            check_path(path, &config)?;
        }
        let failed = |error: rusqlite::Error| open_error(&config, &error);
        let writer = Conn::open(&location, Role::Writer, &config).map_err(failed)?;
        let Location::File(path) = &location else {
            let keeper = Conn::keep(&location, &config).map_err(failed)?;
            let shared = Shared::new(location, config, None, writer, keeper);
            return Ok(Self {
                shared: Arc::new(shared),
            });
        };
        if !writer.read_schema().map_err(failed)? {
            return Err(unusable(&config, "its schema is not UTF-8".to_owned()));
        }
        if !config.read_only && !writer.enable_wal().map_err(failed)? {
            return Err(unusable(
                &config,
                "write-ahead logging does not work on its file system".to_owned(),
            ));
        }
        let standby = Conn::open(&location, Role::Reader, &config).map_err(failed)?;
        standby.read_schema().map_err(failed)?;
        let file = DatabaseFile::opened(path, !config.read_only)
            .map_err(|error| unusable(&config, error.to_string()))?;
        if file.links() > 1 {
            tracing::warn!(
                "{} has {} names: opened by another of them at the same time it would be \
                 destroyed, since SQLite keeps a log for each",
                path.display(),
                file.links()
            );
        }
        let moved = |moved: FileMoved| unusable(&config, moved.to_string());
        let writer = writer.bound_to(&file).map_err(moved)?;
        let standby = standby.bound_to(&file).map_err(moved)?;
        let shared = Shared::new(location, config, Some(file), writer, standby);
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Connections for one core.
    pub(crate) fn pool(&self) -> Pool {
        Pool {
            shared: Arc::clone(&self.shared),
            inline: Mutex::default(),
            readers: Readers::new(),
            replies: OnceLock::new(),
        }
    }

    /// Checks that the database can be read now.
    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        let Some(file) = &self.shared.file else {
            return Ok(());
        };
        let (file, standby, config) = (
            Arc::clone(file),
            Arc::clone(&self.shared.standby),
            Arc::clone(&self.shared.config),
        );
        let unreachable = |reason| OpenError::Unreachable {
            url: self.shared.config.url.to_string(),
            reason,
        };
        let checked = tokio::task::spawn_blocking(move || {
            // An open file stays readable after it is deleted, but what is written to it is lost.
            file.check().map_err(|moved| moved.to_string())?;
            let standby = standby.lock().unwrap_or_else(PoisonError::into_inner);
            standby
                .control()
                .start(Instant::now() + config.statement_timeout);
            match standby.retry_while_busy(|conn| conn.read_schema().map_err(Failure::from)) {
                Ok(_) => Ok(()),
                Err(Failure::Sqlite(error)) => Err(reason(&error)),
                Err(_) => Err("it is locked by another process".to_owned()),
            }
        });
        checked
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(unreachable)
    }
}

/// The connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// For short statements.
    inline: Mutex<Inline>,
    readers: Arc<Readers>,
    /// For results of groups, since the first one.
    replies: OnceLock<ReplyChannel>,
}

/// The connection on a core's own thread.
#[derive(Debug, Default)]
struct Inline {
    /// Opened at the first read.
    conn: Option<Conn>,
    /// When the file was last checked.
    checked: Option<Instant>,
}

impl Pool {
    /// Runs a statement as its own transaction and returns its rows.
    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run(statement, params, Output::Rows(budget.clone()), budget)
            .await
            .map(|executed| executed.rows)
    }

    /// Runs a statement as its own transaction and returns the number of affected rows.
    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, Output::Count, budget)
            .await
            .map(|executed| executed.affected)
    }

    /// Begins a transaction on a leased connection. SQLite's transactions are always serializable.
    pub(crate) async fn begin(
        &self,
        _: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        let lease = if read_only {
            let reader = self.shared.reader(budget).await?;
            self.readers.lease(&self.shared, reader, budget).await?
        } else {
            self.shared.writer(budget).await?
        };
        let wait = self.shared.wait_budget(budget);
        let is_memory = self.shared.location.is_memory();
        let idle = self.shared.config.idle_transaction_timeout;
        Transaction::begin(lease, read_only, is_memory, idle, &wait).await
    }

    /// Opens a cursor: a result of any length, read in batches.
    pub(crate) async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Cursor, Error> {
        if statement.writes {
            return self
                .query(statement, &params, budget)
                .await
                .map(Cursor::buffered);
        }
        let lease = if self.shared.location.is_memory() {
            self.copy(budget).await?
        } else {
            self.readers.lease(&self.shared, None, budget).await?
        };
        Cursor::open(lease, Arc::clone(statement), params, budget).await
    }

    /// Copies the database into a temporary one.
    async fn copy(&self, budget: &Budget) -> Result<Lease, Error> {
        let reader = self.shared.reader(budget).await?;
        let lease = self.readers.lease(&self.shared, reader, budget).await?;
        let config = Arc::clone(&self.shared.config);
        let work = move |conn: &Conn| conn.copy(&config);
        let (_lease, copy) = separate_thread::run(lease, budget, work).await?;
        copy.map(Lease::owning)
    }

    async fn run(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        output: Output,
        budget: &Budget,
    ) -> Result<Executed, Error> {
        let is_short = is_short(statement);
        if statement.writes {
            if self.shared.config.read_only {
                return Err(failure::refused(
                    "25006",
                    "the database is open for reading only",
                    None,
                    None,
                ));
            }
            if is_short && statement.changes && !self.shared.location.is_memory() {
                let core = self.replies.get_or_init(reply_channel);
                let write =
                    group_commit::run(&self.shared, statement, params, output, budget, core);
                return Box::pin(write).await;
            }
            let lease = Box::pin(self.shared.writer(budget)).await?;
            if is_short && self.shared.location.is_memory() {
                let executed = inline::execute(lease.conn()?, statement, params, &output, budget);
                if let Some(result) = final_result(executed, statement, budget) {
                    return result;
                }
            }
            return Box::pin(execute_separately(lease, statement, params, output, budget)).await;
        }
        if is_short {
            let (reader, began) = match self.shared.try_local_reader() {
                Ok(reader) => (reader, budget.began),
                Err(_) => (
                    Box::pin(self.shared.local_reader(budget)).await?,
                    Instant::now(),
                ),
            };
            let result = self.read_inline(statement, params, &output, budget, began);
            drop(reader);
            if let Some(result) = result {
                return result;
            }
        }
        Box::pin(self.read_separately(statement, params, output, budget)).await
    }

    /// Reads on this thread; none if the statement has to run on a separate thread.
    fn read_inline(
        &self,
        statement: &Statement,
        params: &[Value],
        output: &Output,
        budget: &Budget,
        began: Instant,
    ) -> Option<Result<Executed, Error>> {
        let mut slot = self.inline.try_lock().ok()?;
        let is_due = slot
            .checked
            .is_none_or(|checked| began.saturating_duration_since(checked) >= CHECK_INTERVAL);
        if is_due || self.shared.is_moved() {
            if let Err(error) = self.shared.check_file() {
                return Some(Err(error));
            }
            slot.checked = Some(began);
        }
        let conn = match slot.conn.take() {
            Some(conn) => conn,
            None => match self.shared.open(Role::Inline) {
                Ok(conn) => conn,
                Err(error) => return Some(Err(error)),
            },
        };
        let conn = slot.conn.insert(conn);
        let executed = inline::execute_since(began, conn, statement, params, output, budget);
        final_result(executed, statement, budget)
    }

    /// The connections of this core at the moment. The writer, which all cores share, is not among
    /// them.
    pub(crate) fn connections(&self) -> Connections {
        let mut connections = self.readers.connections();
        let inline = self.inline.try_lock();
        connections.max += 1;
        match inline {
            Ok(inline) if inline.conn.is_some() => connections.idle += 1,
            Ok(_) => {}
            Err(_) => connections.in_use += 1,
        }
        connections
    }

    /// Waits until what was written to a moved file is saved.
    pub(crate) async fn closed(&self) {
        let shared = Arc::clone(&self.shared);
        let saved = tokio::task::spawn_blocking(move || shared.save()).await;
        if let Err(error) = saved {
            tracing::error!("the database file could not be left in order: {error}");
        }
    }

    async fn read_separately(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        output: Output,
        budget: &Budget,
    ) -> Result<Executed, Error> {
        let reader = self.shared.reader(budget).await?;
        let lease = self.readers.lease(&self.shared, reader, budget).await?;
        execute_separately(lease, statement, params, output, budget).await
    }
}

/// Runs a statement on a separate thread.
async fn execute_separately(
    lease: Lease,
    statement: &Arc<Statement>,
    params: &[Value],
    output: Output,
    budget: &Budget,
) -> Result<Executed, Error> {
    let (statement, params) = (Arc::clone(statement), params.to_vec());
    let work = move |conn: &Conn| {
        conn.limit_values(false)
            .map_err(|failure| failure.outside_transaction(false))?;
        conn.retry_while_busy(|conn| conn.execute(&statement, &params, &output, Instant::now()))
            .map_err(|failure| failure.outside_transaction(statement.writes))
    };
    separate_thread::run(lease, budget, work).await?.1
}
