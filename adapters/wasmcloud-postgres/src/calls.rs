//! One statement, and what its failure means.

use std::cell::RefCell;
use std::collections::HashMap;

use adapter_common::database::types::{Error, Rows, Value};
use adapter_common::database::{failure, policy};
use adapter_common::sqlstate;

use crate::bindings::wasmcloud::postgres::prepared;
use crate::bindings::wasmcloud::postgres::query;
use crate::bindings::wasmcloud::postgres::types::{
    PgValue, PreparedStatementExecError, QueryError, StatementPrepareError,
};
use crate::values;

/// How the host's text begins when it has no connection, so that nothing was sent.
const NO_CONNECTION: &str = "failed to get connection";

/// The host's text for a wrong number of parameters, which it does not send.
const WRONG_COUNT: &str = " parameters but got ";

thread_local! {
    /// The tokens of prepared statements, by their text. The host keeps them for the life of this
    /// instance.
    static PREPARED: RefCell<HashMap<String, String>> = RefCell::default();
}

/// Runs a statement and returns its rows. Without rows their columns are unknown.
pub(crate) fn rows(statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
    let writes = policy::check(statement)?;
    let found =
        query::query(statement, &lowered(params)?).map_err(|error| failed(error, writes))?;
    let names = |entry: &query::ResultRow| {
        let names = entry.iter().map(|entry| entry.column_name.clone());
        names.collect()
    };
    let columns = found.first().map(names).unwrap_or_default();
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let values: Result<_, _> = row
            .into_iter()
            .map(|entry| {
                let column = entry.column_name;
                values::lift(entry.value).ok_or_else(|| unknown_type(&column, writes))
            })
            .collect();
        rows.push(values?);
    }
    Ok(Rows { columns, rows })
}

/// Runs a statement and returns the number of affected rows.
pub(crate) fn count(statement: &str, params: Vec<Value>) -> Result<u64, Error> {
    let writes = policy::check(statement)?;
    let params = lowered(params)?;
    let known = PREPARED.with_borrow(|prepared| prepared.get(statement).cloned());
    if let Some(token) = known {
        match prepared::exec(&token, &params) {
            // The host has forgotten it, and nothing was sent.
            Err(PreparedStatementExecError::UnknownPreparedQuery) => {}
            Ok(affected) => return Ok(affected),
            Err(error) => return Err(unprepared(error, writes)),
        }
    }
    let token =
        prepared::prepare(statement).map_err(|StatementPrepareError::Unexpected(text)| {
            // Preparing changes nothing.
            failed(QueryError::Unexpected(text), false)
        })?;
    let affected = prepared::exec(&token, &params).map_err(|error| unprepared(error, writes))?;
    PREPARED.with_borrow_mut(|prepared| prepared.insert(statement.to_owned(), token));
    Ok(affected)
}

fn lowered(params: Vec<Value>) -> Result<Vec<PgValue>, Error> {
    params.into_iter().map(values::lower).collect()
}

/// The statement has run, but its result cannot be passed on.
fn unknown_type(column: &str, writes: bool) -> Error {
    if writes {
        return Error::InDoubt;
    }
    failure::invalid(format!(
        "the column {column} has a type without a counterpart in usher:database: cast it to text"
    ))
}

fn unprepared(error: PreparedStatementExecError, writes: bool) -> Error {
    match error {
        PreparedStatementExecError::QueryError(error) => failed(error, writes),
        PreparedStatementExecError::Unexpected(text) => {
            failed(QueryError::Unexpected(text), writes)
        }
        PreparedStatementExecError::UnknownPreparedQuery => {
            failure::unavailable("the host does not know the statement that it has prepared")
        }
    }
}

/// What an error of the host means for the statement.
fn failed(error: QueryError, writes: bool) -> Error {
    let text = match error {
        QueryError::InvalidParams(text) => return failure::invalid(text),
        QueryError::InvalidQuery(text) | QueryError::Unexpected(text) => text,
    };
    let Some((code, message)) = coded(&text) else {
        return if text.starts_with(NO_CONNECTION) {
            failure::unavailable(text)
        } else if text.contains(WRONG_COUNT) {
            failure::invalid(text)
        } else {
            sqlstate::lost(text, writes)
        };
    };
    let (constraint, column) = (named(message, "constraint"), named(message, "column"));
    sqlstate::error(code, message, constraint, column, writes)
}

/// The SQLSTATE and the message of a text such as `query failed: 23505: duplicate key value …`.
fn coded(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(": ")?;
    let (code, message) = rest.split_once(": ")?;
    sqlstate::is_code(code).then_some((code, message))
}

/// The name after a word in an English message: `… violates unique constraint "users_email_key"`.
fn named(message: &str, what: &str) -> Option<String> {
    let (_, after) = message.split_once(&format!("{what} \""))?;
    after.split_once('"').map(|(name, _)| name.to_owned())
}
