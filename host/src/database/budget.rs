//! What one call may cost: its time, and the size of its result.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::failure;
use super::types::Error;

/// What one call may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// When the call was let through.
    pub began: Instant,
    /// When it is over.
    pub deadline: Instant,
    /// The values of one result, in bytes.
    pub rows_bytes: u64,
}

impl Budget {
    /// The outcome, or `None` where the deadline came first. The timer is set only once there is something to wait for.
    pub fn race<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        // No `async fn`: it would keep `work` twice, once as it came and once where it is polled.
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

    /// Counts the bytes of a result while it is read.
    pub fn meter(&self) -> Meter {
        Meter {
            left: self.rows_bytes,
            limit: self.rows_bytes,
        }
    }
}

/// The room a result has left.
#[derive(Debug)]
pub struct Meter {
    left: u64,
    limit: u64,
}

impl Meter {
    /// What a value costs beside its text: its place in the row.
    const VALUE: u64 = 16;

    /// What a row costs beside its values, so that one without any, or with an empty one, is not had for nothing.
    const ROW: u64 = 32;

    /// Whether so much has been taken that it is time to hand over what there is.
    pub fn is_half_empty(&self) -> bool {
        self.left < self.limit / 2
    }

    /// Whether there is room for so many bytes, of which none is taken yet.
    ///
    /// # Errors
    /// `too-large` where there is not.
    pub fn fits(&self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 <= self.left {
            Ok(())
        } else {
            Err(failure::too_large(self.limit))
        }
    }

    /// Takes room for a row of so many values with so many bytes of text, JSON and the like.
    ///
    /// # Errors
    /// `too-large` where there is none left.
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
