//! The connections: one for each transaction, and one for the statements outside of them.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use super::connection::{Connection, Executed, Output};
use crate::database::failure;
use crate::database::types::{Error, Value};

thread_local! {
    /// The connections that nothing uses, in a component's only thread.
    static IDLE: RefCell<Vec<Rc<Connection>>> = const { RefCell::new(Vec::new()) };
}

/// The use of a connection. Dropped, it rolls back what is still open.
#[derive(Debug)]
pub(super) struct Lease(Rc<Connection>);

impl Lease {
    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// `unavailable` if none can be opened.
    pub(super) fn take() -> Result<Self, Error> {
        if let Some(idle) = IDLE.with_borrow_mut(Vec::pop) {
            return Ok(Self(idle));
        }
        match Connection::open() {
            Ok(opened) => Ok(Self(Rc::new(opened))),
            Err(error) => Err(failure::unavailable(format!(
                "SQLite opens no connection: {error}"
            ))),
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.clean() {
            IDLE.with_borrow_mut(|idle| idle.push(Rc::clone(&self.0)));
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
