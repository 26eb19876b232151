//! What the choke point asks of a back end, and which back ends there are.
//!
//! A back end is given statements that policy has let through, and answers with what is known of their outcome. It keeps to
//! the [`Budget`]: the deadline, and the size of a result while it is read.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::policy::Effect;
use super::{Error, OpenError, Row, Rows, Value, failure, postgres, scripted, sqlite};
pub(crate) use crate::bindings::usher::database::database::{Isolation, SqlDialect};

/// A statement that policy has let through.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Unlike its address, no other statement's before or after it.
    pub(crate) id: u64,
    pub(crate) text: Box<str>,
    /// Whether it may change something, so that a connection lost under it leaves its outcome unknown.
    pub(crate) writes: bool,
    /// Whether it is an `INSERT`, `UPDATE` or `DELETE`, which does in a transaction what it does alone.
    pub(crate) changes: bool,
    /// How long it has taken of late, in microseconds, or zero before it has run: what is known to be slow must not stand before
    /// what is quick.
    pub(crate) micros: AtomicU32,
    /// What SQLite needed to prepare it, in bytes.
    pub(crate) prepared_bytes: AtomicU32,
}

impl Statement {
    pub(crate) fn new(text: String, effect: Effect) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Relaxed),
            text: text.into_boxed_str(),
            writes: effect != Effect::Reads,
            changes: effect == Effect::Changes,
            micros: AtomicU32::new(0),
            prepared_bytes: AtomicU32::new(0),
        })
    }

    /// Whether it has of late taken longer than so many microseconds.
    pub(crate) fn is_slower_than(&self, micros: u32) -> bool {
        self.micros.load(Relaxed) > micros
    }

    /// Takes one more run into account.
    pub(crate) fn took(&self, time: Duration) {
        let now = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let before = self.micros.load(Relaxed);
        // A moving average over about four runs, so that one bad moment is forgotten soon.
        // Never zero again, which says that it has not run yet.
        let average = (before / 4).saturating_mul(3).saturating_add(now / 4);
        self.micros.store(average.max(1), Relaxed);
    }
}

/// What one call may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// When the call was let through.
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    /// The values of one result, in bytes.
    pub(crate) rows_bytes: u64,
}

impl Budget {
    /// The outcome, or `None` where the deadline came first. The timer is set only once there is something to wait for.
    pub(crate) fn race<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        // No `async fn`: it would keep `work` twice, once as it came and once where it is polled.
        tokio::time::timeout_at(self.deadline.into(), work).map(Result::ok)
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Counts the bytes of a result while it is read.
    pub(crate) fn meter(&self) -> Meter {
        Meter {
            left: self.rows_bytes,
            limit: self.rows_bytes,
        }
    }
}

/// The room a result has left.
#[derive(Debug)]
pub(crate) struct Meter {
    left: u64,
    limit: u64,
}

impl Meter {
    /// What a value costs beside its text: its place in the row.
    const VALUE: u64 = 16;

    /// What a row costs beside its values, so that one without any, or with an empty one, is not had for nothing.
    const ROW: u64 = 32;

    /// Whether so much has been taken that it is time to hand over what there is.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.left < self.limit / 2
    }

    /// Whether there is room for so many bytes, of which none is taken yet.
    pub(crate) fn fits(&self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 <= self.left {
            Ok(())
        } else {
            Err(failure::too_large(self.limit))
        }
    }

    /// Takes room for a row of so many values with so many bytes of text, JSON and the like.
    pub(crate) fn take(&mut self, values: usize, bytes: usize) -> Result<(), Error> {
        let cost = (values as u64)
            .saturating_mul(Self::VALUE)
            .saturating_add(Self::ROW)
            .saturating_add(bytes as u64);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(failure::too_large(self.limit)),
        }
    }
}

/// What a statement is at.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Who holds the lock that it waits for.
    pub(crate) blockers: Option<String>,
    /// How far it is.
    pub(crate) progress: Option<String>,
}

/// A database that was reached.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Postgres(postgres::Database),
    Sqlite(sqlite::Database),
    Scripted(scripted::Script),
}

impl Backend {
    pub(crate) fn pool(&self) -> Result<Pool, OpenError> {
        Ok(match self {
            Self::Postgres(database) => Pool::Postgres(database.pool()?),
            Self::Sqlite(database) => Pool::Sqlite(database.pool()),
            Self::Scripted(script) => Pool::Scripted(script.clone()),
        })
    }

    pub(crate) fn dialect(&self) -> SqlDialect {
        match self {
            Self::Postgres(_) => SqlDialect::Postgres,
            Self::Sqlite(_) => SqlDialect::Sqlite,
            Self::Scripted(script) => script.dialect(),
        }
    }

    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        match self {
            Self::Postgres(database) => database.check().await,
            Self::Sqlite(database) => database.check().await,
            Self::Scripted(_) => Ok(()),
        }
    }
}

/// A back end's connections for one core.
#[derive(Debug)]
pub(crate) enum Pool {
    Postgres(postgres::Pool),
    Sqlite(sqlite::Pool),
    Scripted(scripted::Script),
}

impl Pool {
    pub(crate) fn dialect(&self) -> SqlDialect {
        match self {
            Self::Postgres(_) => SqlDialect::Postgres,
            Self::Sqlite(_) => SqlDialect::Sqlite,
            Self::Scripted(script) => script.dialect(),
        }
    }

    /// Waits until nothing is left, also elsewhere, of what nobody waits for any more.
    pub(crate) async fn tidied(&self) {
        match self {
            Self::Postgres(pool) => pool.tidied().await,
            // What runs is on threads of this process, which the runtime waits for.
            Self::Sqlite(pool) => pool.tidied().await,
            Self::Scripted(_) => {}
        }
    }

    /// Runs a statement as its own transaction and gives its rows.
    ///
    /// What is large is boxed: a call's size is that of its largest part, and the engine copies it as a whole for each call.
    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        match self {
            Self::Postgres(pool) => Box::pin(pool.query(statement, params, budget)).await,
            Self::Sqlite(pool) => pool.query(statement, params, budget).await,
            Self::Scripted(script) => Box::pin(script.query(statement, params, budget)).await,
        }
    }

    /// Runs a statement as its own transaction and gives the number of rows it affected.
    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        match self {
            Self::Postgres(pool) => Box::pin(pool.execute(statement, params, budget)).await,
            Self::Sqlite(pool) => pool.execute(statement, params, budget).await,
            Self::Scripted(script) => Box::pin(script.execute(statement, params, budget)).await,
        }
    }

    /// Begins a transaction on a connection of its own.
    pub(crate) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        Ok(match self {
            Self::Postgres(pool) => {
                Transaction::Postgres(Box::new(pool.begin(isolation, read_only, budget).await?))
            }
            Self::Sqlite(pool) => {
                Transaction::Sqlite(pool.begin(isolation, read_only, budget).await?)
            }
            Self::Scripted(script) => {
                Transaction::Scripted(script.begin(isolation, read_only, budget).await?)
            }
        })
    }

    /// Begins a transaction of migrations: its statements have the time they need, and wait for a lock only for a moment, since
    /// everybody else waits behind them.
    pub(crate) async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        match self {
            Self::Postgres(pool) => {
                let begun = pool.begin_migration(isolation, read_only, budget).await?;
                Ok(Transaction::Postgres(Box::new(begun)))
            }
            other => other.begin(isolation, read_only, budget).await,
        }
    }

    /// What is known of a statement of migrations that is running, where the database can tell.
    pub(crate) async fn activity(&self, text: &str) -> Option<Activity> {
        match self {
            Self::Postgres(pool) => pool.activity(text).await,
            Self::Sqlite(_) | Self::Scripted(_) => None,
        }
    }

    /// Begins to read a result of any length.
    pub(crate) async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Cursor, Error> {
        Ok(match self {
            Self::Postgres(pool) => {
                Cursor::Postgres(Box::new(pool.open(statement, params, budget).await?))
            }
            Self::Sqlite(pool) => Cursor::Sqlite(pool.open(statement, params, budget).await?),
            Self::Scripted(script) => {
                Cursor::Scripted(script.open(statement, params, budget).await?)
            }
        })
    }
}

/// A transaction of a back end. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) enum Transaction {
    Postgres(Box<postgres::Transaction>),
    Sqlite(sqlite::Transaction),
    Scripted(scripted::ScriptedTransaction),
}

impl Transaction {
    pub(crate) async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        match self {
            Self::Postgres(transaction) => {
                Box::pin(transaction.query(statement, params, budget)).await
            }
            Self::Sqlite(transaction) => transaction.query(statement, params, budget).await,
            Self::Scripted(transaction) => {
                Box::pin(transaction.query(statement, params, budget)).await
            }
        }
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        match self {
            Self::Postgres(transaction) => {
                Box::pin(transaction.execute(statement, params, budget)).await
            }
            Self::Sqlite(transaction) => transaction.execute(statement, params, budget).await,
            Self::Scripted(transaction) => {
                Box::pin(transaction.execute(statement, params, budget)).await
            }
        }
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        match self {
            Self::Postgres(transaction) => transaction.commit(budget).await,
            Self::Sqlite(transaction) => transaction.commit(budget).await,
            Self::Scripted(transaction) => transaction.commit(budget).await,
        }
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        match self {
            Self::Postgres(transaction) => transaction.rollback(budget).await,
            Self::Sqlite(transaction) => transaction.rollback(budget).await,
            Self::Scripted(transaction) => transaction.rollback(budget).await,
        }
    }
}

/// A result that is being read. Dropping it ends the query.
#[derive(Debug)]
pub(crate) enum Cursor {
    Postgres(Box<postgres::Cursor>),
    Sqlite(sqlite::Cursor),
    Scripted(scripted::ScriptedCursor),
}

impl Cursor {
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::Postgres(cursor) => cursor.columns(),
            Self::Sqlite(cursor) => cursor.columns(),
            Self::Scripted(cursor) => cursor.columns(),
        }
    }

    /// Up to so many rows; none at the end.
    pub(crate) async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        match self {
            Self::Postgres(cursor) => cursor.next(at_most, budget).await,
            Self::Sqlite(cursor) => cursor.next(at_most, budget).await,
            Self::Scripted(cursor) => cursor.next(at_most, budget).await,
        }
    }
}
