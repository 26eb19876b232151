//! A back end in front of any other: it logs the calls of the component, and injects faults.
//!
//! Without a fault each call goes to the back end behind it. After a fault in a transaction the
//! transaction is in the state that it would have in PostgreSQL: a refusal and a timeout abort it,
//! a lost connection ends it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use usher::database::backend::{
    Activity, Backend, BackendCursor, BackendPool, BackendTransaction, Snapshot,
};
use usher::database::budget::Budget;
use usher::database::policy::Policy;
use usher::database::statement::Statement;
use usher::database::{
    Connections, Error, Isolation, OpenError, Row, Rows, Value, failure, row_count,
};

use crate::calls::{CallLog, Outcome, RunningCall};
use crate::fault::{Armed, Fault, Seen};
use crate::scripted::Event;

/// What an application and its database share. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instruments(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    log: CallLog,
    armed: Mutex<Option<Armed>>,
    transactions: AtomicU64,
    /// Transactions and cursors that exist.
    held: AtomicUsize,
}

impl Instruments {
    pub(crate) fn log(&self) -> &CallLog {
        &self.0.log
    }

    /// A back end that goes to this one.
    pub(crate) fn before(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(Instrumented {
            inner,
            instruments: self.clone(),
        })
    }

    /// Has a later call of the component fail, after so many that do not.
    pub(crate) fn arm(&self, skip: usize, fault: Fault) {
        *self.armed() = Some(Armed::new(skip, fault));
    }

    /// No call fails any more. Returns whether one did.
    pub(crate) fn disarm(&self) -> bool {
        self.armed().take().is_some_and(|armed| armed.was_used())
    }

    /// The transactions and cursors that exist.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        self.0.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, event: &Event) -> Option<Fault> {
        self.armed().as_mut()?.next(event)
    }

    /// Logs a call and runs it, unless it is to fail.
    async fn run<T>(
        &self,
        origin: Origin,
        event: Event,
        writes: bool,
        real: impl Future<Output = Result<T, Error>>,
        outcome: impl Fn(&T) -> Outcome,
    ) -> Result<T, Stopped> {
        let fault = self.fault(&event);
        let running = (self.0.log).begin(origin.request, origin.transaction, event, writes);
        match fault {
            None => {
                let result = real.await;
                let outcome = match &result {
                    Ok(value) => outcome(value),
                    Err(error) => Outcome::Failed(error.clone()),
                };
                running.end(outcome, false);
                result.map_err(Stopped::Really)
            }
            Some(fault) => {
                if fault.takes_effect {
                    drop(real.await);
                }
                Err(Stopped::Injected(fail(running, fault).await))
            }
        }
    }

    fn hold(&self) -> Held {
        self.0.held.fetch_add(1, Relaxed);
        Held(self.clone())
    }
}

/// Records a fault and returns its error, or never returns.
async fn fail(running: RunningCall, fault: Fault) -> Error {
    match fault.seen {
        Seen::Error(error) => {
            running.end(Outcome::Failed(error.clone()), true);
            error
        }
        Seen::Nothing => {
            running.end(Outcome::Unfinished, true);
            std::future::pending().await
        }
    }
}

/// Why a call has no result.
enum Stopped {
    /// The back end returned this error.
    Really(Error),
    /// A test injected this error.
    Injected(Error),
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Really(error) | Stopped::Injected(error) => error,
        }
    }
}

/// The request and the transaction of a call.
#[derive(Clone, Copy, Debug)]
struct Origin {
    request: Option<u64>,
    transaction: Option<u64>,
}

impl Origin {
    fn single() -> Self {
        Self {
            request: CallLog::current_request(),
            transaction: None,
        }
    }
}

/// Counts a transaction or a cursor until it is dropped.
#[derive(Debug)]
struct Held(Instruments);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.held.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
struct Instrumented {
    inner: Arc<dyn Backend>,
    instruments: Instruments,
}

#[async_trait]
impl Backend for Instrumented {
    fn policy(&self) -> &'static Policy {
        self.inner.policy()
    }

    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError> {
        Ok(Box::new(InstrumentedPool {
            inner: self.inner.pool()?,
            instruments: self.instruments.clone(),
        }))
    }

    async fn check(&self) -> Result<(), OpenError> {
        self.inner.check().await
    }

    fn advise(&self) {
        self.inner.advise();
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.inner.snapshot().await
    }

    async fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        self.inner.restore(snapshot).await
    }
}

#[derive(Debug)]
struct InstrumentedPool {
    inner: Box<dyn BackendPool>,
    instruments: Instruments,
}

impl InstrumentedPool {
    /// Begins a transaction by this call of the back end.
    async fn begin_by(
        &self,
        isolation: Isolation,
        read_only: bool,
        real: impl Future<Output = Result<Box<dyn BackendTransaction>, Error>>,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        let number = self.instruments.0.transactions.fetch_add(1, Relaxed) + 1;
        let origin = Origin {
            transaction: Some(number),
            ..Origin::single()
        };
        let event = Event::Begin {
            isolation,
            read_only,
        };
        let begun = self
            .instruments
            .run(origin, event, false, real, |_| Outcome::Done);
        Ok(Box::new(InstrumentedTransaction {
            state: State::Open(begun.await?),
            origin,
            instruments: self.instruments.clone(),
            _held: self.instruments.hold(),
        }))
    }
}

#[async_trait]
impl BackendPool for InstrumentedPool {
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        let event = Event::statement(statement, params);
        let real = self.inner.query(statement, params, budget);
        let done = self
            .instruments
            .run(Origin::single(), event, statement.writes, real, rows);
        Ok(done.await?)
    }

    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        let event = Event::statement(statement, params);
        let real = self.inner.execute(statement, params, budget);
        let done = self
            .instruments
            .run(Origin::single(), event, statement.writes, real, affected);
        Ok(done.await?)
    }

    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        let real = self.inner.begin(isolation, read_only, budget);
        self.begin_by(isolation, read_only, real).await
    }

    async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        let real = self.inner.begin_migration(isolation, read_only, budget);
        self.begin_by(isolation, read_only, real).await
    }

    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error> {
        let origin = Origin::single();
        let event = Event::statement(statement, &params);
        let real = self.inner.open(statement, params, budget);
        let opened = self
            .instruments
            .run(origin, event, statement.writes, real, |_| Outcome::Done);
        Ok(Box::new(InstrumentedCursor {
            inner: Some(opened.await?),
            columns: Vec::new(),
            origin,
            instruments: self.instruments.clone(),
            _held: self.instruments.hold(),
        }))
    }

    async fn activity(&self, text: &str) -> Option<Activity> {
        self.inner.activity(text).await
    }

    fn connections(&self) -> Connections {
        self.inner.connections()
    }

    async fn closed(&self) {
        self.inner.closed().await;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as for other results")]
fn affected(count: &u64) -> Outcome {
    Outcome::Affected(*count)
}

fn rows(rows: &Rows) -> Outcome {
    Outcome::Rows(row_count(rows.columns.len(), &rows.rows))
}

#[derive(Debug)]
struct InstrumentedTransaction {
    state: State,
    origin: Origin,
    instruments: Instruments,
    _held: Held,
}

#[derive(Debug)]
enum State {
    Open(Box<dyn BackendTransaction>),
    /// An injected refusal or timeout: further statements are refused, and COMMIT rolls back.
    Aborted(Box<dyn BackendTransaction>),
    /// The connection is lost, and with it the transaction.
    Lost(Error),
}

impl InstrumentedTransaction {
    /// The transaction behind this one, unless a fault has ended it.
    fn usable(&mut self) -> Result<&mut Box<dyn BackendTransaction>, Error> {
        match &mut self.state {
            State::Open(inner) => Ok(inner),
            State::Aborted(_) => Err(aborted()),
            State::Lost(error) => Err(error.clone()),
        }
    }

    fn after<T>(&mut self, result: Result<T, Stopped>) -> Result<T, Error> {
        if let Err(Stopped::Injected(error)) = &result {
            let lost = State::Lost(error.clone());
            match error {
                Error::Refused(_) | Error::Timeout => {
                    self.state = match std::mem::replace(&mut self.state, lost) {
                        State::Open(inner) => State::Aborted(inner),
                        other => other,
                    };
                }
                Error::Unavailable(_) | Error::InDoubt => self.state = lost,
                _ => {}
            }
        }
        Ok(result?)
    }

    /// Ends it by COMMIT or ROLLBACK, as the event says.
    async fn end(self, event: Event, budget: &Budget) -> Result<(), Error> {
        let commits = matches!(event, Event::Commit);
        let (log, origin) = (&self.instruments.0.log, self.origin);
        let failed = |event, error: Error| {
            let running = log.begin(origin.request, origin.transaction, event, false);
            running.end(Outcome::Failed(error.clone()), true);
            Err(error)
        };
        let inner = match self.state {
            State::Open(inner) => inner,
            State::Aborted(inner) if commits => {
                inner.rollback(budget).await?;
                return failed(event, aborted());
            }
            State::Aborted(inner) => inner,
            State::Lost(error) => return failed(event, error),
        };
        let real = async move {
            if commits {
                inner.commit(budget).await
            } else {
                inner.rollback(budget).await
            }
        };
        let ended = self
            .instruments
            .run(origin, event, false, real, |()| Outcome::Done);
        Ok(ended.await?)
    }
}

/// PostgreSQL's error for any statement in an aborted transaction.
fn aborted() -> Error {
    let message = "current transaction is aborted, commands are ignored until end of transaction \
        block";
    failure::refused("25P02", message, None, None)
}

#[async_trait]
impl BackendTransaction for InstrumentedTransaction {
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        let (instruments, origin) = (self.instruments.clone(), self.origin);
        let event = Event::statement(statement, params);
        let real = async { self.usable()?.query(statement, params, budget).await };
        let result = instruments
            .run(origin, event, statement.writes, real, rows)
            .await;
        self.after(result)
    }

    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        let (instruments, origin) = (self.instruments.clone(), self.origin);
        let event = Event::statement(statement, params);
        let real = async { self.usable()?.execute(statement, params, budget).await };
        let result = instruments
            .run(origin, event, statement.writes, real, affected)
            .await;
        self.after(result)
    }

    async fn prepare(&mut self, statement: &Arc<Statement>, budget: &Budget) -> Result<(), Error> {
        self.usable()?.prepare(statement, budget).await
    }

    async fn commit(self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        self.end(Event::Commit, budget).await
    }

    async fn rollback(self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        self.end(Event::Rollback, budget).await
    }
}

#[derive(Debug)]
struct InstrumentedCursor {
    /// None after a fault.
    inner: Option<Box<dyn BackendCursor>>,
    /// The columns, once there is no cursor.
    columns: Vec<String>,
    origin: Origin,
    instruments: Instruments,
    _held: Held,
}

#[async_trait]
impl BackendCursor for InstrumentedCursor {
    fn columns(&self) -> Vec<String> {
        match &self.inner {
            Some(inner) => inner.columns(),
            None => self.columns.clone(),
        }
    }

    async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        let (instruments, origin) = (self.instruments.clone(), self.origin);
        let Some(inner) = &mut self.inner else {
            return Ok(Vec::new());
        };
        let columns = inner.columns().len();
        let real = inner.next(at_most, budget);
        let count = |rows: &Vec<Row>| Outcome::Rows(row_count(columns, rows));
        let result = instruments
            .run(origin, Event::Fetch, false, real, count)
            .await;
        if let Err(Stopped::Injected(_)) = &result {
            self.columns = self.columns();
            self.inner = None;
        }
        Ok(result?)
    }
}
