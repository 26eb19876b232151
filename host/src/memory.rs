//! What the host holds in memory on behalf of guests, in bytes: so much for one request, and so much for all together.
//!
//! Each thing that is held has a [`Charge`], which is given back when the thing is dropped. A request that would have the host hold
//! more than its limit is ended, and no other is. What all requests hold together is bounded as well: a request that wants more than
//! [`FREE`] where there is no room left is refused, so that those which need little are served whatever others hold.
//!
//! The first [`FREE`] bytes of a request are not counted for all together: most requests never hold more, and so never touch a counter
//! that all cores share. `--max-requests` bounds them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a request may hold without anybody's leave, and the unit in which the rest is counted for all together.
pub(crate) const FREE: usize = 64 << 10;

/// What the host may hold for all requests together. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct HostMemory(Arc<Host>);

#[derive(Debug)]
struct Host {
    limit: usize,
    used: AtomicUsize,
}

/// What the host may hold for one request. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RequestMemory(Arc<Request>);

#[derive(Debug)]
struct Request {
    limit: usize,
    used: AtomicUsize,
    host: HostMemory,
}

/// Which limit would be passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverLimit {
    /// The request's own, which is given.
    Request(usize),
    /// That of all together, which is given.
    Host(usize),
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(limit) => write!(
                f,
                "it would have the host hold more than {limit} bytes for one request (--request-memory)"
            ),
            Self::Host(limit) => write!(
                f,
                "the host holds {limit} bytes for requests, and no more (--host-memory)"
            ),
        }
    }
}

impl std::error::Error for OverLimit {}

/// The whole units in so many bytes.
fn units(bytes: usize) -> usize {
    bytes / FREE * FREE
}

impl HostMemory {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Host {
            limit,
            used: AtomicUsize::new(0),
        }))
    }

    fn add(&self, bytes: usize) -> Result<(), OverLimit> {
        if bytes == 0 {
            return Ok(());
        }
        let host = &*self.0;
        let before = host.used.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > host.limit {
            host.used.fetch_sub(bytes, Relaxed);
            return Err(OverLimit::Host(host.limit));
        }
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        if bytes > 0 {
            self.0.used.fetch_sub(bytes, Relaxed);
        }
    }

    /// How much is held for all requests together.
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// The limits of one request.
    pub(crate) fn request(&self, limit: usize) -> RequestMemory {
        RequestMemory(Arc::new(Request {
            limit,
            used: AtomicUsize::new(0),
            host: self.clone(),
        }))
    }

    /// Counts bytes that outlive their request: an answer until it is written.
    ///
    /// # Errors
    /// Where there is no room for them.
    pub(crate) fn hold(&self, bytes: usize) -> Result<HostCharge, OverLimit> {
        let bytes = units(bytes);
        self.add(bytes)?;
        Ok(HostCharge {
            host: self.clone(),
            bytes,
        })
    }
}

/// Bytes that are counted for all together alone. Dropped, they are given back.
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
    /// A charge of nothing yet.
    pub(crate) fn charge(&self) -> Charge {
        Charge {
            memory: self.clone(),
            bytes: 0,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// How much more may be held.
    pub(crate) fn left(&self) -> usize {
        self.0.limit.saturating_sub(self.used())
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
            // Nothing was added. Where somebody else's bytes came between, the two differ by a unit.
            let back = units(before) - units(before - bytes);
            request
                .host
                .0
                .used
                .fetch_add(grown.wrapping_sub(back), Relaxed);
        })
    }

    fn remove(&self, bytes: usize) {
        let request = &*self.0;
        let before = request.used.fetch_sub(bytes, Relaxed);
        request.host.remove(units(before) - units(before - bytes));
    }
}

/// Bytes that the host holds for a request. Dropped, they are given back.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: RequestMemory,
    bytes: usize,
}

impl Charge {
    /// From now on so many bytes are held.
    ///
    /// # Errors
    /// Where they are too many: then it is as before.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), OverLimit> {
        if bytes > self.bytes {
            self.memory.add(bytes - self.bytes)?;
            self.bytes = bytes;
        }
        self.shrink(bytes);
        Ok(())
    }

    /// From now on no more than so many bytes are held.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.memory.remove(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// As much again, for a copy.
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
    fn charge_that_grows_and_shrinks_in_odd_steps_leaves_nothing_behind() {
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
