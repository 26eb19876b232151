//! The choke point: every call of a guest to its database passes here, and nothing else reaches a back end.
//!
//! In order: is the statement within its size, may it be said at all ([`super::policy`]), does the instance hold too much
//! already, how long may it take, how large may its result be. Only then is a back end asked. What comes of it is counted.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::backend::{BackendCursor, BackendTransaction};
use super::budget::Budget;
use super::failure;
use super::last_failure::LastFailure;
use super::metrics::{End, Run};
use super::migration::Migration;
use super::pool::PoolInner;
use super::statement::{Caller, Statement};
use super::types::{Error, Isolation, Row, Rows, SqlDialect, Value};
use crate::memory::{self, Charge, OverLimit, RequestMemory};

/// The way of one instance to its database.
pub struct Session {
    pool: Arc<PoolInner>,
    caller: Caller,
    /// When the request at hand must be over; none for calls without one, such as migrations.
    deadline: Option<Instant>,
    /// Where the calls are those of migrations, which have a time of their own.
    migration: Option<Arc<Migration>>,
    /// As many clones as there are transactions and cursors, besides this one.
    held: Arc<()>,
    /// What failed last in the request at hand.
    failed: LastFailure,
    /// What the host may hold for the request at hand.
    memory: Option<RequestMemory>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(pool: Arc<PoolInner>, caller: Caller) -> Self {
        Self {
            pool,
            caller,
            deadline: None,
            migration: None,
            held: Arc::new(()),
            failed: LastFailure::default(),
            memory: None,
        }
    }

    /// From now on parameters are held, and results limited, by what the host may hold for the request at hand.
    pub(crate) fn set_memory(&mut self, memory: RequestMemory) {
        self.memory = Some(memory);
    }

    /// Counts parameters for as long as their call takes, where they are large.
    fn hold_parameters(&self, params: &[Value]) -> Result<Option<Charge>, Error> {
        let bytes = params.iter().map(parameter_bytes).sum::<usize>();
        let Some(memory) = self.memory.as_ref().filter(|_| bytes > memory::FREE) else {
            return Ok(None);
        };
        let mut held = memory.charge();
        match held.resize(bytes) {
            Ok(()) => Ok(Some(held)),
            Err(over @ OverLimit::Request(_)) => Err(failure::invalid(over.to_string())),
            Err(OverLimit::Host(_)) => Err(Error::Overloaded),
        }
    }

    /// What failed last in the request at hand, also after the session is gone.
    pub(crate) fn last_failure(&self) -> &LastFailure {
        &self.failed
    }

    /// Calls are those of migrations from now on.
    pub(super) fn set_migration(&mut self, migration: Arc<Migration>) {
        self.migration = Some(migration);
    }

    /// No call from now on lasts beyond this moment.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Forgets the request at hand. Gives whether nothing of it is left: an instance that still holds a transaction must go.
    pub fn reset(&mut self) -> bool {
        self.deadline = None;
        self.failed.renew();
        self.held() == 0
    }

    fn held(&self) -> usize {
        Arc::strong_count(&self.held) - 1
    }

    fn budget(&self, now: Instant) -> Budget {
        let budget = self.statement_budget(now);
        let deadline = self.deadline;
        Budget {
            deadline: deadline.map_or(budget.deadline, |deadline| deadline.min(budget.deadline)),
            ..budget
        }
    }

    /// For more of a result that is being read. It has a statement's time but no request's: whether an answer that is being streamed
    /// goes on is for its reader to say, and where it does not, the guest is ended and its cursor with it.
    fn statement_budget(&self, now: Instant) -> Budget {
        let config = &self.pool.config;
        let time = match &self.migration {
            Some(_) => Migration::STATEMENT_TIMEOUT,
            None => config.statement_timeout,
        };
        Budget {
            began: now,
            deadline: now + time,
            rows_bytes: self
                .memory
                .as_ref()
                .map_or(config.max_rows_bytes, |memory| {
                    config.max_rows_bytes.min(memory.left() as u64)
                }),
        }
    }

    /// Lets a call through, and begins to measure it, or says why not.
    async fn admit(&self, statement: String, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let admitted = match self.pool.known(&statement, self.caller) {
            Some(statement) => self.measure(statement, params),
            None => Box::pin(self.learn(statement, params)).await,
        };
        let admitted = self.failed.note(None, admitted);
        admitted.map_err(|error| self.pool.metrics.stopped(error))
    }

    async fn learn(&self, statement: String, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let deadline = self.budget(Instant::now()).deadline;
        let statement = self.pool.learned(statement, self.caller, deadline).await?;
        self.measure(statement, params)
    }

    fn measure(&self, statement: Arc<Statement>, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let limit = self.pool.config.max_parameters;
        if params.len() > limit {
            return Err(failure::invalid(format!(
                "{} parameters are over the limit of {limit}",
                params.len()
            )));
        }
        let params = self.hold_parameters(params)?;
        // One reading of the clock serves both: few instructions here cost more.
        let now = Instant::now();
        let budget = self.budget(now);
        if budget.deadline <= now {
            return Err(Error::Timeout);
        }
        Ok(Admitted {
            statement,
            budget,
            run: self.pool.metrics.run(now),
            params,
        })
    }

    /// A share in what one instance may hold at the same time.
    fn hold(&self) -> Result<Arc<()>, Error> {
        let limit = self.pool.config.max_transactions;
        if self.held() >= limit {
            return Err(failure::denied(format!(
                "an instance holds at most {limit} transactions and cursors at the same time"
            )));
        }
        Ok(Arc::clone(&self.held))
    }

    /// The SQL that the database speaks.
    pub(super) fn dialect(&self) -> SqlDialect {
        self.pool.dialect()
    }

    /// Runs a statement as its own transaction and gives its rows.
    pub(super) async fn query(&self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        let Admitted {
            statement,
            budget,
            run,
            params: _held,
        } = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let answer = run.end(connections.query(&statement, &params, &budget).await);
        self.failed.note(Some(&statement), answer)
    }

    /// Runs a statement as its own transaction and gives the number of rows it affected.
    pub(super) async fn execute(
        &self,
        statement: String,
        params: Vec<Value>,
    ) -> Result<u64, Error> {
        let Admitted {
            statement,
            budget,
            run,
            params: _held,
        } = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let answer = run.end(connections.execute(&statement, &params, &budget).await);
        self.failed.note(Some(&statement), answer)
    }

    /// Begins a transaction.
    pub(super) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
    ) -> Result<Transaction, Error> {
        let held = self.failed.note(None, self.hold())?;
        let read_only = read_only || self.pool.config.read_only;
        let connections = &self.pool.connections;
        let budget = self.budget(Instant::now());
        let begun = match &self.migration {
            None => connections.begin(isolation, read_only, &budget).await,
            Some(_) => {
                connections
                    .begin_migration(isolation, read_only, &budget)
                    .await
            }
        };
        Ok(Transaction {
            inner: self.failed.note(None, begun)?,
            ending: Ending::new(&self.pool),
            _held: held,
        })
    }

    /// Runs a statement in a transaction and gives its rows.
    pub(super) async fn query_in(
        &self,
        transaction: &mut Transaction,
        statement: String,
        params: Vec<Value>,
    ) -> Result<Rows, Error> {
        let Admitted {
            statement,
            budget,
            run,
            params: _held,
        } = self.admit(statement, &params).await?;
        let watched = Migration::watch(self.migration.as_ref(), &statement);
        let answer = transaction.inner.query(&statement, &params, &budget);
        let answer = run.end(answer.await);
        Migration::note(watched, answer.as_ref().err());
        self.failed.note(Some(&statement), answer)
    }

    /// Runs a statement in a transaction and gives the number of rows it affected.
    pub(super) async fn execute_in(
        &self,
        transaction: &mut Transaction,
        statement: String,
        params: Vec<Value>,
    ) -> Result<u64, Error> {
        let Admitted {
            statement,
            budget,
            run,
            params: _held,
        } = self.admit(statement, &params).await?;
        let watched = Migration::watch(self.migration.as_ref(), &statement);
        let answer = transaction.inner.execute(&statement, &params, &budget);
        let answer = run.end(answer.await);
        Migration::note(watched, answer.as_ref().err());
        self.failed.note(Some(&statement), answer)
    }

    /// Commits a transaction.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<(), Error> {
        let Transaction {
            inner,
            mut ending,
            _held,
        } = transaction;
        // Until the answer is there, nobody knows.
        ending.how = End::InDoubt;
        let answer = inner.commit(&self.budget(Instant::now())).await;
        ending.how = match &answer {
            Ok(()) => End::Committed,
            Err(Error::InDoubt) => End::InDoubt,
            Err(_) => End::RolledBack,
        };
        self.failed.note(None, answer)
    }

    /// Rolls a transaction back.
    pub(super) async fn rollback(&self, transaction: Transaction) -> Result<(), Error> {
        let Transaction {
            inner,
            mut ending,
            _held,
        } = transaction;
        ending.how = End::RolledBack;
        let answer = inner.rollback(&self.budget(Instant::now())).await;
        self.failed.note(None, answer)
    }

    /// Begins to read a result of any length.
    pub(super) async fn open(
        &self,
        statement: String,
        params: Vec<Value>,
    ) -> Result<Cursor, Error> {
        let held = self.hold()?;
        let Admitted {
            statement,
            budget,
            run,
            params: _held,
        } = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let opened = run.end(connections.open(&statement, params, &budget).await);
        Ok(Cursor {
            inner: self.failed.note(Some(&statement), opened)?,
            _held: held,
        })
    }

    /// More of a result that is being read.
    pub(super) async fn next(&self, cursor: &mut Cursor, at_most: u32) -> Result<Vec<Row>, Error> {
        let budget = self.statement_budget(Instant::now());
        let rows = cursor.inner.next(at_most, &budget).await;
        self.failed.note(None, rows)
    }
}

/// The bytes of a parameter beyond its place in the list.
fn parameter_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

/// A call that was let through.
struct Admitted<'s> {
    statement: Arc<Statement>,
    budget: Budget,
    run: Run<'s>,
    /// Held until the call is over.
    params: Option<Charge>,
}

/// A guest's transaction. Dropped without COMMIT, however that came about, it is rolled back.
#[derive(Debug)]
pub struct Transaction {
    inner: Box<dyn BackendTransaction>,
    ending: Ending,
    _held: Arc<()>,
}

/// Counts a transaction, whichever way it ends.
#[derive(Debug)]
struct Ending {
    pool: Arc<PoolInner>,
    how: End,
}

impl Ending {
    fn new(pool: &Arc<PoolInner>) -> Self {
        pool.metrics.begun();
        Self {
            pool: Arc::clone(pool),
            how: End::Abandoned,
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.pool.metrics.ended(self.how);
    }
}

/// A result that a guest reads bit by bit. Dropping it ends the query.
#[derive(Debug)]
pub struct Cursor {
    inner: Box<dyn BackendCursor>,
    _held: Arc<()>,
}

impl Cursor {
    /// The columns' names, in order.
    pub(super) fn columns(&self) -> Vec<String> {
        self.inner.columns()
    }
}
