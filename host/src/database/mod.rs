//! The database capability.
pub struct Transaction;
