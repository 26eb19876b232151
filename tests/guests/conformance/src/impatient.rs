//! Cases that need a host with other limits: short timeouts, small results, or a read-only
//! database. Each case states the limits that it expects.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    ("slow_statement_times_out", slow_statement_times_out),
    (
        "slow_write_that_times_out_has_no_effect",
        slow_write_that_times_out_has_no_effect,
    ),
    (
        "timeout_aborts_its_transaction",
        timeout_aborts_its_transaction,
    ),
    (
        "transaction_without_free_connection_is_overloaded",
        transaction_without_free_connection_is_overloaded,
    ),
    (
        "read_committed_sees_later_commits_or_one_snapshot",
        read_committed_sees_later_commits_or_one_snapshot,
    ),
    ("idle_transaction_is_ended", idle_transaction_is_ended),
    ("million_rows_can_be_streamed", million_rows_can_be_streamed),
    ("huge_results_are_too_large", huge_results_are_too_large),
    ("create_table", create_table),
    (
        "read_only_database_refuses_to_write",
        read_only_database_refuses_to_write,
    ),
];

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \
    100000000000) \
                       SELECT count(*) FROM n";

/// Expects a short statement timeout.
fn slow_statement_times_out() -> Result<(), String> {
    fails(query(ENDLESS, &[]), "timeout", "an endless query")?;
    let after = one("SELECT 1", &[])?;
    ensure!(same(&after, &integer(1)), "{after:?}");
    if is_postgres() {
        fails(query("SELECT pg_sleep(600)", &[]), "timeout", "ten minutes")?;
    }
    let cursor = Cursor::open(ENDLESS, &[]).and_then(|cursor| cursor.next(1));
    fails(cursor, "timeout", "an endless query by a cursor")
}

/// Expects a short statement timeout.
fn slow_write_that_times_out_has_no_effect() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint)", &[])?;
    run("INSERT INTO notes VALUES (1)", &[])?;
    fails(
        execute(&format!("INSERT INTO notes {ENDLESS}"), &[]),
        "timeout",
        "an endless write",
    )?;
    let count = one("SELECT count(*) FROM notes", &[])?;
    ensure!(same(&count, &integer(1)), "{count:?}");
    Ok(())
}

/// Expects a short statement timeout.
fn timeout_aborts_its_transaction() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint)", &[])?;
    let transaction = Transaction::begin(Isolation::ReadCommitted, false)
        .map_err(|error| format!("{error:?}"))?;
    let wrote = transaction.execute("INSERT INTO notes VALUES (1)", &[]);
    ensure!(matches!(wrote, Ok(1)), "{wrote:?}");
    fails(
        transaction.query(ENDLESS, &[]),
        "timeout",
        "an endless query",
    )?;
    refuses(transaction.query("SELECT 1", &[]), "25P02", "what follows")?;
    refuses(Transaction::commit(transaction), "25P02", "commit")?;
    let count = one("SELECT count(*) FROM notes", &[])?;
    ensure!(same(&count, &integer(0)), "{count:?}");
    Ok(())
}

/// Expects two connections, a short wait for one, and four transactions per instance.
fn transaction_without_free_connection_is_overloaded() -> Result<(), String> {
    let begin = || Transaction::begin(Isolation::ReadCommitted, false);
    let mut held = Vec::new();
    let full = loop {
        match begin() {
            Ok(transaction) => held.push(transaction),
            Err(error) => break error,
        }
    };
    ensure!(kind(&full) == "overloaded", "{full:?}");
    ensure!(
        !held.is_empty() && held.len() < 4,
        "{} of them at once",
        held.len()
    );
    held.clear();
    begin()
        .map(drop)
        .map_err(|error| format!("after they were dropped: {error:?}"))
}

/// Expects a short wait for a connection.
fn read_committed_sees_later_commits_or_one_snapshot() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint)", &[])?;
    let transaction =
        Transaction::begin(Isolation::ReadCommitted, true).map_err(|error| format!("{error:?}"))?;
    let count = || match transaction
        .query("SELECT count(*) FROM notes", &[])
        .map(|found| found.rows)
        .as_deref()
    {
        Ok([row]) if same(&row[0], &integer(0)) => Ok(0),
        Ok([row]) if same(&row[0], &integer(1)) => Ok(1),
        other => Err(format!("{other:?}")),
    };
    ensure!(count()? == 0, "there is nothing yet");
    let written = execute("INSERT INTO notes VALUES (1)", &[]);
    if is_postgres() {
        ensure!(matches!(written, Ok(1)), "{written:?}");
        ensure!(count()? == 1, "read committed sees what was committed");
        return Ok(());
    }
    // In memory a reader excludes writers; in a file both continue.
    ensure!(
        matches!(written, Ok(1) | Err(Error::Overloaded)),
        "{written:?}"
    );
    ensure!(count()? == 0, "every transaction is serializable");
    Ok(())
}

/// Expects results of at most 1 MiB. The case requests half a gigabyte in many rows and nearly as
/// much in one row; on SQLite, whose rows are limited, 40 MB.
fn huge_results_are_too_large() -> Result<(), String> {
    let (many, single) = if is_postgres() {
        (
            "SELECT repeat('x', 500000) FROM generate_series(1, 1000)",
            "SELECT repeat('x', 400000000)",
        )
    } else {
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                SELECT hex(zeroblob(250000)) FROM n",
            "SELECT hex(zeroblob(7000000))",
        )
    };
    for statement in [many, single] {
        fails(query(statement, &[]), "too-large", statement)?;
        let after = one("SELECT 1", &[])?;
        ensure!(same(&after, &integer(1)), "{after:?}");
    }
    let cursor = Cursor::open(single, &[]).and_then(|cursor| cursor.next(1));
    fails(cursor, "too-large", "one row by a cursor")?;
    let transaction =
        Transaction::begin(Isolation::ReadCommitted, true).map_err(|error| format!("{error:?}"))?;
    fails(
        transaction.query(single, &[]),
        "too-large",
        "one row in a transaction",
    )
}

/// Expects a short idle timeout, and time to wait for it.
fn idle_transaction_is_ended() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint PRIMARY KEY)", &[])?;
    let insert = "INSERT INTO notes VALUES ($1)";
    let held = |id: i64| loop {
        let transaction = Transaction::begin(Isolation::ReadCommitted, false)
            .map_err(|error| format!("{error:?}"))?;
        match transaction.execute(insert, &[integer(id)]) {
            Ok(1) => return Ok(transaction),
            // On a busy machine the timeout may pass between two calls.
            Err(Error::Unavailable(_)) => {}
            other => return Err(format!("{other:?}")),
        }
    };
    // A writer of the same key waits for it and gets it, although the transaction was not ended by
    // its owner.
    let idle = held(1)?;
    run(insert, &[integer(1)])?;
    fails(idle.query("SELECT 1", &[]), "unavailable", "what follows")?;
    fails(
        Transaction::commit(idle),
        "unavailable",
        "COMMIT after that",
    )?;
    let idle = held(2)?;
    run(insert, &[integer(2)])?;
    // Nothing was committed, and that is known.
    fails(Transaction::commit(idle), "unavailable", "COMMIT")?;
    let count = one("SELECT count(*) FROM notes", &[])?;
    ensure!(same(&count, &integer(2)), "{count:?}");
    let next = held(3)?;
    Transaction::commit(next).map_err(|error| format!("the next one: {error:?}"))
}

/// Expects a long statement timeout, and the usual size of a result.
fn million_rows_can_be_streamed() -> Result<(), String> {
    const ROWS: i64 = 1_000_000;
    let statement = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT \
            i, '{}' FROM n",
        "x".repeat(100)
    );
    let cursor = Cursor::open(&statement, &[]).map_err(|error| format!("{error:?}"))?;
    let mut seen = 0;
    loop {
        let rows = cursor.next(1000).map_err(|error| format!("{error:?}"))?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            seen += 1;
            ensure!(
                same(&row[0], &integer(seen))
                    && matches!(&row[1], Value::Text(text) if text.len() == 100),
                "row {seen} is {row:?}"
            );
        }
    }
    ensure!(seen == ROWS, "{seen} rows");
    Ok(())
}

/// Creates the table for the next case, which cannot.
fn create_table() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint, body text)", &[])?;
    if is_postgres() {
        run("CREATE SEQUENCE numbers", &[])?;
    }
    run("INSERT INTO notes VALUES (1, 'kept')", &[]).map(drop)
}

/// Expects a read-only database with the table of the case before.
fn read_only_database_refuses_to_write() -> Result<(), String> {
    for statement in [
        "INSERT INTO notes VALUES (2, 'no')",
        "insert into notes values (2, 'no')",
        "/* SELECT */ INSERT INTO notes VALUES (2, 'no') RETURNING id",
        "WITH x AS (SELECT 2) INSERT INTO notes SELECT 2, 'no' FROM x",
        "UPDATE notes SET body = 'no'",
        "DELETE FROM notes",
        "CREATE TABLE more (id bigint)",
        "DROP TABLE notes",
        "ALTER TABLE notes ADD COLUMN more text",
        "CREATE INDEX more ON notes (id)",
    ] {
        fails(execute(statement, &[]), "denied", statement)?;
        fails(query(statement, &[]), "denied", statement)?;
    }
    if is_postgres() {
        for statement in [
            "WITH x AS (DELETE FROM notes RETURNING id) SELECT * FROM x",
            "SELECT * INTO more FROM notes",
            "SELECT * FROM notes FOR UPDATE",
            "EXPLAIN ANALYZE DELETE FROM notes",
            "TRUNCATE notes",
        ] {
            fails(query(statement, &[]), "denied", statement)?;
        }
        // The database itself refuses a write that the host cannot recognise.
        refuses(query("SELECT nextval('numbers')", &[]), "25006", "nextval")?;
    }
    // A transaction that requests writing is read-only all the same.
    let transaction = Transaction::begin(Isolation::ReadCommitted, false)
        .map_err(|error| format!("{error:?}"))?;
    fails(
        transaction.execute("DELETE FROM notes", &[]),
        "denied",
        "in a transaction",
    )?;
    drop(transaction);
    let cursor = Cursor::open("DELETE FROM notes RETURNING id", &[]);
    fails(cursor.map(|_| ()), "denied", "by a cursor")?;
    let found = rows("SELECT body FROM notes", &[])?;
    ensure!(
        matches!(found.as_slice(), [row] if same(&row[0], &text("kept"))),
        "{found:?}"
    );
    Ok(())
}
