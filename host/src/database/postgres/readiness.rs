//! Readiness: whether requests can be served, probed on the connections that serve them.
//!
//! A connection opened only for the probe would prove nothing: it may be refused when the server is
//! full, or lead to another server than the connections of requests.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::SimpleQueryMessage;

use super::pooler_errors;
use super::shared::{Inner, SharedConnections};
use super::shared_connection::SharedConnection;

/// Returns `on` if the server, or this transaction for another reason, is read-only.
const PROBE: &str = "SHOW transaction_read_only";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    AcceptsWrites,
    ReadOnly,
    Unavailable(String),
    ConnectFailed,
    /// No core has connections, nor will open any.
    NoPools,
}

/// The shared connections of all cores, each with the core's runtime.
#[derive(Debug, Default)]
pub(super) struct CorePools(Mutex<Vec<(Weak<Inner>, Handle)>>);

impl CorePools {
    fn lock(&self) -> MutexGuard<'_, Vec<(Weak<Inner>, Handle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the connections of the core on whose runtime this is called.
    pub(super) fn add(&self, connections: &SharedConnections) {
        let mut pools = self.lock();
        pools.retain(|(inner, _)| inner.strong_count() > 0);
        pools.push((connections.downgrade(), Handle::current()));
    }

    /// Probes a connection that serves requests. If there is none, a core opens one, as for a
    /// request.
    pub(super) async fn probe(&self, timeout: Duration) -> Readiness {
        let pools: Vec<(SharedConnections, Handle)> = self
            .lock()
            .iter()
            .filter_map(|(inner, runtime)| {
                Some((SharedConnections::upgrade(inner)?, runtime.clone()))
            })
            .collect();
        for (pool, _) in &pools {
            if let Some(connection) = pool.probe_target() {
                match tokio::time::timeout(timeout, probe(&connection)).await {
                    // This connection was lost; the next one may be open.
                    Ok(None) => {}
                    Ok(Some(readiness)) => return readiness,
                    Err(_) => return no_answer(timeout),
                }
            }
        }
        let Some((pool, runtime)) = pools.into_iter().next() else {
            return Readiness::NoPools;
        };
        // Opened on the core's runtime, which drives the connection.
        let opened = runtime.spawn(async move { pool.open_probe_target().await });
        match tokio::time::timeout(timeout, opened).await {
            Ok(Ok(Ok(connection))) => {
                match tokio::time::timeout(timeout, probe(&connection)).await {
                    Ok(Some(readiness)) => readiness,
                    Ok(None) => Readiness::Unavailable("the connection was lost".to_owned()),
                    Err(_) => no_answer(timeout),
                }
            }
            Ok(Ok(Err(_))) => Readiness::ConnectFailed,
            Ok(Err(_)) => Readiness::NoPools,
            Err(_) => Readiness::Unavailable(format!("no connection within {timeout:?}")),
        }
    }
}

fn no_answer(timeout: Duration) -> Readiness {
    Readiness::Unavailable(format!("no answer within {timeout:?}"))
}

/// Returns `None` if the connection was lost.
async fn probe(connection: &SharedConnection) -> Option<Readiness> {
    match connection.session.simple_query(PROBE).await {
        Ok(messages) => {
            let is_read_only = messages.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
                _ => false,
            });
            Some(if is_read_only {
                Readiness::ReadOnly
            } else {
                Readiness::AcceptsWrites
            })
        }
        // The server responds, although with an error: a late cancel request may have hit the
        // probe.
        Err(error)
            if error
                .as_db_error()
                .is_some_and(|error| !pooler_errors::ends_session(error)) =>
        {
            Some(Readiness::AcceptsWrites)
        }
        Err(_) => None,
    }
}
