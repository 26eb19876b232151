//! A database that was opened, and the connections of one core.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::connection::{Answer, Conn, Place, Role, Want};
use super::cursor::Cursor;
use super::error::Failure;
use super::identity::{DatabaseFile, LOOK_INTERVAL, Moved};
use super::inline::{inline, inline_since, is_quick, settled};
use super::lease::{Lease, Readers, Shared, apart};
use super::transaction::Transaction;
use super::unusable::{look, reason, unopened, unusable};
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// A database that was opened. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(super) shared: Arc<Shared>,
}

impl Database {
    /// Opens a file, which is made if there is none.
    pub(crate) async fn open(file: &Path, config: &Arc<Config>) -> Result<Self, OpenError> {
        let place = Place::File(file.to_owned());
        let given = Arc::clone(config);
        tokio::task::spawn_blocking(move || Self::connect(place, given))
            .await
            .unwrap_or_else(|error| {
                Err(unusable(
                    config,
                    format!("opening it was given up: {error}"),
                ))
            })
    }

    /// Makes a database in memory, apart from all others.
    #[expect(clippy::unused_async, reason = "as the other ways to open a database")]
    pub(crate) async fn memory(config: &Arc<Config>) -> Result<Self, OpenError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:/usher-{}?vfs=memdb", MADE.fetch_add(1, Relaxed));
        Self::connect(Place::Memory(name), Arc::clone(config))
    }

    fn connect(place: Place, config: Arc<Config>) -> Result<Self, OpenError> {
        if let Place::File(path) = &place {
            look(path, &config)?;
        }
        let told = |error: rusqlite::Error| unopened(&config, &error);
        let writer = Conn::open(&place, Role::Writer, &config).map_err(told)?;
        if !writer.read_schema().map_err(told)? {
            return Err(unusable(&config, "its schema is not UTF-8".to_owned()));
        }
        if !place.is_memory() && !config.read_only && !writer.write_ahead().map_err(told)? {
            return Err(unusable(
                &config,
                "write-ahead logging does not work on its file system".to_owned(),
            ));
        }
        let keeper = Conn::open(&place, Role::Reader, &config).map_err(told)?;
        let Place::File(path) = &place else {
            let shared = Shared::new(place, config, None, writer, keeper);
            return Ok(Self {
                shared: Arc::new(shared),
            });
        };
        keeper.read_schema().map_err(told)?;
        let file = DatabaseFile::opened(path, !config.read_only)
            .map_err(|error| unusable(&config, error.to_string()))?;
        if file.names() > 1 {
            tracing::warn!(
                "{} has {} names: opened by another of them at the same time it would be destroyed, since SQLite keeps a log for each",
                path.display(),
                file.names()
            );
        }
        let moved = |moved: Moved| unusable(&config, moved.to_string());
        let writer = writer.guarded_by(&file).map_err(moved)?;
        let keeper = keeper.guarded_by(&file).map_err(moved)?;
        let shared = Shared::new(place, config, Some(file), writer, keeper);
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
        }
    }

    /// Whether the database can be read now.
    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        let Some(file) = &self.shared.file else {
            return Ok(());
        };
        let (file, keeper, config) = (
            Arc::clone(file),
            Arc::clone(&self.shared.keeper),
            Arc::clone(&self.shared.config),
        );
        let unreachable = |reason| OpenError::Unreachable {
            url: self.shared.config.url.to_string(),
            reason,
        };
        let checked = tokio::task::spawn_blocking(move || {
            // An open file is readable also after somebody has deleted it; nobody would find what is written then.
            file.look().map_err(|moved| moved.to_string())?;
            let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
            keeper
                .control()
                .arm(Instant::now() + config.statement_timeout);
            match keeper.patiently(|conn| conn.read_schema().map_err(Failure::from)) {
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
    /// For what is quick.
    inline: Mutex<Inline>,
    readers: Arc<Readers>,
}

/// The connection on a core's own thread.
#[derive(Debug, Default)]
struct Inline {
    /// Opened at the first read.
    conn: Option<Conn>,
    /// When it was last seen that the file is in its place.
    looked: Option<Instant>,
}

impl Pool {
    /// Runs a statement as its own transaction and gives its rows.
    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run(statement, params, Want::Rows(*budget), budget)
            .await
            .map(|answer| answer.rows)
    }

    /// Runs a statement as its own transaction and gives the number of rows it affected.
    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, Want::Count, budget)
            .await
            .map(|answer| answer.affected)
    }

    /// Begins a transaction on a connection of its own. Each is serializable, whatever is asked for.
    pub(crate) async fn begin(
        &self,
        _: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        let lease = if read_only {
            let reading = self.shared.reading(budget).await?;
            self.readers.lease(&self.shared, reading, budget).await?
        } else {
            self.shared.writer(budget).await?
        };
        let (patience, quick) = (self.shared.patience(budget), self.shared.place.is_memory());
        let idle = self.shared.config.idle_transaction_timeout;
        Transaction::begin(lease, read_only, quick, idle, &patience).await
    }

    /// Begins to read a result of any length.
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
                .map(Cursor::aside);
        }
        let lease = if self.shared.place.is_memory() {
            self.copy(budget).await?
        } else {
            self.readers.lease(&self.shared, None, budget).await?
        };
        Cursor::live(lease, Arc::clone(statement), params, budget).await
    }

    /// The database as it is now, for one who reads.
    async fn copy(&self, budget: &Budget) -> Result<Lease, Error> {
        let reading = self.shared.reading(budget).await?;
        let lease = self.readers.lease(&self.shared, reading, budget).await?;
        let config = Arc::clone(&self.shared.config);
        let (_lease, copy) = apart(lease, budget, move |conn| conn.copy(&config)).await?;
        copy.map(Lease::alone)
    }

    async fn run(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        want: Want,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let quick = is_quick(statement);
        if statement.writes {
            if self.shared.config.read_only {
                return Err(failure::refused(
                    "25006",
                    "the database is open for reading only",
                    None,
                    None,
                ));
            }
            let lease = Box::pin(self.shared.writer(budget)).await?;
            if quick && self.shared.place.is_memory() {
                let done = inline(lease.conn()?, statement, params, want, budget);
                if let Some(answer) = settled(done, statement, budget) {
                    return answer;
                }
            }
            return Box::pin(answer_apart(lease, statement, params, want, budget)).await;
        }
        if quick {
            let (reading, began) = match self.shared.reading_at_once() {
                Ok(reading) => (reading, budget.began),
                Err(_) => (
                    Box::pin(self.shared.reading_here(budget)).await?,
                    Instant::now(),
                ),
            };
            let answer = self.read_inline(statement, params, want, budget, began);
            drop(reading);
            if let Some(answer) = answer {
                return answer;
            }
        }
        Box::pin(self.read_apart(statement, params, want, budget)).await
    }

    /// Reads on this thread. None where that takes too long.
    fn read_inline(
        &self,
        statement: &Statement,
        params: &[Value],
        want: Want,
        budget: &Budget,
        began: Instant,
    ) -> Option<Result<Answer, Error>> {
        let mut slot = self.inline.try_lock().ok()?;
        let is_due = slot
            .looked
            .is_none_or(|looked| began.saturating_duration_since(looked) >= LOOK_INTERVAL);
        if is_due || self.shared.is_moved() {
            if let Err(error) = self.shared.look() {
                return Some(Err(error));
            }
            slot.looked = Some(began);
        }
        let conn = match slot.conn.take() {
            Some(conn) => conn,
            None => match self.shared.open(Role::Inline) {
                Ok(conn) => conn,
                Err(error) => return Some(Err(error)),
            },
        };
        let conn = slot.conn.insert(conn);
        let done = inline_since(began, conn, statement, params, want, budget);
        settled(done, statement, budget)
    }

    /// Waits until what was written to a file that was moved is saved.
    pub(crate) async fn closed(&self) {
        let shared = Arc::clone(&self.shared);
        let left = tokio::task::spawn_blocking(move || shared.leave()).await;
        if let Err(error) = left {
            tracing::error!("the database file could not be left in order: {error}");
        }
    }

    async fn read_apart(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        want: Want,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let reading = self.shared.reading(budget).await?;
        let lease = self.readers.lease(&self.shared, reading, budget).await?;
        answer_apart(lease, statement, params, want, budget).await
    }
}

/// Runs a statement on a thread that may wait.
async fn answer_apart(
    lease: Lease,
    statement: &Arc<Statement>,
    params: &[Value],
    want: Want,
    budget: &Budget,
) -> Result<Answer, Error> {
    let (statement, params) = (Arc::clone(statement), params.to_vec());
    let work = move |conn: &Conn| {
        conn.limit_values(false)
            .map_err(|failure| failure.alone(false))?;
        conn.patiently(|conn| conn.answer(&statement, &params, want, Instant::now()))
            .map_err(|failure| failure.alone(statement.writes))
    };
    apart(lease, budget, work).await?.1
}
