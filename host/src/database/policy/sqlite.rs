//! The policy of SQLite, which checks a statement's tokens. SQLite's own authorizer checks the
//! rest.

use super::beginning::{self, Rules};
use super::lexer::{Lexis, Token};
use crate::database::config::Allowed;
use crate::database::failure;
use crate::database::statement::{Caller, Effect};
use crate::database::types::Error;

/// SQLite's tokenizer: comments that do not nest, names in brackets and backquotes, the byte-order
/// mark as white space.
static RULES: Rules = Rules {
    lexis: Lexis {
        nested_comments: false,
        carriage_return_ends_line: false,
        byte_order_mark_is_blank: true,
        bracketed_names: true,
        dollar_quotes: false,
        prefixed_quotes: false,
    },
    triggers_have_bodies: true,
    creates_functions: false,
};

/// Checks one statement.
pub(super) fn check(text: &str, _caller: Caller, _allowed: &Allowed) -> Result<Effect, Error> {
    let statement = beginning::check(text, &RULES)?;
    anywhere(&statement.tokens)?;
    Ok(effect(&statement.verb, statement.rest()))
}

/// Checks for what no statement may contain.
fn anywhere(tokens: &[Token<'_>]) -> Result<(), Error> {
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        if token.is("into") && next.is_some_and(|next| next.is("temp") || next.is("temporary")) {
            return Err(failure::denied(
                "temporary tables outlive the request in its session",
            ));
        }
        let Some(name) = token.name() else { continue };
        if matches!(next, Some(Token::Open))
            && let Some(why) = denied_function(&name.to_ascii_lowercase())
        {
            return Err(failure::denied(format!(
                "{}(): {why}",
                name.to_ascii_lowercase()
            )));
        }
    }
    Ok(())
}

/// The functions of SQLite that show the session or reach out of the database. Functions of
/// PostgreSQL are among them, so that a text has the same error on both.
fn denied_function(name: &str) -> Option<&'static str> {
    const SESSION: &str = "it changes or shows the session, which other requests use";
    const OUTSIDE: &str = "it reaches out of the database";
    Some(match name {
        "set_config" | "lastval" | "currval" | "setseed" | "pg_advisory_lock"
        | "last_insert_rowid" | "changes" | "total_changes" => SESSION,
        "inet_server_addr" | "inet_server_port" | "inet_client_addr" | "inet_client_port" => {
            "no address crosses into a component"
        }
        "load_extension"
        | "readfile"
        | "writefile"
        | "edit"
        | "fts3_tokenizer"
        | "pg_terminate_backend"
        | "pg_cancel_backend" => OUTSIDE,
        name if name.starts_with("lo_") || name.starts_with("pg_read_") => OUTSIDE,
        _ => return None,
    })
}

/// The effect of a statement. No function of SQLite writes, and a guest can add none.
fn effect(verb: &str, rest: &[Token<'_>]) -> Effect {
    if matches!(verb, "INSERT" | "UPDATE" | "DELETE") {
        return Effect::Changes;
    }
    if verb == "EXPLAIN" {
        return Effect::Reads;
    }
    if !matches!(verb, "SELECT" | "VALUES" | "WITH") {
        return Effect::Writes;
    }
    let changes = ["insert", "update", "delete", "replace", "create"];
    // `replace(…)` is a function where a parenthesis follows, and a statement where it does not.
    let writes = rest.iter().enumerate().any(|(index, token)| {
        changes.iter().any(|word| token.is(word))
            && !(token.is("replace") && matches!(rest.get(index + 1), Some(Token::Open)))
    });
    if writes {
        Effect::Writes
    } else {
        Effect::Reads
    }
}
