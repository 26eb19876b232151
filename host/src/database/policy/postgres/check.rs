//! The check of one statement: its beginning, then its tree.

use super::dialect::RULES;
use super::grammar::{self, ParseError};
use super::walk;
use crate::database::config::Allowed;
use crate::database::failure;
use crate::database::policy::beginning;
use crate::database::statement::{Caller, Effect};
use crate::database::types::{Error, Refusal, RefusalKind};

/// The SQLSTATEs of a syntax error and of a statement that is too complex.
const SYNTAX_ERROR: &str = "42601";
const TOO_COMPLEX: &str = "54001";

/// Checks one statement.
pub(in crate::database::policy) fn check(
    text: &str,
    caller: Caller,
    allowed: &Allowed,
) -> Result<Effect, Error> {
    beginning::check(text, &RULES)?;
    by_tree(text, caller, allowed)
}

/// Checks a statement whose beginning is allowed.
pub(super) fn by_tree(text: &str, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
    let tree = grammar::parse(text).map_err(|error| match error {
        ParseError::Syntax(message) => refused(SYNTAX_ERROR, message),
        ParseError::TooComplex => refused(
            TOO_COMPLEX,
            "the statement is too deeply nested or too long to be checked: make it simpler".into(),
        ),
        ParseError::Unusable(why) => {
            tracing::error!("the statement parser does not work: {why}");
            failure::denied("the host cannot check statements: its log says why")
        }
    })?;
    walk::check(&tree, caller, allowed)
}

fn refused(code: &str, message: String) -> Error {
    Error::Refused(Refusal {
        kind: RefusalKind::Other,
        code: code.into(),
        message,
        constraint: None,
        column: None,
    })
}
