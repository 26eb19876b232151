//! The choke point: every call of a guest to its database passes here, and nothing else reaches a back end.
//!
//! In order: is the statement within its size, may it be said at all ([`super::policy`]), does the instance hold too much
//! already, how long may it take, how large may its result be. Only then is a back end asked. What comes of it is counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use tokio::sync::Semaphore;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::backend::{self, Budget, Isolation, SqlDialect, Statement};
use super::cause::LastFailure;
use super::declared::Declared;
use super::metrics::{End, Metrics, Run};
use super::migration::Migration;
use super::policy::{self, Caller, Effect};
use super::{Config, Error, Row, Rows, Value, failure};
use crate::bindings::database as types;
use crate::bindings::usher::database::{database, streaming};
use crate::memory::{self, Charge, OverLimit, RequestMemory};

/// What the sessions of one core share.
#[derive(Debug)]
pub(super) struct PoolInner {
    config: Arc<Config>,
    backend: backend::Pool,
    metrics: Arc<Metrics>,
    /// Statements already judged, by their text: a service says the same few all the time.
    judged: Mutex<Judged>,
    /// The same for what migrations say, who may say more.
    judged_for_migrations: Mutex<Judged>,
    /// What the component declares, where it may run nothing else. All of it that may run is in `judged` from the beginning.
    declared: Option<Arc<Declared>>,
}

/// Statements by their text.
type Judged = HashMap<Box<str>, Arc<Statement>, RandomState>;

/// Judged statements that are remembered. A guest that makes up texts without end starts over, and costs only itself.
const JUDGED: usize = 1024;

/// A statement of so many bytes is judged where it is needed, in some hundred microseconds; a longer one by another thread.
const SHORT: usize = 2048;

/// Who may judge a long statement.
static JUDGES: Semaphore = Semaphore::const_new(1);

impl PoolInner {
    pub(super) fn new(
        config: Arc<Config>,
        backend: backend::Pool,
        metrics: Arc<Metrics>,
        declared: Option<Arc<Declared>>,
    ) -> Self {
        let known = |caller| {
            let declared = declared.iter().flat_map(|all| all.statements(caller));
            let judged: Judged = declared
                .filter(|(_, effect)| !is_refused(*effect, &config))
                .map(|(text, effect)| (text.into(), Statement::new(text.to_owned(), effect)))
                .collect();
            Mutex::new(judged)
        };
        Self {
            judged: known(Caller::Request),
            judged_for_migrations: known(Caller::Migrations),
            config,
            backend,
            metrics,
            declared,
        }
    }

    pub(super) async fn tidied(&self) {
        self.backend.tidied().await;
    }

    pub(super) async fn activity(&self, text: &str) -> Option<backend::Activity> {
        self.backend.activity(text).await
    }

    fn judged(&self, caller: Caller) -> MutexGuard<'_, Judged> {
        let judged = match caller {
            Caller::Request => &self.judged,
            Caller::Migrations => &self.judged_for_migrations,
        };
        judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement with this text, if it is known already.
    fn known(&self, text: &str, caller: Caller) -> Option<Arc<Statement>> {
        self.judged(caller).get(text).cloned()
    }

    /// The statement with this text, which is not known yet.
    ///
    /// Judging one takes longer the longer it is. What takes long is done by another thread, and the time it has is the call's.
    async fn learned(
        &self,
        text: String,
        caller: Caller,
        deadline: Instant,
    ) -> Result<Arc<Statement>, Error> {
        if let Some(declared) = &self.declared {
            return Err(declared.refusal(&text, caller));
        }
        let limit = self.config.max_statement_bytes;
        if text.len() > limit {
            return Err(failure::invalid(format!(
                "the statement has {} bytes, over the limit of {limit}",
                text.len()
            )));
        }
        let dialect = self.backend.dialect();
        let (text, effect) = if text.len() <= SHORT || dialect == SqlDialect::Sqlite {
            let effect = policy::judge(&text, dialect, caller, &self.config.allowed)?;
            (text, effect)
        } else {
            let config = Arc::clone(&self.config);
            let work = async {
                // One at a time: what judging takes of the machine is bounded, however many guests make up statements.
                let turn = JUDGES.acquire().await;
                let judged = tokio::task::spawn_blocking(move || {
                    let effect = policy::judge(&text, dialect, caller, &config.allowed);
                    effect.map(|effect| (text, effect))
                });
                let judged = judged.await;
                drop(turn);
                judged
            };
            match tokio::time::timeout_at(deadline.into(), work).await {
                Ok(Ok(judged)) => judged?,
                // A panic, which is a fault of the host's, and not for the guest to know about.
                Ok(Err(error)) => {
                    tracing::error!("judging a statement failed: {error}");
                    return Err(failure::denied("the host cannot check this statement"));
                }
                Err(_) => return Err(Error::Timeout),
            }
        };
        if is_refused(effect, &self.config) {
            return Err(failure::denied("this database is open for reading only"));
        }
        let statement = Statement::new(text, effect);
        let mut judged = self.judged(caller);
        if judged.len() >= JUDGED {
            judged.clear();
        }
        judged.insert(statement.text.clone(), Arc::clone(&statement));
        Ok(statement)
    }
}

/// Whether a statement changes something in a database that is open for reading only.
fn is_refused(effect: Effect, config: &Config) -> bool {
    config.read_only && matches!(effect, Effect::Changes | Effect::Writes)
}

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
        let budget = self.helping(now);
        let deadline = self.deadline;
        Budget {
            deadline: deadline.map_or(budget.deadline, |deadline| deadline.min(budget.deadline)),
            ..budget
        }
    }

    /// For more of a result that is being read. It has a statement's time but no request's: whether an answer that is being streamed
    /// goes on is for its reader to say, and where it does not, the guest is ended and its cursor with it.
    fn helping(&self, now: Instant) -> Budget {
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
            Some(statement) => self.judge(statement, params),
            None => Box::pin(self.learn(statement, params)).await,
        };
        let admitted = self.failed.note(None, admitted);
        admitted.map_err(|error| self.pool.metrics.stopped(error))
    }

    async fn learn(&self, statement: String, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let deadline = self.budget(Instant::now()).deadline;
        let statement = self.pool.learned(statement, self.caller, deadline).await?;
        self.judge(statement, params)
    }

    fn judge(&self, statement: Arc<Statement>, params: &[Value]) -> Result<Admitted<'_>, Error> {
        let limit = self.pool.config.max_parameters;
        if params.len() > limit {
            return Err(failure::invalid(format!(
                "{} parameters are over the limit of {limit}",
                params.len()
            )));
        }
        let params = self.hold_parameters(params)?;
        // One look at the clock serves both: there are few dearer instructions on this way.
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
    inner: backend::Transaction,
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
    inner: backend::Cursor,
    _held: Arc<()>,
}

/// A session together with the table in which the instance's resources are.
#[derive(Debug)]
pub struct View<'a> {
    /// The instance's way to its database.
    pub session: &'a mut Session,
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
}

/// Gives components the imports of `usher:database`.
///
/// # Errors
/// Where the linker has them already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    struct Capability;

    impl HasData for Capability {
        type Data<'a> = View<'a>;
    }

    types::add_to_linker::<T, Capability>(linker, view)?;
    database::add_to_linker::<T, Capability>(linker, view)?;
    streaming::add_to_linker::<T, Capability>(linker, view)
}

/// What a guest is told, or a trap where it did what the component model forbids.
type Told<T> = wasmtime::Result<Result<T, Error>>;

impl types::Host for View<'_> {}

impl database::Host for View<'_> {
    async fn dialect(&mut self) -> wasmtime::Result<SqlDialect> {
        Ok(self.session.pool.backend.dialect())
    }

    async fn query(&mut self, statement: String, params: Vec<Value>) -> Told<Rows> {
        Ok(match self.session.admit(statement, &params).await {
            Ok(Admitted {
                statement,
                budget,
                run,
                params: _held,
            }) => {
                let backend = &self.session.pool.backend;
                let answer = run.end(backend.query(&statement, &params, &budget).await);
                self.session.failed.note(Some(&statement), answer)
            }
            Err(error) => Err(error),
        })
    }

    async fn execute(&mut self, statement: String, params: Vec<Value>) -> Told<u64> {
        Ok(match self.session.admit(statement, &params).await {
            Ok(Admitted {
                statement,
                budget,
                run,
                params: _held,
            }) => {
                let backend = &self.session.pool.backend;
                let answer = run.end(backend.execute(&statement, &params, &budget).await);
                self.session.failed.note(Some(&statement), answer)
            }
            Err(error) => Err(error),
        })
    }
}

impl database::HostTransaction for View<'_> {
    async fn begin(
        &mut self,
        isolation: Isolation,
        read_only: bool,
    ) -> Told<Resource<Transaction>> {
        let held = match self.session.failed.note(None, self.session.hold()) {
            Ok(held) => held,
            Err(error) => return Ok(Err(error)),
        };
        let read_only = read_only || self.session.pool.config.read_only;
        let backend = &self.session.pool.backend;
        let budget = self.session.budget(Instant::now());
        let begun = match &self.session.migration {
            None => backend.begin(isolation, read_only, &budget).await,
            Some(_) => backend.begin_migration(isolation, read_only, &budget).await,
        };
        Ok(match self.session.failed.note(None, begun) {
            Ok(inner) => {
                let ending = Ending::new(&self.session.pool);
                Ok(self.table.push(Transaction {
                    inner,
                    ending,
                    _held: held,
                })?)
            }
            Err(error) => Err(error),
        })
    }

    async fn query(
        &mut self,
        this: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Told<Rows> {
        let admitted = self.session.admit(statement, &params).await;
        let transaction = self.table.get_mut(&this)?;
        Ok(match admitted {
            Ok(Admitted {
                statement,
                budget,
                run,
                params: _held,
            }) => {
                let watched = Migration::watch(self.session.migration.as_ref(), &statement);
                let answer = transaction.inner.query(&statement, &params, &budget);
                let answer = run.end(answer.await);
                Migration::note(watched, answer.as_ref().err());
                self.session.failed.note(Some(&statement), answer)
            }
            Err(error) => Err(error),
        })
    }

    async fn execute(
        &mut self,
        this: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Told<u64> {
        let admitted = self.session.admit(statement, &params).await;
        let transaction = self.table.get_mut(&this)?;
        Ok(match admitted {
            Ok(Admitted {
                statement,
                budget,
                run,
                params: _held,
            }) => {
                let watched = Migration::watch(self.session.migration.as_ref(), &statement);
                let answer = transaction.inner.execute(&statement, &params, &budget);
                let answer = run.end(answer.await);
                Migration::note(watched, answer.as_ref().err());
                self.session.failed.note(Some(&statement), answer)
            }
            Err(error) => Err(error),
        })
    }

    async fn commit(&mut self, this: Resource<Transaction>) -> Told<()> {
        let Transaction {
            inner,
            mut ending,
            _held,
        } = self.table.delete(this)?;
        // Until the answer is there, nobody knows.
        ending.how = End::InDoubt;
        let answer = inner.commit(&self.session.budget(Instant::now())).await;
        ending.how = match &answer {
            Ok(()) => End::Committed,
            Err(Error::InDoubt) => End::InDoubt,
            Err(_) => End::RolledBack,
        };
        Ok(self.session.failed.note(None, answer))
    }

    async fn rollback(&mut self, this: Resource<Transaction>) -> Told<()> {
        let Transaction {
            inner,
            mut ending,
            _held,
        } = self.table.delete(this)?;
        ending.how = End::RolledBack;
        let answer = inner.rollback(&self.session.budget(Instant::now())).await;
        Ok(self.session.failed.note(None, answer))
    }

    async fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl streaming::Host for View<'_> {}

impl streaming::HostCursor for View<'_> {
    async fn open(&mut self, statement: String, params: Vec<Value>) -> Told<Resource<Cursor>> {
        let admitted = match self.session.hold() {
            Ok(held) => {
                let admitted = self.session.admit(statement, &params).await;
                admitted.map(|admitted| (held, admitted))
            }
            Err(error) => Err(error),
        };
        let (
            held,
            Admitted {
                statement,
                budget,
                run,
                params: _held,
            },
        ) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return Ok(Err(error)),
        };
        let backend = &self.session.pool.backend;
        Ok(
            match self.session.failed.note(
                Some(&statement),
                run.end(backend.open(&statement, params, &budget).await),
            ) {
                Ok(inner) => Ok(self.table.push(Cursor { inner, _held: held })?),
                Err(error) => Err(error),
            },
        )
    }

    async fn columns(&mut self, this: Resource<Cursor>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&this)?.inner.columns())
    }

    async fn next(&mut self, this: Resource<Cursor>, at_most: u32) -> Told<Vec<Row>> {
        let budget = self.session.helping(Instant::now());
        let cursor = self.table.get_mut(&this)?;
        let rows = cursor.inner.next(at_most, &budget).await;
        Ok(self.session.failed.note(None, rows))
    }

    async fn drop(&mut self, this: Resource<Cursor>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
