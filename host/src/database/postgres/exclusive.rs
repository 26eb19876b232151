//! Connections that one transaction, or one slow statement, has to itself.
//!
//! The pool is deadpool's, which hands on a connection as it was given back; so nothing is given back that is not known to be
//! clean. Whatever ends otherwise (a drop in mid-statement, a deadline, a lost answer) is cancelled, rolled back, and if that does
//! not work out in time, closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use tokio::runtime::Handle;

use super::cause::Unreachable;
use super::connect::Connector;
use super::framed::{self, control};
use super::limits::{CLEANING, PAUSE};
use super::link::{Kind, Link};
use super::outcome::{self, Failure};
use super::prepared::{Cache, is_changed, is_stale};
use super::run::Want;
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The exclusive connections of one core.
#[derive(Clone, Debug)]
pub(super) struct Exclusives {
    pool: managed::Pool<Dial>,
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

/// A connection of the pool.
#[derive(Debug)]
struct Pooled {
    link: Link,
    cache: Cache,
}

/// How the pool makes connections, and which of them it hands on.
struct Dial(Arc<Connector>);

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

impl managed::Manager for Dial {
    type Type = Pooled;
    type Error = Unreachable;

    async fn create(&self) -> Result<Pooled, Unreachable> {
        Ok(Pooled {
            link: self.0.connect(Kind::Own).await?,
            cache: Cache::default(),
        })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Unreachable> {
        if pooled.link.is_intact() && !self.0.is_outdated(&pooled.link) {
            Ok(())
        } else {
            Err(RecycleError::message("it is not what it was any more"))
        }
    }
}

impl Exclusives {
    pub(super) fn new(
        connector: &Arc<Connector>,
        size: usize,
        config: &Config,
    ) -> Result<Self, OpenError> {
        let pool = managed::Pool::builder(Dial(Arc::clone(connector)))
            .max_size(size)
            .build()
            .map_err(|error| OpenError::Configuration {
                url: config.url.to_string(),
                reason: error.to_string(),
            })?;
        let shared = Shared {
            connector: Arc::clone(connector),
            wait: config.pool_wait,
            lifetime: config.connection_lifetime,
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
                    PoolError::Backend(unreachable) => unreachable.error(),
                    PoolError::Timeout(_) => return Err(Error::Overloaded),
                    PoolError::Closed
                    | PoolError::NoRuntimeSpecified
                    | PoolError::PostCreateHook(_) => {
                        failure::unavailable("the connections are closed")
                    }
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
        Ok(Connection {
            object: Some(object),
            shared: Arc::clone(&self.shared),
            busy: false,
            in_transaction: false,
            reads_only: false,
            demoted: false,
        })
    }

    /// Runs a statement as its own transaction. One that a server refused because it takes no writes
    /// is run once more, if there is time for a new connection.
    pub(super) async fn run<W: Want>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        let mut again = true;
        loop {
            let mut connection = self.get(budget).await?;
            let began = Instant::now();
            let answer = connection
                .run::<W>(statement, params, statement.writes, budget)
                .await;
            statement.took(began.elapsed());
            let failure = match answer {
                // Dropped rather than given back: what it may have left in the session is undone first.
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let demoted = connection.demoted;
            let renewed = failure.answered && demoted && connection.give_back();
            if !(again && demoted && renewed) {
                return Err(failure.error);
            }
            again = false;
        }
    }
}

/// A connection taken out of the pool. Unless it is given back it is made clean when dropped, or closed.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of the session, each by itself"
)]
pub(super) struct Connection {
    object: Option<Object<Dial>>,
    shared: Arc<Shared>,
    /// Whether a statement was sent whose answer has not come.
    busy: bool,
    in_transaction: bool,
    /// Whether its transaction was asked for to read only.
    reads_only: bool,
    /// Whether its server refused a write because it takes none.
    demoted: bool,
}

impl Connection {
    /// Gone only once it was given back or dropped.
    fn pooled(&self) -> Result<&Pooled, Failure> {
        self.object.as_deref().ok_or_else(|| Failure {
            error: failure::unavailable("the connection was given back"),
            answered: true,
            ran: false,
        })
    }

    pub(super) fn link(&self) -> Result<&Link, Failure> {
        self.pooled().map(|pooled| &pooled.link)
    }

    pub(super) async fn run<W: Want>(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> Result<W::Answer, Failure> {
        let mut again = true;
        loop {
            self.busy = true;
            let (pooled, in_transaction) = (self.pooled()?, self.in_transaction);
            let work = async {
                let link = &pooled.link;
                let prepared = pooled
                    .cache
                    .prepare(link, statement, in_transaction)
                    .await?;
                prepared.check(params).map_err(|error| Failure {
                    error,
                    answered: true,
                    ran: false,
                })?;
                if in_transaction {
                    W::run(link, &prepared, params, writes, budget).await
                } else {
                    framed::run::<W>(link, &prepared, params, writes, budget).await
                }
            };
            let answer = self.bounded(work, writes, budget).await;
            self.busy = answer.as_ref().is_err_and(|failure| !failure.answered);
            let Err(failure) = &answer else {
                return answer;
            };
            if !self.reads_only && self.shared.connector.is_demoted(&failure.error) {
                self.demoted = true;
            }
            let (stale, changed) = (is_stale(&failure.error), is_changed(&failure.error));
            if stale || changed || matches!(failure.error, Error::InDoubt) {
                self.pooled()?.cache.forget(statement);
            }
            if !(again && (stale || (changed && !writes && !in_transaction))) {
                return answer;
            }
            again = false;
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
            .cancel(self.link()?.cancel_token())
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
    pub(super) async fn control(
        &mut self,
        text: &str,
        writes: bool,
        budget: &Budget,
    ) -> Result<(), Failure> {
        self.busy = true;
        let link = self.link()?;
        let answer = match budget.race(control(link, text, writes)).await {
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

    /// Ends a transaction, and brings the session back to its beginning. Gives whether it is there.
    pub(super) async fn end(
        &mut self,
        how: &str,
        writes: bool,
        budget: &Budget,
    ) -> (Result<(), Failure>, bool) {
        self.busy = true;
        let link = match self.link() {
            Ok(link) => link,
            Err(failure) => return (Err(failure), false),
        };
        let (answer, is_clean) = match link.end(how, budget.deadline).await {
            (Some(ended), is_clean) => (
                ended.map_err(|error| outcome::failure(&error, writes)),
                is_clean,
            ),
            (None, _) => (
                Err(Failure {
                    error: if writes {
                        Error::InDoubt
                    } else {
                        Error::Timeout
                    },
                    answered: false,
                    ran: true,
                }),
                false,
            ),
        };
        self.busy = answer.as_ref().is_err_and(|failure| !failure.answered);
        (answer, is_clean)
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.shared.connector)
    }

    /// Whether it is known to be closed.
    pub(super) fn is_lost(&self) -> bool {
        self.object
            .as_ref()
            .is_none_or(|object| object.link.is_closed())
    }

    /// Hands a clean connection to the next one, or closes it where it leads to the wrong server.
    /// Gives whether the next connection will be a new one for that reason.
    pub(super) fn give_back(mut self) -> bool {
        match self.object.take() {
            Some(object) => release(object, &self.shared, self.demoted),
            None => false,
        }
    }

    /// The connection itself, for a task that sees to its cleanness.
    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        self.busy = true;
        self.object.as_mut().map(|object| &mut object.link)
    }

    /// Marks a refusal of a statement that was sent past this connection's own functions.
    pub(super) fn refused(&mut self, error: &Error) {
        self.demoted |= self.shared.connector.is_demoted(error);
    }

    /// Marks that a transaction has begun on it.
    pub(super) fn begun(&mut self, reads_only: bool) {
        self.in_transaction = true;
        self.reads_only = reads_only;
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
        let (shared, busy, demoted) = (Arc::clone(&self.shared), self.busy, self.demoted);
        let (connector, runtime) = (Arc::clone(&shared.connector), shared.runtime.clone());
        // The place in the pool is kept until the connection is clean or closed.
        connector.tidy(&runtime, async move {
            if busy {
                shared.connector.cancel(object.link.cancel_token()).await;
            }
            let clean = match object.link.end("ROLLBACK", Instant::now() + CLEANING).await {
                (Some(Ok(())), is_clean) => is_clean,
                (Some(Err(error)), _) => {
                    tracing::debug!(
                        "a connection is closed, since it could not be rolled back: {}",
                        outcome::reason(&error)
                    );
                    false
                }
                (None, _) => {
                    tracing::warn!(
                        "a database connection is closed, since it did not answer within {CLEANING:?}"
                    );
                    false
                }
            };
            if clean {
                release(object, &shared, demoted);
            } else {
                drop(Object::take(object));
            }
        });
    }
}

/// Hands on a connection that is clean, or closes it: where it is old, and where its server takes no
/// writes and another one may. Gives whether it is the latter.
fn release(object: Object<Dial>, shared: &Shared, demoted: bool) -> bool {
    let connector = &shared.connector;
    let outdated = connector.is_outdated(&object.link);
    if demoted && (outdated || connector.renewal.attempt(Instant::now())) {
        if let Some(pool) = Object::pool(&object) {
            // The others are as old.
            pool.retain(|_, _| false);
        }
        drop(Object::take(object));
        return true;
    }
    if outdated || object.link.born().elapsed() >= shared.lifetime {
        drop(Object::take(object));
    }
    false
}
