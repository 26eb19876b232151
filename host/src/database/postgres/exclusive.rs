//! Connections that one transaction, or one slow statement, has to itself.
//!
//! The pool is deadpool's, which hands on a connection as it was given back; so nothing is given back that is not known to be
//! clean. Whatever ends otherwise (a drop in mid-statement, a deadline, a lost answer) is cancelled, rolled back, and if that does
//! not work out in time, closed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::connect::{Connector, Unreachable};
use super::lanes::PAUSE;
use super::outcome::{self, Failure};
use super::run::{Prepared, Want, is_stale};
use crate::database::backend::{Budget, Isolation, Statement};
use crate::database::{Config, Error, OpenError, Rows, Value, failure};

/// For a connection in doubt to be made clean, before it is closed.
pub(super) const CLEANING: Duration = Duration::from_secs(2);

/// Prepared statements a connection keeps, as on the shared ones.
const PREPARED: usize = 256;

/// The exclusive connections of one core.
#[derive(Clone, Debug)]
pub(super) struct Exclusives {
    pool: deadpool_postgres::Pool,
    shared: Arc<Shared>,
}

struct Shared {
    connector: Arc<Connector>,
    wait: Duration,
    lifetime: Duration,
    /// When a connection last could not be made, and why.
    failed: Mutex<Option<(Instant, Error)>>,
    runtime: Handle,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// deadpool's way of making a connection, which is ours.
struct Dial(Arc<Connector>);

impl Connect for Dial {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> Pin<
        Box<
            dyn Future<
                    Output = Result<
                        (tokio_postgres::Client, JoinHandle<()>),
                        tokio_postgres::Error,
                    >,
                > + Send
                + '_,
        >,
    > {
        Box::pin(self.0.dial())
    }
}

impl Exclusives {
    pub(super) fn new(
        connector: &Arc<Connector>,
        size: usize,
        config: &Config,
    ) -> Result<Self, OpenError> {
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(
            connector.config.clone(),
            Dial(Arc::clone(connector)),
            recycling,
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(config.connect_timeout))
            .build()
            .map_err(|error| OpenError::Configuration {
                url: config.url.to_string(),
                reason: error.to_string(),
            })?;
        let shared = Shared {
            connector: Arc::clone(connector),
            wait: config.pool_wait,
            lifetime: config.max_lifetime,
            failed: Mutex::new(None),
            runtime: Handle::current(),
        };
        Ok(Self {
            pool,
            shared: Arc::new(shared),
        })
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.shared.connector
    }

    /// A connection of one's own.
    pub(super) async fn get(&self, budget: &Budget) -> Result<Connection, Error> {
        {
            let failed = self
                .shared
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some((when, error)) = &*failed
                && when.elapsed() < PAUSE
            {
                return Err(error.clone());
            }
        }
        let wait = self.shared.wait.min(budget.left());
        let object = match tokio::time::timeout(wait, self.pool.get()).await {
            Err(_) => return Err(Error::Overloaded),
            Ok(Ok(object)) => object,
            Ok(Err(error)) => {
                let error = match error {
                    PoolError::Backend(error) => Unreachable::Failed(error).error(),
                    PoolError::Timeout(TimeoutType::Wait) => return Err(Error::Overloaded),
                    other => failure::unavailable(other.to_string()),
                };
                *self
                    .shared
                    .failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) =
                    Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        if object.statement_cache.size() > PREPARED {
            object.statement_cache.clear();
        }
        Ok(Connection {
            object: Some(object),
            shared: Arc::clone(&self.shared),
            busy: false,
        })
    }

    /// Runs a statement as its own transaction.
    pub(super) async fn run<W: Want>(
        &self,
        statement: &Statement,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        let mut connection = self.get(budget).await?;
        let began = Instant::now();
        let answer = connection
            .run::<W>(statement, params, statement.writes, budget)
            .await;
        statement.took(began.elapsed());
        match answer {
            Ok(answer) => {
                connection.give_back();
                Ok(answer)
            }
            Err(failure) => {
                if failure.answered {
                    connection.give_back();
                }
                Err(failure.error)
            }
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        let access = if read_only { "READ ONLY" } else { "READ WRITE" };
        let begin = format!("BEGIN ISOLATION LEVEL {level}, {access}");
        let mut again = true;
        loop {
            let mut connection = self.get(budget).await?;
            match connection.control(&begin, false, budget).await {
                Ok(()) => {
                    return Ok(Transaction {
                        connection,
                        state: State::Whole,
                        wrote: false,
                    });
                }
                // The pool gave a connection that had been lost while nobody used it: the next one may be well.
                Err(failure) if !failure.answered && again && !budget.is_over() => again = false,
                Err(failure) => return Err(failure.error),
            }
        }
    }
}

/// A connection taken out of the pool. Unless it is given back it is made clean when dropped, or closed.
#[derive(Debug)]
pub(super) struct Connection {
    object: Option<Object>,
    shared: Arc<Shared>,
    /// Whether a statement was sent whose answer has not come.
    busy: bool,
}

impl Connection {
    /// Gone only once it was given back or dropped.
    fn object(&self) -> Result<&Object, Failure> {
        self.object.as_ref().ok_or_else(|| Failure {
            error: failure::unavailable("the connection was given back"),
            answered: true,
            ran: false,
        })
    }

    pub(super) async fn run<W: Want>(
        &mut self,
        statement: &Statement,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> Result<W::Answer, Failure> {
        let mut again = true;
        loop {
            self.busy = true;
            let object = self.object()?;
            let work = async {
                let prepared = object.prepare_cached(&statement.text).await;
                let prepared = prepared.map_err(|error| Failure {
                    ran: false,
                    ..outcome::failure(&error, false)
                })?;
                let prepared = Prepared::new(prepared);
                prepared.check(params).map_err(|error| Failure {
                    error,
                    answered: true,
                    ran: false,
                })?;
                W::run(object, &prepared, params, writes, budget).await
            };
            let answer = self.bounded(work, writes, budget).await;
            self.busy = answer.as_ref().is_err_and(|failure| !failure.answered);
            match answer {
                Err(failure) if again && is_stale(&failure.error) => {
                    again = false;
                    self.object()?.statement_cache.remove(&statement.text, &[]);
                }
                answer => return answer,
            }
        }
    }

    /// Waits for an answer until the deadline; then has the statement cancelled, and waits a little longer for what that brings.
    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        writes: bool,
        budget: &Budget,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        if let Some(answer) = budget.race(work.as_mut()).await {
            return answer;
        }
        self.shared
            .connector
            .cancel(self.object()?.cancel_token())
            .await;
        match tokio::time::timeout(CLEANING, work).await {
            Ok(answer) => answer,
            Err(_) => {
                let error = if writes {
                    Error::InDoubt
                } else {
                    Error::Timeout
                };
                Err(Failure {
                    error,
                    answered: false,
                    ran: true,
                })
            }
        }
    }

    /// Sends one of the host's own statements.
    async fn control(&mut self, text: &str, writes: bool, budget: &Budget) -> Result<(), Failure> {
        self.busy = true;
        let object = self.object()?;
        let work = async {
            object
                .batch_execute(text)
                .await
                .map_err(|error| outcome::failure(&error, writes))
        };
        let answer = match budget.race(work).await {
            Some(answer) => answer,
            None => Err(Failure {
                error: if writes {
                    Error::InDoubt
                } else {
                    Error::Timeout
                },
                answered: false,
                ran: true,
            }),
        };
        self.busy = answer.as_ref().is_err_and(|failure| !failure.answered);
        answer
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.shared.connector)
    }

    /// Whether it is known to be closed.
    fn is_lost(&self) -> bool {
        self.object.as_ref().is_none_or(|object| object.is_closed())
    }

    /// Hands a clean connection to the next one.
    pub(super) fn give_back(mut self) {
        if let Some(object) = self.object.take()
            && Object::metrics(&object).age() >= self.shared.lifetime
        {
            drop(Object::take(object));
        }
    }

    /// The connection itself, for a task that sees to its cleanness.
    pub(super) fn client(&mut self) -> Option<&mut tokio_postgres::Client> {
        self.busy = true;
        self.object.as_mut().map(|object| &mut ***object)
    }

    /// Marks that everything sent has been answered.
    pub(super) fn settled(&mut self) {
        self.busy = false;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        let (shared, busy) = (Arc::clone(&self.shared), self.busy);
        let (connector, runtime) = (Arc::clone(&shared.connector), shared.runtime.clone());
        // The place in the pool is kept until the connection is clean or closed.
        connector.tidy(&runtime, async move {
            if busy {
                shared.connector.cancel(object.cancel_token()).await;
            }
            let clean = match tokio::time::timeout(CLEANING, object.batch_execute("ROLLBACK")).await {
                Ok(Ok(())) => Object::metrics(&object).age() < shared.lifetime,
                Ok(Err(error)) => {
                    tracing::debug!("a connection is closed, since it could not be rolled back: {}", outcome::reason(&error));
                    false
                }
                Err(_) => {
                    tracing::warn!("a database connection is closed, since it did not answer within {CLEANING:?}");
                    false
                }
            };
            if !clean {
                drop(Object::take(object));
            }
        });
    }
}

/// What PostgreSQL says to a statement in a transaction that is aborted.
fn aborted() -> Error {
    failure::refused(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        None,
        None,
    )
}

/// What has become of a transaction.
#[derive(Debug)]
enum State {
    Whole,
    /// A statement was refused, or its result was: nothing more is taken, and nothing committed.
    Aborted,
    /// The connection is lost, and with it the transaction.
    Lost(Error),
}

/// A transaction. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: Connection,
    state: State,
    /// Whether something ran in it that may write, so that a lost COMMIT leaves doubt.
    wrote: bool,
}

impl Transaction {
    pub(crate) async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run::<super::run::WantRows>(statement, params, budget)
            .await
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run::<super::run::WantCount>(statement, params, budget)
            .await
    }

    async fn run<W: Want>(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        match &self.state {
            State::Whole => {}
            State::Aborted => return Err(aborted()),
            State::Lost(error) => return Err(error.clone()),
        }
        self.wrote |= statement.writes;
        // Nothing in a transaction takes effect before COMMIT, so whatever is lost here is known not to have happened.
        self.connection
            .run::<W>(statement, params, false, budget)
            .await
            .map_err(|failure| {
                if !failure.answered {
                    self.state = State::Lost(failure.error.clone());
                } else if matches!(
                    failure.error,
                    Error::Refused(_) | Error::Timeout | Error::TooLarge(_)
                ) || (failure.ran && statement.writes)
                {
                    // The server takes no more, or has done what nobody knows the outcome of.
                    self.state = State::Aborted;
                }
                failure.error
            })
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            State::Lost(error) => return Err(error),
            State::Aborted => {
                self.end("ROLLBACK", false, budget).await?;
                // To COMMIT PostgreSQL says ROLLBACK, as if all were well.
                return Err(aborted());
            }
            State::Whole => {}
        }
        let wrote = self.wrote;
        self.end("COMMIT", wrote, budget).await
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            State::Lost(error) => Err(error),
            State::Whole | State::Aborted => self.end("ROLLBACK", false, budget).await,
        }
    }

    async fn end(self, how: &str, writes: bool, budget: &Budget) -> Result<(), Error> {
        let mut connection = self.connection;
        // What was lost before this is sent is known to be undone.
        if connection.is_lost() {
            return Err(failure::unavailable(
                "the connection was lost, and the transaction with it",
            ));
        }
        match connection.control(how, writes, budget).await {
            Ok(()) => {
                connection.give_back();
                Ok(())
            }
            Err(failure) => {
                // A COMMIT that is refused (a deferred constraint, a serialization failure) has ended the transaction.
                if failure.answered {
                    connection.give_back();
                }
                Err(failure.error)
            }
        }
    }
}
