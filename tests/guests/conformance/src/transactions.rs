//! Transactions, as one component can observe them.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "committed_transaction_is_durable",
        committed_transaction_is_durable,
    ),
    (
        "rolled_back_transaction_leaves_nothing",
        rolled_back_transaction_leaves_nothing,
    ),
    (
        "dropped_transaction_is_rolled_back",
        dropped_transaction_is_rolled_back,
    ),
    (
        "transaction_sees_its_own_writes",
        transaction_sees_its_own_writes,
    ),
    (
        "read_only_transaction_refuses_to_write",
        read_only_transaction_refuses_to_write,
    ),
    ("every_isolation_level_works", every_isolation_level_works),
    (
        "repeatable_read_sees_one_snapshot",
        repeatable_read_sees_one_snapshot,
    ),
    (
        "refusal_aborts_the_transaction",
        refusal_aborts_the_transaction,
    ),
    (
        "result_over_the_limit_aborts_its_transaction",
        result_over_the_limit_aborts_its_transaction,
    ),
    (
        "commit_of_an_aborted_transaction_is_refused",
        commit_of_an_aborted_transaction_is_refused,
    ),
    (
        "invalid_call_leaves_the_transaction_usable",
        invalid_call_leaves_the_transaction_usable,
    ),
    (
        "consecutive_transactions_are_independent",
        consecutive_transactions_are_independent,
    ),
    (
        "conflicting_serializable_transactions_do_not_both_commit",
        conflicting_serializable_transactions_do_not_both_commit,
    ),
    (
        "rolled_back_schema_changes_leave_nothing",
        rolled_back_schema_changes_leave_nothing,
    ),
];

fn table() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint PRIMARY KEY, body text)", &[])?;
    run("INSERT INTO notes VALUES (1, 'first')", &[]).map(drop)
}

fn begin(isolation: Isolation, read_only: bool) -> Result<Transaction, String> {
    Transaction::begin(isolation, read_only).map_err(|error| format!("begin: {error:?}"))
}

fn count() -> Result<Value, String> {
    one("SELECT count(*) FROM notes", &[])
}

fn write(transaction: &Transaction) -> Result<(), String> {
    let inserted = transaction.execute(
        "INSERT INTO notes VALUES ($1, $2)",
        &[integer(2), text("second")],
    );
    ensure!(matches!(inserted, Ok(1)), "{inserted:?}");
    Ok(())
}

fn counts(expected: i64) -> Result<(), String> {
    let count = count()?;
    ensure!(
        same(&count, &integer(expected)),
        "{count:?} rows, not {expected}"
    );
    Ok(())
}

fn committed_transaction_is_durable() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    Transaction::commit(transaction).map_err(|error| format!("{error:?}"))?;
    counts(2)
}

fn rolled_back_transaction_leaves_nothing() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    Transaction::rollback(transaction).map_err(|error| format!("{error:?}"))?;
    counts(1)
}

fn dropped_transaction_is_rolled_back() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    drop(transaction);
    counts(1)?;
    // The rolled back changes do not affect the next transaction.
    run("INSERT INTO notes VALUES (2, 'again')", &[]).map(drop)
}

fn transaction_sees_its_own_writes() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    let seen = transaction.query("SELECT body FROM notes WHERE id = $1", &[integer(2)]);
    ensure!(
        matches!(&seen, Ok(found) if found.rows.len() == 1),
        "{seen:?}"
    );
    Ok(())
}

fn read_only_transaction_refuses_to_write() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, true)?;
    let read = transaction.query("SELECT body FROM notes", &[]);
    ensure!(
        matches!(&read, Ok(found) if found.rows.len() == 1),
        "{read:?}"
    );
    refuses(
        transaction.execute("INSERT INTO notes VALUES (2, 'no')", &[]),
        "25006",
        "a write",
    )
}

fn every_isolation_level_works() -> Result<(), String> {
    table()?;
    for (at, isolation) in [
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ]
    .into_iter()
    .enumerate()
    {
        let transaction = begin(isolation, false)?;
        let inserted = transaction.execute(
            "INSERT INTO notes VALUES ($1, 'x')",
            &[integer(10 + at as i64)],
        );
        ensure!(matches!(inserted, Ok(1)), "{inserted:?}");
        Transaction::commit(transaction).map_err(|error| format!("{error:?}"))?;
    }
    counts(4)
}

fn repeatable_read_sees_one_snapshot() -> Result<(), String> {
    table()?;
    if !is_postgres() {
        // On SQLite a writer may have to wait for a reader; the cursor cases test what a reader
        // sees.
        return Ok(());
    }
    let transaction = begin(Isolation::RepeatableRead, true)?;
    let before = transaction.query("SELECT count(*) FROM notes", &[]);
    run("INSERT INTO notes VALUES (2, 'second')", &[])?;
    let after = transaction.query("SELECT count(*) FROM notes", &[]);
    match (before, after) {
        (Ok(before), Ok(after)) => ensure!(
            same(&before.rows[0][0], &after.rows[0][0]),
            "{before:?}, then {after:?}"
        ),
        other => return Err(format!("{other:?}")),
    }
    counts(2)
}

fn refusal_aborts_the_transaction() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    refuses(
        transaction.execute("INSERT INTO notes VALUES (1, 'taken')", &[]),
        "23505",
        "a taken key",
    )?;
    refuses(transaction.query("SELECT 1", &[]), "25P02", "what follows")?;
    drop(transaction);
    counts(1)
}

fn result_over_the_limit_aborts_its_transaction() -> Result<(), String> {
    const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i \
        < 100000) SELECT i FROM n";
    table()?;
    for statement in [
        NUMBERS.to_owned(),
        format!("INSERT INTO notes SELECT i + 10, 'x' FROM ({NUMBERS}) AS m RETURNING id"),
    ] {
        let transaction = begin(Isolation::ReadCommitted, false)?;
        write(&transaction)?;
        fails(
            transaction.query(&statement, &[]).map(|_| ()),
            "too-large",
            "100,000 numbers",
        )?;
        refuses(transaction.query("SELECT 1", &[]), "25P02", "what follows")?;
        refuses(Transaction::commit(transaction), "25P02", "commit")?;
        counts(1)?;
    }
    Ok(())
}

fn commit_of_an_aborted_transaction_is_refused() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    refuses(
        transaction.execute("INSERT INTO notes VALUES (1, 'taken')", &[]),
        "23505",
        "a taken key",
    )?;
    refuses(Transaction::commit(transaction), "25P02", "commit")?;
    counts(1)
}

fn invalid_call_leaves_the_transaction_usable() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    write(&transaction)?;
    fails(
        transaction.execute("INSERT INTO notes VALUES ($1, 'x')", &[]),
        "invalid",
        "a missing parameter",
    )?;
    fails(
        transaction.execute("COMMIT", &[]),
        "denied",
        "a COMMIT of its own",
    )?;
    fails(
        transaction.execute("SAVEPOINT x", &[]),
        "denied",
        "a savepoint",
    )?;
    fails(
        transaction.execute("SET TRANSACTION READ ONLY", &[]),
        "denied",
        "SET TRANSACTION",
    )?;
    Transaction::commit(transaction).map_err(|error| format!("{error:?}"))?;
    counts(2)
}

fn consecutive_transactions_are_independent() -> Result<(), String> {
    table()?;
    for at in 0..100 {
        let transaction = begin(Isolation::ReadCommitted, false)?;
        let updated = transaction.execute(
            "UPDATE notes SET body = $1 WHERE id = 1",
            &[text(&at.to_string())],
        );
        ensure!(matches!(updated, Ok(1)), "{updated:?}");
        match at % 3 {
            0 => Transaction::commit(transaction).map_err(|error| format!("{error:?}"))?,
            1 => Transaction::rollback(transaction).map_err(|error| format!("{error:?}"))?,
            _ => drop(transaction),
        }
    }
    let last = one("SELECT body FROM notes WHERE id = 1", &[])?;
    ensure!(same(&last, &text("99")), "{last:?}");
    Ok(())
}

fn conflicting_serializable_transactions_do_not_both_commit() -> Result<(), String> {
    table()?;
    if !is_postgres() {
        // SQLite has one writer at a time, so there is no conflict: every transaction is
        // serializable.
        return Ok(());
    }
    run("INSERT INTO notes VALUES (2, 'second')", &[])?;
    let (left, right) = (
        begin(Isolation::Serializable, false)?,
        begin(Isolation::Serializable, false)?,
    );
    for transaction in [&left, &right] {
        let seen = transaction.query("SELECT count(*) FROM notes WHERE body <> 'gone'", &[]);
        ensure!(seen.is_ok(), "{seen:?}");
    }
    let wrote = left.execute("UPDATE notes SET body = 'gone' WHERE id = 1", &[]);
    ensure!(matches!(wrote, Ok(1)), "{wrote:?}");
    let second = right.execute("UPDATE notes SET body = 'gone' WHERE id = 2", &[]);
    let first = Transaction::commit(left);
    ensure!(first.is_ok(), "{first:?}");
    let second = second.and_then(|_| Transaction::commit(right));
    let is_conflict = matches!(
        &second,
        Err(Error::Refused(refusal))
            if refusal.kind == RefusalKind::SerializationFailure && refusal.code == "40001"
    );
    ensure!(is_conflict, "{second:?}");
    Ok(())
}

fn rolled_back_schema_changes_leave_nothing() -> Result<(), String> {
    table()?;
    let transaction = begin(Isolation::ReadCommitted, false)?;
    let created = transaction.execute("CREATE TABLE more (id bigint)", &[]);
    ensure!(created.is_ok(), "{created:?}");
    drop(transaction);
    refuses(query("SELECT * FROM more", &[]), "42P01", "the table")
}
