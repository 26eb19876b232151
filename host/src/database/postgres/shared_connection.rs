//! One shared connection, and the queue of the statements that were sent on it.
//!
//! Responses arrive in the order of the queue. A statement stays in the queue until its response
//! has arrived, even if its caller is gone; a connection whose abandoned statement keeps running is
//! retired.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::connect::Connector;
use super::limits::{CLEANUP_LIMIT, RESET_INTERVAL};
use super::outcome::Failure;
use super::run::Fetch;
use super::session::Session;
use super::statement_cache::StatementCache;
use super::transaction_block;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// A connection is blocked once its head of line has run for longer than this. The length of the
/// queue does not count: on another connection these statements would wait as long.
const HEAD_OF_LINE_LIMIT: Duration = Duration::from_millis(3);

/// An abandoned statement is cancelled after this time; a cancel request costs a connection.
const CANCEL_DELAY: Duration = Duration::from_millis(50);

pub(super) struct SharedConnection {
    pub(super) session: Session,
    cache: StatementCache,
    queue: Mutex<Queue>,
    is_retired: AtomicBool,
    connector: Arc<Connector>,
}

impl SharedConnection {
    pub(super) fn new(session: Session, connector: Arc<Connector>) -> Self {
        Self {
            queue: Mutex::new(Queue::new(session.opened_at())),
            session,
            cache: StatementCache::default(),
            is_retired: AtomicBool::new(false),
            connector,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.is_retired.load(Relaxed)
            && self.session.is_intact()
            && !self.connector.is_outdated(&self.session)
    }

    /// Excludes the connection from further statements; those in the queue still finish.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Relaxed);
    }

    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        let queue = self.queue();
        queue.statements.front().is_some_and(|head| {
            now.duration_since(queue.started_at(head.sent_at)) > HEAD_OF_LINE_LIMIT
        })
    }

    pub(super) fn queue_length(&self) -> usize {
        self.queue().statements.len()
    }

    /// Has the statement prepared again before its next use.
    pub(super) fn forget(&self, statement: &Arc<Statement>) {
        self.cache.forget(statement);
    }

    pub(super) async fn run<F: Fetch>(
        self: &Arc<Self>,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Failure> {
        let (entry, is_clean) = QueueEntry::new(self);
        if !is_clean {
            self.send_reset();
        }
        let work = async {
            let prepared = self.cache.prepare(&self.session, statement, false).await?;
            prepared.check(params).map_err(|error| Failure {
                error,
                answered: true,
                ran: false,
            })?;
            let writes = statement.writes;
            transaction_block::run::<F>(&self.session, &prepared, params, writes, budget).await
        };
        let mut work = pin!(work);
        let mut result = budget.race(work.as_mut()).await;
        if result.is_none() && statement.writes {
            // The server cancels the statement at the same deadline. Its response shows that the
            // write had no effect.
            result = tokio::time::timeout(CLEANUP_LIMIT, work).await.ok();
        }
        match result {
            Some(result) => {
                if let Some(took) = entry.finish() {
                    statement.took(took);
                }
                result
            }
            None => {
                // The statement may still run, so the outcome of a write is unknown.
                let error = if statement.writes {
                    Error::InDoubt
                } else {
                    Error::Timeout
                };
                Err(Failure {
                    error,
                    answered: true,
                    ran: true,
                })
            }
        }
    }

    /// Sends the commands that reset the session, ahead of the next statement.
    fn send_reset(self: &Arc<Self>) {
        let connection = Arc::clone(self);
        let mut reset = Box::pin(async move {
            if !connection.session.reset().await {
                connection.retire();
            }
        });
        // The first poll sends the commands; a task waits for the response.
        if reset.as_mut().now_or_never().is_none() {
            tokio::spawn(reset);
        }
    }

    /// Waits until the server has finished an abandoned statement, and cancels it if it runs long.
    async fn finish_abandoned(self: Arc<Self>, number: u64) {
        // The response to an empty query follows that of the statement.
        let mut probe = std::pin::pin!(self.session.check_connection());
        if tokio::time::timeout(CANCEL_DELAY, probe.as_mut())
            .await
            .is_err()
        {
            self.retire();
            let is_alone = self
                .queue()
                .statements
                .iter()
                .all(|statement| statement.is_abandoned);
            if is_alone {
                self.connector.cancel(self.session.cancel_token()).await;
            }
            // An error means that the connection is lost, and the statement with it.
            probe.await.ok();
        }
        self.queue().settle(number);
    }
}

/// The statements on a connection, in the order in which they were sent.
struct Queue {
    last_sent: u64,
    last_answered: u64,
    statements: VecDeque<SentStatement>,
    last_response_at: Option<Instant>,
    /// When the session was last reset.
    reset_at: Instant,
}

struct SentStatement {
    number: u64,
    sent_at: Instant,
    /// Whether its caller is gone.
    is_abandoned: bool,
}

impl Queue {
    fn new(opened_at: Instant) -> Self {
        Self {
            last_sent: 0,
            last_answered: 0,
            statements: VecDeque::new(),
            last_response_at: None,
            reset_at: opened_at,
        }
    }

    /// When the server started the head of line: when it was sent, or when the statement before it
    /// was answered.
    fn started_at(&self, sent_at: Instant) -> Instant {
        self.last_response_at
            .map_or(sent_at, |last| last.max(sent_at))
    }

    /// Removes the statements up to this number, which have been answered.
    fn settle(&mut self, number: u64) {
        self.last_answered = self.last_answered.max(number);
        while self
            .statements
            .front()
            .is_some_and(|head| head.number <= self.last_answered)
        {
            self.statements.pop_front();
        }
    }
}

/// A statement's entry in the queue. Dropping it before [`finish`](Self::finish) marks the
/// statement as abandoned.
struct QueueEntry {
    connection: Arc<SharedConnection>,
    number: u64,
    sent_at: Instant,
    is_waiting: bool,
}

impl QueueEntry {
    /// Appends an entry, and returns whether the session was reset recently enough.
    fn new(connection: &Arc<SharedConnection>) -> (Self, bool) {
        let sent_at = Instant::now();
        let mut queue = connection.queue();
        let is_clean = sent_at.saturating_duration_since(queue.reset_at) < RESET_INTERVAL;
        if !is_clean {
            queue.reset_at = sent_at;
        }
        queue.last_sent += 1;
        let number = queue.last_sent;
        queue.statements.push_back(SentStatement {
            number,
            sent_at,
            is_abandoned: false,
        });
        drop(queue);
        let entry = Self {
            connection: Arc::clone(connection),
            number,
            sent_at,
            is_waiting: true,
        };
        (entry, is_clean)
    }

    /// Removes the entry, and returns how long the server ran the statement.
    fn finish(mut self) -> Option<Duration> {
        self.is_waiting = false;
        let now = Instant::now();
        let mut queue = self.connection.queue();
        queue.settle(self.number);
        let started_at = queue.started_at(self.sent_at);
        queue.last_response_at = Some(now);
        now.checked_duration_since(started_at)
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        if !self.is_waiting {
            return;
        }
        if let Some(statement) = self
            .connection
            .queue()
            .statements
            .iter_mut()
            .find(|statement| statement.number == self.number)
        {
            statement.is_abandoned = true;
        }
        // Without a runtime the process is ending, and the connection with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let connection = Arc::clone(&self.connection);
            self.connection
                .connector
                .spawn_cleanup(&runtime, connection.finish_abandoned(self.number));
        }
    }
}
