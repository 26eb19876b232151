//! Group commit: writes of many requests, each a statement of its own, that share one flush to
//! disk.
//!
//! While few writes are in flight, each runs at once as its [own
//! transaction](super::single_statement). Once [`CONCURRENT_GROUPS`](super::database) are in
//! flight, further writes wait; those that wait when a slot is released run as one
//! [transaction](super::group_transaction): one write to the server, one flush of its log, one read
//! of the responses. No write returns before its COMMIT has returned. The costs are limited:
//!
//! - **One refused statement rolls back the group.** Each write then runs again, alone, for its own
//!   result, and no groups are formed for [`COOL_DOWN`]. The others notice only a gap in a
//!   sequence.
//! - **Locks are held until the COMMIT.** [`SHARED_LOCK`] ends a wait between two groups before
//!   PostgreSQL would detect a deadlock.
//! - **A slow statement delays the group.** It is cancelled like on every shared connection, and a
//!   write that runs alone releases its slot after [`SLOT_LIMIT`].
//! - **A lost connection leaves the whole group unknown.** Each write returns `in-doubt`.
//!
//! Only `INSERT`, `UPDATE` and `DELETE` that are not known to be slow run in groups.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::connect::Connector;
use super::group_transaction::{GroupConnection, GroupOutcome, GroupedWrite, Step, StepOutcome};
use super::opener;
use super::run::{Fetch, Prepared};
use super::settings::SHARED_LOCK;
use super::single_statement::SingleStatements;
use crate::database::budget::Budget;
use crate::database::metrics::Connections;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The most writes in one group.
const MAX_GROUP_SIZE: usize = 16;

/// How long a write that runs alone keeps its slot.
const SLOT_LIMIT: Duration = SHARED_LOCK;

/// How long every write runs alone after a group was rolled back.
const COOL_DOWN: Duration = Duration::from_millis(100);

/// The writes of one core.
#[derive(Clone, Debug)]
pub(super) struct GroupCommit(Arc<Inner>);

struct Inner {
    single_statements: SingleStatements,
    connector: Arc<Connector>,
    /// The most groups and single writes in flight, and the most connections for groups.
    concurrent_groups: usize,
    lifetime: Duration,
    queue: Mutex<Queue>,
    idle: Mutex<Vec<GroupConnection>>,
    is_opening: AtomicBool,
    /// Connections that run a group at the moment.
    in_use: AtomicU64,
}

#[derive(Default)]
struct Queue {
    in_flight: usize,
    waiting: VecDeque<Box<dyn Member>>,
    cool_down_until: Option<Instant>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCommit")
            .field("single_statements", &self.single_statements)
            .field("concurrent_groups", &self.concurrent_groups)
            .finish_non_exhaustive()
    }
}

/// How a write starts.
enum Start<F: Fetch> {
    /// Alone and at once, with a slot if groups are enabled.
    Alone(Option<Slot>),
    /// In the queue.
    Queued(oneshot::Receiver<Reply<F>>, Arc<Progress>),
}

/// Whether a statement has run already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// How the wait in the queue ends.
enum Reply<F: Fetch> {
    /// The group has the result.
    Done(Result<F::Output, Error>),
    /// The statement had no effect and has to run alone, for the first time or again.
    RunAlone(Option<Slot>, Attempt),
}

impl GroupCommit {
    /// With no concurrent groups, every write runs alone.
    pub(super) fn new(
        single_statements: SingleStatements,
        connector: Arc<Connector>,
        concurrent_groups: usize,
        lifetime: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            single_statements,
            connector,
            concurrent_groups,
            lifetime,
            queue: Mutex::default(),
            idle: Mutex::default(),
            is_opening: AtomicBool::new(false),
            in_use: AtomicU64::new(0),
        }))
    }

    /// The connections for groups at the moment.
    pub(super) fn connections(&self) -> Connections {
        Connections {
            max: self.0.concurrent_groups as u64,
            in_use: self.0.in_use.load(Relaxed),
            idle: self.0.idle().len() as u64,
            waiting: self.0.queue().waiting.len() as u64,
            ..Connections::default()
        }
    }

    /// Runs a write, alone or in a group.
    pub(super) async fn run<F: Fetch>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        let slot = match self.0.start::<F>(statement, params, budget) {
            Start::Alone(slot) => slot,
            Start::Queued(reply, progress) => {
                let reply = budget.race(reply).await;
                budget.waited_for(progress.waited());
                match reply {
                    Some(Ok(Reply::Done(result))) => return result,
                    Some(Ok(Reply::RunAlone(slot, attempt))) => {
                        if attempt == Attempt::Again {
                            budget.retried();
                        }
                        slot
                    }
                    // The deadline has passed, or the group has ended with its runtime.
                    Some(Err(_)) | None if progress.was_sent() => return Err(Error::InDoubt),
                    Some(Err(_)) | None => return Err(Error::Timeout),
                }
            }
        };
        let mut alone = pin!(self.0.single_statements.run::<F>(statement, params, budget));
        let Some(slot) = slot else {
            return alone.await;
        };
        // A write that runs long, for example because of a lock, must not block the queue.
        let in_time = tokio::time::timeout(SLOT_LIMIT, alone.as_mut()).await;
        drop(slot);
        match in_time {
            Ok(result) => result,
            Err(_) => alone.await,
        }
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<GroupConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start<F: Fetch>(
        self: &Arc<Self>,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Start<F> {
        if self.concurrent_groups == 0 {
            return Start::Alone(None);
        }
        let mut queue = self.queue();
        if let Some(until) = queue.cool_down_until {
            if Instant::now() < until {
                return Start::Alone(None);
            }
            queue.cool_down_until = None;
        }
        if queue.in_flight < self.concurrent_groups {
            queue.in_flight += 1;
            return Start::Alone(Some(Slot(Arc::clone(self))));
        }
        let (sender, reply) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        queue.waiting.push_back(Box::new(QueuedWrite::<F> {
            statement: Arc::clone(statement),
            params: params.to_vec(),
            budget: budget.clone(),
            progress: Arc::clone(&progress),
            result: None,
            reply: sender,
        }));
        Start::Queued(reply, progress)
    }

    /// Takes the writes for the next group, the oldest first. Drops those whose caller is gone.
    fn next_group(&self) -> Vec<Box<dyn Member>> {
        let mut queue = self.queue();
        let mut members = Vec::new();
        while members.len() < MAX_GROUP_SIZE {
            match queue.waiting.pop_front() {
                Some(member) if member.is_abandoned() => {}
                Some(member) => members.push(member),
                None => break,
            }
        }
        members
    }

    /// An idle connection. If there is none, one is opened for later groups.
    fn connection(self: &Arc<Self>) -> Option<GroupConnection> {
        let mut idle = self.idle();
        while let Some(connection) = idle.pop() {
            if connection.is_usable(&self.connector, self.lifetime) {
                return Some(connection);
            }
        }
        drop(idle);
        // There are never more groups in flight than slots, so never more connections either.
        opener::open_another(
            self,
            |inner| &inner.is_opening,
            |inner| async move {
                let connection = GroupConnection::open(&inner.connector).await?;
                inner.idle().push(connection);
                Ok(())
            },
        );
        None
    }
}

/// The right of a write or a group to be in flight. Dropping it starts the next group.
struct Slot(Arc<Inner>);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if queue.waiting.is_empty() {
            queue.in_flight -= 1;
            return;
        }
        let slot = Self(Arc::clone(&self.0));
        match Handle::try_current() {
            Ok(runtime) => {
                drop(queue);
                runtime.spawn(slot.run_groups());
            }
            // Without a runtime the process is ending, and no caller is left.
            Err(_) => {
                let waiting = std::mem::take(&mut queue.waiting);
                drop(queue);
                drop(waiting);
            }
        }
    }
}

impl Slot {
    /// Runs groups until the queue is empty.
    async fn run_groups(self) {
        loop {
            let mut members = self.0.next_group();
            match members.len() {
                0 => return,
                1 => {
                    let mut slot = Some(self);
                    for member in members {
                        member.run_alone(slot.take());
                    }
                    return;
                }
                _ => {}
            }
            let Some(mut connection) = self.0.connection() else {
                for member in members {
                    member.run_alone(None);
                }
                continue;
            };
            self.0.in_use.fetch_add(1, Relaxed);
            let outcome = connection.commit(&mut members).await;
            self.0.in_use.fetch_sub(1, Relaxed);
            match outcome {
                GroupOutcome::Known => {
                    members.into_iter().for_each(Member::reply);
                    self.0.idle().push(connection);
                }
                GroupOutcome::RolledBack => {
                    self.0.queue().cool_down_until = Some(Instant::now() + COOL_DOWN);
                    for member in members {
                        member.run_alone(None);
                    }
                    self.0.idle().push(connection);
                }
                GroupOutcome::Unknown => {
                    members.into_iter().for_each(Member::reply_unknown);
                    let connector = Arc::clone(&self.0.connector);
                    self.0
                        .connector
                        .spawn_cleanup(&Handle::current(), async move {
                            connector.cancel(connection.session.cancel_token()).await;
                        });
                }
            }
        }
    }
}

/// A write in the queue, whatever it fetches.
trait Member: GroupedWrite {
    /// Whether its caller is gone.
    fn is_abandoned(&self) -> bool;
    /// Sends the stored result to the caller.
    fn reply(self: Box<Self>);
    /// Replies that the outcome of the group is unknown.
    fn reply_unknown(self: Box<Self>);
    fn run_alone(self: Box<Self>, slot: Option<Slot>);
}

/// How far a queued write is, for the caller that waits for it.
#[derive(Debug)]
struct Progress {
    queued: Instant,
    /// Whether the statement was sent, so that its outcome is unknown if the caller stops waiting.
    was_sent: AtomicBool,
    /// How long it was queued before it was sent, in nanoseconds; 0 if it was not sent.
    waited: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            queued: Instant::now(),
            was_sent: AtomicBool::new(false),
            waited: AtomicU64::new(0),
        }
    }
}

impl Progress {
    fn sent(&self) {
        let waited = self.queued.elapsed().as_nanos();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.waited.store(waited.max(1), Relaxed);
        self.was_sent.store(true, Relaxed);
    }

    fn was_sent(&self) -> bool {
        self.was_sent.load(Relaxed)
    }

    /// The statement had no effect, if it was sent. Returns whether it was.
    fn undone(&self) -> bool {
        self.was_sent.swap(false, Relaxed)
    }

    /// How long the write was queued, or has been until now.
    fn waited(&self) -> Duration {
        match self.waited.load(Relaxed) {
            0 => self.queued.elapsed(),
            nanos => Duration::from_nanos(nanos),
        }
    }
}

struct QueuedWrite<F: Fetch> {
    statement: Arc<Statement>,
    params: Vec<Value>,
    budget: Budget,
    progress: Arc<Progress>,
    result: Option<Result<F::Output, Error>>,
    reply: oneshot::Sender<Reply<F>>,
}

impl<F: Fetch> QueuedWrite<F> {
    fn send(self, reply: Reply<F>) {
        // If the caller is gone, dropping the reply releases its slot.
        drop(self.reply.send(reply));
    }
}

impl<F: Fetch> GroupedWrite for QueuedWrite<F> {
    fn statement(&self) -> &Arc<Statement> {
        &self.statement
    }

    fn deadline(&self) -> Instant {
        self.budget.deadline
    }

    fn run<'a>(&'a mut self, client: &'a Client, prepared: &'a Prepared) -> Step<'a> {
        Box::pin(async move {
            if let Err(error) = prepared.check(&self.params) {
                self.result = Some(Err(error));
                return StepOutcome::Done;
            }
            self.progress.sent();
            match F::run(client, prepared, &self.params, true, &self.budget).await {
                Ok(output) => {
                    self.result = Some(Ok(output));
                    StepOutcome::Done
                }
                Err(failure) => {
                    self.result = Some(Err(failure.error.clone()));
                    StepOutcome::of(Err(failure))
                }
            }
        })
    }
}

impl<F: Fetch> Member for QueuedWrite<F> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn reply(mut self: Box<Self>) {
        let result = self.result.take().unwrap_or(Err(Error::InDoubt));
        self.send(Reply::Done(result));
    }

    fn reply_unknown(self: Box<Self>) {
        let error = if self.progress.was_sent() {
            Error::InDoubt
        } else {
            Error::Timeout
        };
        self.send(Reply::Done(Err(error)));
    }

    fn run_alone(self: Box<Self>, slot: Option<Slot>) {
        let attempt = if self.progress.undone() {
            Attempt::Again
        } else {
            Attempt::First
        };
        self.send(Reply::RunAlone(slot, attempt));
    }
}
