//! Statements outside a transaction, on one connection of the instance.

use std::cell::RefCell;

use adapter_common::database::policy;
use adapter_common::database::types::{Error, Rows, Value};

use crate::address;
use crate::bindings::spin::postgres::postgres::{Connection, Error as SpinError, ParameterValue};
use crate::outcome::{self, After, Failure};
use crate::values;

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Runs a statement and returns its rows. Without rows their columns are unknown.
pub(crate) fn query(statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
    let writes = policy::check(statement)?;
    let params = values::parameters(params)?;
    run(|connection| query_on(connection, statement, &params, writes))
}

/// Runs a statement and returns the number of rows it affected.
pub(crate) fn execute(statement: &str, params: Vec<Value>) -> Result<u64, Error> {
    let writes = policy::check(statement)?;
    let params = values::parameters(params)?;
    run(|connection| execute_on(connection, statement, &params, writes))
}

/// Runs a checked statement on a connection and returns its rows.
pub(crate) fn query_on(
    connection: &Connection,
    statement: &str,
    params: &[ParameterValue],
    writes: bool,
) -> Result<Rows, Failure> {
    let found = connection
        .query(statement, params)
        .map_err(|error| outcome::failed(error, writes))?;
    values::rows(found).map_err(|error| Failure::ran(error, writes))
}

/// Runs a checked statement on a connection and returns the number of rows it affected.
pub(crate) fn execute_on(
    connection: &Connection,
    statement: &str,
    params: &[ParameterValue],
    writes: bool,
) -> Result<u64, Failure> {
    connection
        .execute(statement, params)
        .map_err(|error| outcome::failed(error, writes))
}

/// Takes a connection of the pool at this address.
pub(crate) fn open(address: &str) -> Result<Connection, Error> {
    // Nothing is sent, so nothing is in doubt.
    Connection::open(address).map_err(|error: SpinError| outcome::failed(error, false).error)
}

fn run<T>(call: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
    let connection = match CONNECTION.take() {
        Some(connection) => connection,
        None => open(&address::for_single_statements()?)?,
    };
    let result = call(&connection);
    // The next statement takes another one from the pool.
    if !matches!(&result, Err(failure) if failure.after == After::Lost) {
        CONNECTION.set(Some(connection));
    }
    result.map_err(|failure| failure.error)
}
