//! The statements that one connection has prepared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::OnceCell;

use super::link::Link;
use super::outcome::{self, Failure};
use super::run::Prepared;
use super::{framed, messages};
use crate::database::statement::Statement;
use crate::database::types::Error;

/// The statements that one connection has prepared.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<usize, Entry, RandomState>>);

#[derive(Debug)]
struct Entry {
    /// Kept, so that the address which is the key cannot become another statement's.
    _statement: Arc<Statement>,
    prepared: Arc<OnceCell<Arc<Prepared>>>,
}

/// Statements a connection keeps prepared. A guest that makes up texts without end starts over.
const PREPARED: usize = 256;

impl Cache {
    fn entry(&self, statement: &Arc<Statement>) -> Arc<OnceCell<Arc<Prepared>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(statement).addr();
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(&entry.prepared);
        }
        if entries.len() >= PREPARED {
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

    /// The statement prepared on this connection, once for all that ask at the same time.
    ///
    /// Where `in_transaction` says so the connection is in one already, and its settings hold.
    pub(super) async fn prepare(
        &self,
        link: &Link,
        statement: &Arc<Statement>,
        in_transaction: bool,
    ) -> Result<Arc<Prepared>, Failure> {
        let entry = self.entry(statement);
        if let Some(prepared) = entry.get() {
            return Ok(Arc::clone(prepared));
        }
        let prepare = || async {
            let prepared = if in_transaction {
                link.prepare(&statement.text).await
            } else {
                framed::prepare(link, &statement.text).await
            };
            prepared.map(|prepared| Arc::new(Prepared::new(prepared)))
        };
        let prepared = Box::pin(entry.get_or_try_init(prepare)).await;
        // Preparing changes nothing, whatever the statement would do.
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

/// Whether the statement has to be prepared anew: the schema has changed under it, or something between has forgotten it. It did not
/// run then.
pub(super) fn is_stale(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            refusal.code == "26000"
                || (refusal.code == "0A000" && refusal.message.contains("cached plan"))
        }
        _ => false,
    }
}

/// Whether the statement has to be prepared anew, although it ran: its result has other columns now.
pub(super) fn is_changed(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => messages::is_changed_result(&refusal.message),
        _ => false,
    }
}
