//! The pool of dedicated connections: each has one transaction, cursor or slow statement to itself.
//!
//! The pool is deadpool's, which hands on a connection as it was returned. So only a
//! [clean](super::dedicated_connection) connection is returned to it. If no connection comes free
//! in time, callers receive `overloaded`; after a failed attempt to connect, they receive its error
//! at once for [`RECONNECT_PAUSE`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{Pool, PoolError};
use tokio::runtime::Handle;

use super::connect::Connector;
use super::dedicated_connection::{Context, DedicatedConnection, Manager};
use super::limits::RECONNECT_PAUSE;
use super::run::Fetch;
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::metrics::Connections;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The dedicated connections of one core.
#[derive(Clone, Debug)]
pub(super) struct DedicatedConnections {
    pool: Pool<Manager>,
    context: Arc<Context>,
    wait_limit: Duration,
    /// The time and error of the last failed attempt to connect.
    last_failure: Arc<Mutex<Option<(Instant, Error)>>>,
}

impl DedicatedConnections {
    pub(super) fn new(
        connector: &Arc<Connector>,
        size: usize,
        config: &Config,
    ) -> Result<Self, OpenError> {
        let pool = Pool::builder(Manager(Arc::clone(connector)))
            .max_size(size)
            .build()
            .map_err(|error| OpenError::Configuration {
                url: config.url.to_string(),
                reason: error.to_string(),
            })?;
        let context = Context {
            connector: Arc::clone(connector),
            lifetime: config.connection_lifetime,
            runtime: Handle::current(),
        };
        Ok(Self {
            pool,
            context: Arc::new(context),
            wait_limit: config.pool_wait,
            last_failure: Arc::default(),
        })
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.context.connector
    }

    /// The connections at the moment.
    pub(super) fn connections(&self) -> Connections {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        Connections {
            max: status.max_size as u64,
            in_use: (status.size - idle) as u64,
            idle: idle as u64,
            shared: 0,
            waiting: status.waiting as u64,
        }
    }

    pub(super) async fn get(&self, budget: &Budget) -> Result<DedicatedConnection, Error> {
        {
            let last_failure = self
                .last_failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some((when, error)) = &*last_failure
                && when.elapsed() < RECONNECT_PAUSE
            {
                return Err(error.clone());
            }
        }
        let (began, wait) = (Instant::now(), self.wait_limit.min(budget.left()));
        let waited = tokio::time::timeout(wait, self.pool.get()).await;
        budget.waited_since(began);
        let error = match waited {
            Ok(Ok(object)) => return Ok(DedicatedConnection::new(object, &self.context)),
            Err(_) | Ok(Err(PoolError::Timeout(_))) => return Err(Error::Overloaded),
            Ok(Err(PoolError::Backend(error))) => error.guest_error(),
            Ok(Err(
                PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_),
            )) => failure::unavailable("the connections are closed"),
        };
        *self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
        Err(error)
    }

    /// Runs a statement as its own transaction. A write that a read-only server refused runs once
    /// more, if another server may be found.
    pub(super) async fn run<F: Fetch>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        let mut may_retry = true;
        loop {
            let mut connection = self.get(budget).await?;
            let start = Instant::now();
            let result = connection
                .run::<F>(statement, params, statement.writes, budget)
                .await;
            statement.took(start.elapsed());
            let failure = match result {
                // Dropping the connection, unlike returning it, resets the session.
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            let was_refused = connection.was_refused_as_read_only();
            let is_replaced = failure.answered && was_refused && connection.return_to_pool();
            if !(may_retry && was_refused && is_replaced) {
                return Err(failure.error);
            }
            may_retry = false;
            budget.retried();
        }
    }
}
