//! The threads on which statements run that may take long.
//!
//! A statement that reads for longer than [`LONG`] goes on at a lower priority, so that it takes
//! processor time from short requests only while nothing else wants it. An unprivileged thread
//! cannot raise its priority again, so a lowered thread ends with its work, which a thread of the
//! runtime cannot. If the system refuses a thread, its work is dropped, and the caller receives an
//! error.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

/// How long a statement reads before its thread has a lower priority.
pub(super) const LONG: Duration = Duration::from_millis(10);

/// The nice value of a thread with a long statement: a tenth of the weight of others.
const NICE: i32 = 10;

/// How long a thread without work is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce(&Worker) + Send>;

/// The threads without work, by number; the last one to finish is the first to be used.
static IDLE: Mutex<Vec<(u64, Sender<Work>)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PRIORITY: Cell<Priority> = const { Cell::new(Priority::Fixed) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Priority {
    /// The thread is not one of these.
    Fixed,
    Normal,
    Lowered,
}

struct Worker {
    number: u64,
    sender: Sender<Work>,
    receiver: Receiver<Work>,
}

/// Runs work on a thread, and returns where its output arrives.
pub(super) fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (output, receiver) = oneshot::channel();
    spawn(work, move |result| drop(output.send(result)));
    receiver
}

/// Runs work on a thread, and then passes its output to `finish`.
pub(super) fn spawn<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    finish: impl FnOnce(T) + Send + 'static,
) {
    let work: Work = Box::new(move |worker| {
        let result = work();
        // Before the output is sent, so that the next statement finds this thread.
        worker.rest();
        finish(result);
    });
    let work = match take_idle() {
        Some(worker) => match worker.send(work) {
            Ok(()) => return,
            // The thread panicked.
            Err(unsent) => unsent.0,
        },
        None => work,
    };
    let (sender, own) = channel();
    let worker = Worker {
        number: NEXT.fetch_add(1, Relaxed),
        sender,
        receiver: own,
    };
    let started = std::thread::Builder::new()
        .name("usher-sqlite".into())
        .spawn(move || worker.work(work));
    if let Err(error) = started {
        tracing::error!("the operating system refuses a thread for a statement: {error}");
    }
}

/// Lowers the priority of this thread, if it is one of these.
pub(super) fn lower_priority() {
    PRIORITY.with(|priority| {
        if priority.get() == Priority::Normal && setpriority_process(None, NICE).is_ok() {
            priority.set(Priority::Lowered);
        }
    });
}

fn idle() -> MutexGuard<'static, Vec<(u64, Sender<Work>)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_idle() -> Option<Sender<Work>> {
    idle().pop().map(|(_, worker)| worker)
}

impl Worker {
    /// Runs work until there has been none for [`KEEP_ALIVE`], or the priority is lowered.
    fn work(self, first: Work) {
        PRIORITY.set(Priority::Normal);
        let mut next = Some(first);
        while let Some(work) = next {
            work(&self);
            if PRIORITY.get() == Priority::Lowered {
                return;
            }
            next = self.wait();
        }
    }

    fn wait(&self) -> Option<Work> {
        match self.receiver.recv_timeout(KEEP_ALIVE) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let mut idle = idle();
                let before = idle.len();
                idle.retain(|(number, _)| *number != self.number);
                let is_taken = idle.len() == before;
                drop(idle);
                // Work is on its way to a thread that is no longer listed.
                if is_taken {
                    self.receiver.recv().ok()
                } else {
                    None
                }
            }
        }
    }

    fn rest(&self) {
        if PRIORITY.get() == Priority::Normal {
            idle().push((self.number, self.sender.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    fn thread() -> (std::thread::ThreadId, i32) {
        let nice = getpriority_process(None).expect("Linux tells");
        (std::thread::current().id(), nice)
    }

    #[tokio::test]
    async fn thread_with_lowered_priority_ends_with_its_work() {
        let normal = run(thread).await.expect("it runs").1;
        let lowered = run(|| {
            lower_priority();
            thread()
        });
        let lowered = lowered.await.expect("it runs");
        assert_eq!(lowered.1, normal.max(NICE));
        for _ in 0..10 {
            let next = run(thread).await.expect("it runs");
            assert_eq!(next.1, normal);
            assert_ne!(next.0, lowered.0);
        }
    }

    #[tokio::test]
    async fn priority_of_a_thread_of_the_runtime_is_not_lowered() {
        let before = thread();
        lower_priority();
        assert_eq!(thread(), before);
    }

    #[tokio::test]
    async fn work_that_panics_returns_an_error_and_others_run() {
        run(|| assert_eq!(1, 2, "as it must"))
            .await
            .expect_err("it panics");
        assert_eq!(run(|| 7).await, Ok(7));
    }
}
