//! Memory of a limited size, and those who wait for it.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

/// Memory of a limited size.
#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    used: AtomicUsize,
    /// The bytes that those hold who wait for more.
    waiting: Mutex<usize>,
    freed: Notify,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            waiting: Mutex::new(0),
            freed: Notify::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    /// What is used, if there is no room. Nothing is taken then.
    pub(super) fn add(&self, bytes: usize) -> Result<(), usize> {
        if bytes == 0 {
            return Ok(());
        }
        let fits = |used: usize| used.checked_add(bytes).filter(|all| *all <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, fits).map(drop)
    }

    pub(super) fn remove(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Relaxed);
            self.freed.notify_one();
        }
    }

    /// Takes `new` bytes in place of `old`, even beyond the limit.
    pub(super) fn replace(&self, old: usize, new: usize) {
        self.used.fetch_add(new.wrapping_sub(old), Relaxed);
        self.freed.notify_one();
    }

    /// Takes so many bytes more than the `held` ones, once there is room. Who waits first is woken
    /// first.
    ///
    /// # Errors
    /// What is used, if those who wait hold all of it, so that nobody would free any.
    pub(super) async fn add_when_free(&self, held: usize, bytes: usize) -> Result<(), usize> {
        let mut waiter = Waiter {
            pool: self,
            held,
            is_waiting: false,
        };
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Poll::Ready(result) = waiter.add(bytes) {
                // There may be room for the next one, too.
                self.freed.notify_one();
                return result;
            }
            freed.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for memory.
struct Waiter<'p> {
    pool: &'p Pool,
    held: usize,
    /// Whether `held` is part of the pool's `waiting`.
    is_waiting: bool,
}

impl Waiter<'_> {
    /// Takes the bytes if there is room, and gives up if there never will be.
    fn add(&mut self, bytes: usize) -> Poll<Result<(), usize>> {
        // Held meanwhile, so that of all who wait for each other one alone gives up.
        let mut waiting = self.pool.waiting();
        if !self.is_waiting {
            *waiting += self.held;
        }
        let result = self.pool.add(bytes);
        self.is_waiting = result.is_err_and(|used| *waiting < used);
        if self.is_waiting {
            return Poll::Pending;
        }
        *waiting -= self.held;
        Poll::Ready(result)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            *self.pool.waiting() -= self.held;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn waiter_gets_memory_once_there_is_room() {
        let pool = Pool::new(10);
        assert_eq!(pool.add(6), Ok(()));
        assert_eq!(pool.add(4), Ok(()));
        let mut first = Box::pin(pool.add_when_free(4, 2));
        let mut second = Box::pin(pool.add_when_free(0, 1));
        assert_eq!((&mut first).now_or_never(), None);
        assert_eq!((&mut second).now_or_never(), None);
        pool.remove(3);
        assert_eq!((&mut first).now_or_never(), Some(Ok(())));
        // Wakes the next one, since there is room for it.
        assert_eq!((&mut second).now_or_never(), Some(Ok(())));
        assert_eq!((pool.used(), *pool.waiting()), (10, 0));
    }

    #[test]
    fn of_those_who_wait_for_each_other_one_gives_up() {
        let pool = Pool::new(10);
        assert_eq!(pool.add(10), Ok(()));
        let mut waiters: Vec<_> = (0..4).map(|_| Box::pin(pool.add_when_free(2, 1))).collect();
        let mut pending = 0;
        for waiter in &mut waiters {
            pending += u32::from(waiter.now_or_never().is_none());
        }
        assert_eq!(pending, 4);
        // The last two bytes are held by one more.
        let last = pool.add_when_free(2, 1).now_or_never();
        assert_eq!(last, Some(Err(10)));
        pool.remove(2);
        let mut served = 0;
        for waiter in &mut waiters {
            served += u32::from((&mut *waiter).now_or_never() == Some(Ok(())));
        }
        assert_eq!((served, *pool.waiting()), (2, 4));
        drop(waiters);
        assert_eq!(*pool.waiting(), 0);
    }

    #[test]
    fn more_than_the_limit_is_refused_once_nobody_else_holds_any() {
        let pool = Pool::new(10);
        assert_eq!(pool.add(1), Ok(()));
        let mut waiter = Box::pin(pool.add_when_free(0, 11));
        assert_eq!((&mut waiter).now_or_never(), None);
        pool.remove(1);
        assert_eq!((&mut waiter).now_or_never(), Some(Err(0)));
        assert_eq!(pool.add_when_free(0, 11).now_or_never(), Some(Err(0)));
    }
}
