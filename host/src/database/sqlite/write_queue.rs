//! The writes of all cores that wait for the next group.
//!
//! A caller and the thread that runs groups share the stage of a write. So a caller that stops
//! waiting knows whether its statement began, and stops no statement but its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::InterruptHandle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::connection::Conn;
use super::control::Control;
use super::error::Failure;
use super::execution::{Executed, Output};
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The writes that wait, of all cores.
#[derive(Debug, Default)]
pub(super) struct WriteQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<QueuedWrite>,
    /// Whether a thread takes the writes.
    has_thread: bool,
}

/// A write in the queue, and later in a group.
#[derive(Debug)]
pub(super) struct QueuedWrite {
    statement: Arc<Statement>,
    params: Vec<Value>,
    output: Output,
    deadline: Instant,
    stage: Arc<SharedStage>,
    /// When it was taken from the queue.
    taken: Option<Instant>,
    is_repeated: bool,
    reply: oneshot::Sender<Reply>,
    core: ReplyChannel,
}

/// Where the results for the callers of one core are sent.
pub(super) type ReplyChannel = UnboundedSender<Vec<(oneshot::Sender<Reply>, Reply)>>;

/// What a caller receives.
#[derive(Debug)]
pub(super) struct Reply {
    result: Result<Executed, Error>,
    /// When the write was taken from the queue.
    taken: Option<Instant>,
    is_repeated: bool,
}

/// What the caller and the thread know of a write. Whoever changes it holds its lock, so that a
/// caller stops its own statement and no other one.
#[derive(Debug, Default)]
struct SharedStage(Mutex<WriteStage>);

#[derive(Debug, Default)]
enum WriteStage {
    #[default]
    Waiting,
    /// Its statement runs.
    Running(Arc<Stopper>, u64),
    /// Its statement does not run now, but its group may still be committed.
    Taken,
    /// Its caller is gone.
    Abandoned,
}

/// Stops a statement on the connection of a group.
pub(super) struct Stopper {
    control: Arc<Control>,
    interrupt: InterruptHandle,
}

impl SharedStage {
    fn lock(&self) -> MutexGuard<'_, WriteStage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the write from the queue. Returns false if its caller is gone.
    fn take(&self) -> bool {
        let mut stage = self.lock();
        if matches!(&*stage, WriteStage::Abandoned) {
            return false;
        }
        *stage = WriteStage::Taken;
        true
    }

    fn is_abandoned(&self) -> bool {
        matches!(&*self.lock(), WriteStage::Abandoned)
    }

    /// Gives the write up if it still waits. Returns whether it does, so that it never runs.
    fn give_up_waiting(&self) -> bool {
        let mut stage = self.lock();
        let is_waiting = matches!(&*stage, WriteStage::Waiting);
        if is_waiting {
            *stage = WriteStage::Abandoned;
        }
        is_waiting
    }

    /// Interrupts its statement if it runs.
    fn interrupt(&self) {
        if let WriteStage::Running(stopper, run) = &*self.lock() {
            stopper.control.stop(*run);
            // SQLite does not call the progress handler within one long instruction.
            stopper.interrupt.interrupt();
        }
    }

    /// Stops its statement, because nobody waits for it any more.
    fn abandon(&self) {
        let mut stage = self.lock();
        if let WriteStage::Running(stopper, run) = &*stage {
            stopper.control.stop(*run);
        }
        *stage = WriteStage::Abandoned;
    }
}

/// A caller's wait for the result of its write. Dropping it abandons the write.
pub(super) struct Wait {
    stage: Arc<SharedStage>,
    reply: oneshot::Receiver<Reply>,
}

impl Wait {
    /// Waits for the result: until `begins_by` for the statement to begin, and until the deadline
    /// for its end.
    pub(super) async fn result(
        mut self,
        begins_by: Instant,
        budget: &Budget,
    ) -> Result<Executed, Error> {
        let begun = tokio::time::timeout_at(begins_by.into(), &mut self.reply);
        let mut replied = begun.await.ok();
        if replied.is_none() {
            if self.stage.give_up_waiting() {
                budget.waited_since(budget.began);
                return Err(Error::Overloaded);
            }
            replied = budget.race(&mut self.reply).await;
        }
        let replied = if let Some(replied) = replied {
            replied
        } else {
            self.stage.interrupt();
            // A statement that ended in time has an effect.
            (&mut self.reply).await
        };
        match replied {
            Ok(reply) => {
                if let Some(taken) = reply.taken {
                    budget.waited_for(taken.saturating_duration_since(budget.began));
                }
                if reply.is_repeated {
                    budget.retried();
                }
                reply.result
            }
            Err(_) if self.stage.give_up_waiting() => Err(failure::unavailable(
                "the thread that writes ended before the statement began",
            )),
            Err(_) => Err(Error::InDoubt),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.stage.abandon();
    }
}

impl WriteQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a write. Returns whether a thread has to be started for it.
    pub(super) fn push(&self, write: QueuedWrite) -> bool {
        let mut queue = self.lock();
        queue.waiting.push_back(write);
        !std::mem::replace(&mut queue.has_thread, true)
    }

    /// Whether a write waits. Removes those whose callers are gone.
    pub(super) fn has_waiting(&self) -> bool {
        let mut queue = self.lock();
        queue.waiting.retain(|write| !write.stage.is_abandoned());
        !queue.waiting.is_empty()
    }

    /// Takes the writes for the next group, the oldest first.
    pub(super) fn take(&self, at_most: usize) -> Vec<QueuedWrite> {
        let now = Instant::now();
        let mut queue = self.lock();
        let mut group = Vec::with_capacity(queue.waiting.len().min(at_most));
        while group.len() < at_most
            && let Some(mut write) = queue.waiting.pop_front()
        {
            if write.stage.take() {
                write.taken = Some(now);
                group.push(write);
            }
        }
        group
    }

    /// Refuses all writes that wait.
    pub(super) fn refuse(&self, error: &Error) -> Vec<Replied> {
        let refused = self.take(usize::MAX).into_iter();
        refused
            .map(|write| write.reply(Err(error.clone())))
            .collect()
    }

    /// Gives up the writes that wait, which have not begun, and ends the thread.
    pub(super) fn give_up(&self) {
        let mut queue = self.lock();
        queue.has_thread = false;
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        drop(waiting);
    }

    /// Ends the thread if nothing waits. Returns whether it ends.
    pub(super) fn end_thread(&self) -> bool {
        let mut queue = self.lock();
        queue.has_thread = !queue.waiting.is_empty();
        !queue.has_thread
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}

impl Stopper {
    pub(super) fn new(conn: &Conn) -> Arc<Self> {
        Arc::new(Self {
            control: Arc::clone(conn.control()),
            interrupt: conn.interrupt_handle(),
        })
    }
}

impl QueuedWrite {
    /// A write for the queue, and the wait for its result.
    pub(super) fn new(
        statement: &Arc<Statement>,
        params: &[Value],
        output: Output,
        budget: &Budget,
        core: ReplyChannel,
    ) -> (Self, Wait) {
        let (sender, receiver) = oneshot::channel();
        let stage = Arc::new(SharedStage::default());
        let wait = Wait {
            stage: Arc::clone(&stage),
            reply: receiver,
        };
        let this = Self {
            statement: Arc::clone(statement),
            params: params.to_vec(),
            output,
            deadline: budget.deadline,
            stage,
            taken: None,
            is_repeated: false,
            reply: sender,
            core,
        };
        (this, wait)
    }

    pub(super) fn reply(self, result: Result<Executed, Error>) -> Replied {
        let reply = Reply {
            result,
            taken: self.taken,
            is_repeated: self.is_repeated,
        };
        Replied {
            core: self.core,
            reply: (self.reply, reply),
        }
    }

    /// Runs the statement until its deadline or that of its group, unless its caller is gone.
    pub(super) fn run(
        &self,
        conn: &Conn,
        stopper: &Arc<Stopper>,
        limit: Option<Instant>,
    ) -> Result<Executed, Failure> {
        {
            let mut stage = self.stage.lock();
            if matches!(&*stage, WriteStage::Abandoned) {
                return Err(Failure::Interrupted);
            }
            let deadline = limit.map_or(self.deadline, |limit| limit.min(self.deadline));
            let run = conn.control().start_on_worker(deadline);
            *stage = WriteStage::Running(Arc::clone(stopper), run);
        }
        let executed = conn.limit_values(false).and_then(|()| {
            let (params, output) = (&self.params, &self.output);
            conn.execute(&self.statement, params, output, Instant::now())
        });
        let mut stage = self.stage.lock();
        if matches!(&*stage, WriteStage::Running(..)) {
            *stage = WriteStage::Taken;
        }
        executed
    }

    /// Runs the statement in the open transaction and commits that.
    pub(super) fn run_and_commit(self, conn: &Conn, stopper: &Arc<Stopper>) -> Replied {
        let executed = self.run(conn, stopper, None);
        let executed = executed.and_then(|executed| conn.commit().map(|()| executed));
        let result = executed.map_err(|failure| failure.outside_transaction(true));
        self.reply(result)
    }

    /// Runs the statement again, as its own transaction.
    pub(super) fn run_alone(mut self, conn: &Conn, stopper: &Arc<Stopper>) -> Replied {
        self.is_repeated = true;
        let executed = conn.retry_while_busy(|conn| self.run(conn, stopper, None));
        let result = executed.map_err(|failure| failure.outside_transaction(true));
        self.reply(result)
    }
}

/// A result that is not sent yet.
pub(super) struct Replied {
    core: ReplyChannel,
    reply: (oneshot::Sender<Reply>, Reply),
}

impl Replied {
    /// Sends results, those of one core together: each time that another thread wakes a core is a
    /// system call.
    pub(super) fn send_all(replies: Vec<Self>) {
        let mut cores: Vec<(ReplyChannel, Vec<_>)> = Vec::new();
        for Self { core, reply } in replies {
            match cores
                .iter_mut()
                .find(|(other, _)| other.same_channel(&core))
            {
                Some((_, batch)) => batch.push(reply),
                None => cores.push((core, vec![reply])),
            }
        }
        for (core, batch) in cores {
            if batch.len() == 1 {
                pass_on(batch);
            } else if let Err(unsent) = core.send(batch) {
                // The runtime that passed them on has ended.
                pass_on(unsent.0);
            }
        }
    }
}

fn pass_on(batch: Vec<(oneshot::Sender<Reply>, Reply)>) {
    for (caller, reply) in batch {
        // The caller may be gone.
        drop(caller.send(reply));
    }
}

/// The channel for the callers of a core, whose runtime this is called on.
pub(super) fn reply_channel() -> ReplyChannel {
    let (sender, mut receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(batch) = receiver.recv().await {
            pass_on(batch);
        }
    });
    sender
}
