//! The gate: every call of a guest to its database passes it, and no call reaches a back end on
//! another path.
//!
//! It checks the statement's size, the policy ([`super::policy`]) and what the instance already
//! holds, and sets the deadline and the limit of the result. A call that fails a check returns an
//! error without reaching the back end. Every outcome is counted, the time of each call is added to
//! that of its request, and `--log statements` logs each call.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::{BackendCursor, BackendTransaction};
use super::budget::{Budget, Report};
use super::failure;
use super::last_failure::{LastFailure, masked};
use super::metrics::{ABANDONED, OUTCOMES, TransactionOutcome, outcome};
use super::migration::{Migration, Watched};
use super::packed;
use super::pool::PoolInner;
use super::statement::{Caller, Statement};
use super::tape::{Operation, PendingCall, Tape};
use super::types::{Error, Isolation, Row, Rows, SqlDialect, Value};
use super::value_ref::bytes_of;
use crate::memory::{self, Charge, OverLimit, RequestMemory};
use crate::telemetry::histogram::micros;
use crate::telemetry::log::{STATEMENTS, excerpt, excerpt_debug};
use crate::telemetry::{LogNames, RequestInfo};

/// The database handle of one instance.
pub struct Gate {
    pool: Arc<PoolInner>,
    caller: Caller,
    /// The deadline of the current request; none for migrations.
    deadline: Option<Instant>,
    /// Set if the calls are those of migrations, which have their own timeout.
    migration: Option<Arc<Migration>>,
    /// Each open transaction and cursor holds a clone.
    held: Arc<()>,
    last_failure: LastFailure,
    /// The memory limit of the current request.
    memory: Option<RequestMemory>,
    /// The current request; none for migrations.
    request: Option<Arc<RequestInfo>>,
    /// What notes the calls of the current request, if it is recorded.
    tape: Option<Arc<Tape>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new(pool: Arc<PoolInner>, caller: Caller) -> Self {
        Self {
            pool,
            caller,
            deadline: None,
            migration: None,
            held: Arc::new(()),
            last_failure: LastFailure::default(),
            memory: None,
            request: None,
            tape: None,
        }
    }

    /// Charges parameters to this memory from now on, and limits results by it.
    pub(crate) fn set_memory(&mut self, memory: RequestMemory) {
        self.memory = Some(memory);
    }

    /// Charges large parameters for the duration of their call.
    fn charge_parameters(&self, params: &[Value]) -> Result<Option<Charge>, Error> {
        let bytes = bytes_of(params);
        let Some(memory) = self.memory.as_ref().filter(|_| bytes > memory::FREE) else {
            return Ok(None);
        };
        let mut charge = memory.charge();
        match charge.resize(bytes) {
            Ok(()) => Ok(Some(charge)),
            Err(over @ OverLimit::Request(_)) => Err(failure::invalid(over.to_string())),
            Err(OverLimit::Host(_)) => Err(Error::Overloaded),
        }
    }

    /// The last failure of the current request. A clone outlives the gate.
    pub(crate) fn last_failure(&self) -> &LastFailure {
        &self.last_failure
    }

    /// Treats all calls from now on as those of migrations.
    pub(super) fn set_migration(&mut self, migration: Arc<Migration>) {
        self.migration = Some(migration);
    }

    /// Begins a request, whose calls end at this moment, and are noted if there is a tape.
    pub(crate) fn begin_request(
        &mut self,
        request: Arc<RequestInfo>,
        deadline: Instant,
        tape: Option<&Arc<Tape>>,
    ) {
        self.request = Some(request);
        self.deadline = Some(deadline);
        self.tape = tape.cloned();
    }

    /// The current request; none for migrations.
    pub(crate) fn request(&self) -> Option<&RequestInfo> {
        self.request.as_deref()
    }

    /// Notes a call, if the current request is recorded.
    pub(super) fn note(&self, operation: impl FnOnce() -> Operation) -> PendingCall {
        match &self.tape {
            None => PendingCall::default(),
            Some(tape) => PendingCall::on(tape, operation()),
        }
    }

    /// Ends all calls from now on at this moment.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Forgets the current request. Returns whether it left nothing behind: an instance that still
    /// holds a transaction must not be reused.
    pub fn reset(&mut self) -> bool {
        self.deadline = None;
        self.request = None;
        self.tape = None;
        self.last_failure.reset();
        if let Some(memory) = &self.memory {
            memory.release_rows();
        }
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

    /// The budget without the request's deadline, for the rows of a cursor: a streamed response
    /// lasts as long as its reader reads, and its guest is ended otherwise.
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
                    // The guest has its copy of the last result.
                    memory.release_rows();
                    config.max_rows_bytes.min(memory.left() as u64)
                }),
            memory: self.memory.clone(),
            report: Report::default(),
        }
    }

    /// Checks a call and starts its clock.
    async fn admit(&self, statement: String, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let admitted = match self.pool.cached(&statement, self.caller) {
            Some(statement) => self.start(statement, params),
            None => Box::pin(self.check_policy(statement, params)).await,
        };
        let admitted = self.last_failure.record(None, admitted);
        admitted.map_err(|error| self.pool.metrics.rejected(error))
    }

    async fn check_policy(
        &self,
        statement: String,
        params: &[Value],
    ) -> Result<Admitted<'_>, Error> {
        let deadline = self.budget(Instant::now()).deadline;
        let request = self.request.as_deref();
        let checked = self.pool.check(statement, self.caller, deadline, request);
        let statement = checked.await?;
        self.start(statement, params)
    }

    fn start(&self, statement: Arc<Statement>, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let limit = self.pool.config.max_parameters;
        if params.len() > limit {
            return Err(failure::invalid(format!(
                "{} parameters are over the limit of {limit}",
                params.len()
            )));
        }
        let charge = self.charge_parameters(params)?;
        // Read once for both: reading the clock is among the dearest steps here.
        let now = Instant::now();
        let budget = self.budget(now);
        if budget.deadline <= now {
            return Err(Error::Timeout);
        }
        if let Some(request) = self.timed_request() {
            request.counted_statement();
        }
        Ok(Admitted {
            parameters: logs_statements().then(|| self.shown(params)).flatten(),
            span: self.span(now, budget),
            statement,
            outcome: ABANDONED,
            rows: None,
            acquires: true,
            watched: None,
            _charge: charge,
        })
    }

    /// The current request, if the parts of its time are measured.
    fn timed_request(&self) -> Option<&RequestInfo> {
        self.request.as_deref().filter(|request| request.is_timed())
    }

    /// Measures a call on the back end from now on.
    fn span(&self, now: Instant, budget: Budget) -> Span<'_> {
        if let Some(request) = self.timed_request() {
            request.database_entered(now);
        }
        Span {
            gate: self,
            began: now,
            budget,
        }
    }

    /// Measures a call on the back end that runs no statement of the component.
    fn command(&self, name: &'static str) -> Command<'_> {
        let now = Instant::now();
        Command {
            name,
            span: self.span(now, self.budget(now)),
            outcome: ABANDONED,
        }
    }

    /// Parameters as the log shows them, if it does.
    fn shown(&self, params: &[Value]) -> Option<String> {
        self.pool
            .config
            .log_parameters
            .then(|| excerpt_debug(&params))
    }

    /// Counts one more transaction or cursor of the instance, until the result is dropped.
    fn hold(&self) -> Result<Arc<()>, Error> {
        let limit = self.pool.config.max_transactions;
        if self.held() >= limit {
            return Err(failure::denied(format!(
                "an instance holds at most {limit} transactions and cursors at the same time"
            )));
        }
        Ok(Arc::clone(&self.held))
    }

    /// The database's SQL dialect.
    pub(super) fn dialect(&self) -> SqlDialect {
        self.pool.dialect()
    }

    /// Runs a statement as its own transaction and returns its rows.
    pub(super) async fn query(&self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        let call = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let result = connections
            .query(&call.statement, &params, &call.span.budget)
            .await;
        self.record(call, result)
    }

    /// Runs a statement as its own transaction and returns the number of affected rows.
    pub(super) async fn execute(
        &self,
        statement: String,
        params: Vec<Value>,
    ) -> Result<u64, Error> {
        let call = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let result = connections
            .execute(&call.statement, &params, &call.span.budget)
            .await;
        self.record(call, result)
    }

    /// Records how an admitted call ended, and returns its result.
    fn record<T: Fetched>(
        &self,
        mut call: Admitted<'_>,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        call.outcome = outcome(&result);
        call.rows = result.as_ref().ok().and_then(Fetched::rows);
        Migration::finish(call.watched.take(), result.as_ref().err());
        let result = self.last_failure.record(Some(&call.statement), result);
        if call.statement.is_packed {
            result.map(Fetched::packed)
        } else {
            result
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
    ) -> Result<Transaction, Error> {
        let held = self.last_failure.record(None, self.hold())?;
        let read_only = read_only || self.pool.config.read_only;
        let connections = &self.pool.connections;
        let mut command = self.command("BEGIN");
        let budget = &command.span.budget;
        let begun = match &self.migration {
            None => connections.begin(isolation, read_only, budget).await,
            Some(_) => {
                connections
                    .begin_migration(isolation, read_only, budget)
                    .await
            }
        };
        self.pool.metrics.waits.observe(budget.waited());
        command.outcome = outcome(&begun);
        drop(command);
        Ok(Transaction {
            inner: self.last_failure.record(None, begun)?,
            counter: OutcomeCounter::new(&self.pool),
            number: 0,
            _held: held,
        })
    }

    /// Runs a statement in a transaction and returns its rows.
    pub(super) async fn query_in(
        &self,
        transaction: &mut Transaction,
        statement: String,
        params: Vec<Value>,
    ) -> Result<Rows, Error> {
        let mut call = self.admit(statement, &params).await?;
        call.watched = Migration::watch(self.migration.as_ref(), &call.statement);
        call.acquires = false;
        let transaction = &mut transaction.inner;
        let result = transaction
            .query(&call.statement, &params, &call.span.budget)
            .await;
        self.record(call, result)
    }

    /// Runs a statement in a transaction and returns the number of affected rows.
    pub(super) async fn execute_in(
        &self,
        transaction: &mut Transaction,
        statement: String,
        params: Vec<Value>,
    ) -> Result<u64, Error> {
        let mut call = self.admit(statement, &params).await?;
        call.watched = Migration::watch(self.migration.as_ref(), &call.statement);
        call.acquires = false;
        let transaction = &mut transaction.inner;
        let result = transaction
            .execute(&call.statement, &params, &call.span.budget)
            .await;
        self.record(call, result)
    }

    /// Commits a transaction.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<(), Error> {
        let Transaction {
            inner,
            mut counter,
            number: _,
            _held,
        } = transaction;
        // If this call is dropped while it waits, the outcome stays unknown.
        counter.outcome = TransactionOutcome::InDoubt;
        let mut command = self.command("COMMIT");
        let result = inner.commit(&command.span.budget).await;
        command.outcome = outcome(&result);
        drop(command);
        counter.outcome = match &result {
            Ok(()) => TransactionOutcome::Committed,
            Err(Error::InDoubt) => TransactionOutcome::InDoubt,
            Err(_) => TransactionOutcome::RolledBack,
        };
        self.last_failure.record(None, result)
    }

    /// Rolls a transaction back.
    pub(super) async fn rollback(&self, transaction: Transaction) -> Result<(), Error> {
        let Transaction {
            inner,
            mut counter,
            number: _,
            _held,
        } = transaction;
        counter.outcome = TransactionOutcome::RolledBack;
        let mut command = self.command("ROLLBACK");
        let result = inner.rollback(&command.span.budget).await;
        command.outcome = outcome(&result);
        drop(command);
        self.last_failure.record(None, result)
    }

    /// Opens a cursor: a result of any length, read in batches.
    pub(super) async fn open(
        &self,
        statement: String,
        params: Vec<Value>,
    ) -> Result<Cursor, Error> {
        let held = self.hold()?;
        let call = self.admit(statement, &params).await?;
        let connections = &self.pool.connections;
        let opened: Result<Box<dyn BackendCursor>, Error> = connections
            .open(&call.statement, params, &call.span.budget)
            .await;
        let is_packed = call.statement.is_packed;
        let inner = self.record(call, opened)?;
        Ok(Cursor {
            width: inner.columns().len(),
            inner,
            number: 0,
            is_packed,
            _held: held,
        })
    }

    /// Reads the next rows of a cursor.
    pub(super) async fn next(&self, cursor: &mut Cursor, at_most: u32) -> Result<Vec<Row>, Error> {
        let now = Instant::now();
        let mut command = Command {
            name: "FETCH",
            span: self.span(now, self.statement_budget(now)),
            outcome: ABANDONED,
        };
        let rows = cursor.inner.next(at_most, &command.span.budget).await;
        command.outcome = outcome(&rows);
        drop(command);
        let rows = self.last_failure.record(None, rows)?;
        Ok(if cursor.is_packed {
            packed::pack(cursor.width, rows)
        } else {
            rows
        })
    }
}

/// A call on the back end while it runs.
struct Span<'g> {
    gate: &'g Gate,
    began: Instant,
    budget: Budget,
}

impl Span<'_> {
    /// Adds the call to its request, and returns how long it took.
    fn end(&self, now: Instant) -> Duration {
        if let Some(request) = self.gate.timed_request() {
            request.database_left(self.began, now);
            let retries = self.budget.retries();
            if retries > 0 {
                request.retried(retries);
            }
        }
        now.saturating_duration_since(self.began)
    }

    #[cold]
    fn log(
        &self,
        took: Duration,
        text: &str,
        outcome: usize,
        rows: Option<u64>,
        parameters: Option<&str>,
    ) {
        let LogNames {
            id,
            trace,
            method,
            route,
        } = RequestInfo::log_names(self.gate.request.as_deref());
        tracing::debug!(
            target: STATEMENTS,
            id,
            trace,
            method,
            route,
            micros = micros(took),
            rows,
            outcome = OUTCOMES.get(outcome).copied(),
            parameters,
            "{}",
            excerpt(text)
        );
    }
}

/// Whether statements are logged.
fn logs_statements() -> bool {
    tracing::enabled!(target: STATEMENTS, tracing::Level::DEBUG)
}

/// A statement that passed all checks. If it is dropped before its outcome is recorded, it counts
/// as abandoned.
struct Admitted<'g> {
    statement: Arc<Statement>,
    span: Span<'g>,
    /// The index in [`OUTCOMES`].
    outcome: usize,
    rows: Option<u64>,
    /// Whether it needs a connection; in a transaction it has one.
    acquires: bool,
    /// Its parameters, if the log shows them.
    parameters: Option<String>,
    /// Set while migrations run the statement in a transaction.
    watched: Option<Watched>,
    /// The memory of its parameters.
    _charge: Option<Charge>,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let pool = &self.span.gate.pool;
        let took = self.span.end(Instant::now());
        pool.metrics.ran(self.outcome, took);
        if self.acquires {
            pool.metrics.waits.observe(self.span.budget.waited());
        }
        if logs_statements() {
            let text = &self.statement.text;
            // A text that the component has put together may hold what a client sent.
            let is_shown = pool.runs_declared_only() || pool.config.log_parameters;
            let masked = (!is_shown).then(|| masked(text));
            self.span.log(
                took,
                masked.as_deref().unwrap_or(text),
                self.outcome,
                self.rows,
                self.parameters.as_deref(),
            );
        }
    }
}

/// A call on the back end that runs no statement of the component.
struct Command<'g> {
    name: &'static str,
    span: Span<'g>,
    /// The index in [`OUTCOMES`].
    outcome: usize,
}

impl Drop for Command<'_> {
    fn drop(&mut self) {
        // Only for these the clock is read.
        if logs_statements() || self.span.gate.timed_request().is_some() {
            let took = self.span.end(Instant::now());
            if logs_statements() {
                self.span.log(took, self.name, self.outcome, None, None);
            }
        }
    }
}

/// What a statement returns.
trait Fetched {
    /// How many rows it returned or changed, if that is known.
    fn rows(&self) -> Option<u64>;

    /// The same with packed rows.
    fn packed(self) -> Self
    where
        Self: Sized,
    {
        self
    }
}

impl Fetched for Rows {
    fn rows(&self) -> Option<u64> {
        Some(packed::row_count(self.columns.len(), &self.rows) as u64)
    }

    fn packed(mut self) -> Self {
        self.rows = packed::pack(self.columns.len(), self.rows);
        self
    }
}

impl Fetched for u64 {
    fn rows(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Fetched for Box<dyn BackendCursor> {
    fn rows(&self) -> Option<u64> {
        None
    }
}

/// A guest's transaction. Dropped without COMMIT, it is rolled back.
#[derive(Debug)]
pub struct Transaction {
    inner: Box<dyn BackendTransaction>,
    counter: OutcomeCounter,
    /// Its number on the request's tape.
    pub(super) number: u32,
    _held: Arc<()>,
}

/// Counts a transaction's outcome when it is dropped.
#[derive(Debug)]
struct OutcomeCounter {
    pool: Arc<PoolInner>,
    outcome: TransactionOutcome,
}

impl OutcomeCounter {
    fn new(pool: &Arc<PoolInner>) -> Self {
        pool.metrics.transaction_began();
        Self {
            pool: Arc::clone(pool),
            outcome: TransactionOutcome::Abandoned,
        }
    }
}

impl Drop for OutcomeCounter {
    fn drop(&mut self) {
        self.pool.metrics.transaction_ended(self.outcome);
    }
}

/// A result that a guest reads in batches. Dropping it ends the query.
#[derive(Debug)]
pub struct Cursor {
    inner: Box<dyn BackendCursor>,
    /// Its number on the request's tape.
    pub(super) number: u32,
    /// The number of its columns.
    pub(super) width: usize,
    /// Whether its statement asks for packed rows.
    is_packed: bool,
    _held: Arc<()>,
}

impl Cursor {
    /// The columns' names, in order.
    pub(super) fn columns(&self) -> Vec<String> {
        self.inner.columns()
    }
}
