//! Opening databases, and what they keep.

use super::*;

#[tokio::test]
async fn memory_database_is_shared_by_its_clones_only() {
    let (one, other) = (
        Database::memory(&config()).await.unwrap(),
        Database::memory(&config()).await.unwrap(),
    );
    run(&one.pool(), "CREATE TABLE t (i INTEGER)", &[])
        .await
        .unwrap();
    assert_eq!(count(&one.clone().pool(), "t").await, 0);
    assert_eq!(
        refusal(rows(&other.pool(), "SELECT * FROM t", &[]).await).code,
        "42P01"
    );
}

#[tokio::test]
async fn reopened_file_keeps_its_rows() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    run(&database.pool(), "CREATE TABLE t (i INTEGER)", &[])
        .await
        .unwrap();
    drop(database);
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    assert_eq!(count(&database.pool(), "t").await, 0);
    let read_only = Arc::new(Config {
        read_only: true,
        ..Config::new(Url::memory())
    });
    let reader = Database::open(&scratch.file(), &read_only).await.unwrap();
    assert_eq!(count(&reader.pool(), "t").await, 0);
    assert_eq!(
        refusal(run(&reader.pool(), "DELETE FROM t", &[]).await).code,
        "25006"
    );
    database.check().await.unwrap();
    std::fs::remove_file(scratch.file()).unwrap();
    assert!(matches!(
        database.check().await,
        Err(OpenError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn path_without_database_is_a_configuration_error() {
    let scratch = Scratch::new();
    std::fs::write(
        scratch.0.join("prose"),
        "this is no database, however long it may be; ".repeat(100),
    )
    .unwrap();
    let read_only = Arc::new(Config {
        read_only: true,
        ..Config::new(Url::memory())
    });
    for (path, config) in [
        (scratch.0.join("prose"), config()),
        (scratch.0.clone(), config()),
        (scratch.0.join("nowhere").join("users.db"), config()),
        (scratch.0.join("prose").join("users.db"), config()),
        (scratch.0.join("missing.db"), read_only),
    ] {
        match Database::open(&path, &config).await {
            Err(OpenError::Configuration { reason, .. }) => {
                assert!(!reason.is_empty() && !reason.contains('\n'));
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn future_of_each_call_is_send() {
    fn send<T: Send>(_: &T) {}
    fn all(pool: &Pool, statement: &Arc<Statement>, budget: &Budget) {
        send(&pool.query(statement, &[], budget));
        send(&pool.execute(statement, &[], budget));
        send(&pool.begin(Isolation::Serializable, false, budget));
        send(&pool.open(statement, Vec::new(), budget));
    }
    fn ends(
        mut transaction: Transaction,
        mut cursor: Cursor,
        statement: &Arc<Statement>,
        budget: &Budget,
    ) {
        send(&transaction.query(statement, &[], budget));
        send(&transaction.commit(budget));
        send(&cursor.next(1, budget));
    }
    let _ = (all, ends);
}
