//! Drops large instances on a thread of their own.
//!
//! The system takes up to 7 ms to unmap 64 MiB, in which the thread of a core would serve nobody.
//! Meanwhile the request has ended and another one may take its permit, so the engine has room for
//! [`SLOTS`] instances more than there are permits. If all are in use, the instance is dropped at
//! once.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many instances are dropped at once beside those in use.
pub(super) const SLOTS: u32 = 4;

static IN_USE: AtomicU32 = AtomicU32::new(0);

/// One of [`SLOTS`].
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let more = |used: u32| (used < SLOTS).then_some(used + 1);
        let taken = IN_USE.fetch_update(Relaxed, Relaxed, more);
        taken.is_ok().then_some(Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Relaxed);
    }
}

/// Drops a value on another thread, or here if too many are dropped already.
pub(super) fn drop_on_another_thread<T: Send + 'static>(value: T) {
    if let Some(slot) = Slot::take()
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn_blocking(move || {
            drop(value);
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Sends the thread on which it is dropped, once it may be.
    struct Value(mpsc::Sender<ThreadId>, Option<mpsc::Receiver<()>>);

    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(may) = &self.1 {
                let _ = may.recv();
            }
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn as_many_as_there_are_slots_are_dropped_on_other_threads() {
        let (dropped, on) = mpsc::channel();
        let mut wait = Vec::new();
        for _ in 0..SLOTS {
            let (go, may) = mpsc::channel();
            wait.push(go);
            drop_on_another_thread(Value(dropped.clone(), Some(may)));
        }
        let here = thread::current().id();
        drop_on_another_thread(Value(dropped.clone(), None));
        assert_eq!(on.recv(), Ok(here));
        drop(wait);
        for _ in 0..SLOTS {
            assert_ne!(on.recv(), Ok(here));
        }
    }
}
