//! Whether the cores turn. Each says every half second that it does; one that has not for [`STUCK`] is named in the log, makes the
//! server not ready, and gets no new connections until it turns again.
//!
//! A guest is interrupted, and so cannot keep its core from turning. What can is a call of the host's that does not come back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often a core says that it turns.
const BEAT: Duration = Duration::from_millis(500);

/// A core that has not turned for so long is stuck. Far more than a busy machine takes to give a thread its turn.
pub(crate) const STUCK: Duration = Duration::from_secs(5);

/// The beat of one core. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Beat(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// When it last turned, in milliseconds since it began.
    last: AtomicU64,
    is_stuck: AtomicBool,
    has_ended: AtomicBool,
}

impl Beat {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            last: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// Says that the core turns for as long as it does. To be run on it.
    pub(crate) async fn keep(self) {
        loop {
            self.0.turned();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Its core has ended, and need not turn any more.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Relaxed);
    }

    /// Whether the core was stuck when it was last looked at.
    pub(crate) fn is_stuck(&self) -> bool {
        self.0.is_stuck.load(Relaxed)
    }
}

impl State {
    fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Relaxed));
        self.began.elapsed().saturating_sub(last)
    }

    fn turned(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    /// Looks whether the core turns, and says so where that has changed.
    fn look(&self, core: usize, stuck: Duration) {
        let age = self.age();
        let is_stuck = age >= stuck && !self.has_ended.load(Relaxed);
        match (self.is_stuck.swap(is_stuck, Relaxed), is_stuck) {
            (false, true) => tracing::error!(
                "core {core} has not turned for {age:?}: a call in it does not come back, and its connections wait; \
                 restart the server if it stays so"
            ),
            (true, false) => tracing::warn!("core {core} turns again"),
            _ => {}
        }
    }
}

/// Looks after the cores, in the order of their numbers, for as long as any of them is there.
///
/// # Errors
/// Where the operating system gives no thread.
pub(crate) fn watch(cores: &[Beat]) -> std::io::Result<()> {
    watch_every(cores, BEAT, STUCK)
}

fn watch_every(cores: &[Beat], every: Duration, stuck: Duration) -> std::io::Result<()> {
    let cores: Vec<Weak<State>> = cores.iter().map(|beat| Arc::downgrade(&beat.0)).collect();
    let watch = move || {
        loop {
            let mut is_any_left = false;
            for (core, beat) in cores.iter().enumerate() {
                if let Some(beat) = beat.upgrade() {
                    is_any_left = true;
                    beat.look(core, stuck);
                }
            }
            if !is_any_left {
                return;
            }
            std::thread::sleep(every);
        }
    };
    std::thread::Builder::new()
        .name("usher-watch".into())
        .spawn(watch)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Waits until the core is seen to be stuck, or not to be.
    fn wait_until(beat: &Beat, is_stuck: bool) {
        let began = Instant::now();
        while beat.is_stuck() != is_stuck {
            assert!(began.elapsed() < Duration::from_mins(1), "it is not seen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn core_that_does_not_turn_is_stuck_until_it_turns_again() {
        let (release, held) = mpsc::channel::<()>();
        let beat = Beat::new();
        let kept = beat.clone();
        let core = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::spawn(kept.keep());
                tokio::task::yield_now().await;
                // A call that does not come back for a while.
                held.recv().expect("the test goes on");
                std::future::pending::<()>().await;
            });
        });
        watch_every(
            std::slice::from_ref(&beat),
            Duration::from_millis(5),
            Duration::from_secs(2),
        )
        .expect("a thread");
        wait_until(&beat, true);
        release.send(()).expect("it is held");
        wait_until(&beat, false);
        assert!(!core.is_finished());
    }

    #[test]
    fn core_that_has_ended_is_not_stuck() {
        let beat = Beat::new();
        beat.end();
        beat.0.look(0, Duration::ZERO);
        assert!(!beat.is_stuck());
    }
}
