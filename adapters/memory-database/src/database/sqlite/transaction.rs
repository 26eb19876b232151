//! A transaction. As in PostgreSQL, a refusal aborts it: later calls and the commit are refused
//! with 25P02. It is then rolled back at once, because all other writers are refused meanwhile.

use std::cell::RefCell;

use super::connection::{Executed, Output};
use super::error::aborted;
use super::pool::Lease;
use crate::database::types::{Error, Value};

/// A transaction that has begun. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// None once it is aborted.
    lease: RefCell<Option<Lease>>,
}

impl Transaction {
    pub(crate) fn begin(read_only: bool) -> Result<Self, Error> {
        let lease = Lease::take()?;
        lease
            .begin(read_only)
            .map_err(|failure| failure.outside_transaction(true))?;
        Ok(Self {
            lease: RefCell::new(Some(lease)),
        })
    }

    pub(crate) fn run(
        &self,
        statement: &str,
        params: &[Value],
        output: Output,
    ) -> Result<Executed, Error> {
        let mut held = self.lease.borrow_mut();
        let Some(lease) = held.as_ref() else {
            return Err(aborted());
        };
        let before = lease.state();
        let executed = lease
            .execute(statement, params, output)
            .map_err(|failure| failure.in_transaction(true));
        let is_open = match &executed {
            Ok(_) => true,
            // They were found before the statement began.
            Err(Error::Invalid(_) | Error::Denied(_)) => lease.state() == before,
            Err(_) => false,
        };
        if !is_open {
            *held = None;
        }
        executed
    }

    pub(crate) fn commit(self) -> Result<(), Error> {
        let Some(lease) = self.lease.into_inner() else {
            return Err(aborted());
        };
        lease
            .commit()
            .map_err(|failure| failure.in_transaction(true))
    }
}
