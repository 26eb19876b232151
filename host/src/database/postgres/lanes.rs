//! Single statements of many requests, pipelined over few connections.
//!
//! Statements that are sent to a connection while it works on others travel in one write, and their answers in one read, on
//! PostgreSQL's side too. What that must not cost:
//!
//! - **A slow statement holds up those behind it.** A lane that is late with a statement is passed by, further lanes are opened
//!   when needed, and the server [puts off](super::settings) what takes long.
//! - **A cancel request hits whatever the connection runs.** So it is sent only where nobody else's statement is on it, after
//!   the lane was taken out of use; `statement_timeout` bounds the rest.
//! - **What one statement changes in the session is there for the next.** Policy lets none do so; in case
//!   one does, the session is brought back to its beginning [once a second](super::link), ahead of the
//!   statement that is sent then, in the same write.
//! - **A lost connection fails all that is on it.** Each gets its own honest error: `unavailable` for what reads, `in-doubt` for what
//!   writes.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::connect::Connector;
use super::framed;
use super::limits::{CLEAN, CLEANING, PAUSE};
use super::link::{Kind, Link};
use super::outcome::Failure;
use super::prepared::{Cache, is_changed, is_stale};
use super::run::Want;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// A lane that has been at one statement for longer than this is passed by. One that answers is not, however many wait on it: they
/// would wait elsewhere too, and another connection would only take its processor time.
const PATIENCE: Duration = Duration::from_millis(3);

/// An abandoned statement that is older than this is worth the connection a cancel request costs.
const WORTH_CANCELLING: Duration = Duration::from_millis(50);

/// The lanes of one core.
#[derive(Clone, Debug)]
pub(super) struct Lanes(Arc<Inner>);

pub(super) struct Inner {
    connector: Arc<Connector>,
    most: usize,
    lifetime: Duration,
    open: Mutex<Vec<Arc<Lane>>>,
    /// One attempt at a time to make the first connection, and what became of the last one.
    connecting: tokio::sync::Mutex<Option<(Instant, Error)>>,
    opening_more: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes")
            .field("open", &self.lanes().len())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lane(&self) -> Result<Arc<Lane>, Error> {
        let link = self
            .connector
            .connect(Kind::Shared)
            .await
            .map_err(|unreachable| unreachable.error())?;
        Ok(Arc::new(Lane {
            queue: Mutex::new(Queue::new(link.born())),
            link,
            cache: Cache::default(),
            retired: AtomicBool::new(false),
            connector: Arc::clone(&self.connector),
        }))
    }
}

impl Lanes {
    pub(super) fn new(connector: Arc<Connector>, most: usize, lifetime: Duration) -> Self {
        Self(Arc::new(Inner {
            connector,
            most,
            lifetime,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            opening_more: AtomicBool::new(false),
        }))
    }

    /// Runs a statement. A read whose connection is lost is run once more, since it cannot have done
    /// anything; and so is a write that a server refused because it takes none, if there is a new
    /// connection to try it on.
    pub(super) async fn run<W: Want>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        let mut again = true;
        let mut renewed = None;
        loop {
            let lane = match renewed.take().or_else(|| self.pick(statement.writes)) {
                Some(lane) => lane,
                None => match budget.race(Box::pin(self.first())).await {
                    Some(lane) => lane?,
                    None => return Err(Error::Timeout),
                },
            };
            let Err(failure) = (match lane.run::<W>(statement, params, budget).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => Err::<(), Failure>(failure),
            }) else {
                continue;
            };
            let stale = is_stale(&failure.error);
            let changed = is_changed(&failure.error);
            if stale || changed || matches!(failure.error, Error::InDoubt) {
                lane.cache.forget(statement);
            }
            if !failure.answered {
                lane.retire();
            }
            if self.0.connector.is_demoted(&failure.error) {
                if !again {
                    return Err(failure.error);
                }
                renewed = match budget.race(Box::pin(self.renew(&lane))).await {
                    Some(Some(renewed)) => Some(renewed),
                    _ => return Err(failure.error),
                };
                again = false;
                continue;
            }
            let harmless = stale
                || (changed && !statement.writes)
                || (!failure.answered && (!statement.writes || !failure.ran));
            if !(again && harmless) {
                return Err(failure.error);
            }
            again = false;
        }
    }

    /// A connection in place of one whose server takes no writes, made by one caller for all.
    /// None where it is too soon after the last one, or none can be made.
    async fn renew(&self, old: &Arc<Lane>) -> Option<Arc<Lane>> {
        let connector = &self.0.connector;
        let mut last = self.0.connecting.lock().await;
        if connector.is_outdated(&old.link) {
            // Another caller has found a server that takes writes.
            if let Some(lane) = self.pick(true) {
                return Some(lane);
            }
        } else if !connector.renewal.attempt(Instant::now()) {
            return None;
        }
        // Closed first, so that there are never more connections than there may be.
        old.retire();
        self.0.lanes().retain(|lane| lane.is_usable());
        match self.0.lane().await {
            Ok(lane) => {
                *last = None;
                self.0.lanes().push(Arc::clone(&lane));
                Some(lane)
            }
            Err(error) => {
                *last = Some((Instant::now(), error));
                None
            }
        }
    }

    pub(super) fn weak(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    /// The lanes again, unless their core has ended.
    pub(super) fn upgrade(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(Self)
    }

    /// A lane to ask whether the database answers: the one on which the fewest wait.
    pub(super) fn to_ask(&self) -> Option<Arc<Lane>> {
        let now = Instant::now();
        self.0
            .lanes()
            .iter()
            .filter(|lane| lane.is_usable())
            .min_by_key(|lane| (lane.is_late(now), lane.waiting()))
            .cloned()
    }

    /// A lane to ask, opened where there is none.
    pub(super) async fn any(&self) -> Result<Arc<Lane>, Error> {
        match self.to_ask() {
            Some(lane) => Ok(lane),
            None => self.first().await,
        }
    }

    /// A lane to send a statement to, if there is one.
    ///
    /// What reads takes the first lane that is not late, so that as much as possible travels together. What writes waits for the
    /// disk, each statement alone, and PostgreSQL writes what commits at the same time in one go: so it takes the lane on which the
    /// fewest wait and none for long, never the first while there are others, and is the reason to open them.
    fn pick(&self, writes: bool) -> Option<Arc<Lane>> {
        let now = Instant::now();
        let mut lanes = self.0.lanes();
        lanes.retain(|lane| {
            lane.is_usable() && now.saturating_duration_since(lane.link.born()) < self.0.lifetime
        });
        let shortest = |lanes: &[Arc<Lane>]| {
            lanes
                .iter()
                .min_by_key(|lane| (lane.is_late(now), lane.waiting()))
                .cloned()
        };
        let (chosen, crowded) = if writes {
            let others = shortest(lanes.get(1..).unwrap_or_default());
            let crowded = others.as_ref().is_none_or(|lane| lane.waiting() > 0);
            (others.or_else(|| lanes.first().cloned()), crowded)
        } else {
            let prompt = lanes.iter().find(|lane| !lane.is_late(now)).cloned();
            let crowded = prompt.is_none();
            (prompt.or_else(|| shortest(&lanes)), crowded)
        };
        if crowded && !lanes.is_empty() && lanes.len() < self.0.most {
            self.open_one_more();
        }
        chosen
    }

    /// The first connection, made by one caller for all that wait for it.
    async fn first(&self) -> Result<Arc<Lane>, Error> {
        let mut last = self.0.connecting.lock().await;
        // Another caller may have made it meanwhile.
        if let Some(lane) = self.0.lanes().iter().find(|lane| lane.is_usable()) {
            return Ok(Arc::clone(lane));
        }
        if let Some((when, error)) = &*last
            && when.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match self.0.lane().await {
            Ok(lane) => {
                *last = None;
                self.0.lanes().push(Arc::clone(&lane));
                Ok(lane)
            }
            Err(error) => {
                *last = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn open_one_more(&self) {
        if self.0.opening_more.swap(true, Relaxed) {
            return;
        }
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            match inner.lane().await {
                Ok(lane) => inner.lanes().push(lane),
                Err(error) => {
                    tracing::debug!("no further database connection: {error:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            inner.opening_more.store(false, Relaxed);
        });
    }
}

/// One shared connection.
pub(super) struct Lane {
    pub(super) link: Link,
    cache: Cache,
    queue: Mutex<Queue>,
    retired: AtomicBool,
    connector: Arc<Connector>,
}

/// The statements on a connection, in the order in which they were sent, which is the order of their answers.
struct Queue {
    sent: u64,
    answered: u64,
    waiting: VecDeque<Waiting>,
    last_answer: Option<Instant>,
    /// When the session was last at its beginning.
    clean: Instant,
}

struct Waiting {
    number: u64,
    since: Instant,
    /// Whether nobody waits for the answer any more.
    abandoned: bool,
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Relaxed)
            && self.link.is_intact()
            && !self.connector.is_outdated(&self.link)
    }

    /// Nothing more is sent here; what was sent is still answered.
    fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    fn is_late(&self, now: Instant) -> bool {
        let queue = self.queue();
        queue
            .waiting
            .front()
            .is_some_and(|oldest| now.duration_since(queue.began(oldest.since)) > PATIENCE)
    }

    fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    async fn run<W: Want>(
        self: &Arc<Self>,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Failure> {
        let (ticket, is_clean) = Ticket::new(self);
        if !is_clean {
            self.clean();
        }
        let work = async {
            let prepared = self.cache.prepare(&self.link, statement, false).await?;
            prepared.check(params).map_err(|error| Failure {
                error,
                answered: true,
                ran: false,
            })?;
            framed::run::<W>(&self.link, &prepared, params, statement.writes, budget).await
        };
        let mut work = pin!(work);
        let mut answer = budget.race(work.as_mut()).await;
        if answer.is_none() && statement.writes {
            // The server gives a statement the same time, and whoever hears from it knows that nothing happened.
            answer = tokio::time::timeout(CLEANING, work).await.ok();
        }
        match answer {
            Some(answer) => {
                if let Some(took) = ticket.answered() {
                    statement.took(took);
                }
                answer
            }
            None => {
                // It may still run, so of a write nothing is known.
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

    /// Brings the session back to its beginning, ahead of what is sent next.
    fn clean(self: &Arc<Self>) {
        let lane = Arc::clone(self);
        let mut reset = Box::pin(async move {
            if !lane.link.reset().await {
                lane.retire();
            }
        });
        // What is polled once is sent; its answer is waited for elsewhere.
        if reset.as_mut().now_or_never().is_none() {
            tokio::spawn(reset);
        }
    }

    /// Sees to a statement nobody waits for any more.
    async fn abandoned(self: Arc<Self>, number: u64) {
        // An empty query's answer comes after the statement's.
        let mut probe = std::pin::pin!(self.link.check_connection());
        if tokio::time::timeout(WORTH_CANCELLING, probe.as_mut())
            .await
            .is_err()
        {
            self.retire();
            let alone = self.queue().waiting.iter().all(|waiting| waiting.abandoned);
            if alone {
                self.connector.cancel(self.link.cancel_token()).await;
            }
            // An error means that the connection is gone, and the statement with it.
            probe.await.ok();
        }
        self.queue().settle(number);
    }
}

impl Queue {
    fn new(born: Instant) -> Self {
        Self {
            sent: 0,
            answered: 0,
            waiting: VecDeque::new(),
            last_answer: None,
            clean: born,
        }
    }

    /// When the server began with the oldest statement, which was sent then. What stood before it in the queue is not its own doing.
    fn began(&self, sent: Instant) -> Instant {
        self.last_answer.map_or(sent, |last| last.max(sent))
    }

    /// Everything up to this statement has been answered.
    fn settle(&mut self, number: u64) {
        self.answered = self.answered.max(number);
        while self
            .waiting
            .front()
            .is_some_and(|oldest| oldest.number <= self.answered)
        {
            self.waiting.pop_front();
        }
    }
}

/// A statement's place in the queue.
struct Ticket {
    lane: Arc<Lane>,
    number: u64,
    since: Instant,
    open: bool,
}

impl Ticket {
    /// A place, and whether the session is known to be clean.
    fn new(lane: &Arc<Lane>) -> (Self, bool) {
        let since = Instant::now();
        let mut queue = lane.queue();
        let is_clean = since.saturating_duration_since(queue.clean) < CLEAN;
        if !is_clean {
            queue.clean = since;
        }
        queue.sent += 1;
        let number = queue.sent;
        queue.waiting.push_back(Waiting {
            number,
            since,
            abandoned: false,
        });
        drop(queue);
        let ticket = Self {
            lane: Arc::clone(lane),
            number,
            since,
            open: true,
        };
        (ticket, is_clean)
    }

    /// Takes the statement off the queue, and gives how long the server was at it.
    fn answered(mut self) -> Option<Duration> {
        self.open = false;
        let now = Instant::now();
        let mut queue = self.lane.queue();
        queue.settle(self.number);
        let began = queue.began(self.since);
        queue.last_answer = Some(now);
        now.checked_duration_since(began)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if let Some(waiting) = self
            .lane
            .queue()
            .waiting
            .iter_mut()
            .find(|waiting| waiting.number == self.number)
        {
            waiting.abandoned = true;
        }
        // Without a runtime the process is ending, and the connection with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let lane = Arc::clone(&self.lane);
            self.lane
                .connector
                .tidy(&runtime, lane.abandoned(self.number));
        }
    }
}
