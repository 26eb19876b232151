//! Counts the bytes of a result while it is read, by the same measure as the host.

use super::config::MAX_ROWS_BYTES;
use super::failure;
use super::types::Error;

#[derive(Clone, Debug)]
pub(crate) struct Meter {
    left: u64,
}

impl Meter {
    /// The bytes of a value besides its text: its slot in the row.
    const VALUE: u64 = 16;

    /// The bytes of a row besides its values, so that rows without values are counted too.
    const ROW: u64 = 32;

    /// Room for one result.
    pub(crate) fn new() -> Self {
        Self {
            left: MAX_ROWS_BYTES,
        }
    }

    /// Room for all rows of a cursor, whose batches have limits of their own.
    pub(crate) fn unlimited() -> Self {
        Self { left: u64::MAX }
    }

    /// Checks that `bytes` more fit, without counting them.
    ///
    /// # Errors
    /// `too-large` if they do not.
    pub(crate) fn fits(&self, bytes: usize) -> Result<(), Error> {
        if bytes as u64 <= self.left {
            Ok(())
        } else {
            Err(failure::too_large(MAX_ROWS_BYTES))
        }
    }

    /// Counts a row of `values` values whose texts, JSON and the like have `bytes` bytes.
    ///
    /// # Errors
    /// `too-large` if the row does not fit.
    pub(crate) fn take(&mut self, values: usize, bytes: usize) -> Result<(), Error> {
        let cost = (values as u64)
            .saturating_mul(Self::VALUE)
            .saturating_add(Self::ROW)
            .saturating_add(bytes as u64);
        let left = self.left.checked_sub(cost);
        self.left = left.ok_or_else(|| failure::too_large(MAX_ROWS_BYTES))?;
        Ok(())
    }
}
