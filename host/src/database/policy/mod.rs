//! What no guest may say, and which statements write.
//!
//! A guest's statements run on connections that other requests use after it, with the host's role. So a statement is refused if
//! it would change the session, end or begin a transaction, run another session's prepared statement, or reach out of the
//! database: into files, other servers, roles, or the server's own administration. What may begin a statement is an allow-list;
//! what may occur in it is judged by its tokens, so that comments, case, quotes and white space change nothing.
//!
//! What this cannot see is what the database's own functions do: a guest cannot define any (`CREATE FUNCTION` is denied), and those
//! that are there are their owner's to judge. The second line is the role's rights.

mod lexer;

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

/// Judges a statement.
///
/// # Errors
/// `denied` with the rule, `invalid` for text that is no single statement.
pub(crate) fn judge(text: &str, dialect: SqlDialect) -> Result<Effect, Error> {
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
        definition(&verb, rest)?;
    }
    anywhere(tokens, dialect)?;
    Ok(effect(&verb, rest, dialect))
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
fn definition(verb: &str, rest: &[Token<'_>]) -> Result<(), Error> {
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
        "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "OPERATOR" | "RULE" | "LANGUAGE"
        | "EVENT" | "CAST" | "TRANSFORM" => Err(failure::denied(format!(
            "{verb} {kind}: code inside the database is beyond the host's policy"
        ))),
        _ => Err(failure::denied(format!(
            "{verb} {kind} reaches out of the component's own schema"
        ))),
    }
}

/// What may occur nowhere.
fn anywhere(tokens: &[Token<'_>], dialect: SqlDialect) -> Result<(), Error> {
    let second = |index: usize| tokens.get(index + 1);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::UnicodeName => {
                return Err(failure::denied(
                    "a name written with U& escapes cannot be judged: write it plainly",
                ));
            }
            // A prepared statement on a shared connection is another request's.
            Token::Word(word) if word.eq_ignore_ascii_case("execute") => {
                let function =
                    second(index).is_some_and(|next| next.is("function") || next.is("procedure"));
                if dialect == SqlDialect::Postgres && !function {
                    return Err(failure::denied(
                        "EXECUTE runs what another session has prepared",
                    ));
                }
            }
            Token::Word(word)
                if word.eq_ignore_ascii_case("into")
                    && second(index)
                        .is_some_and(|next| next.is("temp") || next.is("temporary")) =>
            {
                return Err(failure::denied(
                    "temporary tables outlive the request in its session",
                ));
            }
            _ => {}
        }
        let Some(name) = token.name() else { continue };
        if name.eq_ignore_ascii_case("pg_temp") && matches!(second(index), Some(Token::Dot)) {
            return Err(failure::denied(
                "temporary tables outlive the request in its session",
            ));
        }
        if matches!(second(index), Some(Token::Open))
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

/// Built-in functions that change the session, show another request's, or reach out of the database.
fn denied_function(name: &str) -> Option<&'static str> {
    const SESSION: &str = "it changes or shows the session, which other requests use";
    const OUTSIDE: &str = "it reaches out of the database";
    const SERVER: &str = "it is the server's administration";
    const TEXT: &str = "it runs a statement given as text, which cannot be judged";
    Some(match name {
        "set_config"
        | "currval"
        | "lastval"
        | "pg_advisory_lock"
        | "pg_advisory_lock_shared"
        | "pg_try_advisory_lock"
        | "pg_try_advisory_lock_shared"
        | "pg_advisory_unlock"
        | "pg_advisory_unlock_shared"
        | "pg_advisory_unlock_all"
        | "pg_notify"
        | "pg_export_snapshot"
        | "setseed"
        | "last_insert_rowid"
        | "changes"
        | "total_changes" => SESSION,
        "inet_server_addr" | "inet_server_port" | "inet_client_addr" | "inet_client_port" => {
            "no address crosses into a component"
        }
        "pg_terminate_backend"
        | "pg_cancel_backend"
        | "pg_reload_conf"
        | "pg_rotate_logfile"
        | "pg_promote"
        | "pg_switch_wal"
        | "pg_backup_start"
        | "pg_backup_stop"
        | "pg_start_backup"
        | "pg_stop_backup"
        | "pg_stat_reset"
        | "pg_hba_file_rules" => SERVER,
        "query_to_xml"
        | "query_to_xmlschema"
        | "query_to_xml_and_xmlschema"
        | "cursor_to_xml"
        | "cursor_to_xmlschema"
        | "ts_stat"
        | "ts_rewrite" => TEXT,
        "load_extension" | "readfile" | "writefile" | "edit" | "fts3_tokenizer"
        | "pg_stat_file" | "pg_current_logfile" => OUTSIDE,
        name if name.starts_with("dblink")
            || name.starts_with("lo_")
            || name.starts_with("pg_read_")
            || name.starts_with("pg_ls_")
            || name.starts_with("pg_file_") =>
        {
            OUTSIDE
        }
        name if name.starts_with("pg_logical_")
            || name.starts_with("pg_replication_")
            || name.starts_with("pg_create_")
            || name.starts_with("pg_wal_")
            || name.starts_with("pg_drop_") =>
        {
            SERVER
        }
        _ => return None,
    })
}

fn effect(verb: &str, rest: &[Token<'_>], dialect: SqlDialect) -> Effect {
    if matches!(verb, "INSERT" | "UPDATE" | "DELETE") {
        return Effect::Changes;
    }
    if !matches!(verb, "SELECT" | "VALUES" | "TABLE" | "WITH" | "EXPLAIN") {
        return Effect::Writes;
    }
    let changes = |token: &Token<'_>| {
        [
            "insert", "update", "delete", "merge", "replace", "into", "create",
        ]
        .iter()
        .any(|word| token.is(word))
    };
    // `FOR UPDATE`, `FOR NO KEY UPDATE`, `FOR SHARE`: locks are taken, and a read-only transaction refuses them.
    let locks = rest.windows(2).any(|pair| {
        matches!(pair, [first, second] if first.is("for") && ["update", "no", "share", "key"].iter().any(|word| second.is(word)))
    });
    let explained = verb == "EXPLAIN"
        && !rest
            .iter()
            .any(|token| token.is("analyze") || token.is("analyse"));
    if explained {
        return Effect::Reads;
    }
    // `replace(…)` is a function where a parenthesis follows, and a statement where it does not.
    let writes = rest.iter().enumerate().any(|(index, token)| {
        changes(token) && !(token.is("replace") && matches!(rest.get(index + 1), Some(Token::Open)))
    });
    if writes || locks {
        return Effect::Writes;
    }
    if dialect == SqlDialect::Sqlite {
        // None of SQLite's own functions writes, and a guest can add none.
        return Effect::Reads;
    }
    // `WITH n(i) AS …` names columns.
    let rest = match (verb, rest) {
        ("WITH", [recursive, _, after @ ..]) if recursive.is("recursive") => after,
        ("WITH", [_, after @ ..]) => after,
        _ => rest,
    };
    let calls = rest.windows(2).any(|pair| match pair {
        [token, Token::Open] => token
            .name()
            .is_some_and(|name| !is_harmless(&name.to_ascii_lowercase())),
        _ => false,
    });
    if calls {
        Effect::MayWrite
    } else {
        Effect::Reads
    }
}

/// Functions, types and keywords before a parenthesis that change nothing. What is not here may write: then the answer after a
/// lost connection is "unknown" rather than "nothing happened".
fn is_harmless(name: &str) -> bool {
    matches!(
        name,
        "in" | "and"
            | "or"
            | "not"
            | "exists"
            | "any"
            | "all"
            | "some"
            | "as"
            | "from"
            | "join"
            | "on"
            | "using"
            | "where"
            | "select"
            | "when"
            | "then"
            | "else"
            | "case"
            | "over"
            | "filter"
            | "group"
            | "by"
            | "limit"
            | "offset"
            | "union"
            | "except"
            | "intersect"
            | "distinct"
            | "array"
            | "row"
            | "cast"
            | "values"
            | "lateral"
            | "having"
            | "between"
            | "like"
            | "ilike"
            | "is"
            | "materialized"
            | "sets"
            | "cube"
            | "rollup"
            | "within"
            | "fetch"
            | "numeric"
            | "decimal"
            | "varchar"
            | "char"
            | "character"
            | "varying"
            | "bit"
            | "time"
            | "timestamp"
            | "timestamptz"
            | "interval"
            | "float"
            | "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "coalesce"
            | "nullif"
            | "greatest"
            | "least"
            | "lower"
            | "upper"
            | "length"
            | "char_length"
            | "character_length"
            | "octet_length"
            | "substr"
            | "substring"
            | "trim"
            | "btrim"
            | "ltrim"
            | "rtrim"
            | "left"
            | "right"
            | "replace"
            | "concat"
            | "concat_ws"
            | "position"
            | "strpos"
            | "split_part"
            | "repeat"
            | "reverse"
            | "lpad"
            | "rpad"
            | "md5"
            | "encode"
            | "decode"
            | "format"
            | "abs"
            | "round"
            | "ceil"
            | "ceiling"
            | "floor"
            | "mod"
            | "power"
            | "sqrt"
            | "sign"
            | "exp"
            | "ln"
            | "log"
            | "trunc"
            | "random"
            | "now"
            | "clock_timestamp"
            | "statement_timestamp"
            | "transaction_timestamp"
            | "date_trunc"
            | "date_part"
            | "extract"
            | "age"
            | "to_char"
            | "to_date"
            | "to_number"
            | "to_timestamp"
            | "generate_series"
            | "unnest"
            | "array_agg"
            | "string_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_build_object"
            | "jsonb_build_object"
            | "json_object_agg"
            | "to_json"
            | "to_jsonb"
            | "row_to_json"
            | "row_number"
            | "rank"
            | "dense_rank"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "ntile"
            | "bool_and"
            | "bool_or"
            | "every"
            | "gen_random_uuid"
            | "pg_sleep"
            | "version"
            | "ascii"
            | "chr"
            | "current_schema"
    )
}

#[cfg(test)]
mod tests;
