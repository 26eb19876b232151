//! The budget of one call: its time, and the size of its result.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::failure;
use super::types::Error;

/// The limits of one call.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// When the gate admitted the call.
    pub began: Instant,
    /// When the call times out.
    pub deadline: Instant,
    /// The largest result, in bytes.
    pub rows_bytes: u64,
}

impl Budget {
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
        }
    }
}

/// Counts the bytes of a result while it is read.
#[derive(Debug)]
pub struct Meter {
    left: u64,
    limit: u64,
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
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(failure::too_large(self.limit)),
        }
    }
}
