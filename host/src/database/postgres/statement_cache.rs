//! The statements that one connection has prepared.
//!
//! Concurrent callers prepare a statement once. The cache is emptied when it is full, and a
//! statement that the server reports as outdated is prepared again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::OnceCell;

use super::outcome::{self, Failure};
use super::run::Prepared;
use super::session::Session;
use super::{messages, transaction_block};
use crate::database::statement::Statement;
use crate::database::types::Error;

#[derive(Debug, Default)]
pub(super) struct StatementCache(Mutex<HashMap<usize, Entry, RandomState>>);

#[derive(Debug)]
struct Entry {
    /// Keeps the address, which is the key, from being reused for another statement.
    _statement: Arc<Statement>,
    prepared: Arc<OnceCell<Arc<Prepared>>>,
}

/// The most statements that a connection keeps prepared. Beyond that the cache starts over.
const MAX_PREPARED: usize = 256;

impl StatementCache {
    fn entry(&self, statement: &Arc<Statement>) -> Arc<OnceCell<Arc<Prepared>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(statement).addr();
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(&entry.prepared);
        }
        if entries.len() >= MAX_PREPARED {
            entries.clear();
        }
        let prepared = Arc::default();
        entries.insert(
            key,
            Entry {
                _statement: Arc::clone(statement),
                prepared: Arc::clone(&prepared),
            },
        );
        prepared
    }

    /// The statement, prepared on this connection. With `in_transaction`, the session is in a
    /// transaction that has its settings.
    pub(super) async fn prepare(
        &self,
        session: &Session,
        statement: &Arc<Statement>,
        in_transaction: bool,
    ) -> Result<Arc<Prepared>, Failure> {
        let entry = self.entry(statement);
        if let Some(prepared) = entry.get() {
            return Ok(Arc::clone(prepared));
        }
        let prepare = || async {
            let prepared = if in_transaction {
                session.prepare(&statement.text).await
            } else {
                transaction_block::prepare(session, &statement.text).await
            };
            prepared.map(|prepared| Arc::new(Prepared::new(prepared, statement.is_packed)))
        };
        let prepared = Box::pin(entry.get_or_try_init(prepare)).await;
        // Preparing changes nothing, whatever the statement does.
        prepared.map(Arc::clone).map_err(|error| Failure {
            ran: false,
            ..outcome::failure(&error, false)
        })
    }

    pub(super) fn forget(&self, statement: &Arc<Statement>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&Arc::as_ptr(statement).addr());
    }
}

/// Whether the statement has to be prepared again, because the schema has changed or a pooler has
/// lost it. The statement did not run.
pub(super) fn is_stale(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            refusal.code == "26000"
                || (refusal.code == "0A000" && refusal.message.contains("cached plan"))
        }
        _ => false,
    }
}

/// Whether the statement ran but has to be prepared again, because its columns have changed.
pub(super) fn is_changed(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => messages::is_changed_result(&refusal.message),
        _ => false,
    }
}
