//! The memory of a request's body while it is read: back-pressure in place of a refusal.
//!
//! A body for which there is no room is not read any further until there is, so that its client
//! waits. It holds what has been read meanwhile, and many such bodies could wait for each other. So
//! large bodies of a declared length take turns: as many as fit are read at once, in the order of
//! their arrival. A client that sends nothing would keep its turn, so the others wait for theirs at
//! most [`TURN_TIMEOUT`] and then take what is free. If all memory is held by bodies that wait, one
//! of them is refused, and the others go on.
//!
//! Bodies below [`FREE`] do not count towards the limit for all requests, but there may be as many
//! as streams on all connections. So what has been read of incomplete ones has the same limit once
//! more.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::limits::{FREE, HostMemory, OverLimit, units};
use super::pool::Pool;

/// How long a large body waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// The memory of one body. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    host: HostMemory,
    /// The length that the client has declared, or less.
    expected: u64,
    may_wait: bool,
    has_waited: bool,
    turn: Option<OwnedSemaphorePermit>,
    /// Of the limit on beginnings.
    beginning: usize,
    /// Of the limit on requests.
    counted: usize,
}

impl BodyMemory {
    /// No memory yet, for a body of at least `expected` bytes. If it may not wait, it is refused at
    /// once where there is no room.
    pub(crate) fn new(host: &HostMemory, expected: u64, may_wait: bool) -> Self {
        Self {
            host: host.clone(),
            expected,
            may_wait,
            has_waited: false,
            turn: None,
            beginning: 0,
            counted: 0,
        }
    }

    /// Why the body was not read in time, if it has waited for memory.
    pub(crate) fn has_waited(&self) -> Option<OverLimit> {
        self.has_waited.then(|| self.host.over())
    }

    /// Takes memory for `length` bytes in all, and waits for it if need be.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn grow(&mut self, length: usize) -> Result<(), OverLimit> {
        self.grow_after(length, TURN_TIMEOUT).await
    }

    /// As [`Self::grow`], with this time for a turn.
    async fn grow_after(&mut self, length: usize, turn: Duration) -> Result<(), OverLimit> {
        let host = self.host.clone();
        if length < FREE {
            self.add(host.beginnings(), self.beginning, length - self.beginning)
                .await?;
            self.beginning = length;
            return Ok(());
        }
        if self.counted == 0 {
            self.wait_for_turn(length, turn).await;
        }
        let more = units(length) - self.counted;
        self.add(host.requests(), self.counted, more).await?;
        self.counted += more;
        self.release_beginning();
        Ok(())
    }

    async fn add(&mut self, pool: &Pool, held: usize, bytes: usize) -> Result<(), OverLimit> {
        if pool.add(bytes).is_ok() {
            return Ok(());
        }
        if !self.may_wait {
            return Err(self.host.over());
        }
        self.has_waited = true;
        // Boxed, so that a body that need not wait takes less memory.
        let added = Box::pin(pool.add_when_free(held, bytes)).await;
        added.map_err(|_| self.host.over())
    }

    async fn wait_for_turn(&mut self, length: usize, time: Duration) {
        let turns = self.host.turns();
        let expected = usize::try_from(self.expected).unwrap_or(usize::MAX);
        let most = self.host.requests().limit() / FREE;
        let needed = (expected.max(length) / FREE).min(most);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        self.turn = turns.clone().try_acquire_many_owned(needed).ok();
        if self.turn.is_none() && self.may_wait {
            self.has_waited = true;
            let turn = turns.clone().acquire_many_owned(needed);
            let turn = Box::pin(timeout(time, turn)).await;
            self.turn = turn.ok().and_then(Result::ok);
        }
    }

    fn release_beginning(&mut self) {
        let beginning = std::mem::take(&mut self.beginning);
        self.host.beginnings().remove(beginning);
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.release_beginning();
        self.host.requests().remove(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A body of this length, of which so much has been read.
    fn body(host: &HostMemory, expected: usize, read: usize) -> BodyMemory {
        let mut body = BodyMemory::new(host, expected as u64, true);
        let grown = body.grow(read).now_or_never();
        assert_eq!(grown, Some(Ok(())));
        body
    }

    #[tokio::test]
    async fn large_body_waits_until_it_fits_beside_those_before_it() {
        let host = HostMemory::new(FREE * 4);
        let first = body(&host, FREE * 3, FREE);
        let mut second = BodyMemory::new(&host, FREE as u64 * 2, true);
        let mut grown = Box::pin(second.grow(FREE));
        assert_eq!((&mut grown).now_or_never(), None);
        // There is room for one that is smaller, but it comes later.
        let mut third = BodyMemory::new(&host, FREE as u64, true);
        assert_eq!(third.grow(FREE).now_or_never(), None);
        assert_eq!(host.used(), FREE);
        drop(first);
        assert_eq!((&mut grown).now_or_never(), Some(Ok(())));
        drop(grown);
        assert_eq!(second.has_waited(), Some(OverLimit::Host(FREE * 4)));
        drop((second, third));
        assert_eq!(host.used(), 0);
    }

    #[tokio::test]
    async fn client_that_sends_nothing_holds_up_others_for_a_while_only() {
        let host = HostMemory::new(FREE * 4);
        let _idle = body(&host, FREE * 4, FREE);
        let mut second = BodyMemory::new(&host, FREE as u64 * 4, true);
        let turn = Duration::from_millis(10);
        assert_eq!(second.grow_after(FREE * 3, turn).await, Ok(()));
        assert_eq!(host.used(), FREE * 4);
    }

    #[tokio::test]
    async fn body_of_unknown_length_waits_for_room_and_one_that_may_not_wait_is_refused() {
        let host = HostMemory::new(FREE * 3);
        let first = body(&host, 0, FREE * 2);
        let mut second = body(&host, 0, FREE);
        let mut third = BodyMemory::new(&host, 0, false);
        let over = OverLimit::Host(FREE * 3);
        assert_eq!(third.grow(FREE).now_or_never(), Some(Err(over)));
        assert_eq!(third.has_waited(), None);
        let mut grown = Box::pin(second.grow(FREE * 2));
        assert_eq!((&mut grown).now_or_never(), None);
        drop(first);
        assert_eq!(grown.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn incomplete_small_bodies_have_a_limit_of_their_own() {
        let host = HostMemory::new(FREE);
        let _large = body(&host, 0, FREE);
        let small = body(&host, 0, FREE / 2);
        let mut other = body(&host, 0, FREE / 2);
        assert_eq!(host.used(), FREE * 2);
        assert_eq!(other.grow(FREE / 2 + 1).now_or_never(), None);
        drop(small);
        assert_eq!(other.grow(FREE / 2 + 1).now_or_never(), Some(Ok(())));
        drop(other);
        assert_eq!(host.used(), FREE);
    }
}
