//! Who may be at work on one core, and who waits for a turn.
//!
//! Each request that is at work has an instance, and what many instances touch does not fit into a processor's caches. So few are at work
//! as long as they are quick: those that have been at it for longer than [`LATE`] count no more, so that what waits for something
//! slow keeps nobody else waiting, up to a limit on all of them. Turns come in the order of arrival.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::processor;

/// After this time at work a request is no longer one of the quick. With [`QUICK`] at once that is more than ten thousand requests a
/// second on one core, which keeps it busy also where a database is some milliseconds away.
const LATE: Duration = Duration::from_millis(3);

/// Requests at work at once, as long as they are quick. Measured: `docs/performance.md`, Growth.
const QUICK: usize = 32;

/// The turns of one core.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    state: Mutex<State>,
    rest: Notify,
}

#[derive(Debug, Default)]
struct State {
    at_work: usize,
    /// Of those at work, how many have not been for long.
    quick: usize,
    /// Turns in the order in which they began, but for those that have been for long, and for what has ended at the front.
    begun: VecDeque<Begun>,
    /// The number of the first of them.
    first: u64,
    waiting: VecDeque<Waiting>,
    /// Whether somebody looks after those who wait.
    is_watched: bool,
}

#[derive(Debug)]
struct Begun {
    at: Instant,
    has_ended: bool,
}

#[derive(Debug)]
struct Waiting {
    latest: Instant,
    turn: oneshot::Sender<Turn>,
}

/// The right to be at work, given on when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    number: u64,
}

impl Turns {
    /// So many at once, however slow they are.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            state: Mutex::default(),
            rest: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn at once, where nobody waits and there is room.
    pub(super) fn at_once(self: &Arc<Self>, now: Instant) -> Option<Turn> {
        let mut state = self.state();
        if !state.waiting.is_empty() {
            return None;
        }
        let number = state.begin(self.most, now)?;
        Some(self.turn(number))
    }

    /// A turn, or none where it would come after `latest`: starting then would only take time from requests that still have some.
    pub(super) async fn wait(self: &Arc<Self>, latest: Instant) -> Option<Turn> {
        let (turn, granted) = oneshot::channel();
        let is_watched = {
            let mut state = self.state();
            state.waiting.push_back(Waiting { latest, turn });
            std::mem::replace(&mut state.is_watched, true)
        };
        if !is_watched {
            tokio::spawn(Arc::clone(self).watch());
        }
        let turn = granted.await.ok()?;
        (Instant::now() < latest).then_some(turn)
    }

    /// Waits until nobody is at work, and nobody waits to be.
    pub(super) async fn at_rest(&self) {
        loop {
            let mut rest = pin!(self.rest.notified());
            rest.as_mut().enable();
            if self.state().is_at_rest() {
                return;
            }
            rest.await;
        }
    }

    fn turn(self: &Arc<Self>, number: u64) -> Turn {
        Turn {
            turns: Arc::clone(self),
            number,
        }
    }

    /// Gives turns to those who wait, as far as there is room.
    fn grant(self: &Arc<Self>, now: Instant) {
        loop {
            let (number, waiting) = {
                let mut state = self.state();
                // Their clients have left.
                while state
                    .waiting
                    .front()
                    .is_some_and(|waiting| waiting.turn.is_closed())
                {
                    state.waiting.pop_front();
                }
                if state.waiting.is_empty() {
                    return;
                }
                let Some(number) = state.begin(self.most, now) else {
                    return;
                };
                let Some(waiting) = state.waiting.pop_front() else {
                    return;
                };
                (number, waiting)
            };
            // Without the lock: what nobody takes comes back at once.
            drop(waiting.turn.send(self.turn(number)));
        }
    }

    /// Sees to those who wait, for as long as there are any: some have waited too long, and some of those at work are late by now.
    async fn watch(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let expired = self.state().expired(now);
            drop(expired);
            self.grant(now);
            if self.state().lacks_room(self.most) {
                processor::evict();
            }
            let next = {
                let mut state = self.state();
                let Some(waiting) = state.waiting.front() else {
                    state.is_watched = false;
                    if state.is_at_rest() {
                        self.rest.notify_waiters();
                    }
                    return;
                };
                waiting.latest.min(now + LATE)
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

impl State {
    fn is_at_rest(&self) -> bool {
        self.at_work == 0 && self.waiting.is_empty()
    }

    /// Whether somebody waits for one of those at work to end, however long they have been.
    fn lacks_room(&self, most: usize) -> bool {
        self.at_work >= most && !self.waiting.is_empty()
    }

    /// Begins a turn, if there is room for one more, and gives its number.
    fn begin(&mut self, most: usize, now: Instant) -> Option<u64> {
        if self.at_work >= most {
            return None;
        }
        if self.quick >= QUICK {
            self.let_go(now);
            if self.quick >= QUICK {
                return None;
            }
        }
        let number = self.first + self.begun.len() as u64;
        self.begun.push_back(Begun {
            at: now,
            has_ended: false,
        });
        self.at_work += 1;
        self.quick += 1;
        Some(number)
    }

    /// Counts those no more that are late.
    fn let_go(&mut self, now: Instant) {
        while let Some(oldest) = self.begun.front()
            && (oldest.has_ended || oldest.at + LATE <= now)
        {
            self.quick -= usize::from(!oldest.has_ended);
            self.begun.pop_front();
            self.first += 1;
        }
    }

    fn end(&mut self, number: u64) {
        self.at_work -= 1;
        let place = number
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        // One that was late is not among them any more.
        let Some(begun) = place.and_then(|place| self.begun.get_mut(place)) else {
            return;
        };
        begun.has_ended = true;
        self.quick -= 1;
        while self.begun.front().is_some_and(|oldest| oldest.has_ended) {
            self.begun.pop_front();
            self.first += 1;
        }
    }

    /// Those who have waited too long.
    fn expired(&mut self, now: Instant) -> Vec<Waiting> {
        let expired = self
            .waiting
            .iter()
            .take_while(|waiting| waiting.latest <= now)
            .count();
        self.waiting.drain(..expired).collect()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (somebody_waits, mut is_at_rest) = {
            let mut state = self.turns.state();
            state.end(self.number);
            (!state.waiting.is_empty(), state.is_at_rest())
        };
        if somebody_waits {
            self.turns.grant(Instant::now());
            // They may all have left.
            is_at_rest = self.turns.state().is_at_rest();
        }
        if is_at_rest {
            self.turns.rest.notify_waiters();
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
            .expect("a runtime can be made")
            .block_on(test)
    }

    fn take(turns: &Arc<Turns>, count: usize, now: Instant) -> Vec<Turn> {
        let taken: Vec<_> = (0..count).map_while(|_| turns.at_once(now)).collect();
        assert_eq!(taken.len(), count);
        taken
    }

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn few_are_at_work_while_they_are_quick_and_others_join_those_that_are_slow() {
        on_a_core(async {
            let turns = Turns::new(QUICK + 2);
            let began = Instant::now();
            let mut taken = take(&turns, QUICK, began);
            assert!(turns.at_once(began).is_none(), "one too many");
            taken.extend(turns.wait(began + LONG).await);
            assert!(began.elapsed() >= LATE, "it waited until others were late");
            taken.extend(turns.wait(began + LONG).await);
            assert_eq!(taken.len(), QUICK + 2);
            let latest = Instant::now() + SHORT;
            assert!(turns.wait(latest).await.is_none(), "that would be too many");
            assert!(Instant::now() >= latest);
            drop(taken);
            turns.at_rest().await;
            take(&turns, QUICK, began);
        });
    }

    #[test]
    fn a_turn_that_ends_is_given_to_who_came_first() {
        on_a_core(async {
            let turns = Turns::new(1);
            let now = Instant::now();
            let taken = take(&turns, 1, now);
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut waiting = tokio::task::JoinSet::new();
            for number in 0..3 {
                let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
                waiting.spawn(async move {
                    let turn = turns.wait(now + LONG).await;
                    order.lock().expect("nobody panics").push(number);
                    turn.is_some()
                });
                tokio::task::yield_now().await;
            }
            assert!(turns.at_once(now).is_none());
            drop(taken);
            assert!(waiting.join_all().await.into_iter().all(|got| got));
            assert_eq!(*order.lock().expect("nobody panics"), [0, 1, 2]);
        });
    }

    #[test]
    fn who_leaves_while_waiting_takes_no_turn_along() {
        on_a_core(async {
            let turns = Turns::new(1);
            let now = Instant::now();
            let taken = take(&turns, 1, now);
            for _ in 0..3 {
                let left = tokio::time::timeout(SHORT, turns.wait(now + LONG)).await;
                assert!(left.is_err(), "nobody has ended");
            }
            drop(taken);
            drop(turns.wait(now + LONG).await.expect("nobody is at work"));
            turns.at_rest().await;
        });
    }

    #[test]
    fn rest_comes_when_the_last_has_ended_also_where_some_were_late() {
        on_a_core(async {
            let turns = Turns::new(QUICK * 2);
            let now = Instant::now();
            let first = take(&turns, QUICK, now);
            let second = take(&turns, QUICK, now + LATE);
            let mut rest = pin!(turns.at_rest());
            drop(first);
            assert!(tokio::time::timeout(SHORT, rest.as_mut()).await.is_err());
            drop(second);
            rest.await;
            assert_eq!(turns.state().quick, 0);
        });
    }
}
