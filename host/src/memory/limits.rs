//! Limits on the memory that the host holds for one request, and for all requests together.
//!
//! Every object that is held has a [`Charge`], which is released when the object is dropped. A
//! charge over the request's own limit ends that request and no other. A request that needs more
//! than [`FREE`] when the limit for all is reached is refused, so requests that need little are
//! always served.
//!
//! The first [`FREE`] bytes of each request do not count towards the limit for all; the number of
//! requests bounds them. Most requests never hold more, and so never touch the counter that all
//! cores share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Semaphore;

use super::pool::Pool;

/// The bytes of a request that do not count towards the limit for all, and the unit of those that
/// do.
pub(crate) const FREE: usize = 64 << 10;

/// The memory that the host may hold for all requests together. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct HostMemory(Arc<Host>);

#[derive(Debug)]
struct Host {
    requests: Pool,
    beginnings: Pool,
    turns: Arc<Semaphore>,
}

/// The memory that the host may hold for one request. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RequestMemory(Arc<Request>);

#[derive(Debug)]
struct Request {
    limit: usize,
    used: AtomicUsize,
    /// The part of `used` that is rows of the last database call.
    rows: AtomicUsize,
    host: HostMemory,
}

/// The limit that a charge would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverLimit {
    /// The limit of the request, in bytes.
    Request(usize),
    /// The limit of all requests together, in bytes.
    Host(usize),
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(limit) => write!(
                f,
                "the host would hold more than {limit} bytes for one request (--request-memory)"
            ),
            Self::Host(limit) => write!(
                f,
                "the host holds {limit} bytes for requests, and no more (--host-memory)"
            ),
        }
    }
}

impl std::error::Error for OverLimit {}

/// Rounds down to a multiple of the unit.
pub(super) fn units(bytes: usize) -> usize {
    bytes / FREE * FREE
}

impl HostMemory {
    pub(crate) fn new(limit: usize) -> Self {
        let turns = (limit / FREE).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Host {
            requests: Pool::new(limit),
            beginnings: Pool::new(limit),
            turns: Arc::new(Semaphore::new(turns)),
        }))
    }

    /// The error where there is no room.
    pub(super) fn over(&self) -> OverLimit {
        OverLimit::Host(self.0.requests.limit())
    }

    /// What counts towards the limit.
    pub(super) fn requests(&self) -> &Pool {
        &self.0.requests
    }

    /// What has been read of bodies below [`FREE`] that are not complete.
    pub(super) fn beginnings(&self) -> &Pool {
        &self.0.beginnings
    }

    /// The units of large bodies that may be read at once.
    pub(super) fn turns(&self) -> &Arc<Semaphore> {
        &self.0.turns
    }

    fn add(&self, bytes: usize) -> Result<(), OverLimit> {
        let added = self.0.requests.add(bytes);
        added.map_err(|_| self.over())
    }

    fn remove(&self, bytes: usize) {
        self.0.requests.remove(bytes);
    }

    /// The bytes held for all requests together.
    pub(crate) fn used(&self) -> usize {
        self.0.requests.used() + self.0.beginnings.used()
    }

    /// The limits of one request.
    pub(crate) fn request(&self, limit: usize) -> RequestMemory {
        RequestMemory(Arc::new(Request {
            limit,
            used: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            host: self.clone(),
        }))
    }

    /// Charges bytes that outlive their request, such as a response until it is written.
    ///
    /// # Errors
    /// If they exceed the limit.
    pub(crate) fn hold(&self, bytes: usize) -> Result<HostCharge, OverLimit> {
        let bytes = units(bytes);
        self.add(bytes)?;
        Ok(HostCharge {
            host: self.clone(),
            bytes,
        })
    }
}

/// Bytes that count only towards the limit for all requests. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct HostCharge {
    host: HostMemory,
    bytes: usize,
}

impl Drop for HostCharge {
    fn drop(&mut self) {
        self.host.remove(self.bytes);
    }
}

impl RequestMemory {
    /// A charge of zero bytes.
    pub(crate) fn charge(&self) -> Charge {
        Charge {
            memory: self.clone(),
            bytes: 0,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// The bytes that may still be charged.
    pub(crate) fn left(&self) -> usize {
        self.0.limit.saturating_sub(self.used())
    }

    /// Charges rows that a database returns, until [`RequestMemory::release_rows`] or the end of
    /// the request.
    ///
    /// # Errors
    /// If that exceeds a limit; nothing is charged then.
    pub(crate) fn charge_rows(&self, bytes: usize) -> Result<(), OverLimit> {
        self.add(bytes)?;
        self.0.rows.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Releases the rows that were charged before: the guest has its copy of them.
    pub(crate) fn release_rows(&self) {
        if self.0.rows.load(Relaxed) > 0 {
            self.remove(self.0.rows.swap(0, Relaxed));
        }
    }

    fn add(&self, bytes: usize) -> Result<(), OverLimit> {
        let request = &*self.0;
        let fits = |used: usize| {
            used.checked_add(bytes)
                .filter(|after| *after <= request.limit)
        };
        let before = request
            .used
            .fetch_update(Relaxed, Relaxed, fits)
            .map_err(|_| OverLimit::Request(request.limit))?;
        let grown = units(before + bytes) - units(before);
        request.host.add(grown).inspect_err(|_| {
            let before = request.used.fetch_sub(bytes, Relaxed);
            // The host's charge failed. If another charge has changed the request's count since,
            // the units to take back may differ by one.
            let back = units(before) - units(before - bytes);
            request.host.0.requests.replace(back, grown);
        })
    }

    fn remove(&self, bytes: usize) {
        let request = &*self.0;
        let before = request.used.fetch_sub(bytes, Relaxed);
        request.host.remove(units(before) - units(before - bytes));
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Every charge holds the request, so only rows are left.
        self.host.remove(units(*self.used.get_mut()));
    }
}

/// Bytes that the host holds for a request. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: RequestMemory,
    bytes: usize,
}

impl Charge {
    /// Changes the charge to `bytes`.
    ///
    /// # Errors
    /// If that exceeds a limit; the charge is then unchanged.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), OverLimit> {
        if bytes > self.bytes {
            self.memory.add(bytes - self.bytes)?;
            self.bytes = bytes;
        }
        self.shrink(bytes);
        Ok(())
    }

    /// Reduces the charge to at most `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.memory.remove(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A charge of the same size, for a copy.
    pub(crate) fn again(&self) -> Result<Self, OverLimit> {
        let mut copy = self.memory.charge();
        copy.resize(self.bytes)?;
        Ok(copy)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charge_over_the_requests_limit_is_refused_and_changes_nothing() {
        let host = HostMemory::new(FREE * 100);
        let memory = host.request(FREE * 2);
        let mut charge = memory.charge();
        assert_eq!(charge.resize(FREE * 2), Ok(()));
        let mut more = memory.charge();
        assert_eq!(more.resize(1), Err(OverLimit::Request(FREE * 2)));
        assert_eq!((memory.used(), memory.left()), (FREE * 2, 0));
        drop((charge, more));
        assert_eq!((memory.used(), host.used()), (0, 0));
    }

    #[test]
    fn rows_are_charged_until_the_next_call_or_the_end_of_the_request() {
        let host = HostMemory::new(FREE * 4);
        let memory = host.request(FREE * 3);
        let late = memory.clone();
        assert_eq!(memory.charge_rows(FREE * 2), Ok(()));
        assert_eq!((memory.left(), host.used()), (FREE, FREE * 2));
        assert_eq!(
            memory.charge_rows(FREE * 2),
            Err(OverLimit::Request(FREE * 3))
        );
        memory.release_rows();
        assert_eq!((memory.left(), host.used()), (FREE * 3, 0));
        memory.release_rows();
        let other = host.request(FREE * 9);
        assert_eq!(other.charge_rows(FREE * 3), Ok(()));
        assert_eq!(memory.charge_rows(FREE * 2), Err(OverLimit::Host(FREE * 4)));
        assert_eq!(late.charge_rows(FREE), Ok(()));
        drop((memory, late, other));
        assert_eq!(host.used(), 0);
    }

    #[test]
    fn host_counts_whole_units_of_each_request_and_no_request_below_one() {
        let host = HostMemory::new(FREE * 2);
        let many: Vec<_> = (0..100)
            .map(|_| {
                let mut charge = host.request(FREE * 9).charge();
                assert_eq!(charge.resize(FREE - 1), Ok(()));
                charge
            })
            .collect();
        assert_eq!(host.used(), 0);
        let memory = host.request(FREE * 9);
        let mut charge = memory.charge();
        assert_eq!(charge.resize(FREE * 3 - 1), Ok(()));
        assert_eq!(host.used(), FREE * 2);
        assert_eq!(charge.resize(FREE * 3), Err(OverLimit::Host(FREE * 2)));
        assert_eq!((memory.used(), host.used()), (FREE * 3 - 1, FREE * 2));
        assert!(host.hold(FREE).is_err());
        assert!(host.hold(FREE - 1).is_ok());
        assert_eq!(charge.resize(FREE), Ok(()));
        let held = host.hold(FREE);
        assert!(held.is_ok());
        drop((many, charge, held));
        assert_eq!(host.used(), 0);
    }

    #[test]
    fn charge_that_grows_and_shrinks_in_odd_steps_is_fully_released() {
        let host = HostMemory::new(usize::MAX);
        let memory = host.request(usize::MAX / 2);
        let mut charges: Vec<_> = (0..7).map(|_| memory.charge()).collect();
        for step in 0..1000_usize {
            let charge = &mut charges[step % 7];
            assert_eq!(charge.resize(step * 7919 % (FREE * 3)), Ok(()));
            let copy = charge.again().expect("there is room");
            assert_eq!(copy.bytes(), charge.bytes());
        }
        assert_eq!(host.used(), units(memory.used()));
        drop(charges);
        assert_eq!((memory.used(), host.used()), (0, 0));
    }
}
