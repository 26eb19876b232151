//! Statements and cursors over a script.

mod transactions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use usher::database::backend::{BackendPool as _, BackendTransaction};
use usher::database::budget::Budget;
use usher::database::statement::{Effect, Statement};
use usher::database::{Error, Row, Value};

use super::{Event, Isolation, Script, SqlDialect};

const FAR_DEADLINE: Duration = Duration::from_mins(1);
const NEAR_DEADLINE: Duration = Duration::from_millis(20);

fn within(time: Duration) -> Budget {
    let now = Instant::now();
    Budget::new(now, now + time, 1 << 20)
}

/// A budget for a result of so many bytes.
fn room(rows_bytes: u64) -> Budget {
    let mut budget = within(FAR_DEADLINE);
    budget.rows_bytes = rows_bytes;
    budget
}

fn read(text: &str) -> Arc<Statement> {
    Statement::new(text.into(), Effect::Reads)
}

fn write(text: &str) -> Arc<Statement> {
    Statement::new(text.into(), Effect::Writes)
}

fn numbers(numbers: std::ops::Range<i64>) -> Vec<Row> {
    numbers.map(|number| vec![Value::Integer(number)]).collect()
}

fn lines(script: &Script) -> Vec<String> {
    script.log().iter().map(ToString::to_string).collect()
}

async fn execute(script: &Script, text: &str) -> Result<u64, Error> {
    script
        .execute(&write(text), &[], &within(FAR_DEADLINE))
        .await
}

async fn begin(script: &Script) -> Box<dyn BackendTransaction> {
    script
        .begin(Isolation::ReadCommitted, false, &within(FAR_DEADLINE))
        .await
        .expect("begin")
}

#[tokio::test]
async fn scripted_rows_are_returned_and_counted() {
    let script = Script::new();
    script.on("SELECT n FROM t").rows(["n"], numbers(0..3));
    let rows = script
        .query(&read("SELECT n\n  FROM t "), &[], &within(FAR_DEADLINE))
        .await
        .expect("rows");
    assert_eq!(*rows.columns, ["n"]);
    let [_, _, last] = rows.rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert!(matches!(last.as_slice(), [Value::Integer(2)]));
    assert_eq!(execute(&script, "SELECT n FROM t").await.expect("count"), 3);
}

#[tokio::test]
async fn affected_rows_are_counted_without_rows() {
    let script = Script::new();
    script.on("DELETE FROM t").affected(4);
    assert_eq!(execute(&script, "DELETE FROM t").await.expect("count"), 4);
    let rows = script
        .query(&write("DELETE FROM t"), &[], &within(FAR_DEADLINE))
        .await
        .expect("no rows");
    assert!(rows.columns.is_empty() && rows.rows.is_empty());
}

#[tokio::test]
async fn star_in_pattern_matches_any_text() {
    for (pattern, text, fits) in [
        ("SELECT 1", "SELECT 1", true),
        ("SELECT 1", "SELECT 10", false),
        ("SELECT 1", "select 1", false),
        ("SELECT 1", "\tSELECT\n 1", true),
        ("INSERT *", "INSERT INTO t", true),
        ("INSERT *", "WITH x INSERT INTO t", false),
        ("*users*", "SELECT * FROM users WHERE id = $1", true),
        ("*users*", "users", true),
        ("*users", "users users", true),
        ("SELECT * FROM users", "SELECT * FROM users", true),
        ("SELECT * FROM * WHERE *", "SELECT id FROM users", false),
        ("a*a", "a", false),
        ("ä*ß", "ä→ß", true),
        ("*", "", true),
        ("", "SELECT 1", false),
    ] {
        let script = Script::new();
        script.on(pattern).affected(1);
        assert_eq!(
            execute(&script, text).await.is_ok(),
            fits,
            "{pattern} on {text}"
        );
    }
}

#[tokio::test]
async fn rule_with_parameters_matches_only_equal_parameters() {
    let script = Script::new();
    let expected = [
        Value::Integer(1),
        Value::Real(f64::NAN),
        Value::Text("Ann".into()),
        Value::Null,
    ];
    script.on("*").with_params(&expected).affected(1);
    let statement = write("UPDATE t");
    assert_eq!(
        script
            .execute(&statement, &expected, &within(FAR_DEADLINE))
            .await
            .expect("the same"),
        1
    );
    for index in 0..expected.len() {
        let mut other = expected.to_vec();
        other[index] = Value::Json("Ann".into());
        assert!(
            script
                .execute(&statement, &other, &within(FAR_DEADLINE))
                .await
                .is_err(),
            "{other:?}"
        );
    }
    assert!(
        script
            .execute(&statement, &expected[..3], &within(FAR_DEADLINE))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn first_matching_rule_with_uses_left_applies() {
    let script = Script::new();
    script.on("INSERT *").times(2).error(Error::Overloaded);
    script.on("INSERT *").affected(1);
    script.on("*").affected(9);
    for expected in [None, None, Some(1), Some(1)] {
        assert_eq!(execute(&script, "INSERT INTO t").await.ok(), expected);
    }
    assert_eq!(execute(&script, "DELETE FROM t").await.ok(), Some(9));
}

#[tokio::test]
async fn rule_for_the_nth_statement_applies_to_it_alone() {
    let script = Script::new();
    script.on("*").nth(3).error(Error::Overloaded);
    script.on("*").nth(5).times(2).affected(5);
    script.on("*").nth(0).affected(0);
    script.on("*").affected(1);
    let mut outcomes = Vec::new();
    for number in 0..8 {
        outcomes.push(
            execute(&script, &format!("DELETE FROM t{number}"))
                .await
                .ok(),
        );
    }
    // The second rule does not see the statement that the first one matches.
    assert_eq!(
        outcomes,
        [
            Some(1),
            Some(1),
            None,
            Some(1),
            Some(1),
            Some(5),
            Some(5),
            Some(1)
        ]
    );
    assert_eq!(script.unused(), ["* [number 0]"]);
}

#[tokio::test]
async fn unmatched_statement_returns_an_error_with_its_text() {
    let script = Script::new();
    let statement = read("SELECT name FROM users WHERE id = $1");
    let error = script
        .query(&statement, &[Value::Integer(7)], &within(FAR_DEADLINE))
        .await
        .expect_err("no rule");
    let shown = "SELECT name FROM users WHERE id = $1 ($1 = 7)";
    assert!(
        matches!(&error, Error::Invalid(why) if *why == format!("the script has no rule for: \
            {shown}")),
        "{error}"
    );
    assert_eq!(script.unmatched(), [shown]);
    assert_eq!(lines(&script), [shown]);
}

#[tokio::test]
async fn unused_rules_are_listed() {
    let script = Script::new();
    script.on("SELECT  1").affected(0);
    script
        .on("SELECT $1")
        .with_params(&[Value::Text("x".into())])
        .affected(0);
    script.on_begin().ok();
    script.on_commit().hang();
    script.on_rollback().nth(2).ok();
    drop(begin(&script).await);
    assert_eq!(
        script.unused(),
        [
            "SELECT 1",
            "SELECT $1 ($1 = \"x\")",
            "COMMIT",
            "ROLLBACK [number 2]"
        ]
    );
}

#[tokio::test]
async fn script_is_done_once_all_rules_are_used_and_all_statements_matched() {
    let script = Script::new();
    script.on("DELETE FROM t").affected(0);
    let done = || {
        let script = script.clone();
        std::panic::catch_unwind(move || script.assert_done()).is_ok()
    };
    assert!(!done());
    execute(&script, "DELETE FROM t").await.expect("answer");
    assert!(done());
    execute(&script, "DELETE FROM u")
        .await
        .expect_err("no answer");
    assert!(!done());
}

#[tokio::test]
async fn scripted_delay_postpones_the_result() {
    let script = Script::new();
    script.on("*").delay(NEAR_DEADLINE).affected(1);
    let began = Instant::now();
    assert_eq!(execute(&script, "DELETE FROM t").await.expect("answer"), 1);
    assert!(began.elapsed() >= NEAR_DEADLINE);
}

#[tokio::test]
async fn delay_beyond_deadline_and_hang_time_out_at_the_deadline() {
    let script = Script::new();
    script.on("DELETE *").delay(FAR_DEADLINE).affected(1);
    script.on("SELECT *").hang();
    script.on_begin().hang();
    let began = Instant::now();
    let budget = within(NEAR_DEADLINE);
    assert!(matches!(
        script.execute(&write("DELETE FROM t"), &[], &budget).await,
        Err(Error::Timeout)
    ));
    assert!(began.elapsed() >= NEAR_DEADLINE && began.elapsed() < FAR_DEADLINE);
    assert!(matches!(
        script
            .query(&read("SELECT 1"), &[], &within(NEAR_DEADLINE))
            .await,
        Err(Error::Timeout)
    ));
    assert!(matches!(
        script
            .open(&read("SELECT 1"), vec![], &within(NEAR_DEADLINE))
            .await,
        Err(Error::Timeout)
    ));
    let transaction = script
        .begin(Isolation::Serializable, true, &within(NEAR_DEADLINE))
        .await;
    assert!(matches!(transaction, Err(Error::Timeout)));
}

#[tokio::test]
async fn connection_lost_during_write_is_in_doubt_and_during_read_is_not() {
    let script = Script::new();
    script.on("*").drop_connection();
    assert!(matches!(
        execute(&script, "DELETE FROM t").await,
        Err(Error::InDoubt)
    ));
    assert!(matches!(
        script
            .query(&read("SELECT 1"), &[], &within(FAR_DEADLINE))
            .await,
        Err(Error::Unavailable(_))
    ));
    assert!(matches!(
        script
            .open(&read("SELECT 1"), vec![], &within(FAR_DEADLINE))
            .await,
        Err(Error::Unavailable(_))
    ));
}

#[tokio::test]
async fn result_over_the_limit_is_too_large() {
    let script = Script::new();
    script
        .on("*")
        .rows(["text"], [vec![Value::Text("x".repeat(1000))]]);
    let budget = room(1000);
    assert!(matches!(
        script.query(&read("SELECT 1"), &[], &budget).await,
        Err(Error::TooLarge(1000))
    ));
    let budget = room(1048);
    assert_eq!(
        script
            .query(&read("SELECT 1"), &[], &budget)
            .await
            .expect("room")
            .rows
            .len(),
        1
    );
}

#[test]
fn log_shows_every_kind_of_value() {
    let params = vec![
        Value::Null,
        Value::Boolean(true),
        Value::Integer(-1),
        Value::Real(1.0),
        Value::Text("a\"b".into()),
        Value::Bytes(vec![0, 255]),
        Value::Uuid((0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210)),
        Value::Timestamp(5),
        Value::Decimal("1.50".into()),
        Value::Json("{}".into()),
    ];
    let shown = Event::Statement {
        text: "S".into(),
        params,
    }
    .to_string();
    assert_eq!(
        shown,
        concat!(
            r#"S ($1 = null, $2 = true, $3 = -1, $4 = 1.0, $5 = "a\"b", $6 = bytes 00ff, "#,
            "$7 = 01234567-89ab-cdef-fedc-ba9876543210, $8 = timestamp 5, ",
            "$9 = decimal 1.50, $10 = json {})",
        )
    );
}

#[tokio::test]
async fn scripted_cursor_returns_rows_in_batches() {
    let script = Script::new();
    script.on("*").rows(["n"], numbers(0..5));
    let budget = within(FAR_DEADLINE);
    let mut cursor = script
        .open(&read("SELECT n"), vec![], &budget)
        .await
        .expect("open");
    assert_eq!(cursor.columns(), ["n"]);
    let mut counts = Vec::new();
    for at_most in [2, 0, 2, 2, 2] {
        counts.push(cursor.next(at_most, &budget).await.expect("rows").len());
    }
    assert_eq!(counts, [2, 0, 2, 1, 0]);
}

#[tokio::test]
async fn scripted_cursor_batch_stays_within_the_limit() {
    let script = Script::new();
    script.on("*").rows(["n"], numbers(0..3));
    let mut cursor = script
        .open(&read("SELECT n"), vec![], &within(FAR_DEADLINE))
        .await
        .expect("open");
    let budget = room(100);
    assert_eq!(cursor.next(10, &budget).await.expect("rows").len(), 2);
    let small = room(15);
    assert!(matches!(
        cursor.next(10, &small).await,
        Err(Error::TooLarge(15))
    ));
    assert!(cursor.next(10, &budget).await.expect("the end").is_empty());
}

#[tokio::test]
async fn scripted_error_follows_some_rows() {
    let script = Script::new();
    script
        .on("*")
        .rows_then(["n"], numbers(0..3), Error::Unavailable("cut".into()));
    let budget = within(FAR_DEADLINE);
    let mut cursor = script
        .open(&read("SELECT n"), vec![], &budget)
        .await
        .expect("open");
    assert_eq!(cursor.next(10, &budget).await.expect("rows").len(), 3);
    assert!(matches!(
        cursor.next(10, &budget).await,
        Err(Error::Unavailable(_))
    ));
    assert!(cursor.next(10, &budget).await.expect("the end").is_empty());
    assert!(matches!(
        script.query(&read("SELECT n"), &[], &budget).await,
        Err(Error::Unavailable(_))
    ));
}

#[test]
#[should_panic(expected = "row 2 has 1 values, and there are 2 columns")]
fn rows_of_another_width_than_the_columns_panic() {
    let row = || vec![Value::Null, Value::Null];
    Script::new()
        .on("*")
        .rows(["a", "b"], [row(), vec![Value::Null]]);
}

#[test]
fn cloned_script_shares_rules_log_and_dialect() {
    let script = Script::new();
    assert_eq!(script.dialect(), SqlDialect::Postgres);
    let clone = script.clone().speaks(SqlDialect::Sqlite);
    assert_eq!(script.dialect(), SqlDialect::Sqlite);
    clone.on("SELECT 1").affected(0);
    assert_eq!(script.unused(), ["SELECT 1"]);
}
