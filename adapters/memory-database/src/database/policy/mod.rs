//! The host's policy for SQLite: see `host/src/database/policy`.

#[path = "../../../../../host/src/database/policy/beginning.rs"]
mod beginning;
#[path = "../../../../../host/src/database/policy/lexer.rs"]
#[allow(dead_code, reason = "the host's other dialect uses all of it")]
mod lexer;
#[path = "../../../../../host/src/database/policy/sqlite.rs"]
mod sqlite;

use super::config::{Allowed, MAX_PARAMETERS, MAX_STATEMENT_BYTES};
use super::failure;
use super::statement::{Caller, Effect};
use super::types::Error;

/// Checks one statement and the number of its parameters. Returns whether it may change something.
///
/// # Errors
/// `denied` with the rule, or `invalid` if it is not one statement or over a limit.
pub(crate) fn check(text: &str, parameters: usize) -> Result<bool, Error> {
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(failure::invalid(format!(
            "a statement of {} bytes is over the limit of {MAX_STATEMENT_BYTES}",
            text.len()
        )));
    }
    if parameters > MAX_PARAMETERS {
        return Err(failure::invalid(format!(
            "{parameters} parameters are over the limit of {MAX_PARAMETERS}"
        )));
    }
    let effect = sqlite::check(text, Caller::Request, &Allowed)?;
    Ok(effect != Effect::Reads)
}
