//! A file that is moved, replaced or emptied while it is in use.

use std::path::Path;

use super::*;

/// A database in a file with one row, a backup of it beside it, and a second row that the backup
/// lacks.
struct Served {
    scratch: Scratch,
    database: Database,
    pool: Pool,
}

const INSERT: &str = "INSERT INTO t VALUES ($1)";

impl Served {
    async fn new() -> Self {
        let scratch = Scratch::new();
        let database = Database::open(&scratch.file(), &config()).await.unwrap();
        let served = Self {
            pool: database.pool(),
            scratch,
            database,
        };
        run(&served.pool, "CREATE TABLE t (i INTEGER)", &[])
            .await
            .unwrap();
        served.insert(1).await.unwrap();
        let backup = format!("VACUUM INTO '{}'", served.path("backup.db").display());
        rusqlite::Connection::open(served.path("users.db"))
            .unwrap()
            .execute_batch(&backup)
            .unwrap();
        served.insert(2).await.unwrap();
        assert_eq!(count(&served.pool, "t").await, 2);
        served
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.0.join(name)
    }

    async fn insert(&self, value: i64) -> Result<u64, Error> {
        run(&self.pool, INSERT, &[Value::Integer(value)]).await
    }

    /// Expects that writes, reads and the readiness check fail.
    async fn is_refused(&self) {
        let written = self.insert(3).await;
        assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
        let Err(Error::Unavailable(why)) = rows(&self.pool, "SELECT i FROM t", &[]).await else {
            panic!("it is read from");
        };
        assert!(!why.contains('/'), "the path is shown: {why}");
        let begun = self
            .pool
            .begin(Isolation::Serializable, false, &budget())
            .await;
        assert!(matches!(begun, Err(Error::Unavailable(_))));
        let opened = self
            .pool
            .open(&reads("SELECT i FROM t"), Vec::new(), &budget())
            .await;
        assert!(matches!(opened, Err(Error::Unavailable(_))));
        let ready = self.database.check().await;
        assert!(matches!(ready, Err(OpenError::Unreachable { .. })));
    }

    /// Expects that writes, reads and the readiness check succeed.
    async fn is_served(&self, rows_before: i64) {
        self.pool.closed().await;
        self.database.check().await.unwrap();
        self.insert(9).await.unwrap();
        assert_eq!(count(&self.pool, "t").await, rows_before + 1);
    }

    /// Closes the database and returns its directory.
    fn close(self) -> Scratch {
        drop(self.pool);
        drop(self.database);
        self.scratch
    }

    /// The only saved copy.
    fn saved(scratch: &Scratch) -> PathBuf {
        let saved: Vec<_> = std::fs::read_dir(&scratch.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains(".saved-"))
            .collect();
        match &saved[..] {
            [path] => path.clone(),
            other => panic!("not one copy: {other:?}"),
        }
    }
}

/// Opens the file, checks its integrity, and returns the number of rows.
#[track_caller]
fn count_rows(path: &Path) -> i64 {
    let sqlite = rusqlite::Connection::open(path).unwrap();
    let integrity: String = sqlite
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok", "{}", path.display());
    sqlite
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn replaced_file_is_refused_and_both_files_stay_intact() {
    let served = Served::new().await;
    std::fs::rename(served.path("backup.db"), served.path("users.db")).unwrap();
    served.is_refused().await;
    served.pool.closed().await;
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 1);
    assert_eq!(count_rows(&Served::saved(&scratch)), 2);
}

#[tokio::test]
async fn replaced_file_without_requests_is_intact_after_close() {
    let served = Served::new().await;
    std::fs::rename(served.path("backup.db"), served.path("users.db")).unwrap();
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 1);
    assert_eq!(count_rows(&Served::saved(&scratch)), 2);
}

#[tokio::test]
async fn replaced_file_is_not_opened_by_a_new_connection() {
    let served = Served::new().await;
    std::fs::rename(served.path("backup.db"), served.path("users.db")).unwrap();
    let core = served.database.pool();
    for _ in 0..3 {
        let read = rows(&core, "SELECT i FROM t", &[]).await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    }
    drop(core);
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 1);
}

#[tokio::test]
async fn removed_file_is_refused_and_saved_under_a_new_name() {
    let served = Served::new().await;
    std::fs::remove_file(served.path("users.db")).unwrap();
    served.is_refused().await;
    let scratch = served.close();
    assert!(!scratch.file().exists());
    assert_eq!(count_rows(&Served::saved(&scratch)), 2);
}

#[tokio::test]
async fn saved_copy_has_the_permissions_of_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let served = Served::new().await;
    let path = served.path("users.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(path).unwrap();
    let scratch = served.close();
    let saved = std::fs::metadata(Served::saved(&scratch)).unwrap();
    assert_eq!(saved.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn renamed_file_is_complete_and_served_again_once_it_is_back() {
    let served = Served::new().await;
    std::fs::rename(served.path("users.db"), served.path("away.db")).unwrap();
    served.is_refused().await;
    served.pool.closed().await;
    let copied = served.path("copied.db");
    std::fs::copy(served.path("away.db"), &copied).unwrap();
    assert_eq!(count_rows(&copied), 2);
    std::fs::rename(served.path("away.db"), served.path("users.db")).unwrap();
    served.is_served(2).await;
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 3);
}

#[tokio::test]
async fn renamed_file_that_was_written_to_meanwhile_stays_refused() {
    let served = Served::new().await;
    std::fs::rename(served.path("users.db"), served.path("away.db")).unwrap();
    served.is_refused().await;
    served.pool.closed().await;
    let other = rusqlite::Connection::open(served.path("away.db")).unwrap();
    other
        .execute_batch("INSERT INTO t VALUES (7); PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    std::fs::rename(served.path("away.db"), served.path("users.db")).unwrap();
    served.is_refused().await;
    drop(other);
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 3);
}

#[tokio::test]
async fn removed_log_is_refused_and_the_database_is_complete() {
    for suffix in ["users.db-wal", "users.db-shm"] {
        let served = Served::new().await;
        std::fs::remove_file(served.path(suffix)).unwrap();
        served.is_refused().await;
        let scratch = served.close();
        assert_eq!(count_rows(&scratch.file()), 2, "{suffix}");
    }
}

#[tokio::test]
async fn replaced_log_is_refused_and_left_alone() {
    let served = Served::new().await;
    let (log, other) = (served.path("users.db-wal"), served.path("other"));
    std::fs::write(&other, "the log of another file").unwrap();
    std::fs::rename(&other, &log).unwrap();
    served.is_refused().await;
    let scratch = served.close();
    let left = std::fs::read_to_string(&log).unwrap();
    assert_eq!(left, "the log of another file");
    assert_eq!(count_rows(&scratch.file()), 2);
}

#[tokio::test]
async fn moved_directory_is_refused_and_served_again_once_it_is_back() {
    let served = Served::new().await;
    let (here, away) = (
        served.scratch.0.clone(),
        served.scratch.0.with_extension("away"),
    );
    std::fs::rename(&here, &away).unwrap();
    served.is_refused().await;
    std::fs::rename(&away, &here).unwrap();
    served.is_served(2).await;
}

#[tokio::test]
async fn removed_directory_is_refused() {
    let served = Served::new().await;
    std::fs::remove_dir_all(&served.scratch.0).unwrap();
    served.is_refused().await;
    served.close();
}

#[tokio::test]
async fn retargeted_link_is_refused_and_both_files_stay_intact() {
    let scratch = Scratch::new();
    let (link, one, other) = (
        scratch.0.join("link.db"),
        scratch.0.join("one.db"),
        scratch.0.join("other.db"),
    );
    for path in [&one, &other] {
        let sqlite = rusqlite::Connection::open(path).unwrap();
        sqlite
            .execute_batch("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1)")
            .unwrap();
    }
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let database = Database::open(&link, &config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "INSERT INTO t VALUES (2)", &[]).await.unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let written = run(&pool, "INSERT INTO t VALUES (3)", &[]).await;
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    drop((pool, database));
    assert_eq!((count_rows(&one), count_rows(&other)), (2, 1));
}

#[tokio::test]
async fn truncated_file_is_refused_until_a_restart() {
    let served = Served::new().await;
    let path = served.path("users.db");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    served.is_refused().await;
    std::fs::copy(served.path("backup.db"), &path).unwrap();
    served.is_refused().await;
    let scratch = served.close();
    // The operator's file is not written to.
    assert_eq!(
        std::fs::read(scratch.file()).unwrap(),
        std::fs::read(scratch.0.join("backup.db")).unwrap()
    );
}

#[tokio::test]
async fn commit_to_a_file_that_was_replaced_meanwhile_is_in_doubt() {
    let served = Served::new().await;
    let mut transaction = served
        .pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    let insert = writes("INSERT INTO t VALUES (3)");
    transaction.execute(&insert, &[], &budget()).await.unwrap();
    std::fs::rename(served.path("backup.db"), served.path("users.db")).unwrap();
    let committed = transaction.commit(&budget()).await;
    assert!(matches!(committed, Err(Error::InDoubt)), "{committed:?}");
    served.is_refused().await;
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 1);
    assert_eq!(count_rows(&Served::saved(&scratch)), 3);
}

#[tokio::test]
async fn writes_and_checkpoints_of_another_process_are_served() {
    let served = Served::new().await;
    let other = rusqlite::Connection::open(served.path("users.db")).unwrap();
    other
        .execute_batch("INSERT INTO t VALUES (3); PRAGMA wal_checkpoint(TRUNCATE); VACUUM")
        .unwrap();
    served.insert(4).await.unwrap();
    drop(other);
    served.insert(5).await.unwrap();
    assert_eq!(count(&served.pool, "t").await, 5);
    served.database.check().await.unwrap();
    let scratch = served.close();
    assert_eq!(count_rows(&scratch.file()), 5);
    assert!(!scratch.0.join("users.db-wal").exists());
}

#[tokio::test]
async fn replaced_file_for_reading_is_refused() {
    let served = Served::new().await;
    let read_only = Arc::new(Config {
        read_only: true,
        ..Config::new(Url::memory())
    });
    let database = Database::open(&served.path("backup.db"), &read_only)
        .await
        .unwrap();
    let pool = database.pool();
    assert_eq!(count(&pool, "t").await, 1);
    std::fs::remove_file(served.path("backup.db")).unwrap();
    assert!(matches!(
        database.check().await,
        Err(OpenError::Unreachable { .. })
    ));
    let read = rows(&pool, "SELECT i FROM t", &[]).await;
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
}
