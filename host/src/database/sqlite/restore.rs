//! `usher restore`: a verified backup in the place of a database file that nothing has open.
//!
//! The backup is copied beside the database and verified before anything is changed. The old file
//! gets another name, together with its log, and is complete there. A program that begins to open
//! the database meanwhile finds it locked, or finds the restored one.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, fcntl_lock};

use super::files::{LOCK_WAIT, Partial, is_busy, sync_directory};
use super::identity::{seconds_since_epoch, with_suffix};
use super::opening::as_path;
use crate::database::error::CopyError;

/// Restores `database` from `backup`. Returns the size, and the path of what was there before.
pub(crate) fn restore(database: &Path, backup: &Path) -> Result<(u64, Option<PathBuf>), CopyError> {
    // A symbolic link stays, and the file that it names is replaced.
    let database = match std::fs::canonicalize(database) {
        Ok(path) => path,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => database.to_owned(),
        Err(error) => {
            let shown = database.display();
            return Err(CopyError::Usage(format!("cannot read {shown}: {error}")));
        }
    };
    if std::fs::canonicalize(backup).is_ok_and(|backup| backup == database) {
        let shown = backup.display();
        return Err(CopyError::Usage(format!("{shown} is the database itself")));
    }
    let copy = Partial::copy(backup, &database)?;
    let failed = |error: std::io::Error| {
        CopyError::Failed(format!("cannot replace {}: {error}", database.display()))
    };
    let Some(old) = Old::lock(&database)? else {
        move_log(&database, &kept_path(&database)).map_err(failed)?;
        return copy.rename_to(&database).map(|bytes| (bytes, None));
    };
    let found = std::fs::metadata(&database).map_err(failed)?;
    copy.adopt(&found).map_err(failed)?;
    let kept = kept_path(&database);
    std::fs::rename(&database, &kept).map_err(failed)?;
    let restored = move_log(&database, &kept)
        .map_err(failed)
        .and_then(|()| copy.rename_to(&database));
    match restored {
        Ok(bytes) => {
            drop(old);
            Ok((bytes, Some(kept)))
        }
        Err(error) => {
            // The log first: beside a database that is not its own it would destroy that.
            let back = move_log(&kept, &database)
                .and_then(|()| std::fs::rename(&kept, &database))
                .and_then(|()| sync_directory(&database));
            match back {
                Ok(()) => Err(error),
                Err(back) => Err(CopyError::Failed(format!(
                    "{error}; the old file is in {}, because it could not be renamed: {back}",
                    kept.display()
                ))),
            }
        }
    }
}

/// A lock that keeps other processes from the old file until it has its other name.
#[derive(Debug)]
enum Old {
    /// Held by SQLite, after its log was written into the file.
    Database(#[expect(dead_code, reason = "held until it is dropped")] Connection),
    /// Held on a file that SQLite cannot read.
    Damaged(#[expect(dead_code, reason = "held until it is dropped")] File),
}

impl Old {
    /// Locks the file; `None` if there is none.
    fn lock(database: &Path) -> Result<Option<Self>, CopyError> {
        if !database.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        match lock_by_sqlite(database) {
            Ok(Some(sqlite)) => Ok(Some(Self::Database(sqlite))),
            Ok(None) => Err(in_use(database)),
            Err(error) if is_busy(&error) => Err(in_use(database)),
            // What has to be restored may be damaged.
            Err(_) => lock_file(database).map(Some),
        }
    }
}

fn in_use(database: &Path) -> CopyError {
    CopyError::Failed(format!(
        "{} is in use: stop the server and every other program that has it open, and try again",
        database.display()
    ))
}

/// Empties and removes the log, which fails as long as another process has the file open, and locks
/// the file. `None` if another process has opened it in between.
fn lock_by_sqlite(database: &Path) -> rusqlite::Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let sqlite = Connection::open_with_flags(as_path(database), flags)?;
    // A reader that is about to end is waited for, a server is not.
    sqlite.busy_timeout(LOCK_WAIT / 5)?;
    let mode = |text: &str| sqlite.query_row(text, [], |row| row.get::<_, String>(0));
    mode("PRAGMA journal_mode = DELETE")?;
    sqlite.execute_batch("BEGIN EXCLUSIVE; SELECT 1 FROM sqlite_schema LIMIT 1;")?;
    // With a log, this lock would keep writers out and let readers in.
    let has_log = mode("PRAGMA journal_mode")? == "wal";
    Ok((!has_log).then_some(sqlite))
}

/// Locks all bytes, among them those on which SQLite has a shared lock while a file is open.
fn lock_file(database: &Path) -> Result<Old, CopyError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(database)
        .map_err(|error| {
            CopyError::Failed(format!("cannot open {}: {error}", database.display()))
        })?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| in_use(database))?;
    Ok(Old::Damaged(file))
}

/// Gives the log of a database the name that belongs to the database's new name. The log's index is
/// removed, because SQLite makes it anew.
fn move_log(from: &Path, to: &Path) -> std::io::Result<()> {
    let absent_is_fine = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for log in ["-wal", "-journal"] {
        absent_is_fine(std::fs::rename(
            with_suffix(from, log),
            with_suffix(to, log),
        ))?;
    }
    absent_is_fine(std::fs::remove_file(with_suffix(from, "-shm")))
}

/// The name for the old file.
fn kept_path(database: &Path) -> PathBuf {
    let mut seconds = seconds_since_epoch();
    loop {
        let path = with_suffix(database, &format!(".before-restore-{seconds}"));
        if !path.exists() {
            return path;
        }
        seconds += 1;
    }
}
