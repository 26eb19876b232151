//! The budget of one call: its time, and the size of its result.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::failure;
use super::types::Error;
use crate::memory::{FREE, OverLimit, RequestMemory};
use crate::telemetry::histogram::micros;

/// The limits of one call.
#[derive(Clone, Debug)]
pub struct Budget {
    /// When the gate admitted the call.
    pub began: Instant,
    /// When the call times out.
    pub deadline: Instant,
    /// The largest result, in bytes.
    pub rows_bytes: u64,
    /// What the result is charged to.
    pub(super) memory: Option<RequestMemory>,
    /// What the back end reports of the call.
    pub(super) report: Report,
}

/// What a back end reports of a call while it runs. A copy of it begins empty.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How long the call waited for a connection, in microseconds.
    waited: AtomicU64,
    retries: AtomicU32,
}

impl Clone for Report {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Budget {
    /// The limits of a call whose result is charged to no request.
    pub fn new(began: Instant, deadline: Instant, rows_bytes: u64) -> Self {
        Self {
            began,
            deadline,
            rows_bytes,
            memory: None,
            report: Report::default(),
        }
    }

    /// Reports that the call has waited for a connection since then.
    pub fn waited_since(&self, began: Instant) {
        self.waited_for(began.elapsed());
    }

    /// Reports that the call has waited so long for a connection.
    pub fn waited_for(&self, time: Duration) {
        self.report.waited.fetch_add(micros(time), Relaxed);
    }

    /// Reports that the back end runs the statement again.
    pub fn retried(&self) {
        self.report.retries.fetch_add(1, Relaxed);
    }

    /// How long the call has waited for a connection, in microseconds.
    pub(super) fn waited(&self) -> u64 {
        self.report.waited.load(Relaxed)
    }

    /// How often the statement has been run again.
    pub(super) fn retries(&self) -> u32 {
        self.report.retries.load(Relaxed)
    }

    /// The output of `work`, or `None` at the deadline. The timer is set only if `work` has to
    /// wait.
    pub fn race<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        // An `async fn` would hold `work` twice: as its argument and where it is polled.
        tokio::time::timeout_at(self.deadline.into(), work).map(Result::ok)
    }

    /// Whether the deadline has passed.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The time until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A meter for a result of this call.
    pub fn meter(&self) -> Meter {
        Meter {
            left: self.rows_bytes,
            limit: self.rows_bytes,
            uncharged: 0,
            memory: self.memory.clone(),
        }
    }
}

/// Counts the bytes of a result while it is read.
#[derive(Debug)]
pub struct Meter {
    left: u64,
    limit: u64,
    /// The part that was counted but not yet charged, less than [`FREE`].
    uncharged: u64,
    memory: Option<RequestMemory>,
}

impl Meter {
    /// The bytes of a value besides its text: its slot in the row.
    const VALUE: u64 = 16;

    /// The bytes of a row besides its values, so that rows without values are counted too.
    const ROW: u64 = 32;

    /// Whether more than half is used, so that a batch should end.
    pub fn is_half_empty(&self) -> bool {
        self.left < self.limit / 2
    }

    /// Checks that `bytes` more fit, without counting them.
    ///
    /// # Errors
    /// `too-large` if they do not.
    pub fn fits(&self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 <= self.left {
            Ok(())
        } else {
            Err(failure::too_large(self.limit))
        }
    }

    /// Counts a row of `values` values whose texts, JSON and the like have `bytes` bytes.
    ///
    /// # Errors
    /// `too-large` if the row does not fit.
    pub fn take(&mut self, values: usize, bytes: usize) -> Result<(), Error> {
        let cost = (values as u64)
            .saturating_mul(Self::VALUE)
            .saturating_add(Self::ROW)
            .saturating_add(bytes as u64);
        let left = self.left.checked_sub(cost);
        self.left = left.ok_or_else(|| failure::too_large(self.limit))?;
        self.uncharged = self.uncharged.saturating_add(cost);
        if self.uncharged < FREE as u64 {
            Ok(())
        } else {
            self.charge()
        }
    }

    /// Charges what was counted. The host's count is shared by all cores, so not for each row.
    #[cold]
    fn charge(&mut self) -> Result<(), Error> {
        let bytes = usize::try_from(std::mem::take(&mut self.uncharged)).unwrap_or(usize::MAX);
        let charged = self.memory.as_ref().map(|memory| memory.charge_rows(bytes));
        match charged {
            None | Some(Ok(())) => Ok(()),
            Some(Err(OverLimit::Request(_))) => Err(failure::too_large(self.limit)),
            Some(Err(OverLimit::Host(_))) => Err(Error::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::HostMemory;

    #[test]
    fn result_is_charged_to_its_request_in_units_until_the_hosts_limit() {
        let host = HostMemory::new(FREE * 3);
        let now = Instant::now();
        let budget = Budget {
            memory: Some(host.request(FREE * 100)),
            ..Budget::new(now, now, 1 << 30)
        };
        let mut meter = budget.meter();
        assert!(meter.take(1, FREE / 2).is_ok());
        assert_eq!(host.used(), 0);
        assert!(meter.take(1, FREE / 2).is_ok());
        assert_eq!(host.used(), FREE);
        assert!(meter.take(1, FREE).is_ok());
        assert!(matches!(meter.take(1, FREE * 3), Err(Error::Overloaded)));
        assert_eq!(host.used(), FREE * 2);
        drop((meter, budget));
        assert_eq!(host.used(), 0);
    }
}
