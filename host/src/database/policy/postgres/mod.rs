//! What a component may say to PostgreSQL, decided by the statement's tree.
//!
//! | module | what lives there |
//! |---|---|
//! | [`grammar`] | PostgreSQL's own parser, in a sandbox |
//! | [`tree`] | its result, walked without recursion |
//! | [`catalog`] | functions and relations of `pg_catalog` that may be used |
//! | [`rules`] | nodes and fields that a statement may have, and what their values may be |
//! | [`trigger`] | the one kind of function that may be created |
//!
//! Everything is an allow-list: a node, field, function, catalogue relation or option that nobody has listed is refused.

mod catalog;
pub(super) mod grammar;
mod rules;
mod tree;
mod trigger;

#[cfg(test)]
mod tests;

use grammar::ParseError;

use super::{Allowed, Caller, Effect};
use crate::database::{Error, Refusal, RefusalKind, failure};

/// SQLSTATE of a syntax error, and of a statement that is too complex.
const SYNTAX_ERROR: &str = "42601";
const TOO_COMPLEX: &str = "54001";

/// Decides about one statement, which begins with a verb that may begin one.
pub(super) fn check(text: &str, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
    // The parser takes a zero for the end, and so does the protocol.
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
    rules::check(&tree, caller, allowed)
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
