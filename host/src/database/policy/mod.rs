//! What no guest may say, and which statements write.
//!
//! A guest's statements run on connections that other requests use after it, with the host's role. So a statement is refused if
//! it would change the session, end or begin a transaction, run another session's prepared statement, or reach out of the
//! database: into files, other servers, roles, or the server's own administration.
//!
//! What may begin a statement is an allow-list, decided by its first tokens. The rest is decided by the statement's tree on
//! PostgreSQL ([`postgres`]), where every node, function and catalogue relation is an allow-list, and by tokens and SQLite's own
//! authorizer on SQLite. A decision is made once for each text and remembered.
//!
//! What this cannot see is what functions of the database's owner do behind operators, casts, views and triggers. A guest can
//! create none but triggers that set columns, and those that are there are their owner's to answer for.

mod lexer;
mod postgres;

use super::backend::SqlDialect;
use super::{Error, failure};
use lexer::{Lexer, Token};

/// What is known of a statement's effect before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It cannot change anything.
    Reads,
    /// It calls a function that may.
    MayWrite,
    /// It is one `INSERT`, `UPDATE` or `DELETE`.
    Changes,
    /// It changes something else, or in another way.
    Writes,
}

/// On whose behalf a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A request, which is anybody's.
    Request,
    /// The component's migrations, whose findings go to the operator. They may see who owns what.
    Migrations,
}

/// What an operator allows beyond the lists.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Functions by name, with their schema where a statement says it.
    pub functions: Vec<String>,
}

impl Allowed {
    fn has(&self, function: &str) -> bool {
        self.functions.iter().any(|allowed| allowed == function)
    }
}

/// Judges a statement.
///
/// # Errors
/// `denied` with the rule, `invalid` for text that is no single statement, `refused` for what PostgreSQL cannot parse.
pub(crate) fn judge(
    text: &str,
    dialect: SqlDialect,
    caller: Caller,
    allowed: &Allowed,
) -> Result<Effect, Error> {
    // Where the protocol ends a statement, and a driver gives up the connection.
    if text.contains('\0') {
        return Err(failure::invalid("a statement cannot hold U+0000"));
    }
    let tokens = Lexer::new(text, dialect)
        .collect::<Result<Vec<_>, _>>()
        .map_err(failure::invalid)?;
    let tokens = single(&tokens, dialect)?;
    let start = tokens
        .iter()
        .position(|token| !matches!(token, Token::Open))
        .unwrap_or(0);
    let Some(Token::Word(verb)) = tokens.get(start) else {
        return Err(failure::invalid("a statement begins with a keyword"));
    };
    let verb = verb.to_ascii_uppercase();
    leading(&verb)?;
    let rest = tokens.get(start + 1..).unwrap_or_default();
    if matches!(verb.as_str(), "CREATE" | "ALTER" | "DROP") {
        definition(&verb, rest, dialect)?;
    }
    match dialect {
        SqlDialect::Postgres => postgres::check(text, caller, allowed),
        SqlDialect::Sqlite => {
            anywhere(tokens)?;
            Ok(effect(&verb, rest))
        }
    }
}

/// The tokens of the one statement, without semicolons at its end.
fn single<'t, 'a>(tokens: &'t [Token<'a>], dialect: SqlDialect) -> Result<&'t [Token<'a>], Error> {
    let end = tokens
        .iter()
        .rposition(|token| !matches!(token, Token::Semicolon))
        .map_or(0, |last| last + 1);
    let tokens = tokens.get(..end).unwrap_or_default();
    if tokens.is_empty() {
        return Err(failure::invalid("the statement is empty"));
    }
    // A trigger's body is statements with semicolons; that nothing follows it is for SQLite itself to see.
    let trigger = dialect == SqlDialect::Sqlite
        && tokens.first().is_some_and(|token| token.is("create"))
        && tokens
            .get(1..3)
            .is_some_and(|next| next.iter().any(|token| token.is("trigger")));
    if !trigger && tokens.iter().any(|token| matches!(token, Token::Semicolon)) {
        return Err(failure::invalid(
            "more than one statement: send them one by one, in a transaction where they belong together",
        ));
    }
    Ok(tokens)
}

/// What a statement may begin with.
fn leading(verb: &str) -> Result<(), Error> {
    match verb {
        "SELECT" | "VALUES" | "TABLE" | "WITH" | "INSERT" | "UPDATE" | "DELETE" | "MERGE"
        | "REPLACE" | "TRUNCATE" | "CREATE" | "ALTER" | "DROP" | "COMMENT" | "EXPLAIN"
        | "ANALYZE" | "REINDEX" | "REFRESH" => Ok(()),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            Err(failure::denied(format!(
                "{verb}: transactions are begun and ended through the `transaction` resource"
            )))
        }
        "SET" | "RESET" | "DISCARD" | "LISTEN" | "UNLISTEN" | "PREPARE" | "DEALLOCATE"
        | "EXECUTE" | "DECLARE" | "FETCH" | "MOVE" | "CLOSE" | "LOAD" | "PRAGMA" | "ATTACH"
        | "DETACH" => Err(failure::denied(format!(
            "{verb} changes the session, which other requests use after this one"
        ))),
        "COPY" | "DO" | "CALL" | "LOCK" | "NOTIFY" | "VACUUM" | "CLUSTER" | "CHECKPOINT"
        | "GRANT" | "REVOKE" | "REASSIGN" | "SECURITY" | "IMPORT" => Err(failure::denied(format!(
            "{verb} is the host's to run, not a component's"
        ))),
        _ => Err(failure::denied(format!(
            "{verb} begins no statement that a component may run"
        ))),
    }
}

/// What may be created, altered and dropped: what belongs to a schema, and holds no code.
fn definition(verb: &str, rest: &[Token<'_>], dialect: SqlDialect) -> Result<(), Error> {
    const MODIFIERS: [&str; 9] = [
        "or",
        "replace",
        "global",
        "local",
        "unlogged",
        "unique",
        "materialized",
        "recursive",
        "if",
    ];
    let kind = rest
        .iter()
        .find(|token| !MODIFIERS.iter().any(|modifier| token.is(modifier)));
    let Some(Token::Word(kind)) = kind else {
        return Err(failure::invalid(format!(
            "{verb} is followed by what it is about"
        )));
    };
    let kind = kind.to_ascii_uppercase();
    match kind.as_str() {
        "TABLE" | "INDEX" | "VIEW" | "SEQUENCE" | "SCHEMA" | "TYPE" | "DOMAIN" | "TRIGGER"
        | "STATISTICS" | "COLLATION" => Ok(()),
        "TEMP" | "TEMPORARY" => Err(failure::denied(
            "temporary tables outlive the request in its session",
        )),
        "VIRTUAL" => Err(failure::denied("virtual tables run code of their own")),
        // One kind of it may be created: see `postgres::trigger`.
        "FUNCTION" if verb == "CREATE" && dialect == SqlDialect::Postgres => Ok(()),
        "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "OPERATOR" | "RULE" | "LANGUAGE"
        | "EVENT" | "CAST" | "TRANSFORM" => Err(failure::denied(format!(
            "{verb} {kind}: code inside the database is beyond the host's policy"
        ))),
        _ => Err(failure::denied(format!(
            "{verb} {kind} reaches out of the component's own schema"
        ))),
    }
}

/// What may occur nowhere in SQLite's SQL.
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

/// SQLite's functions that show the session or reach out of the database, and those of PostgreSQL that a component might try
/// on either: the same text gets the same answer.
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

/// What a statement of SQLite does. None of SQLite's own functions writes, and a guest can add none.
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

#[cfg(test)]
mod tests;
