//! Transactions over a script, and their log.

use super::*;
use usher::database::{Refusal, RefusalKind};

fn code(result: Result<impl Sized, Error>) -> String {
    match result {
        Err(Error::Refused(refusal)) => refusal.code,
        Err(other) => panic!("not a refusal: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

fn unique() -> Error {
    Error::Refused(Refusal {
        kind: RefusalKind::UniqueViolation,
        code: "23505".into(),
        message: "there is one".into(),
        constraint: None,
        column: None,
    })
}

#[tokio::test]
async fn log_has_all_calls_in_order_with_their_transaction() {
    let script = Script::new();
    script.on("*").affected(1);
    let budget = within(FAR_DEADLINE);
    let mut first = script
        .begin(Isolation::Serializable, true, &budget)
        .await
        .expect("begin");
    let mut second = begin(&script).await;
    second
        .execute(
            &write("DELETE FROM t WHERE id = $1"),
            &[Value::Integer(7)],
            &budget,
        )
        .await
        .expect("answer");
    first
        .query(&read("SELECT 1"), &[], &budget)
        .await
        .expect("answer");
    execute(&script, "DELETE FROM u").await.expect("answer");
    first.rollback(&budget).await.expect("rollback");
    second.commit(&budget).await.expect("commit");
    drop(begin(&script).await);
    let expected = [
        "[1] BEGIN SERIALIZABLE, READ ONLY",
        "[2] BEGIN READ COMMITTED",
        "[2] DELETE FROM t WHERE id = $1 ($1 = 7)",
        "[1] SELECT 1",
        "DELETE FROM u",
        "[1] ROLLBACK",
        "[2] COMMIT",
        "[3] BEGIN READ COMMITTED",
        "[3] dropped",
    ];
    assert_eq!(lines(&script), expected);
}

#[tokio::test]
async fn connection_lost_in_transaction_ends_it_without_doubt() {
    let script = Script::new();
    script.on("DELETE *").drop_connection();
    script.on("*").affected(1);
    let budget = within(FAR_DEADLINE);
    let mut transaction = begin(&script).await;
    let lost = transaction
        .execute(&write("DELETE FROM t"), &[], &budget)
        .await;
    assert!(matches!(lost, Err(Error::Unavailable(_))));
    assert!(matches!(
        transaction.execute(&write("UPDATE t"), &[], &budget).await,
        Err(Error::Unavailable(_))
    ));
    assert!(matches!(
        transaction.commit(&budget).await,
        Err(Error::Unavailable(_))
    ));
    let expected = [
        "[1] BEGIN READ COMMITTED",
        "[1] DELETE FROM t",
        "[1] connection lost",
        "[1] UPDATE t",
    ];
    assert_eq!(lines(&script), expected);
    assert_eq!(script.unused(), ["*"]);
}

#[tokio::test]
async fn connection_lost_at_commit_after_a_write_is_in_doubt() {
    let script = Script::new();
    script.on("*").affected(1);
    script.on_commit().drop_connection();
    let budget = within(FAR_DEADLINE);
    let mut transaction = begin(&script).await;
    transaction
        .execute(&write("DELETE FROM t"), &[], &budget)
        .await
        .expect("answer");
    assert!(matches!(
        transaction.commit(&budget).await,
        Err(Error::InDoubt)
    ));
    let mut transaction = begin(&script).await;
    transaction
        .query(&read("SELECT 1"), &[], &budget)
        .await
        .expect("answer");
    assert!(matches!(
        transaction.commit(&budget).await,
        Err(Error::Unavailable(_))
    ));
}

#[tokio::test]
async fn commit_that_hangs_after_a_write_is_in_doubt() {
    let script = Script::new();
    script.on("*").affected(1);
    script.on_commit().hang();
    let mut transaction = begin(&script).await;
    transaction
        .execute(&write("DELETE FROM t"), &[], &within(FAR_DEADLINE))
        .await
        .expect("answer");
    assert!(matches!(
        transaction.commit(&within(NEAR_DEADLINE)).await,
        Err(Error::InDoubt)
    ));
    assert!(matches!(
        begin(&script).await.commit(&within(NEAR_DEADLINE)).await,
        Err(Error::Timeout)
    ));
}

#[tokio::test]
async fn scripted_errors_of_begin_commit_and_rollback_are_returned() {
    let script = Script::new();
    script.on_begin().times(1).error(Error::Overloaded);
    script.on_begin().times(1).drop_connection();
    script.on_commit().error(unique());
    script.on_rollback().drop_connection();
    let budget = within(FAR_DEADLINE);
    let begun = script.begin(Isolation::ReadCommitted, false, &budget).await;
    assert!(matches!(begun, Err(Error::Overloaded)));
    let begun = script.begin(Isolation::ReadCommitted, false, &budget).await;
    assert!(matches!(begun, Err(Error::Unavailable(_))));
    assert_eq!(code(begin(&script).await.commit(&budget).await), "23505");
    assert!(matches!(
        begin(&script).await.rollback(&budget).await,
        Err(Error::Unavailable(_))
    ));
    script.assert_done();
}

#[tokio::test]
async fn refused_statement_aborts_transaction_and_commit_rolls_back() {
    let script = Script::new();
    script.on("INSERT *").error(unique());
    script.on("SELECT *").affected(0);
    let budget = within(FAR_DEADLINE);
    let mut transaction = begin(&script).await;
    assert_eq!(
        code(
            transaction
                .execute(&write("INSERT INTO t"), &[], &budget)
                .await
        ),
        "23505"
    );
    assert_eq!(
        code(transaction.query(&read("SELECT 1"), &[], &budget).await),
        "25P02"
    );
    assert_eq!(code(transaction.commit(&budget).await), "25P02");
    assert_eq!(
        lines(&script)[1..],
        ["[1] INSERT INTO t", "[1] SELECT 1", "[1] ROLLBACK"]
    );
}

#[tokio::test]
async fn unmatched_statement_leaves_transaction_usable() {
    let script = Script::new();
    let mut transaction = begin(&script).await;
    let error = transaction
        .execute(&write("DELETE FROM t"), &[], &within(FAR_DEADLINE))
        .await;
    assert!(matches!(error, Err(Error::Invalid(_))));
    transaction
        .commit(&within(FAR_DEADLINE))
        .await
        .expect("commit");
}

#[tokio::test]
async fn transaction_dropped_during_a_statement_is_rolled_back() {
    let script = Script::new();
    script.on("*").hang();
    let mut transaction = begin(&script).await;
    {
        let (statement, budget) = (write("DELETE FROM t"), within(FAR_DEADLINE));
        let mut call = std::pin::pin!(transaction.execute(&statement, &[], &budget));
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(transaction);
    assert_eq!(lines(&script)[1..], ["[1] DELETE FROM t", "[1] dropped"]);
}
