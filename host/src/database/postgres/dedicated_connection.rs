//! A connection that one transaction, cursor or slow statement has to itself.
//!
//! Only a clean session returns to the pool: everything sent was answered, no transaction is open,
//! and the session is reset. A connection that is dropped in any other state is cancelled, rolled
//! back and reset in the background, and closed if that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use tokio::runtime::Handle;

use super::connect::Connector;
use super::connect_error::ConnectError;
use super::limits::CLEANUP_LIMIT;
use super::outcome::{self, Failure};
use super::run::Fetch;
use super::session::{ConnectionKind, Session};
use super::statement_cache::{StatementCache, is_changed, is_stale};
use super::transaction_block::{self, send_command};
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// What the connections of one core share.
pub(super) struct Context {
    pub(super) connector: Arc<Connector>,
    pub(super) lifetime: Duration,
    pub(super) runtime: Handle,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// A connection in the pool.
#[derive(Debug)]
pub(super) struct PooledConnection {
    session: Session,
    cache: StatementCache,
}

/// Opens connections for the pool, and closes those that must not be used again.
pub(super) struct Manager(pub(super) Arc<Connector>);

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").finish_non_exhaustive()
    }
}

impl managed::Manager for Manager {
    type Type = PooledConnection;
    type Error = ConnectError;

    async fn create(&self) -> Result<PooledConnection, ConnectError> {
        Ok(PooledConnection {
            session: self.0.connect(ConnectionKind::Dedicated).await?,
            cache: StatementCache::default(),
        })
    }

    async fn recycle(
        &self,
        pooled: &mut PooledConnection,
        _: &Metrics,
    ) -> RecycleResult<ConnectError> {
        if pooled.session.is_intact() && !self.0.is_outdated(&pooled.session) {
            Ok(())
        } else {
            Err(RecycleError::message("the session was closed or changed"))
        }
    }
}

/// A connection that was taken from the pool. Dropping it without
/// [returning](Self::return_to_pool) it cleans it up.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts about the session"
)]
pub(super) struct DedicatedConnection {
    object: Option<Object<Manager>>,
    context: Arc<Context>,
    /// Whether a statement was sent that has not been answered.
    is_busy: bool,
    in_transaction: bool,
    /// Whether its transaction was requested as read-only.
    is_read_only: bool,
    /// Whether its server refused a write because the server is read-only.
    was_refused_as_read_only: bool,
}

impl DedicatedConnection {
    pub(super) fn new(object: Object<Manager>, context: &Arc<Context>) -> Self {
        Self {
            object: Some(object),
            context: Arc::clone(context),
            is_busy: false,
            in_transaction: false,
            is_read_only: false,
            was_refused_as_read_only: false,
        }
    }

    fn pooled(&self) -> Result<&PooledConnection, Failure> {
        self.object.as_deref().ok_or_else(|| Failure {
            error: failure::unavailable("the connection was returned to the pool"),
            answered: true,
            ran: false,
        })
    }

    pub(super) fn session(&self) -> Result<&Session, Failure> {
        self.pooled().map(|pooled| &pooled.session)
    }

    pub(super) async fn run<F: Fetch>(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> Result<F::Output, Failure> {
        let mut may_retry = true;
        loop {
            self.is_busy = true;
            let (pooled, in_transaction) = (self.pooled()?, self.in_transaction);
            let work = async {
                let session = &pooled.session;
                let prepared = pooled
                    .cache
                    .prepare(session, statement, in_transaction)
                    .await?;
                prepared.check(params).map_err(|error| Failure {
                    error,
                    answered: true,
                    ran: false,
                })?;
                if in_transaction {
                    F::run(session, &prepared, params, writes, budget).await
                } else {
                    transaction_block::run::<F>(session, &prepared, params, writes, budget).await
                }
            };
            let result = self.cancel_at_deadline(work, writes, budget).await;
            self.is_busy = result.as_ref().is_err_and(|failure| !failure.answered);
            let Err(failure) = &result else {
                return result;
            };
            if !self.is_read_only {
                self.record_refusal(&failure.error);
            }
            let (stale, changed) = (is_stale(&failure.error), is_changed(&failure.error));
            if stale || changed || matches!(failure.error, Error::InDoubt) {
                self.pooled()?.cache.forget(statement);
            }
            if !(may_retry && (stale || (changed && !writes && !in_transaction))) {
                return result;
            }
            may_retry = false;
            budget.retried();
        }
    }

    /// Prepares a statement without running it.
    pub(super) async fn prepare(
        &mut self,
        statement: &Arc<Statement>,
        budget: &Budget,
    ) -> Result<(), Failure> {
        self.is_busy = true;
        let pooled = self.pooled()?;
        let work = pooled
            .cache
            .prepare(&pooled.session, statement, self.in_transaction);
        let result = self.cancel_at_deadline(work, false, budget).await;
        self.is_busy = result.as_ref().is_err_and(|failure| !failure.answered);
        result.map(drop)
    }

    /// Waits until the deadline, then cancels the statement and waits for up to [`CLEANUP_LIMIT`]
    /// for the response.
    async fn cancel_at_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        writes: bool,
        budget: &Budget,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        if let Some(result) = budget.race(work.as_mut()).await {
            return result;
        }
        self.context
            .connector
            .cancel(self.session()?.cancel_token())
            .await;
        match tokio::time::timeout(CLEANUP_LIMIT, work).await {
            Ok(result) => result,
            Err(_) => Err(no_response(writes)),
        }
    }

    /// Sends a command of the host, such as `BEGIN`.
    pub(super) async fn send_command(
        &mut self,
        command: &str,
        writes: bool,
        budget: &Budget,
    ) -> Result<(), Failure> {
        self.is_busy = true;
        let session = self.session()?;
        let result = match budget.race(send_command(session, command, writes)).await {
            Some(result) => result,
            None => Err(no_response(writes)),
        };
        self.is_busy = result.as_ref().is_err_and(|failure| !failure.answered);
        result
    }

    /// Ends the transaction and resets the session. Returns also whether the session is clean.
    pub(super) async fn end_transaction(
        &mut self,
        command: &str,
        writes: bool,
        budget: &Budget,
    ) -> (Result<(), Failure>, bool) {
        self.is_busy = true;
        let session = match self.session() {
            Ok(session) => session,
            Err(failure) => return (Err(failure), false),
        };
        let (result, is_clean) = match session.end_transaction(command, budget.deadline).await {
            (Some(result), is_clean) => (
                result.map_err(|error| outcome::failure(&error, writes)),
                is_clean,
            ),
            (None, _) => (Err(no_response(writes)), false),
        };
        self.is_busy = result.as_ref().is_err_and(|failure| !failure.answered);
        (result, is_clean)
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.context.connector)
    }

    /// Whether the connection is known to be closed.
    pub(super) fn is_lost(&self) -> bool {
        self.object
            .as_ref()
            .is_none_or(|object| object.session.is_closed())
    }

    pub(super) fn was_refused_as_read_only(&self) -> bool {
        self.was_refused_as_read_only
    }

    /// Returns a clean connection to the pool, or closes it if it is old or its server is
    /// read-only. Returns whether the next connection will be new because of a read-only server.
    pub(super) fn return_to_pool(mut self) -> bool {
        match self.object.take() {
            Some(object) => release(object, &self.context, self.was_refused_as_read_only),
            None => false,
        }
    }

    /// The session, for a task that cleans it up itself.
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.is_busy = true;
        self.object.as_mut().map(|object| &mut object.session)
    }

    /// Records whether this error is a read-only server's refusal of a write.
    pub(super) fn record_refusal(&mut self, error: &Error) {
        self.was_refused_as_read_only |= self.context.connector.is_refused_as_read_only(error);
    }

    /// Records that a transaction has begun.
    pub(super) fn record_begin(&mut self, is_read_only: bool) {
        self.in_transaction = true;
        self.is_read_only = is_read_only;
    }

    /// Records that everything sent has been answered.
    pub(super) fn record_settled(&mut self) {
        self.is_busy = false;
    }
}

/// The failure of a statement without a response at its deadline.
fn no_response(writes: bool) -> Failure {
    let error = if writes {
        Error::InDoubt
    } else {
        Error::Timeout
    };
    Failure {
        error,
        answered: false,
        ran: true,
    }
}

impl Drop for DedicatedConnection {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        let (context, is_busy) = (Arc::clone(&self.context), self.is_busy);
        let was_refused_as_read_only = self.was_refused_as_read_only;
        let (connector, runtime) = (Arc::clone(&context.connector), context.runtime.clone());
        // The connection keeps its place in the pool until it is clean or closed.
        connector.spawn_cleanup(&runtime, async move {
            let session = &object.session;
            if is_busy {
                context.connector.cancel(session.cancel_token()).await;
            }
            let deadline = Instant::now() + CLEANUP_LIMIT;
            let is_clean = match session.end_transaction("ROLLBACK", deadline).await {
                (Some(Ok(())), is_clean) => is_clean,
                (Some(Err(error)), _) => {
                    tracing::debug!(
                        "a database connection is closed: its transaction could not be rolled \
                         back: {}",
                        outcome::reason(&error)
                    );
                    false
                }
                (None, _) => {
                    tracing::warn!(
                        "a database connection is closed: no answer within {CLEANUP_LIMIT:?}"
                    );
                    false
                }
            };
            if is_clean {
                release(object, &context, was_refused_as_read_only);
            } else {
                drop(Object::take(object));
            }
        });
    }
}

/// Returns a clean connection to the pool, or closes it if it is old or leads to a read-only server
/// while another server may accept writes. Returns whether the latter was the case.
fn release(object: Object<Manager>, context: &Context, was_refused_as_read_only: bool) -> bool {
    let connector = &context.connector;
    let is_outdated = connector.is_outdated(&object.session);
    if was_refused_as_read_only && (is_outdated || connector.failover.attempt(Instant::now())) {
        if let Some(pool) = Object::pool(&object) {
            // The idle connections are as old.
            pool.retain(|_, _| false);
        }
        drop(Object::take(object));
        return true;
    }
    if is_outdated || object.session.opened_at().elapsed() >= context.lifetime {
        drop(Object::take(object));
    }
    false
}
