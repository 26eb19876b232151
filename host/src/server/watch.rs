//! The heartbeats of the cores: detects a core that does not respond.
//!
//! Each core's event loop sends a heartbeat every half second. A core without one for
//! [`STUCK_AFTER`] is logged, makes the server not ready, and gets no new connections until it
//! responds. A guest cannot cause this, since it is interrupted; a blocking call in the host can.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The interval of heartbeats.
const INTERVAL: Duration = Duration::from_millis(500);

/// A core without a heartbeat for so long is stuck. A busy machine delays a thread far less.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(5);

/// The heartbeat of one core. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// The last heartbeat, in milliseconds since `began`.
    last: AtomicU64,
    is_stuck: AtomicBool,
    has_ended: AtomicBool,
}

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            last: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// Sends heartbeats. Runs on the core.
    pub(crate) async fn run(self) {
        loop {
            self.0.beat();
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Marks the core as ended, so that it needs no heartbeat.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Relaxed);
    }

    /// Whether the core was stuck at the last check.
    pub(crate) fn is_stuck(&self) -> bool {
        self.0.is_stuck.load(Relaxed)
    }
}

impl State {
    fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Relaxed));
        self.began.elapsed().saturating_sub(last)
    }

    fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    /// Checks the last heartbeat, and logs if the core has become stuck or responds again.
    fn check(&self, core: usize, stuck: Duration) {
        let age = self.age();
        let is_stuck = age >= stuck && !self.has_ended.load(Relaxed);
        match (self.is_stuck.swap(is_stuck, Relaxed), is_stuck) {
            (false, true) => tracing::error!(
                "core {core} has not responded for {age:?}: a call in it does not return, and its \
                 connections wait; restart the server if this continues"
            ),
            (true, false) => tracing::warn!("core {core} responds again"),
            _ => {}
        }
    }
}

/// Starts a thread that checks the cores, numbered by their order, until all are dropped.
///
/// # Errors
/// If the operating system refuses a thread.
pub(crate) fn watch(cores: &[Heartbeat]) -> std::io::Result<()> {
    watch_every(cores, INTERVAL, STUCK_AFTER)
}

fn watch_every(cores: &[Heartbeat], every: Duration, stuck: Duration) -> std::io::Result<()> {
    let cores: Vec<Weak<State>> = cores
        .iter()
        .map(|heartbeat| Arc::downgrade(&heartbeat.0))
        .collect();
    let watch = move || {
        loop {
            let mut is_any_left = false;
            for (core, heartbeat) in cores.iter().enumerate() {
                if let Some(heartbeat) = heartbeat.upgrade() {
                    is_any_left = true;
                    heartbeat.check(core, stuck);
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

    /// Waits until a check finds the core stuck, or not stuck.
    fn wait_until(heartbeat: &Heartbeat, is_stuck: bool) {
        let began = Instant::now();
        while heartbeat.is_stuck() != is_stuck {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "the check does not find it"
            );
            std::thread::yield_now();
        }
    }

    #[test]
    fn core_without_heartbeat_is_stuck_until_it_responds() {
        let (release, held) = mpsc::channel::<()>();
        let heartbeat = Heartbeat::new();
        let running = heartbeat.clone();
        let core = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::spawn(running.run());
                tokio::task::yield_now().await;
                // A call that blocks for a while.
                held.recv().expect("the test goes on");
                std::future::pending::<()>().await;
            });
        });
        watch_every(
            std::slice::from_ref(&heartbeat),
            Duration::from_millis(5),
            Duration::from_secs(2),
        )
        .expect("a thread");
        wait_until(&heartbeat, true);
        release.send(()).expect("it is held");
        wait_until(&heartbeat, false);
        assert!(!core.is_finished());
    }

    #[test]
    fn core_that_has_ended_is_not_stuck() {
        let heartbeat = Heartbeat::new();
        heartbeat.end();
        heartbeat.0.check(0, Duration::ZERO);
        assert!(!heartbeat.is_stuck());
    }
}
