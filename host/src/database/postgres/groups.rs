//! Group commit: writes of many requests, each its own statement, that go to the disk together.
//!
//! A write's answer waits for the disk, and so does everything behind it on its connection. While few are at work each write is sent
//! at once, as its [own transaction](super::singles). What comes while as many are at work as there are places waits for
//! one of them, and whatever waits then goes together: `BEGIN`, the statements, `COMMIT`, all in one write to the server, one flush of its log,
//! and one read of the answers. Nothing is answered before the COMMIT is. What that must not cost:
//!
//! - **One refusal undoes its neighbours.** Then everything in the group is known not to have happened, and each is run again, alone, to
//!   get its own answer. For a moment after that nothing is grouped. All that a neighbour can see of it is a gap in a sequence.
//! - **Locks are held until the COMMIT.** On a [shared connection](super::settings) a statement does not wait long for a lock: so
//!   two groups that wait for each other part before the server would find a deadlock.
//! - **A slow statement holds up those behind it.** Nor does it run for long there; and a write that is at work alone gives up its
//!   place after [`PATIENCE`].
//! - **A lost connection leaves all of it unknown.** Each is told so: `in-doubt`.
//!
//! Only `INSERT`, `UPDATE` and `DELETE` are grouped, and no statement that is known to be slow.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::connect::Connector;
use super::framed::control;
use super::limits::{CLEAN, PAUSE};
use super::link::{Kind, Link};
use super::outcome::Failure;
use super::prepared::Cache;
use super::run::{Prepared, Want};
use super::settings::SHARED_LOCK;
use super::singles::Singles;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The most writes in one group.
const MOST: usize = 16;

/// How long a write that is alone keeps its place.
const PATIENCE: Duration = SHARED_LOCK;

/// After a group came to nothing, for how long every write goes alone.
const APART: Duration = Duration::from_millis(100);

/// The writes of one core.
#[derive(Clone, Debug)]
pub(super) struct Groups(Arc<Inner>);

struct Inner {
    /// For what goes alone.
    singles: Singles,
    connector: Arc<Connector>,
    /// How many writes, or groups of them, are at work at the same time; and how many connections the groups have.
    places: usize,
    lifetime: Duration,
    queue: Mutex<Queue>,
    idle: Mutex<Idle>,
}

/// Who is at work, and who waits.
#[derive(Default)]
struct Queue {
    at_work: usize,
    waiting: VecDeque<Box<dyn Member>>,
    apart_until: Option<Instant>,
}

/// The groups' connections that no group is using.
#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// Whether one is being made.
    dialing: bool,
}

struct Connection {
    link: Link,
    cache: Cache,
    /// When the session was last brought back to its beginning; none where that failed.
    clean: Option<Instant>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups")
            .field("singles", &self.singles)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// How a write begins.
enum Start<W: Want> {
    /// Alone and at once; the place, if it has one, is given on when it is done.
    Alone(Option<Place>),
    /// With those that wait.
    Waiting(oneshot::Receiver<Told<W>>, Arc<AtomicBool>),
}

/// What becomes of a write that waited.
enum Told<W: Want> {
    /// It is known what came of it.
    Done(Result<W::Answer, Error>),
    /// Nothing has come of it: it is to be run alone.
    Alone(Option<Place>),
}

impl Groups {
    /// With no places nothing is grouped.
    pub(super) fn new(
        singles: Singles,
        connector: Arc<Connector>,
        places: usize,
        lifetime: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            singles,
            connector,
            places,
            lifetime,
            queue: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// Runs a write, alone or with others.
    pub(super) async fn run<W: Want>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        let place = match self.0.start::<W>(statement, params, budget) {
            Start::Alone(place) => place,
            Start::Waiting(told, sent) => match budget.race(told).await {
                Some(Ok(Told::Done(answer))) => return answer,
                Some(Ok(Told::Alone(place))) => place,
                // Nobody answers before the deadline, or the group ended with its runtime.
                Some(Err(_)) | None if sent.load(Relaxed) => return Err(Error::InDoubt),
                Some(Err(_)) | None => return Err(Error::Timeout),
            },
        };
        let mut alone = pin!(self.0.singles.run::<W>(statement, params, budget));
        let Some(place) = place else {
            return alone.await;
        };
        // Who takes long, for a lock for one, does not keep others from their turn.
        let prompt = tokio::time::timeout(PATIENCE, alone.as_mut()).await;
        drop(place);
        match prompt {
            Ok(answer) => answer,
            Err(_) => alone.await,
        }
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start<W: Want>(
        self: &Arc<Self>,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Start<W> {
        if self.places == 0 {
            return Start::Alone(None);
        }
        let mut queue = self.queue();
        if let Some(until) = queue.apart_until {
            if Instant::now() < until {
                return Start::Alone(None);
            }
            queue.apart_until = None;
        }
        if queue.at_work < self.places {
            queue.at_work += 1;
            return Start::Alone(Some(Place(Arc::clone(self))));
        }
        let (tell, told) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        queue.waiting.push_back(Box::new(Waiting::<W> {
            statement: Arc::clone(statement),
            params: params.to_vec(),
            budget: *budget,
            sent: Arc::clone(&sent),
            answer: None,
            tell,
        }));
        Start::Waiting(told, sent)
    }

    /// Those who have waited longest and still wait.
    fn next(&self) -> Vec<Box<dyn Member>> {
        let mut queue = self.queue();
        let mut members = Vec::new();
        while members.len() < MOST {
            match queue.waiting.pop_front() {
                Some(member) if member.is_gone() => {}
                Some(member) => members.push(member),
                None => break,
            }
        }
        members
    }

    /// A connection for a group, if there is one; if not, one is made for the groups to come.
    fn connection(self: &Arc<Self>) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some(connection) = idle.connections.pop() {
            if connection.clean.is_some()
                && connection.link.is_intact()
                && !self.connector.is_outdated(&connection.link)
                && connection.link.born().elapsed() < self.lifetime
            {
                return Some(connection);
            }
        }
        // There are never more groups at work than places, so never more connections either.
        if !idle.dialing {
            idle.dialing = true;
            let groups = Arc::clone(self);
            tokio::spawn(async move {
                match Connection::open(&groups.connector).await {
                    Ok(connection) => groups.idle().connections.push(connection),
                    Err(error) => {
                        tracing::debug!("no database connection for writes together: {error:?}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                groups.idle().dialing = false;
            });
        }
        None
    }
}

/// The right to be at work. Dropped, it goes to those who wait.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if queue.waiting.is_empty() {
            queue.at_work -= 1;
            return;
        }
        let place = Self(Arc::clone(&self.0));
        match Handle::try_current() {
            Ok(runtime) => {
                drop(queue);
                runtime.spawn(place.work());
            }
            // The process is ending: nobody waits for an answer any more.
            Err(_) => {
                let waiting = std::mem::take(&mut queue.waiting);
                drop(queue);
                drop(waiting);
            }
        }
    }
}

impl Place {
    /// Sees to those who wait, until there are none.
    async fn work(self) {
        loop {
            let mut members = self.0.next();
            match members.len() {
                0 => return,
                1 => {
                    let mut place = Some(self);
                    for member in members {
                        member.alone(place.take());
                    }
                    return;
                }
                _ => {}
            }
            let Some(mut connection) = self.0.connection() else {
                for member in members {
                    member.alone(None);
                }
                continue;
            };
            match connection.commit(&mut members).await {
                Outcome::Known => {
                    members.into_iter().for_each(Member::known);
                    self.0.idle().connections.push(connection);
                }
                Outcome::Nothing => {
                    self.0.queue().apart_until = Some(Instant::now() + APART);
                    for member in members {
                        member.alone(None);
                    }
                    self.0.idle().connections.push(connection);
                }
                Outcome::Unknown => {
                    members.into_iter().for_each(Member::unknown);
                    let connector = Arc::clone(&self.0.connector);
                    self.0.connector.tidy(&Handle::current(), async move {
                        connector.cancel(connection.link.cancel_token()).await;
                    });
                }
            }
        }
    }
}

/// One statement of a group.
type Step<'a> = Pin<Box<dyn Future<Output = Run> + Send + 'a>>;

/// A write that waits, whatever it wants to know.
trait Member: Send {
    /// Whether nobody waits for its answer any more.
    fn is_gone(&self) -> bool;
    fn statement(&self) -> &Arc<Statement>;
    fn deadline(&self) -> Instant;
    /// Sends the statement when first polled, and keeps the answer. Gives whether it was refused, if there was an answer.
    fn run<'a>(&'a mut self, client: &'a Client, prepared: &'a Prepared) -> Step<'a>;
    /// Tells what was kept.
    fn known(self: Box<Self>);
    fn unknown(self: Box<Self>);
    fn alone(self: Box<Self>, place: Option<Place>);
}

struct Waiting<W: Want> {
    statement: Arc<Statement>,
    params: Vec<Value>,
    budget: Budget,
    /// Whether it has left for the server, so that giving up leaves doubt.
    sent: Arc<AtomicBool>,
    answer: Option<Result<W::Answer, Error>>,
    tell: oneshot::Sender<Told<W>>,
}

impl<W: Want> Waiting<W> {
    fn tell(self, told: Told<W>) {
        // Who has left meanwhile wants no answer; a place among it goes on to the next.
        drop(self.tell.send(told));
    }
}

impl<W: Want> Member for Waiting<W> {
    fn is_gone(&self) -> bool {
        self.tell.is_closed()
    }

    fn statement(&self) -> &Arc<Statement> {
        &self.statement
    }

    fn deadline(&self) -> Instant {
        self.budget.deadline
    }

    fn run<'a>(&'a mut self, client: &'a Client, prepared: &'a Prepared) -> Step<'a> {
        Box::pin(async move {
            if let Err(error) = prepared.check(&self.params) {
                self.answer = Some(Err(error));
                return Run::Done;
            }
            self.sent.store(true, Relaxed);
            match W::run(client, prepared, &self.params, true, &self.budget).await {
                Ok(answer) => {
                    self.answer = Some(Ok(answer));
                    Run::Done
                }
                Err(failure) => {
                    self.answer = Some(Err(failure.error.clone()));
                    Run::of(Err(failure))
                }
            }
        })
    }

    fn known(mut self: Box<Self>) {
        let answer = self.answer.take().unwrap_or(Err(Error::InDoubt));
        self.tell(Told::Done(answer));
    }

    fn unknown(self: Box<Self>) {
        let error = if self.sent.load(Relaxed) {
            Error::InDoubt
        } else {
            Error::Timeout
        };
        self.tell(Told::Done(Err(error)));
    }

    fn alone(self: Box<Self>, place: Option<Place>) {
        self.sent.store(false, Relaxed);
        self.tell(Told::Alone(place));
    }
}

/// What became of one statement of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// The server ran it, or was never asked; what was kept is its answer, if the group is committed.
    Done,
    /// The server said no, and so undid the group.
    Refused,
    /// No answer came.
    Lost,
}

impl Run {
    fn of(answer: Result<(), Failure>) -> Self {
        match answer {
            Err(failure) if !failure.answered => Self::Lost,
            // A cancelled statement is a refused one.
            Err(failure) if matches!(failure.error, Error::Refused(_) | Error::Timeout) => {
                Self::Refused
            }
            // The host could not use the values, going in or coming out; the server knows of no error.
            Err(_) | Ok(()) => Self::Done,
        }
    }
}

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Each member has its answer.
    Known,
    /// It was undone.
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    /// From what became of `BEGIN`, of the statements, and of `COMMIT`.
    fn of(begin: Run, rest: &[Run]) -> Self {
        if begin == Run::Refused {
            // There was no transaction, so each statement stood for itself, and its answer is its own.
            Self::Known
        } else if rest.contains(&Run::Refused) {
            // Whatever was lost after it: PostgreSQL commits nothing in which a statement was refused.
            Self::Nothing
        } else if rest.contains(&Run::Lost) {
            Self::Unknown
        } else {
            Self::Known
        }
    }
}

impl Connection {
    async fn open(connector: &Connector) -> Result<Self, Error> {
        let link = connector
            .connect(Kind::Shared)
            .await
            .map_err(|unreachable| unreachable.error())?;
        Ok(Self {
            clean: Some(link.born()),
            link,
            cache: Cache::default(),
        })
    }

    /// Runs the statements of a group and commits them together.
    async fn commit(&mut self, members: &mut [Box<dyn Member>]) -> Outcome {
        let Some(deadline) = members.iter().map(|member| member.deadline()).max() else {
            return Outcome::Known;
        };
        match tokio::time::timeout_at(deadline.into(), self.attempt(members)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown,
        }
    }

    async fn attempt(&mut self, members: &mut [Box<dyn Member>]) -> Outcome {
        let link = &self.link;
        let statements: Vec<_> = members
            .iter()
            .map(|member| Arc::clone(member.statement()))
            .collect();
        let mut prepared = Vec::with_capacity(members.len());
        for statement in &statements {
            match self.cache.prepare(link, statement, false).await {
                Ok(statement) => prepared.push(statement),
                // It hears of it when it runs alone.
                Err(_) => return Outcome::Nothing,
            }
        }
        let mut steps: Vec<Step<'_>> = Vec::with_capacity(members.len() + 2);
        let begin = &link.words().group;
        steps.push(Box::pin(async {
            Run::of(control(link, begin, true).await)
        }));
        for (member, prepared) in members.iter_mut().zip(&prepared) {
            steps.push(member.run(link, prepared));
        }
        steps.push(Box::pin(async {
            match control(link, "COMMIT", true).await {
                // Cancelled: nothing says whether before or after the fact.
                Err(failure) if matches!(failure.error, Error::Timeout) => Run::Lost,
                ended => Run::of(ended),
            }
        }));
        let now = Instant::now();
        let is_clean = self
            .clean
            .is_some_and(|clean| now.saturating_duration_since(clean) < CLEAN);
        // Polled in this order, so that the session is clean when the group begins.
        let reset = async { is_clean || link.reset().await };
        let (is_reset, done) = futures_util::future::join(reset, in_order(steps)).await;
        if !is_clean {
            self.clean = is_reset.then_some(now);
        }
        let mut before = None;
        for ((_, when), statement) in done.iter().skip(1).zip(&statements) {
            let since = before
                .replace(*when)
                .or_else(|| done.first().map(|(_, when)| *when));
            if let Some(took) = since.and_then(|since| when.checked_duration_since(since)) {
                statement.took(took);
            }
        }
        let runs: Vec<_> = done.into_iter().map(|(run, _)| run).collect();
        match runs.split_first() {
            Some((opening, members)) => {
                let outcome = Outcome::of(*opening, members);
                if outcome == Outcome::Nothing {
                    // A plan that the schema has overtaken is among what is refused.
                    for statement in &statements {
                        self.cache.forget(statement);
                    }
                }
                outcome
            }
            None => Outcome::Known,
        }
    }
}

/// What the steps gave, and when each was done.
///
/// A statement is sent when its future is first polled. All are first polled in one go and in their order, so nothing comes between them.
async fn in_order(mut steps: Vec<Step<'_>>) -> Vec<(Run, Instant)> {
    let mut done = vec![None; steps.len()];
    poll_fn(|context| {
        let mut open = false;
        for (step, done) in steps
            .iter_mut()
            .zip(&mut done)
            .filter(|(_, done)| done.is_none())
        {
            match step.as_mut().poll(context) {
                Poll::Ready(run) => *done = Some((run, Instant::now())),
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Known, Nothing, Unknown};
    use super::Run::{Done, Lost, Refused};
    use super::*;

    #[test]
    fn a_group_is_known_undone_or_in_doubt() {
        for (begin, rest, outcome) in [
            (Done, vec![Done, Done, Done], Known),
            (Done, vec![Done, Refused, Refused, Done], Nothing),
            (Done, vec![Done, Done, Refused], Nothing),
            (Done, vec![Refused, Lost, Lost], Nothing),
            (Done, vec![Done, Done, Lost], Unknown),
            (Lost, vec![Lost, Lost, Lost], Unknown),
            (Refused, vec![Done, Refused, Done], Known),
        ] {
            assert_eq!(Outcome::of(begin, &rest), outcome, "{begin:?} {rest:?}");
        }
    }
}
