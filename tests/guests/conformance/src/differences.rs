//! The differences between PostgreSQL and SQLite that remain, as `docs/database.md` lists them.
//!
//! A feature that one of them lacks is a typed error there. The others are results of the SQL
//! itself.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "wrong_kind_is_invalid_or_converted_by_affinity",
        wrong_kind_is_invalid_or_converted_by_affinity,
    ),
    (
        "expressions_have_types_or_storage_classes",
        expressions_have_types_or_storage_classes,
    ),
    (
        "declared_lengths_and_ranges_are_enforced_or_ignored",
        declared_lengths_and_ranges_are_enforced_or_ignored,
    ),
    (
        "decimals_keep_trailing_zeros_or_only_their_value",
        decimals_keep_trailing_zeros_or_only_their_value,
    ),
    (
        "minus_zero_is_a_value_or_invalid",
        minus_zero_is_a_value_or_invalid,
    ),
    (
        "bare_json_number_is_kept_or_invalid",
        bare_json_number_is_kept_or_invalid,
    ),
    (
        "jsonb_is_normalised_or_kept_as_written",
        jsonb_is_normalised_or_kept_as_written,
    ),
    (
        "deeply_nested_json_is_refused_or_kept",
        deeply_nested_json_is_refused_or_kept,
    ),
    (
        "integer_overflow_is_refused_or_a_real",
        integer_overflow_is_refused_or_a_real,
    ),
    (
        "division_by_zero_is_refused_or_null",
        division_by_zero_is_refused_or_null,
    ),
    (
        "ungrouped_column_is_refused_or_of_any_row",
        ungrouped_column_is_refused_or_of_any_row,
    ),
    ("nulls_sort_last_or_first", nulls_sort_last_or_first),
    (
        "text_sorts_by_collation_or_by_code_point",
        text_sorts_by_collation_or_by_code_point,
    ),
    (
        "like_is_case_sensitive_or_insensitive",
        like_is_case_sensitive_or_insensitive,
    ),
    (
        "lower_uses_the_locale_or_ascii",
        lower_uses_the_locale_or_ascii,
    ),
    (
        "unnamed_check_has_a_name_or_none",
        unnamed_check_has_a_name_or_none,
    ),
    (
        "write_with_too_large_a_result_is_done_or_not",
        write_with_too_large_a_result_is_done_or_not,
    ),
];

/// Expects PostgreSQL's value or SQLite's, depending on the database.
fn either(found: &Value, postgres: &Value, sqlite: &Value) -> Result<(), String> {
    let expected = if is_postgres() { postgres } else { sqlite };
    ensure!(
        same(found, expected),
        "{} where {} was expected",
        shown(found),
        shown(expected)
    );
    Ok(())
}

fn wrong_kind_is_invalid_or_converted_by_affinity() -> Result<(), String> {
    run("CREATE TABLE things (number bigint, word text)", &[])?;
    let number = || execute("INSERT INTO things (number) VALUES ($1)", &[text("12")]);
    let word = || execute("INSERT INTO things (word) VALUES ($1)", &[integer(12)]);
    if is_postgres() {
        fails(number(), "invalid", "text as bigint")?;
        return fails(word(), "invalid", "an integer as text");
    }
    ensure!(number().is_ok() && word().is_ok(), "affinity converts them");
    let found = one("SELECT number FROM things WHERE number IS NOT NULL", &[])?;
    ensure!(same(&found, &integer(12)), "{found:?}");
    let found = one("SELECT word FROM things WHERE word IS NOT NULL", &[])?;
    ensure!(same(&found, &text("12")), "{found:?}");
    run("INSERT INTO things (number) VALUES ($1)", &[text("twelve")])?;
    let found = one("SELECT number FROM things WHERE number = 'twelve'", &[])?;
    ensure!(same(&found, &text("twelve")), "{found:?}");
    Ok(())
}

fn expressions_have_types_or_storage_classes() -> Result<(), String> {
    run("CREATE TABLE kept (h uuid, i timestamp, a boolean)", &[])?;
    run(
        "INSERT INTO kept VALUES ($1, $2, $3)",
        &[
            Value::Uuid((0, 1)),
            Value::Timestamp(7),
            Value::Boolean(true),
        ],
    )?;
    either(
        &one("SELECT 1 = 1", &[])?,
        &Value::Boolean(true),
        &integer(1),
    )?;
    either(
        &one("SELECT max(i) FROM kept", &[])?,
        &Value::Timestamp(7),
        &integer(7),
    )?;
    let bytes = Value::Bytes([vec![0; 15], vec![1]].concat());
    either(
        &one("SELECT coalesce(h, h) FROM kept", &[])?,
        &Value::Uuid((0, 1)),
        &bytes,
    )?;
    // A column has its declared type, even through a view or a subquery.
    let found = rows("SELECT h, i, a FROM (SELECT * FROM kept) AS again", &[])?;
    let [row] = found.as_slice() else {
        return Err(format!("{found:?}"));
    };
    ensure!(
        same(&row[0], &Value::Uuid((0, 1)))
            && same(&row[1], &Value::Timestamp(7))
            && same(&row[2], &Value::Boolean(true)),
        "{row:?}"
    );
    Ok(())
}

fn declared_lengths_and_ranges_are_enforced_or_ignored() -> Result<(), String> {
    run(
        "CREATE TABLE narrow (word varchar(3), number smallint)",
        &[],
    )?;
    let word = execute("INSERT INTO narrow (word) VALUES ($1)", &[text("four")]);
    let number = execute("INSERT INTO narrow (number) VALUES (70000)", &[]);
    if is_postgres() {
        refuses(word, "22001", "four letters in varchar(3)")?;
        return refuses(number, "22003", "70000 as smallint");
    }
    ensure!(word.is_ok() && number.is_ok(), "{word:?}, {number:?}");
    // A CHECK holds on both.
    run(
        "CREATE TABLE checked (word text CHECK (length(word) <= 3))",
        &[],
    )?;
    refuses(
        execute("INSERT INTO checked VALUES ($1)", &[text("four")]),
        "23514",
        "a CHECK",
    )
}

fn decimals_keep_trailing_zeros_or_only_their_value() -> Result<(), String> {
    run("CREATE TABLE prices (price numeric)", &[])?;
    run(
        "INSERT INTO prices VALUES ($1)",
        &[Value::Decimal("1.500".into())],
    )?;
    either(
        &one("SELECT price FROM prices", &[])?,
        &Value::Decimal("1.500".into()),
        &Value::Decimal("1.5".into()),
    )
}

fn minus_zero_is_a_value_or_invalid() -> Result<(), String> {
    run("CREATE TABLE reals (e double precision)", &[])?;
    let stored = execute("INSERT INTO reals VALUES ($1)", &[Value::Real(-0.0)]);
    if !is_postgres() {
        return fails(stored, "invalid", "-0.0");
    }
    ensure!(stored.is_ok(), "{stored:?}");
    let found = one("SELECT e FROM reals", &[])?;
    ensure!(same(&found, &Value::Real(-0.0)), "{found:?}");
    Ok(())
}

fn bare_json_number_is_kept_or_invalid() -> Result<(), String> {
    run("CREATE TABLE documents (k json)", &[])?;
    for number in ["1e5", "1.0", "-0", "12345678901234567890"] {
        run("DELETE FROM documents", &[])?;
        let json = || Value::Json(number.into());
        let stored = execute("INSERT INTO documents VALUES ($1)", &[json()]);
        if is_postgres() {
            ensure!(stored.is_ok(), "{number}: {stored:?}");
            let found = one("SELECT k FROM documents", &[])?;
            ensure!(same(&found, &json()), "{found:?}");
        } else {
            fails(stored, "invalid", number)?;
        }
    }
    Ok(())
}

fn jsonb_is_normalised_or_kept_as_written() -> Result<(), String> {
    run("CREATE TABLE documents (k jsonb)", &[])?;
    run(
        "INSERT INTO documents VALUES ($1)",
        &[Value::Json(r#"{"b":1,  "a":2}"#.into())],
    )?;
    either(
        &one("SELECT k FROM documents", &[])?,
        &Value::Json(r#"{"a": 2, "b": 1}"#.into()),
        &Value::Json(r#"{"b":1,  "a":2}"#.into()),
    )
}

fn deeply_nested_json_is_refused_or_kept() -> Result<(), String> {
    run("CREATE TABLE documents (k json)", &[])?;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let stored = execute(
        "INSERT INTO documents VALUES ($1)",
        &[Value::Json(deep.clone())],
    );
    if is_postgres() {
        return refuses(stored, "54001", "200,000 arrays in each other");
    }
    ensure!(stored.is_ok(), "{stored:?}");
    let found = one("SELECT k FROM documents", &[])?;
    ensure!(same(&found, &Value::Json(deep)), "{}", shown(&found));
    Ok(())
}

fn integer_overflow_is_refused_or_a_real() -> Result<(), String> {
    let sum = query("SELECT 9223372036854775807 + 1", &[]);
    if is_postgres() {
        return refuses(sum, "22003", "2^63");
    }
    let found = one("SELECT 9223372036854775807 + 1", &[])?;
    ensure!(
        same(&found, &Value::Real(9_223_372_036_854_775_808.0)),
        "{found:?}"
    );
    // An aggregate states it on both.
    run("CREATE TABLE numbers (n bigint)", &[])?;
    run(
        "INSERT INTO numbers VALUES ($1), ($1)",
        &[integer(i64::MAX)],
    )?;
    refuses(
        query("SELECT sum(n) FROM numbers", &[]),
        "22003",
        "the sum of two",
    )
}

fn division_by_zero_is_refused_or_null() -> Result<(), String> {
    let quotient = query("SELECT 1 / 0", &[]);
    if is_postgres() {
        return refuses(quotient, "22012", "1 / 0");
    }
    let found = one("SELECT 1 / 0", &[])?;
    ensure!(same(&found, &Value::Null), "{found:?}");
    Ok(())
}

fn ungrouped_column_is_refused_or_of_any_row() -> Result<(), String> {
    run("CREATE TABLE pairs (x bigint, y bigint)", &[])?;
    run("INSERT INTO pairs VALUES (1, 10), (1, 20)", &[])?;
    let found = query("SELECT x, y FROM pairs GROUP BY x", &[]);
    if is_postgres() {
        return refuses(found, "42803", "y is in no group");
    }
    ensure!(
        matches!(&found, Ok(found) if found.rows.len() == 1),
        "{found:?}"
    );
    Ok(())
}

fn integers(statement: &str) -> Result<Vec<Option<i64>>, String> {
    let one = |row: Vec<Value>| match row.as_slice() {
        [Value::Integer(number)] => Ok(Some(*number)),
        [Value::Null] => Ok(None),
        other => Err(format!("{statement}: {other:?}")),
    };
    rows(statement, &[])?.into_iter().map(one).collect()
}

fn nulls_sort_last_or_first() -> Result<(), String> {
    run("CREATE TABLE numbers (n bigint)", &[])?;
    run("INSERT INTO numbers VALUES (2), (NULL), (1)", &[])?;
    let (last, first) = (
        [Some(1), Some(2), None].to_vec(),
        [None, Some(1), Some(2)].to_vec(),
    );
    let found = integers("SELECT n FROM numbers ORDER BY n")?;
    ensure!(
        found == if is_postgres() { last.clone() } else { first },
        "{found:?}"
    );
    // `NULLS LAST` holds on both.
    let found = integers("SELECT n FROM numbers ORDER BY n NULLS LAST")?;
    ensure!(found == last, "{found:?}");
    Ok(())
}

fn text_sorts_by_collation_or_by_code_point() -> Result<(), String> {
    run("CREATE TABLE words (n bigint, word text)", &[])?;
    run("INSERT INTO words VALUES (1, 'B'), (2, 'a'), (3, 'é')", &[])?;
    let by_code_point = if is_postgres() {
        "SELECT n FROM words ORDER BY word COLLATE \"C\""
    } else {
        "SELECT n FROM words ORDER BY word"
    };
    let found = integers(by_code_point)?;
    ensure!(found == [Some(1), Some(2), Some(3)], "{found:?}");
    // Equality is the same on both, byte by byte, in every collation.
    let found = one(
        "SELECT count(*) FROM words WHERE word IN ('b', 'A', 'e', $1)",
        &[text("e\u{301}")],
    )?;
    ensure!(same(&found, &integer(0)), "{found:?}");
    Ok(())
}

fn like_is_case_sensitive_or_insensitive() -> Result<(), String> {
    let found = integers("SELECT 1 WHERE 'Ann' LIKE 'ann'")?;
    ensure!(found.is_empty() == is_postgres(), "{found:?}");
    // Lower-casing both sides first gives the same result on both.
    let found = integers("SELECT 1 WHERE lower('Ann') LIKE 'ann'")?;
    ensure!(found == [Some(1)], "{found:?}");
    Ok(())
}

fn lower_uses_the_locale_or_ascii() -> Result<(), String> {
    let ascii = one("SELECT lower('ANN')", &[])?;
    ensure!(same(&ascii, &text("ann")), "{ascii:?}");
    let found = one("SELECT lower('Ü')", &[])?;
    // PostgreSQL's result depends on its locale, and the locale C changes only ASCII.
    ensure!(
        same(&found, &text("Ü")) || (is_postgres() && same(&found, &text("ü"))),
        "{found:?}"
    );
    Ok(())
}

fn unnamed_check_has_a_name_or_none() -> Result<(), String> {
    run("CREATE TABLE ages (age bigint CHECK (age >= 0))", &[])?;
    match execute("INSERT INTO ages VALUES (-1)", &[]) {
        Err(Error::Refused(refusal)) if refusal.kind == RefusalKind::CheckViolation => {
            let expected = is_postgres().then_some("ages_age_check");
            ensure!(refusal.constraint.as_deref() == expected, "{refusal:?}");
            Ok(())
        }
        other => Err(format!("{other:?}")),
    }
}

fn write_with_too_large_a_result_is_done_or_not() -> Result<(), String> {
    run("CREATE TABLE numbers (n bigint)", &[])?;
    let insert = "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 \
        FROM n WHERE i < 100000) \
                  SELECT i FROM n RETURNING n";
    // A write that has happened is not reported as an error that denies it.
    let error = if is_postgres() {
        "in-doubt"
    } else {
        "too-large"
    };
    fails(query(insert, &[]), error, "100,000 numbers")?;
    either(
        &one("SELECT count(*) FROM numbers", &[])?,
        &integer(100_000),
        &integer(0),
    )?;
    // In a transaction it has no effect on either.
    run("DELETE FROM numbers", &[])?;
    let transaction = Transaction::begin(Isolation::ReadCommitted, false)
        .map_err(|error| format!("{error:?}"))?;
    fails(
        transaction.query(insert, &[]),
        "too-large",
        "100,000 numbers in a transaction",
    )?;
    drop(transaction);
    let found = one("SELECT count(*) FROM numbers", &[])?;
    ensure!(same(&found, &integer(0)), "{found:?}");
    Ok(())
}
