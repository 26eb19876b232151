//! The first check in every dialect: one statement, which begins with an allowed verb.

use super::lexer::{Lexer, Lexis, Token};
use crate::database::failure;
use crate::database::types::Error;

/// The differences between dialects.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) lexis: Lexis,
    /// A trigger's body consists of statements with semicolons. The database itself checks that
    /// nothing follows it.
    pub(super) triggers_have_bodies: bool,
    /// `CREATE FUNCTION` may begin a statement, which the dialect checks further.
    pub(super) creates_functions: bool,
}

/// A statement whose beginning is allowed.
#[derive(Debug)]
pub(super) struct Beginning<'a> {
    /// All tokens of the statement.
    pub(super) tokens: Vec<Token<'a>>,
    /// In capitals.
    pub(super) verb: String,
    /// The index after the verb.
    after: usize,
}

impl<'a> Beginning<'a> {
    /// The tokens after the verb.
    pub(super) fn rest(&self) -> &[Token<'a>] {
        self.tokens.get(self.after..).unwrap_or_default()
    }
}

/// Checks how a text begins.
///
/// # Errors
/// `denied` with the rule, or `invalid` if the text is not one statement.
pub(super) fn check<'a>(text: &'a str, rules: &'static Rules) -> Result<Beginning<'a>, Error> {
    // The protocol ends a statement here, and a driver closes the connection.
    if text.contains('\0') {
        return Err(failure::invalid("a statement cannot hold U+0000"));
    }
    let mut tokens = Lexer::new(text, &rules.lexis)
        .collect::<Result<Vec<_>, _>>()
        .map_err(failure::invalid)?;
    tokens.truncate(single(&tokens, rules)?.len());
    let start = tokens
        .iter()
        .position(|token| !matches!(token, Token::Open))
        .unwrap_or(0);
    let Some(Token::Word(verb)) = tokens.get(start) else {
        return Err(failure::invalid("a statement begins with a keyword"));
    };
    let verb = verb.to_ascii_uppercase();
    leading(&verb)?;
    let after = start + 1;
    if matches!(verb.as_str(), "CREATE" | "ALTER" | "DROP") {
        definition(&verb, tokens.get(after..).unwrap_or_default(), rules)?;
    }
    Ok(Beginning {
        tokens,
        verb,
        after,
    })
}

/// The tokens of the one statement, without semicolons at its end.
fn single<'t, 'a>(tokens: &'t [Token<'a>], rules: &Rules) -> Result<&'t [Token<'a>], Error> {
    let end = tokens
        .iter()
        .rposition(|token| !matches!(token, Token::Semicolon))
        .map_or(0, |last| last + 1);
    let tokens = tokens.get(..end).unwrap_or_default();
    if tokens.is_empty() {
        return Err(failure::invalid("the statement is empty"));
    }
    // SQLite itself checks that nothing follows a trigger's body.
    let trigger = rules.triggers_have_bodies
        && tokens.first().is_some_and(|token| token.is("create"))
        && tokens
            .get(1..3)
            .is_some_and(|next| next.iter().any(|token| token.is("trigger")));
    if !trigger && tokens.iter().any(|token| matches!(token, Token::Semicolon)) {
        return Err(failure::invalid(
            "more than one statement: send them one by one, \
             in a transaction where they belong together",
        ));
    }
    Ok(tokens)
}

/// The verbs that may begin a statement.
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

/// The kinds of objects that may be created, altered and dropped. They belong to a schema and
/// contain no code.
fn definition(verb: &str, rest: &[Token<'_>], rules: &Rules) -> Result<(), Error> {
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
        // The dialect checks which functions may be created.
        "FUNCTION" if verb == "CREATE" && rules.creates_functions => Ok(()),
        "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "OPERATOR" | "RULE" | "LANGUAGE"
        | "EVENT" | "CAST" | "TRANSFORM" => Err(failure::denied(format!(
            "{verb} {kind}: code inside the database is beyond the host's policy"
        ))),
        _ => Err(failure::denied(format!(
            "{verb} {kind} reaches out of the component's own schema"
        ))),
    }
}
