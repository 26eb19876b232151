//! The connections: one for each transaction, and one for the statements outside of them.

use std::cell::RefCell;
use std::ops::Deref;

use super::connection::{Connection, Executed, Output};
use crate::database::failure;
use crate::database::types::{Error, Value};

thread_local! {
    /// The connections that nothing uses, in a component's only thread.
    static IDLE: RefCell<Vec<Connection>> = const { RefCell::new(Vec::new()) };
}

/// The use of a connection. Dropped, it rolls back what is still open.
#[derive(Debug)]
pub(super) struct Lease(Option<Connection>);

impl Lease {
    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// `unavailable` if none can be opened.
    pub(super) fn take() -> Result<Self, Error> {
        if let Some(idle) = IDLE.with_borrow_mut(Vec::pop) {
            return Ok(Self(Some(idle)));
        }
        match Connection::open() {
            Ok(opened) => Ok(Self(Some(opened))),
            Err(error) => Err(failure::unavailable(format!(
                "SQLite opens no connection: {error}"
            ))),
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_ref().expect("it is taken only by `drop`")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take()
            && connection.clean()
        {
            IDLE.with_borrow_mut(|idle| idle.push(connection));
        }
    }
}

/// Runs a statement as its own transaction.
pub(crate) fn run(
    statement: &str,
    params: &[Value],
    output: Output,
    writes: bool,
) -> Result<Executed, Error> {
    Lease::take()?
        .execute(statement, params, output)
        .map_err(|failure| failure.outside_transaction(writes))
}
