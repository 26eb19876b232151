//! Admission control of one core: which requests are in flight, and which wait for a permit.
//!
//! Each request in flight has an instance, and the memory of many instances does not fit into a
//! processor's caches. So at most [`MAX_SHORT`] requests are in flight while they are short. A
//! request in flight for [`OVERDUE_AFTER`] is overdue: it probably waits for something slow, so it
//! counts only towards the limit on all requests in flight. Permits are granted in the order of
//! arrival; a request whose deadline passes first gets none.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::processor;
use crate::telemetry::Counters;

/// How long a request counts as short. [`MAX_SHORT`] requests in this time are more than ten
/// thousand a second, so one core stays busy even if its database is some milliseconds away.
const OVERDUE_AFTER: Duration = Duration::from_millis(3);

/// Short requests in flight at once. Measured: `docs/performance.md`, Growth.
const MAX_SHORT: usize = 32;

/// The permits of one core.
#[derive(Debug)]
pub(super) struct Admission {
    max_in_flight: usize,
    state: Mutex<State>,
    idle: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    /// How many of those in flight count as short.
    short: usize,
    /// Permits in the order of their grant, from the oldest that is neither exempt nor ended.
    granted: VecDeque<Granted>,
    /// The number of the first of `granted`.
    first_number: u64,
    waiters: VecDeque<Waiter>,
    /// Whether [`Admission::watch`] runs.
    is_watched: bool,
}

#[derive(Debug)]
struct Granted {
    at: Instant,
    has_ended: bool,
}

#[derive(Debug)]
struct Waiter {
    deadline: Instant,
    permit: oneshot::Sender<Permit>,
}

/// The right to be in flight. When it is dropped, a waiter gets a permit.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    number: u64,
}

impl Admission {
    /// At most `max_in_flight` permits at once, overdue requests included.
    pub(super) fn new(max_in_flight: usize, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            max_in_flight,
            state: Mutex::default(),
            idle: Notify::new(),
            counters,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit, if no request waits and the limits allow one more.
    pub(super) fn try_acquire(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let mut state = self.state();
        if !state.waiters.is_empty() {
            return None;
        }
        let number = state.grant(self.max_in_flight, now)?;
        self.counters.set_in_flight(state.in_flight);
        Some(self.permit(number))
    }

    /// Waits for a permit until `deadline`. A request that starts later would only take time from
    /// requests that can still be served.
    pub(super) async fn acquire(self: &Arc<Self>, deadline: Instant) -> Option<Permit> {
        let _waiting = self.counters.wait();
        let (permit, granted) = oneshot::channel();
        let is_watched = {
            let mut state = self.state();
            state.waiters.push_back(Waiter { deadline, permit });
            std::mem::replace(&mut state.is_watched, true)
        };
        if !is_watched {
            tokio::spawn(Arc::clone(self).watch());
        }
        let permit = granted.await.ok()?;
        (Instant::now() < deadline).then_some(permit)
    }

    /// Waits until no request is in flight and none waits for a permit.
    pub(super) async fn wait_until_idle(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.state().is_idle() {
                return;
            }
            idle.await;
        }
    }

    fn permit(self: &Arc<Self>, number: u64) -> Permit {
        Permit {
            admission: Arc::clone(self),
            number,
        }
    }

    /// Grants permits to waiters as far as the limits allow.
    fn grant_waiters(self: &Arc<Self>, now: Instant) {
        loop {
            let (number, waiter) = {
                let mut state = self.state();
                // The clients of closed channels have disconnected.
                while state
                    .waiters
                    .front()
                    .is_some_and(|waiter| waiter.permit.is_closed())
                {
                    state.waiters.pop_front();
                }
                if state.waiters.is_empty() {
                    return;
                }
                let Some(number) = state.grant(self.max_in_flight, now) else {
                    return;
                };
                let Some(waiter) = state.waiters.pop_front() else {
                    return;
                };
                self.counters.set_in_flight(state.in_flight);
                (number, waiter)
            };
            // Without the lock: a permit that cannot be sent is dropped here, which takes the lock.
            drop(waiter.permit.send(self.permit(number)));
        }
    }

    /// Runs while requests wait: removes expired waiters, and grants the permits that become
    /// available when requests in flight become overdue.
    async fn watch(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let expired = self.state().expired(now);
            drop(expired);
            self.grant_waiters(now);
            if self.state().is_saturated(self.max_in_flight) {
                processor::evict();
            }
            let next = {
                let mut state = self.state();
                let Some(waiter) = state.waiters.front() else {
                    state.is_watched = false;
                    if state.is_idle() {
                        self.idle.notify_waiters();
                    }
                    return;
                };
                waiter.deadline.min(now + OVERDUE_AFTER)
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiters.is_empty()
    }

    /// Whether a request waits although those in flight become overdue.
    fn is_saturated(&self, max_in_flight: usize) -> bool {
        self.in_flight >= max_in_flight && !self.waiters.is_empty()
    }

    /// Counts a permit and returns its number, if the limits allow it.
    fn grant(&mut self, max_in_flight: usize, now: Instant) -> Option<u64> {
        if self.in_flight >= max_in_flight {
            return None;
        }
        if self.short >= MAX_SHORT {
            self.exempt_overdue(now);
            if self.short >= MAX_SHORT {
                return None;
            }
        }
        let number = self.first_number + self.granted.len() as u64;
        self.granted.push_back(Granted {
            at: now,
            has_ended: false,
        });
        self.in_flight += 1;
        self.short += 1;
        Some(number)
    }

    /// Exempts overdue requests from the limit on short ones.
    fn exempt_overdue(&mut self, now: Instant) {
        while let Some(oldest) = self.granted.front()
            && (oldest.has_ended || oldest.at + OVERDUE_AFTER <= now)
        {
            self.short -= usize::from(!oldest.has_ended);
            self.granted.pop_front();
            self.first_number += 1;
        }
    }

    fn end(&mut self, number: u64) {
        self.in_flight -= 1;
        let index = number
            .checked_sub(self.first_number)
            .and_then(|index| usize::try_from(index).ok());
        // An exempt request is no longer in the list.
        let Some(granted) = index.and_then(|index| self.granted.get_mut(index)) else {
            return;
        };
        granted.has_ended = true;
        self.short -= 1;
        while self.granted.front().is_some_and(|oldest| oldest.has_ended) {
            self.granted.pop_front();
            self.first_number += 1;
        }
    }

    /// Removes and returns the waiters whose deadline has passed.
    fn expired(&mut self, now: Instant) -> Vec<Waiter> {
        let expired = self
            .waiters
            .iter()
            .take_while(|waiter| waiter.deadline <= now)
            .count();
        self.waiters.drain(..expired).collect()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (has_waiters, mut is_idle) = {
            let mut state = self.admission.state();
            state.end(self.number);
            self.admission.counters.set_in_flight(state.in_flight);
            (!state.waiters.is_empty(), state.is_idle())
        };
        if has_waiters {
            self.admission.grant_waiters(Instant::now());
            // All waiters may have disconnected.
            is_idle = self.admission.state().is_idle();
        }
        if is_idle {
            self.admission.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_core<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be built")
            .block_on(test)
    }

    fn take(admission: &Arc<Admission>, count: usize, now: Instant) -> Vec<Permit> {
        let permits: Vec<_> = (0..count)
            .map_while(|_| admission.try_acquire(now))
            .collect();
        assert_eq!(permits.len(), count);
        permits
    }

    const LONG: Duration = Duration::from_mins(1);
    const BRIEF: Duration = Duration::from_millis(20);

    #[test]
    fn admission_beyond_short_limit_waits_until_requests_are_overdue() {
        on_a_core(async {
            let admission = Admission::new(MAX_SHORT + 2, Arc::default());
            let began = Instant::now();
            let mut permits = take(&admission, MAX_SHORT, began);
            assert!(admission.try_acquire(began).is_none(), "one too many");
            permits.extend(admission.acquire(began + LONG).await);
            assert!(
                began.elapsed() >= OVERDUE_AFTER,
                "granted before others were overdue"
            );
            permits.extend(admission.acquire(began + LONG).await);
            assert_eq!(permits.len(), MAX_SHORT + 2);
            let deadline = Instant::now() + BRIEF;
            assert!(
                admission.acquire(deadline).await.is_none(),
                "granted beyond the limit on all requests"
            );
            assert!(Instant::now() >= deadline);
            drop(permits);
            admission.wait_until_idle().await;
            take(&admission, MAX_SHORT, began);
        });
    }

    #[test]
    fn permit_that_ends_is_granted_in_order_of_arrival() {
        on_a_core(async {
            let admission = Admission::new(1, Arc::default());
            let now = Instant::now();
            let permits = take(&admission, 1, now);
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut waiting = tokio::task::JoinSet::new();
            for number in 0..3 {
                let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
                waiting.spawn(async move {
                    let permit = admission.acquire(now + LONG).await;
                    order.lock().expect("no thread panics").push(number);
                    permit.is_some()
                });
                tokio::task::yield_now().await;
            }
            assert!(admission.try_acquire(now).is_none());
            drop(permits);
            assert!(waiting.join_all().await.into_iter().all(|granted| granted));
            assert_eq!(*order.lock().expect("no thread panics"), [0, 1, 2]);
        });
    }

    #[test]
    fn waiter_that_is_dropped_takes_no_permit() {
        on_a_core(async {
            let admission = Admission::new(1, Arc::default());
            let now = Instant::now();
            let permits = take(&admission, 1, now);
            for _ in 0..3 {
                let dropped = tokio::time::timeout(BRIEF, admission.acquire(now + LONG)).await;
                assert!(dropped.is_err(), "no permit has ended");
            }
            drop(permits);
            let permit = admission.acquire(now + LONG).await;
            drop(permit.expect("no request is in flight"));
            admission.wait_until_idle().await;
        });
    }

    #[test]
    fn admission_with_overdue_requests_is_idle_after_the_last_ends() {
        on_a_core(async {
            let admission = Admission::new(MAX_SHORT * 2, Arc::default());
            let now = Instant::now();
            let first = take(&admission, MAX_SHORT, now);
            let second = take(&admission, MAX_SHORT, now + OVERDUE_AFTER);
            let mut idle = pin!(admission.wait_until_idle());
            drop(first);
            assert!(tokio::time::timeout(BRIEF, idle.as_mut()).await.is_err());
            drop(second);
            idle.await;
            assert_eq!(admission.state().short, 0);
        });
    }
}
