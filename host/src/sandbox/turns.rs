//! The order in which the guests of a core that compute for long take turns.
//!
//! Each has a turn of one tick. Between two turns the runtime runs everything else that is ready,
//! looks for events, and runs what these have made ready: so a request waits for one turn and not
//! for that of each guest, and what its tasks hand to each other does not wait at all. If nothing
//! else is ready, that takes some microseconds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How often the runtime looks for events between two turns. After the first look, what has become
/// ready wakes other tasks, which would come after the turn.
const LOOKS: u8 = 2;

/// The guests of one core that wait for a turn, in order.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    /// Who has been told that the next turn is theirs, and how many looks it is away.
    chosen: Cell<Option<(u64, u8)>>,
    next_number: Cell<u64>,
}

/// A place in the order.
#[derive(Debug)]
pub(super) struct Ticket(u64);

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            waiting: RefCell::new(VecDeque::new()),
            chosen: Cell::new(None),
            next_number: Cell::new(0),
        }
    }

    /// Ready when it is the turn of this ticket; one is given out at the first call.
    pub(super) fn poll(&self, ticket: &mut Option<Ticket>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Ticket(number)) = ticket else {
            let number = self.next_number.get();
            self.next_number.set(number + 1);
            *ticket = Some(Ticket(number));
            let waiter = (number, cx.waker().clone());
            self.waiting.borrow_mut().push_back(waiter);
            return Poll::Pending;
        };
        match self.chosen.get() {
            Some((chosen, 0)) if chosen == *number => {
                self.chosen.set(None);
                *ticket = None;
                return Poll::Ready(());
            }
            Some((chosen, looks)) if chosen == *number => {
                self.chosen.set(Some((chosen, looks - 1)));
                wake_after_a_look(cx.waker());
            }
            _ => {
                let mut waiting = self.waiting.borrow_mut();
                let waiter = waiting.iter_mut().find(|waiter| waiter.0 == *number);
                match waiter {
                    Some((_, waker)) => waker.clone_from(cx.waker()),
                    // It waits on another thread, where nobody may call it.
                    None => return Poll::Ready(()),
                }
            }
        }
        Poll::Pending
    }

    /// Chooses whose turn is the next, after a guest has run.
    pub(super) fn next(&self) {
        if self.chosen.get().is_some() {
            return;
        }
        let next = self.waiting.borrow_mut().pop_front();
        if let Some((number, waker)) = next {
            self.chosen.set(Some((number, LOOKS - 1)));
            wake_after_a_look(&waker);
        }
    }

    /// Gives a place up.
    pub(super) fn leave(&self, Ticket(number): Ticket) {
        if self.chosen.get().is_some_and(|chosen| chosen.0 == number) {
            self.chosen.set(None);
            self.next();
        } else {
            self.waiting
                .borrow_mut()
                .retain(|waiter| waiter.0 != number);
        }
    }
}

/// Wakes a task once the runtime has looked for events, which is how it treats a task that yields.
fn wake_after_a_look(waker: &Waker) {
    let yielding = pin!(tokio::task::yield_now());
    let _ = yielding.poll(&mut Context::from_waker(waker));
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// Computes for some turns, and notes each.
    async fn compute(turns: Rc<Turns>, log: Rc<RefCell<Vec<String>>>, name: &str, count: usize) {
        let mut ticket = None;
        for _ in 0..count {
            std::future::poll_fn(|cx| {
                let polled = turns.poll(&mut ticket, cx);
                turns.next();
                polled
            })
            .await;
            log.borrow_mut().push(name.to_owned());
        }
        // As a guest that has returned.
        turns.next();
    }

    fn on_a_core(test: impl Future<Output = ()> + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.expect("a runtime"), test);
    }

    #[test]
    fn guests_take_turns_in_order_until_each_is_done() {
        on_a_core(async {
            let (turns, log) = (Rc::new(Turns::new()), Rc::default());
            let spawn = |name, count| {
                let computing = compute(Rc::clone(&turns), Rc::clone(&log), name, count);
                tokio::task::spawn_local(computing)
            };
            let (a, b, c) = (spawn("a", 3), spawn("b", 1), spawn("c", 2));
            for done in [a, b, c] {
                done.await.expect("it does not panic");
            }
            assert_eq!(log.borrow().concat(), "abcaca");
        });
    }

    #[test]
    fn guest_that_leaves_gives_its_turn_to_the_next() {
        on_a_core(async {
            let (turns, log) = (Rc::new(Turns::new()), Rc::default());
            let mut leaving = None;
            std::future::poll_fn(|cx| {
                let _ = turns.poll(&mut leaving, cx);
                turns.next();
                Poll::Ready(())
            })
            .await;
            let computing = compute(Rc::clone(&turns), Rc::clone(&log), "b", 2);
            let computing = tokio::task::spawn_local(computing);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(log.borrow().is_empty(), "it is the other's turn");
            turns.leave(leaving.expect("a place"));
            computing.await.expect("it does not panic");
            assert_eq!(log.borrow().concat(), "bb");
        });
    }
}
