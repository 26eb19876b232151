//! The limits, which are the defaults of Usher's host.

#[cfg(not(feature = "conformance"))]
mod limits {
    /// The values of one result, in bytes.
    pub(crate) const MAX_ROWS_BYTES: u64 = 16 << 20;
    /// The text of one statement, in bytes.
    pub(crate) const MAX_STATEMENT_BYTES: usize = 256 << 10;
    /// Parameters of one statement.
    pub(crate) const MAX_PARAMETERS: usize = 1000;
    /// Transactions and cursors at the same time.
    pub(crate) const MAX_TRANSACTIONS: usize = 2;
}

#[cfg(feature = "conformance")]
mod limits {
    pub(crate) const MAX_ROWS_BYTES: u64 = (1 << 20) + 1024;
    pub(crate) const MAX_STATEMENT_BYTES: usize = 64 << 10;
    pub(crate) const MAX_PARAMETERS: usize = 100;
    pub(crate) const MAX_TRANSACTIONS: usize = 4;
}

pub(crate) use limits::{MAX_PARAMETERS, MAX_ROWS_BYTES, MAX_STATEMENT_BYTES, MAX_TRANSACTIONS};

/// The functions that an operator allows in addition: none.
#[derive(Debug, Default)]
pub(crate) struct Allowed;
