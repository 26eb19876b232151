//! Denies statements that would change the session of a connection, because other requests use it
//! afterwards, or end a transaction. The host's further rules need PostgreSQL's parser.

#[path = "../../../../../host/src/database/policy/beginning.rs"]
#[allow(dead_code, reason = "the host reads on after the beginning")]
mod beginning;
#[path = "../../../../../host/src/database/policy/lexer.rs"]
#[allow(dead_code, reason = "the host's other dialect uses all of it")]
mod lexer;

use beginning::Rules;
use lexer::Lexis;

use super::types::Error;

/// PostgreSQL, 4.1 "Lexical Structure".
static RULES: Rules = Rules {
    lexis: Lexis {
        nested_comments: true,
        carriage_return_ends_line: true,
        byte_order_mark_is_blank: false,
        bracketed_names: false,
        dollar_quotes: true,
        prefixed_quotes: true,
    },
    triggers_have_bodies: false,
    // A migration makes one for a trigger. What it may do is not seen without the parser.
    creates_functions: true,
};

/// Checks one statement. Returns whether it may change something: a `SELECT` could do so only by a
/// function, and the service calls none that does.
///
/// # Errors
/// `denied` with the rule, or `invalid` if it is not one statement.
pub fn check(text: &str) -> Result<bool, Error> {
    let statement = beginning::check(text, &RULES)?;
    Ok(!matches!(
        statement.verb.as_str(),
        "SELECT" | "VALUES" | "TABLE" | "EXPLAIN"
    ))
}
