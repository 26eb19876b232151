//! What a failure of Spin means for a statement.

use adapter_common::database::failure;
use adapter_common::database::types::Error;
use adapter_common::sqlstate;

use crate::bindings::spin::postgres::postgres::{DbError, Error as SpinError, QueryError};
use crate::debug_text;

/// What is known of the connection, and of the transaction on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The server has not run the statement, and both are as before.
    NotRun,
    /// The server refused the statement, which aborts a transaction.
    Refused,
    /// The statement ran, and its result cannot be passed on.
    Ran,
    /// The connection is lost.
    Lost,
}

/// A failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) after: After,
}

impl Failure {
    fn new(error: Error, after: After) -> Self {
        Self { error, after }
    }

    /// The statement ran, but its result cannot be passed on.
    pub(crate) fn ran(error: Error, writes: bool) -> Self {
        let error = if writes { Error::InDoubt } else { error };
        Self::new(error, After::Ran)
    }
}

/// What tokio-postgres calls an error before it sends the parameters.
const NOT_SENT: [&str; 2] = ["kind: ToSql(", "kind: Parameters("];

/// What it says of a value that Spin cannot read.
const UNREADABLE: [&str; 2] = ["error deserializing column", "error retrieving column"];

/// The failure of a statement. `writes` says whether a lost one would be `in-doubt`.
pub(crate) fn failed(error: SpinError, writes: bool) -> Failure {
    match error {
        SpinError::ConnectionFailed(why) | SpinError::Other(why) => {
            Failure::new(failure::unavailable(why), After::Lost)
        }
        SpinError::BadParameter(why) | SpinError::ValueConversionFailed(why) => {
            Failure::new(failure::invalid(why), After::NotRun)
        }
        SpinError::QueryFailed(QueryError::DbError(error)) => refused(error, writes),
        SpinError::QueryFailed(QueryError::Text(text)) => of_text(text, writes),
    }
}

fn refused(error: DbError, writes: bool) -> Failure {
    let extra = |name: &str| {
        let extras = error.extras.iter();
        extras
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .next()
    };
    returned(
        &error.code,
        &error.message,
        extra("constraint"),
        extra("column"),
        writes,
    )
}

/// An error that the server returned.
fn returned(
    code: &str,
    message: &str,
    constraint: Option<String>,
    column: Option<String>,
    writes: bool,
) -> Failure {
    let after = if sqlstate::is_lost(code) {
        After::Lost
    } else {
        After::Refused
    };
    let error = sqlstate::error(code, message, constraint, column, writes);
    Failure::new(error, after)
}

fn of_text(text: String, writes: bool) -> Failure {
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if let Some(error) = debug_text::database_error(&text) {
        let (code, message) = (&error.code, &error.message);
        returned(code, message, error.constraint, error.column, writes)
    } else if has(&NOT_SENT) {
        Failure::new(failure::invalid(text), After::NotRun)
    } else if let Some(limit) = debug_text::result_limit(&text) {
        Failure::ran(failure::too_large(limit), writes)
    } else if has(&UNREADABLE) {
        let error = failure::invalid(format!(
            "a column has a type that Spin cannot read: cast it ({text})"
        ));
        Failure::ran(error, writes)
    } else {
        Failure::new(sqlstate::lost(text, writes), After::Lost)
    }
}
