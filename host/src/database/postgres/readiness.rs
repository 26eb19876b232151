//! Whether requests are served, told by the connections that serve them.
//!
//! A probe with a connection of its own tells of itself alone: it may be refused where the server has
//! no room for it, and let in where the connections of requests lead to another server.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::SimpleQueryMessage;

use super::lanes::{Inner, Lane, Lanes};

/// Asks whether writes are taken. It is the server's word for the transaction this very query is.
const ASK: &str = "SHOW transaction_read_only";

/// What is known of the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    TakesWrites,
    OnlyReads,
    Away(String),
    /// A connection could not be made.
    Unreached,
    /// There are no connections for requests, nor will be any.
    Unserved,
}

/// The shared connections of all cores.
#[derive(Debug, Default)]
pub(super) struct Cores(Mutex<Vec<(Weak<Inner>, Handle)>>);

impl Cores {
    fn cores(&self) -> MutexGuard<'_, Vec<(Weak<Inner>, Handle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the connections of the core whose runtime this is.
    pub(super) fn add(&self, lanes: &Lanes) {
        let mut cores = self.cores();
        cores.retain(|(inner, _)| inner.strong_count() > 0);
        cores.push((lanes.weak(), Handle::current()));
    }

    /// Asks over a connection that requests use; where there is none, has a core open one, as a
    /// request would.
    pub(super) async fn ask(&self, timeout: Duration) -> Readiness {
        let cores: Vec<(Lanes, Handle)> = self
            .cores()
            .iter()
            .filter_map(|(inner, runtime)| Some((Lanes::upgrade(inner)?, runtime.clone())))
            .collect();
        for (lanes, _) in &cores {
            if let Some(lane) = lanes.to_ask() {
                match tokio::time::timeout(timeout, ask(&lane)).await {
                    // Lost, as a request would find: the next one may be well.
                    Ok(None) => {}
                    Ok(Some(readiness)) => return readiness,
                    Err(_) => return Readiness::Away(format!("no answer within {timeout:?}")),
                }
            }
        }
        let Some((lanes, runtime)) = cores.into_iter().next() else {
            return Readiness::Unserved;
        };
        // Driven by the core's runtime, whose connection it is.
        let opened = runtime.spawn(async move { lanes.any().await });
        match tokio::time::timeout(timeout, opened).await {
            Ok(Ok(Ok(lane))) => match tokio::time::timeout(timeout, ask(&lane)).await {
                Ok(Some(readiness)) => readiness,
                Ok(None) => Readiness::Away("the connection was lost".to_owned()),
                Err(_) => Readiness::Away(format!("no answer within {timeout:?}")),
            },
            // Why is known to who tried it, and is said there.
            Ok(Ok(Err(_))) => Readiness::Unreached,
            Ok(Err(_)) => Readiness::Unserved,
            Err(_) => Readiness::Away(format!("no connection within {timeout:?}")),
        }
    }
}

/// Nothing where the connection was lost.
async fn ask(lane: &Lane) -> Option<Readiness> {
    match lane.link.simple_query(ASK).await {
        Ok(answer) => {
            let says_on = answer.iter().any(
                |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on")),
            );
            Some(if says_on {
                Readiness::OnlyReads
            } else {
                Readiness::TakesWrites
            })
        }
        // It answers, whatever it has against the question: a cancel request for a statement before
        // it may have come late.
        Err(error)
            if error
                .as_db_error()
                .is_some_and(|error| !super::pooler::ends_session(error)) =>
        {
            Some(Readiness::TakesWrites)
        }
        Err(_) => None,
    }
}
