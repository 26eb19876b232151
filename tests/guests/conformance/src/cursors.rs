//! Results read in batches.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "cursor_returns_every_row_once_in_order",
        cursor_returns_every_row_once_in_order,
    ),
    (
        "cursor_at_its_end_returns_no_more_rows",
        cursor_at_its_end_returns_no_more_rows,
    ),
    (
        "dropped_cursor_leaves_nothing",
        dropped_cursor_leaves_nothing,
    ),
    (
        "cursor_reads_the_snapshot_of_its_start",
        cursor_reads_the_snapshot_of_its_start,
    ),
    ("cursor_has_its_column_names", cursor_has_its_column_names),
    (
        "cursor_errors_equal_those_of_query",
        cursor_errors_equal_those_of_query,
    ),
    (
        "result_over_the_limit_can_be_streamed",
        result_over_the_limit_can_be_streamed,
    ),
    (
        "rows_beyond_one_batch_come_in_the_next",
        rows_beyond_one_batch_come_in_the_next,
    ),
    (
        "row_over_the_limit_ends_the_cursor",
        row_over_the_limit_ends_the_cursor,
    ),
];

const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \
    20000) SELECT i FROM n";

fn open(statement: &str, params: &[Value]) -> Result<Cursor, String> {
    Cursor::open(statement, params).map_err(|error| format!("{statement}: {error:?}"))
}

fn next(cursor: &Cursor, at_most: u32) -> Result<Vec<Vec<Value>>, String> {
    let rows = cursor
        .next(at_most)
        .map_err(|error| format!("next: {error:?}"))?;
    ensure!(
        rows.len() <= at_most as usize,
        "{} rows where {at_most} were requested",
        rows.len()
    );
    Ok(rows)
}

/// Reads to the end, batch by batch.
fn read(cursor: &Cursor, at_most: u32) -> Result<i64, String> {
    let mut seen = 0;
    loop {
        let rows = next(cursor, at_most)?;
        if rows.is_empty() {
            return Ok(seen);
        }
        for row in rows {
            seen += 1;
            ensure!(same(&row[0], &integer(seen)), "row {seen} is {row:?}");
        }
    }
}

fn cursor_returns_every_row_once_in_order() -> Result<(), String> {
    for at_most in [1000, 333, 20_000, u32::MAX] {
        let seen = read(&open(NUMBERS, &[])?, at_most)?;
        ensure!(seen == 20_000, "{seen} rows, {at_most} at a time");
    }
    Ok(())
}

fn cursor_at_its_end_returns_no_more_rows() -> Result<(), String> {
    let cursor = open("SELECT 1", &[])?;
    ensure!(next(&cursor, 0)?.is_empty(), "none were requested");
    ensure!(next(&cursor, 10)?.len() == 1, "the row");
    ensure!(
        next(&cursor, 10)?.is_empty() && next(&cursor, 10)?.is_empty(),
        "after the end"
    );
    Ok(())
}

fn dropped_cursor_leaves_nothing() -> Result<(), String> {
    for _ in 0..20 {
        let cursor = open(NUMBERS, &[])?;
        next(&cursor, 10)?;
        drop(cursor);
    }
    run("CREATE TABLE after (id bigint)", &[])?;
    run("INSERT INTO after VALUES (1)", &[]).map(drop)
}

fn cursor_reads_the_snapshot_of_its_start() -> Result<(), String> {
    run("CREATE TABLE notes (id bigint)", &[])?;
    run("INSERT INTO notes VALUES (1), (2), (3)", &[])?;
    let cursor = open("SELECT id FROM notes ORDER BY id", &[])?;
    ensure!(next(&cursor, 1)?.len() == 1, "the first");
    run("INSERT INTO notes VALUES (4)", &[])?;
    let rest = next(&cursor, 10)?.len() + next(&cursor, 10)?.len();
    ensure!(rest == 2, "{rest} more rows");
    drop(cursor);
    let count = one("SELECT count(*) FROM notes", &[])?;
    ensure!(same(&count, &integer(4)), "{count:?}");
    Ok(())
}

fn cursor_has_its_column_names() -> Result<(), String> {
    let cursor = open("SELECT 1 AS one, 'x' AS two", &[])?;
    ensure!(cursor.columns() == ["one", "two"], "{:?}", cursor.columns());
    Ok(())
}

fn cursor_errors_equal_those_of_query() -> Result<(), String> {
    refuses(
        Cursor::open("SELECT * FROM nowhere", &[]).map(|_| ()),
        "42P01",
        "no table",
    )?;
    fails(
        Cursor::open("SELECT 1", &[integer(1)]).map(|_| ()),
        "invalid",
        "a parameter too many",
    )?;
    let after = one("SELECT 1", &[])?;
    ensure!(same(&after, &integer(1)), "{after:?}");
    Ok(())
}

fn result_over_the_limit_can_be_streamed() -> Result<(), String> {
    let statement = NUMBERS.replace("20000", "200000");
    fails(query(&statement, &[]), "too-large", "all at once")?;
    let seen = read(&open(&statement, &[])?, 1000)?;
    ensure!(seen == 200_000, "{seen} rows");
    Ok(())
}

fn rows_beyond_one_batch_come_in_the_next() -> Result<(), String> {
    const ROWS: i64 = 160;
    run("CREATE TABLE large (id bigint, body text)", &[])?;
    // Small rows first, so that the size of the first rows does not predict that of the others.
    for id in 1..=ROWS {
        let body = "x".repeat(if id < 40 { 1 } else { 10 << 10 });
        run(
            "INSERT INTO large VALUES ($1, $2)",
            &[integer(id), text(&body)],
        )?;
    }
    fails(
        query("SELECT id, body FROM large", &[]),
        "too-large",
        "all at once",
    )?;
    for at_most in [1000, 100, 7] {
        let seen = read(
            &open("SELECT id, body FROM large ORDER BY id", &[])?,
            at_most,
        )?;
        ensure!(seen == ROWS, "{seen} rows, {at_most} at a time");
    }
    Ok(())
}

fn row_over_the_limit_ends_the_cursor() -> Result<(), String> {
    run("CREATE TABLE large (id bigint, body text)", &[])?;
    for (id, size) in [(1, 1), (2, 700 << 10), (3, 1)] {
        let body = text(&"x".repeat(size));
        run("INSERT INTO large VALUES ($1, $2)", &[integer(id), body])?;
    }
    // Twice the body is over the limit, although no parameter was.
    let cursor = open(
        "SELECT id, body || CASE id WHEN 2 THEN body ELSE '' END FROM large ORDER BY id",
        &[],
    )?;
    let first = next(&cursor, 10)?;
    ensure!(
        first.len() == 1,
        "{} rows before the large one",
        first.len()
    );
    fails(cursor.next(10), "too-large", "the large one")?;
    ensure!(next(&cursor, 10)?.is_empty(), "after an error");
    Ok(())
}
